"""Rows that two columns name, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger.db import bulk
from ledger.models.types import Hex

Pair = tuple[InstrumentedAttribute[Any], InstrumentedAttribute[Any]]
_PER_QUERY = 2_000
_NO_TEXT = "CAST(NULL AS CHAR(66) CHARACTER SET ascii) COLLATE ascii_bin"


def take(
    session: Session,
    pair: Pair,
    value: InstrumentedAttribute[Any],
    keys: Sequence[tuple[Any, Any]],
) -> dict[tuple[Any, Any], Any]:
    """Delete the rows whose two columns are one of the keys; return a third column of them, by key."""
    if not keys:
        return {}
    if session.get_bind().dialect.name == "sqlite":
        listed = func.json_each(msgspec.json.encode(keys).decode()).table_valued("value").c.value
        pairs = select(func.json_extract(listed, "$[0]"), func.json_extract(listed, "$[1]"))
        here = tuple_(*pair).in_(pairs)
        found = {
            (row[0], row[1]): row[2] for row in session.execute(select(*pair, value).where(here))
        }
        if found:
            gone = delete(pair[0].class_).where(here)
            session.execute(gone.execution_options(synchronize_session=False))
        return found
    found = {}
    connection = session.connection()
    for start in range(0, len(keys), _PER_QUERY):
        join = _joined(pair, keys[start : start + _PER_QUERY])
        asked = ", ".join(f"t.`{column.key}`" for column in (*pair, value))
        rows = connection.exec_driver_sql(f"SELECT {asked} {join}").all()
        if rows:
            connection.exec_driver_sql(f"DELETE t {join}")
        found.update(((first, second), third) for first, second, third in rows)
    return found


def _joined(
    pair: Pair,
    keys: Sequence[tuple[Any, Any]],
) -> str:
    """Return ``FROM`` the keys, joined to their rows: MariaDB looks for pairs in a list fifteen times as long.

    The texts have the column's character set, without which no index would serve.
    """
    first, second = pair
    names = ", ".join(
        f"{_NO_TEXT if isinstance(column.type, Hex) else 'NULL'} `{column.key}`" for column in pair
    )
    marks = ["_ascii" if isinstance(column.type, Hex) else "" for column in pair]
    rows = ", ".join(
        f"({marks[0]}{bulk.literal(one, 'mysql')}, {marks[1]}{bulk.literal(other, 'mysql')})"
        for one, other in keys
    )
    return (
        f"FROM (SELECT {names} WHERE 0 UNION ALL VALUES {rows}) ready "
        f"STRAIGHT_JOIN {first.class_.__tablename__} t "
        f"ON t.`{first.key}` = ready.`{first.key}` AND t.`{second.key}` = ready.`{second.key}`"
    ).replace("%", "%%")
