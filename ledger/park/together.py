"""What rows must satisfy together with others, in their file and in the books.

A rule is given the rows that would be written, all of them, and marks those that may not be: so the order of a
file's rows does not matter. Rows that it reads are locked, and whoever writes records of a park waits for their
turn, so two writers at once cannot both be right and wrong together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.clock import time_text
from ledger.errors import BadInput
from ledger.models import (
    AdvancedTradingConfig,
    DeviceAlert,
    VppDefinition,
    VppDispatchCommand,
    VppResource,
    VppResourceAssociation,
    VppResourceInstance,
    VppTradingRecord,
)
from ledger.models.devices import AlertStatus
from ledger.models.settlement import CommandStatus, ForecastKind
from ledger.models.trading import TradeType
from ledger.models.vpp import VppStatus
from ledger.park.rows import Row
from ledger.park.rules import KW_OF
from ledger.spreadsheets import Wrong

T = TypeVar("T")
Together = Callable[[Session, Sequence[Row]], None]
COMMAND_S_MAX = 7 * 86_400
"""Longest order to a resource, in seconds."""
_ASKED = 500
_POWER_OR_ENERGY = tuple(f"{scale}{unit}" for unit in ("W", "Wh") for scale in ("", "k", "M", "G"))
_USUAL = f"energy or power is in {', '.join(_POWER_OR_ENERGY)}"


def shares_within_one(session: Session, rows: Sequence[Row]) -> None:
    """The shares of a resource in all plants come to 1 at most, exactly."""
    shares = _shares(session, {row["resource_code"] for row in rows})
    for row in rows:
        shares[row["resource_code"]][row["vpp_code"]] = row["allocation_ratio"]
    for row in rows:
        total = sum(shares[row["resource_code"]].values(), Decimal(0))
        raised = row["allocation_ratio"] > row.before.get("allocation_ratio", Decimal(0))
        if total > 1 and raised:
            code = row.parents["resource_code"].resource_id
            row.wrong = Wrong(
                "allocation_ratio",
                f"the shares of resource {code} would come to {total}, more than 1",
            )


def require_shares(session: Session, resource_ids: Iterable[int]) -> None:
    """Check the shares that stand in the books, in the unit of work that wrote them.

    Raises
    ------
    BadInput
        If those of a resource come to more than 1.
    """
    session.flush()
    for resource_id, shares in _shares(session, set(resource_ids)).items():
        total = sum(shares.values(), Decimal(0))
        if total > 1:
            resource = session.get_one(VppResource, resource_id)
            query = select(VppDefinition.vpp_id).where(VppDefinition.id.in_(shares))
            plants = ", ".join(session.scalars(query.order_by(VppDefinition.vpp_id)))
            raise BadInput(
                f"resource {resource.resource_id}: its shares in {plants} come to {total}, more than 1",
                code="shares",
            )


def _shares(session: Session, resource_ids: set[int]) -> dict[int, dict[int, Decimal]]:
    """Return the share of each plant, by resource; the rows are locked, and read as they are now."""
    found: dict[int, dict[int, Decimal]] = defaultdict(dict)
    for piece in pieces(sorted(resource_ids)):
        query = (
            select(
                VppResourceAssociation.resource_id,
                VppResourceAssociation.vpp_id,
                VppResourceAssociation.allocation_ratio,
            )
            .where(VppResourceAssociation.resource_id.in_(piece))
            .with_for_update()
        )
        for resource_id, vpp_id, ratio in session.execute(query):
            found[resource_id][vpp_id] = ratio
    return found


def dispatched_to_members(session: Session, rows: Sequence[Row]) -> None:
    """An order goes to a resource of the plant, and within the plant's share of it."""
    shares = _shares(session, {row["resource_code"] for row in rows})
    for row in rows:
        resource, plant = row.parents["resource_code"], row.parents["vpp_code"]
        share = shares[resource.id].get(plant.id)
        if not share:
            row.wrong = Wrong(
                "resource_code", f"resource {resource.resource_id} is not in plant {plant.vpp_id}"
            )
            continue
        most = share * resource.capacity * KW_OF.get(resource.unit, Decimal(1))
        if abs(row["power_kw"]) > most:
            row.wrong = Wrong(
                "power_kw",
                f"{row['power_kw']} is beyond the plant's share of {resource.resource_id}, "
                f"{most.normalize():f} kW",
            )


def allocated_to_members(session: Session, rows: Sequence[Row]) -> None:
    """A dispatch names resources of its plant alone, none beyond its capacity."""
    query = select(
        VppResourceAssociation.vpp_id,
        VppResource.resource_id,
        VppResource.capacity,
        VppResource.unit,
    ).join(VppResource, VppResource.id == VppResourceAssociation.resource_id)
    members: dict[tuple[int, str], Decimal] = {}
    for piece in pieces(sorted({row["vpp_code"] for row in rows})):
        for vpp_id, code, capacity, unit in session.execute(
            query.where(VppResourceAssociation.vpp_id.in_(piece))
        ):
            members[vpp_id, code] = capacity * KW_OF.get(unit, Decimal(1))
    for row in rows:
        plant = row.parents["vpp_code"]
        for code, kw in row["resource_allocation"].items():
            most = members.get((plant.id, code))
            if most is None:
                said = f"resource {code!r} is not in plant {plant.vpp_id}"
                row.wrong = Wrong("resource_allocation", said)
            elif abs(Decimal(kw)) > most:
                said = f"{code}: {kw} is beyond the capacity, {most.normalize():f} kW"
                row.wrong = Wrong("resource_allocation", said)


def orders_apart(session: Session, rows: Sequence[Row]) -> None:
    """A plant gives a resource one order for a time; those that failed do not count, one that is recorded goes on."""
    live = [row for row in rows if row["status"] is not CommandStatus.FAILED]
    if not live:
        return
    spans = _recorded_orders(session, live)
    for row in rows:  # a row takes the place of what is recorded of it
        spans[row["vpp_code"], row["resource_code"]].pop(row["starts_at"], None)
    for row in live:
        end = _end(row["starts_at"], row["duration_s"])
        spans[row["vpp_code"], row["resource_code"]][row["starts_at"]] = end, f"in line {row.line}"
    clashes = {key: _clashes(found) for key, found in spans.items()}
    for row in live:
        other = clashes[row["vpp_code"], row["resource_code"]].get(row["starts_at"])
        if other is not None and row.old is None:  # of another only the state may change
            said = f"overlaps an order to the same resource that is {other}"
            row.wrong = Wrong("starts_at", said)


def _recorded_orders(
    session: Session, live: Sequence[Row]
) -> dict[tuple[int, int], dict[datetime, tuple[datetime, str]]]:
    """Return recorded orders near those of a file: end and place by start, by plant and resource."""
    spans: dict[tuple[int, int], dict[datetime, tuple[datetime, str]]] = defaultdict(dict)
    first = min(row["starts_at"] for row in live) - timedelta(seconds=COMMAND_S_MAX)
    last = max(_end(row["starts_at"], row["duration_s"]) for row in live)
    for piece in pieces(sorted({row["resource_code"] for row in live})):
        query = select(VppDispatchCommand).where(
            VppDispatchCommand.resource_id.in_(piece),
            VppDispatchCommand.starts_at.between(first, last),
        )
        for stored in session.scalars(query):
            if stored.status is not CommandStatus.FAILED:
                end = _end(stored.starts_at, stored.duration_s)
                spans[stored.vpp_id, stored.resource_id][stored.starts_at] = end, "recorded"
    return spans


def _clashes(found: Mapping[datetime, tuple[datetime, str]]) -> dict[datetime, str]:
    """Return which of the orders to one resource overlap another, by their starts, with the other one."""
    clash: dict[datetime, str] = {}
    orders = sorted(found.items())
    longest = orders[0] if orders else None  # of those before, the one that ends last
    for order in orders[1:]:
        assert longest is not None
        (start, (end, where)), (after, (its_end, other)) = longest, order
        if after < end:
            clash[after] = f"{where}, from {time_text(start)} to {time_text(end)}"
            clash.setdefault(start, f"{other}, from {time_text(after)}")
        if its_end > end:
            longest = order
    return clash


def _end(start: datetime, seconds: int) -> datetime:
    return start + timedelta(seconds=seconds)


def one_open_alert(session: Session, rows: Sequence[Row]) -> None:
    """A device has one alert of a type that is not resolved."""
    opened = [row for row in rows if row["status"] is not AlertStatus.RESOLVED]
    there: dict[tuple[int, str], dict[datetime, str]] = defaultdict(dict)
    for piece in pieces(sorted({row["device_code"] for row in opened})):
        query = select(
            DeviceAlert.device_id, DeviceAlert.alert_type, DeviceAlert.triggered_at
        ).where(DeviceAlert.device_id.in_(piece), DeviceAlert.status != AlertStatus.RESOLVED)
        for device_id, kind, at in session.execute(query):
            there[device_id, kind][at] = f"of {time_text(at)}"
    for row in rows:
        there[row["device_code"], row["alert_type"]].pop(row["triggered_at"], None)
    for row in opened:
        there[row["device_code"], row["alert_type"]][row["triggered_at"]] = f"in line {row.line}"
    for row in opened:
        found = there[row["device_code"], row["alert_type"]]
        other = next((where for at, where in found.items() if at != row["triggered_at"]), None)
        if other is not None:
            said = f"the device has another alert of this type that is not resolved, {other}"
            row.wrong = Wrong("status", said)


def trades_of_the_plant(session: Session, rows: Sequence[Row]) -> None:
    """A bid's trade is a trade of its plant, on its market and side; the steps of one curve may lead to one trade."""
    wanted = {row["trade_id"] for row in rows if row["trade_id"] is not None}
    found: dict[int, tuple[int, str, TradeType]] = {}
    for piece in pieces(sorted(wanted)):
        query = select(
            VppTradingRecord.id,
            VppTradingRecord.vpp_id,
            VppTradingRecord.market,
            VppTradingRecord.trade_type,
        ).where(VppTradingRecord.id.in_(piece))
        found |= {
            number: (vpp, market, side) for number, vpp, market, side in session.execute(query)
        }
    for row in rows:
        if row["trade_id"] is None:
            continue
        if found.get(row["trade_id"]) != (row["vpp_code"], row["market"], row["side"]):
            said = f"there is no trade {row['trade_id']} of this plant, market and side"
            row.wrong = Wrong("trade_id", said)


def resting_plants_trade_by_nobody(session: Session, rows: Sequence[Row]) -> None:
    """A plant is not taken out of use while it trades by itself."""
    resting = {
        row.number: row
        for row in rows
        if row.old is not None and row.differing.get("status") is VppStatus.INACTIVE
    }
    for piece in pieces(sorted(resting)):
        query = select(AdvancedTradingConfig.vpp_id).where(
            AdvancedTradingConfig.vpp_id.in_(piece),
            AdvancedTradingConfig.auto_trading_enabled.is_(True),
        )
        for number in session.scalars(query):
            code = resting[number]["vpp_code"]
            resting[number].wrong = Wrong(
                "status",
                f"plant {code} trades by itself; first: truetonne park set trading-config vpp_code={code} "
                "auto_trading_enabled=false",
            )


def units_of_resources(session: Session, rows: Sequence[Row]) -> list[str]:
    """Return the warnings of resources whose rating is another: their states, and the plants that share them."""
    changed = {
        row.number: row for row in rows if not {"capacity", "unit"}.isdisjoint(row.differing)
    }
    warnings = []
    plants: set[int] = set()
    for piece in pieces(sorted(changed)):
        members = select(VppResourceAssociation.vpp_id)
        plants |= set(session.scalars(members.where(VppResourceAssociation.resource_id.in_(piece))))
        query = select(VppResourceInstance).where(VppResourceInstance.resource_id.in_(piece))
        for state in session.scalars(query.order_by(VppResourceInstance.resource_id)):
            row = changed[state.resource_id]
            unit, now = row.before.get("unit"), row["unit"]
            if unit != now:
                why = f"was told in {unit}, and is read in {now} now"
            elif max(abs(state.current_output), state.available_capacity) > row["capacity"]:
                why = f"is beyond its capacity of {row['capacity'].normalize():f} {now}"
            else:
                continue
            when = time_text(state.last_updated)
            warnings.append(
                f"resource {row['resource_code']}: its state of {when} {why}; import it anew"
            )
    return warnings + capacity_warnings(session, plants)


def units_of_forecasts(_: Session, rows: Sequence[Row]) -> list[str]:
    """Return the warnings of forecasts in a unit that is none of what they forecast."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row in rows:
        kind, unit = row["kind"], row["unit"]
        of_money = "/" in unit  # money for something
        if of_money is not (kind is ForecastKind.PRICE) or (
            not of_money and unit not in _POWER_OR_ENERGY
        ):
            found[kind.value, unit].append(row.line)
    return [
        f"line {lines[0]}: a forecast of {kind} in {unit}"
        + (f", and {len(lines) - 1} more" if len(lines) > 1 else "")
        + ("; a price is of money for energy, EUR/kWh" if kind == "price" else f"; {_USUAL}")
        for (kind, unit), lines in sorted(found.items())
    ]


def capacity_of_plants(session: Session, rows: Sequence[Row]) -> list[str]:
    """Return the warnings of plants that were written."""
    return capacity_warnings(session, (row.number for row in rows))


def capacity_of_sharers(session: Session, rows: Sequence[Row]) -> list[str]:
    """Return the warnings of plants whose shares were written."""
    return capacity_warnings(session, (row["vpp_code"] for row in rows))


def capacity_warnings(session: Session, vpp_ids: Iterable[int]) -> list[str]:
    """Return a line for each plant that is said to be able to do more than its resources can."""
    found: dict[int, Decimal] = defaultdict(Decimal)
    names: dict[int, VppDefinition] = {}
    for piece in pieces(sorted(set(vpp_ids))):
        query = (
            select(VppDefinition, VppResourceAssociation.allocation_ratio, VppResource)
            .join(VppResourceAssociation, VppResourceAssociation.vpp_id == VppDefinition.id)
            .join(VppResource, VppResource.id == VppResourceAssociation.resource_id)
            .where(VppDefinition.id.in_(piece))
        )
        for plant, ratio, resource in session.execute(query):
            names[plant.id] = plant
            found[plant.id] += ratio * resource.capacity * KW_OF.get(resource.unit, Decimal(1))
    return [
        f"plant {plant.vpp_id}: its capacity of {plant.total_capacity:f} kW is more than the shares of its "
        f"resources come to, {found[number].normalize():f} kW"
        for number, plant in sorted(names.items())
        if plant.total_capacity > found[number]
    ]


def pieces(items: Sequence[T]) -> Iterable[Sequence[T]]:
    """Yield some items at a time, as many as a statement asks for."""
    for at in range(0, len(items), _ASKED):
        yield items[at : at + _ASKED]
