"""A page of a list is read in the order of the list on MariaDB, whatever it thinks of how many rows go with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.orm import Session

from api.credits.queries import list_credits
from api.credits.schemas import CreditParameters
from api.finality import ChainView
from api.pagination import PageParameters
from api.plants.queries import show_plant
from api.plants.schemas import PlantParameters, TradePeriod
from api.settlements.queries import list_settlements
from api.settlements.schemas import SettlementParameters
from api.trades.queries import list_trades
from api.trades.schemas import TradeParameters
from cli.bench.api.books import make_books
from ledger.db import Database
from ledger.models import VppDefinition, VppSettlementBatch, VppSettlementItem, VppTradingRecord
from ledger.models.settlement import BatchState
from ledger.models.vpp import VppStatus
from tests.api.conftest import EPOCH, SALE, h66
from tests.support.mariadb import MariaDbServer
from tests.support.statements import listening

pytestmark = pytest.mark.mariadb
ROWS = 2_000
VIEW = ChainView(network="local", rule="local", as_of_block=10, final_block=8)
LISTS: dict[str, tuple[Callable[..., Any], PageParameters, str]] = {
    "credits": (list_credits, CreditParameters(limit=200), "carbon_credits"),
    "trades": (list_trades, TradeParameters(limit=200), "vpp_trading_records"),
}


def trades(session: Session) -> None:
    """Trades of four plants."""
    plant = {"name": "Plant", "total_capacity": Decimal(9), "status": VppStatus.ACTIVE}
    session.execute(
        insert(VppDefinition),
        [{"id": each, "vpp_id": f"vpp-{each}", **plant} for each in (1, 2, 3, 4)],
    )
    session.execute(
        insert(VppTradingRecord),
        [
            {"vpp_id": number % 4 + 1, "trade_time": EPOCH + timedelta(minutes=number), **SALE}
            for number in range(ROWS)
        ],
    )


@pytest.fixture
def books(mariadb_server: MariaDbServer, mariadb_db: Database) -> Iterator[Database]:
    """Books that became long since the server counted what goes with what: it counts anew when it has the time."""
    mariadb_server.execute("SET GLOBAL innodb_stats_auto_recalc = OFF")
    try:
        make_books(mariadb_db, ROWS)
        with mariadb_db.write() as session:
            trades(session)
        yield mariadb_db
    finally:
        mariadb_server.execute("SET GLOBAL innodb_stats_auto_recalc = ON")


@pytest.mark.parametrize("name", LISTS)
def test_a_page_begins_with_its_own_table(books: Database, name: str) -> None:
    """Each page of 200 credits took 0.6 s of the server: it read all of 85,000, by their batches, and sorted them."""
    query, parameters, table = LISTS[name]
    said: list[tuple[str, Any]] = []
    with books.read() as session:
        cursor = query(session, VIEW, parameters).next_cursor
        following = parameters.model_copy(update={"cursor": cursor})
        with listening(lambda _c, _cursor, sql, values, *_: said.append((sql, values))):
            assert len(query(session, VIEW, following).items) == 200
        sql, values = next(each for each in said if f"FROM {table}" in each[0])
        plan = session.connection().exec_driver_sql(f"EXPLAIN {sql}", values).mappings().all()
    assert plan[0]["table"] == table
    assert [row["Extra"] for row in plan if "sort" in (row["Extra"] or "")] == []


def settled(session: Session) -> None:
    """Each ten trades in a batch; the two of them that are of a plant are of each batch."""
    batch = {"state": BatchState.FINALIZED, "market": "spot", "trade_count": 10}
    session.execute(
        insert(VppSettlementBatch),
        [
            {"id": at, "batch_key": h66(1, at), "trades_root": h66(2, at), **batch}
            | {"accounts": [], "nets": []}
            for at in range(1, ROWS // 10 + 1)
        ],
    )
    trade = select(VppTradingRecord.id).order_by(VppTradingRecord.id)
    session.execute(
        insert(VppSettlementItem),
        [
            {"batch_id": at // 10 + 1, "trade_id": number, "word": h66(3, number)}
            for at, number in enumerate(session.scalars(trade))
        ],
    )


def test_a_plant_with_many_trades_is_sought_in_the_next_batches(
    books: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page read all trades of the plant: 0.25 s, where it had 92,000 of 200,000."""
    monkeypatch.setattr("api.settlements.queries._FEW", 100)
    with books.write() as session:
        settled(session)
    parameters = SettlementParameters(vpp_code="vpp-1", limit=5)
    said: list[tuple[str, Any]] = []
    with books.read() as session:
        cursor = list_settlements(session, VIEW, parameters).next_cursor
        for each in (parameters, parameters.model_copy(update={"cursor": cursor})):
            said.clear()
            with listening(lambda _c, _cursor, sql, values, *_: said.append((sql, values))):
                assert len(list_settlements(session, VIEW, each).items) == 5
            ((sql, values),) = [found for found in said if "vpp_settlement_items" in found[0]]
            connection = session.connection()
            before = reads(connection)
            connection.exec_driver_sql(sql, values).all()
            assert reads(connection) - before < 200, sql


def test_the_page_of_a_plant_seeks_its_last_batches_in_those(
    books: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It followed all trades of the plant to their batches: 0.3 s of the server, where it had 92,000 of 200,000."""
    monkeypatch.setattr("api.settlements.queries._FEW", 100)
    monkeypatch.setattr("api.plants.queries.SETTLEMENTS_MAX", 5)
    with books.write() as session:
        settled(session)
    said: list[tuple[str, Any]] = []
    with books.read() as session:
        with listening(lambda _c, _cursor, sql, values, *_: said.append((sql, values))):
            plant = show_plant(session, VIEW, "vpp-1", PlantParameters(by=TradePeriod.MONTH))
        assert [item.id for item in plant.settlements] == [200, 199, 198, 197, 196]
        assert {item.payment.trades for item in plant.settlements} == {2, 3}
        connection = session.connection()
        before, asked = reads(connection), 0
        for sql, values in said:
            if "vpp_settlement_items" in sql:
                connection.exec_driver_sql(sql, values).all()
                asked += 1
        assert asked == 2 and reads(connection) - before < 800


def reads(connection: Connection) -> int:
    """Return how many rows and keys the server has read for this connection."""
    shown = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'")
    return sum(int(value) for _, value in shown)
