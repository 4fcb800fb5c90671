"""Rules of the two flows: issuances against their batches and readings, settlement batches against theirs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from ledger.chain.sending.issued import backfilled_before, batch_of
from ledger.errors import TruetonneError
from ledger.models import (
    ChainIntent,
    CreditBatch,
    CreditSite,
    EmissionFactor,
    Issuance,
    Meter,
    Project,
    ReadingClaim,
    Site,
    VppSettlementBatch,
    VppSettlementItem,
)
from ledger.models.escrow import SettlementStatus
from ledger.models.issuance import IssuanceState, claimed_before
from ledger.models.settlement import BatchState
from ledger.readings.periods.evidence_files import issued_inputs, meter_ids_of
from ledger.readings.periods.factor_rows import factor_record
from ledger.reconcile.books import Books
from ledger.reconcile.forgotten import forgotten_batches
from ledger.reconcile.mined import among
from ledger.reconcile.pieces import MANIFESTS, pieces
from ledger.reconcile.replay_escrow import SettledBatch
from ledger.reconcile.report import unequal
from ledger.reductions.arithmetic import compute
from ledger.reductions.manifest import FORMAT_1, build, canonical_text, manifest_hash
from ledger.reductions.reporting import fraction_text
from ledger.reductions.results import Reduction
from ledger.reductions.zones import zone
from ledger.settlement.elsewhere import ENERGY
from ledger.settlement.tree import trades_root
from ledger.settlement.words import hex_words, nets_of, seq_of
from ledger.units import decimal_floor


def issuances(books: Books) -> list[str]:
    """Every issuance is on chain as it was planned, with the manifest that the claim names; no batch is without one."""
    session = books.session
    recorded = exists().where(Issuance.key == ChainIntent.key)
    sent = session.scalars(select(ChainIntent.key).where(ChainIntent.kind == "issue", ~recorded))
    found = [f"intent {key}: issues credits, but no issuance is recorded" for key in sent]
    for piece in pieces(session, Issuance.id, MANIFESTS):
        rows = session.scalars(select(Issuance).where(piece).order_by(Issuance.id)).all()
        found += _issuances(books, rows)
    return found + _unrecorded(books.session)


def _unrecorded(session: Session) -> list[str]:
    """Find batches of our projects that no issuance of the books made: restored books forgot it, or it is not ours.

    A project without meters is none that is issued here: its site file has let it go, as others keep its books.
    """
    recorded = exists().where(
        Issuance.key == CreditBatch.key, Issuance.evidence_root == CreditBatch.evidence_root
    )
    rows = session.execute(
        select(CreditBatch, CreditSite.code, Site.time_zone)
        .join(CreditSite, CreditSite.site_id == CreditBatch.site_id)
        .join(Project, Project.code == CreditSite.code)
        .join(Site, Site.id == Project.site_id)
        .where(~recorded, exists().where(Meter.project_id == Project.id))
        .order_by(CreditBatch.batch_id)
    )
    found = []
    for batch, code, time_zone in rows:
        first, end = (
            datetime.fromtimestamp(seconds, UTC).astimezone(zone(time_zone)).date()
            for seconds in (batch.period_start_s, batch.period_end_s)
        )
        how = " with --backfill" if backfilled_before(session, batch) else ""
        found.append(
            f"batch {batch.ordinal} of {code} ({first} to {end}): {batch.issued_kg} kg are on chain with key "
            f"{batch.key}, and no issuance here has that key and evidence; if it was forgotten, issuing that period"
            f"{how} takes it over; if other books issue this project, take [project] out of the site file here"
        )
    return found


def _issuances(books: Books, rows: Sequence[Issuance]) -> list[str]:
    keys = [row.key for row in rows]
    batches = {row.key: row for row in among(books.session, CreditBatch, CreditBatch.key, keys)}
    found = []
    for row in rows:
        what = f"issuance {row.id} ({row.from_date} to {row.to_date})"
        batch = batches.get(row.key)
        if batch is None:
            if row.state is IssuanceState.ISSUED:
                found.append(f"{what}: issued, but the chain has no batch with its key")
            continue
        if row.state is IssuanceState.VOID and batch.evidence_root != row.evidence_root:
            continue  # its key was used up for another claim
        if row.state is IssuanceState.PLANNED and batch_of(books.session, row.key) is None:
            continue  # the same, and the sender has not heard of it yet
        final = batch.block_number <= books.final
        # A void one may be on its way again where another was planned in its place: the final block says which it is.
        void = row.state is IssuanceState.VOID
        waits = IssuanceState.VOID if void else IssuanceState.PLANNED
        state = IssuanceState.ISSUED if final else waits
        intent = books.session.get(ChainIntent, row.key)
        found += unequal(
            what,
            ("state", row.state, state),
            ("issued_kg", row.issued_kg, batch.issued_kg),
            ("evidence_root", row.evidence_root, batch.evidence_root),
            ("manifest_hash", row.manifest_hash, batch.manifest_hash),
            ("from_s", row.from_s, batch.period_start_s),
            ("to_s", row.to_s, batch.period_end_s),
            (
                "backfill_before",
                claimed_before(intent.parameters if intent else None),
                backfilled_before(books.session, batch),
            ),
            ("hash of the manifest", manifest_hash(row.manifest), batch.manifest_hash),
        )
    return found


def evidence(books: Books) -> list[str]:
    """Computed anew from the stored readings, every issuance gives the manifest and the figures it was made with."""
    session = books.session
    codes = {
        project_id: code for project_id, code in session.execute(select(Project.id, Project.code))
    }
    found = []
    numbers = select(Issuance.id).where(Issuance.state != IssuanceState.VOID).order_by(Issuance.id)
    for number in session.scalars(numbers).all():  # one at a time: each holds its manifest
        row = session.get_one(Issuance, number)
        what = f"issuance {row.id} ({codes.get(row.project_id)}, {row.from_date} to {row.to_date})"
        try:
            again = _recomputed(books, row, codes[row.project_id])
        except (TruetonneError, KeyError, ValueError) as error:
            found.append(f"{what}: cannot be computed from the stored readings ({error})")
            continue
        found += _figures(what, row, again) + _claims(books, what, row, again)
    return found


def _recomputed(books: Books, row: Issuance, project_code: str) -> Reduction:
    """Compute an issuance again from the stored readings.

    The manifest is held by its hash on chain, so that it is the word for what may change in a site
    file: the project's shares, a meter's calibration or rated power. Readings, the factor, the
    period and the carry are of the books, and compared with it.
    """
    factor = books.session.get(EmissionFactor, row.factor_id)
    if factor is None:
        raise ValueError(f"its factor {row.factor_id} is gone")
    inputs = replace(
        issued_inputs(books.session, row),
        project=project_code,
        vintage=row.from_date.year,
        from_date=row.from_date,
        to_date=row.to_date,
        from_s=row.from_s,
        to_s=row.to_s,
        factor=factor_record(factor),
        carry_in_kg=Fraction(row.carry_in_kg),
        enforce=False,
    )
    return compute(inputs)


def _figures(what: str, row: Issuance, again: Reduction) -> list[str]:
    counts, nine = again.counts, 9
    form = json.loads(row.manifest)["format"]
    deducted = None if form == FORMAT_1 else decimal_floor(again.uncertainty_t, nine)
    expected = {
        "vintage": again.inputs.vintage,
        "readings_expected": counts.expected,
        "readings_used": counts.used,
        "readings_missing": counts.missing,
        "readings_outlier": counts.outlier,
        "readings_conflict": counts.conflict,
        "export_kwh": decimal_floor(again.export_kwh, nine),
        "import_kwh": decimal_floor(again.import_kwh, nine),
        "net_kwh": decimal_floor(again.net_kwh, nine),
        "baseline_t": decimal_floor(again.baseline_t, nine),
        "project_t": decimal_floor(again.project_t, nine),
        "leakage_t": decimal_floor(again.leakage_t, nine),
        "uncertainty_t": deducted,
        "reductions_kg": decimal_floor(again.reductions_kg, nine),
        "carry_out_kg": fraction_text(again.carry_out_kg),
        "issued_kg": again.issued_kg,
        "evidence_root": again.evidence_root,
        "leaves": again.leaves,
        "manifest": canonical_text(build(again, form)),
    }
    return [
        f"{what}: {name} is not what the stored readings give"
        for name, value in expected.items()
        if getattr(row, name) != value
    ]


def _claims(books: Books, what: str, row: Issuance, again: Reduction) -> list[str]:
    session = books.session
    claims = select(ReadingClaim.meter_id, ReadingClaim.start_s).where(
        ReadingClaim.issuance_id == row.id
    )
    claimed = {tuple(claim) for claim in session.execute(claims)}
    ids = meter_ids_of(session, row)
    slots = {
        (ids[meter.serial], reading.start_s)
        for meter in again.inputs.meters
        for reading in meter.readings
    }
    return [f"{what}: {len(claimed ^ slots)} slots are claimed wrongly"] if claimed != slots else []


def settlement_batches(books: Books) -> list[str]:
    """Every settlement batch of ours stands where its events put it, with the trades that it was planned with."""
    found = []
    for piece in pieces(books.session, VppSettlementBatch.id):
        rows = books.session.scalars(select(VppSettlementBatch).where(piece)).all()
        found += _settlement_batches(books, rows)
    return [*found, *forgotten_batches(books)]


def items_of(
    session: Session, rows: Sequence[VppSettlementBatch]
) -> Mapping[int, list[VppSettlementItem]]:
    """Return the trades of some batches, in the order of their words."""
    items: dict[int, list[VppSettlementItem]] = defaultdict(list)
    numbers = [row.id for row in rows]
    for item in among(session, VppSettlementItem, VppSettlementItem.batch_id, numbers):
        items[item.batch_id].append(item)
    for held in items.values():
        held.sort(key=lambda item: item.trade_id)
    return items


def _settlement_batches(books: Books, rows: Sequence[VppSettlementBatch]) -> list[str]:
    found = []
    items = items_of(books.session, rows)
    for row in rows:
        what = f"settlement batch {row.batch_key}"
        on_chain = books.replay.settled.get(row.batch_key)
        if on_chain is None:
            if row.state in (BatchState.PROPOSED, BatchState.FINALIZED, BatchState.CANCELLED):
                found.append(f"{what}: {row.state.value}, but the chain does not know its key")
            continue
        proposal = on_chain.proposal
        if is_used_up(row, on_chain):
            continue
        if _is_to_be_taken_back(row, on_chain):
            found.append(
                f"{what}: failed here, and {on_chain.status.value} on chain all the same; the next settlement takes "
                "it over"
            )
            continue
        found += _differs(what, row, items[row.id], on_chain)
        if proposal.trades_root != row.trades_root:
            found.append(f"{what}: the contract computed another root of its trades")
        if proposal.asset != (row.asset or ENERGY):
            found.append(
                f"{what}: its trades are of asset {row.asset or ENERGY}, on chain of {proposal.asset}"
            )
    return found


def _is_to_be_taken_back(row: VppSettlementBatch, on_chain: SettledBatch) -> bool:
    """Return whether a batch failed or was withdrawn here, and somebody sent its call, or a fork brought that back."""
    failed = row.state is BatchState.FAILED
    return failed and on_chain.status is not SettlementStatus.CANCELLED


def is_used_up(row: VppSettlementBatch, on_chain: SettledBatch) -> bool:
    """Return whether others took the key of a batch for other trades, or as if they were of another asset."""
    unsent = row.state in (BatchState.PLANNED, BatchState.FAILED) and row.chain_batch_id is None
    theirs = on_chain.proposal.trades_root, on_chain.proposal.asset
    return unsent and (row.trades_root, row.asset or ENERGY) != theirs


def _differs(
    what: str, row: VppSettlementBatch, items: Sequence[VppSettlementItem], on_chain: SettledBatch
) -> list[str]:
    """Return what of a batch, with its trades and their words, is not as the chain has it."""
    proposal = on_chain.proposal
    state = BatchState.PROPOSED
    if on_chain.ended_block is not None:
        state = BatchState.FINALIZED if on_chain.finalized else BatchState.CANCELLED
    nets = nets_of(proposal.words, len(proposal.accounts))
    compared = {
        "state": (row.state, state),
        "chain_batch_id": (row.chain_batch_id, proposal.batch_id),
        "proposed_block": (row.proposed_block, on_chain.proposed_block),
        "finalized_block": (row.finalized_block, on_chain.ended_block),
        "finalizable_at": (
            row.finalizable_at,
            datetime.fromtimestamp(on_chain.finalizable_at, UTC),
        ),
        "trade_count": (row.trade_count, len(proposal.words)),
        "accounts": (tuple(row.accounts), proposal.accounts),
        "nets before the fee": (tuple(int(net) for net in row.nets), nets),
        "trades_root": (
            row.trades_root,
            trades_root(row.batch_key, proposal.accounts, proposal.words),
        ),
        "words of its trades": ([item.word for item in items], hex_words(proposal.words)),
        "its trades": (
            [item.trade_id for item in items],
            [seq_of(word) for word in proposal.words],
        ),
        "error": (row.error, getattr(on_chain.end, "reason", None)),
    }
    return unequal(what, *((name, held, says) for name, (held, says) in compared.items()))
