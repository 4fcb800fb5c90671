"""What the histories of a run did, added up."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.support.faults import KINDS
from tests.support.plans import Plan
from tests.support.scenario import Outcome

DEPTHS = ((1, 1), (2, 4), (5, 16), (17, 32), (33, 63), (64, 64))


class Summary:
    """Counts over histories that were equal, and the differences of the others."""

    def __init__(self, seed: int, mariadb_share: float, process_share: float) -> None:
        self.seed = seed
        self.shares = (mariadb_share, process_share)
        self.histories = 0
        self.totals: Counter[str] = Counter()
        self.depths: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.faulted: Counter[str] = Counter()
        self.differences: list[tuple[int, str]] = []

    def add(self, what: Plan, outcome: Outcome) -> None:
        """Add a history that was equal."""
        self.histories += 1
        self.totals[f"on {what.store}"] += 1
        self.totals["mirrored by processes" if what.processes else "mirrored in one process"] += 1
        self.totals[f"finality {what.finality}"] += 1
        self.totals["blocks"] += outcome.blocks
        self.totals["events at the end"] += outcome.events
        self.totals["failed transactions"] += outcome.failed_transactions
        self.totals["seconds"] += round(outcome.seconds)
        self.totals.update(outcome.counts)
        self.depths.update(outcome.depths)
        self.faults.update(outcome.strikes)
        self.faulted.update(set(what.faults))

    def differ(self, what: Plan, error: Exception) -> None:
        """Add a history that was not."""
        self.histories += 1
        self.differences.append((what.seed, f"{type(error).__name__}: {error}"))

    def replay(self, seed: int) -> str:
        """Return the command that runs one history again."""
        mariadb, processes = self.shares
        return (
            f"./dev histories --seed {seed} --count 1 --mariadb-share {mariadb} "
            f"--process-share {processes}"
        )

    def by_depth(self) -> dict[str, int]:
        """Return how many reorganisations there were of which depth."""
        return {
            f"{low}" if low == high else f"{low} to {high}": sum(
                count for depth, count in self.depths.items() if low <= depth <= high
            )
            for low, high in DEPTHS
        }

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        yield ""
        yield f"{self.histories} histories from seed {self.seed}, {len(self.differences)} differences"
        for name in sorted(self.totals):
            yield f"  {self.totals[name]:>8,}  {name}"
        yield f"  {sum(self.depths.values()):>8,}  reorganisations, heads that moved back among them, by depth:"
        for name, count in self.by_depth().items():
            yield f"  {count:>8,}    {name}"
        yield f"  {sum(self.faults.values()):>8,}  strikes of faults, and in how many histories each struck:"
        for name in KINDS:
            yield f"  {self.faults[name]:>8,}    {name}, in {self.faulted[name]}"
        for seed, text in self.differences:
            yield f"{seed}: {text}"
            yield f"   {self.replay(seed)}"

    def as_json(self) -> dict[str, Any]:
        """Return the same for programs."""
        return {
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seed": self.seed,
            "histories": self.histories,
            "differences": [{"seed": seed, "text": text} for seed, text in self.differences],
            "totals": dict(sorted(self.totals.items())),
            "reorganisations": self.by_depth(),
            "faults": {
                name: {"strikes": self.faults[name], "histories": self.faulted[name]}
                for name in KINDS
            },
        }
