"""Which refusals of a contract say that the chain has done before what an intent wants."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.chain.sending.adoption import says_done
from ledger.db import Database
from ledger.models import ChainIntent, VppSettlementBatch, VppSettlementItem
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState

KEY, OTHER = "0x" + "11" * 32, "0x" + "22" * 32
ADDRESS, HASH = "0x" + "a" * 40, "0x" + "b" * 64


def intent(function: str, **parameters: Any) -> ChainIntent:
    return ChainIntent(
        key=KEY,
        chain_id=31337,
        kind="test",
        contract_address=ADDRESS,
        function_name=function,
        parameters=parameters,
        call_data="0x",
        sender_address=ADDRESS,
        state=IntentState.PLANNED,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("function", "parameters", "reason", "done"),
    [
        ("issue", {}, f"KeyUsed(key={KEY})", True),
        ("issue", {}, f"KeyUsed(key={OTHER})", False),
        ("issue", {}, "PeriodAlreadyIssued(siteId=1, periodStart=2, mintedUntil=3)", False),
        ("proposeBatch", {}, "AlreadySettled(seq=9)", True),
        ("settleCosigned", {}, "AlreadySettled(seq=9)", True),
        ("proposeBatch", {}, "InsufficientBalance(account=0x1, asset=0, balance=0, needed=7)", False),
        ("settleOne", {"trade": {"seq": 7}}, "AlreadySettled(seq=7)", True),
        ("settleOne", {"trade": {"seq": 7}}, "AlreadySettled(seq=70)", False),
        ("settleOne", {"trade": {"seq": 8}}, "AlreadySettled(seq=8)", False),  # by a batch of ours
        ("finalizeBatch", {"batchId": "4"}, "BatchNotProposed(batchId=4, status=2)", True),
        ("finalizeBatch", {"batchId": "4"}, "BatchNotProposed(batchId=4, status=3)", False),
        ("finalizeBatch", {"batchId": "4"}, "BatchNotProposed(batchId=5, status=2)", False),
        ("retire", {}, "AlreadySettled(seq=9)", False),
        ("retire", {}, "NotActive(batchId=1, status=2)", False),
    ],
)
def test_a_refusal_that_says_that_it_is_done(
    sqlite_db: Database, function: str, parameters: dict[str, Any], reason: str, done: bool
) -> None:
    with sqlite_db.write() as session:
        batch = VppSettlementBatch(
            batch_key=OTHER,
            market="day-ahead",
            state=BatchState.PROPOSED,
            trade_count=1,
            accounts=[ADDRESS],
            nets=["0"],
            trades_root=HASH,
        )
        session.add(batch)
        session.flush()
        session.add(VppSettlementItem(batch_id=batch.id, trade_id=8, word=HASH))
        session.flush()
        assert says_done(session, intent(function, **parameters), reason) is done
