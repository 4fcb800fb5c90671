"""``truetonne jobs``, as a person meets it: what is wrong in a line, what stands and what came of it, an order."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import update

from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent, new_key
from ledger.clock import utc_now
from ledger.db import Database
from ledger.jobs import rows
from ledger.jobs.catalogue import JOBS
from ledger.jobs.rows import Begun, Result
from ledger.leases import Lease
from ledger.models import HeldLease
from ledger.models.jobs import RunOutcome
from tests.cli.conftest import Program
from tests.support.chain import TestChain
from tests.support.forms import few, long


def books_of(program: Program) -> Database:
    (file,) = program.folder.rglob("truetonne.db")
    return Database(f"sqlite:///{file}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("jobs", "run", "setle"), "there is no job 'setle'; known are settle, finalise, send"),
        (("jobs", "pause", "all"), "there is no job 'all'"),
        (("jobs", "resume", "x"), "there is no job 'x'"),
        (("jobs", "history", "x"), "there is no job 'x'"),
        (("jobs", "resume", "settle"), "job settle is not paused"),
        (("jobs", "pause"), "missing argument 'NAME'"),
        (
            ("jobs", "run", "--lease", "0.1"),
            "invalid value for '--lease': write 1 or more; see `truetonne jobs run",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(park: Program, words: tuple[str, ...], said: str) -> None:
    ended = park(*words)
    assert ended.code == 2
    assert said in ended.one_line()


@few(1)
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("settle=soon", "job_schedules: settle: schedule 'soon' cannot be read; write a time"),
        ("settle=* * * *", "five fields of cron"),
        ("sleep=1s", "job_schedules: there is no job 'sleep'; known are"),
    ],
)
def test_a_schedule_that_cannot_be_used(park: Program, setting: str, said: str) -> None:
    """Said before anything is started, and by the doctor."""
    before = park.files()
    for words in (("jobs", "run"), ("jobs", "list"), ("jobs", "run", "settle")):
        ended = park(*words, job_schedules=setting)
        assert ended.code == 2
        assert said in ended.one_line()
    assert park.files() <= before | {f".truetonne/truetonne.db-{end}" for end in ("shm", "wal")}
    checks = park("doctor", "--json", job_schedules=setting).json()["checks"]
    (check,) = [item for item in checks if item["name"] == "job_schedules"]
    assert check["verdict"] == "failed"
    assert "job_schedules" in check["found"]


def test_without_tables_it_says_what_to_run(truetonne: Program) -> None:
    for words in (("jobs", "list"), ("jobs", "history"), ("jobs", "pause", "settle")):
        ended = truetonne(*words)
        assert ended.code == 3
        assert "run `truetonne db upgrade`" in ended.one_line()


def dump(program: Program) -> list[str]:
    with closing(sqlite3.connect(program.folder / ".truetonne" / "truetonne.db")) as link:
        return list(link.iterdump())


@long
def test_a_dry_run_changes_nothing(park: Program) -> None:
    before = dump(park)
    tried = park("jobs", "pause", "settle", "--dry-run", "--json")
    assert tried.code == 0 and tried.json()["dry_run"] is True and tried.json()["paused_at"]
    assert dump(park) == before
    assert park("jobs", "resume", "settle", "--dry-run").code == 2  # it is not paused
    assert park("jobs", "pause", "settle").code == 0
    before = dump(park)
    assert park("jobs", "resume", "settle", "--dry-run").out.startswith("settle would be due at ")
    assert dump(park) == before
    checks = park("doctor", "--json").json()["checks"]
    (check,) = [item for item in checks if item["name"] == "jobs"]
    assert check["verdict"] == "ok"
    # No alarm, as somebody wanted it; one that is forgotten is seen.
    assert re.search(r"; paused: settle since \d{4}-\d\d-\d\d$", check["found"])


def test_pause_run_resume_and_what_stands(park: Program) -> None:
    listed = park("jobs", "list", "--json").json()
    assert listed["leader"] is None and listed["alarms"] == []
    assert [job["name"] for job in listed["jobs"]] == sorted(
        [*(job.name for job in JOBS), "finality"]
    )
    assert {job["state"] for job in listed["jobs"]} == {"waiting"}
    assert park("jobs", "pause", "settle", "--json").json()["job"] == "settle"
    ended = park("jobs", "run", "settle")
    assert ended.code == 1
    assert "first: truetonne jobs resume settle" in ended.one_line()
    listed = park("jobs", "list", "--json").json()
    assert {job["name"] for job in listed["jobs"] if job["state"] == "paused"} == {"settle"}
    assert park("jobs", "pause", "settle").code == 0  # it rests already
    assert "settle is due at" in park("jobs", "resume", "settle").out
    told = park("audit", "log", "--json").json()["entries"]
    acts = [(each["action"], each["resource"]) for each in told if each["action"] != "site.apply"]
    assert acts == [(f"jobs.{done}", "scheduled_jobs/settle") for done in ("resume", "pause")]
    shown = park("jobs", "list")
    assert "nobody runs them now" in shown.out
    # Nor since a clock was set back by which they ended a year from now.
    db = books_of(park)
    lease = Lease(db, rows.NAME)
    assert lease.take() is None
    assert "led by " in park("jobs", "list").out
    lease.release()
    later = update(HeldLease).values(until_ms=HeldLease.until_ms + 31_536_000_000)
    db.run(lambda session: session.execute(later))
    db.close()
    assert "nobody runs them now" in park("jobs", "list").out
    assert park("jobs", "history").out.splitlines()[-1] == "no job has run yet"
    assert park("jobs", "history", "--json").json() == {"runs": []}


@long
def test_a_job_that_failed_is_an_alarm_wherever_one_looks(park: Program) -> None:
    assert (park("jobs", "list").code, park("status").code) == (0, 0)
    db = books_of(park)
    now = utc_now()

    def fail(session: Any) -> None:
        result = Result(RunOutcome.FAILED, "books and chain differ at block 7", 12)
        rows._note(session, Begun("reconcile", now), now, result, "vm, process 1", now)
        intent = NewIntent(
            new_key(),
            "test",
            "TestCurrency",
            "0x" + "2" * 40,
            "mint",
            ["0x" + "1" * 40, 5],
            "0x" + "1" * 40,
        )
        key = intents.plan(session, 31337, intent)
        intents.set_alarm(session, key, "gas costs 900.0 gwei")

    db.run(fail)
    db.close()
    alarm = "job reconcile failed: books and chain differ at block 7"
    listed = park("jobs", "list", "--json")
    assert (listed.code, listed.json()["alarms"]) == (1, [alarm])
    ended = park("status", "--json")
    stands = ended.json()
    assert (ended.code, stands["alarms"]) == (1, 2)
    assert stands["alarm_texts"] == ["mint: gas costs 900.0 gwei", alarm]
    (job,) = [item for item in stands["jobs"] if item["name"] == "reconcile"]
    assert (job["last_outcome"], job["last_duration_ms"]) == ("failed", 12)
    assert alarm in park("status").out
    assert park("settle", "status", "--json").json()["alarms"] == ["mint: gas costs 900.0 gwei"]
    assert "alarm: mint: gas costs 900.0 gwei" in park("settle", "status").out
    assert park("jobs", "pause", "settle").code == 0
    checks = {item["name"]: item for item in park("doctor", "--json").json()["checks"]}
    assert checks["jobs"]["verdict"] == "failed"
    assert checks["jobs"]["found"].startswith(f"{alarm}; paused: settle since ")
    (run,) = park("jobs", "history", "reconcile", "--json").json()["runs"]
    assert (run["outcome"], run["said"], run["repeats"]) == (
        "failed",
        "books and chain differ at block 7",
        1,
    )


def test_one_job_is_run_here_or_by_whoever_leads(park: Program, chain: TestChain) -> None:
    settings = {"rpc_url": chain.rpc_url, "deployment": "local.json", "network": "local"}
    park.environ |= park.with_settings(settings)
    park.write("local.json", chain.deployment_text())
    here = park("jobs", "run", "settle", "--json")
    assert here.code == 0, here.err
    assert (here.json()["outcome"], here.json()["job"]) == ("idle", "settle")
    leader = park.begin("leader", "jobs", "run")
    try:
        while "runs the jobs now" not in leader.said():
            assert leader.alive(), leader.said()
        asked = park("jobs", "run", "retention", "--json")
        assert (asked.code, asked.json()["outcome"]) == (0, "idle")
        listed = park("jobs", "list", "--json").json()
        assert listed["leader"]["live"]
        assert asked.json()["place"] == listed["leader"]["place"] != here.json()["place"]
        checks = {item["name"]: item for item in park("doctor", "--json").json()["checks"]}
        assert checks["jobs"]["found"] == f"run by {listed['leader']['place']}"
        second = park.begin("second", "jobs", "run")
        while "stands by" not in second.said():
            assert second.alive(), second.said()
        assert second.stop() == 0
    finally:
        assert leader.stop() == 0
    assert not park("jobs", "list", "--json").json()["leader"]["live"]
    (file,) = park.folder.rglob("truetonne.db")
    link = sqlite3.connect(file)
    assert link.execute("SELECT COUNT(*) FROM scheduled_jobs WHERE running_since").fetchone() == (
        0,
    )
    link.close()
