"""``truetonne settle``: pending trades to money moved."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import cosign, escrow, settle_acts
from cli.command import DryRun, Invocation, NoWait, command, command_group
from cli.cosign import Market
from cli.output import Table, counted
from ledger.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.orm import Session

    from cli.flow import Flow

WINDOW_SECONDS_MAX = 60.0
"""A command waits for a challenge window that ends within this time; a longer one is for the next run."""

_OPEN = ("planned", "proposed")

What = Annotated[
    str, typer.Argument(metavar="ID", help="Key or row number of a batch, or trade:NUMBER.")
]
MaybeWhat = Annotated[
    str | None, typer.Argument(metavar="ID", help="Key or row number of a batch, or trade:NUMBER.")
]


def register(root: typer.Typer) -> None:
    """Add the group."""
    settle = command_group("Settle trades on chain.")
    command(settle, "preview")(preview_settlement)
    command(settle, "run")(run_settlement)
    command(settle, "retry")(retry_settlement)
    command(settle, "status")(settlement_status)
    settle_acts.register(settle)
    escrow.register(settle)
    cosign.register(settle)
    root.add_typer(settle, name="settle")


def run_settlement(run: Invocation, dry_run: DryRun = False, no_wait: NoWait = False) -> int:
    """Net the pending trades into batches, propose them, and finalise those whose window is over."""
    from cli.flow import open_flow

    with open_flow(run.settings) as flow:
        flow.mirror()
        if dry_run:
            return _dry_run(run, flow)
        document, rows = _settle(flow, no_wait)
    return _report(run, document, rows)


def _dry_run(run: Invocation, flow: Flow) -> int:
    """Say what a run would settle, by the preview's word."""
    from cli.settle_preview import dry_json, dry_lines
    from ledger.settlement.outlook import preview

    found = dry_json(preview(flow.chain))
    with flow.db.read() as session:
        document = {"dry_run": True, **_pending(session), **found}
    run.output.result(document, *dry_lines(found))
    fails = found["left_out"] or found["refused"] or found["waiting"]
    return Refused.exit_code if fails else 0


def retry_settlement(
    run: Invocation, what: What, dry_run: DryRun = False, no_wait: NoWait = False
) -> int:
    """Try again what failed: the market of a batch, or a trade (trade:17) whose debtor lacked funds."""
    from cli.flow import open_flow
    from ledger.settlement import finding
    from ledger.settlement.outlook import market_to_retry

    number = finding.named_trade(what)
    with open_flow(run.settings) as flow:
        flow.mirror()
        if number is None:
            market = market_to_retry(flow.chain, what)
        else:
            market = flow.db.run(lambda session: _reopened(session, number, dry_run))
        if dry_run:
            document = {"dry_run": True, "market": market}
            run.output.result(document, f"would try again on market {market}")
            return 0
        document, rows = _settle(flow, no_wait, market)
    return _report(run, document, rows)


def _reopened(session: Session, number: int, dry_run: bool) -> str:
    from ledger.settlement import shortfalls

    market = shortfalls.reopen(session, number, "settle retry")
    if dry_run:
        session.rollback()
    return market


def preview_settlement(run: Invocation, market: Market = None) -> int:
    """Show what a run would send now: who pays and receives, gas and fee, what would fail and why."""
    from cli.flow import open_flow
    from cli.settle_preview import as_json, lines, table
    from ledger.settlement.outlook import preview

    with open_flow(run.settings) as flow:
        flow.mirror()
        outlook = preview(flow.chain, market)
    run.output.result(as_json(outlook), table(outlook), *lines(outlook))
    refused = any(batch.cost.refusal for batch in outlook.batches)
    return Refused.exit_code if outlook.missing or outlook.waiting or refused else 0


def settlement_status(run: Invocation, what: MaybeWhat = None) -> None:
    """Show the settlement batches and what is stuck; of one batch or trade what happened, and what to do."""
    from cli.books import open_books
    from ledger.chain.sending.overview import alarms
    from ledger.settlement.explain import story_of

    with open_books(run.settings) as db, db.read() as session:
        if what is not None:
            story = story_of(session, what)
            run.output.result(
                {
                    "subject": story.subject,
                    "state": story.state,
                    "batch_key": story.batch_key,
                    "happened": list(story.happened),
                    "to_do": story.to_do,
                },
                f"{story.subject}: {story.state}",
                *(f"  {line}" for line in story.happened),
                f"to do: {story.to_do}",
            )
            return
        rows = _batches(session)
        _, stuck = alarms(session)
        document = {**_pending(session), "batches": rows, "alarms": stuck}
    said = (f"alarm: {text}; see truetonne chain intents" for text in stuck)
    run.output.result(document, _table(rows), _left(document), *said)


def _settle(
    flow: Flow, no_wait: bool, market: str | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Plan, submit and finalise; return what was planned, and the batches that this concerns."""
    from cli.settle_preview import left_out_json, waiting_json
    from ledger.settlement import batches
    from ledger.settlement.money import Missing, currency_symbol, participants
    from ledger.settlement.outlook import unsent
    from ledger.settlement.planning import Scope

    with flow.db.read() as session:
        open_before = [row["batch_key"] for row in _batches(session) if row["state"] in _OPEN]
    scope = Scope(market=market, symbol=currency_symbol(flow.chain))
    plan = batches.plan_round(flow.chain, scope)
    planned = [item.key for item in plan.batches]
    with flow.db.read() as session:  # what an earlier run planned and did not send is sent with it
        resumed = [row.batch_key for row in unsent(session) if row.batch_key not in planned]
    batches.submit_planned(flow.chain)
    sent_before = _under_way(flow, market, {*resumed, *planned})
    if not no_wait:
        flow.confirm([*sent_before, *_sent(flow, [*resumed, *planned])])
    finalize_due(flow, wait=not no_wait)
    concerned = {*open_before, *sent_before, *resumed, *planned}
    with flow.db.read() as session:
        rows = [
            row
            for row in _batches(session)
            if row["batch_key"] in concerned or row["state"] in _OPEN
        ]
        names, symbol = participants(session), currency_symbol(flow.chain)
        left_out = [
            left_out_json(
                Missing.of(item.shortfall, names, symbol), [trade.seq for trade in item.trades]
            )
            for item in plan.left_out
        ]
        document = {"planned": planned, "resumed": resumed, "left_out": left_out}
        document["waiting"] = waiting_json(plan.waiting)
        document |= {"failed": list(plan.failed), **_pending(session), "batches": rows}
        return document, rows


def _report(run: Invocation, document: dict[str, Any], rows: list[dict[str, Any]]) -> int:
    from cli.settle_preview import left_out_lines, waiting_lines

    run.output.result(
        document,
        _table(rows),
        *left_out_lines(document["left_out"]),
        *waiting_lines(document["waiting"]),
        _left(document),
    )
    ours = [*document["resumed"], *document["planned"]]
    refused = bool(document["left_out"] or document["waiting"]) or any(
        row["state"] == "failed" for row in rows if row["batch_key"] in ours
    )
    return Refused.exit_code if refused else 0


def _sent(flow: Flow, keys: Sequence[str]) -> list[str]:
    """Return those of the batches that were sent: not refused before, and not waiting for signatures."""
    from ledger.models import ChainIntent
    from ledger.models.sending import IntentState

    with flow.db.read() as session:
        found = [session.get(ChainIntent, key) for key in keys]
        return [item.key for item in found if item and item.state is not IntentState.FAILED]


def _under_way(flow: Flow, market: str | None, known: Collection[str]) -> list[str]:
    """Return the other batches that are sent and not final: by an earlier run, the jobs, or a run beside this one."""
    from sqlalchemy import select

    from ledger.models import ChainIntent
    from ledger.models.sending import IntentState
    from ledger.models.settlement import VppSettlementBatch

    query = (
        select(VppSettlementBatch.batch_key, VppSettlementBatch.market)
        .join(ChainIntent, ChainIntent.key == VppSettlementBatch.batch_key)
        .where(ChainIntent.state == IntentState.SUBMITTED)
        .order_by(VppSettlementBatch.id)
    )
    with flow.db.read() as session:
        return [
            key
            for key, where in session.execute(query)
            if key not in known and market in (None, where)
        ]


def finalize_due(flow: Flow, *, wait: bool) -> None:
    """Finalise what is due, and wait for windows that end within ``WINDOW_SECONDS_MAX``."""
    from ledger.settlement import batches

    until = time.monotonic() + WINDOW_SECONDS_MAX
    while True:
        batches.finalize_due(flow.chain)
        with flow.db.read() as session:
            proposed = [row for row in _batches(session) if row["state"] == "proposed"]
            soon = batches.is_due_within(session, timedelta(seconds=WINDOW_SECONDS_MAX))
        if not wait:
            break
        keys = [row["finalize_key"] for row in proposed if row["finalize_key"]]
        if keys:
            flow.confirm(keys)
        elif not soon or time.monotonic() > until:
            break
        else:
            time.sleep(1)
            flow.mirror_final()  # on a local chain, a block whose time lies after the window


def _batches(session: Session) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from ledger.models import SettlementBatch
    from ledger.models.settlement import VppSettlementBatch

    found = session.scalars(select(VppSettlementBatch).order_by(VppSettlementBatch.id))
    statuses = select(SettlementBatch.key, SettlementBatch.status)
    on_chain = {key: status.value for key, status in session.execute(statuses)}
    return [
        {
            "batch_key": item.batch_key,
            "market": item.market,
            "state": item.state.value,
            "way": "proposed" if item.signed_until is None else "cosigned",
            "credits": None if item.asset is None else str(item.asset),
            "netted_from": item.netted_from,
            "on_chain": on_chain.get(item.batch_key),
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
                "disputed" if row["on_chain"] == "disputed" else row["state"],
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
        f"{counted(count, 'pending trade')} in no batch"
        if count
        else "no pending trade is without a batch"
    )
