"""Events that ``chain_events`` keeps and that change no other row: roles, approvals, pauses."""

from __future__ import annotations

from indexer.handlers.registry import handles
from indexer.rows import Rows
from ledger.chain.contracts.events import CREDIT, SETTLEMENT, DecodedEvent

_ADMINISTRATION = (
    "DefaultAdminDelayChangeCanceled",
    "DefaultAdminDelayChangeScheduled",
    "DefaultAdminTransferCanceled",
    "DefaultAdminTransferScheduled",
    "RoleAdminChanged",
    "RoleGranted",
    "RoleRevoked",
    "Paused",
    "Unpaused",
    "EIP712DomainChanged",
)


@handles(CREDIT, *_ADMINISTRATION, "ApprovalForAll", "URI")
@handles(SETTLEMENT, *_ADMINISTRATION)
def recorded(event: DecodedEvent, rows: Rows) -> None:
    """Change nothing: the event log is the record."""
