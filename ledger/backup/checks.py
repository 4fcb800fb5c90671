"""What every table held at a moment, to compare a restored one with it; and whether an SQLite file is whole."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from functools import partial

from sqlalchemy import Connection

from ledger.backup.manifest import TableCheck
from ledger.db.grants import archive_of
from ledger.errors import DependencyDown

ARCHIVE = archive_of("")
"""The archive of a database NAME is the schema NAME_archive, see docs/schema.md; it is checked too."""
_ROWS_AT_ONCE = 10_000
_STEPS_AT_ONCE = 20_000
"""Of SQLite's machine, between two looks at the clock."""
_ANY_TEXT = partial(str, encoding="utf-8", errors="surrogateescape")
"""Reads a text that is not UTF-8, too; all others alike, in twice the time."""


class TablesMoved(DependencyDown):
    """Tables changed places or form while they were copied or read, as when rows go to the archive: try again."""

    default_code = "backup-table-unread"


def mariadb_tables(connection: Connection, database: str) -> dict[str, TableCheck]:
    """Return rows and checksum of every table of a database and its archive, as the connection sees them.

    The server's ``CHECKSUM TABLE`` reads each row once, in the transaction's snapshot; it does not depend on
    the order of rows.

    Raises
    ------
    TablesMoved
        If a table cannot be read, as while its form is changed.
    """
    query = (
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_schema IN (%s, %s) AND table_type = 'BASE TABLE' ORDER BY 1, 2"
    )
    found = {}
    for schema, table in connection.exec_driver_sql(query, (database, archive_of(database))).all():
        name = f"`{schema}`.`{table}`"
        _, checksum = connection.exec_driver_sql(f"CHECKSUM TABLE {name} EXTENDED").one()
        if checksum is None:
            raise TablesMoved(
                f"table {schema}.{table} cannot be read for its checksum; its form was changed meanwhile: try again"
            )
        rows = connection.exec_driver_sql(f"SELECT COUNT(*) FROM {name}").scalar_one()
        label = table if schema == database else f"{schema}.{table}"
        found[label] = TableCheck(int(rows), str(checksum))
    return found


def sqlite_tables(connection: sqlite3.Connection) -> dict[str, TableCheck]:
    """Return rows and SHA-256 of every table of an SQLite file: of all values, with their types, in order of row.

    A text that is not UTF-8, which another program wrote, is one as well: no backup fails for its sake.
    """
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    found = {}
    for (name,) in connection.execute(query).fetchall():
        try:
            found[name] = _sqlite_table(connection, name)
        except sqlite3.OperationalError as error:
            if hasattr(error, "sqlite_errorname"):  # SQLite's own: no matter of a text
                raise
            connection.text_factory = _ANY_TEXT
            found[name] = _sqlite_table(connection, name)
    return found


def _sqlite_table(connection: sqlite3.Connection, name: str) -> TableCheck:
    digest, rows = hashlib.sha256(), 0
    cursor = connection.execute(f'SELECT * FROM "{name}"')
    while piece := cursor.fetchmany(_ROWS_AT_ONCE):
        digest.update(repr(piece).encode())
        rows += len(piece)
    return TableCheck(rows, digest.hexdigest())


def sqlite_damage(connection: sqlite3.Connection) -> str | None:
    """Return what is wrong with the pages of an SQLite file, its indexes compared with their tables; None: nothing."""
    return _damage(connection, "integrity_check")


def sqlite_damage_within(
    connection: sqlite3.Connection, seconds_max: float
) -> tuple[str | None, bool]:
    """Look for damage as ``sqlite_damage`` does, indexes by themselves alone, and for no longer than this.

    Returns
    -------
    tuple
        What is wrong, or None, and whether the file was read to its end.
    """
    end_s = time.monotonic() + seconds_max
    connection.set_progress_handler(lambda: time.monotonic() > end_s, _STEPS_AT_ONCE)
    try:
        return _damage(connection, "quick_check"), True
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return None, False
    finally:
        connection.set_progress_handler(None, 0)


def _damage(connection: sqlite3.Connection, check: str) -> str | None:
    try:
        (said,) = connection.execute(f"PRAGMA {check}(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        return str(error)
    # On some pages it has a heading: "*** in database main ***", then what is wrong.
    return None if said == "ok" else str(said).splitlines()[-1]


def differences(wanted: dict[str, TableCheck], found: dict[str, TableCheck]) -> list[str]:
    """Return a sentence for each table that is not as it was."""
    said = []
    for name in sorted(wanted.keys() | found.keys()):
        before, after = wanted.get(name), found.get(name)
        if before is None or after is None:
            said.append(f"table {name} is {'new' if before is None else 'missing'}")
            if before is None and ARCHIVE + "." in name:
                schema = name.partition(".")[0].replace("_", r"\_")
                said[-1] += (
                    f": who takes backups does not see it; GRANT SELECT ON `{schema}`.* to that user"
                )
        elif before.rows != after.rows:
            said.append(f"table {name} has {after.rows} rows, should have {before.rows}")
        elif before.checksum != after.checksum:
            said.append(f"table {name} has other rows than it should have")
    return said
