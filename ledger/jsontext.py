"""JSON that every reader takes exactly: integers that floating point would spoil are decimal text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

JSON_SAFE_INTEGER = 2**53
"""Readers that know only floating-point numbers hold integers exactly up to here."""
_encoder = msgspec.json.Encoder()
_DIGITS = bytes.maketrans(b"0123456789[,\n-", b"0000000000::::")
_LONG = b":0000000000000000"
"""Where a number of JSON may be 2^53 and more, once its digits are noughts."""

_ENDS = {sign: f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}


def one_line(text: str) -> str:
    """Return JSON that is one line to every reader: some take these signs in a text for the end of one, too."""
    if not text.isascii():
        # One after the other: a table of signs is looked up for each sign of a long text.
        for sign, escaped in _ENDS.items():
            text = text.replace(sign, escaped)
    return text


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON none of whose names stands twice: of readers, some go by the first, some by the last.

    Raises
    ------
    ValueError
        With the name that does.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands there twice")
    return found


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


def integers_as_text(value: Any) -> Any:
    """Return plain values with every integer as decimal text, small ones too: one name has one type."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    # A row's JSON is a dict that notes its changes.
    if isinstance(value, dict):
        return {name: integers_as_text(part) for name, part in value.items()}
    if isinstance(value, list):
        return [integers_as_text(part) for part in value]
    return value


def json_texts(values: Sequence[Any]) -> list[str]:
    """Return each of many plain values, or structs of them, as JSON without blanks; see ``json_safe``."""
    content = _encoder.encode_lines(values)
    texts = content.decode().split("\n")[:-1]
    for place in _with_long(content):
        plain = json_safe(msgspec.to_builtins(values[place]))
        texts[place] = _encoder.encode(plain).decode()
    return texts


def _with_long(content: bytes) -> Iterator[int]:
    """Yield which lines of JSON may have a number of 2^53 and more."""
    # A regular expression would take longer than all the rest.
    shape = (b"\n" + content).translate(_DIGITS)
    line = since = 0
    at = shape.find(_LONG)
    while at >= 0:
        line += content.count(b"\n", since, at)
        yield line
        since = content.find(b"\n", at)
        at = shape.find(_LONG, since)
