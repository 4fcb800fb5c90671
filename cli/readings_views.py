"""``truetonne readings``: what came of them (``files``, ``quality``, ``gaps``, ``show``), and what is done about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import readings_acts
from cli.command import DryRun, Invocation, Site, command, command_group
from cli.output import Table
from cli.readings_acts import At, RangeFrom, RangeTo, local_time
from ledger.units import counted

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ledger.readings.shown.slots import SiteDays

Device = Annotated[
    str | None, typer.Option("--device", help="Code of one device; all of the site without it.")
]
OneSource = Annotated[
    str | None, typer.Option("--source", help="Name of one source; all of the site without it.")
]
From = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="First legal day; that of the first reading without it.",
    ),
]
To = Annotated[
    datetime | None,
    typer.Option(
        "--to",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="The day after the last; that after the last reading without it.",
    ),
]
Picture = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Draw it as a heat map too, FILE.svg or FILE.png."
    ),
]
Daily = Annotated[
    bool, typer.Option("--daily", help="A row for each day, of a long period too; else each month.")
]
DAILY_MAX = 62
"""Days up to which a row for each of them is what a person wants."""
REASONS_SHOWN = 2
DIFFERENCES_SHOWN = 20
_OF_FILES = ("read", "new", "unchanged", "conflicts", "rejected")
_COUNTS = (
    "expected",
    "used",
    "missing",
    "above",
    "below",
    "stuck",
    "fell",
    "conflict",
    "superseded",
    "late",
)


def register(root: typer.Typer) -> None:
    """Add the group."""
    group = command_group(
        "See what became of readings: files, quality, gaps, every row with its reason; take wrong values back."
    )
    command(group, "files")(files)
    command(group, "quality")(quality)
    command(group, "gaps")(gaps)
    command(group, "show")(show)
    command(group, "withdraw")(readings_acts.withdraw)
    command(group, "restore")(readings_acts.restore)
    command(group, "refresh")(refresh)
    root.add_typer(group, name="readings")


def files(run: Invocation, site: Site, source: OneSource = None) -> None:
    """Show each import of a meter file, the oldest first: its source, and what became of its rows."""
    from ledger.models import ImportFile
    from ledger.naming import site_named, source_named
    from ledger.readings.shown.imported import file_document, files_of
    from ledger.reductions.zones import zone

    with run.books() as db, db.look() as session:
        row = site_named(session, site)
        if source is not None:
            source_named(session, row, source)
        query = files_of(row.id, source).order_by(ImportFile.id)
        found = [file_document(*item) for item in session.execute(query)]
        where = zone(row.time_zone)
    table = Table.of(
        found,
        {
            "imported": lambda item: local_time(
                item["imported_at"].replace(second=0, microsecond=0), where
            ),
            "source": "source",
            "device": "device",
            "file": "file",
            **{name: name for name in _OF_FILES},
            "sha256": lambda item: item["sha256"][:12],
        },
        title=f"{site}: {counted(len(found), 'import')}, times in {where.key}",
        right=_OF_FILES,
    )
    document = {"site": site, "time_zone": where.key, "files": found}
    run.output.result(document, table if found else f"{site}: no file was imported")


def quality(
    run: Invocation,
    site: Site,
    device: Device = None,
    start: From = None,
    end: To = None,
    daily: Daily = False,
    out: Picture = None,
) -> None:
    """Show what became of every slot: used, missing, outlier, stuck, superseded, late; and why."""
    from ledger.readings.shown.slots import load_days
    from ledger.readings.shown.views import quality_document

    with _days(run, site, device, start, end, out, load_days) as (session, found):
        document = quality_document(session, found)
        tables = list(_quality_tables(session, found, daily))
    _draw(found, "Quality of readings", "QUALITY", out, document)
    run.output.result(document, *tables, *_drawn(out))


def gaps(
    run: Invocation,
    site: Site,
    device: Device = None,
    start: From = None,
    end: To = None,
    out: Picture = None,
) -> None:
    """Show every gap: runs of slots without a value, those too that a file leaves out."""
    from ledger.readings.shown.coverage import load_coverage
    from ledger.readings.shown.slots import load_days
    from ledger.readings.shown.views import gaps_document

    # A picture tells a slot that no file has from one that came late.
    load = load_coverage if out is None else load_days
    with _days(run, site, device, start, end, out, load) as (_, found):
        document = gaps_document(found)
    _draw(found, "Gaps in readings", "GAPS", out, document)
    shown: list[str | Table] = []
    for item in document["devices"]:
        if item["gaps"]:
            shown.append(_gap_table(item, found))
        shown += [_gap_summary(item, found), ""]
    run.output.result(document, *shown, *_drawn(out))


def show(
    run: Invocation,
    site: Site,
    device: Device = None,
    at: At = None,
    start: RangeFrom = None,
    end: RangeTo = None,
) -> None:
    """Show every stored row of a slot or a short range: its text, file and line, and why it does not count."""
    from ledger.readings.shown.lookup import rows_of
    from ledger.reductions.zones import zone

    with run.books() as db, db.look() as session:
        document = rows_of(session, site, device, at=at, start=start, end=end)
    where = zone(document["time_zone"])
    rows = document["rows"]
    if not rows:
        run.output.result(document, "no row in any file: the slot is missing, and claims nothing")
        return
    table = Table.of(
        rows,
        {
            "device": "device",
            "from": lambda row: local_time(row["from"], where),
            **{name: name for name in ("kind", "text", "unit", "quality")},
            "no": "number",
            "why": _why_not,
            "file": "file",
            "line": "line",
        },
        title=f"{site}: {counted(len(rows), 'row')}, times in {document['time_zone']}",
        right=["text", "line", "no"],
    )
    run.output.result(document, table)


def refresh(run: Invocation, site: Site, dry_run: DryRun = False) -> None:
    """Compute a site's energy by the hour and emissions by the day anew, where they are not what its readings give."""
    from ledger.naming import site_named
    from ledger.readings.imports.requalify import refresh_site
    from ledger.readings.rows.meter_state import lock_meters
    from ledger.reconcile.reading_rules import differences

    def work(session: Session) -> list[str]:
        lock_meters(session, site)
        row = site_named(session, site)
        found = list(differences(session, row))
        if found:
            refresh_site(session, row)
        return found

    with run.books() as db:
        found = db.run(work, keep=not dry_run)
    document: dict[str, Any] = {"site": site, "differences": found}
    lines = found[:DIFFERENCES_SHOWN]
    if len(found) > len(lines):
        lines.append(f"and {len(found) - len(lines)} more")
    said = "energy and emissions are what the readings give"
    if found:
        said = f"{counted(len(found), 'difference')}{' (nothing written)' if dry_run else ', computed anew'}"
    run.output.result(document, *lines, f"{site}: {said}")


@contextmanager
def _days(
    run: Invocation,
    site: str,
    device: str | None,
    start: datetime | None,
    end: datetime | None,
    out: Path | None,
    load: Callable[..., SiteDays],
) -> Iterator[tuple[Session, SiteDays]]:
    """Yield a session and the days that were asked for; a picture that cannot be written is said first."""
    if out is not None:
        from cli.drawing import check_picture

        check_picture(out)
    first, last = start and start.date(), end and end.date()
    with run.books() as db, db.look() as session:
        yield session, load(session, site, device, first, last)


def _draw(
    found: SiteDays, title: str, colours: str, out: Path | None, document: dict[str, Any]
) -> None:
    """Write the picture, and its name into the document."""
    if out is None:
        return
    from cli import heatmap
    from cli.drawing import write_picture

    write_picture(heatmap.heatmap(found, title, getattr(heatmap, colours)), out)
    document["picture"] = str(out)


def _drawn(out: Path | None) -> list[str]:
    return [] if out is None else [f"wrote {out}"]


def _quality_tables(session: Session, found: SiteDays, daily: bool) -> Iterator[str | Table]:
    from ledger.readings.shown.views import counts_of_days, file_names, reasons_of_days

    files = file_names(session, found)
    daily = daily or (found.end - found.start).days <= DAILY_MAX
    what = "day" if daily else "month"
    for device in found.devices:
        parts = [
            (name, list(part))
            for name, part in groupby(device.days, key=lambda d: _part(d.day, daily))
        ]
        # Only a register falls.
        shown = [key for key in _COUNTS if key != "fell" or counts_of_days(device.days)[key]]
        rows: list[tuple[object, ...]] = []
        for name, days in [*parts, ("total", device.days)]:
            counts = counts_of_days(days)
            why = "" if name == "total" else _why(reasons_of_days(days, files))
            rows.append((name, *(counts[key] for key in shown), why))
        yield Table(
            (what, *shown, "why, and where first"),
            rows,
            title=f"{found.site} {device.device}: slots by legal {what} in {found.time_zone}",
            right=frozenset(shown),
        )
        yield ""


def _part(day: date, daily: bool) -> str:
    return day.isoformat() if daily else f"{day:%Y-%m}"


def _why(reasons: list[dict[str, Any]]) -> str:
    """Return the first reasons in one cell; that a value counts is none."""
    excluded = [item for item in reasons if item["quality"] != "used"]
    said = []
    for item in excluded[:REASONS_SHOWN]:
        first = item["first"]
        place = f" ({first['file']} line {first['line']})" if "line" in first else ""
        said.append(f"{item['readings']} {item['reason']}{place}")
    more = len(excluded) - len(said)
    return "; ".join([*said, f"{counted(more, 'more reason')}"] if more else said)


def _gap_table(item: dict[str, Any], found: SiteDays) -> Table:
    return Table.of(
        item["gaps"],
        {
            "device": lambda _: item["device"],
            "from": lambda gap: local_time(gap["from"], found.where),
            "to": lambda gap: local_time(gap["to"], found.where),
            "missing slots": "slots",
            "hours": "hours",
        },
        title=f"{found.site} {item['device']}: gaps from {found.start} to {found.end}, "
        f"times in {found.time_zone}",
        right=["missing slots", "hours"],
    )


def _gap_summary(item: dict[str, Any], found: SiteDays) -> str:
    if not item["expected"]:
        return (
            f"{item['device']}: no slot from {found.start} to {found.end} is expected to have a value; its meter is "
            "not in service then (in_service_from, in_service_to)"
        )
    if not item["gaps"]:
        return f"{item['device']}: no gap; all of {item['expected']} slots have a value"
    longest = item["longest"]
    return (
        f"{item['device']}: {counted(len(item['gaps']), 'gap')}, {item['missing']} of {item['expected']} slots, "
        f"{item['hours']} h; the longest has {longest['slots']} slots, {longest['hours']} h"
    )


def _why_not(row: Mapping[str, Any]) -> str | None:
    """Return why a row does not count, and what was withdrawn or restored of it."""
    reason = f"{row['reason']}; " if row["reason"] else ""
    if row["withdrawn"] is not None:
        # What a fork brought back is as it was when that was planned, whatever was done while it was void.
        back = "" if row["value"] is None else f"{reason}issued with its value; since then "
        return f"{back}withdrawn: {row['withdrawn']['reason']}"
    if row["restored"] is None:
        return None if row["reason"] is None else str(row["reason"])
    given = row["restored"]
    back = "issued without its value; " if row["value"] is None else ""
    return f"{reason}{back}withdrawn: {given['withdrawn']['reason']}; restored: {given['reason']}"
