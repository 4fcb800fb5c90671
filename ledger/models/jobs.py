"""Processes that work by themselves: who holds which work, when each job is due, what came of it. Ours."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import JSON, BigInteger, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_id, options
from ledger.models.types import Varchar, choice

PLACE = "Host and process, for people."


class RunOutcome(StrEnum):
    """How a run of a job ended."""

    DONE = "done"
    IDLE = "idle"
    """There was nothing to do."""
    FAILED = "failed"
    """Something kept it from its work, or it found what a person should know."""
    LOST = "lost"
    """Its process ended, or was silent for longer than its lease; it is made up for."""


class HeldLease(Base):
    """Who does a work that one process does at a time. Times are of the database's clock, in ms since 1970 (UTC)."""

    __tablename__ = "held_leases"

    name: Mapped[str] = mapped_column(Varchar(100), primary_key=True, comment="Which work.")
    holder: Mapped[str] = mapped_column(Varchar(40), comment="Number of the run that holds it.")
    place: Mapped[str] = mapped_column(Varchar(200), comment=PLACE)
    process: Mapped[str | None] = mapped_column(
        Varchar(200), comment="Process as its machine knows it; null: not known."
    )
    taken_ms: Mapped[int] = mapped_column(BigInteger, comment="When it was taken, ms.")
    until_ms: Mapped[int] = mapped_column(BigInteger, comment="When it ends unless renewed, ms.")
    told: Mapped[dict[str, int]] = mapped_column(
        JSON, comment="What the holder said of its work when it last renewed."
    )

    __table_args__ = (
        options("Who does a work that one process does.", writer="ledger.leases", origin=BEYOND),
    )


class ScheduledJob(Base):
    """A periodic job: when it is due next, and whether it runs or is paused."""

    __tablename__ = "scheduled_jobs"

    name: Mapped[str] = mapped_column(Varchar(50), primary_key=True, comment="Name of the job.")
    schedule: Mapped[str] = mapped_column(
        Varchar(100), comment="Time between two runs, or five fields of cron (UTC)."
    )
    due_at: Mapped[datetime] = mapped_column(
        comment="When it is due, UTC; moves on when a run has ended."
    )
    asked_at: Mapped[datetime | None] = mapped_column(
        comment="When a person asked for a run that has not begun, UTC."
    )
    paused_at: Mapped[datetime | None] = mapped_column(
        comment="When it was paused, UTC; null: it is not."
    )
    running_since: Mapped[datetime | None] = mapped_column(
        comment="When the run began that goes on, UTC; null: none does."
    )
    run_holder: Mapped[str | None] = mapped_column(
        Varchar(40), comment="Holder of the lease under which that run began."
    )
    run_place: Mapped[str | None] = mapped_column(Varchar(200), comment=PLACE)

    __table_args__ = (
        options("A periodic job.", writer="ledger.jobs.rows", origin=BEYOND, changes=ALL),
    )


class JobRun(Base):
    """A run of a job that has ended; runs of no news in a row, or of one failure, are one row."""

    __tablename__ = "job_runs"

    id: Mapped[int] = big_id()
    job: Mapped[str] = mapped_column(Varchar(50), comment="Name of the job.")
    due_at: Mapped[datetime] = mapped_column(comment="When it was due, UTC.")
    started_at: Mapped[datetime] = mapped_column(comment="When it began, UTC; the first of them.")
    ended_at: Mapped[datetime] = mapped_column(comment="When it ended, UTC; the last of them.")
    duration_ms: Mapped[int] = mapped_column(BigInteger, comment="How long the last took, ms.")
    outcome: Mapped[RunOutcome] = mapped_column(
        choice(RunOutcome, "outcome"), comment="How it ended."
    )
    repeats: Mapped[int] = mapped_column(comment="How many runs in a row the row stands for.")
    said: Mapped[str | None] = mapped_column(
        Text, comment="What it did, or the error's text; null: nothing to say."
    )
    place: Mapped[str] = mapped_column(Varchar(200), comment=PLACE)

    __table_args__ = (
        Index("idx_job_runs_job_id", "job", "id"),
        Index("idx_job_runs_ended_at", "ended_at"),
        options(
            "A run of a job that has ended.", writer="ledger.jobs.rows", origin=BEYOND, changes=ALL
        ),
    )
