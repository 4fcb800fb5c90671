"""Random parks against a second implementation: files in any order, days of clock changes, what comes late."""

import random
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ledger.corrections import correct
from ledger.db import Database
from ledger.errors import NotFound, Refused
from ledger.naming import site_named
from ledger.readings import import_file, reductions_for
from ledger.readings.imports.restoring import restore
from ledger.readings.imports.selected import Which
from ledger.readings.imports.withdrawing import withdraw
from ledger.readings.periods.period import load_period
from ledger.reconcile.reading_rules import _back, differences
from tests.support.forms import long, times
from tests.support.independent_park import (
    Balance,
    Instrument,
    Span,
    balance,
    day_of,
    deducted,
    judged,
    midnight_s,
    slots_of,
    strays,
    stuck_rows,
    undeducted,
)
from tests.support.plant import apply, issue

DAYS = [
    ("Europe/Berlin", date(2024, 3, 31)),
    ("Europe/Berlin", date(2024, 10, 27)),
    ("America/St_Johns", date(2024, 11, 3)),
    ("America/Santiago", date(2024, 9, 8)),
    ("Australia/Lord_Howe", date(2024, 4, 7)),
    ("Asia/Kathmandu", date(2024, 2, 29)),
]
KG_PER_KWH, LEAKAGE, UNCERTAINTY = Fraction(4329, 10_000), Fraction(1, 50), Fraction(3, 100)
# 0.84 kg/L x 43 GJ/t x 74.1 t/TJ
DIESEL_T_PER_L = Fraction(84, 100_000) * 43 * Fraction(741, 10_000)
SITE = """
[site]
code = "park"
name = "Park"
time_zone = "{zone}"
country = "DE"

[[factor]]
code = "cm"
version = "1"
purpose = "crediting_cm"
value = "432.9"
unit = "g/kWh"
source = "a test"
verified = true

[[factor]]
code = "diesel"
version = "1"
purpose = "fuel"
value = "74.1"
unit = "t CO2/TJ"
ncv_gj_per_t = "43"
source = "a test"
verified = true

[project]
code = "park-wind"
methodology = "internal-grid-renewable"
methodology_version = "1"
factor = "cm"
program = "internal"
completeness_min = "0"
leakage_share = "0.02"
uncertainty_share = "0.03"
"""
UNITS = {
    True: (("W", Fraction(1, 1000)), ("kW", Fraction(1)), ("MW", Fraction(1000))),
    False: (("Wh", Fraction(1, 1000)), ("kWh", Fraction(1)), ("MWh", Fraction(1000))),
}
NOTHING = ("0", "0.0", "", "-")
TEXTS = ("60", "60.0", "6e1", "", "-", "-7.5", "0", "119.99", "120", "120.01", "-20", "-21", "0.1")


def random_meter(dice: random.Random, role: str, day: date) -> tuple[Instrument, str, str]:
    """Return a meter, the keys of its ``[[device]]``, and those of its ``[[source]]``."""
    power = role != "fuel" and dice.random() < 0.5
    unit, base = ("L", Fraction(1)) if role == "fuel" else dice.choice(UNITS[power])
    meter = Instrument(role, power, base, dice.choice([15, 30]), no_value=("-",))
    device = ""
    if role != "fuel" and dice.random() < 0.8:
        # So that 120 is at the limit.
        meter.rated_kw = 100 * base if power else 100 * base * 60 / meter.minutes
        device += f'rated_kw = "{float(meter.rated_kw)}"\n'
    if meter.supplies:
        meter.stuck_hours = dice.choice([0, 1, 2, 24])
        device += f"stuck_hours = {meter.stuck_hours}\n"
    if role in ("generation", "import", "fuel") and dice.random() < 0.6:
        meter.accuracy = Fraction(1, 2)
        device += 'accuracy_class = "0.5"\n'
        if dice.random() < 0.5:
            meter.spans = [Span(day, day, Fraction(dice.choice([-3, 0]))), Span(day + timedelta(2))]
        else:
            meter.calibrated = False
            device += "calibrated = false\n"
    if role == "fuel":
        meter.tonnes_per_unit = DIESEL_T_PER_L
        device += 'fuel_factor = "diesel"\ndensity_kg_per_l = "0.84"\n'
    if dice.random() < 0.4:
        meter.there_from, meter.there_to = dice.choice(
            [(day, day), (None, day), (day + timedelta(1), None), (day + timedelta(1),) * 2]
        )
        for key, at in (("from", meter.there_from), ("to", meter.there_to)):
            device += f'in_service_{key} = "{at}"\n' if at else ""
    kind = "fuel" if role == "fuel" else "power" if power else "energy"
    return meter, device, f'kind = "{kind}"\nunit = "{unit}"\n'


def tables_of(code: str, meter: Instrument, device: str, source: str) -> str:
    """Return the tables of a meter in the site file."""
    text = (
        f'[[device]]\ncode = "{code}"\ntype = "a device"\nmeter_serial = "serial-{code}"\n'
        f'role = "{meter.role}"\n{device}'
        f'[[source]]\nname = "{code}"\ndevice = "{code}"\n{source}'
        f'interval_minutes = {meter.minutes}\nlabel = "start"\nmissing = ["-"]\n'
        'time_column = "time"\nvalue_column = "value"\ntime_zone = "offset"\n'
    )
    for span in meter.spans:
        last = f'calibrated_to = "{span.last}"\n' if span.last else ""
        error = f'measured_error = "{span.found}"\n' if span.found else ""
        text += f'[[calibration]]\ndevice = "{code}"\ncalibrated_from = "{span.first}"\n'
        text += last + error
    return text


class RandomPark:
    """Some meters of each kind, and all rows of two legal days, of which the first has a change of the clocks."""

    def __init__(self, db: Database, folder: Path, seed: int, *, asks: bool = False) -> None:
        self.dice = random.Random(seed)
        name, self.day = self.dice.choice(DAYS)
        self.zone = ZoneInfo(name)
        self.db, self.folder = db, folder
        self.numbers = count()
        roles = ["generation", "generation", "import", "load", "fuel", "storage"]
        made = [random_meter(self.dice, role, self.day) for role in roles]
        while all(meter.there_from or meter.there_to for meter, _, _ in made[:2]):
            made[0] = random_meter(self.dice, "generation", self.day)  # one supplies on each day
        self.meters = {f"D{number}": meter for number, (meter, _, _) in enumerate(made)}
        tables = [tables_of(code, *parts) for code, parts in zip(self.meters, made, strict=True)]
        site = SITE.format(zone=name) + "\n".join(tables)
        least = 'completeness_min = "{}"'.format
        apply(db, site.replace(least("0"), least("0.0001")) if asks else site)

    @property
    def after(self) -> date:
        return self.day + timedelta(2)

    def rows_of(self, meter: Instrument) -> list[tuple[int, str]]:
        """Return rows of most slots, some of them with several: flat lines, spellings, contradictions, no values."""
        rows: list[tuple[int, str]] = []
        flat = 0
        quiet = self.dice.choice([1, 1, 0.97])
        start_s, end_s = (midnight_s(day, self.zone) for day in (self.day, self.after))
        for slot_s in range(start_s, end_s, meter.minutes * 60):
            flat = flat - 1 if flat else self.dice.choice([0] * 15 + [5, 100])
            number = self.dice.choice([0, 1, 1, 1, 1, 1, 1, 2, 3])
            some = TEXTS[:3] if flat else (*TEXTS, str(self.dice.uniform(-1, 90)))
            if not self.is_there(meter, slot_s) and self.dice.random() < quiet:
                some = NOTHING
            rows += [(slot_s, self.dice.choice(some)) for _ in range(number)]
        return rows

    def is_there(self, meter: Instrument, at_s: int) -> bool:
        day = day_of(at_s, self.zone)
        return (meter.there_from or day) <= day <= (meter.there_to or day)

    def bring(self, code: str, rows: list[tuple[int, str]]) -> None:
        """Import rows as files in any order, some of them in two."""
        parts = [rows[number::3] + self.dice.sample(rows, len(rows) // 9) for number in range(3)]
        for part in parts:
            self.dice.shuffle(part)
            path = self.folder / f"{next(self.numbers)}.csv"
            lines = [
                f"{datetime.fromtimestamp(at_s, UTC).isoformat()},{text}" for at_s, text in part
            ]
            path.write_text("\n".join(["time,value", *lines]) + "\n")
            report = import_file(self.db, "park", code, path)
            kept = report.new + report.unchanged + report.conflicts
            assert (report.read, report.rejected, kept) == (len(part), 0, len(part))
        self.meters[code].rows |= {*rows}

    def act(self, code: str) -> None:
        """Withdraw some readings, or restore some; what is refused changes nothing."""
        meter, dice = self.meters[code], self.dice
        act = dice.choice([withdraw, withdraw, restore])
        of_text = dice.choice([None, dice.choice([*TEXTS[:3], "-7.5"])])
        begin_s = midnight_s(self.day, self.zone) + dice.randrange(0, 180_000, 900)
        end_s = dice.choice([None, begin_s + 3600 * dice.choice([1, 12, 48])])
        meant = {
            (at_s, text)
            for at_s, text in meter.rows
            if begin_s <= at_s < (end_s or at_s + 1) and (of_text is None or text == of_text)
        }
        valued = {row for row in meter.rows if row[1] and row[1] not in meter.no_value}
        before, stuck = set(meter.withdrawn), stuck_rows(meter, self.zone)
        if act is withdraw:
            meant &= valued - before
            meter.withdrawn |= meant
            refused = "readings-stuck" if stuck - meant - stuck_rows(meter, self.zone) else ""
        else:
            meant &= before
            days = {day_of(at_s, self.zone) for at_s, _ in meant}
            between = [day for day in days | {self.day} if days and min(days) <= day <= max(days)]
            meter.withdrawn = {row for row in before if day_of(row[0], self.zone) not in between}
            whole = stuck_rows(meter, self.zone) & meant
            meter.withdrawn = before - meant
            refused = "readings-stuck" if whole - stuck_rows(meter, self.zone) else ""
        if refused or not meant:
            meter.withdrawn = before
        which = Which(from_s=begin_s, to_s=end_s, text=of_text)
        try:
            found = self.db.run(lambda session: act(session, "park", code, which, "a test"))
        except Refused as error:
            assert error.code == refused
        except NotFound:
            assert not meant
        else:
            assert (found.readings, refused) == (len(meant), "")

    def expected(self, first: date, last: date) -> Balance:
        return balance(
            self.meters.values(),
            self.zone,
            first,
            last,
            kg_per_kwh=KG_PER_KWH,
            leakage=LEAKAGE,
            uncertainty=UNCERTAINTY,
        )

    def bring_most(self) -> dict[str, list[tuple[int, str]]]:
        """Bring four fifths of the rows of each meter, at random; return the others."""
        late = {}
        for code, meter in self.meters.items():
            rows = self.rows_of(meter)
            early = [row for row in rows if self.dice.random() < 0.8]
            late[code] = [row for row in rows if row not in early]
            self.bring(code, early)
        return late

    def agrees(self, first: date, last: date) -> None:
        """Compare a period, and what became of each of its rows."""
        stray = [strays(meter, self.zone, first, last) for meter in self.meters.values()]
        if any(stray):
            number = next(place for place, days in enumerate(stray) if days)
            said = f"the meter serial-D{number} has a reading of {stray[number][0]} that is not 0"
            with self.db.read() as session, pytest.raises(Refused, match=said) as refused:
                reductions_for(session, "park-wind", first, last)
            assert refused.value.code == "not-in-service"
            return
        lacking = [undeducted(meter, self.zone, first, last) for meter in self.meters.values()]
        if any(lacking):
            number = next(place for place, count in enumerate(lacking) if count)
            said = (
                f"meter serial-D{number} between .* were withdrawn .{lacking[number]}, the first of"
            )
            with self.db.read() as session, pytest.raises(Refused, match=said):
                reductions_for(session, "park-wind", first, last)
            return
        with self.db.read() as session:
            (found,) = reductions_for(session, "park-wind", first, last)
            inputs = load_period(session, "park-wind", first, last)
        wanted_slots = slots_of(self.meters.values(), self.zone, first, last)
        for name in ("expected", "used", "missing", "outlier", "conflict"):
            assert getattr(found.counts, name) == getattr(wanted_slots, name), name
        wanted = self.expected(first, last)
        for name in ("export_kwh", "import_kwh", "project_t", "reductions_kg"):
            assert getattr(found, name) == getattr(wanted, name), name
        assert found.self_consumption is not None
        assert found.self_consumption.self_kwh == wanted.self_kwh
        assert found.issued_kg == wanted.issued_kg(inputs.carry_in_kg)
        within = range(midnight_s(first, self.zone), midnight_s(last, self.zone))
        for meter in inputs.meters:
            qualities = {(item.start_s, item.text): int(item.quality) for item in meter.readings}
            all_rows = judged(self.meters[meter.device_code], self.zone)
            assert qualities == {row: what for row, what in all_rows.items() if row[0] in within}


@pytest.mark.parametrize("seed", range(times(1, 60)))
def test_every_row_and_every_sum_is_what_the_documents_say(
    sqlite_db: Database, tmp_path: Path, seed: int
) -> None:
    park = RandomPark(sqlite_db, tmp_path, seed)
    for code, meter in park.meters.items():
        park.bring(code, park.rows_of(meter))
    park.agrees(park.day, park.after)
    park.agrees(park.day, park.day + timedelta(1))


@long
@pytest.mark.parametrize("seed", range(times(1, 60)))
def test_issued_and_corrected_a_day_is_what_it_would_be_had_all_been_known(
    sqlite_db: Database, tmp_path: Path, seed: int
) -> None:
    park = RandomPark(sqlite_db, tmp_path, 1000 + seed)
    day = park.day, park.day + timedelta(1)
    late = park.bring_most()
    park.agrees(*day)
    known_kg = issue(sqlite_db, day).reductions_kg
    for codes in (list(late)[::2], list(late)[1::2]):
        for code in codes:
            park.bring(code, late[code])
        for item in correct(sqlite_db, "park-wind").found:
            known_kg += item.effect_kg
        assert known_kg == park.expected(*day).reductions_kg
    assert not correct(sqlite_db, "park-wind").found
    park.agrees(day[1], park.after)


@long
@pytest.mark.parametrize("seed", times([4], [*range(60)]))
def test_where_completeness_is_asked_for_what_is_impossible_and_late_counts_for_nothing(
    sqlite_db: Database, tmp_path: Path, seed: int
) -> None:
    park = RandomPark(sqlite_db, tmp_path, 3000 + seed, asks=True)
    day = park.day, park.day + timedelta(1)
    late = park.bring_most()
    known_kg = issue(sqlite_db, day).reductions_kg
    for codes in (list(late)[::2], list(late)[1::2]):
        for code in codes:
            park.bring(code, late[code])
            within = range(*(midnight_s(at, park.zone) for at in day))
            park.meters[code].forget_impossible({row for row in late[code] if row[0] in within})
        for item in correct(sqlite_db, "park-wind").found:
            known_kg += item.effect_kg
        assert known_kg == park.expected(*day).reductions_kg
    assert not correct(sqlite_db, "park-wind").found


@long
@pytest.mark.parametrize("seed", range(times(1, 60)))
def test_whatever_is_withdrawn_and_restored_the_rows_left_count_as_if_alone(
    sqlite_db: Database, tmp_path: Path, seed: int
) -> None:
    park = RandomPark(sqlite_db, tmp_path, 2000 + seed)
    for code, meter in park.meters.items():
        park.bring(code, park.rows_of(meter))
    for round_ in range(6):
        for code in park.meters:
            park.act(code)
        if round_ == 3:  # it brings nothing back that is withdrawn
            code = park.dice.choice([*park.meters])
            park.bring(code, park.rows_of(park.meters[code]))
    park.agrees(park.day, park.after)
    for code, meter in park.meters.items():  # what is not deducted any more is a 0 instead
        rows = [(at_s, "0.000") for at_s, _ in sorted(deducted(meter))]
        if rows:
            park.bring(code, rows * 3)  # a row in each of the files
    park.agrees(park.day, park.after)
    park.agrees(park.day + timedelta(1), park.after)
    with park.db.read() as session:
        assert not [*_back(session), *differences(session, site_named(session, "park"))]
