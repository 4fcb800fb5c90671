"""What is told of a trade that was settled by itself: its newest intent, among those of other trades."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert

from ledger.db import Database
from ledger.models import ChainIntent, VppTradingRecord
from ledger.models.sending import IntentState
from ledger.models.trading import TradeStatus, TradeType
from ledger.settlement import singles
from ledger.settlement.explain import story_of
from tests.support.keeping import add_plant

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LARGE = 2**53 + 1
"""JSON has it as text: readers with floating point would spoil it."""


def stored(db: Database, number: int, *intents: tuple[int, IntentState]) -> None:
    """Store a pending trade of this number, and intents to settle trades by themselves, the oldest first."""
    with db.write() as session:
        plant = add_plant(session, "lab")
        session.add(
            VppTradingRecord(
                id=number,
                vpp_id=plant,
                trade_type=TradeType.SELL,
                quantity=Decimal("1.000"),
                price=Decimal("0.1000"),
                total_value=Decimal("0.10"),
                market="day-ahead",
                status=TradeStatus.PENDING,
                trade_time=NOW,
            )
        )
        session.execute(
            insert(ChainIntent),
            [
                {
                    "key": f"0x{place:064x}",
                    "chain_id": 31337,
                    "kind": singles.KIND,
                    "contract_address": "0x" + "1" * 40,
                    "function_name": "settleOne",
                    "parameters": {"trade": {"seq": str(seq) if seq >= LARGE else seq}},
                    "call_data": "0x",
                    "sender_address": "0x" + "2" * 40,
                    "state": state,
                    "error": "it was refused" if state is IntentState.FAILED else None,
                    "created_at": NOW + timedelta(seconds=place),
                }
                for place, (seq, state) in enumerate(intents, 1)
            ],
        )


@pytest.mark.parametrize("number", [17, LARGE])
def test_the_newest_intent_of_a_trade_tells_what_became_of_it(db: Database, number: int) -> None:
    stored(
        db,
        number,
        (number, IntentState.FAILED),
        (number, IntentState.PLANNED),
        (number - 1, IntentState.CONFIRMED),
        (number * 10, IntentState.FAILED),
    )
    with db.read() as session:
        story = story_of(session, f"trade:{number}")
    assert story.happened == ("2026-01-01 00:00:02 planned to be settled by itself",)
    assert story.to_do == "nothing: truetonne settle run sends it"
