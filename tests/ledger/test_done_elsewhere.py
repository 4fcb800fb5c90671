"""What says that the chain has done before what an intent wants: refusals of a contract, and calls that are alike."""

import threading
from typing import Any

import pytest
from sqlalchemy import select, text

from ledger.chain.sending.adoption import same_call, says_done
from ledger.db import Database
from ledger.models import ChainIntent, VppSettlementBatch, VppSettlementItem
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from ledger.settlement.ended import give_up
from tests.support.forms import long
from tests.support.sent import ADDRESS, HASH, KEY, OTHER, STRANGER, attempt, intent, mined
from tests.support.waiting import until


def own_batch(state: BatchState) -> VppSettlementBatch:
    return VppSettlementBatch(
        batch_key=OTHER,
        market="day-ahead",
        state=state,
        trade_count=1,
        accounts=[ADDRESS],
        nets=["0"],
        trades_root=HASH,
    )


@pytest.mark.parametrize(
    ("function", "parameters", "reason", "done"),
    [
        ("issue", {}, f"KeyUsed(key={KEY})", True),
        ("issue", {}, f"KeyUsed(key={OTHER})", False),
        ("issue", {}, "PeriodAlreadyIssued(siteId=1, periodStart=2, mintedUntil=3)", False),
        ("proposeBatch", {}, "AlreadySettled(seq=9)", True),
        ("settleCosigned", {}, "AlreadySettled(seq=9)", True),
        (
            "proposeBatch",
            {},
            "InsufficientBalance(account=0x1, asset=0, balance=0, needed=7)",
            False,
        ),
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
        batch = own_batch(BatchState.PROPOSED)
        session.add(batch)
        session.flush()
        session.add(VppSettlementItem(batch_id=batch.id, trade_id=8, word=HASH))
        session.flush()
        assert says_done(session, intent(function, **parameters), reason) is done


def test_the_call_that_is_an_intent_s_own_by_its_account_its_words_and_its_time(
    sqlite_db: Database,
) -> None:
    with sqlite_db.write() as session:
        own = intent("deposit", amount=7)
        session.add(own)
        for number, other in enumerate(
            (
                {"after_s": -3601},  # before it was planned, whatever the clocks say
                {"after_s": 5, "parameters": {"amount": 8}},
                {"after_s": 5, "sender": STRANGER},
                {"after_s": 5, "error": "out of gas"},
            )
        ):
            mined(session, 10 + number, number, **other)  # type: ignore[arg-type]
        assert same_call(session, own, 0) is None
        late = mined(session, 20, 4, -3600)  # clocks may be so far apart
        last = mined(session, 21, 5, 9)
        found = same_call(session, own, 0)
        assert found is not None and (found.tx_hash, found.block_number) == (late, 20)
        assert (mark := same_call(session, own, 20)) is not None and mark.tx_hash == last

        # What another intent has is not this one's: adopted by it, or sent for it.
        other = intent("deposit", amount=7)
        other.key, other.tx_hash = OTHER, late
        session.add(other)
        session.flush()
        assert (mark := same_call(session, own, 0)) is not None and mark.tx_hash == last
        attempt(session, OTHER, last, 5)
        assert same_call(session, own, 0) is None

        # With a nonce it is the one that took it, and its time counts for nothing.
        own.nonce = 0
        assert (mark := same_call(session, own, 0)) is not None and mark.block_number == 10
        assert same_call(session, own, 0, lost=True) is None


def somebody_waits(db: Database) -> bool:
    query = text("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'")
    with db.read() as session:
        return bool(session.scalar(query))


@long
def test_a_batch_that_the_mirror_takes_up_meanwhile_keeps_its_call(mariadb_db: Database) -> None:
    """Who gives calls up has seen the batch fail, and waits for who takes it up."""
    with mariadb_db.write() as session:
        call = intent("proposeBatch")
        call.key = OTHER
        session.add_all([own_batch(BatchState.FAILED), call])
    kept: list[list[str]] = []
    thread = threading.Thread(target=lambda: kept.append(mariadb_db.run(give_up)))
    with mariadb_db.write() as mirror:
        mirror.scalars(select(VppSettlementBatch)).one().state = BatchState.PROPOSED
        mirror.flush()
        thread.start()
        until(lambda: bool(kept) or somebody_waits(mariadb_db), 0.2)
    thread.join(60)
    assert kept == [[]]
    with mariadb_db.read() as session:
        assert session.get_one(ChainIntent, OTHER).state is IntentState.PLANNED
    with mariadb_db.write() as session:
        session.scalars(select(VppSettlementBatch)).one().state = BatchState.FAILED
    assert mariadb_db.run(give_up) == [OTHER]
