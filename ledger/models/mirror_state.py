"""What the mirror says of itself: who runs it, where the chain turned, which contracts appeared. Ours."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_id, big_key, options
from ledger.models.mirror import BLOCK, LOG, TX
from ledger.models.types import Address, Hash, Varchar, json_array


class MirrorReorganisation(Base):
    """A time that the chain took blocks back which were mirrored."""

    __tablename__ = "mirror_reorganisations"

    id: Mapped[int] = big_id()
    network: Mapped[str] = mapped_column(Varchar(50), comment="Name of the network.")
    found_at: Mapped[datetime] = mapped_column(comment="When the mirror found it, UTC.")
    ancestor_number: Mapped[int] = mapped_column(BigInteger, comment="Last block that stayed.")
    ancestor_hash: Mapped[str] = mapped_column(Hash, comment="Its hash.")
    old_number: Mapped[int] = mapped_column(BigInteger, comment="Last block mirrored before.")
    old_hash: Mapped[str] = mapped_column(Hash, comment="Its hash.")
    new_number: Mapped[int] = mapped_column(BigInteger, comment="Latest block of the node then.")
    new_hash: Mapped[str] = mapped_column(Hash, comment="Its hash.")

    __table_args__ = (
        options(
            "Blocks that were taken back.", writer="indexer.cursor", origin=BEYOND, changes=ALL
        ),
    )


class MirrorCheck(Base):
    """What the mirror of a network could not check; most have no row."""

    __tablename__ = "mirror_checks"

    network: Mapped[str] = mapped_column(
        Varchar(50), primary_key=True, comment="Name of the network."
    )
    told_number: Mapped[int | None] = mapped_column(
        BigInteger, comment="Last block whose receipts were not held against its hash; null: none."
    )
    log_end_reason: Mapped[str | None] = mapped_column(
        Text,
        comment="Why the contract's end of the credit log could not be asked at the head; null: it was.",
    )

    __table_args__ = (
        options(
            "What the mirror could not check.", writer="indexer.checks", origin=BEYOND, changes=ALL
        ),
    )


class ContractSighting(Base):
    """A contract that was given a role or the administration of one of ours, or was offered it."""

    __tablename__ = "contract_sightings"

    block_number: Mapped[int] = big_key(BLOCK)
    log_index: Mapped[int] = big_key(LOG)
    address: Mapped[str] = mapped_column(Address, comment="Contract that appeared.")
    contract_name: Mapped[str] = mapped_column(Varchar(200), comment="Its name in smart_contracts.")
    giver_address: Mapped[str] = mapped_column(Address, comment="Contract of ours that names it.")
    event_name: Mapped[str] = mapped_column(Varchar(100), comment="Event that names it.")
    role: Mapped[str | None] = mapped_column(Hash, comment="Role; null: the administration.")
    code_hash: Mapped[str] = mapped_column(Hash, comment="keccak-256 of its code then.")
    tx_hash: Mapped[str] = mapped_column(Hash, comment=TX)
    seen_at: Mapped[datetime] = mapped_column(comment="Time of the block, UTC.")

    __table_args__ = (
        Index("idx_contract_sightings_address", "address"),
        options(
            "A contract that was given a role of ours.",
            writer="ledger.chain.addresses.sightings",
            origin=BEYOND,
            changes=ALL,
        ),
    )


class Reconciliation(Base):
    """What the last comparison of books and chain found: one row for each network, replaced by the next."""

    __tablename__ = "reconciliations"

    network: Mapped[str] = mapped_column(
        Varchar(50), primary_key=True, comment="Name of the network."
    )
    block_number: Mapped[int] = mapped_column(
        BigInteger, comment="Block that books and chain were compared at."
    )
    compared_at: Mapped[datetime] = mapped_column(comment="When, UTC.")
    ok: Mapped[bool] = mapped_column(comment="Whether every rule held.")
    rules: Mapped[list[dict[str, Any]]] = mapped_column(
        json_array(),
        comment="Each rule with its name, how many differences, and the first of them.",
    )

    __table_args__ = (
        options("What the last comparison found.", writer="ledger.reconcile.report", origin=BEYOND),
    )


class MirrorVerification(Base):
    """How far the mirror was held against the chain, and what came of it last: one row for each network."""

    __tablename__ = "mirror_verifications"

    network: Mapped[str] = mapped_column(
        Varchar(50), primary_key=True, comment="Name of the network."
    )
    from_number: Mapped[int] = mapped_column(
        BigInteger, comment="First block that was compared last."
    )
    to_number: Mapped[int] = mapped_column(BigInteger, comment="Last block that was compared last.")
    verified_at: Mapped[datetime] = mapped_column(comment="When, UTC.")
    differences: Mapped[int] = mapped_column(BigInteger, comment="How many were found; 0: none.")
    through_number: Mapped[int | None] = mapped_column(
        BigInteger,
        comment="Final block to which all is as the chain says, from the first one on; null: none yet.",
    )
    through_hash: Mapped[str | None] = mapped_column(Hash, comment="Its hash.")

    __table_args__ = (
        options(
            "How far the mirror was held against the chain.",
            writer="indexer.verified",
            origin=BEYOND,
        ),
    )
