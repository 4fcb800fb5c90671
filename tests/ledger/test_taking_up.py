"""Readings of an issuance that was void and is taken up again: they give its manifest, whatever came meanwhile."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import issuance
from ledger.clock import utc_now
from ledger.corrections import correct
from ledger.db import Database
from ledger.issuance.taking_up import rivals, take_up
from ledger.models import (
    ImportFile,
    Issuance,
    Meter,
    MeterReading,
    Project,
    ReadingClaim,
    RegisterReading,
)
from ledger.models.issuance import IssuanceState
from ledger.models.readings import ReadingQuality
from ledger.readings.imports.selected import Which
from ledger.readings.imports.withdrawing import withdraw
from ledger.readings.periods.evidence_files import issued_inputs
from ledger.reconcile.reading_rules import _back
from ledger.reductions import compute
from ledger.reductions.manifest import build, canonical_text
from tests.ledger.test_inventory import GRID, HOURS, bring
from tests.ledger.test_late_registers import START_S, register
from tests.support.forms import few, long, rest
from tests.support.plant import SITE, apply, imported, issue, write_csv

SHORT_ON_MARIADB = ("test_a_register_of_which_more_came_meanwhile",)
HOUR_S = 3600


def one(session: Session) -> Issuance:
    return session.scalars(select(Issuance)).one()


def manifest_of(session: Session) -> str:
    """Compute the manifest from the stored readings."""
    row = one(session)
    inputs = replace(issued_inputs(session, row), enforce=False)
    return canonical_text(build(compute(inputs), json.loads(row.manifest)["format"]))


def claimed(session: Session) -> set[tuple[int, int]]:
    return {(row.meter_id, row.start_s) for row in session.scalars(select(ReadingClaim))}


@few(2)
@pytest.mark.parametrize(
    "came",
    [
        [],
        [(1.5, "30")],
        [(-2, "1"), (21.5, "150"), (22, "155")],  # at both ends of the day
        [(3, "31"), (23, "160")],  # another value, and one of the day after
        [(-2.5, "139")],  # of the day before: the readings of the day stand in a dip now
    ],
    ids=["nothing", "a split", "the ends", "another value", "a dip"],
)
def test_a_register_of_which_more_came_meanwhile(
    db: Database, tmp_path: Path, came: Sequence[tuple[float, str]]
) -> None:
    meter = register(db, tmp_path, "100")
    meter.bring((-3, "0"), (0, "20"), (3, "40"), (9, "90"), (21, "140"), (30, "220"))
    assert meter.issue(1) > 0
    with db.write() as session:
        row = one(session)
        row.created_at = utc_now()
        key, stored, slots = row.key, row.manifest, claimed(session)
        assert manifest_of(session) == stored
    with db.write() as session:
        issuance.fail(session, key, "a test")
    with db.read() as session:
        assert (one(session).state, claimed(session)) == (IssuanceState.VOID, set())
    if came:
        meter.bring(*came)
    with db.write() as session:
        take_up(session, one(session))
    with db.read() as session:
        assert one(session).state is IssuanceState.PLANNED
        assert manifest_of(session) == stored
        assert claimed(session) == slots
        from_s, to_s = one(session).from_s, one(session).to_s
        late = RegisterReading.quality == ReadingQuality.LATE
        found = {row.at_s for row in session.scalars(select(RegisterReading).where(late))}
    times = {START_S + int(hours * HOUR_S) for hours, _ in came}
    assert found == {at_s for at_s in times if from_s <= at_s < to_s}
    meter.correct()  # what is late can be counted
    with db.read() as session:
        assert session.scalars(select(MeterReading.quality).distinct()).all()


@long
def test_what_came_later_is_late_though_the_clock_was_set_back_between(
    db: Database, tmp_path: Path
) -> None:
    """Planned on a machine that is ahead, or before its clock was set back; then more came, and was counted in."""
    meter = register(db, tmp_path, "100")
    meter.bring((-3, "0"), (0, "20"), (9, "90"), (21, "140"), (30, "220"))
    meter.issue(1)
    with db.write() as session:
        row = one(session)
        row.created_at = utc_now() + timedelta(seconds=90)
        key, stored, planned = row.key, row.manifest, row.created_at
    with db.write() as session:
        issuance.fail(session, key, "a test")
    meter.bring((1.5, "30"))
    with db.write() as session:
        take_up(session, one(session))
    with db.read() as session:
        assert manifest_of(session) == stored
        late = RegisterReading.quality == ReadingQuality.LATE
        assert session.scalars(select(RegisterReading.at_s).where(late)).all() == [
            START_S + int(1.5 * HOUR_S)
        ]
        times = session.scalars(select(ImportFile.imported_at).order_by(ImportFile.id)).all()
    assert times[-1] == planned + timedelta(microseconds=1)
    assert times[0] < utc_now()


def judged(session: Session, number: int) -> list[tuple[object, ...]]:
    """Return what a park's register has, and what became of it."""
    meter_id = session.scalars(select(Meter.id).where(Meter.serial == f"serial-{number}")).one()
    intervals = session.scalars(select(MeterReading).where(MeterReading.meter_id == meter_id))
    readings = session.scalars(select(RegisterReading).where(RegisterReading.meter_id == meter_id))
    return [
        *sorted((row.start_s, row.duration_s, row.text, row.quality.value) for row in intervals),
        *sorted((row.at_s, row.text, row.quality.value) for row in readings),
    ]


@long
@pytest.mark.parametrize(
    "came", rest([[(1.5, "30"), (10, "95")], [(-2, "1"), (21.5, "150"), (22, "155")], [(3, "31")]])
)
def test_its_register_is_as_if_it_had_never_been_void(
    sqlite_db: Database, tmp_path: Path, came: Sequence[tuple[float, str]]
) -> None:
    """As that of a park whose issuance was none, to which the same readings came late."""
    void, twin = (register(sqlite_db, tmp_path, "100") for _ in range(2))
    for meter in (void, twin):
        meter.bring((-3, "0"), (0, "20"), (3, "40"), (9, "90"), (21, "140"), (30, "220"))
        meter.issue(1)
    with sqlite_db.write() as session:
        first, second = session.scalars(select(Issuance).order_by(Issuance.id)).all()
        first.created_at = second.created_at = utc_now()
        number = first.id
        issuance.fail(session, first.key, "a test")
    for meter in (void, twin):
        meter.bring(*came)
    with sqlite_db.write() as session:
        assert judged(session, void.number) != judged(session, twin.number)
        take_up(session, session.get_one(Issuance, number))
    with sqlite_db.read() as session:
        assert judged(session, void.number) == judged(session, twin.number)


@pytest.mark.parametrize(
    ("was", "altered"), rest([('"format"', '"former"'), ("serial-", "other-")])
)
def test_an_altered_manifest_does_not_stop_the_mirror(
    db: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture, was: str, altered: str
) -> None:
    """Nobody knows its readings then: it follows the chain without them."""
    meter = register(db, tmp_path, "100")
    meter.bring((-3, "0"), (0, "20"), (3, "40"), (9, "90"), (21, "140"), (30, "220"))
    meter.issue(1)
    with db.write() as session:
        row = one(session)
        issuance.fail(session, row.key, "a test")
        row.manifest = row.manifest.replace(was, altered)
    with db.write() as session:
        assert rivals(session, one(session)) == []
        take_up(session, one(session))
    with db.read() as session:
        assert (one(session).state, claimed(session)) == (IssuanceState.PLANNED, set())
    assert "its manifest was altered" in caplog.text


@long
def test_a_meter_that_counts_for_another_project_since(db: Database, tmp_path: Path) -> None:
    """What that one has issued of it meanwhile stands in the way, and is not judged anew."""
    meter = register(db, tmp_path, "100")
    meter.bring((-2, "0"), (0, "20"), (3, "40"), (9, "90"), (21, "140"), (30, "220"))
    meter.issue(1)
    with db.write() as session:
        issuance.fail(session, one(session).key, "a test")
        first = session.scalars(select(Project)).one()
        values = {column.name: getattr(first, column.name) for column in Project.__table__.columns}
        other = Project(**{**values, "id": first.id + 1, "code": "another"})
        session.add(other)
        session.flush()
        session.scalars(select(Meter)).one().project_id = other.id
    issue(db, meter.period(1), project="another", number=77)
    with db.read() as session:
        query = select(Issuance).order_by(Issuance.id)
        before, since = session.scalars(query).all()
        numbers = before.id, since.id
    with db.write() as session:
        found = rivals(session, session.get_one(Issuance, numbers[0]))
        assert [row.id for row in found] == [numbers[1]]
    with db.read() as session:
        slots = claimed(session)
        assert min(start_s for _, start_s in slots) == before.from_s
    # Both are on the chain: what the other has, from its first slot on, is left to it.
    with db.write() as session:
        take_up(session, session.get_one(Issuance, numbers[0]))
    with db.read() as session:
        owners = {
            (row.meter_id, row.start_s): row.issuance_id
            for row in session.scalars(select(ReadingClaim))
        }
        assert owners.keys() == slots and set(owners.values()) == {numbers[1]}


@long
def test_what_an_issuance_that_is_taken_up_deducts_is_no_other_projects_to_cancel(
    db: Database, tmp_path: Path
) -> None:
    """Its meter of consumption had moved to a project with an issuance of that time, which does not name it."""
    second = SITE[SITE.index("[[device]]") :].replace('"A"', '"B"').replace("serial-A", "serial-B")
    apply(db, SITE + GRID + second.replace('name = "scada"', 'name = "scada-b"'))
    with db.write() as session:
        first = session.scalars(select(Project)).one()
        values = {column.name: getattr(first, column.name) for column in Project.__table__.columns}
        other = Project(**{**values, "id": first.id + 1, "code": "another"})
        session.add(other)
        session.flush()
        its = session.scalars(select(Meter).where(Meter.serial == "serial-B")).one()
        its.project_id = other.id
    for source in ("scada", "scada-b"):
        imported(db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60")]), source)
    bring(db, tmp_path, "GRID", "1", "", "0", "2")
    issue(db)
    issue(db, project="another", number=77)
    with db.write() as session:
        row = session.scalars(select(Issuance).where(Issuance.project_id == first.id)).one()
        number, row.created_at = row.id, utc_now()
    with db.write() as session:
        issuance.fail(session, session.get_one(Issuance, number).key, "a test")
        grid = session.scalars(select(Meter).where(Meter.serial == "serial-GRID")).one()
        grid.project_id = other.id
    (said,) = correct(db, "another").passed_over
    assert "readings of the import meter serial-GRID (2), which the issuance does not name" in said
    with db.write() as session:
        take_up(session, session.get_one(Issuance, number))
    bring(db, tmp_path, "GRID", "", "7")  # late for the one that has the others
    assert correct(db, "another").passed_over == []


@long
@pytest.mark.parametrize("kind", ["power", "counter"])
def test_what_is_judged_otherwise_meanwhile_is_as_it_was_planned(
    sqlite_db: Database, tmp_path: Path, kind: str
) -> None:
    """Its root stands over outliers by the rated power of then; days that are not issued are judged by today's."""
    site = (
        SITE if kind == "power" else SITE.replace('"power"\nunit = "kW"', '"counter"\nunit = "kWh"')
    )
    apply(sqlite_db, site)
    values = ("130", "60", "70") if kind == "power" else ("0", "130", "190")
    after = "130" if kind == "power" else "320"
    rows = [*zip(HOURS, values, strict=False), ("2014-06-02T12:00:00+02:00", after)]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", rows))
    issue(sqlite_db)
    with sqlite_db.write() as session:
        row = one(session)
        row.created_at, key, stored = utc_now(), row.key, row.manifest
        assert row.readings_outlier > 0
    with sqlite_db.write() as session:
        issuance.fail(session, key, "a test")
    apply(sqlite_db, site.replace('rated_kw = "100"', 'rated_kw = "200"'))
    with sqlite_db.write() as session:
        take_up(session, one(session))
    with sqlite_db.read() as session:
        assert manifest_of(session) == stored
        last = select(MeterReading.quality).order_by(MeterReading.start_s.desc())
        assert session.scalars(last).first() is ReadingQuality.USED


# ------------------------------------------------------------------ what was withdrawn meanwhile


@long
def test_what_was_withdrawn_while_it_was_void_stands_again(db: Database, tmp_path: Path) -> None:
    """The root on chain stands over what it was; void again, it is withdrawn again."""
    apply(db, SITE + GRID)
    imported(db, write_csv(tmp_path / "a.csv", [(HOURS[0], "60"), (HOURS[1], "60")]))
    bring(db, tmp_path, "GRID", "1", "0.50")
    second = int(datetime.fromisoformat(HOURS[0]).timestamp())
    before = Which(at_s=int(datetime.fromisoformat(HOURS[1]).timestamp()))
    db.run(lambda session: withdraw(session, "park", "A", before, "before it was planned"))
    issue(db)
    with db.write() as session:
        row = one(session)
        row.created_at = utc_now() + timedelta(seconds=90)  # by a clock that was ahead
        key, stored = row.key, row.manifest
        assert manifest_of(session) == stored
    with db.write() as session:
        issuance.fail(session, key, "a test")
    all_of = Which(from_s=second)
    for device in ("A", "GRID"):
        db.run(lambda session, device=device: withdraw(session, "park", device, all_of, "a test"))
    imported(db, write_csv(tmp_path / "b.csv", [(HOURS[0], "59")]))
    late = Which(at_s=second, text="59")
    db.run(lambda session: withdraw(session, "park", "A", late, "a test"))

    def found() -> list[tuple[str, str, bool]]:
        with db.read() as session:
            rows = session.scalars(
                select(MeterReading).order_by(
                    MeterReading.meter_id, MeterReading.start_s, MeterReading.text
                )
            )
            assert list(_back(session)) == []
            return [(row.text, row.quality.value, row.value_digits is not None) for row in rows]

    void = [
        ("59", "missing", False),
        ("60", "missing", False),
        ("60", "missing", False),
        ("1", "missing", False),
        ("0.50", "missing", False),
    ]
    assert found() == void
    with db.write() as session:
        take_up(session, one(session))
    assert found() == [
        ("59", "late", False),
        ("60", "used", True),
        ("60", "missing", False),
        ("1", "used", True),
        ("0.50", "used", True),
    ]
    with db.write() as session:
        assert manifest_of(session) == stored
    with db.write() as session:
        issuance.fail(session, key, "a test")
    assert found() == void
