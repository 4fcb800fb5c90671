"""``truetonne status``: how the books stand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import typer

from cli.command import Invocation, command
from cli.output import Table
from ledger.errors import ProblemFound


def register(root: typer.Typer) -> None:
    """Add the command."""
    command(root, "status")(status)


def status(run: Invocation) -> int:
    """Show how far the mirror has come, totals of credits, transactions and trades, jobs; exit 1 on an alarm."""
    from api.status.queries import alarms
    from api.status.queries import status as status_of
    from cli.books import reading

    backups = _backups(run)
    with reading(run.settings) as (session, view):
        found = status_of(session, view, beside=len(backups["alarms"]))
        wrong = alarms(session, view.network)
    wrong += [f"backups: {text}" for text in backups["alarms"]]
    credits_ = found.credits
    final = f"{found.finality.final_block} ({found.finality.rule})"
    if found.as_of_block is None:
        final = "the mirror has not begun; `truetonne index run` begins it"
        if any(text.startswith("chain_cursor ") for text in wrong):
            final = "not known: see the alarm"
    rows: list[tuple[str, object]] = [
        ("network", found.network),
        ("chain id", found.chain_id),
        ("mirrored to block", found.as_of_block),
        ("final to block", final),
        ("mirror moved at", found.mirror_updated_at),
        *((f"contract {name}", address) for name, address in found.contracts.items()),
        ("issuances", credits_.batches),
        ("issued t", credits_.issued_t),
        ("active t", credits_.active_t),
        ("retired t", credits_.retired_t),
        ("cancelled t", credits_.cancelled_t),
        *((f"transactions {name}", count) for name, count in found.transactions.items()),
        *((f"trades {name}", count) for name, count in found.trades.items()),
        *(
            (
                f"job {job.name}",
                f"{job.state}, {f'last {job.last_outcome}' if job.last_outcome else 'never run yet'}",
            )
            for job in found.jobs
        ),
        *((f"backups: {name}", value) for name, value in backups.items() if name != "alarms"),
        *(("ALARM", text) for text in wrong),
    ]
    document = {**found.model_dump(mode="json"), "alarm_texts": wrong, "backups": backups}
    run.output.result(document, Table(("what", "value"), rows))
    return ProblemFound.exit_code if wrong else 0


def _backups(run: Invocation) -> dict[str, Any]:
    """Return how the backups stand; without a backup folder nothing but an empty list of alarms."""
    from ledger.backup.overview import standing
    from ledger.clock import utc_now

    found = standing(run.settings, utc_now())
    if found is None:
        return {"alarms": []}
    return {
        "folder": str(found.folder),
        "last_copy_at": found.copy.at if found.copy else None,
        "reaches": found.reaches,
        "last_drill_at": datetime.fromisoformat(found.drill["begun_at"]) if found.drill else None,
        "alarms": list(found.alarms),
    }
