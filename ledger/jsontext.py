"""JSON that every reader takes exactly: integers that floating point would spoil are decimal text."""

from __future__ import annotations

import re
from typing import Any

import msgspec

JSON_SAFE_INTEGER = 2**53
"""Readers that know only floating-point numbers hold integers exactly up to here."""
_encoder = msgspec.json.Encoder()
_LONG_NUMBER = re.compile(r"[:,\[]-?[0-9]{16}")
"""Where a number of JSON may be 2^53 and more."""


def json_safe(value: Any) -> Any:
    """Return plain values with every integer that JSON readers would spoil as decimal text."""
    kind = type(value)
    if kind is str:
        return value
    if kind is int:
        return value if -JSON_SAFE_INTEGER <= value <= JSON_SAFE_INTEGER else str(value)
    if kind is dict:
        return {
            name: part if type(part) is str else json_safe(part) for name, part in value.items()
        }
    if kind is list or kind is tuple:
        return [json_safe(part) for part in value]
    return value


def json_text(value: Any) -> str:
    """Return plain values, or a struct of them, as JSON without blanks; see ``json_safe``."""
    text = _encoder.encode(value).decode()
    if _LONG_NUMBER.search(text):
        return _encoder.encode(json_safe(msgspec.to_builtins(value))).decode()
    return text
