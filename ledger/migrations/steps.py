"""Steps of a migration that can be repeated after MariaDB stopped half-way through a revision."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op


def on_sqlite() -> bool:
    """Return whether the migration runs on SQLite."""
    return bool(op.get_bind().dialect.name == "sqlite")


def create_table(
    name: str,
    *items: sa.schema.SchemaItem,
    comment: str,
    indexes: tuple[tuple[str, ...], ...] = (),
    **more: Any,
) -> None:
    """Create a table and its indexes, each unless it is there.

    Parameters
    ----------
    name
        The table.
    items
        Columns and constraints.
    comment
        What a row is.
    indexes
        The columns of each index; its name is made of them.
    more
        Further options of the table.
    """
    op.create_table(
        name,
        *items,
        comment=comment,
        if_not_exists=True,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        **more,
    )
    there = (
        {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(name)}
        if indexes
        else set()
    )
    for columns in indexes:
        index = "_".join(("idx", name, *columns))
        if index not in there:
            op.create_index(index, name, list(columns))


def only_sqlite(*items: sa.schema.SchemaItem) -> tuple[sa.schema.SchemaItem, ...]:
    """Return the items on SQLite, nothing elsewhere: MariaDB has no foreign keys on partitions."""
    return items if on_sqlite() else ()
