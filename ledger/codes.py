"""Codes: which of them can stand in a URL or be told apart, and those of countries (ISO 3166-1).

A code that names a record is a part of the address of its page and its route.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_STEPS = (".", "..")
"""What every client takes out of an address before it asks (RFC 3986, 5.2.4), escaped or not."""


def unreachable(code: str) -> str | None:
    """Return why what has this code could not be asked for by a URL; None: it can be.

    A slash parts an address, escaped as ``%2F`` too: servers and what stands before them read it as one.
    All else can be escaped.
    """
    if "/" in code:
        return "has a slash, and a code is one part of an address"
    if code in _STEPS:
        return "is a step of an address, so that nothing can be found by it"
    return None


def blank_around(text: str) -> str | None:
    """Return what is wrong with a name that begins or ends with a blank; None: it does not.

    Nobody sees it, and MariaDB passes over one at the end when it compares.
    """
    return None if text == text.strip() else f"begins or ends with a blank, {text!r}; take it out"


_NEAR_MISSES = {"UK": "GB", "EL": "GR"}
"""Codes that are in use elsewhere for a country that has another one here."""


@cache
def country_codes() -> frozenset[str]:
    """Return the assigned two-letter codes: the first column of ``iso3166.tab`` of tzdata."""
    table = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text(encoding="utf-8")
    return frozenset(line[:2] for line in table.splitlines() if line and not line.startswith("#"))


def wrong_country(code: str) -> str | None:
    """Return what is wrong with a code in capital letters; None when it is a country's."""
    if code in country_codes():
        return None
    near = _NEAR_MISSES.get(code)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"{code!r} is no country's code (ISO 3166-1, two letters){hint}"
