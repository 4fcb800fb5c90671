"""Which batches and trades of the chain are not of these books; batches are found without reading those that are."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert

from ledger.db import Database
from ledger.models import SettlementBatch, VppSettlementBatch, VppTradingRecord
from ledger.models.escrow import SettlementStatus
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeType
from ledger.settlement import elsewhere, forgotten, numbers, singles
from ledger.settlement.words import Trade
from tests.support.statements import listening, steps_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OURS, GIVEN_UP, OTHERS, UNSENT = (f"0x{digit * 64}" for digit in "1234")


def fill(db: Database) -> None:
    """Store a batch of ours and one that we gave up, both settled; one of others; one of ours that is not on chain."""
    with db.write() as session:
        session.execute(
            insert(VppSettlementBatch),
            [
                {
                    "batch_key": key,
                    "market": "day-ahead",
                    "state": state,
                    "trade_count": 0,
                    "accounts": [],
                    "nets": [],
                    "trades_root": key,
                    "created_at": NOW,
                    "updated_at": NOW,
                }
                for key, state in (
                    (OURS, BatchState.FINALIZED),
                    (GIVEN_UP, BatchState.FAILED),
                    (UNSENT, BatchState.FAILED),
                )
            ],
        )
        session.execute(
            insert(SettlementBatch),
            [
                {
                    "batch_id": number,
                    "key": key,
                    "asset": 0,
                    "trade_count": 0,
                    "trades_root": key,
                    "accounts": [],
                    "nets": [],
                    "credit_nets": [],
                    "finalizable_at_s": 1,
                    "status": SettlementStatus.FINALIZED,
                    "cosigned_digest": key,
                    "block_number": number,
                    "log_index": 0,
                    "tx_hash": key,
                    "proposed_at": NOW,
                }
                for number, key in enumerate((OURS, GIVEN_UP, OTHERS), 1)
            ],
        )


def test_what_is_not_ours_and_what_was_given_up_is_told_apart(db: Database) -> None:
    fill(db)
    with db.read() as session:
        assert elsewhere.unknown_keys(session) == [OTHERS]
        assert sorted(elsewhere.keys_elsewhere(session)) == [GIVEN_UP, OTHERS]


def test_batches_of_ours_are_read_by_their_keys_alone(sqlite_db: Database) -> None:
    """There are more of them every hour, and each planning asks four times."""
    fill(sqlite_db)
    said: dict[str, Any] = {}
    with (
        sqlite_db.read() as session,
        listening(lambda _c, _cursor, sql, parameters, *_: said.update({sql: parameters})),
    ):
        assert elsewhere.settled_among(session, [17]) == []
        assert elsewhere.settled_elsewhere(session, 1, 3) == []
        assert forgotten.taken_numbers(session) == set()
        assert numbers._claimed(session, singles.sent_without_number(session)) == {}
    with sqlite_db.read() as session:
        link = session.connection().connection.driver_connection
        steps = [step for sql in said for step in steps_of(link, sql, said[sql])]
    whole = [step for step in steps if re.match(r"SCAN (vpp_)?settlement_batches", step)]
    assert whole
    assert [step for step in whole if "USING COVERING INDEX" not in step] == []


PLANT, FORMER, MARKET, OTHER = ("0x" + digit * 40 for digit in "1234")
ACCOUNTS = elsewhere.Accounts({1: PLANT}, {"day-ahead": MARKET}, {1: [FORMER]})


@pytest.mark.parametrize(
    ("side", "buyer", "seller", "ours"),
    [
        (TradeType.SELL, MARKET, PLANT, True),
        (TradeType.SELL, MARKET, FORMER, True),
        (TradeType.SELL, PLANT, MARKET, False),
        (TradeType.SELL, OTHER, PLANT, False),
        (TradeType.SELL, MARKET, OTHER, False),
        (TradeType.BUY, PLANT, MARKET, True),
        (TradeType.BUY, FORMER, MARKET, True),
        (TradeType.BUY, MARKET, PLANT, False),
    ],
)
def test_a_trade_of_others_with_our_number_and_figures_is_not_ours(
    side: TradeType, buyer: str, seller: str, ours: bool
) -> None:
    """Others number theirs from 1, too: taken for ours it would count as paid, and nobody had paid it."""
    figures = {"quantity": Decimal(1), "price": Decimal(2)}
    record = VppTradingRecord(id=1, vpp_id=1, market="day-ahead", trade_type=side, **figures)
    assert ACCOUNTS.is_of(record, Trade(1, buyer, seller, 1000, 20_000)) is ours
