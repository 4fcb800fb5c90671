"""The events of a range, by column: what comes by the thousand is no object of its own on its way to the books.

A column of a thousand values costs as much as a few objects: to make, to send to another process, to check, to store.
So events of the kinds in ``BY_COLUMN`` are their columns once a range was checked. All others are few, and stay
``DecodedEvent``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from ledger.chain.contracts.events import CREDIT, DecodedEvent, texts_of

Kind = tuple[str, str, str]
"""Contract, name and address of an event."""

BY_COLUMN: dict[tuple[str, str], tuple[str, ...]] = {
    (CREDIT, "TransferSingle"): ("from_", "to", "id", "value"),
    (CREDIT, "Retired"): (
        "key",
        "batch_id",
        "holder",
        "retirement_id",
        "first_serial",
        "amount",
        "retired_total",
        "details.beneficiary",
        "details.reason",
        "details.country",
        "details.consumption_start",
        "details.consumption_end",
        "details.document_hash",
    ),
}
"""Kinds of events, by contract and name, and the arguments that their handler asks for."""


class Columns(msgspec.Struct, frozen=True, gc=False):
    """Events of one kind, in the order of the chain, by column; ``events["amount"]`` are values of an argument."""

    contract: str
    name: str
    block_numbers: Sequence[int]
    log_indexes: Sequence[int]
    tx_hashes: Sequence[str]
    arguments: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        """Return how many events they are."""
        return len(self.block_numbers)

    def __getitem__(self, name: str) -> Sequence[Any]:
        """Return the values of an argument that ``BY_COLUMN`` names."""
        return self.arguments[name]


class Logged(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the row of each event of a range says, in the order of the chain, by column."""

    kinds: Sequence[Kind]
    of_kind: Sequence[int]
    """The place of each event's kind in ``kinds``."""
    block_numbers: Sequence[int]
    log_indexes: Sequence[int]
    tx_hashes: Sequence[str]
    texts: Sequence[str]
    """The arguments of each as JSON."""
    seqs: Sequence[int | None]
    """The number of each in the credit log; None outside of it."""
    heads: Sequence[str | None]
    """The hash that ends the credit log there."""

    def places(self) -> list[list[int]]:
        """Return where the events of each kind stand."""
        found: list[list[int]] = [[] for _ in self.kinds]
        for place, kind in enumerate(self.of_kind):
            found[kind].append(place)
        return found

    def columns(
        self, kind: Kind, places: Sequence[int], arguments: Mapping[str, Sequence[Any]]
    ) -> Columns:
        """Return the events of a kind, with what they say."""
        contract, name, _ = kind
        return Columns(
            contract,
            name,
            picked(self.block_numbers, places),
            picked(self.log_indexes, places),
            picked(self.tx_hashes, places),
            arguments,
        )


class Events(msgspec.Struct, frozen=True, gc=False):
    """All events of a range: what the row of each says, and what handlers ask for."""

    logged: Logged
    singles: Sequence[DecodedEvent]
    """Those that do not come by column, in order."""
    many: Sequence[Columns]
    """Those of the kinds in ``BY_COLUMN``."""

    def __len__(self) -> int:
        """Return how many events they are."""
        return len(self.logged.of_kind)


def by_column(events: Sequence[DecodedEvent]) -> Events:
    """Return the events of a range, which are in order, by column."""
    logs = [event.log for event in events]
    names = [
        (event.contract, event.name, log.address) for event, log in zip(events, logs, strict=True)
    ]
    kinds = {kind: place for place, kind in enumerate(dict.fromkeys(names))}
    in_log = [event.args if event.record is not None else None for event in events]
    logged = Logged(
        list(kinds),
        [kinds[name] for name in names],
        [log.block_number for log in logs],
        [log.log_index for log in logs],
        [log.tx_hash for log in logs],
        list(texts_of(events)),
        [None if entry is None else entry.seq for entry in in_log],
        [None if entry is None else entry.head for entry in in_log],
    )
    singles: list[int] = []
    many = []
    for kind, places in zip(logged.kinds, logged.places(), strict=True):
        names_of = BY_COLUMN.get(kind[:2])
        if names_of is None:
            singles += places
            continue
        said = [events[place].args for place in places]
        arguments = {name: list(map(attrgetter(name), said)) for name in names_of}
        many.append(logged.columns(kind, places, arguments))
    return Events(logged, picked(events, sorted(singles)), many)


def picked(values: Sequence[Any], places: Sequence[int]) -> list[Any]:
    """Return the values at some places."""
    return list(map(values.__getitem__, places))
