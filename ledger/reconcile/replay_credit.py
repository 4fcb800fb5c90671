"""What the events of the credit contract change, for the replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict
from tiny_keccak import keccak256

from ledger.chain.contracts.events import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Cancelled,
    ClassBufferChanged,
    ClassCapChanged,
    ClassRegistered,
    DecodedEvent,
    Invalidated,
    InvalidationDropped,
    InvalidationProposed,
    Issued,
    OverlapProven,
    ProjectRegistered,
    Reading,
    Replaced,
    Retired,
    SiteRegistered,
    StatusChanged,
    TransferBatch,
    TransferSingle,
)
from ledger.jsontext import json_safe
from ledger.models.credits import BatchStatus
from ledger.models.oversight import InvalidationStep
from ledger.serials import Taken, site_and_ordinal, vintage_of

if TYPE_CHECKING:
    from ledger.reconcile.replay import Replay

STATUS = {
    1: BatchStatus.ACTIVE,
    2: BatchStatus.SUSPENDED,
    3: BatchStatus.DISPUTED,
    4: BatchStatus.CANCELLED,
    5: BatchStatus.EXPIRED,
}
"""States by the contract's numbers, written down a second time: the replay shares none of the mirror's knowledge."""


def _shown(code: str) -> str:
    """Return a code as the books show it: 50 characters hold no more than 12 bytes that are no UTF-8."""
    return code if len(code) < 51 else f"\\x{keccak256(code.encode()).hex()[:48]}"


def _numbered(code: str, number: int) -> str:
    """Return the code of a project or a site as the books show it, with its number where two would be one.

    That is where bytes are no text, or a text says the same; or where MariaDB passes over a blank at the end.
    """
    shown, end = _shown(code), f"~{number}"
    return shown[: 50 - len(end)] + end if "\\" in shown or shown[-1:] == " " else shown


def _class_registered(to: Replay, event: DecodedEvent, args: ClassRegistered) -> None:
    to.classes[(args.class_id,)] = {
        "code": _shown(args.code),
        "methodology_hash": args.methodology_hash,
        "cap_kg": args.cap,
        "buffer_bps": args.buffer_bps,
        "block_number": event.log.block_number,
    }


def _cap_changed(to: Replay, event: DecodedEvent, args: ClassCapChanged) -> None:
    to.classes[(args.class_id,)]["cap_kg"] = args.new_cap


def _buffer_changed(to: Replay, event: DecodedEvent, args: ClassBufferChanged) -> None:
    to.classes[(args.class_id,)]["buffer_bps"] = args.new_buffer_bps


def _project_registered(to: Replay, event: DecodedEvent, args: ProjectRegistered) -> None:
    to.projects[(args.project_id,)] = {
        "class_id": args.class_id,
        "owner": args.owner,
        "code": _numbered(args.code, args.project_id),
        "block_number": event.log.block_number,
    }


def _site_registered(to: Replay, event: DecodedEvent, args: SiteRegistered) -> None:
    to.sites[(args.site_id,)] = {
        "project_id": args.project_id,
        "code": _numbered(args.code, args.site_id),
        "minted_until_s": None,  # counted at the end
        "block_number": event.log.block_number,
    }


def _issued(to: Replay, event: DecodedEvent, args: Issued) -> None:
    claim = args.claim
    site_id, ordinal = site_and_ordinal(args.batch_id)
    to.ends_of.append(site_id, claim.period_end)
    to.batches[(args.batch_id,)] = {
        "key": args.key,
        "site_id": site_id,
        "ordinal": ordinal,
        "vintage": to.vintages.get((args.key, claim.evidence_root))
        or vintage_of(claim.period_start, claim.period_end),
        "recipient": args.recipient,
        "issued_kg": claim.amount,
        "retired_kg": 0,
        "cancelled_kg": 0,
        "period_start_s": claim.period_start,
        "period_end_s": claim.period_end,
        "gap_start_s": None,  # counted at the end
        "expires_at_s": claim.expires_at,
        "buffered_kg": args.buffered,
        "evidence_root": claim.evidence_root,
        "evidence_total_kg": claim.evidence_total,
        "manifest_hash": claim.manifest_hash,
        "methodology_hash": claim.methodology_hash,
        "issuer": args.issuer,
        "verifier": args.verifier,
        "status": BatchStatus.ACTIVE,
        "deficit_kg": None,
        "block_number": event.log.block_number,
        "log_index": event.log.log_index,
        "tx_hash": event.log.tx_hash,
        "issued_at": to.times[event.log.block_number],
    }


def _retired(to: Replay, event: DecodedEvent, args: Retired) -> None:
    details = args.details
    _taken(to, args)
    to.retirements[(args.retirement_id,)] = {
        "key": args.key,
        "batch_id": args.batch_id,
        "holder": args.holder,
        "replaced_batch_id": None,
        "first_serial": args.first_serial,
        "amount_kg": args.amount,
        "beneficiary": details.beneficiary,
        "reason": details.reason,
        "country": details.country or None,
        "consumption_start_s": details.consumption_start,
        "consumption_end_s": details.consumption_end,
        "document_hash": details.document_hash,
        "block_number": event.log.block_number,
        "log_index": event.log.log_index,
        "tx_hash": event.log.tx_hash,
        "retired_at": to.times[event.log.block_number],
    }


def _taken(to: Replay, args: Retired | Replaced) -> None:
    taken = Taken(args.first_serial, args.amount, args.retirement_id)
    to.batches[(args.batch_id,)]["retired_kg"] += args.amount
    to.retired_of.append(args.batch_id, taken)


def _replaced(to: Replay, event: DecodedEvent, args: Replaced) -> None:
    to.replaced_of.append(args.replaced_batch_id, args.amount)
    _taken(to, args)
    to.retirements[(args.retirement_id,)] = {
        "key": args.key,
        "batch_id": args.batch_id,
        "holder": event.log.address,
        "replaced_batch_id": args.replaced_batch_id,
        "first_serial": args.first_serial,
        "amount_kg": args.amount,
        "beneficiary": "",
        "reason": "",
        "country": None,
        "consumption_start_s": 0,
        "consumption_end_s": 0,
        "document_hash": ZERO_HASH,
        "block_number": event.log.block_number,
        "log_index": event.log.log_index,
        "tx_hash": event.log.tx_hash,
        "retired_at": to.times[event.log.block_number],
    }


def _cancelled(to: Replay, event: DecodedEvent, args: Cancelled) -> None:
    to.batches[(args.batch_id,)]["cancelled_kg"] += args.amount
    to.cancelled_of.append(args.batch_id, Taken(args.first_serial, args.amount))
    to.cancellations[event.log.block_number, event.log.log_index] = {
        "key": args.key,
        "batch_id": args.batch_id,
        "holder": args.holder,
        "first_serial": args.first_serial,
        "amount_kg": args.amount,
        "reason": args.reason,
        "tx_hash": event.log.tx_hash,
        "cancelled_at": to.times[event.log.block_number],
    }


def _status_changed(to: Replay, event: DecodedEvent, args: StatusChanged) -> None:
    to.batches[(args.batch_id,)]["status"] = STATUS[args.new_status]


def _overlap_proven(to: Replay, event: DecodedEvent, args: OverlapProven) -> None:
    to.overlaps[event.log.block_number, event.log.log_index] = {
        "first_batch_id": args.first_batch_id,
        "second_batch_id": args.second_batch_id,
        "challenger": args.challenger,
        "meter": args.second.meter,
        "first_reading": _reading(args.first),
        "second_reading": _reading(args.second),
        "tx_hash": event.log.tx_hash,
        "proven_at": to.times[event.log.block_number],
    }


def _reading(reading: Reading) -> Any:
    return json_safe(asdict(reading))


def _invalidation_proposed(to: Replay, event: DecodedEvent, args: InvalidationProposed) -> None:
    row = _invalidation(to, event, args.batch_id, InvalidationStep.PROPOSED)
    row["account"], row["reason"] = args.proposer, args.reason
    row["executable_at_s"] = args.executable_at


def _invalidation_dropped(to: Replay, event: DecodedEvent, args: InvalidationDropped) -> None:
    _invalidation(to, event, args.batch_id, InvalidationStep.DROPPED)


def _invalidated(to: Replay, event: DecodedEvent, args: Invalidated) -> None:
    row = _invalidation(to, event, args.batch_id, InvalidationStep.EXECUTED)
    batch = to.batches[(args.batch_id,)]
    row["account"] = args.executor
    row["deficit_kg"] = batch["retired_kg"]
    row["frozen_kg"] = batch["issued_kg"] - batch["retired_kg"] - batch["cancelled_kg"]


def _invalidation(
    to: Replay, event: DecodedEvent, batch_id: int, step: InvalidationStep
) -> dict[str, Any]:
    row = to.invalidations[event.log.block_number, event.log.log_index] = {
        "batch_id": batch_id,
        "step": step,
        "account": None,
        "executable_at_s": None,
        "reason": None,
        "frozen_kg": None,
        "deficit_kg": None,
        "tx_hash": event.log.tx_hash,
        "happened_at": to.times[event.log.block_number],
    }
    return row


def _transfer_single(to: Replay, event: DecodedEvent, args: TransferSingle) -> None:
    _transfer(to, event, 0, args.id, (args.from_, args.to), args.value)


def _transfer_batch(to: Replay, event: DecodedEvent, args: TransferBatch) -> None:
    for position, (batch_id, kg) in enumerate(zip(args.ids, args.values, strict=True)):
        _transfer(to, event, position, batch_id, (args.from_, args.to), kg)


def _transfer(
    to: Replay, event: DecodedEvent, position: int, batch_id: int, parties: tuple[str, str], kg: int
) -> None:
    if kg:  # anybody may transfer nothing
        for party, change in zip(parties, (-kg, kg), strict=True):
            if party != ZERO_ADDRESS:
                to.holdings.add((batch_id, party), "amount_kg", change)
        to.transfers[event.log.block_number, event.log.log_index, position] = {
            "batch_id": batch_id,
            "from_address": parties[0],
            "to_address": parties[1],
            "amount_kg": kg,
            "tx_hash": event.log.tx_hash,
        }


STEPS: dict[type[Any], Any] = {
    ClassRegistered: _class_registered,
    ClassCapChanged: _cap_changed,
    ClassBufferChanged: _buffer_changed,
    ProjectRegistered: _project_registered,
    SiteRegistered: _site_registered,
    Issued: _issued,
    Retired: _retired,
    Replaced: _replaced,
    Cancelled: _cancelled,
    StatusChanged: _status_changed,
    OverlapProven: _overlap_proven,
    InvalidationProposed: _invalidation_proposed,
    InvalidationDropped: _invalidation_dropped,
    Invalidated: _invalidated,
    TransferSingle: _transfer_single,
    TransferBatch: _transfer_batch,
}
"""The step of each event."""
