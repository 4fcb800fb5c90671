"""The inventory of a site, or of all, summed by legal day or month. Reads only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
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
from api.sites.periods import LegalPeriod, clipped, legal_months, month_number, site_and_devices
from ledger.db.tables import ends_among
from ledger.errors import NotFound
from ledger.models import CarbonEmission, Device, Meter, Site
from ledger.readings.inventory import SCOPE1, SCOPES
from ledger.reductions.zones import legal_day, utc_of, zone

Place = tuple[int, int, int]
"""Where a row of the list stands: the period, the device, and a number for method and factor.

It is made of nothing but what the row is of. An import of readings writes the rows of the books anew, with other
numbers, so that none of these may be a part of it.
"""
_Days = tuple[date, date] | None
"""Legal days that hold anything, the end exclusive; None: none do."""


@dataclass(frozen=True)
class _Zone:
    """Devices whose sites have one legal time."""

    where: ZoneInfo
    devices: dict[int, tuple[str, str]]
    """By row number: the code of the device, and of its site."""


@dataclass
class _Group:
    """Rows of one device, method and factor in one period."""

    place: Place
    device: str
    site: str
    method: str
    factors: dict[str, Any]
    quantity: Decimal = field(default=Decimal(0))
    emissions_t: Decimal = field(default=Decimal(0))


def list_emissions(
    session: Session, view: ChainView, parameters: EmissionParameters
) -> EmissionPage:
    """Return one page of the inventory of a site, or of all; each site by its own legal days.

    Raises
    ------
    NotFound
        If there is no such site or device.
    BadInput
        If the period is empty, or the cursor cannot be used.
    """
    site, zones = _asked_for(session, parameters)
    after = parameters.after_key(3)
    days = [
        (of, clipped(parameters.start, parameters.end, _ends(session, of.devices), of.where))
        for of in zones
    ]
    found: list[tuple[Place, EmissionItem]] = []
    newest_first = parameters.order is Order.DESC
    for month in _months(days, newest_first):
        if after is not None and _passed(month[0][1], after[0], newest_first):
            continue
        rows = [row for of, period in month for row in _rows(session, parameters, of, period)]
        for place, item in sorted(rows, key=lambda row: row[0], reverse=newest_first):
            if after is None or (place < after if newest_first else place > after):
                found.append((place, item))
        if len(found) > parameters.limit:
            break
    more = len(found) > parameters.limit
    found = found[: parameters.limit]
    return EmissionPage(
        site=None if site is None else site.code,
        time_zone=None if site is None else site.time_zone,
        totals=_totals(session, parameters, days),
        items=[item for _, item in found],
        next_cursor=parameters.cursor_after(*found[-1][0]) if more else None,
        **view.fields(),
    )


def _asked_for(session: Session, filters: EmissionFilters) -> tuple[Site | None, list[_Zone]]:
    """Return the site that is named, if one is, and the devices that are asked for, by their legal time."""
    if filters.site is not None:
        site, devices = site_and_devices(session, filters.site, filters.device)
        whose = {number: (code, site.code) for number, code in devices.items()}
        return site, [_Zone(zone(site.time_zone), whose)]
    query = (
        select(Device.id, Device.device_id, Site.code, Site.time_zone)
        .join(Meter, Meter.device_id == Device.id)
        .join(Site, Site.id == Meter.site_id)
        .order_by(Device.id)
    )
    if filters.device is not None:
        query = query.where(Device.device_id == filters.device)
    zones: dict[str, _Zone] = {}
    for number, code, of_site, name in session.execute(query):
        zones.setdefault(name, _Zone(zone(name), {})).devices[number] = code, of_site
    if filters.device is not None and not zones:
        raise NotFound(f"no site has a device {filters.device[:100]!r}")
    return None, list(zones.values())


def _months(
    days: Sequence[tuple[_Zone, _Days]], newest_first: bool
) -> Iterator[list[tuple[_Zone, LegalPeriod]]]:
    """Yield month after month, as each zone has it that has anything in it."""
    months: dict[int, list[tuple[_Zone, LegalPeriod]]] = {}
    for of, held in days:
        for period in legal_months(held, of.where, newest_first=False):
            months.setdefault(month_number(period.day), []).append((of, period))
    for number in sorted(months, reverse=newest_first):
        yield months[number]


def _rows(
    session: Session, filters: EmissionParameters, of: _Zone, month: LegalPeriod
) -> list[tuple[Place, EmissionItem]]:
    """Return the rows of a month, or of its days, each with what places it."""
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
        _filtered(columns, filters, of.devices)
        .where(
            held.recorded_at >= utc_of(month.from_s),
            held.recorded_at < utc_of(month.to_s),
        )
        .order_by(held.id)
    )
    for row in session.execute(query):
        day = legal_day(int(row.recorded_at.timestamp()), of.where)
        if filters.by is EmissionPeriod.MONTH:
            day = day.replace(day=1)
        factors, (device, site) = row.factors or {}, of.devices[row.device_id]
        method = row.calculation_method
        key = day, device, method, factors.get("factor"), factors.get("version")
        group = groups.get(key)
        if group is None:
            place = day.toordinal(), row.device_id, _number(*key[2:])
            group = groups[key] = _Group(place, device, site, method, factors)
        group.quantity += Decimal(factors.get(_quantity(method), 0))
        group.emissions_t += row.emissions
    return [(group.place, _item(key[0], group, filters.by)) for key, group in groups.items()]


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
        site=group.site,
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
    session: Session, filters: EmissionFilters, days: Sequence[tuple[_Zone, _Days]]
) -> list[EmissionTotal]:
    sums: dict[str, Decimal] = {}
    method = CarbonEmission.calculation_method
    for of, held in days:
        periods = list(legal_months(held, of.where, newest_first=False))
        if not periods:
            continue
        query = (
            _filtered(select(method, func.sum(CarbonEmission.emissions)), filters, of.devices)
            .where(
                CarbonEmission.recorded_at >= utc_of(periods[0].from_s),
                CarbonEmission.recorded_at < utc_of(periods[-1].to_s),
            )
            .group_by(method)
        )
        for name, total in session.execute(query):
            sums[name] = sums.get(name, Decimal(0)) + total
    rows = sorted(sums.items(), key=lambda row: (SCOPES.get(row[0], 9), row[0]))
    return [
        EmissionTotal(scope=SCOPES.get(name), method=name, emissions_t=total)
        for name, total in rows
    ]


def _filtered(query: Any, filters: EmissionFilters, devices: Collection[int]) -> Any:
    query = query.where(CarbonEmission.device_id.in_(devices))
    if filters.method is not None:
        query = query.where(CarbonEmission.calculation_method == filters.method.value)
    if filters.scope is not None:
        methods = [name for name, scope in SCOPES.items() if scope == filters.scope]
        query = query.where(CarbonEmission.calculation_method.in_(methods))
    return query


def _ends(session: Session, devices: Collection[int]) -> Iterator[int]:
    """Yield the seconds of the first and of the last row of each device."""
    of, at = CarbonEmission.device_id, CarbonEmission.recorded_at
    for ends in ends_among(session, Device.id, devices, of, at).values():
        yield from (int(moment.timestamp()) for moment in ends)


def _quantity(method: str) -> str:
    return "fuel_kg" if method == SCOPE1 else "consumption_kwh"
