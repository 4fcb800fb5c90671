"""What the events of the credit contract change. Totals come from the events, never from a view."""

from __future__ import annotations

from typing import cast

from tiny_keccak import keccak256

from indexer.events import Columns
from indexer.handlers.registry import handles, handles_many
from indexer.rows import Rows
from ledger.chain.contracts.events import (
    CREDIT,
    ZERO_HASH,
    Cancelled,
    ClassBufferChanged,
    ClassCapChanged,
    ClassRegistered,
    DecodedEvent,
    Issued,
    ProjectRegistered,
    Replaced,
    SiteRegistered,
    StatusChanged,
    TransferBatch,
)
from ledger.errors import MirrorStopped
from ledger.models import (
    CreditBatch,
    CreditCancellation,
    CreditClass,
    CreditProject,
    CreditRetirement,
    CreditSite,
)
from ledger.models.credits import BATCH_STATUS, BatchStatus
from ledger.serials import (
    BATCH_KG_MAX,
    CreditStatus,
    Run,
    batch_id_of,
    site_and_ordinal,
    vintage_of,
)

_CODE_MAX = 50
"""The longest code that the contract takes, in bytes, and so in characters of any text."""


def _code(text: str) -> str:
    """Return a code as rows hold it, of no more than ``_CODE_MAX`` characters.

    Bytes that are no UTF-8 take four characters each to be shown, for which a serial has no room: the hash of what
    they show names such a code.
    """
    if len(text) <= _CODE_MAX:
        return text
    return "\\x" + keccak256(text.encode()).hex()[: _CODE_MAX - 2]


def _code_apart(text: str, number: int) -> str:
    """Return the code of a project or a site, by which it is found: no other one's may be shown alike.

    What has a backslash may be bytes that are no UTF-8, or a text that says the same: the number tells them apart.
    So it does where a code ends with a blank, which MariaDB passes over when it compares.
    """
    code = _code(text)
    if "\\" not in code and not code.endswith(" "):
        return code
    end = f"~{number}"
    return code[: _CODE_MAX - len(end)] + end


@handles(CREDIT, "ClassRegistered")
def class_registered(event: DecodedEvent, rows: Rows) -> None:
    """Add a class."""
    args = cast(ClassRegistered, event.args)
    rows.add(
        CreditClass,
        class_id=args.class_id,
        code=_code(args.code),
        methodology_hash=args.methodology_hash,
        cap_kg=args.cap,
        buffer_bps=args.buffer_bps,
        block_number=event.log.block_number,
    )


@handles(CREDIT, "ClassCapChanged")
def class_cap_changed(event: DecodedEvent, rows: Rows) -> None:
    """Change how much may be issued in a class."""
    args = cast(ClassCapChanged, event.args)
    rows.change(CreditClass, args.class_id, cap_kg=args.new_cap)


@handles(CREDIT, "ClassBufferChanged")
def class_buffer_changed(event: DecodedEvent, rows: Rows) -> None:
    """Change what share of an issuance goes to the buffer."""
    args = cast(ClassBufferChanged, event.args)
    rows.change(CreditClass, args.class_id, buffer_bps=args.new_buffer_bps)


@handles(CREDIT, "ProjectRegistered")
def project_registered(event: DecodedEvent, rows: Rows) -> None:
    """Add a project."""
    args = cast(ProjectRegistered, event.args)
    rows.add(
        CreditProject,
        project_id=args.project_id,
        class_id=args.class_id,
        owner=args.owner,
        code=_code_apart(args.code, args.project_id),
        block_number=event.log.block_number,
    )


@handles(CREDIT, "SiteRegistered")
def site_registered(event: DecodedEvent, rows: Rows) -> None:
    """Add a site."""
    args = cast(SiteRegistered, event.args)
    rows.add(
        CreditSite,
        site_id=args.site_id,
        project_id=args.project_id,
        code=_code_apart(args.code, args.site_id),
        minted_until_s=0,
        block_number=event.log.block_number,
    )


@handles(CREDIT, "Issued")
def issued(event: DecodedEvent, rows: Rows) -> None:
    """Add a batch: all of its serials are active.

    Raises
    ------
    MirrorStopped
        If the batch is larger than a row of ``carbon_credits`` can hold.
    """
    args = cast(Issued, event.args)
    claim = args.claim
    if claim.amount > BATCH_KG_MAX:
        raise MirrorStopped(
            f"batch {args.batch_id} of block {event.log.block_number}, transaction {event.log.tx_hash}, has "
            f"{claim.amount} kg, and a row of carbon_credits holds at most {BATCH_KG_MAX} kg; see `A batch too "
            "large` in docs/mirror.md"
        )
    site_id, ordinal = site_and_ordinal(args.batch_id)
    # By the root, too: others may use our key up.
    ours = rows.lookups.legal_years.get((args.key, claim.evidence_root))
    vintage = ours or vintage_of(claim.period_start, claim.period_end)
    rows.add(
        CreditBatch,
        batch_id=args.batch_id,
        key=args.key,
        site_id=site_id,
        ordinal=ordinal,
        vintage=vintage,
        recipient=args.recipient,
        issued_kg=claim.amount,
        retired_kg=0,
        cancelled_kg=0,
        period_start_s=claim.period_start,
        period_end_s=claim.period_end,
        gap_start_s=_take_time(event, rows, args),
        expires_at_s=claim.expires_at,
        buffered_kg=args.buffered,
        evidence_root=claim.evidence_root,
        evidence_total_kg=claim.evidence_total,
        manifest_hash=claim.manifest_hash,
        methodology_hash=claim.methodology_hash,
        issuer=args.issuer,
        verifier=args.verifier,
        status=BatchStatus.ACTIVE,
        deficit_kg=None,
        block_number=event.log.block_number,
        log_index=event.log.log_index,
        tx_hash=event.log.tx_hash,
        issued_at=rows.time_of(event),
    )
    rows.redraw(event, args.batch_id)


def _take_time(event: DecodedEvent, rows: Rows, args: Issued) -> int:
    """Take the period out of the site's free time; return where the gap before it begins.

    The time behind the last period is the site's. The time that a period left out before it belongs to
    its batch, as a gap, and a backfill parts that: the earlier part is the new batch's.
    """
    site_id, _ = site_and_ordinal(args.batch_id)
    if args.claim.backfill_before:
        later = batch_id_of(site_id, args.claim.backfill_before)
        gap_start = rows.current(event, CreditBatch, later, "gap_start_s")
        rows.change(CreditBatch, later, gap_start_s=args.claim.period_end)
    else:
        gap_start = rows.minted_until(event, site_id)
        rows.change(CreditSite, site_id, minted_until_s=args.claim.period_end)
    return int(gap_start)


@handles_many(CREDIT, "Retired")
def retired(events: Columns, rows: Rows) -> None:
    """Add retirements: the next serials from the bottom are used up."""
    rows.add_columns(
        CreditRetirement,
        {
            "retirement_id": events["retirement_id"],
            "key": events["key"],
            "batch_id": events["batch_id"],
            "holder": events["holder"],
            "replaced_batch_id": [None] * len(events),
            "first_serial": events["first_serial"],
            "amount_kg": events["amount"],
            "beneficiary": events["details.beneficiary"],
            "reason": events["details.reason"],
            "country": [country or None for country in events["details.country"]],
            "consumption_start_s": events["details.consumption_start"],
            "consumption_end_s": events["details.consumption_end"],
            "document_hash": events["details.document_hash"],
            "block_number": events.block_numbers,
            "log_index": events.log_indexes,
            "tx_hash": events.tx_hashes,
            "retired_at": rows.times_of(events),
        },
    )
    rows.retire_serials(events)
    totals = dict(zip(events["batch_id"], events["retired_total"], strict=True))  # the last of each
    for batch_id, total_kg in totals.items():
        rows.raise_to(CreditBatch, batch_id, retired_kg=total_kg)


@handles(CREDIT, "Replaced")
def replaced(event: DecodedEvent, rows: Rows) -> None:
    """Add a retirement of what the buffer holds, which is the contract: it lessens the deficit that it is for."""
    args = cast(Replaced, event.args)
    rows.add(
        CreditRetirement,
        retirement_id=args.retirement_id,
        key=args.key,
        batch_id=args.batch_id,
        holder=event.log.address,
        replaced_batch_id=args.replaced_batch_id,
        first_serial=args.first_serial,
        amount_kg=args.amount,
        beneficiary="",
        reason="",
        country=None,
        consumption_start_s=0,
        consumption_end_s=0,
        document_hash=ZERO_HASH,
        block_number=event.log.block_number,
        log_index=event.log.log_index,
        tx_hash=event.log.tx_hash,
        retired_at=rows.time_of(event),
    )
    last = args.first_serial + args.amount - 1
    run = Run(args.first_serial, last, CreditStatus.RETIRED, args.retirement_id)
    rows.take_serials(event, args.batch_id, run)
    rows.raise_to(CreditBatch, args.batch_id, retired_kg=args.retired_total)
    rows.change(CreditBatch, args.replaced_batch_id, deficit_kg=args.deficit_left)


@handles(CREDIT, "Cancelled")
def cancelled(event: DecodedEvent, rows: Rows) -> None:
    """Add a cancellation: the next serials from the top are withdrawn."""
    args = cast(Cancelled, event.args)
    rows.add(
        CreditCancellation,
        block_number=event.log.block_number,
        log_index=event.log.log_index,
        key=args.key,
        batch_id=args.batch_id,
        holder=args.holder,
        first_serial=args.first_serial,
        amount_kg=args.amount,
        reason=args.reason,
        tx_hash=event.log.tx_hash,
        cancelled_at=rows.time_of(event),
    )
    rows.change(CreditBatch, args.batch_id, cancelled_kg=args.cancelled_total)
    last = args.first_serial + args.amount - 1
    rows.take_serials(event, args.batch_id, Run(args.first_serial, last, CreditStatus.CANCELLED))


@handles(CREDIT, "StatusChanged")
def status_changed(event: DecodedEvent, rows: Rows) -> None:
    """Change the status of a batch; its serials stay what they are, unless it is cancelled for good."""
    args = cast(StatusChanged, event.args)
    status = BATCH_STATUS[args.new_status]
    rows.change(CreditBatch, args.batch_id, status=status)
    if status is BatchStatus.CANCELLED:
        rows.redraw(event, args.batch_id)


@handles_many(CREDIT, "TransferSingle")
def transfer_single(events: Columns, rows: Rows) -> None:
    """Move units of one batch each."""
    rows.move_credits(
        {
            "block_number": events.block_numbers,
            "log_index": events.log_indexes,
            "sub_index": [0] * len(events),
            "batch_id": events["id"],
            "from_address": events["from_"],
            "to_address": events["to"],
            "amount_kg": events["value"],
            "tx_hash": events.tx_hashes,
        }
    )


@handles(CREDIT, "TransferBatch")
def transfer_batch(event: DecodedEvent, rows: Rows) -> None:
    """Move units of several batches."""
    args = cast(TransferBatch, event.args)
    for position, (batch_id, kg) in enumerate(zip(args.ids, args.values, strict=True)):
        rows.move_credit(
            block_number=event.log.block_number,
            log_index=event.log.log_index,
            sub_index=position,
            batch_id=batch_id,
            from_address=args.from_,
            to_address=args.to,
            amount_kg=kg,
            tx_hash=event.log.tx_hash,
        )
