"""``truetonne settle one | cancel | dispute | reject``: what a person does to one trade or one batch, on chain."""

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
Party = Annotated[
    str | None,
    typer.Option(
        "--account",
        metavar="ACCOUNT",
        help="Who disputes: code of a VPP, name of a market, or an account; default: the party whose key is here.",
    ),
]
Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Key or row number of the batch.")]
BatchOrTrade = Annotated[
    str,
    typer.Argument(
        metavar="BATCH",
        help="Key or row number of the batch; or trade:NUMBER, which `settle one` planned and did not send.",
    ),
]


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``settle``."""
    command(group, "one")(settle_one)
    command(group, "cancel")(cancel_settlement)
    command(group, "dispute")(dispute_trade)
    command(group, "reject")(reject_dispute)


def settle_one(
    run: Invocation, trade: Trade, no_wait: NoWait = False, dry_run: DryRun = False
) -> None:
    """Settle one pending trade by itself: gross, at once and for good, without a window."""
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.settlement import batches, finding
    from ledger.settlement.money import explained, refused_in_money

    number = finding.number_of_trade(trade)

    def plan(session: Session) -> str:
        return batches.plan_one(session, flow.chain, number)

    with run.flow() as flow:
        flow.mirror()
        if dry_run:
            with refused_in_money(flow.chain, explained):
                _rehearse(flow, plan)
            document: dict[str, Any] = {"trade": number}
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
    batch: BatchOrTrade,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is published on chain.")],
    no_wait: NoWait = False,
    dry_run: DryRun = False,
) -> None:
    """Cancel a proposed batch on chain: debtors get back what was locked, its trades are cancelled.

    One of which nothing was sent, for instance since it lacks signatures, is withdrawn: its trades are free again.
    So is a trade that was to be settled by itself.
    """
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.chain.sending import intents
    from ledger.settlement.cancel import of_others, plan_cancellation
    from ledger.settlement.finding import named_trade, written_out

    number = named_trade(batch)
    if number is not None:
        _withdraw_single(run, number, reason, dry_run)
        return

    def plan(session: Session) -> str:
        return plan_cancellation(session, flow.chain, batch, reason)

    with run.flow() as flow:
        flow.mirror()
        with flow.db.read() as session:
            batch = written_out(session, batch)
            ours = of_others(session, batch) is None
        document: dict[str, Any] = {"batch": batch, "reason": reason.strip()}
        withdrawn = _withdrawn(flow, batch, reason, dry_run=dry_run) if ours else None
        if withdrawn is not None:
            document["withdrawn"] = True
            done = "would be" if dry_run else "is"
            run.output.result(
                document, f"batch {withdrawn} {done} withdrawn; its trades are free again"
            )
            return
        if dry_run:
            _rehearse(flow, plan)
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


def _withdrawn(flow: Flow, batch: str, reason: str, *, dry_run: bool) -> str | None:
    """Withdraw a batch of which nothing was sent, and return its key; None: something was sent."""
    from ledger.settlement.cancel import who_sends, withdraw

    def take_back(session: Session) -> str | None:
        taken = withdraw(session, batch, reason)
        return None if taken is None else taken.batch_key

    with flow.db.read() as session:
        sender = who_sends(session, batch)
    if sender is not None:
        flow.chain.sender.check_known(sender)
    return flow.db.run(take_back, keep=not dry_run)


def _withdraw_single(run: Invocation, number: int, reason: str, dry_run: bool) -> None:
    """Take back that a trade was to be settled by itself."""
    from ledger.settlement.cancel import who_settles, withdraw_single

    with run.flow() as flow:
        flow.mirror()
        with flow.db.read() as session:
            sender = who_settles(session, number)
        if sender is not None:
            flow.chain.sender.check_known(sender)
        key = flow.db.run(
            lambda session: withdraw_single(session, number, reason), keep=not dry_run
        )
    done = "would be" if dry_run else "is"
    run.output.result(
        {"trade": number, "reason": reason.strip(), "key": key, "withdrawn": True},
        f"the settlement of trade {number} by itself {done} withdrawn; the trade is free again",
    )


def dispute_trade(
    run: Invocation,
    batch: Batch,
    trade: Trade,
    account: Party = None,
    no_wait: NoWait = False,
    dry_run: DryRun = False,
) -> None:
    """Dispute a trade of a proposed batch, as a party of it: the batch waits for an arbiter, and a bond is taken."""
    from cli.escrow import address_of
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.chain.sending import intents
    from ledger.settlement import finding
    from ledger.settlement.disputes import decided_until, plan_dispute
    from ledger.settlement.money import currency_symbol, explained_bond, refused_in_money
    from ledger.units import currency_of_cents

    number = finding.number_of_trade(trade)

    def plan(session: Session) -> str:
        return plan_dispute(session, flow.chain, batch, number, party)

    with run.flow() as flow:
        flow.mirror()
        with flow.db.read() as session:
            batch = finding.written_out(session, batch)
        party = None if account is None else address_of(flow, account)
        bond = currency_of_cents(flow.chain.settlement.dispute_bond_cents())
        money = f"{bond} {currency_symbol(flow.chain)}"
        document: dict[str, Any] = {"batch": batch, "trade": number, "bond": bond}
        if dry_run:
            with refused_in_money(flow.chain, explained_bond):
                _rehearse(flow, plan)
            run.output.result(
                document, f"would dispute trade {number} of batch {batch}, with a bond of {money}"
            )
            return
        key = flow.db.run(plan)
        with flow.db.read() as session:  # one that is on its way keeps the trade that it was given
            intent = intents.get(session, key)
            who, said = intent.sender_address, int(intent.parameters["trade"]["seq"])
        with refused_in_money(flow.chain, explained_bond):
            transaction = flow.chain.sender.submit(key, SETTLEMENT)
        until, lines = None, [f"the dispute of trade {said} of batch {batch} is sent"]
        if not no_wait:
            flow.confirm([key])
            with flow.db.read() as session:
                until = decided_until(session, batch)
            lines = [f"trade {said} of batch {batch} is disputed, with a bond of {money}"]
            if until is not None:
                lines[0] += f"; an arbiter decides, until {until:%Y-%m-%d %H:%M:%S} UTC"
        lines[0] += f": transaction {transaction}"
        if said != number:
            lines.append(f"a party disputes a batch once, and trade {said} was disputed first")
    document |= {
        "trade": said,
        "account": who,
        "key": key,
        "transaction": transaction,
        "final": not no_wait,
        "until": until,
    }
    run.output.result(document, *lines)


def reject_dispute(
    run: Invocation, batch: Batch, no_wait: NoWait = False, dry_run: DryRun = False
) -> None:
    """Reject the dispute over a batch, as the arbiter: its window goes on, and the bond is lost to the disputing party.

    To uphold a dispute, cancel the batch.
    """
    from ledger.chain.contracts.events import SETTLEMENT
    from ledger.settlement.disputes import plan_rejection, window_end
    from ledger.settlement.finding import written_out

    def plan(session: Session) -> str:
        return plan_rejection(session, flow.chain, batch)

    with run.flow() as flow:
        flow.mirror()
        with flow.db.read() as session:
            batch = written_out(session, batch)
        if dry_run:
            _rehearse(flow, plan)
            run.output.result({"batch": batch}, f"would reject the dispute over batch {batch}")
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
