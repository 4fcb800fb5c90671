"""What the books say of records and of the data of devices. Reads only.

A list that is asked for one parent is in order of its time and goes by the index of both; another is in order of
writing. Every filter has an index.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, Select, select
from sqlalchemy.orm import Session

from api.pagination import (
    CURSOR_SECONDS_MAX,
    Order,
    Page,
    PageParameters,
    behind,
    between,
    in_order,
    page_of,
)
from api.park.schemas import SCHEMAS, DataParameters, RecordParameters, Value, ValuePage
from ledger.db import Database
from ledger.errors import BadInput
from ledger.keeping.reading import places_between
from ledger.models import DeviceData
from ledger.park import Kind, Record, kind_named
from ledger.park.records import filtered, query, record_of, show

DAY = timedelta(days=1)
_VALUE = ("id", "value", "unit", "metadata", "recorded_at", "created_at")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MICROS = CURSOR_SECONDS_MAX * 10**6
_MICROSECOND = timedelta(microseconds=1)


def list_records(session: Session, kind: Kind, parameters: RecordParameters) -> Any:
    """Return one page of records.

    Raises
    ------
    BadInput
        If the cursor cannot be used, or a time is asked for of all parents at once.
    """
    asked = {name: getattr(parameters, name) for name in kind.filters}
    filters = {name: value for name, value in asked.items() if value is not None}
    model: Any = kind.model
    # An unknown parent has no records; a cursor or a period that is none is an error all the same.
    by_time = kind.time is not None and kind.key[0] in filters
    at = getattr(model, kind.field(kind.time).attribute) if kind.time is not None else None
    after = parameters.after_key(2, _LAST_MICROS) if by_time else parameters.after_key(1)
    times = [getattr(parameters, name, None) for name in ("time_from", "time_before")]
    if any(times) and not by_time:
        raise BadInput(f"time_from and time_before go with {kind.key[0]}: name it, too")
    wanted = filtered(session, kind, between(query(kind), at, *times), filters)
    rows: list[Any] = []
    if wanted is not None:
        ordered = _ordered(wanted, parameters, after, model.id, at if by_time else None)
        rows = list(session.execute(ordered).all())
    records = [record_of(kind, row) for row in rows]
    page = _page(parameters, records, kind.time if by_time else None)
    schemas = SCHEMAS[kind.name]
    return schemas.page(
        items=[item_of(kind, found) for found in page.rows], next_cursor=page.next_cursor
    )


def show_record(session: Session, kind: Kind, name: str) -> Any:
    """Return one record, by code or row number.

    Raises
    ------
    NotFound
        If there is none.
    """
    return item_of(kind, show(session, kind, name))


def item_of(kind: Kind, record: Record) -> Any:
    """Return a record as it is answered."""
    values: dict[str, Any] = {"id": record.id, **record.values}
    for name in ("created_at", "updated_at"):
        if hasattr(kind.model, name):
            values[name] = getattr(record, name)
    return SCHEMAS[kind.name].item(**values)


def device_data(database: Database, code: str, parameters: DataParameters) -> ValuePage:
    """Return one page of the values of a device, live and archived.

    Raises
    ------
    NotFound
        If there is no such device.
    BadInput
        If the cursor cannot be used.
    """
    after, limit = parameters.after_key(2, _LAST_MICROS), parameters.limit
    since = parameters.recorded_from
    before = parameters.recorded_before or since + DAY
    rows: list[Any] = []
    with places_between(database, DeviceData.__tablename__, since, before) as places:
        device_id = device_number(places[0][0], code)
        for session, source in places:  # a page of each: what it has of theirs comes first in each
            column = source.c
            found = select(source).where(column.device_id == device_id)
            if parameters.metric is not None:
                found = found.where(column.metric_name == parameters.metric)
            found = between(found, column.recorded_at, since, before)
            ordered = _ordered(found, parameters, after, column.id, column.recorded_at)
            rows += session.execute(ordered).mappings()
    rows.sort(
        key=lambda row: (row["recorded_at"], row["id"]), reverse=parameters.order is Order.DESC
    )
    shown = rows[:limit]
    more = len(rows) > limit
    cursor = (
        parameters.cursor_after(_micros(shown[-1]["recorded_at"]), shown[-1]["id"])
        if more
        else None
    )
    items = [value_of(row) for row in shown]
    return ValuePage(device_code=code, items=items, next_cursor=cursor)


def device_number(session: Session, code: str) -> int:
    """Return the row number of a device.

    Raises
    ------
    NotFound
        If there is no such device.
    """
    return show(session, kind_named("devices"), code).id


def _ordered(
    found: Select[Any],
    parameters: PageParameters,
    after: tuple[int, ...] | None,
    row_id: Any,
    at: Any,
) -> Select[Any]:
    """Return the query of one page: by time and row number, or by row number alone where ``at`` is None."""
    columns = (row_id,) if at is None else (at, row_id)
    if after is not None:
        last: list[Any] = list(after)
        if at is not None:
            last[0] = _EPOCH + timedelta(microseconds=after[0])
        found = found.where(behind(columns, last, parameters.order))
        if at is not None:  # said once more, for the index
            found = found.where(at <= last[0] if parameters.order is Order.DESC else at >= last[0])
    return in_order(found, parameters, *columns).limit(parameters.limit + 1)


def _page(parameters: PageParameters, records: list[Record], time: str | None) -> Page[Record]:
    if time is None:
        return page_of(parameters, records, [record.id for record in records])
    more = len(records) > parameters.limit
    rows = records[: parameters.limit]
    cursor = parameters.cursor_after(_micros(rows[-1][time]), rows[-1].id) if more else None
    return Page(rows, cursor)


def _micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def value_of(row: RowMapping) -> Value:
    """Return a row of ``device_data``, live or archived, as the API has it."""
    return Value(metric=row["metric_name"], **{name: row[name] for name in _VALUE})
