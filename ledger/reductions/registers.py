"""Cumulative registers: from readings at instants to energies between them, exactly and by text alone.

An energy between two readings has the text ``OPENING>CLOSING``, both as received. Where the register
ran over at its declared width it is ``OPENING>WIDTH|0>CLOSING``. Either way the energy is the sum of
what comes after each ``>`` less what stands before it, so that anybody computes it from the text.

All of it is a function of all readings of a meter, the declared changes of its instrument, the width
and the rated power; the order in which files arrived changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from ledger.reductions.numbers import DIGITS_END, SCALE_MAX, parse_value
from ledger.reductions.quality import OUTLIER_ABOVE, Limits, Value, without_value
from ledger.reductions.records import Quality
from ledger.units import DAY_S, HOUR_S

TEXT_MAX = 24
"""Characters of a register's text: two of them and a width make one text of an interval."""
WIDTH_MAX = 12
TO, THEN = ">", "|"
DIP_S = 7 * DAY_S
DIP_READINGS = 1000
"""A register that fell and is back within so many seconds and readings did not begin anew."""


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

    @property
    def goes_on(self) -> bool:
        """Whether the register goes on from where it was: one that was put back, or another that was set to that."""
        return _comparable(self.closing) == _comparable(self.opening)


class Interval(NamedTuple):
    """What a register counted between two instants; no digits where they do not fit.

    ``over`` are the readings between them that are not used, see ``intervals``.
    """

    start_s: int
    end_s: int
    text: str
    digits: int | None
    scale: int | None
    quality: Quality
    over: tuple[Point, ...] = ()


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


def ends_of(text: str, unit_scale: int) -> tuple[Fraction, Fraction]:
    """Return what a register stood at where an interval begins, and where it ends, in kWh.

    Raises
    ------
    ValueError
        As ``energy_of``.
    """
    energy_of(text, unit_scale)
    ends = text.partition(TO)[0], text.rpartition(TO)[2]
    opening, closing = (
        Fraction(digits, 10**scale)
        for digits, scale in (parse_value(end, unit_scale) for end in ends)
    )
    return opening, closing


def width_of(text: str, unit_scale: int) -> Fraction:
    """Return where a register began anew by the text of a rollover, in kWh.

    Raises
    ------
    ValueError
        As ``energy_of``.
    """
    digits, scale = parse_value(text.partition(THEN)[0].partition(TO)[2], unit_scale)
    return Fraction(digits, 10**scale)


def judge_interval(digits: int, scale: int, limits: Limits, duration_s: int) -> Quality:
    """Return what a difference is: it counts where it is not below zero, and not more than the device can do."""
    if digits < 0:
        return Quality.COUNTER_FELL
    return limits.judge(digits, scale, duration_s)


def rollover_holds(text: str, unit_scale: int, limits: Limits, duration_s: int) -> bool:
    """Return whether what the text of a rollover says can be nothing else, see ``intervals``."""
    pieces = [piece.partition(TO)[::2] for piece in text.split(THEN)]
    if len(pieces) != 2 or Fraction(pieces[1][0]) != 0:
        return False
    (before, width), (_, after) = pieces
    opening, closing = (
        Point(at_s, end, *parse_value(end, unit_scale))
        for at_s, end in ((0, before), (duration_s, after))
    )
    return _is_rollover(opening, closing, Rules(limits, unit_scale, width))


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

    A register that is lower than before has fallen. If it is back at its old value or above within
    ``DIP_S`` and ``DIP_READINGS``, by a rise that the device can do and before another register
    follows, it never began anew: the readings between are not used, and the difference runs over them.
    Else it is a rollover if it can be nothing else, and else a reset, which claims nothing.

    Parameters
    ----------
    points
        One reading for each instant that counts, in order of time.
    changes
        Changes of the instrument, in order of time; no reading counts at the instant of one.
    rules
        How they are judged.
    """
    ahead = _Ahead(_merged(points, changes))
    opening: Point | None = None
    for item in ahead:
        last, closing = item, item.closing if isinstance(item, Change) else item
        if opening is not None:
            low: tuple[Point, ...] = ()
            if _read(item) is not None and _is_below(closing, opening):
                low, closing, last = _over_dip(opening, item, ahead, rules)
            yield _interval(opening, closing, rules)._replace(over=low)
        opening = last.opening if isinstance(last, Change) else closing


def dips_of(
    known: Sequence[tuple[int, int, str]], low: Iterable[Point], rules: Rules
) -> Iterator[tuple[int, int]]:
    """Yield start and end of the differences that stand in a dip by the readings of all of them.

    Parameters
    ----------
    known
        Start, end and text of the differences of a period, in order.
    low
        Readings between them that are not used, as they stand in a dip.
    rules
        How they are judged. What is beyond the period nobody sees here: a dip over its end is none.
    """
    rest = list(low)
    for points, changes, differences in _chains(known, rules.unit_scale):
        ends = {at_s for difference in differences for at_s in difference}
        first_s, last_s = min(ends), max(ends)
        points += [item for item in rest if first_s < item.at_s < last_s and item.at_s not in ends]
        found = intervals(sorted(points), changes, rules)
        over = deque((each.start_s, each.end_s) for each in found if each.over)
        for difference in differences:
            while over and over[0][1] <= difference[0]:
                over.popleft()
            if over and over[0][0] <= difference[0] and over[0] != difference:
                yield difference


def _chains(
    known: Sequence[tuple[int, int, str]], unit_scale: int
) -> Iterator[tuple[list[Point], list[Change], list[tuple[int, int]]]]:
    """Yield differences that follow one another, with the readings and changes of the instrument that they are of."""
    points: list[Point] = []
    changes: list[Change] = []
    differences: list[tuple[int, int]] = []
    for start_s, end_s, text in known:
        opening, closing = (
            Point(at_s, end, *parse_value(end, unit_scale))
            for at_s, end in ((start_s, text.partition(TO)[0]), (end_s, text.rpartition(TO)[2]))
        )
        if differences and differences[-1][1] != start_s:
            yield points, [*changes, _end(points)], differences
            points, changes, differences = [], [], []
        if not differences:
            points.append(opening)
        elif _kwh(points[-1]) != _kwh(opening):
            changes.append(Change(start_s, points.pop(), opening))
        points.append(closing)
        differences.append((start_s, end_s))
    if differences:
        yield points, [*changes, _end(points)], differences


def _end(points: list[Point]) -> Change:
    """Take the last reading of a chain: it may be the last of an instrument that was taken out, which ends no dip."""
    last = points.pop()
    return Change(last.at_s, last, last._replace(digits=last.digits + 1))  # of another register


class _Ahead:
    """Points and changes in order, which can be looked at before they are taken."""

    def __init__(self, items: Iterator[Point | Change]) -> None:
        self._items = items
        self._seen: deque[Point | Change] = deque()
        self._tops: deque[tuple[int, int]] = deque()
        """Instant and value of each point looked at that is above all after it."""

    def __iter__(self) -> Iterator[Point | Change]:
        while True:
            item = self._take() if self._seen else next(self._items, None)
            if item is None:
                return
            yield item

    def reaches(self, opening: Point) -> bool:
        """Return whether something in the bounds of a dip may be as high; each item is seen once."""
        while len(self._seen) < DIP_READINGS:
            last = self._seen[-1] if self._seen else opening
            if _read(last) is None or last.at_s - opening.at_s > DIP_S:
                break
            item = next(self._items, None)
            if item is None:
                break
            self._seen.append(item)
            if (point := _read(item)) is not None:
                value = _comparable(point)
                while self._tops and self._tops[-1][1] <= value:
                    self._tops.pop()
                self._tops.append((item.at_s, value))
        return bool(self._tops) and self._tops[0][1] >= _comparable(opening)

    def seen(self) -> Iterator[Point | Change]:
        """Return what was looked at, without taking it."""
        return iter(self._seen)

    def take(self, count: int) -> list[Point | Change]:
        """Take so many of those that were looked at."""
        return [self._take() for _ in range(count)]

    def _take(self) -> Point | Change:
        item = self._seen.popleft()
        if self._tops and self._tops[0][0] == item.at_s:
            self._tops.popleft()
        return item


def _read(item: Point | Change) -> Point | None:
    """Return where a register stood that is the same before and after; None where another one follows."""
    if isinstance(item, Point):
        return item
    return item.closing if item.goes_on else None


def _over_dip(
    opening: Point, fallen: Point | Change, ahead: _Ahead, rules: Rules
) -> tuple[tuple[Point, ...], Point, Point | Change]:
    """Return the readings that are not used after a fall, the one that the difference runs to, and what that is of."""
    low = _read(fallen)
    assert low is not None  # a register fell, and not to another one's reading
    if not ahead.reaches(opening):
        return (), low, fallen
    for place, item in enumerate(ahead.seen(), start=1):
        point = _read(item)
        if point is None or point.at_s - opening.at_s > DIP_S or place >= DIP_READINGS:
            break
        if _is_below(point, opening) or not _can_rise(opening, point, rules):
            continue
        if _is_rollover(opening, low, rules) and _can_rise(opening, point, rules, around=True):
            break
        between = [fallen, *ahead.take(place)][:-1]
        return tuple(each for each in between if isinstance(each, Point)), point, item
    return (), low, fallen


def _is_below(one: Point, other: Point) -> bool:
    if one.scale == other.scale:
        return one.digits < other.digits
    return _comparable(one) < _comparable(other)


def _comparable(point: Point) -> int:
    return int(point.digits * 10 ** (SCALE_MAX - point.scale))


def _can_rise(opening: Point, closing: Point, rules: Rules, *, around: bool = False) -> bool:
    """Return whether the device can do a rise, or one around the whole register on top of it."""
    most = _most(opening, closing, rules)
    rise = _kwh(closing) - _kwh(opening)
    if around:
        rise += _width(rules)
    return most is None or rise <= most


def _most(opening: Point, closing: Point, rules: Rules) -> Fraction | None:
    """Return the most kWh that the device can do between two readings, as far as it is declared."""
    if rules.limits.rated_kw is None:
        return None
    hours = Fraction(closing.at_s - opening.at_s, HOUR_S)
    return rules.limits.rated_kw * OUTLIER_ABOVE * hours


def _kwh(point: Point) -> Fraction:
    return Fraction(point.digits, 10**point.scale)


def _width(rules: Rules) -> Fraction:
    assert rules.width is not None
    digits, scale = parse_value(rules.width, rules.unit_scale)
    return Fraction(digits, 10**scale)


def _is_rollover(opening: Point, closing: Point, rules: Rules) -> bool:
    """Return whether a register that fell ran over its declared width, and can have done nothing else.

    It was in its upper half and is in its lower one, and the device can do what is between, but not a
    whole width in that time. Without a rated power nobody knows.
    """
    most = _most(opening, closing, rules)
    if rules.width is None or most is None:
        return False
    width, before, after = _width(rules), _kwh(opening), _kwh(closing)
    near_ends = width / 2 < before < width and 0 <= after < width / 2
    return near_ends and most < width and after - before + width <= most


def _merged(points: Iterable[Point], changes: Sequence[Change]) -> Iterator[Point | Change]:
    place = 0
    for point in points:
        while place < len(changes) and changes[place].at_s <= point.at_s:
            yield changes[place]
            place += 1
        yield point
    yield from changes[place:]


def _interval(opening: Point, closing: Point, rules: Rules) -> Interval:
    text = f"{opening.text}{TO}{closing.text}"
    duration_s = closing.at_s - opening.at_s
    if _is_below(closing, opening) and _is_rollover(opening, closing, rules):
        text = f"{opening.text}{TO}{rules.width}{THEN}0{TO}{closing.text}"
    whole = fitted(*energy_of(text, rules.unit_scale))
    if whole is None:
        return Interval(opening.at_s, closing.at_s, text, None, None, Quality.MISSING)
    quality = judge_interval(*whole, rules.limits, duration_s)
    return Interval(opening.at_s, closing.at_s, text, *whole, quality)


def fitted(digits: int, scale: int) -> tuple[int, int] | None:
    """Return a value that fits 64 bits, zeros at its end dropped if need be; else None."""
    while scale > 0 and digits % 10 == 0 and not -DIGITS_END < digits < DIGITS_END:
        digits //= 10
        scale -= 1
    return (digits, scale) if -DIGITS_END < digits < DIGITS_END else None
