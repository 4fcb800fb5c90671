"""What befalls the node that is written to, what mends it, and how long each part of the product needed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.ha.load import Load
from tests.ha.park_at_work import AtWork
from tests.support.galera import Cluster, Node, until

GO_ON_S = 10.0
"""Within this time everything goes on by itself."""
_DEADLINE_S = 60.0
PARTS = ("ledger", "indexer", "jobs", "api")


def killed(node: Node) -> None:
    """Kill -9; it comes back with what its disk has."""
    node.kill()


def lost(node: Node) -> None:
    """Kill -9; it comes back with an empty disk."""
    node.kill()


def frozen(node: Node) -> None:
    """SIGSTOP: it takes connections and says nothing."""
    node.freeze()


def cut_off(node: Node) -> None:
    """It hears no other node; its clients still reach it."""
    node.isolate(True)


def stopped(node: Node) -> None:
    """Ended in order, as for an update."""
    node.stop()


def back(node: Node) -> None:
    """Start it again."""
    node.restart()


def back_empty(node: Node) -> None:
    """Start it again without its data."""
    node.wipe()
    node.restart()


def thawed(node: Node) -> None:
    """Let it go on."""
    node.thaw()


def joined(node: Node) -> None:
    """Let it hear the others."""
    node.isolate(False)


@dataclass(frozen=True)
class Kind:
    """A fault, how it is mended, and how often it is drawn."""

    name: str
    strike: Callable[[Node], None]
    mend: Callable[[Node], None]
    weight: int


KINDS = (
    Kind("kill -9", killed, back, 6),
    Kind("kill -9, disk lost", lost, back_empty, 1),
    Kind("frozen", frozen, thawed, 2),
    Kind("cut off", cut_off, joined, 2),
    Kind("restarted", stopped, back, 1),
)


@dataclass
class Round:
    """One strike, and what came of it."""

    kind: str
    node: str
    successor: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    """From the strike to the first success of each part."""
    back_s: float = 0.0
    """From the node's return until it had everything."""


def kinds(rounds: int, chance: random.Random, wanted: str = "") -> list[Kind]:
    """Return the faults of so many rounds: of the kind wanted; else each once where there is room, kill -9 first."""
    if wanted:
        return [next(kind for kind in KINDS if kind.name == wanted)] * rounds
    drawn = list(KINDS[:rounds])
    while len(drawn) < rounds:
        drawn += chance.choices(KINDS, [kind.weight for kind in KINDS])
    first, rest = drawn[0], drawn[1:]
    chance.shuffle(rest)
    return [first, *rest]


def play(work: AtWork, load: Load, kind: Kind, chance: random.Random) -> Round:
    """Strike the writer at a random instant, wait until all goes on, mend it, and wait until it is whole."""
    cluster = work.cluster
    time.sleep(chance.uniform(1.0, 4.0))
    load.check()
    node = cluster.writer()
    assert node is not None
    found = Round(kind.name, node.name)
    block, wall, struck_s = (
        work.park.node.client.block_number(),
        datetime.now(UTC),
        time.monotonic(),
    )
    kind.strike(node)
    took: dict[str, float] = {}

    def went_on() -> bool:
        load.check()
        seen = _first(load, struck_s, wall, block)
        took.update(seen)
        return len(took) == len(PARTS)

    until(went_on, f"{kind.name} of {node.name}: only {sorted(took)} went on", _DEADLINE_S)
    found.seconds = {part: round(took[part], 2) for part in PARTS}
    successor = cluster.writer()
    assert successor is not None and successor is not node, "the same node is written to"
    found.successor = successor.name
    found.back_s = round(_mended(cluster, node, kind), 1)
    assert cluster.writer() is successor, "a node that came back took the work over"
    return found


def play_all_lost(work: AtWork, load: Load, chance: random.Random) -> Round:
    """Kill all three nodes at once, and begin again with the one that has most, as a person does by docs/ha.md."""
    cluster = work.cluster
    time.sleep(chance.uniform(1.0, 4.0))
    load.check()
    writer = cluster.writer()
    assert writer is not None
    block, wall, struck_s = (
        work.park.node.client.block_number(),
        datetime.now(UTC),
        time.monotonic(),
    )
    others = [node for node in cluster.nodes if node is not writer]
    for node in (writer, *chance.sample(others, len(others))):
        node.kill()
    cluster.begin_again()
    back_s = time.monotonic() - struck_s
    took: dict[str, float] = {}

    def went_on() -> bool:
        load.check()
        took.update(_first(load, struck_s, wall, block))
        return len(took) == len(PARTS)

    until(went_on, f"all lost: only {sorted(took)} went on", _DEADLINE_S)
    successor = cluster.writer()
    assert successor is not None
    return Round(
        "kill -9 of all three, the writer",
        writer.name,
        successor.name,
        {part: round(took[part], 2) for part in PARTS},
        round(back_s, 1),
    )


def _mended(cluster: Cluster, node: Node, kind: Kind) -> float:
    began_s = time.monotonic()
    kind.mend(node)
    cluster.whole()
    return time.monotonic() - began_s


def _first(load: Load, struck_s: float, wall: datetime, block: int) -> dict[str, float]:
    """Return the seconds until the first success after the strike, of each part that had one."""
    found = {}
    for part, worker in (("ledger", load.readings), ("api", load.requests)):
        ends = [end for asked, end in list(worker.spans) if asked > struck_s]
        if ends:
            found[part] = ends[0] - struck_s
    for seen_s, at in list(load.observer.blocks):
        if seen_s > struck_s and at > block:
            found["indexer"] = seen_s - struck_s
            break
    for seen_s, ended in list(load.observer.runs):
        if seen_s > struck_s and ended > wall:
            found["jobs"] = seen_s - struck_s
            break
    return found
