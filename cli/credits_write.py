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
    from ledger.holdings import plan_transfer

    def plan(session: Session, flow: Flow, holding: Holding) -> str:
        return plan_transfer(session, flow.chain, holding, _account(flow, to))

    _act(run, _Asked(Act.TRANSFER, credit, amount, holder, key), plan, dry_run, no_wait)


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
    from ledger.holdings import details_of, plan_retirement

    details = details_of(beneficiary, reason, country)

    def plan(session: Session, flow: Flow, holding: Holding) -> str:
        return plan_retirement(session, flow.chain, holding, details)

    _act(run, _Asked(Act.RETIRE, credit, amount, holder, key), plan, dry_run, no_wait)


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
    from ledger.holdings import plan_cancellation

    if not reason.strip():
        raise BadInput("a cancellation names its reason")

    def plan(session: Session, flow: Flow, holding: Holding) -> str:
        return plan_cancellation(session, flow.chain, holding, reason)

    _act(run, _Asked(Act.CANCEL, credit, amount, holder, key), plan, dry_run, no_wait)


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
    plan: Callable[[Session, Flow, Holding], str],
    dry_run: bool,
    no_wait: bool,
) -> None:
    from cli.flow import open_flow
    from ledger.chain.contracts.events import CREDIT
    from ledger.chain.sending import intents
    from ledger.holdings import plan_once

    verb, what = asked.act.value, f"{asked.amount_kg} kg of {asked.credit}"
    with open_flow(run.settings) as flow:
        flow.mirror()
        holding = _holding(flow, asked)
        document: dict[str, Any] = {
            "action": verb,
            "batch": str(holding.batch_id),
            "holder": holding.holder,
            "amount_kg": str(asked.amount_kg),
            "repeated": holding.repeated,
        }
        if dry_run and not holding.repeated:
            shown = f"would {verb} {what}, held by {holding.holder}"
            run.output.result({**document, "dry_run": True}, shown)
            return
        key = plan_once(flow.chain, lambda session: plan(session, flow, holding))
        if dry_run:
            shown = f"would do nothing: this was asked for before, under the key {asked.key}"
            run.output.result({**document, "dry_run": True, "key": key}, shown)
            return
        hint = _check_first_asking(flow, asked, holding, key)
        flow.chain.sender.submit(key, CREDIT)
        if not no_wait:
            flow.confirm([key])
        with flow.db.read() as session:
            document |= intents.as_row(intents.get(session, key))
            if asked.act is Act.RETIRE:
                document["retirement"] = _retirement(session, key)
    line = f"{verb}: {what}, {document['state']} in {document['transaction']}"
    details = document.get("retirement")
    if details:
        line += f", retirement {details['retirement_id']}, serials {details['serials']}"
    if holding.repeated:
        line += " (asked for before, and done once)"
    if hint:
        document["hint"] = hint
    run.output.result(document, line, *([hint] if hint else []))


def _holding(flow: Flow, asked: _Asked) -> Holding:
    from ledger.holdings import holding_of

    named = _account(flow, asked.holder) if asked.holder is not None else None
    with flow.db.read() as session:
        return holding_of(
            session, flow.chain, asked.credit, asked.amount_kg, named, asked.act, asked.key
        )


def _check_first_asking(flow: Flow, asked: _Asked, holding: Holding, key: str) -> str | None:
    """Refuse to repeat what failed; return a hint where the same was asked for lately, without a key."""
    from ledger.chain.sending import intents
    from ledger.errors import Refused
    from ledger.models.sending import IntentState

    with flow.db.read() as session:
        intent = intents.get(session, key)
        if holding.repeated and intent.state is IntentState.FAILED:
            raise Refused(
                f"{asked.act.value} failed under this key: {intent.error}; give another --key to try it anew",
                code="failed-before",
                details={"key": key, "transaction": intent.tx_hash},
            )
        twin = intents.twin_of(session, key) if asked.key is None else None
        if twin is None:
            return None
        age = f"{twin.created_at:%H:%M:%S} UTC"
        known = f"{twin.state.value}{f' in {twin.tx_hash}' if twin.tx_hash else ''}"
    return (
        f"hint: the same was asked for at {age} ({known}); this one comes on top of it. "
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
