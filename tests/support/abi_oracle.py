"""Events and calls decoded by eth_abi, which web3.py uses: what the generated decoders are held against."""

import re
from collections.abc import Mapping
from typing import Any

from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.layout import canonical_type
from ledger.chain.node.records import LogRecord


class Refused(Exception):
    """Not what an encoder would have written."""


def decode_event(contract: str, log: LogRecord) -> tuple[str, dict[str, Any], str | None]:
    """Return name, values and record of a log; ``Refused`` when encoding them again gives other bytes."""
    for item in artifact(contract).abi:
        if item["type"] == "event" and log.topics and _topic(item) == log.topics[0]:
            break
    else:
        raise Refused("unknown topic")
    indexed = [part for part in item["inputs"] if part["indexed"]]
    plain = [part for part in item["inputs"] if not part["indexed"]]
    if len(log.topics) != 1 + len(indexed):
        raise Refused("topics")
    from_topics = iter(
        [
            _exact([part], bytes.fromhex(topic[2:]))[0]
            for part, topic in zip(indexed, log.topics[1:], strict=True)
        ]
    )
    from_data = iter(_exact(plain, bytes.fromhex(log.data[2:])))
    raws = [next(from_topics if part["indexed"] else from_data) for part in item["inputs"]]
    values = {
        _snake(part["name"]): _plain(part, raw)
        for part, raw in zip(item["inputs"], raws, strict=True)
    }
    record = None
    if [part["name"] for part in item["inputs"][-2:]] == ["seq", "head"]:
        types = ["bytes32", *map(_wire_type, item["inputs"][:-2])]
        encoded = abi_encode(types, [bytes.fromhex(log.topics[0][2:]), *raws[:-2]])
        record = "0x" + keccak(encoded).hex()
    return item["name"], values, record


def _exact(parts: list[dict[str, Any]], data: bytes) -> tuple[Any, ...]:
    """Decode bytes, text as its bytes; refuse what the encoder would have written otherwise."""
    types = [_wire_type(part) for part in parts]
    try:
        values = abi_decode(types, data)
    except Exception as error:
        raise Refused(repr(error)) from error
    if abi_encode(types, values) != data:
        raise Refused("encoded otherwise")
    return values


def _topic(item: Mapping[str, Any]) -> str:
    types = ",".join(canonical_type(part) for part in item["inputs"])
    return "0x" + keccak(text=f"{item['name']}({types})").hex()


def _wire_type(part: Mapping[str, Any]) -> str:
    return canonical_type(part).replace("string", "bytes")


def _plain(part: Mapping[str, Any], raw: Any) -> Any:
    kind = str(part["type"])
    if kind.endswith("]"):
        inner = {**part, "type": kind[: kind.rindex("[")]}
        return [_plain(inner, each) for each in raw]
    if kind == "tuple":
        return {
            _snake(each["name"]): _plain(each, value)
            for each, value in zip(part["components"], raw, strict=True)
        }
    if isinstance(raw, bytes):
        if kind == "string":
            return raw.decode("utf-8", errors="backslashreplace")
        return _country(raw) if kind == "bytes2" else "0x" + raw.hex()
    return raw.lower() if kind == "address" else raw


def _country(raw: bytes) -> str:
    text = raw.rstrip(b"\0")
    if not text or (text.isascii() and text.decode().isalnum()):
        return text.decode()
    return "0x" + raw.hex()


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: "_" + match[1].lower(), name)
