"""Decides which blocks are final, and what follows: only here is a thing *confirmed*, *executed* or *issued*."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from indexer import cursor as cursors
from indexer.cursor import Cursor
from ledger import issuance
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.records import BlockHeader
from ledger.chain.sending import adoption, intents, transactions
from ledger.chain.sending.transactions import Outcome
from ledger.models import ChainBlock, ChainEvent, ChainInclusion
from ledger.settlement import confirm as settlement

FINALIZED = "finalized"
BLOCKS_KEPT = 512
"""How many final blocks keep their hashes, to find where a fork began that should not have happened."""
BEHIND_MAX = 128
"""Nodes behind one address are so many blocks apart in what they call final: four epochs of Ethereum."""

STANDS_BLOCKS, STANDS_S = 256, 24 * 3600
"""Finality stands still where the final block is both so many blocks below the head and so many seconds older. The
longest outages known took hours; and a local chain whose clock is moved ahead has few blocks for each year, so that
both are needed. The alarm of ``api.status.mirror`` has the same bounds."""


@dataclass(frozen=True)
class FinalityClaim:
    """The last final block as the node sees it; its hash where the node named one."""

    number: int = 0
    block_hash: str | None = None
    lacks: str | None = None
    """Why the node names no final block."""
    timestamp: int = 0
    """The time of that block, where the node named one."""

    def reaches(self, final: int) -> bool:
        """Tell whether the final block of the node is not too far behind that of the books."""
        return self.lacks is None and self.number >= final - BEHIND_MAX

    def stands_still(self, head: BlockHeader) -> str | None:
        """Return what to say of a node that goes on and makes nothing final; None for one that does."""
        if self.block_hash is None or head.number - self.number <= STANDS_BLOCKS:
            return None
        late_s = head.timestamp - self.timestamp
        if late_s <= STANDS_S:
            return None
        return (
            f"by the node the final block is {self.number}, which is {head.number - self.number} blocks and "
            f"{late_s // 3600} hours below its head"
        )

    def sentences(self) -> list[str]:
        """Return for people what follows from that, if anything does."""
        if self.lacks is None:
            return []
        return [
            f"which block is final, as the node names none ({self.lacks}): nothing is confirmed until it does; a young "
            "chain does after some minutes, and for one that never does set `finality` to a number of blocks"
        ]


def claimed(client: ChainClient, finality: str) -> FinalityClaim:
    """Ask the node which block is final.

    Ask this first, and look at the blocks that shall be confirmed after it: those up to the final block that are still
    in the chain then are final. In the other order a fork could come between.
    """
    try:
        header = client.block(finality)
    except RpcError as error:
        if error.limits:
            raise
        # A young chain has finalised nothing, and some nodes call that an error.
        return FinalityClaim(lacks=error.message)
    if header is None:
        return FinalityClaim(lacks=f"no block is {finality}, by its answer")
    return FinalityClaim(header.number, header.hash, timestamp=header.timestamp)


def final_number(session: Session, claim: FinalityClaim, tip: int) -> int:
    """Return the last mirrored block that is final; 0 when the node's final block is of another fork.

    Parameters
    ----------
    session
        Where the mirrored blocks are: what is called final must be one of them, or above them.
    """
    if claim.block_hash is not None:
        stored = session.scalar(select(ChainBlock.hash).where(ChainBlock.number == claim.number))
        if stored is not None and stored != claim.block_hash:
            return 0
    return min(claim.number, tip)


def advance(session: Session, cursor: Cursor, final_number: int, ours: bool = True) -> Cursor:
    """Confirm everything in blocks up to ``final_number``, and move the cursor's final number there.

    That is never above the block of the cursor. Nothing happens where these blocks were final before.

    Parameters
    ----------
    ours
        Whether our own intents, issuances and trades follow it; a mirror that is only compared has none of them.

    Raises
    ------
    Overtaken
        If somebody else moved the cursor.
    """
    if final_number <= cursor.final_number:
        return cursor
    moved = cursors.finalize(session, cursor, final_number)
    outcomes = transactions.confirm(session, cursor.final_number, final_number)
    if ours:
        for outcome in outcomes:
            _settle_intent(session, outcome)
        session.flush()
        adoption.adopt_final(session, final_number, cursor.final_number)
        for outcome in transactions.left_open(session, cursor.final_number):
            _settle_intent(session, outcome)
        issuance.settle_final(session, final_number)
        settlement.settle_final(session, final_number, cursor.final_number)
    forget_blocks(session, cursor.final_number - BLOCKS_KEPT, final_number - BLOCKS_KEPT)
    return moved


def _settle_intent(session: Session, outcome: Outcome) -> None:
    key, tx_hash = outcome.intent_key, outcome.tx_hash
    number, at = outcome.block_number, outcome.block_time
    if outcome.error is None:
        intents.confirm(session, key, tx_hash, number, at)
        return
    if adoption.in_mirror(session, intents.get(session, key)) is not None:
        return  # another transaction did it, and this one came too late; or it came first, and was refused
    intents.fail(session, key, tx_hash, number, at, outcome.error)
    # Each knows its own keys and ignores the others'.
    issuance.fail(session, key, outcome.error)
    settlement.fail(session, key, outcome.error)


def forget_blocks(session: Session, above_block: int, up_to_block: int) -> None:
    """Delete old blocks that brought nothing; those with something of ours keep time and hash."""
    if up_to_block <= 0:
        return
    session.execute(
        delete(ChainBlock)
        .where(
            ChainBlock.number > max(above_block, 0),
            ChainBlock.number <= up_to_block,
            ~exists().where(ChainEvent.block_number == ChainBlock.number),
            ~exists().where(ChainInclusion.block_number == ChainBlock.number),
        )
        .execution_options(synchronize_session=False)
    )
