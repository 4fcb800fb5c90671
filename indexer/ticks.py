"""What one tick of the mirror found and did, and how far a mirror goes that is made to be compared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TickReport:
    """What one tick found and did."""

    head: int
    """The node's latest block."""
    tip: int
    """The last block that is mirrored now."""
    final: int
    """The last block whose transactions are confirmed now."""
    blocks: int = 0
    """Blocks read."""
    events: int = 0
    transactions: int = 0
    rewound_to: int | None = None
    """The block that survived a reorganisation; None when there was none."""
    rewound_blocks: int = 0
    overtaken: bool = False
    """Whether another mirror moved the cursor meanwhile; nothing was written then."""
    not_checked: tuple[str, ...] = ()
    """What this mirror could not check, one sentence each."""

    @property
    def idle(self) -> bool:
        """Whether nothing changed."""
        return self.blocks == 0 and self.rewound_to is None and not self.overtaken


@dataclass(frozen=True)
class Limits:
    """How far a mirror goes that is made to be compared; it confirms nothing of our own."""

    up_to: int
    """The last block that is read."""
    final: int
    """The last block that is taken as final."""
