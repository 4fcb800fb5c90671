"""What the job ``alerts`` asks depends neither on how many devices there are, nor on what they never give."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import delete, insert, select

from ledger.chain.access import Chain
from ledger.db import Database
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.models import Device, DeviceAlert, DeviceData, DeviceType
from ledger.models.devices import AlertStatus, DeviceStatus
from ledger.park import configuration, handling, watching
from ledger.settings import load_settings
from tests.support.forms import few, long, times
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


@long
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


@long
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


@long
def test_what_comes_hours_late_is_missed_within_the_hour(watcher: Watcher) -> None:
    assert watcher.watch(1) is None
    watcher.say(2, RARE, -200)
    assert watcher.watch(2) is None
    assert watcher.watch(61) == "alerts: 1 raised"
    assert watcher.watch(62) is None
    watcher.say(2, RARE, 62)
    assert watcher.watch(63) == "alerts: 1 resolved"


@long
def test_more_days_that_somebody_sets_are_looked_at_at_once(watcher: Watcher) -> None:
    watcher.say(2, RARE, -3 * 24 * 60)
    set_days(watcher.db, 1)
    assert watcher.watch(1) is None
    assert watcher.watch(2) is None
    set_days(watcher.db, 30)
    assert watcher.watch(3) == "alerts: 1 raised"


def set_days(db: Database, days: int) -> None:
    db.run(lambda session: configuration.put(session, configuration.SILENT_DAYS, str(days)))


def test_a_process_that_remembers_nothing_sees_it_at_once(watcher: Watcher) -> None:
    assert watcher.watch(1) is None
    watcher.say(2, RARE, -200)
    watcher.tools = watcher.again()
    assert watcher.watch(2) == "alerts: 1 raised"


@long
@few(1)
@pytest.mark.parametrize("seed", range(times(2, 20)))
def test_what_is_remembered_changes_no_alert(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int
) -> None:
    """Of two processes that take turns, and one that remembers nothing: whatever comes no more than an hour late."""
    draw = random.Random(seed)
    rules = [
        {"type": "missing", "metric": metric, "minutes": minutes, "severity": "high"}
        for metric, minutes in ((GIVEN, 30), (RARE, 400))
    ]
    with sqlite_db.write() as session:
        session.add(
            DeviceType(
                type_name="inverter", category="generation", validation_rules={"alerts": rules}
            )
        )
    more_devices(sqlite_db, 2)
    set_days(sqlite_db, 1)  # so that what was given is soon too old to be waited for
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(str(sqlite_db.url.database))) as link:
        link.execute("VACUUM INTO ?", (str(copy),))
    with closing(Database(f"sqlite:///{copy}")) as forgetful:
        both = sqlite_db, forgetful
        watchers = [Watcher(sqlite_db, monkeypatch) for _ in range(2)]
        minutes = 0
        for step in range(80):
            minutes += draw.choice((1, 1, 5, 20, 50, 60, 61, 200, 1500))
            minutes -= draw.choice((0,) * 9 + (90,))  # a clock that is set back
            act = draw.random()
            values = [
                (draw.choice((1, 2)), draw.choice((GIVEN, RARE)), minutes - draw.randint(0, 60))
                for _ in range(draw.choice((0, 0, 0, 1, 3)))
            ]
            for db in both:
                for value in values:
                    Watcher(db, monkeypatch).say(*value)
                if act < 0.2:
                    act_by_hand(db, handling.resolve if act < 0.1 else handling.acknowledge)
                elif act < 0.25:
                    with db.write() as session:
                        session.execute(delete(DeviceData).where(DeviceData.metric_name == RARE))
            now = T0 + timedelta(minutes=minutes)
            for watcher in watchers:
                watcher.now = now
            monkeypatch.setattr(work, "clock_of", lambda _, now=now: now)
            work.watch_devices(draw.choice(watchers).tools)
            forgetful.run(lambda session, now=now: watching.watch(session, now))
            assert told(sqlite_db) == told(forgetful), step
        assert len(told(forgetful)) > 3


def act_by_hand(db: Database, act: Callable[..., object]) -> None:
    """Acknowledge or resolve the first alert that is active."""
    with db.write() as session:
        query = select(DeviceAlert.id).where(DeviceAlert.status == AlertStatus.ACTIVE)
        query = query.order_by(DeviceAlert.device_id, DeviceAlert.triggered_at)
        number = session.scalars(query.limit(1)).first()
        if number is not None:
            act(session, number, "seen", "otto", T0)


def told(db: Database) -> list[str]:
    """Return what stands in the books of alerts."""
    columns = [
        getattr(DeviceAlert, name)
        for name in ("device_id", "message", "status", "triggered_at", "resolved_at", "details")
    ]
    with db.read() as session:
        return sorted(map(str, session.execute(select(*columns)).all()))
