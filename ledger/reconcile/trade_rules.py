"""The rule of the trades: against what the chain settled, and against what was taken out by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import AuditLog, VppSettlementBatch, VppTradingRecord
from ledger.models.trading import TradeStatus
from ledger.reconcile.books import Books
from ledger.reconcile.flow_rules import is_used_up
from ledger.reconcile.forgotten import forgotten_singles
from ledger.reconcile.mined import among
from ledger.reconcile.pieces import BATCHES, ROWS, pieces
from ledger.reconcile.replay_escrow import SettledBatch
from ledger.reconcile.report import unequal
from ledger.reconcile.shelves import Shelf
from ledger.settlement import confirm, renumbered
from ledger.settlement.elsewhere import ENERGY, Accounts, assets_of, figures_of
from ledger.settlement.finding import trades_among
from ledger.settlement.singles import settled_by_us
from ledger.settlement.words import Trade, trade_of
from ledger.units import PRICE_SCALE, QUANTITY_SCALE, currency_of_cents

Expected = Shelf[int, tuple[TradeStatus, datetime | None]]
"""What trades must be by now, by number: status and time of settlement."""


def trades(books: Books) -> list[str]:
    """Every trade that the chain settled is executed with the same figures, and no other one is.

    A trade is cancelled when the chain has cancelled its batch, or by the command that keeps the reason.
    """
    session = books.session
    accounts = Accounts.load(session)
    expected: Expected = books.replay.shelves.shelf()
    taken_out = _taken_out(session)
    found = _in_batches(books, accounts, expected, taken_out)
    found += _by_themselves(books, accounts, expected, taken_out)
    expected.settle()
    for piece in pieces(session, VppTradingRecord.id):
        rows = session.scalars(select(VppTradingRecord).where(piece)).all()
        outcomes = expected.many([row.id for row in rows])
        for row in rows:
            if row.id in outcomes or row.id in taken_out:
                status, at = outcomes.get(row.id, (TradeStatus.CANCELLED, None))
            else:
                found += [f"trade {row.id}: {said}" for said in _without_cause(row.status)]
                status, at = row.status, None
            found += unequal(
                f"trade {row.id}",
                ("status", row.status, status),
                ("settlement_time", row.settlement_time, at),
            )
    return found


class _Settled(NamedTuple):
    """A trade of a batch on chain."""

    trade: Trade
    batch: SettledBatch
    asset: int | None
    """Of our batch, by the books; None: the batch is of others."""


def _in_batches(
    books: Books, accounts: Accounts, expected: Expected, taken_out: Collection[int]
) -> list[str]:
    """Compare the trades that batches settled; note what each of them must be by now."""
    found = []
    for piece in _settled(books):
        rows = trades_among(books.session, [item.trade.seq for item in piece])
        assets = assets_of(books.session, list(rows))
        for trade, batch, ours in piece:
            number, row = trade.seq, rows.get(trade.seq)
            if row is None:
                if ours is not None:
                    found.append(f"trade {number}: settled on chain, and not in the books")
                continue
            asset, settled = assets.get(number, ENERGY), batch.proposal.asset
            if settled != asset:
                if ours == settled:
                    found.append(_of_another(number, asset, settled))
                continue  # settled as what it is not: its parties may sign so
            differences = _differences_of(row, accounts, trade)
            # Else others have given the number to a trade of theirs.
            signed = batch.cosigned_digest is not None and _may_be(row, accounts, trade)
            if ours is not None or signed:
                found += differences
            if ours is not None or not differences:
                outcome = _outcome(books, batch)
                is_open = outcome[0] is TradeStatus.PENDING
                expected[number] = _so_far(row, taken_out, expected) if is_open else outcome
        expected.settle()
    return found


def _settled(books: Books) -> Iterator[list[_Settled]]:
    """Yield the trades of all batches that count, those of some batches at a time.

    Ours count, and of the others those that have moved money, whoever's books proposed them.
    """
    batches = books.replay.settled.items()
    while piece := dict(islice(batches, BATCHES)):
        ours = {
            row.batch_key: row.asset or ENERGY
            for row in among(
                books.session, VppSettlementBatch, VppSettlementBatch.batch_key, list(piece)
            )
            if not is_used_up(row, piece[row.batch_key])
        }
        yield [
            _Settled(trade, batch, ours.get(key))
            for key, batch in piece.items()
            if key in ours or batch.finalized
            for trade in _trades_of(batch)
        ]


def _by_themselves(
    books: Books, accounts: Accounts, expected: Expected, taken_out: Collection[int]
) -> list[str]:
    """The same for trades that were settled each by itself."""
    found = []
    singles = books.replay.singles.items()
    while piece := list(islice(singles, ROWS)):
        numbers = [single["seq"] for _, single in piece]
        rows = trades_among(books.session, numbers)
        assets = assets_of(books.session, list(rows))
        sent = settled_by_us(books.session, [number for number in numbers if number not in rows])
        found += [
            f"trade {number}: settled on chain, and not in the books" for number in sorted(sent)
        ]
        unknown = set(numbers) - rows.keys() - sent
        if unknown:
            found += forgotten_singles(
                books, (single for _, single in piece if single["seq"] in unknown)
            )
        for (block, _), single in piece:
            trade = Trade(
                single["seq"],
                single["buyer"],
                single["seller"],
                single["quantity"],
                single["price_e4"],
            )
            if trade.seq not in rows or single["asset"] != assets.get(trade.seq, ENERGY):
                continue
            differences = _differences_of(rows[trade.seq], accounts, trade)
            if _may_be(rows[trade.seq], accounts, trade):
                found += differences
            if not differences:
                expected[trade.seq] = (
                    (TradeStatus.EXECUTED, single["settled_at"])
                    if block <= books.final
                    else _so_far(rows[trade.seq], taken_out, expected)
                )
        expected.settle()
    return found


def _so_far(
    row: VppTradingRecord, taken_out: Collection[int], expected: Expected
) -> tuple[TradeStatus, datetime | None]:
    """Return what a trade must be until what settled it is final.

    It may have failed before, for want of funds; a person may have taken it out, or the end of its batch.
    """
    before = expected.get(row.id)
    if row.id in taken_out or (before is not None and before[0] is TradeStatus.CANCELLED):
        return TradeStatus.CANCELLED, None
    return (row.status if row.status is TradeStatus.FAILED else TradeStatus.PENDING), None


def _of_another(number: int, asset: int, settled: int) -> str:
    return f"trade {number}: it is of asset {asset}, the chain says {settled} (0: energy)"


def _without_cause(status: TradeStatus) -> list[str]:
    """Return what is wrong with the status of a trade that neither the chain nor the command has touched."""
    if status is TradeStatus.EXECUTED:
        return ["executed, and not settled on chain"]
    if status is TradeStatus.CANCELLED:
        return [
            "cancelled, and neither is a batch of it cancelled on chain, nor has the audit log an entry "
            f"{confirm.TAKEN_OUT} of it"
        ]
    return []


def _taken_out(session: Session) -> set[int]:
    """Return the numbers of the trades that were cancelled by the command; what is none is another rule's matter."""
    query = select(AuditLog.resource).where(
        AuditLog.action == confirm.TAKEN_OUT, renumbered.of_the_same_trade()
    )
    numbers = (resource.rpartition("/")[2] for resource in session.scalars(query))
    return {int(number) for number in numbers if number.isdecimal()}


def _trades_of(batch: SettledBatch) -> list[Trade]:
    return [trade_of(batch.proposal.accounts, word) for word in batch.proposal.words]


def _differences_of(row: VppTradingRecord, accounts: Accounts, trade: Trade) -> list[str]:
    buyer, seller = accounts.sides(row, trade.buyer, trade.seller)
    return unequal(
        f"trade {trade.seq}",
        ("quantity", row.quantity, Decimal(trade.quantity_milli) / QUANTITY_SCALE),
        ("price", row.price, Decimal(trade.price_e4) / PRICE_SCALE),
        ("total_value", row.total_value, currency_of_cents(trade.cents)),
        ("buyer", buyer, trade.buyer),
        ("seller", seller, trade.seller),
    )


def _may_be(row: VppTradingRecord, accounts: Accounts, trade: Trade) -> bool:
    """Return whether a settled trade may be that of the books; a number of ours may be others', too.

    It is between plants and markets of these books; or has our figures and one of our sides, whose other one had an
    account that the books do not know any more.
    """
    if accounts.parties.issuperset((trade.buyer, trade.seller)):
        return True
    buyer, seller = accounts.sides(row, trade.buyer, trade.seller)
    same_side = buyer == trade.buyer or seller == trade.seller
    return same_side and figures_of(row) == (trade.seq, trade.quantity_milli, trade.price_e4)


def _outcome(books: Books, batch: SettledBatch) -> tuple[TradeStatus, datetime | None]:
    """Return what a trade of a batch must be by now: done only once its block is final."""
    if batch.ended_block is None or batch.ended_block > books.final:
        return TradeStatus.PENDING, None
    if batch.finalized:
        return TradeStatus.EXECUTED, books.time(batch.ended_block)
    return TradeStatus.CANCELLED, None
