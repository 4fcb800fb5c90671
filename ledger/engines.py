"""How connections are opened, transactions begun, and what the drivers' errors mean."""

from __future__ import annotations

import json
import sqlite3
from functools import partial
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

MODE = "truetonne_mode"
READ = "read"
WRITE = "write"

DOWN = "down"
BUSY = "busy"
NO_TABLE = "no table"

_SQL_MODE = (
    "STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)
# MariaDB's numbers: lost the row's version, waited too long for a lock, deadlock.
_MYSQL_BUSY = frozenset({1020, 1205, 1213})
_MYSQL_DOWN = frozenset(
    {1040, 1044, 1045, 1049, 1053, 1129, 1130, 1203, 2002, 2003, 2005, 2006, 2013, 2055}
)
_MYSQL_NO_TABLE = 1146
_MYSQL_READ_ONLY_SERVER = frozenset({1290, 1836})


def create(url: URL, *, lock_timeout_s: int, migration: bool = False) -> Engine:
    """Return an engine for the URL.

    Parameters
    ----------
    url
        SQLite or MariaDB.
    lock_timeout_s
        How long a statement waits for another writer, in seconds.
    migration
        For migrations: a connection of its own, foreign keys of SQLite off (a table that is
        rebuilt would take its children along), and no long wait for locks on tables.
    """
    dumps = partial(json.dumps, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    common: dict[str, Any] = {"json_serializer": dumps}
    if url.get_backend_name() == "sqlite":
        if migration:
            common["poolclass"] = NullPool
        engine = create_engine(url, connect_args={"timeout": lock_timeout_s}, **common)
        event.listen(engine, "connect", partial(_open_sqlite, foreign_keys=not migration))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if migration:
        common["poolclass"] = NullPool
    else:
        common |= {"pool_pre_ping": True, "pool_recycle": 1800, "pool_size": 10, "max_overflow": 20}
    waits = f"innodb_lock_wait_timeout={lock_timeout_s}, lock_wait_timeout={2 if migration else lock_timeout_s}"
    engine = create_engine(
        url,
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": 10,
            "local_infile": False,
            "init_command": f"SET time_zone='+00:00', sql_mode='{_SQL_MODE}', {waits}",
        },
        **common,
    )
    event.listen(engine, "begin", _begin_mysql)
    return engine


def diagnose(error: DBAPIError) -> tuple[str, str]:
    """Return what an error of a driver means, and what a person can do about it.

    Returns
    -------
    tuple of str
        ``DOWN``, ``BUSY`` or ``NO_TABLE`` with an advice, or two empty texts for all others.
    """
    original = error.orig
    if isinstance(original, sqlite3.Error):
        return _diagnose_sqlite(original)
    arguments = getattr(original, "args", ())
    number = arguments[0] if arguments else None
    if number in _MYSQL_BUSY:
        return BUSY, "another process writes; try again"
    if number == _MYSQL_NO_TABLE:
        return NO_TABLE, "run `truetonne db upgrade`"
    if number in (1044, 1045, 1049):
        return DOWN, "check user, password and name in TRUETONNE_DATABASE_URL"
    if number in _MYSQL_READ_ONLY_SERVER:
        return DOWN, "name the primary in TRUETONNE_DATABASE_URL, this server is read-only"
    if number in _MYSQL_DOWN or error.connection_invalidated:
        return DOWN, "start the server or correct TRUETONNE_DATABASE_URL"
    return "", ""


def _diagnose_sqlite(error: sqlite3.Error) -> tuple[str, str]:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return BUSY, "another process writes; try again"
    if name.startswith("SQLITE_CANTOPEN"):
        return DOWN, "check that the folder exists and can be written"
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return (
            DOWN,
            "the file is damaged or not a database; restore it from a backup or name another",
        )
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return DOWN, "check the disk"
    if name == "SQLITE_READONLY" and "attempt to write" not in str(error):
        return DOWN, "make the file and its folder writable"
    if "no such table" in str(error):
        return NO_TABLE, "run `truetonne db upgrade`"
    return "", ""


def _open_sqlite(connection: sqlite3.Connection, _record: Any, *, foreign_keys: bool) -> None:
    connection.isolation_level = None  # no BEGIN of the driver's own
    connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
    connection.execute("PRAGMA recursive_triggers=ON")  # REPLACE fires delete triggers, too
    connection.execute("PRAGMA journal_mode=WAL")
    # What is sent to a chain was stored before: that must survive a power cut.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA cache_size=-65536")


def _begin_sqlite(connection: Connection) -> None:
    reading = connection.get_execution_options().get(MODE) == READ
    connection.exec_driver_sql(f"PRAGMA query_only={'ON' if reading else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
    if reading:  # the snapshot is taken by the first read
        connection.exec_driver_sql("SELECT 1 FROM sqlite_schema LIMIT 1")


def _begin_mysql(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    if options.get(MODE) == READ:
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    else:
        connection.exec_driver_sql("START TRANSACTION")
