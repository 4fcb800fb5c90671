"""How numbers are written in a file: other signs for decimals and thousands, and texts for "no value".

A number with declared signs is rewritten the one way of the ledger, a point before the decimals and
nothing between thousands, before it is parsed and stored: else ``1.234`` could mean two numbers on one
meter, and nobody could compute a reading again from its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from ledger.readings.files.formats import Format
from ledger.reductions.numbers import what_is_odd

_BLANKS = " \u00a0\u202f\u2009"
_QUOTES = "'\u2019"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)

Rewrite = Callable[[str], str]


def rewriter_of(written: Format) -> Rewrite | None:
    """Return what rewrites a number the ledger's way; None where the file writes it so already.

    It raises ``ValueError`` with one line when the signs are not those declared, or what they make is no number.
    """
    if written.decimal == "." and written.thousands is None:
        return None
    decimal, thousands = written.decimal, written.thousands
    signs, grouped = "", None
    if thousands is not None:
        signs = {" ": _BLANKS, "'": _QUOTES}.get(thousands, thousands)
        grouped = re.compile(
            rf"[+-]?[0-9]{{1,3}}(?:([{re.escape(signs)}])[0-9]{{3}}(?:\1[0-9]{{3}})*)"
        )

    def rewrite(text: str) -> str:
        whole, sign, rest = text.partition(decimal)
        if grouped is not None and any(mark in whole for mark in signs):
            match = grouped.fullmatch(whole)
            if match is None:
                raise ValueError(f"{text[:40]!r} is not grouped in threes by {thousands!r}")
            whole = whole.replace(match[1], "")
        if decimal == "," and "." in whole + rest:
            raise ValueError(
                f'{text[:40]!r} has a point, and the source says decimal = ","; '
                "correct decimal or thousands in [[source]]"
            )
        plain = f"{whole}.{rest}" if sign else whole
        # Here, or the next to read it would propose to declare what is declared.
        if plain != text and not _NUMBER.fullmatch(plain):
            raise ValueError(f"{text[:40]!r} is not a number{what_is_odd(text)}")
        return plain

    return rewrite


class Missing:
    """The texts of a source that say that there is no value.

    A text is one of them when it is written alike, or is a number of the same value.
    """

    def __init__(self, texts: tuple[str, ...], rewrite: Rewrite | None) -> None:
        self._texts = frozenset(text.strip() for text in texts)
        self._values = frozenset(
            value for text in texts if (value := _value(text.strip(), rewrite)) is not None
        )
        self._rewrite = rewrite

    def __contains__(self, text: str) -> bool:
        """Return whether a text, without blanks around it, says that there is no value."""
        if text in self._texts:
            return True
        return bool(self._values) and _value(text, self._rewrite) in self._values


def _value(text: str, rewrite: Rewrite | None) -> Decimal | None:
    try:
        plain = text if rewrite is None else rewrite(text)
    except ValueError:
        return None
    return Decimal(plain) if _NUMBER.fullmatch(plain) else None
