"""Pages by keyset: an opaque cursor says where the last page ended, and ``Link`` where to go on.

A cursor is bound to the filters and the order that it was made with, so that a page never answers
another question than the first one did. New rows never shift a page.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from operator import gt, lt
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, or_
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger.clock import time_text
from ledger.errors import BadInput

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
_CURSOR_LENGTH_MAX = 200
_ID_MAX = 2**63 - 1
CURSOR_SECONDS_MAX = 253_370_764_800
"""1 January 9999 in seconds since 1970: what lies a day beyond it is a date still."""

Row = TypeVar("Row")
Query = TypeVar("Query", bound=Select[*tuple[Any, ...]])


class Order(StrEnum):
    """Direction of a list: by the order in which the rows were written."""

    DESC = "desc"
    ASC = "asc"


class PageParameters(BaseModel):
    """What every list takes, besides its own filters."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="Rows of one page.")
    order: Order = Field(Order.DESC, description="desc: newest first; asc: oldest first.")
    cursor: str | None = Field(
        None,
        max_length=_CURSOR_LENGTH_MAX,
        description="Where to go on: `next_cursor` of the page before.",
    )

    _marked: str | None = PrivateAttr(None)

    def filters(self) -> dict[str, Any]:
        """Return the filters as they were given, as JSON can hold them."""
        return self.model_dump(
            mode="json", by_alias=True, exclude_none=True, exclude={"limit", "order", "cursor"}
        )

    def after_id(self) -> int | None:
        """Return the id of the last row seen, or None at the beginning.

        Raises
        ------
        BadInput
            If the cursor is not one of ours, or was made for other filters.
        """
        after = self.after_key(1)
        return None if after is None else after[0]

    def after_key(self, length: int, first_max: int = _ID_MAX) -> tuple[int, ...] | None:
        """Return the numbers that place the last row seen, or None at the beginning.

        Parameters
        ----------
        length
            How many numbers place a row of this list.
        first_max
            The largest that the first of them may be: a list in order of time says which times there are.

        Raises
        ------
        BadInput
            If the cursor is not one of ours, or was made for other filters.
        """
        if self.cursor is None:
            return None
        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            mark, *last = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, TypeError):
            raise _bad_cursor("is not a cursor of this service") from None
        if mark != self._mark():
            raise _bad_cursor("was made for other filters or another order; start without it")
        whole = all(type(number) is int and 0 <= number <= _ID_MAX for number in last)
        if len(last) != length or not whole or last[0] > first_max:
            raise _bad_cursor("is not a cursor of this service")
        return tuple(last)

    def cursor_after(self, *last: int) -> str:
        """Return the cursor of the page after the row that these numbers place."""
        text = json.dumps([self._mark(), *last], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _mark(self) -> str:
        if self._marked is None:
            asked = json.dumps(
                [type(self).__name__, self.order.value, self.filters()], sort_keys=True
            )
            self._marked = hashlib.sha256(asked.encode()).hexdigest()[:12]
        return self._marked


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of rows, and the cursor of the next one (None: this is the last)."""

    rows: Sequence[Row]
    next_cursor: str | None


def matching(query: Query, *wanted: tuple[Any, object]) -> Query:
    """Return a query of the rows in which each column has the value that is asked for; None: any."""
    return query.where(*(column == value for column, value in wanted if value is not None))


def between(query: Query, column: Any, start: datetime | None, before: datetime | None) -> Query:
    """Return a query of the rows whose column lies from ``start`` on and below ``before``; None: without bound.

    Raises
    ------
    BadInput
        If the end is not after the start: an empty list would look as if nothing had been.
    """
    if start is not None and before is not None and start >= before:
        raise BadInput(
            f"the period from {time_text(start)} to {time_text(before)} is empty: "
            "the end is exclusive and comes later",
            code="empty-period",
        )
    if start is not None:
        query = query.where(column >= start)
    return query if before is None else query.where(column < before)


def paged(query: Query, parameters: PageParameters, row_id: InstrumentedAttribute[int]) -> Query:
    """Return the query of one page, which asks for one row more than the page holds.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    after = parameters.after_id()
    if after is not None:
        newest_first = parameters.order is Order.DESC
        query = query.where(row_id < after if newest_first else row_id > after)
    return in_order(query, parameters, row_id).limit(parameters.limit + 1)


def in_order(query: Query, parameters: PageParameters, *columns: SQLColumnExpression[Any]) -> Query:
    """Return a query in the order of the list, by these columns."""
    newest_first = parameters.order is Order.DESC
    return query.order_by(*(each.desc() if newest_first else each.asc() for each in columns))


def behind(columns: Sequence[Any], place: Sequence[Any], order: Order) -> ColumnElement[bool]:
    """Return whether a row comes after a place in the list: the first column in which it differs decides."""
    after = lt if order is Order.DESC else gt
    steps = list(zip(columns, place, strict=True))
    return or_(
        *(
            and_(*(same == value for same, value in steps[:number]), after(*step))
            for number, step in enumerate(steps)
        )
    )


def as_written(query: Query) -> Query:
    """Return a query whose tables MariaDB reads in the order in which it names them: the list's own one first.

    It learns how many rows of a table go with one of another when it opens the table, and may take them for one long
    after. Then it begins with a small table, reads all that goes with it, and sorts that for a page.
    """
    for name in ("mysql", "mariadb"):  # as the database's address calls it
        query = query.prefix_with("STRAIGHT_JOIN", dialect=name)
    return query


def fitting(sizes: Sequence[int], most: int) -> int:
    """Return how many rows of a page, from its first on, are no larger together than ``most``; one at least."""
    sums = accumulate(sizes)
    return max(1, sum(1 for size in sums if size <= most))


def found_by_id(
    session: Session,
    ids: Select[int],
    rows: Query,
    parameters: PageParameters,
    row_id: InstrumentedAttribute[int],
) -> Sequence[Any]:
    """Return the rows of one page, one more than it holds: their numbers are sought first, and sorted alone.

    For filters that an index finds in another order than that of the page: otherwise each row that they leave is
    read with all that is joined to it, and sorted, before the page is cut off.

    Parameters
    ----------
    ids
        Query of ``row_id``, with all filters.
    rows
        Query of the rows, which needs none.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    found = session.scalars(paged(ids, parameters, row_id)).all()
    return session.execute(in_order(rows.where(row_id.in_(found)), parameters, row_id)).all()


def page_of(parameters: PageParameters, found: Sequence[Row], ids: Sequence[int]) -> Page[Row]:
    """Return the page from what a query found: up to ``limit + 1`` rows and their ids, in order."""
    limit = parameters.limit
    more = len(found) > limit
    return Page(found[:limit], parameters.cursor_after(ids[limit - 1]) if more else None)


def link_header(path: str, parameters: PageParameters, next_cursor: str | None) -> str:
    """Return the ``Link`` header (RFC 8288): the first page, and the next where there is one."""
    query: dict[str, Any] = {
        **_words(parameters.filters()),
        "limit": parameters.limit,
        "order": parameters.order.value,
    }
    links = [f'<{path}?{urlencode(query)}>; rel="first"']
    if next_cursor is not None:
        links.append(f'<{path}?{urlencode({**query, "cursor": next_cursor})}>; rel="next"')
    return ", ".join(links)


def _words(filters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: ("true" if value else "false") if isinstance(value, bool) else value
        for name, value in filters.items()
    }


def _bad_cursor(message: str) -> BadInput:
    errors = [{"place": "query", "name": "cursor", "message": message}]
    return BadInput(f"cursor: {message}", code="bad-cursor", details={"errors": errors})
