"""The bundled files, month by month: published totals, and a second implementation that shares no code."""

import gzip
from dataclasses import replace
from datetime import date
from fractions import Fraction
from functools import reduce
from operator import add

import pytest
from sqlalchemy import func, select

from ledger.db import Database
from ledger.models import (
    CarbonEmission,
    DeviceData,
    EnergyConsumption,
    EnergyProduction,
    MeterReading,
)
from ledger.readings import import_file, load_period, reductions_for
from ledger.reductions import Counts, Reduction, compute, report
from ledger.reductions.records import USED
from tests.support.forms import long, rest
from tests.support.independent import Month, turbine_months
from tests.support.plant import LHB_FILE

# Kilograms issued by month, and how many slots are expected, used and missing.
LHB_2014 = [
    (123851, 4464, 4458, 6),
    (179455, 4032, 4032, 0),
    (78773, 4458, 4458, 0),
    (61673, 4320, 4303, 17),
    (114262, 4464, 4464, 0),
    (68037, 4320, 4289, 31),
    (62749, 4464, 4464, 0),
    (65594, 4464, 4464, 0),
    (46969, 4320, 4320, 0),
    (70203, 4470, 4405, 65),
    (65113, 4320, 4306, 14),
    (138472, 4464, 4464, 0),
]
LHB_2015 = [
    (161991, 4464, 4464, 0),
    (121300, 4032, 3760, 272),
    (102868, 4458, 3911, 547),
    (94256, 4320, 4260, 60),
    (90522, 4464, 4463, 1),
    (71495, 4320, 4112, 208),
    (92836, 4464, 4464, 0),
    (70262, 4464, 4464, 0),
    (134082, 4320, 4320, 0),
    (55841, 4470, 4464, 6),
    (158190, 4320, 4320, 0),
    (123437, 4464, 4464, 0),
]


def month(year: int, number: int) -> tuple[date, date]:
    return date(year, number, 1), date(year + number // 12, number % 12 + 1, 1)


def chain(database: Database, project: str, months: list[tuple[int, int]]) -> list[Reduction]:
    """Return the reductions of consecutive months of one year, each carry into the next."""
    carry = Fraction(0)
    reductions = []
    with database.read() as session:
        for item in months:
            inputs = load_period(session, project, *month(*item), carry_in_kg=carry)
            reductions.append(compute(inputs))
            carry = reductions[-1].carry_out_kg
    return reductions


@pytest.fixture(scope="module")
def turbine_model() -> dict[tuple[int, int], Month]:
    return turbine_months(LHB_FILE)


def test_january_2014_to_the_last_digit(real: Database) -> None:
    with real.read() as session:
        (reduction,) = reductions_for(session, "lhb-wind", date(2014, 1, 1), date(2014, 2, 1))
    shown = report(reduction)
    assert shown["net_kwh"] == "286098.098674771"
    assert shown["reductions_kg"] == "123851.866916308"
    assert shown["issued_kg"] == "123851"
    assert shown["carry_out_kg"] == "0.866916308"
    assert shown["vintage"] == 2014
    assert shown["leaves"] == 4458


@long
@pytest.mark.parametrize(
    ("year", "expected", "total"),
    rest([(2014, LHB_2014, 1_075_151), (2015, LHB_2015, 1_277_080)]),
)
def test_both_years_month_by_month(
    real: Database,
    turbine_model: dict[tuple[int, int], Month],
    year: int,
    expected: list[tuple[int, int, int, int]],
    total: int,
) -> None:
    numbers = [(year, number) for number in range(1, 13)]
    reductions = chain(real, "lhb-wind", numbers)
    found = [
        (item.issued_kg, item.counts.expected, item.counts.used, item.counts.missing)
        for item in reductions
    ]
    assert found == expected
    assert sum(item.issued_kg for item in reductions) == total
    for number, item in zip(numbers, reductions, strict=True):
        model = turbine_model[number]
        assert item.net_kwh == model.net_kwh
        assert item.carry_out_kg == model.carry_kg
        assert (item.counts.used, item.counts.conflict) == (model.used, model.conflicts)
        # Every row is a leaf: used and empty ones, and the other value of each conflict.
        assert item.leaves == model.used + model.empty + model.conflicts
        assert item.counts.outlier == 0


@pytest.mark.parametrize("year", [2014, 2015])
def test_trap_the_spring_hour_comes_twice_with_different_values(real: Database, year: int) -> None:
    (march,) = chain(real, "lhb-wind", [(year, 3)])
    assert march.counts.conflict == 6


def test_trap_the_autumn_day_has_25_hours_and_six_slots_are_absent(real: Database) -> None:
    with real.read() as session:
        inputs = load_period(session, "lhb-wind", date(2015, 10, 25), date(2015, 10, 26))
    assert inputs.to_s - inputs.from_s == 25 * 3600
    assert compute(inputs).counts == Counts(expected=150, used=144, missing=6)


@long
def test_a_year_as_one_period_is_the_year_month_by_month(real: Database) -> None:
    with real.read() as session:
        (year,) = reductions_for(session, "lhb-wind", date(2014, 1, 1), date(2015, 1, 1))
    assert year.issued_kg == 1_075_151
    assert year.counts.conflict == 6


def test_a_period_over_new_year_is_two_vintages_and_the_carry_ends(real: Database) -> None:
    with real.read() as session:
        old, new = reductions_for(session, "lhb-wind", date(2014, 12, 31), date(2015, 1, 2))
    assert (old.inputs.vintage, new.inputs.vintage) == (2014, 2015)
    assert old.inputs.to_date == new.inputs.from_date == date(2015, 1, 1)
    assert old.inputs.to_s == new.inputs.from_s == 1420066800  # midnight in Paris, not in UTC
    assert old.carry_out_kg > 0
    assert new.inputs.carry_in_kg == 0


@long
def test_trap_energy_stored_in_whole_watt_hours_loses_ten_kilograms_a_year() -> None:
    rounded = turbine_months(LHB_FILE, decimals_kept=3)
    years = {
        year: sum(item.issued_kg for (this, _), item in rounded.items() if this == year)
        for year in (2014, 2015)
    }
    assert years == {2014: 1_075_141, 2015: 1_277_070}


@long
def test_trap_tonnes_floored_for_each_reading_lose_percents_of_a_year(real: Database) -> None:
    # DECIMAL(12,3) tonnes hold whole kilograms: what ten minutes come to is cut 52,434 times.
    with real.read() as session:
        inputs = load_period(session, "lhb-wind", date(2014, 1, 1), date(2015, 1, 1))
    used = [reading for meter in inputs.meters for reading in meter.readings]
    factor = Fraction("0.4329")
    kwh = [Fraction(row.digits, 10**row.scale) / 6 for row in used if row.quality in USED]
    cut = sum(each * factor // 1 for each in kwh)
    assert cut == 1_044_949
    assert compute(inputs).reductions_kg - cut > Fraction("0.028") * 1_075_151


def test_trap_floats_give_two_answers_for_one_real_month_and_fractions_one(
    real: Database,
) -> None:
    with real.read() as session:
        inputs = load_period(session, "lhb-wind", date(2014, 2, 1), date(2014, 3, 1))
    (meter,) = inputs.meters
    tonnes = [
        row.digits / 10**row.scale / 6 * 0.4329 / 1000
        for row in meter.readings
        if row.quality in USED
    ]
    # One after the other: since Python 3.12 `sum` carries what floats lose, and would hide it.
    orders = tonnes, tonnes[::-1], sorted(tonnes)
    assert len({reduce(add, order) for order in orders}) > 1
    backwards = replace(inputs, meters=(replace(meter, readings=meter.readings[::-1]),))
    assert compute(inputs).reductions_kg == compute(backwards).reductions_kg


def test_trap_half_up_rounding_would_mint_too_much_in_13_of_25_months(real: Database) -> None:
    months = [(year, number) for year in (2014, 2015) for number in range(1, 13)] + [(2016, 1)]
    with real.read() as session:
        masses = [
            compute(load_period(session, "lhb-wind", *month(*item))).reductions_kg
            for item in months
        ]
    assert sum((mass + Fraction(1, 2)) // 1 > mass for mass in masses) == 13


def test_serf_east_is_in_watts(real: Database) -> None:
    months = [(2016, number) for number in (7, 8, 9, 10)]
    shown = [report(item) for item in chain(real, "serf-east-pv", months)]
    assert [item["issued_kg"] for item in shown] == ["371", "373", "376", "152"]
    assert [item["carry_out_kg"] for item in shown] == [
        "0.394465638",
        "0.721631899",
        "0.874974782",
        "0.014238005",
    ]


def test_every_number_is_kept_as_it_was_written(real: Database) -> None:
    texts: dict[str, int] = {}
    with gzip.open(LHB_FILE, "rt", encoding="ascii") as stream:
        next(stream)
        for line in stream:
            text = line.rstrip("\n").split(",")[2]
            texts[text] = texts.get(text, 0) + 1
    with real.read() as session:
        rows = session.execute(
            select(MeterReading.text, func.count())
            .where(MeterReading.duration_s == 600)
            .group_by(MeterReading.text)
        ).all()
        widest = session.scalars(select(func.max(MeterReading.value_scale))).one()
    assert {text: count for text, count in rows} == texts
    assert widest == 18


@long  # the demonstration's tests do it as well
def test_a_second_import_changes_nothing(real: Database) -> None:
    before = chain(real, "lhb-wind", [(2014, 3)])
    again = import_file(real, "lhb", "scada", LHB_FILE)
    assert (again.read, again.new, again.unchanged, again.rejected) == (105120, 0, 105120, 0)
    assert chain(real, "lhb-wind", [(2014, 3)]) == before


def test_the_customers_tables_show_the_same_energy(real: Database) -> None:
    start, end = 1388530800, 1391209200  # January 2014 in Paris
    with real.read() as session:
        (reduction,) = reductions_for(session, "lhb-wind", date(2014, 1, 1), date(2014, 2, 1))
        assert (reduction.inputs.from_s, reduction.inputs.to_s) == (start, end)

        def total(model: type, column: str) -> Fraction:
            query = select(getattr(model, column)).where(
                model.recorded_at >= _time(start),  # type: ignore[attr-defined]
                model.recorded_at < _time(end),  # type: ignore[attr-defined]
                model.device_id == 1,  # type: ignore[attr-defined]
            )
            return sum((Fraction(value) for value in session.scalars(query)), Fraction(0))

        produced = total(EnergyProduction, "production")
        consumed = total(EnergyConsumption, "consumption")
        emitted = total(CarbonEmission, "emissions")
        data = session.scalars(
            select(func.count()).select_from(DeviceData).where(DeviceData.device_id == 1)
        ).one()
    # 744 hours, each rounded to 0.001 kWh; 31 days, each to a gram.
    assert abs(produced - reduction.export_kwh) < Fraction(744, 2000)
    assert abs(consumed - reduction.import_kwh) < Fraction(744, 2000)
    assert abs(emitted - reduction.import_kwh * Fraction("0.056039") / 1000) < Fraction(31, 10**6)
    assert data == 105120 - 1209


def test_the_inventory_factor_of_the_site_cannot_mint(real: Database) -> None:
    from ledger.errors import Refused
    from ledger.reductions import Purpose

    with real.read() as session:
        inputs = load_period(session, "lhb-wind", date(2014, 1, 1), date(2014, 2, 1))
    average = replace(inputs.factor, purpose=Purpose.INVENTORY_LOCATION)
    with pytest.raises(Refused, match="cannot mint"):
        compute(replace(inputs, factor=average))


def _time(seconds: int) -> object:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC)
