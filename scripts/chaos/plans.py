"""What a scenario does, as a value made of its seed: the store, the options of the product, and the faults."""

from __future__ import annotations

import random
from dataclasses import dataclass

from scripts.chaos.kinds import ALONE, CHEAP, ON_MARIADB, ON_SQLITE

MARIADB_SHARE = 0.25
ORDER = (*CHEAP, *ALONE, *CHEAP)
"""The first fault of a scenario, seed after seed."""
FINALITIES: tuple[str | int, ...] = ("finalized", 1, 3, 6)


@dataclass(frozen=True)
class Plan:
    """One scenario.

    ``turns`` are the names of the faults that strike in each of its turns; a turn is work of every kind.
    """

    seed: int
    store: str
    finality: str | int
    cosigned: bool
    netting_hours: int
    turns: tuple[tuple[str, ...], ...]

    @property
    def kinds(self) -> set[str]:
        """The kinds of fault that are to strike."""
        return {name for turn in self.turns for name in turn}


def plan(seed: int, mariadb_share: float = MARIADB_SHARE, only: str | None = None) -> Plan:
    """Return the scenario of a seed.

    Parameters
    ----------
    mariadb_share
        Which share of the scenarios is kept in MariaDB, where the kind of fault leaves a choice.
    only
        A kind of fault that every scenario has; None: each in turn.
    """
    chance = random.Random(seed)
    first = only or ORDER[seed % len(ORDER)]
    store = "mariadb" if chance.random() < mariadb_share else "sqlite"
    if first in ON_MARIADB and mariadb_share > 0:
        store = "mariadb"
    if first in ON_SQLITE:
        store = "sqlite"
    others = [
        name for name in CHEAP if name != first and not (store == "mariadb" and name in ON_SQLITE)
    ]
    turns: list[tuple[str, ...]] = [(first,)]
    if first not in ALONE:
        if chance.random() < 0.6:
            turns.append((chance.choice(others),))
        if chance.random() < 0.3:
            turns[0] = (first, "kill") if first != "kill" else turns[0]
        if chance.random() < 0.3:
            turns.append((chance.choice(others),))
        chance.shuffle(turns)
    if chance.random() < 0.5:
        turns.insert(0, ())
    return Plan(
        seed,
        store,
        chance.choice(FINALITIES),
        chance.random() < 0.5,
        chance.choice((1, 24)),
        tuple(turns),
    )
