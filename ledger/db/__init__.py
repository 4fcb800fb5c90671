"""The database: engines, transactions, read-only sessions. The only place that commits."""

from ledger.db.database import Database, DatabaseBusy, SchemaMissing, UnitOfWork

__all__ = ["Database", "DatabaseBusy", "SchemaMissing", "UnitOfWork"]
