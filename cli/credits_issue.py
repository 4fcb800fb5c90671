"""``truetonne credits issue``: the reductions of a period, planned, sent, and confirmed by the mirror."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from cli.command import DryRun, Invocation, NoWait
from cli.credit_options import Backfill, From, Project, To
from cli.output import Table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cli.flow import Flow
    from ledger.chain.access import Chain
    from ledger.issuance import PlannedIssuance
    from ledger.models import ChainIntent

Issuances = dict[str, dict[str, Any]]
"""What is said of issuances, by key."""


def issue(
    run: Invocation,
    project: Project,
    start: From,
    end: To,
    backfill: Backfill = False,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Issue the reductions of a period as credits: one batch for each vintage in it, one after the other.

    Given again after it was killed, or did not wait, it goes on with what it had planned. A project that is not
    registered is registered first, where the registrar's key is here, and once the issuance would be taken. A period
    before one that is issued is a backfill: no remainder of a kilogram is carried into it, and none out of it.
    """
    from cli.registering import may_register, register_once
    from ledger import issuance

    period = (start.date(), end.date())
    with run.flow() as flow:
        flow.mirror()
        found = _begun(flow, project, period)
        went_on = bool(found)
        registers = not went_on and may_register(flow, project)
        plan = partial(issuance.plan_issuance, flow.chain, project, *period, backfill=backfill)
        if dry_run:
            _try(run, flow, project, found, plan, registers)
            return
        if registers:
            plan(dry_run=True, unregistered=True)  # a code stands for ever: not for what is refused
            register_once(flow, project)
        if not went_on:
            found = _reported(plan())
        issuance.submit_planned(flow.chain, project)
        if not no_wait:
            onward = partial(issuance.submit_planned, flow.chain, project)
            flow.confirm(list(found), onward=onward)
        with flow.db.read() as session:
            rows = [{**item, **_sent(session, key)} for key, item in found.items()]
    run.output.result(
        {"project": project, "registers": registers, "went_on": went_on, "issuances": rows},
        *([f"registered {project} on chain"] if registers else []),
        table_of(("vintage", "issued_kg", "serials", "transaction", "state"), rows),
    )


def table_of(names: Sequence[str], rows: Sequence[dict[str, Any]]) -> Table:
    """Return issuances for people; where one is a backfill, which batch comes after it, too."""
    columns = {name.replace("_", " "): name for name in names}
    if any(row["backfill_before"] for row in rows):
        columns["backfill before batch"] = "backfill_before"
    return Table.of(rows, columns, right=["issued kg"])


def _try(
    run: Invocation,
    flow: Flow,
    project: str,
    begun: Issuances,
    plan: Callable[..., list[PlannedIssuance]],
    registers: bool,
) -> None:
    """Say what would be issued, when all that can be looked at before was."""
    from ledger import registration
    from ledger.chain.sending import intents

    said = []
    if registers:
        sent = registration.rehearse(flow.chain, project).transaction
        does = f"go on with transaction {sent} to register" if sent else "register"
        said = [f"would {does} {project} on chain"]
    planned = [] if begun else plan(dry_run=True, unregistered=registers)
    found = begun or _reported(planned)
    if not registers:  # a contract that does not know the project says no more than that
        with flow.db.read() as session:
            calls = [intents.get(session, key) for key in begun]
        chain_id = flow.chain.deployment.chain_id
        calls += [intents.row_of(chain_id, item.call) for item in planned]
        _rehearse(flow.chain, calls)
    with flow.db.read() as session:
        items = [{**item, "transaction": issued_by(session, key)} for key, item in found.items()]
    run.output.result(
        {"registers": registers, "went_on": bool(begun), "issuances": items},
        *said,
        *(would(item, bool(begun)) for item in items),
    )


def _rehearse(chain: Chain, calls: list[ChainIntent]) -> None:
    """Look whether what is not signed yet could be sent: key, contract, fees, policy and caps. Each by itself.

    By the account and at the time of ``issuance.submit_planned``: a local chain comes to the end of the period first.
    """
    from ledger.chain.contracts.events import CREDIT
    from ledger.chain.local.shared import come_to
    from ledger.chain.sending import intents
    from ledger.chain.sending.rehearsal import AlreadyOnChain
    from ledger.issuance.states import ISSUE
    from ledger.models.sending import IntentState

    chain_id = chain.deployment.chain_id
    with chain.db.read() as session:
        senders = {ISSUE: chain.deployment.account("issuer")}
        moved = dict(intents.never_signed_by(session, chain_id, senders))
    for call in calls:
        if call.state is IntentState.PLANNED:
            call.sender_address = moved.get(call.key, call.sender_address)
            end_s = int(call.parameters["claim"]["periodEnd"])
            come_to(chain.client, chain_id, datetime.fromtimestamp(end_s, UTC))
            with suppress(AlreadyOnChain):  # which is said of it
                chain.sender.rehearse(call, CREDIT)


def _reported(planned: list[PlannedIssuance]) -> Issuances:
    from ledger.reductions.reporting import report

    return {
        item.key: {**report(item.reduction), "backfill_before": item.claim.backfill_before or None}
        for item in planned
    }


def _sent(session: Session, key: str) -> dict[str, Any]:
    """Return how far an issuance has come on its way to the chain."""
    from ledger.chain.sending import intents

    intent = intents.get(session, key)
    return {
        "key": key,
        "serials": serials_of(session, key),
        "transaction": intent.tx_hash,
        "state": intent.state.value,
    }


def issued_by(session: Session, key: str) -> str | None:
    """Return the transaction by which the chain has an issuance already; None: it has not."""
    from ledger.chain.sending.issued import batch_of

    found = batch_of(session, key)
    return None if found is None else found.tx_hash


def would(item: dict[str, Any], went_on: bool) -> str:
    """Say what would become of an issuance, from what is reported of it."""
    what, known = f"{item['issued_kg']} kg, vintage {item['vintage']}", item["transaction"]
    if item.get("backfill_before") is not None:
        what += f", as a backfill before batch {item['backfill_before']}"
    if known is not None:
        return (
            f"would issue nothing anew: transaction {known} issued {what}; the books take it over"
        )
    return f"would go on with the issuance of {what}" if went_on else f"would issue {what}"


def _begun(flow: Flow, project: str, period: tuple[date, date]) -> Issuances:
    """Return what is said of the issuances that were planned before and are not final, by key."""
    from ledger.chain.sending import intents
    from ledger.issuance import begun
    from ledger.models.issuance import claimed_before

    with flow.db.read() as session:
        return {
            row.key: {
                "project": project,
                "vintage": row.vintage,
                "period": {"from": row.from_date.isoformat(), "to": row.to_date.isoformat()},
                "issued_kg": str(row.issued_kg),
                "evidence_root": row.evidence_root,
                "leaves": row.leaves,
                "backfill_before": claimed_before(intents.get(session, row.key).parameters) or None,
            }
            for row in begun(session, project, *period)
        }


def serials_of(session: Session, key: str) -> str | None:
    """Return the serials of the batch that an issuance became; None: it is not on chain."""
    from ledger.chain.sending.issued import batch_of
    from ledger.models import CreditSite
    from ledger.serials import credit_id

    batch = batch_of(session, key)
    if batch is None:
        return None
    code = session.get_one(CreditSite, batch.site_id).code
    return credit_id(code, batch.vintage, batch.ordinal, 1, batch.issued_kg)
