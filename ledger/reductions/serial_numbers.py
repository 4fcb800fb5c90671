"""Serial numbers of meters as an eye reads them: one meter under two of them would be credited twice."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Categories of signs that do not show: controls, formats, blanks."""
_RANGES = [*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]
_NO_INK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | set(map(chr, _RANGES))
"""Letters and marks of other categories that do not show (Default_Ignorable_Code_Point), and braille's blank."""


def as_read(serial: str) -> str:
    """Return a serial number without case, width, blanks and signs that do not show."""
    wide = unicodedata.normalize("NFKC", _shown(serial)).casefold()
    return _shown(unicodedata.normalize("NFKC", wide))


def _shown(text: str) -> str:
    return "".join(
        sign for sign in text if unicodedata.category(sign) not in _UNSEEN and sign not in _NO_INK
    )


def twins(serials: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each serial number that reads as an earlier one, with that one."""
    known: dict[str, str] = {}
    for serial in serials:
        first = known.setdefault(as_read(serial), serial)
        if first is not serial:
            yield serial, first
