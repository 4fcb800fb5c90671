"""The mirror's lease, its reorganisations, and contracts that appear in its events."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create three tables."""
    _leases()
    _reorganisations()
    _sightings()


def _leases() -> None:
    steps.create_table(
        "mirror_leases",
        sa.Column("network", t.Varchar(50), nullable=False, comment="Name of the network."),
        sa.Column(
            "holder", t.Varchar(40), nullable=False, comment="Number of the run that holds it."
        ),
        sa.Column("place", t.Varchar(200), nullable=False, comment="Host and process, for people."),
        sa.Column(
            "process",
            t.Varchar(200),
            nullable=True,
            comment="Process as its machine knows it; null: not known.",
        ),
        _number("taken_ms", "When it was taken, ms."),
        _number("until_ms", "When it ends unless renewed, ms."),
        _number("blocks", "Blocks mirrored lately."),
        _number("events", "Events mirrored lately."),
        _number("window_ms", "How long lately is, ms."),
        sa.PrimaryKeyConstraint("network"),
        comment="Who mirrors a network now.",
    )


def _reorganisations() -> None:
    steps.create_table(
        "mirror_reorganisations",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("network", t.Varchar(50), nullable=False, comment="Name of the network."),
        sa.Column(
            "found_at", t.UtcDateTime(), nullable=False, comment="When the mirror found it, UTC."
        ),
        _number("ancestor_number", "Last block that stayed."),
        sa.Column("ancestor_hash", t.Hash, nullable=False, comment="Its hash."),
        _number("old_number", "Last block mirrored before."),
        sa.Column("old_hash", t.Hash, nullable=False, comment="Its hash."),
        _number("new_number", "Latest block of the node then."),
        sa.Column("new_hash", t.Hash, nullable=False, comment="Its hash."),
        sa.PrimaryKeyConstraint("id"),
        comment="Blocks that were taken back.",
    )


def _sightings() -> None:
    steps.create_table(
        "contract_sightings",
        _number("block_number", "Block that brought it.", autoincrement=False),
        _number("log_index", "Position of the log in its block.", autoincrement=False),
        sa.Column("address", t.Address, nullable=False, comment="Contract that appeared."),
        sa.Column(
            "contract_name",
            t.Varchar(200),
            nullable=False,
            comment="Its name in smart_contracts.",
        ),
        sa.Column(
            "giver_address",
            t.Address,
            nullable=False,
            comment="Contract of ours that names it.",
        ),
        sa.Column("event_name", t.Varchar(100), nullable=False, comment="Event that names it."),
        sa.Column("role", t.Hash, nullable=True, comment="Role; null: the administration."),
        sa.Column("code_hash", t.Hash, nullable=False, comment="keccak-256 of its code then."),
        sa.Column("tx_hash", t.Hash, nullable=False, comment="Transaction that brought it."),
        sa.Column("seen_at", t.UtcDateTime(), nullable=False, comment="Time of the block, UTC."),
        sa.PrimaryKeyConstraint("block_number", "log_index"),
        comment="A contract that was given a role of ours.",
        indexes=(("address",),),
    )


def _number(
    name: str, comment: str, autoincrement: bool | Literal["auto"] = "auto"
) -> sa.Column[int]:
    return sa.Column(
        name, sa.BigInteger(), nullable=False, comment=comment, autoincrement=autoincrement
    )
