"""How a file becomes readings.

``opening`` opens a file as one of the ``tables``: ``csvtable`` or ``jsonlines``, read line by line (``lines``);
``marks`` recognises what is no text at all. ``formats`` is what the source declares of the writing; ``timeformats``,
``times`` and ``clocks`` read the times, ``writing`` the numbers; ``channels`` tells which rows are meant. ``sources``
puts all of that together, row by row.
"""
