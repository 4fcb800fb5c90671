"""A bundle as it is written: one JSON document of one shape (``docs/proof-format.md``)."""

import json
from typing import Any

from ledger.proofs.verifier.errors import ProofError, require

FIRST, FORMAT = "truetonne-bundle/1", "truetonne-bundle/2"
"""Both are read; the first has no ``registered``, and is the same but for that."""

# A shape is a range of whole numbers, or a number of bytes; str, bytes or int: text, any bytes, a
# number written as text; a list of one shape, a tuple of several, an object; or (None, shape): or null.
_NODES, _PLACE, _SECONDS, _U8 = [bytes], range(2**16), range(2**64), range(2**8)
_ROW = (_PLACE, _SECONDS, _SECONDS, _U8, _PLACE, int, _U8, str)
"""Meter (its place in the list), start, end, kind, quality, digits, scale, text."""
_EVENT = {"kind": str, "block": _PLACE, "index": range(2**32), "log": range(2**32)}
_BUNDLE = {
    "format": str,
    "chain_id": range(2**63),
    "contract": 20,
    "batch_id": int,
    "serials": (None, (range(2**63), range(2**63))),
    "header": bytes,
    "account": _NODES,
    "creation": (None, {"salt": 32, "init_code_hash": 32}),
    "storage": dict.fromkeys(("admin", "batch", "counters", "deficit", "head"), _NODES),
    "ancestors": [{"header": bytes, "anchor": _PLACE, "account": _NODES, "slot": _NODES}],
    "events": [_EVENT | {"transaction": _NODES, "receipt": _NODES}],
    "manifest": (None, str),
    "registered": (None, {"project": _NODES, "site": _NODES}),
    "readings": (None, {"meters": [str], "rows": [_ROW], "proofs": (None, [[32]])}),
}


def parse_bundle(text: str) -> dict[str, Any]:
    """Return a bundle, its bytes and numbers read and nothing believed yet."""
    raw = parse_json(text)
    stated = json.dumps(raw.get("format") if isinstance(raw, dict) else None)[:40]
    known = f"this verifier reads {FIRST} and {FORMAT}, and the file says {stated}"
    is_first = stated == json.dumps(FIRST)
    require(is_first or stated == json.dumps(FORMAT), f"{known}: take the verifier of its version")
    shape = {key: _BUNDLE[key] for key in _BUNDLE if not (is_first and key == "registered")}
    bundle: dict[str, Any] = {"registered": None} | _read(shape, raw, "bundle")
    ancestors, events, readings = (bundle[name] for name in ("ancestors", "events", "readings"))
    kinds = [each["kind"] for each in events]
    require(kinds in (["issued"], ["issued", "retired"]), "the events are not issued, then retired")
    used = {each["block"] for each in events} | {each["anchor"] for each in ancestors} | {0}
    fits = all(each["anchor"] <= at for at, each in enumerate(ancestors))
    fits = fits and used == set(range(len(ancestors) + 1))
    require(fits, "an ancestor leads nowhere, or a block is not in the bundle")
    named = bundle["registered"] is None or bundle["manifest"] is not None
    require(named, "project and site are there, and no manifest that names them")
    if readings is not None:
        meters, rows, proofs = map(readings.get, ("meters", "rows", "proofs"))
        fits = {row[0] for row in rows} == {*range(len(meters))} and len({*meters}) == len(meters)
        fits = fits and rows and (proofs is None or len(proofs) == len(rows))
        require(fits, "meters, rows and proofs of the readings do not belong together")
    return bundle


def parse_json(text: str) -> Any:
    """Return what a JSON text says; its numbers are whole, and no key stands twice.

    How deep a bundle is, its shape says; of the text of a manifest see ``too_deep``.
    """
    hooks: dict[str, Any] = dict.fromkeys(("parse_int", "parse_float", "parse_constant"), _number)
    try:
        return json.loads(text, object_pairs_hook=_once, **hooks)
    except (ValueError, RecursionError) as error:
        raise ProofError(f"not JSON as it is written here: {str(error)[:80]}") from None


def too_deep(value: Any, left: int = 100) -> bool:
    """Return whether values are nested deeper than is read here, whatever reads them."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left < 0 or any(too_deep(part, left - 1) for part in parts)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    require(len(dict(pairs)) == len(pairs), "not JSON as it is written here: a key stands twice")
    return dict(pairs)


def _number(text: str) -> int:
    whole = text.removeprefix("-").isdecimal() and len(text) <= 100 and str(int(text)) == text
    if not whole:
        raise ValueError(f"{text[:20]} is not a whole number in its one spelling")
    return int(text)


def _read(shape: Any, raw: Any, where: str) -> Any:
    """Return what a value of a shape means."""
    wrong = f"{where} is not what the format wants there"
    if isinstance(shape, tuple) and shape[0] is None:
        return None if raw is None else _read(shape[1], raw, where)
    if isinstance(shape, dict):
        require(isinstance(raw, dict) and raw.keys() == shape.keys(), wrong)
        return {name: _read(shape[name], raw[name], f"{where}.{name}") for name in shape}
    if isinstance(shape, list | tuple):
        shapes = shape * len(raw) if isinstance(shape, list) and isinstance(raw, list) else shape
        require(isinstance(raw, list) and len(raw) == len(shapes), wrong)
        return [_read(shapes[at], item, f"{where}[{at}]") for at, item in enumerate(raw)]
    if isinstance(shape, range):
        require(type(raw) is int and raw in shape, wrong)  # True is an int too, and no number here
        return raw
    require(isinstance(raw, str), wrong)
    try:  # what was read is written again, and has to give the same text
        if shape is str:
            return raw.encode().decode()
        value: Any = int(raw) if shape is int else bytes.fromhex(raw[2:])
    except ValueError:
        raise ProofError(wrong) from None
    if shape is int:
        require(str(value) == raw and -(2**255) <= value < 2**255, wrong)
    else:
        require("0x" + value.hex() == raw and shape in (bytes, len(value)), wrong)
    return value
