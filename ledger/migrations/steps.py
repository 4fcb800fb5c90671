"""Steps of a migration that can be repeated after MariaDB stopped half-way through a revision."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from alembic import op


def on_sqlite() -> bool:
    """Return whether the migration runs on SQLite."""
    return bool(op.get_bind().dialect.name == "sqlite")


def primary_key(name: str) -> tuple[str, ...]:
    """Return the columns of a table's primary key."""
    return tuple(sa.inspect(op.get_bind()).get_pk_constraint(name)["constrained_columns"])


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
    name: str,
    *items: sa.schema.SchemaItem,
    new: dict[str, str],
    key: tuple[str, ...] = (),
    **more: Any,
) -> None:
    """Give a table new columns, other values to a column, or another primary key, by making it anew.

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
    key
        The columns of the new primary key, if it is another.
    more
        As for ``create_table``.
    """
    aside = f"{name}_aside"
    link = op.get_bind()
    there = set(sa.inspect(link).get_table_names())
    if aside not in there:
        present = {column["name"] for column in sa.inspect(link).get_columns(name)}
        if present >= set(new) and key in ((), primary_key(name)):
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


def add_column(
    table: str, column: sa.Column[Any], *, refers_to: tuple[str, str] | None = None
) -> None:
    """Add a column that may be null to a table that others refer to, unless it is there.

    Parameters
    ----------
    table
        The table.
    column
        Name, type and comment.
    refers_to
        Table and column that it refers to.
    """
    link = op.get_bind()
    seen = sa.inspect(link)
    if column.name not in {found["name"] for found in seen.get_columns(table)}:
        if refers_to is not None and on_sqlite():  # it takes a key with its column alone
            kind = column.type.compile(link.dialect)
            other, key = refers_to
            op.execute(
                f"ALTER TABLE {table} ADD COLUMN {column.name} {kind} "
                f"CONSTRAINT fk_{table}_{column.name} REFERENCES {other} ({key})"
            )
            return
        op.add_column(table, column)
    if refers_to is not None and not on_sqlite():
        other, key = refers_to
        there = {tuple(found["constrained_columns"]) for found in seen.get_foreign_keys(table)}
        if (column.name,) not in there:
            name = f"fk_{table}_{column.name}"
            op.create_foreign_key(name, table, other, [column.name], [key])


def add_choices(table: str, column: str, *values: str) -> None:
    """Let a column of choices that is never null hold more values, after those that it may hold.

    MariaDB widens the ENUM in place. On SQLite only the text of the table's CHECK and the declared
    length change and no row does, so the text is edited where it stands: the way that SQLite's page
    on ALTER TABLE gives for such changes.
    """
    link = op.get_bind()
    if not on_sqlite():
        (found,) = (item for item in sa.inspect(link).get_columns(table) if item["name"] == column)
        kind_there: Any = found["type"]
        there = list(kind_there.enums)
        new = [value for value in values if value not in there]
        if new:
            kind = ", ".join(f"'{value}'" for value in there + new)
            comment = (found["comment"] or "").replace("'", "''")
            op.execute(
                f"ALTER TABLE {table} MODIFY {column} ENUM({kind}) NOT NULL COMMENT '{comment}'"
            )
        return
    row = link.exec_driver_sql(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
    ).one()
    before = str(row[0])
    check = re.search(rf"CHECK \({column} IN \(([^)]*)\)\)", before)
    declared = re.search(rf"\b{column} VARCHAR\((\d+)\)", before)
    assert check is not None and declared is not None, f"{table}.{column} is no column of choices"
    there = re.findall(r"'([^']*)'", check[1])
    wanted = there + [value for value in values if value not in there]
    inside = ", ".join(f"'{value}'" for value in wanted)
    longest = max(int(declared[1]), *map(len, wanted))
    after = before.replace(check[0], f"CHECK ({column} IN ({inside}))")
    after = after.replace(declared[0], f"{column} VARCHAR({longest})")
    link.exec_driver_sql("PRAGMA writable_schema = ON")
    link.exec_driver_sql(
        "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?", (after, table)
    )
    version = link.exec_driver_sql("PRAGMA schema_version").scalar_one()
    link.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    link.exec_driver_sql("PRAGMA writable_schema = RESET")


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
