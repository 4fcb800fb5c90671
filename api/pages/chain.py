"""The pages of a transaction and of a holder: what an auditor has in hand as a hash or an address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse

from api.context import Context, ReadContext
from api.holders.escrow import ESCROW_MAX, units_per_cent
from api.holders.queries import show_holder
from api.holders.schemas import HolderParameters
from api.pages.endpoints import asked
from api.pages.formats import plain
from api.pages.rendering import page
from api.plants.queries import plant_of
from api.transactions.queries import list_transactions
from api.transactions.schemas import Transaction, TransactionParameters
from ledger.chain.addresses.book import Deployment
from ledger.chain.node.records import ADDRESS, HASH
from ledger.changed_accounts import markets_of
from ledger.errors import NotFound, TruetonneError

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class Currency:
    """The token that all money of the pages is in."""

    address: str
    symbol: str | None
    """What it calls itself; None where the address book does not say."""


@router.get("/transactions/{tx_hash}")
def show_transaction(request: Request, context: ReadContext, tx_hash: str) -> HTMLResponse:
    """Show one transaction to our contracts: what it asked for, and what became of it."""
    text = tx_hash.lower()
    if not HASH.fullmatch(text):
        raise NotFound(f"there is no transaction {tx_hash[:100]!r}; a hash is 0x and 64 digits")
    parameters = TransactionParameters.model_validate({"tx_hash": text})
    with context.reading() as (session, view):
        items = list_transactions(session, view, parameters).items
    if not items:
        raise NotFound(f"there is no transaction {text} to the contracts of this ledger")
    return page(request, "transaction", found=items[0], arguments=list(_arguments(items[0])))


@router.get("/holders/{address}")
def show_holdings(request: Request, context: ReadContext, address: str) -> HTMLResponse:
    """Show what an account has, by batch, and what it has in escrow."""
    text = address.lower()
    if not ADDRESS.fullmatch(text):
        raise NotFound(f"there is no account {address[:100]!r}; an address is 0x and 40 digits")
    parameters = asked(request, HolderParameters)
    with context.reading() as (session, view):
        found = show_holder(session, view, text, parameters)
        owner, markets = plant_of(session, text), markets_of(session, text)
        per_cent = units_per_cent(session) if found.money else None
    return page(
        request,
        "holder",
        found=found,
        owner=owner,
        markets=markets,
        per_cent=per_cent,
        currency=currency_of(context) if found.money else None,
        escrow_most=ESCROW_MAX,
    )


def currency_of(context: Context) -> Currency | None:
    """Return the currency by the address book, which asks no node; None where that is not here."""
    try:
        book = Deployment.load(context.settings.deployment)
        had = book.settlement.constructor
    except TruetonneError:  # amounts are shown all the same
        return None
    if "currency" not in had:
        return None
    return Currency(str(had["currency"]).lower(), book.currency_symbol)


def _arguments(transaction: Transaction) -> Iterator[tuple[str, str]]:
    """Yield the arguments of a call by name; those of a structure by the names that lead to them."""
    yield from _flat(transaction.parameters or {}, "")


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, plain(value)
