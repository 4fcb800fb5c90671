"""Readings whose values are taken back: a slip of the hand, or a file that was the wrong one.

Nothing is deleted. A reading that is withdrawn stays with its text, file and line, and has no value any more, as if its
source had declared its text to mean none; who, when and why is kept beside it. So a manifest names the text among its
``no_value_texts``, and the evidence has the row with a quality that says so (201, or 403 beside another value).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import String, func, select, type_coerce, update
from sqlalchemy.orm import Session

from ledger import audit
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
    MeterSeries,
    Project,
    ReadingWithdrawal,
    Site,
)
from ledger.models.readings import ReadingQuality
from ledger.models.sites import SourceKind
from ledger.naming import site_named
from ledger.readings.imports.requalify import Since, requalify
from ledger.readings.periods.issued import issued_periods
from ledger.readings.rows.store import lock_meters
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.quality import stored
from ledger.reductions.records import Kind, Quality
from ledger.reductions.zones import utc_of, zone

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


@dataclass(frozen=True)
class Withdrawn:
    """What was withdrawn: how many readings, the first and the last start, and how many rows count otherwise now."""

    readings: int
    first: datetime
    last: datetime
    judged_anew: int


def withdraw(
    session: Session, site_code: str, device_code: str, which: Which, reason: str
) -> Withdrawn:
    """Take the values of readings back, all or none, and judge their meter anew.

    Raises
    ------
    NotFound
        There is no such site or device, or no reading with a value that is meant.
    BadInput
        Nothing says which are meant, or why; or the file is named too shortly.
    Refused
        The meter is a register; a reading is issued, or a correction has counted it; or without it others, of a flat
        line that it is a part of, would count.
    """
    _require_told(which, reason)
    # Locked, and first: what is issued or counted by a correction meanwhile is waited for, and seen.
    projects = select(Project.id).join(Site, Site.id == Project.site_id)
    projects = projects.where(Site.code == site_code).order_by(Project.id).with_for_update()
    session.execute(projects).all()
    lock_meters(session, site_code)
    site = site_named(session, site_code)
    meter = _meter(session, site.id, site_code, device_code)
    where = zone(site.time_zone)
    rows = _rows(session, meter, which)
    if not rows:
        raise NotFound(
            f"device {device_code!r} has no such reading with a value; `truetonne readings show` lists what there is",
            code="no-readings",
        )
    _require_free(session, meter, rows, where)
    planned = select(func.max(Issuance.created_at)).join(Project, Project.id == Issuance.project_id)
    # An issuance that was void goes by it.
    now = moment_after(session.scalar(planned.where(Project.site_id == site.id)))
    numbers = [row.id for row in rows]
    stuck = _stuck(session, meter.id) - set(numbers)
    _empty(session, numbers)
    session.add_all(
        ReadingWithdrawal(reading_id=number, reason=reason.strip(), withdrawn_at=now)
        for number in numbers
    )
    session.flush()
    session.expire_all()
    first, last = (utc_of(rows[place].start_s) for place in (0, -1))
    judged = requalify(session, meter.id)
    freed = stuck - _stuck(session, meter.id)
    if freed:
        raise Refused(
            f"{len(freed)} readings of a flat line would count, as what is meant is a part of it: withdraw all of it, "
            "or none; what is stuck claims nothing",
            code="readings-stuck",
        )
    audit.record(
        session,
        "readings.withdraw",
        f"{Meter.__tablename__}/{meter.id}",
        {},
        {
            "device": device_code,
            "readings": len(rows),
            "from": time_text(first),
            "to": time_text(last),
            "texts": sorted({row.text for row in rows})[:_SHOWN],
            "reason": reason.strip(),
        },
    )
    return Withdrawn(len(rows), first, last, judged)


def stand_again(session: Session, meter_id: int, since: Since) -> None:
    """Give readings their values back that an issuance was planned with, and that were withdrawn while it was void.

    It is on its way again, or on chain, and its root stands over what they were. What came after it was planned is
    late for it, and stays withdrawn.
    """
    session.flush()
    session.execute(select(Meter.id).where(Meter.id == meter_id).with_for_update())
    table = MeterReading
    query = (
        select(table.id, table.kind, table.unit, table.text)
        .join(ReadingWithdrawal, ReadingWithdrawal.reading_id == MeterReading.id)
        .join(ImportFile, ImportFile.id == MeterReading.file_id)
        .where(
            MeterReading.meter_id == meter_id,
            MeterReading.start_s >= since.from_s,
            MeterReading.start_s < since.to_s,
            MeterReading.value_digits.is_(None),
            ReadingWithdrawal.withdrawn_at > since.moment,
            ImportFile.imported_at <= since.moment,
        )
        .with_for_update(read=True)  # what is committed now
    )
    values = []
    for number, kind, unit, text in session.execute(query).all():
        try:
            digits, scale = parse_value(text, UNITS[Kind[kind.name]][unit])
        except (KeyError, ValueError):  # somebody altered it, and the reconciliation says so
            continue
        values.append((digits, scale, number))
    sql = "UPDATE meter_readings SET value_digits = ?, value_scale = ? WHERE id = ?"
    session.info["database"].executemany(session, sql, values)
    session.expire_all()


def fall_again(session: Session, meter_id: int, project_id: int | None) -> None:
    """Take the values of withdrawn readings that stood again, as their issuance is void again."""
    query = (
        select(MeterReading.id, MeterReading.start_s)
        .join(ReadingWithdrawal, ReadingWithdrawal.reading_id == MeterReading.id)
        .where(MeterReading.meter_id == meter_id, MeterReading.value_digits.is_not(None))
        .with_for_update(read=True)
    )
    found = session.execute(query).all()
    if not found:  # as nearly always
        return
    periods = issued_periods(session, meter_id, project_id)
    _empty(
        session,
        [
            row.id
            for row in found
            if not any(from_s <= row.start_s < to_s for from_s, to_s in periods)
        ],
    )
    session.expire_all()


def _empty(session: Session, numbers: Collection[int]) -> None:
    for those in tables.among(session, MeterReading.id, numbers):
        session.execute(
            update(MeterReading)
            .where(those)
            .values(value_digits=None, value_scale=None)
            .execution_options(synchronize_session=False)
        )


def _require_told(which: Which, reason: str) -> None:
    if which == Which():
        raise BadInput(
            "say which readings are meant: --at TIME, --from and --to, --text or --file",
            code="usage",
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


def _meter(session: Session, site_id: int, site_code: str, device_code: str) -> Meter:
    query = (
        select(Meter)
        .join(Device, Device.id == Meter.device_id)
        .where(Meter.site_id == site_id, Device.device_id == device_code)
    )
    meter = session.scalars(query).one_or_none()
    if meter is None:
        raise NotFound(f"site {site_code!r} has no device {device_code!r} with a meter")
    series = session.get(MeterSeries, meter.id)
    if series is not None and series.kind == SourceKind.COUNTER:
        raise Refused(
            f"{device_code} is a register: each of its readings ends one difference and begins another. One that is "
            "too low or too high beside its neighbours is passed over (docs/meter-files.md)",
            code="register",
        )
    return meter


def _rows(session: Session, meter: Meter, which: Which) -> Sequence[MeterReading]:
    table = MeterReading
    query = select(table).where(table.meter_id == meter.id, table.value_digits.is_not(None))
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
    return session.scalars(query.order_by(table.start_s, table.text).with_for_update()).all()


def _require_free(
    session: Session, meter: Meter, rows: Sequence[MeterReading], where: ZoneInfo
) -> None:
    """Refuse what stands under a root on chain, and what a correction has counted."""
    periods = issued_periods(session, meter.id, meter.project_id)
    issued = [
        row
        for row in rows
        if row.quality is not ReadingQuality.LATE
        and any(from_s <= row.start_s < to_s for from_s, to_s in periods)
    ]
    if issued:
        raise Refused(
            f"{_counted(issued)} issued, the first of {_at(issued[0], where)}: it stands under a root on chain. Narrow "
            "it down to those that are not; for what is issued import the right value, which `truetonne reductions "
            "correct` counts where it claims less",
            code="readings-issued",
        )
    counted: set[int] = set()
    for those in tables.among(session, CorrectionReading.reading_id, [row.id for row in rows]):
        counted.update(session.scalars(select(CorrectionReading.reading_id).where(those)))
    if counted:
        first = next(row for row in rows if row.id in counted)
        raise Refused(
            f"a correction has counted {len(counted)} of these readings, the first of {_at(first, where)}; what was "
            "corrected stays so",
            code="readings-corrected",
        )


def _stuck(session: Session, meter_id: int) -> set[int]:
    """Return the row numbers of a meter's readings in flat lines."""
    name, reason = stored(Quality.STUCK)
    query = select(MeterReading.id).where(
        MeterReading.meter_id == meter_id,
        MeterReading.quality == ReadingQuality(name),
        MeterReading.reason == reason,
    )
    return set(session.scalars(query))


def _counted(rows: Sequence[MeterReading]) -> str:
    return "1 of these readings is" if len(rows) == 1 else f"{len(rows)} of these readings are"


def _at(row: MeterReading, where: ZoneInfo) -> str:
    return utc_of(row.start_s).astimezone(where).isoformat()
