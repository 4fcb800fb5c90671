"""Logs of our contracts, decoded.

``decode`` takes a log and gives a ``DecodedEvent`` whose ``args`` is one of the dataclasses of
``credit_events`` and ``settlement_events``, or a ``PlainEvent`` for the events that we inherit and only
record (roles, pauses, approvals).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from ledger.chain import credit_events, settlement_events
from ledger.chain.abi import artifact
from ledger.chain.client import LogRecord
from ledger.chain.credit_events import (
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
from ledger.chain.layout import canonical_type
from ledger.chain.settlement_events import (
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
from ledger.errors import MirrorStopped

CREDIT = "CarbonCredit"
SETTLEMENT = "VppSettlement"
ZERO_ADDRESS = "0x" + "00" * 20
ZERO_HASH = "0x" + "00" * 32
_TYPES: dict[str, dict[str, type[Any]]] = {
    CREDIT: {cls.__name__: cls for cls in credit_events.EVENTS},
    SETTLEMENT: {cls.__name__: cls for cls in settlement_events.EVENTS},
}


@dataclass(frozen=True)
class PlainEvent:
    """An inherited event that is recorded and changes no row of ours."""

    values: Mapping[str, Any]


@dataclass(frozen=True)
class DecodedEvent:
    """A log of a known contract, decoded.

    ``values`` are the arguments by snake-case name as JSON can hold them (integers above 2^53 and
    all amounts stay Python integers); ``args`` is the dataclass.
    """

    contract: str
    name: str
    args: Any
    values: dict[str, Any]
    log: LogRecord
    record: str | None
    """Hash of everything before ``seq``; None for events outside the credit log."""


@dataclass(frozen=True)
class EventSchema:
    """How one event of one contract is laid out."""

    contract: str
    name: str
    topic: str
    inputs: tuple[dict[str, Any], ...]

    @property
    def in_credit_log(self) -> bool:
        """Whether the event is an entry of the credit contract's numbered log."""
        return [item["name"] for item in self.inputs[-2:]] == ["seq", "head"]


@cache
def schemas(contract: str) -> dict[str, EventSchema]:
    """Return the events of a contract by their first topic."""
    found = {}
    for item in artifact(contract).abi:
        if item["type"] != "event" or item.get("anonymous"):
            continue
        signature = f"{item['name']}({','.join(canonical_type(part) for part in item['inputs'])})"
        topic = "0x" + keccak(text=signature).hex()
        found[topic] = EventSchema(contract, item["name"], topic, tuple(item["inputs"]))
    return found


def decode(contract: str, log: LogRecord) -> DecodedEvent:
    """Decode a log of one of our contracts.

    Raises
    ------
    MirrorStopped
        If the log is of no event that the contract's ABI knows, or does not fit its layout:
        skipping it would leave a silent hole.
    """
    schema = schemas(contract).get(log.topics[0]) if log.topics else None
    if schema is None:
        raise MirrorStopped(_undecodable(contract, log, "unknown topic"))
    try:
        raws = _raw_values(schema, log)
    except Exception as error:
        raise MirrorStopped(_undecodable(contract, log, repr(error))) from error
    values = {
        _snake(item["name"]): _plain(item, raw)
        for item, raw in zip(schema.inputs, raws, strict=True)
    }
    record = None
    if schema.in_credit_log:
        types = ["bytes32"] + [_wire_type(item) for item in schema.inputs[:-2]]
        encoded = abi_encode(types, [bytes.fromhex(schema.topic[2:]), *raws[:-2]])
        record = "0x" + keccak(encoded).hex()
    return DecodedEvent(contract, schema.name, _typed(schema, values), values, log, record)


def next_head(head: str, seq: int, record: str) -> str:
    """Return the log head after an entry: keccak(abi.encode(head, seq, record))."""
    return (
        "0x"
        + keccak(
            abi_encode(
                ["bytes32", "uint64", "bytes32"],
                [bytes.fromhex(head[2:]), seq, bytes.fromhex(record[2:])],
            )
        ).hex()
    )


def _undecodable(contract: str, log: LogRecord, why: str) -> str:
    topic = log.topics[0] if log.topics else "no topic"
    return (
        f"a log of {contract} cannot be decoded ({why}): block {log.block_number}, transaction {log.tx_hash}, "
        f"log {log.log_index}, topic {topic}; the deployed contract is not the one this version knows"
    )


def _raw_values(schema: EventSchema, log: LogRecord) -> list[Any]:
    indexed = [item for item in schema.inputs if item["indexed"]]
    plain = [item for item in schema.inputs if not item["indexed"]]
    if len(indexed) != len(log.topics) - 1:
        raise ValueError(f"{len(log.topics) - 1} indexed values instead of {len(indexed)}")
    from_topics = [
        abi_decode([_wire_type(item)], bytes.fromhex(topic[2:]))[0]
        for item, topic in zip(indexed, log.topics[1:], strict=True)
    ]
    from_data = abi_decode([_wire_type(item) for item in plain], bytes.fromhex(log.data[2:]))
    topics, data = iter(from_topics), iter(from_data)
    return [next(topics if item["indexed"] else data) for item in schema.inputs]


def _wire_type(item: Mapping[str, Any]) -> str:
    """Return the type that an argument is decoded as: text as its bytes, which are laid out alike.

    A contract bounds the length of a text and not its content; bytes that are no UTF-8 must neither
    stop the mirror nor change the hash of the record.
    """
    return canonical_type(item).replace("string", "bytes")


def _plain(item: Mapping[str, Any], raw: Any) -> Any:
    kind = str(item["type"])
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [_plain(inner, part) for part in raw]
    if kind == "tuple":
        return {
            _snake(part["name"]): _plain(part, value)
            for part, value in zip(item["components"], raw, strict=True)
        }
    if isinstance(raw, bytes):
        if kind == "string":
            return raw.decode("utf-8", errors="backslashreplace")
        return _country(raw) if kind == "bytes2" else "0x" + raw.hex()
    return raw.lower() if kind == "address" else raw


def _country(raw: bytes) -> str:
    """Return an ISO 3166 code as text; empty when none was given; hexadecimal when it is no text."""
    text = raw.rstrip(b"\0")
    return (
        text.decode()
        if (text.isascii() and text.decode().isalnum()) or not text
        else "0x" + raw.hex()
    )


def _typed(schema: EventSchema, values: dict[str, Any]) -> Any:
    cls = _TYPES[schema.contract].get(schema.name)
    if cls is None:
        return PlainEvent(values)
    arguments = {}
    for item in schema.inputs:
        name = _snake(item["name"])
        value = values[name]
        if item["type"] == "tuple":
            struct = credit_events.STRUCTS[item["internalType"].rpartition(".")[2]]
            value = struct(**value)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            value = tuple(value)
        arguments["from_" if name == "from" else name] = value
    return cls(**arguments)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)


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
    "next_head",
    "schemas",
]
