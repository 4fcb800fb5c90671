"""What goes into a reduction: immutable records without database or chain; ``results`` are what comes out.

Energy is kilowatt-hours, carbon is kilograms or tonnes of CO2 equivalent, each as an exact
``Fraction``; times are whole seconds of UTC since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum, StrEnum
from fractions import Fraction

from ledger.reductions.runs import Reading, Readings, Run


class Kind(IntEnum):
    """What a reading measures. The number stands in the evidence leaf."""

    POWER = 1
    """Mean power over the interval, kW."""
    ENERGY = 2
    """Energy over the interval, kWh."""
    REGISTER = 3
    """Value of a cumulative register at one instant, kWh: an excluded one, the start is the end."""
    FUEL_MASS = 4
    """Fuel burnt over the interval, kg."""
    FUEL_VOLUME = 5
    """Fuel burnt over the interval, litres."""

    @property
    def is_fuel(self) -> bool:
        """Whether the reading counts fuel."""
        return self in (Kind.FUEL_MASS, Kind.FUEL_VOLUME)


class Quality(IntEnum):
    """What became of a reading, and why. The number stands in the evidence leaf.

    The hundreds are the quality, the rest is the reason; a new reason takes a new number, and a
    number never changes its meaning.
    """

    USED = 100
    USED_IN_CONFLICT = 101
    """Several different values of one instant: this is the one that claims least."""
    USED_BESIDE_CERTIFICATE = 102
    """Counts, less what certificates of its days take: the manifest names them, and how much."""
    MISSING = 200
    """The file has the instant, without a value."""
    MISSING_SENTINEL = 201
    """The text is one that the source declares to mean "no value"."""
    OUTLIER_ABOVE = 301
    """Above 1.2 times the rated power."""
    OUTLIER_BELOW = 302
    """Below -0.2 times the rated power."""
    STUCK = 303
    """One of a flat line of positive values that the meter cannot produce."""
    COUNTER_FELL = 304
    """A register is lower than before, without a declared width or change that explains it."""
    SUPERSEDED_IN_CONFLICT = 401
    """Another value of the same instant claims less."""
    SUPERSEDED_SAME_VALUE = 402
    """The same value of the same instant, written in another way."""
    SUPERSEDED_EMPTY = 403
    """Empty, where another row has a value for the same instant."""
    REGISTER_CONFLICT = 404
    """A register has several values at one instant: none is used, the difference runs over it."""
    REGISTER_DIP = 405
    """A register was lower, and soon back where it was: not used, the difference runs over it."""
    LATE = 500
    """Arrived after its period was issued; stands in no evidence root."""


USED = frozenset({Quality.USED, Quality.USED_IN_CONFLICT, Quality.USED_BESIDE_CERTIFICATE})
MISSING = frozenset({Quality.MISSING, Quality.MISSING_SENTINEL})
OUTLIER = frozenset(
    {Quality.OUTLIER_ABOVE, Quality.OUTLIER_BELOW, Quality.STUCK, Quality.COUNTER_FELL}
)
SUPERSEDED = frozenset(quality for quality in Quality if quality // 100 == 4)
WITHOUT_VALUE = frozenset({Quality.MISSING_SENTINEL, Quality.SUPERSEDED_EMPTY})
"""Of a reading with a text: its source declares that to mean "no value"."""


class Role(StrEnum):
    """What a meter counts."""

    GENERATION = "generation"
    IMPORT = "import"
    EXPORT = "export"
    LOAD = "load"
    FUEL = "fuel"
    STORAGE = "storage"
    """A battery: positive is discharge, negative is charge. It makes no energy: never credited."""

    @property
    def supplies(self) -> bool:
        """Whether positive values are supplied to the grid, and negative ones drawn from it."""
        return self in (Role.GENERATION, Role.EXPORT)

    @property
    def counts(self) -> bool:
        """Whether the meter enters the balance: loads and storage are shown, and count for nothing."""
        return self not in (Role.LOAD, Role.STORAGE)


class Purpose(StrEnum):
    """What a factor may be used for: inventory and reductions are two books and never mix."""

    INVENTORY_LOCATION = "inventory_location"
    INVENTORY_MARKET = "inventory_market"
    CREDITING = "crediting_cm"
    FUEL = "fuel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """An emission factor as published. Numbers are decimal text, None where nothing is published.

    But for ``sha256``, its fields are the keys of a ``[[factor]]``, and stand in the order in which they are printed.
    """

    code: str
    version: str
    purpose: Purpose
    value: str
    """As published."""
    unit: str
    """One of ``factors.FACTOR_UNITS``, for fuel one of ``factors.FUEL_UNITS``."""
    source: str
    data_year: int | None = None
    verified: bool
    document: str | None = None
    """The publication, as far as ``source`` does not name it."""
    document_sha256: str | None = None
    gas_set: str | None = None
    """The gases that it counts, such as ``CO2``."""
    boundary: str | None = None
    """What it counts them over."""
    published_at: date | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    """Last legal day."""
    om: str | None = None
    """Operating margin, in the unit of ``value``; with ``bm`` and both weights, or not at all."""
    bm: str | None = None
    w_om: str | None = None
    w_bm: str | None = None
    ncv_gj_per_t: str | None = None
    """Net calorific value of a fuel."""
    density_kg_per_l: str | None = None
    oxidation_share: str | None = None
    """Share of the carbon that is oxidised; None is all of it."""
    sha256: str
    """SHA-256 of the factor's content, so that a silent edit shows: another content is another version."""


@dataclass(frozen=True, slots=True)
class CalibrationSpan:
    """One of several calibrations of a meter.

    Attributes
    ----------
    from_s, to_s
        The calibrated interval, ``to_s`` exclusive; None where it is open.
    measured_error
        As in ``Calibration``.
    certificate_sha256
        SHA-256 of the certificate, 64 digits; None when it is not given.
    """

    from_s: int | None = None
    to_s: int | None = None
    measured_error: str | None = None
    certificate_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """When a meter's error is known to be within its class.

    Attributes
    ----------
    accuracy_class
        Text such as ``"0.5"`` or ``"0.5S"``: percent of the reading; None when nothing is declared.
    calibrated
        False: the maximum permissible error of the class is deducted throughout.
    from_s, to_s
        The calibrated interval, ``to_s`` exclusive; None where it is open.
    measured_error
        Percent, decimal text with its sign: what the calibration found. It is deducted where it is
        beyond the class; None when nothing is declared.
    spans
        Several calibrations, in order and without time in common; ``from_s``, ``to_s`` and
        ``measured_error`` are None then.
    """

    accuracy_class: str | None = None
    calibrated: bool = True
    from_s: int | None = None
    to_s: int | None = None
    measured_error: str | None = None
    spans: tuple[CalibrationSpan, ...] = ()


@dataclass(frozen=True, slots=True)
class EnergyCertificate:
    """Energy of a meter that was sold or issued under another instrument: it is not credited.

    Attributes
    ----------
    instrument, reference
        What it is, and its number in the registry that issued it.
    from_s, to_s
        The time of the energy, ``to_s`` exclusive.
    energy_mwh
        How much of what the meter supplied in that time, decimal text; None for a share.
    share
        Which share of it, decimal text from 0 to 1; None for an amount.
    before_kwh
        Of an amount: what other issuances have left out for it already, kWh.
    """

    instrument: str
    reference: str
    from_s: int
    to_s: int
    energy_mwh: str | None = None
    share: str | None = None
    before_kwh: Fraction = Fraction(0)

    @property
    def name(self) -> str:
        """How a manifest's differences name it."""
        return f"{self.instrument} {self.reference}"


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter of a project with every reading of the period."""

    serial: str
    device_code: str
    role: Role
    kind: Kind
    unit: str
    """Unit of the text, as the source declares it."""
    interval_s: int
    rated_kw: str | None
    calibration: Calibration
    readings: Sequence[Reading]
    """In order; kept as ``Readings``, however they are given."""
    fuel: Factor | None = None
    """Factor of the fuel that a meter of the role fuel counts."""
    density_kg_per_l: str | None = None
    """Density of that fuel as delivered, decimal text; None takes the factor's."""
    stuck_hours: int = 0
    """How long one value makes a flat line, see ``flatlines``; 0: none is looked for."""
    register: bool = False
    """Whether its readings are differences of a cumulative register, see ``registers``."""
    certificates: tuple[EnergyCertificate, ...] = ()
    """Those of its energy in the period, in order of time; see ``certificates``."""
    in_service_from_s: int | None = None
    """Since when it is there, and what it counts has to be known; None where that is open."""
    in_service_to_s: int | None = None
    """Until when, exclusive."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "readings", Readings.of(self.readings))

    @property
    def runs(self) -> tuple[Run, ...]:
        """The readings in runs of those that are alike."""
        return Readings.of(self.readings).runs

    def in_service(self, from_s: int, to_s: int) -> tuple[int, int]:
        """Return which part of a time it is there; its end is not after its begin where that is none of it."""
        begin, end = self.in_service_from_s, self.in_service_to_s
        return (
            from_s if begin is None else max(from_s, begin),
            to_s if end is None else min(to_s, end),
        )

    def is_there(self, from_s: int, to_s: int) -> bool:
        """Return whether it is there in some part of a time."""
        begin, end = self.in_service(from_s, to_s)
        return begin < end

    def runs_in_service(self) -> tuple[Run, ...]:
        """Return its readings of the time that it is there."""
        if self._is_always_there:
            return self.runs
        return tuple(part for run in self.runs for part in run.parted(self._inside(run))[0])

    def counted_out_of_service(self) -> Iterator[int]:
        """Yield where the used readings begin that are not 0, and of which it is not there all the time."""
        if self._is_always_there:
            return
        for run in self.runs:
            if run.shape.quality in USED:
                inside = self._inside(run)
                for start_s, digits, there in zip(run.starts, run.digits, inside, strict=True):
                    if digits and not there:
                        yield start_s

    @property
    def _is_always_there(self) -> bool:
        return self.in_service_from_s is None and self.in_service_to_s is None

    def _inside(self, run: Run) -> list[bool]:
        """Return of each reading of a run whether it is there all the while."""
        least_s, most_s, seconds = self.in_service_from_s, self.in_service_to_s, run.shape.seconds
        return [
            (least_s is None or start_s >= least_s)
            and (most_s is None or start_s + seconds <= most_s)
            for start_s in run.starts
        ]


@dataclass(frozen=True, slots=True)
class CarriedCorrection:
    """A deficit of an earlier period that enters this one.

    Attributes
    ----------
    key
        Of the correction, ``0x`` and 64 digits.
    cause
        Why the earlier period was computed again.
    from_date, to_date
        The earlier period, ``to_date`` exclusive.
    carried_kg
        Below zero, kg CO2e.
    """

    key: str
    cause: str
    from_date: date
    to_date: date
    carried_kg: Fraction


@dataclass(frozen=True, slots=True)
class ReductionInputs:
    """Everything that a reduction depends on: equal inputs give equal results, bit for bit."""

    program: str
    project: str
    site: str
    methodology: str
    methodology_version: str
    vintage: int
    zone: str
    tzdata: str
    from_date: date
    to_date: date
    """Exclusive."""
    from_s: int
    to_s: int
    factor: Factor
    completeness_min: str
    """Share of the expected slots, decimal text."""
    meters: tuple[Meter, ...]
    carry_in_kg: Fraction = Fraction(0)
    enforce: bool = True
    """False looks at a period that will not be issued: neither empty nor incomplete is refused, nor
    a methodology that is not known."""
    leakage_share: str = "0"
    """Share of the baseline emissions, decimal text."""
    uncertainty_share: str = "0"
    """Share of positive reductions that is deducted, decimal text."""
    corrections: tuple[CarriedCorrection, ...] = ()
    """Deficits of corrections; ``carry_in_kg`` holds them already."""
    withdrawn: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Starts of the readings that are withdrawn and whose values are deducted, of each meter by its serial: no such
    slot is issued until it is known what is to be deducted. A manifest says nothing of it: who checks one sees their
    texts."""
