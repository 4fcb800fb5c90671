"""Finds the readings that a person names to withdraw or restore them, and refuses those that must stay as they are."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, String, func, select, type_coerce, update
from sqlalchemy.orm import Session, aliased

from ledger.clock import moment_after, time_text
from ledger.db import tables
from ledger.errors import BadInput, NotFound, Refused
from ledger.models import (
    CorrectionReading,
    Device,
    ImportFile,
    Issuance,
    Meter,
    MeterReading,
    Project,
    Site,
)
from ledger.models.readings import ReadingKind, ReadingQuality
from ledger.naming import site_named
from ledger.readings.periods.in_service import in_service_s
from ledger.readings.periods.issued import claimed_slots, issued_periods
from ledger.readings.rows.meter_state import lock_meters
from ledger.readings.rows.withdrawals import deducts
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.quality import stored
from ledger.reductions.records import Kind, Quality
from ledger.reductions.zones import utc_of, zone
from ledger.units import counted

REASON_MAX = 500
"""Characters."""
_SHOWN = 3
_DIGEST = re.compile(r"[0-9a-fA-F]{8,64}")


@dataclass(frozen=True)
class Which:
    """Which readings of a device are meant; each narrows it, and one at least is given.

    Parameters
    ----------
    at_s
        A second in their interval.
    from_s, to_s
        They begin from this second on, and before that one.
    text
        Their text, as it was received.
    file
        The beginning of the SHA-256 of the file that brought them, eight digits at least.
    """

    at_s: int | None = None
    from_s: int | None = None
    to_s: int | None = None
    text: str | None = None
    file: str | None = None


class Meant(NamedTuple):
    """A reading that is meant: of many the columns alone, which takes a third of the time."""

    id: int
    start_s: int
    kind: ReadingKind
    unit: str
    text: str
    quality: ReadingQuality


class OtherFile(NamedTuple):
    """A file, and how many of its rows were there already when it came."""

    name: str
    unchanged: int


class EarlierAct(NamedTuple):
    """A withdrawal, and how many of the readings that are meant it took."""

    at: datetime
    reason: str
    readings: int


@dataclass(frozen=True)
class Changed:
    """What was changed: how many readings, the first and the last start, and how many rows count otherwise now."""

    readings: int
    first: datetime
    last: datetime
    judged_anew: int
    undeducted: int = 0
    """How many of their slots whose values are deducted have no value now: none is issued so."""
    others: tuple[OtherFile, ...] = ()
    """Files that came after the one that is meant, and had rows that were there already: its own, maybe."""
    ended: tuple[EarlierAct, ...] = ()
    """The withdrawals that a restoration ends, the latest first."""


@dataclass(frozen=True)
class Selected:
    """A meter whose readings are meant, locked, with what is needed to judge them."""

    meter: Meter
    where: ZoneInfo
    now: datetime
    """The present time, or the first after all that was planned of the site: an issuance that was void goes by it."""


def select_meter(session: Session, site_code: str, device_code: str) -> Selected:
    """Return a device's meter, with all of its site locked.

    Raises
    ------
    NotFound
        There is no such site or device.
    """
    # Locked, and first: what is issued or counted by a correction meanwhile is waited for, and seen.
    projects = select(Project.id).join(Site, Site.id == Project.site_id)
    projects = projects.where(Site.code == site_code).order_by(Project.id).with_for_update()
    session.execute(projects).all()
    lock_meters(session, site_code)
    site = site_named(session, site_code)
    query = (
        select(Meter)
        .join(Device, Device.id == Meter.device_id)
        .where(Meter.site_id == site.id, Device.device_id == device_code)
    )
    meter = session.scalars(query).one_or_none()
    if meter is None:
        raise NotFound(f"site {site_code!r} has no device {device_code!r} with a meter")
    planned = select(func.max(Issuance.created_at)).join(Project, Project.id == Issuance.project_id)
    now = moment_after(session.scalar(planned.where(Project.site_id == site.id)))
    return Selected(meter, zone(site.time_zone), now)


def require_told(which: Which, reason: str, *, otherwise: bool = False) -> None:
    """Refuse what does not say which readings are meant, or why.

    Parameters
    ----------
    otherwise
        Whether it is said in another way, too.

    Raises
    ------
    BadInput
        Nothing says it; the range is empty; or a file is named too shortly.
    """
    if which == Which() and not otherwise:
        raise BadInput(
            "say which readings are meant: --at TIME, --from and --to, --text or --file",
            code="usage",
        )
    if which.from_s is not None and which.to_s is not None and which.from_s >= which.to_s:
        raise BadInput(
            "the range from --from to --to is empty: the end is exclusive and comes later",
            code="empty-period",
        )
    if not reason.strip() or len(reason) > REASON_MAX:
        raise BadInput(
            f"say why in --reason, in {REASON_MAX} characters at the most: who checks a credit reads it",
            code="usage",
        )
    if which.file is not None and not _DIGEST.fullmatch(which.file):
        raise BadInput(
            "--file takes the SHA-256 of a file, or its first digits, eight at least; "
            "`truetonne readings files --json` lists them",
            code="usage",
        )


def rows_meant(
    session: Session, meter: Meter, which: Which, condition: ColumnElement[bool]
) -> Sequence[Meant]:
    """Return the readings of a meter that are meant and meet a condition, in order, locked."""
    table = MeterReading
    query = select_meant().where(table.meter_id == meter.id, condition)
    if which.at_s is not None:
        query = query.where(
            table.start_s <= which.at_s, table.start_s + table.duration_s > which.at_s
        )
    if which.from_s is not None:
        query = query.where(table.start_s >= which.from_s)
    if which.to_s is not None:
        query = query.where(table.start_s < which.to_s)
    if which.text is not None:
        query = query.where(table.text == which.text)
    if which.file is not None:
        digest = type_coerce(ImportFile.file_sha256, String)
        files = select(ImportFile.id).where(digest.startswith(which.file.lower()))
        query = query.where(table.file_id.in_(files))
    query = query.order_by(table.start_s, table.text).with_for_update()
    return [Meant(*row) for row in session.execute(query)]


def select_meant() -> Select[*tuple[Any, ...]]:
    """Return the query of the columns of ``Meant``."""
    table = MeterReading
    query: Select[*tuple[Any, ...]] = select(
        table.id, table.start_s, table.kind, table.unit, table.text, table.quality
    )
    return query


def require_free(
    session: Session, found: Selected, rows: Sequence[Meant], *, issued: str, corrected: str
) -> None:
    """Refuse what stands under a root on chain, and what a correction has counted.

    Parameters
    ----------
    issued, corrected
        What to do then.

    Raises
    ------
    Refused
        One of the readings is such a one.
    """
    claimed = claimed_slots(session, found.meter.id, rows[0].start_s, rows[-1].start_s + 1)
    standing = [
        row for row in rows if row.quality is not ReadingQuality.LATE and row.start_s in claimed
    ]
    if standing:
        are = counted(len(standing), "of these readings is", "of these readings are")
        raise Refused(
            f"{are} issued, the first of {_at(standing[0], found.where)}: it stands under a root on chain. {issued}",
            code="readings-issued",
        )
    in_corrections: set[int] = set()
    for those in tables.among(session, CorrectionReading.reading_id, [row.id for row in rows]):
        in_corrections.update(session.scalars(select(CorrectionReading.reading_id).where(those)))
    if in_corrections:
        first = next(row for row in rows if row.id in in_corrections)
        raise Refused(
            f"a correction has counted {len(in_corrections)} of these readings, the first of "
            f"{_at(first, found.where)}; {corrected}",
            code="readings-corrected",
        )


def count_as_late(session: Session, found: Selected, rows: Sequence[Meant]) -> None:
    """Make readings late, with all of their slots, that lie in issued periods of which no issuance has them.

    Their meter joined the project later. In an issued period nothing is judged anew; what is late is judged where it is
    shown, with a value or without.
    """
    periods = issued_periods(session, found.meter.id, found.meter.project_id)
    starts = {
        row.start_s
        for row in rows
        if row.quality is not ReadingQuality.LATE
        and any(from_s <= row.start_s < to_s for from_s, to_s in periods)
    }
    quality, reason = stored(Quality.LATE)
    values = {"quality": ReadingQuality(quality), "reason": reason, "conflict": False}
    for those in tables.among(session, MeterReading.start_s, sorted(starts)):
        session.execute(
            update(MeterReading)
            .where(MeterReading.meter_id == found.meter.id, those)
            .values(values)
            .execution_options(synchronize_session=False)
        )


def undeducted(session: Session, found: Selected, numbers: Collection[int]) -> int:
    """Return in how many slots of readings whose values are deducted nothing counts."""
    meter = found.meter
    first_s, end_s = in_service_s(meter, found.where)
    if meter.project_id is None:
        return 0
    other = aliased(MeterReading)
    counts = select(other.id).where(
        other.meter_id == MeterReading.meter_id,
        other.start_s == MeterReading.start_s,
        other.quality == ReadingQuality.USED,
    )
    starts: set[int] = set()
    for those in tables.among(session, MeterReading.id, numbers):
        query = select(
            MeterReading.start_s, MeterReading.kind, MeterReading.unit, MeterReading.text
        ).where(those, MeterReading.quality != ReadingQuality.LATE, ~counts.exists())
        starts.update(
            start_s
            for start_s, kind, unit, text in session.execute(query)
            if (first_s is None or start_s >= first_s)
            and (end_s is None or start_s < end_s)
            and deducts(meter.role, kind, unit, text)
        )
    return len(starts)


def stuck_rows(session: Session, meter_id: int) -> set[int]:
    """Return the row numbers of a meter's readings in flat lines."""
    name, reason = stored(Quality.STUCK)
    query = select(MeterReading.id).where(
        MeterReading.meter_id == meter_id,
        MeterReading.quality == ReadingQuality(name),
        MeterReading.reason == reason,
    )
    return set(session.scalars(query))


def take_values(session: Session, numbers: Collection[int]) -> None:
    """Take the values of readings, by their row numbers."""
    values = [{"id": number, "value_digits": None, "value_scale": None} for number in numbers]
    tables.change(session, MeterReading, "id", values)


def give_values(session: Session, rows: Iterable[Any]) -> None:
    """Give readings the values that their texts say."""
    values = []
    for row in rows:
        try:
            digits, scale = parse_value(row.text, UNITS[Kind[row.kind.name]][row.unit])
        except (KeyError, ValueError):  # somebody altered it, and the reconciliation says so
            continue
        values.append({"id": row.id, "value_digits": digits, "value_scale": scale})
    tables.change(session, MeterReading, "id", values)


def as_noted(
    device_code: str, reason: str, span: tuple[datetime, datetime], texts: Sequence[str]
) -> dict[str, Any]:
    """Return what the audit log says of readings that were changed.

    Parameters
    ----------
    span
        The first and the last start.
    texts
        The text of each of the readings.
    """
    return {
        "device": device_code,
        "readings": len(texts),
        "from": time_text(span[0]),
        "to": time_text(span[1]),
        "texts": sorted(set(texts))[:_SHOWN],
        "reason": reason,
    }


def _at(row: Meant, where: ZoneInfo) -> str:
    return utc_of(row.start_s).astimezone(where).isoformat()
