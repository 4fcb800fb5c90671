"""Numbers, times and names as people read them; and names of strangers, so that they can do no harm."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any
from urllib.parse import quote, urlencode

from api.pages.words import Words
from ledger.codes import unreachable
from ledger.proofs.verifier.checks import NO_INK
from ledger.reductions.reporting import shown
from ledger.units import currency_of_units

NAME_LENGTH_MAX = 280
"""Beyond so many characters a name is folded away behind its beginning."""
MARKS_MAX = 2
"""Marks on one letter: Vietnamese has two."""


def number(value: Any) -> str:
    """Return a number with its thousands apart, and every decimal that it has."""
    if value is None:
        return "–"
    found = value if isinstance(value, (int, Decimal)) else Decimal(str(value))
    return f"{found:,f}" if isinstance(found, Decimal) else f"{found:,}"


def tonnes(kg: Any) -> str:
    """Return kilograms as tonnes, exactly."""
    return number(Decimal(int(kg)).scaleb(-3))


def trimmed(value: Any) -> str:
    """Return a decimal number with its thousands apart, without zeros at its end."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def measured(value: Any, unit: str, t: Words) -> str:
    """Return a value of a device with its unit, those of power and energy in the reader's language."""
    word = t(f"unit.{unit.lower()}_alone") if unit in ("kW", "kWh") else cut(visible(unit), 20)
    return f"{trimmed(value)} {word}".rstrip()


def currency(units: int, per_cent: int) -> str:
    """Return base units of the settlement currency, of which ``per_cent`` make a cent, as money."""
    return number(currency_of_units(units, per_cent))


def exact(value: Any) -> str:
    """Return a fraction, such as ``"7/3"``, with its thousands apart; cut to nine decimals, as its command shows it."""
    return trimmed(shown(Fraction(value)))


def percent(share: Any) -> str:
    """Return a share in percent, exactly."""
    return trimmed(Decimal(str(share)).scaleb(2))


def moment(at: datetime | None) -> str:
    """Return a time in UTC to the second."""
    return "–" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def legal(at: datetime | None, where: tzinfo) -> str:
    """Return a time to the second as a zone has it, with its offset."""
    if at is None:
        return "–"
    try:
        at = at.astimezone(where)
    except OverflowError:  # hours of the year 9999 are no dates elsewhere
        at = at.astimezone(UTC)
    return at.strftime("%Y-%m-%d %H:%M:%S %z")


def day(at: datetime | date | None) -> str:
    """Return the day of a time in UTC, or a date."""
    if at is None:
        return "–"
    return (at.astimezone(UTC) if isinstance(at, datetime) else at).strftime("%Y-%m-%d")


def last_day(end: date) -> str:
    """Return the last day of a time, from its end, which is exclusive."""
    return (end - timedelta(days=1)).isoformat()


def span(start: datetime | None, end: datetime | None, where: tzinfo = UTC) -> str:
    """Return the first and the last day of a time in a zone; its end is exclusive, and either may not be stated."""
    days = ["…" if start is None else f"{start.astimezone(where):%Y-%m-%d}"]
    if end is not None:
        last = end - timedelta(seconds=1)
        last = last if start is None else max(start, last)  # a time without length is of one day
        days.append(f"{last.astimezone(where):%Y-%m-%d}")
    return " – ".join(days)


def machine_time(at: datetime) -> str:
    """Return a time as HTML's ``datetime`` wants it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def short(text: str | None) -> str:
    """Return a hash or an address by its beginning and its end."""
    if not text:
        return "–"
    return f"{text[:8]}…{text[-6:]}" if len(text) > 20 else text


def visible(text: str) -> str:
    """Return somebody's text on one line; a sign that would not show as itself, by its number.

    Controls, marks that turn the direction of writing, unassigned and private code points, blanks other than
    the space, and letters without ink become ``<202e>``, as in the verifier's words; so does whatever is piled on
    one letter beyond two marks.
    """
    shown, marks = [], 0
    for sign in text:
        marks = marks + 1 if unicodedata.category(sign)[0] == "M" else 0
        plain = sign.isprintable() and sign not in NO_INK and marks <= MARKS_MAX
        shown.append(sign if plain else f"<{ord(sign):x}>")
    return "".join(shown)


def cells_of(text: str) -> int:
    """Return how wide a text is, in halves of a Chinese character."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def cut(text: str, cells: int) -> str:
    """Return the beginning of a text that is no wider than so many cells, with a mark where it was cut."""
    if cells_of(text) <= cells:
        return text
    room = cells - 1
    kept = []
    for sign in text:
        room -= cells_of(sign)
        if room < 0:
            break
        kept.append(sign)
    return "".join(kept) + "…"


def credit_page(name: str, row: int | None = None, batch: int | None = None) -> str:
    """Return the address of the page of a credit, which has the site's code in its name.

    Others register sites by what codes they like. Where one cannot stand in an address, the row's number does; where
    that is not at hand, all credits of the batch, or a search for the name.
    """
    if unreachable(name) is None:
        return f"/credits/{quote(name, safe='')}"
    if row is not None:
        return f"/credits/{row}"
    found = {"q": name} if batch is None else {"batch_id": batch}
    return f"/{'search' if batch is None else 'credits'}?{urlencode(found)}"


def plain(value: Any) -> str:
    """Return a value of a JSON document as text: a text as it is, all else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
