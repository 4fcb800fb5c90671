"""Nothing counts twice: processes that race for the same books, and the contract behind them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from ledger.errors import Refused
from ledger.issuance import plan_issuance, submit_planned
from ledger.models import (
    CreditBatch,
    ImportFile,
    Issuance,
    Meter,
    MeterReading,
    Project,
    ReadingClaim,
)
from ledger.models.readings import ReadingQuality
from ledger.readings import import_file
from ledger.readings.periods.evidence_files import files_of_issuance
from ledger.readings.periods.issued import issued_periods
from ledger.readings.periods.period import load_period
from ledger.reductions import compute
from ledger.registration import register_project, register_site
from tests.support.forms import long, rest, times
from tests.support.park import PARIS, PROJECT, Park, day
from tests.support.plant import write_csv
from tests.support.racers import importing, issuing, race
from tests.support.statements import listening

SHORT_ON_MARIADB = (
    "test_importers_of_the_same_file_at_once_store_it_once",
    "test_importers_of_files_that_overlap_at_once_agree_on_every_slot",
    "test_issuers_of_the_same_period_at_once_have_one_winner",
    "test_issuers_of_periods_that_overlap_at_once_have_one_winner",
    "test_an_importer_and_an_issuer_at_once",
)

FIRST = date(2014, 1, 1)
SLOTS = 144


def url_of(park: Park) -> str:
    return park.db.url.render_as_string(hide_password=False)


def days(park: Park, name: str, first: int, kw: Sequence[str]) -> Path:
    """Write a meter file with one constant power a legal day, from a day of January on."""
    rows = []
    for number, power in enumerate(kw):
        start = datetime(2014, 1, first + number, tzinfo=PARIS).astimezone(UTC)
        rows += [
            ((start + timedelta(minutes=10 * slot)).isoformat(), power) for slot in range(SLOTS)
        ]
    return write_csv(park.folder / name, rows)


def issue_task(park: Park, start: date, end: date) -> dict[str, object]:
    deployment = park.folder / "deployment.json"
    deployment.write_text(park.node.deployment_text())
    return issuing(url_of(park), park.node.rpc_url, deployment, start, end)


def net_kwh(park: Park, start: date, end: date) -> Fraction:
    with park.db.read() as session:
        return compute(load_period(session, PROJECT, start, end, carry_in_kg=Fraction(0))).net_kwh


# ----------------------------------------------------------------------------- importers


def test_importers_of_the_same_file_at_once_store_it_once(both: Park) -> None:
    file = days(both, "same.csv", 1, ["60", "60"])
    said = race([importing(url_of(both), file)] * 3)
    assert sorted((item["new"], item["unchanged"]) for item in said) == [
        (0, 288),
        (0, 288),
        (288, 0),
    ]
    assert both.count(MeterReading) == 2 * SLOTS
    assert both.count(ImportFile) == 3
    assert net_kwh(both, day(1), day(3)) == 2 * 24 * 60


@long
def test_importers_of_files_that_overlap_at_once_agree_on_every_slot(both: Park) -> None:
    one = days(both, "one.csv", 1, ["60", "60", "60"])
    other = days(both, "other.csv", 2, ["59.5", "60", "58"])
    said = race([importing(url_of(both), one), importing(url_of(both), other)])
    # Day 2 contradicts, day 3 is the same, whoever came first; days 1 and 4 are one's alone.
    assert sum(item["conflicts"] for item in said) == SLOTS
    assert sum(item["unchanged"] for item in said) == SLOTS
    assert sum(item["new"] for item in said) == 4 * SLOTS
    assert both.count(MeterReading) == 5 * SLOTS
    assert net_kwh(both, day(1), day(5)) == 24 * (60 + Fraction(595, 10) + 60 + 58)


# ------------------------------------------------------------------------------- issuers


def test_issuers_of_the_same_period_at_once_have_one_winner(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60"])
    said = race([issue_task(both, day(1), day(2))] * 3)
    assert sorted(len(item.get("keys", [])) for item in said) == [0, 0, 1]
    for item in said:
        if "error" in item:
            assert item["error"]["code"] == "period-already-issued"
            assert "\n" not in item["error"]["message"]
    (issuance,) = both.rows(Issuance)
    assert both.count(ReadingClaim) == SLOTS
    submit_planned(both.chain)
    both.mirror_final()
    assert [batch.issued_kg for batch in both.rows(CreditBatch)] == [issuance.issued_kg] == [720]


@long
def test_issuers_of_periods_that_overlap_at_once_have_one_winner(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60", "60", "60"])
    tasks = [issue_task(both, day(1), day(3)), issue_task(both, day(2), day(4))]
    said = race(tasks)
    assert sorted(len(item.get("keys", [])) for item in said) == [0, 1]
    (refused,) = [item["error"]["code"] for item in said if "error" in item]
    assert refused == "period-already-issued"
    (issuance,) = both.rows(Issuance)
    assert issuance.issued_kg == 1440
    with both.db.read() as session:
        slots = select(func.count()).select_from(ReadingClaim)
        assert session.scalar(slots) == 2 * SLOTS
    assert issuance.export_kwh == Decimal(2880)


@long
@pytest.mark.parametrize("round_number", range(times(1, 2)))
def test_an_importer_and_an_issuer_at_once(both: Park, round_number: int) -> None:
    """Either the import comes first and is issued, or all of it is late; never some of it."""
    both.register()
    both.generate(FIRST, ["60"])
    lower = days(both, "lower.csv", 1, ["48"])
    tasks = [importing(url_of(both), lower), issue_task(both, day(1), day(2))]
    said = race(tasks[::-1] if round_number else tasks)
    report = next(item for item in said if "read" in item)
    (issuance,) = both.rows(Issuance)
    late = report.get("late", 0)
    assert (late, issuance.issued_kg) in ((0, 576), (SLOTS, 720))
    with both.db.read() as session:
        query = select(func.count()).where(MeterReading.quality == ReadingQuality.LATE)
        assert session.scalar(query) == late
        # What is stored gives the manifest, bit for bit.
        files = files_of_issuance(session, issuance)
    assert files.issued_kg == issuance.issued_kg
    assert files.evidence_root == issuance.evidence_root


# -------------------------------------------------------------------- behind the database


def forget(park: Park) -> None:
    """Make the books forget what they issued, as an older backup or a hand in the tables would."""
    with park.db.write() as session:
        session.execute(text("DELETE FROM reading_claims"))
        session.execute(text("UPDATE issuances SET state = 'void'"))
        session.execute(text("UPDATE credit_sites SET minted_until_s = 0"))


@long
@pytest.mark.parametrize(("start", "end"), rest([(1, 3), (2, 3), (2, 4)]))
def test_past_the_database_the_contract_refuses(both: Park, start: int, end: int) -> None:
    both.register()
    both.generate(FIRST, ["60", "60", "60"])
    plan_issuance(both.chain, PROJECT, day(1), day(3))
    submit_planned(both.chain)
    both.mirror_final()
    forget(both)
    plan_issuance(both.chain, PROJECT, day(start), day(end))
    with pytest.raises(Refused, match="CarbonCredit refuses issue: ") as caught:
        submit_planned(both.chain)
    assert "\n" not in caught.value.message
    both.mirror_final()
    assert [batch.issued_kg for batch in both.rows(CreditBatch)] == [1440]


# ------------------------------------------------------------------------- devices that move


def move(park: Park) -> None:
    """Let the meter count for another project from now on."""
    with park.db.write() as session:
        project = session.scalars(select(Project)).one()
        copied = {
            column.key: getattr(project, column.key)
            for column in Project.__table__.columns
            if column.key != "id"
        }
        second = Project(**copied | {"code": "second"})
        session.add(second)
        session.flush()
        session.scalars(select(Meter)).one().project_id = second.id
    register_project(park.chain, "second")
    park.mirror_final()
    register_site(park.chain, "second")
    park.mirror_final()


def test_a_device_that_moves_is_issued_once_for_every_interval(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60", "60", "60"])
    plan_issuance(both.chain, PROJECT, day(1), day(3))
    move(both)
    for start, end in ((1, 2), (1, 3), (2, 4)):
        with pytest.raises(Refused, match="a reading counts once") as caught:
            plan_issuance(both.chain, "second", day(start), day(end))
        assert caught.value.code == "period-already-issued"
    (planned,) = plan_issuance(both.chain, "second", day(3), day(4))
    assert planned.reduction.issued_kg == 720
    assert both.count(ReadingClaim) == 3 * SLOTS
    both.mirror_final()
    assert both.differences() == []


@long
def test_what_a_device_has_used_is_asked_for_where_it_may_have_moved_alone(both: Park) -> None:
    """Each import of a device read every reading that it ever had issued: half a million in ten years."""
    both.register()
    both.generate(FIRST, ["60", "60"])
    plan_issuance(both.chain, PROJECT, day(1), day(2))

    def periods(project_id: int) -> tuple[list[tuple[int, int]], bool]:
        said: list[str] = []
        with (
            listening(lambda _c, _cursor, sql, *_: said.append(sql)),
            both.db.read() as session,
        ):
            found = issued_periods(session, 1, project_id)
        return found, any("reading_claims" in sql for sql in said)

    (issued,) = both.rows(Issuance)
    assert periods(1) == ([(issued.from_s, issued.to_s)], False)
    move(both)
    assert periods(2) == ([(issued.from_s, issued.to_s)], True)


@long
def test_what_a_moved_device_brings_for_an_issued_time_is_late(both: Park) -> None:
    both.register()
    both.generate(FIRST, ["60", "60"])
    plan_issuance(both.chain, PROJECT, day(1), day(2))
    move(both)
    report = import_file(both.db, "park", "scada", days(both, "more.csv", 1, ["48", "48"]))
    assert (report.conflicts, report.late) == (2 * SLOTS, SLOTS)
    with both.db.read() as session:
        files = files_of_issuance(session, both.rows(Issuance)[0])
    assert files.issued_kg == 720
