"""Every conversion of a unit, with its rounding in the name; and a number with its noun.

Inside, quantities are integers of the smallest unit; at the edges they are exact ``Decimal`` or
decimal text. No function here accepts or returns a float.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction

HOUR_S = 3600
DAY_S = 86_400
"""A day of 24 hours; legal days of a site may be longer or shorter."""
KG_PER_TONNE = 1000
CENTS_PER_CURRENCY = 100
QUANTITY_SCALE = 1000
"""Trade quantities are multiples of 0.001."""
PRICE_SCALE = 10_000
"""Trade prices are multiples of 0.0001."""

# Wide enough for every DECIMAL of the schema; a result that does not fit raises instead of rounding.
_EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
_DIGITS_MAX = 60
"""More digits than any column holds; a longer number is refused before it costs time."""
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)", re.ASCII)


def tonnes_of_kg(kg: int) -> Decimal:
    """Return kilograms as tonnes with three decimals, exactly."""
    return _EXACT.divide(Decimal(kg), Decimal(KG_PER_TONNE)).quantize(
        Decimal("0.001"), context=_EXACT
    )


def kg_of_tonnes(tonnes: Decimal) -> int:
    """Return tonnes as kilograms.

    Raises
    ------
    ValueError
        If the tonnes are not a whole number of kilograms, or not finite.
    """
    try:
        return scaled_exact(tonnes, KG_PER_TONNE)
    except ValueError as error:
        raise ValueError(f"{tonnes} t is not a whole number of kilograms") from error


def text_of_fraction_floor(value: Fraction, decimals: int) -> str:
    """Return a fraction as decimal text, cut toward minus infinity.

    Parameters
    ----------
    value
        Any exact number.
    decimals
        How many digits to keep after the point.
    """
    scaled = (value.numerator * 10**decimals) // value.denominator
    sign, digits = ("-", -scaled) if scaled < 0 else ("", scaled)
    whole, part = divmod(digits, 10**decimals)
    return f"{sign}{whole}.{part:0{decimals}d}" if decimals else f"{sign}{whole}"


def decimal_floor(value: Fraction, decimals: int) -> Decimal:
    """Return a fraction as a Decimal, cut toward minus infinity."""
    return Decimal(text_of_fraction_floor(value, decimals))


def decimal_of(text: str) -> Decimal:
    """Return a number as people write it: digits, a point and a sign.

    Raises
    ------
    ValueError
        If it is written otherwise: ``1e3``, ``1_000``, digits of another script, blanks.
    """
    if not _PLAIN.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a number; write digits and a point")
    return Decimal(text)


def scaled_exact(value: Decimal, scale: int) -> int:
    """Return ``value * scale`` as an integer.

    Raises
    ------
    ValueError
        If the value has more digits than the scale holds, or is not finite, or is beyond any column.
    """
    if not value.is_finite():
        raise ValueError(f"{value} is not a number")
    _, digits, exponent = value.as_tuple()
    if len(digits) + abs(int(exponent)) > _DIGITS_MAX:
        raise ValueError(f"{str(value)[:20]}... has more than {_DIGITS_MAX} digits")
    scaled = _EXACT.multiply(value, Decimal(scale))
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{value} has more digits than 1/{scale}")
    return int(scaled)


def trade_cents_half_away(quantity_milli: int, price_e4: int) -> int:
    """Return the value of a trade in cents, rounded half away from zero.

    The contract recomputes the same number and refuses a batch that differs (SPEC: VppSettlement).

    Parameters
    ----------
    quantity_milli
        Quantity in units of 0.001.
    price_e4
        Signed price in units of 0.0001 of the currency.
    """
    # 0.001 x 0.0001 currency = 1e-7 currency = 1e-5 cents.
    product = quantity_milli * price_e4
    cents = (abs(product) + 50_000) // 100_000
    return -cents if product < 0 else cents


def currency_of_cents(cents: int) -> Decimal:
    """Return cents as currency with two decimals, exactly."""
    return _EXACT.divide(Decimal(cents), Decimal(CENTS_PER_CURRENCY)).quantize(
        Decimal("0.01"), context=_EXACT
    )


def currency_of_units(units: int, per_cent: int) -> Decimal:
    """Return base units, of which ``per_cent`` make a cent, as currency, exactly, with two decimals at least."""
    found = _EXACT.divide(Decimal(units), Decimal(per_cent * CENTS_PER_CURRENCY)).normalize(_EXACT)
    exponent = found.as_tuple().exponent
    assert isinstance(exponent, int)
    return found if exponent < -2 else found.quantize(Decimal("0.01"), context=_EXACT)


def decimal_half_up(value: Fraction, decimals: int) -> Decimal:
    """Return a fraction as a Decimal, rounded half away from zero (statistics only, never credits)."""
    scale = 10**decimals
    magnitude = abs(value) * scale
    scaled = (2 * magnitude.numerator + magnitude.denominator) // (2 * magnitude.denominator)
    sign = -1 if value < 0 else 1
    return Decimal(sign * scaled).scaleb(-decimals, Context(prec=80, rounding=ROUND_HALF_UP))


def plain(value: Decimal) -> str:
    """Return a decimal without zeros at its end, never in scientific notation."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: ``1 trade``, ``2 trades``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
