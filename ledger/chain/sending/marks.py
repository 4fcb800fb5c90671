"""How the mirrored chain shows that an act of ours was done: its key in an event, or the state that it made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.wrappers import decode_call, encode_call
from ledger.chain.sending.intents import first_number
from ledger.models import (
    BlockchainTransaction,
    ChainBlock,
    ChainEvent,
    ChainInclusion,
    ChainIntent,
    CreditBatch,
    CreditCancellation,
    CreditRetirement,
    CreditTransfer,
    SettlementBatch,
    SettlementTrade,
)
from ledger.models.escrow import SettlementStatus

TRANSFER = "safeTransferFrom"


@dataclass(frozen=True)
class Mark:
    """Where the chain did what an intent wants."""

    tx_hash: str
    block_number: int
    at: datetime


@dataclass(frozen=True)
class KeyedAct:
    """What a holder did with credits under a key, as the mirrored chain has it."""

    function: str
    key: str
    holder: str
    amount_kg: int
    tx_hash: str


def act_under(
    session: Session, batch_id: int, holders: Mapping[str, str], amount_kg: int
) -> KeyedAct | None:
    """Return what was done with credits of a batch under one of some keys; None: nothing.

    Parameters
    ----------
    holders
        By key, who may have done it: others may use a key that they saw.
    amount_kg
        Of transfers those of this amount are looked at alone: their key stands in no event.
    """
    journals: dict[str, Any] = {"retire": CreditRetirement, "cancel": CreditCancellation}
    row: CreditRetirement | CreditCancellation
    for function, journal in journals.items():
        query = select(journal).where(journal.batch_id == batch_id, journal.key.in_(holders))
        for row in session.scalars(query):
            if holders[row.key] == row.holder:
                return KeyedAct(function, row.key, row.holder, row.amount_kg, row.tx_hash)
    transfers = (
        select(CreditTransfer, BlockchainTransaction.parameters)
        .join(BlockchainTransaction, BlockchainTransaction.tx_hash == CreditTransfer.tx_hash)
        .where(
            CreditTransfer.batch_id == batch_id,
            CreditTransfer.from_address.in_(set(holders.values())),
            CreditTransfer.amount_kg == amount_kg,
            BlockchainTransaction.function_name == TRANSFER,
        )
    )
    for moved, parameters in session.execute(transfers):
        key = str((parameters or {}).get("data"))
        if holders.get(key) == moved.from_address:
            return KeyedAct(TRANSFER, key, moved.from_address, moved.amount_kg, moved.tx_hash)
    return None


def with_key_in_data(intent: ChainIntent) -> str | None:
    """Return the call data of a transfer as it is when it carries its key; None for other calls."""
    call = decode_call(CREDIT, intent.call_data)
    if call is None or call.function != TRANSFER:
        return None
    given, key = call.parameters, bytes.fromhex(intent.key[2:])
    arguments = [given["from"], given["to"], int(given["id"]), int(given["value"]), key]
    return encode_call(CREDIT, TRANSFER, arguments).lower()


def mark_of(session: Session, intent: ChainIntent) -> Mark | None:
    """Return where the mirrored chain has the mark of an intent; None while it has not, or where it makes none."""
    look = _MARKS.get(intent.function_name)
    return look(session, intent) if look is not None else None


def _issued(session: Session, intent: ChainIntent) -> Mark | None:
    found = session.scalars(select(CreditBatch).where(CreditBatch.key == intent.key)).first()
    if found is None:
        return None
    claim = intent.parameters["claim"]
    # An issuer and a verifier, of whatever class, could use our key up for a claim of theirs.
    same = (
        found.site_id,
        found.issued_kg,
        found.period_start_s,
        found.period_end_s,
        found.evidence_root,
        found.manifest_hash,
        found.recipient,
    ) == (
        int(claim["siteId"]),
        int(claim["amount"]),
        int(claim["periodStart"]),
        int(claim["periodEnd"]),
        claim["evidenceRoot"],
        claim["manifestHash"],
        claim["recipient"].lower(),
    )
    return Mark(found.tx_hash, found.block_number, found.issued_at) if same else None


def _retired(session: Session, intent: ChainIntent) -> Mark | None:
    # A stranger may copy the key out of the pool; not the holder, whose signature that would need.
    query = select(CreditRetirement).where(
        CreditRetirement.key == intent.key, CreditRetirement.holder == intent.sender_address
    )
    found = session.scalars(query).first()
    return Mark(found.tx_hash, found.block_number, found.retired_at) if found else None


def _cancelled(session: Session, intent: ChainIntent) -> Mark | None:
    query = select(CreditCancellation).where(
        CreditCancellation.key == intent.key, CreditCancellation.holder == intent.sender_address
    )
    found = session.scalars(query).first()
    return Mark(found.tx_hash, found.block_number, found.cancelled_at) if found else None


def _transferred(session: Session, intent: ChainIntent) -> Mark | None:
    """Return the transfer that carries the key of an intent; one without a name carries none.

    Also where the intent itself would not carry it: the receiver may have got code since.
    """
    wanted = intent.parameters | {"data": intent.key}
    query = (
        select(
            CreditTransfer.tx_hash,
            CreditTransfer.block_number,
            ChainBlock.block_time,
            BlockchainTransaction.parameters,
        )
        .join(BlockchainTransaction, BlockchainTransaction.tx_hash == CreditTransfer.tx_hash)
        .join(ChainInclusion, ChainInclusion.tx_hash == CreditTransfer.tx_hash)
        .join(ChainBlock, ChainBlock.number == CreditTransfer.block_number)
        .where(
            CreditTransfer.batch_id == int(wanted["id"]),
            CreditTransfer.from_address == intent.sender_address,
            CreditTransfer.to_address == str(wanted["to"]).lower(),
            CreditTransfer.amount_kg == int(wanted["value"]),
            ChainInclusion.sender == intent.sender_address,
        )
    )
    for tx_hash, number, at, parameters in session.execute(query):
        if parameters == wanted:
            return Mark(tx_hash, number, at)
    return None


def _proposed(session: Session, intent: ChainIntent) -> Mark | None:
    found = session.scalars(
        select(SettlementBatch).where(SettlementBatch.key == intent.key)
    ).first()
    if found is None:
        return None
    event = session.get(ChainEvent, (found.block_number, found.log_index))
    wanted = intent.parameters.get("settlement", intent.parameters)  # co-signed: a struct
    # A member of the market could use our key up for another batch.
    same = event is not None and (
        [int(word) for word in event.args["words"]] == [int(word) for word in wanted["words"]]
        and list(event.args["accounts"]) == [item.lower() for item in wanted["accounts"]]
        and found.asset == int(wanted["asset"])
    )
    return Mark(found.tx_hash, found.block_number, found.proposed_at) if same else None


def _settled_one(session: Session, intent: ChainIntent) -> Mark | None:
    wanted = intent.parameters["trade"]
    query = select(SettlementTrade).where(SettlementTrade.seq == int(wanted["seq"]))
    found = session.scalars(query).first()
    same = found is not None and (
        (found.buyer, found.seller, found.asset, found.quantity, found.price_e4)
        == (
            str(wanted["buyer"]).lower(),
            str(wanted["seller"]).lower(),
            int(intent.parameters["asset"]),
            int(wanted["quantity"]),
            int(wanted["price"]),
        )
    )
    return Mark(found.tx_hash, found.block_number, found.settled_at) if found and same else None


def _finalized(session: Session, intent: ChainIntent) -> Mark | None:
    batch = session.get(SettlementBatch, first_number(intent))
    if batch is None or batch.status is not SettlementStatus.FINALIZED or batch.ended_block is None:
        return None
    return _event(
        session,
        batch.ended_block,
        "BatchFinalized",
        lambda args: int(args["batch_id"]) == batch.batch_id,
    )


def _event(
    session: Session, block_number: int, name: str, fits: Callable[[Mapping[str, Any]], bool]
) -> Mark | None:
    query = (
        select(ChainEvent, ChainBlock.block_time)
        .join(ChainBlock, ChainBlock.number == ChainEvent.block_number)
        .where(ChainEvent.block_number == block_number, ChainEvent.event_name == name)
    )
    for event, at in session.execute(query):
        if fits(event.args):
            return Mark(event.tx_hash, event.block_number, at)
    return None


_MARKS: Mapping[str, Callable[[Session, ChainIntent], Mark | None]] = {
    "issue": _issued,
    "retire": _retired,
    "cancel": _cancelled,
    TRANSFER: _transferred,
    "proposeBatch": _proposed,
    "settleCosigned": _proposed,
    "settleOne": _settled_one,
    "finalizeBatch": _finalized,
}
