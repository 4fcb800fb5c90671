"""What the demonstration did: the figures of each step, for the summary."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Story:
    """What the demonstration did, for the summary."""

    started: float = field(default_factory=time.monotonic)
    imports: list[dict[str, Any]] = field(default_factory=list)
    excluded: list[dict[str, Any]] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    credits: list[dict[str, Any]] = field(default_factory=list)
    trades: dict[str, Any] = field(default_factory=dict)
    settlement: dict[str, Any] = field(default_factory=dict)
    retirement: dict[str, Any] = field(default_factory=dict)
    reconciliation: dict[str, Any] = field(default_factory=dict)
    proof: dict[str, Any] = field(default_factory=dict)
    books_agree: bool = False
    seconds: dict[str, float] = field(default_factory=dict)

    def lap(self, name: str, since: float) -> None:
        """Note how long a step took, in seconds."""
        self.seconds[name] = round(time.monotonic() - since, 2)
