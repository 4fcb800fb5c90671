"""Credits as the chain has them: classes, batches, serials, what became of them. Ours, beyond the 41.

Rows carry the block that they came with, so that a reorganisation can take them back.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import CHAR, BigInteger, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_key, options
from ledger.models.mirror import BLOCK, INDEXER, LOG, TX
from ledger.models.types import Address, ExactDecimal, Hash, Varchar, choice

BATCH = "Number of the batch."


class BatchStatus(StrEnum):
    """State of a credit batch on chain."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DISPUTED = "disputed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


BATCH_STATUS = {
    1: BatchStatus.ACTIVE,
    2: BatchStatus.SUSPENDED,
    3: BatchStatus.DISPUTED,
    4: BatchStatus.CANCELLED,
    5: BatchStatus.EXPIRED,
}
"""States by the contract's numbers; 0 is a batch that does not exist."""


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
        BigInteger, comment="End of its latest period on chain, seconds since 1970 UTC; 0: none."
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
        Index("idx_credit_batches_evidence_root", "evidence_root"),
        Index("idx_credit_batches_manifest_hash", "manifest_hash"),
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
        Index("idx_credit_cancellations_key", "key"),
        options("A cancellation by a holder.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )
