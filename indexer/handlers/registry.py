"""From event to handler; the mirror refuses to start while an event of a known contract has none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from indexer.rows import Rows
from ledger.chain.contracts.events import DecodedEvent, schemas
from ledger.errors import MirrorStopped

Handler = Callable[[DecodedEvent, Rows], None]
HandlerOfMany = Callable[[Sequence[DecodedEvent], Rows], None]
_H = TypeVar("_H")

HANDLERS: dict[tuple[str, str], Handler] = {}
"""The handlers of events that are taken one at a time, in order, by names of contract and event."""
HANDLERS_OF_MANY: dict[tuple[str, str], HandlerOfMany] = {}
"""The handlers of events that come by the thousand, by the same names: each takes all of its events in a range."""


def handles(contract: str, *events: str) -> Callable[[Handler], Handler]:
    """Register a function as the handler of events of a contract, each of which it takes by itself."""
    return _registered(HANDLERS, contract, events)


def handles_many(contract: str, *events: str) -> Callable[[HandlerOfMany], HandlerOfMany]:
    """Register a function that takes all events of these names of a range at once, in order, after all others.

    So a column is made in one go, in half the time. It is for events that no other handler depends on.
    """
    return _registered(HANDLERS_OF_MANY, contract, events)


def _registered(
    handlers: dict[tuple[str, str], _H], contract: str, events: Sequence[str]
) -> Callable[[_H], _H]:
    def register(handler: _H) -> _H:
        for event in events:
            if (contract, event) in HANDLERS or (contract, event) in HANDLERS_OF_MANY:
                raise ValueError(f"{contract}.{event} has a handler already")
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


def apply(events: Iterable[DecodedEvent], rows: Rows) -> None:
    """Hand the events of a range to their handlers."""
    many: dict[HandlerOfMany, list[DecodedEvent]] = defaultdict(list)
    for event in events:
        name = event.contract, event.name
        of_many = HANDLERS_OF_MANY.get(name)
        if of_many is None:
            HANDLERS[name](event, rows)
        else:
            many[of_many].append(event)
    for handler, those in many.items():
        handler(those, rows)
