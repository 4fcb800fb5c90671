"""A period as the arithmetic wants it: everything that one reduction is made of.

``period`` gathers it: the ``metered`` meters with their readings and the days that they are ``in_service``,
``certificates`` of energy, ``factor_rows``, and the ``carry`` from before; ``left_out`` says what it does not take.
``issued`` says which times of a meter are issued already. ``evidence_files`` writes a period as two files;
``recomputing`` computes an issued one again with what came late.
"""
