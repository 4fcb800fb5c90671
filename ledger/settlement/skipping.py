"""How the contract, which finalises in order, passes many closed batches in a row.

A finalisation passes at most 32 closed batches by itself. When more were cancelled, or settled at once,
before the next one, it is refused as out of order however often it is tried: then ``skipClosed`` has to
be called first, which anyone may do, and which moves nothing but the place where the contract looks.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.sending import intents
from ledger.chain.sending.intents import new_key
from ledger.models import ChainIntent
from ledger.models.sending import UNDER_WAY
from ledger.settlement.calls import SKIP, call_of

SKIP_PER_TRANSACTION = 1000
"""Closed batches that one call passes: about 5,000 gas each, of the 16,777,216 of a transaction."""


def pass_closed(chain: Chain, batch_id: int) -> list[str]:
    """Let the contract pass the closed batches before one that it refused as out of order.

    One transaction passes ``SKIP_PER_TRANSACTION``; with more of them, the next refusal leads here again.
    Nothing is sent while a batch before this one is open: then it is for that one to be settled first.

    Returns
    -------
    list of str
        The hash of the transaction; none when there is nothing to pass.

    Raises
    ------
    DependencyDown
        If the node does not answer, or does not take the transaction now; it is sent again later.
    """
    if chain.settlement.next_to_finalize() < batch_id:
        return []
    waiting = [key for key, tx_hash in _open(chain) if not _included(chain, tx_hash)]
    key = waiting[0] if waiting else chain.db.run(lambda session: _plan(session, chain))
    return [chain.sender.submit(key, SETTLEMENT)]


def _open(chain: Chain) -> list[tuple[str, str | None]]:
    """Return the calls that are planned or sent and not known to be final, with their transactions."""
    query = select(ChainIntent.key, ChainIntent.tx_hash).where(
        ChainIntent.kind == SKIP,
        ChainIntent.contract_address == chain.deployment.settlement.address.lower(),
        ChainIntent.state.in_(UNDER_WAY),
    )
    with chain.db.read() as session:
        return [(key, tx_hash) for key, tx_hash in session.execute(query)]


def _included(chain: Chain, tx_hash: str | None) -> bool:
    return tx_hash is not None and chain.client.receipt(tx_hash) is not None


def _plan(session: Session, chain: Chain) -> str:
    call = call_of(chain, new_key(), SKIP, "skipClosed", [SKIP_PER_TRANSACTION])
    return intents.plan(session, chain.deployment.chain_id, call)
