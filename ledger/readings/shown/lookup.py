"""The stored rows of a time: what ``readings show`` prints, so that one sees why a reading does not count."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session

from ledger.errors import BadInput
from ledger.models import (
    ImportFile,
    Meter,
    MeterReading,
    ReadingRestoration,
    ReadingWithdrawal,
    RegisterReading,
)
from ledger.models.readings import ReadingQuality
from ledger.readings.rows.withdrawals import ends_it, is_latest, told
from ledger.readings.shown.selection import meters_of
from ledger.reductions.quality import loaded
from ledger.reductions.zones import TIMES_END_S, epoch_s, legal_day_start_s, utc_of, zone

ROWS_MAX = 1_000
"""Most rows that are shown."""
_UNITS = {
    "power": "kW",
    "energy": "kWh",
    "register": "kWh",
    "fuel_mass": "kg",
    "fuel_volume": "litre",
}


def rows_of(
    session: Session,
    site_code: str,
    device_code: str | None,
    *,
    at: str | None = None,
    start: str | None = None,
    end: str | None = None,
) -> dict[str, Any]:
    """Return every stored row of a slot or of a range, with its text and why it does not count.

    Parameters
    ----------
    device_code
        None: all devices of the site that have a meter.
    at
        A time; the rows whose interval holds it.
    start, end
        Times or legal dates; the rows that begin from ``start`` on and before ``end``.

    Raises
    ------
    NotFound
        There is no such site or device.
    BadInput
        Neither a time nor a range, one that cannot be read, or more rows than are shown.
    """
    if (at is None) == (end is None) or (start is None) != (end is None):
        raise BadInput("give --at TIME, or both --from and --to", code="usage")
    site, meters = meters_of(session, site_code, device_code)
    where = zone(site.time_zone)
    if at is not None:
        from_s = to_s = moment(at, where, "--at", dates=False)
        holds = _holds(from_s)
    else:
        assert start is not None
        assert end is not None
        from_s, to_s = moment(start, where, "--from"), moment(end, where, "--to")
        if from_s >= to_s:
            raise BadInput(
                f"the range from {start} to {end} is empty: the end is exclusive and comes later",
                code="empty-period",
            )
        holds = and_(MeterReading.start_s >= from_s, MeterReading.start_s < to_s)
    found: list[dict[str, Any]] = []
    for meter, code in meters:
        found += _rows(session, meter, code, holds)
        found += _registers(session, meter, code, (from_s, max(to_s, from_s + 1)))
        if len(found) > ROWS_MAX:
            raise BadInput(
                f"there are more than {ROWS_MAX:,} rows; take a shorter range or one device",
                code="too-many-rows",
            )
    return {
        "site": site.code,
        "time_zone": site.time_zone,
        "from": utc_of(from_s),
        "to": utc_of(to_s),
        "rows": found,
    }


def _holds(second: int) -> ColumnElement[bool]:
    """Return the condition that a row's interval holds a second."""
    table = MeterReading
    return and_(table.start_s <= second, table.start_s + table.duration_s > second)


def _rows(
    session: Session, meter: Meter, code: str, holds: ColumnElement[bool]
) -> list[dict[str, Any]]:
    query = (
        select(MeterReading, ImportFile, ReadingWithdrawal, ReadingRestoration)
        .join(ImportFile, ImportFile.id == MeterReading.file_id)
        .outerjoin(ReadingWithdrawal, is_latest())
        .outerjoin(ReadingRestoration, ends_it())
        .where(MeterReading.meter_id == meter.id, holds)
        .order_by(MeterReading.start_s, MeterReading.text)
        .limit(ROWS_MAX + 1)
    )
    return [
        {
            **_common(code, row, file),
            "from": utc_of(row.start_s),
            "to": utc_of(row.start_s + row.duration_s),
            "kind": row.kind.value,
            "value_unit": _UNITS.get(row.kind.value),
            "conflict": row.conflict,
            **told(taken, given),
        }
        for row, file, taken, given in session.execute(query).all()
    ]


def _registers(
    session: Session, meter: Meter, code: str, period: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return the rows of a register in a range, and those next to it: what its energies lie between."""
    table, (from_s, to_s) = RegisterReading, period
    mine, counts = table.meter_id == meter.id, table.quality == ReadingQuality.USED
    before = session.scalar(select(func.max(table.at_s)).where(mine, counts, table.at_s <= from_s))
    after = session.scalar(select(func.min(table.at_s)).where(mine, counts, table.at_s >= to_s))
    query = (
        select(table, ImportFile)
        .join(ImportFile, ImportFile.id == table.file_id)
        .where(
            mine,
            table.at_s >= (from_s if before is None else before),
            table.at_s <= (to_s if after is None else after),
        )
        .order_by(table.at_s, table.text)
        .limit(ROWS_MAX + 1)
    )
    return [
        {
            **_common(code, row, file),
            "from": utc_of(row.at_s),
            "to": utc_of(row.at_s),
            "kind": "register",
            "value_unit": _UNITS["register"],
            "conflict": False,
            **told(None, None),
        }
        for row, file in session.execute(query).all()
    ]


def _common(code: str, row: MeterReading | RegisterReading, file: ImportFile) -> dict[str, Any]:
    """Return what every row has."""
    return {
        "device": code,
        "text": row.text,
        "unit": row.unit,
        "value": _value(row.value_digits, row.value_scale),
        "number": int(loaded(row.quality.value, row.reason)),
        "quality": row.quality.value,
        "reason": row.reason,
        "file": file.file_name,
        "line": row.line,
        "file_sha256": file.file_sha256,
        "imported_at": file.imported_at,
    }


def _value(digits: int | None, scale: int | None) -> str | None:
    """Return a value as decimal text, exactly."""
    if digits is None or scale is None:
        return None
    text = f"{abs(digits):0{scale + 1}d}"
    point = len(text) - scale
    return ("-" if digits < 0 else "") + (f"{text[:point]}.{text[point:]}" if scale else text)


def moment(text: str, where: ZoneInfo, option: str, *, dates: bool = True) -> int:
    """Return a time that a person wrote, in seconds since 1970.

    Parameters
    ----------
    text
        ``2014-03-30T03:10:00+02:00``; without an offset it is local time in ``where``; with ``dates``
        also a legal date, which is its first second.
    option
        Where it was written, for messages.

    Raises
    ------
    BadInput
        It is no time, or a local time that comes twice or never.
    """
    try:
        if len(text) <= 10:
            if not dates:
                raise ValueError
            return _in_range(legal_day_start_s(date.fromisoformat(text), where), text, option)
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        kind = "time or a date" if dates else "time (for a whole day give --from and --to)"
        raise BadInput(
            f"{option}: {text[:40]!r} is not a {kind}; write it as 2014-03-30T03:10:00+02:00",
            code="usage",
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=where)
        before, after = found.utcoffset(), found.replace(fold=1).utcoffset()
        if before != after:
            assert before is not None
            assert after is not None
            what = "comes twice" if before > after else "does not exist"
            raise BadInput(
                f"{option}: {text!r} {what} in {where.key} (clock change); write its offset too",
                code="usage",
            )
    return _in_range(epoch_s(found), text, option)


def _in_range(second: int, text: str, option: str) -> int:
    if not 0 <= second < TIMES_END_S:
        raise BadInput(f"{option}: {text!r} is not between 1970 and 2106", code="usage")
    return second
