"""How many blocks a node is asked about at once, and whether it was asked about too many.

What a node bears it says in words of its own, or not at all: a gateway calls the node behind it down, cuts the answer
off, or ends the connection, where the answer is too long for it. A node that is down answers no short question either,
and one that took no connection was not asked anything. It is not waited for twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ledger.chain.node.transports.errors import (
    AnswerTooLarge,
    GatewayAlone,
    NodeDown,
    NodeLimits,
    NodeTrouble,
)
from ledger.errors import TruetonneError

_RANGES_BEFORE_LONGER = 50
"""After how many ranges a length that was refused is tried again."""


class Length:
    """How many blocks the next range has.

    Parameters
    ----------
    blocks_max
        At most.
    first
        How many the first one has.
    """

    def __init__(self, blocks_max: int, first: int) -> None:
        self.blocks = min(blocks_max, first)
        self._blocks_max = blocks_max
        self._ceiling = blocks_max
        self._since_refused = 0

    def refused(self, blocks: int) -> None:
        """Note that a node would not answer for so many blocks: two at least."""
        self._ceiling = self.blocks = blocks // 2
        self._since_refused = 0

    def was(self, blocks: int, load: float) -> None:
        """Note how many blocks a range had, and how much it brought: 1 is as much as is wanted."""
        self._since_refused += 1
        if self._since_refused >= _RANGES_BEFORE_LONGER:
            self._ceiling, self._since_refused = min(2 * self._ceiling, self._blocks_max), 0
        if load > 1:
            self.blocks = max(1, min(blocks, int(blocks / load)))
        elif blocks >= self.blocks:
            longer = 2 * blocks if load < 0.5 else int(blocks / load)
            self.blocks = min(self._ceiling, longer)


def is_of_length(error: NodeTrouble, ask_shortly: Callable[[], object]) -> bool:
    """Return whether a trouble may be of how much was asked for, so that less may be answered.

    Parameters
    ----------
    ask_shortly
        Asks the node for something short.
    """
    if isinstance(error, AnswerTooLarge):
        return True
    if isinstance(error, NodeLimits):
        return False
    if isinstance(error, NodeDown) and not isinstance(error, GatewayAlone):
        return False
    with suppress(TruetonneError):
        ask_shortly()
        return True
    return False
