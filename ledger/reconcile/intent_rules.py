"""The rule of intents: what was to be sent was sent as planned, once, and is what its transaction became."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import exists, func, select
from tiny_keccak import keccak256

from ledger.chain.contracts.events import SETTLEMENT, TradeSettled, decode
from ledger.chain.contracts.wrappers import decode_call
from ledger.chain.keys import signed
from ledger.chain.node.records import ADDRESS, LogRecord
from ledger.chain.sending.intents import FILL
from ledger.chain.sending.marks import mark_of, with_key_in_data
from ledger.models import ChainAttempt, ChainIntent, ChainNonceLane
from ledger.models.sending import UNDER_WAY, IntentState
from ledger.reconcile.books import Books
from ledger.reconcile.mined import Mined, among, mined_of
from ledger.reconcile.pieces import pieces
from ledger.reconcile.report import unequal

_BATCH_FINALIZED = (
    "0x" + keccak256(b"BatchFinalized(bytes32,uint256,bytes32,uint256,address)").hex()
)


def intents(books: Books) -> list[str]:
    """Every intent was sent as it was planned, once, and is what its transaction became."""
    session = books.session
    found = []
    for piece in pieces(session, ChainAttempt.tx_hash):
        for attempt in session.scalars(select(ChainAttempt).where(piece)):
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
    return found + _lanes_ahead(books, lanes)


def _lanes_ahead(books: Books, lanes: Mapping[tuple[int, str], int]) -> list[str]:
    """Find lanes that would give out a nonce above one that nobody has: transactions would wait for that."""
    query = (
        select(ChainIntent.chain_id, ChainIntent.sender_address, func.max(ChainAttempt.nonce))
        .join(ChainAttempt, ChainAttempt.intent_key == ChainIntent.key)
        .group_by(ChainIntent.chain_id, ChainIntent.sender_address)
    )
    highest = {(chain_id, address): top for chain_id, address, top in books.session.execute(query)}
    found = []
    for (chain_id, address), following in lanes.items():
        if not _is_account(address):
            found.append(f"chain_nonce_lanes {address}: no account")
            continue
        top = highest.get((chain_id, address))
        given_out = 0 if top is None else top + 1
        if chain_id != books.deployment.chain_id or following <= given_out:
            continue
        # A stranger may have used nonces of the account that the lane has passed.
        given_out = max(given_out, books.client.transaction_count(address))
        if following > given_out:
            found.append(
                f"chain_nonce_lanes {address}: nonce {following} would be given out next, and {given_out} is free"
            )
    return found


def _is_account(address: object) -> bool:
    """Return whether a node can be asked for an address."""
    return isinstance(address, str) and ADDRESS.fullmatch(address) is not None


def _intents(
    books: Books, rows: Sequence[ChainIntent], lanes: Mapping[tuple[int, str], int]
) -> list[str]:
    by_intent: dict[str, list[ChainAttempt]] = defaultdict(list)
    keys = [row.key for row in rows]
    for attempt in among(books.session, ChainAttempt, ChainAttempt.intent_key, keys):
        by_intent[attempt.intent_key].append(attempt)
    mined = mined_of(books, [item.tx_hash for items in by_intent.values() for item in items])
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
    found = []
    try:
        if signed.hash_of(attempt.raw_transaction) != attempt.tx_hash:
            found.append(f"{what}: the raw transaction has another hash")
        said = signed.read(attempt.raw_transaction)
    except ValueError as error:
        return [*found, f"{what}: the raw transaction cannot be read: {error}"]
    return found + unequal(
        what,
        ("nonce", attempt.nonce, said["nonce"]),
        ("max_fee_wei", int(attempt.max_fee_wei), said["highest fee"]),
        ("priority_fee_wei", int(attempt.priority_fee_wei), said["tip"]),
    )


def _intent(
    books: Books, row: ChainIntent, mined: Sequence[Mined], hashes: Sequence[str]
) -> list[str]:
    what = _named(row)
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
        found += _mined_intent(books, row, item, hashes)
    found += _call_of_intent(what, row)
    if not mined:
        found += _unmined_intent(books, row, hashes)
    return found


def _mined_intent(books: Books, row: ChainIntent, item: Mined, hashes: Sequence[str]) -> list[str]:
    """Compare an intent with one of its transactions that is on chain."""
    what = _named(row)
    final = item.receipt.block_number <= books.final and not _waits(books, row, item)
    found = unequal(
        what,
        ("call_data", row.call_data, item.transaction.input),
        ("contract_address", row.contract_address, item.transaction.to),
        ("sender_address", row.sender_address, item.transaction.sender),
        ("nonce", row.nonce, item.transaction.nonce),
    )
    # Until it is final the books name the last attempt, and an earlier one may have been mined.
    if final or row.tx_hash not in hashes:
        found += unequal(what, ("tx_hash", row.tx_hash, item.transaction.hash))
    outcome = IntentState.CONFIRMED if item.receipt.status == 1 else IntentState.FAILED
    return found + unequal(
        what,
        ("state", row.state, outcome if final else IntentState.SUBMITTED),
        ("block_number", row.block_number, item.receipt.block_number if final else None),
        ("confirmed_at", row.confirmed_at, item.at if final else None),
        ("whether it has no error", row.error is None, not final or item.receipt.status == 1),
    )


def _unmined_intent(books: Books, row: ChainIntent, hashes: Sequence[str]) -> list[str]:
    """Return what the books say of an intent that cannot be so while no transaction of it is on chain."""
    what = _named(row)
    found = []
    if row.state in UNDER_WAY:
        found += unequal(
            what, ("block_number", row.block_number, None), ("confirmed_at", row.confirmed_at, None)
        )
    if hashes:
        unsent = row.state in (IntentState.PLANNED, IntentState.FAILED) and row.nonce is None
        excused = row.state is IntentState.SUBMITTED or (unsent and _are_dead(books, row))
        if not excused:
            found.append(f"{what}: {row.state.value}, but no transaction of it is on chain")
    elif row.state is IntentState.SUBMITTED:
        found.append(f"{what}: submitted, but nothing was signed")
    elif row.state is IntentState.CONFIRMED:
        found.append(f"{what}: confirmed, but nothing was sent and the chain does not know its key")
    return found


def _named(row: ChainIntent) -> str:
    return f"intent {row.key} ({row.function_name})"


def _waits(books: Books, row: ChainIntent, item: Mined) -> bool:
    """Return whether a transaction failed for good, and another did it since, in a block that is not final yet."""
    if item.receipt.status == 1 or row.state is not IntentState.SUBMITTED:
        return False
    mark = mark_of(books.session, row)
    return mark is not None and mark.block_number > books.final


def _done_by_other(books: Books, row: ChainIntent) -> bool:
    """Return whether the transaction of an intent that was not sent from here did what it wants.

    It made the same call from the same account (a transfer, with its key as data), or left the intent's key, the
    end of its batch, or the payment of its trade in a log.
    """
    mined = mined_of(books, [row.tx_hash]) if row.tx_hash else {}
    item = mined.get(row.tx_hash or "")
    if item is None or item.receipt.status != 1:
        return False
    place = item.transaction.sender, item.transaction.to
    calls = {row.call_data, with_key_in_data(row)}
    if place == (row.sender_address, row.contract_address) and item.transaction.input in calls:
        return True
    logs = [log for log in item.receipt.logs if log.address == row.contract_address]
    if row.function_name == "settleOne":
        return any(_pays(log, row.parameters) for log in logs)
    topics = [log.topics for log in logs]
    if row.function_name == "finalizeBatch":
        number = f"0x{int(row.parameters['batchId']):064x}"
        return any(topic[0] == _BATCH_FINALIZED and topic[2] == number for topic in topics)
    return any(row.key in topic for topic in topics)


def _pays(log: LogRecord, call: Mapping[str, Any]) -> bool:
    """Return whether a log of the settlement contract says that the trade of a call was settled by itself."""
    said = decode(SETTLEMENT, log).args
    wanted = call["trade"]
    return isinstance(said, TradeSettled) and (
        (said.seq, said.buyer, said.seller, said.asset, said.quantity, said.price)
        == (
            int(wanted["seq"]),
            str(wanted["buyer"]).lower(),
            str(wanted["seller"]).lower(),
            int(call["asset"]),
            int(wanted["quantity"]),
            int(wanted["price"]),
        )
    )


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
