"""Jobs with their runs; leases of every work in one table; projects whose closed periods are issued by a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

PLACE = "Host and process, for people."


def upgrade() -> None:
    """Create three tables; the mirror's leases, which last for seconds, are taken anew in the first."""
    _leases()
    _jobs()
    _runs()
    op.drop_table("mirror_leases", if_exists=True)
    for column in (
        sa.Column(
            "issue_every",
            t.Varchar(10),
            nullable=True,
            comment="Periods that a job issues once they are closed: month, quarter or year; null: none.",
        ),
        sa.Column(
            "issue_after_days",
            sa.Integer(),
            nullable=True,
            comment="Whole days after its end before a period is issued by a job.",
        ),
    ):
        steps.add_column("projects", column)


def _leases() -> None:
    steps.create_table(
        "held_leases",
        sa.Column("name", t.Varchar(100), nullable=False, comment="Which work."),
        sa.Column(
            "holder", t.Varchar(40), nullable=False, comment="Number of the run that holds it."
        ),
        sa.Column("place", t.Varchar(200), nullable=False, comment=PLACE),
        sa.Column(
            "process",
            t.Varchar(200),
            nullable=True,
            comment="Process as its machine knows it; null: not known.",
        ),
        sa.Column("taken_ms", sa.BigInteger(), nullable=False, comment="When it was taken, ms."),
        sa.Column(
            "until_ms", sa.BigInteger(), nullable=False, comment="When it ends unless renewed, ms."
        ),
        sa.Column(
            "told",
            sa.JSON(),
            nullable=False,
            comment="What the holder said of its work when it last renewed.",
        ),
        sa.PrimaryKeyConstraint("name"),
        comment="Who does a work that one process does.",
    )


def _jobs() -> None:
    steps.create_table(
        "scheduled_jobs",
        sa.Column("name", t.Varchar(50), nullable=False, comment="Name of the job."),
        sa.Column(
            "schedule",
            t.Varchar(100),
            nullable=False,
            comment="Time between two runs, or five fields of cron (UTC).",
        ),
        _time("due_at", "When it is due, UTC; moves on when a run has ended."),
        _time("asked_at", "When a person asked for a run that has not begun, UTC.", True),
        _time("paused_at", "When it was paused, UTC; null: it is not.", True),
        _time("running_since", "When the run began that goes on, UTC; null: none does.", True),
        sa.Column(
            "run_holder",
            t.Varchar(40),
            nullable=True,
            comment="Holder of the lease under which that run began.",
        ),
        sa.Column("run_place", t.Varchar(200), nullable=True, comment=PLACE),
        sa.PrimaryKeyConstraint("name"),
        comment="A periodic job.",
    )


def _runs() -> None:
    steps.create_table(
        "job_runs",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("job", t.Varchar(50), nullable=False, comment="Name of the job."),
        _time("due_at", "When it was due, UTC."),
        _time("started_at", "When it began, UTC; the first of them."),
        _time("ended_at", "When it ended, UTC; the last of them."),
        sa.Column(
            "duration_ms", sa.BigInteger(), nullable=False, comment="How long the last took, ms."
        ),
        sa.Column(
            "outcome",
            sa.Enum("done", "idle", "failed", "lost", name="outcome", create_constraint=True),
            nullable=False,
            comment="How it ended.",
        ),
        sa.Column(
            "repeats",
            sa.Integer(),
            nullable=False,
            comment="How many runs in a row the row stands for.",
        ),
        sa.Column(
            "said",
            sa.Text(),
            nullable=True,
            comment="What it did, or the error's text; null: nothing to say.",
        ),
        sa.Column("place", t.Varchar(200), nullable=False, comment=PLACE),
        sa.PrimaryKeyConstraint("id"),
        comment="A run of a job that has ended.",
        indexes=(("job", "id"), ("ended_at",)),
    )


def _time(name: str, comment: str, empty: bool = False) -> sa.Column[object]:
    return sa.Column(name, t.UtcDateTime(), nullable=empty, comment=comment)
