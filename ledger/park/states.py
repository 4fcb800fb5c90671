"""Which state may follow which, of each kind that has states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from ledger.models.advanced import HedgeStatus, ModelStatus, OpportunityStatus
from ledger.models.devices import AlertStatus
from ledger.models.settlement import BidStatus, CommandStatus, TrainingStatus
from ledger.park.rows import Row
from ledger.spreadsheets import Wrong


def follows(ways: Mapping[StrEnum, tuple[StrEnum, ...]]) -> Callable[[Row], None]:
    """Return the rule that a record's status changes only along these ways."""

    def rule(row: Row) -> None:
        before, now = row.before.get("status"), row["status"]
        if before is None or before == now:
            return
        allowed = ways.get(before, ())
        if now not in allowed:
            then = " or ".join(state.value for state in allowed) or "nothing: it is final"
            raise Wrong(
                "status", f"{before.value} cannot become {now.value}; what follows is {then}"
            )

    return rule


OPPORTUNITY = follows(
    {
        OpportunityStatus.IDENTIFIED: (OpportunityStatus.EXECUTING, OpportunityStatus.EXPIRED),
        OpportunityStatus.EXECUTING: (OpportunityStatus.COMPLETED, OpportunityStatus.EXPIRED),
    }
)
HEDGE = follows({HedgeStatus.OPEN: (HedgeStatus.CLOSED, HedgeStatus.EXPIRED)})
MODEL = follows(
    {
        ModelStatus.TRAINING: (ModelStatus.DEPLOYED, ModelStatus.DEPRECATED),
        ModelStatus.DEPLOYED: (ModelStatus.TRAINING, ModelStatus.DEPRECATED),
    }
)
BID = follows({BidStatus.SUBMITTED: (BidStatus.ACCEPTED, BidStatus.REJECTED, BidStatus.WITHDRAWN)})
COMMAND = follows(
    {
        CommandStatus.PLANNED: (CommandStatus.SENT, CommandStatus.FAILED),
        CommandStatus.SENT: (CommandStatus.ACKNOWLEDGED, CommandStatus.FAILED),
    }
)
TRAINING = follows({TrainingStatus.RUNNING: (TrainingStatus.FINISHED, TrainingStatus.FAILED)})
ALERT = follows(
    {
        AlertStatus.ACTIVE: (AlertStatus.ACKNOWLEDGED, AlertStatus.RESOLVED),
        AlertStatus.ACKNOWLEDGED: (AlertStatus.RESOLVED,),
    }
)
