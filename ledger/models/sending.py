"""What our accounts send to a chain, stored before it is sent. Ours, beyond the 41."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import BEYOND, Base, big_key, created_at, options
from ledger.models.types import (
    Address,
    ExactDecimal,
    Hash,
    MediumText,
    Varchar,
    choice,
    json_object,
)

INTENTS = "ledger.chain.sending.intents"
LANES = "ledger.chain.sending.lanes"


class IntentState(StrEnum):
    """How far an intent has come. Only the mirror goes beyond ``submitted``."""

    PLANNED = "planned"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    FAILED = "failed"


UNDER_WAY = (IntentState.PLANNED, IntentState.SUBMITTED)
"""The states of an intent of which it is not known yet what becomes of it."""


class ChainIntent(Base):
    """Something that shall happen on chain exactly once, stored before it is sent."""

    __tablename__ = "chain_intents"

    key: Mapped[str] = mapped_column(Hash, primary_key=True, comment="The one key, made here.")
    chain_id: Mapped[int] = mapped_column(BigInteger, comment="Chain that it is for.")
    kind: Mapped[str] = mapped_column(Varchar(40), comment="What it is, such as issue.")
    contract_address: Mapped[str] = mapped_column(Address, comment="Contract to call.")
    function_name: Mapped[str] = mapped_column(Varchar(100), comment="Function to call.")
    parameters: Mapped[dict[str, Any]] = mapped_column(
        json_object(), comment="Arguments by name; integers as text."
    )
    call_data: Mapped[str] = mapped_column(MediumText, comment="Encoded call, 0x hex; frozen.")
    sender_address: Mapped[str] = mapped_column(Address, comment="Account that sends it.")
    nonce: Mapped[int | None] = mapped_column(BigInteger, comment="Its nonce; null: not yet sent.")
    state: Mapped[IntentState] = mapped_column(
        choice(IntentState, "state"), comment="How far it has come."
    )
    tx_hash: Mapped[str | None] = mapped_column(
        Hash, comment="Attempt that was included, else the last."
    )
    error: Mapped[str | None] = mapped_column(Text, comment="Why it failed.")
    alarm: Mapped[str | None] = mapped_column(
        Text, comment="What keeps it from a block, and what to do; null: nothing known."
    )
    block_number: Mapped[int | None] = mapped_column(BigInteger, comment="Block that included it.")
    created_at: Mapped[datetime] = created_at("When it was planned, UTC.")
    submitted_at: Mapped[datetime | None] = mapped_column(comment="When it was signed, UTC.")
    confirmed_at: Mapped[datetime | None] = mapped_column(comment="Time of its final block, UTC.")

    __table_args__ = (
        UniqueConstraint("chain_id", "sender_address", "nonce"),
        Index("idx_chain_intents_state_created_at", "state", "created_at"),
        Index("idx_chain_intents_block_number", "block_number"),
        Index("idx_chain_intents_tx_hash", "tx_hash"),
        options("Something that shall happen on chain once.", writer=INTENTS, origin=BEYOND),
    )


class ChainNonceLane(Base):
    """The next nonce of an account."""

    __tablename__ = "chain_nonce_lanes"

    chain_id: Mapped[int] = big_key("Chain.")
    address: Mapped[str] = mapped_column(Address, primary_key=True, comment="Account.")
    next_nonce: Mapped[int] = mapped_column(BigInteger, comment="Nonce of its next transaction.")

    __table_args__ = (options("The next nonce of an account.", writer=LANES, origin=BEYOND),)


class ChainSpending(Base):
    """What was signed for an account on a day: the daily caps survive a restart."""

    __tablename__ = "chain_spending"

    chain_id: Mapped[int] = big_key("Chain.")
    address: Mapped[str] = mapped_column(Address, primary_key=True, comment="Account.")
    day: Mapped[date] = mapped_column(primary_key=True, comment="Day, UTC.")
    transactions: Mapped[int] = mapped_column(comment="Nonces that were signed for.")
    cost_wei: Mapped[Decimal] = mapped_column(
        ExactDecimal(38, 0), comment="The most that they can cost, gas times highest fee, in wei."
    )

    __table_args__ = (
        options("What was signed for an account on a day.", writer=LANES, origin=BEYOND),
    )


class ChainAttempt(Base):
    """A signed transaction of an intent. Of all attempts at one nonce one is included at the most."""

    __tablename__ = "chain_attempts"

    tx_hash: Mapped[str] = mapped_column(Hash, primary_key=True, comment="Hash of the transaction.")
    intent_key: Mapped[str] = mapped_column(
        Hash, ForeignKey("chain_intents.key"), comment="Key of the intent."
    )
    ordinal: Mapped[int] = mapped_column(comment="Number of the attempt, from 1.")
    nonce: Mapped[int | None] = mapped_column(
        BigInteger, comment="Its nonce; another than the intent's: a stranger took this one."
    )
    raw_transaction: Mapped[str] = mapped_column(MediumText, comment="Signed transaction, 0x hex.")
    max_fee_wei: Mapped[Decimal] = mapped_column(
        ExactDecimal(38, 0), comment="Highest fee for a unit of gas, in wei."
    )
    priority_fee_wei: Mapped[Decimal] = mapped_column(
        ExactDecimal(38, 0), comment="Tip for a unit of gas, in wei."
    )
    created_at: Mapped[datetime] = created_at("When it was signed, UTC.")
    broadcast_at: Mapped[datetime | None] = mapped_column(comment="When it was last sent, UTC.")

    __table_args__ = (
        UniqueConstraint("intent_key", "ordinal"),
        Index("idx_chain_attempts_nonce", "nonce"),
        options("A signed transaction of an intent.", writer=INTENTS, origin=BEYOND),
    )
