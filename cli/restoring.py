"""``truetonne db restore`` and ``db drill``: the way back, and the proof that there is one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.backup import BackupId, From, none_in, store_for
from cli.command import DryRun, Invocation, command
from cli.output import Table
from ledger.clock import second_text
from ledger.errors import BadInput, NotFound, ProblemFound
from ledger.settings import file_url
from ledger.units import counted

if TYPE_CHECKING:
    from ledger.backup.planning import RestorePlan, Wanted
    from ledger.backup.store import Store
    from ledger.backup.stream import BackupDamaged
    from ledger.db import Database

DIFFERENCES_SHOWN = 10
_BY_HAND = (
    "what was done since and left nothing on chain is done again before the jobs start, above all `truetonne trades "
    "cancel` and `readings withdraw`: such a trade would be settled, and such a value issued"
)
_HERE = {"disk-full", "temporary-folder", "database-down", "database-busy", "schema-missing"}
"""What a comparison lacks on this machine, by code: room for it, or the restored server."""
_SCHEMES = {"sqlite:", "mysql:", "mysql+pymysql:", "mariadb:", "mariadb+pymysql:"}

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
    command(group, "restore")(restore)
    command(group, "drill")(drill)


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
    backup: Annotated[
        str | None,
        typer.Option("--backup", metavar="ID", help="This copy; alone: exactly its moment."),
    ] = None,
    until: Until = None,
    before: Before = None,
    dry_run: DryRun = False,
) -> None:
    """Put a backup together, to the last moment that is kept or to the one named; writes over nothing."""
    _refuse_address(into)
    wanted, store = _wanted(backup, until, before), store_for(run, folder)
    with nullcontext() if dry_run else store.reading():
        _restore(run, store, wanted, into, dry_run)


def _restore(run: Invocation, store: Store, wanted: Wanted, into: Path, dry_run: bool) -> None:
    from ledger.backup.restoring import refuse_what_is_there
    from ledger.backup.restoring import restore as put_together
    from ledger.backup.stream import OtherFormat

    plan, damaged = _plan(store, wanted)
    refuse_what_is_there(into.absolute(), plan.copy.dialect)
    names = [item.id for item in plan.chain]
    # An SQLite file is copied whole: it has no log between two copies.
    pieces = f"{counted(len(plan.logs), 'piece')} of the binary log"
    logs = "" if plan.copy.dialect == "sqlite" else pieces
    if dry_run:
        run.output.result(
            {"into": str(into), "backups": names, "binlogs": len(plan.logs)},
            f"would put together {', '.join(names)}{logs and f' and {logs}'} in {into}",
        )
        return
    run.output.note(f"putting together {', '.join(names)}")
    done = put_together(store, plan, into)
    found = {
        **done.as_json(),
        "damaged": [error.message for error in damaged],
        "dry_run": False,
    }
    reached = f", to GTID {done.gtid}" if done.gtid else ""
    transactions = counted(done.transactions, "transaction")
    run.output.result(
        found,
        f"{into} holds {plan.copy.source} as of {second_text(done.at)}{reached}: "
        f"{logs and f'{transactions} from {logs}, '}in {done.seconds:.1f} s",
        *(
            f"not used{'' if isinstance(error, OtherFormat) else ', damaged'}: {error.message}"
            for error in damaged
        ),
        *_what_next(plan, into, done.gtid),
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

    store = store_for(run, folder)
    with store.reading():
        plan, damaged = _plan(store, _wanted(backup, None, None))
        run.output.note(f"putting together {', '.join(item.id for item in plan.chain)}")
        wrong = [error.message for error in damaged]
        done = rehearse(store, plan, _comparison(run), scratch, wrong)
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


def _plan(store: Store, wanted: Wanted) -> tuple[RestorePlan, list[BackupDamaged]]:
    """Plan from what is sound; return what is wrong with the others as well."""
    from ledger.backup.manifest import is_id
    from ledger.backup.planning import plan

    sound, damaged = store.sound()
    try:
        return plan(sound, wanted), damaged
    except (BadInput, NotFound) as error:
        name = wanted.backup or ""
        its = [each for each in damaged if is_id(name) and name in each.message]
        if its or (damaged and not sound):
            raise (its or damaged)[0] from None
        if not sound:
            raise NotFound(none_in(store.folder), code="no-such-backup") from None
        if damaged:  # which may be what it lacks
            raise type(error)(
                f"{error.message}; damaged: {damaged[0].message}", code=error.code
            ) from None
        raise


def _wanted(backup: str | None, until: str | None, before: str | None) -> Wanted:
    from ledger.backup.planning import Wanted
    from ledger.db.gtid import Gtid

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
    from ledger.errors import BooksDiffer, DependencyDown
    from ledger.reconcile import reconcile

    def compare(db: Database) -> Finding:
        from ledger.chain.access import load_deployment
        from ledger.chain.local.shared import node_for
        from ledger.chain.node.client import ChainClient

        asked = False
        try:
            deployment = load_deployment(run.settings)
            with node_for(run.settings) as url:
                client = ChainClient(url)
                asked = True
                try:
                    report = reconcile(db, client, deployment)
                finally:
                    client.close()
        except BooksDiffer as error:
            return Finding("reconcile", (error.message,))
        except NotFound as error:
            return Finding("reconcile", skipped=error.message)
        except (DependencyDown, BadInput) as error:
            if asked and error.code in _HERE:  # no word about the chain
                raise
            return Finding("reconcile", skipped=f"the chain cannot be asked: {error.message}")
        wrong = [f"{rule.name}: {text}" for rule in report.rules for text in rule.differences]
        said = f"{len(report.rules)} rules at block {report.block}"
        return Finding("reconcile", tuple(wrong), said=said)

    return compare


def _refuse_address(into: Path) -> None:
    """Refuse ``sqlite:///FILE`` and the like: as a path it would make a folder called ``sqlite:``."""
    if into.parts and into.parts[0] in _SCHEMES:
        raise BadInput(
            f"--into {into}: is the address of a database; name a new file (SQLite) or folder (MariaDB)",
            code="usage",
        )


def _what_next(plan: RestorePlan, into: Path, gtid: str) -> Sequence[str]:
    if plan.copy.dialect == "sqlite":
        return [f"use it with TRUETONNE_DATABASE_URL={file_url(into)}", _BY_HAND]
    place = into.absolute()
    return [
        f"give it to the server (chown -R mysql:mysql {place}), and start it with datadir={place}; see docs/backup.md",
        f"before anybody writes, as its root: RESET MASTER; SET GLOBAL gtid_binlog_state = '{gtid}';",
        _BY_HAND,
    ]
