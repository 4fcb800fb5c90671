"""Late readings of registers: issued and corrected, a period is what it would be had all been known before.

The chain of a register is one for all periods. So whatever came when, what was issued for a period and the
effects of its corrections are together what an independent model gives of all readings, and no energy is
in two periods.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from ledger.corrections import Outcome, correct
from ledger.db import Database
from ledger.models import Correction, CorrectionRegister, MeterReading
from ledger.readings import ImportReport
from ledger.readings.periods.left_out import late_readings
from ledger.readings.periods.period import load_period
from ledger.reconcile.books import Books
from ledger.reconcile.correction_rules import _counted_late
from ledger.reductions import compute
from tests.ledger.test_import_counters import COUNTER, START_S, at, swap
from tests.support.forms import long, times
from tests.support.independent_registers import Energy, energies_of
from tests.support.plant import apply, imported, issue, write_csv
from tests.support.statements import listening, steps_of

SHORT_ON_MARIADB = (
    "test_a_split_within_a_period_moves_its_sum_by_nothing",
    "test_between_two_issued_days_each_gets_its_part_and_the_sum_is_what_was_counted",
)

FACTOR = Fraction(1, 2)  # kg/kWh
DAYS = [date(2014, 5, 31), date(2014, 6, 1), date(2014, 6, 2)]
BORDERS = [-26, -2, 22, 46]
"""Midnights in Paris, in hours after the start."""
numbers = count(1)


@dataclass
class Register:
    """A park of its own, whose one meter is a register."""

    db: Database
    folder: Path
    number: int
    site: str
    days: int = 1
    """Length of its three periods, legal days."""

    @property
    def project(self) -> str:
        return f"project-{self.number}"

    def apply(self, more: str = "") -> None:
        apply(self.db, self.site + more.replace('"A"', f'"A{self.number}"'))

    def bring(self, *rows: tuple[float, str]) -> ImportReport:
        file = write_csv(self.folder / "rows.csv", [(at(hours), text) for hours, text in rows])
        return imported(self.db, file, site=f"park-{self.number}")

    def period(self, place: int) -> tuple[date, date]:
        start, end = (timedelta(days=self.days * number) for number in (place, place + 1))
        return DAYS[0] + start, DAYS[0] + end

    def issue(self, place: int) -> Fraction:
        number = 10 * self.number + place
        reduction = issue(self.db, self.period(place), project=self.project, number=number)
        return reduction.reductions_kg

    def correct(self) -> Outcome:
        return correct(self.db, self.project)

    def open(self, place: int) -> Fraction:
        """What a period comes to by the books, kg."""
        with self.db.read() as session:
            inputs = load_period(session, self.project, *self.period(place), enforce=False)
        return compute(inputs).reductions_kg


def register(db: Database, folder: Path, rated: str | None = None, width: str = "") -> Register:
    number = next(numbers)
    site = COUNTER.replace('"park"', f'"park-{number}"').replace('"A"', f'"A{number}"')
    site = site.replace("park-wind", f"project-{number}").replace("serial-A", f"serial-{number}")
    site = site.replace('rated_kw = "100"\n', f'rated_kw = "{rated}"\n' if rated else "")
    if width:
        site = site.replace('kind = "counter"', f'kind = "counter"\nrollover = "{width}"')
    made = Register(db, folder, number, site)
    made.apply()
    return made


@pytest.fixture
def meter(db: Database, tmp_path: Path) -> Register:
    return register(db, tmp_path, "100")


def found(outcome: Outcome) -> list[tuple[str, int, str, Fraction, Fraction]]:
    return [
        (
            item.from_date.isoformat()[5:],
            item.late_readings,
            item.cause,
            item.effect_kg,
            item.owed_kg,
        )
        for item in outcome.found
    ]


# ------------------------------------------------------------------ a difference that is split


def test_a_split_within_a_period_moves_its_sum_by_nothing(meter: Register) -> None:
    meter.bring((-2, "0"), (22, "240"))
    assert meter.issue(1) == 120
    assert meter.bring((4, "60"), (10, "")).late == 2
    assert found(meter.correct()) == [("06-01", 2, "late_readings", 0, 0)]
    assert meter.correct() == Outcome()
    with meter.db.read() as session:
        rows = session.scalars(select(MeterReading.text).where(MeterReading.quality == "used"))
        assert "0>240" in rows.all()  # evidence is never edited
        registers = session.scalars(select(CorrectionRegister.register_id)).all()
    assert len(registers) == 2


def test_a_late_difference_that_is_split_before_it_was_counted_counts_once(meter: Register) -> None:
    meter.bring((-2, "0"), (10, "120"))
    assert meter.issue(1) == 60
    meter.bring((22, "240"))  # the first instant of the next day ends a difference of this one
    assert meter.bring((16, "180")).late == 1
    # Of 240 kWh in all 120 were issued: the other 120 are there once, in two differences.
    assert found(meter.correct()) == [("06-01", 2, "late_readings", 60, 0)]
    with meter.db.read() as session:
        late = select(MeterReading.text).where(MeterReading.quality == "late")
        assert sorted(session.scalars(late)) == ["120>180", "180>240"]


def test_a_split_that_shows_an_impossible_rise_is_owed(meter: Register) -> None:
    # 100 kW: 480 kWh in four hours pass; of them 400 within one do not.
    meter.bring((0, "0"), (4, "480"), (5, "500"))
    assert meter.issue(1) == 250
    meter.bring((1, "400"))
    assert found(meter.correct()) == [("06-01", 1, "late_readings", -200, 200)]


def test_a_reading_at_the_end_gives_the_issued_period_its_part_and_the_next_one_its(
    meter: Register,
) -> None:
    # 20 kWh over midnight were in neither day: 12 before it, 8 after it.
    meter.bring((-2, "0"), (21, "200"), (23, "220"), (46, "400"))
    assert meter.issue(1) == 100
    assert meter.open(2) == 90
    assert meter.bring((22, "212")).late == 0  # in time for the next day
    assert meter.open(2) == 94
    # Recorded: it claims nothing, and makes up for what is issued too much.
    assert found(meter.correct()) == [("06-01", 1, "late_readings", 6, 0)]
    assert meter.correct() == Outcome()
    assert 2 * (100 + 6 + 94) == 400
    with meter.db.read() as session:
        books = cast(Books, SimpleNamespace(session=session))
        assert _counted_late(books) == []


def test_a_reading_before_the_end_leaves_what_runs_over_it_to_none(meter: Register) -> None:
    meter.bring((-2, "0"), (21, "200"), (23, "220"), (46, "400"))
    meter.issue(1)
    assert meter.bring((21.5, "208")).late == 1
    assert found(meter.correct()) == [("06-01", 1, "late_readings", 4, 0)]
    assert meter.open(2) == 90
    with meter.db.read() as session:
        (late,) = [
            late_readings(
                session, load_period(session, meter.project, DAYS[1], DAYS[2], enforce=False)
            )
        ]
    assert late == 1


def test_a_reading_at_the_beginning_of_an_issued_day_ends_the_open_one_before_it(
    meter: Register,
) -> None:
    meter.bring((-20, "0"), (-3, "90"), (-1, "100"), (22, "300"))
    assert meter.issue(1) == 100
    assert meter.bring((-2, "95")).late == 1
    assert meter.open(0) == Fraction(95, 2)
    assert found(meter.correct()) == [("06-01", 1, "late_readings", Fraction(5, 2), 0)]


@long
def test_between_two_issued_days_each_gets_its_part_and_the_sum_is_what_was_counted(
    meter: Register,
) -> None:
    meter.bring((-2, "0"), (21, "200"), (23, "220"), (46, "400"))
    assert meter.issue(1) + meter.issue(2) == 190
    assert meter.bring((22, "212")).late == 1
    assert found(meter.correct()) == [
        ("06-01", 1, "late_readings", 6, 0),
        ("06-02", 1, "late_readings", 4, 0),
    ]


# ------------------------------------------------------------------ a reading that contradicts another


def test_another_value_within_a_day_moves_nothing_for_the_difference_runs_over_it(
    meter: Register,
) -> None:
    meter.bring((-2, "0"), (10, "120"), (22, "240"))
    assert meter.issue(1) == 120
    report = meter.bring((10, "110"))
    assert (report.late, report.conflicts) == (1, 1)
    assert found(meter.correct()) == [("06-01", 1, "late_readings", 0, 0)]


def test_another_value_at_the_border_of_two_issued_days_belongs_to_neither(meter: Register) -> None:
    meter.bring((-2, "0"), (20, "200"), (22, "220"), (23, "230"), (46, "460"))
    assert (meter.issue(1), meter.issue(2)) == (110, 120)
    meter.bring((22, "221"))
    assert found(meter.correct()) == [
        ("06-01", 1, "late_readings", -10, 10),
        ("06-02", 1, "late_readings", -5, 5),
    ]


def test_another_value_at_the_end_that_is_in_time_for_the_next_day_is_told_apart(
    meter: Register,
) -> None:
    meter.bring((-2, "0"), (20, "200"), (22, "220"), (23, "230"), (46, "460"))
    assert meter.issue(1) == 110
    assert meter.bring((22, "221")).late == 0
    assert found(meter.correct()) == [("06-01", 0, "other", -10, 10)]
    assert meter.correct() == Outcome()
    assert meter.open(2) == 115


def test_a_reading_at_the_end_of_a_period_is_sought_among_its_own_meters(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Not among the readings of all meters of all sites: these are the longest table of the books."""
    meter = register(sqlite_db, tmp_path, "100")
    meter.bring((-2, "0"), (20, "200"), (22, "220"), (23, "230"), (46, "460"))
    meter.issue(1)
    meter.bring((22, "221"))
    said: dict[str, Any] = {}
    with listening(lambda _c, _cursor, sql, parameters, *_: said.update({sql: parameters})):
        assert len(meter.correct().found) == 1
    with sqlite_db.read() as session:
        link = session.connection().connection.driver_connection
        asked = [sql for sql in said if sql.startswith("SELECT") and "meter_readings" in sql]
        steps = {step for sql in asked for step in steps_of(link, sql, said[sql])}
    assert [step for step in steps if step.startswith("SCAN meter_readings")] == []
    assert any(step.startswith("SEARCH meter_readings") for step in steps)


# ------------------------------------------------------------------ rollover, reset, swap, dip


def test_a_late_reading_before_a_rollover(db: Database, tmp_path: Path) -> None:
    meter = register(db, tmp_path, "100", "1000")
    # In nine hours 100 kW can fill the register, so that nobody knows: nothing counted.
    meter.bring((0, "950"), (9, "50"), (10, "60"))
    assert meter.issue(1) == 5
    meter.bring((6, "990"))
    assert found(meter.correct()) == [("06-01", 1, "late_readings", 50, 0)]


def test_a_late_zero_is_run_over_and_a_late_reset_is_owed(meter: Register) -> None:
    meter.bring((0, "50"), (2, "100"), (4, "150"))
    assert meter.issue(1) == 50
    meter.bring((1, "0"))
    assert found(meter.correct()) == [("06-01", 1, "late_readings", 0, 0)]
    # A value that the device cannot come back from within the time: it began anew.
    meter.bring((3.9, "0"))
    assert found(meter.correct()) == [("06-01", 1, "late_readings", 0, 0)]
    meter.bring((3.5, "300"))
    (row,) = found(meter.correct())
    assert row[:3] == ("06-01", 1, "late_readings")


@long
def test_a_late_reading_around_a_swap_stays_on_its_side(meter: Register) -> None:
    meter.apply(swap(4, "100", "7"))
    meter.bring((0, "0"), (8, "207"))
    assert meter.issue(1) == 150
    meter.bring((3, "90"), (5, "57"))
    assert found(meter.correct()) == [("06-01", 2, "late_readings", 0, 0)]
    # One above the declared closing reading: 11 kWh up to it, and a fall that claims nothing.
    meter.bring((3.5, "101"))
    assert found(meter.correct()) == [("06-01", 1, "late_readings", Fraction(1, 2), 0)]


def test_a_register_that_is_back_after_the_end_takes_back_what_the_dip_counted(
    db: Database, tmp_path: Path
) -> None:
    meter = register(db, tmp_path, "2000")
    meter.bring((-2, "30000"), (20, "30500"), (21, "0"), (21.5, "80"))
    assert meter.issue(1) == 290
    meter.bring((24, "31500"), (46, "31600"))
    # 80 kWh of a register that was only away for a while.
    assert found(meter.correct()) == [("06-01", 0, "other", -40, 40)]
    assert meter.correct() == Outcome()
    assert meter.open(2) == 50


@long
def test_what_comes_again_to_what_was_said_before_is_said_once(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """A change of the instrument on the next day that is declared, taken out and declared again ended each run."""
    meter = register(sqlite_db, tmp_path, "2000")
    meter.bring((-2, "30000"), (20, "30500"), (21, "0"), (21.5, "80"))
    assert meter.issue(1) == 290
    meter.bring((24, "31500"), (46, "31600"))
    changed = swap(23, "90", "31400")
    dip = meter.correct()
    assert found(dip) == [("06-01", 0, "other", -40, 40)]
    said = []
    for more in (changed, "", changed):
        meter.apply(more)
        outcome = meter.correct()
        said.append((found(outcome), outcome.passed_over))
    meter.bring((20.5, "30500"))  # what is late after that is measured by what was said last
    assert found(meter.correct())[0][3:] == (0, 0)
    key = dip.found[0].key
    again = f"2014-06-01 to 2014-06-02: it comes again to what correction {key} says; nothing more is owed"
    assert said[:2] == [([("06-01", 0, "other", 40, 0)], []), ([], [again])]
    assert said[2] == ([], [])


@long
def test_what_is_as_it_was_again_takes_its_correction_back(meter: Register) -> None:
    # At 0:00 one kWh too many makes a dip of all that follows, up to the next day; contradicted, it does not.
    meter.bring((-2, "0"), (10, "0"), (22, "0"), (34, "60"))
    assert (meter.issue(1), meter.issue(2)) == (0, 30)
    meter.bring((0, "1"))
    assert found(meter.correct()) == [
        ("06-01", 1, "late_readings", Fraction(1, 2), 0),
        ("06-02", 0, "other", -30, 30),
    ]
    meter.bring((0, "0"))
    # It owes nothing more; what was paid is not asked for back.
    assert found(meter.correct()) == [
        ("06-01", 1, "late_readings", Fraction(-1, 2), 0),
        ("06-02", 0, "other", 30, 0),
    ]


# ------------------------------------------------------------------ against an independent model


texts = st.one_of(st.integers(0, 999).map(str), st.just(""))
hours = st.one_of(st.sampled_from(BORDERS), st.integers(-27, 47))
batches = st.lists(
    st.tuples(
        st.lists(st.tuples(hours, texts), max_size=5), st.sets(st.integers(0, 2)), st.booleans()
    ),
    min_size=2,
    max_size=4,
)


@long
@settings(
    max_examples=times(6, 80),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    batches,
    st.sampled_from([None, "100", "700"]),
    st.booleans(),
    st.lists(st.integers(0, 12), min_size=6, max_size=6).map(sorted),
    st.sampled_from([1, 12]),
)
@example(  # what comes at last says nothing that a correction has not said
    parts=[([], {0, 1}, False), ([(-13, "244")], set(), True), ([(0, "244")], set(), False)],
    rated=None,
    wide=False,
    rises=[0, 0, 0, 0, 0, 8],
    days=1,
)
def test_issued_and_corrected_is_what_an_independent_model_gives_of_all_readings(
    sqlite_db: Database,
    tmp_path: Path,
    parts: list[tuple[list[tuple[int, str]], set[int], bool]],
    rated: str | None,
    wide: bool,
    rises: list[int],
    days: int,
) -> None:
    width = "1000" if wide and rated is not None else ""
    meter = register(sqlite_db, tmp_path, rated, width)
    meter.days = days  # twelve: longer than a dip may be

    def later(hour: int) -> int:
        return BORDERS[0] + (hour - BORDERS[0]) * days

    first = [(later(-26 + 12 * place), str(60 * rise)) for place, rise in enumerate(rises)]
    rows: list[tuple[int, str]] = [*first]
    meter.bring(*first)
    issued: dict[int, Fraction] = {}
    outcomes: list[Outcome] = []
    for more, closed, corrects in parts:
        for place in closed - set(issued):
            issued[place] = meter.issue(place)
        if more:
            rows += [(later(hour), text) for hour, text in more]
            meter.bring(*rows[-len(more) :])
        if corrects:
            outcomes.append(meter.correct())
    outcomes.append(meter.correct())
    assert meter.correct() == Outcome()
    energies = energies_of(
        [(START_S + hour * 3600, text) for hour, text in rows],
        width=width or None,
        rated_kw=None if rated is None else Fraction(rated),
    )
    for place in range(3):
        expected = used(energies, later(BORDERS[place]), later(BORDERS[place + 1])) * FACTOR
        if place not in issued:
            assert meter.open(place) == expected
            continue
        begins = meter.period(place)[0]
        mine = [item for out in outcomes for item in out.found if item.from_date == begins]
        assert issued[place] + sum(item.effect_kg for item in mine) == expected
        # What is owed is the most that was ever known to be too much.
        known, most = Fraction(0), Fraction(0)
        for item in mine:
            known += item.effect_kg
            most = max(most, -known)
        assert sum(item.owed_kg for item in mine) == most


def used(energies: list[Energy], from_hour: int, to_hour: int) -> Fraction:
    start, end = START_S + from_hour * 3600, START_S + to_hour * 3600
    kwh = [
        item[3] for item in energies if item[4] == "used" and start <= item[0] and item[1] <= end
    ]
    return sum(kwh, Fraction(0))


def test_late_readings_of_a_register_are_never_uncounted(meter: Register) -> None:
    meter.bring((-2, "0"), (22, "240"))
    meter.issue(1)
    meter.bring((4, "60"))
    meter.correct()
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    for sql in (
        "DELETE FROM correction_registers",
        "UPDATE correction_registers SET register_id=9",
    ):
        with pytest.raises(DBAPIError, match="append-only"), meter.db.write() as session:
            session.execute(text(sql))
    with meter.db.read() as session:
        assert session.scalars(select(Correction.late_readings)).all()
