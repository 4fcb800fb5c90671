"""A period as the arithmetic wants it.

``period`` is of ``metered`` meters, with ``certificates``, ``factor_rows`` and what is ``carry``; ``issued`` says
which times are fixed. ``evidence_files`` is the same as two files, and ``recomputing`` the same with what came late.
"""
