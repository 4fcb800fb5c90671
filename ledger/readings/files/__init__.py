"""How a file becomes readings.

``opening`` opens a file as one of the ``tables``: ``csvtable`` or ``jsonlines``, read line by line (``lines``), or
``sheettable``; ``headed`` is what tables with a header have in common, and ``marks`` recognises what is no text at all.
The ``sheets`` of a workbook come from ``xlsx``, out of the ``xlsxparts`` of its zip, or from ``xls``; ``timetexts``
writes their dates as the texts of the source are.

``formats`` is what the source declares of the writing; ``timeformats``, ``times`` and ``clocks`` read the times,
``writing`` the numbers; ``channels`` tells which rows are meant. ``sources`` puts all of that together, row by row.
"""
