"""What a methodology applies to, what it computes, and the traps that the methodology page names."""

import re
from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest

from ledger.errors import BadInput, Refused
from ledger.reductions import (
    Calibration,
    CalibrationSpan,
    Factor,
    Kind,
    Meter,
    Purpose,
    Quality,
    Reading,
    ReductionInputs,
    Role,
    compute,
    methodologies,
    report,
)
from ledger.reductions import manifest as manifests
from ledger.reductions.factors import combined_margin, fuel_t, margin_warning
from tests.ledger.test_reductions import FACTOR, inputs, meter, reading

DIESEL = Factor(
    code="diesel",
    version="2006",
    purpose=Purpose.FUEL,
    value="74100",
    unit="kg CO2/TJ",
    source="IPCC 2006, volume 2, tables 1.2 and 1.4",
    verified=False,
    sha256="22" * 32,
    ncv_gj_per_t="43.0",
)
ASB0038 = replace(FACTOR, om="0.4620", bm="0.3456", w_om="0.75", w_bm="0.25")
DAY = [reading(slot, 600) for slot in range(144)]
"""A day of 600 kW: 100 kWh in each ten minutes."""


def energy(slot: int, kwh: int, kind: Kind = Kind.ENERGY, **changes: int) -> Reading:
    return reading(slot, kwh, kind=kind, **changes)


def fuel_meter(*readings: Reading, kind: Kind = Kind.FUEL_VOLUME, **changes: object) -> Meter:
    base = replace(
        meter(list(readings), Role.FUEL, "fuel"), kind=kind, fuel=DIESEL, density_kg_per_l="0.84"
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def litres(slot: int, amount: int, kind: Kind = Kind.FUEL_VOLUME) -> Reading:
    return energy(slot, amount, kind)


# ---------------------------------------------------------------- which methodology


@pytest.mark.parametrize(
    ("methodology", "version"),
    [("CCER-01-001", "V01"), ("CCER-01-002", "V01"), ("internal-grid-renewable", "1")],
)
def test_the_known_methodologies_compute_the_same_of_a_plain_meter(
    methodology: str, version: str
) -> None:
    found = compute(inputs(meter(DAY), methodology=methodology, methodology_version=version))
    assert found.reductions_kg == Fraction("0.4329") * 14_400
    assert manifests.build(found)["methodology"] == {"id": methodology, "version": version}
    known = methodologies.find(methodology, version)
    assert known.source and all("=" in line or "export" in line for line in known.equations)


@pytest.mark.parametrize(
    ("methodology", "version"), [("CCER-01-002", "V02"), ("demand-side-savings", "1"), ("", "")]
)
def test_an_unknown_methodology_is_refused_with_those_that_are_known(
    methodology: str, version: str
) -> None:
    with pytest.raises(Refused, match="known are CCER-01-001/V01, CCER-01-002/V01") as caught:
        compute(inputs(meter(DAY), methodology=methodology, methodology_version=version))
    assert (caught.value.code, caught.value.exit_code) == ("unknown-methodology", 1)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("roles", [[Role.LOAD], [Role.LOAD, Role.IMPORT], [Role.STORAGE], []])
def test_savings_on_the_demand_side_are_refused_until_a_methodology_exists(
    roles: list[Role],
) -> None:
    meters = [meter([reading(0, 1)], role, role.value) for role in roles]
    with pytest.raises(Refused, match="demand side are refused until a methodology") as caught:
        compute(inputs(*meters))
    assert caught.value.code == "demand-side"


def test_trap_storage_charged_from_the_grid_is_not_credited_when_it_comes_back() -> None:
    export = meter([reading(0, 600)], Role.EXPORT, "e")
    battery = meter([reading(0, -600), reading(1, 600)], Role.STORAGE, "b")
    with pytest.raises(Refused, match="declare the import meter") as caught:
        compute(inputs(export, battery))
    assert caught.value.code == "storage-unmetered"
    grid = meter([reading(1, 600)], Role.IMPORT, "i")
    assert compute(inputs(export, battery, grid)).net_kwh == 0


# ---------------------------------------------------------------- self-use and storage


def test_trap_self_use_is_counted_once_and_not_a_second_time_from_the_load() -> None:
    pv = meter([energy(0, 100), energy(1, 60), energy(2, 40), energy(3, 0)])
    load = meter([energy(0, 30), energy(1, 60), energy(2, 80), energy(3, 50)], Role.LOAD, "load")
    found = compute(inputs(pv, load))
    assert found.net_kwh == 200
    assert found.reductions_kg == Fraction("0.4329") * 200
    own = found.self_consumption
    assert own is not None
    # min: 30 + 60 + 40 + 0; what is left goes out: 70 + 0 + 0 + 0
    assert (own.self_kwh, own.export_kwh) == (130, 70)
    assert own.self_kwh + own.export_kwh == found.export_kwh
    # What adding self-use again would have claimed: 65 % more here, 49 % in one real year.
    assert (found.export_kwh + own.self_kwh) / found.export_kwh == Fraction("1.65")
    shown = report(found)
    assert shown["self_consumption"] == {
        "self_kwh": "130.000000000",
        "export_kwh": "70.000000000",
        "interval_s": 600,
    }
    assert found.counts.expected == 144  # a load that is missing does not make a period incomplete


def test_self_use_is_of_energy_and_of_what_flows_forward() -> None:
    pv = meter([reading(0, 600), reading(1, -60), reading(2, 60)])  # kW: 100, -10 and 10 kWh
    load = meter([energy(0, 50), energy(1, 50), energy(2, -5)], Role.LOAD, "load")
    own = compute(inputs(pv, load)).self_consumption
    assert own is not None
    assert (own.self_kwh, own.export_kwh) == (50, 60)


def test_self_use_is_compared_over_the_shortest_interval_that_fits_all_meters() -> None:
    pv = meter([energy(0, 60), energy(1, 0), energy(2, 0)])
    half = reading(0, 50, kind=Kind.ENERGY, end_s=1800)
    load = replace(meter([half], Role.LOAD, "load"), interval_s=900)
    assert compute(inputs(pv, load)).self_consumption is not None
    own = compute(inputs(pv, replace(load, interval_s=1800))).self_consumption
    assert own is not None
    assert (own.self_kwh, own.export_kwh, own.interval_s) == (50, 10, 1800)
    long = reading(0, 50, kind=Kind.ENERGY, end_s=3600)
    longer = replace(meter([long], Role.LOAD, "load"), interval_s=1800)
    assert compute(inputs(pv, longer)).self_consumption is None  # of no use in such cells


def test_trap_storage_is_shown_and_never_counted_again_at_discharge() -> None:
    battery = meter([reading(0, -300), reading(1, 240)], Role.STORAGE, "b")
    found = compute(inputs(meter(DAY), battery))
    assert found.reductions_kg == compute(inputs(meter(DAY))).reductions_kg
    assert report(found)["storage"] == {
        "charged_kwh": "50.000000000",
        "discharged_kwh": "40.000000000",
    }
    assert found.leaves == 146  # its readings are committed all the same
    assert (found.meters[1].serial, found.meters[1].discharged_kwh) == ("b", 40)


# ---------------------------------------------------------------- fuel


def test_fuel_by_hand_1000_litres_of_diesel() -> None:
    # 1,000 L x 0.84 kg/L = 0.84 t; x 43.0 GJ/t = 36.12 GJ; x 74.1 t/TJ = 2.676492 t
    assert fuel_t(Fraction(1000), Kind.FUEL_VOLUME, DIESEL, "0.84") == Fraction("2.676492")
    # By carbon content, 20.2 t C/TJ: 0.03612 x 20.2 x 44/12 = 2.675288 t; of 98 % of it 2.62178224
    carbon = replace(DIESEL, value="20.2", unit="t C/TJ")
    assert fuel_t(Fraction(840), Kind.FUEL_MASS, carbon) == Fraction("2.675288")
    burnt = replace(carbon, oxidation_share="0.98")
    assert fuel_t(Fraction(840), Kind.FUEL_MASS, burnt) == Fraction("2.62178224")
    # Of wood the CO2 may be counted elsewhere, as 0; in tonnes a factor under 1 is one, too.
    for value, unit, tonnes in (("0", "t CO2/TJ", "0"), ("0.5", "t CO2/TJ", "0.01806")):
        wood = replace(DIESEL, value=value, unit=unit)
        assert fuel_t(Fraction(840), Kind.FUEL_MASS, wood) == Fraction(tonnes)


def test_fuel_is_deducted_as_project_emissions() -> None:
    found = compute(inputs(meter(DAY), fuel_meter(litres(0, 600), litres(70, 400))))
    assert found.project_t == Fraction("2.676492")
    assert found.reductions_kg == Fraction("0.4329") * 14_400 - Fraction("2676.492")
    assert found.counts.expected == 144
    shown = report(found)
    assert shown["project_t"] == "2.676492000"
    assert shown["fuel"] == {"fuel_kg": "840.000000000", "fuel_t": "2.676492000"}


def test_trap_kilograms_of_fuel_are_not_tonnes() -> None:
    kilograms = fuel_meter(litres(0, 840, Kind.FUEL_MASS), kind=Kind.FUEL_MASS)
    assert compute(inputs(meter(DAY), kilograms)).project_t == Fraction("2.676492")


def test_a_fuel_meter_that_may_err_is_deducted_with_its_error() -> None:
    uncalibrated = fuel_meter(litres(0, 1000), calibration=Calibration("2", calibrated=False))
    found = compute(inputs(meter(DAY), uncalibrated))
    assert found.project_t == Fraction("2.676492") * Fraction("1.02")


def test_fuel_that_flows_back_makes_no_credit() -> None:
    found = compute(inputs(meter(DAY), fuel_meter(litres(0, -1000))))
    assert found.project_t == 0


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"fuel": None}, Refused, "counts fuel and has no factor"),
        ({"fuel": FACTOR}, Refused, "is for crediting_cm and not for fuel"),
        ({"density_kg_per_l": None}, BadInput, "write density_kg_per_l into its"),
        ({"fuel": replace(DIESEL, ncv_gj_per_t=None)}, BadInput, "ncv_gj_per_t is missing"),
        ({"fuel": replace(DIESEL, unit="t/MWh")}, BadInput, "unknown unit 't/MWh' for a fuel"),
        # Of these each earned credits for what was burnt, or cost none, and was found to follow from the readings.
        ({"fuel": replace(DIESEL, value="-1")}, BadInput, "never less than 0"),
        ({"fuel": replace(DIESEL, ncv_gj_per_t="0")}, BadInput, "never less than 0"),
        ({"fuel": replace(DIESEL, oxidation_share="0")}, BadInput, "never less than 0"),
        ({"fuel": replace(DIESEL, oxidation_share="1.01")}, BadInput, "never less than 0"),
        ({"density_kg_per_l": "-0.84"}, BadInput, "density_kg_per_l must be more than 0"),
        ({"density_kg_per_l": "0"}, BadInput, "density_kg_per_l must be more than 0"),
        ({"kind": Kind.ENERGY}, Refused, "a source of kind fuel feeds the role fuel"),
    ],
)
def test_fuel_that_cannot_be_computed_is_refused(
    changes: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        compute(inputs(meter(DAY), fuel_meter(litres(0, 1), **changes)))


def test_litres_at_a_meter_of_generation_are_refused() -> None:
    with pytest.raises(Refused, match="feeds the role fuel, and no other"):
        compute(inputs(replace(meter(DAY), kind=Kind.FUEL_VOLUME)))


# ---------------------------------------------------------------- leakage and uncertainty


def test_leakage_and_uncertainty_are_deducted_of_what_is_positive() -> None:
    found = compute(inputs(meter(DAY), leakage_share="0.01", uncertainty_share="0.05"))
    baseline = Fraction("0.4329") * Fraction("14.4")
    assert found.leakage_t == baseline / 100
    assert found.uncertainty_t == baseline * Fraction("0.99") / 20
    assert found.reductions_kg == baseline * 1000 * Fraction("0.99") * Fraction("0.95")
    assert report(found)["uncertainty_t"] == "0.308571120"
    poor = compute(inputs(meter([reading(0, -600)]), leakage_share="1", uncertainty_share="1"))
    assert (poor.leakage_t, poor.uncertainty_t) == (0, 0)
    assert poor.reductions_kg == Fraction("-43.29")  # a deficit is not made smaller


@pytest.mark.parametrize("name", ["leakage_share", "uncertainty_share"])
@pytest.mark.parametrize("text", ["1.01", "-0.1", "1%"])
def test_a_share_that_is_none_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadInput, match=name):
        compute(inputs(meter(DAY), **{name: text}))


# ---------------------------------------------------------------- the error of a meter


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rated_kw": "-1"}, "rated_kw is not below 0"),
        (
            {"calibration": Calibration("2", spans=(CalibrationSpan(0), CalibrationSpan(7)))},
            "one after the other",
        ),
        (
            {"calibration": Calibration("2", spans=(CalibrationSpan(0, 9), CalibrationSpan(7)))},
            "one after the other",
        ),
    ],
)
def test_a_meter_that_no_site_file_can_declare_is_refused(
    changes: dict[str, object], said: str
) -> None:
    """A stranger's manifest reaches the arithmetic without one."""
    with pytest.raises(BadInput, match=said):
        compute(inputs(replace(meter(DAY), **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("calibration", "export"),
    [
        (Calibration("0.5"), "100"),
        (Calibration("0.5", measured_error="0.5"), "100"),  # within its class
        (Calibration("0.5", measured_error="0.8"), "99.2"),
        (Calibration("0.5", measured_error="-0.8"), "99.2"),
        (Calibration("0.5", calibrated=False, measured_error="0.1"), "99.5"),
        (Calibration("0.5", calibrated=False, measured_error="-0.8"), "99.2"),
        (Calibration("0.5", to_s=300, measured_error="0.8"), "99.2"),
        (Calibration(None, measured_error="0.8"), "99.2"),
    ],
)
def test_the_measured_error_is_deducted_where_the_meter_is_out_of_its_class(
    calibration: Calibration, export: str
) -> None:
    supply = replace(meter([reading(0, 600), reading(1, -600)]), calibration=calibration)
    found = compute(inputs(supply))
    assert found.export_kwh == Fraction(export)
    assert found.import_kwh == 200 - Fraction(export)
    bought = replace(meter([reading(0, 600)], Role.IMPORT, "i"), calibration=calibration)
    assert compute(inputs(meter(DAY), bought)).import_kwh == 200 - Fraction(export)


def test_the_calculation_splits_at_the_calibration_and_each_part_has_its_error() -> None:
    known = Calibration("0.2", from_s=600, to_s=1200, measured_error="0.3")
    part = replace(meter(DAY[:3]), calibration=known)
    # Before and after: the larger of 0.2 and 0.3; within: 0.3, for that is out of class 0.2.
    assert compute(inputs(part)).export_kwh == 3 * Fraction("99.7")
    better = replace(part, calibration=replace(known, measured_error="0.1"))
    assert compute(inputs(better)).export_kwh == Fraction("99.8") + 100 + Fraction("99.8")


def test_the_calculation_splits_at_each_of_several_calibrations() -> None:
    spans = (
        CalibrationSpan(0, 600, None),
        CalibrationSpan(600, 1200, "-0.7"),
        CalibrationSpan(1800, None, "0.1"),
    )
    known = Calibration("0.5", spans=spans)
    part = replace(meter(DAY[:4]), calibration=known)
    # 100 as measured; 0.7 is beyond the class; between the calibrations the largest of all, 0.7 again;
    # 0.1 is within the class.
    expected = 100 + Fraction("99.3") + Fraction("99.3") + 100
    assert compute(inputs(part)).export_kwh == expected
    # The same four, each under the one calibration of its time.
    alone = [
        Calibration("0.5", from_s=0, to_s=600),
        Calibration("0.5", from_s=600, to_s=1200, measured_error="-0.7"),
        Calibration("0.5", calibrated=False, measured_error="-0.7"),
        Calibration("0.5", from_s=1800, measured_error="0.1"),
    ]
    meters = [
        replace(meter([item], Role.GENERATION, f"m{place}"), calibration=calibration)
        for place, (item, calibration) in enumerate(zip(DAY[:4], alone, strict=True))
    ]
    assert compute(inputs(*meters)).export_kwh == expected


# ---------------------------------------------------------------- completeness by role


def test_a_missing_slot_of_an_import_meter_is_not_conservative_and_refused() -> None:
    bought = [reading(slot, 6) for slot in range(144)]
    whole = compute(inputs(meter(DAY), meter(bought, Role.IMPORT, "i"), completeness_min="0.5"))
    assert whole.import_kwh == 144
    lacking = [*bought[:-1], reading(143, 0, text="", quality=Quality.MISSING)]
    impossible = [*bought[:-1], reading(143, 10**6, quality=Quality.OUTLIER_ABOVE)]
    for readings in (bought[:-1], lacking, impossible):
        with pytest.raises(Refused, match="1 readings of the import meter i") as caught:
            compute(inputs(meter(DAY), meter(readings, Role.IMPORT, "i"), completeness_min="0.5"))
        assert (caught.value.code, caught.value.details["role"]) == ("incomplete", "import")
        # A project that asks for no completeness is told by the counts alone.
        loose = compute(inputs(meter(DAY), meter(readings, Role.IMPORT, "i")))
        assert loose.counts.missing + loose.counts.outlier == 1


def there(found: Meter, first: int | None, end: int | None) -> Meter:
    """Return a meter that is in service from one slot to before another."""
    begin_s, end_s = (None if slot is None else slot * 600 for slot in (first, end))
    return replace(found, in_service_from_s=begin_s, in_service_to_s=end_s)


def test_a_meter_that_was_replaced_is_missed_by_nobody_when_it_is_gone() -> None:
    """The old one stays with its project: nothing could ever be issued again."""
    old = meter([reading(slot, 6) for slot in range(60)], Role.IMPORT, "i")
    new = meter([energy(slot, 1) for slot in range(60, 144)], Role.IMPORT, "j")
    with pytest.raises(Refused, match="84 readings of the import meter i"):
        compute(inputs(meter(DAY), old, new, completeness_min="0.5"))
    both = there(old, None, 60), there(new, 60, None)
    found = compute(inputs(meter(DAY), *both, completeness_min="1"))
    assert (found.import_kwh, found.counts.expected, found.counts.missing) == (144, 288, 0)
    silent = "if it was not there, write in_service_from or in_service_to into the [[device]] i"
    for lacking in (
        inputs(meter(DAY), meter([], Role.IMPORT, "i")),
        inputs(meter(DAY), meter([], serial="i")),
    ):
        with pytest.raises(
            Refused, match=f"choose another period; of i there is nothing: {re.escape(silent)}$"
        ):
            compute(replace(lacking, completeness_min="0.5001"))
    # In a period that is not its own, it has nothing to say at all; what it should have is missed as ever.
    for first, end in ((-99, 0), (-99, -50), (144, None), (200, None)):
        gone = there(meter([], Role.IMPORT, "i"), first, end)
        assert compute(inputs(meter(DAY), gone, completeness_min="1")).counts.expected == 144
    with pytest.raises(Refused, match="1 readings of the import meter i"):
        compute(inputs(meter(DAY), there(old, None, 61), both[1], completeness_min="0.5"))
    zeros = [energy(slot, 0) for slot in range(60, 144)]
    for more, ok in (([], False), (zeros, True)):  # replaced within a day, on which it is there
        odd = there(meter([*old.readings, *more], Role.IMPORT, "i"), None, 144)
        asked = inputs(meter(DAY), odd, completeness_min="0.5")
        if ok:
            assert compute(asked).import_kwh == 60
            continue
        with pytest.raises(Refused, match="84 readings of the import meter i"):
            compute(asked)
    supply = there(meter(DAY[:72]), None, 72), there(meter(DAY[72:], serial="n"), 72, None)
    assert compute(inputs(*supply, completeness_min="1")).export_kwh == 14_400
    with pytest.raises(Refused, match=r"of 288 readings expected .* 144 can be used"):
        compute(inputs(meter(DAY[:72]), meter(DAY[72:], serial="n"), completeness_min="1"))


@pytest.mark.parametrize(
    ("slot", "value", "ok"),
    [(59, 6, True), (60, 6, False), (60, -6, False), (60, 0, True), (0, 6, True), (9, 6, True)],
)
def test_what_a_meter_counted_when_it_was_not_there_is_refused(
    slot: int, value: int, ok: bool
) -> None:
    for role in (Role.IMPORT, Role.GENERATION):
        odd = there(meter([reading(slot, value)], role, "i"), None, 60)
        asked = inputs(meter(DAY), odd)
        if ok:
            assert compute(asked).counts.used == 144 + (slot < 60)
            continue
        with pytest.raises(Refused, match="meter i has a reading of 1970-01-01 that") as caught:
            compute(asked)
        assert caught.value.code == "not-in-service"
        # A look counts it: of a period that is issued, say, what came late.
        counted = compute(replace(asked, enforce=False)).net_kwh - 14_400
        assert counted == (-max(value, 0) if role is Role.IMPORT else value) // 6
    missing = reading(60, 0, text="", quality=Quality.MISSING)
    compute(inputs(meter(DAY), there(meter([missing], Role.IMPORT, "i"), None, 60)))
    early = there(meter([reading(5, 6)], Role.IMPORT, "i"), 6, None)
    with pytest.raises(Refused, match="in_service_from or in_service_to of device"):
        compute(inputs(meter(DAY), early))


@pytest.mark.parametrize("role", [Role.STORAGE, Role.LOAD])
def test_a_storage_that_works_is_there_whatever_its_days_say(role: Role) -> None:
    """By days of before the period it went without its import meter, and what it drew from the grid was credited."""
    sold = meter(DAY, Role.EXPORT, "e")
    works = meter([reading(slot, -6 if slot < 72 else 6) for slot in range(144)], role, "b")
    with pytest.raises(Refused, match="meter b has a reading of 1970-01-01 that") as caught:
        compute(inputs(sold, there(works, None, 0)))
    assert caught.value.code == "not-in-service"
    rests = meter([reading(slot, 0) for slot in range(144)], role, "b")
    assert compute(inputs(sold, there(rests, None, 0))).net_kwh == 14_400


def test_a_difference_of_a_register_over_the_day_that_it_came_is_refused() -> None:
    over = energy(5, 7)._replace(text="1>8")
    register = replace(there(meter([over], Role.IMPORT, "i"), 5, None), register=True)
    assert compute(inputs(meter(DAY), register)).import_kwh == 7
    with pytest.raises(Refused, match="is not in service for all of its time"):
        compute(inputs(meter(DAY), replace(register, in_service_from_s=5 * 600 + 1)))
    # Also where another reading that begins with it, and was not used, ends in time.
    beside = energy(5, 0)._replace(text="0", quality=Quality.MISSING)
    longer = over._replace(end_s=over.end_s + 600)
    gone = replace(there(meter([beside, longer], Role.IMPORT, "i"), None, 6), register=True)
    with pytest.raises(Refused, match="is not in service for all of its time"):
        compute(inputs(meter(DAY), gone))


def test_fuel_that_nobody_burns_any_more_is_not_asked_for() -> None:
    gone = there(fuel_meter(fuel=replace(DIESEL, valid_to=date(1969, 12, 31))), None, 0)
    compute(inputs(meter(DAY), gone, completeness_min="0.9"))
    for still in (replace(gone, in_service_to_s=1), there(gone, None, None)):
        with pytest.raises(Refused) as caught:
            compute(inputs(meter(DAY), still, completeness_min="0.9"))
        assert caught.value.code == "factor-not-valid"
    silent = "1 readings of the fuel meter .* there is nothing: bring it a 0 if it burnt nothing; if it was not there"
    with pytest.raises(Refused, match=silent):
        compute(inputs(meter(DAY), there(fuel_meter(), None, 1), completeness_min="0.9"))


def test_roles_are_those_of_the_meters_that_are_there() -> None:
    supply, sold = meter(DAY), meter(DAY, Role.EXPORT, "e")
    with pytest.raises(Refused, match="the exported energy would count twice"):
        compute(inputs(supply, there(sold, 1, None)))
    assert compute(inputs(supply, there(meter([], Role.EXPORT, "e"), 144, None))).net_kwh == 14_400
    with pytest.raises(Refused, match="none of generation or export"):
        compute(inputs(there(meter([]), 144, None)))
    # A look at days that are never issued needs neither: what they lack stops nothing.
    assert compute(inputs(there(meter([]), 144, None), enforce=False)).net_kwh == 0
    early, late = (
        there(meter(DAY[:60]), None, 60),
        there(meter(DAY[60:], Role.EXPORT, "e"), 60, None),
    )
    assert compute(inputs(early, late, enforce=False)).net_kwh == 14_400
    beside = there(meter([], Role.EXPORT, "f"), 59, None)
    for enforce, others in (
        (True, [late]),
        (False, [there(late, 59, None)]),
        (False, [late, beside]),
    ):
        with pytest.raises(Refused, match="the exported energy would count twice"):
            compute(inputs(early, *others, enforce=enforce))
    battery = meter([], Role.STORAGE, "b")
    old, new = meter([], Role.IMPORT, "i"), meter([], Role.IMPORT, "j")
    for storage, imports, ok in (
        (battery, [there(old, None, 60), there(new, 60, None)], True),
        (battery, [there(old, 60, None), there(new, None, 70)], True),
        (battery, [there(old, None, 60), there(new, 61, None)], False),
        (battery, [there(old, None, 143)], False),
        (battery, [there(old, 1, None)], False),
        (there(battery, 1, 143), [there(old, 1, 143)], True),
        (there(battery, None, 0), [], True),
    ):
        asked = inputs(sold, storage, *imports)
        if ok:
            compute(asked)
            continue
        with pytest.raises(Refused) as caught:
            compute(asked)
        assert caught.value.code == "storage-unmetered"


@pytest.mark.parametrize(
    ("readings", "ok"),
    [
        ([litres(0, 1000)], True),  # the other times are no fuel
        ([], False),  # nobody knows whether any was burnt
        ([litres(0, 0)], True),
        ([litres(0, 0)._replace(text="", quality=Quality.MISSING)], False),
    ],
)
def test_a_record_of_fuel_without_a_value_is_refused(readings: list[Reading], ok: bool) -> None:
    asked = inputs(meter(DAY), fuel_meter(*readings), completeness_min="0.9")
    if ok:
        compute(asked)
        return
    with pytest.raises(Refused, match="of the fuel meter fuel"):
        compute(asked)


# ---------------------------------------------------------------- factors


def test_asb0038_its_margins_give_what_is_published() -> None:
    assert combined_margin(ASB0038) == Fraction("0.4329")
    assert margin_warning(ASB0038) is None


@pytest.mark.parametrize(
    ("bm", "published", "agrees"),
    [
        ("0.3454", "0.4329", True),  # 0.43285, rounded half up
        ("0.3454", "0.4328", True),  # and cut
        ("0.3454", "0.4330", False),
        ("0.3454", "0.4327", False),
        ("0.34524", "0.4329", False),  # 0.43281
    ],
)
def test_a_published_value_is_what_its_margins_give_rounded_or_cut(
    bm: str, published: str, agrees: bool
) -> None:
    factor = replace(ASB0038, bm=bm, value=published)
    assert (margin_warning(factor) is None) is agrees


def test_asb0038_the_third_published_value_is_used_though_it_recomputes_to_another() -> None:
    third = replace(ASB0038, value="0.3748", w_om="0.25", w_bm="0.75")
    assert combined_margin(third) == Fraction("0.3747")
    assert margin_warning(third) == (
        "factor cm 1: 0.25 x 0.4620 + 0.75 x 0.3456 is 0.3747, published is 0.3748; the published "
        "value is used"
    )
    found = compute(inputs(meter(DAY), factor=third))
    assert found.baseline_t == Fraction("0.3748") * Fraction("14.4")
    quoted = manifests.build(found)["factor"]
    assert (quoted["value"], quoted["om"], quoted["w_bm"]) == ("0.3748", "0.4620", "0.75")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"w_bm": "0.26"}, "sum to 1"),
        ({"w_om": "1.5", "w_bm": "-0.5"}, "sum to 1"),
        ({"w_bm": None}, "given together"),
        ({"om": "half"}, "plain decimal"),
        ({"value": "0"}, "must be more than 0"),
        ({"value": "-0.4329"}, "must be more than 0"),  # it credited what was drawn from the grid
    ],
)
def test_factors_that_make_no_sense_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        compute(inputs(meter(DAY), factor=replace(ASB0038, **changes)))  # type: ignore[arg-type]


def test_trap_a_factor_labelled_with_the_wrong_year_is_refused() -> None:
    of_1970 = replace(FACTOR, valid_from=date(1970, 1, 1), valid_to=date(1970, 12, 31))
    assert compute(inputs(meter(DAY), factor=of_1970)).issued_kg == 6233
    for factor in (
        replace(FACTOR, valid_from=date(1971, 1, 1)),
        replace(FACTOR, valid_from=date(1970, 1, 2)),
        replace(FACTOR, valid_to=date(1969, 12, 31)),
    ):
        with pytest.raises(Refused, match="split the period") as caught:
            compute(inputs(meter(DAY), factor=factor))
        assert caught.value.code == "factor-not-valid"
    fuel = fuel_meter(litres(0, 1), fuel=replace(DIESEL, valid_to=date(1969, 12, 31)))
    with pytest.raises(Refused, match="factor diesel 2006 is valid from"):
        compute(inputs(meter(DAY), fuel))


def test_trap_kilograms_are_not_tonnes_and_grams_are_not_kilograms() -> None:
    masses = {
        unit: compute(
            inputs(meter(DAY), factor=replace(FACTOR, value="400", unit=unit))
        ).reductions_kg
        for unit in ("t/MWh", "kg/MWh", "kg/kWh", "g/kWh")
    }
    assert masses["kg/MWh"] * 1000 == masses["t/MWh"]
    assert masses["g/kWh"] * 1000 == masses["kg/kWh"]
    assert masses["g/kWh"] == 5760


# ---------------------------------------------------------------- the manifest of the past


def old(**changes: object) -> ReductionInputs:
    return inputs(meter(DAY[:1]), **changes)


def test_a_manifest_of_the_first_format_can_still_be_written() -> None:
    first = manifests.build(compute(old()), manifests.FORMAT_1)
    assert (first["format"], first["code_version"]) == ("truetonne-manifest/1", "reductions/1")
    assert set(first["factor"]) == {
        "code",
        "version",
        "purpose",
        "value",
        "unit",
        "source",
        "data_year",
        "verified",
        "sha256",
    }
    # The hash of the same manifest as the first release wrote it.
    text = manifests.canonical_text(first)
    assert manifests.manifest_hash(text) == FIRST_HASH
    with pytest.raises(BadInput, match="truetonne-manifest/4"):
        manifests.build(compute(old()), "truetonne-manifest/4")


FIRST_HASH = "0xd53e4c27d84e031558ea73ea167a0e9bbf4b1f746814f93bd2c73c2194c7bf86"
