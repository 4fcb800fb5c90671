"""A bundle as it is written: one JSON document, of one shape, with nothing in it that is not read.

The format is described in ``docs/proof-format.md``. Each reader below takes a value and its place, and
returns what it means, or raises ``ProofError``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from ledger.proofs.verifier.errors import ProofError

FORMAT = "truetonne-bundle/1"
SLOTS = ("admin", "batch", "counters", "deficit", "head")
"""The slots of the contract that a bundle proves."""
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*", re.ASCII)
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,77}", re.ASCII)
Reader = Callable[[Any, str], Any]


def parse_bundle(text: str) -> dict[str, Any]:
    """Return a bundle from its JSON text; nothing of it is believed yet.

    Raises
    ------
    ProofError
        It is not JSON, or not exactly of the format's shape.
    """
    hooks: dict[str, Any] = {"parse_int": _integer, "parse_float": _odd, "parse_constant": _odd}
    try:
        raw = json.loads(text, object_pairs_hook=_once, **hooks)
    except (ValueError, RecursionError) as error:
        raise ProofError("format", f"the bundle is not JSON: {str(error)[:100]}") from None
    bundle: dict[str, Any] = _BUNDLE(raw, "bundle")
    readings = bundle["readings"]
    if readings is not None:
        rows, proofs = readings["rows"], readings["proofs"]
        if not rows or (proofs is not None and len(proofs) != len(rows)):
            _wrong("readings.proofs", "one for each row, and null when the rows are all there are")
        if {row[0] for row in rows} != set(range(len(readings["meters"]))):
            _wrong("readings.meters", "the list of those that the rows name")
    return bundle


def _exactly(wanted: str) -> Reader:
    return lambda raw, where: raw if raw == wanted else _wrong(where, f'"{wanted}"')


def _whole(end: int) -> Reader:
    def read(raw: Any, where: str) -> int:
        if type(raw) is not int or not 0 <= raw < end:  # True is an int, and no number here
            _wrong(where, f"a whole number under {end}")
        return raw

    return read


def _big(first: int, end: int) -> Reader:
    def read(raw: Any, where: str) -> int:
        if not isinstance(raw, str) or not _INTEGER.fullmatch(raw) or not first <= int(raw) < end:
            _wrong(where, 'a whole number as text, such as "12"')
        return int(raw)

    return read


def _bytes(length: int | None = None) -> Reader:
    def read(raw: Any, where: str) -> bytes:
        if not isinstance(raw, str) or not _HEX.fullmatch(raw):
            _wrong(where, "lower-case hexadecimal text with 0x")
        if length is not None and len(raw) != 2 + 2 * length:
            _wrong(where, f"{length} bytes")
        return bytes.fromhex(raw[2:])

    return read


def _text(raw: Any, where: str) -> str:
    if not isinstance(raw, str) or any("\ud800" <= sign <= "\udfff" for sign in raw):
        _wrong(where, "text")
    return raw


def _list(read: Reader) -> Reader:
    def read_list(raw: Any, where: str) -> list[Any]:
        if not isinstance(raw, list):
            _wrong(where, "a list")
        return [read(item, f"{where}[{at}]") for at, item in enumerate(raw)]

    return read_list


def _tuple(*parts: Reader) -> Reader:
    def read(raw: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(raw, list) or len(raw) != len(parts):
            _wrong(where, f"a list of {len(parts)}")
        return tuple(part(item, where) for part, item in zip(parts, raw, strict=True))

    return read


def _object(shape: dict[str, Reader]) -> Reader:
    def read(raw: Any, where: str) -> dict[str, Any]:
        if not isinstance(raw, dict) or raw.keys() != shape.keys():
            _wrong(where, f"an object with {', '.join(sorted(shape))} and nothing else")
        return {name: part(raw[name], f"{where}.{name}") for name, part in shape.items()}

    return read


def _optional(read: Reader) -> Reader:
    return lambda raw, where: None if raw is None else read(raw, where)


def _wrong(where: str, wanted: str) -> NoReturn:
    raise ProofError("format", f"{where} is not {wanted}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _integer(text: str) -> int:
    return int(text) if _INTEGER.fullmatch(text) else _odd(text)


def _odd(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not written as a whole number is here")


_NODES = _list(_bytes())
_PLACE = _whole(2**16)
_SECONDS = _whole(2**64)
_ROW = _tuple(
    *(_PLACE, _SECONDS, _SECONDS, _whole(2**8), _PLACE),
    *(_big(-(2**255), 2**255), _whole(2**8), _text),
)
"""Meter (its place in the list), start, end, kind, quality, digits, scale, text."""
_ANCESTOR = _object({"header": _bytes(), "anchor": _PLACE, "account": _NODES, "slot": _NODES})
_EVENT = {"kind": _text, "block": _PLACE, "index": _whole(2**32), "log": _whole(2**32)}
_BUNDLE = _object(
    {
        "format": _exactly(FORMAT),
        "chain_id": _whole(2**63),
        "contract": _bytes(20),
        "batch_id": _big(0, 2**256),
        "serials": _optional(_tuple(_whole(2**63), _whole(2**63))),
        "header": _bytes(),
        "account": _NODES,
        "creation": _optional(_object({"salt": _bytes(32), "init_code_hash": _bytes(32)})),
        "storage": _object(dict.fromkeys(SLOTS, _NODES)),
        "ancestors": _list(_ANCESTOR),
        "events": _list(_object(_EVENT | {"transaction": _NODES, "receipt": _NODES})),
        "manifest": _optional(_text),
        "readings": _optional(
            _object(
                {
                    "meters": _list(_text),
                    "rows": _list(_ROW),
                    "proofs": _optional(_list(_list(_bytes(32)))),
                }
            )
        ),
    }
)
