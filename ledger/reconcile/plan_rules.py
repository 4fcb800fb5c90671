"""What is planned and not on chain yet is what its intent will do, and what trades and figures of the books say.

What stands on chain is compared with the chain. Before that there are only these rows to compare with each
other, and it is the last time that a mistake costs nothing.
"""

from __future__ import annotations

from sqlalchemy import exists, select

from ledger.models import (
    ChainIntent,
    CreditBatch,
    Issuance,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.escrow import CURRENCY
from ledger.models.issuance import IssuanceState
from ledger.models.settlement import BatchState
from ledger.reconcile.books import Books
from ledger.reconcile.flow_rules import items_of
from ledger.reconcile.pieces import pieces
from ledger.reconcile.report import unequal
from ledger.settlement.elsewhere import Accounts, assets_of
from ledger.settlement.tree import trades_root
from ledger.settlement.words import Trade, kg_nets_of, nets_of, unpack


def plans(books: Books) -> list[str]:
    """A planned batch and a planned issuance say what their intents do; no trade stands in a batch that failed."""
    return _batches(books) + _issuances(books)


def _batches(books: Books) -> list[str]:
    accounts = Accounts.load(books.session)
    found = []
    for piece in pieces(books.session, VppSettlementBatch.id):
        rows = books.session.scalars(select(VppSettlementBatch).where(piece)).all()
        items = items_of(books.session, rows)
        for row in rows:
            found += _batch(books, row, items[row.id], accounts)
    return found


def _batch(
    books: Books, row: VppSettlementBatch, held: list[VppSettlementItem], accounts: Accounts
) -> list[str]:
    what = f"settlement batch {row.batch_key}"
    found = []
    if row.state is BatchState.FAILED and held:
        numbers = ", ".join(str(item.trade_id) for item in held)
        found.append(f"{what}: failed, and trades {numbers} still stand in it")
    if row.state is BatchState.FAILED and row.signed_until is not None:
        found += _deadline(books, what, row)
    if row.state is BatchState.PLANNED and row.batch_key not in books.replay.settled:
        found += _planned(books, what, row, held)
        found += _trades(books, what, row, held, accounts)
    return found


def _deadline(books: Books, what: str, row: VppSettlementBatch) -> list[str]:
    """Compare until when signatures hold with what was signed: until then its trades may be settled by others."""
    intent = books.session.get(ChainIntent, row.batch_key)
    if intent is None or intent.function_name != "settleCosigned":
        return []
    signed = int(intent.parameters["settlement"]["deadline"])
    held = row.signed_until and int(row.signed_until.timestamp())
    return unequal(what, ("signed_until", held, signed), by="what was signed says")


def _planned(
    books: Books, what: str, row: VppSettlementBatch, items: list[VppSettlementItem]
) -> list[str]:
    words = [int(item.word, 16) for item in items]
    parties = list(row.accounts)
    compared = {
        "nets": (tuple(map(int, row.nets)), nets_of(words, len(parties))),
        "trades_root": (row.trades_root, trades_root(row.batch_key, parties, words)),
        "trade_count": (row.trade_count, len(words)),
        "credit_nets": (
            None if row.credit_nets is None else tuple(map(int, row.credit_nets)),
            None if row.asset is None else kg_nets_of(words, len(parties)),
        ),
    }
    intent = books.session.get(ChainIntent, row.batch_key)
    if intent is not None:
        call = intent.parameters
        if intent.function_name == "settleCosigned":
            call = call["settlement"]
            until = row.signed_until and int(row.signed_until.timestamp())
            compared["its intent's deadline"] = (int(call["deadline"]), until)
        compared |= {
            "its intent's accounts": ([each.lower() for each in call["accounts"]], parties),
            "its intent's trades": ([int(word) for word in call["words"]], words),
            "its intent's asset": (int(call["asset"]), row.asset or CURRENCY),
        }
    elif row.signed_until is None:  # with a date it waits for signatures
        return [f"{what}: planned, and no intent proposes it"]
    numbers = ((name, held, meant) for name, (held, meant) in compared.items())
    return unequal(what, *numbers, by="its trades say")


def _trades(
    books: Books,
    what: str,
    row: VppSettlementBatch,
    items: list[VppSettlementItem],
    accounts: Accounts,
) -> list[str]:
    """Compare the words of a batch with the trades that they stand for."""
    numbers = [item.trade_id for item in items]
    query = select(VppTradingRecord).where(VppTradingRecord.id.in_(numbers))
    records = {record.id: record for record in books.session.scalars(query)}
    assets = assets_of(books.session, numbers)
    found = []
    for item in items:
        word = unpack(int(item.word, 16))
        record = records.get(item.trade_id)
        trade = Trade(
            word.seq,
            row.accounts[word.buyer],
            row.accounts[word.seller],
            word.quantity_milli,
            word.price_e4,
        )
        as_planned = record is not None and accounts.is_of(record, trade)
        of_that = assets.get(item.trade_id) == row.asset
        if not as_planned or not of_that or word.seq != item.trade_id:
            found.append(f"{what}: trade {item.trade_id} is not what would be proposed for it")
    return found


def _issuances(books: Books) -> list[str]:
    on_chain = exists().where(CreditBatch.key == Issuance.key)
    query = select(Issuance).where(Issuance.state == IssuanceState.PLANNED, ~on_chain)
    found = []
    for row in books.session.scalars(query.order_by(Issuance.id)):
        what = f"issuance {row.id} ({row.from_date} to {row.to_date})"
        intent = books.session.get(ChainIntent, row.key)
        if intent is None or intent.function_name != "issue":
            found.append(f"{what}: planned, and no intent issues it")
            continue
        claim = intent.parameters["claim"]
        found += unequal(
            what,
            ("key", row.key, claim["key"]),
            ("issued_kg", row.issued_kg, int(claim["amount"])),
            ("evidence_root", row.evidence_root, claim["evidenceRoot"]),
            ("manifest_hash", row.manifest_hash, claim["manifestHash"]),
            ("from_s", row.from_s, int(claim["periodStart"])),
            ("to_s", row.to_s, int(claim["periodEnd"])),
            by="its intent says",
        )
    return found
