"""Cumulative registers: from readings at instants to energies between them, exactly and by text alone.

An energy between two readings has the text ``OPENING>CLOSING``, both as received. Where the register
ran over at its declared width it is ``OPENING>WIDTH|0>CLOSING``. Either way the energy is the sum of
what comes after each ``>`` less what stands before it, so that anybody computes it from the text.

All of it is a function of all readings of a meter, the declared changes of its instrument, the width
and the rated power; the order in which files arrived changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from ledger.reductions.numbers import SCALE_MAX, parse_value
from ledger.reductions.quality import Limits, Value, without_value
from ledger.reductions.records import Quality

TEXT_MAX = 24
"""Characters of a register's text: two of them and a width make one text of an interval."""
WIDTH_MAX = 12
TO, THEN = ">", "|"
_DIGITS_END = 2**63


class Point(NamedTuple):
    """A value of a register at one instant, in kWh."""

    at_s: int
    text: str
    digits: int
    scale: int


class Change(NamedTuple):
    """An instrument taken out at one instant and another put in, with both readings in kWh."""

    at_s: int
    closing: Point
    opening: Point


class Interval(NamedTuple):
    """What a register counted between two instants; no digits where they do not fit."""

    start_s: int
    end_s: int
    text: str
    digits: int | None
    scale: int | None
    quality: Quality


@dataclass(frozen=True)
class Rules:
    """What the differences of a register are judged by.

    Attributes
    ----------
    limits
        Of the meter.
    unit_scale
        Of the texts, from ``numbers.UNITS``.
    width
        Value at which the register begins anew at 0, as declared; None: never.
    """

    limits: Limits
    unit_scale: int
    width: str | None = None


def energy_of(text: str, unit_scale: int) -> tuple[int, int]:
    """Return digits and scale, in kWh, of the text of an interval.

    Raises
    ------
    ValueError
        With one line: the text is not ``A>B``, or several such with ``|`` between.
    """
    parts: list[tuple[int, tuple[int, int]]] = []
    for piece in text.split(THEN):
        opening, sign, closing = piece.partition(TO)
        if not sign:
            raise ValueError(f"{text!r} is not of the form OPENING>CLOSING")
        parts.append((-1, parse_value(opening, unit_scale)))
        parts.append((1, parse_value(closing, unit_scale)))
    scale = max(part_scale for _, (_, part_scale) in parts)
    digits = sum(sign * value * 10 ** (scale - own) for sign, (value, own) in parts)
    return digits, scale


def judge_interval(digits: int, scale: int, limits: Limits, duration_s: int) -> Quality:
    """Return whether a difference counts: not below zero, and not more than the device can do."""
    if digits < 0:
        return Quality.COUNTER_FELL
    return limits.judge(digits, scale, duration_s)


def judge_instant(
    rows: Sequence[tuple[str, Value]], change: Change | None = None
) -> tuple[list[Quality], int | None]:
    """Return the quality of each row of one instant, and the place of the one that counts.

    Parameters
    ----------
    rows
        Text and value of each row; no text stands twice.
    change
        The change of the instrument at that instant: its readings count there, and a row may only
        repeat one of them.
    """
    values = {text: Fraction(value[0], 10 ** value[1]) for text, value in rows if value is not None}
    if not values:
        return [without_value(text) for text, _ in rows], None
    found = set(values.values())
    if change is None:
        conflict = len(found) > 1
        chosen = min(values, key=lambda text: (len(text), text))
    else:
        declared = (change.closing, change.opening)
        conflict = not found <= {Fraction(point.digits, 10**point.scale) for point in declared}
        chosen = None
    qualities = []
    for text, value in rows:
        if value is None:
            qualities.append(Quality.SUPERSEDED_EMPTY)
        elif conflict:
            qualities.append(Quality.REGISTER_CONFLICT)
        elif text == chosen:
            qualities.append(Quality.USED)
        else:
            qualities.append(Quality.SUPERSEDED_SAME_VALUE)
    if conflict or chosen is None:
        return qualities, None
    return qualities, [text for text, _ in rows].index(chosen)


def intervals(
    points: Iterable[Point], changes: Sequence[Change], rules: Rules
) -> Iterator[Interval]:
    """Yield the energies between the readings of a meter, in order.

    Parameters
    ----------
    points
        One reading for each instant that counts, in order of time.
    changes
        Changes of the instrument, in order of time; a reading at the same instant is passed over.
    rules
        How they are judged.
    """
    opening: Point | None = None
    for point in _merged(points, changes):
        closing = point.closing if isinstance(point, Change) else point
        if opening is not None:
            yield _interval(opening, closing, rules)
        opening = point.opening if isinstance(point, Change) else point


def _merged(points: Iterable[Point], changes: Sequence[Change]) -> Iterator[Point | Change]:
    place = 0
    for point in points:
        while place < len(changes) and changes[place].at_s <= point.at_s:
            yield changes[place]
            place += 1
        if not place or changes[place - 1].at_s != point.at_s:
            yield point
    yield from changes[place:]


def _interval(opening: Point, closing: Point, rules: Rules) -> Interval:
    text = f"{opening.text}{TO}{closing.text}"
    duration_s = closing.at_s - opening.at_s
    digits, scale = energy_of(text, rules.unit_scale)
    if digits < 0 and rules.width is not None:
        around = _around(opening, closing, rules, duration_s)
        if around is not None:
            return around
    whole = fitted(digits, scale)
    if whole is None:
        return Interval(opening.at_s, closing.at_s, text, None, None, Quality.MISSING)
    quality = judge_interval(*whole, rules.limits, duration_s)
    return Interval(opening.at_s, closing.at_s, text, *whole, quality)


def _around(opening: Point, closing: Point, rules: Rules, duration_s: int) -> Interval | None:
    """Return the energy of a register that ran over, if it can have; else None."""
    assert rules.width is not None
    width = Fraction(*_ratio(parse_value(rules.width, rules.unit_scale)))
    ends = [Fraction(point.digits, 10**point.scale) for point in (opening, closing)]
    if not all(0 <= end < width for end in ends):
        return None
    text = f"{opening.text}{TO}{rules.width}{THEN}0{TO}{closing.text}"
    whole = fitted(*energy_of(text, rules.unit_scale))
    if whole is None or rules.limits.judge(*whole, duration_s) is not Quality.USED:
        return None
    return Interval(opening.at_s, closing.at_s, text, *whole, Quality.USED)


def _ratio(value: tuple[int, int]) -> tuple[int, int]:
    return value[0], 10 ** value[1]


def fitted(digits: int, scale: int) -> tuple[int, int] | None:
    """Return a value that fits 64 bits, zeros at its end dropped if need be; else None."""
    while scale > 0 and digits % 10 == 0 and not -_DIGITS_END < digits < _DIGITS_END:
        digits //= 10
        scale -= 1
    return (digits, scale) if -_DIGITS_END < digits < _DIGITS_END and scale <= SCALE_MAX else None
