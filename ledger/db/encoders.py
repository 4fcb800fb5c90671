"""Values of a column as the database stores them: checked by the rules of its type, a whole column at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import JSON, BigInteger, Boolean, Column, Enum, Integer, String

from ledger.db import bulk
from ledger.jsontext import json_texts
from ledger.models.types import (
    SQLITE_INTEGER_DIGITS,
    ExactDecimal,
    Hex,
    UtcDateTime,
    ValueRefused,
    Varchar,
)

Encode = Callable[[Sequence[Any]], Sequence[bulk.Plain]]
_INTEGERS = {True: 2**63, False: 2**31}
"""What a column of whole numbers ends before, by whether it is a wide one."""
_HEX_DIGITS = b"0123456789abcdef"


def encoder(column: Column[Any], dialect: str) -> Encode:
    """Return what checks and encodes the values of a column.

    It raises ``ValueRefused`` for one that does not fit, and names the column: of a range nobody could tell which.
    """
    encode = _encoder_of(column.type, dialect)

    def checked(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        if None not in values:
            return encode(values)
        if not column.nullable:
            raise ValueRefused("it takes no null")
        there = iter(encode([value for value in values if value is not None]))
        return [None if value is None else next(there) for value in values]

    def named(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        try:
            return checked(values)
        except ValueRefused as error:
            raise ValueRefused(f"{column.table.name}.{column.name}: {error.message}") from error

    return named


def _encoder_of(kind: Any, dialect: str) -> Encode:
    for types, make in _ENCODERS:
        if isinstance(kind, types):
            return make(kind, dialect)
    raise TypeError(f"no encoder for {kind!r}")


def _hex_encoder(kind: Hex, _dialect: str) -> Encode:
    length, prefix = kind.length, kind.prefix.encode()
    no_digits = prefix.translate(None, _HEX_DIGITS)
    each = cast("Callable[[str, Any], str]", kind.process_bind_param)

    def encode(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        try:
            each_once = set(values)  # a transaction stands in several rows, an account in many
            if {length}.issuperset(map(len, each_once)):
                # As one text: the prefix is where it should be, and all the rest are digits.
                text = "".join(each_once).encode()
                count = len(each_once)
                if text.translate(None, _HEX_DIGITS) == no_digits * count and all(
                    text[place::length] == prefix[place : place + 1] * count
                    for place in range(len(prefix))
                ):
                    return values
        except (TypeError, UnicodeEncodeError):  # something that is no such text is among them
            pass
        return [each(value, None) for value in values]

    return encode


def _text_encoder(kind: Varchar, _dialect: str) -> Encode:
    each = cast("Callable[[str, Any], str]", kind.process_bind_param)

    def encode(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        if {str}.issuperset(map(type, values)) and max(map(len, values), default=0) <= kind.length:
            return values
        return [each(value, None) for value in values]

    return encode


def _decimal_encoder(kind: ExactDecimal, dialect: str) -> Encode:
    end = 10**kind.precision
    as_text = dialect != "sqlite" or kind.precision > SQLITE_INTEGER_DIGITS

    def encode(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        whole = kind.scale == 0 and {int}.issuperset(map(type, values))
        if whole and (not values or -end < min(values) <= max(values) < end):
            return list(map(str, values)) if as_text else values
        exact = [kind.exact(value) for value in values]
        if not as_text:
            return [int(value.scaleb(kind.scale)) for value in exact]
        return [format(value, "f") for value in exact]

    return encode


def _integer_encoder(kind: Integer, _dialect: str) -> Encode:
    end = _INTEGERS[isinstance(kind, BigInteger)]

    def encode(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        if values and not -end <= min(values) <= max(values) < end:
            beyond = next(value for value in values if not -end <= value < end)
            raise ValueRefused(f"{beyond} does not fit a whole number of {end.bit_length()} bits")
        return values

    return encode


def _choice_encoder(kind: Enum, _dialect: str) -> Encode:
    known = {member: member.value for member in cast("type[StrEnum]", kind.enum_class)}

    def encode(values: Sequence[Any]) -> Sequence[bulk.Plain]:
        try:
            return [known[value] for value in values]
        except KeyError as error:
            raise ValueRefused(f"{error.args[0]!r} is none of {list(known.values())}") from error

    return encode


def _times(values: Sequence[Any]) -> Sequence[bulk.Plain]:
    # By identity: that of a block is one object, and to compare times costs more than to write one.
    places = list(map(id, values))
    texts: dict[int, str] = {}
    for place, value in dict(zip(places, values, strict=True)).items():
        if not isinstance(value, datetime) or value.utcoffset() is None:
            raise ValueRefused(f"a time must carry its zone, found {value!r}")
        naive = value.astimezone(UTC).replace(tzinfo=None)
        texts[place] = naive.isoformat(" ", "microseconds")
    return list(map(texts.__getitem__, places))


def _truths(values: Sequence[Any]) -> Sequence[bulk.Plain]:
    if not {bool}.issuperset(map(type, values)):
        raise ValueRefused("it takes true and false")
    return list(map(int, values))


def _same(values: Sequence[Any]) -> Sequence[bulk.Plain]:
    return values


_ENCODERS: tuple[tuple[type[Any], Callable[[Any, str], Encode]], ...] = (
    (Hex, _hex_encoder),
    (Varchar, _text_encoder),
    (ExactDecimal, _decimal_encoder),
    (UtcDateTime, lambda _kind, _dialect: _times),
    (JSON, lambda _kind, _dialect: json_texts),
    (Enum, _choice_encoder),
    (Boolean, lambda _kind, _dialect: _truths),
    (Integer, _integer_encoder),
    (String, lambda _kind, _dialect: _same),
)
"""What encodes the values of a type; the first that fits. ``Enum`` is a ``String``."""
