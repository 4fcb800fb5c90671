"""Alerts of months that were archived stay as they are, whatever comes late for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from ledger.db import Database
from ledger.errors import Refused
from ledger.keeping.moving import archive
from ledger.models import Device, DeviceAlert, DeviceData, DeviceType
from ledger.models.devices import DeviceStatus
from ledger.park import handling, watching
from ledger.park.alerts import evaluate, follow
from tests.support.forms import long
from tests.support.keeping import put_back

HOUR = timedelta(hours=1)
YEAR = datetime.now(UTC).year
START = datetime(YEAR, 1, 29, tzinfo=UTC)
RULES = {
    "alerts": [
        {"type": "above", "metric": "t", "limit": "45", "severity": "high", "for_minutes": 0},
        {"type": "missing", "metric": "t", "minutes": 90, "severity": "high"},
    ]
}
Rules = dict[str, list[dict[str, Any]]]
Told = list[tuple[str, datetime, datetime | None]]


@pytest.fixture(autouse=True)
def archive_put_back(db: Database) -> Iterator[None]:
    with put_back(db):
        yield


def hot_device(db: Database, rules: Rules = RULES) -> None:
    with db.write() as session:
        session.add(DeviceType(id=1, type_name="b", category="c", validation_rules=rules))
        session.flush()
        session.add(Device(id=1, device_id="B", name="B", type="b", status=DeviceStatus.ONLINE))


def store(db: Database, values: list[tuple[datetime, str]]) -> None:
    with db.write() as session:
        session.add_all(
            DeviceData(
                device_id=1, metric_name="t", value=Decimal(value), unit="degC", recorded_at=at
            )
            for at, value in values
        )
        session.flush()
        follow(session, {1: (values[0][0], values[-1][0])})


def told(db: Database) -> Told:
    with db.read() as session:
        found = session.scalars(select(DeviceAlert).order_by(DeviceAlert.triggered_at))
        return [(alert.alert_type, alert.triggered_at, alert.resolved_at) for alert in found]


def judged_again(db: Database) -> Told:
    with db.write() as session:
        evaluate(session, [1], None)
    return told(db)


def test_a_late_value_of_an_archived_month_changes_no_alert(db: Database) -> None:
    """It lies alone in the live table: between it and the first live month there seems to be nothing."""
    hot = {40, 41, 60, 61, 75, 80, 81}  # 72 is the first of February
    values = [(START + n * HOUR, "50" if n in hot else "20") for n in range(100)]
    late = [values.pop(50), values.pop(9)]
    hot_device(db)
    store(db, values)
    before = told(db)
    assert [(kind, at - START) for kind, at, _ in before] == [
        ("missing", 9.5 * HOUR),
        ("above", 40 * HOUR),
        ("missing", 50.5 * HOUR),
        ("above", 60 * HOUR),
        ("above", 75 * HOUR),
        ("above", 80 * HOUR),
    ]
    assert sum(item.rows for item in archive(db, date(YEAR, 2, 1))) == 70
    assert judged_again(db) == before
    for value in late:
        store(db, [value])
        assert told(db) == before
        assert judged_again(db) == before
    store(db, [(START + 30.5 * HOUR, "50"), (START + 73.5 * HOUR, "50")])
    new = [entry for entry in told(db) if entry not in before]
    assert [(kind, at - START) for kind, at, _ in new] == [("above", 73.5 * HOUR)]


def archived(db: Database) -> None:
    """Move January, whose last hour is the 71st after ``START``."""
    assert list(archive(db, date(YEAR, 2, 1)))


def resolved(db: Database, hour: int) -> None:
    moment = START + hour * HOUR
    db.run(lambda session: handling.resolve(session, 1, "known", "otto", moment))


def since(db: Database) -> list[tuple[str, float, float | None]]:
    """Type of each alert, and the hours after ``START`` when it was told and when it ended."""
    return [(kind, (at - START) / HOUR, end and (end - START) / HOUR) for kind, at, end in told(db)]


@long
def test_what_a_person_resolved_is_not_raised_again_when_its_beginning_is_archived(
    db: Database,
) -> None:
    hot_device(db)
    store(db, [(START + n * HOUR, "50") for n in range(100)])
    resolved(db, 10)
    before = told(db)
    archived(db)
    assert judged_again(db) == before
    store(db, [(START + 100 * HOUR, "50"), (START + 101 * HOUR, "20")])
    assert told(db) == before
    store(db, [(START + 102 * HOUR, "50")])
    assert judged_again(db) == told(db)
    assert since(db) == [("above", 0, 10), ("above", 102, None)]


@long
@pytest.mark.parametrize("late", [False, True])
def test_what_a_person_resolved_and_was_over_is_raised_when_it_is_so_anew(
    db: Database, late: bool
) -> None:
    """The values returned in the month that is archived; what breaks the rule first thereafter is another alert."""
    hot_device(db)
    store(db, [(START + n * HOUR, "50") for n in range(20)])
    if not late:
        resolved(db, 19)
    store(db, [(START + n * HOUR, "20") for n in range(20, 72)])
    if late:
        with pytest.raises(Refused):  # over by itself
            resolved(db, 80)
    archived(db)
    store(db, [(START + n * HOUR, "50") for n in range(72, 74)])
    assert judged_again(db) == told(db)
    assert since(db) == [("above", 0, 20 if late else 19), ("above", 72, None)]


@long
def test_an_open_alert_is_resolved_by_the_first_value_after_those_that_were_archived(
    db: Database,
) -> None:
    """Else it stood for ever, and while it did the job told nobody that the device was silent again."""
    hot_device(db)
    store(db, [(START + n * HOUR, "50") for n in range(10)])
    db.run(lambda session: watching.watch(session, START + 20 * HOUR))
    assert since(db) == [("above", 0, None), ("missing", 10.5, None)]
    archived(db)
    assert judged_again(db) == told(db)
    store(db, [(START + n * HOUR, "20") for n in range(3000, 3003)])
    assert since(db) == [("above", 0, 3000), ("missing", 10.5, 3000)]
    db.run(lambda session: watching.watch(session, START + 3010 * HOUR))
    assert since(db)[2:] == [("missing", 3003.5, None)]
    store(db, [(START + 2990 * HOUR, "20")])
    assert since(db)[:2] == [("above", 0, 2990), ("missing", 10.5, 2990)]


@pytest.mark.parametrize(
    ("rule", "values", "worst"),
    [
        ({"type": "above", "limit": "45"}, ["50"] * 5 + ["90"] + ["50"] * 94, "90"),
        ({"type": "below", "limit": "45"}, ["30"] * 5 + ["7"] + ["30"] * 94, "7"),
        ({"type": "rate", "limit": "5", "per_minutes": 60}, ["1", "9"] * 50, "8"),
        ({"type": "stuck", "minutes": 120}, ["4"] * 100, "4"),
    ],
)
def test_one_that_lasts_over_the_archive_goes_on_and_ends(
    db: Database, rule: dict[str, Any], values: list[str], worst: str
) -> None:
    hot_device(db, {"alerts": [{**rule, "metric": "t", "severity": "low"}]})
    store(db, [(START + n * HOUR, value) for n, value in enumerate(values)])
    ((_, began, ended),) = since(db)
    assert ended is None
    archived(db)
    assert judged_again(db) == told(db)
    last = "46.5" if rule["type"] in ("above", "below") else values[-1]
    end = {"above": "45", "below": "45", "rate": last, "stuck": "5"}[rule["type"]]
    store(db, [(START + 100 * HOUR, end)])
    assert since(db) == [(rule["type"], began, 100)]
    with db.read() as session:
        (alert,) = session.scalars(select(DeviceAlert))
    assert (alert.details or {})["worst"] == worst


@long
def test_a_flat_line_ends_with_the_first_other_value_though_what_it_repeats_is_archived(
    db: Database,
) -> None:
    """That value is noted with the alert; another one, alone after a silence, was taken for more of it."""
    rule = {"type": "stuck", "metric": "t", "minutes": 120, "severity": "low"}
    hot_device(db, {"alerts": [rule]})
    store(db, [(START + n * HOUR, "4.5") for n in range(70)])
    archived(db)
    store(db, [(START + 3000 * HOUR, "4.5")])
    assert since(db) == [("stuck", 2, None)]
    store(db, [(START + 3001 * HOUR, "7")])
    assert since(db) == [("stuck", 2, 3001)]
    store(db, [(START + 2999 * HOUR, "7")])
    assert judged_again(db) == told(db)
    assert since(db) == [("stuck", 2, 2999)]
    store(db, [(START + n * HOUR, "7") for n in range(3002, 3004)])
    assert judged_again(db) == told(db)
    assert since(db) == [("stuck", 2, 2999), ("stuck", 3003, None)]


@long
def test_what_was_taken_back_stays_so_when_its_beginning_is_archived(db: Database) -> None:
    rule = {"type": "above", "metric": "t", "limit": "45", "severity": "high", "for_minutes": 180}
    hot_device(db, {"alerts": [rule]})
    store(db, [(START + n * HOUR, "50" if n >= 70 else "20") for n in range(74)])
    db.run(lambda session: handling.acknowledge(session, 1, "seen", "otto", START + 74 * HOUR))
    store(db, [(START + 71.5 * HOUR, "20"), (START + 74 * HOUR, "20")])
    archived(db)
    assert judged_again(db) == told(db)
    with db.read() as session:
        (alert,) = session.scalars(select(DeviceAlert))
    assert (alert.details or {})["withdrawn"] is True
