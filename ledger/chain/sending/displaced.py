"""Pending transactions of our accounts that the books do not know: shown, and, where a person says so, displaced.

Such a one may be a payment by hand, or an act of ours that these books have forgotten and that may still be mined. It
is **displaced** by a transaction of nothing to oneself with the same nonce and a higher fee: one nonce is used once, so
that the chain takes one of the two at the most, whichever that is. Which one, the mirror says: until it has read that
in a final block, nothing else is signed for the account (``unknown``), or the act that was displaced might be planned
anew, and both be mined. Decision 0111 has the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.chain import fees
from ledger.chain.contracts.wrappers import decode_call
from ledger.chain.fees import GWEI, TRANSFER_GAS, Fees
from ledger.chain.node.pool import Offered, transaction_anywhere, waiting_of
from ledger.chain.sending import intents, lanes, unknown
from ledger.chain.sending.desk import Desk
from ledger.chain.sending.intents import Signed
from ledger.db import DatabaseBusy
from ledger.errors import BadInput, DependencyDown, NotFound, Refused
from ledger.models import ChainIntent, ChainNonceLane
from ledger.models.sending import IntentState

_REASON_MAX = 1000
_INPUT_MAX = 2_000
"""Characters of a call that the audit log keeps: what anybody signs may be any length."""


@dataclass(frozen=True)
class Waiting:
    """A pending transaction that the books do not know, and what can be read off it."""

    offered: Offered
    contract: str | None
    """Name of the contract of ours that it calls; None: of a stranger, or no call."""
    function: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    planned_as: str | None = None
    """Key of an intent of these books that is planned and makes the same call."""


@dataclass(frozen=True)
class OfAccount:
    """What an account has in the node's pool that the books do not know."""

    address: str
    waiting: tuple[Waiting, ...]
    unseen: int
    """How many more there are by the node's count, which it does not show."""


def accounts_of(session: Session, chain_id: int, more: Iterable[str]) -> list[str]:
    """Return the accounts that these books have sent from, and some more, each once."""
    query = select(ChainNonceLane.address).where(ChainNonceLane.chain_id == chain_id)
    return sorted({*session.scalars(query), *(item.lower() for item in more)})


def look(
    desk: Desk, accounts: Iterable[str], contracts: Mapping[str, str]
) -> tuple[OfAccount, ...]:
    """Return what some accounts have in the node's pool that the books do not know; nothing of those without.

    Parameters
    ----------
    contracts
        Names of our contracts by address.
    """
    found = []
    for address in accounts:
        latest = desk.client.transaction_count(address, "latest")
        counted = desk.client.transaction_count(address, "pending")
        shown = waiting_of(desk.client, address) or []
        # After the node: what is sent from here is stored before it is there.
        with desk.db.read() as session:
            lane = session.get(ChainNonceLane, (desk.chain_id, address))
            rows = tuple(
                _read(session, item, contracts)
                for item in shown
                if item.info.nonce >= latest
                and intents.key_of_transaction(session, item.info.hash) is None
            )
        known = max(lane.next_nonce if lane is not None else 0, latest)
        seen = sum(known <= row.offered.info.nonce < counted for row in rows)
        unseen = max(counted - known - seen, 0)
        if rows or unseen:
            found.append(OfAccount(address, rows, unseen))
    return tuple(found)


def _read(session: Session, item: Offered, contracts: Mapping[str, str]) -> Waiting:
    info = item.info
    contract = contracts.get(info.to or "")
    call = decode_call(contract, info.input) if contract is not None else None
    if call is None:
        return Waiting(item, contract)
    query = select(ChainIntent).where(
        ChainIntent.state == IntentState.PLANNED,
        ChainIntent.sender_address == info.sender,
        ChainIntent.contract_address == info.to,
        ChainIntent.function_name == call.function,
    )
    same = (row.key for row in session.scalars(query) if row.call_data == info.input.lower())
    return Waiting(item, contract, call.function, call.parameters, next(same, None))


def displace(
    desk: Desk, tx_hash: str, reason: str, contracts: Mapping[str, str], *, keep: bool = True
) -> tuple[Waiting | None, Signed]:
    """Sign and store what displaces a pending transaction; return that, and what was signed. Nothing is sent here.

    What displaces it already is returned as it is; the node may have forgotten the other one by then.

    Parameters
    ----------
    reason
        Why it shall not happen; kept in the audit log, with what it was.
    keep
        False: everything is looked at, and nothing is kept.

    Raises
    ------
    NotFound
        If the node does not know the transaction.
    Refused
        If it stands in a block, is of these books, or another nonce comes first; or a rule of the signer policy.
    BadInput
        If no key of its account is at hand, or there is no reason.
    DependencyDown
        If a higher fee would pass the cap, or node, signer or database do not answer.
    """
    if not reason.strip() or len(reason) > _REASON_MAX:
        raise BadInput(f"it needs a reason of at most {_REASON_MAX} characters")
    item = transaction_anywhere(desk.client, tx_hash)
    with desk.db.read() as session:
        stored = _stored(session, desk.chain_id, tx_hash)
        ours = intents.key_of_transaction(session, tx_hash)
    if ours is not None:
        raise Refused(
            f"{tx_hash} is of these books: `truetonne chain intents {ours}` says what becomes of it"
        )
    if item is None and stored is not None:
        return None, stored
    if item is None:
        _refuse_displaced(desk, tx_hash)
        raise NotFound(
            f"the node knows no transaction {tx_hash}; `truetonne chain pending` shows what it has"
        )
    if item.block_number is not None:
        raise Refused(
            f"{tx_hash} stands in block {item.block_number}: what it did is done; run truetonne index run"
        )
    with desk.db.read() as session:
        row = _read(session, item, contracts)
    return row, stored or _sign(desk, row, reason, keep)


def _stored(session: Session, chain_id: int, tx_hash: str) -> Signed | None:
    """Return what displaces a transaction already, by an earlier call or another process."""
    row = _in_place_of(session, chain_id, tx_hash, IntentState.SUBMITTED)
    if row is None:
        return None
    last = intents.current(row, intents.attempts_of(session, row.key))
    return Signed(last.tx_hash, last.raw_transaction)


def _in_place_of(
    session: Session, chain_id: int, tx_hash: str, state: IntentState
) -> ChainIntent | None:
    query = select(ChainIntent).where(
        ChainIntent.state == state,
        ChainIntent.chain_id == chain_id,
        ChainIntent.kind == intents.FILL,
    )
    found = (
        row for row in session.scalars(query) if row.parameters.get(intents.INSTEAD_OF) == tx_hash
    )
    return next(found, None)


def _refuse_displaced(desk: Desk, tx_hash: str) -> None:
    """Say of what was displaced for good that it was: whoever asked, and did not see the answer, asks again.

    Raises
    ------
    Refused
        If it was.
    """
    with desk.db.read() as session:
        row = _in_place_of(session, desk.chain_id, tx_hash, IntentState.CONFIRMED)
    if row is not None:
        raise Refused(
            f"{tx_hash} is displaced: {row.tx_hash} has its nonce in block {row.block_number}, which is final, and did "
            "nothing"
        )


def _sign(desk: Desk, row: Waiting, reason: str, keep: bool) -> Signed:
    info = row.offered.info
    account = desk.chain_id, info.sender
    signer = desk.keyring.signer(info.sender, f"displace {info.hash}")
    offered = _dearer(desk, row.offered)
    cost = TRANSFER_GAS * offered.max_fee_wei
    filling = intents.fill_of(*account)
    filling.parameters = _said_of(row)
    on_chain = desk.client.transaction_count(info.sender, "latest")
    lowest = _lowest_waiting(desk, info.sender, on_chain)
    with desk.db.read() as session:
        if (theirs := _stored(session, desk.chain_id, info.hash)) is not None:
            return theirs  # another process was faster
        left_out = _require_next(session, desk, row.offered, on_chain, lowest)
        lanes.check_spending(session, desk.caps, account, 1, cost)
    if not keep:
        desk.check(signer, filling, TRANSFER_GAS, offered)
        return Signed("", "")
    attempt = desk.sign(signer, filling, info.nonce, TRANSFER_GAS, offered)

    def store(session: Session) -> Signed | None:
        if not lanes.take_nonce(session, *account, info.nonce, on_chain, after=left_out):
            return _stored(session, desk.chain_id, info.hash)
        lanes.spend(session, desk.caps, account, 1, cost)
        session.add(filling)
        session.flush()
        intents.store_attempt(session, filling, attempt)
        told = {**filling.parameters, "from": info.sender, "input": info.input[:_INPUT_MAX]}
        new = {**told, "transaction": attempt.tx_hash, "reason": reason}
        audit.record(session, "sending.displace", f"chain_intents/{filling.key}", {}, new)
        return attempt

    found = desk.db.run(store)
    if found is None:
        raise DatabaseBusy(f"another process has taken nonce {info.nonce} of {info.sender}")
    return found


def _said_of(row: Waiting) -> dict[str, Any]:
    """Return what an intent keeps of the transaction that it displaces: a forgotten act is not to be hidden."""
    info = row.offered.info
    return {
        intents.INSTEAD_OF: info.hash,
        intents.ITS_NONCE: str(info.nonce),
        "to": info.to,
        "value": str(info.value),
        "function": row.function,
    }


def _lowest_waiting(desk: Desk, account: str, on_chain: int) -> int | None:
    """Return the lowest nonce that an account has in the node's pool and the books do not know; None: not shown."""
    shown = waiting_of(desk.client, account) or []
    counted = desk.client.transaction_count(account, "pending")
    with desk.db.read() as session:
        known = lanes.next_nonce(session, desk.chain_id, account, on_chain)
    if counted > known:
        return None  # what it counts it may not show, and would be filled by nobody's word
    return min((item.info.nonce for item in shown if item.info.nonce >= known), default=None)


def _require_next(
    session: Session, desk: Desk, item: Offered, on_chain: int, lowest: int | None
) -> int:
    """Refuse any nonce but the next, or the lowest that waits behind a hole; return how many nonces that leaves out.

    Below the next one are ours. Above it what is shown would be filled that nobody named.
    """
    info = item.info
    following = lanes.next_nonce(session, desk.chain_id, info.sender, on_chain)
    if info.nonce < following:
        raise Refused(
            f"nonce {info.nonce} of {info.sender}, which {info.hash} has, is used by these books: see "
            "`truetonne chain intents`"
        )
    if info.nonce > following and info.nonce != lowest:
        raise Refused(
            f"{info.hash} has nonce {info.nonce}, and nonce {following} of {info.sender} comes first: see "
            "`truetonne chain pending`"
        )
    if info.nonce - following > unknown.FILLED_MAX:
        raise Refused(
            f"{info.hash} has nonce {info.nonce}, and {following} is the next of {info.sender}: so many nonces are not "
            "filled; it is in nobody's way before they are used"
        )
    return info.nonce - following


def _dearer(desk: Desk, item: Offered) -> Fees:
    before = Fees(item.max_fee_wei, item.priority_fee_wei)
    head = desk.head()
    offered = fees.replacing(before, desk.market(head), desk.max_fee_wei)
    if offered is None or head.base_fee > desk.max_fee_wei:
        raise DependencyDown(
            f"{item.info.hash} offers {before.max_fee_wei / GWEI:.1f} gwei and the base fee is "
            f"{head.base_fee / GWEI:.1f}: what displaces it would pass max_fee_gwei ({desk.max_fee_wei // GWEI}); "
            "wait, or raise the setting",
            code="fees-too-high",
        )
    return offered
