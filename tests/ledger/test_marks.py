"""By what acts of ours are known on the mirrored chain: who copies a key, or does nearly the same, is not us."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.wrappers import decode_call, encode_call
from ledger.chain.sending.marks import Mark, act_under, mark_of, with_key_in_data
from ledger.db import Database
from ledger.models import (
    ChainBlock,
    ChainEvent,
    CreditBatch,
    CreditCancellation,
    CreditRetirement,
    CreditTransfer,
    SettlementBatch,
    SettlementTrade,
)
from ledger.models.credits import BatchStatus
from ledger.models.escrow import SettlementStatus
from tests.support.sent import (
    ADDRESS,
    HASH,
    KEY,
    OTHER,
    STRANGER,
    T0,
    hash_of,
    intent,
    mined,
    row_of,
)

WRITTEN = "0x" + "A" * 40
"""The same account as the node or a person writes it; the books have it in lower case."""
MARK = Mark(HASH, 7, T0)
BATCH = 1 << 32 | 1
CLAIM = {
    "siteId": "1",
    "amount": "1000",
    "periodStart": "100",
    "periodEnd": "200",
    "evidenceRoot": HASH,
    "manifestHash": OTHER,
    "recipient": WRITTEN,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (None, None),
        *((name, "7") for name in ("siteId", "amount", "periodStart", "periodEnd")),
        *((name, KEY) for name in ("evidenceRoot", "manifestHash")),
        ("recipient", STRANGER),
    ],
)
def test_a_batch_under_our_key_is_ours_if_its_claim_is(
    sqlite_db: Database, name: str | None, value: str | None
) -> None:
    """Whoever issues and verifies, of any class, may use up a key that they saw."""
    with sqlite_db.write() as session:
        session.add(
            row_of(
                CreditBatch, batch_id=BATCH, key=KEY, site_id=1, issued_kg=1000, period_start_s=100,
                period_end_s=200, evidence_root=HASH, manifest_hash=OTHER, recipient=ADDRESS,
                status=BatchStatus.ACTIVE, tx_hash=HASH, block_number=7,
            )
        )  # fmt: skip
        claim = CLAIM if name is None else CLAIM | {name: value}
        found = mark_of(session, intent("issue", claim=claim))
        assert found == (MARK if name is None else None)


def _used(session: Session, key: str, holder: str, number: int = 1, **values: Any) -> None:
    """Write a retirement and a cancellation of 5 kg."""
    same = {"key": key, "holder": holder, "batch_id": BATCH, "amount_kg": 5, **values}
    session.add(
        row_of(CreditRetirement, retirement_id=number, tx_hash=HASH, block_number=7, **same)
    )
    session.add(row_of(CreditCancellation, block_number=7, log_index=number, tx_hash=HASH, **same))
    session.flush()


@pytest.mark.parametrize("function", ["retire", "cancel"])
def test_a_use_is_ours_by_its_key_and_its_holder(sqlite_db: Database, function: str) -> None:
    with sqlite_db.write() as session:
        _used(session, KEY, STRANGER, 1)  # who copied the key out of the pool
        _used(session, OTHER, ADDRESS, 2)
        assert mark_of(session, intent(function)) is None
        _used(session, KEY, ADDRESS, 3)
        assert mark_of(session, intent(function)) == MARK


WANTED = {"from": ADDRESS, "to": WRITTEN, "id": str(BATCH), "value": "5", "data": "0x"}
MOVED = {"batch_id": BATCH, "from_address": ADDRESS, "to_address": ADDRESS, "amount_kg": 5}


def _moved(session: Session, number: int, call: dict[str, Any] | None, **values: Any) -> None:
    """Write a transfer, and the call that did it."""
    function = {"function_name": values.pop("function_name", "safeTransferFrom")}
    sender = values.pop("sender", ADDRESS)
    tx_hash = mined(session, number, number, number, parameters=call, sender=sender, **function)
    row = {"block_number": number, "tx_hash": tx_hash} | MOVED | values
    session.add(row_of(CreditTransfer, **row))
    session.flush()


def test_a_transfer_is_ours_by_the_key_in_its_call(sqlite_db: Database) -> None:
    own, keyed = intent("safeTransferFrom", **WANTED), WANTED | {"data": KEY}
    with sqlite_db.write() as session:
        _moved(session, 1, WANTED)  # without a key: anybody's
        _moved(session, 2, keyed | {"data": OTHER})
        _moved(session, 3, keyed, sender=STRANGER)  # an operator, or a contract of theirs
        _moved(session, 4, keyed, batch_id=BATCH + 1)
        _moved(session, 5, keyed, from_address=STRANGER)
        _moved(session, 6, keyed, to_address=STRANGER)
        _moved(session, 7, keyed, amount_kg=4)
        assert mark_of(session, own) is None
        _moved(session, 8, keyed)
        found = mark_of(session, own)
        assert found is not None and (found.tx_hash, found.block_number) == (hash_of(8), 8)


def test_the_call_of_a_transfer_as_it_is_with_its_key() -> None:
    arguments = [ADDRESS, WRITTEN, BATCH, 5]
    without, keyed = (
        encode_call(CREDIT, "safeTransferFrom", [*arguments, data])
        for data in (b"", bytes.fromhex(KEY[2:]))
    )
    own = intent("safeTransferFrom")
    for own.call_data in (without, keyed):
        assert with_key_in_data(own) == keyed.lower()
    own.call_data = encode_call(CREDIT, "cancel", [bytes.fromhex(KEY[2:]), BATCH, 5, "spilt"])
    assert decode_call(CREDIT, own.call_data) is not None and with_key_in_data(own) is None


PROPOSAL = {"asset": "3", "accounts": [WRITTEN, STRANGER], "words": ["1", "20"]}


@pytest.mark.parametrize("function", ["proposeBatch", "settleCosigned"])
@pytest.mark.parametrize(
    "other",
    [{}, {"asset": "4"}, {"accounts": [STRANGER, WRITTEN]}, {"accounts": [WRITTEN]}, {"words": ["1", "21"]}],
)  # fmt: skip
def test_a_settlement_batch_under_our_key_is_ours_if_it_says_the_same(
    sqlite_db: Database, function: str, other: dict[str, Any]
) -> None:
    """A member of the market may use up a key that it saw for another batch."""
    said = PROPOSAL | other
    with sqlite_db.write() as session:
        batch = {"key": KEY, "asset": 3, "status": SettlementStatus.PROPOSED, "log_index": 2}
        session.add(row_of(SettlementBatch, batch_id=4, tx_hash=HASH, block_number=7, **batch))
        args = {"words": PROPOSAL["words"], "accounts": [ADDRESS, STRANGER]}
        session.add(row_of(ChainEvent, block_number=7, log_index=2, args=args))
        session.flush()
        wanted = said if function == "proposeBatch" else {"settlement": said, "signatures": []}
        assert mark_of(session, intent(function, **wanted)) == (None if other else MARK)


TRADE = {"seq": "9", "buyer": WRITTEN, "seller": STRANGER, "quantity": "5", "price": "6"}


@pytest.mark.parametrize(
    "other",
    [{}, {"seq": "8"}, {"buyer": STRANGER}, {"seller": ADDRESS}, {"quantity": "6"}, {"price": "5"}, {"asset": "4"}],
)  # fmt: skip
def test_a_trade_that_was_settled_is_ours_if_it_is_the_same(
    sqlite_db: Database, other: dict[str, str]
) -> None:
    said = {"asset": "3"} | TRADE | other
    asset = said.pop("asset")
    with sqlite_db.write() as session:
        parties = {"buyer": ADDRESS, "seller": STRANGER}
        session.add(
            row_of(
                SettlementTrade, block_number=7, seq=9, asset=3, quantity=5, price_e4=6, tx_hash=HASH, **parties
            )
        )  # fmt: skip
        found = mark_of(session, intent("settleOne", trade=said, asset=asset))
        assert found == (None if other else MARK)


def test_a_batch_that_ended_is_finalized_by_the_event_that_names_it(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        session.add(row_of(ChainBlock, number=7))
        session.add(row_of(ChainBlock, number=5))
        for batch_id in (3, 4):
            session.add(
                row_of(
                    SettlementBatch, batch_id=batch_id, key=hash_of(batch_id), block_number=5, ended_block=7,
                    status=SettlementStatus.FINALIZED,
                )
            )  # fmt: skip
            args = {"batch_id": str(batch_id)}
            event = {"block_number": 7, "args": args, "tx_hash": hash_of(batch_id)}
            session.add(
                row_of(ChainEvent, log_index=batch_id, event_name="BatchFinalized", **event)
            )
            event["tx_hash"] = HASH  # the transfer of its fee, say
            session.add(row_of(ChainEvent, log_index=0 - batch_id, event_name="Else", **event))
        session.flush()
        assert mark_of(session, intent("finalizeBatch", batchId="4")) == Mark(hash_of(4), 7, T0)
        assert mark_of(session, intent("finalizeBatch", batchId="5")) is None
        batch = session.get(SettlementBatch, 4)
        assert batch is not None
        for batch.status in (SettlementStatus.PROPOSED, SettlementStatus.CANCELLED):
            session.flush()
            assert mark_of(session, intent("finalizeBatch", batchId="4")) is None
        assert mark_of(session, intent("deposit", amount=7)) is None  # leaves no mark


def test_what_was_done_under_one_of_some_keys(sqlite_db: Database) -> None:
    ours = {KEY: ADDRESS}
    with sqlite_db.write() as session:
        _used(session, KEY, STRANGER, 1)
        _used(session, OTHER, ADDRESS, 2)
        _used(session, KEY, ADDRESS, 3, batch_id=BATCH + 1)
        keyed = WANTED | {"data": KEY}
        _moved(session, 11, WANTED)
        _moved(session, 12, None)  # a call that cannot be read
        _moved(session, 13, keyed, batch_id=BATCH + 1)
        _moved(session, 14, keyed, amount_kg=4)
        _moved(session, 15, keyed, from_address=STRANGER)
        _moved(session, 16, keyed, function_name="safeBatchTransferFrom")
        assert act_under(session, BATCH, ours, 5) is None
        assert act_under(session, BATCH, {KEY: ADDRESS, OTHER: STRANGER}, 5) is None
        _moved(session, 17, keyed)
        moved = act_under(session, BATCH, ours, 5)
        assert moved is not None
        assert (moved.function, moved.key, moved.holder, moved.amount_kg, moved.tx_hash) == (
            ("safeTransferFrom", KEY, ADDRESS, 5, hash_of(17))
        )
        _used(session, KEY, ADDRESS, 4, amount_kg=3)  # of any amount: the event has the key
        used = act_under(session, BATCH, ours, 5)
        assert used is not None
        assert (used.function, used.amount_kg, used.tx_hash) == ("retire", 3, HASH)
