"""A second implementation of cumulative registers, in plain fractions, that shares no code.

It takes all rows of a meter at once and follows the sentences of ``docs/meter-files.md``.
"""

from collections.abc import Iterable
from fractions import Fraction

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
    # A meter that is put back with what it had read goes on: no more than a reading.
    changed = {
        instant for instant, closing, opening in swaps if Fraction(closing) != Fraction(opening)
    }
    place = 0

    while place + 1 < len(instants):
        start, end = instants[place], instants[place + 1]
        first, last = ends[start][1], ends[end][0]
        value = Fraction(first)
        place += 1
        if Fraction(last) < value and end not in changed:
            # Whether the old value comes back within a week, before the next change.
            later = _back(ends, instants, place, changed, rated_kw)
            if later is not None:
                twice = Fraction(ends[instants[later]][0]) - value + Fraction(width or 0)
                possible = _most(rated_kw, start, instants[later])
                both = possible is None or twice <= possible
                limit = _most(rated_kw, start, end)
                if not (both and _ran_over(value, Fraction(last), limit, width)):
                    place = later
                    end, last = instants[later], ends[instants[later]][0]
        kwh = Fraction(last) - value
        limit = _most(rated_kw, start, end)
        text, quality = f"{first}>{last}", "used"
        if kwh < 0 and _ran_over(value, Fraction(last), limit, width):
            kwh += Fraction(width or 0)
            text = f"{first}>{width}|0>{last}"
        elif kwh < 0 or (limit is not None and kwh > limit):
            quality = "outlier"
        found.append((start, end, text, kwh, quality))
    return found


def _most(rated_kw: Fraction | None, start: int, end: int) -> Fraction | None:
    return None if rated_kw is None else rated_kw * Fraction(12, 10) * (end - start) / 3600


def _ran_over(
    first: Fraction,
    last: Fraction,
    possible: Fraction | None,
    width: str | None,
) -> bool:
    """Whether a fall can be nothing but a register that ran over."""
    if width is None or possible is None:
        return False
    whole = Fraction(width)
    if not (whole / 2 < first < whole and 0 <= last < whole / 2):
        return False
    around = whole - first + last
    return possible < whole and around <= possible


def _back(
    ends: dict[int, tuple[str, str]],
    instants: list[int],
    fallen: int,
    changed: set[int],
    rated_kw: Fraction | None,
) -> int | None:
    """The place of the first reading that is back at the value before a fall, if there is one."""
    start = instants[fallen - 1]
    value = Fraction(ends[start][1])
    for later in range(fallen + 1, min(len(instants), fallen + 1000)):
        instant = instants[later]
        if instant in changed or instant > start + 7 * 86400:
            return None
        rise = Fraction(ends[instant][0]) - value
        possible = _most(rated_kw, start, instant)
        if rise >= 0 and (possible is None or rise <= possible):
            return later
    return None
