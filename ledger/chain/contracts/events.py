"""Logs of our contracts, decoded.

``decode`` takes a log and gives a ``DecodedEvent`` whose ``args`` is one of the structs of
``credit_events`` and ``settlement_events``, or a ``PlainEvent`` for the events that we inherit and only
record (roles, pauses, approvals). The decoders themselves are generated, see ``ledger.chain.contracts.decoders``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from tiny_keccak import keccak256

from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.credit_events import (
    Cancelled,
    Claim,
    ClassBufferChanged,
    ClassCapChanged,
    ClassRegistered,
    Invalidated,
    InvalidationDropped,
    InvalidationProposed,
    Issued,
    OverlapProven,
    ProjectRegistered,
    Reading,
    Replaced,
    Retired,
    RetirementDetails,
    SiteRegistered,
    StatusChanged,
    TransferBatch,
    TransferSingle,
)
from ledger.chain.contracts.decoders import EVENTS
from ledger.chain.contracts.decoders.words import Malformed, event_body
from ledger.chain.contracts.layout import canonical_type
from ledger.chain.contracts.plain_event import PlainEvent
from ledger.chain.contracts.settlement_events import (
    BatchCancelled,
    BatchCosigned,
    BatchFinalized,
    BatchProposed,
    CapsChanged,
    CreditsDeposited,
    CreditsWithdrawn,
    Deposited,
    DisputeResolved,
    FeeChanged,
    TradeDisputed,
    TradeSettled,
    Withdrawn,
)
from ledger.chain.node.records import LogRecord
from ledger.errors import MirrorStopped
from ledger.jsontext import json_texts

CREDIT = "CarbonCredit"
SETTLEMENT = "VppSettlement"
ZERO_ADDRESS = "0x" + "00" * 20
ZERO_HASH = "0x" + "00" * 32


class DecodedEvent(msgspec.Struct, frozen=True, gc=False):
    """A log of a known contract, decoded.

    ``args`` is the struct, or the ``PlainEvent``.
    """

    contract: str
    name: str
    args: Any
    log: LogRecord
    record: str | None
    """Hash of everything before ``seq``; None for events outside the credit log."""

    @property
    def values(self) -> dict[str, Any]:
        """The arguments by snake-case name, as plain values; integers stay integers."""
        found = msgspec.to_builtins(_said(self.args))
        return {name: list(part) if type(part) is tuple else part for name, part in found.items()}


@dataclass(frozen=True)
class EventSchema:
    """How one event of one contract is laid out."""

    contract: str
    name: str
    topic: str
    inputs: tuple[dict[str, Any], ...]

    @property
    def is_in_log(self) -> bool:
        """Whether it is an entry of the numbered, hash-chained log."""
        return [item["name"] for item in self.inputs[-2:]] == ["seq", "head"]


@cache
def schemas(contract: str) -> dict[str, EventSchema]:
    """Return the events of a contract by their first topic."""
    found = {}
    for item in artifact(contract).abi:
        if item["type"] != "event" or item.get("anonymous"):
            continue
        signature = f"{item['name']}({','.join(canonical_type(part) for part in item['inputs'])})"
        topic = _keccak(signature.encode())
        found[topic] = EventSchema(contract, item["name"], topic, tuple(item["inputs"]))
    return found


@cache
def names_in_log() -> tuple[str, ...]:
    """Return the events of the credit log: those that end in a number and a head."""
    return tuple(event.name for event in schemas(CREDIT).values() if event.is_in_log)


def _said(args: Any) -> Any:
    return args.values if type(args) is PlainEvent else args


def texts_of(events: Sequence[DecodedEvent]) -> tuple[str, ...]:
    """Return the arguments of events as JSON; integers that readers with floating point would spoil are text."""
    return tuple(json_texts([_said(event.args) for event in events]))


def decode(contract: str, log: LogRecord) -> DecodedEvent:
    """Decode a log of one of our contracts.

    Raises
    ------
    MirrorStopped
        If the log is of no event that the contract's ABI knows, or is not laid out as the contract's
        encoder does it: skipping it would leave a silent hole.
    """
    topics = log.topics
    known = EVENTS[contract]
    found = (known.get(topics[0]) or known.get(topics[0].lower())) if topics else None
    if found is None:
        raise MirrorStopped(_undecodable(contract, log, "unknown topic"))
    name, count, decoder = found
    try:
        if len(topics) != count:
            raise Malformed(f"{len(topics) - 1} indexed values instead of {count - 1}")
        args, preimage = decoder(event_body(topics, log.data))
    except ValueError as error:
        raise MirrorStopped(_undecodable(contract, log, str(error))) from error
    record = None if preimage is None else _keccak(preimage)
    return DecodedEvent(contract, name, args, log, record)


def next_head(head: str, seq: int, record: str) -> str:
    """Return the log head after an entry: keccak(abi.encode(head, seq, record))."""
    return _keccak(bytes.fromhex(head[2:]) + seq.to_bytes(32) + bytes.fromhex(record[2:]))


def _keccak(data: bytes) -> str:
    return f"0x{keccak256(data).hex()}"


def _undecodable(contract: str, log: LogRecord, why: str) -> str:
    topic = log.topics[0] if log.topics else "no topic"
    return (
        f"a log of {contract} cannot be decoded ({why}): block {log.block_number}, transaction {log.tx_hash}, "
        f"log {log.log_index}, topic {topic}; the deployed contract is not the one this version knows"
    )


__all__ = [
    "CREDIT",
    "SETTLEMENT",
    "ZERO_ADDRESS",
    "ZERO_HASH",
    "BatchCancelled",
    "BatchCosigned",
    "BatchFinalized",
    "BatchProposed",
    "Cancelled",
    "CapsChanged",
    "Claim",
    "ClassBufferChanged",
    "ClassCapChanged",
    "ClassRegistered",
    "CreditsDeposited",
    "CreditsWithdrawn",
    "DecodedEvent",
    "Deposited",
    "DisputeResolved",
    "EventSchema",
    "FeeChanged",
    "Invalidated",
    "InvalidationDropped",
    "InvalidationProposed",
    "Issued",
    "OverlapProven",
    "PlainEvent",
    "ProjectRegistered",
    "Reading",
    "Replaced",
    "Retired",
    "RetirementDetails",
    "SiteRegistered",
    "StatusChanged",
    "TradeDisputed",
    "TradeSettled",
    "TransferBatch",
    "TransferSingle",
    "Withdrawn",
    "decode",
    "names_in_log",
    "next_head",
    "schemas",
    "texts_of",
]
