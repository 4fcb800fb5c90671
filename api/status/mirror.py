"""Whether somebody mirrors the chain, as the books alone tell: for those who look at alarms and at no process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ledger.jobs import overview as working
from ledger.leases import holder_of, mirror_lease
from ledger.models import ChainBlock, ChainCursor, ChainInclusion, ChainIntent
from ledger.models.sending import IntentState
from ledger.units import counted

PATIENCE = timedelta(minutes=10)
"""A mirror that nobody runs, or that does not move, for longer is something that a person should look at."""
FINAL_AFTER = timedelta(days=1)
"""So is a chain that does not make final what has stood in it for longer: no chain that is known takes as long."""
FINAL_WITHIN = 256
"""Blocks; by fewer a chain that makes one for each transaction may well take days (``indexer.finality``)."""


def alarms(session: Session, network: str) -> list[str]:
    """Return a sentence when nobody mirrors for long while jobs run, what was sent waits, or the cursor is gone.

    It may wait for a mirror, or for a chain on which nothing becomes final.
    A quiet chain moves no mirror, and without jobs a chain may well be left alone: these are no alarms.
    """
    if missed := _cursor_missed(session, network):
        return [f"{missed}: somebody altered the mirror; see truetonne index status"]
    cursor = session.get(ChainCursor, network)
    if cursor is None:
        return []
    now = datetime.now(UTC)
    return _at_rest(session, cursor, now) or _never_final(session, cursor, now)


def _at_rest(session: Session, cursor: ChainCursor, now: datetime) -> list[str]:
    # Later by more: noted before the clock was set back, which holds nothing up (decision 0078).
    if abs(now - cursor.updated_at) < PATIENCE:
        return []
    since = f"since {cursor.updated_at:%Y-%m-%d %H:%M:%S} UTC"
    jobs, mirror = working.leader_of(session), holder_of(session, mirror_lease(cursor.network))
    if mirror is not None and mirror.away_for(PATIENCE) and jobs is not None and jobs.live:
        return [
            f"nobody mirrors the chain, and the books have not moved {since}; "
            "start truetonne up, or truetonne index run (the log of the last one says why it ended)"
        ]
    waiting = select(func.count()).where(
        ChainIntent.chain_id == cursor.chain_id,
        ChainIntent.state == IntentState.SUBMITTED,
        ChainIntent.submitted_at < now - PATIENCE,
    )
    count = session.scalar(waiting) or 0
    if count:
        wait = counted(count, "intent waits", "intents wait")
        return [
            f"the mirror has not moved {since}, and {wait} for it; "
            "see truetonne index status, and the log of truetonne index run"
        ]
    return []


def _never_final(session: Session, cursor: ChainCursor, now: datetime) -> list[str]:
    """Say that nothing becomes final: by our clock since it was sent, and by the chain's since it stands there.

    A local chain is let go ahead by years, in few blocks.
    """
    tip = session.get(ChainBlock, cursor.block_number)
    if tip is None or cursor.block_number - cursor.final_number <= FINAL_WITHIN:
        return []
    waiting = (
        select(func.count())
        .select_from(ChainIntent)
        .join(ChainInclusion, ChainInclusion.intent_key == ChainIntent.key)
        .join(ChainBlock, ChainBlock.number == ChainInclusion.block_number)
        .where(
            ChainIntent.chain_id == cursor.chain_id,
            ChainIntent.state == IntentState.SUBMITTED,
            ChainIntent.submitted_at < now - FINAL_AFTER,
            ChainBlock.number > cursor.final_number,
            ChainBlock.block_time < tip.block_time - FINAL_AFTER,
        )
    )
    count = session.scalar(waiting) or 0
    if not count:
        return []
    stand = counted(count, "intent has stood in a block", "intents have stood in blocks")
    return [
        f"{stand} for more than a day, and no block above {cursor.final_number} is final; "
        "see the check `chain final` of truetonne doctor"
    ]


def _cursor_missed(session: Session, network: str) -> str | None:
    """Say that a mirror has blocks and no cursor of a network; None where it has one, or has not begun."""
    networks = session.scalars(select(ChainCursor.network)).all()
    if network in networks or session.scalar(select(ChainBlock.number).limit(1)) is None:
        return None
    if networks:
        return f"chain_cursor has no row of {network!r}, but one of {networks[0]!r}"
    return f"chain_cursor has no row of {network!r}, and chain_blocks has blocks"
