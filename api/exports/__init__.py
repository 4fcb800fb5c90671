"""Lists as files: CSV, JSON lines and Parquet, streamed from one snapshot."""
