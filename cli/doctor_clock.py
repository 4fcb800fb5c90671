"""What ``truetonne doctor`` says of the chain's time: whether this machine's clock agrees with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ledger.errors import ProblemFound

if TYPE_CHECKING:
    from ledger.chain.node.client import ChainClient
    from ledger.chain.node.records import BlockHeader

AHEAD_SECONDS_MAX = 15
"""A node takes no block that is further in the future."""
QUIET_SECONDS_MAX = 900
"""A chain may be quiet for so long, and nobody asks why."""
WATCHED_SECONDS = 13
"""A slot of Ethereum and a little: so long is waited for a chain to move, or for a node's own clock to."""
SLOT_SECONDS_MAX = 60
"""No chain that goes on by itself waits longer between two blocks."""
_LATE_SECONDS = 3
"""A block may come so much later than its time, and the next one not."""
_LOOK_EVERY_SECONDS = 1.0
_RISES_OF_A_CLOCK = 2
"""One alone may be another node behind the same address."""


def clock_of_chain(client: ChainClient, *, local: bool) -> str:
    """Compare the newest block's time with the clock here: a block of the future shows that the clock is behind.

    An old one may be the last of a quiet chain, or of one that stands still. It shows that the clock here is ahead
    where a node that is not catching up makes a block as old, or dates the one to come so, while we look.
    """
    head = client.head()
    age_s = int(time.time()) - head.timestamp
    if age_s < -AHEAD_SECONDS_MAX:
        found = f"the newest block is {-age_s} s later than the clock here"
        if local:
            return f"{found}, as on a local chain that was let go ahead"
        raise ProblemFound(
            f"{found}: periods that are over are taken for open, and sent transactions for late; "
            "have this machine keep time (NTP)"
        )
    found = f"the newest block is {max(age_s, 0)} s old"
    if local or not _is_old(head.timestamp):
        return found
    if _catches_up(client):
        return f"{found}: the node is catching up"
    if not _goes_on_old(client, head):
        return found
    raise ProblemFound(
        f"{found} by the clock here, and the next one is so, too: this clock is ahead, or the chain's is behind; where "
        "the database's is ahead as well (SQLite has this one), late readings are waited for too shortly "
        "(`issue_after_days`), and what is kept for a time is deleted too early; have this machine keep time (NTP)"
    )


def _is_old(second: int) -> bool:
    return int(time.time()) - second > QUIET_SECONDS_MAX


def _catches_up(client: ChainClient) -> bool:
    """Return whether a node says that it is on its way to the newest block: a node that does not say is there."""
    (found,) = client.attempt([("eth_syncing", ())])
    return isinstance(found, dict)


def _goes_on_old(client: ChainClient, head: BlockHeader) -> bool:
    """Watch an old chain, and return whether it goes on with times as old: then a clock made them.

    The time of the block to come is looked at again and again, because only one that moves on is of the node's clock.
    Reth counts 12 s from the newest block, Erigon keeps what it was given last, and in an Anvil it may be set
    beforehand. Blocks that come faster than time passes, by more than the one that was due, are of a node that catches
    up and does not say so.
    """
    began_s, newest = time.monotonic(), head
    last, rises = None, 0
    while time.monotonic() - began_s < WATCHED_SECONDS:
        newest = client.head()
        next_s = _next_block_s(client, newest) if newest.number == head.number else None
        if not _is_old(newest.timestamp if next_s is None else next_s):
            return False
        if next_s is not None:
            rises = rises + (next_s > last) if last is not None and next_s >= last else 0
            last = next_s
        if rises >= _RISES_OF_A_CLOCK:
            return True
        time.sleep(_LOOK_EVERY_SECONDS)
    blocks, gained_s = newest.number - head.number, newest.timestamp - head.timestamp
    if blocks <= 0:
        return False
    slot_s = min(gained_s / blocks, SLOT_SECONDS_MAX)
    return gained_s <= time.monotonic() - began_s + slot_s + _LATE_SECONDS


def _next_block_s(client: ChainClient, head: BlockHeader) -> int | None:
    """Return the time of the block that the node would make upon this one; None where it says none.

    Nor does one that gives the newest block again, as Nethermind and Besu do, one of before it, or one of later: then
    the chain has moved.
    """
    (found,) = client.attempt([("eth_getBlockByNumber", ("pending", False))])
    try:
        number, second = int(found["number"], 16), int(found["timestamp"], 16)
    except (TypeError, LookupError, ValueError):
        return None
    return second if number == head.number + 1 and second >= head.timestamp else None
