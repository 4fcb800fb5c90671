"""Answers about the service itself."""

from __future__ import annotations

from pydantic import Field

from api.finality import ChainAnswer
from api.texts import DecimalText, Document, Time


class CreditTotals(Document):
    """All credits, in tonnes of CO2 equivalent. Active, retired and cancelled add up to issued."""

    batches: int = Field(description="How many issuances there are.")
    issued_t: DecimalText = Field(description="Issued.")
    active_t: DecimalText = Field(description="Neither retired nor cancelled.")
    retired_t: DecimalText = Field(description="Retired.")
    cancelled_t: DecimalText = Field(description="Cancelled.")


class JobStatus(Document):
    """A periodic job, and its last run."""

    name: str = Field(description="Name of the job.")
    schedule: str = Field(description="Time between two runs, or five fields of cron (UTC).")
    state: str = Field(description="`waiting`, `asked`, `running` or `paused`.")
    due_at: Time = Field(description="When it is due.")
    last_outcome: str | None = Field(
        description="`done`, `idle`, `failed` or `lost`; null before the first run has ended."
    )
    last_ended_at: Time | None = Field(description="When the last run ended.")
    last_duration_ms: int | None = Field(description="How long it took, in ms.")


class Verification(Document):
    """How far the mirror was held against a fresh decode of the chain, by the job `verify`."""

    block: int | None = Field(
        description="Final block to which all is as the chain says, from the first one on; null: none yet."
    )
    at: Time = Field(description="When it was last compared.")
    from_block: int = Field(description="First block that was compared then.")
    to_block: int = Field(description="Last block that was compared then.")
    differences: int = Field(description="How many were found then; 0: none.")


class Status(ChainAnswer):
    """How the books stand."""

    version: str = Field(description="Version of the service.")
    network: str = Field(description="Name of the network.")
    chain_id: int | None = Field(description="Chain that the mirror reads; null before it began.")
    mirror_updated_at: Time | None = Field(description="When the mirror last moved.")
    mirror_verified: Verification | None = Field(
        description="How far the mirror was held against a fresh decode of the chain; null before the first time."
    )
    contracts: dict[str, str] = Field(
        description="Address of each contract of the network, by name."
    )
    credits: CreditTotals = Field(description="All credits.")
    transactions: dict[str, int] = Field(description="How many transactions there are, by status.")
    trades: dict[str, int] = Field(description="How many trades there are, by status.")
    alarms: int = Field(
        description="How many things a person should look at: intents that are stuck, jobs that failed, "
        "a mirror that nobody runs, disputes, debtors without funds, rows outside of all partitions, webhooks that are "
        "not taken, and backups, where this process knows their folder."
    )
    jobs: list[JobStatus] = Field(description="The periodic jobs, by name.")


class Alive(Document):
    """The process answers."""

    status: str = Field(description="`alive`.")


class Ready(Document):
    """The service can do its work."""

    status: str = Field(description="`ready`.")
    checks: dict[str, str] = Field(description="What was checked, and what was found.")
