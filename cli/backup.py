"""``truetonne db backup``, ``db backups``, ``db restore``, ``db drill``: copies of the database, and the way back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, command, command_group
from cli.output import Table, time_text
from ledger.errors import BadInput, ProblemFound

if TYPE_CHECKING:
    from ledger.backup.manifest import Manifest
    from ledger.backup.planning import RestorePlan, Wanted
    from ledger.backup.store import Store
    from ledger.db import Database

DIFFERENCES_SHOWN = 10

To = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="The backup folder; backup_folder without it."),
]
From = Annotated[
    Path | None,
    typer.Argument(metavar="[DIR]", help="The backup folder; backup_folder without it."),
]
Every = Annotated[
    float | None,
    typer.Option(
        "--every", metavar="SECONDS", min=1, max=3600, help="Go on, looking so often, until Ctrl-C."
    ),
]
BackupId = Annotated[
    str | None,
    typer.Option("--backup", metavar="ID", help="This copy; alone: exactly its moment."),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="TIME", help="What was committed before this time, with its zone."
    ),
]
Before = Annotated[
    str | None,
    typer.Option(
        "--before-gtid", metavar="GTID", help="What was committed before this transaction."
    ),
]


def register(group: typer.Typer) -> None:
    """Add the commands to ``db``."""
    taking = command_group("Back the database up.")
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
    command(group, "restore")(restore)
    command(group, "drill")(drill)


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
    total = 0
    with _taking(run, to) as (db, store):
        from ledger.backup.taking import follow

        while not stop.is_set():
            kept = follow(db, store)
            _send_away(run, store)
            total += len(kept)
            for item in kept:
                run.output.step(f"{item.id}: {item.size} bytes, to {_second(item.at)}")
            stop.wait(every)
    run.output.result({"kept": total}, f"kept {total} pieces of the binary log")


def list_backups(run: Invocation, folder: From = None) -> int:
    """Show what a backup folder holds, and what is wrong with it; exit 1 when something is."""
    store = _store(run, folder)
    sound, damaged = store.sound()
    columns = ("backup", "of", "moment (UTC)", "bytes", "rows", "needs", "reaches GTID")
    rows = [
        (
            item.id,
            item.source,
            _second(item.at),
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
        "damaged": [error.message for error in damaged],
    }
    run.output.result(
        document,
        Table(columns, rows, right=frozenset({"bytes", "rows"})),
        *(f"damaged: {error.message}" for error in damaged),
        *([] if sound or damaged else [f"{store.folder} holds no backup"]),
    )
    return ProblemFound.exit_code if damaged else 0


def check_backups(run: Invocation, folder: From = None, backup: BackupId = None) -> int:
    """Read every file of a backup folder, or of one backup, to its end; exit 1 when one is not as it was written."""
    store = _store(run, folder)
    sound, damaged = store.sound()
    items = sound if backup is None else [store.item(backup)]
    wrong = [error.message for error in damaged] if backup is None else []
    with run.output.progress("checking", "backups") as advance:
        for number, item in enumerate(items, start=1):
            wrong += store.check(item)
            advance(number, len(items))
    size = sum(item.size for item in items)
    run.output.result(
        {"checked": len(items), "bytes": size, "wrong": wrong},
        *wrong,
        f"{len(items)} backups with {size} bytes are read, {len(wrong)} things are wrong",
    )
    return ProblemFound.exit_code if wrong else 0


def show_statements(run: Invocation, folder: From = None) -> None:
    """Show what was made, altered or dropped in MariaDB since the first copy, with the GTIDs that restore takes."""
    from ledger.backup.binlog import statements

    store = _store(run, folder)
    found = {}
    for item in store.items():
        for part in item.parts:
            if part.name.startswith("log-"):
                for statement in statements(store.open(item, part)):
                    found[str(statement.gtid)] = statement
    rows = sorted(found.values(), key=lambda item: (item.at, item.gtid.domain, item.gtid.number))
    run.output.result(
        {
            "statements": [
                {"gtid": str(item.gtid), "at": item.at, "statement": item.text} for item in rows
            ]
        },
        Table(
            ("GTID", "at (UTC)", "statement"),
            [(str(item.gtid), _second(item.at), item.text) for item in rows],
        ),
    )


def expire_backups(run: Invocation, folder: From = None, dry_run: DryRun = False) -> None:
    """Delete the backups that no moment of the last backup_keep_days needs."""
    from ledger.backup.store import utc_now
    from ledger.backup.taking import expire

    store, days = _store(run, folder), run.settings.backup_keep_days
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
        f"{does} {len(gone)} backups, {size} bytes",
    )


def restore(
    run: Invocation,
    into: Annotated[
        Path,
        typer.Option(
            "--into",
            metavar="PLACE",
            help="A new or empty folder for MariaDB's files, or a new SQLite file.",
        ),
    ],
    folder: From = None,
    backup: BackupId = None,
    until: Until = None,
    before: Before = None,
    dry_run: DryRun = False,
) -> None:
    """Put a backup together, to the last moment that is kept or to the one named; writes over nothing."""
    from ledger.backup.restoring import refuse_what_is_there
    from ledger.backup.restoring import restore as put_together

    store = _store(run, folder)
    plan, damaged = _plan(store, _wanted(backup, until, before))
    refuse_what_is_there(into.absolute(), plan.copy.dialect)
    names = [item.id for item in plan.chain]
    if dry_run:
        run.output.result(
            {"into": str(into), "backups": names, "binlogs": len(plan.logs), "dry_run": True},
            f"would put together {', '.join(names)} and {len(plan.logs)} pieces of the binary log in {into}",
        )
        return
    run.output.note(f"putting together {', '.join(names)}")
    done = put_together(store, plan, into)
    found = {**done.as_json(), "damaged": damaged, "dry_run": False}
    reached = f", to GTID {done.gtid}" if done.gtid else ""
    run.output.result(
        found,
        f"{into} holds {plan.copy.source} as of {_second(done.at)}{reached}: {done.transactions} transactions from "
        f"{len(plan.logs)} pieces of the binary log, in {done.seconds:.1f} s",
        *(f"not used, damaged: {text}" for text in damaged),
        *_what_next(plan, into),
    )


def drill(
    run: Invocation,
    folder: From = None,
    scratch: Annotated[
        Path | None,
        typer.Option("--in", metavar="FOLDER", help="A folder with room for the database."),
    ] = None,
    backup: BackupId = None,
) -> int:
    """Restore the last backup into a place of its own, compare tables, books and chain; exit 1 when they differ."""
    from ledger.backup.drill import drill as rehearse

    store = _store(run, folder)
    plan, damaged = _plan(store, _wanted(backup, None, None))
    run.output.note(f"putting together {', '.join(item.id for item in plan.chain)}")
    done = rehearse(store, plan, _comparison(run), scratch, damaged)
    document = done.as_json()
    rows = [
        (
            item["name"],
            "skipped" if item["skipped"] else "ok" if item["ok"] else "DIFFERS",
            item["skipped"] or item["said"],
        )
        for item in document["checks"]
    ]
    run.output.result(
        document,
        Table(("check", "verdict", "found"), rows),
        *(
            f"  {item['name']}: {text}"
            for item in document["checks"]
            for text in item["differences"][:DIFFERENCES_SHOWN]
        ),
        Table(
            ("step", "seconds"),
            [*document["seconds"].items(), ("total", document["seconds_total"])],
            right=frozenset({"seconds"}),
        ),
    )
    return 0 if done.ok else ProblemFound.exit_code


# ----------------------------------------------------------------------- parts


def _take(run: Invocation, name: str, to: Path | None, dry_run: bool) -> None:
    from ledger.backup.manifest import Kind
    from ledger.backup.store import utc_now
    from ledger.backup.taking import take

    begun = time.monotonic()
    if dry_run:
        store = _store(run, to)
        document = {"kind": name, "to": str(store.folder), "dry_run": True}
        run.output.result(document, f"would keep a {name} backup in {store.folder}")
        return
    with _taking(run, to) as (db, store):
        kept = take(db, store, Kind(name), utc_now())
        _send_away(run, store)
    seconds = time.monotonic() - begun
    run.output.result(
        {
            "kind": name,
            "to": str(store.folder),
            "kept": [_as_json(item) for item in kept],
            "seconds": f"{seconds:.1f}",
            "key_file": str(run.settings.backup_key_file),
            "dry_run": False,
        },
        *(f"kept {item.id}: {item.size} bytes, to {_second(item.at)}" for item in kept),
        *([] if kept else ["the binary log has not grown"]),
        f"in {seconds:.1f} s, sealed with the key in {run.settings.backup_key_file}: without that file nothing of it "
        "opens, keep a copy of it elsewhere",
    )


@contextmanager
def _taking(run: Invocation, to: Path | None) -> Iterator[tuple[Database, Store]]:
    from ledger.backup.overview import store_of
    from ledger.db import Database

    db = Database(run.settings.backup_url)
    try:
        yield db, store_of(run.settings, to, make_key=True)
    finally:
        db.close()


def _store(run: Invocation, folder: Path | None) -> Store:
    from ledger.backup.overview import store_of

    return store_of(run.settings, folder)


def _send_away(run: Invocation, store: Store) -> None:
    from ledger.backup.taking import OffSite, send_away

    settings = run.settings
    if settings.backup_hook:
        send_away(store, OffSite(settings.backup_hook, settings.backup_hook_seconds))


def _plan(store: Store, wanted: Wanted) -> tuple[RestorePlan, list[str]]:
    """Plan from what is sound; return what is damaged as well."""
    from ledger.backup.planning import plan
    from ledger.errors import NotFound

    sound, damaged = store.sound()
    try:
        return plan(sound, wanted), [error.message for error in damaged]
    except (BadInput, NotFound):
        if damaged:
            raise damaged[0] from None
        raise


def _wanted(backup: str | None, until: str | None, before: str | None) -> Wanted:
    from ledger.backup.binlog import Gtid
    from ledger.backup.planning import Wanted

    if until is not None and before is not None:
        raise BadInput("--until and --before-gtid do not go together; name one", code="usage")
    return Wanted(backup, _time(until), None if before is None else Gtid.parse(before))


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.utcoffset() is None:
        raise BadInput(
            f"--until takes a time with its zone, such as 2026-11-26T03:00:00Z, found {text!r}",
            code="usage",
        )
    return found


def _comparison(run: Invocation) -> Any:
    """Return what compares restored books with the chain; where no node can be asked, it says so."""
    from ledger.backup.drill import Finding
    from ledger.errors import BooksDiffer, DependencyDown, NotFound
    from ledger.reconcile import reconcile

    def compare(db: Database) -> Finding:
        from ledger.chain.access import load_deployment
        from ledger.chain.client import ChainClient
        from ledger.chain.shared_node import node_for

        try:
            deployment = load_deployment(run.settings)
            with node_for(run.settings) as url:
                client = ChainClient(url)
                try:
                    report = reconcile(db, client, deployment)
                finally:
                    client.close()
        except BooksDiffer as error:
            return Finding("reconcile", (error.message,))
        except NotFound as error:
            return Finding("reconcile", skipped=error.message)
        except (DependencyDown, BadInput) as error:
            return Finding("reconcile", skipped=f"the chain cannot be asked: {error.message}")
        wrong = [f"{rule.name}: {text}" for rule in report.rules for text in rule.differences]
        said = f"{len(report.rules)} rules at block {report.block}"
        return Finding("reconcile", tuple(wrong), said=said)

    return compare


def _what_next(plan: RestorePlan, into: Path) -> Sequence[str]:
    if plan.copy.dialect == "sqlite":
        return [f"use it with TRUETONNE_DATABASE_URL=sqlite:///{into}"]
    return [
        f"give it to the server (chown -R mysql:mysql {into}), and start it with datadir={into}; see docs/backup.md"
    ]


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


def _second(moment: datetime) -> str:
    return time_text(moment.replace(microsecond=0))
