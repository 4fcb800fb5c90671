"""What goes to a chain and what comes back. Ours, beyond the 41.

Rows that come from a chain carry the block that they came with, so that a reorganisation can
take them back.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CHAR, BigInteger, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_key, created_at, options, updated_at
from ledger.models.types import (
    Address,
    ExactDecimal,
    Hash,
    MediumText,
    Varchar,
    choice,
    json_object,
)

BLOCK = "Block that brought it."
LOG = "Position of the log in its block."
TX = "Transaction that brought it."
BATCH = "Number of the batch."
INTENTS = "ledger.chain.intents"
LANES = "ledger.chain.lanes"
INDEXER = "indexer"


class IntentState(StrEnum):
    """How far an intent has come. Only the mirror goes beyond ``submitted``."""

    PLANNED = "planned"
    SUBMITTED = "submitted"
    CONFIRMED = "confirmed"
    FAILED = "failed"


class BatchStatus(StrEnum):
    """State of a credit batch on chain."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DISPUTED = "disputed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


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
        Index("idx_chain_intents_state", "state"),
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
        options("A signed transaction of an intent.", writer=INTENTS, origin=BEYOND),
    )


class ChainCursor(Base):
    """How far the mirror of a network has come."""

    __tablename__ = "chain_cursor"

    network: Mapped[str] = mapped_column(
        Varchar(50), primary_key=True, comment="Name of the network."
    )
    chain_id: Mapped[int] = mapped_column(BigInteger, comment="Chain.")
    genesis_hash: Mapped[str] = mapped_column(
        Hash, comment="Hash of block 0, tells two chains apart."
    )
    block_number: Mapped[int] = mapped_column(BigInteger, comment="Last block mirrored.")
    block_hash: Mapped[str] = mapped_column(Hash, comment="Its hash.")
    final_number: Mapped[int] = mapped_column(BigInteger, comment="Last block taken as final.")
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        options("How far the mirror has come.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class ChainBlock(Base):
    """A block that the mirror has read."""

    __tablename__ = "chain_blocks"

    number: Mapped[int] = big_key("Number of the block.")
    hash: Mapped[str] = mapped_column(Hash, comment="Its hash.")
    parent_hash: Mapped[str] = mapped_column(Hash, comment="Hash of the block before.")
    block_time: Mapped[datetime] = mapped_column(comment="Its time, UTC.")

    __table_args__ = (
        options("A block that was read.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class ChainInclusion(Base):
    """Where a transaction stands in the chain."""

    __tablename__ = "chain_inclusions"

    tx_hash: Mapped[str] = mapped_column(
        Hash, ForeignKey("blockchain_transactions.tx_hash"), primary_key=True, comment="Hash of it."
    )
    block_number: Mapped[int] = mapped_column(BigInteger, comment="Block that it is in.")
    block_hash: Mapped[str] = mapped_column(Hash, comment="Hash of that block.")
    tx_index: Mapped[int] = mapped_column(comment="Position in that block.")
    sender: Mapped[str] = mapped_column(Address, comment="Account that sent it.")
    nonce: Mapped[int] = mapped_column(BigInteger, comment="Its nonce.")
    intent_key: Mapped[str | None] = mapped_column(
        Hash, comment="Key of our intent; null: foreign."
    )
    error: Mapped[str | None] = mapped_column(Varchar(500), comment="Why it reverted.")

    __table_args__ = (
        Index("idx_chain_inclusions_block_number", "block_number"),
        options(
            "Where a transaction stands.",
            writer="ledger.chain.transactions",
            origin=BEYOND,
            changes=ALL,
        ),
    )


class ChainEvent(Base):
    """A decoded event of one of our contracts."""

    __tablename__ = "chain_events"

    block_number: Mapped[int] = big_key(BLOCK)
    log_index: Mapped[int] = big_key(LOG)
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    contract_address: Mapped[str] = mapped_column(Address, comment="Contract that emitted it.")
    event_name: Mapped[str] = mapped_column(Varchar(100), comment="Name of the event.")
    args: Mapped[dict[str, Any]] = mapped_column(
        json_object(), comment="Arguments by name; integers as text."
    )
    seq: Mapped[int | None] = mapped_column(
        BigInteger, comment="Number in the contract's log; null: none."
    )
    head: Mapped[str | None] = mapped_column(Hash, comment="Head of the contract's log after it.")

    __table_args__ = (
        Index("idx_chain_events_tx_hash", "tx_hash"),
        Index("idx_chain_events_seq", "seq"),
        # Of what kind a change was, up to a block: the state of then is asked for by it.
        Index("idx_chain_events_event_name_block_number", "event_name", "block_number"),
        options("A decoded event of our contracts.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class CreditClass(Base):
    """A class of credits as registered on chain."""

    __tablename__ = "credit_classes"

    class_id: Mapped[int] = big_key("Number of the class.")
    code: Mapped[str] = mapped_column(Varchar(100), comment="Its code.")
    methodology_hash: Mapped[str] = mapped_column(Hash, comment="Hash of its methodology.")
    cap_kg: Mapped[Decimal] = mapped_column(
        ExactDecimal(20, 0), comment="Most that may be issued, kg."
    )
    buffer_bps: Mapped[int] = mapped_column(
        comment="Share of an issuance that goes to the buffer, in hundredths of a percent."
    )
    block_number: Mapped[int] = mapped_column(BigInteger, comment=BLOCK)

    __table_args__ = (
        options("A class of credits on chain.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class CreditProject(Base):
    """A project as registered on chain."""

    __tablename__ = "credit_projects"

    project_id: Mapped[int] = big_key("Number of the project on chain.")
    class_id: Mapped[int] = mapped_column(BigInteger, comment="Number of its class.")
    owner: Mapped[str] = mapped_column(Address, comment="Account of its owner.")
    code: Mapped[str] = mapped_column(Varchar(100), comment="Its code.")
    block_number: Mapped[int] = mapped_column(BigInteger, comment=BLOCK)

    __table_args__ = (options("A project on chain.", writer=INDEXER, origin=BEYOND, changes=ALL),)


class CreditSite(Base):
    """A site as registered on chain."""

    __tablename__ = "credit_sites"

    site_id: Mapped[int] = big_key("Number of the site on chain.")
    project_id: Mapped[int] = mapped_column(BigInteger, comment="Number of its project on chain.")
    code: Mapped[str] = mapped_column(Varchar(100), comment="Its code, the first part of a serial.")
    minted_until_s: Mapped[int] = mapped_column(
        BigInteger, comment="End of its last period issued, seconds since 1970 UTC; 0: none."
    )
    block_number: Mapped[int] = mapped_column(BigInteger, comment=BLOCK)

    __table_args__ = (options("A site on chain.", writer=INDEXER, origin=BEYOND, changes=ALL),)


class CreditBatch(Base):
    """An issuance as it stands on chain."""

    __tablename__ = "credit_batches"

    batch_id: Mapped[int] = big_key("Number of the batch: site on chain x 2^32 + ordinal.")
    key: Mapped[str] = mapped_column(Hash, unique=True, comment="Key of the issuance.")
    site_id: Mapped[int] = mapped_column(BigInteger, comment="Number of the site on chain.")
    ordinal: Mapped[int] = mapped_column(BigInteger, comment="Number within the site, from 1.")
    vintage: Mapped[int] = mapped_column(comment="Legal year of the period.")
    recipient: Mapped[str] = mapped_column(Address, comment="Account that received it.")
    issued_kg: Mapped[int] = mapped_column(BigInteger, comment="Issued, kg.")
    retired_kg: Mapped[int] = mapped_column(BigInteger, comment="Retired of it, kg.")
    cancelled_kg: Mapped[int] = mapped_column(BigInteger, comment="Cancelled of it, kg.")
    period_start_s: Mapped[int] = mapped_column(
        BigInteger, comment="Start, seconds since 1970 UTC."
    )
    period_end_s: Mapped[int] = mapped_column(
        BigInteger, comment="End (exclusive), seconds since 1970 UTC."
    )
    gap_start_s: Mapped[int] = mapped_column(
        BigInteger,
        comment="Start of the time before the period that was never issued upon, seconds since 1970 UTC.",
    )
    expires_at_s: Mapped[int] = mapped_column(
        BigInteger, comment="From when it no longer moves, seconds since 1970 UTC; 0: never."
    )
    buffered_kg: Mapped[int] = mapped_column(
        BigInteger, comment="Of what was issued, what went to the buffer, kg."
    )
    evidence_root: Mapped[str] = mapped_column(Hash, comment="Merkle root of the readings.")
    evidence_total_kg: Mapped[Decimal] = mapped_column(
        ExactDecimal(20, 0), comment="Most that the evidence supports, kg."
    )
    manifest_hash: Mapped[str] = mapped_column(Hash, comment="Hash of the calculation.")
    methodology_hash: Mapped[str] = mapped_column(Hash, comment="Hash of the methodology.")
    issuer: Mapped[str] = mapped_column(Address, comment="Account that issued it.")
    verifier: Mapped[str] = mapped_column(Address, comment="Account that signed for it.")
    status: Mapped[BatchStatus] = mapped_column(
        choice(BatchStatus, "status"), comment="State on chain."
    )
    deficit_kg: Mapped[int | None] = mapped_column(
        BigInteger,
        comment="Retired of it and still to be replaced, kg; null: it was never invalidated.",
    )
    block_number: Mapped[int] = mapped_column(BigInteger, comment=BLOCK)
    log_index: Mapped[int] = mapped_column(comment=LOG)
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    issued_at: Mapped[datetime] = mapped_column(comment="Time of that block, UTC.")

    __table_args__ = (
        Index("idx_credit_batches_block_number", "block_number"),
        options("An issuance as it stands on chain.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class CreditSerial(Base):
    """The serials of a row of carbon_credits."""

    __tablename__ = "credit_serials"

    credit_id: Mapped[str] = mapped_column(
        Varchar(100),
        ForeignKey("carbon_credits.credit_id"),
        primary_key=True,
        comment="The credit.",
    )
    batch_id: Mapped[int] = mapped_column(BigInteger, comment=BATCH)
    first_serial: Mapped[int] = mapped_column(BigInteger, comment="First kilogram, from 1.")
    last_serial: Mapped[int] = mapped_column(BigInteger, comment="Last kilogram (inclusive).")
    retirement_id: Mapped[int | None] = mapped_column(
        BigInteger, comment="Number of the retirement; null: not retired."
    )

    __table_args__ = (
        Index("idx_credit_serials_batch_id", "batch_id"),
        options("The serials of a credit.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class CreditTransfer(Base):
    """Credits that moved from one holder to another."""

    __tablename__ = "credit_transfers"

    block_number: Mapped[int] = big_key(BLOCK)
    log_index: Mapped[int] = big_key(LOG)
    sub_index: Mapped[int] = big_key("Position within a log that moves several batches.")
    batch_id: Mapped[int] = mapped_column(BigInteger, comment=BATCH)
    from_address: Mapped[str] = mapped_column(Address, comment="Giver; zero: issued.")
    to_address: Mapped[str] = mapped_column(
        Address, comment="Receiver; zero: retired or cancelled."
    )
    amount_kg: Mapped[int] = mapped_column(BigInteger, comment="Amount, kg.")
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)

    __table_args__ = (
        Index("idx_credit_transfers_batch_id", "batch_id"),
        options("Credits that moved.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class CreditHolding(Base):
    """What a holder has of a batch: the sum of its transfers."""

    __tablename__ = "credit_holdings"

    batch_id: Mapped[int] = big_key(BATCH)
    holder: Mapped[str] = mapped_column(Address, primary_key=True, comment="Account.")
    amount_kg: Mapped[int] = mapped_column(BigInteger, comment="Amount, kg.")

    __table_args__ = (
        Index("idx_credit_holdings_holder", "holder"),
        options("What a holder has of a batch.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class CreditRetirement(Base):
    """A retirement: final, of consecutive serials, on behalf of somebody."""

    __tablename__ = "credit_retirements"

    retirement_id: Mapped[int] = big_key("Number of the retirement on chain.")
    key: Mapped[str] = mapped_column(Hash, comment="Key of the retirement.")
    batch_id: Mapped[int] = mapped_column(BigInteger, comment=BATCH)
    holder: Mapped[str] = mapped_column(Address, comment="Account whose credits were retired.")
    replaced_batch_id: Mapped[int | None] = mapped_column(
        BigInteger,
        comment="Number of the invalidated batch that units of the buffer stand in for; null: none.",
    )
    first_serial: Mapped[int] = mapped_column(BigInteger, comment="First kilogram.")
    amount_kg: Mapped[int] = mapped_column(BigInteger, comment="Amount, kg.")
    beneficiary: Mapped[str] = mapped_column(Text, comment="On whose behalf.")
    reason: Mapped[str] = mapped_column(Text, comment="What for.")
    country: Mapped[str | None] = mapped_column(
        CHAR(2), comment="Country of the claim; null: not stated."
    )
    consumption_start_s: Mapped[int] = mapped_column(
        BigInteger, comment="Start of the consumption, seconds since 1970 UTC; 0: not stated."
    )
    consumption_end_s: Mapped[int] = mapped_column(
        BigInteger,
        comment="End of the consumption (exclusive), seconds since 1970 UTC; 0: not stated.",
    )
    document_hash: Mapped[str] = mapped_column(Hash, comment="Hash of a document; zero: none.")
    block_number: Mapped[int] = mapped_column(BigInteger, comment=BLOCK)
    log_index: Mapped[int] = mapped_column(comment=LOG)
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    retired_at: Mapped[datetime] = mapped_column(comment="Time of that block, UTC.")

    __table_args__ = (
        Index("idx_credit_retirements_key", "key"),
        Index("idx_credit_retirements_batch_id", "batch_id"),
        Index("idx_credit_retirements_block_number", "block_number"),
        options("A retirement.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )


class CreditCancellation(Base):
    """A cancellation of consecutive serials by their holder."""

    __tablename__ = "credit_cancellations"

    block_number: Mapped[int] = big_key(BLOCK)
    log_index: Mapped[int] = big_key(LOG)
    key: Mapped[str] = mapped_column(Hash, comment="Key of the cancellation.")
    batch_id: Mapped[int] = mapped_column(BigInteger, comment=BATCH)
    holder: Mapped[str] = mapped_column(Address, comment="Account whose credits were cancelled.")
    first_serial: Mapped[int] = mapped_column(BigInteger, comment="First kilogram.")
    amount_kg: Mapped[int] = mapped_column(BigInteger, comment="Amount, kg.")
    reason: Mapped[str] = mapped_column(Text, comment="What for.")
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    cancelled_at: Mapped[datetime] = mapped_column(comment="Time of that block, UTC.")

    __table_args__ = (
        Index("idx_credit_cancellations_batch_id", "batch_id"),
        options("A cancellation by a holder.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )
