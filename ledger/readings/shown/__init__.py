"""What is shown of readings.

``slots`` and ``coverage`` say what became of each slot, ``selection`` of which meters and days; ``views``,
``exclusions`` and ``lookup`` print it. ``imported`` lists the files that were brought in.
"""
