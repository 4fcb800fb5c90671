"""Reductions to credits: plan, submit, confirm one issuance for each vintage of a period.

Planning computes the reductions, claims every slot of every meter of the period, has the claim signed
by the verifier, and stores all of it with the intent in one commit. A slot is claimed once, for ever:
the primary key of ``reading_claims`` refuses it in the books, the site's time and the evidence root
refuse it on chain. Only the mirror makes an issuance *issued*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.chain import intents
from ledger.chain.access import Chain
from ledger.chain.events import CREDIT, Claim
from ledger.chain.intents import NewIntent, new_key
from ledger.chain.sender import AlreadyOnChain
from ledger.chain.structs import claim_tuple, claim_typed_data
from ledger.db import tables
from ledger.errors import BadInput, NotFound, Refused
from ledger.models import (
    ChainIntent,
    Correction,
    CorrectionCarry,
    CreditBatch,
    EmissionFactor,
    Issuance,
    Project,
    ReadingClaim,
    Site,
)
from ledger.models import Meter as MeterRow
from ledger.models.evidence import IssuanceState
from ledger.models.mirror import IntentState
from ledger.readings.period import load_period, meter_ids, split_by_vintage
from ledger.readings.requalify import requalify
from ledger.readings.times import zone
from ledger.reductions.arithmetic import compute
from ledger.reductions.manifest import build, canonical_text, manifest_hash
from ledger.reductions.records import CarriedCorrection, Meter, Purpose, Reduction
from ledger.registration import ChainSite, methodology_hash, site_on_chain
from ledger.serials import BATCH_KG_MAX
from ledger.units import decimal_floor

_DEADLINE_SECONDS = 7 * 24 * 3600
"""How long a verifier's signature is good: time to send again after an outage, and no more."""
_LIVE = (IssuanceState.PLANNED, IssuanceState.ISSUED)


@dataclass(frozen=True)
class PlannedIssuance:
    """An issuance that is stored and not yet on chain."""

    key: str
    vintage: int
    from_date: date
    to_date: date
    reduction: Reduction


def plan_issuance(
    chain: Chain,
    project_code: str,
    start: date,
    end: date,
    *,
    dry_run: bool = False,
    now: datetime | None = None,
) -> list[PlannedIssuance]:
    """Store the issuances of a period, one for each vintage, and return them.

    Parameters
    ----------
    start, end
        Legal dates of the site; ``end`` is exclusive.
    dry_run
        Do all of it and keep nothing.
    now
        The time that it is, aware; None: by the clock of this machine.

    Raises
    ------
    NotFound
        If there is no such project.
    BadInput
        If the project is not registered on chain, or the period is empty.
    Refused
        If the period has not ended, a slot is claimed already, a gap hides a deficit, or there is nothing to issue.
    """
    head = chain.client.block("latest")
    deadline = (head.timestamp if head else 0) + _DEADLINE_SECONDS
    moment = now or datetime.now(UTC)

    def work(session: Session) -> list[PlannedIssuance]:
        planned = _plan(session, chain, project_code, (start, end), deadline, moment)
        if dry_run:
            session.rollback()
        return planned

    return chain.db.run(work)


def submit_planned(chain: Chain, project_code: str | None = None) -> list[str]:
    """Send every planned issuance that is not yet sent; return the transactions' hashes.

    Raises
    ------
    Refused
        If the contract refuses one; it is void then, its readings are free again, and so are those of
        later ones of the project that are not sent yet: they may carry what this one left.
    """
    with chain.db.read() as session:
        query = (
            select(Issuance.key)
            .join(ChainIntent, ChainIntent.key == Issuance.key)
            .where(
                Issuance.state == IssuanceState.PLANNED,
                # A failed one: this process ended between the refusal and the voiding.
                ChainIntent.state.in_((IntentState.PLANNED, IntentState.FAILED)),
            )
            .order_by(Issuance.id)
        )
        if project_code is not None:
            query = query.join(Project, Project.id == Issuance.project_id)
            query = query.where(Project.code == project_code)
        keys = session.scalars(query).all()
    hashes = []
    for key in keys:
        try:
            hashes.append(chain.sender.submit(key, CREDIT))
        except AlreadyOnChain:  # the mirror will say so
            continue
        except Refused as refusal:
            reason = refusal.message
            chain.db.run(lambda session, key=key, reason=reason: _void(session, key, reason))  # type: ignore[misc]
            raise
    return hashes


def _void(session: Session, key: str, error: str) -> None:
    refused = session.scalars(select(Issuance).where(Issuance.key == key)).one()
    fail(session, key, error)
    later = (
        select(Issuance.key)
        .join(ChainIntent, ChainIntent.key == Issuance.key)
        .where(
            Issuance.project_id == refused.project_id,
            Issuance.from_s >= refused.to_s,
            Issuance.state == IssuanceState.PLANNED,
            ChainIntent.state == IntentState.PLANNED,
        )
    )
    for other in session.scalars(later).all():
        reason = f"the issuance before it was refused: {error}"
        if intents.refuse(session, other, reason).state is IntentState.FAILED:
            fail(session, other, reason)


def settle_final(session: Session, final_number: int) -> int:
    """Mark issuances as issued whose credits stand in final blocks; return how many. For the mirror alone.

    Those sent from these books are confirmed with their transactions. This finds the ones whose sending
    the books forgot, because they were restored from before it.
    """
    # First what is planned: of batches there are as many as were ever issued, by anybody.
    planned = session.scalars(select(Issuance).where(Issuance.state == IssuanceState.PLANNED))
    by_key = {issuance.key: issuance for issuance in planned}
    found = []
    for here in tables.among(session, CreditBatch.key, by_key):
        query = select(CreditBatch).where(here, CreditBatch.block_number <= final_number)
        found += [(by_key[batch.key], batch) for batch in session.scalars(query)]
    for issuance, batch in found:
        issuance.state = IssuanceState.ISSUED
        intents.confirm(session, issuance.key, batch.tx_hash, batch.block_number, batch.issued_at)
    return len(found)


def confirm(session: Session, key: str) -> None:
    """Mark an issuance as issued. For the mirror alone, when its event stands in a final block."""
    for issuance in session.scalars(select(Issuance).where(Issuance.key == key)):
        issuance.state = IssuanceState.ISSUED


def fail(session: Session, key: str, error: str) -> None:
    """Void an issuance that will never be on chain, and free its readings for another one.

    Readings that came too late for it are in time for the next.
    """
    for issuance in session.scalars(select(Issuance).where(Issuance.key == key)):
        if issuance.state is IssuanceState.VOID:
            continue
        issuance.state = IssuanceState.VOID
        for claims in (ReadingClaim, CorrectionCarry):
            session.execute(delete(claims).where(claims.issuance_id == issuance.id))
        session.flush()
        meters = select(MeterRow.id).where(MeterRow.project_id == issuance.project_id)
        for meter_id in session.scalars(meters).all():
            requalify(session, meter_id)


def rewind(session: Session, above_block: int) -> None:
    """Take back what was learnt above a block: such issuances are planned again. For the mirror alone."""
    keys = select(ChainIntent.key).where(ChainIntent.block_number > above_block)
    query = select(Issuance).where(Issuance.key.in_(keys), Issuance.state == IssuanceState.ISSUED)
    for issuance in session.scalars(query):
        issuance.state = IssuanceState.PLANNED


def _plan(
    session: Session,
    chain: Chain,
    project_code: str,
    period: tuple[date, date],
    deadline: int,
    now: datetime,
) -> list[PlannedIssuance]:
    # Locked, and first: what this unit of work sees of other issuances is what is there once it has the lock.
    query = select(Project).where(Project.code == project_code).with_for_update()
    project = session.scalars(query).first()
    if project is None:
        raise NotFound(f"no project {project_code!r}; add it to the site file and apply that")
    site = site_on_chain(session, project_code)
    if site is None:
        raise BadInput(
            f"project {project_code!r} is not registered on chain; "
            f"run truetonne chain register --project {project_code}",
            code="not-registered",
        )
    _check_ended(session, project, period[1], now)
    _void_refused(session, project.id)
    planned = []
    for start, end in split_by_vintage(*period):
        inputs = load_period(session, project_code, start, end, lock=True)
        _check_free(session, project.id, inputs.from_s, inputs.to_s)
        _check_gap(session, project, start)
        reduction = compute(inputs)
        if reduction.issued_kg == 0:
            raise Refused(
                f"{project_code} from {start} to {end}: {decimal_floor(reduction.available_kg, 9)} kg are less than "
                "one kilogram: nothing to issue; extend the period",
                code="nothing-to-issue",
            )
        if reduction.issued_kg > BATCH_KG_MAX:
            raise Refused(
                f"{project_code} from {start} to {end}: {reduction.issued_kg} kg are more than one row of "
                f"carbon_credits holds ({BATCH_KG_MAX} kg); issue shorter periods",
                code="batch-too-large",
            )
        planned.append(_store(session, chain, project, site, reduction, deadline))
    return planned


def _check_ended(session: Session, project: Project, end: date, now: datetime) -> None:
    """Refuse a period that is not over: the contract would, and what is left of it can still change."""
    site = session.get_one(Site, project.site_id)
    today = now.astimezone(zone(site.time_zone)).date()
    if end > today:
        raise Refused(
            f"the period ends on {end}, and today is {today} in {site.time_zone}: a period is issued once it "
            "is over; give an earlier --to",
            code="period-not-over",
        )


def _void_refused(session: Session, project_id: int) -> None:
    """Void issuances that the contract refused while the process ended before it could say so."""
    query = (
        select(Issuance.key, ChainIntent.error)
        .join(ChainIntent, ChainIntent.key == Issuance.key)
        .where(
            Issuance.project_id == project_id,
            Issuance.state == IssuanceState.PLANNED,
            ChainIntent.state == IntentState.FAILED,
        )
    )
    for key, error in session.execute(query).all():
        fail(session, key, error or "refused")


def _check_free(session: Session, project_id: int, from_s: int, to_s: int) -> None:
    query = select(Issuance).where(
        Issuance.project_id == project_id,
        Issuance.state.in_(_LIVE),
        Issuance.from_s < to_s,
        Issuance.to_s > from_s,
    )
    taken = session.scalars(query).first()
    if taken is not None:
        raise Refused(
            f"the period overlaps an issuance from {taken.from_date} to {taken.to_date} ({taken.state.value}); "
            "a reading counts once",
            code="period-already-issued",
        )


def _check_gap(session: Session, project: Project, start: date) -> None:
    """Refuse a period that leaves out one before it whose reductions are negative: a deficit is paid."""
    query = (
        select(Issuance)
        .where(
            Issuance.project_id == project.id, Issuance.state.in_(_LIVE), Issuance.from_date < start
        )
        .order_by(Issuance.to_date.desc())
    )
    last = session.scalars(query).first()
    if last is None or last.to_date >= start:
        return
    for gap_start, gap_end in split_by_vintage(last.to_date, start):
        skipped = compute(load_period(session, project.code, gap_start, gap_end, enforce=False))
        if skipped.reductions_kg < 0:
            raise Refused(
                f"the period from {gap_start} to {gap_end} was left out and has a deficit of "
                f"{decimal_floor(-skipped.reductions_kg, 9)} kg; begin at {last.to_date}",
                code="deficit-left-out",
            )


def _store(
    session: Session,
    chain: Chain,
    project: Project,
    site: ChainSite,
    reduction: Reduction,
    deadline: int,
) -> PlannedIssuance:
    inputs = reduction.inputs
    manifest = build(reduction)
    text = canonical_text(manifest)
    claim = Claim(
        key=_forgotten_key(session, site, reduction, manifest_hash(text)) or new_key(),
        class_id=site.class_id,
        project_id=site.project_id,
        site_id=site.site_id,
        amount=reduction.issued_kg,
        period_start=inputs.from_s,
        period_end=inputs.to_s,
        expires_at=0,
        backfill_before=0,
        evidence_root=reduction.evidence_root,
        evidence_total=reduction.evidence_total_kg,
        manifest_hash=manifest_hash(text),
        methodology_hash=methodology_hash(inputs.methodology, inputs.methodology_version),
        recipient=chain.deployment.account("owner"),
        deadline=deadline,
    )
    # The intent first: the issuance refers to it.
    intents.plan(session, chain.deployment.chain_id, _intent(chain, claim))
    issuance = _row(session, project, reduction, text, claim)
    session.add(issuance)
    session.flush()
    _claim_slots(session, chain, issuance.id, inputs.meters)
    _pay_corrections(session, issuance.id, inputs.corrections)
    return PlannedIssuance(claim.key, inputs.vintage, inputs.from_date, inputs.to_date, reduction)


def _forgotten_key(
    session: Session, site: ChainSite, reduction: Reduction, hash_of_manifest: str
) -> str | None:
    """Return the key of the batch on chain that is this very issuance, and that the books do not know.

    They were restored from before its planning. It is planned again under its own key; the sender finds
    that it is done, and the mirror calls it issued.
    """
    query = select(CreditBatch.key).where(
        CreditBatch.site_id == site.site_id,
        CreditBatch.period_start_s == reduction.inputs.from_s,
        CreditBatch.period_end_s == reduction.inputs.to_s,
        CreditBatch.issued_kg == reduction.issued_kg,
        CreditBatch.evidence_root == reduction.evidence_root,
        CreditBatch.manifest_hash == hash_of_manifest,
        CreditBatch.key.not_in(select(Issuance.key)),
    )
    return session.scalars(query).first()


def _intent(chain: Chain, claim: Claim) -> NewIntent:
    address = chain.deployment.credit.address
    verifier = chain.deployment.account("verifier")
    message = claim_typed_data(claim, chain.deployment.chain_id, address)
    signature = chain.keyring.signer(verifier, "sign as verifier").sign_typed_data(message)
    return NewIntent(
        key=claim.key,
        kind="issue",
        contract=CREDIT,
        address=address,
        function="issue",
        arguments=[claim_tuple(claim), verifier, signature],
        sender=chain.deployment.account("issuer"),
    )


def _row(
    session: Session, project: Project, reduction: Reduction, manifest: str, claim: Claim
) -> Issuance:
    inputs, counts = reduction.inputs, reduction.counts
    factor = session.get(EmissionFactor, project.factor_id)
    if factor is None or factor.purpose.value != Purpose.CREDITING:
        raise Refused(
            f"the factor of {project.code!r} is not a crediting factor", code="wrong-purpose"
        )
    return Issuance(
        project_id=project.id,
        vintage=inputs.vintage,
        from_date=inputs.from_date,
        to_date=inputs.to_date,
        from_s=inputs.from_s,
        to_s=inputs.to_s,
        factor_id=factor.id,
        readings_expected=counts.expected,
        readings_used=counts.used,
        readings_missing=counts.missing,
        readings_outlier=counts.outlier,
        readings_conflict=counts.conflict,
        export_kwh=decimal_floor(reduction.export_kwh, 9),
        import_kwh=decimal_floor(reduction.import_kwh, 9),
        net_kwh=decimal_floor(reduction.net_kwh, 9),
        baseline_t=decimal_floor(reduction.baseline_t, 9),
        project_t=decimal_floor(reduction.project_t, 9),
        leakage_t=decimal_floor(reduction.leakage_t, 9),
        uncertainty_t=decimal_floor(reduction.uncertainty_t, 9),
        reductions_kg=decimal_floor(reduction.reductions_kg, 9),
        carry_in_kg=_fraction_text(inputs.carry_in_kg),
        carry_out_kg=_fraction_text(reduction.carry_out_kg),
        issued_kg=reduction.issued_kg,
        evidence_root=reduction.evidence_root,
        leaves=reduction.leaves,
        manifest=manifest,
        manifest_hash=claim.manifest_hash,
        key=claim.key,
        state=IssuanceState.PLANNED,
        created_at=datetime.now(UTC),
    )


def _claim_slots(session: Session, chain: Chain, issuance_id: int, meters: Sequence[Meter]) -> None:
    """Claim every slot of which the issuance used a reading or excluded one: none counts twice."""
    ids = meter_ids(session, [meter.serial for meter in meters])
    rows = [
        (ids[meter.serial], start_s, issuance_id)
        for meter in meters
        for start_s in sorted({reading.start_s for reading in meter.readings})
    ]
    try:
        chain.db.executemany(
            session,
            "INSERT INTO reading_claims (meter_id, start_s, issuance_id) VALUES (?, ?, ?)",
            rows,
        )
    except IntegrityError as error:  # of another project, to which the meter belonged before
        raise Refused(
            "readings of the period are claimed by an issuance already; a reading counts once",
            code="period-already-issued",
        ) from error


def _pay_corrections(
    session: Session, issuance_id: int, corrections: Sequence[CarriedCorrection]
) -> None:
    """Note which deficits the issuance took over: none is carried twice."""
    keys = [correction.key for correction in corrections]
    query = select(Correction.key, Correction.id).where(Correction.key.in_(keys))
    ids = {key: number for key, number in session.execute(query).all()}
    for correction in corrections:
        session.add(
            CorrectionCarry(
                correction_id=ids[correction.key],
                issuance_id=issuance_id,
                carried_kg=_fraction_text(correction.carried_kg),
            )
        )
    session.flush()


def _fraction_text(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
