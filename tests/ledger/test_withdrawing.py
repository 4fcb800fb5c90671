"""Readings whose values are taken back: what counts then, what stays to be seen, and what is refused."""

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from sqlalchemy import select, text

from ledger import audit
from ledger.corrections import correct
from ledger.db import Database
from ledger.errors import BadInput, NotFound, Refused
from ledger.models import (
    AuditLog,
    CarbonEmission,
    Correction,
    MeterReading,
    Project,
    ReadingWithdrawal,
)
from ledger.models.readings import ReadingQuality
from ledger.naming import site_named
from ledger.readings import import_file, reductions_for
from ledger.readings.imports.restoring import restore
from ledger.readings.imports.selected import Changed, Which
from ledger.readings.imports.withdrawing import withdraw
from ledger.readings.periods.evidence_files import files_of_period
from ledger.readings.periods.period import skipped_before
from ledger.readings.shown.lookup import moment, rows_of
from ledger.reconcile.reading_rules import _back, differences
from ledger.reductions.zones import zone
from tests.ledger.test_inventory import DIESEL, FUEL, GRID, HOURS, REGISTER, bring
from tests.support.forms import few, long
from tests.support.plant import JUNE, SITE, apply, imported, issue, write_csv

PARIS = zone("Europe/Paris")
DAY = date(2014, 6, 1), date(2014, 6, 2)
REASON = "typed a thousandfold; the ticket says 100 L"


def second(hour: int) -> int:
    return moment(HOURS[hour], PARIS, "test")


def taken(db: Database, device: str, which: Which, reason: str = REASON) -> Changed:
    return db.run(lambda session: withdraw(session, "park", device, which, reason))


def standing(db: Database) -> list[tuple[str, str, bool]]:
    """Text, quality and whether there is a value, of each reading in order."""
    with db.read() as session:
        rows = session.scalars(
            select(MeterReading).order_by(
                MeterReading.meter_id, MeterReading.start_s, MeterReading.text
            )
        )
        return [(row.text, row.quality.value, row.value_digits is not None) for row in rows]


def emitted(db: Database) -> list[Decimal]:
    with db.read() as session:
        return list(
            session.scalars(
                select(CarbonEmission.emissions).where(
                    CarbonEmission.calculation_method == "scope1_fuel"
                )
            )
        )


@long
@pytest.mark.parametrize("came", ["late", "before it joined"])
def test_what_no_correction_counts_is_said_as_long_as_it_has_a_value(
    sqlite_db: Database, tmp_path: Path, came: str
) -> None:
    """Whoever took the wrong file of such a meter back was told to cancel for it all the same.

    What it had before it joined was called issued, and could not be taken back: no manifest names it.
    """
    alone = GRID.replace("[[source]]", "inventory_only = true\n\n[[source]]", 1)
    apply(sqlite_db, SITE if came == "late" else SITE + alone)
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    if came != "late":
        bring(sqlite_db, tmp_path, "GRID", "1", "", "0", "2")
    issue(sqlite_db, JUNE)
    apply(sqlite_db, SITE + GRID)
    if came == "late":
        bring(sqlite_db, tmp_path, "GRID", "1", "", "0", "2")
    (said,) = correct(sqlite_db, "park-wind").passed_over
    assert "readings of the import meter serial-GRID (2), which the issuance does not name" in said
    found = taken(sqlite_db, "GRID", Which(from_s=second(0)))
    assert (found.readings, found.undeducted) == (3, 0)
    assert not correct(sqlite_db, "park-wind").passed_over
    sqlite_db.run(
        lambda session: restore(session, "park", "GRID", Which(from_s=second(3)), "it was right")
    )
    (said,) = correct(sqlite_db, "park-wind").passed_over
    assert "serial-GRID (1)" in said
    with pytest.raises(Refused, match="1 of these readings is issued"):
        taken(sqlite_db, "A", Which(from_s=second(0)))


@long
def test_fuel_that_was_typed_a_thousandfold_is_taken_back_and_typed_anew(
    db: Database, tmp_path: Path
) -> None:
    """Of two values the higher one would count for ever, and no credit of the project be issued."""
    apply(db, SITE + DIESEL + FUEL)
    bring(db, tmp_path, "GEN", "100000", "0")
    import_file(db, "park", "scada", write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    assert emitted(db) == [Decimal("267.649200")]
    found = taken(db, "GEN", Which(at_s=second(0) + 1800))
    assert (found.readings, found.judged_anew) == (1, 1)
    assert found.first == found.last == datetime.fromisoformat(HOURS[0]).astimezone(UTC)
    assert standing(db)[1:] == [("100000", "missing", False), ("0", "used", True)]
    assert emitted(db) == []  # a zero has no row

    again = import_file(db, "park", "GEN", tmp_path / "GEN.csv")  # the same rows bring nothing back
    assert (again.unchanged, again.without_value) == (2, 1)
    assert again.as_json()["without_value"] == 1
    assert standing(db)[1] == ("100000", "missing", False)
    bring(db, tmp_path, "GEN", "100")
    assert standing(db)[1:3] == [("100", "used", True), ("100000", "superseded", False)]
    with db.read() as session:
        (part,) = reductions_for(session, "park-wind", *DAY)
        burnt = next(each for each in part.meters if each.serial == "serial-GEN")
        # As the manifest says it, and from its two files alone.
        (files,) = files_of_period(session, "park-wind", *DAY)
        stated = {each["serial"]: each for each in json.loads(files.manifest)["meters"]}
        assert list(differences(session, site_named(session, "park"))) == []
        assert list(_back(session)) == []
    assert burnt.serial == "serial-GEN"
    assert stated["serial-GEN"]["no_value_texts"] == ["100000"]
    assert stated["serial-A"]["no_value_texts"] == []
    assert Fraction(part.project_t) == Fraction("0.26764920")  # 84 kg x 43.0 GJ/t x 74.1 t/TJ


@few(1)
def test_whoever_looks_at_it_sees_who_took_it_back_and_why(db: Database, tmp_path: Path) -> None:
    apply(db, SITE + GRID)
    bring(db, tmp_path, "GRID", "9999", "5")
    taken(db, "GRID", Which(text="9999"), f"  {REASON} ")
    with db.read() as session:
        shown = rows_of(session, "park", "GRID", start="2014-06-01", end="2014-06-02")["rows"]
        entry = session.scalars(
            select(AuditLog).where(AuditLog.action == "readings.withdraw")
        ).one()
        (row,) = session.scalars(select(ReadingWithdrawal)).all()
    assert "readings.withdraw" in audit.ACTIONS
    assert [item["withdrawn"] and item["withdrawn"]["reason"] for item in shown] == [REASON, None]
    assert shown[0]["withdrawn"]["at"] == row.withdrawn_at
    assert (shown[0]["text"], shown[0]["value"], shown[0]["number"]) == ("9999", None, 201)
    assert entry.new_values["reason"] == REASON
    assert entry.new_values["from"] == entry.new_values["to"] == "2014-05-31T22:00:00Z"
    assert (entry.new_values["texts"], entry.new_values["readings"]) == (["9999"], 1)


def test_all_of_a_wrong_file_is_taken_back_and_nothing_else(db: Database, tmp_path: Path) -> None:
    apply(db, SITE + GRID)
    bring(db, tmp_path, "GRID", "1", "2")
    right = hashlib.sha256((tmp_path / "GRID.csv").read_bytes()).hexdigest()
    bring(db, tmp_path, "GRID", "1", "700", "800")
    wrong = hashlib.sha256((tmp_path / "GRID.csv").read_bytes()).hexdigest()
    assert standing(db) == [
        ("1", "used", True),
        ("2", "superseded", True),
        ("700", "used", True),
        ("800", "used", True),
    ]
    assert taken(db, "GRID", Which(file=wrong[:8].upper())).readings == 2  # the first was there
    assert standing(db) == [
        ("1", "used", True),
        ("2", "used", True),
        ("700", "superseded", False),
        ("800", "missing", False),
    ]
    with pytest.raises(NotFound, match="no such reading with a value"):
        taken(db, "GRID", Which(file=wrong))
    assert taken(db, "GRID", Which(file=right, from_s=second(1), to_s=second(2))).readings == 1


def test_what_is_issued_stays(db: Database, tmp_path: Path) -> None:
    apply(db)
    times = [f"2014-06-0{day}T00:00:00+02:00" for day in (1, 2)]
    imported(db, write_csv(tmp_path / "a.csv", [(time, "60") for time in times]))
    issue(db, JUNE)
    before = standing(db)
    with pytest.raises(Refused, match="1 of these readings is issued, the first of 2014-06-01T00"):
        taken(db, "A", Which(text="60"))
    assert standing(db) == before  # of both none
    assert taken(db, "A", Which(from_s=moment(times[1], PARIS, "test"))).readings == 1


def test_what_came_late_is_taken_back_before_a_correction_counts_it_and_not_after(
    db: Database, tmp_path: Path
) -> None:
    apply(db, SITE + GRID)
    imported(db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    bring(db, tmp_path, "GRID", "1")
    issue(db, JUNE)
    bring(db, tmp_path, "GRID", "9000", "2")  # 9 MWh for an hour that was issued with 1 kWh
    assert [item[:2] for item in standing(db)[1:]] == [
        ("1", "used"),
        ("9000", "late"),
        ("2", "late"),
    ]
    assert taken(db, "GRID", Which(text="9000")).readings == 1
    assert standing(db)[2] == ("9000", "late", False)
    outcome = correct(db, "park-wind")
    (found,) = outcome.found
    assert found.effect_kg == -1  # 2 kWh more were drawn, at 0.5 kg
    with pytest.raises(Refused, match="a correction has counted 1 of these readings") as refused:
        taken(db, "GRID", Which(text="2"))
    assert refused.value.code == "readings-corrected"
    with db.read() as session:
        late = session.scalars(
            select(MeterReading.text).where(MeterReading.quality == ReadingQuality.LATE)
        ).all()
    assert sorted(late) == ["2", "9000"]


@long
def test_a_flat_line_is_taken_back_as_a_whole(db: Database, tmp_path: Path) -> None:
    """Without one of its slots it would last no whole day, and all others would count."""
    apply(db, SITE.replace('role = "generation"', 'role = "generation"\nstuck_hours = 24', 1))
    midnight = datetime(2014, 5, 31, 22, tzinfo=UTC)
    times = [(midnight + timedelta(minutes=10 * slot)).isoformat() for slot in range(2 * 144)]
    imported(db, write_csv(tmp_path / "a.csv", [(time, "60") for time in times]))
    first_s = int(midnight.timestamp())
    with pytest.raises(Refused, match="143 readings of a flat line would count") as refused:
        taken(db, "A", Which(at_s=first_s))
    assert refused.value.code == "readings-stuck"
    assert set(standing(db)) == {("60", "outlier", True)}
    assert (
        taken(db, "A", Which(to_s=first_s + 86_400)).readings == 144
    )  # the next day stays as it is
    assert {item[1:] for item in standing(db)} == {("missing", False), ("outlier", True)}


def test_a_register_is_refused(sqlite_db: Database, tmp_path: Path) -> None:
    apply(sqlite_db, SITE + REGISTER)
    bring(sqlite_db, tmp_path, "GRID", "100", "105")
    with pytest.raises(Refused, match="GRID is a register") as refused:
        taken(sqlite_db, "GRID", Which(text="100"))
    assert refused.value.code == "register"


@pytest.mark.parametrize(
    ("device", "which", "reason", "said"),
    [
        ("GRID", Which(), REASON, "say which readings are meant"),
        ("GRID", Which(text="1"), "  ", "say why in --reason"),
        ("GRID", Which(text="1"), "x" * 501, "in 500 characters"),
        ("GRID", Which(file="abcdef1"), REASON, "eight at least"),
        ("GRID", Which(file="%" * 8), REASON, "takes the SHA-256"),
        ("GRID", Which(file="0" * 64), REASON, "no such reading"),
        ("NONE", Which(text="1"), REASON, "no device 'NONE' with a meter"),
    ],
)
def test_what_is_not_said_clearly_is_refused(
    sqlite_db: Database, tmp_path: Path, device: str, which: Which, reason: str, said: str
) -> None:
    apply(sqlite_db, SITE + GRID)
    bring(sqlite_db, tmp_path, "GRID", "1")
    with pytest.raises((BadInput, NotFound), match=said):
        taken(sqlite_db, device, which, reason)
    assert standing(sqlite_db) == [("1", "used", True)]


@long
def test_a_value_that_is_back_and_a_row_that_is_gone_are_found(
    db: Database, tmp_path: Path
) -> None:
    apply(db, SITE + GRID)
    bring(db, tmp_path, "GRID", "9999", "9998")
    taken(db, "GRID", Which(from_s=second(0), to_s=second(2)))
    with db.write() as session:
        session.execute(
            text("UPDATE meter_readings SET value_digits = 1, value_scale = 0 WHERE text = '9999'")
        )
        session.execute(text("DELETE FROM meter_readings WHERE text = '9998'"))
    with db.read() as session:
        back, gone = list(_back(session))
    assert "was withdrawn, and has a value" in back
    assert "was withdrawn, and is not there" in gone


@long
@few(1)
@pytest.mark.parametrize("role", ["import", "fuel"])
def test_what_was_deducted_is_not_issued_without_another_value_in_its_place(
    db: Database, tmp_path: Path, role: str
) -> None:
    """A project that asks for no completeness would claim more by the withdrawal alone."""
    device = {"import": "GRID", "fuel": "GEN"}[role]
    more = {"import": GRID, "fuel": DIESEL + FUEL}[role]
    assert 'completeness_min = "0"' in SITE
    changes = apply(db, SITE + more)
    assert any("completeness_min is 0, so that readings of" in said for said in changes.warnings)
    imported(db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60"), (HOURS[1], "60")]))
    bring(db, tmp_path, device, "2", "3")

    def claimed() -> Fraction:
        with db.read() as session:
            (part,) = reductions_for(session, "park-wind", *DAY)
            return part.reductions_kg

    before = claimed()
    found = taken(db, device, Which(at_s=second(1)))
    assert (found.readings, found.undeducted) == (1, 1)
    said = f"readings of the {role} meter serial-{device} .* were withdrawn .1, the first of 2014-06-01T01:00"
    with pytest.raises(Refused, match=said) as refused:
        claimed()
    assert refused.value.code == "incomplete"
    bring(db, tmp_path, device, "2", "")  # nor with an empty one
    with pytest.raises(Refused, match="nothing counts in their place"):
        claimed()
    bring(db, tmp_path, device, "2", "1")
    assert claimed() > before
    bring(db, tmp_path, device, "2", "5")
    assert taken(db, device, Which(text="5")).undeducted == 0  # the 1 counts
    db.run(lambda session: restore(session, "park", device, Which(text="3"), REASON))
    assert claimed() == before  # of 1 and 3 the one that claims least


@long
def test_an_impossible_value_beside_a_withdrawn_one_is_said_to_need_the_same(
    db: Database, tmp_path: Path
) -> None:
    """Of an import meter the highest value is taken: whatever is brought beside it does not count."""
    rated = GRID.replace("[[source]]", 'rated_kw = "20"\n\n[[source]]', 1)
    apply(db, SITE + rated)
    imported(db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60"), (HOURS[1], "60")]))
    bring(db, tmp_path, "GRID", "2", "3")
    bring(db, tmp_path, "GRID", "2", "9000")

    def refused() -> str:
        with db.read() as session, pytest.raises(Refused, match="restore them") as found:
            reductions_for(session, "park-wind", *DAY)
        return str(found.value)

    assert taken(db, "GRID", Which(text="3")).undeducted == 1
    said = "in 1 of these slots stands an impossible value, beside which no other counts"
    assert said in refused()
    bring(db, tmp_path, "GRID", "2", "4")
    assert said in refused()
    taken(db, "GRID", Which(text="9000"))
    with db.read() as session:
        assert reductions_for(session, "park-wind", *DAY)
    taken(db, "GRID", Which(text="4"))
    assert "impossible" not in refused()


def test_where_completeness_is_asked_for_an_impossible_value_is_to_be_withdrawn(
    sqlite_db: Database, tmp_path: Path
) -> None:
    rated = GRID.replace("[[source]]", 'rated_kw = "20"\n\n[[source]]', 1)
    site = SITE.replace('completeness_min = "0"', 'completeness_min = "0.01"', 1)
    apply(sqlite_db, site + rated)
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(HOURS[n], "60") for n in range(3)]))
    bring(sqlite_db, tmp_path, "GRID", "2", "9000")
    with (
        sqlite_db.read() as session,
        pytest.raises(Refused, match="in 1 of these slots stands an impossible value"),
    ):
        reductions_for(session, "park-wind", *DAY)


@few(1)
@pytest.mark.parametrize("role", ["generation", "export"])
def test_what_a_supplying_meter_drew_stays_deducted(
    db: Database, tmp_path: Path, role: str
) -> None:
    """What a plant draws at night is a value below 0 of its own meter; what it supplies needs no other value."""
    apply(db, SITE.replace('role = "generation"', f'role = "{role}"', 1))
    imported(
        db, write_csv(tmp_path / "a.csv", list(zip(HOURS, ("60", "-7.5", "30"), strict=False)))
    )

    def claimed() -> Fraction:
        with db.read() as session:
            (part,) = reductions_for(session, "park-wind", *DAY)
            return part.reductions_kg

    before = claimed()
    assert taken(db, "A", Which(text="30")).undeducted == 0
    least = claimed()
    assert least < before
    found = taken(db, "A", Which(text="-7.5"))
    assert (found.readings, found.undeducted) == (1, 1)
    said = (
        f"readings of the {role} meter serial-A .* were withdrawn .1, the first of 2014-06-01T01:00"
    )
    with pytest.raises(Refused, match=said) as refused:
        claimed()
    assert refused.value.code == "incomplete"
    imported(db, write_csv(tmp_path / "b.csv", [(HOURS[1], "-7")]))
    assert least < claimed() < before
    db.run(lambda session: restore(session, "park", "A", Which(from_s=second(0)), REASON))
    assert claimed() == before


@long
def test_what_was_withdrawn_of_days_without_its_meter_is_not_missed(
    db: Database, tmp_path: Path
) -> None:
    more = GRID.replace("[[source]]", 'in_service_from = "2014-06-02"\n\n[[source]]', 1)
    apply(db, SITE + more)
    imported(db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    bring(db, tmp_path, "GRID", "2")
    with db.read() as session, pytest.raises(Refused, match="is not in service"):
        reductions_for(session, "park-wind", *DAY)
    assert taken(db, "GRID", Which(text="2")).undeducted == 0
    with db.read() as session:
        (part,) = reductions_for(session, "park-wind", *DAY)
    assert part.reductions_kg == 5  # 10 kWh at 0.5 kg


@long
def test_days_that_are_left_out_do_not_lack_less_by_a_withdrawal(
    db: Database, tmp_path: Path
) -> None:
    """Their deficit enters the period after them, or stops it; without their import there would be none."""
    apply(db, SITE + GRID)
    times = [f"2014-06-0{day}T00:00:00+02:00" for day in (1, 3)]
    imported(db, write_csv(tmp_path / "a.csv", [(time, "60") for time in times]))
    issue(db, JUNE)
    bring(db, tmp_path, "GRID", "9", day=2)

    def skipped() -> Fraction:
        with db.read() as session:
            row = session.scalars(select(Project)).one()
            found = skipped_before(session, row, date(2014, 6, 3), date(2014, 6, 4))
            return Fraction(0) if found is None else found.kg

    assert skipped() == Fraction("-4.5")
    taken(db, "GRID", Which(text="9"))
    with pytest.raises(
        Refused, match=r"readings of the import meter serial-GRID .* were withdrawn"
    ):
        skipped()
    bring(db, tmp_path, "GRID", "8", day=2)
    assert skipped() == -4


def test_a_late_reading_that_was_withdrawn_is_named_by_a_correction_of_nothing(
    db: Database, tmp_path: Path
) -> None:
    apply(db, SITE + GRID)
    imported(db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    bring(db, tmp_path, "GRID", "1", "")
    issue(db, JUNE)
    bring(db, tmp_path, "GRID", "9000", "9000")
    assert taken(db, "GRID", Which(text="9000")).undeducted == 0
    with (
        db.read() as session
    ):  # it was never to be deducted there: what is issued can be looked at as before
        assert reductions_for(session, "park-wind", *DAY)
    (found,) = correct(db, "park-wind").found
    assert (found.effect_kg, found.owed_kg, found.state) == (0, 0, "recorded")
    with db.read() as session:
        stated = json.loads(session.scalars(select(Correction.manifest)).one())
    texts = {meter["serial"]: meter["no_value_texts"] for meter in stated["meters"]}
    assert texts == {"serial-A": [], "serial-GRID": ["9000"]}
    assert not correct(db, "park-wind").found
