"""The database: engines, transactions, read-only sessions. The only place that commits.

- **Units of work.** ``database`` opens them, over ``engines`` and ``location``; ``failures`` are its errors,
  and ``diagnoses`` what the drivers' mean; ``presence`` is its line in the log, and ``silence`` asks after a
  statement; ``schema`` brings it to a revision.
- **Many rows.** ``rows``, ``tables`` and ``bulk`` store them, ``encoders`` make values ready, ``arrays`` and
  ``cells`` at MariaDB's best, ``behind`` while their author goes on; ``pairs`` and ``packed`` ask for many,
  ``quick`` and ``quick_server`` for one; ``counting``, ``deferring`` and ``sqltext`` are small tools.
- **What a server must be like**, for ``doctor``: ``findings`` of ``server``, ``server_tables``,
  ``server_triggers``, ``tls``; of a ``pair``; of ``galera_rules`` and ``galera_nodes``. ``grants`` makes the
  accounts.
- **More than one server.** ``replica`` serves reads; ``following``, ``gtid``, ``promotable``, ``promotion`` and
  ``rejoining`` make it the primary; ``galera`` connects to a node of a cluster.
"""

from ledger.db.behind import Behind
from ledger.db.database import Database, UnitOfWork
from ledger.db.failures import DatabaseBusy, SchemaMissing
from ledger.db.packed import Many

__all__ = ["Behind", "Database", "DatabaseBusy", "Many", "SchemaMissing", "UnitOfWork"]
