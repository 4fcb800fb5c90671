"""How connections are opened and transactions begun."""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import Any

from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions
from sqlalchemy import URL, Connection, Engine, ExceptionContext, Table, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from ledger.db import galera, own_tables, packed, silence
from ledger.db.arrays import FILE_REFUSED, ArrayConnection
from ledger.db.sqltext import SMALL_LETTERS, is_mariadb
from ledger.db.tls import read_tls
from ledger.errors import DependencyDown
from ledger.models.types import stored_json

MODE = "truetonne_mode"
READ = "read"
WRITE = "write"
WAIT = "truetonne_wait"
"""For a read of a replica: the position that it must have reached, and how many seconds it is waited for."""
HOLD = "truetonne_hold"
"""The tables whose definition stays as it is from before the snapshot to the end of a read, or of a write."""
CLUSTER_ANSWERS_S = 5
"""So long is the greeting of a cluster waited for, of which another node may have taken over. The balancer before it
(HAProxy 3.0) forgets now and then who comes as it finds a node dead: nobody tells him anything, ever."""
_GREETING_S = 10
_AGAIN_S = 0.01
PATIENCE = "truetonne_patience"
"""For one write: how many seconds it waits for another writer, instead of as long as every statement of the engine."""
CLUSTER = "cluster "
"""What begins a position that is no GTID: the identity of a Galera cluster follows."""
NOTES = "notes"
"""A write whose loss in a power cut does no harm: SQLite does not wait for the disk, and lets its log grow.

The log is one file, in which a lost end is found by its checksums: whatever is committed in full later takes what was
written before it along to the disk, and what a power cut takes is the newest of these, never one from the middle.
"""
LOG_PAGES = {True: 64_000, False: 8_000}
"""Pages of SQLite's log before a commit copies them into the file, by whether it was one of ``NOTES``: 256 and 32 MB.

With the usual 1,000 a range of the mirror is copied several times over, and waits for the disk each time. A page that
many ranges change is copied once for all that the log holds.
"""

_LOG_BYTES = {True: -1, False: 33_554_432}
"""To what a write cuts the log that it begins anew, by whether it is one of ``NOTES``: to nothing less, and to 32 MB.

While the mirror catches up a log that is cut grows again at once, block by block of the disk.
"""
_UNDO = {True: "MEMORY", False: "DEFAULT"}
"""Where SQLite keeps the pages that a statement changes, until it has succeeded; by whether it is one of ``NOTES``.

By default in a file of its own, page by page: more than half of all that the mirror wrote. Statements of ``NOTES``
are short, and sort what came with a range at most; what others sort may be long, and stays out of memory.
"""

# A connection that is lost on its way back into the pool is replaced; that is no error, and no traceback.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)

_SQL_MODE = (
    "STRICT_ALL_TABLES,ONLY_FULL_GROUP_BY,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)
# A server may have other defaults: answers cut after so many rows, large joins or changes without a key refused,
# references unchecked, a transaction that begins as the one before it, a snapshot lost while a comparison asks the
# chain, checksums of tables by an older rule, which a restored copy has otherwise, rows given up when their reader (a
# pager, a slow link) pauses for a minute. How long who writes may be silent is said as he begins (``IDLE_S``).
_WHOLE = (
    "sql_select_limit=18446744073709551615, sql_big_selects=1, foreign_key_checks=1, unique_checks=1, "
    "sql_safe_updates=0, completion_type=0, wait_timeout=28800, net_write_timeout=600 "
    "/*M!100300 , idle_transaction_timeout=0, idle_readonly_transaction_timeout=0, old_mode='' */"
)
# Reads are of one moment, and who writes on from an older one is told so (error 1020), whatever the server's own
# settings say. As a comment, because older servers and MySQL have other names or none: there the doctor looks.
_SNAPSHOTS = (
    "/*M!110602 , transaction_isolation='REPEATABLE-READ', transaction_read_only=0, "
    "innodb_snapshot_isolation=1 */ "
    "/*!80000 , transaction_read_only=0 */"  # MySQL's; MariaDB takes these numbers for none of its own
)

_ISOLATION = "isolation"
"""Of a connection to MySQL: the isolation of its transactions, as it was last set."""

IDLE_S = 300
"""How long who may write may be silent in a transaction until MariaDB takes him for dead and rolls it back, in seconds.

The rows that it has locked would be kept from everybody for hours: by a machine without power the server hears nothing,
and a process that is stopped does not end. Who computes between two statements takes seconds: the reductions of a
million readings some six. Who reads keeps nothing from anybody, and asks a chain meanwhile, or waits for a person.
"""
_IDLE = "idle"
"""Of a connection to MariaDB: how long it may be silent in a transaction, as it was last set."""

_OF_A_FILE_MAX = 45
"""Connections to an SQLite file beside the five that are kept: one for each of the 40 threads of the API, whoever of
them waits for a writer, and for the files that it sends. They cost nothing; who waited for one waited half a minute."""
_KEPT = {
    "pool_size": 4,
    "max_overflow": 4,
    "pool_timeout": 0.25,
    "pool_recycle": 60,
    "pool_reset_on_return": None,
}
_PLAIN: dict[str, Any] = {
    "autocommit": True,
    "conv": {kind: made for kind, made in conversions.items() if kind != FIELD_TYPE.DATETIME},
}


class ReplicaLags(DependencyDown):
    """A replica has not yet what was committed before it was asked."""

    default_code = "replica-lags"


def create(
    url: URL,
    *,
    lock_timeout_s: int,
    migration: bool = False,
    patience_s: int | None = None,
    answers_s: int = _GREETING_S,
    on_node: Callable[[str], None] | None = None,
    quick: bool = False,
) -> Engine:
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
    patience_s
        How long MariaDB is waited for before it counts as gone, in seconds; None: as long as the statement runs
        there (``ledger.db.silence``).
    answers_s
        How long a new connection to MariaDB is waited for, and, where ``patience_s`` is set, all else that takes no
        time there, in seconds.
    on_node
        Told by each new connection to a Galera cluster which node it has come to.
    quick
        For ``ledger.db.quick_server``, on MariaDB: few connections, kept for a minute and handed over as they are,
        each statement by itself, and times as text.
    """
    dumps = partial(json.dumps, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    common: dict[str, Any] = {"json_serializer": dumps, "json_deserializer": stored_json}
    if url.get_backend_name() == "sqlite":
        common |= {"poolclass": NullPool} if migration else {"max_overflow": _OF_A_FILE_MAX}
        engine = create_engine(url, connect_args={"timeout": lock_timeout_s}, **common)
        opened = partial(_open_sqlite, foreign_keys=not migration, lock_timeout_s=lock_timeout_s)
        event.listen(engine, "connect", opened)
        event.listen(engine, "begin", partial(_begin_sqlite, lock_timeout_s=lock_timeout_s))
        return engine
    if migration:
        common["poolclass"] = NullPool
    elif quick:
        common |= _KEPT
    else:
        common |= {"pool_pre_ping": True, "pool_recycle": 1800, "pool_size": 10, "max_overflow": 20}
        if answers_s < _GREETING_S:  # who does not get a connection soon goes elsewhere
            common["pool_timeout"] = answers_s
    # A migration that waits for a table's lock makes everybody wait behind it.
    table_wait_s = 2 if migration else lock_timeout_s
    waits = _waits(lock_timeout_s, table_wait_s)
    if migration:  # a table takes as long as it is large: tried again, it would be ended again
        waits += " /*M!100101 , max_statement_time=0 */ /*!80000 , max_execution_time=0 */"
    tls = read_tls(url)
    engine = create_engine(
        tls.url,
        connect_args={
            **tls.arguments,
            **(_PLAIN if quick else {}),
            "charset": "utf8mb4",
            "connect_timeout": min(answers_s, patience_s or answers_s),
            "read_timeout": patience_s,
            "write_timeout": patience_s or silence.WRITE_S,
            "local_infile": False,
            "init_command": f"SET time_zone='+00:00', sql_mode='{_SQL_MODE}', sql_notes=1, "
            f"group_concat_max_len={packed.BYTES_MAX}, {_WHOLE}, {waits} {_SNAPSHOTS}",
        },
        **common,
    )
    of_cluster = Event()
    event.listen(engine, "do_connect", partial(_open_mysql, silence.GivenUp(), of_cluster))
    event.listen(engine, "connect", partial(_prepare_mysql, of_cluster, on_node=on_node))
    event.listen(engine, "handle_error", _no_use)
    event.listen(engine, "begin", _begin_mysql)
    return engine


def _open_sqlite(
    connection: sqlite3.Connection, _record: Any, *, foreign_keys: bool, lock_timeout_s: int
) -> None:
    connection.isolation_level = None  # no BEGIN of the driver's own
    connection.create_function(SMALL_LETTERS, 1, _small_letters, deterministic=True)
    connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
    connection.execute("PRAGMA recursive_triggers=ON")  # REPLACE fires delete triggers, too
    _write_ahead(connection, lock_timeout_s)
    # What is sent to a chain was stored before: that must survive a power cut.
    connection.execute("PRAGMA synchronous=FULL")
    # With 64 MB the mirror of ten million rows took 418 MiB, of 400 that it may have.
    connection.execute("PRAGMA cache_size=-32768")


def _write_ahead(connection: sqlite3.Connection, lock_timeout_s: int) -> None:
    """Have the file keep a log of what is written; it keeps that setting.

    Where it does not have it yet, as when it is new or was restored, SQLite does not wait for whoever sets it, or
    writes, at the same moment.
    """
    end_s = time.monotonic() + lock_timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > end_s:
                raise
        time.sleep(_AGAIN_S)


def _small_letters(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _open_mysql(
    given_up: silence.GivenUp,
    of_cluster: Event,
    _dialect: Any,
    _record: Any,
    arguments: Sequence[Any],
    options: dict[str, Any],
) -> ArrayConnection:
    if of_cluster.is_set():
        options["connect_timeout"] = min(options["connect_timeout"], CLUSTER_ANSWERS_S)
    return ArrayConnection(*arguments, given_up=given_up, **options)


def _prepare_mysql(
    of_cluster: Event,
    link: ArrayConnection,
    record: ConnectionPoolEntry,
    *,
    on_node: Callable[[str], None] | None,
) -> None:
    """Prepare a new connection; that to a cluster's node waits once, and can say by then whether it still does."""
    record.info[galera.NODE] = node = galera.node_of(link)
    if isinstance(link, ArrayConnection):
        link.learn_limits()
    if node:
        of_cluster.set()
        with link.answering_soon():
            galera.wait_for_cluster(link)
        if on_node is not None:
            on_node(node)


def _no_use(context: ExceptionContext) -> None:
    """Tell SQLAlchemy that a connection is none: it asked for a file and was closed, or its node is out of the cluster.

    So are all that rest in the pool: the next ones go where the work goes on.
    """
    arguments = getattr(context.original_exception, "args", ())
    if arguments and arguments[0] in (FILE_REFUSED, galera.NOT_READY, galera.UNDECIDED):
        context.is_disconnect = True


def _begin_sqlite(connection: Connection, *, lock_timeout_s: int) -> None:
    options = connection.get_execution_options()
    reading, notes = options.get(MODE) == READ, options.get(MODE) == NOTES
    patience_s = options.get(PATIENCE, lock_timeout_s)
    _set_sqlite(connection, "busy_timeout", str(int(patience_s * 1000)))
    _set_sqlite(connection, "query_only", "ON" if reading else "OFF")
    _set_sqlite(connection, "temp_store", _UNDO[notes])
    if not reading:
        _set_sqlite(connection, "synchronous", "NORMAL" if notes else "FULL")
        _set_sqlite(connection, "wal_autocheckpoint", str(LOG_PAGES[notes]))
        _set_sqlite(connection, "journal_size_limit", str(_LOG_BYTES[notes]))
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
    if reading:  # the snapshot is taken by the first read
        connection.exec_driver_sql("SELECT 1 FROM sqlite_schema LIMIT 1")
    elif options.get(MODE) is not None:  # else it migrates
        own_tables.require(connection)


def _set_sqlite(connection: Connection, name: str, value: str) -> None:
    """Set what a connection keeps from one transaction to the next, unless it is set to that already."""
    if connection.info.get(name) != value:
        connection.info.pop(name, None)  # nobody knows, if it ends here
        connection.exec_driver_sql(f"PRAGMA {name}={value}")
        connection.info[name] = value


@contextmanager
def waiting_at_most(connection: Connection, seconds: int, usual_s: int) -> Iterator[None]:
    """Have a connection of MariaDB wait for other writers no longer than this, and as usual afterwards."""
    _set_waits(connection, seconds)
    try:
        yield
    finally:
        if not connection.invalidated:  # one that broke off is no longer anybody's
            _set_waits(connection, usual_s)


def _set_waits(connection: Connection, seconds: int) -> None:
    connection.exec_driver_sql(f"SET {_waits(seconds, seconds)}")


def _waits(row_s: int, table_s: int) -> str:
    return f"innodb_lock_wait_timeout={row_s}, lock_wait_timeout={table_s}"


def position_of(connection: Connection) -> str:
    """Return what a replica must have, to have all that was committed here before; empty when nothing tells."""
    if connection.info.get(galera.NODE):
        return CLUSTER + galera.cluster_of(connection)
    if not is_mariadb(connection.dialect):
        return ""  # MySQL's GTIDs are others, and none of its replicas was ever tried
    return str(connection.exec_driver_sql("SELECT @@GLOBAL.gtid_binlog_pos").scalar_one() or "")


def _wait(connection: Connection, position: str, wait_s: float) -> None:
    """Wait until a replica has what its primary had; of a cluster's node, what the cluster has now."""
    link = connection.connection.driver_connection
    assert isinstance(link, ArrayConnection)
    with link.answering_soon():
        if position.startswith(CLUSTER):
            if position != CLUSTER + galera.cluster_of(connection):
                raise ReplicaLags("the replica is no node of the primary's cluster")
            if not galera.catch_up(connection):
                raise ReplicaLags("the node has not yet what the cluster has")
            return
        asked = connection.exec_driver_sql("SELECT MASTER_GTID_WAIT(%s, %s)", (position, wait_s))
        reached = asked.scalar_one()
    if reached != 0:
        raise ReplicaLags("the replica has not yet what was committed before")


def _begin_mysql(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    if options.get(WAIT) is not None:
        _wait(connection, *options[WAIT])
    if not is_mariadb(connection.dialect):
        _isolate(connection, writes=options.get(MODE) not in (None, READ))
    if options.get(MODE) == READ and options.get(HOLD):
        _start(connection, "START TRANSACTION READ ONLY", idle_s=0)
        _hold(connection, options[HOLD])
        connection.exec_driver_sql("SELECT version_num FROM alembic_version")
        return
    if options.get(MODE) == READ:
        _start(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY", idle_s=0)
        return
    if options.get(MODE) is not None:  # else it migrates
        own_tables.require(connection)
    _start(connection, "START TRANSACTION", idle_s=0 if options.get(MODE) is None else IDLE_S)
    if options.get(HOLD):
        _hold(connection, options[HOLD])


def _start(connection: Connection, start: str, *, idle_s: int) -> None:
    """Begin a transaction that may be silent for so long, 0: for ever; in one statement, set before or not."""
    if not is_mariadb(connection.dialect) or connection.info.get(_IDLE, 0) == idle_s:
        connection.exec_driver_sql(start)
        return
    connection.info.pop(_IDLE, None)
    connection.exec_driver_sql(
        f"BEGIN NOT ATOMIC SET SESSION idle_transaction_timeout={idle_s}; {start}; END"
    )
    connection.info[_IDLE] = idle_s


def _isolate(connection: Connection, *, writes: bool) -> None:
    """Set the isolation of MySQL's transactions, unless it is that already.

    It tells nobody who writes that a row has changed since it was read, as MariaDB does (``_SNAPSHOTS``). So whoever
    may write reads with locks: nobody changes the row until the commit, and of two who wait for each other one is told
    to begin anew.
    """
    level = "SERIALIZABLE" if writes else "REPEATABLE READ"
    if connection.info.get(_ISOLATION) != level:
        connection.info.pop(_ISOLATION, None)  # nobody knows, if it ends here
        connection.exec_driver_sql(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
        connection.info[_ISOLATION] = level


def _hold(connection: Connection, tables: Sequence[Table]) -> None:
    """Lock the definitions of tables, without a row; the snapshot is taken by the first read of one.

    Who writes locks them as he does when he writes a row: the lock of a reader could not become that one while
    somebody waits to change the table, and the server would call it a deadlock.
    """
    names = list(map(connection.dialect.identifier_preparer.format_table, tables))
    if connection.get_execution_options().get(MODE) == READ:
        held = ", ".join(f"EXISTS(SELECT 1 FROM {name} WHERE FALSE)" for name in names)
        connection.exec_driver_sql(f"SELECT {held}")
        return
    for name in names:
        connection.exec_driver_sql(f"SELECT 1 FROM {name} WHERE FALSE FOR UPDATE")
