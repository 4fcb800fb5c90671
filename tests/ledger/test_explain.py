"""What is told of a trade that was settled by itself: its newest intent, among those of other trades."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert

from ledger.db import Database
from ledger.models import ChainIntent, VppSettlementAccount, VppTradeShortfall, VppTradingRecord
from ledger.models.sending import IntentState
from ledger.models.trading import TradeStatus, TradeType
from ledger.settlement.calls import SETTLE_ONE
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
                    "kind": SETTLE_ONE,
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
    take_back = f"truetonne settle cancel trade:{number} --reason WHY takes it back until then"
    assert story.to_do == f"nothing: truetonne settle run sends it; {take_back}"


@pytest.mark.parametrize("status", [TradeStatus.PENDING, TradeStatus.FAILED])
def test_one_that_was_refused_alone_says_what_keeps_it_now(
    sqlite_db: Database, status: TradeStatus
) -> None:
    """It named `settle run`, which does not take what has failed, and hid the command that pays in."""
    stored(sqlite_db, 17, (17, IntentState.FAILED))
    tried = (
        "2026-01-01 00:00:01 planned to be settled by itself",
        "settleOne was refused: it was refused",
    )
    with sqlite_db.write() as session:
        session.get_one(VppTradingRecord, 17).status = status
        for market, vpp in (("day-ahead", None), (None, 1)):
            address = f"0x{'ab' if vpp else 'cd'}" + "1" * 38
            session.add(VppSettlementAccount(vpp_id=vpp, market=market, address=address))
    with sqlite_db.read() as session:
        alone = story_of(session, "trade:17")
    assert alone.happened == tried
    assert alone.to_do == "mend that, then: truetonne settle run, or settle one"
    failed_at = NOW if status is TradeStatus.FAILED else None
    with sqlite_db.write() as session:
        session.add(
            VppTradeShortfall(
                trade_id=17,
                account="0xcd" + "1" * 38,
                held=Decimal(0),
                owed=Decimal(10),
                reason="it lacks 0.10",
                since=NOW,
                failed_at=failed_at,
            )
        )
    with sqlite_db.read() as session:
        story = story_of(session, "trade:17")
    assert story.happened[:3] == (*tried, "2026-01-01 00:00:00 left out: it lacks 0.10")
    assert story.to_do == (
        "pay in, then: truetonne settle retry trade:17"
        if failed_at
        else "pay in, as that says; every run tries it again"
    )
