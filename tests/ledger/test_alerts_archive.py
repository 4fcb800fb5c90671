"""Alerts of months that were archived stay as they are, whatever comes late for them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select

from ledger.db import Database
from ledger.keeping.moving import archive
from ledger.models import Device, DeviceAlert, DeviceData, DeviceType
from ledger.models.devices import DeviceStatus
from ledger.park.alerts import evaluate, follow
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
Told = list[tuple[str, datetime, datetime | None]]


@pytest.fixture(autouse=True)
def archive_put_back(db: Database) -> Iterator[None]:
    with put_back(db):
        yield


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
    with db.write() as session:
        session.add(DeviceType(id=1, type_name="b", category="c", validation_rules=RULES))
        session.flush()
        session.add(Device(id=1, device_id="B", name="B", type="b", status=DeviceStatus.ONLINE))
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
