"""How long the mirror waits after a trouble, and what it calls it: a node that is down is not one that lags."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from ledger.chain.node.client import RpcError
from ledger.chain.node.transports.errors import NodeTrouble

_DOUBLINGS_MAX = 16
_TURNS_MAX = 3
"""How many rewinds to the same block, one after the other, show that two chains answer."""
_CALM_S = 60.0
"""After so long without a rewind the next one counts as the first."""


@dataclass(frozen=True)
class Trouble:
    """A kind of trouble: its name, and the first and the longest wait in seconds."""

    name: str
    first_s: float
    longest_s: float


DOWN = Trouble("the node is down", 0.5, 15.0)
SLOW = Trouble("the node is slow", 1.0, 30.0)
LIMITS = Trouble("the node limits how much it is asked", 2.0, 60.0)
PRUNED = Trouble("the node has forgotten what is needed; an archive node has it", 5.0, 60.0)
LAGS = Trouble("the node lags", 0.25, 5.0)
MOVING = Trouble("the chain moves", 0.1, 1.0)
FORKS = Trouble("the node answers from two forks", 0.5, 5.0)
GONE = Trouble("the contracts are gone", 0.5, 15.0)
REFUSES = Trouble("the node refuses", 1.0, 30.0)
ODD = Trouble("the node's answer is none", 1.0, 30.0)
DATABASE = Trouble("the database", 0.25, 2.0)
"""Asked again soon: another node of a cluster takes over within seconds, and the work is to go on within ten."""

_BY_CODE = {
    "node-down": DOWN,
    "node-slow": SLOW,
    "node-limits": LIMITS,
    "node-answer": ODD,
    "node-behind": LAGS,
    "node-moving": MOVING,
    "node-forks": FORKS,
    "contracts-gone": GONE,
    "database-down": DATABASE,
    "database-busy": DATABASE,
    "schema-missing": DATABASE,
    "unreadable-value": DATABASE,
    "refused-by-trigger": DATABASE,
}


def trouble_of(error: Exception) -> Trouble:
    """Return what kind of trouble an error is."""
    if isinstance(error, RpcError):
        if error.pruned:
            return PRUNED
        if error.limits:
            return LIMITS
        return LAGS if error.unreached else REFUSES
    return _BY_CODE.get(getattr(error, "code", ""), DOWN)


def pause_s(error: Exception, failures: int) -> float:
    """Return how long to wait, in seconds: twice as long each time, with jitter, as the node asked at least.

    Parameters
    ----------
    failures
        How many attempts failed in a row, from 1.
    """
    trouble = trouble_of(error)
    doubled: float = trouble.first_s * 2 ** min(failures - 1, _DOUBLINGS_MAX)
    waited = min(doubled, trouble.longest_s) * random.uniform(0.5, 1.0)
    asked = error.retry_after_s if isinstance(error, NodeTrouble) else None
    return max(waited, asked or 0.0)


class Turns:
    """The last rewinds: whether the mirror takes back and reads again what it took back just before.

    One address may lead to two nodes that follow different forks. Each is believed when it answers, so the same blocks
    would be taken back and written as fast as both can be asked, for as long as the forks stand.
    """

    def __init__(self) -> None:
        self._to: int | None = None
        self._count = 0
        self._last_s = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the trouble is not over: one good look is no proof, as the next may be the other node's."""
        return self._count >= _TURNS_MAX and time.monotonic() - self._last_s < _CALM_S

    def note(self, rewound_to: int) -> bool:
        """Note a rewind to a block; return whether it was one too many to the same."""
        now_s = time.monotonic()
        again = rewound_to == self._to and now_s - self._last_s < _CALM_S
        self._count = self._count + 1 if again else 1
        self._to, self._last_s = rewound_to, now_s
        return self._count >= _TURNS_MAX
