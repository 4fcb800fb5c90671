"""Other ways to read a text that names nothing as it stands: as it was typed or copied, or cut short. Reads only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from sqlalchemy import String, select, type_coerce
from sqlalchemy.orm import Session

from ledger.db.sqltext import small_letters
from ledger.models import CreditSite

_WIDE = {0xFF01 + number: chr(0x21 + number) for number in range(94)} | {0x3000: " "}
"""Signs as wide as a Chinese one, which an input method gives, and the plain ones that they stand for."""
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63"), "-")
_AROUND = " .,;:\"'\u201c\u201d\u2018\u2019\u300a\u300b\u300c\u300d\u3001\u3002()[]<>\u3010\u3011"
_BARE = re.compile(r"[0-9a-fA-F]{40}|[0-9a-fA-F]{64}", re.ASCII)
_YEAR = re.compile(r"[1-9][0-9]{3}", re.ASCII)
_COUNT = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_PAGE = re.compile(
    r"(?:\S*/)?(?P<list>credits|retirements|transactions|holders|settlements|plants|projects|sites)"
    r"/(?P<name>[^/?#\s]+)(?:[/?#]\S*)?"
)
"""The address of a page or of an answer, of whatever service, and of what belongs to it."""
_NUMBERED = re.compile(
    r"(?![0-9])(?:(?:retirement|certificate|注销|证书)\s*){0,2}(?:(?:no|nr)\b\.?|[#№]|编号)?[\s:]*"
    r"(?P<number>[0-9]{1,18})",
    re.IGNORECASE,
)
"""A retirement as its certificate prints it."""
_CODE_LENGTH_MAX = 100
_CODES_MAX = 3


def place_of(text: str) -> tuple[str, str] | None:
    """Return the list and the name in it that the address of a page has, or the number of a certificate."""
    plain = text.translate(_WIDE).strip(_AROUND)
    page = _PAGE.fullmatch(plain)
    if page is not None:
        return page["list"], unquote(page["name"])
    numbered = _NUMBERED.fullmatch(plain)
    return None if numbered is None else ("retirements", numbered["number"])


def spellings(session: Session, text: str) -> Iterator[tuple[str, bool]]:
    """Yield what a text may stand for, and whether it says all of that; the surest first."""
    plain = text.translate(_WIDE).translate(_DASHES)
    plain = re.sub(r"\s*-\s*", "-", plain).strip(_AROUND)
    if plain not in ("", text):
        yield plain, True
    if _BARE.fullmatch(plain):
        yield f"0x{plain}", True
        return
    for name in _serials(session, plain):
        if name not in (plain, text):
            yield name, False


def _serials(session: Session, plain: str) -> Iterator[str]:
    """Yield the batch or the serials that a text begins to name, or names in letters of another size."""
    parts = plain.rstrip("-").split("-")
    for length in (4, 3, 2, 1):  # year, number, first and last serial
        site, tail = "-".join(parts[:-length]), parts[-length:]
        if not (site and _YEAR.fullmatch(tail[0]) and all(map(_COUNT.fullmatch, tail[1:]))):
            continue
        if length == 3:
            tail.append(tail[-1])
        for code in _codes(session, site):
            yield "-".join([code, *tail])


def _codes(session: Session, site: str) -> list[str]:
    """Return the codes of sites on chain that are a text in letters of any size; the text itself first."""
    if len(site) > _CODE_LENGTH_MAX:
        return []
    code = type_coerce(CreditSite.code, String())
    query = select(code).where(small_letters(session, CreditSite.code) == site.lower())
    found = session.scalars(query.order_by(CreditSite.site_id).limit(_CODES_MAX)).all()
    return sorted(found, key=lambda one: one != site)
