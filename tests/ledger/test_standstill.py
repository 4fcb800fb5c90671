"""A run with nothing to net: what it goes by is a few newest rows, and each of its changes is seen."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, event, insert, select, update
from sqlalchemy.orm import Session

from cli.bench.history import fill
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
    VppTradingRecord,
)
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
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
    like = session.scalars(select(VppTradingRecord).limit(1)).one()
    values = {column.key: getattr(like, column.key) for column in VppTradingRecord.__table__.c}
    session.execute(insert(VppTradingRecord), [{**values, "id": 10**6, "status": status}])


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


def test_trades_that_wait_are_no_standstill(books: Database) -> None:
    still = Standstill()
    still.note(state(books))
    books.run(lambda session: _trade(session, TradeStatus.PENDING))
    assert state(books) is None
    assert not still.lasts(None)
    books.run(
        lambda session: session.execute(
            delete(VppTradingRecord).where(VppTradingRecord.id == 10**6)
        )
    )
    assert still.lasts(state(books))
    books.run(lambda session: session.execute(delete(VppSettlementItem)))
    assert state(books) is None  # those of the proposed batch are free again


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


def test_the_history_is_not_read(tmp_path: Path, books: Database) -> None:
    """Every few seconds all that was ever settled was read, by others, too."""

    def steps(db: Database) -> int:
        looks = [0]

        def look() -> int:
            looks[0] += 1
            return 0

        def counted(connection: Any, _record: Any, _proxy: Any) -> None:
            connection.set_progress_handler(look, STEP)

        event.listen(db._engine, "checkout", counted)
        state(db)
        looks[0] = 0
        assert state(db) is not None
        return looks[0] * STEP

    with closing(new_books(tmp_path / "long.db")) as longer:
        fill(longer, LONG, CHAIN, ADDRESS)
        assert 0 < steps(longer) <= steps(books) + 2 * STEP
