"""Blocks, events and transactions that come from a chain. Ours, beyond the 41.

Rows carry the block that they came with, so that a reorganisation can take them back.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_key, options, updated_at
from ledger.models.types import Address, Hash, Varchar, json_object

BLOCK = "Block that brought it."
LOG = "Position of the log in its block."
TX = "Transaction that brought it."
INDEXER = "indexer"


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
    # What another program wrote there shall keep nobody from reading where the mirror stands, nor from mending it.
    updated_at: Mapped[datetime] = updated_at(deferred=True)

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
        Hash, ForeignKey("blockchain_transactions.tx_hash"), unique=True, comment="Hash of it."
    )
    block_number: Mapped[int] = big_key("Block that it is in.")
    block_hash: Mapped[str] = mapped_column(Hash, comment="Hash of that block.")
    tx_index: Mapped[int] = mapped_column(
        primary_key=True, autoincrement=False, comment="Position in that block."
    )
    sender: Mapped[str] = mapped_column(Address, comment="Account that sent it.")
    nonce: Mapped[int] = mapped_column(BigInteger, comment="Its nonce.")
    intent_key: Mapped[str | None] = mapped_column(
        Hash, comment="Key of our intent; null: foreign."
    )
    error: Mapped[str | None] = mapped_column(Varchar(500), comment="Why it reverted.")

    __table_args__ = (
        options(
            "Where a transaction stands.",
            writer="ledger.chain.sending.transactions",
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
        # Of what kind a change was, up to a block: the state of then is asked for by it.
        Index("idx_chain_events_event_name_block_number", "event_name", "block_number"),
        options("A decoded event of our contracts.", writer=INDEXER, origin=BEYOND, changes=ALL),
    )
