"""How a file becomes readings.

``opening`` it gives one of the ``tables``, made of ``lines`` by ``csvtable`` or ``jsonlines``; ``marks`` and
``formats`` say how it is written, ``timeformats``, ``times``, ``clocks`` and ``writing`` what a time or number in it
means. ``sources`` puts all of that together.
"""
