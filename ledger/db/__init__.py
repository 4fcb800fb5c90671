"""The database: engines, transactions, read-only sessions. The only place that commits."""

from ledger.db.behind import Behind
from ledger.db.database import Database, UnitOfWork
from ledger.db.failures import DatabaseBusy, SchemaMissing
from ledger.db.packed import Many

__all__ = ["Behind", "Database", "DatabaseBusy", "Many", "SchemaMissing", "UnitOfWork"]
