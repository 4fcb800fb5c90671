"""How far the mirror has come: one row for each network, moved only by a guarded UPDATE.

The old position stands in the WHERE. Two mirrors may run at once: the second one finds no row that is
still where it left off, rolls its whole range back, and nothing is written twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from indexer.altered import REINDEX
from ledger.chain.node.records import BlockHeader
from ledger.db.counting import rows_found
from ledger.errors import BooksDiffer
from ledger.models import ChainBlock, ChainCursor, MirrorReorganisation
from ledger.models.types import ValueRefused


class Overtaken(Exception):
    """Somebody else moved the cursor; whoever meets this writes nothing and looks again."""


@dataclass(frozen=True)
class Cursor:
    """The position of the mirror of one network."""

    network: str
    chain_id: int
    genesis_hash: str
    block_number: int
    """The last block that is mirrored."""
    block_hash: str
    final_number: int
    """The last block whose transactions are confirmed."""


def load(session: Session, network: str) -> Cursor | None:
    """Return the cursor of a network; None when nothing was mirrored yet."""
    row = session.scalars(
        select(ChainCursor)
        .where(ChainCursor.network == network)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        return None
    require_blocks(row)
    return Cursor(
        row.network,
        row.chain_id,
        row.genesis_hash,
        row.block_number,
        row.block_hash,
        row.final_number,
    )


def require_none(session: Session, network: str) -> None:
    """Require that books in which a network has no cursor have mirrored nothing, or another mirror has just begun it.

    Blocks have one number each, whatever chain they are of: a second chain would go between those of the first.

    Raises
    ------
    BooksDiffer
        If they hold blocks, which are another network's, or whose cursor was deleted.
    """
    if session.scalar(select(ChainBlock.number).limit(1)) is None:
        return
    if session.get(ChainCursor, network) is None:
        raise deleted(session, network)


def deleted(session: Session, network: str) -> BooksDiffer:
    """Return what to say of a mirror that has blocks, and no cursor of a network."""
    other = session.scalars(select(ChainCursor.network).limit(1)).first()
    if other is not None:
        return BooksDiffer(
            f"chain_cursor has no row of {network!r}, but one of {other!r}: set `network` and `deployment` to those of "
            f"these books, or use another database; if somebody renamed the row, {REINDEX}"
        )
    return BooksDiffer(
        f"chain_cursor has no row of {network!r}, and chain_blocks has blocks: somebody deleted it; {REINDEX}"
    )


def require_blocks(row: ChainCursor) -> None:
    """Require that a row says where the mirror stands: other programs can write a text there, on SQLite, or -1.

    Raises
    ------
    BooksDiffer
        If it does not.
    """
    for name in ("block_number", "final_number"):
        value = getattr(row, name)
        if not isinstance(value, int) or value < 0:
            raise BooksDiffer(
                f"{name} in chain_cursor of {row.network!r} is {value!r}, and holds the number of a block: somebody "
                f"altered it; {REINDEX}"
            )


def create(session: Session, cursor: Cursor) -> None:
    """Store the cursor of a network that has none."""
    session.add(
        ChainCursor(
            network=cursor.network,
            chain_id=cursor.chain_id,
            genesis_hash=cursor.genesis_hash,
            block_number=cursor.block_number,
            block_hash=cursor.block_hash,
            final_number=cursor.final_number,
            updated_at=datetime.now(UTC),
        )
    )
    session.flush()


def move(session: Session, cursor: Cursor, to: BlockHeader) -> Cursor:
    """Move the cursor to a block, forward or back; what was final above it is not any more.

    Raises
    ------
    Overtaken
        If the cursor is not where it was.
    BooksDiffer
        If it stands on what is no hash: somebody altered it.
    """
    final = min(cursor.final_number, to.number)
    return _guarded(
        session,
        cursor,
        replace(cursor, block_number=to.number, block_hash=to.hash, final_number=final),
    )


def finalize(session: Session, cursor: Cursor, final_number: int) -> Cursor:
    """Note that all blocks up to one are final.

    Raises
    ------
    Overtaken
        If the cursor is not where it was.
    """
    return _guarded(session, cursor, replace(cursor, final_number=final_number))


def note(session: Session, cursor: Cursor, ancestor: BlockHeader, head: BlockHeader) -> None:
    """Remember a reorganisation: from which tip, back to which block, towards which head."""
    session.add(
        MirrorReorganisation(
            network=cursor.network,
            found_at=datetime.now(UTC),
            ancestor_number=ancestor.number,
            ancestor_hash=ancestor.hash,
            old_number=cursor.block_number,
            old_hash=cursor.block_hash,
            new_number=head.number,
            new_hash=head.hash,
        )
    )
    session.flush()


def _guarded(session: Session, old: Cursor, new: Cursor) -> Cursor:
    statement = (
        update(ChainCursor)
        .where(
            ChainCursor.network == old.network,
            ChainCursor.block_number == old.block_number,
            ChainCursor.block_hash == old.block_hash,
            ChainCursor.final_number == old.final_number,
        )
        .values(
            block_number=new.block_number,
            block_hash=new.block_hash,
            final_number=new.final_number,
        )
        .execution_options(synchronize_session=False)
    )
    try:
        found = rows_found(session, statement)
    except ValueRefused as error:
        raise BooksDiffer(
            f"chain_cursor of {old.network!r}: {error}; the row was altered: {REINDEX}"
        ) from error
    if found != 1:
        raise Overtaken
    return new
