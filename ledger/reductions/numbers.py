"""The number in a meter file: from decimal text to an exact pair of integers.

A value is ``digits / 10**scale`` in the base unit: kW for power, kWh for energy, kg or litres for
fuel. Digits and scale follow the text: ``457.76`` in kW is (45776, 2); watts add 3 to the scale,
megawatts take 3 away, and a scale below zero is multiplied out. Scientific notation is exact too:
``1.5e-3`` is (15, 4).
"""

from __future__ import annotations

import re
import unicodedata

from ledger.errors import BadInput
from ledger.reductions.records import Kind

UNITS: dict[Kind, dict[str, int]] = {
    Kind.POWER: {"W": 3, "kW": 0, "MW": -3, "GW": -6},
    Kind.ENERGY: {"Wh": 3, "kWh": 0, "MWh": -3, "GWh": -6},
    Kind.FUEL_MASS: {"g": 3, "kg": 0, "t": -3},
    Kind.FUEL_VOLUME: {"L": 0, "m3": -3},
}
"""What each unit adds to the scale: the power of ten from the base unit down to it."""

METRICS: dict[Kind, tuple[str, str]] = {
    Kind.POWER: ("active_power", "kW"),
    Kind.ENERGY: ("energy", "kWh"),
    Kind.REGISTER: ("energy_register", "kWh"),
    Kind.FUEL_MASS: ("fuel_mass", "kg"),
    Kind.FUEL_VOLUME: ("fuel_volume", "L"),
}
"""Name and unit of a reading in ``device_data``."""

COUNTER = "counter"
"""Kind of a source of cumulative registers: its readings are the energies between."""
FUEL = "fuel"
"""Kind of a source of fuel; its unit says whether it is weighed or measured by volume."""

TEXT_MAX = 64
"""Characters of a number's text that are stored."""
SCALE_MAX = 36
"""Decimals that are kept: more than any number printed from a 64-bit float needs."""
DIGITS_END = 2**63
"""Digits are stored in 64 bits."""
_SHORT, _WHOLE_SURE = 19, 9
"""A text of so many characters and digits before the point fits 64 bits and is under 1e9."""
_VALUE_END = 10**9
_SCIENTIFIC = re.compile(r"([+-]?[0-9]*)\.?([0-9]*)[eE]([+-]?[0-9]{1,4})", re.ASCII)
_GROUPED = re.compile(
    r"[+-]?[0-9]{1,3}([,' \u00a0\u202f\u2019])[0-9]{3}(?:\1[0-9]{3})*(?:\.[0-9]*)?", re.ASCII
)
_LIKE_A_NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*", re.ASCII)
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_BEFORE = {
    "(": "brackets are no sign; have the file written with a minus",
    "=": "a spreadsheet's formula; have it saved with values",
    "'": "an apostrophe stands before it; have the file written without it",
}
_NOT_PLAIN = re.compile(r"[^0-9.+-]", re.ASCII)


def units_of(source_kind: str) -> list[str]:
    """Return the units that a source of a kind may name: ``power``, ``energy``, ``counter`` or ``fuel``."""
    if source_kind == FUEL:
        return [unit for kind, units in UNITS.items() if kind.is_fuel for unit in units]
    return list(UNITS[kind_of(source_kind, "")])


def kind_of(source_kind: str, unit: str) -> Kind:
    """Return the kind of a source's readings.

    Raises
    ------
    BadInput
        A fuel's unit is neither one of mass nor one of volume.
    """
    if source_kind == COUNTER:
        return Kind.ENERGY
    if source_kind != FUEL:
        return Kind[source_kind.upper()]
    for kind, units in UNITS.items():
        if kind.is_fuel and unit in units:
            return kind
    known = units_of(FUEL)
    close = [name for name in known if name.lower() == unit.lower()]
    hint = f"write {close[0]}" if close else f"use one of {', '.join(known)}"
    raise BadInput(f"unknown unit {unit!r} for fuel; {hint}", code="unknown-unit")


def parse_value(text: str, unit_scale: int) -> tuple[int, int]:
    """Return a number's digits and scale in the base unit.

    Parameters
    ----------
    text
        The number, without blanks around it.
    unit_scale
        From ``UNITS``.

    Raises
    ------
    ValueError
        With one line that says what is wrong: no number, not finite, too many digits, too large.
    """
    if len(text) > TEXT_MAX:
        raise ValueError(f"a number of {len(text)} characters is longer than {TEXT_MAX}")
    whole, _, part = text.partition(".")
    scale = len(part) + unit_scale
    # Nearly every number: it fits, whatever it is.
    if (
        len(text) <= _SHORT
        and len(whole) <= _WHOLE_SURE
        and unit_scale >= 0
        and text.isascii()
        and (whole + part).isdigit()
    ):
        return int(whole + part), scale
    try:
        # int() takes blanks, underscores, foreign digits, and the sign of ".-5"
        if _NOT_PLAIN.search(text) or part[:1] in ("+", "-"):
            raise ValueError
        digits = int(whole + part)
    except ValueError:
        digits, scale = _scientific(text)
        scale += unit_scale
    if scale < 0:
        digits *= 10**-scale
        scale = 0
    if not -_VALUE_END * 10**scale < digits < _VALUE_END * 10**scale:
        raise ValueError(
            f"{text!r} is beyond 1e9 kW or kWh: leave a value that does not exist empty"
        )
    if not -DIGITS_END < digits < DIGITS_END or scale > SCALE_MAX:
        digits, scale = _shortened(text, digits, scale)
    return digits, scale


def _scientific(text: str) -> tuple[int, int]:
    match = _SCIENTIFIC.fullmatch(text)
    if match is None or not (match[1].strip("+-") or match[2]):
        raise ValueError(_complaint(text))
    return int(match[1] + match[2]), len(match[2]) - int(match[3])


def _shortened(text: str, digits: int, scale: int) -> tuple[int, int]:
    """Drop zeros at the end of a value that does not fit otherwise."""
    while scale > 0 and digits % 10 == 0:
        digits //= 10
        scale -= 1
    if not -DIGITS_END < digits < DIGITS_END or scale > SCALE_MAX:
        raise ValueError(
            f"{text!r} has more digits than are kept exactly (18 digits, {SCALE_MAX} decimals)"
        )
    return digits, scale


def _complaint(text: str) -> str:
    if text.lower().strip("+-") in ("nan", "inf", "infinity", "null", "none", "na", "n/a"):
        return f"{text!r} is not a number: leave a missing value empty"
    if re.fullmatch(r"[+-]?[0-9.]*,[0-9]+", text):
        return (
            f'{text!r} has a comma: if it is the decimal point, write decimal = "," in [[source]]'
        )
    grouped = _GROUPED.fullmatch(text)
    if grouped:
        sign = {"\u2019": "'", "\u00a0": " ", "\u202f": " "}.get(grouped[1], grouped[1])
        return (
            f'{text[:40]!r} has signs between thousands: write thousands = "{sign}" in [[source]]'
        )
    return f"{text[:40]!r} is not a number{what_is_odd(text)}"


def what_is_odd(text: str) -> str:
    """Return what keeps a text from being a number that people take for one, after a colon; or nothing."""
    plain = unicodedata.normalize("NFKC", text).translate(_DASHES)
    if plain != text and _LIKE_A_NUMBER.match(plain):
        return ": its digits or signs only look like 0 to 9, point and minus; have the file written with those"
    if text[:1] in _BEFORE and _LIKE_A_NUMBER.match(text.lstrip("=('\"")):
        return f": {_BEFORE[text[:1]]}"
    match = _LIKE_A_NUMBER.match(text)
    rest = text[match.end() :].strip() if match else ""
    if rest[:1].isalpha() and rest[:1] not in "eExX":
        return ": something follows the number; have the file written without it"
    return ""
