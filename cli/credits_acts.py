"""``truetonne credits transfer | retire | cancel``: what a holder does, once where it has a ``--key``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, NoWait
from cli.credit_options import Amount, ConsumptionFrom, ConsumptionTo, Credit, Document, Holder, Key
from ledger.errors import BadInput
from ledger.serials import Act, credit_id

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cli.flow import Flow
    from ledger.chain.sending.intents import NewIntent
    from ledger.holdings import Holding


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
        str | None,
        typer.Option("--country", help="The beneficiary's country, two letters (ISO 3166-1)."),
    ] = None,
    consumption_from: ConsumptionFrom = None,
    consumption_to: ConsumptionTo = None,
    document: Document = None,
    holder: Holder = None,
    key: Key = None,
    dry_run: DryRun = False,
    no_wait: NoWait = False,
) -> None:
    """Retire credits, for ever, on behalf of a beneficiary."""
    from ledger.holdings import details_of, retirement_call

    consumption = _consumption(consumption_from, consumption_to)
    details = details_of(beneficiary, reason, country, consumption, _hash_of(document))

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
        raise BadInput("a cancellation needs a reason; give --reason")

    def call(flow: Flow, holding: Holding) -> NewIntent:
        return cancellation_call(flow.chain, holding, reason)

    _act(run, _Asked(Act.CANCEL, credit, amount, holder, key), call, dry_run, no_wait)


def _consumption(start: datetime | None, end: datetime | None) -> tuple[int, int]:
    """Return the days of a consumption in epoch seconds, as the contract takes them; noughts where none is stated."""
    if start is None and end is None:
        return 0, 0
    if start is None or end is None:
        raise BadInput("a consumption has both ends: give --consumption-from and --consumption-to")
    if start >= end:
        raise BadInput(
            f"--consumption-to is the day after the last one: {end:%Y-%m-%d} is not after {start:%Y-%m-%d}"
        )
    first, after = (int(day.replace(tzinfo=UTC).timestamp()) for day in (start, end))
    return first, after


def _hash_of(document: str | None) -> str:
    """Return the Keccak-256 of a document, which is the path of a file or that hash itself."""
    from ledger.chain.contracts.events import ZERO_HASH
    from ledger.proofs.verifier.trie import keccak256
    from ledger.serials import is_key

    if document is None:
        return ZERO_HASH
    if is_key(document.lower()):
        return document.lower()
    try:
        return "0x" + keccak256(Path(document).read_bytes()).hex()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(
            f"--document {document}: {reason}; give a file, or 0x and the 64 digits of its Keccak-256"
        ) from None


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
    from ledger.chain.sending import intents

    verb, what = asked.act.value, f"{asked.amount_kg} kg of {asked.credit}"
    with run.flow() as flow:
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
            run.output.result(document, _rehearsed(flow, asked, holding, call))
            return
        hint = _hint(flow, asked, call)
        if _send(flow, asked, holding, call, no_wait):
            document["repeated"] = True
        if not no_wait and asked.key is None:
            flow.confirm_nameless([call.key], f"to {verb} {what}")
        elif not no_wait:
            flow.confirm([call.key])
        with flow.db.read() as session:
            document |= intents.as_row(intents.get(session, call.key))
            if asked.act is Act.RETIRE:
                document["retirement"] = _retirement(session, call.key)
    line = f"{verb}: {what}, {document['state']} in {document['transaction']}"
    details = document.get("retirement")
    if details:
        line += f", retirement {details['retirement_id']}, serials {details['credit_id']}"
    if document["repeated"]:
        line += " (asked for before, and done once)"
    if hint:
        document["hint"] = hint
    run.output.result(document, line, *([hint] if hint else []))


def _send(flow: Flow, asked: _Asked, holding: Holding, call: NewIntent, no_wait: bool) -> bool:
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
        if no_wait and not _is_confirmed(flow, call.key):
            raise
        return True
    return False


def _is_confirmed(flow: Flow, key: str) -> bool:
    from ledger.chain.sending import intents
    from ledger.models.sending import IntentState

    with flow.db.read() as session:
        return intents.get(session, key).state is IntentState.CONFIRMED


def _rehearsed(flow: Flow, asked: _Asked, holding: Holding, call: NewIntent) -> str:
    """Check an act as far as it goes without a signature; return what would be done."""
    from ledger.chain.contracts.events import CREDIT
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
        flow.chain.sender.rehearse(intents.row_of(flow.chain.deployment.chain_id, call), CREDIT)
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
    said = flow.said_of_twin(own)
    return f"{said}. With --key TEXT a command can be repeated and acts once" if said else None


def _account(flow: Flow, text: str) -> str:
    from ledger.chain.keys.signers import resolve_account

    return resolve_account(text, flow.chain.deployment.chain_id)


def _retirement(session: Session, key: str) -> dict[str, str] | None:
    from sqlalchemy import select

    from ledger.models import ChainIntent, CreditBatch, CreditRetirement, CreditSite

    # Another holder may retire under a key that it saw in the pool.
    query = (
        select(CreditRetirement, CreditSite.code, CreditBatch.vintage, CreditBatch.ordinal)
        .join(ChainIntent, ChainIntent.key == CreditRetirement.key)
        .join(CreditBatch, CreditBatch.batch_id == CreditRetirement.batch_id)
        .join(CreditSite, CreditSite.site_id == CreditBatch.site_id)
        .where(CreditRetirement.key == key, CreditRetirement.holder == ChainIntent.sender_address)
    )
    row = session.execute(query).first()
    if row is None:
        return None
    found, code, vintage, ordinal = row
    last = found.first_serial + found.amount_kg - 1
    return {
        "retirement_id": str(found.retirement_id),
        "credit_id": credit_id(code, vintage, ordinal, found.first_serial, last),
        "serials": f"{found.first_serial}-{last}",
        "beneficiary": found.beneficiary,
        "reason": found.reason,
    }
