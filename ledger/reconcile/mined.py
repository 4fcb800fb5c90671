"""Transactions as the node has them, and the rows of some keys, for the rules that compare both."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger.chain.node.records import Receipt, TransactionInfo
from ledger.db import tables
from ledger.models import Base
from ledger.reconcile.books import Books

_R = TypeVar("_R", bound=Base)


@dataclass(frozen=True)
class Mined:
    """A transaction with its receipt and the time of its block."""

    transaction: TransactionInfo
    receipt: Receipt
    at: datetime


def mined_of(books: Books, hashes: Sequence[str]) -> dict[str, Mined]:
    """Return the transactions that stand in blocks up to the mirror's, by hash."""
    receipts = {
        receipt.tx_hash: receipt
        for receipt in books.client.receipts(hashes)
        if receipt is not None and receipt.block_number <= books.block
    }
    numbers = sorted({receipt.block_number for receipt in receipts.values()})
    times = {
        header.number: header.time for header in books.client.blocks(numbers) if header is not None
    }
    return {
        transaction.hash: Mined(
            transaction, receipts[transaction.hash], times[receipts[transaction.hash].block_number]
        )
        for transaction in books.client.transactions(list(receipts))
        if transaction is not None
    }


def among(
    session: Session, model: type[_R], column: InstrumentedAttribute[Any], keys: Collection[Any]
) -> Iterator[_R]:
    """Yield the rows of a table whose column is one of some keys."""
    for here in tables.among(session, column, keys):
        yield from session.scalars(select(model).where(here))
