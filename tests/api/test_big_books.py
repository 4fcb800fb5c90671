"""What a question costs as the books grow, in steps of SQLite's machine: in larger books, less those in smaller ones.

Steps are counted, not times: the same every time, on every machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, insert
from sqlalchemy.orm import Session

from api.app import create_app
from api.credits.then import status_changes
from cli.bench.api.books import make_books
from ledger.db import Database
from ledger.db.tables import ends_among
from ledger.models import (
    Base,
    CarbonCredit,
    ChainEvent,
    CreditBatch,
    CreditHolding,
    CreditRetirement,
    CreditSerial,
    CreditSite,
    Device,
    DeviceType,
    EmissionFactor,
    EnergyProduction,
    JobRun,
    Meter,
    Project,
    ScheduledJob,
    Site,
    VppDefinition,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.devices import DeviceStatus
from ledger.models.jobs import RunOutcome
from ledger.models.settlement import BatchState
from ledger.models.sites import FactorPurpose, MeterRole
from ledger.models.trading import TradeStatus, TradeType
from ledger.models.vpp import VppStatus
from ledger.serials import CreditStatus, batch_id_of, credit_id
from ledger.settings import load_settings
from tests.api.conftest import EPOCH, ISSUER, h66
from tests.support.books import new_books
from tests.support.forms import few

ONE_DATABASE = "the steps are SQLite's"
SMALL, LARGE = 400, 2_000
"""Rows of each kind. The small books have more batches than are found by their batch."""
OWNER = "0x" + "cc" * 20
PARTED = batch_id_of(2, 1)
FIRST_HOUR = EPOCH + timedelta(days=60)
STEP = 10
"""Steps between two looks of the counter."""


def fill(db: Database, count: int) -> None:
    """Write credits, trades, changes of status, runs of one batch and hours of a site: so many of each."""
    make_books(db, 2 * count)
    with db.write() as session:
        _holdings(session, count)
        _changes(session, count)
        _runs(session, count)
        _trades(session, count)
        _hours(session, count)
        _job(session, count)


def put(session: Session, table: type[Base], rows: Iterator[dict[str, Any]]) -> None:
    session.execute(insert(table), list(rows))


def _holdings(session: Session, count: int) -> None:
    rows = (
        {"batch_id": batch_id_of(1, number), "holder": OWNER, "amount_kg": 600}
        for number in range(1, count + 1)
    )
    put(session, CreditHolding, rows)


def _changes(session: Session, count: int) -> None:
    """One change of each batch."""
    rows = (
        {
            "block_number": number // 10 + 1,
            "log_index": 500 + number % 10,
            "tx_hash": h66(1, number),
            "contract_address": "0x" + "c1" * 20,
            "event_name": "StatusChanged",
            "args": {"batch_id": str(batch_id_of(1, number)), "old_status": "1", "new_status": "2"},
        }
        for number in range(1, count + 1)
    )
    put(session, ChainEvent, rows)


def _runs(session: Session, count: int) -> None:
    """A batch of a second site with so many runs of ten kilograms, each retired."""
    session.add(
        CreditSite(site_id=2, project_id=1, code="parted", minted_until_s=0, block_number=1)
    )
    like = session.get_one(CreditBatch, batch_id_of(1, 1))
    values = {column.key: getattr(like, column.key) for column in CreditBatch.__table__.columns}
    values |= {"batch_id": PARTED, "site_id": 2, "key": h66(3, 10**6), "log_index": 900}
    session.execute(insert(CreditBatch), [{**values, "vintage": 2023}])
    firsts = range(1, 10 * count, 10)
    names = [credit_id("parted", 2023, 1, first, first + 9) for first in firsts]
    credits = (
        {
            "credit_id": name,
            "amount": Decimal("0.01"),
            "unit": "tCO2e",
            "issuer": ISSUER,
            "status": CreditStatus.RETIRED,
            "blockchain_tx": values["tx_hash"],
            "issued_at": EPOCH,
        }
        for name in names
    )
    put(session, CarbonCredit, credits)
    serials = (
        {
            "credit_id": name,
            "batch_id": PARTED,
            "first_serial": first,
            "last_serial": first + 9,
            "retirement_id": 10**6 + first,
        }
        for name, first in zip(names, firsts, strict=True)
    )
    put(session, CreditSerial, serials)
    retired = session.get_one(CreditRetirement, 1)
    like_it = {
        column.key: getattr(retired, column.key) for column in CreditRetirement.__table__.columns
    }
    retirements = (
        {
            **like_it,
            "retirement_id": 10**6 + first,
            "key": h66(7, 10**6 + first),
            "batch_id": PARTED,
            "first_serial": first,
            "amount_kg": 10,
            "log_index": 1000 + first,
        }
        for first in firsts
    )
    put(session, CreditRetirement, retirements)


def _trades(session: Session, count: int) -> None:
    """Trades of one plant but every tenth, in settlement batches of forty."""
    plants = ({"id": number, "vpp_id": f"vpp-{number}"} for number in (1, 2))
    same = {"name": "Plant", "total_capacity": Decimal(9), "status": VppStatus.ACTIVE}
    put(session, VppDefinition, ({**plant, **same} for plant in plants))
    trades = (
        {
            "id": number,
            "vpp_id": 1 if number % 10 else 2,
            "trade_type": TradeType.SELL,
            "quantity": Decimal("1.000"),
            "price": Decimal("0.0400"),
            "total_value": Decimal("0.04"),
            "market": "day-ahead",
            "status": TradeStatus.EXECUTED,
            "trade_time": EPOCH + timedelta(hours=number % 24),
        }
        for number in range(1, count + 1)
    )
    put(session, VppTradingRecord, trades)
    batches = (
        {
            "id": number,
            "batch_key": h66(0x5B, number),
            "market": "day-ahead",
            "state": BatchState.FINALIZED,
            "trade_count": 40,
            "accounts": [],
            "nets": [],
            "trades_root": h66(0x5C, number),
        }
        for number in range(1, count // 40 + 1)
    )
    put(session, VppSettlementBatch, batches)
    items = (
        {"batch_id": (number - 1) // 40 + 1, "trade_id": number, "word": h66(0x5D, number)}
        for number in range(1, count + 1)
    )
    put(session, VppSettlementItem, items)


def _hours(session: Session, count: int) -> None:
    """A site with a turbine that has produced for so many hours."""
    session.add(
        EmissionFactor(
            id=1,
            code="grid",
            version="1",
            purpose=FactorPurpose.CREDITING_CM,
            value="0.4",
            unit="t/MWh",
            source="made",
            verified=True,
            content_sha256="0" * 64,
        )
    )
    session.add(Site(id=1, code="park", name="Park", time_zone="Europe/Paris", country="FR"))
    session.add(DeviceType(type_name="turbine", category="generation"))
    session.flush()
    session.add(
        Project(
            id=1,
            site_id=1,
            code="park",
            methodology="m",
            methodology_version="1",
            factor_id=1,
            program="p",
            completeness_min=Decimal("0.9"),
        )
    )
    session.add(
        Device(id=1, device_id="wt-1", name="WT", type="turbine", status=DeviceStatus.ONLINE)
    )
    session.flush()
    session.add(
        Meter(
            id=1,
            site_id=1,
            project_id=1,
            device_id=1,
            serial="m-1",
            role=MeterRole.GENERATION,
            calibrated=True,
        )
    )
    hours = (
        {
            "device_id": 1,
            "production": Decimal("5.000"),
            "unit": "kWh",
            "recorded_at": FIRST_HOUR + timedelta(hours=number),
        }
        for number in range(count)
    )
    put(session, EnergyProduction, hours)


def _job(session: Session, count: int) -> None:
    """A job that has run so many times, and another that never has."""
    session.add_all(
        ScheduledJob(name=name, schedule="1m", due_at=EPOCH) for name in ("alerts", "settle")
    )
    runs = (
        {
            "job": "alerts",
            "due_at": EPOCH,
            "started_at": EPOCH,
            "ended_at": EPOCH + timedelta(minutes=number),
            "duration_ms": 1,
            "outcome": RunOutcome.DONE,
            "repeats": 1,
            "place": "here",
        }
        for number in range(count)
    )
    put(session, JobRun, runs)


class Counted:
    """Books, the API before them, and the steps that its answers take."""

    def __init__(self, folder: Path, count: int) -> None:
        self.count = count
        db = new_books(folder / f"{count}.db")
        fill(db, count)
        db.close()
        given = {
            "TRUETONNE_DATABASE_URL": f"sqlite:///{folder / f'{count}.db'}",
            "TRUETONNE_HOME": str(folder),
            "TRUETONNE_RATE_LIMIT": "0",
            "TRUETONNE_CACHE_MIB": "0",
        }
        app = create_app(load_settings(None, given))
        self.db: Database = app.state.context.database
        self.client = TestClient(app)
        self._looks = 0
        event.listen(self.db._engine, "checkout", self._count)
        quick = self.db.quick
        assert quick is not None
        opened = quick._open

        def counted() -> sqlite3.Connection:
            connection = opened()
            connection.set_progress_handler(self._look, STEP)
            return connection

        vars(quick)["_open"] = counted

    def _count(self, connection: Any, _record: Any, _proxy: Any) -> None:
        connection.set_progress_handler(self._look, STEP)

    def _look(self) -> int:
        self._looks += 1
        return 0

    def steps(self, ask: Callable[[], Any]) -> int:
        """Return the steps of a question that was asked before."""
        ask()
        self._looks = 0
        ask()
        return self._looks * STEP

    def get(self, path: str) -> None:
        """Ask for an answer."""
        answer = self.client.get(path, headers={"Accept": "text/html, application/json"})
        assert answer.status_code == 200, answer.text

    def ends(self) -> None:
        """Ask for the first and the last hour of the site."""
        with self.db.read() as session:
            of, at = EnergyProduction.device_id, EnergyProduction.recorded_at
            found = ends_among(session, Device.id, [1], of, at)
            assert found == {1: (FIRST_HOUR, FIRST_HOUR + timedelta(hours=self.count - 1))}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Counted, Counted]:
    folder = tmp_path_factory.mktemp("big")
    return Counted(folder, SMALL), Counted(folder, LARGE)


@few(2)
@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("/v1/credits", 1),
        ("/v1/credits/bench-wind-2024-5-1-400", 1),
        ("/v1/credits?site=nosuch", 1),
        ("/v1/credits?site=nosuch&status=retired", 1),
        ("/v1/credits?vintage=1999", 6),
        ("/v1/credits?vintage=1999&order=asc", 6),
        (f"/v1/credits?batch_id={PARTED}", 28),
        ("/v1/credits/export?format=csv", 230),
        ("/v1/credits/bench-wind-2024-5-1-400/history", 15),
        ("/v1/retirements?batch_id=" + str(PARTED), 40),
        (f"/v1/retirements/{10**6 + 1}", 1),
        ("/v1/trades?vpp_code=vpp-1", 15),
        ("/v1/trades?vpp_code=vpp-1&market=day-ahead&order=asc", 15),
        ("/v1/trades?batch_key=" + h66(0x5B, 3), 1),
        ("/v1/settlements?vpp_code=vpp-1&limit=5", 2),
        ("/v1/settlements?vpp_code=vpp-1&limit=5&order=asc", 2),
        ("/v1/transactions?key=" + h66(3, 3), 12),
        (f"/v1/holders/{OWNER}", 20),
        ("/operations", 12),
    ],
)
def test_a_row_more_costs_a_few_steps_or_none(
    pair: tuple[Counted, Counted], path: str, steps: int
) -> None:
    small, large = (each.steps(partial(each.get, path)) for each in pair)
    assert (large - small) / (LARGE - SMALL) <= steps, (small, large)


@few(1)
@pytest.mark.parametrize(
    "path",
    [
        "site=parted",
        "site=parted&status=retired",
        "vintage=2023",
        f"batch_id={PARTED}",
        f"key={h66(3, 10**6)}&status=retired",
    ],
)
def test_few_batches_and_many_give_the_same_pages(
    pair: tuple[Counted, Counted], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Credits are sought by their batches or in the order of the list, as there are few or many batches."""
    client = pair[0].client
    for order in ("asc", "desc"):
        asked = f"/v1/credits?{path}&limit=7&order={order}"
        first = client.get(asked).json()
        after = f"{asked}&cursor={first['next_cursor']}"
        second = client.get(after).json()
        assert len(first["items"]) == len(second["items"]) == 7
        with monkeypatch.context() as patched:
            patched.setattr("api.credits.queries._FEW", 0)
            assert (client.get(asked).json(), client.get(after).json()) == (first, second)


def test_the_first_and_the_last_hour_are_two_looks(pair: tuple[Counted, Counted]) -> None:
    small, large = (each.steps(each.ends) for each in pair)
    assert large - small <= 10 * STEP, (small, large)


def test_changes_of_a_few_batches_are_picked_out_by_the_database(
    pair: tuple[Counted, Counted],
) -> None:
    """Each page of the state of then read every change that there ever was: a second, where 50,000 are."""
    wanted = [batch_id_of(1, number) for number in (7, LARGE - 1)]
    with pair[1].db.read() as session:
        found = list(status_changes(session, up_to=10**6, of=wanted))
        assert list(status_changes(session, of=())) == []
    assert [(batch, status.value) for batch, status, _ in found] == [
        (batch, "suspended") for batch in wanted
    ]
