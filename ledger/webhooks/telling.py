"""Which events are told, of the chain and of devices, under which type, and what a message says."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ledger.chain.contracts.events import CREDIT, SETTLEMENT, ZERO_ADDRESS
from ledger.clock import time_text
from ledger.errors import BadInput
from ledger.models import ChainEvent

TEST = "webhook.test"
TYPES: dict[tuple[str, str], str] = {
    (CREDIT, "Issued"): "credit.issued",
    (CREDIT, "Retired"): "credit.retired",
    (CREDIT, "Cancelled"): "credit.cancelled",
    (CREDIT, "Replaced"): "credit.replaced",
    (CREDIT, "TransferSingle"): "credit.transferred",
    (CREDIT, "TransferBatch"): "credit.transferred",
    (CREDIT, "StatusChanged"): "batch.status_changed",
    (CREDIT, "InvalidationProposed"): "batch.invalidation_proposed",
    (CREDIT, "InvalidationDropped"): "batch.invalidation_dropped",
    (CREDIT, "Invalidated"): "batch.invalidated",
    (CREDIT, "OverlapProven"): "batch.overlap_proven",
    (CREDIT, "ClassRegistered"): "registry.class_registered",
    (CREDIT, "ClassCapChanged"): "registry.class_changed",
    (CREDIT, "ClassBufferChanged"): "registry.class_changed",
    (CREDIT, "ProjectRegistered"): "registry.project_registered",
    (CREDIT, "SiteRegistered"): "registry.site_registered",
    (SETTLEMENT, "BatchProposed"): "settlement.proposed",
    (SETTLEMENT, "BatchCosigned"): "settlement.cosigned",
    (SETTLEMENT, "BatchFinalized"): "settlement.finalized",
    (SETTLEMENT, "BatchCancelled"): "settlement.cancelled",
    (SETTLEMENT, "TradeSettled"): "settlement.trade_settled",
    (SETTLEMENT, "TradeDisputed"): "settlement.trade_disputed",
    (SETTLEMENT, "DisputeResolved"): "settlement.dispute_resolved",
    (SETTLEMENT, "Deposited"): "escrow.deposited",
    (SETTLEMENT, "Withdrawn"): "escrow.withdrawn",
    (SETTLEMENT, "CreditsDeposited"): "escrow.credits_deposited",
    (SETTLEMENT, "CreditsWithdrawn"): "escrow.credits_withdrawn",
    (SETTLEMENT, "FeeChanged"): "settlement.terms_changed",
    (SETTLEMENT, "CapsChanged"): "settlement.terms_changed",
    **{
        (contract, name): f"contract.{kind}"
        for contract in (CREDIT, SETTLEMENT)
        for name, kind in (
            ("Paused", "paused"),
            ("Unpaused", "unpaused"),
            ("RoleGranted", "role_granted"),
            ("RoleRevoked", "role_revoked"),
            ("DefaultAdminTransferScheduled", "admin_changing"),
            ("DefaultAdminTransferCanceled", "admin_changing"),
            ("DefaultAdminDelayChangeScheduled", "admin_changing"),
            ("DefaultAdminDelayChangeCanceled", "admin_changing"),
        )
    },
}
"""The type of each event that is told; several events may have one type."""
ALERT_RAISED, ALERT_CLEARED = "alert.raised", "alert.cleared"
"""What is told of the alerts of devices, which are no matter of the chain."""
_PATTERN = re.compile(r"\*|[a-z]+\.(\*|[a-z_]+)")


def known_types() -> list[str]:
    """Return all types, in order."""
    return sorted({*TYPES.values(), ALERT_RAISED, ALERT_CLEARED})


def check_patterns(patterns: Iterable[str]) -> list[str]:
    """Return the types that an endpoint wants, each once.

    Raises
    ------
    BadInput
        If there is none, or one stands for no type.
    """
    found = list(dict.fromkeys(patterns))
    for pattern in found:
        if not _PATTERN.fullmatch(pattern) or not any(
            wanted([pattern], each) for each in known_types()
        ):
            raise BadInput(
                f"there is no event {pattern[:60]!r}; there are {', '.join(known_types())}, "
                "`credit.*` and its like, and `*`"
            )
    if not found:
        raise BadInput("an endpoint needs an event at least; `*` stands for all")
    return found


def wanted(patterns: Iterable[str], event_type: str) -> bool:
    """Return whether one of the patterns is, or stands for, a type."""
    group = event_type.partition(".")[0]
    return any(pattern in ("*", f"{group}.*", event_type) for pattern in patterns)


def wants_alerts(patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns stands for something about alerts of devices."""
    return any(wanted([each], kind) for each in patterns for kind in (ALERT_RAISED, ALERT_CLEARED))


def type_of(contract: str, event: ChainEvent) -> str | None:
    """Return the type of an event; None when it is not told.

    What is minted and what is retired moves from and to nobody: *issued* and *retired* tell of it.
    """
    found = TYPES.get((contract, event.event_name))
    if found == "credit.transferred" and ZERO_ADDRESS in (
        event.args.get("from"),
        event.args.get("to"),
    ):
        return None
    return found


def message_id(chain_id: int, tx_hash: str, log_index: int) -> str:
    """Return the name of a message: the same for the same event, also from books that were restored."""
    return _name(f"{chain_id}/{tx_hash}/{log_index}")


def alert_message_id(data: Mapping[str, Any], times: int) -> str:
    """Return the name of a message about an alert: made of all that it says, and the so many-th of its endpoint.

    So what two endpoints are told alike has one name, also from books that were restored; and one that joins late is
    not sent what another was told of the same alert when it stood otherwise.
    """
    return _name(f"alert/{json.dumps(dict(data), sort_keys=True)}/{times}")


def body_of(event_type: str, chain_id: int, contract: str, event: ChainEvent, at: datetime) -> str:
    """Return what a message says: JSON with ``type``, ``timestamp`` and ``data``.

    Amounts are integers of the smallest unit (kg, cents), as text where they may pass 2^53.
    """
    return _text(
        event_type,
        at,
        {
            "chain_id": chain_id,
            "contract": contract,
            "contract_address": event.contract_address,
            "event": event.event_name,
            "arguments": event.args,
            "block_number": event.block_number,
            "tx_hash": event.tx_hash,
            "log_index": event.log_index,
            "final": True,
        },
    )


def alert_body(event_type: str, data: Mapping[str, Any], at: datetime) -> str:
    """Return what a message about an alert says."""
    return _text(event_type, at, dict(data))


def test_body(at: datetime) -> str:
    """Return what a test message says."""
    return _text(TEST, at, {"text": "This is a test."})


def _name(what: str) -> str:
    return f"msg_{hashlib.sha256(what.encode()).hexdigest()[:32]}"


def _text(event_type: str, at: datetime, data: dict[str, Any]) -> str:
    document = {"type": event_type, "timestamp": time_text(at), "data": data}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
