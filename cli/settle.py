"""``truetonne settle``: pending trades to money moved."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import cosign, escrow, settle_acts
from cli.command import DryRun, Invocation, NoWait, command, command_group
from cli.cosign import Market
from cli.settle_rows import (
    ENDED_SHOWN,
    alarms_of,
    latest_of,
    left_of,
    pending_of,
    rows_of,
    table_of,
    windows_of,
)
from ledger.errors import BadInput, Refused, TruetonneError
from ledger.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy.orm import Session

    from cli.flow import Flow
    from ledger.settlement.planning import Plan

WINDOW_SECONDS_MAX = 60.0
"""A command waits for a challenge window that ends within this time; a longer one is for the next run."""
_SILENT_SECONDS = 5.0
"""How long nothing is said of a batch whose window is over: on a local chain the next block is a second away."""

_DONE = ("planned", "resumed", "failed")
"""What one round after the other adds to; who is left out, and what waits, the last one says."""
_LISTS = (*_DONE, "left_out", "debtors", "waiting")
"""What each market has of its own."""
_ENDED_BY = "ended_by"
"""The error that a round ended with, or None: no part of what is printed as JSON, where it is ``error``."""

ManyWhat = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID...", help="Key or row number of a batch, or trade:NUMBER."),
]
MaybeWhat = Annotated[
    str | None, typer.Argument(metavar="ID", help="Key or row number of a batch, or trade:NUMBER.")
]

All = Annotated[
    bool,
    typer.Option(
        "--all", help=f"Also batches that ended before the latest {ENDED_SHOWN} that have ended."
    ),
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
    with run.flow() as flow:
        flow.mirror()
        if dry_run:
            return _dry_run(run, flow)
        document = _settle(flow, no_wait)
    return _report(run, document)


def _dry_run(run: Invocation, flow: Flow) -> int:
    """Say what a run would settle, by the preview's word."""
    from cli.settle_preview import dry_json, dry_lines
    from ledger.settlement.outlook import preview

    found = dry_json(preview(flow.chain))
    with flow.db.read() as session:
        document = {**pending_of(session), **found}
    run.output.result(document, *dry_lines(found))
    fails = found["left_out"] or found["refused"] or found["waiting"]
    return Refused.exit_code if fails else 0


def retry_settlement(
    run: Invocation,
    what: ManyWhat = None,
    market: Annotated[
        str | None,
        typer.Option("--market", metavar="NAME", help="Instead: all trades of it that failed so."),
    ] = None,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> int:
    """Try again what failed: the market of a batch, or trades (trade:17) whose debtors lacked funds."""
    from ledger.settlement import finding
    from ledger.settlement.outlook import market_to_retry

    named = what or []
    if bool(named) == (market is not None):
        raise BadInput(
            "name what to try again: a batch, trades such as trade:17, or a market with --market; `truetonne settle "
            "status` shows what failed"
        )
    numbers = [number for item in named if (number := finding.named_trade(item)) is not None]
    batches = [item for item in named if finding.named_trade(item) is None]
    with run.flow() as flow:
        flow.mirror()
        markets = [market_to_retry(flow.chain, item) for item in batches]
        markets += flow.db.run(
            lambda session: _reopened(session, numbers, market), keep=not dry_run
        )
        markets = list(dict.fromkeys(markets))
        if dry_run:
            one = markets[0] if len(markets) == 1 else None
            run.output.result(
                {"market": one, "markets": markets},
                f"would try again on {_of_markets(markets)}",
            )
            return 0
        document = _settled_on(flow, no_wait, markets)
    return _report(run, document)


def _of_markets(markets: Sequence[str]) -> str:
    return f"{'market' if len(markets) == 1 else 'markets'} {', '.join(markets)}"


def _reopened(session: Session, numbers: Sequence[int], market: str | None) -> list[str]:
    """Open trades again, all of them or none; return their markets."""
    from ledger.settlement import shortfalls
    from ledger.settlement.outlook import require_market

    if market is not None:
        require_market(session, market)
        numbers = shortfalls.failed_on(session, market)
        if not numbers and shortfalls.pending_on(session, market):
            # An earlier call has opened them, and was cut short before it settled them.
            return [market]
        if not numbers:
            raise Refused(
                f"no trade of market {market!r} has failed for want of funds; `truetonne trades list --status failed` "
                "has all that failed",
                code="nothing-failed",
            )
    return [shortfalls.reopen(session, number, "settle retry") for number in numbers]


def _settled_on(flow: Flow, no_wait: bool, markets: Sequence[str]) -> dict[str, Any]:
    """Settle one market after the other, up to an error; return what that was together, as ``_settle`` does."""
    found: list[dict[str, Any]] = []
    for market in markets:
        found.append(_settle(flow, no_wait, market))
        if found[-1][_ENDED_BY] is not None:
            break
    return _together(found, _LISTS)


def _together(found: Sequence[dict[str, Any]], lists: Sequence[str]) -> dict[str, Any]:
    """Return what several rounds came to: all that these lists have, each batch as it stands now, the rest as last."""
    rows = {row["batch_key"]: row for each in found for row in each["batches"]}
    joined = {name: [item for each in found for item in each[name]] for name in lists}
    return {**found[-1], **joined, "batches": list(rows.values())}


def preview_settlement(run: Invocation, market: Market = None) -> int:
    """Show what a run would send now: who pays and receives, gas and fee, what would fail and why."""
    from cli.settle_preview import as_json, lines, table
    from ledger.settlement.outlook import preview

    with run.flow() as flow:
        flow.mirror()
        outlook = preview(flow.chain, market)
    run.output.result(as_json(outlook), table(outlook), *lines(outlook))
    refused = any(batch.cost.refusal for batch in outlook.batches)
    return Refused.exit_code if outlook.missing or outlook.waiting or refused else 0


def settlement_status(run: Invocation, what: MaybeWhat = None, everything: All = False) -> None:
    """Show the settlement batches and what is stuck; of one batch or trade what happened, and what to do."""
    from ledger.chain.sending.overview import alarms
    from ledger.settlement.explain import story_of

    if what is not None and everything:
        raise BadInput("name one batch or trade, or --all batches, not both")
    with run.books() as db, db.read() as session:
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
        wanted, older = (None, 0) if everything else latest_of(session)
        rows = rows_of(session) if wanted is None else rows_of(session, wanted)
        _, stuck = alarms(session)
        document = {**pending_of(session), "batches": rows, "older": older, "alarms": stuck}
    more = counted(older, "older batch", "older batches")
    left = (f"{more} not shown; --all shows them",) if older else ()
    windows = windows_of(rows)
    run.output.result(
        document, table_of(rows), *left, *windows, left_of(document), *alarms_of(stuck)
    )


def _settle(flow: Flow, no_wait: bool, market: str | None = None) -> dict[str, Any]:
    """Plan, submit and finalise; return what was planned, and the batches that this concerns.

    Again as long as somebody is left out and something became final: what that brought may be what was lacking.
    """
    document = last = _round(flow, no_wait, market)
    while (
        not no_wait
        and last[_ENDED_BY] is None
        and last["left_out"]
        and _brought_money(document, last["batches"])
    ):
        last = _round(flow, no_wait, market)
        document = _together([document, last], _DONE)
    return document


def _brought_money(document: dict[str, Any], rows: Sequence[dict[str, Any]]) -> bool:
    """Return whether a batch of this run became final in its last round: each does once, so that it ends."""
    ours = {*document["resumed"], *document["planned"]}
    return any(row["state"] == "finalized" for row in rows if row["batch_key"] in ours)


def _round(flow: Flow, no_wait: bool, market: str | None) -> dict[str, Any]:
    """Plan, submit and finalise once; return what that came to, and what ended it before its end."""
    from sqlalchemy import select

    from ledger.models.settlement import BatchState, VppSettlementBatch
    from ledger.settlement import batches
    from ledger.settlement.money import currency_symbol
    from ledger.settlement.outlook import unsent
    from ledger.settlement.pending import Scope

    key = VppSettlementBatch.batch_key
    is_open = VppSettlementBatch.state.in_((BatchState.PLANNED, BatchState.PROPOSED))
    with flow.db.read() as session:
        open_before = session.scalars(select(key).where(is_open)).all()
    symbol = currency_symbol(flow.chain)
    scope = Scope(market=market, symbol=symbol)
    plan = batches.plan_round(flow.chain, scope)
    planned = [item.key for item in plan.batches]
    with flow.db.read() as session:  # what an earlier run planned and did not send is sent with it
        resumed = [row.batch_key for row in unsent(session) if row.batch_key not in planned]
    unsent_for = _trouble_of(lambda: batches.submit_planned(flow.chain))
    sent_before = _under_way(flow, market, {*resumed, *planned})

    def to_the_end() -> None:
        if not no_wait:
            sent = _sent(flow, [*resumed, *planned], all_are=unsent_for is None)
            flow.confirm([*sent_before, *sent])
        finalize_due(flow, wait=not no_wait)

    # What keeps one from being sent keeps no other one from its end.
    goes_on = unsent_for is None or isinstance(unsent_for, (Refused, *batches.OF_ONE))
    trouble = _trouble_of(to_the_end) if goes_on else None
    concerned = {*open_before, *sent_before, *resumed, *planned}
    with flow.db.read() as session:
        return {
            "planned": planned,
            "resumed": resumed,
            **_left_behind(session, plan, symbol),
            **pending_of(session),
            "batches": rows_of(session, is_open | key.in_(concerned)),
            _ENDED_BY: unsent_for or trouble,
        }


def _trouble_of(step: Callable[[], object]) -> TruetonneError | None:
    """Take a step of a run; return the error that it ended with: what was done before it is reported all the same."""
    try:
        step()
    except TruetonneError as error:
        return error
    return None


def _left_behind(session: Session, plan: Plan, symbol: str) -> dict[str, Any]:
    """Return the trades that a plan does not settle: left out for want of funds, unfit, or failed."""
    from cli.settle_preview import debtors_json, left_out_json, waiting_json
    from ledger.settlement.money import Missing, participants

    names = participants(session)
    lacking = [Missing.of(item.shortfall, names, symbol) for item in plan.left_out]
    return {
        "left_out": [
            left_out_json(missing, [trade.seq for trade in item.trades])
            for missing, item in zip(lacking, plan.left_out, strict=True)
        ],
        "debtors": debtors_json(lacking),
        "waiting": waiting_json(plan.waiting),
        "failed": list(plan.failed),
    }


def _report(run: Invocation, document: dict[str, Any]) -> int:
    from cli.settle_preview import left_out_lines, waiting_lines

    trouble: TruetonneError | None = document.pop(_ENDED_BY)
    rows = document["batches"]
    run.output.result(
        document,
        table_of(rows),
        *left_out_lines(document),
        *waiting_lines(document["waiting"]),
        *windows_of(rows),
        left_of(document),
        ended_by=trouble,
    )
    if trouble is not None:
        return trouble.exit_code
    ours = [*document["resumed"], *document["planned"]]
    refused = bool(document["left_out"] or document["waiting"]) or any(
        row["state"] == "failed" for row in rows if row["batch_key"] in ours
    )
    return Refused.exit_code if refused else 0


def _sent(flow: Flow, keys: Sequence[str], *, all_are: bool) -> list[str]:
    """Return those of the batches that were sent: not refused before, and not waiting for signatures.

    Parameters
    ----------
    all_are
        Whether a planned one is on chain by another transaction, which the mirror has still to read; else nobody
        knows, and nobody waits for it.
    """
    from ledger.models import ChainIntent
    from ledger.models.sending import IntentState

    with flow.db.read() as session:
        found = [session.get(ChainIntent, key) for key in keys]
        unsent = {IntentState.FAILED} if all_are else {IntentState.FAILED, IntentState.PLANNED}
    return [item.key for item in found if item and item.state not in unsent]


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
    from ledger.settlement import finalizing, stuck

    within = timedelta(seconds=WINDOW_SECONDS_MAX)
    begun, told = time.monotonic(), False
    while True:
        finalizing.finalize_due(flow.chain)
        if not wait:
            break
        with flow.db.read() as session:
            keys = _sent_to_finalise(session)
            ends, now = finalizing.due_within(session, within), stuck.chain_time(session)
        if keys:
            flow.confirm(keys, onward=_finalised_meanwhile(flow))
            begun = time.monotonic()
        elif ends is None or time.monotonic() - begun > WINDOW_SECONDS_MAX:
            break
        else:
            if not told and (ends > now or time.monotonic() - begun > _SILENT_SECONDS):
                told = True
                flow.tell(_said_of_window(ends, now))
            time.sleep(1)
            flow.mirror_final()  # on a local chain, a block whose time lies after the window


def _sent_to_finalise(session: Session) -> list[str]:
    """Return the finalisations that are sent and not final, in blocks or not; a planned one waits for its turn."""
    from sqlalchemy import select

    from ledger.models import ChainIntent
    from ledger.models.sending import IntentState
    from ledger.models.settlement import BatchState, VppSettlementBatch

    query = (
        select(ChainIntent.key)
        .join(VppSettlementBatch, VppSettlementBatch.finalize_key == ChainIntent.key)
        .where(
            ChainIntent.state == IntentState.SUBMITTED,
            # Of those a fork took the proposal back: nothing is there to finalise.
            VppSettlementBatch.state.not_in((BatchState.PLANNED, BatchState.FAILED)),
        )
        .order_by(VppSettlementBatch.chain_batch_id)
    )
    return list(session.scalars(query))


def _finalised_meanwhile(flow: Flow) -> Callable[[], bool]:
    """Return what finalises the next batches while one that is in a block is waited for to be final.

    A refusal is for after that wait, which it would cut short: nothing more is tried in it.
    """
    from ledger.settlement import finalizing

    refused = False

    def onward() -> bool:
        nonlocal refused
        if refused:
            return False
        try:
            return bool(finalizing.finalize_due(flow.chain))
        except Refused:
            refused = True
            return False

    return onward


def _said_of_window(ends: datetime, now: datetime) -> str:
    if ends > now:
        return f"a window ends at {ends:%H:%M:%S} UTC, and the batch is finalised then; this waits for it"
    return (
        f"a window ended at {ends:%H:%M:%S} UTC, and the batch waits for its turn or for a block: one of others may "
        f"stand before it; this waits for up to {WINDOW_SECONDS_MAX:.0f} s"
    )
