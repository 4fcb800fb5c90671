"""Alerts follow from data and rules alone: compared with a model that looks at all the data at once."""

from __future__ import annotations

import itertools
import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import delete, event, select, update

from ledger.chain.access import Chain
from ledger.db import Database
from ledger.errors import BadInput, NotFound, Refused
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.models import AuditLog, Device, DeviceAlert, DeviceData, DeviceType, SystemConfig
from ledger.models.devices import AlertStatus, DeviceStatus
from ledger.park import configuration, follow, handling, kind_named, series, set_record, watching
from ledger.park.alert_rules import read_rules
from ledger.park.alerts import evaluate, unreadable_rules
from ledger.readings import import_file
from ledger.settings import load_settings
from ledger.spreadsheets import Wrong
from tests.support.forms import few, rest
from tests.support.plant import SITE, apply, write_csv

T0 = datetime(2026, 1, 1, tzinfo=UTC)
METRIC = "active_power"
RULES = [
    {"type": "above", "metric": METRIC, "limit": "8", "unit": "kW", "severity": "high"},
    {"type": "below", "metric": METRIC, "limit": "2", "severity": "low", "for_minutes": 20},
    {"type": "rate", "metric": METRIC, "limit": "4", "per_minutes": 10, "severity": "medium"},
    {"type": "missing", "metric": METRIC, "minutes": 25, "severity": "critical"},
    {"type": "stuck", "metric": METRIC, "minutes": 30, "except": ["5"], "severity": "low"},
]
Values = dict[datetime, Decimal]
Told = tuple[str, datetime, datetime, datetime | None]
"""Type, since when, when it was told, and when it ended."""


# ------------------------------------------------------------------ the model


def model(values: Values) -> set[Told]:
    """Say what alerts all the data call for: by walking over it once, minute by minute where need be."""
    times = sorted(values)
    found: set[Told] = set()
    found |= runs("above", times, [values[t] > 8 for t in times], 0)
    found |= runs("below", times, [values[t] < 2 for t in times], 20)
    steep = [False]
    for a, b in itertools.pairwise(times):
        minutes = Decimal((b - a).total_seconds()) / 60
        steep.append(abs(values[b] - values[a]) / minutes > Decimal("0.4"))
    found |= runs("rate", times, steep, 0)
    for a, b in itertools.pairwise(times):
        if b - a > timedelta(minutes=25):
            found.add(("missing", a, a + timedelta(minutes=25), b))
    number = 0
    while number < len(times):
        end = number
        while end < len(times) and values[times[end]] == values[times[number]]:
            end += 1
        late = [t for t in times[number:end] if t - times[number] >= timedelta(minutes=30)]
        if late and values[times[number]] != 5:
            found.add(("stuck", times[number], late[0], times[end] if end < len(times) else None))
        number = end
    return found


def runs(kind: str, times: list[datetime], bad: list[bool], minutes: int) -> set[Told]:
    found: set[Told] = set()
    for number, time in enumerate(times):
        if not bad[number] or (number and bad[number - 1]):
            continue
        end = next((n for n in range(number, len(times)) if not bad[n]), len(times))
        late = [t for t in times[number:end] if t - time >= timedelta(minutes=minutes)]
        if late:
            found.add((kind, time, late[0], times[end] if end < len(times) else None))
    return found


def told(db: Database) -> set[Told]:
    """Return the alerts in the books; none stands there twice."""
    with db.read() as session:
        rows = session.scalars(select(DeviceAlert)).all()
    found = [
        (
            row.alert_type,
            datetime.fromisoformat((row.details or {})["since"]),
            row.triggered_at,
            row.resolved_at,
        )
        for row in rows
        if "withdrawn" not in (row.details or {})
    ]
    assert len(set(found)) == len(found)
    for row in rows:
        assert (row.resolved_at is None) is (row.status is not AlertStatus.RESOLVED)
    return set(found)


# ------------------------------------------------------------------ a device, and what it says


def device(db: Database, rules: list[dict[str, Any]] | None = None) -> int:
    with db.write() as session:
        given = {"alerts": RULES if rules is None else rules}
        session.add(DeviceType(type_name="turbine", category="generation", validation_rules=given))
        session.flush()
        row = Device(device_id="W1", name="W1", type="turbine", status=DeviceStatus.ONLINE)
        session.add(row)
        session.flush()
        return row.id


def say(db: Database, number: int, values: Values, **more: Any) -> Any:
    """Store values as an import does, and follow them in the same unit of work."""
    with db.write() as session:
        session.add_all(
            DeviceData(
                device_id=number, metric_name=METRIC, value=value, unit="kW", recorded_at=at, **more
            )
            for at, value in values.items()
        )
        session.flush()
        return follow(session, {number: (min(values), max(values))})


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def series_of(*values: str | None, step: int = 10) -> Values:
    return {at(step * n): Decimal(v) for n, v in enumerate(values) if v is not None}


@few(1)
@pytest.mark.parametrize("seed", rest(range(12), *range(2)))
def test_one_file_or_many_in_any_order_give_the_alerts_of_the_model(
    sqlite_db: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    reach = timedelta(minutes=draw.choice([7, 10, 20, 60, 24 * 60]))
    monkeypatch.setattr(series, "REACH", reach)
    number = device(sqlite_db)
    values = {
        at(10 * n): Decimal(draw.choice(["0", "1", "5", "5", "9", "6"]))
        for n in range(60)
        if draw.random() > 0.15
    }
    times = list(values)
    if draw.random() < 0.7:
        draw.shuffle(times)
    known: Values = {}
    while times:
        part = [times.pop() for _ in range(min(len(times), draw.randrange(1, 25)))]
        new = {t: values[t] for t in part}
        known |= new
        say(sqlite_db, number, new)
        assert told(sqlite_db) == model(known)
        with sqlite_db.write() as session:  # the same file again
            tally = follow(session, {number: (min(new), max(new))})
        assert tally.as_json() == {}
    with sqlite_db.write() as session:
        assert evaluate(session, [number], None).as_json() == {}
    assert told(sqlite_db) == model(values)
    assert len(model(values)) > 3


def test_one_alert_while_it_lasts_and_one_sentence(sqlite_db: Database) -> None:
    number = device(sqlite_db, RULES[:1])
    assert say(sqlite_db, number, series_of("5", "9")).as_json() == {"raised": 1}
    assert say(sqlite_db, number, {at(20): Decimal("9.5"), at(30): Decimal(9)}).as_json() == {
        "changed": 1
    }
    assert say(sqlite_db, number, {at(40): Decimal(8)}).as_json() == {"resolved": 1}
    with sqlite_db.read() as session:
        (alert,) = session.scalars(select(DeviceAlert)).all()
    assert (alert.alert_type, alert.severity.value, alert.status.value) == (
        "above",
        "high",
        "resolved",
    )
    assert (alert.triggered_at, alert.resolved_at) == (at(10), at(40))
    assert alert.message == (
        "W1: active_power above 8 kW, since 2026-01-01T00:10:00Z (9.5 at the worst)."
    )
    assert alert.details == {
        "metric": METRIC,
        "since": "2026-01-01T00:10:00Z",
        "limit": "8",
        "unit": "kW",
        "worst": "9.5",
    }


def test_a_value_in_another_unit_is_not_judged(sqlite_db: Database) -> None:
    number = device(sqlite_db, RULES[:1])
    with sqlite_db.write() as session:
        session.add(
            DeviceData(
                device_id=number, metric_name=METRIC, value=Decimal(900), unit="W", recorded_at=T0
            )
        )
        session.flush()
        assert follow(session, {number: (T0, T0)}).as_json() == {}


def test_several_values_of_one_time_are_judged_by_the_worst(sqlite_db: Database) -> None:
    number = device(sqlite_db, RULES[:2])
    for order in (("9", "1"), ("1", "9")):
        for value in order:
            say(sqlite_db, number, {T0: Decimal(value)})
    assert {kind for kind, *_ in told(sqlite_db)} == {"above"}  # below lasts no 20 minutes


def test_a_gap_that_a_late_file_fills_is_taken_back(sqlite_db: Database) -> None:
    number = device(sqlite_db, RULES[3:4])
    say(sqlite_db, number, {at(0): Decimal(5), at(60): Decimal(6)})
    assert told(sqlite_db) == {("missing", at(0), at(25), at(60))}
    filled = {at(n): Decimal(5) for n in (20, 40)}
    assert say(sqlite_db, number, filled).as_json() == {"withdrawn": 1}
    assert told(sqlite_db) == set()


@pytest.mark.parametrize("ours", [30, 20])
def test_no_device_is_silent_by_one_of_two_clocks_alone(
    sqlite_db: Database, monkeypatch: pytest.MonkeyPatch, ours: int
) -> None:
    """One that is ahead would have every device of the park be silent."""
    say(sqlite_db, device(sqlite_db, RULES[3:4]), {at(0): Decimal(5)})
    tools = Tools(
        cast(Chain, SimpleNamespace(db=sqlite_db)), load_settings(None, {}), lambda: at(ours)
    )
    monkeypatch.setattr(work, "clock_of", lambda _: at(50 - ours))
    assert work.watch_devices(tools) is None
    monkeypatch.setattr(work, "clock_of", lambda _: at(ours))
    assert work.watch_devices(tools) == ("alerts: 1 raised" if ours > 25 else None)


@pytest.mark.parametrize(("last", "raised"), [("2026-01-01", 1), ("2025-12-31", 0), (None, 1)])
def test_a_meter_that_was_taken_out_is_not_waited_for(
    sqlite_db: Database, last: str | None, raised: int
) -> None:
    there = 'role = "generation"' + (f"\nin_service_to = {last}" if last else "")
    apply(sqlite_db, SITE.replace('role = "generation"', there))
    with sqlite_db.write() as session:
        kind = session.scalars(select(DeviceType).filter_by(type_name="wind_turbine")).one()
        kind.validation_rules = {"alerts": RULES[3:4]}
        number = session.scalars(select(Device.id).filter_by(device_id="A")).one()
    say(sqlite_db, number, {at(0): Decimal(5)})  # one in the morning of New Year in Paris
    assert sqlite_db.run(lambda session: watching.watch(session, at(30))).raised == raised


def test_what_somebody_took_in_hand_is_kept(sqlite_db: Database) -> None:
    number = device(sqlite_db, RULES[3:4])
    say(sqlite_db, number, {at(0): Decimal(5)})
    now = at(30)
    assert sqlite_db.run(lambda session: watching.watch(session, now)).as_json() == {"raised": 1}
    sqlite_db.run(lambda session: handling.acknowledge(session, 1, "driving there", "otto", now))
    say(sqlite_db, number, {at(20): Decimal(5)})  # it was there all the time
    with sqlite_db.read() as session:
        (alert,) = session.scalars(select(DeviceAlert)).all()
    assert alert.status is AlertStatus.RESOLVED
    assert alert.details is not None
    assert (alert.details["withdrawn"], alert.details["acknowledged_by"]) == (True, "otto")
    again = sqlite_db.run(lambda session: evaluate(session, [number], None))
    assert again.as_json() == {}  # it is taken back once


def test_an_alert_that_no_rule_raised_is_left_alone(sqlite_db: Database) -> None:
    """Another program wrote it."""
    number = device(sqlite_db, RULES[:1])
    with sqlite_db.write() as session:
        session.add(
            DeviceAlert(
                device_id=number,
                alert_type="fire",
                severity="critical",
                message="smoke in the nacelle",
                details={"metric": METRIC, "since": at(0).isoformat()},
                status=AlertStatus.ACTIVE,
                triggered_at=at(0),
            )
        )
    assert say(sqlite_db, number, {at(0): Decimal(9)}).as_json() == {"raised": 1}
    assert sqlite_db.run(lambda session: evaluate(session, [number], None)).as_json() == {}
    with sqlite_db.read() as session:
        assert session.get_one(DeviceAlert, 1).status is AlertStatus.ACTIVE


def test_an_acknowledged_alert_stays_so_and_resolves_by_its_values(sqlite_db: Database) -> None:
    number = device(sqlite_db, RULES[:1])
    say(sqlite_db, number, {at(0): Decimal(9)})
    sqlite_db.run(lambda session: handling.acknowledge(session, 1, "", "otto", at(5)))
    say(sqlite_db, number, {at(10): Decimal(9)})
    with sqlite_db.read() as session:
        assert session.get_one(DeviceAlert, 1).status is AlertStatus.ACKNOWLEDGED
    with pytest.raises(Refused, match="alert 1 is acknowledged, it cannot be acknowledged"):
        sqlite_db.run(lambda session: handling.acknowledge(session, 1, "", "otto", at(5)))
    say(sqlite_db, number, {at(20): Decimal(7)})
    with sqlite_db.read() as session:
        row = session.get_one(DeviceAlert, 1)
        actions = session.execute(select(AuditLog.action, AuditLog.resource)).all()
    assert (row.status, row.resolved_at) == (AlertStatus.RESOLVED, at(20))
    assert (row.details or {})["acknowledged_by"] == "otto"  # whatever values said since
    assert actions == [("alerts.acknowledge", "device_alerts/1")]


def test_an_alert_that_was_resolved_by_hand_is_not_raised_again_while_it_lasts(
    sqlite_db: Database,
) -> None:
    number = device(sqlite_db, RULES[:1])
    say(sqlite_db, number, {at(0): Decimal(9)})
    with pytest.raises(BadInput, match="say in a note why"):
        sqlite_db.run(lambda session: handling.resolve(session, 1, " ", "otto", at(5)))
    sqlite_db.run(lambda session: handling.resolve(session, 1, "sensor is replaced", "otto", at(5)))
    assert say(sqlite_db, number, {at(10): Decimal(9)}).as_json() == {}
    assert say(sqlite_db, number, {at(20): Decimal(5), at(30): Decimal(9)}).as_json() == {
        "raised": 1
    }
    with pytest.raises(
        NotFound, match="there is no alert 77; `truetonne alerts list --all` has all"
    ):
        sqlite_db.run(lambda session: handling.resolve(session, 77, "x", "otto", at(5)))


def test_the_clock_raises_what_does_not_come_once_and_a_value_resolves_it(
    sqlite_db: Database,
) -> None:
    number = device(sqlite_db, RULES[3:4])
    say(sqlite_db, number, {at(0): Decimal(5)})

    def watch(minutes: float) -> dict[str, int]:
        return sqlite_db.run(lambda session: watching.watch(session, at(minutes))).as_json()

    assert watch(25) == {}  # not more than 25 minutes
    assert watch(26) == {"raised": 1}
    assert watch(27) == {}
    assert (
        say(sqlite_db, number, {at(-10): Decimal(5)}).as_json() == {}
    )  # an older file says nothing new
    assert say(sqlite_db, number, {at(40): Decimal(5)}).as_json() == {"resolved": 1}
    assert told(sqlite_db) == {("missing", at(0), at(25), at(40))}
    assert watch(40 + 31 * 24 * 60) == {}  # silent for more than 30 days: nobody waits for it
    sqlite_db.run(lambda session: configuration.put(session, configuration.SILENT_DAYS, "40"))
    for odd in ("99999999999", "-40", "true"):  # another program's
        with sqlite_db.write() as session:
            session.execute(update(SystemConfig).values(config_value=odd))
        assert watch(40 + 31 * 24 * 60) == {}  # as where none is set
    sqlite_db.run(lambda session: configuration.put(session, configuration.SILENT_DAYS, "40"))
    assert watch(40 + 31 * 24 * 60) == {"raised": 1}


def test_what_does_not_come_is_missed_until_a_later_value_comes(sqlite_db: Database) -> None:
    """A look at the last value alone says nothing of whether it is late."""
    number = device(sqlite_db, RULES[3:4])
    say(sqlite_db, number, {at(0): Decimal(5)})
    sqlite_db.run(lambda session: watching.watch(session, at(26)))
    for span in ((at(-10), at(0)), (at(0), at(0))):  # a file that holds it once more
        again = sqlite_db.run(lambda session, span=span: follow(session, {number: span}))
        assert again.as_json() == {}
    assert sqlite_db.run(lambda session: evaluate(session, [number], None)).as_json() == {}
    assert told(sqlite_db) == {("missing", at(0), at(25), None)}
    # A time before it that was missed as well is another one.
    say(sqlite_db, number, {at(-60): Decimal(5)})
    assert told(sqlite_db) == {
        ("missing", at(-60), at(-35), at(0)),
        ("missing", at(0), at(25), None),
    }


def test_what_a_person_has_resolved_is_never_withdrawn(sqlite_db: Database) -> None:
    number = device(sqlite_db, RULES[:1])
    say(sqlite_db, number, {at(0): Decimal(9), at(90): Decimal(9)})
    sqlite_db.run(lambda session: handling.resolve(session, 1, "replaced", "otto", at(95)))
    with sqlite_db.write() as session:  # the first month is moved to the archive
        session.execute(delete(DeviceData).where(DeviceData.recorded_at < at(90)))
    assert say(sqlite_db, number, {at(100): Decimal(5)}).as_json() == {}
    with sqlite_db.write() as session:
        session.scalars(select(DeviceType)).one().validation_rules = {"alerts": []}
        assert evaluate(session, [number], None).as_json() == {}
    with sqlite_db.read() as session:
        (alert,) = session.scalars(select(DeviceAlert)).all()
    assert (alert.status, alert.resolved_at) == (AlertStatus.RESOLVED, at(95))
    assert (alert.details or {})["resolved_note"] == "replaced"
    assert "withdrawn" not in (alert.details or {})


def test_a_metric_that_is_missed_is_told_though_another_one_is_missed_already(
    sqlite_db: Database,
) -> None:
    number = device(sqlite_db, [RULES[3], {**RULES[3], "metric": "wind_speed", "minutes": 60}])
    say(sqlite_db, number, {at(0): Decimal(5)})
    with sqlite_db.write() as session:
        session.add(
            DeviceData(
                device_id=number,
                metric_name="wind_speed",
                value=Decimal(7),
                unit="m/s",
                recorded_at=at(0),
            )
        )
    found = [
        sqlite_db.run(lambda session, minutes=minutes: watching.watch(session, at(minutes)))
        for minutes in (30, 60, 61, 62)
    ]
    assert [tally.raised for tally in found] == [1, 0, 1, 0]


def test_a_metric_that_nobody_gives_costs_no_look_at_all_the_values(sqlite_db: Database) -> None:
    """A rule with a mistyped metric had every value of thirty days looked at, of each device and each minute."""
    never = {**RULES[3], "metric": "activ_power"}
    number = device(sqlite_db, [never])
    say(sqlite_db, number, {at(0): Decimal(5)})
    looks: list[Any] = []

    def note(*executed: Any) -> None:
        if "recorded_at BETWEEN" in executed[2] and never["metric"] in executed[3]:
            looks.append(executed[3])

    def watch(minutes: int) -> tuple[int, int]:
        looks.clear()
        tally = sqlite_db.run(lambda session: watching.watch(session, at(minutes)))
        return tally.raised, len(looks)

    event.listen(sqlite_db._engine, "before_cursor_execute", note)
    try:
        assert watch(30) == (0, 1)  # of the last minutes alone
        with sqlite_db.write() as session:
            session.add(
                DeviceData(
                    device_id=number, metric_name=never["metric"], value=1, recorded_at=at(1)
                )
            )
        assert watch(31)[0] == 1
    finally:
        event.remove(sqlite_db._engine, "before_cursor_execute", note)


def test_other_rules_are_applied_to_all_the_data_by_evaluate(sqlite_db: Database) -> None:
    number = device(sqlite_db, RULES[:1])
    say(sqlite_db, number, series_of("9", "5", "1", "1", "1", "5"))
    kind = kind_named("device-types")
    rules = json.dumps({"alerts": RULES[1:2]})
    sqlite_db.run(
        lambda session: set_record(
            session, kind, {"type_name": "turbine", "validation_rules": rules}
        )
    )
    assert {kind for kind, *_ in told(sqlite_db)} == {"above"}
    tally = sqlite_db.run(lambda session: watching.evaluate_all(session, "W1", at(60)))
    assert tally.as_json() == {"raised": 1, "resolved": 1, "withdrawn": 1}
    assert told(sqlite_db) == {("below", at(20), at(40), at(50))}
    with pytest.raises(NotFound, match="there is no device 'W2'"):
        sqlite_db.run(lambda session: watching.evaluate_all(session, "W2", at(60)))


def test_a_limit_in_a_unit_that_no_value_has_bears_no_alert(sqlite_db: Database) -> None:
    """What another unit's limit had raised stayed open for ever: no value was judged that could end it."""
    number = device(sqlite_db, RULES[:1])
    say(sqlite_db, number, series_of("9", "5", "9"))

    def judged(unit: str) -> dict[str, int]:
        with sqlite_db.write() as session:
            rules = {"alerts": [{**RULES[0], "unit": unit}]}
            session.scalars(select(DeviceType)).one().validation_rules = rules
            session.flush()
            return evaluate(session, [number], None).as_json()

    assert judged("W") == {"withdrawn": 2} and told(sqlite_db) == set()
    assert judged("kW") == {"raised": 2, "resolved": 1}
    with sqlite_db.write() as session:  # as months that are archived
        session.execute(delete(DeviceData))
    assert judged("W") == {} and len(told(sqlite_db)) == 2


@pytest.mark.parametrize(
    "database", ["sqlite_db", pytest.param("mariadb_db", marks=pytest.mark.mariadb)]
)
def test_an_import_raises_them_in_the_commit_that_stores_the_values(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    db: Database = request.getfixturevalue(database)
    apply(db)
    with db.write() as session:
        row = session.scalars(select(DeviceType)).one()
        row.validation_rules = {
            "alerts": [{**RULES[0], "limit": "80"}, {**RULES[3], "minutes": 15}]
        }
    times = [f"2014-06-01T0{n // 6}:{n % 6}0:00+02:00" for n in range(12)]
    powers = ["50", "90", "95", "50", "50", "50", "", "50", "50", "85", "50", "50"]
    whole = write_csv(tmp_path / "whole.csv", list(zip(times, powers, strict=True)))

    def after(session: Any, spans: Any) -> dict[str, int]:
        return follow(session, spans).as_json()

    assert import_file(db, "park", "scada", whole, dry_run=True, after=after).alerts == {
        "raised": 3,
        "resolved": 3,
    }
    assert told(db) == set()
    assert import_file(db, "park", "scada", whole, after=after).alerts == {
        "raised": 3,
        "resolved": 3,
    }
    begun = datetime(2014, 5, 31, 22, tzinfo=UTC)

    def then(minutes: int) -> datetime:
        return begun + timedelta(minutes=minutes)

    assert told(db) == {
        ("above", then(10), then(10), then(30)),
        ("missing", then(50), then(65), then(70)),
        ("above", then(90), then(90), then(100)),
    }
    assert import_file(db, "park", "scada", whole, after=after).alerts == {}
    with db.read() as session:
        assert len(session.scalars(select(DeviceAlert)).all()) == 3


def test_rules_that_another_program_wrote_stop_no_import_and_are_told(sqlite_db: Database) -> None:
    number = device(sqlite_db, RULES[:1])
    with sqlite_db.write() as session:
        session.scalars(select(DeviceType)).one().validation_rules = {"max": 5}
    assert say(sqlite_db, number, {at(0): Decimal(9)}).as_json() == {}
    with pytest.raises(
        BadInput, match="device type turbine: validation_rules: unknown member 'max'"
    ):
        sqlite_db.run(lambda session: watching.evaluate_all(session, None, at(60)))
    with sqlite_db.read() as session:
        assert unreadable_rules(session) == [
            "device type turbine: validation_rules: unknown member 'max'; there is alerts"
        ]


def test_alerts_outlive_the_data_that_were_archived(sqlite_db: Database) -> None:
    number = device(sqlite_db)
    say(sqlite_db, number, series_of("9", "5", "6", None, None, None, "6", "9", "9", "9", "9"))
    before = told(sqlite_db)
    assert ("above", at(70), at(70), None) in before and len(before) > 4
    with sqlite_db.write() as session:  # as a month that is moved to the archive
        session.execute(delete(DeviceData).where(DeviceData.recorded_at < at(90)))
    with sqlite_db.write() as session:
        assert evaluate(session, [number], None).as_json() == {}
    assert told(sqlite_db) == before
    say(sqlite_db, number, {at(110): Decimal(9), at(120): Decimal(5), at(130): Decimal(5)})
    found = told(sqlite_db)
    assert ("above", at(70), at(70), at(120)) in found
    assert {item for item in found if item[0] == "above"} == {
        ("above", at(0), at(0), at(10)),
        ("above", at(70), at(70), at(120)),
    }
    with sqlite_db.write() as session:
        session.execute(delete(DeviceData))
        assert evaluate(session, [number], None).as_json() == {}
    assert told(sqlite_db) == found


def test_what_was_taken_back_and_is_so_after_all_stands_again(sqlite_db: Database) -> None:
    number = device(sqlite_db, RULES[:1])
    say(sqlite_db, number, {at(0): Decimal(9)})
    sqlite_db.run(lambda session: handling.acknowledge(session, 1, "", "otto", at(5)))
    for rules, status in (([], "resolved"), (RULES[:1], "acknowledged")):
        with sqlite_db.write() as session:
            session.scalars(select(DeviceType)).one().validation_rules = {"alerts": rules}
            session.flush()
            evaluate(session, [number], None)
        with sqlite_db.read() as session:
            row = session.get_one(DeviceAlert, 1)
        assert row.status.value == status
        assert ("withdrawn" in (row.details or {})) is (status == "resolved")


# ------------------------------------------------------------------ rules as they are written


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({}, "type None is none of above, below, rate, missing, stuck"),
        ({"type": "over"}, "type 'over' is none of"),
        (
            {"type": "above", "metric": "m", "severity": "low"},
            "limit is missing; a rule of type above needs it",
        ),
        (
            {"type": "above", "metric": "m", "limit": "x", "severity": "low"},
            "limit 'x' is not a number",
        ),
        ({"type": "above", "metric": "", "limit": "1", "severity": "low"}, "metric is not a text"),
        (
            {"type": "above", "metric": "m", "limit": "1", "severity": "bad"},
            "severity 'bad' is none of",
        ),
        (
            {"type": "above", "metric": "m", "limit": "1", "severity": "low", "minutes": 5},
            "minutes is no member of a rule of type above",
        ),
        (
            {"type": "rate", "metric": "m", "limit": "-1", "per_minutes": 1, "severity": "low"},
            "limit -1 is below zero",
        ),
        (
            {"type": "rate", "metric": "m", "limit": "1", "per_minutes": 0, "severity": "low"},
            "per_minutes 0 is not a whole number from 1",
        ),
        (
            {"type": "stuck", "metric": "m", "minutes": True, "severity": "low"},
            "minutes True is not",
        ),
        (
            {"type": "stuck", "metric": "m", "minutes": 9, "except": "0", "severity": "low"},
            "except is not a list",
        ),
        (
            {"type": "missing", "metric": "m", "minutes": 10**7, "severity": "low"},
            "minutes 10000000 is not",
        ),
    ],
)
def test_rules_that_cannot_be_read_say_which_and_why(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(Wrong) as error:
        read_rules({"alerts": [RULES[0], rule]})
    assert error.value.message.startswith("alerts, rule 2: ")
    assert said in error.value.message


def test_two_rules_for_the_same_are_refused() -> None:
    with pytest.raises(Wrong, match="rule 2: metric rule 1 watches active_power for above already"):
        read_rules({"alerts": [RULES[0], {**RULES[0], "limit": "9"}]})
    with pytest.raises(Wrong, match="unknown member 'alarms'"):
        read_rules({"alarms": []})
    assert read_rules({}) == read_rules(None) == ()


def test_one_minute_is_one() -> None:
    usual = {"metric": "m", "severity": "low"}
    limited = {**usual, "limit": "1"}
    given = [
        {**limited, "type": "above", "for_minutes": 1},
        {**limited, "type": "rate", "per_minutes": 1},
        {**usual, "type": "missing", "minutes": 1},
        {**usual, "type": "stuck", "minutes": 2},
    ]
    assert [rule.said for rule in read_rules({"alerts": given})] == [
        "above 1 for 1 minute",
        "changed by more than 1 in 1 minute",
        "missing for more than 1 minute",
        "the same for 2 minutes",
    ]
