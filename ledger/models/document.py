"""``docs/schema.md``, made from the metadata: what stands there is what the migrations build.

``python -m ledger.models.document > docs/schema.md`` writes it anew; a test fails on a difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Table, UniqueConstraint
from sqlalchemy.dialects import mysql

from ledger.models import SECTIONS, Base
from ledger.models.base import BEYOND, COMPLETES, CUSTOMER
from ledger.models.partitions import PARTITIONED

_MARIADB = mysql.dialect()

_HEAD = """\
# The schema

For whoever queries the database or writes a report on it: every table with its columns, keys and indexes. How to join
them, with a query for each usual question, is in [reports](reports.md). It is made from the models by
`python -m ledger.models.document`, and a test fails when it is not up to date.

The customer of this project laid down 41 tables: 33 of them with columns (*customer's design*), 8 in a diagram
alone (*completes the 41*). The others are the ledger's own (*beyond the 41*).

{counts}

Types are MariaDB's. On SQLite an INT or BIGINT is an INTEGER, a DECIMAL of up to 18 digits an INTEGER
without the point, a longer one text, a DATETIME(6) ISO text in UTC, an ENUM a VARCHAR with a CHECK,
MEDIUMTEXT text. Tables are InnoDB; text compares byte by byte (`utf8mb4_bin`), hashes and addresses are
ASCII. A JSON column is LONGTEXT with a check on MariaDB. Where a column has "integers as text", those are
text that floating point would spoil, beyond 2^53 either way; smaller ones are numbers.

Where the customer's design could not be built as written: `TIMESTAMP` is `DATETIME(6)`, always UTC;
`devices.type` is as long as the `device_types.type_name` that it refers to; `abi` and `bytecode` are
MEDIUMTEXT, since a contract's code does not fit TEXT; a contract's address is unique within its network;
`device_data` and `vpp_trading_records` are partitioned on MariaDB by ranges of the time itself, with the
time in the server's primary key. MariaDB has no foreign keys on partitioned tables, so triggers refuse
to delete a parent that has rows there, or to give it another number; SQLite has the foreign keys. Old
rows of `device_data` stand in an archive beside the database, see [retention.md](retention.md).
Every table is InnoDB, logs too; there is no MongoDB, and no session in a Redis
([decision 0116](decisions/0116-one-database-and-a-redis-for-answers.md)).
Tables whose writer may insert alone are append-only by trigger. In the eight tables that
the design shows in its diagram alone, lengths, precisions, nullability and states are ours.

Who writes a table is named as the module that does. `ledger.park` takes what `truetonne park import` brings,
kind by kind ([park](park.md#kinds)), and `truetonne site apply`: such a table is empty until somebody brings it
something. `ledger.readings` writes what `truetonne import` brings, `indexer` what the chain says.

A column `device_id`, `vpp_id` or `resource_id` is a code in the parent and the parent's row number in
all other tables: join on the parent's `id`, never with USING or NATURAL.
"""


def render() -> str:
    """Return the page as Markdown."""
    lines = [_HEAD.format(counts=_counts())]
    for title, modules in SECTIONS:
        lines.append(f"## {title}\n")
        for table in tables_of([module.__name__ for module in modules]):
            lines += _table(table)
    return "\n".join(lines).rstrip() + "\n"


def tables_of(modules: Sequence[str]) -> list[Table]:
    """Return the tables that the modules define: module by module, each in the order of definition."""
    place = {
        mapper.local_table: modules.index(mapper.class_.__module__)
        for mapper in Base.registry.mappers
        if mapper.class_.__module__ in modules and isinstance(mapper.local_table, Table)
    }
    return sorted(
        (table for table in Base.metadata.tables.values() if table in place), key=place.__getitem__
    )


def index_counts(table: Table) -> tuple[int, int, int, int]:
    """Return how many indexes a table has on MariaDB.

    Returns
    -------
    tuple of int
        Primary keys, unique keys, further indexes, and those that the server makes by itself for
        foreign keys without a fitting one.
    """
    unique = [item for item in table.constraints if isinstance(item, UniqueConstraint)]
    keys = [list(table.primary_key.columns), *(list(item.columns) for item in unique)]
    keys += [list(index.columns) for index in table.indexes]
    starts = [[column.name for column in columns] for columns in keys]
    implied = 0
    for item in table.constraints:
        if not isinstance(item, ForeignKeyConstraint) or _sqlite_only(item):
            continue
        wanted = list(item.column_keys)
        if not any(start[: len(wanted)] == wanted for start in starts):
            implied += 1
    return 1, len(unique), len(table.indexes), implied


def _counts() -> str:
    lines = [
        "| | tables | primary keys | unique keys | indexes | made by MariaDB for foreign keys | in all |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for origin in (CUSTOMER, COMPLETES, BEYOND, None):
        tables = [
            table
            for table in Base.metadata.tables.values()
            if origin in (None, table.info["origin"])
        ]
        sums = [sum(column) for column in zip(*map(index_counts, tables), strict=True)]
        cells = [origin or "**all**", len(tables), *sums, sum(sums)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _table(table: Table) -> Iterator[str]:
    yield f"### {table.name}\n"
    yield f"{table.comment} Origin: {table.info['origin']}. Writer: `{table.info['writer']}`{_changes(table)}.\n"
    if table.info["note"]:
        yield f"{table.info['note']}\n"
    yield "| column | type | null | key | |"
    yield "|---|---|---|---|---|"
    for column in table.columns:
        null = "yes" if column.nullable else "no"
        yield f"| {column.name} | {_type(column)} | {null} | {_key(table, column)} | {column.comment} |"
    yield ""
    notes = list(_notes(table))
    if notes:
        yield from notes
        yield ""


def _changes(table: Table) -> str:
    """Return what the writer does to rows, and what of it the API does, as the accounts of MariaDB may."""
    changes, api = table.info["changes"], table.info["api"]
    said = f" ({', '.join(changes)})" if changes else ""
    return said + (f", by the API too ({', '.join(api)})" if api else "")


def _notes(table: Table) -> Iterator[str]:
    for item in sorted(table.constraints, key=lambda item: str(item.name)):
        if isinstance(item, UniqueConstraint) and len(item.columns) > 1:
            yield f"- unique: {_names(list(item.columns))}"
        if isinstance(item, CheckConstraint) and item.name and not _of_type(item):
            yield f"- check: `{item.sqltext}`"
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        yield f"- index `{index.name}`: {_names(list(index.columns))}"
    for partitioning in PARTITIONED:
        if partitioning.table == table.name:
            length = "month" if partitioning.months == 1 else "year"
            yield (
                f"- MariaDB: primary key (id, {partitioning.column}), "
                f"a partition for each {length} of `{partitioning.column}`"
            )


def _key(table: Table, column: Column[object]) -> str:
    keys = ["PK"] if column.primary_key else []
    for item in table.constraints:  # a set, in no order
        if isinstance(item, UniqueConstraint) and list(item.columns) == [column]:
            keys.append("UK")
        if isinstance(item, ForeignKeyConstraint) and list(item.column_keys) == [column.name]:
            target = item.elements[0].target_fullname
            keys.append(f"FK {target}" + (" (SQLite)" if _sqlite_only(item) else ""))
    return ", ".join(sorted(keys, reverse=True))


def _type(column: Column[object]) -> str:
    text = column.type.compile(dialect=_MARIADB)
    text = text.replace(" CHARACTER SET ascii COLLATE ascii_bin", " ascii").replace(", ", ",")
    for ours, theirs in (("NUMERIC", "DECIMAL"), ("INTEGER", "INT"), ("BOOL", "BOOLEAN")):
        if text.partition("(")[0] == ours:
            text = theirs + text[len(ours) :]
    return text


def _names(columns: Sequence[Column[object]]) -> str:
    return ", ".join(f"`{column.name}`" for column in columns)


def _sqlite_only(item: ForeignKeyConstraint) -> bool:
    """Return whether the foreign key is left out on MariaDB."""
    return item._ddl_if is not None


def _of_type(item: CheckConstraint) -> bool:
    """Return whether the check belongs to a column's type (ENUM on SQLite)."""
    return bool(item._type_bound)


if __name__ == "__main__":
    print(render(), end="")
