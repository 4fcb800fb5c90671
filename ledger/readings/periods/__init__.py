"""A period as the arithmetic wants it: everything that one reduction is made of.

``period`` puts it together, from these: the meters with their readings (``metered``) and the days on which they are
``in_service``, energy ``certificates``, the factor (``factor_rows``), and the ``carry`` from before. ``left_out`` says
what is not counted, ``issued`` which times of a meter are issued already. ``evidence_files`` writes a period as two
files; ``recomputing`` computes an issued period again, with the readings that came late.
"""
