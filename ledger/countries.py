"""The country codes of ISO 3166-1, as the time zone database that is locked with us lists them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

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
