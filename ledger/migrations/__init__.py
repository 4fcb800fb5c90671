"""The schema's history: one chain of revisions for SQLite and MariaDB, run by ``runner``."""
