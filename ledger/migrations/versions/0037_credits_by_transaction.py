"""Credits are found by the transaction that issued them: who deletes a transaction asks for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

TABLE, COLUMN = "carbon_credits", "blockchain_tx"


def upgrade() -> None:
    """Add the index, unless it is there; on MariaDB it takes the place of the foreign key's."""
    name = f"idx_{TABLE}_{COLUMN}"
    if name not in {item["name"] for item in sa.inspect(op.get_bind()).get_indexes(TABLE)}:
        op.create_index(name, TABLE, [COLUMN])
