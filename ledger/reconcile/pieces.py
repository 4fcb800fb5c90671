"""Long tables, some thousand rows at a time: what is compared may be longer than memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, and_, select, true
from sqlalchemy.orm import InstrumentedAttribute, Session

ROWS = 2_000
"""Rows of a piece, more or less: those with one value of the column stay together."""
MANIFESTS = 50
"""Issuances at a time: the manifest of each may have a quarter of a megabyte."""
BATCHES = 20
"""Settlement batches at a time: each may have a thousand trades."""


def pieces(
    session: Session, column: InstrumentedAttribute[Any], rows: int = ROWS
) -> Iterator[ColumnElement[bool]]:
    """Yield conditions, in the order of a column that is never null, that hold for each row of its table once."""
    after: ColumnElement[bool] = true()
    while True:
        ends = select(column).where(after).order_by(column).offset(rows - 1).limit(1)
        last = session.scalars(ends).first()
        if last is None:
            yield after
            return
        yield and_(after, column <= last)
        after = column > last
