"""All checks before an intent is signed: not done already, key at hand, allowed by contract, policy, caps and fees.

Nothing is stored, signed or sent here; ``--dry-run`` is this and no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from ledger.chain import fees
from ledger.chain.failures.reverts import reason_of
from ledger.chain.fees import GWEI, Fees
from ledger.chain.keys.signers import Signer
from ledger.chain.node.client import RpcError
from ledger.chain.node.records import BlockHeader
from ledger.chain.sending import adoption, intents, lanes, unknown
from ledger.chain.sending.broadcasting import included
from ledger.chain.sending.desk import Desk
from ledger.errors import ContractRefused, DependencyDown
from ledger.models import ChainCursor, ChainIntent, ChainNonceLane
from ledger.models.sending import IntentState


class AlreadyOnChain(ContractRefused):
    """The chain holds what the intent would do, under its own key: the books are behind.

    That is so after a database was restored from before the sending. The intent stays as it is, and
    the mirror says what became of it.
    """

    default_code = "already-on-chain"


class NotTried(DependencyDown):
    """The node answers, but cannot try a call: for instance one that needs more gas than a block holds."""

    default_code = "not-tried"


@dataclass(frozen=True)
class Ready:
    """What an intent is signed with: its signer, a gas limit and fees."""

    signer: Signer
    gas: int
    fees: Fees


def ready(desk: Desk, intent: ChainIntent) -> Ready:
    """Check all that must hold before an intent is signed; return what it is to be signed with.

    Raises
    ------
    RpcError
        If the call would revert, or the node cannot try it; see ``refusal``.
    AlreadyOnChain
        If the chain has done before what the intent wants.
    BadInput
        If the sender's key is not at hand.
    PolicyRefused
        If the signer policy or the caps of the day forbid it.
    DependencyDown
        If node or signer do not answer, or the node wants higher fees than may be offered.
    """
    signer = desk.keyring.signer(intent.sender_address, f"send {intent.function_name}")
    _check_lost(desk, intent)
    _check_not_done(desk, intent)
    head = desk.head()
    gas = gas_limit_of(desk, intent, head)
    found = Ready(signer, gas, _fees(desk, head))
    desk.check(signer, intent, gas, found.fees)
    if desk.caps is not None:
        account, cost = (desk.chain_id, signer.address), gas * found.fees.max_fee_wei
        with desk.db.read() as session:
            lanes.check_spending(session, desk.caps, account, 1, cost)
    return found


def gas_limit_of(desk: Desk, intent: ChainIntent, head: BlockHeader) -> int:
    """Try the call of an intent, and return the gas limit that it needs.

    Parameters
    ----------
    head
        The latest block: no transaction takes more gas than it holds.

    Raises
    ------
    RpcError
        If the call would revert, or the node cannot try it.
    """
    sender, target, data = intent.sender_address, intent.contract_address, intent.call_data
    desk.client.call(target, data, "latest", sender=sender)
    estimate = desk.client.estimate_gas(sender, target, data)
    # What needs more than the signer policy allows is refused there; the margin is not what it fails for.
    most = max(desk.keyring.gas_max, estimate)
    return min(fees.gas_limit(estimate, data, head.gas_limit), most)


def refusal(contract: str, intent: ChainIntent, error: RpcError) -> str:
    """Return why a contract refuses the call of an intent.

    Parameters
    ----------
    contract
        Name of the contract, to decode what it says.

    Raises
    ------
    NotTried
        If it does not: the node could not try the call.
    """
    if not error.reverted:
        raise NotTried(
            f"the node cannot try {intent.function_name}: {error.rpc_message}; nothing is sent: repeat the command "
            "later",
            details={"key": intent.key},
        ) from error
    return reason_of(contract, error.data) or error.rpc_message


def _check_lost(desk: Desk, intent: ChainIntent) -> None:
    """Refuse to sign an intent anew that lost its nonce, while what was signed with that nonce may still be mined.

    That is so after a fork which took back the transaction that had used the nonce up.
    """
    with desk.db.read() as session:
        stored = session.get(ChainIntent, intent.key)
        former = intents.attempts_of(session, intent.key)
    if not former or stored is None or stored.state is not IntentState.PLANNED:
        return  # it lost none; or another process has just sent it
    nonce = max(item.nonce or 0 for item in former)
    if mined := included(desk, former):
        why = f"a fork brought its transaction {min(mined)} into a block: the mirror ends it when that is final"
    elif not desk.is_used_for_good(intent.sender_address, nonce):
        why = "by what the node says, that is not used in the last final block: nothing is signed before it is"
    else:
        return
    raise DependencyDown(
        f"{intent.function_name} had lost nonce {nonce}, and {why}",
        code="nonce-given-back",
        details={"key": intent.key},
    )


def _check_not_done(desk: Desk, intent: ChainIntent) -> None:
    """Refuse what the chain has done already: not every contract call would be refused a second time."""
    unknown.check_displaced(desk.db, desk.client, desk.chain_id, intent.sender_address)
    # The count first: a lane that is read after it knows every transaction that was sent from here.
    count = desk.client.transaction_count(intent.sender_address, "latest")
    with desk.db.read() as session:
        lane = session.get(ChainNonceLane, (intent.chain_id, intent.sender_address))
        more = count > (lane.next_nonce if lane is not None else 0)
        # Up to the last final block the mirror has adopted what these books had forgotten; above it, it will.
        query = select(ChainCursor.final_number).where(ChainCursor.chain_id == intent.chain_id)
        mark = adoption.in_mirror(session, intent, 0 if more else session.scalars(query).first())
    tx_hash = (
        mark.tx_hash if mark is not None else adoption.on_node(desk.db, desk.client, intent, more)
    )
    if tx_hash is None:
        unknown.check_others(desk, intent.sender_address)
    else:
        raise AlreadyOnChain(
            f"{intent.function_name} is done: transaction {tx_hash} did it, which these books had forgotten; "
            "the mirror confirms it when it is final",
            details={"key": intent.key, "transaction": tx_hash},
        )


def _fees(desk: Desk, head: BlockHeader) -> Fees:
    cap = desk.max_fee_wei
    if head.base_fee > cap:
        # Such a transaction would wait for ever, and everything behind it in its lane.
        raise DependencyDown(
            f"gas costs {head.base_fee / GWEI:.1f} gwei, more than max_fee_gwei ({cap // GWEI}); "
            "wait, or raise the setting",
            code="fees-too-high",
        )
    return fees.first(desk.market(head), cap)
