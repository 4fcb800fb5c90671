"""What the job ``alerts`` asks depends neither on how many devices there are, nor on what they never give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import insert, select

from ledger.chain.access import Chain
from ledger.db import Database
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.models import Device, DeviceAlert, DeviceData, DeviceType
from ledger.models.devices import DeviceStatus
from ledger.park import configuration
from ledger.settings import load_settings
from tests.support.statements import listening

T0 = datetime(2026, 3, 1, tzinfo=UTC)
GIVEN, RARE = "active_power", "cell_temperature"
DAY = timedelta(days=1)


@dataclass
class Watcher:
    """A process that watches devices, with a clock that is set, and what it said to the database."""

    db: Database
    monkeypatch: pytest.MonkeyPatch
    said: list[tuple[str, Any]] = field(default_factory=list)
    now: datetime = T0

    def __post_init__(self) -> None:
        self.monkeypatch.setattr(work, "clock_of", lambda _: self.now)
        self.tools = self.again()

    def again(self) -> Tools:
        """Return what a process begins with."""
        chain = cast(Chain, SimpleNamespace(db=self.db))
        return Tools(chain, load_settings(None, {}), lambda: self.now)

    def watch(self, minutes: float) -> str | None:
        """Have the job run so long after the beginning."""
        self.now = T0 + timedelta(minutes=minutes)
        self.said.clear()
        with listening(lambda _c, _cursor, sql, values, *_: self.said.append((sql, values))):
            return work.watch_devices(self.tools)

    @property
    def looks(self) -> list[datetime]:
        """From when on the last run looked at values of what few devices give."""
        found = []
        for sql, given in self.said:
            values = list(given.values() if isinstance(given, dict) else given)
            if "recorded_at BETWEEN" in sql and RARE in values:
                since = str(values[values.index(RARE) + 1])
                found.append(datetime.fromisoformat(since).replace(tzinfo=UTC))
        return found

    def say(self, device: int, metric: str, minutes: float) -> None:
        """Store a value as another program does."""
        at = T0 + timedelta(minutes=minutes)
        with self.db.write() as session:
            session.add(
                DeviceData(device_id=device, metric_name=metric, value=Decimal(5), recorded_at=at)
            )


@pytest.fixture(params=["sqlite_db", pytest.param("mariadb_db", marks=pytest.mark.mariadb)])
def db(request: pytest.FixtureRequest) -> Iterator[Database]:
    yield request.getfixturevalue(request.param)


@pytest.fixture
def watcher(db: Database, monkeypatch: pytest.MonkeyPatch) -> Watcher:
    """A watcher of two devices: both give one metric every ten minutes, and one of them another one of late."""
    rules = [
        {"type": "missing", "metric": metric, "minutes": 120, "severity": "high"}
        for metric in (GIVEN, RARE)
    ]
    with db.write() as session:
        session.add(
            DeviceType(
                type_name="inverter", category="generation", validation_rules={"alerts": rules}
            )
        )
    more_devices(db, 2)
    found = Watcher(db, monkeypatch)
    found.say(1, RARE, 0)
    return found


def more_devices(db: Database, count: int) -> None:
    with db.write() as session:
        here = len(session.scalars(select(Device.id)).all())
        numbers = range(here + 1, here + count + 1)
        session.execute(
            insert(Device),
            [
                {
                    "id": number,
                    "device_id": f"I{number}",
                    "name": "I",
                    "type": "inverter",
                    "status": DeviceStatus.ONLINE,
                }
                for number in numbers
            ],
        )
        session.execute(
            insert(DeviceData),
            [
                {
                    "device_id": number,
                    "metric_name": GIVEN,
                    "value": Decimal(5),
                    "recorded_at": T0 + timedelta(minutes=10 * place),
                }
                for number in numbers
                for place in range(-12, 30)
            ],
        )


def test_many_devices_take_as_many_statements_as_two_and_nothing_is_locked(
    watcher: Watcher,
) -> None:
    """500 devices were 2,008 statements a minute, in a unit of work that kept all others from writing to SQLite."""
    assert watcher.watch(1) is None
    few = [sql for sql, _ in watcher.said]
    more_devices(watcher.db, 60)
    watcher.tools = watcher.again()
    assert watcher.watch(1) is None
    many = [sql for sql, _ in watcher.said]
    assert len(many) == len(few)
    assert not [sql for sql in many if "FOR UPDATE" in sql or "IMMEDIATE" in sql]


def test_what_a_device_never_gives_is_looked_for_in_the_whole_month_once_an_hour(
    watcher: Watcher,
) -> None:
    """Every value of the month was looked at each minute, of each device that has not what others have."""
    assert watcher.watch(1) is None
    assert min(watcher.looks) < T0 - 29 * DAY
    for minutes in (2, 3, 59, 60):
        assert watcher.watch(minutes) is None
        assert watcher.looks
        assert min(watcher.looks) > T0 - timedelta(hours=3)
    assert watcher.watch(61) is None
    assert min(watcher.looks) < T0 - 29 * DAY
    assert watcher.watch(1) is None  # a clock that was set back
    assert min(watcher.looks) < T0 - 29 * DAY


def test_what_a_device_gives_after_all_is_waited_for_from_then_on(watcher: Watcher) -> None:
    assert watcher.watch(1) is None
    watcher.say(2, RARE, 1.5)
    assert watcher.watch(2) is None
    assert watcher.watch(121) == "alerts: 1 raised"  # the other device's
    assert watcher.watch(122) == "alerts: 1 raised"
    with watcher.db.read() as session:
        assert set(session.scalars(select(DeviceAlert.device_id))) == {1, 2}


def test_what_comes_hours_late_is_missed_within_the_hour(watcher: Watcher) -> None:
    assert watcher.watch(1) is None
    watcher.say(2, RARE, -200)
    assert watcher.watch(2) is None
    assert watcher.watch(61) == "alerts: 1 raised"
    assert watcher.watch(62) is None
    watcher.say(2, RARE, 62)
    assert watcher.watch(63) == "alerts: 1 resolved"


def test_more_days_that_somebody_sets_are_looked_at_at_once(watcher: Watcher) -> None:
    watcher.say(2, RARE, -3 * 24 * 60)
    set_days(watcher, 1)
    assert watcher.watch(1) is None
    assert watcher.watch(2) is None
    set_days(watcher, 30)
    assert watcher.watch(3) == "alerts: 1 raised"


def set_days(watcher: Watcher, days: int) -> None:
    watcher.db.run(
        lambda session: configuration.put(session, configuration.SILENT_DAYS, str(days))
    )


def test_a_process_that_remembers_nothing_sees_it_at_once(watcher: Watcher) -> None:
    assert watcher.watch(1) is None
    watcher.say(2, RARE, -200)
    watcher.tools = watcher.again()
    assert watcher.watch(2) == "alerts: 1 raised"
