"""From event to handler; the mirror refuses to start while an event of a known contract has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from indexer.events import BY_COLUMN, Columns, Events
from indexer.rows import Rows
from ledger.chain.contracts.events import DecodedEvent, schemas
from ledger.errors import MirrorStopped

Handler = Callable[[DecodedEvent, Rows], None]
HandlerOfMany = Callable[[Columns, Rows], None]
_H = TypeVar("_H")

HANDLERS: dict[tuple[str, str], Handler] = {}
"""The handlers of events that are taken one at a time, in order, by names of contract and event."""
HANDLERS_OF_MANY: dict[tuple[str, str], HandlerOfMany] = {}
"""The handlers of events that come by column, by the same names: each takes all of a contract's in a range."""


def handles(contract: str, *events: str) -> Callable[[Handler], Handler]:
    """Register a function as the handler of events of a contract, each of which it takes by itself."""
    return _registered(HANDLERS, contract, events)


def handles_many(contract: str, *events: str) -> Callable[[HandlerOfMany], HandlerOfMany]:
    """Register a function that takes all events of a name of a range at once, in order, after all single ones.

    It is for events that no other handler depends on. ``BY_COLUMN`` names them, and what of them is asked for.
    """
    return _registered(HANDLERS_OF_MANY, contract, events)


def _registered(
    handlers: dict[tuple[str, str], _H], contract: str, events: Sequence[str]
) -> Callable[[_H], _H]:
    def register(handler: _H) -> _H:
        for event in events:
            if (contract, event) in HANDLERS or (contract, event) in HANDLERS_OF_MANY:
                raise ValueError(f"{contract}.{event} has a handler already")
            comes_by_column = (contract, event) in BY_COLUMN
            if comes_by_column is not (handlers is HANDLERS_OF_MANY):
                how = "by column" if comes_by_column else "one at a time"
                raise ValueError(f"{contract}.{event} comes {how}, see indexer.events.BY_COLUMN")
            handlers[contract, event] = handler
        return handler

    return register


def missing(contract: str) -> list[str]:
    """Return the events in a contract's ABI, inherited ones included, that no handler takes."""
    events = {schema.name for schema in schemas(contract).values()}
    handled = HANDLERS.keys() | HANDLERS_OF_MANY.keys()
    return sorted(event for event in events if (contract, event) not in handled)


def require_complete(contracts: list[str]) -> None:
    """Check that every event of the contracts has a handler.

    Raises
    ------
    MirrorStopped
        If one has none: it would be skipped in silence.
    """
    lacking = [f"{contract}.{event}" for contract in contracts for event in missing(contract)]
    if lacking:
        raise MirrorStopped(
            f"no handler for {', '.join(lacking)}; the mirror would have holes, so it does not start"
        )


def apply(events: Events, rows: Rows) -> None:
    """Hand the events of a range to their handlers."""
    for event in events.singles:
        HANDLERS[event.contract, event.name](event, rows)
    for columns in events.many:
        HANDLERS_OF_MANY[columns.contract, columns.name](columns, rows)
