"""What is kept how long, and where: partitions, the archive, its copy in Parquet, orphans.

The evidence behind credits (``meter_readings``, ``register_readings``) and settlements
(``vpp_trading_records``) never leaves the live tables: see decision 0042.
"""
