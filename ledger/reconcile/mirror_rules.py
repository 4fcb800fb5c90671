"""Rules of the mirror: every row is what the chain's events make it, read and played anew."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from ledger.chain.node.records import BlockHeader
from ledger.models import (
    CarbonCredit,
    ChainBlock,
    ChainEvent,
    CreditBatch,
    CreditCancellation,
    CreditClass,
    CreditHolding,
    CreditInvalidation,
    CreditOverlap,
    CreditProject,
    CreditRetirement,
    CreditSerial,
    CreditSite,
    CreditTransfer,
    SettlementBalance,
    SettlementBatch,
    SettlementDispute,
    SettlementMovement,
    SettlementTerm,
    SettlementTrade,
)
from ledger.reconcile.books import Books
from ledger.reconcile.pieces import pieces
from ledger.reconcile.report import compare, missing, table_differences, unequal


def mirrored_blocks(books: Books) -> list[str]:
    """The cursor and every stored block are those of the chain, and each block with an event is stored."""
    cursor = books.cursor
    tip = books.client.block_there(cursor.block_number)
    _, genesis = books.client.identity()
    # Where the node has dropped its first block, the books must say what the file does.
    first = genesis.hash if genesis else books.deployment.genesis_hash
    found = unequal(
        "chain_cursor",
        ("chain_id", cursor.chain_id, books.deployment.chain_id),
        ("genesis_hash", cursor.genesis_hash, first),
        ("block_hash", cursor.block_hash, tip.hash),
    )
    if not 0 <= cursor.final_number <= cursor.block_number:
        found.append(
            f"chain_cursor: final_number {cursor.final_number} is not up to the mirrored block"
        )
    books.headers.begin_looking()
    for piece in pieces(books.session, ChainBlock.number):
        rows = books.session.scalars(select(ChainBlock).where(piece)).all()
        stored = {
            (row.number,): {
                "hash": row.hash,
                "parent_hash": row.parent_hash,
                "block_time": row.block_time,
            }
            for row in rows
        }
        # No node can be asked for others, which SQLite takes.
        numbers = [row.number for row in rows if isinstance(row.number, int) and row.number >= 0]
        books.headers.look(numbers)
        expected = {
            (header.number,): {
                "hash": header.hash,
                "parent_hash": header.parent_hash,
                "block_time": header.time,
            }
            for header in _headers(books, numbers)
        }
        found += compare("chain_blocks", stored, expected)
    return found + missing("chain_blocks", ((number,) for number in books.headers.overlooked()))


def _headers(books: Books, numbers: Sequence[int]) -> list[BlockHeader]:
    """Return the headers of blocks, without those beyond the mirror's that are not there: rows may have been altered.

    A lower one is there, and a node that lacks it lags behind another of its address.
    """
    below = [number for number in numbers if number <= books.block]
    above = [number for number in numbers if number > books.block]
    beyond = (header for header in books.client.blocks(above) if header is not None)
    return [*books.client.blocks_there(below), *beyond]


def events_complete(books: Books) -> list[str]:
    """Every event of our contracts is stored as the chain has it, and no other."""
    return table_differences(books.session, ChainEvent, books.events)


def credit_log_head(books: Books) -> list[str]:
    """The credit log, computed from its entries, ends where the contract says that it does."""
    seq, head = books.credit.log_head(books.block)
    return books.replay.log_errors + unequal(
        "credit log", ("seq", books.replay.seq, seq), ("head", books.replay.head, head)
    )


def registry(books: Books) -> list[str]:
    """Classes, projects and sites are as registered."""
    session, replay = books.session, books.replay
    return (
        table_differences(session, CreditClass, replay.classes)
        + table_differences(session, CreditProject, replay.projects)
        + table_differences(session, CreditSite, replay.sites)
    )


def batches(books: Books) -> list[str]:
    """Every batch is as issued, with what became of it since."""
    return table_differences(books.session, CreditBatch, books.replay.batches)


def retirements_and_cancellations(books: Books) -> list[str]:
    """Every retirement and every cancellation is as the chain has it."""
    session, replay = books.session, books.replay
    return table_differences(session, CreditRetirement, replay.retirements) + table_differences(
        session, CreditCancellation, replay.cancellations
    )


def oversight(books: Books) -> list[str]:
    """Every step of an invalidation and every overlap that was shown is as the chain has it."""
    session, replay = books.session, books.replay
    return table_differences(session, CreditInvalidation, replay.invalidations) + table_differences(
        session, CreditOverlap, replay.overlaps
    )


def credits_partition_serials(books: Books) -> list[str]:
    """The credits of a batch are its serials, each kilogram once, with status and issuing transaction."""
    session, replay = books.session, books.replay
    return table_differences(
        session, CarbonCredit, replay.credits, key="credit_id"
    ) + table_differences(session, CreditSerial, replay.serials)


def holdings(books: Books) -> list[str]:
    """Transfers are as on chain, and holdings are their sum."""
    session, replay = books.session, books.replay
    return table_differences(session, CreditTransfer, replay.transfers) + table_differences(
        session, CreditHolding, replay.holdings
    )


def escrow(books: Books) -> list[str]:
    """Movements of money and credits are as on chain, and escrow balances are their sum."""
    session, replay = books.session, books.replay
    return table_differences(session, SettlementMovement, replay.movements) + table_differences(
        session, SettlementBalance, replay.balances
    )


def settlements(books: Books) -> list[str]:
    """Batches, disputes, single trades and terms of the settlement contract are as its events say."""
    session, replay = books.session, books.replay
    return (
        table_differences(session, SettlementBatch, replay.settlements)
        + table_differences(session, SettlementDispute, replay.disputes)
        + table_differences(session, SettlementTrade, replay.singles)
        + table_differences(session, SettlementTerm, replay.terms)
    )
