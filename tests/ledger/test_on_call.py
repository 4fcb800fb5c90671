"""The technician on call: what was said by hand, rules that change, clocks that are wrong, meters that are gone."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ledger.clock import time_text
from ledger.db import Database
from ledger.db.grants import Account
from ledger.models import Device, DeviceAlert, DeviceData, DeviceType
from ledger.models.devices import AlertSeverity, AlertStatus
from ledger.park import handling, waiting, watching
from ledger.park.alert_rules import read_rules
from ledger.park.alerts import evaluate
from ledger.park.episodes import Sample, episodes
from tests.ledger.test_alerts import METRIC, RULES, Values, at, device, say, series_of, told
from tests.support.accounts import made_account
from tests.support.forms import few, long, rest
from tests.support.mariadb import MariaDbServer
from tests.support.plant import SITE, apply
from tests.support.reports import reports

ABOVE, MISSING = RULES[0], RULES[3]
NINE, FIVE = Decimal(9), Decimal(5)
THOUSANDS = 5000


def rules(db: Database, *found: dict[str, Any]) -> None:
    with db.write() as session:
        session.scalars(select(DeviceType)).one().validation_rules = {"alerts": list(found)}


def watch(db: Database, now: datetime) -> dict[str, int]:
    return db.run(lambda session: watching.watch(session, now)).as_json()


def judge(db: Database, now: datetime) -> dict[str, int]:
    return db.run(lambda session: watching.evaluate_all(session, None, now)).as_json()


def receive(db: Database, number: int, values: Values, now: datetime) -> None:
    """Store values as an import does at a time of day."""
    with db.write() as session:
        session.add_all(
            DeviceData(
                device_id=number, metric_name=METRIC, value=value, unit="kW", recorded_at=moment
            )
            for moment, value in values.items()
        )
        session.flush()
        watching.received(session, {number: (min(values), max(values))}, now)


def alerts(db: Database) -> list[DeviceAlert]:
    with db.read() as session:
        return list(session.scalars(select(DeviceAlert).order_by(DeviceAlert.id)))


def test_what_was_resolved_by_hand_stays_so_though_it_began_earlier(sqlite_db: Database) -> None:
    """A late file moves the beginning; the values have not returned to normal."""
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, {at(20): NINE, at(30): NINE})
    sqlite_db.run(lambda session: handling.resolve(session, 1, "is replaced", "otto", at(35)))
    assert say(sqlite_db, number, {at(10): NINE}).as_json() == {}
    (alert,) = alerts(sqlite_db)
    assert alert.details is not None
    assert (alert.status, alert.details["values_returned_at"]) == (AlertStatus.RESOLVED, None)
    assert sqlite_db.run(lambda session: evaluate(session, [number], None)).as_json() == {}
    # It is raised when the values have returned and break the rule anew.
    assert say(sqlite_db, number, {at(40): FIVE, at(50): NINE}).as_json() == {"raised": 1}


def test_what_was_seen_stays_seen_though_it_began_earlier(sqlite_db: Database) -> None:
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, {at(20): NINE, at(30): NINE})
    sqlite_db.run(lambda session: handling.acknowledge(session, 1, "driving", "otto", at(35)))
    assert say(sqlite_db, number, {at(10): Decimal(11)}).as_json() == {"changed": 1}
    (alert,) = alerts(sqlite_db)
    assert (alert.status, alert.triggered_at) == (AlertStatus.ACKNOWLEDGED, at(10))
    assert alert.details is not None
    assert (alert.details["acknowledged_note"], alert.details["worst"]) == ("driving", "11")
    # What lies within it and is normal parts it: the rest is another one.
    assert say(sqlite_db, number, {at(25): FIVE}).as_json() == {"raised": 1, "resolved": 1}
    assert told(sqlite_db) == {("above", at(10), at(10), at(25)), ("above", at(30), at(30), None)}


def test_two_that_another_limit_makes_one_are_the_one_that_a_person_saw(
    sqlite_db: Database,
) -> None:
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, series_of("1", "7", "9", "7", "9"))
    assert [alert.status.value for alert in alerts(sqlite_db)] == ["resolved", "active"]
    sqlite_db.run(lambda session: handling.acknowledge(session, 2, "", "otto", at(45)))
    rules(sqlite_db, {**ABOVE, "limit": "6"})
    assert judge(sqlite_db, at(50)) == {"changed": 1, "withdrawn": 1}
    (alert,) = alerts(sqlite_db)
    assert (alert.id, alert.status, alert.triggered_at) == (2, AlertStatus.ACKNOWLEDGED, at(10))


SIX = {**ABOVE, "limit": "6"}


def open_alerts(db: Database) -> list[tuple[int, AlertStatus, datetime]]:
    return [
        (alert.id, alert.status, alert.triggered_at)
        for alert in alerts(db)
        if alert.status is not AlertStatus.RESOLVED
    ]


@long
@pytest.mark.parametrize("first_too", [False, True])
def test_what_a_person_saw_stays_seen_where_the_first_of_two_had_the_same_beginning(
    sqlite_db: Database, first_too: bool
) -> None:
    """The other limit makes one of them, which begins where the first did."""
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, series_of("1", "9"))
    if first_too:
        sqlite_db.run(lambda session: handling.acknowledge(session, 1, "", "otto", at(15)))
    say(sqlite_db, number, {at(20): Decimal(7), at(30): NINE})
    sqlite_db.run(lambda session: handling.acknowledge(session, 2, "driving", "otto", at(45)))
    rules(sqlite_db, SIX)
    assert judge(sqlite_db, at(50)) == {"changed": 1, "withdrawn": 1}
    assert open_alerts(sqlite_db) == [(2, AlertStatus.ACKNOWLEDGED, at(10))]
    for _ in range(2):
        assert judge(sqlite_db, at(50)) == {}
    assert say(sqlite_db, number, {at(60): FIVE}).as_json() == {"resolved": 1}
    for _ in range(2):
        assert judge(sqlite_db, at(70)) == {}
    (alert,) = [one for one in alerts(sqlite_db) if "withdrawn" not in (one.details or {})]
    assert (alert.id, alert.details and alert.details["acknowledged_note"]) == (2, "driving")


@long
@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("before", ["1", "7"])
def test_an_alert_that_is_open_is_not_lost_to_one_that_a_person_resolved_before(
    sqlite_db: Database, before: str, seen: bool
) -> None:
    """He meant what was over by then; the other limit has the two be one."""
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, series_of(before, "9"))
    sqlite_db.run(lambda session: handling.resolve(session, 1, "is replaced", "otto", at(15)))
    say(sqlite_db, number, {at(20): Decimal(7), at(30): NINE})
    if seen:
        sqlite_db.run(lambda session: handling.acknowledge(session, 2, "", "otto", at(35)))
    rules(sqlite_db, SIX)
    assert judge(sqlite_db, at(50)) == {"changed": 1}
    status = AlertStatus.ACKNOWLEDGED if seen else AlertStatus.ACTIVE
    assert open_alerts(sqlite_db) == [(2, status, at(0 if before == "7" else 10))]
    assert say(sqlite_db, number, {at(60): FIVE}).as_json() == {"resolved": 1}
    for _ in range(2):
        assert judge(sqlite_db, at(70)) == {}
    assert [alert.id for alert in alerts(sqlite_db)] == [1, 2]


def test_what_a_person_resolved_and_was_over_hides_nothing_that_goes_on(
    sqlite_db: Database,
) -> None:
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, series_of("1", "9"))
    sqlite_db.run(lambda session: handling.resolve(session, 1, "is replaced", "otto", at(15)))
    say(sqlite_db, number, {at(20): Decimal(7)})
    rules(sqlite_db, SIX)
    assert judge(sqlite_db, at(30)) == {"raised": 1}
    assert open_alerts(sqlite_db) == [(2, AlertStatus.ACTIVE, at(10))]
    # What he resolves now, is resolved.
    sqlite_db.run(lambda session: handling.resolve(session, 2, "is so", "otto", at(35)))
    assert judge(sqlite_db, at(40)) == {}
    assert say(sqlite_db, number, {at(50): NINE}).as_json() == {}
    assert open_alerts(sqlite_db) == []


@long
@pytest.mark.parametrize("between", [None, {**ABOVE, "limit": "10"}])
def test_what_was_over_hides_nothing_that_goes_on_though_no_rule_bore_it_for_a_while(
    sqlite_db: Database, between: dict[str, Any] | None
) -> None:
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, series_of("1", "9"))
    sqlite_db.run(lambda session: handling.resolve(session, 1, "is replaced", "otto", at(15)))
    say(sqlite_db, number, {at(20): Decimal(7)})
    rules(sqlite_db, *([] if between is None else [between]))
    assert judge(sqlite_db, at(30)) == {}
    assert [taken_back(alert) for alert in alerts(sqlite_db)] == [True]
    for _ in range(2):
        rules(sqlite_db, SIX)
        assert judge(sqlite_db, at(40)) == {"raised": 1}
        assert judge(sqlite_db, at(40)) == {}
        assert [since for _, _, since in open_alerts(sqlite_db)] == [at(10)]
        rules(sqlite_db, ABOVE)  # by which it was over, as he saw it
        judge(sqlite_db, at(50))
        assert open_alerts(sqlite_db) == []
        rules(sqlite_db, {**ABOVE, "limit": "10"})
        judge(sqlite_db, at(60))
    rules(sqlite_db, ABOVE)
    assert judge(sqlite_db, at(70)) == {}
    (alert,) = alerts(sqlite_db)
    assert alert.details is not None and not taken_back(alert)
    assert alert.details["values_returned_at"] == time_text(at(20))


def test_of_two_that_a_person_resolved_the_one_that_goes_on_says_so_of_both(
    sqlite_db: Database,
) -> None:
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, series_of("1", "9"))
    sqlite_db.run(lambda session: handling.resolve(session, 1, "is replaced", "otto", at(15)))
    say(sqlite_db, number, {at(20): Decimal(7), at(30): NINE})
    sqlite_db.run(lambda session: handling.resolve(session, 2, "is so", "otto", at(35)))
    rules(sqlite_db, SIX)
    for _ in range(2):
        assert judge(sqlite_db, at(40)) == {}
    assert len(alerts(sqlite_db)) == 2


def test_of_two_that_are_over_the_one_that_a_person_saw_is_kept(sqlite_db: Database) -> None:
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, series_of("1", "9", "7", "9"))
    sqlite_db.run(lambda session: handling.acknowledge(session, 2, "", "otto", at(35)))
    say(sqlite_db, number, {at(40): FIVE})
    rules(sqlite_db, SIX)
    assert judge(sqlite_db, at(50)) == {"changed": 1, "withdrawn": 1}
    (alert,) = alerts(sqlite_db)
    assert (alert.id, alert.triggered_at, alert.resolved_at) == (2, at(10), at(40))


def test_the_one_that_is_open_goes_on_though_both_began_in_what_is_archived(
    sqlite_db: Database,
) -> None:
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, series_of("1", "9"))
    sqlite_db.run(lambda session: handling.acknowledge(session, 1, "", "otto", at(15)))
    say(sqlite_db, number, {at(20): Decimal(7), at(30): NINE})
    rules(sqlite_db, SIX)
    assert judge(sqlite_db, at(40)) == {"changed": 1, "withdrawn": 1}
    assert open_alerts(sqlite_db) == [(2, AlertStatus.ACTIVE, at(10))]
    with sqlite_db.write() as session:  # moved to the archive
        session.execute(delete(DeviceData))
    assert say(sqlite_db, number, {at(50): NINE, at(60): FIVE}).as_json() == {"resolved": 1}
    assert judge(sqlite_db, at(70)) == {}
    assert open_alerts(sqlite_db) == []


@few(1)
@pytest.mark.parametrize("seed", rest(range(30), 0, 1))
def test_whatever_people_say_each_time_has_its_alert_and_what_goes_on_is_open(
    sqlite_db: Database, seed: int
) -> None:
    """Unless a person resolved it since it is so; late values, other limits, in any order."""
    draw = random.Random(seed)
    rule: dict[str, Any] = ABOVE
    number = device(sqlite_db, [rule])
    values: Values = {}
    for minute in range(0, 300, 10):
        now = at(minute)
        late = [at(n) for n in range(0, minute, 10) if at(n) not in values]
        moment = draw.choice(late) if late and draw.random() < 0.3 else now
        if draw.random() < 0.8:
            values[moment] = Decimal(draw.choice((3, 5, 7, 9)))
            say(sqlite_db, number, {moment: values[moment]})
        if draw.random() < 0.3:
            rule = {**ABOVE, "limit": draw.choice("468"), "for_minutes": draw.choice((0, 20))}
            rules(sqlite_db, rule)
            judge(sqlite_db, now)
        for one in alerts(sqlite_db):
            if one.status is not AlertStatus.RESOLVED and draw.random() < 0.3:
                act = handling.resolve
                if one.status is AlertStatus.ACTIVE and draw.random() < 0.5:
                    act = handling.acknowledge
                said = partial(act, alert_id=one.id, note="x", who="otto", at=now)
                sqlite_db.run(said)
        assert judge(sqlite_db, now) == {}
        (read,) = read_rules({"alerts": [rule]})
        wanted = episodes(read, [Sample(when, v, v) for when, v in sorted(values.items())])
        borne = [one for one in alerts(sqlite_db) if not taken_back(one)]
        assert len(borne) == len(wanted)
        for episode in wanted:
            (own,) = [
                one
                for one in borne
                if episode.began <= (since := since_of(one))
                and (episode.ended is None or since < episode.ended)
            ]
            details = own.details or {}
            if "resolved_by" in details:
                returned = details["values_returned_at"]
                assert returned == (episode.ended and time_text(episode.ended))
            else:
                assert (since_of(own), own.resolved_at) == (episode.began, episode.ended)


def since_of(alert: DeviceAlert) -> datetime:
    return datetime.fromisoformat((alert.details or {})["since"])


def taken_back(alert: DeviceAlert) -> bool:
    details = alert.details or {}
    return "withdrawn" in details or details.get("values_returned_at") == details["since"]


def test_a_value_of_next_year_says_nothing_of_whether_values_come(sqlite_db: Database) -> None:
    """A clock was wrong once: the device would never be missed again."""
    number = device(sqlite_db, [MISSING])
    receive(sqlite_db, number, {at(0): FIVE}, at(1))
    receive(sqlite_db, number, {at(366 * 24 * 60): FIVE}, at(2))
    assert alerts(sqlite_db) == []
    assert watch(sqlite_db, at(26)) == {"raised": 1}
    assert told(sqlite_db) == {("missing", at(0), at(25), None)}
    assert judge(sqlite_db, at(27)) == {}
    receive(sqlite_db, number, {at(30): FIVE}, at(30))
    assert told(sqlite_db) == {("missing", at(0), at(25), at(30))}
    assert watch(sqlite_db, at(56)) == {"raised": 1}


def test_other_rules_are_applied_to_what_is_missing_still(sqlite_db: Database) -> None:
    number = device(sqlite_db, [MISSING])
    say(sqlite_db, number, {at(0): FIVE})
    assert watch(sqlite_db, at(60)) == {"raised": 1}
    rules(sqlite_db, {**MISSING, "severity": "low", "minutes": 30})
    assert judge(sqlite_db, at(60)) == {"changed": 1}
    (alert,) = alerts(sqlite_db)
    assert (alert.severity, alert.triggered_at) == (AlertSeverity.LOW, at(30))
    assert "missing for more than 30 minutes" in alert.message
    rules(sqlite_db, {**MISSING, "minutes": 120})  # an hour of silence is none any more
    assert judge(sqlite_db, at(60)) == {"withdrawn": 1}
    assert alerts(sqlite_db) == []
    assert watch(sqlite_db, at(121)) == {"raised": 1}
    # One that is silent for long keeps its alert; another is not raised by it.
    assert judge(sqlite_db, at(60 * 24 * 60)) == {}
    with sqlite_db.write() as session:
        session.execute(delete(DeviceAlert))
    assert judge(sqlite_db, at(60 * 24 * 60)) == {}


def test_a_rule_that_is_gone_takes_back_nothing_that_outlived_its_values(
    sqlite_db: Database,
) -> None:
    number = device(sqlite_db, [ABOVE])
    say(sqlite_db, number, series_of("1", "9", "1", "1", "9", "1", "9"))
    with sqlite_db.write() as session:  # moved to the archive
        session.execute(delete(DeviceData).where(DeviceData.recorded_at < at(35)))
    rules(sqlite_db)
    assert judge(sqlite_db, at(70)) == {"withdrawn": 2}
    assert told(sqlite_db) == {("above", at(10), at(10), at(20))}


def test_values_that_another_program_writes_end_what_was_missing(sqlite_db: Database) -> None:
    """No import tells that they came: the job sees it."""
    number = device(sqlite_db, [MISSING])
    say(sqlite_db, number, {at(0): FIVE})
    assert watch(sqlite_db, at(60)) == {"raised": 1}
    with sqlite_db.write() as session:
        session.add_all(
            DeviceData(
                device_id=number, metric_name=METRIC, value=FIVE, unit="kW", recorded_at=at(minute)
            )
            for minute in (61, 71, 110, 120)
        )
    assert watch(sqlite_db, at(125)) == {"raised": 1, "resolved": 2}  # and a gap that nobody saw
    assert told(sqlite_db) == {
        ("missing", at(0), at(25), at(61)),
        ("missing", at(71), at(96), at(110)),
    }
    assert watch(sqlite_db, at(126)) == {}


@few(3)
@pytest.mark.parametrize(
    ("last", "left"),
    [
        ("2026-01-01", {("missing", at(0), at(25), at(23 * 60))}),  # midnight in Paris
        ("2025-12-31", set()),  # it was gone before its value came
    ],
)
@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize(
    "database", ["sqlite_db", pytest.param("mariadb_db", marks=pytest.mark.mariadb)]
)
def test_nothing_is_missing_any_more_once_the_meter_is_gone(
    database: str, archived: bool, last: str, left: set[Any], request: pytest.FixtureRequest
) -> None:
    db: Database = request.getfixturevalue(database)
    apply(db, SITE)
    with db.write() as session:
        kind = session.scalars(select(DeviceType).filter_by(type_name="wind_turbine")).one()
        kind.validation_rules = {"alerts": [MISSING]}
        number = session.scalars(select(Device.id).filter_by(device_id="A")).one()
    say(db, number, {at(0): FIVE})
    now = at(2 * 24 * 60)
    assert watch(db, now) == {"raised": 1}
    if archived:
        with db.write() as session:
            session.execute(delete(DeviceData))
    there = f'role = "generation"\nin_service_to = {last}'
    apply(db, SITE.replace('role = "generation"', there))
    assert watch(db, now) == ({"resolved": 1} if left else {"withdrawn": 1})
    assert told(db) == left
    for again in (watch, judge):
        assert again(db, now + timedelta(days=1)) == {}
    if archived:
        assert told(db) == left
        return
    say(db, number, {at(-10): FIVE})  # an older file says nothing new
    assert told(db) == left
    apply(db, SITE)  # it was not gone
    assert watch(db, now) == ({"changed": 1} if left else {"raised": 1})
    assert told(db) == {("missing", at(0), at(25), None)}


def test_a_site_file_that_names_another_type_says_that_the_past_is_judged_by_the_old_rules(
    sqlite_db: Database,
) -> None:
    apply(sqlite_db, SITE)
    other = SITE.replace('type = "wind_turbine"', 'type = "gas_turbine"')
    assert not [said for said in apply(sqlite_db, other).warnings if "new type" in said]
    apply(sqlite_db, SITE)
    with sqlite_db.write() as session:
        kind = session.scalars(select(DeviceType).filter_by(type_name="wind_turbine")).one()
        kind.validation_rules = {"alerts": [MISSING]}
        session.scalars(select(Device).filter_by(device_id="A")).one().last_seen = at(0)
    for file in (other, SITE):
        assert [said for said in apply(sqlite_db, file).warnings if "new type" in said] == [
            "device A: it has the rules of its new type; `truetonne alerts evaluate --device A` judges by them what "
            "came before"
        ]
        assert not [said for said in apply(sqlite_db, file).warnings if "new type" in said]


@long
@pytest.mark.mariadb
def test_what_is_said_while_the_job_looks_is_kept(
    mariadb_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = device(mariadb_db, [MISSING])
    say(mariadb_db, number, {at(0): FIVE})
    assert watch(mariadb_db, at(60)) == {"raised": 1}
    with mariadb_db.write() as session:  # by another program
        session.add(
            DeviceData(
                device_id=number, metric_name=METRIC, value=FIVE, unit="kW", recorded_at=at(61)
            )
        )
    (one,) = [alert.id for alert in alerts(mariadb_db)]
    real, said = waiting.missing_since, list[object]()

    def meanwhile(session: Session) -> Any:
        found = real(session)
        if not said:  # the unit of work is done once more
            said.append(
                mariadb_db.run(
                    lambda other: handling.acknowledge(other, one, "driving", "otto", at(62)).id
                )
            )
        return found

    monkeypatch.setattr("ledger.park.alerts.missing_since", meanwhile)
    assert watch(mariadb_db, at(63)) == {"resolved": 1}
    (alert,) = alerts(mariadb_db)
    assert (alert.status, alert.resolved_at) == (AlertStatus.RESOLVED, at(61))
    assert (alert.details or {})["acknowledged_note"] == "driving"


@pytest.mark.mariadb
def test_the_report_counts_no_alert_that_there_was_not(
    mariadb_server: MariaDbServer, mariadb_db: Database
) -> None:
    number = device(mariadb_db, [MISSING])
    say(mariadb_db, number, {at(0): FIVE, at(60): FIVE, at(120): FIVE})
    mariadb_db.run(lambda session: watching.watch(session, at(200)))
    (one,) = [alert.id for alert in alerts(mariadb_db) if alert.status is AlertStatus.ACTIVE]
    mariadb_db.run(lambda session: handling.acknowledge(session, one, "", "otto", at(201)))
    assert say(mariadb_db, number, {at(140): FIVE, at(160): FIVE}).as_json() == {"withdrawn": 1}
    assert len(alerts(mariadb_db)) == 3
    with made_account(mariadb_server, Account.READ) as url:
        said = reports(url, "+00:00")
    assert said["Alerts by device and month"] == [
        ("W1", "2026-01", "missing", "critical", 2, 0, Decimal(35))
    ]


@long
def test_a_year_that_flaps_gives_its_alerts_once(sqlite_db: Database) -> None:
    number = device(sqlite_db, [ABOVE, MISSING])
    values = {at(10 * n): NINE if n % 2 else FIVE for n in range(2 * THOUSANDS)}
    assert say(sqlite_db, number, values).as_json() == {
        "raised": THOUSANDS,
        "resolved": THOUSANDS - 1,
    }
    assert say(sqlite_db, number, {at(20 * THOUSANDS): FIVE}).as_json() == {"resolved": 1}
    assert judge(sqlite_db, at(20 * THOUSANDS)) == {}
