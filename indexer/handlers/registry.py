"""From event to handler; the mirror refuses to start while an event of a known contract has none."""

from __future__ import annotations

from collections.abc import Callable

from indexer.rows import Rows
from ledger.chain.contracts.events import DecodedEvent, schemas
from ledger.errors import MirrorStopped

Handler = Callable[[DecodedEvent, Rows], None]

HANDLERS: dict[tuple[str, str], Handler] = {}
"""The handler of each event, by names of contract and event."""


def handles(contract: str, *events: str) -> Callable[[Handler], Handler]:
    """Register a function as the handler of events of a contract."""

    def register(handler: Handler) -> Handler:
        for event in events:
            if (contract, event) in HANDLERS:
                raise ValueError(f"{contract}.{event} has a handler already")
            HANDLERS[contract, event] = handler
        return handler

    return register


def missing(contract: str) -> list[str]:
    """Return the events in a contract's ABI, inherited ones included, that no handler takes."""
    events = {schema.name for schema in schemas(contract).values()}
    return sorted(event for event in events if (contract, event) not in HANDLERS)


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


def apply(event: DecodedEvent, rows: Rows) -> None:
    """Hand an event to its handler."""
    HANDLERS[event.contract, event.name](event, rows)
