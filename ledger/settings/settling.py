"""How trades are settled where there is a choice: what the settings say, as one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Way(StrEnum):
    """Which of the contract's ways a batch takes."""

    AUTO = "auto"
    """Co-signed where the keys of all its parties are at hand, else proposed."""
    COSIGNED = "cosigned"
    """Signed by every party: final at once, and it waits for the signatures that are missing."""
    PROPOSED = "proposed"
    """Attested by the operator: final after the contract's window."""


@dataclass(frozen=True)
class SettlementPolicy:
    """What a settlement run may decide.

    ``netting_hours``: trades of so many hours, counted from 1970 in UTC, are netted with each other.
    ``debtor_hours``: for so long a trade whose debtor lacks funds is tried again before it fails.
    ``signing_hours``: for so long the parties' signatures under a batch hold.
    """

    way: Way = Way.AUTO
    netting_hours: int = 1
    debtor_hours: int = 72
    signing_hours: int = 24

    @property
    def patience(self) -> timedelta:
        """How long a trade waits for money before it fails."""
        return timedelta(hours=self.debtor_hours)
