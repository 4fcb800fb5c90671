"""What stopped a credit batch and what put it right: journals of the mirror. Ours, beyond the 41."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_key, options
from ledger.models.credits import BATCH
from ledger.models.mirror import BLOCK, INDEXER, LOG, TX
from ledger.models.types import Address, Hash, choice, json_object


class InvalidationStep(StrEnum):
    """What happened to the invalidation of a batch."""

    PROPOSED = "proposed"
    DROPPED = "dropped"
    EXECUTED = "executed"


class CreditInvalidation(Base):
    """One step of the invalidation of a batch. The last step of a batch says where it stands."""

    __tablename__ = "credit_invalidations"

    block_number: Mapped[int] = big_key(BLOCK)
    log_index: Mapped[int] = big_key(LOG)
    batch_id: Mapped[int] = mapped_column(BigInteger, comment=BATCH)
    step: Mapped[InvalidationStep] = mapped_column(
        choice(InvalidationStep, "step"), comment="What happened."
    )
    account: Mapped[str | None] = mapped_column(
        Address, comment="Account that proposed or executed it; null: it was dropped."
    )
    executable_at_s: Mapped[int | None] = mapped_column(
        BigInteger, comment="From when a proposal may be executed, seconds since 1970 UTC."
    )
    reason: Mapped[str | None] = mapped_column(Text, comment="Why it was proposed.")
    frozen_kg: Mapped[int | None] = mapped_column(
        BigInteger, comment="Held when it was executed, and never moves again, kg."
    )
    deficit_kg: Mapped[int | None] = mapped_column(
        BigInteger, comment="Retired when it was executed, and to be replaced, kg."
    )
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    happened_at: Mapped[datetime] = mapped_column(comment="Time of that block, UTC.")

    __table_args__ = (
        Index("idx_credit_invalidations_batch_id", "batch_id"),
        options(
            "A step of the invalidation of a batch.", writer=INDEXER, origin=BEYOND, changes=ALL
        ),
    )


class CreditOverlap(Base):
    """A reading that was shown to count in two batches."""

    __tablename__ = "credit_overlaps"

    block_number: Mapped[int] = big_key(BLOCK)
    log_index: Mapped[int] = big_key(LOG)
    first_batch_id: Mapped[int] = mapped_column(BigInteger, comment="Number of the one batch.")
    second_batch_id: Mapped[int] = mapped_column(BigInteger, comment="Number of the other batch.")
    challenger: Mapped[str] = mapped_column(Address, comment="Account that showed it.")
    meter: Mapped[str] = mapped_column(Hash, comment="Hash of the serial of the meter.")
    first_reading: Mapped[dict[str, Any]] = mapped_column(
        json_object(), comment="Its reading in the one batch; integers as text."
    )
    second_reading: Mapped[dict[str, Any]] = mapped_column(
        json_object(), comment="Its reading in the other batch; integers as text."
    )
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    proven_at: Mapped[datetime] = mapped_column(comment="Time of that block, UTC.")

    __table_args__ = (
        Index("idx_credit_overlaps_first_batch_id", "first_batch_id"),
        Index("idx_credit_overlaps_second_batch_id", "second_batch_id"),
        options(
            "A reading that counts in two batches.", writer=INDEXER, origin=BEYOND, changes=ALL
        ),
    )
