"""This machine's clock in a walk of the books: it is not the chain's.

It goes on as the chain's does, also where that is let go ahead by a window, and shows something else: seconds, minutes
or hours more, or less. Now and then it is set, forward or back. The database's clock stays as it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ledger.chain.node.client import ChainClient
from scripts.chaos import clock

SPANS_S = ((0, 0), (1, 30), (60, 3_000), (3_601, 4_000), (3_601, 100_000))
"""How far the two are apart, either way: one of these, and in that a number of seconds."""
SET = 0.02
"""In so many acts of a hundred somebody sets the clock."""


@dataclass
class Clocks:
    """How this machine's clock stands to the chain's; drawn by itself, so that the acts of a seed stay as they are."""

    client: ChainClient
    seed: int
    apart_s: int = 0
    """By how much this machine's is ahead."""
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(f"clocks {self.seed}")
        self._set()

    def _set(self) -> None:
        least, most = self.chance.choice(SPANS_S)
        self.apart_s = self.chance.choice((1, -1)) * self.chance.randint(least, most)

    def go_on(self) -> str | None:
        """Let this machine's clock show what it does by now; return what to note, where it was set."""
        is_set = self.chance.random() < SET
        if is_set:
            self._set()
        coming = self.client.request("eth_getBlockByNumber", ["pending", False])
        chain = datetime.fromtimestamp(int(coming["timestamp"], 16), UTC)
        clock.set_right()
        clock.jump(chain + timedelta(seconds=self.apart_s) - datetime.now(UTC))
        return f"the clock is set: {self.apart_s:+} s" if is_set else None


@contextmanager
def clocks_apart(client: ChainClient, seed: int) -> Iterator[Clocks]:
    """Give the product a clock that is not the chain's, for as long as a walk takes."""
    with clock.own():
        yield Clocks(client, seed)
