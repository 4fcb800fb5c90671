"""Rules of transactions: every row is what its receipt says, and every intent what became of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from eth_utils.crypto import keccak
from sqlalchemy import exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger.chain import signed
from ledger.chain.client import Receipt, TransactionInfo
from ledger.chain.contracts import decode_call, selector_names
from ledger.chain.failures import failure_of
from ledger.chain.intents import FILL
from ledger.db import tables
from ledger.models import (
    Base,
    BlockchainTransaction,
    ChainAttempt,
    ChainInclusion,
    ChainIntent,
    ChainNonceLane,
)
from ledger.models.blockchain import TransactionStatus
from ledger.models.mirror import IntentState
from ledger.reconcile.books import Books, block_time
from ledger.reconcile.pieces import ROWS, pieces
from ledger.reconcile.report import Key, compare, missing, unequal

_R = TypeVar("_R", bound=Base)
_SCANNED_BLOCKS = 512
"""So many of the last blocks are read whole, to find a transaction that left no event and no row."""
_BLOCKS_AT_ONCE = 16
_ERROR_LENGTH_MAX = 500
_BATCH_FINALIZED = (
    "0x" + keccak(text="BatchFinalized(bytes32,uint256,bytes32,uint256,address)").hex()
)


@dataclass(frozen=True)
class _Mined:
    """A transaction with its receipt and the time of its block."""

    transaction: TransactionInfo
    receipt: Receipt
    at: datetime


def transactions(books: Books) -> list[str]:
    """Every transaction has the status, function, parameters, gas and block of its receipt."""
    found = []
    for piece in pieces(books.session, BlockchainTransaction.id):
        query = select(BlockchainTransaction).where(piece)
        found += _transactions(books, books.session.scalars(query).all())
    known = exists().where(BlockchainTransaction.tx_hash == ChainInclusion.tx_hash)
    orphans = books.session.scalars(select(ChainInclusion.tx_hash).where(~known))
    found += [f"chain_inclusions {tx_hash}: no such thing on chain" for tx_hash in orphans]
    return found + _missing(books)


def _transactions(books: Books, rows: Sequence[BlockchainTransaction]) -> list[str]:
    hashes = [row.tx_hash for row in rows]
    attempts = {
        row.tx_hash: row
        for row in _among(books.session, ChainAttempt, ChainAttempt.tx_hash, hashes)
    }
    mined = _mined(books, hashes)
    found = []
    inclusions = {}
    for row in rows:
        tx_hash = row.tx_hash
        item = mined.get(tx_hash)
        attempt = attempts.get(tx_hash)
        if item is None:
            found += _unmined(row, attempt)
            continue
        contract, expected = _expected_call(books, item, attempt)
        final = item.receipt.block_number <= books.final
        failed = item.receipt.status != 1
        status = TransactionStatus.FAILED if failed else TransactionStatus.CONFIRMED
        expected |= {
            "gas_used": item.receipt.gas_used,
            "gas_price": item.receipt.effective_gas_price,
            "status": status if final else TransactionStatus.PENDING,
            "confirmed_at": item.at if final else None,
        }
        if attempt is None:
            expected["created_at"] = item.at
        held = [getattr(row, name) for name in expected]
        found += unequal(
            f"blockchain_transactions {tx_hash}", held, list(expected.values()), list(expected)
        )
        inclusions[(tx_hash,)] = _inclusion(books, item, contract, attempt)
    return found + _inclusions(books, hashes, inclusions)


def _inclusion(
    books: Books, item: _Mined, contract: str | None, attempt: ChainAttempt | None
) -> dict[str, Any]:
    """Return what ``chain_inclusions`` must say of a transaction."""
    receipt, reason = item.receipt, None
    if receipt.status != 1:
        reason = failure_of(
            books.client, contract, item.transaction, receipt.block_number, receipt.gas_used
        )
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
        for row in _among(books.session, ChainInclusion, ChainInclusion.tx_hash, hashes)
    }
    return compare("chain_inclusions", stored, expected)


def _among(
    session: Session, model: type[_R], column: InstrumentedAttribute[Any], keys: Collection[Any]
) -> Iterator[_R]:
    """Yield the rows of a table whose column is one of some keys."""
    for here in tables.among(session, column, keys):
        yield from session.scalars(select(model).where(here))


def intents(books: Books) -> list[str]:
    """Every intent was sent as it was planned, once, and is what its transaction became."""
    session = books.session
    found = []
    for piece in pieces(session, ChainAttempt.tx_hash):
        for attempt in session.scalars(select(ChainAttempt).where(piece)):
            if "0x" + keccak(hexstr=attempt.raw_transaction).hex() != attempt.tx_hash:
                found.append(
                    f"chain_attempts {attempt.tx_hash}: the raw transaction has another hash"
                )
            found += _signed(attempt)
    planned = exists().where(ChainIntent.key == ChainAttempt.intent_key)
    orphans = session.scalars(select(ChainAttempt.intent_key).where(~planned).distinct())
    found += [f"intent {key}: sent, but not in the books" for key in orphans]
    lanes = {
        (lane.chain_id, lane.address): lane.next_nonce
        for lane in session.scalars(select(ChainNonceLane))
    }
    for piece in pieces(session, ChainIntent.key):
        rows = session.scalars(select(ChainIntent).where(piece)).all()
        found += _intents(books, rows, lanes)
    return found


def _intents(
    books: Books, rows: Sequence[ChainIntent], lanes: Mapping[tuple[int, str], int]
) -> list[str]:
    by_intent: dict[str, list[ChainAttempt]] = defaultdict(list)
    keys = [row.key for row in rows]
    for attempt in _among(books.session, ChainAttempt, ChainAttempt.intent_key, keys):
        by_intent[attempt.intent_key].append(attempt)
    mined = _mined(books, [item.tx_hash for items in by_intent.values() for item in items])
    found = []
    for row in rows:
        attempts = sorted(by_intent[row.key], key=lambda attempt: attempt.ordinal)
        hashes = [item.tx_hash for item in attempts]
        found += _intent(books, row, [mined[item] for item in hashes if item in mined], hashes)
        if row.nonce is not None and lanes.get((row.chain_id, row.sender_address), 0) <= row.nonce:
            found.append(
                f"chain_nonce_lanes {row.sender_address}: nonce {row.nonce} would be given out again"
            )
    return found


def _signed(attempt: ChainAttempt) -> list[str]:
    """Compare an attempt with what its bytes say."""
    what = f"chain_attempts {attempt.tx_hash}"
    try:
        said = signed.read(attempt.raw_transaction)
    except ValueError as error:
        return [f"{what}: the raw transaction cannot be read: {error}"]
    return unequal(
        what,
        (attempt.nonce, int(attempt.max_fee_wei), int(attempt.priority_fee_wei)),
        (said["nonce"], said["highest fee"], said["tip"]),
        ("nonce", "max_fee_wei", "priority_fee_wei"),
    )


def _intent(
    books: Books, row: ChainIntent, mined: Sequence[_Mined], hashes: Sequence[str]
) -> list[str]:
    what = f"intent {row.key} ({row.function_name})"
    if (
        row.state is IntentState.CONFIRMED
        and row.tx_hash not in hashes
        and _done_by_other(books, row)
    ):
        return _call_of_intent(what, row)
    found = []
    if row.chain_id != books.deployment.chain_id:
        found.append(f"{what}: chain_id {row.chain_id} is not the deployment's")
    if len(mined) > 1:
        found.append(f"{what}: {len(mined)} of its transactions are on chain")
    for item in mined:
        found += unequal(
            what,
            (row.call_data, row.contract_address, row.sender_address, row.nonce, row.tx_hash),
            (
                item.transaction.input,
                item.transaction.to,
                item.transaction.sender,
                item.transaction.nonce,
                item.transaction.hash,
            ),
            ("call_data", "contract_address", "sender_address", "nonce", "tx_hash"),
        )
        final = item.receipt.block_number <= books.final
        outcome = IntentState.CONFIRMED if item.receipt.status == 1 else IntentState.FAILED
        found += unequal(
            what,
            (row.state, row.block_number, row.confirmed_at, row.error is None),
            (
                outcome if final else IntentState.SUBMITTED,
                item.receipt.block_number if final else None,
                item.at if final else None,
                not final or item.receipt.status == 1,
            ),
            ("state", "block_number", "confirmed_at", "whether it has no error"),
        )
    found += _call_of_intent(what, row)
    unsent = row.state in (IntentState.PLANNED, IntentState.FAILED) and row.nonce is None
    excused = row.state is IntentState.SUBMITTED or (unsent and _are_dead(books, row))
    if not mined and hashes and not excused:
        found.append(f"{what}: {row.state.value}, but no transaction of it is on chain")
    if not hashes and row.state in (IntentState.SUBMITTED,):
        found.append(f"{what}: submitted, but nothing was signed")
    if not hashes and row.state is IntentState.CONFIRMED:
        found.append(f"{what}: confirmed, but nothing was sent and the chain does not know its key")
    return found


def _done_by_other(books: Books, row: ChainIntent) -> bool:
    """Return whether the transaction of an intent that was not sent from here did what it wants.

    It made the same call from the same account, or left the intent's key, or the end of its batch, in a log.
    """
    mined = _mined(books, [row.tx_hash]) if row.tx_hash else {}
    item = mined.get(row.tx_hash or "")
    if item is None or item.receipt.status != 1:
        return False
    call = item.transaction.sender, item.transaction.to, item.transaction.input
    if call == (row.sender_address, row.contract_address, row.call_data):
        return True
    topics = [log.topics for log in item.receipt.logs if log.address == row.contract_address]
    if row.function_name == "finalizeBatch":
        number = f"0x{int(row.parameters['batchId']):064x}"
        return any(topic[0] == _BATCH_FINALIZED and topic[2] == number for topic in topics)
    return any(row.key in topic for topic in topics)


def _are_dead(books: Books, row: ChainIntent) -> bool:
    """Return whether other transactions have taken the nonces of all attempts of an intent."""
    query = select(ChainAttempt.nonce).where(ChainAttempt.intent_key == row.key)
    count = books.client.transaction_count(row.sender_address, books.block)
    return all(nonce is not None and nonce < count for nonce in books.session.scalars(query))


def _call_of_intent(what: str, row: ChainIntent) -> list[str]:
    if row.kind == FILL:
        fits = (row.call_data, row.contract_address) == ("0x", row.sender_address)
        return [] if fits else [f"{what}: it fills a nonce, and does something else"]
    for contract in ("CarbonCredit", "VppSettlement", "TestCurrency"):
        call = decode_call(contract, row.call_data)
        if call is not None and call.function == row.function_name:
            if call.parameters == row.parameters:
                return []
            return [f"{what}: parameters are not those of its call data"]
    return [f"{what}: its call data is no call of {row.function_name}"]


def _unmined(row: BlockchainTransaction, attempt: ChainAttempt | None) -> list[str]:
    what = f"blockchain_transactions {row.tx_hash}"
    if attempt is None:
        return [f"{what}: no such transaction on chain, and none of ours"]
    blank = (row.gas_used, row.gas_price)
    if row.status is TransactionStatus.CONFIRMED or blank != (None, None):
        return [f"{what}: {row.status.value}, but it is in no block"]
    return []


def _expected_call(
    books: Books, item: _Mined, attempt: ChainAttempt | None
) -> tuple[str | None, dict[str, Any]]:
    """Return which contract a transaction calls, and what its row says of the call."""
    created = {
        contract.tx_hash.lower(): contract
        for contract in books.deployment.contracts.values()
        if contract.tx_hash
    }.get(item.transaction.hash)
    if created is not None:
        return created.name, {
            "contract_address": created.address,
            "function_name": "constructor",
            "parameters": dict(created.constructor),
        }
    names = {contract.address: contract.name for contract in books.deployment.contracts.values()}
    name = names.get(item.transaction.to or "")
    address = item.transaction.to or item.receipt.contract_address
    if name is None and attempt is not None:
        # A contract of somebody else's, such as the currency: the row says what the intent did.
        intent = books.session.get(ChainIntent, attempt.intent_key)
        assert intent is not None  # a foreign key says so
        return None, {
            "contract_address": address,
            "function_name": intent.function_name,
            "parameters": intent.parameters,
        }
    decoded = decode_call(name, item.transaction.input) if name else None
    function = decoded.function if decoded else None
    if decoded is None and name is not None:
        function = selector_names(name).get(item.transaction.input[:10].lower())
    return name, {
        "contract_address": address,
        "function_name": function,
        "parameters": decoded.parameters if decoded else None,
    }


def _mined(books: Books, hashes: Sequence[str]) -> dict[str, _Mined]:
    """Return the transactions that stand in blocks up to the mirror's, by hash."""
    receipts = {
        receipt.tx_hash: receipt
        for receipt in books.client.receipts(hashes)
        if receipt is not None and receipt.block_number <= books.block
    }
    numbers = sorted({receipt.block_number for receipt in receipts.values()})
    times = {
        header.number: block_time(header)
        for header in books.client.blocks(numbers)
        if header is not None
    }
    return {
        transaction.hash: _Mined(
            transaction, receipts[transaction.hash], times[receipts[transaction.hash].block_number]
        )
        for transaction in books.client.transactions(list(receipts))
        if transaction is not None
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
        blocks = books.client.blocks_with_transactions(numbers)
        called = [
            item.hash for block in blocks if block for item in block[1] if item.to in addresses
        ]
        found += _without_row(books, called)
    return list(dict.fromkeys(found))


def _without_row(books: Books, hashes: Sequence[str]) -> list[str]:
    known: set[str] = set()
    for here in tables.among(books.session, BlockchainTransaction.tx_hash, set(hashes)):
        known.update(books.session.scalars(select(BlockchainTransaction.tx_hash).where(here)))
    return missing(
        "blockchain_transactions", ((item,) for item in dict.fromkeys(hashes) if item not in known)
    )
