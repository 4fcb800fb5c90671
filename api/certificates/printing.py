"""Somebody's text on paper: only signs that the fonts have, in lines that fit, cut where there is no end to it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from api.pages.formats import visible

Width = Callable[[str], float]
"""Returns how wide a text is in the font that is set."""


@dataclass(frozen=True)
class Lines:
    """A text in lines, and whether its end was cut off."""

    lines: tuple[str, ...]
    cut: bool


def printable(text: str, has: Callable[[str], bool]) -> str:
    """Return a text of signs that the fonts have; any other stands as its number, ``<1f600>``.

    A Roman number or one in a circle, which names of plants and of their stages have, is written out: Ⅱ as II.

    Parameters
    ----------
    has
        Whether a font has a sign.
    """
    composed = unicodedata.normalize("NFC", text)
    return "".join(
        sign if sign.isascii() or has(sign) else _written_out(sign) for sign in visible(composed)
    )


def _written_out(sign: str) -> str:
    plain = unicodedata.normalize("NFKC", sign)
    is_number = unicodedata.category(sign) in ("Nl", "No") and plain.isascii() and plain.isalnum()
    return plain if is_number else f"<{ord(sign):x}>"


def wrapped(text: str, width_max: float, lines_max: int, width: Width) -> Lines:
    """Return a text in lines, broken between words, between Chinese characters, and within what is too long."""
    lines, line = [], ""
    pieces = list(_pieces(text))
    for place, piece in enumerate(pieces):
        if line and width(line + piece.rstrip()) > width_max:
            lines.append(line.rstrip())
            line = ""
        if len(lines) == lines_max:
            return _cut(lines, width_max, width)
        line += piece if line else piece.lstrip()
        while width(line.rstrip()) > width_max:
            end = _fitting(line, width_max, width)
            lines.append(line[:end])
            line = line[end:]
            if len(lines) == lines_max:
                return _cut(lines, width_max, width)
        if place == len(pieces) - 1 and line.strip():
            lines.append(line.rstrip())
    return Lines(tuple(lines), cut=False)


def _pieces(text: str) -> Iterator[str]:
    """Yield what stays together: a word with the blank after it, or one wide character."""
    piece = ""
    for sign in text:
        if unicodedata.east_asian_width(sign) in "WF":
            if piece:
                yield piece
            yield sign
            piece = ""
        elif sign == " ":
            yield piece + sign
            piece = ""
        else:
            piece += sign
    if piece:
        yield piece


def _fitting(line: str, width_max: float, width: Width) -> int:
    """Return how many signs of a line fit; one at the least."""
    low, high = 1, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width(line[:middle]) <= width_max else (low, middle - 1)
    return low


def _cut(lines: list[str], width_max: float, width: Width) -> Lines:
    last = lines[-1]
    while last and width(last + "…") > width_max:
        last = last[:-1]
    return Lines((*lines[:-1], last + "…"), cut=True)
