"""What is kept how long, and where: partitions, the archive, its copy in Parquet, orphans.

``moving`` takes closed months to the ``places`` of the archive, by ``moving_sqlite`` or ``moving_mysql``, and notes
them as ``moves``; ``noted`` knows which months went, ``missing`` says what of them the archive has not; ``parquet`` is
a second archive. ``reading`` finds rows wherever they are, ``orphans`` those without a parent; ``overview`` shows how
all of it stands.

The evidence behind credits (``meter_readings``, ``register_readings``) and settlements
(``vpp_trading_records``) never leaves the live tables: see decision 0042.
"""
