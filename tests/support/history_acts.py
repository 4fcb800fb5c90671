"""All that can happen on the chain in a random history."""

from __future__ import annotations

from tests.support.history_credits import CreditActs
from tests.support.history_trades import TradeActs


class Acts(CreditActs, TradeActs):
    """The acts of one history."""


IN_FORKS = (
    "issue", "issue_again", "transfer", "transfer_batch", "retire", "cancel", "retire_batch",
    "retire_for", "share", "grant", "suspend", "replace", "pause", "bring_credits", "take_credits", "withdraw",
    "settle_one", "propose", "cosign",
)  # fmt: skip
ON_CHAIN = (
    *IN_FORKS,
    "register",
    "overlap",
    "invalidate",
    "deposit",
    "dispute",
    "finalize",
    "cancel_batch",
)
"""Names of acts; in a fork that is written at once only those of one transaction, which need no look at the chain."""
