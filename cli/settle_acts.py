"""``truetonne settle one | cancel | reject``: what a person does to one trade or one batch, on chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, NoWait, command

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cli.flow import Flow
    from ledger.models import ChainIntent

Trade = Annotated[str, typer.Argument(metavar="TRADE", help="Number of the trade.")]
Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Key or row number of the batch.")]


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``settle``."""
    command(group, "one")(settle_one)
    command(group, "cancel")(cancel_settlement)
    command(group, "reject")(reject_dispute)


def settle_one(
    run: Invocation, trade: Trade, no_wait: NoWait = False, dry_run: DryRun = False
) -> None:
    """Settle one pending trade by itself: gross, at once and for good, without a window."""
    from cli.flow import open_flow
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.settlement import finding, singles
    from ledger.settlement.money import explained, refused_in_money

    number = finding.number_of_trade(trade)

    def plan(session: Session) -> str:
        return singles.plan_single(session, flow.chain, number)

    with open_flow(run.settings) as flow:
        flow.mirror()
        if dry_run:
            with refused_in_money(flow.chain, explained):
                _rehearse(flow, plan)
            document: dict[str, Any] = {"trade": number, "dry_run": True}
            run.output.result(document, f"would settle trade {number} by itself")
            return
        key = flow.db.run(plan)
        with refused_in_money(flow.chain, explained):
            transaction = flow.chain.sender.submit(key, SETTLEMENT)
        if not no_wait:
            flow.confirm([key])
        document = {"trade": number, "key": key, "transaction": transaction, "final": not no_wait}
    run.output.result(
        document, f"trade {number} is {'sent' if no_wait else 'settled'}: transaction {transaction}"
    )


def _rehearse(flow: Flow, plan: Callable[[Session], str]) -> None:
    """Plan an act, keep nothing of it, and look at all that would be looked at before it is signed."""
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.chain.sending import intents

    def planned(session: Session) -> ChainIntent:
        intent = intents.get(session, plan(session))
        session.expunge(intent)
        return intent

    flow.chain.sender.rehearse(flow.db.run(planned, keep=False), SETTLEMENT)


def cancel_settlement(
    run: Invocation,
    batch: Batch,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is published on chain.")],
    no_wait: NoWait = False,
    dry_run: DryRun = False,
) -> None:
    """Cancel a proposed batch on chain: debtors get back what was locked, its trades are cancelled.

    One that lacks signatures is withdrawn: nothing of it is on chain, and its trades are free again.
    """
    from cli.flow import open_flow
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.chain.sending import intents
    from ledger.settlement.cancel import plan_cancellation, withdraw

    def take_back(session: Session) -> str | None:
        taken = withdraw(session, batch, reason)
        return None if taken is None else taken.batch_key

    def plan(session: Session) -> str:
        return plan_cancellation(session, flow.chain, batch, reason)

    with open_flow(run.settings) as flow:
        flow.mirror()
        document: dict[str, Any] = {"batch": batch, "reason": reason.strip()}
        withdrawn = flow.db.run(take_back, keep=not dry_run)
        if withdrawn is not None:
            document |= {"withdrawn": True, **({"dry_run": True} if dry_run else {})}
            done = "would be" if dry_run else "is"
            run.output.result(
                document, f"batch {withdrawn} {done} withdrawn; its trades are free again"
            )
            return
        if dry_run:
            _rehearse(flow, plan)
            document["dry_run"] = True
            run.output.result(document, f"would cancel batch {batch}")
            return
        key = flow.db.run(plan)
        with flow.db.read() as session:  # one that is on its way keeps the reason that it was given
            published = str(intents.get(session, key).parameters["reason"])
        transaction = flow.chain.sender.submit(key, SETTLEMENT)
        if not no_wait:
            flow.confirm([key])
        done = "the cancellation of batch {} is sent" if no_wait else "batch {} is cancelled"
        lines = [f"{done.format(batch)}: transaction {transaction}"]
        if published != document["reason"]:
            lines.append(f"the reason is the one that was given first: {published}")
        document |= {
            "reason": published,
            "key": key,
            "transaction": transaction,
            "final": not no_wait,
        }
    run.output.result(document, *lines)


def reject_dispute(
    run: Invocation, batch: Batch, no_wait: NoWait = False, dry_run: DryRun = False
) -> None:
    """Reject the dispute over a batch, as the arbiter: its window goes on, and the bond is lost to the disputing party.

    To uphold a dispute, cancel the batch.
    """
    from cli.flow import open_flow
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.settlement.disputes import plan_rejection, window_end

    def plan(session: Session) -> str:
        return plan_rejection(session, flow.chain, batch)

    with open_flow(run.settings) as flow:
        flow.mirror()
        if dry_run:
            _rehearse(flow, plan)
            run.output.result(
                {"batch": batch, "dry_run": True}, f"would reject the dispute over batch {batch}"
            )
            return
        key = flow.db.run(plan)
        transaction = flow.chain.sender.submit(key, SETTLEMENT)
        said = f"the rejection of the dispute over batch {batch} is sent"
        until = None
        if not no_wait:
            flow.confirm([key])
            with flow.db.read() as session:
                until = window_end(session, batch)
            said = f"the dispute over batch {batch} is rejected"
            if until is not None:
                said += f", and its window ends at {until:%Y-%m-%d %H:%M:%S} UTC"
    document = {
        "batch": batch,
        "key": key,
        "transaction": transaction,
        "final": not no_wait,
        "finalizable_at": until,
    }
    run.output.result(document, f"{said}: transaction {transaction}")
