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


def rebuild_table(
    name: str, *items: sa.schema.SchemaItem, new: dict[str, str], **more: Any
) -> None:
    """Give a table new columns, or other values to a column, by making it anew.

    The old table is put aside first and deleted last, when its rows are in the new one: a step that
    stopped half-way goes on from there.

    Parameters
    ----------
    name
        The table; nothing refers to it.
    items
        Columns and constraints, all of them.
    new
        The new columns, and the SQL of what they are in the rows that are there; ``{old}`` stands for
        the old table.
    more
        As for ``create_table``.
    """
    aside = f"{name}_aside"
    link = op.get_bind()
    there = set(sa.inspect(link).get_table_names())
    if aside not in there:
        present = {column["name"] for column in sa.inspect(link).get_columns(name)}
        if present >= set(new):
            return
        op.rename_table(name, aside)
    if on_sqlite():  # there, names of indexes are the database's
        for index in sa.inspect(link).get_indexes(aside):
            op.execute(f"DROP INDEX {index['name']}")
    create_table(name, *items, **more)
    kept = [column["name"] for column in sa.inspect(link).get_columns(aside)]
    quote = link.dialect.identifier_preparer.quote  # some are words of SQL, such as key
    columns = ", ".join(quote(column) for column in (*kept, *new))
    values = [f"{aside}.{quote(column)}" for column in kept]
    values += [value.format(old=aside) for value in new.values()]
    op.execute(f"DELETE FROM {name}")
    op.execute(f"INSERT INTO {name} ({columns}) SELECT {', '.join(values)} FROM {aside}")
    op.drop_table(aside)


def only_sqlite(*items: sa.schema.SchemaItem) -> tuple[sa.schema.SchemaItem, ...]:
    """Return the items on SQLite, nothing elsewhere: MariaDB has no foreign keys on partitions."""
    return items if on_sqlite() else ()


def append_only(table: str) -> None:
    """Refuse, by triggers, that rows of a table are changed or deleted."""
    message = f"{table} is append-only: write a new row with a reason"
    refusal = (
        f"SELECT RAISE(ABORT, '{message}');"
        if on_sqlite()
        else f"SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{message}';"
    )
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"FOR EACH ROW BEGIN {refusal} END"
        )
