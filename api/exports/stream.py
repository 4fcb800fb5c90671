"""A list as the pieces of a file: page after page of one snapshot, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from api.exports.formats import Format, writer_of
from api.exports.lists import EXPORTS, Export
from api.finality import ChainView
from api.pagination import PageParameters

ROWS_AT_ONCE = 1_000
"""Rows that are read and written at once."""
Reading = Callable[[], AbstractContextManager[tuple[Session, ChainView]]]


@dataclass
class Counted:
    """How many rows were written so far."""

    rows: int = 0


def export_named(name: str) -> Export:
    """Return a list that can be had as a file.

    Raises
    ------
    KeyError
        If there is none.
    """
    return EXPORTS[name]


def pieces(
    reading: Reading,
    export: Export,
    parameters: PageParameters,
    form: Format,
    counted: Counted | None = None,
) -> Iterator[ChainView | bytes]:
    """Yield what the file is of, and then the file, piece by piece.

    The snapshot is opened before the first item comes, and closed when the iterator is.

    Parameters
    ----------
    reading
        Opens a read-only session, and how far the mirror has come in it.
    counted
        Is told how many rows there were.

    Raises
    ------
    TruetonneError
        As the query of a page; most of them before the first item comes.
    """
    with reading() as (session, view):
        pages = _pages(session, view, export, parameters)
        page = next(pages)
        writer = writer_of(form, export.columns, _about(view, export, parameters))
        yield view if page.as_of_block == view.as_of_block else view.at(page.as_of_block)
        while True:
            if counted is not None:
                counted.rows += len(page.items)
            piece = writer.rows(page.items)
            if piece:
                yield piece
            following = next(pages, None)
            if following is None:
                break
            page = following
        yield writer.end()


def _pages(
    session: Session, view: ChainView, export: Export, parameters: PageParameters
) -> Iterator[Any]:
    cursor = None
    while True:
        # Past the limit of what people may ask for: the rows are not held together.
        asked = parameters.model_copy(update={"limit": ROWS_AT_ONCE, "cursor": cursor})
        page = export.query(session, view, asked)
        yield page
        cursor = page.next_cursor
        session.expunge_all()
        if cursor is None:
            return


def _about(view: ChainView, export: Export, parameters: PageParameters) -> Mapping[str, str]:
    about = {
        "list": export.name,
        "network": view.network,
        "finality": view.rule,
    }
    blocks = {"as_of_block": view.as_of_block, "final_block": view.final_block}
    about |= {name: str(block) for name, block in blocks.items() if block is not None}
    asked = {f"filter.{name}": str(value) for name, value in parameters.filters().items()}
    if "filter.as_of_block" in asked:
        about["as_of_block"] = asked["filter.as_of_block"]
    return {**about, **asked}
