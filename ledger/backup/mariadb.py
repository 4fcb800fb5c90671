"""Backups of a MariaDB server: copies by mariadb-backup, and the binary log since.

A copy ends at a place of the binary log. A snapshot is opened right after it, at a place S a little later; every
table's checksum is read in that snapshot, and the binary log from the copy's end to S goes into the same item. So an
item brings back exactly S, and what it must hold then is known, however busy the server was.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError

from ledger.backup import tools
from ledger.backup.binlog import between
from ledger.backup.checks import TablesMoved, mariadb_tables
from ledger.backup.manifest import Kind, Manifest, Position, TableCheck
from ledger.backup.store import Making, Store
from ledger.clock import utc_now
from ledger.db import Database, DatabaseBusy
from ledger.db.grants import archive_of, place_of, rights_of
from ledger.db.own_tables import refuse_moved
from ledger.db.sqltext import is_mariadb
from ledger.errors import BadInput, DependencyDown, Refused
from ledger.models.partitions import alone, is_alone

_OPTIONS = (
    "innodb_page_size",
    "innodb_data_file_path",
    "innodb_undo_tablespaces",
    "lower_case_table_names",
)
"""What a server must be told alike to open another's files."""
_DONE = "completed OK!"
_MOVED = "previously opened tablespace"
_PARTITIONS_WAIT_S = 600
"""How long rows that go to the archive are waited for; a month is a moment."""
_MOVED_WAITS_S = (1, 3, 10)
"""How long is waited before another try."""
T = TypeVar("T")


class NeedsFull(Refused):
    """An incremental backup has nothing that it can build on."""

    default_code = "backup-needs-full"


def take(
    db: Database, store: Store, kind: Kind, parent: Manifest | None, now: datetime
) -> Manifest:
    """Take a full or an incremental copy of the server, and of the ledger's tables the checksums.

    Parameters
    ----------
    parent
        For an incremental one: the copy that it builds on.

    Raises
    ------
    BadInput
        If the server keeps no binary log, or is on another machine.
    NeedsFull
        If the server's binary log does not go on from the parent.
    TablesMoved
        If it must be tried again.
    DependencyDown
        If the server does not answer, a program of MariaDB fails, or the account does not see the archive; or if
        the books were closed as they were copied.
    """
    command = tools.program("mariadb-backup")
    tools.program("mariadb-binlog")
    schema = db.current()
    refuse_moved(db.place, schema)
    with db.server() as link:
        facts = _facts(link)
        if parent is not None:
            require_place(link, parent)
        _require_archive(link, db.url.database or "")
        _checkpoint(link)
    with store.making(kind, now) as making:
        # A copy of partitions that are exchanged meanwhile lacks rows, or cannot be prepared: the server's own
        # program does not see it, and calls it complete.
        with db.server() as keeper, alone(keeper, _PARTITIONS_WAIT_S):
            lsn, end = _copy(db.url, making, command, facts["datadir"], parent)
            # Nor does a snapshot keep a partition: what was exchanged since is read by it as it is now.
            seen = again_when_moved(lambda: _seen(db, store, making, end))
            if not is_alone(keeper):
                raise TablesMoved("the server was started again while it was copied; try again")
        manifest = Manifest(
            id=making.id,
            kind=kind,
            dialect=db.dialect,
            source=source_of(db.url),
            begun_at=now,
            at=seen.at,
            ended_at=utc_now(),
            parts=tuple(making.parts),
            parent=parent.id if parent else None,
            schema=schema,
            server=facts["version"],
            options={name: facts[name] for name in _OPTIONS},
            lsn=lsn,
            start=end,
            stop=seen.moment,
            tables=seen.tables,
            number=seen.number,
        )
        return store.finish(making, manifest)


@dataclass(frozen=True)
class _Seen:
    """What the server held at a moment after a copy's end; the binary log up to there is in the copy's item."""

    number: int
    moment: Position
    at: datetime
    tables: dict[str, TableCheck]


def _seen(db: Database, store: Store, making: Making, end: Position) -> _Seen:
    with db.server() as link, tools.login(db.url) as entry:
        # Before the moment: the log that others keep while this copy is made goes beyond it, and counts as later.
        number = store.next_number(utc_now())
        link.exec_driver_sql("SET SESSION max_statement_time = 0")  # a checksum reads a table
        moment = _snapshot(link)
        at = utc_now()
        tables = mariadb_tables(link, db.url.database or "")
        _fetch(link, entry, making, end, moment)
    return _Seen(number, moment, at, tables)


def again_when_moved(work: Callable[[], T]) -> T:
    """Do something with tables, again where they changed places meanwhile: the archive takes them one after the other.

    Raises
    ------
    TablesMoved, DatabaseBusy
        They did each time.
    """
    for wait_s in _MOVED_WAITS_S:
        try:
            return work()
        except (TablesMoved, DatabaseBusy):
            time.sleep(wait_s)
    return work()


def _require_archive(link: Connection, database: str) -> None:
    """Refuse an account that does not see the archive: its tables would be in the copy and not among its checksums.

    Every drill would then find more than it must, and what is in them would never be compared.
    """
    archive = archive_of(database)
    there = link.exec_driver_sql(
        "SELECT COUNT(*) FROM information_schema.tables "
        "WHERE table_schema = %s AND table_name = 'archived_devices'",
        (database,),
    ).scalar_one()
    if not there or rights_of(link, archive)("*", "SELECT"):
        return
    own = place_of(database, "archived_devices")
    if link.exec_driver_sql(f"SELECT EXISTS(SELECT 1 FROM {own})").scalar_one():
        raise DependencyDown(
            f"the account that takes backups cannot see the archive {archive}, which has rows; as an administrator: "
            f"GRANT SELECT ON {place_of(archive, '*')} TO {_who(link)}",
            code="backup-archive-unseen",
        )


def _who(link: Connection) -> str:
    name, _, host = str(link.exec_driver_sql("SELECT CURRENT_USER()").scalar_one()).rpartition("@")
    return f"'{name}'@'{host}'"


def _copy(
    url: URL, making: Making, command: str, data: str, parent: Manifest | None
) -> tuple[int, Position]:
    """Have mariadb-backup copy the server into an item; return where the copy ends."""
    # What it says lies in the item's own folder: who is killed leaves one thing to delete.
    with tempfile.TemporaryDirectory(dir=making.folder) as name, tools.login(url) as entry:
        folder = Path(name)
        for part in ("target", "facts"):
            (folder / part).mkdir()
        words = [
            command,
            entry.option,
            "--backup",
            "--stream=mbstream",
            f"--target-dir={folder / 'target'}",
            f"--extra-lsndir={folder / 'facts'}",
            f"--tmpdir={folder}",
            f"--datadir={data}",
            *([] if parent is None else [f"--incremental-lsn={parent.lsn}"]),
        ]
        said = folder / "said"
        try:
            with tools.output_of(words, said, (entry.descriptor,)) as stream:
                making.add("copy.sealed", stream)
        except tools.ToolFailed as error:
            if _MOVED not in error.message:
                raise
            raise TablesMoved(
                f"tables changed places while they were copied, as when rows go to the archive ({error.message}); "
                "try again"
            ) from error
        if _DONE not in said.read_text(errors="replace")[-2_000:]:
            raise tools.failure(command, 0, said)
        return _end_of_copy(folder / "facts")


def follow(
    db: Database,
    store: Store,
    start: Position,
    until: Manifest | None = None,
    last: Manifest | None = None,
) -> Manifest | None:
    """Fetch the binary log from a place to a copy's moment, or to its end; return None when it has not grown.

    Parameters
    ----------
    last
        See ``Store.next_number``.

    Raises
    ------
    NeedsFull
        If the server has no such place any more.
    DependencyDown
        If the server does not answer, or ``mariadb-binlog`` fails.
    """
    tools.program("mariadb-binlog")
    now = utc_now()
    with db.server() as link, tools.login(db.url) as entry:
        _require(link, start)
        stop = until.stop if until else None
        stop = stop or _head(link)
        at = until.at if until else utc_now()
        if start.same_place(stop):
            return None
        with store.making(Kind.BINLOG, now) as making:
            _fetch(link, entry, making, start, stop)
            manifest = Manifest(
                id=making.id,
                kind=Kind.BINLOG,
                dialect=db.dialect,
                source=source_of(db.url),
                begun_at=now,
                at=at,
                ended_at=utc_now(),
                parts=tuple(making.parts),
                start=start,
                stop=stop,
                number=store.next_number(utc_now(), last),
            )
            return store.finish(making, manifest)


def source_of(url: URL) -> str:
    """Return what tells one server's database from others': no user, no password."""
    socket = url.query.get("unix_socket")
    place = socket if isinstance(socket, str) else f"{(url.host or '').lower()}:{url.port or 3306}"
    return f"mariadb {place}/{url.database}"


def require_place(link: Connection, copy: Manifest) -> None:
    """Require that the server's binary log goes on from where a copy ended.

    Raises
    ------
    NeedsFull
        If it does not: the server was restored, reset, or its old logs are gone.
    """
    if copy.stop is not None:
        _require(link, copy.stop)


def _require(link: Connection, place: Position) -> None:
    found = None
    with suppress(DBAPIError):
        found = link.exec_driver_sql(
            "SELECT BINLOG_GTID_POS(%s, %s)", (place.log, place.offset)
        ).scalar_one()
    if found is None or place.log not in _logs(link) or _other_gtids(found, place.gtid):
        raise NeedsFull(
            f"the server's binary log does not go on from {place.log}, byte {place.offset}: it was restored or reset, "
            "or the log is gone; run `truetonne db backup full`"
        )


def _other_gtids(found: str, kept: str) -> bool:
    """Return whether two positions differ; their order by domain need not be the same."""
    return sorted(found.split(",")) != sorted(kept.split(","))


def _facts(link: Connection) -> dict[str, str]:
    if not is_mariadb(link.dialect):
        version = link.exec_driver_sql("SELECT VERSION()").scalar_one()
        raise BadInput(
            f"the server is MySQL {version}, and backups are taken of MariaDB; use MySQL's own tools, "
            "or take backup_folder out of the settings",
            code="backup-not-mariadb",
        )
    names = ("version", "datadir", "hostname", "log_bin", *_OPTIONS)
    row = link.exec_driver_sql("SELECT " + ", ".join(f"@@{name}" for name in names)).one()
    facts = dict(zip(names, map(str, row), strict=True))
    if facts["log_bin"] != "1":
        raise BadInput(
            "the server keeps no binary log, without which nothing is brought back but the moment of a copy; "
            "put log_bin=ON into its configuration, and start it again",
            code="backup-no-binlog",
        )
    if facts["hostname"] != platform.node():
        raise BadInput(
            f"the server runs on {facts['hostname']}, this is {platform.node()}; backups read its files: run it there",
            code="backup-elsewhere",
        )
    folder = Path(facts["datadir"])
    if not os.access(folder, os.R_OK | os.X_OK):
        raise BadInput(
            f"the server's folder {folder} cannot be read; run backups as the user of the server (mysql) or root",
            code="backup-datadir",
        )
    return facts


def _checkpoint(link: Connection) -> None:
    """Have InnoDB write what it holds: else the copy carries the whole of its log. Needs a right that some lack."""
    with suppress(DBAPIError):
        link.exec_driver_sql("SET GLOBAL innodb_log_checkpoint_now = ON")


def _end_of_copy(facts: Path) -> tuple[int, Position]:
    """Return where a copy ends: in InnoDB, and in the binary log."""
    checkpoints = tools.key_values(facts / "mariadb_backup_checkpoints")
    info = tools.key_values(facts / "mariadb_backup_info")
    # filename 'bin.000001', position '797', GTID of the last change '0-1-5'
    words = info.get("binlog_pos", "").split("'")
    try:
        gtid = words[5] if len(words) > 5 else ""
        return int(checkpoints["to_lsn"]), Position(words[1], int(words[3]), gtid)
    except (LookupError, ValueError):
        raise DependencyDown(
            "mariadb-backup does not say where its copy ends in the binary log; its version is not known here",
            code="backup-tool-failed",
        ) from None


def _snapshot(link: Connection) -> Position:
    link.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    link.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
    status = {
        name.lower(): value
        for name, value in link.exec_driver_sql("SHOW STATUS LIKE 'binlog_snapshot_%%'").all()
    }
    log, offset = status["binlog_snapshot_file"], int(status["binlog_snapshot_position"])
    return _position(link, log, offset)


def _head(link: Connection) -> Position:
    row = link.exec_driver_sql("SHOW MASTER STATUS").one()
    return _position(link, row[0], int(row[1]))


def _position(link: Connection, log: str, offset: int) -> Position:
    gtid = link.exec_driver_sql("SELECT BINLOG_GTID_POS(%s, %s)", (log, offset)).scalar_one()
    return Position(log, offset, gtid or "")


def _logs(link: Connection) -> dict[str, int]:
    """Return the sizes of the server's binary logs, in their order."""
    return {row[0]: int(row[1]) for row in link.exec_driver_sql("SHOW BINARY LOGS").all()}


def _fetch(
    link: Connection, entry: tools.Login, making: Making, start: Position, stop: Position
) -> None:
    """Add the binary logs from one place to another to an item."""
    if start.same_place(stop):
        return
    sizes = _logs(link)
    names = list(sizes)
    if start.log not in sizes or stop.log not in sizes:
        raise NeedsFull(f"the server has no binary log {start.log} any more; take a full backup")
    for log in names[names.index(start.log) : names.index(stop.log) + 1]:
        place = start if log == start.log else Position(log, 4)
        if log != stop.log and place.offset >= sizes[log]:
            continue
        end = stop.offset if log == stop.log else None
        with tools.raw_log(entry, log, place.offset) as raw:
            making.add(f"log-{len(making.parts):04d}.sealed", between(raw, place, end))
