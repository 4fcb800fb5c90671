"""Rules of the readings: each value is what its text says, and what is shown of them is what they give."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Table, and_, func, or_, select
from sqlalchemy.orm import Session

from ledger.clock import time_text
from ledger.models import (
    CarbonEmission,
    Device,
    EnergyConsumption,
    EnergyProduction,
    ImportFile,
    Issuance,
    Meter,
    MeterReading,
    ReadingClaim,
    ReadingRestoration,
    ReadingWithdrawal,
    RegisterReading,
    Site,
)
from ledger.models.types import ExactDecimal
from ledger.readings.energy import UNIT, Shown, runs_of_days, shown_by_readings
from ledger.readings.imports.requalify import with_all_days
from ledger.readings.rows.asking import meters_with_devices
from ledger.readings.rows.store import fetch
from ledger.readings.rows.withdrawals import ends_it, was_withdrawn
from ledger.reconcile.books import Sides
from ledger.reconcile.report import unequal
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.records import Kind
from ledger.reductions.registers import TO, energy_of, fitted
from ledger.reductions.zones import TIMES_END_S, utc_of
from ledger.units import DAY_S, counted

_Key = tuple[Any, ...]
"""A time, and whatever else names a row of a device."""
_SAYS: dict[Any, tuple[tuple[str, ...], tuple[str, ...]]] = {
    EnergyProduction.__table__: (("recorded_at",), ("production", "unit")),
    EnergyConsumption.__table__: (("recorded_at",), ("consumption", "unit")),
    CarbonEmission.__table__: (("recorded_at", "calculation_method"), ("emissions", "factors")),
}
"""Columns that name a row of a device, and columns that are compared."""


_INTERVALS = (
    "SELECT start_s, kind, unit, text, value_digits, value_scale FROM meter_readings WHERE meter_id = ? "
    "AND start_s >= ? AND start_s < ? AND value_digits IS NOT NULL ORDER BY start_s, text"
)
_INSTANTS = (
    "SELECT at_s, 'energy', unit, text, value_digits, value_scale FROM register_readings WHERE meter_id = ? "
    "AND at_s >= ? AND at_s < ? AND value_digits IS NOT NULL ORDER BY at_s, text"
)


def readings(books: Sides) -> list[str]:
    """Each stored value of a meter is the one that its text says; whether it counts is held against issuances."""
    session = books.session
    found: list[str] = []
    for number, serial in session.execute(select(Meter.id, Meter.serial).order_by(Meter.id)).all():
        for table, sql in ((MeterReading, _INTERVALS), (RegisterReading, _INSTANTS)):
            found += _altered(session, table, sql, number, serial)
    return [*found, *_back(session)]


def _back(session: Session) -> Iterator[str]:
    """Yield readings that are withdrawn and have a value all the same, that were restored and have none, or are gone.

    Under a live issuance a reading is as it was when that was planned: it may have been withdrawn or restored while the
    issuance was void, and that is on its way again, or on chain.
    """
    table, withdrawal = MeterReading, ReadingWithdrawal
    is_claimed = and_(
        ReadingClaim.meter_id == table.meter_id, ReadingClaim.start_s == table.start_s
    )
    query = (
        select(
            withdrawal.reading_id,
            withdrawal.withdrawn_at,
            ReadingRestoration.restored_at,
            table.start_s,
            table.value_digits,
            Meter.serial,
            Issuance.created_at,
        )
        .outerjoin(ReadingRestoration, ends_it())
        .outerjoin(table, table.id == withdrawal.reading_id)
        .outerjoin(Meter, Meter.id == table.meter_id)
        .outerjoin(ImportFile, ImportFile.id == table.file_id)
        .outerjoin(ReadingClaim, is_claimed)
        .outerjoin(
            Issuance,  # what came later is late for it
            and_(
                Issuance.id == ReadingClaim.issuance_id,
                Issuance.created_at >= ImportFile.imported_at,
            ),
        )
        .order_by(withdrawal.reading_id)
    )
    for number, group in groupby(session.execute(query), key=attrgetter("reading_id")):
        acts = list(group)
        row = acts[0]
        if row.start_s is None:
            yield (
                f"reading {number} was withdrawn, and is not there: the row was deleted; restore it from a backup"
            )
            continue
        withdrawn = was_withdrawn(
            ((each.withdrawn_at, each.restored_at) for each in acts), row.created_at
        )
        if withdrawn == (row.value_digits is None):
            continue
        what = "was withdrawn, and has a value" if withdrawn else "was restored, and has no value"
        yield (
            f"meter_readings of meter {row.serial}, {time_text(utc_of(row.start_s))}: {what}: the row was altered; "
            "restore it from a backup"
        )


def _altered(session: Session, table: Any, sql: str, meter_id: int, serial: str) -> Iterator[str]:
    time = table.start_s if table is MeterReading else table.at_s
    mine, sound = table.meter_id == meter_id, and_(time >= 0, time < TIMES_END_S)
    odd = session.scalars(select(func.count()).where(mine, ~sound)).one()
    if odd:
        have = counted(odd, "row has a time", "rows have times")
        yield (
            f"{table.__tablename__} of meter {serial}: {have} before 1970 or after 2106, which no file can bring: "
            "restore what was altered from a backup"
        )
    first_s, last_s = session.execute(
        select(func.min(time), func.max(time)).where(mine, sound)
    ).one()
    if first_s is None:
        return
    for first, end in runs_of_days(set(range(first_s // DAY_S, last_s // DAY_S + 1))):
        rows = fetch(session.info["database"], session, sql, (meter_id, first * DAY_S, end * DAY_S))
        for at_s, kind, unit, text, digits, scale in rows:
            says = _by_text(kind, unit, text)
            if says != (digits, scale):
                yield (
                    f"{table.__tablename__} of meter {serial}, {time_text(utc_of(at_s))}: {text!r} stands there as "
                    f"{_number((digits, scale))}, and is {_number(says)}: the row was altered; restore it from a backup"
                )


def _by_text(kind: str, unit: str, text: str) -> tuple[int, int] | None:
    """Return digits and scale of a text in the base unit; None: it is no number."""
    try:
        unit_scale = UNITS[Kind[kind.upper()]][unit]
        return fitted(*energy_of(text, unit_scale)) if TO in text else parse_value(text, unit_scale)
    except (KeyError, ValueError):
        return None


def _number(value: tuple[int, int] | None) -> str:
    return "no number" if value is None else format(Decimal(value[0]).scaleb(-value[1]), "f")


def energy(books: Sides) -> list[str]:
    """Energy by the hour and emissions by the day of each meter are those that its stored readings give."""
    found = []
    for site in books.session.scalars(select(Site).order_by(Site.id)).all():
        mend = f"; `truetonne readings refresh --site {site.code}` computes it anew"
        found += [line + mend for line in differences(books.session, site)]
    return found


def differences(session: Session, site: Site) -> Iterator[str]:
    """Yield where energy and emissions of a site's meters are not what their stored readings give."""
    for meter, device in meters_with_devices(session, site):
        yield from _of_meter(session, meter, device, site)


def _of_meter(session: Session, meter: Meter, device: Device, site: Site) -> Iterator[str]:
    compared: dict[Any, tuple[int, int]] = {}
    """Of which time each table was compared."""
    for state in with_all_days(session, meter, device):
        for shown in shown_by_readings(session.info["database"], session, site, state):
            for table, (from_s, to_s), expected in _expected(shown):
                first_s, known_s = compared.get(table, (from_s, from_s))
                compared[table] = first_s, to_s
                yield from _compared(session, table, device, (known_s, to_s), expected)
    for table in _SAYS:
        count = _elsewhere(session, table, device.id, compared.get(table))
        if count:
            rows = "a row of a time" if count == 1 else f"{count} rows of times"
            yield f"{table.name} of device {device.device_id}: {rows} of which its meter has no readings"


def _expected(shown: Shown) -> Iterator[tuple[Any, tuple[int, int], Mapping[_Key, _Key]]]:
    """Yield what each table should hold, and of which time."""
    for column, hours in shown.energy:
        kind = column.type
        assert isinstance(kind, ExactDecimal)
        amounts = {at_s: Decimal(number).scaleb(-kind.scale) for at_s, number in hours.items()}
        rows = {(utc_of(at_s),): (amount, UNIT) for at_s, amount in amounts.items()}
        yield column.table, shown.hours, rows
    names, says = _SAYS[CarbonEmission.__table__]
    days = {tuple(row[n] for n in names): tuple(row[n] for n in says) for row in shown.emissions}
    yield CarbonEmission.__table__, shown.days, days


def _compared(
    session: Session,
    table: Table,
    device: Device,
    period: tuple[int, int],
    expected: Mapping[_Key, _Key],
) -> Iterator[str]:
    """Compare a table with what it should hold of a device and a time; what is expected may begin before it."""
    since, until = map(utc_of, period)
    names, says = _SAYS[table]
    query = select(*(table.c[name] for name in (*names, *says))).where(
        table.c.device_id == device.id, table.c.recorded_at >= since, table.c.recorded_at < until
    )
    held: defaultdict[_Key, list[_Key]] = defaultdict(list)
    for row in session.execute(query):
        held[tuple(row[: len(names)])].append(tuple(row[len(names) :]))
    wanted = {key: row for key, row in expected.items() if key[0] >= since}
    for key in sorted({*held, *wanted}, key=str):
        what = f"{table.name} of device {device.device_id}, {_named(key)}"
        rows, should = held.get(key, []), wanted.get(key)
        if should is None:
            yield f"{what}: its readings give no such row"
        elif len(rows) != 1:
            yield f"{what}: stands {len(rows)} times, its readings give it once"
        else:
            yield from unequal(
                what, *zip(says, rows[0], should, strict=True), by="its readings give"
            )


def _named(key: _Key) -> str:
    return " ".join([key[0].isoformat(), *map(str, key[1:])])


def _elsewhere(
    session: Session, table: Table, device_id: int, period: tuple[int, int] | None
) -> int:
    """Count the rows of a device that are of no time that was compared."""
    query = select(func.count()).select_from(table).where(table.c.device_id == device_id)
    if period is not None:
        since, until = map(utc_of, period)
        query = query.where(or_(table.c.recorded_at < since, table.c.recorded_at >= until))
    return session.scalars(query).one()
