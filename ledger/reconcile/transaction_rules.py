"""The rule of transactions: every row is what its receipt says, and none is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import exists, select

from ledger.chain.addresses.book import DeployedContract
from ledger.chain.contracts.wrappers import decode_call, selector_names
from ledger.chain.failures.traces import Failed, failures_of
from ledger.db import tables
from ledger.models import BlockchainTransaction, ChainAttempt, ChainInclusion, ChainIntent
from ledger.models.blockchain import TransactionStatus
from ledger.reconcile.books import Books
from ledger.reconcile.mined import Mined, among, mined_of, whole_blocks
from ledger.reconcile.pieces import ROWS, pieces
from ledger.reconcile.report import Key, compare, missing, unequal

_SCANNED_BLOCKS = 512
"""How many of the last blocks are read whole, to find a transaction that left no event and no row."""
_BLOCKS_AT_ONCE = 16
_ROWS = 200
"""Rows of a piece: what a stranger gave to a call may be 100 kB long, and is here as text and as values."""
_ERROR_LENGTH_MAX = 500


def transactions(books: Books) -> list[str]:
    """Every transaction has the status, function, parameters, gas and block of its receipt."""
    found = []
    for piece in pieces(books.session, BlockchainTransaction.id, _ROWS):
        query = select(BlockchainTransaction).where(piece)
        found += _transactions(books, books.session.scalars(query).all())
    known = exists().where(BlockchainTransaction.tx_hash == ChainInclusion.tx_hash)
    orphans = books.session.scalars(select(ChainInclusion.tx_hash).where(~known))
    found += [f"chain_inclusions {tx_hash}: no such thing on chain" for tx_hash in orphans]
    return found + _missing(books)


def _transactions(books: Books, rows: Sequence[BlockchainTransaction]) -> list[str]:
    hashes = [row.tx_hash for row in rows]
    attempts = {
        row.tx_hash: row for row in among(books.session, ChainAttempt, ChainAttempt.tx_hash, hashes)
    }
    mined = mined_of(books, hashes)
    reasons = _reasons(books, mined)
    found = []
    inclusions = {}
    for row in rows:
        tx_hash = row.tx_hash
        item = mined.get(tx_hash)
        attempt = attempts.get(tx_hash)
        if item is None:
            found += _unmined(row, attempt)
            continue
        expected = _expected_call(books, item, attempt)
        final = item.receipt.block_number <= books.final
        failed = item.receipt.status != 1
        status = TransactionStatus.FAILED if failed else TransactionStatus.CONFIRMED
        expected |= {
            "gas_used": item.receipt.gas_used,
            "gas_price": _price(item),
            "status": status if final else TransactionStatus.PENDING,
            "confirmed_at": item.at if final else None,
        }
        if attempt is None:
            expected["created_at"] = item.at
        numbers = ((name, getattr(row, name), value) for name, value in expected.items())
        found += unequal(f"blockchain_transactions {tx_hash}", *numbers)
        inclusions[(tx_hash,)] = _inclusion(item, reasons.get(tx_hash), attempt)
    return found + _inclusions(books, hashes, inclusions)


def _price(item: Mined) -> int | None:
    price = item.receipt.effective_gas_price
    return item.transaction.gas_price if price is None else price


def _reasons(books: Books, mined: Mapping[str, Mined]) -> dict[str, str]:
    """Return why those of some transactions failed that did, by hash."""
    failed = {}
    for tx_hash, item in mined.items():
        if item.receipt.status != 1:
            created = _created_by(books, item)
            name = created.name if created is not None else _called_by(books, item)
            number, used = item.receipt.block_number, item.receipt.gas_used
            failed[tx_hash] = Failed(name, item.transaction, number, used)
    return dict(zip(failed, failures_of(books.client, list(failed.values())), strict=True))


def _inclusion(item: Mined, reason: str | None, attempt: ChainAttempt | None) -> dict[str, Any]:
    """Return what ``chain_inclusions`` must say of a transaction, which failed where there is a reason."""
    receipt = item.receipt
    return {
        "block_number": receipt.block_number,
        "block_hash": receipt.block_hash,
        "tx_index": receipt.tx_index,
        "sender": receipt.sender,
        "nonce": item.transaction.nonce,
        "intent_key": attempt.intent_key if attempt else None,
        "error": reason[:_ERROR_LENGTH_MAX] if reason else None,
    }


def _inclusions(
    books: Books, hashes: Sequence[str], expected: Mapping[Key, Mapping[str, Any]]
) -> list[str]:
    """Compare the inclusions of some transactions."""
    names = next(iter(expected.values()), {})
    stored = {
        (row.tx_hash,): {name: getattr(row, name) for name in names}
        for row in among(books.session, ChainInclusion, ChainInclusion.tx_hash, hashes)
    }
    return compare("chain_inclusions", stored, expected)


def _unmined(row: BlockchainTransaction, attempt: ChainAttempt | None) -> list[str]:
    what = f"blockchain_transactions {row.tx_hash}"
    if attempt is None:
        return [f"{what}: no such transaction on chain, and none of ours"]
    blank = (row.gas_used, row.gas_price)
    if row.status is TransactionStatus.CONFIRMED or blank != (None, None):
        return [f"{what}: {row.status.value}, but it is in no block"]
    return []


def _created_by(books: Books, item: Mined) -> DeployedContract | None:
    """Return the contract of the deployment that a transaction made."""
    contracts = books.deployment.contracts.values()
    made = (each for each in contracts if (each.tx_hash or "").lower() == item.transaction.hash)
    return next(made, None)


def _called_by(books: Books, item: Mined) -> str | None:
    """Return the name of the contract of the deployment that a transaction called."""
    contracts = books.deployment.contracts.values()
    return next((each.name for each in contracts if each.address == item.transaction.to), None)


def _expected_call(books: Books, item: Mined, attempt: ChainAttempt | None) -> dict[str, Any]:
    """Return what the row of a transaction says of its call."""
    created = _created_by(books, item)
    if created is not None:
        return {
            "contract_address": created.address,
            "function_name": "constructor",
            "parameters": dict(created.constructor),
        }
    name = _called_by(books, item)
    address = item.transaction.to or item.receipt.contract_address
    if name is None and attempt is not None:
        # A contract of somebody else's, such as the currency: the row says what the intent did.
        intent = books.session.get(ChainIntent, attempt.intent_key)
        assert intent is not None  # a foreign key says so
        return {
            "contract_address": address,
            "function_name": intent.function_name,
            "parameters": intent.parameters,
        }
    decoded = decode_call(name, item.transaction.input) if name else None
    function = decoded.function if decoded else None
    if decoded is None and name is not None:
        function = selector_names(name).get(item.transaction.input[:10].lower())
    return {
        "contract_address": address,
        "function_name": function,
        "parameters": decoded.parameters if decoded else None,
    }


def _missing(books: Books) -> list[str]:
    """Return the transactions to our contracts, and those that left an event, that have no row."""
    addresses = {contract.address for contract in books.deployment.contracts.values()}
    found = []
    hashes = (event["tx_hash"] for event in books.events.values())
    while piece := list(islice(hashes, ROWS)):
        found += _without_row(books, piece)
    first = max(books.deployment.deployed_block, books.block - _SCANNED_BLOCKS + 1)
    for start in range(first, books.block + 1, _BLOCKS_AT_ONCE):
        numbers = range(start, min(start + _BLOCKS_AT_ONCE, books.block + 1))
        blocks = whole_blocks(books, numbers)
        called = [item.hash for _, items in blocks for item in items if item.to in addresses]
        found += _without_row(books, called)
    return list(dict.fromkeys(found))


def _without_row(books: Books, hashes: Sequence[str]) -> list[str]:
    known: set[str] = set()
    for here in tables.among(books.session, BlockchainTransaction.tx_hash, set(hashes)):
        known.update(books.session.scalars(select(BlockchainTransaction.tx_hash).where(here)))
    return missing(
        "blockchain_transactions", ((item,) for item in dict.fromkeys(hashes) if item not in known)
    )
