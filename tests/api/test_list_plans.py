"""A page of a list is read in the order of the list on MariaDB, whatever it thinks of how many rows go with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from api.credits.queries import list_credits
from api.credits.schemas import CreditParameters
from api.finality import ChainView
from api.pagination import PageParameters
from api.trades.queries import list_trades
from api.trades.schemas import TradeParameters
from cli.bench.api.books import make_books
from ledger.db import Database
from ledger.models import VppDefinition, VppTradingRecord
from ledger.models.trading import TradeStatus, TradeType
from ledger.models.vpp import VppStatus
from tests.api.conftest import EPOCH
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
    trade = {
        "trade_type": TradeType.SELL,
        "quantity": Decimal(1),
        "price": Decimal(1),
        "total_value": Decimal(1),
        "market": "spot",
        "status": TradeStatus.EXECUTED,
    }
    session.execute(
        insert(VppTradingRecord),
        [
            {"vpp_id": number % 4 + 1, "trade_time": EPOCH + timedelta(minutes=number), **trade}
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
