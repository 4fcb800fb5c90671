"""``truetonne status``: how the books stand."""

from __future__ import annotations

import typer

from cli.command import Invocation, command
from cli.output import Table


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "status")(status)


def status(run: Invocation) -> None:
    """Show how far the mirror has come, totals of credits, transactions and trades, jobs and alarms."""
    from api.status.queries import alarms
    from api.status.queries import status as status_of
    from cli.books import reading

    with reading(run.settings) as (session, view):
        found = status_of(session, view)
        wrong = alarms(session)
    credits_ = found.credits
    rows: list[tuple[str, object]] = [
        ("network", found.network),
        ("chain id", found.chain_id),
        ("mirrored to block", found.as_of_block),
        ("final to block", f"{found.finality.final_block} ({found.finality.rule})"),
        ("mirror moved at", found.mirror_updated_at),
        *((f"contract {name}", address) for name, address in found.contracts.items()),
        ("issuances", credits_.batches),
        ("issued t", credits_.issued_t),
        ("active t", credits_.active_t),
        ("retired t", credits_.retired_t),
        ("cancelled t", credits_.cancelled_t),
        *((f"transactions {name}", count) for name, count in found.transactions.items()),
        *((f"trades {name}", count) for name, count in found.trades.items()),
        *((f"job {job.name}", f"{job.state}, last {job.last_outcome}") for job in found.jobs),
        *(("ALARM", text) for text in wrong),
    ]
    if found.as_of_block is None:
        rows[3] = ("final to block", "the mirror has not begun; `truetonne index run` begins it")
    document = {**found.model_dump(mode="json"), "alarm_texts": wrong}
    run.output.result(document, Table(("what", "value"), rows))
