"""What a methodology is, and the checks and equations that several of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ledger.errors import BadInput, Refused
from ledger.reductions.factors import (
    combined_margin,
    factor_kg_per_kwh,
    fraction_of_decimal,
    require_crediting,
    require_valid,
)
from ledger.reductions.records import Meter, ReductionInputs, Role
from ledger.units import KG_PER_TONNE


@dataclass(frozen=True, slots=True)
class Sums:
    """What the meters of a project come to together."""

    export_kwh: Fraction
    import_kwh: Fraction
    fuel_t: Fraction
    """CO2 of the fuel burnt, t."""

    @property
    def net_kwh(self) -> Fraction:
        """EG_PJ: energy supplied less energy drawn, kWh (CCER-01-002, equation (2))."""
        return self.export_kwh - self.import_kwh


@dataclass(frozen=True, slots=True)
class Emissions:
    """The four masses of a period, t CO2e; ER = BE - PE - LE - U."""

    baseline_t: Fraction
    project_t: Fraction
    leakage_t: Fraction
    uncertainty_t: Fraction


@dataclass(frozen=True, slots=True)
class Methodology:
    """One version of a methodology: what it takes, what it refuses, and what it computes.

    Attributes
    ----------
    id, version
        As a site file names them.
    title
        What it is for.
    source
        Where its equations stand.
    equations
        Each equation in one line, with its number in the source.
    check
        Refuses what it does not apply to.
    emissions
        Its equations.
    """

    id: str
    version: str
    title: str
    source: str
    equations: tuple[str, ...]
    check: Callable[[ReductionInputs], None]
    emissions: Callable[[ReductionInputs, Sums], Emissions]

    @property
    def name(self) -> str:
        """Id and version in one word."""
        return f"{self.id}/{self.version}"


# ---------------------------------------------------------------- checks


def check_grid_renewable(inputs: ReductionInputs) -> None:
    """Refuse what no methodology of renewable power on a grid applies to.

    Raises
    ------
    Refused
        No meter of supply; two that count the same energy; storage whose charge from the grid
        nobody meters; a factor that is not a combined margin, or not of these days.
    BadInput
        Weights of margins that do not sum to 1.
    """
    require_crediting(inputs.factor)
    _check_roles(inputs)
    combined_margin(inputs.factor)
    require_valid(inputs.factor, inputs.from_date, inputs.to_date)
    for meter in inputs.meters:
        if meter.fuel is not None and meter.is_there(inputs.from_s, inputs.to_s):
            require_valid(meter.fuel, inputs.from_date, inputs.to_date)


def _check_roles(inputs: ReductionInputs) -> None:
    """Refuse roles that no issuance may have; days that are only looked at need no supply, and may change it."""
    there = [meter for meter in inputs.meters if meter.is_there(inputs.from_s, inputs.to_s)]
    roles = {meter.role for meter in there}
    if inputs.enforce and not roles & {Role.GENERATION, Role.EXPORT}:
        what = ", ".join(sorted(role.value for role in roles)) or "no"
        raise Refused(
            f"project {inputs.project} has {what} meters and none of generation or export: savings on "
            "the demand side are refused until a methodology for them exists",
            code="demand-side",
            details={"roles": sorted(role.value for role in roles)},
        )
    if {Role.GENERATION, Role.EXPORT} <= roles and (inputs.enforce or _are_beside(inputs, there)):
        raise Refused(
            f"project {inputs.project} has generation and export meters: the exported energy would "
            "count twice; keep the one that is credited",
            code="counted-twice",
        )
    if {Role.EXPORT, Role.STORAGE} <= roles and not _is_import_metered(inputs, there):
        raise Refused(
            f"project {inputs.project} has an export meter with storage behind it and no import "
            "meter: what is charged from the grid would be credited when it comes back; declare the "
            "import meter, or credit at the generation meter",
            code="storage-unmetered",
        )


def _are_beside(inputs: ReductionInputs, meters: Sequence[Meter]) -> bool:
    """Return whether a meter of generation and one of export are there at one time of a period."""
    return any(
        other.is_there(*meter.in_service(inputs.from_s, inputs.to_s))
        for meter in meters
        if meter.role is Role.GENERATION
        for other in meters
        if other.role is Role.EXPORT
    )


def _is_import_metered(inputs: ReductionInputs, meters: Sequence[Meter]) -> bool:
    """Return whether an import meter is there at all times of a period at which a storage is."""
    period = inputs.from_s, inputs.to_s
    imports = sorted(meter.in_service(*period) for meter in meters if meter.role is Role.IMPORT)
    for meter in meters:
        if meter.role is Role.STORAGE:
            at_s, end_s = meter.in_service(*period)
            for begin_s, until_s in imports:
                if begin_s <= at_s:
                    at_s = max(at_s, until_s)
            if at_s < end_s:
                return False
    return True


# ---------------------------------------------------------------- equations


def baseline_t(inputs: ReductionInputs, sums: Sums) -> Fraction:
    """Return BE = EG_PJ x EF_CM, t (CCER-01-002, equation (1)).

    Kilograms per kilowatt-hour are tonnes per megawatt-hour, so that kWh / 1000 x factor is tonnes.
    """
    return sums.net_kwh / KG_PER_TONNE * factor_kg_per_kwh(inputs.factor)


def leakage_t(inputs: ReductionInputs, baseline: Fraction) -> Fraction:
    """Return LE, t: 0 for new wind and PV, else the declared share of a positive baseline.

    Raises
    ------
    BadInput
        The share is no decimal, or not from 0 to 1.
    """
    return _share(inputs.leakage_share, "leakage_share") * max(baseline, Fraction(0))


def uncertainty_t(inputs: ReductionInputs, reductions: Fraction) -> Fraction:
    """Return U, t: the declared share of positive reductions; a deficit is not made smaller by it.

    Raises
    ------
    BadInput
        The share is no decimal, or not from 0 to 1.
    """
    return _share(inputs.uncertainty_share, "uncertainty_share") * max(reductions, Fraction(0))


def grid_renewable_emissions(inputs: ReductionInputs, sums: Sums) -> Emissions:
    """Return BE, PE, LE and U of renewable power on a grid; PE is the CO2 of the fuel metered."""
    baseline = baseline_t(inputs, sums)
    leakage = leakage_t(inputs, baseline)
    uncertainty = uncertainty_t(inputs, baseline - sums.fuel_t - leakage)
    return Emissions(baseline, sums.fuel_t, leakage, uncertainty)


def _share(text: str, what: str) -> Fraction:
    share = fraction_of_decimal(text, what)
    if not 0 <= share <= 1:
        raise BadInput(f"{what} is a share, from 0 to 1, found {text}")
    return share
