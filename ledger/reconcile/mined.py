"""Transactions as the node has them, and the rows of some keys, for the rules that compare both."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger.chain.node.records import HASH, BlockHeader, Receipt, TransactionInfo
from ledger.db import tables
from ledger.errors import DependencyDown
from ledger.models import Base, ChainInclusion
from ledger.reconcile.books import Books

_R = TypeVar("_R", bound=Base)
_BLOCKS_AT_ONCE = 8
"""Whole blocks with all their receipts: megabytes each, where the chain is busy."""


@dataclass(frozen=True)
class Mined:
    """A transaction with its receipt and the time of its block."""

    transaction: TransactionInfo
    receipt: Receipt
    at: datetime


def mined_of(books: Books, hashes: Sequence[str]) -> dict[str, Mined]:
    """Return the transactions that stand in blocks up to the mirror's, by hash.

    Raises
    ------
    DependencyDown
        If a block has one of them, and the node no receipt.
    """
    # A node refuses to be asked for what is no hash: somebody altered the row, and no block has it.
    hashes = [each for each in hashes if isinstance(each, str) and HASH.fullmatch(each)]
    receipts = dict(zip(hashes, books.client.receipts(hashes), strict=True))
    there = [tx_hash for tx_hash, receipt in receipts.items() if receipt is not None]
    found = dict(zip(there, books.client.transactions(there), strict=True))
    pairs = {
        tx_hash: (transaction, receipt)
        for tx_hash, transaction in found.items()
        if transaction is not None and (receipt := receipts[tx_hash]) is not None
    }
    pairs |= _by_block(books, [tx_hash for tx_hash in receipts if tx_hash not in pairs])
    reached = {
        tx_hash: pair for tx_hash, pair in pairs.items() if pair[1].block_number <= books.block
    }
    numbers = sorted({receipt.block_number for _, receipt in reached.values()})
    times = {header.number: header.time for header in books.client.blocks_there(numbers)}
    return {
        tx_hash: Mined(transaction, receipt, times[receipt.block_number])
        for tx_hash, (transaction, receipt) in reached.items()
    }


def _by_block(books: Books, hashes: Sequence[str]) -> dict[str, tuple[TransactionInfo, Receipt]]:
    """Look for transactions in the blocks that the books name: a node has an index by hash of the newest alone.

    That of geth ends after 2,350,000 blocks unless told otherwise: it has all blocks and receipts, and says of what is
    older, asked for by hash, that there is no such thing.
    """
    numbers = sorted(
        {
            row.block_number
            for row in among(books.session, ChainInclusion, ChainInclusion.tx_hash, hashes)
            if row.block_number <= books.block
        }
    )
    asked, found = set(hashes), {}
    for start in range(0, len(numbers), _BLOCKS_AT_ONCE):
        piece = numbers[start : start + _BLOCKS_AT_ONCE]
        blocks = whole_blocks(books, piece)
        ours = [item for _, items in blocks for item in items if item.hash in asked]
        if not ours:
            continue
        receipts = {item.tx_hash: item for item in books.client.receipts_in(piece)}
        for item in ours:
            if item.hash not in receipts:
                raise DependencyDown(
                    f"the node at {books.client.place} has transaction {item.hash} in its block, and no receipt of "
                    "it; it has dropped old ones: set rpc_url to an archive node, and compare again",
                )
            found[item.hash] = item, receipts[item.hash]
    return found


def whole_blocks(
    books: Books, numbers: Sequence[int]
) -> list[tuple[BlockHeader, list[TransactionInfo]]]:
    """Return blocks up to the mirror's with their transactions.

    Raises
    ------
    DependencyDown
        If the node lacks one: then it lags behind another one of its address.
    """
    found = books.client.blocks_with_transactions(numbers)
    for number, block in zip(numbers, found, strict=True):
        if block is None:
            raise books.client.without_block(number)
    return [block for block in found if block is not None]


def among(
    session: Session, model: type[_R], column: InstrumentedAttribute[Any], keys: Collection[Any]
) -> Iterator[_R]:
    """Yield the rows of a table whose column is one of some keys."""
    for here in tables.among(session, column, keys):
        yield from session.scalars(select(model).where(here))
