"""Alert rules that no value can break: of a metric that no meter file gives, or with a limit in another unit.

They are no mistake where another program writes that metric. Where none does, somebody believes a device to be
watched that is not. Nor is what came before a change of rules judged by it, until somebody says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ledger.models import Device, DeviceType, Meter, MeterSource
from ledger.park.alert_rules import AlertRule, read_rules
from ledger.park.rows import Row
from ledger.reductions.numbers import COUNTER, METRICS, kind_of
from ledger.reductions.records import Kind
from ledger.spreadsheets import Wrong

Units = Mapping[str, str]
"""Unit of each metric."""
_ALL: Units = dict(METRICS.values())


def of_rows(session: Session, rows: Sequence[Row]) -> list[str]:
    """Return the warnings of device types whose rules were written."""
    given = {row["type_name"] for row in rows if "validation_rules" in row.given}
    changed = {row["type_name"] for row in rows if row.old and "validation_rules" in row.differing}
    query = select(Device.type).where(
        Device.type.in_(sorted(changed)), Device.last_seen.is_not(None)
    )
    return unwatched(session, given) + [
        f"device type {name}: its rules changed; `truetonne alerts evaluate` judges by them what came before"
        for name in sorted(set(session.scalars(query)))
    ]


def of_devices(session: Session, rows: Sequence[Row]) -> list[str]:
    """Return the warnings of devices that are of another type now."""
    changed = [row for row in rows if row.old and "type" in row.differing and row["last_seen"]]
    return retyped(
        session, {row["device_code"]: (row.before["type"], row["type"]) for row in changed}
    )


def retyped(session: Session, types: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return the warnings of devices that are of another type, where one of the two has rules.

    Parameters
    ----------
    types
        The type of each before, and now; of a device that was heard of.
    """
    named = sorted({name for both in types.values() for name in both})
    query = select(DeviceType).where(DeviceType.type_name.in_(named))
    ruled = {item.type_name for item in session.scalars(query) if item.validation_rules}
    return [
        f"device {code}: it has the rules of its new type; `truetonne alerts evaluate --device {code}` judges by them "
        "what came before"
        for code, both in types.items()
        if not ruled.isdisjoint(both)
    ]


def unwatched(session: Session, types: Collection[str] | None = None) -> list[str]:
    """Return a line for each rule that no value of a meter file breaks, of some device types or of all."""
    query = select(DeviceType).where(DeviceType.validation_rules.is_not(None))
    if types is not None:
        query = query.where(DeviceType.type_name.in_(sorted(types)))
    given = _given(session)
    found = []
    for item in session.scalars(query.order_by(DeviceType.type_name)):
        try:
            rules = read_rules(item.validation_rules)
        except Wrong:  # another program's, and told elsewhere
            continue
        metrics = given.get(item.type_name)
        for number, rule in enumerate(rules, 1):
            what = f"device type {item.type_name}, rule {number} ({rule.type.value} {rule.metric})"
            found += [f"{what}: {said}" for said in _wrong(rule, metrics)]
    return found


def _wrong(rule: AlertRule, given: Units | None) -> Iterator[str]:
    known = _ALL if given is None else given
    if rule.metric not in known:
        listed = ", ".join(f"{metric} ({unit})" for metric, unit in sorted(known.items()))
        whose = "meter files give" if given is None else "the files of these devices give"
        yield f"{whose} {listed}; nothing is judged by it unless another program writes {rule.metric} into device_data"
    elif rule.unit not in (None, known[rule.metric]):
        yield (
            f"values of {rule.metric} are in {known[rule.metric]}, whatever the file is in, and none is judged by a "
            f"limit in {rule.unit}: write it in {known[rule.metric]}"
        )


def _given(session: Session) -> dict[str, dict[str, str]]:
    """Return the metrics that the sources of devices give, with their units, by type; none of a type without one."""
    feeds = or_(
        MeterSource.device_code == Device.device_id,
        MeterSource.device_column.is_not(None),
    )
    query = (
        select(Device.type, MeterSource.kind, MeterSource.unit)
        .join(Meter, Meter.device_id == Device.id)
        .join(MeterSource, (MeterSource.site_id == Meter.site_id) & feeds)
        .distinct()
    )
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for type_name, kind, unit in session.execute(query):
        measured = Kind.REGISTER if kind.value == COUNTER else kind_of(kind.value, unit)
        metric, its_unit = METRICS[measured]
        found[type_name][metric] = its_unit
    return found
