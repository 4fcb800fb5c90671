"""What devices reported last, wherever it is. Reads only.

The live table is asked first: one look at the end of an index for each device, however long its life is. The archive
is asked, in the same way, for those devices alone that have values there and may have none later here: whose last
live one, if there is any, is older than what went to the archive last, and so came late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, Table, func, select, tuple_
from sqlalchemy.orm import Session

from api.pagination import page_of, paged
from api.park.queries import DAY, device_number, value_of
from api.park.schemas import DeviceValues, LatestValues, NewestPage, NewestParameters
from ledger.db import Database, tables
from ledger.keeping.noted import archived_among
from ledger.keeping.reading import every_place
from ledger.models import Base, Device, DeviceData

LATEST_ROWS_MAX = 10_000
_TABLE = DeviceData.__tablename__
_LIVE = Base.metadata.tables[_TABLE]
_AT_ONCE = 400
"""Devices whose values are asked for at once: SQLite bounds what a statement is given."""


def latest(database: Database, code: str) -> LatestValues:
    """Return the last value of each metric that a device lately reported.

    Raises
    ------
    NotFound
        If there is no such device.
    DatabaseBusy
        Months are going to the archive; ask again.
    """
    with database.read(holding=[_LIVE]) as session:
        device = device_number(session, code)
        last = _last(session, _LIVE, device)
        if not archived_among(session, {device: last}):
            return _latest(code, [] if last is None else _lately(session, _LIVE, device, last))
    with every_place(database, _TABLE) as places:
        ends = [_last(session, table, device) for session, table in places]
        last = max((at for at in ends if at is not None), default=None)
        rows = [
            row
            for (session, table), at in zip(places, ends, strict=True)
            if at is not None and last is not None and at > last - DAY
            for row in _lately(session, table, device, last)
        ]
    return _latest(code, rows)


def newest(database: Database, parameters: NewestParameters) -> NewestPage:
    """Return what each device reported last: its values of its last time, one page of devices.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    DatabaseBusy
        Months are going to the archive; ask again.
    """
    found: dict[int, list[RowMapping]] = {}
    with database.read(holding=[_LIVE]) as session:
        devices, cursor = _page(session, parameters)
        live = _lasts(session, _LIVE, devices)
        archived = archived_among(session, {device: live.get(device) for device in devices})
        found |= _values(
            session, _LIVE, {device: at for device, at in live.items() if device not in archived}
        )
    if archived:
        with every_place(database, _TABLE) as places:
            live_session = places[0][0]
            ends = [
                _lasts(session, table, archived, beside=session is live_session)
                for session, table in places
            ]
            last = {
                device: max(times)
                for device in archived
                if (times := [found_[device] for found_ in ends if device in found_])
            }
            for (session, table), theirs in zip(places, ends, strict=True):
                here = {device: at for device, at in theirs.items() if at == last[device]}
                for device, rows in _values(session, table, here).items():
                    found.setdefault(device, []).extend(rows)
    items = [
        DeviceValues(
            device_code=code,
            recorded_at=found[device][0]["recorded_at"],
            items=sorted(map(value_of, found[device]), key=lambda value: (value.metric, value.id)),
        )
        for device, code in devices.items()
        if device in found
    ]
    return NewestPage(items=items, next_cursor=cursor)


def _page(session: Session, parameters: NewestParameters) -> tuple[dict[int, str], str | None]:
    """Return the codes of one page of devices by number, and the cursor of the next page."""
    wanted = select(Device.id, Device.device_id)
    rows = session.execute(paged(wanted, parameters, Device.id)).all()
    page = page_of(parameters, rows, [row.id for row in rows])
    return {number: code for number, code in page.rows}, page.next_cursor


def _last(session: Session, table: Table, device: int) -> datetime | None:
    # The greatest of an index is one look; the last in an order would sort the device's whole life.
    greatest = select(func.max(table.c.recorded_at)).where(table.c.device_id == device)
    found: datetime | None = session.scalar(greatest)
    return found


def _lasts(
    session: Session, table: Table, devices: Iterable[int], *, beside: bool = True
) -> dict[int, datetime]:
    """Return the last time of each device that has a value in a table.

    Parameters
    ----------
    beside
        Whether the table of devices stands in the same database: then one statement asks for many.
    """
    wanted = list(devices)
    found: dict[int, datetime | None] = {}
    if not beside:
        found = {device: _last(session, table, device) for device in wanted}
        wanted = []
    last = (
        select(table.c.recorded_at)
        .where(table.c.device_id == Device.id)
        .order_by(table.c.recorded_at.desc())
        .limit(1)
        .correlate(Device)
        .scalar_subquery()
    )
    for some in tables.among(session, Device.id, wanted):
        found |= {device: at for device, at in session.execute(select(Device.id, last).where(some))}
    return {device: at for device, at in found.items() if at is not None}


def _lately(session: Session, table: Table, device: int, last: datetime) -> list[RowMapping]:
    """Return a device's values of the day that ends with its last one, the newest first."""
    column = table.c
    rows: Select[Any] = select(table).where(
        column.device_id == device, column.recorded_at > last - DAY
    )
    rows = rows.order_by(column.recorded_at.desc(), column.id.desc()).limit(LATEST_ROWS_MAX)
    return list(session.execute(rows).mappings())


def _latest(code: str, rows: Iterable[RowMapping]) -> LatestValues:
    found: dict[str, RowMapping] = {}
    for row in sorted(rows, key=lambda row: (row["recorded_at"], row["id"]), reverse=True):
        found.setdefault(row["metric_name"], row)
    return LatestValues(device_code=code, items=[value_of(found[name]) for name in sorted(found)])


def _values(
    session: Session, table: Table, lasts: Mapping[int, datetime]
) -> dict[int, list[RowMapping]]:
    """Return the values of each device of its last time."""
    found: dict[int, list[RowMapping]] = {}
    places = list(lasts.items())
    for first in range(0, len(places), _AT_ONCE):
        theirs = tuple_(table.c.device_id, table.c.recorded_at).in_(
            places[first : first + _AT_ONCE]
        )
        for row in session.execute(select(table).where(theirs)).mappings():
            found.setdefault(row["device_id"], []).append(row)
    return found
