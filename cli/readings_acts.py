"""``truetonne readings withdraw`` and ``restore``: wrong values are taken back, and given back where that was wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.command import DryRun, Invocation, Site
from cli.output import printable
from ledger.errors import BadInput
from ledger.units import counted

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from ledger.readings.imports.selected import Changed, EarlierAct, OtherFile, Which

_ACTS_SHOWN = 5
OneDevice = Annotated[str, typer.Option("--device", help="Code of the device.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why; who checks a credit of that time reads it.")
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="A time in the slot, as 2014-03-30T03:10:00+02:00."),
]
RangeFrom = Annotated[
    str | None, typer.Option("--from", metavar="TIME", help="From this time or legal day on.")
]
RangeTo = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="Until before this time or legal day.")
]
WithText = Annotated[
    str | None, typer.Option("--text", help="Only those with this text, as `readings show` has it.")
]
OfFile = Annotated[
    str | None,
    typer.Option(
        "--file", metavar="SHA256", help="Only those of this file: eight digits at least."
    ),
]
StandingIn = Annotated[
    Path | None,
    typer.Option(
        "--as-in",
        metavar="FILE",
        help="Only those that stand in this file, which was imported: a right one that has rows of a wrong one.",
    ),
]
BySource = Annotated[
    str | None, typer.Option("--source", help="Name of the source that reads that file.")
]


def withdraw(
    run: Invocation,
    site: Site,
    device: OneDevice,
    reason: Reason,
    at: At = None,
    start: RangeFrom = None,
    end: RangeTo = None,
    text: WithText = None,
    file: OfFile = None,
    dry_run: DryRun = False,
) -> None:
    """Take the values of readings back that are not issued: they stay with text and file, and count as having none."""
    from ledger.readings.imports.withdrawing import withdraw as act

    _change(run, act, "withdrawn", site, device, reason, (at, start, end, text, file), dry_run)


def restore(
    run: Invocation,
    site: Site,
    device: OneDevice,
    reason: Reason,
    at: At = None,
    start: RangeFrom = None,
    end: RangeTo = None,
    text: WithText = None,
    file: OfFile = None,
    as_in: StandingIn = None,
    source: BySource = None,
    dry_run: DryRun = False,
) -> None:
    """Give readings their values back that were withdrawn by mistake; both reasons stay to be seen."""
    from ledger.readings import check_file
    from ledger.readings.imports.restoring import AsIn
    from ledger.readings.imports.restoring import restore as give_back

    if (as_in is None) != (source is None):
        raise BadInput("give both --as-in FILE and --source NAME, which reads it", code="usage")
    standing = None
    if as_in is not None and source is not None:
        check_file(as_in)
        standing = AsIn(as_in, source)
    act = partial(give_back, as_in=standing)
    _change(run, act, "restored", site, device, reason, (at, start, end, text, file), dry_run)


def _change(
    run: Invocation,
    act: Callable[[Session, str, str, Which, str], Changed],
    what: str,
    site: str,
    device: str,
    reason: str,
    meant: tuple[str | None, ...],
    dry_run: bool,
) -> None:
    """Withdraw or restore readings, and say which."""
    from ledger.naming import site_named
    from ledger.readings.imports.selected import Which
    from ledger.readings.shown.lookup import moment
    from ledger.reductions.zones import zone

    at, start, end, text, file = meant
    if at is not None and (start is not None or end is not None):
        raise BadInput("give --at TIME, or --from and --to", code="usage")
    with run.books() as db:
        with db.read() as session:
            where = zone(site_named(session, site).time_zone)
        from_s = None if start is None else moment(start, where, "--from")
        to_s = None if end is None else moment(end, where, "--to")
        at_s = None if at is None else moment(at, where, "--at", dates=False)
        which = Which(at_s, from_s, to_s, text, file)
        found = db.run(lambda session: act(session, site, device, which, reason), keep=not dry_run)
    document = {
        "site": site,
        "device": device,
        "readings": found.readings,
        "first": found.first,
        "last": found.last,
        "judged_anew": found.judged_anew,
        "undeducted": found.undeducted,
        "others": [{"file": name, "unchanged": count} for name, count in found.others],
        "ended": [act._asdict() for act in found.ended],
        "reason": reason,
    }
    span = f"of {local_time(found.first, where)}"
    if found.last != found.first:
        span = f"from {local_time(found.first, where)} to {local_time(found.last, where)}"
    run.output.result(
        document,
        f"{device}: {counted(found.readings, 'reading')} {span} {'would be ' if dry_run else ''}{what}; "
        f"{counted(found.judged_anew, 'row')} judged otherwise",
        *_undeducted(found.undeducted),
        *_others(found.others),
        *_ended(found.ended, where),
    )


def _undeducted(slots: int) -> list[str]:
    """Return what has to be done where nothing counts any more that is deducted."""
    if not slots:
        return []
    have = counted(slots, "slot has", "slots have")
    return [
        f"  {have} no value now, and what was there is deducted: no period with them is issued until they have one; "
        "import the right ones, a 0 where there was nothing"
    ]


def _others(files: tuple[OtherFile, ...]) -> list[str]:
    """Return what went with a wrong file that a right one has as well."""
    if not files:
        return []
    said = ", ".join(f"{counted(count, 'row')} of {printable(name)}" for name, count in files)
    return [
        f"  {said} were there already when it came: what it has in common with the file that is meant is withdrawn, "
        "too; `truetonne readings restore --as-in FILE --source NAME` gives that back"
    ]


def _ended(acts: tuple[EarlierAct, ...], where: ZoneInfo) -> list[str]:
    """Return what a restoration ended, where it was more than one withdrawal: of a time, a wrong file as well, say."""
    if len(acts) < 2:
        return []
    said = [
        f"    {local_time(act.at, where)}  {counted(act.readings, 'reading')}: {printable(act.reason)}"
        for act in acts[:_ACTS_SHOWN]
    ]
    more = len(acts) - _ACTS_SHOWN
    return [
        f"  they are of {len(acts)} withdrawals; where not all of these were a mistake, narrow it down (--text, "
        "--file, --as-in), and withdraw what came back with the others once more:",
        *said,
        *([f"    and {more} more; `--json` has them"] if more > 0 else []),
    ]


def local_time(moment: datetime, where: ZoneInfo) -> str:
    """Return a time as a person of the site reads it."""
    # A register may be read at any second, and several times in a minute.
    return moment.astimezone(where).isoformat(timespec="seconds" if moment.second else "minutes")
