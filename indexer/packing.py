"""A range on its way from one process to another: by column, and the arguments of events once, as their JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import msgspec

from indexer.creditlog import CreditLog
from indexer.reading import Read
from indexer.window import Window
from ledger.chain.addresses.sighted import Sighting
from ledger.chain.contracts import credit_events, settlement_events
from ledger.chain.contracts.events import DecodedEvent
from ledger.chain.contracts.plain_event import PlainEvent
from ledger.chain.node.records import BlockHeader, LogRecord
from ledger.chain.sending.included import Included

_Kind = tuple[str, str, str]
"""Contract, name and address of an event."""


class _Events(msgspec.Struct, array_like=True, gc=False):
    """Events by column, without what only their decoding needed: topics and data of their logs."""

    kinds: list[_Kind]
    of_kind: list[int]
    """The place of each event's kind in ``kinds``."""
    texts: list[str]
    plain: bytes
    """The arguments of those that have no struct of their own, as a list of JSON: a number of theirs may be text
    in ``texts``."""
    records: list[str | None]
    block_numbers: list[int]
    block_hashes: list[str]
    tx_hashes: list[str]
    tx_indexes: list[int]
    log_indexes: list[int]


class _Seen(msgspec.Struct, array_like=True, gc=False):
    """A sighting; its event by its place in the range."""

    event: int
    address: str
    kind: str
    code_hash: str


class _Range(msgspec.Struct, array_like=True, gc=False):
    """A range that was read."""

    headers: tuple[BlockHeader, ...]
    transactions: tuple[Included, ...]
    events: _Events
    log: CreditLog
    seen: list[_Seen]
    bytes_max: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Range)
_plain = msgspec.json.Decoder(list[dict[str, Any]])
_arguments = {
    kind.__name__: msgspec.json.Decoder(kind, strict=False).decode  # long numbers are text
    for kind in (*credit_events.EVENTS, *settlement_events.EVENTS)
}
"""How the JSON of an event becomes its struct, by the event's name."""


def packed(read: Read) -> bytes:
    """Return a range as bytes."""
    window = read.window
    places = {id(event): place for place, event in enumerate(window.events)} if read.seen else {}
    seen = [
        _Seen(places[id(item.event)], item.address, item.kind, item.code_hash) for item in read.seen
    ]
    events = _columns(window)
    return _encoder.encode(
        _Range(window.headers, window.transactions, events, read.log, seen, read.bytes_max)
    )


def _columns(window: Window) -> _Events:
    events = window.events
    logs = [event.log for event in events]
    names = [
        (event.contract, event.name, log.address) for event, log in zip(events, logs, strict=True)
    ]
    kinds = {kind: place for place, kind in enumerate(dict.fromkeys(names))}
    plain = [event.args.values for event in events if type(event.args) is PlainEvent]
    return _Events(
        list(kinds),
        [kinds[name] for name in names],
        list(window.texts),
        msgspec.json.encode(plain),
        [event.record for event in events],
        [log.block_number for log in logs],
        [log.block_hash for log in logs],
        [log.tx_hash for log in logs],
        [log.tx_index for log in logs],
        [log.log_index for log in logs],
    )


def unpacked(content: bytes) -> Read:
    """Return the range that was packed."""
    found = _decoder.decode(content)
    events = tuple(_events(found.events))
    window = Window(found.headers, found.transactions, events, tuple(found.events.texts))
    seen = [
        Sighting(events[item.event], item.address, item.kind, item.code_hash) for item in found.seen
    ]
    return Read(window, found.log, seen, found.bytes_max)


def _events(found: _Events) -> Iterator[DecodedEvent]:
    def column(values: Sequence[Any]) -> Iterator[Any]:
        return map(values.__getitem__, found.of_kind)

    plain = map(PlainEvent, _plain.decode(found.plain))
    decoders = [_arguments.get(name, lambda _: next(plain)) for _, name, _ in found.kinds]
    logs = map(
        LogRecord,
        column([address for _, _, address in found.kinds]),
        repeat(()),
        repeat("0x"),
        found.block_numbers,
        found.block_hashes,
        found.tx_hashes,
        found.tx_indexes,
        found.log_indexes,
        repeat(False),
    )
    return map(
        DecodedEvent,
        column([contract for contract, _, _ in found.kinds]),
        column([name for _, name, _ in found.kinds]),
        [decode(text) for decode, text in zip(column(decoders), found.texts, strict=True)],
        logs,
        found.records,
    )
