"""Alerts in webhooks: each endpoint is told once that one is open and once that it is not, whatever happens between."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from ledger.audit import HOUSE
from ledger.clock import time_text
from ledger.db import Database
from ledger.models import DeviceAlert, WebhookDelivery, WebhookEndpoint, WebhookMessage
from ledger.models.devices import AlertSeverity, AlertStatus
from ledger.models.webhooks import EndpointState
from ledger.sealing import load_sealer
from ledger.webhooks import alerts, collect, endpoints
from tests.support.forms import few, long
from tests.support.keeping import add_device

AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
OPEN, SEEN, DONE = AlertStatus.ACTIVE, AlertStatus.ACKNOWLEDGED, AlertStatus.RESOLVED
Heard = list[tuple[str, int, str]]


class World:
    """A device, its alerts, and endpoints that are told of them."""

    def __init__(self, db: Database, folder: Path) -> None:
        self.db = db
        self.sealer = load_sealer(folder / "sealing.key", make=True)
        self.device = add_device(db, "WT-03")

    def endpoint(self, *types: str) -> int:
        def work(session: Any) -> int:
            _, row = endpoints.add(
                session, self.sealer, "http://127.0.0.1:9/hook", types, None, HOUSE, private=True
            )
            return row.id

        return self.db.run(work)

    def alert(self, status: AlertStatus = OPEN, **more: Any) -> int:
        with self.db.write() as session:
            row = DeviceAlert(
                device_id=self.device,
                alert_type=more.pop("alert_type", "missing"),
                severity=AlertSeverity.HIGH,
                message="WT-03: nothing came.",
                details=more.pop("details", {"metric": "active_power"}),
                status=status,
                triggered_at=AT,
                resolved_at=AT if status is DONE else None,
            )
            session.add(row)
            session.flush()
            return row.id

    def stand(self, alert: int, status: AlertStatus, **values: Any) -> None:
        with self.db.write() as session:
            row = session.get_one(DeviceAlert, alert)
            row.status = status
            row.resolved_at = AT + timedelta(hours=1) if status is DONE else None
            for name, value in values.items():
                setattr(row, name, value)

    def withdraw(self, alert: int) -> None:
        with self.db.write() as session:
            session.execute(delete(DeviceAlert).where(DeviceAlert.id == alert))

    def state(self, endpoint: int, state: EndpointState) -> None:
        with self.db.write() as session:
            session.get_one(WebhookEndpoint, endpoint).state = state

    def heard(self, endpoint: int) -> Heard:
        """Return what became due at an endpoint: type, alert and status, in order."""
        collect(self.db, AT)
        query = (
            select(WebhookMessage.event_type, WebhookMessage.body)
            .join(WebhookDelivery, WebhookDelivery.message_row == WebhookMessage.id)
            .where(WebhookDelivery.endpoint_id == endpoint)
            .order_by(WebhookDelivery.id)
        )
        with self.db.read() as session:
            rows = session.execute(query).all()
        found = [(kind, json.loads(body)) for kind, body in rows]
        assert all(kind == body["type"] for kind, body in found)
        return [(kind, body["data"]["alert"], body["data"]["status"]) for kind, body in found]


@pytest.fixture
def world(db: Database, tmp_path: Path) -> World:
    return World(db, tmp_path)


def test_an_alert_is_told_when_it_opens_and_when_it_closes_and_no_other_time(world: World) -> None:
    all_, raised, other = (
        world.endpoint(pattern) for pattern in ("*", "alert.raised", "credit.issued")
    )
    world.alert(DONE)  # of a file of last year: over before anybody looked
    one = world.alert()
    told: Heard = [("alert.raised", one, "active")]
    assert world.heard(all_) == world.heard(all_) == told
    world.stand(one, SEEN)
    assert world.heard(all_) == told
    world.stand(one, DONE)
    told.append(("alert.cleared", one, "resolved"))
    assert world.heard(all_) == world.heard(all_) == told
    world.stand(one, OPEN)  # later values: it went on
    told.append(("alert.raised", one, "active"))
    assert world.heard(all_) == told
    world.withdraw(one)
    told.append(("alert.cleared", one, "withdrawn"))
    assert world.heard(all_) == world.heard(all_) == told
    assert world.heard(raised) == told[::2]
    assert world.heard(other) == []
    # The same message to both: it has one name.
    with world.db.read() as session:
        names = session.scalars(select(WebhookMessage.message_id)).all()
        assert len(names) == len(set(names)) == len(told)


@long
def test_who_comes_later_or_rested_is_told_what_is_open(world: World) -> None:
    early = world.endpoint("alert.*")
    gone, stays, kept = world.alert(), world.alert(), world.alert()
    assert len(world.heard(early)) == 3
    world.state(early, EndpointState.PAUSED)
    world.stand(gone, DONE)
    short = world.alert()
    world.stand(short, DONE)
    world.stand(kept, DONE, details={"acknowledged_by": "anna", "withdrawn": True})
    late = world.endpoint("alert.raised", "alert.cleared")
    assert world.heard(late) == [("alert.raised", stays, "active")]
    assert len(world.heard(early)) == 3
    world.state(early, EndpointState.ACTIVE)
    assert world.heard(early)[3:] == [
        ("alert.cleared", gone, "resolved"),
        ("alert.cleared", kept, "withdrawn"),
    ]


@few(1)
def test_who_comes_later_is_told_how_it_stands_and_not_how_it_stood(world: World) -> None:
    """The how-manieth message about an alert is another one for each endpoint."""
    early = world.endpoint("alert.*")
    one = world.alert()
    world.heard(early)
    world.stand(one, DONE)
    world.heard(early)
    world.stand(one, SEEN, severity=AlertSeverity.LOW)
    late = world.endpoint("alert.*")
    assert world.heard(late) == [("alert.raised", one, "acknowledged")]
    assert world.heard(early)[2:] == [("alert.raised", one, "acknowledged")]
    world.stand(one, DONE, resolved_at=AT + timedelta(hours=5))
    world.heard(late)
    with world.db.read() as session:
        query = (
            select(WebhookMessage.body)
            .join(WebhookDelivery, WebhookDelivery.message_row == WebhookMessage.id)
            .where(WebhookDelivery.endpoint_id == late)
            .order_by(WebhookDelivery.id)
        )
        raised, cleared = (json.loads(body)["data"] for body in session.scalars(query))
    assert raised["severity"] == "low"
    assert cleared["resolved_at"] == "2026-11-26T17:00:00Z"


def test_a_number_that_is_given_again_is_another_alert(world: World) -> None:
    """SQLite numbers a row anew with the number of the last one that was deleted."""
    number = world.endpoint("alert.*")
    one = world.alert()
    world.heard(number)
    world.withdraw(one)
    two = world.alert(alert_type="above")
    told = world.heard(number)
    assert told[1:] == [
        ("alert.cleared", one, "withdrawn"),
        ("alert.raised", two, "active"),
    ]
    assert world.heard(number) == told


def test_a_number_that_is_given_to_another_metric_is_another_alert(world: World) -> None:
    endpoint = world.endpoint("alert.*")
    one = world.alert()
    world.heard(endpoint)
    world.stand(one, OPEN, details={"metric": "energy"})  # withdrawn, and its number taken
    assert world.heard(endpoint)[1:] == [
        ("alert.cleared", one, "withdrawn"),
        ("alert.raised", one, "active"),
    ]


def test_what_is_cleared_has_the_beginning_that_it_has_now(world: World) -> None:
    endpoint = world.endpoint("alert.cleared")
    one = world.alert()
    world.heard(endpoint)
    world.stand(one, DONE, triggered_at=AT - timedelta(minutes=5))  # by a late value
    assert world.heard(endpoint) == [("alert.cleared", one, "resolved")]
    with world.db.read() as session:
        (body,) = session.scalars(select(WebhookMessage.body))
    assert json.loads(body)["data"]["triggered_at"] == time_text(AT - timedelta(minutes=5))


@long
def test_two_jobs_at_once_tell_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "AT_ONCE", 7)  # so that each takes several commits
    number = world.endpoint("alert.*")
    ids = [world.alert() for _ in range(30)]
    failed: list[BaseException] = []

    def tell() -> None:
        try:
            collect(world.db, AT)
        except BaseException as error:
            failed.append(error)

    threads: list[Callable[[], None]] = [tell, tell, tell]
    running = [threading.Thread(target=each) for each in threads]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert failed == []
    assert sorted(world.heard(number)) == [("alert.raised", each, "active") for each in ids]


def test_books_that_were_restored_give_the_same_names(world: World) -> None:
    number = world.endpoint("alert.*")
    world.alert()
    world.heard(number)
    with world.db.write() as session:  # as they were before it was told
        before = session.scalars(select(WebhookMessage.message_id)).one()
        for table in (WebhookDelivery, WebhookMessage, alerts.WebhookAlert):
            session.execute(delete(table))
    assert len(world.heard(number)) == 1
    with world.db.read() as session:
        assert session.scalars(select(WebhookMessage.message_id)).one() == before
