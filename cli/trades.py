"""``truetonne trades`` and ``truetonne settle``: from trade file to money moved."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import escrow
from cli.command import DryRun, Invocation, command, command_group
from cli.output import Table
from cli.readings import rejected
from ledger.errors import Refused, RowsRejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from cli.flow import Flow
    from ledger.settlement.trades import TradesReport

WINDOW_SECONDS_MAX = 60.0
"""A command waits for a challenge window of this length; a longer one is for the next run."""

_OPEN = ("planned", "proposed")

TradesFile = Annotated[
    Path, typer.Argument(metavar="FILE.csv", help="CSV in UTF-8 with the columns of the manual.")
]
NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait", help="Return when it is sent; `truetonne index run` confirms it later."
    ),
]


def register(root: typer.Typer) -> None:
    """Add the groups."""
    trades = command_group("Take in the trades of virtual power plants.")
    command(trades, "import")(import_trades)
    root.add_typer(trades, name="trades")
    settle = command_group("Settle trades on chain.")
    command(settle, "run")(run_settlement)
    command(settle, "status")(settlement_status)
    escrow.register(settle)
    root.add_typer(settle, name="settle")


def import_trades(run: Invocation, file: TradesFile, dry_run: DryRun = False) -> int:
    """Import a file of trades; good rows are kept, and exit 1 says that some were rejected."""
    from cli.books import open_books
    from ledger.settlement import trades

    def work(session: Session) -> TradesReport:
        report = trades.import_trades(session, file)
        if dry_run:
            session.rollback()
        return report

    trades.check_file(file)  # before the books: a wrong file is the first thing to say
    with open_books(run.settings) as db:
        document = trades.as_json(db.run(work))
    if dry_run:
        document["dry_run"] = True
    counts = ("read", "new", "unchanged", "rejected")
    said = ", ".join(f"{document[name]} {name}" for name in counts)
    run.output.result(
        document,
        f"{file}: {said}{' (nothing written)' if dry_run else ''}",
        *rejected(file, document),
    )
    return RowsRejected.exit_code if document["rejected"] else 0


def run_settlement(run: Invocation, dry_run: DryRun = False, no_wait: NoWait = False) -> int:
    """Net the pending trades into batches, propose them, and finalise those whose window is over."""
    from cli.flow import open_flow
    from ledger.settlement import batches

    with open_flow(run.settings) as flow:
        flow.mirror()
        if dry_run:
            with flow.db.read() as session:
                document = {"dry_run": True, **_pending(session)}
            markets = document["pending"]
            run.output.result(
                document, *(f"would settle {n} trades of {name}" for name, n in markets.items())
            )
            return 0
        planned = [item.key for item in batches.plan_batches(flow.chain)]
        batches.submit_planned(flow.chain)
        if not no_wait:
            flow.confirm(_sent(flow, planned))
        finalize_due(flow, wait=not no_wait)
        with flow.db.read() as session:
            rows = [
                row
                for row in _batches(session)
                if row["batch_key"] in planned or row["state"] in _OPEN
            ]
            document = {"planned": planned, **_pending(session), "batches": rows}
    run.output.result(document, _table(rows), _left(document))
    refused = any(row["state"] == "failed" for row in rows if row["batch_key"] in planned)
    return Refused.exit_code if refused else 0


def settlement_status(run: Invocation) -> None:
    """Show the settlement batches, and the trades that are in none."""
    from cli.books import open_books

    with open_books(run.settings) as db, db.read() as session:
        rows = _batches(session)
        document = {**_pending(session), "batches": rows}
    run.output.result(document, _table(rows), _left(document))


def _sent(flow: Flow, keys: Sequence[str]) -> list[str]:
    """Return those of the batches that the contract did not refuse before they were sent."""
    with flow.db.read() as session:
        failed = {row["batch_key"] for row in _batches(session) if row["state"] == "failed"}
    return [key for key in keys if key not in failed]


def finalize_due(flow: Flow, *, wait: bool) -> None:
    """Finalise what is due, and wait for windows that end within ``WINDOW_SECONDS_MAX``."""
    from ledger.settlement import batches

    until = time.monotonic() + WINDOW_SECONDS_MAX
    while True:
        batches.finalize_due(flow.chain)
        with flow.db.read() as session:
            proposed = [row for row in _batches(session) if row["state"] == "proposed"]
        if not wait or not proposed:
            break
        keys = [row["finalize_key"] for row in proposed if row["finalize_key"]]
        if keys:
            flow.confirm(keys)
        elif time.monotonic() > until:
            break
        else:
            time.sleep(1)
            flow.mirror_final()  # on a local chain, a block whose time lies after the window


def _batches(session: Session) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from ledger.models.settlement import VppSettlementBatch

    found = session.scalars(select(VppSettlementBatch).order_by(VppSettlementBatch.id))
    return [
        {
            "batch_key": item.batch_key,
            "market": item.market,
            "state": item.state.value,
            "trades": item.trade_count,
            "nets_cents": dict(zip(item.accounts, item.nets, strict=True)),
            "chain_batch_id": None if item.chain_batch_id is None else str(item.chain_batch_id),
            "finalize_key": item.finalize_key,
            "finalizable_at": item.finalizable_at,
            "proposed_block": item.proposed_block,
            "finalized_block": item.finalized_block,
            "error": item.error,
        }
        for item in found
    ]


def _pending(session: Session) -> dict[str, Any]:
    """Count the pending trades that stand in no batch, by market."""
    from sqlalchemy import func, select

    from ledger.models.settlement import VppSettlementItem
    from ledger.models.trading import TradeStatus, VppTradingRecord

    query = (
        select(VppTradingRecord.market, func.count())
        .where(
            VppTradingRecord.status == TradeStatus.PENDING,
            VppTradingRecord.id.not_in(select(VppSettlementItem.trade_id)),
        )
        .group_by(VppTradingRecord.market)
    )
    return {"pending": {market: count for market, count in session.execute(query)}}


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    return Table(
        ("batch", "market", "trades", "state", "finalised in block", "error"),
        [
            (
                row["batch_key"],
                row["market"],
                row["trades"],
                row["state"],
                row["finalized_block"],
                row["error"],
            )
            for row in rows
        ],
        right=frozenset({"trades", "finalised in block"}),
    )


def _left(document: dict[str, Any]) -> str:
    count = sum(document["pending"].values())
    return (
        f"{count} pending trades are in no batch"
        if count
        else "no pending trade is without a batch"
    )
