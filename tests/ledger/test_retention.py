"""Logs are kept for a year and deleted then; a dry run says so and deletes nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from ledger.db import Database
from ledger.jobs import retention
from ledger.jobs.retention import KEPT, LOGS_KEPT, expire
from ledger.models import Base, JobRun, ScheduledJob, SignInAttempt, VppOperationLog
from ledger.models.jobs import RunOutcome
from ledger.models.vpp import OperationResult
from tests.support.keeping import add_plant
from tests.support.statements import keys_to

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
YEAR_AGO = NOW - LOGS_KEPT
SECOND = timedelta(seconds=1)


def run(ended: datetime) -> JobRun:
    return JobRun(
        job="settle",
        due_at=ended,
        started_at=ended,
        ended_at=ended,
        duration_ms=1,
        outcome=RunOutcome.DONE,
        repeats=1,
        place="here",
    )


@pytest.fixture
def logged(db: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Three operations a second older than a year and one of a year; two runs older, the last one too."""
    monkeypatch.setattr(retention, "clock_of", lambda _: NOW)
    with db.write() as session:
        plant = add_plant(session)
        session.add_all(
            VppOperationLog(
                vpp_id=plant,
                operation_type="dispatch",
                result=OperationResult.SUCCESS,
                executed_at=moment,
            )
            for moment in (*[YEAR_AGO - SECOND] * 3, YEAR_AGO)
        )
        session.add(ScheduledJob(name="settle", schedule="10s", due_at=NOW))
        session.add_all(run(YEAR_AGO - n * SECOND) for n in (3, 2, 1))
        session.add(
            SignInAttempt(name_hash="0" * 64, ip_address="::1", attempted_at=NOW - LOGS_KEPT)
        )
    return db


def counts(db: Database) -> dict[str, int]:
    with db.read() as session:
        return {
            name: session.scalar(select(func.count()).select_from(Base.metadata.tables[name])) or 0
            for kind in KEPT
            for name in kind.tables
        }


def test_logs_end_after_a_year(logged: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 2)  # more than one piece
    before = counts(logged)
    gone = {
        "runs of jobs": 2,  # each job's last run says how it stands
        "deliveries of webhooks": 0,
        "messages about alerts and tests": 0,
        "operations on plants": 3,
        "sessions": 0,
        "answers given once": 0,
        "attempts to sign in": 1,
    }
    assert expire(logged, NOW, dry_run=True) == gone
    assert counts(logged) == before
    assert expire(logged, NOW) == gone
    after = counts(logged)
    assert (after["vpp_operation_logs"], after["job_runs"], after["sign_in_attempts"]) == (1, 1, 0)
    assert set(expire(logged, NOW).values()) == {0}


def test_a_clock_that_is_ahead_makes_nothing_old(
    logged: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither this machine's nor the database's: what is deleted is old by both."""
    young = YEAR_AGO - timedelta(days=1)
    for ours, theirs in ((NOW, young), (young, NOW)):
        monkeypatch.setattr(retention, "clock_of", lambda _, theirs=theirs: theirs)
        gone = expire(logged, ours)
        assert (gone["operations on plants"], gone["runs of jobs"]) == (0, 0)


def test_what_refers_to_rows_that_are_deleted_for_their_age_is_found_by_an_index(
    sqlite_db: Database,
) -> None:
    """SQLite makes none for a foreign key: each deletion would look through all rows that may refer to it."""
    expiring = {name for kind in KEPT for name in kind.tables}
    keys = {(key.table, key.column): key.indexed for key in keys_to(sqlite_db, expiring)}
    assert keys == dict.fromkeys(
        [("webhook_tries", "delivery_id"), ("webhook_deliveries", "message_row")], True
    )
