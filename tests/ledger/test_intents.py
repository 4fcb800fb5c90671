"""What becomes of intents and their transactions in the books, row by row, without a chain."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.sending import intents, transactions, twins
from ledger.chain.sending.included import Included
from ledger.chain.sending.transactions import Outcome
from ledger.db import Database
from ledger.db.behind import behind
from ledger.models import BlockchainTransaction, ChainBlock, ChainInclusion, ChainIntent
from ledger.models.blockchain import TransactionStatus
from ledger.models.sending import IntentState
from tests.support.sent import (
    ADDRESS,
    CHAIN,
    KEY,
    OTHER,
    STRANGER,
    T0,
    attempt,
    hash_of,
    intent,
    mined,
    row_of,
    stored,
    transaction,
)

PLANNED, SUBMITTED, CONFIRMED, FAILED = IntentState
SENT = {"state": SUBMITTED, "submitted_at": T0}


def sent(session: Session, number: int, nonce: int, *more: int, **values: Any) -> ChainIntent:
    """Write an intent that was signed with a nonce, once and by each further number, as transactions that wait."""
    row = stored(session, number, nonce=nonce, **SENT | values)
    for ordinal, each in enumerate((number, *more), start=1):
        row.tx_hash = hash_of(each)
        attempt(session, row.key, row.tx_hash, nonce, ordinal)
    session.flush()
    return row


def statuses(session: Session, *numbers: int) -> list[tuple[str, int | None]]:
    """Return what is said of transactions: their status, and seconds until they had it."""
    query = select(BlockchainTransaction).order_by(BlockchainTransaction.tx_hash)
    found = {row.tx_hash: row for row in session.scalars(query)}
    return [
        (row.status.value, row.confirmed_at and (row.confirmed_at - T0).seconds)
        for row in (found[hash_of(number)] for number in numbers)
    ]


def waits(session: Session, *numbers: int) -> None:
    for number in numbers:
        transaction(session, hash_of(number))


# ------------------------------------------------------------------------ what the mirror says of transactions


def test_a_call_is_recorded_with_its_block_and_ours_with_its_key(sqlite_db: Database) -> None:
    """What others sent up to the last final block is what it will stay; ours is told of when it is confirmed."""

    def read(number: int, block: int, error: str | None = None) -> Included:
        return Included(
            tx_hash=hash_of(number),
            contract_address=ADDRESS,
            function_name="retire",
            parameters="{}",
            gas_used=number * 1000,
            gas_price_wei=number,
            block_number=block,
            block_hash=hash_of(block),
            block_time=T0 + timedelta(seconds=block),
            tx_index=number,
            sender=STRANGER,
            nonce=number,
            error=error,
        )

    long_reason = "Refused(because=" + 600 * "x" + ")"
    with sqlite_db.write() as session:
        sent(session, 1, 1)
        waits(session, 1)
        for block in (7, 8, 9):
            session.add(row_of(ChainBlock, number=block))
        session.flush()
        items = [read(1, 7), read(2, 7, long_reason), read(3, 8), read(4, 9)]
        with behind(session, at_once=True) as later:
            transactions.record_included(later, items, 8)
        rows = session.scalars(
            select(BlockchainTransaction).order_by(BlockchainTransaction.tx_hash)
        ).all()
        assert [(row.gas_used, row.gas_price) for row in rows] == [
            (number * 1000, number) for number in (1, 2, 3, 4)
        ]
        assert [(row.created_at - T0).seconds for row in rows] == [0, 7, 8, 9]
        assert statuses(session, 1, 2, 3, 4) == [
            ("pending", None), ("failed", 7), ("confirmed", 8), ("pending", None)
        ]  # fmt: skip
        found = session.scalars(select(ChainInclusion).order_by(ChainInclusion.tx_hash)).all()
        assert [(row.block_number, row.intent_key) for row in found] == [
            (7, hash_of(1)), (7, None), (8, None), (9, None)
        ]  # fmt: skip
        assert [row.error for row in found] == [None, long_reason[:500], None, None]


def test_what_became_final_is_told_once_and_in_the_order_of_the_chain(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        for number, block, place in ((1, 10, 0), (2, 11, 1), (3, 11, 0), (4, 12, 0), (5, 13, 0)):
            sent(session, number, number)
            error = "NotActive()" if number == 3 else None
            values = {"tx_index": place, "intent_key": hash_of(number), "error": error}
            mined(session, number, number, block, at=block, **values)
        mined(session, 6, 6, 11, at=11, tx_index=2)  # somebody else's
        outcomes = transactions.confirm(session, 10, 12)
        assert [(each.tx_hash, each.block_number, each.error) for each in outcomes] == [
            (hash_of(3), 11, "NotActive()"), (hash_of(2), 11, None), (hash_of(4), 12, None),
        ]  # fmt: skip
        assert [(each.block_time - T0).seconds for each in outcomes] == [11, 11, 12]
        pending = ("pending", None)
        assert statuses(session, 1, 2, 3, 4, 5, 6) == [
            pending, ("confirmed", 11), ("failed", 11), ("confirmed", 12), pending, ("confirmed", 11),
        ]  # fmt: skip
        assert [each.tx_hash for each in transactions.confirm(session, 9, 12)] == [hash_of(1)]


def test_other_attempts_end_with_the_one_that_was_included(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        sent(session, 1, 1, 2, 3)
        sent(session, 4, 2, 5)
        waits(session, 1, 3, 4, 5)
        mined(session, 2, 1, 7, intent_key=hash_of(1))
        transactions.confirm(session, 0, 7)
        assert statuses(session, 1, 2, 3) == [("failed", 7), ("confirmed", 7), ("failed", 7)]
        assert statuses(session, 4, 5) == [("pending", None)] * 2


def test_what_failed_and_is_still_open_is_told(sqlite_db: Database) -> None:
    """Another transaction had done it, in a block that the chain has taken back."""
    with sqlite_db.write() as session:
        for number, block, nonce, other in (
            (1, 12, 1, {}),
            (2, 11, 2, {}),
            (3, 11, 3, {"error": None}),  # which did it
            (4, 13, 4, {}),  # above what is final
            (5, 11, 99, {}),  # with a nonce that it lost
        ):
            sent(session, number, number)
            key, place = hash_of(number), {"tx_index": number}
            values = {"error": "NotActive()", "intent_key": key, **place, **other}
            mined(session, number, nonce, block, at=block, **values)
        for number, state in ((6, CONFIRMED), (7, FAILED), (8, PLANNED)):
            sent(session, number, number, state=state)
            mined(session, number, number, 11, at=11, error="NotActive()", tx_index=number)
        assert transactions.left_open(session, 12) == [
            Outcome(hash_of(2), hash_of(2), 11, T0 + timedelta(seconds=11), "NotActive()"),
            Outcome(hash_of(1), hash_of(1), 12, T0 + timedelta(seconds=12), "NotActive()"),
        ]
        assert transactions.left_open(session, 10) == []


def test_attempts_of_what_another_transaction_did_end_unless_they_stand_in_a_block(
    sqlite_db: Database,
) -> None:
    with sqlite_db.write() as session:
        waits(session, 1, 2)
        mined(session, 3, 3, 8, at=8, error="NotActive()")
        mined(session, 4, 4, 9, at=9, error="NotActive()")
        every = [hash_of(number) for number in (1, 3, 4)]
        transactions.fail_replaced(session, every, T0 + timedelta(seconds=60))
        waiting, ended = ("pending", None), ("failed", 60)
        assert statuses(session, 1, 2, 3, 4) == [ended, waiting, waiting, waiting]
        transactions.confirm(session, 0, 9)
        assert statuses(session, 3, 4) == [("failed", 8), ("failed", 9)]
        transactions.reopen(session, every, 8)  # what stands up to there has its end from its block
        assert statuses(session, 1, 3, 4) == [waiting, ("failed", 8), waiting]


def test_a_rewind_keeps_ours_and_forgets_those_of_others(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        sent(session, 1, 1)
        sent(session, 2, 2, 3)
        waits(session, 3)
        mined(session, 1, 1, 7, at=7, intent_key=hash_of(1))
        mined(session, 2, 2, 8, at=8, intent_key=hash_of(2))
        mined(session, 4, 4, 7, at=7, tx_index=1)
        mined(session, 5, 5, 8, at=8, tx_index=1)
        for row in session.scalars(select(BlockchainTransaction)):
            row.gas_used, row.gas_price = 21_000, 5
        session.flush()
        transactions.confirm(session, 0, 8)
        transactions.rewind(session, 7)
        found = {
            row.tx_hash: (row.status, row.gas_used, row.gas_price, row.confirmed_at is None)
            for row in session.scalars(select(BlockchainTransaction))
        }
        kept, back = (
            (TransactionStatus.CONFIRMED, 21_000, 5, False),
            (TransactionStatus.PENDING, None, None, True),
        )
        assert found == {
            hash_of(1): kept, hash_of(2): back, hash_of(3): back, hash_of(4): kept
        }  # fmt: skip
        left = select(ChainInclusion.tx_hash).order_by(ChainInclusion.tx_hash)
        assert session.scalars(left).all() == [hash_of(1), hash_of(4)]


# ------------------------------------------------------------------------ intents


def test_a_twin_does_the_same_by_the_same_account_and_is_not_long_done(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        same = {
            "parameters": {"amount": "5", "key": KEY},
            "created_at": intents.datetime.now(intents.UTC),
        }
        own = intent("retire")
        own.parameters, own.created_at = same["parameters"], same["created_at"]
        session.add(own)

        def other(number: int, **values: Any) -> str:
            key = hash_of(number)
            said = {**same, "parameters": {"amount": "5", "key": key}}
            return stored(session, number, **said | values).key

        other(1, kind="cancel")
        other(2, contract_address=STRANGER)
        other(3, sender_address=STRANGER)
        other(4, parameters={"amount": "6", "key": hash_of(4)})
        other(5, parameters={"amount": "5", "key": OTHER})  # names another
        other(6, state=FAILED)
        long_ago = same["created_at"] - timedelta(minutes=61)
        other(7, state=CONFIRMED, created_at=long_ago)
        assert twins.twin_of(session, own) is None
        waiting = other(8, created_at=long_ago)  # however long it waits
        assert (twin := twins.twin_of(session, own)) is not None and twin.key == waiting
        done = other(9, state=CONFIRMED, created_at=long_ago + timedelta(minutes=2))
        assert (twin := twins.twin_of(session, own)) is not None and twin.key == done


def test_what_is_open_is_of_this_chain_and_in_the_order_of_accounts_and_nonces(
    sqlite_db: Database,
) -> None:
    first = "0x" + "1" * 40
    with sqlite_db.write() as session:
        sent(session, 1, 9, contract_address=STRANGER)
        sent(session, 3, 8, 2)  # an attempt whose hash is the smaller
        sent(session, 4, 11, sender_address=first)
        sent(session, 5, 10, chain_id=1, contract_address=STRANGER)
        sent(session, 6, 12, state=CONFIRMED, contract_address=STRANGER)
        stored(session, 7)
        ordered = [(first, 11), (ADDRESS, 8), (ADDRESS, 9)]
        found = intents.open_intents(session, CHAIN)
        assert [(row.sender_address, row.nonce) for row in found] == ordered
        attempts = [row.tx_hash for row in intents.open_attempts(session, CHAIN)]
        assert attempts == [hash_of(number) for number in (4, 3, 2, 1)]
        assert intents.open_calls_beside(session, CHAIN, [ADDRESS]) == {hash_of(1)}
        assert intents.open_calls_beside(session, CHAIN, [ADDRESS, STRANGER]) == set()
        each = intents.attempts_of(session, hash_of(3))
        assert [(row.ordinal, row.tx_hash) for row in each] == [(1, hash_of(3)), (2, hash_of(2))]


def test_attempts_are_numbered_and_the_first_says_when_it_was_signed(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        row = stored(session, 1, alarm="the fee is too low")
        for number, since in ((2, None), (3, T0)):
            signed = intents.SignedAttempt(hash_of(number), "0x", 7, 2, 1)
            intents.store_attempt(session, row, signed)
            assert (row.state, row.nonce, row.tx_hash) == (SUBMITTED, 7, hash_of(number))
            assert row.alarm is None
            assert row.submitted_at is not None and since in (None, row.submitted_at)
            row.submitted_at, row.alarm = T0, "still"
        assert [each.ordinal for each in intents.attempts_of(session, row.key)] == [1, 2]


def test_a_nonce_that_a_stranger_took_is_released_by_whoever_still_has_it(
    sqlite_db: Database,
) -> None:
    with sqlite_db.write() as session:
        row = sent(session, 1, 7)
        assert not intents.release_nonce(session, row.key, 8, "taken")
        assert not intents.release_nonce(session, KEY, 7, "taken")
        row.state = CONFIRMED
        session.flush()
        assert not intents.release_nonce(session, row.key, 7, "taken")
        row.state = SUBMITTED
        session.flush()
        assert intents.release_nonce(session, row.key, 7, "taken")
        assert (row.state, row.nonce, row.tx_hash, row.submitted_at, row.alarm) == (
            (PLANNED, None, None, None, "taken")
        )


def test_filling_a_nonce_is_given_up_by_whoever_still_fills_it(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        row = sent(session, 1, 7)
        waits(session, 1)
        intents.end_fill(session, row.key, 8, "taken")
        row.state = CONFIRMED
        session.flush()
        intents.end_fill(session, row.key, 7, "taken")
        assert (row.state, row.nonce) == (CONFIRMED, 7)
        row.state = SUBMITTED
        session.flush()
        intents.end_fill(session, row.key, 7, "taken")
        assert (row.state, row.nonce, row.error) == (FAILED, None, "taken: nothing is left to fill")
        assert statuses(session, 1)[0][0] == "failed"


def test_who_sends_now_sends_what_was_never_signed(sqlite_db: Database) -> None:
    written = "0x" + "C" * 40  # as a deployment file may have it
    with sqlite_db.write() as session:
        stored(session, 1, alarm="no key of this account")
        stored(session, 2, sender_address=STRANGER)
        stored(session, 3, chain_id=1)
        stored(session, 4, kind="other")
        stored(session, 5, state=FAILED)
        stored(session, 6)
        attempt(session, hash_of(6), hash_of(16), 9)  # a nonce that it lost
        moved = intents.never_signed_by(session, CHAIN, {"test": written})
        assert moved == [(hash_of(1), STRANGER)]
        for number in range(1, 7):
            intents.hand_on(session, hash_of(number), STRANGER)
        found = select(ChainIntent.sender_address).order_by(ChainIntent.key)
        mine = [sender == STRANGER for sender in session.scalars(found)]
        assert mine == [True, True, True, True, False, False]
        assert intents.get(session, hash_of(1)).alarm is None


def test_a_refusal_is_taken_back_of_what_was_never_signed(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        for number, state in enumerate((FAILED, FAILED, SUBMITTED), start=1):
            stored(session, number, state=state, error="refused")
        attempt(session, hash_of(2), hash_of(12), 9)
        told = [
            intents.take_back_refusal(session, hash_of(number), "waits") for number in (1, 2, 3, 4)
        ]
        assert told == [True, False, False, False]
        rows = session.scalars(select(ChainIntent).order_by(ChainIntent.key)).all()
        assert [(row.state, row.error, row.alarm) for row in rows] == [
            (PLANNED, None, "waits"), (FAILED, "refused", None), (SUBMITTED, "refused", None)
        ]  # fmt: skip


def test_what_is_done_says_by_which_transaction_and_of_no_trouble(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        row = sent(session, 1, 7, error="it failed before", alarm="the fee is too low")
        intents.confirm(session, row.key, hash_of(9), 12, T0)
        assert (row.state, row.tx_hash, row.block_number, row.confirmed_at) == (
            (CONFIRMED, hash_of(9), 12, T0)
        )
        assert (row.error, row.alarm) == (None, None)
        intents.fail(session, row.key, hash_of(8), 13, T0, "NotActive()")
        assert (row.state, row.tx_hash, row.block_number, row.error) == (
            (FAILED, hash_of(8), 13, "NotActive()")
        )


def test_what_the_node_refuses_fails_with_what_was_signed_before(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        lost, underway = stored(session, 1), sent(session, 2, 8)
        attempt(session, lost.key, hash_of(11), 7)
        waits(session, 11, 2)
        assert intents.refuse(session, lost.key, "NotActive()").state is FAILED
        assert lost.error == "NotActive()" and statuses(session, 11)[0][0] == "failed"
        assert intents.refuse(session, underway.key, "NotActive()").state is SUBMITTED
        assert underway.error is None and statuses(session, 2)[0][0] == "pending"


def test_an_alarm_is_new_once_and_only_its_own_is_cleared(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        row = sent(session, 1, 7)
        assert intents.set_alarm(session, row.key, "the node did not take it: busy")
        assert not intents.set_alarm(session, row.key, "the node did not take it: busy")
        assert not intents.set_alarm(session, KEY, "none")
        intents.clear_alarm(session, hash_of(1), "the fee")
        assert row.alarm == "the node did not take it: busy"
        intents.clear_alarm(session, hash_of(1), "the node did not take it")
        assert row.alarm is None


def test_an_attempt_says_when_a_node_first_took_it(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        sent(session, 1, 7, 2)
        (first, second) = intents.attempts_of(session, hash_of(1))
        intents.mark_broadcast(session, first.tx_hash)
        session.refresh(first)
        assert first.broadcast_at is not None and second.broadcast_at is None
        first.broadcast_at = T0
        session.flush()
        intents.mark_broadcast(session, first.tx_hash)
        session.refresh(first)
        assert first.broadcast_at == T0


def test_outcomes_above_a_block_are_taken_back(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        done = {"state": CONFIRMED, "confirmed_at": T0}
        sent(session, 1, 1, **done | {"block_number": 7})  # stays
        own = sent(session, 2, 2, 3, **done | {"block_number": 8, "error": "NotActive()"})
        lost = sent(session, 4, 4, **done | {"block_number": 8})
        lost.nonce = None  # another transaction did it
        stored(session, 5, **done | {"block_number": 8, "tx_hash": hash_of(50)})  # never signed
        open_still = sent(session, 6, 6)
        both = sent(session, 7, 7, **done | {"block_number": 8})
        attempt(session, both.key, hash_of(71), 70, 2)  # a nonce that it lost
        waits(session, 1, 2, 3, 4, 7, 71)
        own.tx_hash = both.tx_hash = hash_of(99)  # by another transaction
        every = [hash_of(number) for number in (1, 2, 3, 4, 7, 71)]
        transactions.fail_replaced(session, every, T0)
        session.flush()
        intents.rewind(session, 7)
        rows = session.scalars(select(ChainIntent).order_by(ChainIntent.key)).all()
        assert {
            int(row.key, 16): (row.state, row.tx_hash and int(row.tx_hash, 16)) for row in rows
        } == {
            1: (CONFIRMED, 1), 2: (SUBMITTED, 3), 4: (PLANNED, None), 5: (PLANNED, None),
            6: (SUBMITTED, 6), 7: (SUBMITTED, 7),
        }  # fmt: skip
        assert open_still.state is SUBMITTED
        for row in rows[1:]:
            assert (row.block_number, row.confirmed_at, row.error) == (None, None, None)
        again = [status for status, _ in statuses(session, 1, 2, 3, 4, 7, 71)]
        assert again == ["failed", "pending", "pending", "failed", "pending", "failed"]


@pytest.mark.parametrize("other", [{}, {"kind": "x"}, {"sender": STRANGER}, {"address": STRANGER}])
def test_a_stored_intent_is_this_call_by_all_that_it_says(
    sqlite_db: Database, other: dict[str, str]
) -> None:
    written = {"kind": "cancel", "sender": "0x" + "A" * 40, "address": "0x" + "D" * 40}
    call = {"key": KEY, "contract": "CarbonCredit", "function": "cancel"}
    arguments = [bytes.fromhex(KEY[2:]), 1 << 32 | 1, 5, "spilt"]
    row = intents.row_of(CHAIN, intents.NewIntent(**call, **written, arguments=arguments))
    said = intents.NewIntent(**call, **written | other, arguments=arguments)
    assert intents.is_call(row, said) is not bool(other)
    if not other:
        changed = intents.NewIntent(**call, **written, arguments=[*arguments[:2], 6, "spilt"])
        assert not intents.is_call(row, changed)
