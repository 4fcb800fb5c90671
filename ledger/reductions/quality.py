"""What becomes of a reading: used, missing, outlier, superseded or late, each with its reason.

The answer is a function of all rows of a slot (one meter, one start) and of the meter, and not of
the order in which they arrive. What a whole legal day shows beyond that, a flat line, is judged on top:
``flatlines``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from ledger.reductions.records import Kind, Quality, Role
from ledger.units import HOUR_S

_NO_LIMIT = 10**60
"""More than any digits: 64 bits, brought to the scale of another value."""
OUTLIER_ABOVE = Fraction(12, 10)
OUTLIER_BELOW = Fraction(-2, 10)
"""Shares of the rated power beyond which a reading claims nothing; the limits themselves pass."""

REASONS: dict[Quality, str | None] = {
    Quality.USED: None,
    Quality.USED_IN_CONFLICT: "claims least of several values",
    Quality.USED_BESIDE_CERTIFICATE: "of its energy a part is certified elsewhere",
    Quality.MISSING: "no value in the file",
    Quality.MISSING_SENTINEL: "a text that is declared to mean no value",
    Quality.OUTLIER_ABOVE: "above 1.2 x rated power",
    Quality.OUTLIER_BELOW: "below -0.2 x rated power",
    Quality.STUCK: "stuck: the same value for hours, a flat line that no meter gives",
    Quality.COUNTER_FELL: "the register fell",
    Quality.SUPERSEDED_IN_CONFLICT: "another value of the same time claims less",
    Quality.SUPERSEDED_SAME_VALUE: "same value, written in another way",
    Quality.SUPERSEDED_EMPTY: "another row has a value for the same time",
    Quality.REGISTER_CONFLICT: "several values of the register at one time",
    Quality.REGISTER_DIP: "the register was lower for a while, and is back",
    Quality.LATE: "arrived after the period was issued",
}
"""The reason as stored, one for each quality; with the stored quality it gives the number back."""

_STORED: dict[int, str] = {1: "used", 2: "missing", 3: "outlier", 4: "superseded", 5: "late"}
"""The column ``quality`` of each hundred: the names of ``models.readings.ReadingQuality``."""

Value = tuple[int, int] | None
"""Digits and scale, or None when the text is empty."""


def stored(quality: Quality) -> tuple[str, str | None]:
    """Return a quality as the columns ``quality`` and ``reason``."""
    return _STORED[quality // 100], REASONS[quality]


_LOADED: dict[tuple[str, str | None], Quality] = {stored(quality): quality for quality in Quality}


def loaded(quality: str, reason: str | None) -> Quality:
    """Return a quality from its two columns.

    Raises
    ------
    KeyError
        The columns were not written by this version.
    """
    return _LOADED[quality, reason]


@dataclass
class Limits:
    """The limits of a meter beyond which a reading is an outlier; without a rated power, none.

    Parameters
    ----------
    rated_kw
        Rated power, kW.
    kind
        What the readings are: an energy is compared with the rated power over its interval.
    interval_s
        Length of an interval in seconds.
    """

    rated_kw: Fraction | None
    kind: Kind
    interval_s: int
    _by_scale: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    def judge(self, digits: int, scale: int, duration_s: int) -> Quality:
        """Return ``USED``, or which kind of outlier a value of so many seconds is."""
        low, high = self.bounds(scale, duration_s)
        if digits < low:
            return Quality.OUTLIER_BELOW
        return Quality.OUTLIER_ABOVE if digits > high else Quality.USED

    def bounds(self, scale: int, duration_s: int) -> tuple[int, int]:
        """Return the lowest and the highest digits of a scale that pass; without a rated power, all do."""
        limits = self._by_scale.get((scale, duration_s))
        if limits is None:
            limits = self._by_scale[scale, duration_s] = self._at(scale, duration_s)
        return limits

    def _at(self, scale: int, duration_s: int) -> tuple[int, int]:
        if self.rated_kw is None:
            return -_NO_LIMIT, _NO_LIMIT
        full = self.rated_kw * 10**scale
        if self.kind is Kind.ENERGY:
            full = full * duration_s / HOUR_S
        low, high = full * OUTLIER_BELOW, full * OUTLIER_ABOVE
        return -(-low.numerator // low.denominator), high.numerator // high.denominator


def limits_of(role: Role, rated_kw: Fraction | None, kind: Kind, interval_s: int) -> Limits:
    """Return the limits of a meter: none for fuel, and none for storage.

    A rated power says nothing of litres, and a battery draws what it is rated for, far below -0.2
    times that.
    """
    limited = role not in (Role.FUEL, Role.STORAGE) and not kind.is_fuel
    return Limits(rated_kw if limited else None, kind, interval_s)


def judge_one(text: str, value: Value, limits: Limits, duration_s: int) -> Quality:
    """Return the quality of the only row of a slot of so many seconds."""
    return without_value(text) if value is None else limits.judge(*value, duration_s)


def without_value(text: str) -> Quality:
    """Return why a row has no value: its text is empty, or is declared to say so."""
    return Quality.MISSING_SENTINEL if text else Quality.MISSING


def judge_slot(
    rows: Sequence[tuple[str, Value]], role: Role, limits: Limits, duration_s: int | None = None
) -> tuple[list[Quality], bool]:
    """Return the quality of each row of a slot, in their order, and whether they are in conflict.

    The lowest value is taken for supply, the highest for consumption; whether that one is an
    outlier is asked afterwards, so that a second value never rescues a slot.

    Parameters
    ----------
    rows
        Text and value of each row; no text stands twice.
    role, limits
        Of the meter.
    duration_s
        Length of the slot; None: the meter's interval.
    """
    seconds = limits.interval_s if duration_s is None else duration_s
    if len(rows) == 1:  # nearly every slot
        return [judge_one(*rows[0], limits, seconds)], False
    valued = [(text, value) for text, value in rows if value is not None]
    if not valued:
        return [without_value(text) for text, _ in rows], False
    top = max(scale for _, (_, scale) in valued)
    size = {text: digits * 10 ** (top - scale) for text, (digits, scale) in valued}
    least = min(size.values()) if role.supplies else max(size.values())
    conflict = min(size.values()) != max(size.values())
    # Of several spellings of the same value the shortest stands, whichever came first.
    chosen = min((text for text in size if size[text] == least), key=lambda text: (len(text), text))
    qualities = []
    for text, value in rows:
        if value is None:
            qualities.append(Quality.SUPERSEDED_EMPTY)
        elif text == chosen:
            judged = limits.judge(*value, seconds)
            in_conflict = conflict and judged is Quality.USED
            qualities.append(Quality.USED_IN_CONFLICT if in_conflict else judged)
        elif size[text] == least:
            qualities.append(Quality.SUPERSEDED_SAME_VALUE)
        else:
            qualities.append(Quality.SUPERSEDED_IN_CONFLICT)
    return qualities, conflict
