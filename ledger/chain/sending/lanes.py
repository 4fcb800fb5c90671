"""Which nonce an account gives out next, and what it may still sign for today: the only writer of both.

A *lane* is the row that has an account's next nonce on one chain. A nonce is taken under the lock of that row,
in the commit that stores what was signed with it. The spending of the day is counted in the same commit.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from ledger.chain.fees import GWEI, Fees
from ledger.chain.keys.policy import DailyCaps, PolicyRefused
from ledger.models import ChainAttempt, ChainInclusion, ChainIntent, ChainNonceLane, ChainSpending
from ledger.models.sending import IntentState

LATELY_DAYS = 3
"""For how many of the days on which it signs an account should have the money."""
_MONTH_DAYS = 30

Account = tuple[int, str]
"""Chain and address."""


def next_nonce(session: Session, chain_id: int, address: str, on_chain: int) -> int:
    """Return the nonce that an account would get now; nothing is taken yet.

    Parameters
    ----------
    on_chain
        The account's next nonce as the node sees it; a lane never goes below it.
    """
    lane = session.get(ChainNonceLane, (chain_id, address))
    return max(lane.next_nonce if lane is not None else 0, on_chain)


def take_nonce(
    session: Session, chain_id: int, address: str, nonce: int, on_chain: int, *, after: int = 0
) -> bool:
    """Take a nonce for an account; return False where it is not the next one any more.

    The caller has signed with it already (see ``first``): if it is gone, it signs anew.

    Parameters
    ----------
    after
        How many nonces before it are left out; they are filled as any hole is.
    """
    lane = session.get(ChainNonceLane, (chain_id, address), with_for_update=True)
    if lane is None:
        lane = ChainNonceLane(chain_id=chain_id, address=address, next_nonce=on_chain)
        session.add(lane)
    if nonce - after != max(lane.next_nonce, on_chain):
        return False
    lane.next_nonce = nonce + 1
    session.flush()
    return True


def fill_nonce(session: Session, chain_id: int, address: str, nonce: int) -> bool:
    """Take a nonce below an account's next one, to fill it; return False where an intent needs it.

    An intent whose act another transaction did does not, and gives it up. The lane is locked, so that two processes
    fill the same nonce one after the other.
    """
    lane = session.get(ChainNonceLane, (chain_id, address), with_for_update=True)
    query = select(ChainIntent).where(
        ChainIntent.chain_id == chain_id,
        ChainIntent.sender_address == address,
        ChainIntent.nonce == nonce,
    )
    if lane is None or nonce >= lane.next_nonce:
        return False
    holder = session.scalars(query.with_for_update()).first()
    if holder is None:
        return True
    if session.scalars(query.where(_nonce_unused())).first() is None:
        return False
    holder.nonce = None
    session.flush()
    return True


def nonces_of(session: Session, chain_id: int, address: str, from_nonce: int) -> set[int]:
    """Return the nonces of an account, from one on, that intents have."""
    query = select(ChainIntent.nonce).where(
        ChainIntent.chain_id == chain_id,
        ChainIntent.sender_address == address,
        ChainIntent.nonce >= from_nonce,
        ~_nonce_unused(),
    )
    return {nonce for nonce in session.scalars(query) if nonce is not None}


def highest_offer(session: Session, chain_id: int, address: str, nonce: int) -> Fees | None:
    """Return the highest fees, in wei per gas, that anything of ours offers with a nonce; None: nothing has it."""
    query = (
        select(ChainAttempt.max_fee_wei, ChainAttempt.priority_fee_wei)
        .join(ChainIntent, ChainIntent.key == ChainAttempt.intent_key)
        .where(
            ChainIntent.chain_id == chain_id,
            ChainIntent.sender_address == address,
            ChainAttempt.nonce == nonce,
        )
    )
    rows = session.execute(query).all()
    if not rows:
        return None
    return Fees(max(int(row[0]) for row in rows), max(int(row[1]) for row in rows))


def _nonce_unused() -> ColumnElement[bool]:
    """Return the condition that another transaction did what an intent wants, and none of its own is in a block.

    A fork may take back the one that had its nonce. Nobody sends that again, and what waits above it waits for ever.
    """
    own = ChainAttempt.intent_key == ChainIntent.key
    mined = exists().where(own, ChainInclusion.tx_hash == ChainAttempt.tx_hash)
    did_it = exists().where(own, ChainAttempt.tx_hash == ChainIntent.tx_hash)
    return (ChainIntent.state == IntentState.CONFIRMED) & ~did_it & ~mined


def check_spending(
    session: Session, caps: DailyCaps | None, account: Account, transactions: int, cost_wei: int
) -> None:
    """Refuse what would lead an account over its caps of today.

    Parameters
    ----------
    caps
        None: there are none, and nothing is refused.
    transactions
        Nonces that would be signed for.
    cost_wei
        The most that this can cost in addition, in wei.

    Raises
    ------
    PolicyRefused
        If it would.
    """
    if caps is not None:
        _checked(_today(session, account, lock=False), caps, account[1], transactions, cost_wei)


def spend(
    session: Session, caps: DailyCaps | None, account: Account, transactions: int, cost_wei: int
) -> None:
    """Count what is signed for an account that has caps, in the commit that stores it; see ``check_spending``."""
    if caps is None:
        return
    spending = _today(session, account, lock=True)
    _checked(spending, caps, account[1], transactions, cost_wei)
    if spending is None:
        chain_id, address = account
        day = datetime.now(UTC).date()
        spending = ChainSpending(
            chain_id=chain_id, address=address, day=day, transactions=0, cost_wei=0
        )
        session.add(spending)
    spending.transactions += transactions
    spending.cost_wei += cost_wei
    session.flush()


def signed_for_lately(session: Session, chain_id: int) -> dict[str, int]:
    """Return what each account signed for at the most, in wei, on the last days on which it signed, of a month."""
    today = datetime.now(UTC).date()
    query = select(ChainSpending).where(
        ChainSpending.chain_id == chain_id, ChainSpending.day > today - timedelta(days=_MONTH_DAYS)
    )
    found: dict[str, list[int]] = {}
    for row in session.scalars(query.order_by(ChainSpending.day.desc())):
        found.setdefault(row.address, []).append(int(row.cost_wei))
    return {address: sum(costs[:LATELY_DAYS]) for address, costs in found.items()}


def _today(session: Session, account: Account, *, lock: bool) -> ChainSpending | None:
    key = (*account, datetime.now(UTC).date())
    return session.get(ChainSpending, key, with_for_update=True if lock else None)


def _checked(
    spending: ChainSpending | None,
    caps: DailyCaps,
    address: str,
    transactions: int,
    cost_wei: int,
) -> None:
    signed, cost = (spending.transactions, int(spending.cost_wei)) if spending else (0, 0)
    if signed + transactions > caps.transactions:
        raise PolicyRefused(
            "daily transactions",
            f"{address} has signed {signed} transactions today (UTC), the cap is {caps.transactions}",
            "wait for tomorrow, or raise signer_daily_transactions",
        )
    if cost + cost_wei > caps.cost_wei:
        raise PolicyRefused(
            "daily cost",
            f"{address} has signed for {cost // GWEI} gwei today (UTC), {cost_wei // GWEI} more would pass the cap "
            f"of {caps.cost_wei // GWEI}",
            "wait for tomorrow, or raise signer_daily_wei",
        )
