"""Random histories as plain data: what happens, in which order, from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.faults import FORKED, KINDS
from tests.support.history_acts import IN_FORKS, ON_CHAIN

Step = tuple[Any, ...]
DEPTH_MAX = 64
MARIADB_SHARE = 0.15
PROCESS_SHARE = 0.3
AHEAD_SHARE = 0.3
_OFTEN = (
    "issue", "transfer", "retire", "deposit", "deposit", "bring_credits", "propose", "cosign", "dispute",
)  # fmt: skip
_ACTS = (*ON_CHAIN, *_OFTEN)
_REPLACED: tuple[Step, ...] = (
    ("act", "share", 50, 0, 0),
    ("act", "issue", 40, 0, 0),
    ("act", "retire", 3, 0, 0),
    ("act", "invalidate", 1, 0, 0),
    ("act", "replace", 1, 0, 0),
    ("act", "replace", 5, 0, 0),
)
"""By chance alone it hardly ever comes to a replacement: what it takes, one after the other."""
_REPLACED_SHARE = 0.3
INLINE_FAULTS = tuple(KINDS)
PROCESS_FAULTS = tuple(name for name in KINDS if name != "time-out")
"""The command waits half a minute for an answer; the time-out is tried with a client of two seconds."""


@dataclass(frozen=True)
class Plan:
    """One history.

    Parameters
    ----------
    store
        ``sqlite`` or ``mariadb``.
    processes
        Whether the command itself mirrors, in processes that are killed; else an ``Indexer`` does.
    """

    seed: int
    steps: tuple[Step, ...]
    store: str = "sqlite"
    processes: bool = False
    finality: str = "64"
    faults: tuple[str, ...] = field(default=())
    ahead: bool = False
    """Whether ranges are short, and a process of its own reads all that follow another."""


def plan(
    seed: int, mariadb_share: float = MARIADB_SHARE, process_share: float = PROCESS_SHARE
) -> Plan:
    """Return the history of a seed."""
    chance = random.Random(seed)
    store = "mariadb" if chance.random() < mariadb_share else "sqlite"
    processes = chance.random() < process_share
    finality = chance.choice(("64", "64", "64", "finalized", "5"))
    known = PROCESS_FAULTS if processes else INLINE_FAULTS
    faults = tuple(chance.sample(known, chance.choice((0, 1, 1, 2, 2))))
    steps: list[Step] = [("act", "issue", 50, 0, 0), ("act", "deposit", 60, 0, 1)]
    if chance.random() < 0.4:  # long enough for the deepest reorganisations
        steps += [("mine", DEPTH_MAX), ("mirror",)]
    if processes:
        steps.append(("start",))
    count = chance.randint(14, 30)
    other = _process if processes else _during
    middle = [other(chance) if chance.random() < 0.2 else _step(chance) for _ in range(count)]
    for name in faults:
        place = chance.randrange(len(middle) + 1)
        strikes = chance.randint(1, 2 if processes else 6)
        before: list[Step] = (
            [("reorganise", 1 + chance.randrange(6), fork(chance))] if name in FORKED else []
        )
        middle[place:place] = [*before, ("fault", name, strikes)]
    if processes:
        middle.insert(chance.randrange(len(middle) + 1), ("kill", *_when(chance)))
        middle.insert(chance.randrange(len(middle) + 1), ("second",))
    ahead = chance.random() < AHEAD_SHARE
    if chance.random() < _REPLACED_SHARE:
        place = chance.randrange(len(middle) + 1)
        middle[place:place] = _REPLACED
    return Plan(seed, (*steps, *middle), store, processes, finality, faults, ahead)


def act(chance: random.Random, names: Sequence[str]) -> tuple[str, int, int, int]:
    """Return an act with its three numbers."""
    return chance.choice(names), chance.randint(1, 60), chance.randint(0, 5), chance.randint(0, 2)


def fork(chance: random.Random) -> tuple[Step, ...]:
    """Return what the blocks of a fork hold instead."""
    return tuple(
        (*act(chance, IN_FORKS), chance.randint(0, 8)) for _ in range(chance.randint(0, 5))
    )


def _depth(chance: random.Random) -> int:
    return chance.choice(
        (1, 1, 2, chance.randint(1, 8), chance.randint(1, 24), chance.randint(1, DEPTH_MAX))
    )


def _step(chance: random.Random) -> Step:
    roll = chance.random()
    if roll < 0.62:
        return ("act", *act(chance, _ACTS))
    if roll < 0.67:
        return ("mine", chance.randint(1, 20))
    if roll < 0.79:
        return ("reorganise", _depth(chance), fork(chance))
    if roll < 0.86:
        return ("roll_back", _depth(chance))
    return ("mirror",) if roll < 0.94 else ("look",)


def _during(chance: random.Random) -> Step:
    """Return something that happens at a request of a tick: chain or books move under the mirror."""
    inner: tuple[Step, ...] = (
        ("second",),
        ("reorganise", _depth(chance), fork(chance)),
        ("roll_back", _depth(chance)),
        ("act", *act(chance, _ACTS)),
    )
    return ("during", chance.randint(1, 14), chance.choice(inner))


def _process(chance: random.Random) -> Step:
    roll = chance.random()
    if roll < 0.35:
        return ("kill", *_when(chance))
    if roll < 0.65:
        return ("start",)
    return ("second",) if roll < 0.9 else ("stop",)


def _when(chance: random.Random) -> tuple[int, float]:
    """Return after how many requests of the mirrors, and how long after, a process is killed."""
    return chance.randint(0, 25), chance.choice(
        (0.0, chance.uniform(0, 0.01), chance.uniform(0, 0.05))
    )
