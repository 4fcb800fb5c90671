"""What a row must satisfy by itself: one small function for each rule.

A rule takes a row and raises ``Wrong``; rules that look at other rows stand in ``together``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from ledger.clock import time_text
from ledger.codes import blank_around
from ledger.models.devices import AlertStatus
from ledger.models.settlement import BidStatus, TrainingStatus
from ledger.models.vpp import OperationalStatus, ResourceType, VppStatus
from ledger.park.alert_rules import RULE_TYPES, read_rules
from ledger.park.reading import read_decimal
from ledger.park.rows import Row
from ledger.spreadsheets import Wrong

Rule = Callable[[Row], None]

KW_OF = {"W": Decimal("0.001"), "kW": Decimal(1), "MW": Decimal(1000)}
"""Units of a capacity, in kW."""
AHEAD = timedelta(days=1)
"""How far in the future a time of what has happened may lie: clocks and zones differ."""
_CURRENCY = re.compile("[A-Z]{3}")
_PERCENT = ("_percent", "_pct")
_SHARE = ("_ratio", "_share")
_CHARGE = ("soc", "state_of_charge")


def in_order(earlier: str, later: str, *, apart: bool = True) -> Rule:
    """Return the rule that one time of a row is before another (or, unless ``apart``, not after it)."""

    def rule(row: Row) -> None:
        first, second = row[earlier], row[later]
        if first is None or second is None:
            return
        if second < first or (apart and second == first):
            said = "not after" if apart else "before"
            raise Wrong(later, f"is {said} {earlier}")

    return rule


def happened(*columns: str) -> Rule:
    """Return the rule that times of what has happened do not lie in the future."""

    def rule(row: Row) -> None:
        for column in columns:
            if row[column] is not None and row[column] > datetime.now(UTC) + AHEAD:
                raise Wrong(column, "lies in the future, more than a day from now")

    return rule


def named_limits(column: str) -> Rule:
    """Return the rule that the members of an object keep the limits that their names imply.

    A state of charge and ``..._percent`` lie from 0 to 100, ``..._ratio`` and ``..._share`` from 0 to 1, and
    ``min_x`` is not above ``max_x`` (nor ``x_min`` above ``x_max``).
    """

    def rule(row: Row) -> None:
        if row[column] is not None:
            _check_members(column, "", row[column])

    return rule


def _check_members(column: str, path: str, found: Mapping[str, Any]) -> None:
    for name, value in found.items():
        where = f"{path}{name}"
        if isinstance(value, dict):
            _check_members(column, f"{where}.", value)
            continue
        if isinstance(value, list):
            for place, item in enumerate(value, 1):
                if isinstance(item, dict):
                    _check_members(column, f"{where}, {place}: ", item)
        if value is None:
            continue
        high, other = _high_of(name), _greater_of(name)
        if high is not None and not 0 <= _member(column, where, value) <= high:
            raise Wrong(column, f"{where}: {value} is not between 0 and {high}")
        if other is None or (top := found.get(other)) is None:
            continue
        if _member(column, where, value) > _member(column, other, top):
            raise Wrong(column, f"{where}: {value} is above {other}, {top}")


def _high_of(name: str) -> int | None:
    if name in _CHARGE or name.endswith(_PERCENT):
        return 100
    return 1 if name.endswith(_SHARE) else None


def _greater_of(name: str) -> str | None:
    if name.startswith("min_"):
        return "max_" + name.removeprefix("min_")
    if name.endswith("_min"):
        return name.removesuffix("_min") + "_max"
    return name.replace("_min_", "_max_") if "_min_" in name else None


def _member(column: str, where: str, value: object) -> Decimal:
    try:
        return read_decimal(column, value)
    except Wrong as wrong:
        raise Wrong(column, f"{where}: {wrong.message}") from None


def validation_rules(row: Row) -> None:
    """Alert rules of a device type can be read, and what they name has no blank around it where it is new."""
    try:
        before = read_rules(row.before.get("validation_rules"))
    except Wrong:  # an earlier build, or another program, wrote them
        before = ()
    known = {text for rule in before for text in (rule.metric, rule.unit)}
    for number, rule in enumerate(read_rules(row["validation_rules"]), 1):
        for name, text in (("metric", rule.metric), ("unit", rule.unit)):
            if text not in known and (why := blank_around(text or "")):
                raise Wrong("validation_rules", f"alerts, rule {number}: {name} {why}")


def capacity_unit(row: Row) -> None:
    """A capacity is in W, kW or MW."""
    if row["unit"] not in KW_OF:
        raise Wrong("unit", f"{row['unit']!r} is none of {', '.join(KW_OF)}")


def technical_limits(row: Row) -> None:
    """No power or energy of a resource is negative, and none charges or discharges beyond its capacity."""
    found = row["technical_params"] or {}
    for name, value in found.items():
        if name.endswith(("_kw", "_kwh")) and value is not None:
            number = _member("technical_params", name, value)
            if number < 0:
                raise Wrong("technical_params", f"{name}: {value} is below zero")
            rated = row["capacity"] * KW_OF[row["unit"]]
            if name in ("charge_kw", "discharge_kw", "min_kw", "max_kw") and number > rated:
                raise Wrong(
                    "technical_params", f"{name}: {value} is above the capacity, {rated} kW"
                )


def state_within_capacity(row: Row) -> None:
    """A resource's power and what can be called on lie within its capacity; only a store or a load takes power."""
    resource = row.parents["resource_code"]
    capacity, output = resource.capacity, row["current_output"]
    if abs(output) > capacity:
        raise Wrong(
            "current_output", f"{output} is beyond the capacity, {capacity} {resource.unit}"
        )
    if output < 0 and resource.type not in (ResourceType.BATTERY, ResourceType.LOAD):
        raise Wrong(
            "current_output", f"{output}: a resource of type {resource.type.value} takes no power"
        )
    if row["available_capacity"] > capacity:
        raise Wrong(
            "available_capacity",
            f"{row['available_capacity']} is above the capacity, {capacity} {resource.unit}",
        )
    if row["operational_status"] is OperationalStatus.STOPPED and output:
        raise Wrong("current_output", f"{output}, and the resource is stopped")


def state_not_older(row: Row) -> None:
    """A state does not take the place of a later one, nor of another of the same time."""
    before = row.before.get("last_updated")
    if before is not None and row.differing and row["last_updated"] <= before:
        raise Wrong(
            "last_updated", f"is not after {time_text(before)}, of the state that is recorded"
        )


def trades_by_itself_within_limits(row: Row) -> None:
    """A plant trades by itself only while it is in use, and within limits that somebody has named."""
    if not row["auto_trading_enabled"]:
        return
    plant = row.parents["vpp_code"]
    if plant.status is VppStatus.INACTIVE:
        raise Wrong("auto_trading_enabled", f"plant {plant.vpp_id} is inactive")
    if not row["risk_parameters"]:
        raise Wrong("risk_parameters", "a plant that trades by itself needs its limits named here")


def two_markets(row: Row) -> None:
    """A pair names two markets."""
    parts = [part.strip() for part in row["market_pair"].split("/")]
    if len(parts) != 2 or not all(parts) or parts[0] == parts[1]:
        raise Wrong("market_pair", f"{row['market_pair']!r} is not two markets; write A/B")


def allocation_adds_up(row: Row) -> None:
    """The powers of the resources add up to the power in all, exactly."""
    found = row["resource_allocation"]
    if not found:
        raise Wrong("resource_allocation", 'names no resource; write {"CODE": "kW"}')
    total = sum(
        (_member("resource_allocation", code, kw) for code, kw in found.items()), Decimal(0)
    )
    if total != row["total_output"]:
        raise Wrong(
            "total_output", f"{row['total_output']} is not the sum of the allocation, {total}"
        )


def improvement_agrees(row: Row) -> None:
    """A price that was not changed was not improved."""
    if row["original_price"] == row["optimized_price"] and row["improvement_percentage"]:
        raise Wrong("improvement_percentage", "is not zero, and the price is what it was")


def value_changes(row: Row) -> None:
    """An adjustment changes the value."""
    if row["old_value"] == row["new_value"]:
        raise Wrong("new_value", "is what the value was before")


def weights_not_negative(row: Row) -> None:
    """There is an aim at least, and no weight is negative."""
    if not row["objectives"]:
        raise Wrong("objectives", "names no aim")
    for name, value in row["objectives"].items():
        weight = value.get("weight") if isinstance(value, dict) else value
        if weight is not None and not isinstance(weight, bool | list):
            try:
                number = read_decimal("objectives", weight)
            except Wrong:
                continue  # an aim may be described in words
            if number < 0:
                raise Wrong("objectives", f"{name}: weight {weight} is below zero")


def step_has_next(row: Row) -> None:
    """A step that does not end its episode has a state after it."""
    if not row["done"] and row["next_state"] is None:
        raise Wrong("next_state", "is empty, and the step does not end its episode (done is false)")


def currency_code(row: Row) -> None:
    """A currency is three capital letters."""
    if not _CURRENCY.fullmatch(row["currency"]):
        raise Wrong("currency", f"{row['currency']!r} is no code of ISO 4217, such as EUR")


def power_not_beyond(row: Row) -> None:
    """An order is within what the resource can do."""
    resource = row.parents["resource_code"]
    limit = resource.capacity * KW_OF.get(resource.unit, Decimal(1))
    if abs(row["power_kw"]) > limit:
        raise Wrong("power_kw", f"{row['power_kw']} is beyond the capacity, {limit} kW")
    takes = resource.type in (ResourceType.BATTERY, ResourceType.LOAD)
    if row["power_kw"] < 0 and not takes:
        raise Wrong(
            "power_kw",
            f"{row['power_kw']}: a resource of type {resource.type.value} takes no power",
        )
    _within_technical(row, resource.technical_params or {})


def _within_technical(row: Row, found: Mapping[str, Any]) -> None:
    name = "charge_kw" if row["power_kw"] < 0 else "discharge_kw"
    if found.get(name) is not None:
        most = _member("power_kw", name, found[name])
        if abs(row["power_kw"]) > most:
            raise Wrong("power_kw", f"{row['power_kw']} is beyond the resource's {name}, {most}")


def error_only_of(failed: StrEnum) -> Rule:
    """Return the rule that an error stands only with the state of failure."""

    def rule(row: Row) -> None:
        if row["error"] is not None and row["status"] is not failed:
            raise Wrong("error", f"only what has {failed.value} has an error")

    return rule


def training_ends(row: Row) -> None:
    """A training that is over says when, and one that goes on does not."""
    over = row["status"] is not TrainingStatus.RUNNING
    if over is (row["finished_at"] is None):
        said = (
            "is empty, and the training is over"
            if over
            else "is there, and the training is running"
        )
        raise Wrong("finished_at", said)


def alert_is_foreign(row: Row) -> None:
    """What the rules of device types raise is not imported: it follows from the data."""
    if row["alert_type"] in RULE_TYPES:
        raise Wrong(
            "alert_type",
            f"{row['alert_type']!r} is raised by the rules of the device type; name another type",
        )


def alert_ends(row: Row) -> None:
    """An alert that is resolved says when, and another does not."""
    resolved = row["status"] is AlertStatus.RESOLVED
    if resolved is (row["resolved_at"] is None):
        said = (
            "is empty, and the alert is resolved"
            if resolved
            else "is there, and the alert is not resolved"
        )
        raise Wrong("resolved_at", said)


def trade_of_accepted(row: Row) -> None:
    """Only a bid that was accepted led to a trade."""
    if row["trade_id"] is not None and row["status"] is not BidStatus.ACCEPTED:
        raise Wrong("trade_id", "only a bid that was accepted led to a trade")


def checked(row: Row, rules: tuple[Rule, ...]) -> Iterator[Wrong]:
    """Yield what is wrong with a row by the first of the rules that it breaks."""
    for rule in rules:
        try:
            rule(row)
        except Wrong as wrong:
            yield wrong
            return
