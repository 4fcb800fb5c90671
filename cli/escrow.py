"""``truetonne settle deposit | withdraw``: money into and out of the escrow of the settlement contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.command import DryRun, Invocation, command
from ledger.errors import BadInput, NotFound

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cli.flow import Flow

Account = Annotated[
    str,
    typer.Argument(
        metavar="ACCOUNT", help="Code of a VPP, name of a market, or an account (0x...)."
    ),
]
Amount = Annotated[
    str,
    typer.Argument(
        metavar="AMOUNT", help="In the currency, two decimals at most; with --credits in t."
    ),
]
Credits = Annotated[
    str | None,
    typer.Option("--credits", metavar="CREDIT", help="Credits of this batch instead of money."),
]

CENTS_MAX = 10**17
"""The most that one payment may be. Test money is made without end, and the mirror of an amount that the books cannot
hold stands still for good."""


@dataclass(frozen=True)
class _Batch:
    """A credit batch as people know it, beside its number on chain."""

    number: int
    name: str
    vintage: int


def register(group: typer.Typer) -> None:
    """Add the commands to the group ``settle``."""
    command(group, "deposit")(deposit)
    command(group, "withdraw")(withdraw)


def deposit(
    run: Invocation,
    account: Account,
    amount: Amount,
    credits: Credits = None,
    mint: Annotated[
        bool,
        typer.Option("--mint", help="Make the money first: test currency, on a local chain alone."),
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Pay money or credits into the escrow of a VPP or a market, from its own account."""
    from ledger.settlement import escrow

    if credits is not None and mint:
        raise BadInput("--mint makes test money only; to make credits: truetonne credits issue")
    number = _amount(amount, credits)
    with run.flow() as flow:
        address = address_of(flow, account)
        batch = _batch(flow, credits)
        if batch is not None:
            place = flow.chain, address, batch.number
            keys = [escrow.deposit_credits(*place, number, dry_run=dry_run)]
        elif mint and dry_run:  # what is not made cannot be paid in
            keys = [escrow.mint_test_currency(flow.chain, address, number, dry_run=True)]
        else:
            if mint:
                flow.confirm([escrow.mint_test_currency(flow.chain, address, number)])
            keys = escrow.deposit(
                flow.chain, address, address, number, dry_run=dry_run, tell=flow.tell
            )
        hints = [] if dry_run else _confirmed(flow, "deposit", keys)
        if not dry_run and batch is None:
            hints += _differs(flow, keys[-1], address, number)
        _say(run, flow, "deposit", (account, address), (number, batch), dry_run, hints)


def withdraw(
    run: Invocation,
    account: Account,
    amount: Amount,
    credits: Credits = None,
    dry_run: DryRun = False,
) -> None:
    """Pay out of the escrow of a VPP or a market, to its own account; no pause stops it."""
    from ledger.settlement import escrow

    number = _amount(amount, credits)
    with run.flow() as flow:
        address = address_of(flow, account)
        batch = _batch(flow, credits)
        place = flow.chain, address, address
        if batch is not None:
            keys = [escrow.withdraw_credits(*place, batch.number, number, dry_run=dry_run)]
        else:
            keys = [escrow.withdraw(*place, number, dry_run=dry_run)]
        hints = [] if dry_run else _confirmed(flow, "withdrawal", keys)
        if not dry_run and batch is None:
            hints += _differs(flow, keys[-1], address, -number)
        _say(run, flow, "withdraw", (account, address), (number, batch), dry_run, hints)


def _confirmed(flow: Flow, act: str, keys: Sequence[str]) -> list[str]:
    """Wait until payments are final; return a hint where the last one comes on top of its like."""
    from ledger.chain.sending import intents

    with flow.db.read() as session:
        hint = flow.said_of_twin(intents.get(session, keys[-1]))
    flow.confirm_nameless(keys, f"the {act}")
    return [hint] if hint else []


def _differs(flow: Flow, key: str, address: str, cents: int) -> list[str]:
    """Return a hint where a balance changed by another amount of money than was named."""
    from decimal import Decimal

    from ledger.settlement.escrow import units_moved

    cent = flow.chain.settlement.units_per_cent()
    units = units_moved(flow.chain, key, address)
    if units is None or units == cents * cent:
        return []
    moved = abs(Decimal(units)) / (cent * 100)
    shown = f"{moved:.2f}" if units % cent == 0 else f"{moved.normalize():f}"
    if cents > 0:
        return [f"{shown} of it arrived: the currency keeps a part of what is moved"]
    return [f"{shown} left the balance: the currency takes more from the sender than it moves"]


def _say(
    run: Invocation,
    flow: Flow,
    verb: str,
    who: tuple[str, str],
    what: tuple[int, _Batch | None],
    dry_run: bool,
    hints: Sequence[str],
) -> None:
    from ledger.units import currency_of_cents, tonnes_of_kg

    settlement = flow.chain.settlement
    (number, batch), (account, address) = what, who
    if batch is None:
        (units,) = settlement.balances_of([address])
        amount = currency_of_cents(number)
        balance = currency_of_cents(units // settlement.units_per_cent())
        paid, unit, whose = str(amount), "", account
    else:
        (kg,) = settlement.credit_balances_of([(address, batch.number)])
        amount, balance = tonnes_of_kg(number), tonnes_of_kg(kg)
        about = f"vintage {batch.vintage}, credit batch {batch.number}"
        paid, unit = f"{amount} t of {batch.name} ({about})", " t"
        whose = _whose(flow, account, address)
    document: dict[str, Any] = {
        "action": verb,
        "account": address,
        "amount": amount,
        "balance": balance,
        "credits": None if batch is None else str(batch.number),
        "batch": None if batch is None else batch.name,
        "vintage": None if batch is None else batch.vintage,
    }
    if hints:
        document["hint"] = "; ".join(hints)
    done = f"would {verb}" if dry_run else verb
    line = f"{done} {paid}, {whose}: balance {balance}{unit}"
    run.output.result(document, line, *hints)


def _amount(text: str, credits: str | None) -> int:
    """Return an amount in cents, or in kilograms of credits."""
    from ledger.serials import BATCH_KG_MAX
    from ledger.units import decimal_of, kg_of_tonnes, tonnes_of_kg

    if credits is None:
        return _cents(text)
    try:
        kg = kg_of_tonnes(decimal_of(text))
    except ValueError:
        raise BadInput(
            f"{text!r} is no amount of credits; write tonnes, for example 1.234"
        ) from None
    if kg <= 0:
        raise BadInput(f"the amount must be above zero, found {text}")
    if kg > BATCH_KG_MAX:
        raise BadInput(f"no batch has more than {tonnes_of_kg(BATCH_KG_MAX)} t, found {text}")
    return kg


def _batch(flow: Flow, credits: str | None) -> _Batch | None:
    """Return the credit batch that a name stands for; None: it is about money."""
    from sqlalchemy import select

    from ledger.models import CreditBatch, CreditSite
    from ledger.naming import find_credit
    from ledger.serials import batch_name

    if credits is None:
        return None
    flow.mirror()
    with flow.db.read() as session:
        row = session.get_one(CreditBatch, find_credit(session, credits).batch_id)
        query = select(CreditSite.code).where(CreditSite.site_id == row.site_id)
        site = session.scalars(query).first() or row.site_id
        return _Batch(row.batch_id, batch_name(site, row.vintage, row.ordinal), row.vintage)


def _cents(text: str) -> int:
    from ledger.units import CENTS_PER_CURRENCY, currency_of_cents, decimal_of, scaled_exact

    try:
        cents = scaled_exact(decimal_of(text), CENTS_PER_CURRENCY)
    except ValueError:
        raise BadInput(f"{text!r} is no amount of money; write for example 1000.00") from None
    if cents <= 0:
        raise BadInput(f"the amount must be above zero, found {text}")
    if cents > CENTS_MAX:
        most = currency_of_cents(CENTS_MAX)
        raise BadInput(f"the amount must be {most} at most, found {text}")
    return cents


def address_of(flow: Flow, text: str) -> str:
    """Return the account that a text means: the code of a VPP, the name of a market, or an account itself.

    Raises
    ------
    NotFound
        If nobody is called so.
    BadInput
        If a VPP and a market are called so, or the account is none.
    """
    from ledger.chain.keys.signers import resolve_account
    from ledger.naming import meant
    from ledger.settlement.money import participants

    if text.startswith(("0x", "anvil:")):
        return resolve_account(text, flow.chain.deployment.chain_id)
    with flow.db.read() as session:
        found = _named(session, text)
        if not found:
            near = meant(text, participants(session).values())
            raise NotFound(
                f"{text!r} is neither a VPP nor a market with an account ({near}); see the site file"
            )
    if len(found) > 1:
        places = " and ".join(f"{kind} with account {address}" for address, kind in found.items())
        raise BadInput(f"{text!r} is {places}; write the account that is meant")
    return next(iter(found))


def _whose(flow: Flow, given: str, address: str) -> str:
    """Return whose an account is, and what that is; beside it the account, where that was given and no name."""
    from sqlalchemy import select

    from ledger.models import VppDefinition, VppSettlementAccount

    query = (
        select(VppSettlementAccount.market, VppDefinition.vpp_id)
        .outerjoin(VppDefinition, VppDefinition.id == VppSettlementAccount.vpp_id)
        .where(VppSettlementAccount.address == address)
        .order_by(VppSettlementAccount.id)
    )
    with flow.db.read() as session:
        rows = session.execute(query).all()
    found = [("VPP", plant) if market is None else ("market", market) for market, plant in rows]
    named = [each for each in found if each[1] == given]
    said = " and ".join(f"{kind} {name}" for kind, name in named or found)
    return said if named else f"{said} ({given})" if said else given


def _named(session: Session, text: str) -> dict[str, str]:
    """Return the accounts of that name, and what each is: a plant and a market may have one name."""
    from sqlalchemy import or_, select

    from ledger.models import VppDefinition, VppSettlementAccount

    query = (
        select(VppSettlementAccount.address, VppSettlementAccount.market)
        .outerjoin(VppDefinition, VppDefinition.id == VppSettlementAccount.vpp_id)
        .where(or_(VppDefinition.vpp_id == text, VppSettlementAccount.market == text))
        .order_by(VppSettlementAccount.id)
    )
    return {
        address: "a VPP" if market is None else "a market"
        for address, market in session.execute(query)
    }
