"""What follows once blocks are final, and what of the mirror is held to itself: rows by hand, without a chain."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from indexer import checks, cursor, finality, sums
from indexer.checks import Unchecked
from indexer.creditlog import CreditLog
from indexer.doubt import Doubt
from indexer.finality import BEHIND_MAX, BLOCKS_KEPT, FinalityClaim
from indexer.report import Report
from ledger.chain.contracts.events import CREDIT, ZERO_HASH, DecodedEvent, next_head
from ledger.chain.node.records import BlockHeader, LogRecord
from ledger.db import Database
from ledger.models import (
    ChainBlock,
    ChainCursor,
    ChainEvent,
    ChainIntent,
    CreditBatch,
    CreditHolding,
    CreditRetirement,
    MirrorCheck,
    VppSettlementBatch,
)
from ledger.models.credits import BatchStatus
from ledger.models.sending import IntentState
from ledger.models.settlement import BatchState
from tests.support.sent import ADDRESS, HASH, STRANGER, attempt, hash_of, mined, row_of, stored

PLANNED, SUBMITTED, CONFIRMED, FAILED = IntentState


def blocks(session: Session) -> Sequence[int]:
    return session.scalars(select(ChainBlock.number).order_by(ChainBlock.number)).all()


def cursor_at(session: Session, number: int, final: int) -> cursor.Cursor:
    session.add(row_of(ChainCursor, network="local", block_number=number, final_number=final))
    session.flush()
    found = cursor.load(session, "local")
    assert found is not None
    return found


def test_nodes_behind_one_address_are_a_little_apart_in_what_they_call_final() -> None:
    assert FinalityClaim(1000 - BEHIND_MAX).reaches(1000)
    assert not FinalityClaim(999 - BEHIND_MAX).reaches(1000)
    assert not FinalityClaim(1000, lacks="a young chain").reaches(0)


def test_a_final_block_is_believed_where_it_is_one_of_the_mirror_s_or_above(
    sqlite_db: Database,
) -> None:
    with sqlite_db.write() as session:
        session.add_all(
            row_of(ChainBlock, number=number, hash=hash_of(number)) for number in (7, 9)
        )
        session.flush()
        for claim, final in (
            (FinalityClaim(7, hash_of(7)), 7),
            (FinalityClaim(7, hash_of(8)), 0),
            (FinalityClaim(8, hash_of(8)), 8),  # brought nothing, and was forgotten
            (FinalityClaim(12, hash_of(12)), 9),
            (FinalityClaim(7), 7),
            (FinalityClaim(lacks="a young chain"), 0),
        ):
            assert finality.final_number(session, claim, 9) == final, claim


@pytest.mark.parametrize(
    ("blocks", "seconds", "said"),
    [(257, 86_401, True), (256, 10**9, False), (10**6, 86_400, False), (257, 10**9, True)],
)
def test_a_chain_that_makes_nothing_final_is_told(blocks: int, seconds: int, said: bool) -> None:
    """A local chain that is let go ahead by months has few blocks to them; others take hours."""
    head = BlockHeader(10**7 + blocks, HASH, HASH, 10**9 + seconds, 0)
    found = FinalityClaim(10**7, HASH, timestamp=10**9).stands_still(head)
    assert found == (
        f"by the node the final block is 10000000, which is {blocks} blocks and {seconds // 3600} hours below its head"
        if said
        else None
    )
    assert FinalityClaim(lacks="a young chain").stands_still(head) is None


def test_old_blocks_that_brought_nothing_are_forgotten(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        session.add_all(row_of(ChainBlock, number=number) for number in range(10))
        session.add(row_of(ChainEvent, block_number=4))
        mined(session, 50, 1, 0, at=5)
        for above, up_to in ((-9, -1), (-9, 0)):
            finality.forget_blocks(session, above, up_to)
            assert len(blocks(session)) == 10
        finality.forget_blocks(session, 2, 7)
        assert blocks(session) == [0, 1, 2, 4, 5, 8, 9]
        finality.forget_blocks(session, -9, 2)
        assert blocks(session) == [0, 4, 5, 8, 9]  # the first is where a mirror begins


def test_what_becomes_final_is_confirmed_and_a_tail_of_blocks_stays(sqlite_db: Database) -> None:
    final, kept = 600, 600 - BLOCKS_KEPT
    with sqlite_db.write() as session:
        at = cursor_at(session, final + 1, 550)
        numbers = (kept - 1, kept, kept + 1, final)
        session.add_all(row_of(ChainBlock, number=number) for number in numbers)
        sent = {"state": SUBMITTED, "function_name": "deposit", "parameters": {"amount": "7"}}
        for number, block in ((1, 551), (2, final), (3, final + 1)):
            key = stored(session, number, nonce=number, **sent).key
            attempt(session, key, hash_of(number), number)
            mined(session, number, number, 0, at=block, intent_key=key)
        assert finality.advance(session, at, 549) is at and finality.advance(session, at, 550) is at
        moved = finality.advance(session, at, final, ours=False)
        assert (moved.final_number, cursor.load(session, "local")) == (final, moved)
        assert blocks(session) == [kept + 1, 551, final, final + 1]
        states = select(ChainIntent.state).order_by(ChainIntent.key)
        assert session.scalars(states).all() == [SUBMITTED] * 3  # a copy has none that follow


def test_intents_follow_what_became_final(sqlite_db: Database) -> None:
    """Of what failed, too, where another transaction did it, or the chain took back what did."""
    with sqlite_db.write() as session:
        at = cursor_at(session, 20, 10)

        def sent(number: int, block: int, error: str | None, **values: object) -> None:
            key = stored(session, number, nonce=number, state=SUBMITTED, **values).key
            attempt(session, key, hash_of(number), number)
            mined(
                session, number, number, 5, at=block, error=error, intent_key=key, tx_index=number
            )

        sent(1, 11, None)
        sent(2, 12, "NotActive()")
        sent(3, 13, None)
        sent(4, 12, "NotActive()", function_name="retire")  # done by another transaction
        used = {"key": hash_of(4), "holder": ADDRESS, "tx_hash": HASH, "block_number": 11}
        session.add(row_of(CreditRetirement, retirement_id=1, **used))
        sent(5, 9, "NotActive()")  # what did it was taken back
        deposit = {"function_name": "deposit"}
        stored(session, 6, parameters={"amount": 6}, **deposit)  # sent by forgotten books
        mined(session, 16, 16, 5, at=11, parameters={"amount": 6}, tx_index=6)
        stored(session, 7, parameters={"amount": 7}, **deposit)
        mined(session, 17, 17, 5, at=10, parameters={"amount": 7})  # was final before
        batches = []
        for number in (1, 2):
            batch = {"id": number, "batch_key": hash_of(number), "state": BatchState.PLANNED}
            batches.append(row_of(VppSettlementBatch, **batch))
        session.add_all(batches)
        session.flush()
        finality.advance(session, at, 12)
        states = select(VppSettlementBatch.state).order_by(VppSettlementBatch.id)
        assert session.scalars(states).all() == [BatchState.PLANNED, BatchState.FAILED]
        rows = session.scalars(select(ChainIntent).order_by(ChainIntent.key))
        assert {int(row.key, 16): (row.state, row.tx_hash, row.error) for row in rows} == {
            1: (CONFIRMED, hash_of(1), None),
            2: (FAILED, hash_of(2), "NotActive()"),
            3: (SUBMITTED, None, None),
            4: (CONFIRMED, HASH, None),
            5: (FAILED, hash_of(5), "NotActive()"),
            6: (CONFIRMED, hash_of(16), None),
            7: (PLANNED, None, None),
        }


def test_what_was_not_checked_above_a_block_is_forgotten(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        for network, told in (("local", 9), ("other", 9), ("third", None)):
            checks.store(session, network, Unchecked(told, "it was busy"))
        for number, left in ((10, 9), (9, 9), (5, 5), (7, 5), (0, 0)):
            checks.take_back(session, "local", number)
            checks.take_back(session, "third", number)
            found = [checks.load(session, name) for name in ("local", "other", "third")]
            assert found == [Unchecked(each, "it was busy") for each in (left, 9, None)]
        assert len(found[0].sentences()) == 2  # of the first block, too
        assert len(found[2].sentences()) == 1
        checks.store(session, "local", Unchecked())
        assert session.get(MirrorCheck, "local") is not None
        assert checks.load(session, "local") == checks.load(session, "none") == Unchecked()
        assert Unchecked().sentences() == []


@pytest.mark.parametrize(
    ("seqs", "fits"),
    [
        ((), True),
        ((None, 1, None, 2, 3), True),
        ((2, 3), False),
        ((1, 3), False),
        ((1, 2, 2), False),
        ((1, 1, 3), False),
        ((0, 2, 3), False),
    ],
)
def test_entries_of_the_credit_log_are_one_to_the_last_each_once(
    sqlite_db: Database, seqs: Sequence[int | None], fits: bool
) -> None:
    report = Report(1, 9)
    with sqlite_db.write() as session:
        for number, seq in enumerate(seqs):
            session.add(row_of(ChainEvent, log_index=number, seq=seq))
        session.flush()
        assert sums._entries(session, report) == len([seq for seq in seqs if seq is not None])
    assert (report.differences == []) is fits


def test_what_is_held_of_a_batch_is_what_is_left_of_it(sqlite_db: Database) -> None:
    report = Report(1, 9)
    with sqlite_db.write() as session:
        for number, (retired, cancelled, *held) in enumerate(
            ((30, 5, 40, 25), (30, 5, 64), (30, 5, 66), (95, 5), (90, 5)), start=1
        ):
            kg = {"issued_kg": 100, "retired_kg": retired, "cancelled_kg": cancelled}
            same = {"batch_id": number, "key": hash_of(number), "status": BatchStatus.ACTIVE}
            session.add(row_of(CreditBatch, **kg, **same))
            for holder, amount in zip((ADDRESS, STRANGER), held, strict=False):
                session.add(CreditHolding(batch_id=number, holder=holder, amount_kg=amount))
        session.flush()
        assert sums._supply(session, report) == 5
    found = [(each.key, each.mirrored, each.chain) for each in report.differences]
    assert found == [("2", 64, 65), ("3", 66, 65), ("5", 0, 5)]


def test_each_entry_of_the_credit_log_follows_the_one_before() -> None:
    heads, records = [ZERO_HASH], [hash_of(number) for number in range(4)]
    for seq in (1, 2, 3):
        heads.append(next_head(heads[-1], seq, records[seq]))

    def entry(seq: int, head: int | str, record: str | None = "") -> DecodedEvent:
        said = heads[head] if isinstance(head, int) else head
        log = LogRecord(ADDRESS, [], "0x", seq, HASH, HASH, 0, 0)
        args = SimpleNamespace(seq=seq, head=said)
        return DecodedEvent(CREDIT, "Retired", args, log, records[seq] if record == "" else record)

    begun = CreditLog()
    whole = [entry(1, 1), entry(9, HASH, None), entry(2, 2), entry(3, 3)]  # one has no place in it
    assert begun.check(whole) == CreditLog(3, heads[3])
    assert CreditLog(1, heads[1]).check(whole[2:]) == CreditLog(3, heads[3])
    assert begun.check([]) == begun
    for events, said in (
        ([entry(2, 2)], "entry 1 of the credit log is missing before entry 2"),
        ([entry(1, 1), entry(3, 3)], "entry 2 of the credit log is missing before entry 3"),
        ([entry(1, 1), entry(1, 1)], "entry 2 of the credit log is missing before entry 1"),
        ([entry(1, 2)], "entry 1 of the credit log does not follow"),
        ([entry(1, 1), entry(2, 1)], "entry 2 of the credit log does not follow"),
        ([entry(1, 1, records[2])], "entry 1 of the credit log does not follow"),
    ):
        with pytest.raises(Doubt, match=said):
            begun.check(events)
