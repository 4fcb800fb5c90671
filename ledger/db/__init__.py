"""The database: engines, transactions, read-only sessions. The only place that commits.

- **Units of work.** ``database`` opens them, with ``engines`` for the connections and ``location`` for the URL;
  ``failures`` are its errors, and ``diagnoses`` what the drivers' errors mean. ``presence`` logs when the database
  goes away and comes back; ``silence`` asks the server about a statement that does not answer. ``schema`` brings the
  tables to a revision, and ``own_tables`` refuses to write into those of a newer version.
- **Many rows.** ``rows``, ``tables`` and ``bulk`` store them: ``encoders`` prepare the values, ``arrays`` and
  ``cells`` are MariaDB's fastest way, ``behind`` stores while the caller goes on, and ``log_sync`` brings SQLite's log
  to the disk meanwhile. ``composite_keys`` and ``packed`` read many rows, ``quick`` and ``quick_server`` one.
  ``counting``, ``deferring`` and ``sqltext`` are small tools.
- **Checks of a server**, for ``doctor``: rules give ``findings``. They are ``server``, ``server_tables``,
  ``server_triggers`` and ``tls``; ``pair`` for a primary and its replica; ``galera_rules`` and ``galera_nodes``.
  ``grants`` makes the accounts.
- **More than one server.** ``replica`` serves reads; ``following``, ``gtid``, ``promotable``, ``promotion`` and
  ``rejoining`` make it the primary; ``galera`` connects to a node of a cluster.
"""

from ledger.db.behind import Behind
from ledger.db.database import Database, UnitOfWork
from ledger.db.failures import DatabaseBusy, SchemaMissing
from ledger.db.own_tables import NewerTables
from ledger.db.packed import Many

__all__ = [
    "Behind",
    "Database",
    "DatabaseBusy",
    "Many",
    "NewerTables",
    "SchemaMissing",
    "UnitOfWork",
]
