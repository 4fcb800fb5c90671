"""What the scenarios of a run did, added up."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator
from typing import Any

from scripts.chaos.differs import DidNotStrike, Stuck
from scripts.chaos.kinds import KINDS
from scripts.chaos.plans import Plan
from scripts.chaos.scenario import Outcome


class Summary:
    """Counts over scenarios that were right, and what was not right of the others."""

    def __init__(self, seed: int, options: str) -> None:
        self.seed = seed
        self.options = options
        self.scenarios = 0
        self.totals: Counter[str] = Counter()
        self.strikes: Counter[str] = Counter()
        self.struck_in: Counter[str] = Counter()
        self.depths: Counter[int] = Counter()
        self.said: Counter[str] = Counter()
        self.boundaries: Counter[str] = Counter()
        self.bad: list[tuple[int, str, str]] = []

    def add(self, what: Plan, outcome: Outcome) -> None:
        """Add a scenario that was right."""
        self.scenarios += 1
        self.totals[f"on {what.store}"] += 1
        self.totals["seconds"] += round(outcome.seconds)
        self.totals.update(outcome.counts)
        self.strikes.update(outcome.strikes)
        self.struck_in.update(what.kinds)
        self.depths.update(outcome.depths)
        self.said.update(outcome.said)
        self.boundaries.update(outcome.boundaries)

    def fail(self, what: Plan, error: Exception) -> str:
        """Add a scenario that was not; return what it is called."""
        self.scenarios += 1
        verdict = "WRONG"
        for kind, name in ((Stuck, "STUCK"), (DidNotStrike, "NO STRIKE")):
            verdict = name if isinstance(error, kind) else verdict
        self.bad.append((what.seed, verdict, f"{type(error).__name__}: {error}"))
        return verdict

    def count(self, verdict: str) -> int:
        """Return how many scenarios had a verdict."""
        return sum(found == verdict for _, found, _ in self.bad)

    def replay(self, seed: int) -> str:
        """Return the command that runs one scenario again."""
        return f"./dev chaos --replay {seed}{self.options}"

    def lines(self) -> Iterator[str]:
        """Yield what a person reads."""
        yield ""
        yield (
            f"{self.scenarios} scenarios from seed {self.seed}: {self.count('WRONG')} wrong, "
            f"{self.count('STUCK')} stuck, {self.count('NO STRIKE')} whose fault did not strike"
        )
        for name in sorted(self.totals):
            yield f"  {self.totals[name]:>8,}  {name}"
        yield f"  {sum(self.strikes.values()):>8,}  strikes of faults, and in how many scenarios each struck:"
        for name in KINDS:
            yield f"  {self.strikes[name]:>8,}    {name}, in {self.struck_in[name]}"
        depths = ", ".join(f"{depth}: {count}" for depth, count in sorted(self.depths.items()))
        yield f"  {sum(self.depths.values()):>8,}  reorganisations; by depth {depths}"
        yield f"  {sum(self.boundaries.values()):>8,}  ends of a process at {len(self.boundaries)} kinds of boundary"
        said = ", ".join(f"{code} {count}" for code, count in self.said.most_common())
        yield f"  {sum(self.said.values()):>8,}  steps that ended with a reason: {said}"
        for seed, verdict, text in self.bad:
            yield f"{seed}: {verdict}: {text}"
            yield f"   {self.replay(seed)}"

    def as_json(self) -> dict[str, Any]:
        """Return the same for programs."""
        return {
            "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seed": self.seed,
            "scenarios": self.scenarios,
            "bad": [
                {"seed": seed, "verdict": verdict, "text": text} for seed, verdict, text in self.bad
            ],
            "totals": dict(sorted(self.totals.items())),
            "faults": {
                name: {"strikes": self.strikes[name], "scenarios": self.struck_in[name]}
                for name in KINDS
            },
            "reorganisations": {str(depth): count for depth, count in sorted(self.depths.items())},
            "boundaries": dict(sorted(self.boundaries.items())),
            "said": dict(self.said.most_common()),
        }
