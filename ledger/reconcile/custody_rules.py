"""What the settlement contract holds, against the ledger's own sums: every unit that came in is with somebody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import select

from ledger.models import SettlementBalance, SettlementMovement
from ledger.models.escrow import CURRENCY, MovementKind
from ledger.reconcile.books import Books
from ledger.reconcile.pieces import pieces
from ledger.reconcile.report import unequal

_PAID = MovementKind.DEPOSIT, MovementKind.WITHDRAWAL


def custody(books: Books) -> list[str]:
    """Of each asset the contract holds what was paid in and not out; what of that is on no account is locked.

    No event is read here, and no balance is asked of the contract: the ledger's rows are added up, and held
    against the currency's and the credits' own books of what the contract has.
    """
    paid: dict[int, int] = defaultdict(int)
    moved: dict[int, int] = defaultdict(int)
    held: dict[int, int] = defaultdict(int)
    movements = select(SettlementMovement.asset, SettlementMovement.kind, SettlementMovement.amount)
    for piece in pieces(books.session, SettlementMovement.block_number):
        for asset, kind, amount in books.session.execute(movements.where(piece)):
            moved[asset] += int(amount)
            paid[asset] += int(amount) if kind in _PAID else 0
    balances = select(SettlementBalance.asset, SettlementBalance.balance)
    for piece in pieces(books.session, SettlementBalance.account):
        for asset, balance in books.session.execute(balances.where(piece)):
            held[asset] += int(balance)
    assets = sorted({CURRENCY, *moved, *held})
    locked = dict(zip(assets, books.settlement.totals_of(assets, books.block), strict=True))
    found = []
    for asset in assets:
        what = f"custody of asset {asset}"
        if held[asset] != moved[asset]:
            found.append(
                f"{what}: accounts have {held[asset]}, their movements come to {moved[asset]}"
            )
        found += unequal(
            what, ("what is on no account", paid[asset] - held[asset], locked[asset][1])
        )
    return found + _held(books, assets, paid)


def _held(books: Books, assets: list[int], paid: Mapping[int, int]) -> list[str]:
    """Compare with what currency and credits say that the contract has."""
    found = []
    units = books.settlement.custody(books.block)
    # Anybody may send currency to the contract past its books: more is no difference, less is.
    if units is None:
        found.append("custody of the currency: the currency does not say what the contract has")
    elif units < paid[CURRENCY]:
        found.append(
            f"custody of the currency: the contract has {units} units, {paid[CURRENCY]} were paid in and not out"
        )
    credits = [asset for asset in assets if asset != CURRENCY]
    address = books.deployment.settlement.address
    kilograms = books.credit.balances_of([(address, asset) for asset in credits], books.block)
    return found + [
        f"custody of asset {asset}: the contract has {kg} kg, {paid[asset]} kg were paid in and not out"
        for asset, kg in zip(credits, kilograms, strict=True)
        if kg != paid[asset]
    ]
