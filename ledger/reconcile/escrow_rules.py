"""Rules of the settlement contract against its storage, by view calls at the mirror's block."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import select

from ledger.models import SettlementBalance, SettlementBatch, SettlementTerm
from ledger.models.escrow import CURRENCY, SettlementStatus
from ledger.reconcile.books import Books
from ledger.reconcile.report import unequal

STATUS = {
    1: SettlementStatus.PROPOSED,
    2: SettlementStatus.FINALIZED,
    3: SettlementStatus.CANCELLED,
    4: SettlementStatus.DISPUTED,
}
"""The contract's status numbers; 0 is a batch that does not exist."""


def escrow_in_storage(books: Books) -> list[str]:
    """Every balance is the contract's; custody of an asset is its balances and what is locked of it."""
    rows = books.session.execute(
        select(SettlementBalance.account, SettlementBalance.asset, SettlementBalance.balance)
    ).all()
    money = [row for row in rows if row.asset == CURRENCY]
    credits = [row for row in rows if row.asset != CURRENCY]
    held = books.settlement.balances_of([row.account for row in money], books.block)
    held += books.settlement.credit_balances_of(
        [(row.account, row.asset) for row in credits], books.block
    )
    found = [
        f"escrow of {row.account}: {row.balance} units of asset {row.asset}, the contract says {units}"
        for row, units in zip(money + credits, held, strict=True)
        if row.balance != units
    ]
    sums: dict[int, int] = defaultdict(int)
    for row in rows:
        sums[row.asset] += int(row.balance)
    for movement in books.replay.movements.values():
        sums[movement["asset"]] += 0  # of an asset that is all locked there is no balance
    assets = sorted({CURRENCY, *sums})
    totals = books.settlement.totals_of(assets, books.block)
    for asset, (balances, locked) in zip(assets, totals, strict=True):
        found += unequal(
            f"escrow of asset {asset}",
            (sums[asset], books.replay.locked(asset)),
            (balances, locked),
            ("sum of balances", "what is locked"),
        )
    return found + _custody(books, dict(zip(assets, totals, strict=True)))


def _custody(books: Books, totals: dict[int, tuple[int, int]]) -> list[str]:
    found = []
    balances, locked = totals[CURRENCY]
    custody = books.settlement.custody(books.block)
    # Anybody may send currency to the contract: more than is owed is no difference, less is.
    if custody < balances + locked:
        found.append(f"escrow: the contract holds {custody} units and owes {balances + locked}")
    credits = [asset for asset in totals if asset != CURRENCY]
    address = books.deployment.settlement.address
    held = books.credit.balances_of([(address, asset) for asset in credits], books.block)
    # Credits cannot come in beside the books: here both ways are a difference.
    return found + [
        f"escrow of asset {asset}: the contract holds {kg} kg and owes {sum(totals[asset])} kg"
        for asset, kg in zip(credits, held, strict=True)
        if kg != sum(totals[asset])
    ]


def settlements_in_storage(books: Books) -> list[str]:
    """Status, window and root of every batch, and the terms, are what the contract holds."""
    rows = books.session.scalars(select(SettlementBatch)).all()
    ids = [row.batch_id for row in rows]
    statuses = books.settlement.batch_statuses(ids, books.block)
    windows = books.settlement.finalizable_ats(ids, books.block)
    found = []
    for row, status, window in zip(rows, statuses, windows, strict=True):
        root = books.settlement.trades_root_of(row.batch_id, books.block)
        found += unequal(
            f"settlement batch {row.batch_id} on chain",
            (row.status, row.finalizable_at_s, row.trades_root),
            (STATUS.get(status), window, root),
            ("status", "end of the window", "trades_root"),
        )
    return found + _terms(books)


def _terms(books: Books) -> list[str]:
    """Compare caps and fee with what constructor and changes make them, at the time of the block."""
    first = books.deployment.settlement.constructor
    caps: Any = (int(first["notionalCap"]), int(first["creditCap"]))
    fee: Any = (0, str(first["feeCollector"]).lower())
    pending: Any = (0, _NOBODY, 0)
    query = select(SettlementTerm).order_by(SettlementTerm.block_number, SettlementTerm.log_index)
    for row in books.session.scalars(query):
        if row.effective_at_s is None:
            caps = (int(row.notional_cap_cents or 0), int(row.credit_cap_kg or 0))
            continue
        if pending[2] and pending[2] <= row.changed_at.timestamp():
            fee = pending[:2]  # the announcement before held by then
        pending = (row.fee_bps, row.fee_collector, row.effective_at_s)
    header = books.client.block(books.block)
    if header is not None and pending[2] and pending[2] <= header.timestamp:
        fee = pending[:2]
    terms = books.settlement.terms(books.block)
    return unequal(
        "terms of settlement",
        (*caps, *fee, *pending),
        (
            terms.notional_cap,
            terms.credit_cap,
            terms.fee_bps,
            terms.fee_collector,
            terms.pending_bps,
            terms.pending_collector,
            terms.pending_from,
        ),
        (
            "notional cap",
            "cap of credits",
            "fee",
            "collector",
            "announced fee",
            "announced collector",
            "time of the announced fee",
        ),
    )


_NOBODY = "0x" + "00" * 20
