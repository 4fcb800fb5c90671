"""Finds what the chain did for an intent without these books knowing: they were restored from an earlier time, say.

An act of ours leaves a mark on chain that tells it from every other (``marks``): its key in an event, or the
state that it made. Calls without a key are known by sender and call data. What is found is *adopted*: the
intent is confirmed with the transaction that did it. It is never called failed, and never sent again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.sending import intents, transactions
from ledger.chain.sending.marks import Mark, mark_of, with_key_in_data
from ledger.db import Database, tables
from ledger.errors import DependencyDown
from ledger.models import (
    BlockchainTransaction,
    ChainAttempt,
    ChainBlock,
    ChainCursor,
    ChainInclusion,
    ChainIntent,
    CreditBatch,
    SettlementBatch,
    VppSettlementItem,
)
from ledger.models.sending import UNDER_WAY, IntentState

_CLOCKS_APART = timedelta(hours=1)
"""So far may the chain's clock and ours be apart: what is older by more was done before an intent was planned."""
_BLOCKS_LOOKED_THROUGH = 128
_FINALIZED = 2
"""``BatchStatus.Finalized`` of the contract."""
KEYED = frozenset({"retire", "cancel"})
"""Acts whose key the contract writes into its event and does not remember: a second one would succeed."""


def in_mirror(session: Session, intent: ChainIntent, calls_above: int | None = None) -> Mark | None:
    """Return which transaction of the mirrored chain did what an intent wants; None while there is none.

    Parameters
    ----------
    calls_above
        Look, too, for calls without a key in blocks above this one; None: look for marks alone.
    """
    found = mark_of(session, intent)
    if found is not None or calls_above is None:
        return found
    return same_call(session, intent, 0 if _has_lost(session, intent) else calls_above)


def _has_lost(session: Session, intent: ChainIntent) -> bool:
    """Return whether an intent lost its nonce and is planned again; what did it may then stand in any older block."""
    return intent.state is IntentState.PLANNED and bool(intents.attempts_of(session, intent.key))


def says_done(session: Session, intent: ChainIntent, reason: str) -> bool:
    """Return whether a contract refuses an intent because it, or its like, was done before.

    Such an intent is not failed: what did it is found in the logs. A key that a stranger has used up for
    something else is another matter.

    Parameters
    ----------
    reason
        The refusal, decoded: ``Name(argument=value, ...)``.
    """
    if reason == f"KeyUsed(key={intent.key})":
        return not _is_used_up(session, intent)
    if intent.function_name in ("proposeBatch", "settleCosigned"):
        return reason.startswith("AlreadySettled(")
    if intent.function_name == "settleOne":
        number = intent.parameters["trade"]["seq"]
        return reason == f"AlreadySettled(seq={number})" and not _is_in_a_batch(session, intent)
    if intent.function_name == "finalizeBatch":
        number = intents.first_number(intent)
        return reason == f"BatchNotProposed(batchId={number}, status={_FINALIZED})"
    return False


def _is_used_up(session: Session, intent: ChainIntent) -> bool:
    journals = (SettlementBatch, CreditBatch)
    used = any(
        session.scalars(select(table.key).where(table.key == intent.key)).first()
        for table in journals
    )
    return used and in_mirror(session, intent) is None


def _is_in_a_batch(session: Session, intent: ChainIntent) -> bool:
    """Return whether a batch of the books has the trade that an intent would settle by itself."""
    number = int(intent.parameters["trade"]["seq"])
    query = select(VppSettlementItem.id).where(VppSettlementItem.trade_id == number)
    return session.scalars(query).first() is not None


def on_node(
    db: Database, client: ChainClient, intent: ChainIntent, unknown_nonces: bool
) -> str | None:
    """Return the transaction, in blocks that are not mirrored yet, that did what an intent wants.

    None of those that were sent from these books: they have intents of their own.

    Parameters
    ----------
    unknown_nonces
        Whether the chain has transactions of the account that no lane of ours knows.

    Raises
    ------
    DependencyDown
        If so much is not mirrored that it cannot be looked through.
    """
    with db.read() as session:
        query = select(ChainCursor).where(ChainCursor.chain_id == intent.chain_id)
        cursor = session.scalars(query).first()
        is_stored = _is_stored(session, intent)
    if intent.function_name in KEYED:
        # From the last final block: above it the mirror may hold a fork that is gone.
        return _by_key(client, intent, cursor.final_number if cursor is not None else 0)
    if not unknown_nonces:
        return None
    first = cursor.block_number + 1 if cursor is not None else 0
    last = client.block_number()
    if last - first >= _BLOCKS_LOOKED_THROUGH:
        raise DependencyDown(
            f"{intent.sender_address} has transactions on chain that the books do not know, and the mirror is "
            f"{last - first + 1} blocks behind: nothing is sent before it has read them; run truetonne index run",
            code="mirror-behind",
            details={"key": intent.key},
        )
    found = _by_call(client, intent, range(first, last + 1), is_stored)
    receipts = client.receipts(found)
    found = [
        item
        for item, receipt in zip(found, receipts, strict=True)
        if receipt is None or receipt.status
    ]
    with db.read() as session:  # opened now: another process may have sent one of them meanwhile
        foreign = [item for item in found if intents.key_of_transaction(session, item) is None]
    return foreign[0] if foreign else None


def adopt_now(db: Database, chain_id: int, key: str) -> None:
    """End an intent whose act the mirror had read before it was planned: the mirror will not meet it again."""

    def adopt(session: Session) -> None:
        query = select(ChainCursor).where(ChainCursor.chain_id == chain_id)
        cursor = session.scalars(query).first()
        if cursor is not None:
            adopt_final(session, cursor.final_number, cursor.final_number, key)

    db.run(adopt)


def adopt_final(session: Session, final_number: int, before: int, only: str | None = None) -> None:
    """End the intents that the chain carried out in final blocks without these books.

    For the mirror, which has confirmed by now what was sent from here.

    Parameters
    ----------
    before
        The last block that was final before: calls without a key are looked for above it.
    only
        The intent with this key; None: all.
    """
    query = select(ChainIntent).where(ChainIntent.state.in_(UNDER_WAY))
    if only is not None:
        query = query.where(ChainIntent.key == only)
    for intent in session.scalars(query).all():
        mark = in_mirror(session, intent, before)
        if mark is None or mark.block_number > final_number:
            continue
        attempts = [item.tx_hash for item in intents.attempts_of(session, intent.key)]
        intents.confirm(session, intent.key, mark.tx_hash, mark.block_number, mark.at)
        transactions.fail_replaced(session, attempts, mark.at)


# ------------------------------------------------------------------- calls without a mark


def same_call(
    session: Session, intent: ChainIntent, above: int, *, lost: bool = False
) -> Mark | None:
    """Return a transaction of the same account that makes the same call, and that no intent is known for.

    Where the intent has a nonce, it is the one that took this nonce. Else it is one since the intent was first signed,
    by the nonces, which no clock moves. Where nothing was ever signed for it, it is one since it was planned, by the
    clocks, which are apart: rather one too old than none, as it would be done twice. For one that is not stored yet,
    there is none: nobody can have sent it.

    Parameters
    ----------
    lost
        Whether the intent's nonce is known to have gone to something else: then it counts for nothing.
    """
    if not _is_stored(session, intent):
        return None
    nonce = None if lost else intent.nonce
    signed = [
        item.nonce for item in intents.attempts_of(session, intent.key) if item.nonce is not None
    ]
    for inclusion, parameters, at in session.execute(_unknown_calls(intent, above, nonce)):
        if parameters != intent.parameters:
            continue
        by_clocks = at + _CLOCKS_APART < intent.created_at
        earlier = inclusion.nonce < min(signed) if signed else by_clocks
        if nonce is None and (earlier or _is_adopted(session, inclusion.tx_hash)):
            continue
        return Mark(inclusion.tx_hash, inclusion.block_number, at)
    return None


def _unknown_calls(
    intent: ChainIntent, above: int, nonce: int | None
) -> Select[ChainInclusion, dict[str, Any] | None, datetime]:
    ours = select(ChainAttempt.tx_hash).where(ChainAttempt.tx_hash == ChainInclusion.tx_hash)
    query = (
        select(ChainInclusion, BlockchainTransaction.parameters, ChainBlock.block_time)
        .select_from(ChainInclusion)
        .join(
            BlockchainTransaction,
            BlockchainTransaction.tx_hash == tables.read_first(ChainInclusion.tx_hash),
        )
        .join(ChainBlock, ChainBlock.number == ChainInclusion.block_number)
        .where(
            ChainInclusion.block_number > above,
            ChainInclusion.sender == intent.sender_address,
            ChainInclusion.error.is_(None),
            BlockchainTransaction.contract_address == intent.contract_address,
            BlockchainTransaction.function_name == intent.function_name,
            ~ours.exists(),
        )
        .order_by(ChainInclusion.block_number, ChainInclusion.tx_index)
    )
    return query if nonce is None else query.where(ChainInclusion.nonce == nonce)


def _is_stored(session: Session, intent: ChainIntent) -> bool:
    """Return whether an intent is in the books; else it is planned and signed in one commit, which is to come."""
    query = select(ChainIntent.key).where(ChainIntent.key == intent.key)
    return session.scalars(query).first() is not None


def _is_adopted(session: Session, tx_hash: str) -> bool:
    query = select(ChainIntent.key).where(ChainIntent.tx_hash == tx_hash)
    return session.scalars(query).first() is not None


# ------------------------------------------------------------------------------ on the node


def _by_key(client: ChainClient, intent: ChainIntent, first: int) -> str | None:
    holder = "0x" + intent.sender_address[2:].rjust(64, "0")
    query = {
        "address": intent.contract_address,
        "topics": [None, intent.key, None, holder],
        "fromBlock": hex(first),
        "toBlock": "latest",
    }
    try:
        found = client.request("eth_getLogs", [query])
    except RpcError as error:
        raise DependencyDown(
            f"the node cannot say whether {intent.function_name} was done before ({error.rpc_message}): nothing is "
            "sent before the mirror has read the chain; run truetonne index run",
            code="mirror-behind",
            details={"key": intent.key},
        ) from error
    return str(found[0]["transactionHash"]).lower() if found else None


def _by_call(
    client: ChainClient, intent: ChainIntent, numbers: range, is_stored: bool
) -> list[str]:
    found = []
    keyed, data = with_key_in_data(intent), intent.call_data.lower()
    since = (intent.created_at - _CLOCKS_APART).timestamp()
    for block in client.blocks_with_transactions(numbers):
        if block is None:
            continue
        # What carries its key is the same act whenever it was done; another of the same words may be older.
        may_be_it = is_stored and block[0].timestamp >= since
        wanted = {keyed, data} if may_be_it else {keyed}
        for item in block[1]:
            ours = (item.sender, item.to) == (intent.sender_address, intent.contract_address)
            if ours and item.input.lower() in wanted:
                found.append(item.hash)
    return found
