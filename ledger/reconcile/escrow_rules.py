"""Rules of the settlement contract against its storage, by view calls at the mirror's block."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from ledger.chain.contracts.events import ZERO_ADDRESS
from ledger.models import (
    SettlementBalance,
    SettlementBatch,
    SettlementDispute,
    SettlementMovement,
    SettlementTerm,
)
from ledger.models.escrow import CURRENCY, DisputeStep, SettlementStatus
from ledger.reconcile.books import Sides
from ledger.reconcile.pieces import pieces
from ledger.reconcile.report import unequal

STATUS = {
    1: SettlementStatus.PROPOSED,
    2: SettlementStatus.FINALIZED,
    3: SettlementStatus.CANCELLED,
    4: SettlementStatus.DISPUTED,
}
"""The contract's status numbers; 0 is a batch that does not exist."""


def escrow_in_storage(books: Sides) -> list[str]:
    """Every balance is the contract's; custody of an asset is its balances and what is locked of it."""
    found = []
    sums: dict[int, int] = defaultdict(int)
    for piece in pieces(books.session, SettlementBalance.account):
        rows = books.session.scalars(select(SettlementBalance).where(piece)).all()
        for row in rows:
            sums[row.asset] += int(row.balance)
        found += _balances(books, rows)
    # Of an asset that is all locked there is no balance.
    moved = books.session.scalars(select(SettlementMovement.asset).distinct())
    assets = sorted({CURRENCY, *sums, *moved})
    held = _locked(books)
    totals = books.settlement.totals_of(assets, books.block)
    for asset, (balances, locked) in zip(assets, totals, strict=True):
        found += unequal(
            f"escrow of asset {asset}",
            ("sum of balances", sums[asset], balances),
            ("what is locked", held[asset], locked),
        )
    return found + _custody(books, dict(zip(assets, totals, strict=True)))


def _balances(books: Sides, rows: Sequence[SettlementBalance]) -> list[str]:
    """Compare some balances, of money first."""
    money = [row for row in rows if row.asset == CURRENCY]
    credits = [row for row in rows if row.asset != CURRENCY]
    held = books.settlement.balances_of([row.account for row in money], books.block)
    held += books.settlement.credit_balances_of(
        [(row.account, row.asset) for row in credits], books.block
    )
    return [
        f"escrow of {row.account}: {row.balance} units of asset {row.asset}, the contract says {units}"
        for row, units in zip(money + credits, held, strict=True)
        if row.balance != units
    ]


def _locked(books: Sides) -> dict[int, int]:
    """Return what batches that have not ended lock of each asset, the bonds of open disputes among it, in units."""
    locked: dict[int, int] = defaultdict(int)
    cent = books.settlement.units_per_cent(books.block)
    query = select(
        SettlementBatch.batch_id,
        SettlementBatch.asset,
        SettlementBatch.nets,
        SettlementBatch.credit_nets,
        SettlementBatch.status,
    ).where(SettlementBatch.status.in_((SettlementStatus.PROPOSED, SettlementStatus.DISPUTED)))
    for batch_id, asset, nets, credit_nets, status in books.session.execute(query).all():
        locked[CURRENCY] -= sum(min(int(net), 0) for net in nets) * cent
        locked[asset] -= sum(min(int(net), 0) for net in credit_nets)
        if status is SettlementStatus.DISPUTED:
            locked[CURRENCY] += _bond(books, batch_id) * cent
    return locked


def _bond(books: Sides, batch_id: int) -> int:
    """Return the bond of the dispute over a batch that was begun last, in cents."""
    bonds = (
        select(SettlementDispute.bond_cents)
        .where(
            SettlementDispute.batch_id == batch_id, SettlementDispute.step == DisputeStep.DISPUTED
        )
        .order_by(SettlementDispute.block_number.desc(), SettlementDispute.log_index.desc())
    )
    return int(books.session.scalars(bonds.limit(1)).first() or 0)


def _custody(books: Sides, totals: dict[int, tuple[int, int]]) -> list[str]:
    found = []
    balances, locked = totals[CURRENCY]
    custody = books.settlement.custody(books.block)
    # Anybody may send currency to the contract: more than is owed is no difference, less is.
    if custody is None:
        found.append("escrow: the currency does not say what the contract holds")
    elif custody < balances + locked:
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


def settlements_in_storage(books: Sides) -> list[str]:
    """Status, window and root of every batch, and the terms, are what the contract holds."""
    found = []
    for piece in pieces(books.session, SettlementBatch.batch_id):
        found += _batches(books, books.session.scalars(select(SettlementBatch).where(piece)).all())
    return found + _terms(books)


def _batches(books: Sides, rows: Sequence[SettlementBatch]) -> list[str]:
    ids = [row.batch_id for row in rows]
    statuses = books.settlement.batch_statuses(ids, books.block)
    windows = books.settlement.finalizable_ats(ids, books.block)
    found = []
    for row, status, window in zip(rows, statuses, windows, strict=True):
        root = books.settlement.trades_root_of(row.batch_id, books.block)
        found += unequal(
            f"settlement batch {row.batch_id} on chain",
            ("status", row.status, STATUS.get(status)),
            ("end of the window", row.finalizable_at_s, window),
            ("trades_root", row.trades_root, root),
        )
    return found


def _terms(books: Sides) -> list[str]:
    """Compare caps and fee with what constructor and changes make them, at the time of the block."""
    first = books.deployment.settlement.constructor
    if lacking := sorted({"notionalCap", "creditCap", "feeCollector"} - first.keys()):
        return [
            f"deployment file: `constructor` of VppSettlement lacks {', '.join(lacking)}, with which it was made: "
            "write them there, or deploy with `truetonne chain deploy`, which does"
        ]
    caps: Any = (int(first["notionalCap"]), int(first["creditCap"]))
    fee: Any = (0, str(first["feeCollector"]).lower())
    pending: Any = (0, ZERO_ADDRESS, 0)
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
        ("notional cap", caps[0], terms.notional_cap),
        ("cap of credits", caps[1], terms.credit_cap),
        ("fee", fee[0], terms.fee_bps),
        ("collector", fee[1], terms.fee_collector),
        ("announced fee", pending[0], terms.pending_bps),
        ("announced collector", pending[1], terms.pending_collector),
        ("time of the announced fee", pending[2], terms.pending_from),
    )
