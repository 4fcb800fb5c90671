"""``truetonne db backup`` and ``db backups``: copies of the database, taken and looked at."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, command, command_group
from cli.output import Table
from ledger.clock import second_text
from ledger.errors import BadInput, NotFound, ProblemFound, TruetonneError
from ledger.units import counted

if TYPE_CHECKING:
    from ledger.backup.binlog import Statement
    from ledger.backup.manifest import Kind, Manifest
    from ledger.backup.store import Store
    from ledger.db import Database

To = Annotated[
    Path | None,
    typer.Option(
        "--to",
        metavar="DIR",
        help="The backup folder; backup_folder without it, else `backups` in the home folder for SQLite.",
    ),
]
From = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DIR]",
        help="The backup folder; backup_folder without it, else `backups` in the home folder for SQLite.",
    ),
]
Every = Annotated[
    float | None,
    typer.Option(
        "--every", metavar="SECONDS", min=1, max=3600, help="Go on, looking so often, until Ctrl-C."
    ),
]
BackupId = Annotated[
    str | None,
    typer.Option("--backup", metavar="ID", help="This one, by its ID in `db backups list`."),
]


_WHAT = {
    "full": "a full backup",
    "incremental": "an incremental backup",
    "binlog": "the binary log",
}
_ELSEWHERE = "keep copies on another, named with --to or TRUETONNE_BACKUP_FOLDER"
_log = logging.getLogger("truetonne.backup")


def register(group: typer.Typer) -> None:
    """Add the commands to ``db``."""
    taking = command_group("Back the database up; without a command, all of it.", alone=full)
    command(taking, "full")(full)
    command(taking, "incremental")(incremental)
    command(taking, "binlogs")(binlogs)
    group.add_typer(taking, name="backup")
    kept = command_group("Look at a backup folder.")
    command(kept, "list")(list_backups)
    command(kept, "check")(check_backups)
    command(kept, "statements")(show_statements)
    command(kept, "expire")(expire_backups)
    group.add_typer(kept, name="backups")


def full(run: Invocation, to: To = None, dry_run: DryRun = False) -> None:
    """Copy the whole database, compressed and encrypted, while others work in it."""
    _take(run, "full", to, dry_run)


def incremental(run: Invocation, to: To = None, dry_run: DryRun = False) -> None:
    """Copy what changed in MariaDB since the last copy."""
    _take(run, "incremental", to, dry_run)


def binlogs(run: Invocation, to: To = None, every: Every = None, dry_run: DryRun = False) -> None:
    """Fetch what MariaDB's binary log has grown by since the last time; with --every until Ctrl-C."""
    if every is None:
        _take(run, "binlog", to, dry_run)
        return
    from cli.service import log_to_stderr, stop_on_signal

    if dry_run:
        raise BadInput("--dry-run and --every do not go together", code="usage")
    log_to_stderr()
    stop = stop_on_signal()
    with _taking(run, to) as (db, store):
        total = _fetch(run, db, store)
        _send_away(run, store)  # what is wrong from the start ends it
        trouble = ""
        while not stop.wait(every):
            try:
                total += _fetch(run, db, store)
                _send_away(run, store)
                if trouble:
                    _log.warning("the binary log is kept again")
                trouble = ""
            except TruetonneError as error:  # a server that restarts, an off-site copy that fails
                if error.message != trouble:
                    _log.warning("%s; looking again every %g s", error.message, every)
                trouble = error.message
    run.output.result({"kept": total}, f"kept {counted(total, 'piece')} of the binary log")


def list_backups(run: Invocation, folder: From = None) -> int:
    """Show what a backup folder holds, and what is wrong with it; exit 1 when something is."""
    from ledger.backup.stream import OtherFormat

    store = store_for(run, folder)
    sound, unread = store.sound()
    foreign = [error.message for error in unread if isinstance(error, OtherFormat)]
    damaged = [error.message for error in unread if not isinstance(error, OtherFormat)]
    columns = ("backup", "of", "moment (UTC)", "bytes", "rows", "needs", "reaches GTID")
    rows = [
        (
            item.id,
            item.source,
            second_text(item.at),
            item.size,
            sum(check.rows for check in (item.tables or {}).values()) if item.tables else None,
            item.parent,
            item.stop.gtid if item.stop else None,
        )
        for item in sound
    ]
    document = {
        "folder": str(store.folder),
        "backups": [_as_json(item) for item in sound],
        "damaged": damaged,
        "other_format": foreign,
    }
    run.output.result(
        document,
        Table(columns, rows, right=frozenset({"bytes", "rows"})),
        *(f"damaged: {message}" for message in damaged),
        *(f"not read: {message}" for message in foreign),
        *([] if sound or unread else [none_in(store.folder)]),
    )
    return ProblemFound.exit_code if unread else 0


def check_backups(run: Invocation, folder: From = None, backup: BackupId = None) -> int:
    """Read every file of a backup folder, or of one backup, to its end; exit 1 when one is not as it was written."""
    store = _there(run, folder)
    with store.reading(), run.output.progress("checking", "backups") as advance:
        items = store.readable()[0] if backup is None else [store.item(backup)]
        wrong = [error.message for error in store.sound()[1]] if backup is None else []
        for number, item in enumerate(items, start=1):
            wrong += store.check(item)
            advance(number, len(items))
    size = sum(item.size for item in items)
    run.output.result(
        {"checked": len(items), "bytes": size, "wrong": wrong},
        *wrong,
        f"{counted(len(items), 'backup')} of {counted(size, 'byte')} read, {counted(len(wrong), 'thing')} wrong",
    )
    return ProblemFound.exit_code if wrong else 0


def show_statements(run: Invocation, folder: From = None) -> int:
    """Show what was made, altered or dropped in MariaDB since the first copy, with the GTIDs that restore takes.

    What cannot be read keeps nothing else from being shown; exit 1 then.
    """
    from ledger.backup.store import item_names

    store = _there(run, folder)
    found: dict[str, Statement] = {}
    damaged: list[str] = []
    with store.reading():
        for name in item_names(store.folder):
            for statement in _statements_of(store, name, damaged):
                found[str(statement.gtid)] = statement
    rows = sorted(found.values(), key=lambda item: (item.at, item.gtid.domain, item.gtid.number))
    run.output.result(
        {
            "statements": [
                {"gtid": str(item.gtid), "at": item.at, "statement": item.text} for item in rows
            ],
            "damaged": damaged,
        },
        Table(
            ("GTID", "at (UTC)", "statement"),
            [(str(item.gtid), second_text(item.at), item.text) for item in rows],
        ),
        *(f"not read: {message}" for message in damaged),
    )
    return ProblemFound.exit_code if damaged else 0


def _statements_of(store: Store, name: str, damaged: list[str]) -> Iterator[Statement]:
    """Yield the statements in the logs of a backup; what cannot be read is added to what is damaged."""
    from ledger.backup.binlog import statements
    from ledger.backup.stream import BackupDamaged

    try:
        item = store.item(name)
    except BackupDamaged as error:
        damaged.append(error.message)
        return
    for part in item.parts:
        if not part.name.startswith("log-"):
            continue
        try:
            yield from statements(store.open(item, part))
        except BackupDamaged as error:  # what stands before that place is shown
            said = error.message
            damaged.append(said if name in said else f"{name}/{part.name}: {said}")


def expire_backups(run: Invocation, folder: From = None, dry_run: DryRun = False) -> None:
    """Delete the backups that no moment of the last backup_keep_days needs."""
    from ledger.backup.taking import expire
    from ledger.clock import utc_now

    store, days = _there(run, folder), run.settings.backup_keep_days
    gone = expire(store, days, utc_now(), dry_run=dry_run)
    size = sum(item.size for item in gone)
    does = "would delete" if dry_run else "deleted"
    run.output.result(
        {
            "keep_days": days,
            "deleted": [item.id for item in gone],
            "bytes": size,
            "dry_run": dry_run,
        },
        *(item.id for item in gone),
        f"{does} {counted(len(gone), 'backup')}, {counted(size, 'byte')}",
    )


# ----------------------------------------------------------------------- parts


def _fetch(run: Invocation, db: Database, store: Store) -> int:
    """Keep what the binary log has grown by, and say so; return how many pieces it came in."""
    from ledger.backup.taking import follow

    kept = follow(db, store)
    for item in kept:
        run.output.step(f"{item.id}: {item.size} bytes, to {second_text(item.at)}")
    return len(kept)


def _take(run: Invocation, name: str, to: Path | None, dry_run: bool) -> None:
    from ledger.backup.manifest import Kind
    from ledger.backup.taking import take
    from ledger.clock import utc_now

    begun = time.monotonic()
    if dry_run:
        folder = _rehearse(run, Kind(name), to)
        document = {"kind": name, "to": str(folder)}
        run.output.result(document, f"would keep {_WHAT[name]} in {folder}")
        return
    with _taking(run, to) as (db, store):
        kept = take(db, store, Kind(name), utc_now())
        _send_away(run, store)
    seconds = time.monotonic() - begun
    is_beside = to is None and run.settings.backup_folder is None
    run.output.result(
        {
            "kind": name,
            "to": str(store.folder),
            "kept": [_as_json(item) for item in kept],
            "seconds": f"{seconds:.1f}",
            "key_file": str(run.settings.backup_key_file),
            "dry_run": False,
        },
        *(f"kept {item.id}: {item.size} bytes, to {second_text(item.at)}" for item in kept),
        *([] if kept else ["the binary log has not grown"]),
        f"in {seconds:.1f} s, sealed with the key in {run.settings.backup_key_file}: without that file nothing of it "
        "opens, keep a copy of it elsewhere",
        *(
            [f"{store.folder} may be on the disk of the database: {_ELSEWHERE}"]
            if is_beside
            else []
        ),
    )


def _rehearse(run: Invocation, kind: Kind, to: Path | None) -> Path:
    """Refuse what could not be taken, and return the folder."""
    from ledger.backup.overview import rehearse
    from ledger.backup.store import item_names
    from ledger.backup.taking import require_base

    folder = rehearse(run.settings, to)
    with _database(run) as db:
        require_base(db, store_for(run, to) if item_names(folder) else None, kind)
    return folder


@contextmanager
def _taking(run: Invocation, to: Path | None) -> Iterator[tuple[Database, Store]]:
    from ledger.backup.overview import store_of

    with _database(run) as db:
        yield db, store_of(run.settings, to, make_key=True)


@contextmanager
def _database(run: Invocation) -> Iterator[Database]:
    from ledger.db import Database

    with closing(
        Database(run.settings.backup_url, setting=run.settings.variable_of("backup_url"))
    ) as db:
        yield db


def store_for(run: Invocation, folder: Path | None) -> Store:
    """Return the backup folder that a command is to use."""
    from ledger.backup.overview import store_of

    return store_of(run.settings, folder)


def none_in(folder: Path) -> str:
    """Return the words for a folder without backups: a mistyped one is not there."""
    return f"{folder} holds no backup{'' if folder.is_dir() else ': there is no such folder'}"


def _there(run: Invocation, folder: Path | None) -> Store:
    """Return the backup folder; one that is not there is refused: nothing is wrong in it, and all of it is."""
    store = store_for(run, folder)
    if not store.folder.is_dir():
        raise NotFound(none_in(store.folder), code="no-such-backup")
    return store


def _send_away(run: Invocation, store: Store) -> None:
    from ledger.backup.taking import OffSite, send_away

    settings = run.settings
    if settings.backup_hook:
        send_away(store, OffSite(settings.backup_hook, settings.backup_hook_seconds))


def _as_json(item: Manifest) -> dict[str, Any]:
    return {
        "id": item.id,
        "kind": item.kind.value,
        "source": item.source,
        "at": item.at,
        "bytes": item.size,
        "needs": item.parent,
        "schema": item.schema,
        "gtid": item.stop.gtid if item.stop else None,
        "rows": {name: check.rows for name, check in (item.tables or {}).items()},
    }
