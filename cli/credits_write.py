"""``truetonne credits issue | transfer | retire | cancel``: planned, sent, and confirmed by the mirror."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, command
from cli.output import Table
from ledger.errors import BadInput
from ledger.serials import Act

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cli.flow import Flow
    from ledger.chain.sending.intents import NewIntent
    from ledger.holdings import Holding

_DIGITS_MAX = 18
Project = Annotated[str, typer.Option("--project", help="Code of the project.")]
From = Annotated[
    datetime,
    typer.Option(
        "--from", formats=["%Y-%m-%d"], metavar="DATE", help="First legal day of the period."
    ),
]
To = Annotated[
    datetime,
    typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="The day after its last."),
]
Credit = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A batch SITE-VINTAGE-NUMBER, its serials, a row number, or a key."
    ),
]


def _kilograms(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX or int(text) == 0:
        raise typer.BadParameter(
            f"{text!r} is no whole number of kilograms above zero; a credit is 1 kg, a tonne has 1000"
        )
    return int(text)


Amount = Annotated[
    int,
    typer.Option("--amount", metavar="KG", parser=_kilograms, help="How much, in whole kilograms."),
]
Holder = Annotated[
    str | None,
    typer.Option(
        "--holder",
        metavar="ACCOUNT",
        help="Whose units; not needed when one account of ours holds enough.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="TEXT",
        help="What you call this act: given again with the same key, it is not done twice.",
    ),
]
NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait", help="Return when it is sent; `truetonne index run` confirms it later."
    ),
]


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``credits``."""
    command(group, "issue")(issue)
    command(group, "transfer")(transfer)
    command(group, "retire")(retire)
    command(group, "cancel")(cancel)


def issue(
    run: Invocation,
    project: Project,
    start: From,
    end: To,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Issue the reductions of a period as credits: one batch for each vintage in it, one after the other.

    Given again after it was killed, or did not wait, it goes on with what it had planned.
    """
    from cli.flow import open_flow
    from ledger import issuance
    from ledger.chain.sending import intents
    from ledger.reductions.reporting import report

    period = (start.date(), end.date())
    with open_flow(run.settings) as flow:
        flow.mirror()
        found = {} if dry_run else _begun(flow, project, period)
        went_on = bool(found)
        if not went_on:
            planned = issuance.plan_issuance(flow.chain, project, *period, dry_run=dry_run)
            found = {item.key: report(item.reduction) for item in planned}
        if dry_run:
            reports = list(found.values())
            run.output.result(
                {"dry_run": True, "issuances": reports},
                *(
                    f"would issue {item['issued_kg']} kg, vintage {item['vintage']}"
                    for item in reports
                ),
            )
            return
        issuance.submit_planned(flow.chain, project)
        if not no_wait:
            onward = partial(issuance.submit_planned, flow.chain, project)
            flow.confirm(list(found), onward=onward)
        with flow.db.read() as session:
            rows = [
                {
                    **item,
                    "key": key,
                    "serials": _serials(session, key),
                    "transaction": intents.get(session, key).tx_hash,
                    "state": intents.get(session, key).state.value,
                }
                for key, item in found.items()
            ]
    run.output.result(
        {"project": project, "went_on": went_on, "issuances": rows},
        Table(
            ("vintage", "issued kg", "serials", "transaction", "state"),
            [
                (row["vintage"], row["issued_kg"], row["serials"], row["transaction"], row["state"])
                for row in rows
            ],
            right=frozenset({"issued kg"}),
        ),
    )


def _begun(flow: Flow, project: str, period: tuple[date, date]) -> dict[str, dict[str, Any]]:
    """Return what is said of the issuances that were planned before and are not final, by key."""
    from ledger.issuance import begun

    with flow.db.read() as session:
        return {
            row.key: {
                "project": project,
                "vintage": row.vintage,
                "period": {"from": row.from_date.isoformat(), "to": row.to_date.isoformat()},
                "issued_kg": str(row.issued_kg),
                "evidence_root": row.evidence_root,
                "leaves": row.leaves,
            }
            for row in begun(session, project, *period)
        }


def transfer(
    run: Invocation,
    credit: Credit,
    amount: Amount,
    to: Annotated[str, typer.Option("--to", metavar="ACCOUNT", help="The receiving account.")],
    holder: Holder = None,
    key: Key = None,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Transfer credits to another account."""
    from ledger.holdings import transfer_call

    def call(flow: Flow, holding: Holding) -> NewIntent:
        return transfer_call(flow.chain, holding, _account(flow, to))

    _act(run, _Asked(Act.TRANSFER, credit, amount, holder, key), call, dry_run, no_wait)


def retire(
    run: Invocation,
    credit: Credit,
    amount: Amount,
    beneficiary: Annotated[
        str, typer.Option("--beneficiary", help="For whom the credits are used up.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="What they compensate.")],
    country: Annotated[
        str, typer.Option("--country", help="The beneficiary's country, two letters (ISO 3166-1).")
    ] = "",
    holder: Holder = None,
    key: Key = None,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Retire credits, for ever, on behalf of a beneficiary."""
    from ledger.holdings import details_of, retirement_call

    details = details_of(beneficiary, reason, country)

    def call(flow: Flow, holding: Holding) -> NewIntent:
        return retirement_call(flow.chain, holding, details)

    _act(run, _Asked(Act.RETIRE, credit, amount, holder, key), call, dry_run, no_wait)


def cancel(
    run: Invocation,
    credit: Credit,
    amount: Amount,
    reason: Annotated[str, typer.Option("--reason", help="Why the credits are withdrawn.")],
    holder: Holder = None,
    key: Key = None,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Cancel credits: their holder withdraws them without using them."""
    from ledger.holdings import cancellation_call

    if not reason.strip():
        raise BadInput("a cancellation names its reason")

    def call(flow: Flow, holding: Holding) -> NewIntent:
        return cancellation_call(flow.chain, holding, reason)

    _act(run, _Asked(Act.CANCEL, credit, amount, holder, key), call, dry_run, no_wait)


@dataclass(frozen=True)
class _Asked:
    """What a holder shall do, as it was asked for."""

    act: Act
    credit: str
    amount_kg: int
    holder: str | None
    key: str | None


def _act(
    run: Invocation,
    asked: _Asked,
    call_of: Callable[[Flow, Holding], NewIntent],
    dry_run: bool,
    no_wait: bool,
) -> None:
    from cli.flow import open_flow
    from ledger.chain.sending import intents

    verb, what = asked.act.value, f"{asked.amount_kg} kg of {asked.credit}"
    with open_flow(run.settings) as flow:
        flow.mirror()
        holding = _holding(flow, asked)
        call = call_of(flow, holding)
        document: dict[str, Any] = {
            "action": verb,
            "batch": str(holding.batch_id),
            "holder": holding.holder,
            "amount_kg": str(asked.amount_kg),
            "repeated": holding.repeated,
        }
        if dry_run:
            if holding.repeated:
                document["key"] = call.key
            run.output.result({**document, "dry_run": True}, _rehearsed(flow, asked, holding, call))
            return
        hint = _hint(flow, asked, call)
        if _is_done_already(flow, asked, holding, call, no_wait):
            document["repeated"] = True
        if not no_wait:
            flow.confirm([call.key])
        with flow.db.read() as session:
            document |= intents.as_row(intents.get(session, call.key))
            if asked.act is Act.RETIRE:
                document["retirement"] = _retirement(session, call.key)
    line = f"{verb}: {what}, {document['state']} in {document['transaction']}"
    details = document.get("retirement")
    if details:
        line += f", retirement {details['retirement_id']}, serials {details['serials']}"
    if document["repeated"]:
        line += " (asked for before, and done once)"
    if hint:
        document["hint"] = hint
    run.output.result(document, line, *([hint] if hint else []))


def _is_done_already(
    flow: Flow, asked: _Asked, holding: Holding, call: NewIntent, no_wait: bool
) -> bool:
    """Send an act; return whether the chain has done it before, and these books had forgotten it."""
    from ledger.chain.contracts.events import CREDIT
    from ledger.chain.sending.adoption import adopt_now
    from ledger.chain.sending.sender import AlreadyOnChain
    from ledger.holdings import plan_call, plan_once

    if asked.key is None:
        flow.chain.sender.submit_new(call)
        return False
    plan_once(flow.chain, lambda session: plan_call(session, flow.chain, call))
    if holding.repeated:
        _check_not_failed(flow, asked, call)
    try:
        flow.chain.sender.submit(call.key, CREDIT)
    except AlreadyOnChain:
        adopt_now(flow.db, flow.chain.deployment.chain_id, call.key)
        if no_wait:
            raise
        return True
    return False


def _rehearsed(flow: Flow, asked: _Asked, holding: Holding, call: NewIntent) -> str:
    """Check an act as far as it goes without a signature; return what would be done."""
    from ledger.chain.sending import intents
    from ledger.chain.sending.sender import AlreadyOnChain
    from ledger.holdings import check_repeats
    from ledger.models.sending import IntentState

    if holding.repeated:
        with flow.db.read() as session:
            stored = intents.get(session, call.key)
        check_repeats(stored, call)
        _check_not_failed(flow, asked, call)
        if stored.state is not IntentState.PLANNED:
            return f"would do nothing: this was asked for before, under the key {asked.key}"
    try:
        flow.chain.sender.rehearse(call)
    except AlreadyOnChain as known:
        return f"would do nothing: {known.message}"
    return (
        f"would {asked.act.value} {asked.amount_kg} kg of {asked.credit}, held by {holding.holder}"
    )


def _holding(flow: Flow, asked: _Asked) -> Holding:
    from ledger.holdings import holding_of

    named = _account(flow, asked.holder) if asked.holder is not None else None
    with flow.db.read() as session:
        return holding_of(
            session, flow.chain, asked.credit, asked.amount_kg, named, asked.act, asked.key
        )


def _check_not_failed(flow: Flow, asked: _Asked, call: NewIntent) -> None:
    """Refuse to repeat what failed."""
    from ledger.chain.sending import intents
    from ledger.errors import Refused
    from ledger.models.sending import IntentState

    with flow.db.read() as session:
        intent = intents.get(session, call.key)
    if intent.state is IntentState.FAILED:
        raise Refused(
            f"{asked.act.value} failed under this key: {intent.error}; give another --key to try it anew",
            code="failed-before",
            details={"key": call.key, "transaction": intent.tx_hash},
        )


def _hint(flow: Flow, asked: _Asked, call: NewIntent) -> str | None:
    """Return a hint where the same was asked for lately, and this has no key."""
    from ledger.chain.sending import intents

    if asked.key is not None:
        return None
    own = intents.row_of(flow.chain.deployment.chain_id, call)
    with flow.db.read() as session:
        twin = intents.twin_of(session, own)
    if twin is None:
        return None
    known = f"{twin.state.value}{f' in {twin.tx_hash}' if twin.tx_hash else ''}"
    return (
        f"hint: the same was asked for at {twin.created_at:%H:%M:%S} UTC ({known}); this one comes on top of it. "
        "With --key TEXT a command can be repeated and acts once"
    )


def _account(flow: Flow, text: str) -> str:
    from ledger.chain.keys.signers import resolve_account

    return resolve_account(text, flow.chain.deployment.chain_id)


def _serials(session: Session, key: str) -> str | None:
    from sqlalchemy import select

    from ledger.models import CreditBatch, CreditSite
    from ledger.serials import credit_id

    query = (
        select(CreditBatch, CreditSite.code)
        .join(CreditSite, CreditSite.site_id == CreditBatch.site_id)
        .where(CreditBatch.key == key)
    )
    row = session.execute(query).one_or_none()
    if row is None:
        return None
    batch, code = row
    return credit_id(code, batch.vintage, batch.ordinal, 1, batch.issued_kg)


def _retirement(session: Session, key: str) -> dict[str, str] | None:
    from sqlalchemy import select

    from ledger.models import CreditRetirement

    found = session.scalars(select(CreditRetirement).where(CreditRetirement.key == key)).first()
    if found is None:
        return None
    last = found.first_serial + found.amount_kg - 1
    return {
        "retirement_id": str(found.retirement_id),
        "serials": f"{found.first_serial}-{last}",
        "beneficiary": found.beneficiary,
        "reason": found.reason,
    }
