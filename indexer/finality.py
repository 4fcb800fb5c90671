"""What follows once blocks are final: only here is a thing *confirmed*, *executed* or *issued*."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from indexer import cursor as cursors
from indexer.cursor import Cursor
from ledger import issuance
from ledger.chain import intents, transactions
from ledger.chain.client import BlockHeader, ChainClient, RpcError
from ledger.chain.transactions import Outcome
from ledger.models import ChainBlock, ChainEvent, ChainInclusion
from ledger.settlement import confirm as settlement

FINALIZED = "finalized"
BLOCKS_KEPT = 512
"""So many final blocks keep their hashes, to find where a fork began that should not have happened."""


def final_block(
    client: ChainClient, session: Session, head: BlockHeader, finality: str | int
) -> int:
    """Return the number of the last final block as the node sees it; 0 when it is on another fork.

    Parameters
    ----------
    session
        Where the mirrored blocks are: what is called final must be one of them, or above them.
    finality
        ``finalized``, or how many blocks must stand on a block to make it final.
    """
    if isinstance(finality, int):
        return max(head.number - finality, 0)
    try:
        header = client.block(finality)
    except RpcError:  # a young chain has finalised nothing, and some nodes call that an error
        return 0
    if header is None:
        return 0
    stored = session.scalar(select(ChainBlock.hash).where(ChainBlock.number == header.number))
    return header.number if stored is None or stored == header.hash else 0


def advance(session: Session, cursor: Cursor, final_number: int, ours: bool = True) -> Cursor:
    """Confirm what stands in blocks up to ``final_number``, which is not above the cursor's block.

    Parameters
    ----------
    ours
        Whether our own intents, issuances and trades follow; a copy that is compared has none.

    Raises
    ------
    Overtaken
        If somebody else moved the cursor.
    """
    moved = cursors.finalize(session, cursor, final_number)
    outcomes = transactions.confirm(session, cursor.final_number, final_number)
    if ours:
        for outcome in outcomes:
            _settle_intent(session, outcome)
        session.flush()
        issuance.settle_final(session, final_number)
        settlement.settle_final(session, final_number, cursor.final_number)
    forget_blocks(session, cursor.final_number - BLOCKS_KEPT, final_number - BLOCKS_KEPT)
    return moved


def _settle_intent(session: Session, outcome: Outcome) -> None:
    key, tx_hash = outcome.intent_key, outcome.tx_hash
    number, at = outcome.block_number, outcome.block_time
    if outcome.error is None:
        intents.confirm(session, key, tx_hash, number, at)
        issuance.confirm(session, key)
        return
    intents.fail(session, key, tx_hash, number, at, outcome.error)
    # Each knows its own keys and ignores the others'.
    issuance.fail(session, key, outcome.error)
    settlement.failed(session, key, outcome.error)


def forget_blocks(session: Session, above_block: int, up_to_block: int) -> None:
    """Delete old blocks that brought nothing; those with something of ours keep time and hash."""
    if up_to_block <= 0:
        return
    session.execute(
        delete(ChainBlock)
        .where(
            ChainBlock.number > max(above_block, 0),
            ChainBlock.number <= up_to_block,
            ChainBlock.number.not_in(select(ChainEvent.block_number)),
            ChainBlock.number.not_in(select(ChainInclusion.block_number)),
        )
        .execution_options(synchronize_session=False)
    )
