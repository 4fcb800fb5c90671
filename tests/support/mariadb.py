"""The MariaDB server of the tests, see ``cli.bench.mariadb``."""

from __future__ import annotations

from pathlib import Path

import pymysql

from cli.bench.mariadb import MariaDbServer as _Server
from cli.bench.mariadb import ServerUnavailable

__all__ = ["MariaDbServer", "ServerUnavailable", "empty"]


class MariaDbServer(_Server):
    """A server whose data die with the tests: no care for power cuts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"])


def empty(server: MariaDbServer, database: str) -> None:
    """Remove all rows of a database; the schema and its revision stay.

    TRUNCATE, because it passes the triggers of the append-only tables.
    """
    with pymysql.connect(
        unix_socket=str(server.folder / "s"),
        user="root",
        database=database,
        autocommit=True,
        ssl_disabled=True,  # which would take longer than all the rest
    ) as link:
        cursor = link.cursor()
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s "
            "AND table_type = 'BASE TABLE' AND table_name <> 'alembic_version'",
            (database,),
        )
        names = [name for (name,) in cursor.fetchall()]
        cursor.execute(
            " UNION ALL ".join(f"(SELECT '{name}' FROM {name} LIMIT 1)" for name in names)
        )
        filled = [name for (name,) in cursor.fetchall()]
        cursor.execute("SET foreign_key_checks=0")
        for name in filled:
            cursor.execute(f"TRUNCATE {name}")
