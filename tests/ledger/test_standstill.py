"""What a run goes by before it looks back: a few newest rows and the trades that wait; each change is seen."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, event, insert, select, text, update
from sqlalchemy.orm import Session

from cli.bench.history import fill, let_one_wait, one_more
from ledger import audit, changed_accounts
from ledger.db import Database
from ledger.models import (
    ChainBlock,
    ChainCursor,
    ChainEvent,
    ChainIntent,
    VppSettlementAccount,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradeCredit,
    VppTradingRecord,
)
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus, TradeType
from ledger.settlement import standstill
from ledger.settlement.standstill import Standstill, State, state_of
from tests.support.books import new_books
from tests.support.sent import ADDRESS, CHAIN

SHORT, LONG = 400, 3_200
STEP = 10
"""Steps of SQLite's machine between two looks of the counter."""


@pytest.fixture
def books(sqlite_db: Database) -> Database:
    fill(sqlite_db, SHORT, CHAIN, ADDRESS)
    return sqlite_db


def state(db: Database) -> State | None:
    with db.read() as session:
        return state_of(session, CHAIN)


def _came(name: str) -> Callable[[Session], object]:
    def work(session: Session) -> None:
        values = {"block_number": 10**6, "log_index": 0, "event_name": name, "args": {}}
        like = {"tx_hash": "0x" + "9" * 64, "contract_address": ADDRESS}
        session.execute(insert(ChainEvent), [{**values, **like}])

    return work


def _newest_block(session: Session) -> int:
    return (
        session.scalars(
            select(ChainEvent.block_number).order_by(ChainEvent.block_number.desc())
        ).first()
        or 0
    )


CHANGES: dict[str, Callable[[Session], object]] = {
    **{f"the chain did {name}": _came(name) for name in standstill._EVENTS},
    "a fork took the last one back": lambda session: session.execute(
        delete(ChainEvent).where(ChainEvent.block_number == _newest_block(session))
    ),
    "a fork brought it in another block of its number": lambda session: session.execute(
        update(ChainBlock)
        .where(ChainBlock.number == _newest_block(session))
        .values(hash="0x" + "8" * 64)
    ),
    "it is not final any more": lambda session: session.execute(
        update(ChainCursor).values(final_number=_newest_block(session) - 1)
    ),
    "a trade came that had ended": lambda session: _trade(session, TradeStatus.CANCELLED),
    "a plant has another account": lambda session: session.execute(
        update(VppSettlementAccount)
        .where(VppSettlementAccount.vpp_id == 1)
        .values(address="0x" + "7" * 40)
    ),
    "a market has no account any more": lambda session: session.execute(
        delete(VppSettlementAccount).where(VppSettlementAccount.vpp_id.is_(None))
    ),
    "a plant had another account for a moment": lambda session: audit.record(
        session, changed_accounts.ACTION, changed_accounts.resource_of(1), {}, {}
    ),
    "a batch is planned": lambda session: session.execute(
        update(VppSettlementBatch)
        .where(VppSettlementBatch.state == BatchState.PROPOSED)
        .values(state=BatchState.PLANNED)
    ),
    "a trade is to be settled by itself": lambda session: session.execute(
        update(ChainIntent)
        .where(ChainIntent.kind == "settle_one")
        .values(state=IntentState.PLANNED)
    ),
}


def _trade(session: Session, status: TradeStatus) -> None:
    one_more(session, id=10**6, status=status)


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_run_goes_by_changes(books: Database, change: str) -> None:
    before, still = state(books), Standstill()
    assert before is not None and before == state(books)
    assert not still.lasts(before)  # nobody has looked yet
    still.note(before)
    assert still.lasts(before)
    books.run(CHANGES[change])
    after = state(books)
    assert after is not None
    assert not still.lasts(after)


def _set(**values: object) -> Callable[[Session], object]:
    def work(session: Session) -> None:
        waits = VppTradingRecord.id == 10**6
        session.execute(update(VppTradingRecord).where(waits).values(**values))

    return work


OF_A_TRADE: dict[str, Callable[[Session], object]] = {
    "its side": _set(trade_type=TradeType.BUY),
    "its quantity": _set(quantity=Decimal("1.001")),
    "its price": _set(price=Decimal("0.0501")),
    "its value": _set(total_value=Decimal("0.06")),
    "its market": _set(market="another"),
    "its moment": _set(trade_time=datetime(2024, 1, 1, 0, 0, 1, tzinfo=UTC)),
    "what it is of": lambda session: session.execute(
        insert(VppTradeCredit), [{"trade_id": 10**6, "asset": 7}]
    ),
    "it was taken out": _set(status=TradeStatus.CANCELLED),
    "it cannot be read": lambda session: session.execute(
        text(
            "UPDATE vpp_trading_records SET total_value = 'much', trade_time = '2024-02-31' WHERE id = 1000000"
        )
    ),
    "it is gone": lambda session: session.execute(
        delete(VppTradingRecord).where(VppTradingRecord.id == 10**6)
    ),
    "another waits": lambda session: session.execute(delete(VppSettlementItem)),
}


def test_a_trade_that_is_on_its_way_by_itself_counts_until_it_has_failed(books: Database) -> None:
    """Its number may be another trade's on chain, and is given away when nothing is on its way with it."""

    def put(state: IntentState) -> None:
        key = select(ChainIntent.key).where(ChainIntent.kind == "settle_one").limit(1)

        def work(session: Session) -> None:
            first = ChainIntent.key == session.scalars(key).one()
            session.execute(update(ChainIntent).where(first).values(state=state))

        books.run(work)

    still, seen = Standstill(), []
    for now in (IntentState.PLANNED, IntentState.SUBMITTED, IntentState.FAILED):
        put(now)
        seen.append(state(books))
        assert not still.lasts(seen[-1])
        still.note(seen[-1])
    assert len(set(seen)) == 3


@pytest.mark.parametrize("change", OF_A_TRADE)
def test_a_trade_that_waits_is_gone_by_as_it_is(books: Database, change: str) -> None:
    """Other programs may change one in its row, to what the chain has settled long since."""
    still = Standstill()
    still.note(state(books))
    books.run(lambda session: _trade(session, TradeStatus.PENDING))
    before = state(books)
    assert before is not None and before.waiting is not None
    assert not still.lasts(before)
    still.note(before)
    assert still.lasts(state(books))
    books.run(OF_A_TRADE[change])
    assert not still.lasts(state(books))


def test_a_standstill_is_believed_for_an_hour(
    books: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, still = state(books), Standstill()
    clock = [100.0]
    monkeypatch.setattr(standstill.time, "monotonic", lambda: clock[0])
    still.note(now)
    clock[0] += 3599
    assert still.lasts(now)
    clock[0] += 1
    assert not still.lasts(now)
    still.note(None)
    assert not still.lasts(now)


@pytest.mark.parametrize("waits", [False, True])
def test_the_history_is_not_read(tmp_path: Path, books: Database, waits: bool) -> None:
    """Every few seconds all that was ever settled was read, by others, too."""

    def steps(db: Database) -> int:
        looks = [0]

        def look() -> int:
            looks[0] += 1
            return 0

        def counted(connection: Any, _record: Any, _proxy: Any) -> None:
            connection.set_progress_handler(look, STEP)

        event.listen(db._engine, "checkout", counted)
        if waits:
            let_one_wait(db)
        state(db)
        looks[0] = 0
        assert state(db) is not None
        return looks[0] * STEP

    with closing(new_books(tmp_path / "long.db")) as longer:
        fill(longer, LONG, CHAIN, ADDRESS)
        assert 0 < steps(longer) <= steps(books) + 2 * STEP
