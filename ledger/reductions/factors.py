"""Emission factors: from published text to exact fractions, and which factor may be used for what.

::

    EF_CM [t/MWh]   OM x w_OM + BM x w_BM, the weights sum to 1; a published CM is used as published
    CO2 of fuel     FC x NCV x CC x OF x 44/12     IPCC 2006, volume 2; CCER-01-001, (4) and (5)
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ledger.errors import BadInput, Refused
from ledger.reductions.records import Factor, Kind, Purpose
from ledger.units import KG_PER_TONNE

FACTOR_UNITS: dict[str, Fraction] = {
    "t/MWh": Fraction(1),
    "kg/kWh": Fraction(1),
    "kg/MWh": Fraction(1, 1000),
    "g/kWh": Fraction(1, 1000),
    "lb/MWh": Fraction(45359237, 10**11),
}
"""Kilograms per kilowatt-hour of one unit of a factor. A pound is 0.45359237 kg by definition."""

CO2_PER_CARBON = Fraction(44, 12)
"""Mass of CO2 per mass of carbon, by the molar masses that the IPCC's equations use."""

FUEL_UNITS: dict[str, Fraction] = {
    "t CO2/TJ": Fraction(1),
    "kg CO2/TJ": Fraction(1, 1000),
    "t C/TJ": CO2_PER_CARBON,
    "kg C/GJ": CO2_PER_CARBON,
}
"""Tonnes of CO2 per terajoule of one unit of a fuel's factor."""

GRID_MIN, GRID_MAX = Fraction(1, 100), Fraction(2)
"""Combined margins between which no warning is due, t/MWh: a grid of coal alone has about 1."""
FUEL_MIN, FUEL_MAX = Fraction(10), Fraction(400)
"""Factors of a fuel that emits between which no warning is due, t CO2/TJ: IPCC 2006 has 48.2 to 308 with its bounds."""
NCV_MIN, NCV_MAX = Fraction(1), Fraction(145)
"""Calorific values likewise, GJ/t: from blast furnace gas, 1.2, to hydrogen."""
DENSITY_MAX = Fraction(2)
"""Densities up to which no warning is due, kg/L."""

GJ_PER_TJ = 1000

_DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
_DAY = timedelta(days=1)


_ALWAYS = frozenset(
    ("code", "version", "purpose", "value", "unit", "source", "data_year", "verified")
)
"""Fields of the first release, which are hashed whether they are given or not."""


def content_sha256(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a factor's content, 64 digits, as its row and each manifest carry it.

    Of JSON in UTF-8 with sorted keys and no blanks, dates as ``YYYY-MM-DD``. A field that is not
    given is left out, unless the first release had it, so that a field that is added to ``Factor``
    changes the hash of no factor that is recorded.

    Parameters
    ----------
    fields
        Of a ``Factor``, or of the object that a manifest has for one; ``sha256`` is not its content.
    """
    content = {
        name: value
        for name, value in fields.items()
        if name != "sha256" and (value is not None or name in _ALWAYS)
    }
    text = json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
    )
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def fraction_of_decimal(text: str, what: str) -> Fraction:
    """Return plain decimal text as an exact fraction.

    Raises
    ------
    BadInput
        The text is not digits with at most one point.
    """
    if not _DECIMAL.fullmatch(text):
        raise BadInput(f"{what} must be a plain decimal number such as 0.4329, found {text!r}")
    return Fraction(text)


def factor_kg_per_kwh(factor: Factor) -> Fraction:
    """Return a factor in kg CO2e per kWh.

    Raises
    ------
    BadInput
        Its value is not a decimal, or its unit is not one of ``FACTOR_UNITS``.
    """
    if factor.unit not in FACTOR_UNITS:
        known = ", ".join(FACTOR_UNITS)
        raise BadInput(f"factor {factor.code}: unknown unit {factor.unit!r}; use one of {known}")
    value = fraction_of_decimal(factor.value, f"factor {factor.code}: value")
    return value * FACTOR_UNITS[factor.unit]


def combined_margin(factor: Factor) -> Fraction | None:
    """Return what the margins of a factor give, in its own unit; None when it names none.

    EF_CM = OM x w_OM + BM x w_BM (CDM TOOL07, step 6). A published value is used all the same.

    Raises
    ------
    BadInput
        Only some of the four are given, or the weights do not sum to 1.
    """
    given = (factor.om, factor.bm, factor.w_om, factor.w_bm)
    numbers = [
        fraction_of_decimal(text, f"factor {factor.code}: {name}")
        for name, text in zip(("om", "bm", "w_om", "w_bm"), given, strict=True)
        if text is not None
    ]
    if not numbers:
        return None
    if len(numbers) < len(given):
        raise BadInput(f"factor {factor.code}: om, bm, w_om and w_bm are given together, or none")
    om, bm, w_om, w_bm = numbers
    if w_om + w_bm != 1 or min(w_om, w_bm) < 0:
        raise BadInput(
            f"factor {factor.code}: the weights w_om {factor.w_om} and w_bm {factor.w_bm} must be "
            "shares that sum to 1"
        )
    return om * w_om + bm * w_bm


def margin_warning(factor: Factor) -> str | None:
    """Return what to say when the published value is not what its margins give; else None.

    They agree when the margins' value, rounded half up or cut to the decimals of the published one,
    is that one: publications do either.
    """
    margin = combined_margin(factor)
    if margin is None:
        return None
    value = fraction_of_decimal(factor.value, f"factor {factor.code}: value")
    unit = 10 ** len(factor.value.partition(".")[2])
    if value * unit in ((margin * unit + Fraction(1, 2)) // 1, (margin * unit) // 1):
        return None
    scaled = (margin * 10**9 + Fraction(1, 2)) // 1
    text = f"{scaled // 10**9}.{scaled % 10**9:09d}".rstrip("0")
    return (
        f"factor {factor.code} {factor.version}: {factor.w_om} x {factor.om} + {factor.w_bm} x "
        f"{factor.bm} is {text}, published is {factor.value}; the published value is used"
    )


def magnitude_warnings(factor: Factor) -> list[str]:
    """Return what to say of numbers of a factor that are not of the size of any grid's or fuel's: most often a unit.

    Raises
    ------
    BadInput
        A number is not a decimal, or its unit is unknown.
    """
    what = f"factor {factor.code} {factor.version}"
    if factor.purpose is Purpose.FUEL:
        return [f"{what}: {said}" for said in _fuel_sizes(factor)]
    value = factor_kg_per_kwh(factor)
    # What somebody bought may emit nothing, and so may a grid of water.
    least = GRID_MIN if factor.purpose is Purpose.CREDITING else Fraction(0)
    if least <= value <= GRID_MAX:
        return []
    size = "more" if value > GRID_MAX else "less"
    # Only powers of ten divide, so that it ends.
    tonnes = format(Decimal(value.numerator) / Decimal(value.denominator), "f")
    return [
        f"{what}: {factor.value} {factor.unit} is {tonnes} t/MWh, {size} than any grid emits; check the unit: g/kWh "
        "against kg/kWh"
    ]


def _fuel_sizes(factor: Factor) -> Iterator[str]:
    carbon = fraction_of_decimal(factor.value, "value") * FUEL_UNITS.get(factor.unit, Fraction(0))
    if carbon and not FUEL_MIN <= carbon <= FUEL_MAX:
        size = "more" if carbon > FUEL_MAX else "less"
        yield (
            f"{factor.value} {factor.unit} is {size} than any fuel emits; check the unit: t against kg, and CO2 "
            "against C"
        )
    if factor.ncv_gj_per_t is not None:
        ncv = fraction_of_decimal(factor.ncv_gj_per_t, "ncv_gj_per_t")
        if not NCV_MIN <= ncv <= NCV_MAX:
            size = "more" if ncv > NCV_MAX else "less"
            yield (
                f"ncv_gj_per_t {factor.ncv_gj_per_t} is {size} than any fuel has; check the unit: GJ/t is MJ/kg, and "
                "a thousandth of kJ/kg"
            )
    if factor.density_kg_per_l is not None:
        yield from density_warnings(factor.density_kg_per_l)


def density_warnings(density_kg_per_l: str) -> list[str]:
    """Return what to say of a density that no fuel has, kg/L. Gases have very little of it.

    Raises
    ------
    BadInput
        It is not a decimal.
    """
    if fraction_of_decimal(density_kg_per_l, "density_kg_per_l") <= DENSITY_MAX:
        return []
    return [
        f"density_kg_per_l {density_kg_per_l} is more than any fuel has; check the unit: kg/m3 is a thousandth of kg/L"
    ]


def require_crediting(factor: Factor) -> None:
    """Refuse a factor of the inventory where credits are made, and one that avoids nothing.

    Below zero it would credit what was drawn from the grid.

    Raises
    ------
    Refused
        The factor's purpose is not ``crediting_cm``.
    BadInput
        Its value is no decimal, or not more than 0.
    """
    if factor.purpose is not Purpose.CREDITING:
        raise Refused(
            f"factor {factor.code} {factor.version} is for {factor.purpose.value} and cannot mint: "
            "name a factor with purpose crediting_cm in [project]",
            code="wrong-purpose",
            details={"factor": factor.code, "purpose": factor.purpose.value},
        )
    if fraction_of_decimal(factor.value, f"factor {factor.code}: value") <= 0:
        raise BadInput(
            f"factor {factor.code} {factor.version}: the value of a crediting factor must be more than 0, "
            f"found {factor.value}"
        )


def require_valid(factor: Factor, start: date, end: date) -> None:
    """Refuse a period that a factor is not published for.

    Parameters
    ----------
    start, end
        Legal dates, ``end`` exclusive.

    Raises
    ------
    Refused
        A day of the period lies before ``valid_from`` or after ``valid_to``.
    """
    if not is_valid(factor, start, end):
        first = factor.valid_from or "the beginning"
        raise Refused(
            f"factor {factor.code} {factor.version} is valid from {first} to "
            f"{factor.valid_to or 'today'}, the period is {start} to {end}: name the factor of these "
            "days, or split the period",
            code="factor-not-valid",
            details={"factor": factor.code, "version": factor.version},
        )


def is_valid(factor: Factor, start: date, end: date) -> bool:
    """Return whether a factor is published for all legal days of a period, ``end`` exclusive."""
    early = factor.valid_from is not None and start < factor.valid_from
    late = factor.valid_to is not None and end > date.min and end - _DAY > factor.valid_to
    return not (early or late)


def fuel_t_per_tonne(factor: Factor) -> Fraction:
    """Return the CO2 of one tonne of a fuel, t: NCV x CC x 44/12 x OF, or NCV x EF x OF.

    IPCC 2006 Guidelines, volume 2, chapter 1: net calorific values of table 1.2, carbon content of
    table 1.3, CO2 factors of table 1.4; CCER-01-001, equation (5).

    Raises
    ------
    Refused
        The factor is not for fuel.
    BadInput
        It has no net calorific value, an unknown unit, or a number that makes of fuel what it is not.
    """
    if factor.purpose is not Purpose.FUEL:
        raise Refused(
            f"factor {factor.code} {factor.version} is for {factor.purpose.value} and not for fuel: "
            "name a factor with purpose fuel as fuel_factor in [[device]]",
            code="wrong-purpose",
            details={"factor": factor.code, "purpose": factor.purpose.value},
        )
    what = f"factor {factor.code}"
    if factor.unit not in FUEL_UNITS:
        known = ", ".join(FUEL_UNITS)
        raise BadInput(f"{what}: unknown unit {factor.unit!r} for a fuel; use one of {known}")
    if factor.ncv_gj_per_t is None:
        raise BadInput(f"{what}: ncv_gj_per_t is missing; give the net calorific value in GJ/t")
    carbon = fraction_of_decimal(factor.value, f"{what}: value") * FUEL_UNITS[factor.unit]
    ncv = fraction_of_decimal(factor.ncv_gj_per_t, f"{what}: ncv_gj_per_t")
    oxidised = fraction_of_decimal(factor.oxidation_share or "1", f"{what}: oxidation_share")
    if carbon < 0 or ncv <= 0 or not 0 < oxidised <= 1:
        raise BadInput(
            f"{what}: what a fuel emits is never less than 0: value is not below 0, ncv_gj_per_t more than 0, and "
            "oxidation_share more than 0 and at most 1"
        )
    return ncv / GJ_PER_TJ * carbon * oxidised


def fuel_kg(
    quantity: Fraction, kind: Kind, factor: Factor, density_kg_per_l: str | None = None
) -> Fraction:
    """Return the mass of a quantity of fuel, kg; litres by the density given, else the factor's.

    Raises
    ------
    BadInput
        Litres, and no density, or none that is more than 0.
    """
    if kind is Kind.FUEL_MASS:
        return quantity
    density = density_kg_per_l or factor.density_kg_per_l
    if density is None:
        raise BadInput(
            f"factor {factor.code} names no density and the meter counts litres: write "
            "density_kg_per_l into its [[device]]",
            code="no-density",
        )
    mass_kg_per_l = fraction_of_decimal(density, f"factor {factor.code}: density_kg_per_l")
    if mass_kg_per_l <= 0:  # of none, and of less, burning would cost nothing, or earn
        raise BadInput(
            f"factor {factor.code}: density_kg_per_l must be more than 0, found {density}"
        )
    return quantity * mass_kg_per_l


def fuel_t(
    quantity: Fraction, kind: Kind, factor: Factor, density_kg_per_l: str | None = None
) -> Fraction:
    """Return the CO2 of a quantity of fuel, t: FC x NCV x CC x OF x 44/12.

    Parameters
    ----------
    quantity
        Kilograms or litres, as ``kind`` says.
    density_kg_per_l
        Of the fuel as delivered; None takes the factor's.

    Raises
    ------
    BadInput
        What the calculation needs is missing.
    Refused
        The factor is not for fuel.
    """
    mass_kg = fuel_kg(quantity, kind, factor, density_kg_per_l)
    return mass_kg / KG_PER_TONNE * fuel_t_per_tonne(factor)
