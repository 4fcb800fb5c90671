"""When jobs are due: what people write, and what a clock that is set does to it."""

from datetime import UTC, datetime, timedelta

import pytest

from ledger.errors import BadInput
from ledger.jobs.catalogue import JOBS, job_named, jobs_of, schedules_of
from ledger.jobs.schedules import read, read_setting
from ledger.settings import load_settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)  # a Sunday
DAY = timedelta(days=1)
THREE = datetime(2026, 3, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("10s", NOON + timedelta(seconds=10)),
        ("90 m", NOON + timedelta(minutes=90)),
        ("2h", NOON + timedelta(hours=2)),
        ("7d", NOON + timedelta(days=7)),
        ("0 3 * * *", THREE),
        ("*/20 * * * *", NOON + timedelta(minutes=20)),
        ("30 12 * * sun", NOON + timedelta(minutes=30)),
        ("0 12 * * sun", NOON + timedelta(days=7)),  # now has begun already
        ("15 1 1 1 *", datetime(2027, 1, 1, 1, 15, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_job_is_due_after_its_time_or_at_it(text: str, then: datetime) -> None:
    schedule = read(text)
    assert schedule.next(NOON) == then
    assert schedule.first(NOON) == (NOON if schedule.every else then)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read; write a time"),
        ("soon", "cannot be read; write a time"),
        ("0s", "cannot be read"),
        ("-5m", "cannot be read"),
        ("1.5h", "cannot be read"),
        ("٣s", "cannot be read"),
        ("367d", "longer than 366 days"),
        ("999999h", "longer than 366 days"),
        ("61 * * * *", "higher than the maximum"),
        ("* * * *", "five fields of cron"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 * * 0", "by name"),
        ("0 0 * * xyz", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_line(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as refusal:
        read(text)
    assert "\n" not in refusal.value.message


def test_a_clock_that_is_set_back_keeps_nobody_waiting() -> None:
    """A minute ahead, then back by an hour: ten seconds stay ten seconds."""
    often = read("10s")
    due = often.next(NOON)
    assert often.kept(due, NOON) == due
    assert often.kept(due, NOON - timedelta(hours=1)) == NOON - timedelta(hours=1, seconds=-10)
    assert often.kept(due, NOON + DAY) == due  # passed: it is run once


def test_what_was_done_while_the_clock_was_ahead_is_not_done_again() -> None:
    """At 12:00 the clock leaps a day, the job of 03:00 runs, and the clock is put right."""
    daily = read("0 3 * * *")
    assert daily.kept(THREE, NOON + DAY) == THREE  # missed by the leap: it is due
    due = daily.next(NOON + DAY)
    assert due == THREE + DAY
    assert daily.kept(due, NOON) == due  # 03:00 of the next day is done already


def test_a_clock_that_was_a_year_ahead_takes_no_year_to_forget() -> None:
    daily = read("0 3 * * *")
    due = daily.next(NOON + 365 * DAY)
    assert daily.kept(due, NOON) == THREE


def test_the_setting_changes_what_it_names() -> None:
    usual = {job.name: job.schedule for job in JOBS}
    found = read_setting("settle = 30s ; reconcile=0 5 * * mon-fri;", usual)
    assert found["settle"].text == "30s"
    assert found["reconcile"].text == "0 5 * * mon-fri"
    assert {name: item.text for name, item in found.items() if usual[name] != item.text} == {
        "settle": "30s",
        "reconcile": "0 5 * * mon-fri",
    }


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("settle", "'settle' is not NAME=SCHEDULE"),
        ("setle=10s", "there is no job 'setle'; known are settle, finalise"),
        ("settle=10s;settle=20s", "settle is named twice"),
        ("settle=whenever", "job_schedules: settle: schedule 'whenever' cannot be read"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(setting: str, said: str) -> None:
    settings = load_settings(None, {"TRUETONNE_JOB_SCHEDULES": setting})
    with pytest.raises(BadInput, match=said):
        schedules_of(settings)


def test_every_default_can_be_read_and_a_local_chain_has_one_more() -> None:
    local = load_settings(None, {})
    other = load_settings(None, {"TRUETONNE_RPC_URL": "http://127.0.0.1:1"})
    assert set(schedules_of(local)) - set(schedules_of(other)) == {"finality"}
    assert [job.name for job in jobs_of(other)] == [job.name for job in JOBS]
    with pytest.raises(BadInput, match="there is no job 'finality'; known are settle"):
        job_named(other, "finality")


def test_what_changes_partitions_does_not_begin_with_a_copy() -> None:
    """Each keeps the other from its work: they met each night, and where a copy takes a while one of them failed."""
    found = schedules_of(load_settings(None, {"TRUETONNE_BACKUP_FOLDER": "/backups"}))

    def times(*names: str) -> list[datetime]:
        begins = []
        for name in names:
            at = found[name].next(NOON)
            while at < NOON + DAY:
                begins.append(at)
                at = found[name].next(at + timedelta(seconds=1))
        return begins

    copies = times("backup-full", "backup-incremental")
    changes = times("partitions", "archive")
    assert (len(copies), len(changes)) == (24, 2)
    for change in changes:
        assert all(abs(change - copy) >= timedelta(minutes=15) for copy in copies)
