"""What comes late and is impossible takes no deduction away, where a project asks for every value of its import meters.

A period in which such a value is impossible is refused. One that is issued cannot be; and an effect above zero would
make up for what was issued too much.
"""

from datetime import date
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from ledger.corrections import correct
from ledger.db import Database
from ledger.models import Correction, Issuance
from ledger.models.issuance import IssuanceState
from ledger.readings.periods.recomputing import recomputed_inputs
from ledger.reconcile.correction_rules import _from_readings
from tests.support.forms import few, long
from tests.support.plant import SITE, apply, imported, issue, write_csv

_DEVICE = SITE[SITE.index("[[device]]") : SITE.index("[[source]]")]
_SOURCE = SITE[SITE.index("[[source]]") :]
_HOUSE = (
    _DEVICE.replace('"A"', '"H"').replace("serial-A", "serial-H").replace("generation", "import")
)
_SLOTS = _SOURCE.replace('"scada"', '"house"').replace('"A"', '"H"')
_REGISTER = (
    _SLOTS.replace('"power"', '"counter"').replace('"kW"', '"kWh"').replace('label = "start"\n', "")
)
ASKS = SITE.replace('completeness_min = "0"', 'completeness_min = "0.001"')


def bring(db: Database, folder: Path, *rows: tuple[str, str], source: str = "house") -> int:
    """Import values of 1 June at local times; return how many came late."""
    lines = [(f"2014-06-01T{time}:00+02:00", text) for time, text in rows]
    return imported(db, write_csv(folder / "rows.csv", lines), source).late


def effect(db: Database) -> list[tuple[Fraction, Fraction]]:
    return [(item.effect_kg, item.owed_kg) for item in correct(db, "park-wind").found]


@long
def test_an_impossible_late_value_of_an_import_meter_makes_up_for_nothing(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, f"{ASKS}\n{_HOUSE}{_SLOTS}")
    bring(sqlite_db, tmp_path, ("10:00", "90"), ("10:10", "90"), source="scada")
    bring(sqlite_db, tmp_path, ("10:00", "12"), ("10:10", "18"))
    assert issue(sqlite_db).reductions_kg == Fraction(25, 2)  # 30 less 5 kWh, at 0.5 kg
    assert bring(sqlite_db, tmp_path, ("10:00", "99999"), ("10:10", "5000"), ("10:10", "-999")) == 3
    assert effect(sqlite_db) == [(0, 0)]
    # Of another slot what is possible counts, and beside what is impossible, too.
    assert bring(sqlite_db, tmp_path, ("10:00", "24"), ("10:10", "400")) == 2
    assert effect(sqlite_db) == [(-1, 1)]  # 2 kWh more
    assert correct(sqlite_db, "park-wind").found == []
    with sqlite_db.read() as session:
        (issuance,) = session.scalars(select(Issuance))
        last = session.scalars(select(Correction).order_by(Correction.id.desc())).first()
        assert last is not None
        assert _from_readings(session, last, issuance) == []  # as reconcile asks


@few(1)
def test_where_nothing_was_deducted_what_is_impossible_hides_nothing_that_came_late(
    db: Database, tmp_path: Path
) -> None:
    """At night the house drew nothing; what it did draw came late, and then what hid it: the debt was gone again."""
    apply(db, f"{ASKS}\n{_HOUSE}{_SLOTS}")
    bring(db, tmp_path, ("10:00", "90"), ("10:10", "90"), source="scada")
    bring(db, tmp_path, ("10:00", "0"), ("10:10", "-1"))
    issue(db)
    assert bring(db, tmp_path, ("10:00", "24"), ("10:10", "12")) == 2
    assert effect(db) == [(-3, 3)]
    assert bring(db, tmp_path, ("10:00", "99999"), ("10:10", "99999")) == 2
    assert effect(db) == []  # it comes again to what was found
    assert correct(db, "park-wind").passed_over == []
    # Nor where both come at once.
    bring(db, tmp_path, ("10:00", "30"), ("10:00", "400"), ("10:10", "401"))
    assert effect(db) == [(Fraction(-1, 2), Fraction(1, 2))]


@long
def test_what_an_earlier_build_took_away_is_found(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(sqlite_db, f"{ASKS}\n{_HOUSE}{_SLOTS}")
    bring(sqlite_db, tmp_path, ("10:00", "90"), ("10:10", "90"), source="scada")
    bring(sqlite_db, tmp_path, ("10:00", "12"))
    issue(sqlite_db)
    bring(sqlite_db, tmp_path, ("10:10", "60"), source="scada")
    bring(sqlite_db, tmp_path, ("10:00", "99999"))
    with monkeypatch.context() as earlier:
        as_then = partial(recomputed_inputs, keeps_deductions=False)
        earlier.setattr("ledger.corrections.finding.recomputed_inputs", as_then)
        assert effect(sqlite_db) == [(Fraction(-3, 2), Fraction(3, 2))]  # 5 kWh less, and 2 more
    with sqlite_db.read() as session:  # what is due yet is no difference of the books
        (issuance,) = session.scalars(select(Issuance))
        assert _from_readings(session, session.scalars(select(Correction)).one(), issuance) == []
    found = correct(sqlite_db, "park-wind").found
    assert [(item.cause, item.effect_kg, item.owed_kg) for item in found] == [("other", -1, 1)]
    assert correct(sqlite_db, "park-wind").found == []


def test_where_no_completeness_is_asked_for_a_slot_is_what_it_would_be_had_all_been_known(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, f"{SITE}\n{_HOUSE}{_SLOTS}")
    bring(sqlite_db, tmp_path, ("10:00", "90"), source="scada")
    bring(sqlite_db, tmp_path, ("10:00", "12"))
    issue(sqlite_db)
    bring(sqlite_db, tmp_path, ("10:00", "99999"))
    assert effect(sqlite_db) == [(1, 0)]


@long
@pytest.mark.parametrize(
    ("late", "expected"),
    [
        ([("13:00", "99999")], (0, 0)),  # two differences, one beyond the device, one a fall
        ([("13:00", "25")], (0, 0)),  # a split moves the sum by nothing
        pytest.param([("13:00", "5")], (0, 0), marks=long),  # a dip is passed over
        pytest.param([("16:00", "90")], (Fraction(-15), 15), marks=long),  # 30 kWh more
    ],
)
def test_an_impossible_late_reading_of_an_import_register_makes_up_for_nothing(
    sqlite_db: Database, tmp_path: Path, late: list[tuple[str, str]], expected: tuple[int, int]
) -> None:
    apply(sqlite_db, f"{ASKS}\n{_HOUSE}{_REGISTER}")
    bring(sqlite_db, tmp_path, ("10:00", "90"), source="scada")
    bring(sqlite_db, tmp_path, ("12:00", "10"), ("14:00", "40"), ("15:00", "60"))
    assert issue(sqlite_db).reductions_kg == Fraction(15, 2) - 25
    assert bring(sqlite_db, tmp_path, *late) == 1
    assert effect(sqlite_db) == [expected]
    assert correct(sqlite_db, "park-wind").found == []


def test_what_a_dip_of_an_import_register_had_deducted_stays_deducted(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """A register that is back on the next day: its difference runs over the border, and counts in no period."""
    house = _HOUSE.replace('"100"', '"2000"')
    apply(sqlite_db, f"{ASKS}\n{house}{_REGISTER}")
    bring(sqlite_db, tmp_path, ("10:00", "90"), source="scada")
    early = ("12:00", "30000"), ("20:00", "30500"), ("21:00", "0"), ("21:30", "80")
    bring(sqlite_db, tmp_path, *early)
    assert issue(sqlite_db).reductions_kg == Fraction(15, 2) - 290
    back = [("2014-06-02T02:00:00+02:00", "31500"), ("2014-06-03T00:00:00+02:00", "31600")]
    imported(sqlite_db, write_csv(tmp_path / "back.csv", back), "house")
    assert effect(sqlite_db) == [(0, 0)]
    assert correct(sqlite_db, "park-wind").found == []


@long
def test_a_midnight_of_an_import_register_that_is_contradicted_takes_no_deduction_away(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, f"{ASKS}\n{_HOUSE}{_REGISTER}")
    bring(sqlite_db, tmp_path, ("10:00", "90"), source="scada")
    midnight, later = "2014-06-02T00:00:00+02:00", "2014-06-02T01:00:00+02:00"
    rows = [("2014-06-01T22:00:00+02:00", "40"), (midnight, "60"), (later, "70")]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", rows), "house")
    assert issue(sqlite_db).reductions_kg == Fraction(15, 2) - 10
    imported(sqlite_db, write_csv(tmp_path / "b.csv", [(midnight, "61")]), "house")
    assert effect(sqlite_db) == [(0, 0)]  # 40 to 70 runs over midnight
    assert correct(sqlite_db, "park-wind").found == []


@long
def test_what_came_late_for_another_project_is_found_there_alone(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Found beside it, it was cancelled of the credits of somebody who had not been named."""
    apply(sqlite_db)
    yard = SITE.replace('"park', '"yard').replace('"A"', '"B"').replace("serial-A", "serial-B")
    apply(sqlite_db, yard)
    for number, site in enumerate(("park", "yard"), 1):
        file = write_csv(tmp_path / "rows.csv", [("2014-06-01T10:00:00+02:00", "60")])
        imported(sqlite_db, file, site=site)
        issue(sqlite_db, project=f"{site}-wind", number=number)
    issue(sqlite_db, (date(2014, 6, 2), date(2014, 6, 3)), state=IssuanceState.VOID, number=3)
    file = write_csv(tmp_path / "rows.csv", [("2014-06-01T10:10:00+02:00", "60")])
    assert imported(sqlite_db, file, site="yard").late == 1
    for named, found in (("park", []), ("yard", [5])):
        outcome = correct(sqlite_db, f"{named}-wind")
        assert [item.effect_kg for item in outcome.found] == found
        assert outcome.passed_over == []  # nor is one that is void not issued yet
