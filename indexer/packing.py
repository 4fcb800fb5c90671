"""A range on its way from one process to another: by column, and the arguments of single events as their JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from indexer.creditlog import CreditLog
from indexer.events import BY_COLUMN, Columns, Events, Logged
from indexer.reading import Read
from indexer.window import Window
from ledger.chain.addresses.sighted import Sighting
from ledger.chain.contracts import credit_events, settlement_events
from ledger.chain.contracts.events import DecodedEvent
from ledger.chain.contracts.plain_event import PlainEvent
from ledger.chain.node.records import BlockHeader, LogRecord
from ledger.chain.sending.included import Included

_INTEGER_END = 2**64
"""MessagePack's integers end before it."""


class _Arguments(msgspec.Struct, array_like=True, gc=False):
    """Arguments of events of one kind, by column; long numbers are text."""

    columns: dict[str, list[Any]]
    long: list[str]
    """Columns of numbers that are text."""


class _Events(msgspec.Struct, array_like=True, gc=False):
    """Events without what can be found again: what single ones say is JSON among the texts."""

    logged: Logged
    many: list[_Arguments]
    plain: bytes
    """The arguments of single events without a struct of their own, as a list of JSON: in the texts, a number of theirs
    may be text."""
    records: list[str | None]
    """Of single events, as are the next two."""
    block_hashes: list[str]
    tx_indexes: list[int]


class _Seen(msgspec.Struct, array_like=True, gc=False):
    """A sighting; its event by its place among the single ones."""

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
    length: int


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
    window, events = read.window, read.window.events
    places = {id(event): place for place, event in enumerate(events.singles)} if read.seen else {}
    seen = [
        _Seen(places[id(item.event)], item.address, item.kind, item.code_hash) for item in read.seen
    ]
    return _encoder.encode(
        _Range(window.headers, window.transactions, _columns(events), read.log, seen, read.length)
    )


def _columns(events: Events) -> _Events:
    singles = events.singles
    plain = [event.args.values for event in singles if type(event.args) is PlainEvent]
    return _Events(
        events.logged,
        [_short(columns) for columns in events.many],
        msgspec.json.encode(plain),
        [event.record for event in singles],
        [event.log.block_hash for event in singles],
        [event.log.tx_index for event in singles],
    )


def _short(events: Columns) -> _Arguments:
    """Return arguments with numbers that MessagePack takes: whoever moves nothing may move it of any batch."""
    long = [
        name
        for name, values in events.arguments.items()
        if type(values[0]) is int and not 0 <= min(values) <= max(values) < _INTEGER_END
    ]
    return _Arguments(
        {
            name: list(map(str, values)) if name in long else list(values)
            for name, values in events.arguments.items()
        },
        long,
    )


def unpacked(content: bytes) -> Read:
    """Return the range that was packed."""
    found = _decoder.decode(content)
    events = _events(found.events)
    seen = [
        Sighting(events.singles[item.event], item.address, item.kind, item.code_hash)
        for item in found.seen
    ]
    return Read(Window(found.headers, found.transactions, events), found.log, seen, found.length)


def _events(found: _Events) -> Events:
    logged, arguments = found.logged, iter(found.many)
    alone: list[int] = []
    many = []
    for kind, places in zip(logged.kinds, logged.places(), strict=True):
        if kind[:2] not in BY_COLUMN:
            alone += places
            continue
        given = next(arguments)
        for long in given.long:
            given.columns[long] = list(map(int, given.columns[long]))
        many.append(logged.columns(kind, places, given.columns))
    return Events(logged, list(_singles(found, sorted(alone))), many)


def _singles(found: _Events, places: Sequence[int]) -> Iterator[DecodedEvent]:
    logged = found.logged
    plain = map(PlainEvent, _plain.decode(found.plain))
    given = zip(places, found.records, found.block_hashes, found.tx_indexes, strict=True)
    for place, record, block_hash, tx_index in given:
        contract, name, address = logged.kinds[logged.of_kind[place]]
        decode = _arguments.get(name)
        log = LogRecord(
            address,
            (),
            "0x",
            logged.block_numbers[place],
            block_hash,
            logged.tx_hashes[place],
            tx_index,
            logged.log_indexes[place],
        )
        args = next(plain) if decode is None else decode(logged.texts[place])
        yield DecodedEvent(contract, name, args, log, record)
