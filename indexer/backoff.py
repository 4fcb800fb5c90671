"""How long the mirror waits after a trouble, and what it calls it: a node that is down is not one that lags."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ledger.chain.node.client import RpcError
from ledger.chain.node.transports.errors import NodeTrouble

_DOUBLINGS_MAX = 16


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
    "database-down": DATABASE,
    "database-busy": DATABASE,
    "schema-missing": DATABASE,
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
