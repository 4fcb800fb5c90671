"""The inventory: what a site emitted, by scope and method, in ``carbon_emissions``.

It is a book of its own beside the reductions and never mixes with them: average factors, rounded
half away from zero to 0.000001 t, one row for each device, legal day and method::

    scope1_fuel      fuel burnt on the site:          FC x NCV x CC x OF x 44/12
    location_based   electricity drawn from the grid: kWh x average of the grid      GHG Protocol,
    market_based     the same electricity:            kWh x residual or contract     Scope 2 Guidance

The two methods of Scope 2 count the same energy: they are read side by side and never added.
Electricity drawn is what a supplying meter draws, and what an import meter counts. A load is counted
where the site has no import meter; otherwise the import meter has it already. Storage draws what
another meter has counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

from sqlalchemy import Column, Table, delete, insert, select
from sqlalchemy.orm import Session

from ledger.errors import BadInput
from ledger.models import CarbonEmission, Device, EmissionFactor, Meter, Site
from ledger.models.sites import MeterRole
from ledger.naming import site_named
from ledger.readings.periods.factor_rows import factor_record
from ledger.readings.periods.period import check_days
from ledger.readings.rows.meter_state import MeterState
from ledger.reductions.factors import factor_kg_per_kwh, fuel_kg, fuel_t
from ledger.reductions.records import Kind, Role
from ledger.reductions.zones import legal_day, legal_day_start_s, utc_of, zone
from ledger.units import KG_PER_TONNE, decimal_half_up

_TABLE = cast("Table", CarbonEmission.__table__)
SCOPE1, LOCATION, MARKET = "scope1_fuel", "location_based", "market_based"
SCOPES = {SCOPE1: 1, LOCATION: 2, MARKET: 2}
"""Scope of each method; the methods are values of ``calculation_method``."""
PERIODS = ("day", "month")
"""What emissions may be listed by."""


class Inventory:
    """The inventory of one meter.

    Parameters
    ----------
    session
        The unit of work.
    site, meter
        Whose emissions they are.
    """

    def __init__(self, session: Session, site: Site, meter: MeterState) -> None:
        self.session = session
        self._site = site
        self._meter = meter
        self._methods: list[tuple[str, _Versions]] = []
        self._density: str | None = None
        if meter.role is Role.FUEL:
            row = session.get_one(Meter, meter.id)
            self._density = row.density_kg_per_l
            self._add(SCOPE1, row.fuel_factor_id)
        elif draws(session, site.id, meter.role):
            self._add(LOCATION, site.inventory_factor_id)
            self._add(MARKET, site.market_factor_id)

    def _add(self, method: str, factor_id: int | None) -> None:
        if factor_id is not None:
            self._methods.append((method, _Versions(self.session, self._site, factor_id)))

    def rows(self, quantities: Mapping[int, tuple[Fraction, Fraction]]) -> list[dict[str, Any]]:
        """Return the rows of some legal days, without when they were made.

        Parameters
        ----------
        quantities
            By the first second of a day: the sums of positive and of negative values, in kWh, kg or
            litres.
        """
        emissions = _TABLE.c.emissions
        sign = 1 if self._meter.role.supplies else 0
        rows = [
            {
                "device_id": self._meter.device_id,
                **self._emission(method, versions.of(start_s), both[sign]),
                "recorded_at": utc_of(start_s),
            }
            for start_s, both in quantities.items()
            if both[sign]
            for method, versions in self._methods
        ]
        return [row for row in rows if self._fits(emissions, row)]

    def _fits(self, column: Column[Decimal], row: Mapping[str, Any]) -> bool:
        start_s = int(row["recorded_at"].timestamp())
        return self._meter.fits(column, start_s, int(row["emissions"].scaleb(6)))

    def _emission(self, method: str, row: EmissionFactor, quantity: Fraction) -> dict[str, Any]:
        """Return emissions, method and factors of one day."""
        factor = factor_record(row)
        factors: dict[str, Any] = {
            "scope": SCOPES[method],
            "factor": factor.code,
            "version": factor.version,
            "value": factor.value,
            "unit": factor.unit,
        }
        if method == SCOPE1:
            kind, density = self._meter.limits.kind, self._density or factor.density_kg_per_l
            tonnes = fuel_t(quantity, kind, factor, density)
            mass_kg = fuel_kg(quantity, kind, factor, density)
            factors["ncv_gj_per_t"] = factor.ncv_gj_per_t
            factors["oxidation_share"] = factor.oxidation_share or "1"
            if kind is Kind.FUEL_VOLUME:
                factors["density_kg_per_l"] = density
            factors["fuel_kg"] = format(decimal_half_up(mass_kg, 9), "f")
        else:
            tonnes = quantity * factor_kg_per_kwh(factor) / KG_PER_TONNE
            factors["consumption_kwh"] = format(decimal_half_up(quantity, 9), "f")
        return {
            "emissions": decimal_half_up(tonnes, 6),
            "calculation_method": method,
            "factors": factors,
        }


class _Versions:
    """The factor of a use, on each legal day in the version that is valid then.

    It is the version that the site file names where that one is valid; else the one recorded last, of those that the
    site file has been applied with; else the named one all the same, as something was emitted.
    """

    def __init__(self, session: Session, site: Site, factor_id: int) -> None:
        self._named = named = session.get_one(EmissionFactor, factor_id)
        self._zone = zone(site.time_zone)
        self._others: list[EmissionFactor] = []
        bounded = named.valid_from is not None or named.valid_to is not None
        if bounded and site.factors_until is not None:
            query = select(EmissionFactor).where(
                EmissionFactor.code == named.code,
                EmissionFactor.purpose == named.purpose,
                EmissionFactor.id != named.id,
                EmissionFactor.id <= site.factors_until,
            )
            self._others += session.scalars(query.order_by(EmissionFactor.id.desc()))

    def of(self, start_s: int) -> EmissionFactor:
        """Return the version of the legal day that begins then."""
        if not self._others:
            return self._named
        day = legal_day(start_s, self._zone)
        valid = (row for row in (self._named, *self._others) if _is_valid(row, day))
        return next(valid, self._named)


def _is_valid(row: EmissionFactor, day: date) -> bool:
    return (row.valid_from is None or row.valid_from <= day) and (
        row.valid_to is None or day <= row.valid_to
    )


def draws(session: Session, site_id: int, role: Role) -> bool:
    """Return whether a meter of a role counts electricity that the site draws, and nobody else does."""
    if role is Role.LOAD:
        query = select(Meter.id).where(Meter.site_id == site_id, Meter.role == MeterRole.IMPORT)
        return session.scalars(query.limit(1)).first() is None
    return role.supplies or role is Role.IMPORT


def replace_rows(
    session: Session, device_id: int, period: tuple[int, int], rows: Iterable[Mapping[str, Any]]
) -> None:
    """Replace the rows of a device for a time, ``[from_s, to_s)``, by those that ``Inventory.rows`` gave."""
    clear(session, _TABLE, device_id, *period)
    now = datetime.now(UTC)
    made = [{**row, "created_at": now} for row in rows]
    if made:
        session.execute(insert(_TABLE), made)


def clear(session: Session, table: Table, device_id: int, from_s: int, to_s: int) -> None:
    """Delete the rows of a device in a range."""
    recorded_at: Column[datetime] = table.c.recorded_at
    session.execute(
        delete(table).where(
            table.c.device_id == device_id,
            recorded_at >= utc_of(from_s),
            recorded_at < utc_of(to_s),
        )
    )


def emissions_of(
    session: Session, site_code: str, start: date, end: date, by: str | None = None
) -> dict[str, Any]:
    """Return the inventory of a site as JSON.

    Parameters
    ----------
    start, end
        Legal dates of the site, ``end`` exclusive.
    by
        ``day`` or ``month``; None: the whole period.

    Returns
    -------
    dict
        ``rows`` by period, device, method and factor, and ``totals`` by scope and method; the two
        methods of Scope 2 stand side by side. Tonnes, kilowatt-hours and kilograms as decimal text. ``hint`` says
        why there is nothing, where the site file lacks the factor.

    Raises
    ------
    NotFound
        There is no such site.
    BadInput
        The period is empty or lies beyond the calendar, or ``by`` is neither.
    """
    if by not in (None, *PERIODS):
        raise BadInput(f"--by {by}: write {' or '.join(PERIODS)}, or leave it out")
    check_days(start, end)
    site = site_named(session, site_code)
    where = zone(site.time_zone)
    query = (
        select(CarbonEmission, Device.device_id)
        .join(Device, Device.id == CarbonEmission.device_id)
        .join(Meter, Meter.device_id == Device.id)
        .where(
            Meter.site_id == site.id,
            CarbonEmission.recorded_at >= utc_of(legal_day_start_s(start, where)),
            CarbonEmission.recorded_at < utc_of(legal_day_start_s(end, where)),
        )
        .order_by(CarbonEmission.recorded_at, Device.device_id, CarbonEmission.calculation_method)
    )
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for emission, device in session.execute(query):
        day = legal_day(int(emission.recorded_at.timestamp()), where)
        _add_row(rows, emission, device, _period(day, by))
    found = list(rows.values())
    document = {
        "site": site.code,
        "period": {"from": start.isoformat(), "to": end.isoformat()},
        "rows": [_as_text(row) for row in found],
        "totals": _totals(found),
    }
    if not found and site.inventory_factor_id is None:
        document["hint"] = (
            f"site {site.code} has no inventory_factor, so that no electricity counts in its inventory: write one "
            "into [site], and apply the site file again"
        )
    return document


def _period(day: date, by: str | None) -> str | None:
    text = day.isoformat()
    return {"day": text, "month": text[:7], None: None}[by]


def _add_row(
    rows: dict[tuple[Any, ...], dict[str, Any]],
    emission: CarbonEmission,
    device: str,
    period: str | None,
) -> None:
    factors, method = emission.factors or {}, emission.calculation_method
    name = "fuel_kg" if method == SCOPE1 else "consumption_kwh"
    key = (period, device, method, factors.get("factor"), factors.get("version"))
    row = rows.get(key)
    if row is None:
        row = rows[key] = {} if period is None else {"period": period}
        row |= {
            "device": device,
            "scope": SCOPES.get(method),
            "method": method,
            "factor": factors.get("factor"),
            "version": factors.get("version"),
            "value": factors.get("value"),
            "unit": factors.get("unit"),
            name: Decimal(0),
            "emissions_t": Decimal(0),
        }
    row[name] += Decimal(factors.get(name, 0))
    row["emissions_t"] += emission.emissions


def _totals(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    totals: dict[str, Decimal] = {}
    for row in rows:
        totals[row["method"]] = totals.get(row["method"], Decimal(0)) + row["emissions_t"]
    return [
        {"scope": SCOPES.get(method), "method": method, "emissions_t": format(total, "f")}
        for method, total in sorted(totals.items(), key=lambda item: (SCOPES.get(item[0], 9), item))
    ]


def _as_text(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: format(value, "f") if isinstance(value, Decimal) else value
        for name, value in row.items()
    }
