"""Lists for a person: pages of the API's own queries, walked as far as was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ledger.errors import BadInput, NotFound
from ledger.units import counted

if TYPE_CHECKING:
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from api.finality import ChainView
    from api.pagination import PageParameters
    from ledger.park.kinds import Kind
    from ledger.settings import Settings

Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="At most so many; all without it. The oldest come first."),
]
Cursor = Annotated[
    str | None,
    typer.Option(
        "--cursor", metavar="TEXT", help="Go on where a list with --limit ended: its next cursor."
    ),
]
_SHOWN_LENGTH_MAX = 100
_LOOKED_THROUGH_MAX = 10_000
"""Most names among which a near one is looked for."""
Parameters = TypeVar("Parameters", bound="PageParameters")


@dataclass(frozen=True)
class Walked:
    """The rows of one list, the cursor that goes on (None: these were the last), and its finality."""

    items: list[dict[str, Any]]
    next_cursor: str | None
    about: dict[str, Any]

    def document(self, name: str) -> dict[str, Any]:
        """Return what ``--json`` prints, the rows under this name."""
        more = {"more": self.next_cursor is not None, "next_cursor": self.next_cursor}
        return {name: self.items, **more, **self.about}

    def summary(self, one: str) -> str:
        """Say how many rows there are, and how to see the next ones."""
        said = f"{counted(len(self.items), one)}; {_as_of(self.about)}"
        return said + (f"; there are more: --cursor {self.next_cursor}" if self.next_cursor else "")


def walk(
    settings: Settings,
    of: str,
    query: Callable[[Session, ChainView, Parameters], Any],
    kind: type[Parameters],
    filters: Mapping[str, Any],
    limit: int | None,
    cursor: str | None,
    options: Mapping[str, str] = MappingProxyType({}),
) -> Walked:
    """Return the rows of a list, oldest first.

    Parameters
    ----------
    of
        What is listed: it says by what names ``require_names`` looks.
    options
        The option of a filter, where it has another name.

    Raises
    ------
    BadInput
        If a filter or the cursor cannot be used.
    NotFound
        If a filter names what there is not.
    """
    from pydantic import ValidationError

    from api.pagination import LIMIT_MAX, Order
    from cli.books import reading

    named = {name: value for name, value in filters.items() if value is not None}
    items: list[dict[str, Any]] = []
    with reading(settings) as (session, view):
        require_names(session, of, named)
        while True:
            wanted = LIMIT_MAX if limit is None else min(limit - len(items), LIMIT_MAX)
            try:
                parameters = kind.model_validate(
                    {**named, "limit": wanted, "order": Order.ASC, "cursor": cursor}
                )
            except ValidationError as error:
                raise _wrong_option(error, options) from error
            page = query(session, view, parameters)
            items += [item.model_dump(mode="json") for item in page.items]
            cursor = page.next_cursor
            if cursor is None or (limit is not None and len(items) >= limit):
                break
        about = page.model_dump(mode="json", include={"as_of_block", "finality"})
    return Walked(items, cursor, about)


def require_names(session: Session, of: str, filters: Mapping[str, Any]) -> None:
    """Refuse a site, project, plant or market that does not exist: an empty list would look as if it had nothing.

    Raises
    ------
    NotFound
        With what may be meant.
    """
    from ledger.models import CreditSite, Project, VppDefinition
    from ledger.naming import site_named
    from ledger.settlement.outlook import require_market

    if of in ("credits", "retirements"):
        require_named(session, filters.get("site"), "project", Project.code, CreditSite.code)
    elif of == "trades":
        require_named(session, filters.get("vpp_code"), "plant", VppDefinition.vpp_id)
        require_market(session, filters.get("market"))
    elif of in ("emissions", "energy") and "site" in filters:
        site_named(session, filters["site"])


def require_named(
    session: Session, name: str | None, noun: str, *columns: InstrumentedAttribute[str]
) -> None:
    """Refuse a name that stands in none of the columns: an empty list would look as if all were well.

    Raises
    ------
    NotFound
        With what may be meant.
    """
    from sqlalchemy import select

    from ledger.naming import meant

    if name is None or any(
        session.scalar(select(column).where(column == name).limit(1)) is not None
        for column in columns
    ):
        return
    known = {
        text
        for column in columns
        for text in session.scalars(select(column).distinct().limit(_LOOKED_THROUGH_MAX))
        if text is not None
    }
    raise NotFound(f"there is no {noun} {name[:_SHOWN_LENGTH_MAX]!r} ({meant(name, known)})")


def require_parents(session: Session, kind: Kind, filters: Mapping[str, Any]) -> None:
    """Refuse filters by a parent that does not exist: an empty list would look as if it had nothing.

    Raises
    ------
    NotFound
        With what may be meant.
    """
    for name, value in filters.items():
        field = kind.field(name)
        if field.refers is not None:
            code = getattr(field.refers.model, field.refers.code)
            own = (getattr(kind.model, field.attribute),) if field.refers.by_code else ()
            require_named(session, value, field.refers.noun, code, *own)


def _as_of(about: dict[str, Any]) -> str:
    block = about["as_of_block"]
    if block is None:
        return "the mirror has not begun: `truetonne index run` begins it, or says that its cursor is gone"
    return f"as of block {block}"


def _wrong_option(error: Any, options: Mapping[str, str]) -> BadInput:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    return BadInput(
        f"--{options.get(name, name)}: {first['msg']}, found {first['input']!r}", code="usage"
    )
