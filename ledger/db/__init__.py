"""The database: engines, transactions, read-only sessions. The only place that commits."""

from ledger.db.behind import Behind
from ledger.db.database import Database, DatabaseBusy, SchemaMissing, UnitOfWork

__all__ = ["Behind", "Database", "DatabaseBusy", "SchemaMissing", "UnitOfWork"]
