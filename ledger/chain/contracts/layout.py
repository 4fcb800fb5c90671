"""How ABI values are named and shown; shared by events, calls and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.jsontext import json_safe


def canonical_type(item: Mapping[str, Any]) -> str:
    """Return the type of an ABI item as signatures spell it: tuples become their parts."""
    kind = str(item["type"])
    if not kind.startswith("tuple"):
        return kind
    parts = ",".join(canonical_type(part) for part in item["components"])
    return f"({parts}){kind.removeprefix('tuple')}"


def json_value(item: Mapping[str, Any], value: Any) -> Any:
    """Return a decoded value as JSON can hold it without loss.

    Bytes and addresses become lower-case hexadecimal text, tuples become objects, and integers that
    a reader with floating-point numbers would spoil become decimal text.
    """
    kind = str(item["type"])
    if kind.endswith("]"):
        inner = {**item, "type": kind[: kind.rindex("[")]}
        return [json_value(inner, part) for part in value]
    if kind == "tuple":
        return {
            part["name"]: json_value(part, each)
            for part, each in zip(item["components"], value, strict=True)
        }
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if kind == "address":
        return str(value).lower()
    return json_safe(value)
