"""Evidence is never expired: what was proven of a month is proven of it after it went to the archive."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, select

from cli.reductions import write_evidence
from ledger.bundles import ALL
from ledger.bundles.proven import prove_reading
from ledger.corrections import correct
from ledger.db import Database
from ledger.errors import ProblemFound
from ledger.issuance import plan_issuance, submit_planned
from ledger.jobs import retention, work
from ledger.jobs.retention import KEPT, LOGS_KEPT, expire
from ledger.jobs.work import Tools
from ledger.keeping.moving import archive
from ledger.keeping.places import ARCHIVED
from ledger.keeping.reading import count_between
from ledger.models import Base, DeviceData, Issuance, MeterReading
from ledger.proofs.verifier import verify
from ledger.readings import import_file, reductions_for
from ledger.readings.periods.evidence_files import (
    MANIFEST,
    READINGS,
    files_of_credit,
    files_of_period,
)
from ledger.reductions import report
from ledger.reductions.recompute import Trusted, verify_files
from tests.support.forms import long
from tests.support.keeping import fresh
from tests.support.park import PARIS, PROJECT, Park, day
from tests.support.plant import write_csv
from tests.support.proven import bundle
from tests.support.ticks import SETTINGS

SHORT_ON_MARIADB = ("test_what_was_proven_is_proven_after_its_month_was_archived",)

LIVE_FROM = date(datetime.now(UTC).year, 7, 1)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
EVER = (datetime(2000, 1, 1, tzinfo=UTC), FAR)
FIRST = date(2014, 1, 1)


@pytest.fixture
def issued(both: Park) -> Iterator[Park]:
    """The first of three days at 60 kW is issued: 720 kg."""
    if both.db.dialect == "mysql":
        fresh(both.db)  # another test may have left a first partition that ends later than ours
    both.register()
    both.generate(FIRST, ["60", "60", "60"])
    issue(both, 1)
    yield both
    if both.db.dialect == "mysql":
        fresh(both.db)


def issue(park: Park, number: int) -> Issuance:
    plan_issuance(park.chain, PROJECT, day(number), day(number + 1))
    submit_planned(park.chain)
    park.mirror_final()
    return park.rows(Issuance)[-1]  # type: ignore[no-any-return]


def move(park: Park) -> int:
    return sum(item.rows for item in archive(park.db, LIVE_FROM))


def live(park: Park) -> int:
    return park.count(DeviceData)


def contents(db: Database, tables: list[Table]) -> dict[str, list[Any]]:
    with db.read() as session:
        return {
            table.name: [tuple(row) for row in session.execute(select(table)).all()]
            for table in tables
        }


def proofs(park: Park) -> dict[str, Any]:
    """All that the books can prove or say of the first day."""
    block = park.node.height()
    said: dict[str, Any] = {
        "bundle": bundle(park, f"{PROJECT}-2014-1", ALL, block),
        "single": bundle(park, f"{PROJECT}-2014-1", 3, block).text,
    }
    with park.db.read() as session:
        issuance = session.scalars(select(Issuance)).first()
        assert issuance is not None
        said["reductions"] = [
            report(found) for found in reductions_for(session, PROJECT, day(2), day(4))
        ]
        said["period"] = files_of_period(session, PROJECT, day(1), day(2))
        said["credit"] = files_of_credit(session, f"{PROJECT}-2014-1")
        ids = session.scalars(
            select(MeterReading.id).where(MeterReading.start_s < issuance.to_s)
        ).all()
        said["readings"] = [
            (proven.leaf, proven.proof, proven.reading)
            for proven in (prove_reading(session, number) for number in ids[::29])
        ]
    return said


def test_what_was_proven_is_proven_after_its_month_was_archived(issued: Park) -> None:
    before, block = proofs(issued), issued.node.height()
    rows = live(issued)
    assert rows == 3 * 144
    assert move(issued) == rows
    assert live(issued) == 0
    assert count_between(issued.db, "device_data", *EVER) == rows

    assert issued.node.height() == block
    after = proofs(issued)
    assert after["bundle"].text == before["bundle"].text  # byte for byte
    assert after == before
    built = after["bundle"]
    assert verify(built.text, built.trusted).facts["all_readings"] is True

    write_evidence(after["credit"], issued.folder / "credit")
    files = (issued.folder / "credit" / MANIFEST, issued.folder / "credit" / READINGS)
    row = issued.rows(Issuance)[0]
    trusted = Trusted(row.manifest_hash, row.evidence_root, row.issued_kg)
    assert verify_files(*files, trusted).valid
    assert issued.differences() == []
    assert issue(issued, 2).issued_kg == 720  # an archived month is issued as a live one
    assert issued.differences() == []


@long
def test_an_archived_month_takes_files_and_late_values_as_a_live_one(issued: Park) -> None:
    file = issued.folder / "meter.csv"
    move(issued)
    again = import_file(issued.db, "park", "scada", file)
    assert (again.new, again.unchanged) == (0, 3 * 144)
    assert live(issued) == 0  # what is there already is not stored a second time

    start = datetime(2014, 1, 1, tzinfo=PARIS).astimezone(UTC)
    late = write_csv(issued.folder / "late.csv", [(start.isoformat(), "0")])
    assert import_file(issued.db, "park", "scada", late).late == 1
    found = correct(issued.db, PROJECT).found
    assert [(item.cause, str(item.effect_kg)) for item in found] == [("late_readings", "-5")]
    assert issued.differences() == []
    assert live(issued) == 1
    assert move(issued) == 1
    assert count_between(issued.db, "device_data", *EVER) == 3 * 144 + 1
    assert correct(issued.db, PROJECT).found == []
    assert import_file(issued.db, "park", "scada", late).unchanged == 1
    assert issue(issued, 2).issued_kg == 715
    assert issued.differences() == []


@long
def test_the_jobs_say_what_they_did(issued: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    late = datetime.now(UTC) + timedelta(days=366)
    tools = Tools(issued.chain, SETTINGS, lambda: late)
    monkeypatch.setattr(work, "clock_of", lambda _: datetime(2014, 2, 1, tzinfo=UTC))
    assert work.move_to_archive(tools) is None  # by a clock that is ahead alone, nothing leaves
    for module in (work, retention):
        monkeypatch.setattr(module, "clock_of", lambda _: late)
    assert (
        work.move_to_archive(tools)
        == "archived 6 rows of device_data 2013-12, 426 rows of device_data 2014-01"
    )
    assert work.move_to_archive(tools) is None
    assert work.find_orphans(tools) is None
    assert work.forget(tools) is None
    with issued.db.write() as session:
        if issued.db.dialect == "sqlite":
            return
        session.add(
            DeviceData(
                device_id=99, metric_name="p", value=1, recorded_at=datetime(2090, 1, 1, tzinfo=UTC)
            )
        )
    with pytest.raises(ProblemFound, match="1 row of device_data with device_id 99"):
        work.find_orphans(tools)
    with pytest.raises(ProblemFound, match="1 row lies outside of all periods"):
        work.keep_partitions(tools)


@long
def test_nothing_but_logs_grows_old(issued: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred years later, every table but those of logs, sessions and their like holds what it held."""
    aging = {name for kind in KEPT for name in kind.tables}
    kept = [table for table in Base.metadata.sorted_tables if table.name not in aging]
    move(issued)
    before = contents(issued.db, kept)
    assert all(before[name] for name in ("meter_readings", "issuances", "audit_logs"))
    monkeypatch.setattr(retention, "clock_of", lambda _: FAR)
    expire(issued.db, FAR)
    assert contents(issued.db, kept) == before
    assert issued.differences() == []


def test_no_evidence_is_among_what_moves_or_ages() -> None:
    """Whatever evidence refers to, directly or not, is kept; so is all that refers to evidence."""
    evidence = {"meter_readings", "register_readings", "issuances", "reading_claims", "audit_logs"}
    evidence |= {"vpp_trading_records", "vpp_settlement_items", "credit_batches", "chain_events"}
    while True:
        more = {
            constraint.referred_table.name
            for name in evidence
            for constraint in Base.metadata.tables[name].foreign_key_constraints
        }
        if more <= evidence:
            break
        evidence |= more
    aging = {name for kind in KEPT for name in kind.tables} | set(ARCHIVED)
    assert aging & evidence == set()
    assert {name for name in aging if name not in Base.metadata.tables} == set()
    assert LOGS_KEPT.days >= 365
