"""The inventory of a site, summed by legal day or month. Reads only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.emissions.schemas import (
    EmissionFilters,
    EmissionItem,
    EmissionPage,
    EmissionParameters,
    EmissionPeriod,
    EmissionTotal,
)
from api.finality import ChainView
from api.pagination import Order
from api.sites.periods import LegalPeriod, clipped, ends_of, legal_months, site_and_devices
from ledger.models import CarbonEmission
from ledger.readings.inventory import SCOPE1, SCOPES
from ledger.reductions.zones import legal_day, utc_of, zone

Place = tuple[int, int, int]
"""Where a row of the list stands: the period, the device, and a number for method and factor.

It is made of nothing but what the row is of. An import of readings writes the rows of the books anew, with other
numbers, so that none of these may be a part of it.
"""


@dataclass
class _Group:
    """Rows of one device, method and factor in one period."""

    place: Place
    device: str
    method: str
    factors: dict[str, Any]
    quantity: Decimal = field(default=Decimal(0))
    emissions_t: Decimal = field(default=Decimal(0))


def list_emissions(
    session: Session, view: ChainView, parameters: EmissionParameters
) -> EmissionPage:
    """Return one page of the inventory of a site.

    Raises
    ------
    NotFound
        If there is no such site or device.
    BadInput
        If the period is empty, or the cursor cannot be used.
    """
    site, devices = site_and_devices(session, parameters.site, parameters.device)
    where = zone(site.time_zone)
    after = parameters.after_key(3)
    days = clipped(parameters.start, parameters.end, _ends(session, devices), where)
    found: list[tuple[Place, EmissionItem]] = []
    newest_first = parameters.order is Order.DESC
    for period in legal_months(days, where, newest_first=newest_first):
        if after is not None and _passed(period, after[0], newest_first):
            continue
        for place, item in _rows(session, parameters, devices, period, where):
            if after is None or (place < after if newest_first else place > after):
                found.append((place, item))
        if len(found) > parameters.limit:
            break
    more = len(found) > parameters.limit
    found = found[: parameters.limit]
    return EmissionPage(
        site=site.code,
        time_zone=site.time_zone,
        totals=_totals(session, parameters, devices, days, where),
        items=[item for _, item in found],
        next_cursor=parameters.cursor_after(*found[-1][0]) if more else None,
        **view.fields(),
    )


def _rows(
    session: Session,
    filters: EmissionParameters,
    devices: dict[int, str],
    month: LegalPeriod,
    where: ZoneInfo,
) -> list[tuple[Place, EmissionItem]]:
    """Return the rows of a month, or of its days, in order; each with what places it."""
    groups: dict[tuple[Any, ...], _Group] = {}
    held = CarbonEmission
    columns = select(  # as rows of the mapper, a month of hours takes several times as long
        held.device_id,
        held.recorded_at,
        held.calculation_method,
        held.factors,
        held.emissions,
    )
    query = (
        _filtered(columns, filters, devices)
        .where(
            held.recorded_at >= utc_of(month.from_s),
            held.recorded_at < utc_of(month.to_s),
        )
        .order_by(held.id)
    )
    for row in session.execute(query):
        day = legal_day(int(row.recorded_at.timestamp()), where)
        if filters.by is EmissionPeriod.MONTH:
            day = day.replace(day=1)
        factors, device = row.factors or {}, devices[row.device_id]
        method = row.calculation_method
        key = day, device, method, factors.get("factor"), factors.get("version")
        group = groups.get(key)
        if group is None:
            place = day.toordinal(), row.device_id, _number(*key[2:])
            group = groups[key] = _Group(place, device, method, factors)
        group.quantity += Decimal(factors.get(_quantity(method), 0))
        group.emissions_t += row.emissions
    placed = [(group.place, _item(key[0], group, filters.by)) for key, group in groups.items()]
    return sorted(placed, key=lambda item: item[0], reverse=filters.order is Order.DESC)


def _number(method: str | None, factor: Any, version: Any) -> int:
    """Return a number for a method and a factor: methods in the order of ``SCOPES``, factors in any that stays."""
    known = list(SCOPES)
    rank = known.index(method) if method in known else len(known)
    named = hashlib.sha256(json.dumps([method, factor, version]).encode()).digest()
    return rank << 56 | int.from_bytes(named[:7])


def _item(day: date, group: _Group, by: EmissionPeriod) -> EmissionItem:
    text = day.isoformat()
    fuel = group.method == SCOPE1
    return EmissionItem(
        period=text if by is EmissionPeriod.DAY else text[:7],
        device=group.device,
        scope=SCOPES.get(group.method),
        method=group.method,
        factor=group.factors.get("factor"),
        version=group.factors.get("version"),
        value=group.factors.get("value"),
        unit=group.factors.get("unit"),
        consumption_kwh=None if fuel else group.quantity,
        fuel_kg=group.quantity if fuel else None,
        emissions_t=group.emissions_t,
    )


def _passed(month: LegalPeriod, ordinal: int, newest_first: bool) -> bool:
    """Return whether a month lies before where the last page ended."""
    first = month.day.replace(day=1).toordinal()
    # A row's place is a day of the month: no month has more than 31.
    return first > ordinal if newest_first else first + 31 < ordinal


def _totals(
    session: Session,
    filters: EmissionFilters,
    devices: dict[int, str],
    days: tuple[date, date] | None,
    where: ZoneInfo,
) -> list[EmissionTotal]:
    if days is None:
        return []
    periods = list(legal_months(days, where, newest_first=False))
    method = CarbonEmission.calculation_method
    query = (
        _filtered(select(method, func.sum(CarbonEmission.emissions)), filters, devices)
        .where(
            CarbonEmission.recorded_at >= utc_of(periods[0].from_s),
            CarbonEmission.recorded_at < utc_of(periods[-1].to_s),
        )
        .group_by(method)
    )
    rows = sorted(session.execute(query), key=lambda row: (SCOPES.get(row[0], 9), row[0]))
    return [
        EmissionTotal(scope=SCOPES.get(name), method=name, emissions_t=total)
        for name, total in rows
    ]


def _filtered(query: Any, filters: EmissionFilters, devices: dict[int, str]) -> Any:
    query = query.where(CarbonEmission.device_id.in_(devices))
    if filters.method is not None:
        query = query.where(CarbonEmission.calculation_method == filters.method.value)
    if filters.scope is not None:
        methods = [name for name, scope in SCOPES.items() if scope == filters.scope]
        query = query.where(CarbonEmission.calculation_method.in_(methods))
    return query


def _ends(session: Session, devices: Sequence[int] | dict[int, str]) -> Iterator[int]:
    """Yield the seconds of the first and of the last row of each device."""
    at = CarbonEmission.recorded_at
    for device_id in devices:
        query = select(at).where(CarbonEmission.device_id == device_id)
        for moment in ends_of(session, query, at):
            yield int(moment.timestamp())


def _quantity(method: str) -> str:
    return "fuel_kg" if method == SCOPE1 else "consumption_kwh"
