"""A second implementation of cumulative registers, in plain fractions, that shares no code.

It takes all rows of a meter at once and follows the sentences of ``docs/meter-files.md``.
"""

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

Row = tuple[int, str]
"""Instant and text; an empty text is a row without a value."""
Swap = tuple[int, str, str]
"""Instant, closing and opening text."""
Energy = tuple[int, int, str, Fraction, str]
"""Start, end, text, kWh and quality."""


def energies_of(
    rows: Iterable[Row],
    swaps: Iterable[Swap] = (),
    *,
    kwh_per_unit: Fraction = Fraction(1),
    width: str | None = None,
    rated_kw: Fraction | None = None,
) -> list[Energy]:
    """Return what the register counted between the instants that can be used."""
    by_instant: dict[int, set[str]] = {}
    for instant, text in rows:
        if text:
            by_instant.setdefault(instant, set()).add(text)
    ends: dict[int, tuple[str, str]] = {}
    for instant, texts in by_instant.items():
        if len({Fraction(text) for text in texts}) == 1:
            shortest = sorted(texts, key=lambda text: (len(text), text))[0]
            ends[instant] = shortest, shortest
    for instant, closing, opening in swaps:
        ends[instant] = closing, opening
    found: list[Energy] = []
    instants = sorted(ends)
    for start, end in pairwise(instants):
        first, last = ends[start][1], ends[end][0]
        kwh = (Fraction(last) - Fraction(first)) * kwh_per_unit
        most = None if rated_kw is None else rated_kw * Fraction(12, 10) * (end - start) / 3600
        text, quality = f"{first}>{last}", "used"
        if kwh < 0:
            quality = "outlier"
            if width is not None:
                around = kwh + Fraction(width) * kwh_per_unit
                inside = Fraction(last) >= 0 and Fraction(first) < Fraction(width)
                if inside and (most is None or around <= most):
                    kwh, quality, text = around, "used", f"{first}>{width}|0>{last}"
        elif most is not None and kwh > most:
            quality = "outlier"
        found.append((start, end, text, kwh, quality))
    return found
