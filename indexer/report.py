"""What a verification is asked, and what it found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from indexer.compare import Difference

DIFFERENCES_MAX = 10_000
"""How many differences are told; a mirror with more is to be built anew."""


@dataclass(frozen=True)
class Scope:
    """What is compared. None stands for the first and the last mirrored block, and for all blocks."""

    from_block: int | None = None
    to_block: int | None = None
    sample: int | None = None
    """How many blocks of the range, chosen by chance."""


@dataclass
class Report:
    """What a verification compared and found."""

    from_block: int
    to_block: int
    checked: dict[str, int] = field(default_factory=dict)
    """Rows by table; blocks and their transactions, entries of the credit log, and batches whose sums were held to
    their supply."""
    differences: list[Difference] = field(default_factory=list)
    confirmed: int = -1
    """The last block that the mirror had confirmed; it may be above the range."""
    not_checked: list[str] = field(default_factory=list)
    """What could not be checked, and why, one sentence each."""

    @property
    def ok(self) -> bool:
        """Whether the mirror is what the chain says."""
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        """Return what ``index verify --json`` prints."""
        return {
            "from": self.from_block,
            "to": self.to_block,
            "checked": self.checked,
            "differences": [item.as_json() for item in self.differences],
            "not_checked": self.not_checked,
        }

    def add(self, found: Iterable[Difference]) -> None:
        """Take differences, up to the most that are told."""
        for item in found:
            if item.table == "chain_cursor" and self._was_told(item):
                continue  # by who looked for the mirror's place
            if len(self.differences) >= DIFFERENCES_MAX:
                return
            self.differences.append(item)

    def _was_told(self, item: Difference) -> bool:
        told = ((other.table, other.column) for other in self.differences)
        return (item.table, item.column) in told
