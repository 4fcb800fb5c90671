"""A second implementation of the reductions, from the sentences of the methodology; it shares no code.

Everything is a ``Fraction`` from the text on, one reading after the other, without a thought for speed.
Its inputs are plain words and texts, so that not even the records of the ledger stand between the two.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

ZERO = Fraction(0)
POUND_KG = Fraction(45359237, 10**8)
KG_PER_KWH = {
    "t/MWh": Fraction(1),
    "kg/kWh": Fraction(1),
    "kg/MWh": Fraction(1, 1000),
    "g/kWh": Fraction(1, 1000),
    "lb/MWh": POUND_KG / 1000,
}


@dataclass
class Plain:
    """One meter: what it counts, its readings as ``(start, end, text, usable)``, and what is known of it."""

    role: str
    kind: str
    readings: list[tuple[int, int, str, bool]]
    class_percent: str | None = None
    calibrated: bool = True
    spans: list[tuple[int, int | None, str | None]] = field(default_factory=list)
    """Several calibrations: begin, end and error found in percent, instead of the four around."""
    begins: int | None = None
    ends: int | None = None
    found_percent: str | None = None
    ncv: str = "0"
    carbon: str = "0"
    carbon_unit: str = "t CO2/TJ"
    oxidised: str | None = None
    density: str | None = None
    certificates: list[tuple[int, int, str | None, str | None]] = field(default_factory=list)
    """Begin, end, and MWh or a share of what was certified elsewhere."""


@dataclass
class Result:
    """What a period comes to."""

    export: Fraction = ZERO
    imported: Fraction = ZERO
    fuel_t: Fraction = ZERO
    certified: Fraction = ZERO
    loads: dict[int, Fraction] = field(default_factory=dict)
    pv: dict[int, Fraction] = field(default_factory=dict)
    charged: Fraction = ZERO
    discharged: Fraction = ZERO
    baseline: Fraction = ZERO
    leakage: Fraction = ZERO
    uncertainty: Fraction = ZERO
    reductions_kg: Fraction = ZERO
    issued: int = 0
    carry: Fraction = ZERO

    @property
    def self_used(self) -> Fraction:
        """Sum of the smaller of load and generation."""
        return sum((min(self.pv.get(at, ZERO), load) for at, load in self.loads.items()), ZERO)


def quantity(kind: str, start: int, end: int, text: str) -> Fraction:
    """Power times hours; everything else is what it says."""
    hours = Fraction(end - start, 3600) if kind == "power" else Fraction(1)
    return Fraction(text) * hours


def deduction(meter: Plain, start: int, end: int) -> Fraction:
    """The share by which a reading may be wrong against us."""
    allowed = Fraction(meter.class_percent or 0) / 100
    found = abs(Fraction(meter.found_percent or 0)) / 100
    if meter.spans:
        errors = []
        for begins, ends, percent in meter.spans:
            error = abs(Fraction(percent or 0)) / 100
            if begins <= start and (ends is None or end <= ends):
                return error if error > allowed else ZERO
            errors.append(error)
        return max(allowed, *errors)
    inside = meter.calibrated
    inside = inside and (meter.begins is None or meter.begins <= start)
    inside = inside and (meter.ends is None or end <= meter.ends)
    if inside:
        return found if found > allowed else ZERO
    return max(found, allowed)


class Sold:
    """What the certificates of a meter still take, one reading after the other."""

    def __init__(self, meter: Plain) -> None:
        self._items = meter.certificates
        self._left = [Fraction(mwh or 0) * 1000 for _, _, mwh, _ in self._items]

    def takes(self, start: int, end: int, kilowatt_hours: Fraction) -> Fraction:
        """How much of a reading is not ours to credit: shares first, then amounts, the first to end first."""
        mine = [
            number
            for number, (begins, ends, _, _) in enumerate(self._items)
            if start < ends and end > begins
        ]
        gone = ZERO
        for number in mine:
            gone += min(
                kilowatt_hours * Fraction(self._items[number][3] or 0), kilowatt_hours - gone
            )
        for number in sorted(mine, key=lambda number: (self._items[number][1], number)):
            part = min(self._left[number], kilowatt_hours - gone)
            self._left[number] -= part
            gone += part
        return gone


def co2_of_fuel(meter: Plain, amount: Fraction) -> Fraction:
    """FC x NCV x CC x OF x 44/12, with every unit written out."""
    kilograms = amount if meter.kind == "fuel_mass" else amount * Fraction(meter.density or 0)
    terajoules = kilograms / 1000 * Fraction(meter.ncv) / 1000
    of_carbon = {"t C/TJ": Fraction(44, 12), "kg C/GJ": Fraction(44, 12)}
    of_co2 = {"t CO2/TJ": Fraction(1), "kg CO2/TJ": Fraction(1, 1000)}
    tonnes = Fraction(meter.carbon) * (of_carbon | of_co2)[meter.carbon_unit]
    return terajoules * tonnes * Fraction(meter.oxidised or 1)


def compute(
    meters: list[Plain],
    factor: str,
    unit: str,
    carry: Fraction = ZERO,
    leakage: str = "0",
    uncertainty: str = "0",
) -> Result:
    """Compute one period."""
    result = Result()
    for meter in meters:
        sold = Sold(meter)
        for start, end, text, usable in meter.readings:
            if not usable:
                continue
            amount = quantity(meter.kind, start, end, text)
            error = deduction(meter, start, end)
            if meter.role in ("generation", "export"):
                if amount > 0:
                    supplied = amount * (1 - error)
                    certified = sold.takes(start, end, supplied)
                    result.certified += certified
                    result.export += supplied - certified
                else:
                    result.imported += -amount * (1 + error)
                if meter.role == "generation" and amount > 0:
                    result.pv[start] = result.pv.get(start, ZERO) + amount
            elif meter.role == "import" and amount > 0:
                result.imported += amount * (1 + error)
            elif meter.role == "fuel" and amount > 0:
                result.fuel_t += co2_of_fuel(meter, amount * (1 + error))
            elif meter.role == "load" and amount > 0:
                result.loads[start] = result.loads.get(start, ZERO) + amount
            elif meter.role == "storage" and amount > 0:
                result.discharged += amount
            elif meter.role == "storage":
                result.charged += -amount
    megawatt_hours = (result.export - result.imported) / 1000
    tonnes_per_megawatt_hour = Fraction(factor) * KG_PER_KWH[unit]
    result.baseline = megawatt_hours * tonnes_per_megawatt_hour
    result.leakage = Fraction(leakage) * result.baseline if result.baseline > 0 else ZERO
    before = result.baseline - result.fuel_t - result.leakage
    result.uncertainty = Fraction(uncertainty) * before if before > 0 else ZERO
    result.reductions_kg = (before - result.uncertainty) * 1000
    available = result.reductions_kg + carry
    result.issued = int(available // 1) if available > 0 else 0
    result.carry = available - result.issued
    return result


def chain(periods: list[Any], *arguments: Any, **shares: Any) -> list[Result]:
    """Compute periods of one vintage one after the other, each carry into the next."""
    results: list[Result] = []
    for meters in periods:
        carry = results[-1].carry if results else ZERO
        results.append(compute(meters, *arguments, carry=carry, **shares))
    return results
