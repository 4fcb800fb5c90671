"""Random changes of a bundle, and the judgement of what is left.

A mutant is one change of one value, or of the text itself. Whatever it is, a verifier refuses it with its
one error, or it says no more than the bundle that it came from.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

from ledger.bundles import BuiltBundle
from ledger.proofs.verifier import ProofError, Trusted, verify


def mutants(text: str, chance: random.Random) -> Iterator[str]:
    """Yield texts without end, each one random change away from a bundle."""
    document = json.loads(text)
    places: list[tuple[Any, Any]] = []
    stack: list[Any] = [document]
    while stack:
        item = stack.pop()
        keys = list(item) if isinstance(item, dict) else list(range(len(item)))
        places += [(item, key) for key in keys]
        stack += [item[key] for key in keys if isinstance(item[key], (dict, list))]
    while True:
        if chance.random() < 0.2:
            yield _text_changed(text, chance)
            continue
        holder, key = chance.choice(places)
        old = holder[key]
        holder[key] = _changed(old, chance)
        yield json.dumps(document)
        holder[key] = old


_ODD = [None, True, False, 1.5, -1, 2**70, "", "0x", "0x0", "\ud800", "1e3", [], {}, [[]], [None]]
_SIGNS = '0123456789abcdefx"\\,:[]{} \n-+.eE\u0000\u00a0é'


def _changed(value: Any, chance: random.Random) -> Any:
    likely = _likely(value, chance)
    if likely and chance.random() < 0.8:
        return chance.choice(likely)
    return chance.choice([other for other in _ODD if other is not value])


def _likely(value: Any, chance: random.Random) -> list[Any]:
    """Return changes that keep the value's kind, so that they come further than its reader."""
    if isinstance(value, str) and value.startswith("0x") and len(value) > 4:
        place = chance.randrange(2, len(value))
        digit = chance.choice([sign for sign in "0123456789abcdef" if sign != value[place]])
        flipped = value[:place] + digit + value[place + 1 :]
        return [flipped, flipped, flipped, value[:-2], value + "00"]
    if isinstance(value, str) and value:
        place = chance.randrange(len(value))
        return [value[:place] + "7" + value[place:], value[:place] + value[place + 1 :]]
    if isinstance(value, list) and value:
        turned = value[::-1] if len(value) > 1 else []
        return [value[1:], value[:-1], [*value, value[0]], turned]
    if isinstance(value, int):
        return [value + 1, max(0, value - 1), value * 2 + 1]
    return []


def _text_changed(text: str, chance: random.Random) -> str:
    place, sign = chance.randrange(len(text)), chance.choice(_SIGNS)
    more = chance.randrange(1, 40)
    return chance.choice(
        [
            text[:place] + sign + text[place:],
            text[:place] + sign + text[place + 1 :],
            text[:place] + text[place + more :],
            text[:place] + text[place : place + more] + text[place:],
            text[:place],
        ]
    )


# ------------------------------------------------------------------------ judgement


def judge(text: str, trusted: Trusted) -> dict[str, Any]:
    """Return what the verifier says, in the words in which the page's verifier answers too."""
    try:
        verdict = verify(text, trusted)
    except ProofError as error:
        message = str(error)
        assert error.check and message.startswith(error.check) and message.isprintable(), message
        return {"valid": False, "check": error.check, "held": [list(each) for each in error.done]}
    held = [list(each) for each in verdict.checks]
    return {"valid": True, "held": held, "not_proven": list(verdict.not_proven)}


def says_no_more(text: str, built: BuiltBundle) -> str:
    """Return why a mutant that was accepted is no forgery; ``AssertionError`` when it is one.

    It is the same document in another spelling, or leaves out a part, or names fewer serials or the same
    readings in another order.
    """
    mutant, real = json.loads(text), json.loads(built.text)
    if mutant == real:
        return "the same document, with other blanks or escapes"
    (part,) = (name for name in real if mutant[name] != real[name])
    if (
        part in ("creation", "serials", "manifest", "registered", "readings")
        and mutant[part] is None
    ):
        return f"without its {part}"
    if part == "serials":
        held = verify(text, built.trusted).facts["serials"]
        full = verify(built.text, built.trusted).facts
        inside = full.get("retired", {"first": 1, "last": full["batch"]["issued_kg"]})
        assert inside["first"] <= held["first"] <= held["last"] <= inside["last"]
        retired = full["batch"]["retired_kg"]
        assert held["state"] == ("retired" if held["last"] <= retired else "held")
        return "other serials, of the same retirement or as held as these"
    assert part == "readings", part
    one, other = (document["readings"] for document in (mutant, real))
    rows = [
        sorted([each["meters"][row[0]], *row[1:]] for row in each["rows"]) for each in (one, other)
    ]
    assert rows[0] == rows[1] and (one["proofs"] is None) == (other["proofs"] is None)
    return "the same readings in another order"
