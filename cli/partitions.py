"""``truetonne db partitions``: partitions kept ahead, what is old archived or deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import archived
from cli.command import DryRun, Invocation, command, command_group
from cli.files import ready_folder
from cli.output import Table
from ledger.errors import BadInput, ProblemFound
from ledger.units import counted

if TYPE_CHECKING:
    from ledger.db import Database
    from ledger.keeping.overview import PartView, TableView
    from ledger.models.partitions import PartitionReport

MONTHS_AHEAD_MAX = 240
"""How far ahead periods may be asked for, in months: a server bounds the partitions of a table."""

Count = Annotated[
    bool, typer.Option("--count", help="Count the rows, where the server only has an estimate.")
]
Until = Annotated[
    str | None,
    typer.Option(
        "--until", metavar="MONTH", help="Add the periods up to this month too, such as 2031-05."
    ),
]
ParquetTo = Annotated[
    Path | None,
    typer.Option(
        "--parquet",
        metavar="DIR",
        help="Also write the closed periods to Parquet files in this folder, with manifests.",
    ),
]
Forget = Annotated[
    str | None,
    typer.Option(
        "--forget",
        metavar="PERIOD",
        help="Move nothing, and note instead that this month or year of the archive is lost for good, such as 2014-07.",
    ),
]


def register(parent: typer.Typer) -> None:
    """Add the commands to the group ``db``."""
    group = command_group(
        "Keep partitions ahead, archive what is old, delete what need not be kept."
    )
    command(group, "show")(show)
    command(group, "ensure")(ensure)
    command(group, "archive")(archive)
    command(group, "expire")(expire)
    command(group, "check")(archived.check)
    command(group, "read")(archived.read)
    parent.add_typer(group, name="partitions")
    command(parent, "orphans")(archived.show_orphans)


def show(run: Invocation, count: Count = False) -> int:
    """Show every partition, the archive, and how far ahead periods are; exit 1 on an alarm."""
    from ledger.keeping.overview import alarms, archive_place, views

    with run.books() as db:
        found = views(db, _today(), count)
        with db.read() as session:
            wrong = alarms(session)
        place = archive_place(db)
    document = {
        "tables": [view.as_json() for view in found],
        "archive": place,
        "live_months": run.settings.live_months,
        "alarms": wrong,
    }
    columns = ("table", "partition", "from", "before", "rows", "MB")
    rows = [_shown(view, part) for view in found for part in (*view.live, *view.archive)]
    run.output.result(
        document,
        Table(columns, rows, right=frozenset({"rows", "MB"})),
        *(_ahead(view) for view in found),
        f"archive: {place}",
        *(f"alarm: {text}" for text in wrong),
    )
    return ProblemFound.exit_code if wrong else 0


def ensure(run: Invocation, until: Until = None, dry_run: DryRun = False) -> int:
    """Add the periods that are missing; rows that none covered move into theirs. Exit 1 when some are left."""
    from cli.books import open_changing

    last = _month(until) if until is not None else None
    with open_changing(run.settings) as db:
        reports = _missing(db, last) if dry_run else db.ensure_partitions(_today(), last)
    document = {
        "tables": [
            {
                "table": item.table,
                "added": list(item.added),
                "stray_rows": item.stray_rows,
                "stray_left": None if dry_run else item.stray_left,
            }
            for item in reports
        ],
        "dry_run": dry_run,
    }
    verb = "would add" if dry_run else "added"
    said = []
    for item in reports:
        names = ", ".join(item.added) or "nothing"
        moved = item.stray_rows - item.stray_left
        said.append(f"{item.table}: {verb} {names}")
        if moved and not dry_run:
            said.append(f"{item.table}: {counted(moved, 'row')} moved out of pmax")
        if item.stray_left:
            said.append(f"{item.table}: {counted(item.stray_left, 'row')} in pmax")
    run.output.result(document, *(said or ["SQLite has no partitions"]))
    return 1 if not dry_run and any(item.stray_left for item in reports) else 0


def archive(
    run: Invocation,
    parquet: ParquetTo = None,
    forget: Forget = None,
    dry_run: DryRun = False,
) -> int:
    """Move real-time data that are older than they are kept live into the archive; go on where a run was killed."""
    from cli.books import open_changing
    from ledger.keeping.moves import due
    from ledger.keeping.moving import archive as move
    from ledger.keeping.parquet import export
    from ledger.keeping.places import archive_schema, live_from

    if forget is not None:
        if parquet is not None:
            raise BadInput("--forget moves and writes nothing; leave out --parquet", code="usage")
        return archived.forget(run, forget, dry_run)
    if parquet is not None:
        ready_folder(parquet, dry_run=dry_run)  # before anything is moved
    before = live_from(_today(), run.settings.live_months)
    written: list[dict[str, Any]] = []
    with open_changing(run.settings) as db:
        if dry_run:
            moved = due(db, before)
        else:
            moved = []
            for item in move(db, before):
                moved.append(item)
                run.output.note(f"{item.table} {item.month}: {counted(item.rows, 'row')}")
            if parquet is not None:
                for each in export(db, parquet, before):
                    written.append(
                        {
                            "table": each.period.table,
                            "period": each.period.name,
                            "rows": each.rows,
                            "state": each.state,
                            "file": str(each.period.file(parquet)),
                        }
                    )
        place = archive_schema(db) if db.dialect == "mysql" else None
    document = {
        "before": before,
        "moved": [
            {"table": item.table, "month": str(item.month), "rows": item.rows} for item in moved
        ],
        "schema": place,
        "parquet": written,
        "dry_run": dry_run,
    }
    total = sum(item.rows for item in moved)
    verb = "would move" if dry_run else "moved"
    said: list[str | Table] = [f"{verb} {counted(total, 'row')} from before {before}"]
    if moved:
        rows = [(item.table, str(item.month), item.rows) for item in moved]
        said.insert(0, Table(("table", "month", "rows"), rows, right=frozenset({"rows"})))
    if parquet is not None and not dry_run:
        said += _said_of(parquet, written)
    run.output.result(document, *said)
    richer = any(each["state"] == "kept" for each in written)
    return ProblemFound.exit_code if richer else 0


def _said_of(folder: Path, written: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Say how many files there are, and which have more rows than the books."""
    new = sum(1 for each in written if each["state"] in ("new", "replaced"))
    yield f"{folder}: {counted(len(written), 'file')}, {new} written now"
    for each in written:
        if each["state"] == "kept":
            yield (
                f"{each['file']}: has {counted(each['rows'], 'row')}, the books have fewer; it is left as it is: "
                "bring the rows back into the books, or move it away, see docs/retention.md"
            )


def expire(run: Invocation, dry_run: DryRun = False) -> None:
    """Delete what need not be kept any longer: logs after a year. Evidence and the audit log are kept for ever."""
    from ledger.jobs.retention import KEPT
    from ledger.jobs.retention import expire as forget

    with run.books() as db:
        counts = forget(db, datetime.now(UTC), dry_run)
    rows = [
        (item.what, ", ".join(item.tables), _span(item.kept.total_seconds()), counts[item.what])
        for item in KEPT
    ]
    document = {
        "expired": [
            {
                "what": item.what,
                "tables": list(item.tables),
                "kept_seconds": int(item.kept.total_seconds()),
                "rows": counts[item.what],
            }
            for item in KEPT
        ],
        "dry_run": dry_run,
    }
    last = "would be deleted" if dry_run else "deleted"
    run.output.result(
        document, Table(("what", "tables", "kept", last), rows, right=frozenset({last}))
    )


def _missing(db: Database, until: date | None) -> list[PartitionReport]:
    from ledger.models.partitions import PARTITIONED, PartitionReport, missing_periods, stray_rows

    if db.dialect == "sqlite":
        return []
    found = []
    with db.read() as session:
        link = session.connection()
        for item in PARTITIONED:
            names = tuple(name for name, _ in missing_periods(link, item, _today(), until))
            strays = stray_rows(link, item.table)
            found.append(PartitionReport(item.table, names, strays, strays))
    return found


def _shown(view: TableView, part: PartView) -> tuple[object, ...]:
    rows = str(part.rows) if part.exact else f"~{part.rows}"
    size = None if part.size_bytes is None else f"{part.size_bytes / 1e6:.1f}"
    return view.partitioning.table, part.name, part.start, part.end, rows, size


def _ahead(view: TableView) -> str:
    table = view.partitioning.table
    if view.ahead is None:
        return f"{table}: SQLite has no partitions"
    period = "month" if view.partitioning.months == 1 else "year"
    said = f"{table}: {counted(view.ahead, period)} ahead, covered until {view.covered_until}"
    if view.strays:
        said += f"; rows in pmax are from {view.stray_first} to {view.stray_last}"
    return said


def _span(seconds: float) -> str:
    if seconds >= 366 * 86400:
        return "1 year"
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:g} days"
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"


def _month(text: str) -> date:
    try:
        found = datetime.strptime(text, "%Y-%m").date()
    except ValueError as error:
        raise BadInput(f"--until {text!r}: write a month such as 2031-05", code="usage") from error
    today = _today()
    if (found.year - today.year) * 12 + found.month - today.month > MONTHS_AHEAD_MAX:
        raise BadInput(
            f"--until {text}: is more than {MONTHS_AHEAD_MAX} months ahead; rows of such a time are "
            "wrong: delete them, see docs/retention.md",
            code="usage",
        )
    return found


def _today() -> date:
    return datetime.now(UTC).date()
