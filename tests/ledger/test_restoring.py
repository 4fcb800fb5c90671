"""Readings that were withdrawn by mistake: they count again as any other, and both acts are seen."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import event, select, text

from api.pages.days import day_of
from cli.readings_views import _why_not
from ledger import audit, issuance
from ledger.clock import utc_now
from ledger.corrections import correct
from ledger.db import Database, tables
from ledger.errors import BadInput, NotFound, Refused
from ledger.issuance.taking_up import take_up
from ledger.models import AuditLog, Issuance, MeterReading, ReadingRestoration, ReadingWithdrawal
from ledger.models.readings import ReadingQuality
from ledger.naming import site_named
from ledger.readings import import_file
from ledger.readings.imports.restoring import AsIn, restore
from ledger.readings.imports.selected import Changed, Which, take_values
from ledger.readings.rows.store import judge_anew
from ledger.readings.shown.lookup import rows_of
from ledger.reconcile.reading_rules import _back, differences
from tests.ledger.test_inventory import GRID, HOURS, bring
from tests.ledger.test_withdrawing import DAY, second, standing, taken
from tests.ledger.test_withdrawing import REASON as MISTAKEN
from tests.support.forms import long
from tests.support.forms import times as so_many
from tests.support.plant import JUNE, SITE, apply, imported, issue, write_csv

REASON = "it was the right file after all"
SHORT_ON_MARIADB = ("test_a_right_file_that_was_withdrawn_comes_back_and_may_be_withdrawn_again",)


def given(db: Database, device: str, which: Which, reason: str = REASON) -> Changed:
    return db.run(lambda session: restore(session, "park", device, which, reason))


def sound(db: Database) -> bool:
    """Whether the reconciliation finds nothing."""
    with db.read() as session:
        return not [*_back(session), *differences(session, site_named(session, "park"))]


@long
def test_a_right_file_that_was_withdrawn_comes_back_and_may_be_withdrawn_again(
    db: Database, tmp_path: Path
) -> None:
    apply(db, SITE + GRID)
    bring(db, tmp_path, "GRID", "1", "2", "3")
    file = Which(file=hashlib.sha256((tmp_path / "GRID.csv").read_bytes()).hexdigest())
    taken(db, "GRID", file, "the wrong file")
    bring(db, tmp_path, "GRID", "9", "", "3.0")
    found = given(db, "GRID", file, f" {REASON} ")
    assert (found.readings, found.judged_anew) == (3, 6)
    after = [
        ("1", "superseded", True),  # an import meter claims least by the highest value
        ("9", "used", True),
        ("", "superseded", False),
        ("2", "used", True),
        ("3", "used", True),
        ("3.0", "superseded", True),
    ]
    assert standing(db) == after and sound(db)
    with pytest.raises(NotFound, match="no such reading that is withdrawn"):
        given(db, "GRID", file)

    assert taken(db, "GRID", Which(text="2"), "once more").readings == 1
    assert standing(db)[3] == ("2", "missing", False) and sound(db)
    with db.read() as session:
        shown = rows_of(session, "park", "GRID", start="2014-06-01", end="2014-06-02")["rows"]
        acts = [
            [(row.reading_id, row.turn, row.reason) for row in session.scalars(query)]
            for query in (select(ReadingWithdrawal), select(ReadingRestoration))
        ]
        entry = session.scalars(select(AuditLog).where(AuditLog.action == "readings.restore")).one()
    said = {row["text"]: (row["withdrawn"], row["restored"]) for row in shown}
    assert said["9"] == (None, None)
    withdrawn, restored = said["1"]
    assert (withdrawn, restored["reason"]) == (None, REASON)
    assert restored["withdrawn"]["reason"] == "the wrong file"
    assert restored["at"] > restored["withdrawn"]["at"]
    assert said["2"][0]["reason"] == "once more" and said["2"][1] is None
    assert [len(each) for each in acts] == [4, 3]
    assert max(turn for _, turn, _ in acts[0]) == 2
    assert "readings.restore" in audit.ACTIONS
    assert (entry.new_values["reason"], entry.new_values["readings"]) == (REASON, 3)
    assert given(db, "GRID", Which(text="2")).readings == 1
    assert standing(db) == after and sound(db)


def test_what_is_issued_without_it_stays(db: Database, tmp_path: Path) -> None:
    apply(db, SITE + GRID)
    imported(db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    bring(db, tmp_path, "GRID", "1", "2")
    taken(db, "GRID", Which(text="1"))
    bring(db, tmp_path, "GRID", "0")
    issue(db, JUNE)
    before = standing(db)
    with pytest.raises(
        Refused, match="1 of these readings is issued, the first of 2014-06-01T00"
    ) as refused:
        given(db, "GRID", Which(text="1"))
    assert refused.value.code == "readings-issued"
    assert standing(db) == before
    bring(db, tmp_path, "GRID", "1.0")  # as the message says
    (found,) = correct(db, "park-wind").found
    assert found.effect_kg == -0.5


@long
def test_what_came_late_comes_back_until_a_correction_has_looked(
    db: Database, tmp_path: Path
) -> None:
    apply(db, SITE + GRID)
    imported(db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    bring(db, tmp_path, "GRID", "1")
    issue(db, JUNE)
    bring(db, tmp_path, "GRID", "9", "2")
    late = Which(from_s=second(0), to_s=second(1), text="9")
    taken(db, "GRID", late)
    given(db, "GRID", late)
    assert [item.effect_kg for item in correct(db, "park-wind").found] == [-5]  # 8 + 2 kWh
    bring(db, tmp_path, "GRID", "19", "3")
    taken(db, "GRID", Which(text="19"))
    assert [item.effect_kg for item in correct(db, "park-wind").found] == [-0.5]
    with pytest.raises(Refused, match="a correction has counted 1 of these readings") as refused:
        given(db, "GRID", Which(text="19"))
    assert refused.value.code == "readings-corrected"
    bring(db, tmp_path, "GRID", "19.0")
    assert [item.effect_kg for item in correct(db, "park-wind").found] == [-5]
    assert not correct(db, "park-wind").found and sound(db)


@long
def test_a_flat_line_comes_back_as_a_whole(db: Database, tmp_path: Path) -> None:
    """Else all of it but one slot would come back, and count."""
    apply(db, SITE.replace('role = "generation"', 'role = "generation"\nstuck_hours = 24', 1))
    midnight = datetime(2014, 5, 31, 22, tzinfo=UTC)
    times = [(midnight + timedelta(minutes=10 * slot)).isoformat() for slot in range(145)]
    values = ["60"] * 144 + ["61"]
    imported(db, write_csv(tmp_path / "a.csv", zip(times, values, strict=True)))
    first_s, last_s = int(midnight.timestamp()), int(midnight.timestamp()) + 143 * 600
    taken(db, "A", Which(from_s=first_s))
    for part in (
        Which(from_s=first_s + 600),
        Which(at_s=last_s),
        Which(from_s=last_s),  # with one of the next day
    ):
        with pytest.raises(Refused, match="a part of a flat line") as refused:
            given(db, "A", part)
        assert refused.value.code == "readings-stuck"
        assert {row[1] for row in standing(db)} == {"missing"} and sound(db)
    assert given(db, "A", Which(from_s=first_s)).readings == 145
    assert set(standing(db)) == {("60", "outlier", True), ("61", "used", True)} and sound(db)


@long
def test_what_was_restored_while_it_was_void_is_as_it_was_planned(
    db: Database, tmp_path: Path
) -> None:
    apply(db, SITE + GRID)
    imported(db, write_csv(tmp_path / "a.csv", [(time, "60") for time in HOURS[:3]]))
    for hour in (0, 1):
        taken(db, "A", Which(at_s=second(hour)))
    issue(db)
    with db.write() as session:
        row = session.scalars(select(Issuance)).one()
        row.created_at = utc_now() + timedelta(seconds=90)  # by a clock that was ahead
        key = row.key
    with pytest.raises(Refused, match="issued"):
        given(db, "A", Which(at_s=second(0)))
    with db.write() as session:
        issuance.fail(session, key, "a test")
    given(db, "A", Which(at_s=second(0)))
    taken(db, "A", Which(at_s=second(2)))
    given(db, "A", Which(at_s=second(2)))
    taken(db, "A", Which(at_s=second(2)))
    void = [("60", "used", True), ("60", "missing", False), ("60", "missing", False)]
    assert standing(db) == void and sound(db)
    with db.write() as session:
        take_up(session, session.scalars(select(Issuance)).one())
    assert standing(db) == [
        ("60", "missing", False),
        ("60", "missing", False),
        ("60", "used", True),
    ]
    assert sound(db)
    with db.read() as session:
        rows = rows_of(session, "park", "A", start="2014-06-01", end="2014-06-02")["rows"]
    first, *others = map(_why_not, rows)
    assert first is not None and first.endswith(
        f"; issued without its value; withdrawn: {MISTAKEN}; restored: {REASON}"
    )
    assert others == [
        f"withdrawn: {MISTAKEN}",
        f"issued with its value; since then withdrawn: {MISTAKEN}",
    ]
    # The page of the day says of each what was so for the issuance.
    assert said_of_the_day(db) == [(MISTAKEN, None), (MISTAKEN, None), (None, None)]
    with db.write() as session:
        issuance.fail(session, key, "a test")
    assert standing(db) == void and sound(db)
    assert said_of_the_day(db) == [
        (MISTAKEN, REASON),
        (MISTAKEN, None),
        (MISTAKEN, None),
    ]


def said_of_the_day(db: Database) -> list[tuple[str | None, str | None]]:
    """Why the readings of the issuance's day were withdrawn, and restored, as their page has it."""
    with db.read() as session:
        (meter, *_) = day_of(session, session.scalars(select(Issuance)).one(), DAY[0])
    return [(item.place.withdrawn, item.place.restored) for item in meter.items if item.place]


@long
def test_a_meter_that_has_left_the_project_is_as_today_when_that_is_void_again(
    db: Database, tmp_path: Path
) -> None:
    """It may leave while nothing live names it; a fork makes its readings those of the issuance once more."""
    apply(db, SITE + GRID)
    imported(db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]))
    bring(db, tmp_path, "GRID", "1")
    issue(db)
    with db.write() as session:
        row = session.scalars(select(Issuance)).one()
        row.created_at, key = utc_now(), row.key
    with db.write() as session:
        issuance.fail(session, key, "a test")
    taken(db, "GRID", Which(text="1"))
    bring(db, tmp_path, "GRID", "2")
    apply(db, SITE + GRID.replace("[[source]]", "inventory_only = true\n\n[[source]]", 1))
    today = [("60", "used", True), ("1", "superseded", False), ("2", "used", True)]
    assert standing(db) == today and sound(db)
    with db.write() as session:
        take_up(session, session.scalars(select(Issuance)).one())
    assert standing(db)[1:] == [("1", "used", True), ("2", "late", True)] and sound(db)
    with db.write() as session:
        issuance.fail(session, key, "a test")
    assert standing(db) == today and sound(db)
    assert given(db, "GRID", Which(text="1")).readings == 1


def test_each_act_is_after_the_one_before_it_though_the_clock_was_set_back(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(sqlite_db, SITE + GRID)
    bring(sqlite_db, tmp_path, "GRID", "1")
    ahead = utc_now() + timedelta(seconds=60)
    with monkeypatch.context() as other_machine:
        other_machine.setattr("ledger.clock.utc_now", lambda: ahead)
        taken(sqlite_db, "GRID", Which(text="1"))
    for act in (given, taken, given):
        act(sqlite_db, "GRID", Which(text="1"))
    with sqlite_db.read() as session:
        withdrawn, restored = (
            session.scalars(select(moment).order_by(moment)).all()
            for moment in (ReadingWithdrawal.withdrawn_at, ReadingRestoration.restored_at)
        )
    assert withdrawn[0] == ahead
    assert withdrawn[0] < restored[0] < withdrawn[1] < restored[1]


@pytest.mark.parametrize(
    ("device", "which", "reason", "said"),
    [
        ("GRID", Which(), REASON, "say which readings are meant"),
        ("GRID", Which(text="1"), " ", "say why in --reason"),
        ("GRID", Which(from_s=second(1), to_s=second(1)), REASON, "is empty: the end is exclusive"),
        ("GRID", Which(text="2"), REASON, "no such reading that is withdrawn"),
        ("NONE", Which(text="1"), REASON, "no device 'NONE' with a meter"),
    ],
)
def test_what_is_not_said_clearly_is_refused(
    sqlite_db: Database, tmp_path: Path, device: str, which: Which, reason: str, said: str
) -> None:
    apply(sqlite_db, SITE + GRID)
    bring(sqlite_db, tmp_path, "GRID", "1", "2")
    taken(sqlite_db, "GRID", Which(text="1"))
    with pytest.raises((BadInput, NotFound), match=said):
        given(sqlite_db, device, which, reason)
    assert standing(sqlite_db) == [("1", "missing", False), ("2", "used", True)]


@long
def test_a_value_that_did_not_come_back_is_found(db: Database, tmp_path: Path) -> None:
    apply(db, SITE + GRID)
    bring(db, tmp_path, "GRID", "1")
    taken(db, "GRID", Which(text="1"))
    given(db, "GRID", Which(text="1"))
    with db.write() as session:
        session.execute(text("UPDATE meter_readings SET value_digits = NULL, value_scale = NULL"))
    with db.read() as session:
        (found,) = _back(session)
    assert "was restored, and has no value" in found


def test_the_first_of_several_imports_is_as_the_file_says(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """The same file once more says nothing of rows without a value after they were restored."""
    apply(sqlite_db, SITE + GRID)
    bring(sqlite_db, tmp_path, "GRID", "1", "2")
    taken(sqlite_db, "GRID", Which(text="1"))
    file = tmp_path / "GRID.csv"
    assert import_file(sqlite_db, "park", "GRID", file).without_value == 1
    given(sqlite_db, "GRID", Which(text="1"))
    assert import_file(sqlite_db, "park", "GRID", file).without_value == 0


@long
@pytest.mark.parametrize("right_came", ["before", "after"])
def test_what_a_right_file_has_in_common_with_a_wrong_one_comes_back_by_it(
    db: Database, tmp_path: Path, right_came: str
) -> None:
    """A row stands in the books once, as of the file that brought it first: a clock that was an hour late, say."""
    apply(db, SITE + GRID)
    bring(db, tmp_path, "GRID", "5", "0", "0", "7")  # the wrong one
    wrong = hashlib.sha256((tmp_path / "GRID.csv").read_bytes()).hexdigest()
    right = write_csv(tmp_path / "right.csv", list(zip(HOURS, ("0", "0", "7", "x"), strict=False)))
    as_in = AsIn(right, "GRID")

    def back(as_in: AsIn = as_in) -> Changed:
        return db.run(
            lambda session: restore(session, "park", "GRID", Which(), REASON, as_in=as_in)
        )

    if right_came == "before":
        assert import_file(db, "park", "GRID", right).unchanged == 1
        found = taken(db, "GRID", Which(file=wrong))
        assert found.others == (("right.csv", 1),)
    else:
        found = taken(db, "GRID", Which(file=wrong))
        assert found.others == ()
        with pytest.raises(BadInput, match="was not imported by source 'GRID'") as refused:
            back()
        assert refused.value.code == "not-imported"
        assert import_file(db, "park", "GRID", right).without_value == 1
    assert found.undeducted == (2 if right_came == "before" else 4)
    done = back()
    assert (done.readings, done.first) == (1, datetime.fromisoformat(HOURS[1]).astimezone(UTC))
    assert standing(db) == [
        ("0", "used", True),
        ("5", "superseded", False),
        ("0", "used", True),
        ("0", "superseded", False),
        ("7", "used", True),
        ("7", "missing", False),
    ]
    assert sound(db)
    with pytest.raises(NotFound, match="no such reading that is withdrawn"):
        back()
    with pytest.raises(NotFound, match="no source 'none'"):
        back(AsIn(right, "none"))
    with pytest.raises(
        BadInput, match="source 'scada' is of device 'A': name one that feeds 'GRID'"
    ):
        back(AsIn(right, "scada"))


def test_what_a_time_has_of_another_withdrawal_is_said_when_it_comes_back(
    db: Database, tmp_path: Path
) -> None:
    """A wrong file was withdrawn before; who ends a slip of yesterday by its time has that back as well."""
    apply(db, SITE + GRID)
    bring(db, tmp_path, "GRID", "900", "901")
    taken(db, "GRID", Which(from_s=second(0)), "the file of another meter")
    bring(db, tmp_path, "GRID", "1", "2")
    for hour in (0, 1):
        taken(db, "GRID", Which(at_s=second(hour)), "a slip")
    with db.read() as session:
        query = select(ReadingWithdrawal.withdrawn_at).order_by(ReadingWithdrawal.reading_id)
        file, _, first, last = session.scalars(query).all()
    assert given(db, "GRID", Which(text="1")).ended == ((first, "a slip", 1),)
    ended = given(db, "GRID", Which(from_s=second(0))).ended
    assert ended == ((last, "a slip", 1), (file, "the file of another meter", 2))


@long
@pytest.mark.parametrize("count", [10, 600])
def test_readings_of_another_meter_are_not_waited_for(
    mariadb_db: Database, tmp_path: Path, count: int
) -> None:
    """Of a small table, or one that its statistics call small, a server would read all, and lock what it reads."""
    db = mariadb_db
    apply(db, SITE + GRID)
    bring(db, tmp_path, "GRID", "1")
    begin = datetime(2014, 6, 2, tzinfo=UTC)
    times = [(begin + timedelta(minutes=10 * slot)).isoformat() for slot in range(count)]
    imported(db, write_csv(tmp_path / "a.csv", [(at, str(n)) for n, at in enumerate(times)]))
    ids = select(MeterReading.id).order_by(MeterReading.start_s)
    with db.read() as session:
        its, *mine = session.scalars(ids).all()
    with db.write() as other:
        assert other.get_one(MeterReading, its, with_for_update=True).text == "1"
        with db.write() as session:
            session.execute(text("SET SESSION innodb_lock_wait_timeout = 2"))
            take_values(session, mine)
            judge_anew(session, [("missing", False, None, number) for number in mine])


def test_many_readings_take_no_statement_each(db: Database, tmp_path: Path) -> None:
    """A year of ten minutes took a server across a network 160,000 round trips, under the locks of its site."""
    apply(db)
    begin = datetime(2014, 6, 1, tzinfo=UTC)
    times = [(begin + timedelta(minutes=10 * slot)).isoformat() for slot in range(1000)]
    imported(db, write_csv(tmp_path / "a.csv", [(at, str(n)) for n, at in enumerate(times)]))
    before, whole = standing(db), Which(from_s=second(0))
    changes: list[tuple[str, bool]] = []

    def note(*executed: Any) -> None:
        if executed[2].startswith("UPDATE ") and " meter_readings " in executed[2]:
            changes.append((executed[2], executed[5]))

    for act in (taken, given):
        event.listen(db._engine, "before_cursor_execute", note)
        try:
            assert act(db, "A", whole).readings == 1000
        finally:
            event.remove(db._engine, "before_cursor_execute", note)
        assert (standing(db) == before) is (act is given)
    assert 3 < len(changes) < 40
    assert not any(of_many for _, of_many in changes)
    assert sound(db)


def test_what_is_written_together_is_as_if_row_by_row(db: Database, tmp_path: Path) -> None:
    """Of any number of rows in any order: long numbers, nulls and texts beside each other, all others untouched."""
    apply(db, SITE + GRID)
    begin = datetime(2014, 6, 2, tzinfo=UTC)
    times = [(begin + timedelta(minutes=10 * slot)).isoformat() for slot in range(60)]
    imported(db, write_csv(tmp_path / "a.csv", [(at, str(n)) for n, at in enumerate(times)]))
    columns = [column for column in MeterReading.__table__.columns if column.key != "id"]
    place = {column.key: number for number, column in enumerate(columns)}

    def stored() -> dict[int, list[Any]]:
        with db.read() as session:
            rows = session.execute(select(MeterReading.__table__.c.id, *columns))
            return {number: list(values) for number, *values in rows}

    lots, expected = Random(46), stored()
    reasons = (None, "", "x ", 'it\'s 100 % of \\ and "that"', "\u540e 😀", "r" * 200)
    for count in (1, 2, 3, 19, 20, 21, *(lots.randrange(61) for _ in range(so_many(6, 60)))):
        judged, values = [], []
        for number in lots.sample(sorted(expected), count):
            after = lots.choice(list(ReadingQuality)), lots.random() < 0.5, lots.choice(reasons)
            judged.append((after[0].value, *after[1:], number))
            for name, value in zip(("quality", "conflict", "reason"), after, strict=True):
                expected[number][place[name]] = value
        for number in lots.sample(sorted(expected), count):
            digits = lots.choice([None, 0, -1, 2**31, -(2**63), 2**63 - 1, lots.randrange(10**9)])
            value = {"value_digits": digits, "value_scale": None if digits is None else count % 7}
            values.append({"id": number, **value})
            for name, given_one in value.items():
                expected[number][place[name]] = given_one
        with db.write() as session:
            judge_anew(session, judged)
            tables.change(session, MeterReading, "id", values)
        assert stored() == expected
        gone = lots.sample(sorted(expected), count // 2)
        for number in gone:
            expected[number][place["value_digits"]] = expected[number][place["value_scale"]] = None
        with db.write() as session:
            take_values(session, gone)
        assert stored() == expected
