"""Deliveries are found by their message, endpoints know when they were resumed, and comments say what is so."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

TABLE, COLUMN = "webhook_deliveries", "message_row"
CARRY, TIME = t.Varchar(120), sa.BigInteger()
COMMENTS: tuple[tuple[str, str, sa.types.TypeEngine[Any], str], ...] = (
    (
        "issuances",
        "carry_in_kg",
        CARRY,
        "Carried in, deficits of corrections too, of a backfill these alone; kg CO2e, an exact fraction n/d.",
    ),
    (
        "issuances",
        "carry_out_kg",
        CARRY,
        "Left over, kg CO2e, an exact fraction n/d; of a backfill it enters no other period.",
    ),
    (
        "credit_sites",
        "minted_until_s",
        TIME,
        "End of its latest period on chain, seconds since 1970 UTC; 0: none.",
    ),
    (
        "vpp_trading_records",
        "quantity",
        t.ExactDecimal(12, 3),
        "Energy in kWh; of credits, t CO2e.",
    ),
    (
        "vpp_trading_records",
        "price",
        t.ExactDecimal(10, 4),
        "Price in the settlement currency per kWh, of credits per t; may be negative.",
    ),
)


def upgrade() -> None:
    """Add the index and the column that are not there; SQLite has no comments."""
    steps.add_column(
        "webhook_endpoints",
        sa.Column(
            "resumed_at",
            t.UtcDateTime(),
            nullable=True,
            comment="When a person last had it told again, UTC; null: never.",
        ),
    )
    name = f"idx_{TABLE}_{COLUMN}"
    if name not in {item["name"] for item in sa.inspect(op.get_bind()).get_indexes(TABLE)}:
        op.create_index(name, TABLE, [COLUMN])
    if steps.on_sqlite():
        return
    for table, column, kind, comment in COMMENTS:
        op.alter_column(table, column, existing_type=kind, existing_nullable=False, comment=comment)
