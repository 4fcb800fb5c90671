"""Lists as files: CSV, JSON lines and Parquet, streamed from one snapshot.

``lists`` says which there are, and ``columns`` what a row is made of. ``stream`` makes the pieces of a file in one of
the ``formats`` (``parquet`` by a library). ``records`` are the files of a park's records.
"""
