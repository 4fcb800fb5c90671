"""What comes out of a reduction: counts, what each meter comes to, and the kilograms; immutable records.

Energy is kilowatt-hours, carbon is kilograms or tonnes of CO2 equivalent, each as an exact ``Fraction``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ledger.reductions.records import ReductionInputs
from ledger.units import KG_PER_TONNE


@dataclass(frozen=True, slots=True)
class Counts:
    """Slots of the period, over all meters of the project.

    ``expected = used + missing + outlier``; ``conflict`` counts slots with different values, which
    are used or outliers all the same.
    """

    expected: int = 0
    used: int = 0
    missing: int = 0
    outlier: int = 0
    conflict: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.expected + other.expected,
            self.used + other.used,
            self.missing + other.missing,
            self.outlier + other.outlier,
            self.conflict + other.conflict,
        )


@dataclass(frozen=True, slots=True)
class MeterResult:
    """What one meter comes to, permissible error included where one is deducted.

    Attributes
    ----------
    export_kwh, import_kwh
        What it adds to the balance, without what is certified.
    certified_kwh
        What each of its certificates leaves out of ``export_kwh``, in their order.
    load_kwh
        Used by a load; shown alone.
    charged_kwh, discharged_kwh
        Of a storage; shown alone.
    fuel_kg, fuel_t
        Fuel burnt, kg, and its emissions, t CO2.
    """

    serial: str
    export_kwh: Fraction = Fraction(0)
    import_kwh: Fraction = Fraction(0)
    load_kwh: Fraction = Fraction(0)
    charged_kwh: Fraction = Fraction(0)
    discharged_kwh: Fraction = Fraction(0)
    fuel_kg: Fraction = Fraction(0)
    fuel_t: Fraction = Fraction(0)
    certified_kwh: tuple[Fraction, ...] = ()


@dataclass(frozen=True, slots=True)
class SelfConsumption:
    """Where the generated energy went, interval by interval: information, never added to a baseline.

    Attributes
    ----------
    self_kwh
        The sum of min(load, generation).
    export_kwh
        The sum of max(generation - load, 0).
    interval_s
        Length of the intervals that were compared, seconds.
    """

    self_kwh: Fraction
    export_kwh: Fraction
    interval_s: int


@dataclass(frozen=True, slots=True)
class Reduction:
    """The reductions of one project in one period of one vintage."""

    inputs: ReductionInputs
    counts: Counts
    export_kwh: Fraction
    import_kwh: Fraction
    baseline_t: Fraction
    project_t: Fraction
    leakage_t: Fraction
    issued_kg: int
    carry_out_kg: Fraction
    evidence_root: str
    """``0x`` and 64 digits; empty when the period has no reading at all."""
    leaves: int
    uncertainty_t: Fraction = Fraction(0)
    meters: tuple[MeterResult, ...] = ()
    """In the order of the inputs' meters."""
    self_consumption: SelfConsumption | None = None
    """Where generation and load are both metered."""

    @property
    def net_kwh(self) -> Fraction:
        """Energy supplied less energy drawn, kWh."""
        return self.export_kwh - self.import_kwh

    @property
    def certified_kwh(self) -> Fraction:
        """Energy supplied that certificates leave out, kWh; it is not in ``export_kwh``."""
        return sum((part for meter in self.meters for part in meter.certified_kwh), Fraction(0))

    @property
    def reductions_kg(self) -> Fraction:
        """Baseline less project, leakage and uncertainty, kg CO2e, before any carry."""
        tonnes = self.baseline_t - self.project_t - self.leakage_t - self.uncertainty_t
        return tonnes * KG_PER_TONNE

    @property
    def available_kg(self) -> Fraction:
        """Reductions and carry together, kg CO2e; what ``issued_kg`` is cut from."""
        return self.reductions_kg + self.inputs.carry_in_kg

    @property
    def evidence_total_kg(self) -> int:
        """What the evidence can bear at most, kg: rounded up, for a positive carry is under 1 kg."""
        reductions = self.reductions_kg
        return max(0, -((-reductions.numerator) // reductions.denominator))
