"""The alert rules of a device type, as ``device_types.validation_rules`` has them.

::

    {"alerts": [
        {"type": "above", "metric": "active_power", "limit": "2100", "unit": "kW",
         "severity": "high", "for_minutes": 20},
        {"type": "rate", "metric": "active_power", "limit": "500", "per_minutes": 10, "severity": "medium"},
        {"type": "missing", "metric": "active_power", "minutes": 60, "severity": "high"},
        {"type": "stuck", "metric": "active_power", "minutes": 720, "except": ["0"], "severity": "low"}
    ]}

One rule for each type and metric, so that one alert of them is active at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from ledger.models.devices import AlertSeverity
from ledger.park.reading import read_decimal
from ledger.spreadsheets import Wrong
from ledger.units import counted

COLUMN = "validation_rules"
RULES_MAX = 50
MINUTES_MAX = 366 * 24 * 60


class RuleType(StrEnum):
    """What a rule watches for; also the type of the alert that it raises."""

    ABOVE = "above"
    BELOW = "below"
    RATE = "rate"
    MISSING = "missing"
    STUCK = "stuck"


RULE_TYPES = frozenset(item.value for item in RuleType)
_USUAL = {"type", "metric", "severity"}
_MEMBERS = {
    RuleType.ABOVE: ({"limit"}, {"unit", "for_minutes"}),
    RuleType.BELOW: ({"limit"}, {"unit", "for_minutes"}),
    RuleType.RATE: ({"limit", "per_minutes"}, {"unit"}),
    RuleType.MISSING: ({"minutes"}, set()),
    RuleType.STUCK: ({"minutes"}, {"except"}),
}
"""What a rule of each type must have, and may have."""


Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True)
class AlertRule:
    """One rule.

    Parameters
    ----------
    limit
        Above or below which a value is wrong, in the metric's unit; of a rate, the most that it may change in
        ``minutes``.
    unit
        Unit that the limit is in; values in another are not judged. None: whatever they are in.
    minutes
        Above, below: how long it must last to be told. Rate: the time that ``limit`` is for. Missing, stuck: how
        long is too long.
    ignored
        Values that may stand still.
    """

    type: RuleType
    metric: str
    severity: AlertSeverity
    limit: Decimal | None = None
    unit: str | None = None
    minutes: int = 0
    ignored: frozenset[Decimal] = frozenset()

    @property
    def said(self) -> str:
        """The rule in a few words."""
        unit = f" {self.unit}" if self.unit else ""
        time = counted(self.minutes, "minute")
        if self.type in (RuleType.ABOVE, RuleType.BELOW):
            lasting = f" for {time}" if self.minutes else ""
            return f"{self.type.value} {self.limit}{unit}{lasting}"
        if self.type is RuleType.RATE:
            return f"changed by more than {self.limit}{unit} in {time}"
        if self.type is RuleType.MISSING:
            return f"missing for more than {time}"
        return f"the same for {time}"


def read_rules(found: Mapping[str, Any] | None) -> tuple[AlertRule, ...]:
    """Return the rules of a device type; none where nothing is said.

    Raises
    ------
    Wrong
        If they cannot be read: which rule, which member, and how to mend it.
    """
    if found is None:
        return ()
    unknown = sorted(set(found) - {"alerts"})
    if unknown:
        raise Wrong(COLUMN, f"unknown member {unknown[0]!r}; there is alerts")
    listed = found.get("alerts", [])
    if not isinstance(listed, list) or len(listed) > RULES_MAX:
        raise Wrong(COLUMN, f"alerts is not a list of at most {RULES_MAX} rules")
    rules = []
    seen: dict[tuple[str, str], int] = {}
    for number, item in enumerate(listed, 1):
        rule = _rule(number, item)
        earlier = seen.setdefault((rule.type.value, rule.metric), number)
        if earlier != number:
            raise _wrong(
                number,
                "metric",
                f"rule {earlier} watches {rule.metric} for {rule.type.value} already",
            )
        rules.append(rule)
    return tuple(rules)


def _rule(number: int, item: Any) -> AlertRule:
    if not isinstance(item, dict):
        raise Wrong(COLUMN, f"alerts, rule {number}: is not an object")
    kind = _choice(number, item, "type", RuleType)
    needed, further = _MEMBERS[kind]
    for name in sorted(_USUAL | needed):
        if name not in item:
            raise _wrong(number, name, f"is missing; a rule of type {kind.value} needs it")
    unknown = sorted(set(item) - _USUAL - needed - further)
    if unknown:
        raise _wrong(number, unknown[0], f"is no member of a rule of type {kind.value}")
    metric = _text(number, item, "metric", 100)
    minutes_name = {
        RuleType.RATE: "per_minutes",
        RuleType.MISSING: "minutes",
        RuleType.STUCK: "minutes",
    }
    name = minutes_name.get(kind, "for_minutes")
    limit = _number(number, "limit", item["limit"]) if "limit" in needed else None
    if kind is RuleType.RATE and limit is not None and limit < 0:
        raise _wrong(number, "limit", f"{item['limit']} is below zero; a rate has no direction")
    return AlertRule(
        type=kind,
        metric=metric,
        severity=_choice(number, item, "severity", AlertSeverity),
        limit=limit,
        unit=_text(number, item, "unit", 20) if "unit" in item else None,
        minutes=_minutes(number, item, name, 0 if name == "for_minutes" else 1),
        ignored=_ignored(number, item),
    )


def _choice(number: int, item: Mapping[str, Any], name: str, kinds: type[Choice]) -> Choice:
    found = item.get(name)
    if not isinstance(found, str) or found not in set(kinds):
        raise _wrong(number, name, f"{found!r} is none of {', '.join(kinds)}")
    return kinds(found)


def _text(number: int, item: Mapping[str, Any], name: str, longest: int) -> str:
    found = item[name]
    if not isinstance(found, str) or not 0 < len(found) <= longest:
        raise _wrong(number, name, f"is not a text of at most {longest} characters")
    return found


def _minutes(number: int, item: Mapping[str, Any], name: str, least: int) -> int:
    found = item.get(name, 0)
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= MINUTES_MAX:
        raise _wrong(number, name, f"{found!r} is not a whole number from {least} to {MINUTES_MAX}")
    return found


def _ignored(number: int, item: Mapping[str, Any]) -> frozenset[Decimal]:
    found = item.get("except", [])
    if not isinstance(found, list):
        raise _wrong(number, "except", "is not a list of values")
    return frozenset(_number(number, "except", value) for value in found)


def _number(number: int, name: str, value: object) -> Decimal:
    try:
        return read_decimal(COLUMN, value)
    except Wrong as wrong:
        raise _wrong(number, name, wrong.message) from None


def _wrong(number: int, name: str, message: str) -> Wrong:
    return Wrong(COLUMN, f"alerts, rule {number}: {name} {message}")
