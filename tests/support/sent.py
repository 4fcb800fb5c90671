"""Intents, their attempts, and calls that the mirror read: rows as a test wants them, without a chain."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import TypeDecorator
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from ledger.models import (
    Base,
    BlockchainTransaction,
    ChainAttempt,
    ChainBlock,
    ChainInclusion,
    ChainIntent,
)
from ledger.models.blockchain import TransactionStatus
from ledger.models.sending import IntentState
from ledger.models.types import Address, Hash, UtcDateTime, json_array, json_object

KEY, OTHER = "0x" + "11" * 32, "0x" + "22" * 32
T0 = datetime(2026, 1, 1, tzinfo=UTC)
"""When the intents were planned."""
ADDRESS, STRANGER, HASH = "0x" + "a" * 40, "0x" + "c" * 40, "0x" + "b" * 64
CHAIN = 31337


def hash_of(number: int) -> str:
    return f"0x{number:064x}"


def intent(function: str, **parameters: Any) -> ChainIntent:
    """Return an intent; of a call about a settlement batch with its number in the call data."""
    number = parameters.get("batchId")
    data = "0x" if number is None else f"0x{'00' * 4}{int(number):064x}"
    return ChainIntent(
        key=KEY,
        chain_id=CHAIN,
        kind="test",
        contract_address=ADDRESS,
        function_name=function,
        parameters=parameters,
        call_data=data,
        sender_address=ADDRESS,
        state=IntentState.PLANNED,
        created_at=T0,
    )


def stored(session: Session, number: int, **values: Any) -> ChainIntent:
    """Write an intent with a key of its own; return it."""
    row = intent("retire")
    for name, value in {"key": hash_of(number), **values}.items():
        setattr(row, name, value)
    session.add(row)
    session.flush()
    return row


def attempt(session: Session, key: str, tx_hash: str, nonce: int, ordinal: int = 1) -> ChainAttempt:
    """Write a signed transaction of an intent; return it."""
    row = ChainAttempt(
        tx_hash=tx_hash,
        intent_key=key,
        ordinal=ordinal,
        nonce=nonce,
        raw_transaction="0x",
        max_fee_wei=1,
        priority_fee_wei=1,
        created_at=T0,
    )
    session.add(row)
    session.flush()
    return row


def transaction(session: Session, tx_hash: str, **values: Any) -> BlockchainTransaction:
    """Write a transaction that waits; return it."""
    row = BlockchainTransaction(
        **{
            "tx_hash": tx_hash,
            "contract_address": ADDRESS,
            "function_name": "deposit",
            "parameters": {"amount": 7},
            "status": TransactionStatus.PENDING,
            "created_at": T0,
            **values,
        }
    )
    session.add(row)
    session.flush()
    return row


def mined(
    session: Session, number: int, nonce: int, after_s: int, at: int | None = None, **other: Any
) -> str:
    """Write a call that the mirror read, in a block of its own; return its hash.

    ``at`` is the number of its block, where that is another.
    """
    time, tx_hash = T0 + timedelta(seconds=after_s), hash_of(number)
    block = number if at is None else at
    if session.get(ChainBlock, block) is None:
        block_hash = hash_of(block)
        session.add(
            ChainBlock(number=block, hash=block_hash, parent_hash=block_hash, block_time=time)
        )
    called = {"created_at": time, "parameters": other.pop("parameters", {"amount": 7})}
    if "function_name" in other:
        called["function_name"] = other.pop("function_name")
    transaction(session, tx_hash, **called)
    session.add(
        ChainInclusion(
            **{
                "tx_hash": tx_hash,
                "block_number": block,
                "block_hash": hash_of(block),
                "tx_index": 0,
                "nonce": nonce,
                "sender": ADDRESS,
                "error": None,
                "intent_key": None,
                **other,
            }
        )
    )
    session.flush()
    return tx_hash


def row_of(model: type[Base], **values: Any) -> Base:
    """Return a row with what a test says, and nothings of their kind in all other columns that must hold something."""
    for column in model.__table__.columns:
        if column.name not in values and not column.nullable:
            values[column.name] = _nothing(column.type)
    return model(**values)


def _nothing(kind: TypeEngine[Any]) -> Any:
    for own, nothing in (
        (Hash, hash_of(0)),
        (Address, ADDRESS),
        (json_object(), {}),
        (json_array(), []),
    ):
        if kind is own:
            return nothing
    if isinstance(kind, UtcDateTime):
        return T0
    plain = kind.impl if isinstance(kind, TypeDecorator) else kind
    return plain.python_type()
