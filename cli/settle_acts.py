"""``truetonne settle one | cancel``: what a person does to one trade or one batch, on chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, command
from ledger.errors import Refused

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cli.flow import Flow

Trade = Annotated[str, typer.Argument(metavar="TRADE", help="Number of the trade.")]
Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Key or row number of the batch.")]
NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait", help="Return when it is sent; `truetonne index run` confirms it later."
    ),
]


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``settle``."""
    command(group, "one")(settle_one)
    command(group, "cancel")(cancel_settlement)


def settle_one(
    run: Invocation, trade: Trade, no_wait: NoWait = False, dry_run: DryRun = False
) -> None:
    """Settle one pending trade by itself: gross, at once and for good, without a window."""
    from cli.flow import open_flow
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.settlement import finding, singles
    from ledger.settlement.money import explained

    number = finding.number_of_trade(trade)

    def plan(session: Session) -> str:
        key = singles.plan_single(session, flow.chain, number)
        if dry_run:
            _rehearse(session, flow, key)
        return key

    with open_flow(run.settings) as flow:
        flow.mirror()
        try:
            key = flow.db.run(plan)
            if dry_run:
                document: dict[str, Any] = {"trade": number, "dry_run": True}
                run.output.result(document, f"would settle trade {number} by itself")
                return
            transaction = flow.chain.sender.submit(key, SETTLEMENT)
        except Refused as refusal:
            raise Refused(explained(flow.chain, refusal.message), code=refusal.code) from refusal
        if not no_wait:
            flow.confirm([key])
        document = {"trade": number, "key": key, "transaction": transaction, "final": not no_wait}
    run.output.result(
        document, f"trade {number} is {'sent' if no_wait else 'settled'}: transaction {transaction}"
    )


def _rehearse(session: Session, flow: Flow, key: str) -> None:
    """Have the contract tried with what was planned, and keep nothing of it."""
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.chain.failures.reverts import rehearse
    from ledger.chain.sending import intents

    intent = intents.get(session, key)
    session.expunge(intent)
    session.rollback()
    rehearse(flow.chain.client, SETTLEMENT, intent)


def cancel_settlement(
    run: Invocation,
    batch: Batch,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is published on chain.")],
    no_wait: NoWait = False,
    dry_run: DryRun = False,
) -> None:
    """Cancel a proposed batch on chain: debtors get back what was locked, its trades are cancelled."""
    from cli.flow import open_flow
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.settlement.cancel import plan_cancellation

    def plan(session: Session) -> str:
        key = plan_cancellation(session, flow.chain, batch, reason)
        if dry_run:
            _rehearse(session, flow, key)
        return key

    with open_flow(run.settings) as flow:
        flow.mirror()
        key = flow.db.run(plan)
        document: dict[str, Any] = {"batch": batch, "reason": reason.strip()}
        if dry_run:
            document["dry_run"] = True
            run.output.result(document, f"would cancel batch {batch}")
            return
        transaction = flow.chain.sender.submit(key, SETTLEMENT)
        if not no_wait:
            flow.confirm([key])
        document |= {"key": key, "transaction": transaction, "final": not no_wait}
    run.output.result(document, f"batch {batch} is cancelled: transaction {transaction}")
