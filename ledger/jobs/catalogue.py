"""The jobs by name: what each does, when it is due unless ``job_schedules`` says otherwise, and where it waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ledger.errors import NotFound
from ledger.jobs import backing_up, growing, schedules, work
from ledger.jobs.schedules import Schedule
from ledger.jobs.work import Tools
from ledger.settings import Settings

CHAIN = "chain"
"""Jobs that send, and what makes them final: one at a time, in a thread of theirs."""
BOOKS = "books"
"""Jobs that look and keep house: they may take long, and hold up no settlement."""
WORLD = "world"
"""Jobs that wait for hosts of others."""
BACKUPS = "backups"
"""Jobs that copy the database: it may take hours."""
STREAM = "stream"
"""What follows the database's log, beside them."""
MIRROR = "mirror"
"""What decodes the mirror anew: the first time it takes as long as the chain is."""
LANES = (CHAIN, BOOKS, WORLD, BACKUPS, STREAM, MIRROR)


@dataclass(frozen=True)
class Job:
    """One job."""

    name: str
    what: str
    """In a few words, for people."""
    schedule: str
    work: Callable[[Tools], str | None]
    lane: str = BOOKS


_LOCAL = Job(
    "finality", "let a local chain grow until it is final", "2s", growing.make_final, CHAIN
)
# What changes partitions begins well after the hour, when a copy does that keeps it from it.
JOBS = (
    Job("settle", "net pending trades into batches and propose them", "10s", work.settle, CHAIN),
    Job("finalise", "finalise batches whose window is over", "10s", work.finalise, CHAIN),
    Job("send", "replace, send again, adopt and audit what is sent", "15s", work.send, CHAIN),
    Job("issue", "issue closed periods where a project wants it", "30 2 * * *", work.issue, CHAIN),
    Job("expire", "record on chain which batches have expired", "15 * * * *", work.expire, CHAIN),
    Job("reconcile", "compare books and chain", "0 3 * * *", work.compare),
    Job(
        "verify",
        "compare what is new in the mirror with a fresh decode",
        "30 3 * * *",
        work.verify_mirror,
        MIRROR,
    ),
    Job("factors", "look for factors whose time ends", "0 4 * * *", work.check_factors),
    Job("alerts", "look for devices whose values do not come", "1m", work.watch_devices),
    Job("partitions", "add the partitions that will be needed", "20 1 * * *", work.keep_partitions),
    Job("webhooks", "tell those who asked of what is final", "5s", work.tell, WORLD),
    Job(
        "archive",
        "move old real-time data into the archive",
        "20 2 * * *",
        work.move_to_archive,
    ),
    Job("orphans", "look for rows whose parent is gone", "45 3 * * *", work.find_orphans),
    Job("audit", "check the audit log against its chain", "15 4 * * *", work.verify_audit),
    Job("retention", "delete what is kept for a time only", "30 1 * * *", work.forget),
)
_BACKUPS = (
    Job("backup-full", "back the database up", "30 0 * * *", backing_up.full, BACKUPS),
    Job(
        "backup-incremental",
        "back up what changed in the database",
        "0 * * * *",
        backing_up.incremental,
        BACKUPS,
    ),
    Job("backup-binlogs", "keep what the database logs", "10s", backing_up.binlogs, STREAM),
    Job(
        "backup-drill", "restore a backup and compare", "0 5 * * sun", backing_up.rehearse, BACKUPS
    ),
)


def jobs_of(settings: Settings) -> tuple[Job, ...]:
    """Return the jobs; where a backup folder is set, and on a local chain, there are more."""
    backups = _BACKUPS if settings.backup_folder is not None else ()
    return (*JOBS, *backups, *((_LOCAL,) if settings.local_chain else ()))


def schedules_of(settings: Settings) -> dict[str, Schedule]:
    """Return when each job is due.

    Raises
    ------
    BadInput
        If the setting ``job_schedules`` cannot be read or names an unknown job.
    """
    return schedules.read_setting(
        settings.job_schedules, {job.name: job.schedule for job in jobs_of(settings)}
    )


def job_named(settings: Settings, name: str) -> Job:
    """Return a job.

    Raises
    ------
    NotFound
        If there is none of that name.
    """
    for job in jobs_of(settings):
        if job.name == name:
            return job
    known = ", ".join(job.name for job in jobs_of(settings))
    raise NotFound(f"there is no job {name!r}; known are {known}", code="no-such-job")
