"""The arithmetic of a reduction: rules one by one, then random inputs against a second model."""

from dataclasses import replace
from datetime import date
from fractions import Fraction
from functools import reduce
from operator import add

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import BadInput, Refused
from ledger.reductions import (
    Calibration,
    Counts,
    Factor,
    Kind,
    Meter,
    Purpose,
    Quality,
    Reading,
    ReductionInputs,
    Role,
    compute,
    report,
)
from ledger.reductions.arithmetic import counts_of, issued_of
from ledger.reductions.factors import factor_kg_per_kwh
from ledger.reductions.reporting import owed, shown
from ledger.reductions.zones import zone

DAY_S = 86400
FACTOR = Factor(
    code="cm",
    version="1",
    purpose=Purpose.CREDITING,
    value="0.4329",
    unit="t/MWh",
    source="a test",
    verified=True,
    sha256="00" * 32,
)


def reading(slot: int, digits: int, scale: int = 0, **changes: int) -> Reading:
    base = Reading(
        slot * 600, slot * 600 + 600, Kind.POWER, Quality.USED, digits, scale, f"{digits}e-{scale}"
    )
    return base._replace(**changes)


def meter(readings: list[Reading], role: Role = Role.GENERATION, serial: str = "s") -> Meter:
    return Meter(serial, serial, role, Kind.POWER, "kW", 600, "100", Calibration(), tuple(readings))


def inputs(*meters: Meter, **changes: object) -> ReductionInputs:
    base = ReductionInputs(
        program="internal",
        project="p",
        site="s",
        methodology="CCER-01-002",
        methodology_version="V01",
        vintage=1970,
        zone="UTC",
        tzdata="2026a",
        from_date=date(1970, 1, 1),
        to_date=date(1970, 1, 2),
        from_s=0,
        to_s=DAY_S,
        factor=FACTOR,
        completeness_min="0",
        meters=meters,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_power_times_time_is_energy_exactly() -> None:
    result = compute(inputs(meter([reading(0, 441_06, 2)])))
    assert result.export_kwh == Fraction(441_06, 600)


def test_an_energy_reading_is_not_multiplied_by_its_interval() -> None:
    result = compute(inputs(meter([reading(0, 5, 1, kind=Kind.ENERGY)])))
    assert result.export_kwh == Fraction(1, 2)


def test_positive_is_export_and_negative_is_import() -> None:
    result = compute(inputs(meter([reading(0, 600), reading(1, -6)])))
    assert (result.export_kwh, result.import_kwh, result.net_kwh) == (100, 1, 99)


def test_an_import_meter_adds_to_import() -> None:
    result = compute(inputs(meter([reading(0, 600)]), meter([reading(0, 60)], Role.IMPORT, "i")))
    assert (result.export_kwh, result.import_kwh) == (100, 10)
    assert result.counts.expected == 2 * 144


def test_negative_values_of_an_import_meter_claim_nothing() -> None:
    result = compute(inputs(meter([reading(0, 600)]), meter([reading(0, -60)], Role.IMPORT, "i")))
    assert result.net_kwh == 100


def test_trap_self_use_counted_twice_is_refused() -> None:
    with pytest.raises(Refused, match="would count twice"):
        compute(inputs(meter([reading(0, 1)]), meter([reading(0, 1)], Role.EXPORT, "e")))


def test_trap_fuel_is_not_left_out_quietly() -> None:
    with pytest.raises(Refused, match="fuel"):
        compute(inputs(meter([reading(0, 1)]), meter([], Role.FUEL, "f")))


def test_excluded_readings_claim_nothing_and_are_leaves() -> None:
    excluded = [
        reading(1, 0, text="", quality=Quality.MISSING),
        reading(2, 10**6, quality=Quality.OUTLIER_ABOVE),
        reading(3, -(10**6), quality=Quality.OUTLIER_BELOW),
        reading(0, 999, text="999", quality=Quality.SUPERSEDED_IN_CONFLICT),
        reading(4, 998, text="998", quality=Quality.SUPERSEDED_IN_CONFLICT),
    ]
    with_them = compute(
        inputs(meter([reading(0, 600, quality=Quality.USED_IN_CONFLICT), *excluded]))
    )
    assert with_them.net_kwh == 100
    assert with_them.leaves == 6
    assert with_them.counts == Counts(expected=144, used=1, missing=141, outlier=2, conflict=2)


def test_a_difference_of_a_register_has_a_slot_at_least_and_no_more_than_are_free() -> None:
    short = reading(0, 5, kind=Kind.ENERGY, end_s=300, text="0>5")
    assert counts_of(meter([short]), 0, DAY_S, zone("UTC")) == Counts(
        expected=144, used=1, missing=143
    )
    long = reading(1, 9, kind=Kind.ENERGY, end_s=DAY_S, text="5>14")
    fell = short._replace(quality=Quality.COUNTER_FELL)
    both = counts_of(meter([fell, long]), 0, DAY_S, zone("UTC"))
    assert both == Counts(expected=144, used=143, missing=0, outlier=1)
    whole = long._replace(start_s=0)
    assert counts_of(meter([whole, fell]), 0, DAY_S, zone("UTC")) == Counts(expected=144, used=144)


@pytest.mark.parametrize(
    "purpose", [Purpose.INVENTORY_LOCATION, Purpose.INVENTORY_MARKET, Purpose.FUEL]
)
def test_a_factor_of_the_inventory_cannot_mint(purpose: Purpose) -> None:
    with pytest.raises(Refused, match="cannot mint") as caught:
        compute(inputs(meter([reading(0, 1)]), factor=replace(FACTOR, purpose=purpose)))
    assert caught.value.exit_code == 1
    assert caught.value.code == "wrong-purpose"


@pytest.mark.parametrize(
    ("value", "unit", "kg_per_kwh"),
    [
        ("0.4329", "t/MWh", "0.4329"),
        ("0.4329", "kg/kWh", "0.4329"),
        ("432.9", "kg/MWh", "0.4329"),
        ("56.039", "g/kWh", "0.056039"),
        ("1000", "lb/MWh", "0.45359237"),
    ],
)
def test_trap_units_of_factors(value: str, unit: str, kg_per_kwh: str) -> None:
    assert factor_kg_per_kwh(replace(FACTOR, value=value, unit=unit)) == Fraction(kg_per_kwh)


@pytest.mark.parametrize(("value", "unit"), [("0.4329", "t/kWh"), ("4e-1", "t/MWh"), ("", "t/MWh")])
def test_a_factor_that_is_no_number_or_has_no_known_unit_is_refused(value: str, unit: str) -> None:
    with pytest.raises(BadInput):
        factor_kg_per_kwh(replace(FACTOR, value=value, unit=unit))


@pytest.mark.parametrize(
    ("available", "issued", "carry"),
    [
        ("123851.866916308", 123851, "0.866916308"),
        ("0.999999999", 0, "0.999999999"),
        ("1", 1, "0"),
        ("0", 0, "0"),
        ("-0.1", 0, "-0.1"),
        ("-7.25", 0, "-7.25"),
    ],
)
def test_rounding_is_down_and_a_deficit_is_carried_whole(
    available: str, issued: int, carry: str
) -> None:
    assert issued_of(Fraction(available)) == (issued, Fraction(carry))


def test_a_deficit_is_paid_before_anything_is_issued() -> None:
    poor = compute(inputs(meter([reading(0, -6000)])))
    assert poor.issued_kg == 0
    assert poor.carry_out_kg == Fraction("-432.9")
    assert poor.evidence_total_kg == 0
    rich = compute(inputs(meter([reading(0, 12000)]), carry_in_kg=poor.carry_out_kg))
    assert rich.available_kg == Fraction("432.9")
    assert rich.issued_kg == 432


def test_the_evidence_bears_what_is_issued_with_a_carry() -> None:
    full = compute(inputs(meter([reading(0, 60)]), carry_in_kg=Fraction("0.9")))
    assert full.reductions_kg == Fraction("4.329")
    assert (full.issued_kg, full.evidence_total_kg) == (5, 5)


def test_a_period_under_the_threshold_is_refused_and_at_it_passes() -> None:
    half = [reading(slot, 1) for slot in range(72)]
    assert compute(inputs(meter(half), completeness_min="0.5")).counts.used == 72
    with pytest.raises(Refused, match="of 144 readings expected") as caught:
        compute(inputs(meter(half[1:]), completeness_min="0.5"))
    assert caught.value.code == "incomplete"


def test_outliers_and_missing_do_not_complete_a_period() -> None:
    readings = [reading(slot, 1, quality=Quality.OUTLIER_ABOVE) for slot in range(144)]
    with pytest.raises(Refused):
        compute(inputs(meter(readings), completeness_min="0.0001"))


def test_a_period_without_a_reading_is_refused_unless_only_looked_at() -> None:
    with pytest.raises(Refused, match="no reading"):
        compute(inputs(meter([])))
    looked = compute(inputs(meter([]), enforce=False, completeness_min="1"))
    assert (looked.issued_kg, looked.leaves, looked.evidence_root) == (0, 0, "")


def test_a_reading_outside_the_period_is_the_callers_mistake() -> None:
    for slot in (-1, 144):
        with pytest.raises(ValueError, match="outside"):
            compute(inputs(meter([reading(slot, 1)])))


def test_an_uncalibrated_meter_loses_the_permissible_error_both_ways() -> None:
    readings = [reading(0, 600), reading(1, -600)]
    uncalibrated = replace(meter(readings), calibration=Calibration("0.5", calibrated=False))
    result = compute(inputs(uncalibrated))
    assert result.export_kwh == Fraction("99.5")
    assert result.import_kwh == Fraction("100.5")


def test_the_calculation_splits_where_a_calibration_begins_and_ends() -> None:
    readings = [reading(slot, 600) for slot in range(4)]
    for from_s, to_s, *counted in (
        (600, 1800, 99, 100, 100, 99),
        (600, None, 99, 100, 100, 100),
        (None, 2400, 100, 100, 100, 100),
        (None, 2399, 100, 100, 100, 99),  # it ends within the last reading
        (1, 2400, 99, 100, 100, 100),
    ):
        part = replace(meter(readings), calibration=Calibration("1S", from_s=from_s, to_s=to_s))
        assert compute(inputs(part)).export_kwh == sum(counted)


def test_outside_a_calibration_without_a_class_nothing_can_be_said() -> None:
    part = replace(meter([reading(0, 600)]), calibration=Calibration(None, from_s=600))
    with pytest.raises(Refused, match="accuracy_class"):
        compute(inputs(part))


def test_shown_numbers_are_cut_toward_minus_infinity() -> None:
    shown = report(compute(inputs(meter([reading(0, -1, 9)]))))
    assert shown["net_kwh"] == "-0.000000001"  # -1/6 of a billionth
    assert shown["issued_kg"] == "0"


def test_a_report_has_the_shape_that_others_rely_on() -> None:
    shown = report(compute(inputs(meter([reading(0, 600)]))))
    assert list(shown) == [
        "project",
        "vintage",
        "period",
        "readings",
        "export_kwh",
        "import_kwh",
        "net_kwh",
        "baseline_t",
        "project_t",
        "leakage_t",
        "reductions_kg",
        "carry_in_kg",
        "issued_kg",
        "carry_out_kg",
        "evidence_root",
        "leaves",
    ]
    assert shown["period"] == {"from": "1970-01-01", "to": "1970-01-02"}
    assert list(shown["readings"]) == ["expected", "used", "missing", "outlier", "conflict"]
    assert shown["baseline_t"] == "0.043290000"


values = st.tuples(st.integers(-(10**18), 10**18), st.integers(0, 36))


@given(
    st.dictionaries(st.integers(0, 143), values, min_size=1),
    st.fractions(min_value=-5, max_value=1, max_denominator=10**9),
    st.decimals(min_value="0.000001", max_value=2, places=6),
)
def test_any_readings_give_what_plain_fractions_give(
    slots: dict[int, tuple[int, int]], carry: Fraction, factor: object
) -> None:
    readings = [reading(slot, digits, scale) for slot, (digits, scale) in slots.items()]
    result = compute(
        inputs(meter(readings), carry_in_kg=carry, factor=replace(FACTOR, value=f"{factor:f}"))
    )
    net = sum((Fraction(digits, 10**scale) / 6 for digits, scale in slots.values()), Fraction(0))
    available = net * Fraction(f"{factor:f}") + carry
    issued = max(0, available.__floor__())
    assert result.net_kwh == net
    assert (result.issued_kg, result.carry_out_kg) == (issued, available - issued)
    if carry < 1:
        assert result.issued_kg <= result.evidence_total_kg


@given(st.lists(values, min_size=1, max_size=20), st.randoms())
def test_the_order_of_readings_changes_nothing(many: list[tuple[int, int]], random: object) -> None:
    readings = [reading(slot, *value) for slot, value in enumerate(many)]
    shuffled = list(readings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = compute(inputs(meter(readings))), compute(inputs(meter(shuffled)))
    assert one.net_kwh == other.net_kwh
    assert one.evidence_root == other.evidence_root


def test_trap_floats_depend_on_the_order_and_fractions_do_not() -> None:
    powers = [457.76000999999997, -0.050000000999999995, 1071.4399, 39.41]
    # One after the other: since Python 3.12 `sum` carries what floats lose, and would hide it.
    assert len({reduce(add, order) for order in (powers, powers[::-1], sorted(powers))}) > 1
    exact = [Fraction(str(power)) for power in powers]
    assert sum(exact) == sum(reversed(exact))


def test_a_debt_has_the_digits_of_the_effect_that_makes_it() -> None:
    assert (shown(Fraction(-1, 3)), owed(Fraction(1, 3))) == ("-0.333333334", "0.333333334")
    assert owed(Fraction(0)) == shown(Fraction(0)) == "0.000000000"
