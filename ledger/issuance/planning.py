"""Plans issuances: computes a period, claims its slots, and stores all of it with the intent in one commit.

``plan_issuance`` cuts the period into years; ``_plan_vintage`` computes one of them and refuses what cannot be issued;
``_store`` has its claim signed and writes the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.contracts.events import CREDIT, Claim
from ledger.chain.contracts.structs import claim_tuple
from ledger.chain.keys.signers import NO_KEY
from ledger.chain.local.shared import come_to
from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent
from ledger.chain.sending.issued import backfilled_before
from ledger.clock import moment_after
from ledger.errors import BadInput, Refused
from ledger.issuance.checks import check_backfill, check_ended, check_free, check_gap, check_turn
from ledger.issuance.forgotten import batch_of_it, check_known, signed_on_chain, told_of_unknown
from ledger.issuance.signing import ELSEWHERE, ClaimSigner, KeyAtHand
from ledger.issuance.states import ISSUE, void_refused
from ledger.models import (
    ChainIntent,
    Correction,
    CorrectionCarry,
    EmissionFactor,
    ImportFile,
    Issuance,
    MeterSource,
    Project,
    ReadingRestoration,
    ReadingWithdrawal,
    Site,
)
from ledger.models.issuance import LIVE, IssuanceState
from ledger.models.sending import IntentState
from ledger.naming import project_named
from ledger.readings.periods.evidence_files import require_as_read
from ledger.readings.periods.metered import meter_ids
from ledger.readings.periods.period import load_period, skipped_before, split_by_vintage
from ledger.reductions.arithmetic import compute
from ledger.reductions.manifest import build, canonical_text, manifest_hash
from ledger.reductions.records import CarriedCorrection, Meter, Purpose, ReductionInputs
from ledger.reductions.reporting import fraction_text
from ledger.reductions.results import Reduction
from ledger.reductions.zones import legal_day_start_s, utc_of, zone
from ledger.registration import ChainSite, methodology_hash, recipient_of, site_on_chain
from ledger.serials import BATCH_KG_MAX
from ledger.units import decimal_floor


@dataclass(frozen=True)
class PlannedIssuance:
    """An issuance that is stored and not yet on chain."""

    vintage: int
    from_date: date
    to_date: date
    reduction: Reduction
    claim: Claim
    verifier: str
    call: NewIntent
    """What is to be sent."""

    @property
    def key(self) -> str:
        """The key of its intent, its claim and its batch."""
        return self.claim.key


@dataclass(frozen=True)
class _Terms:
    """How a period is to be planned: alike for all of its vintages."""

    signer: ClaimSigner
    now_s: int
    """From when a deadline is counted, in epoch seconds: the chain's time, if that is ahead of ours."""
    newest_s: int
    """Time of the newest block, epoch seconds."""
    now: datetime
    backfill: bool = False
    assumed: ChainSite | None = None
    """In a dry run: numbers to use for a project that is not registered on chain; None: it has to be."""


def plan_issuance(
    chain: Chain,
    project_code: str,
    start: date,
    end: date,
    *,
    backfill: bool = False,
    dry_run: bool = False,
    unregistered: bool = False,
    now: datetime | None = None,
    signer: ClaimSigner | None = None,
) -> list[PlannedIssuance]:
    """Compute a period and store its issuances, one for each vintage, ready to be sent; return them.

    Parameters
    ----------
    start, end
        Legal dates of the site; ``end`` is exclusive.
    backfill
        Whether the period was left out, and a later one is issued already.
    dry_run
        Do all of it and keep nothing.
    unregistered
        In a dry run: plan for a project that is not registered on chain, as if nothing had been issued for it.
    now
        The present time, aware; None: by the clock of this machine.
    signer
        Who signs the claims; None: the verifier of the deployment, whose key is at hand.

    Raises
    ------
    NotFound
        If there is no such project.
    BadInput
        If the project is not registered on chain, the period is empty, or no key of the verifier is at hand.
    Refused
        If the period has not ended, a slot of it is claimed already, days with a deficit were left out before it,
        there is nothing to issue, or it and the verifier's claim differ; if it comes before an issued one and
        ``backfill`` is not set, or ``backfill`` is set and it does not.
    BooksDiffer
        If a stored reading is not what its text gives.
    """
    newest_s = _newest_s(chain, project_code, end)
    moment = now or datetime.now(UTC)
    # The contract goes by the chain's clock, and a local chain may have had no block for weeks.
    now_s = max(newest_s, int(moment.timestamp()))
    # The contract counts from 1: no batch and no project has the number 0.
    owner = chain.deployment.account("owner")
    assumed = (
        ChainSite(chain.deployment.class_id, 0, 0, owner) if unregistered and dry_run else None
    )
    terms = _Terms(signer or KeyAtHand(chain), now_s, newest_s, moment, backfill, assumed)
    return chain.db.run(
        lambda session: _plan(session, chain, project_code, (start, end), terms),
        keep=not dry_run,
    )


def _newest_s(chain: Chain, project_code: str, end: date) -> int:
    """Return the time of the newest block, epoch seconds; a local chain comes to the end of the period first."""
    with chain.db.read() as session:
        project = project_named(session, project_code)
        where = zone(session.get_one(Site, project.site_id).time_zone)
    ends = utc_of(legal_day_start_s(end, where))
    come_to(chain.client, chain.deployment.chain_id, ends)
    return chain.client.head().timestamp


def begun(session: Session, project_code: str, start: date, end: date) -> Sequence[Issuance]:
    """Return the issuances of exactly this period that an earlier command planned, if one of them is not final yet.

    That command ended before it had sent them, or did not wait: the caller goes on with them. Empty: nothing of
    the period is planned, or all of it is final.
    """
    query = (
        select(Issuance, ChainIntent.state)
        .join(Project, Project.id == Issuance.project_id)
        .join(ChainIntent, ChainIntent.key == Issuance.key)
        .where(
            Project.code == project_code,
            Issuance.state.in_(LIVE),
            Issuance.from_date >= start,
            Issuance.to_date <= end,
        )
        .order_by(Issuance.from_date)
    )
    rows = session.execute(query).all()
    found = [row.Issuance for row in rows]
    whole = [(item.from_date, item.to_date) for item in found] == split_by_vintage(start, end)
    waiting = any(row.state is not IntentState.CONFIRMED for row in rows)
    return found if whole and waiting else ()


def _plan(
    session: Session,
    chain: Chain,
    project_code: str,
    period: tuple[date, date],
    terms: _Terms,
) -> list[PlannedIssuance]:
    # Locked, and first: what this unit of work sees of other issuances is what is there once it has the lock.
    project = project_named(session, project_code, lock=True)
    site = site_on_chain(session, project_code) or terms.assumed
    if site is None:
        raise BadInput(
            f"project {project_code!r} is not registered on chain; "
            f"run truetonne chain register --project {project_code}",
            code="not-registered",
        )
    check_ended(session, project, period[1], terms.now, terms.newest_s)
    void_refused(session, project.id)
    planned = []
    for part in split_by_vintage(*period):
        with told_of_unknown(session, project, site, part):
            planned.append(_plan_vintage(session, chain, project, site, part, terms))
    return planned


def _plan_vintage(
    session: Session,
    chain: Chain,
    project: Project,
    site: ChainSite,
    period: tuple[date, date],
    terms: _Terms,
) -> PlannedIssuance:
    """Compute and store the part of a period that lies in one year; refuse it where it cannot be issued."""
    start, end = period
    skipped = cache(lambda: skipped_before(session, project, start, end))
    inputs = load_period(
        session, project.code, start, end, backfill=terms.backfill, lock=True, skipped=skipped
    )
    check_free(session, project.id, inputs.from_s, inputs.to_s)
    if not terms.backfill:  # of its gap, what is behind it counts as well: see check_backfill
        check_gap(skipped(), start)
    reduction = compute(inputs)
    if reduction.issued_kg == 0:
        way = _way_to_more(start, end)
        if terms.backfill:
            way = check_backfill(session, project, site, inputs).way_to_more(inputs)
        raise Refused(
            f"{project.code} from {start} to {end}: {decimal_floor(reduction.available_kg, 9)} kg are less than one "
            f"kilogram: nothing to issue; {way}",
            code="nothing-to-issue",
        )
    if reduction.issued_kg > BATCH_KG_MAX:
        raise Refused(
            f"{project.code} from {start} to {end}: {reduction.issued_kg} kg are more than one row of carbon_credits "
            f"holds ({BATCH_KG_MAX} kg); issue shorter periods",
            code="batch-too-large",
        )
    return _store(session, chain, project, site, reduction, terms)


def _way_to_more(start: date, end: date) -> str:
    """Return how a period that comes to less than a kilogram may come to more."""
    way = "extend the period"
    if end == date(start.year + 1, 1, 1):  # one over New Year is two
        way += (
            f" within {start.year}, or begin at {end}: what is left of a year enters the next "
            "one where it is a deficit"
        )
    return way


def _store(
    session: Session,
    chain: Chain,
    project: Project,
    site: ChainSite,
    reduction: Reduction,
    terms: _Terms,
) -> PlannedIssuance:
    """Have the claim of a reduction signed; store the intent, the issuance, its slots, and the corrections it pays."""
    inputs = reduction.inputs
    text = canonical_text(build(reduction))
    require_as_read(text, inputs.meters)
    claim, signer = _claim(session, chain, project, site, reduction, text, terms)
    verifier, signature = _signed(claim, text, signer, project, inputs)
    # The intent first: the issuance refers to it.
    call = _intent(chain, claim, verifier, signature)
    intents.plan(session, chain.deployment.chain_id, call)
    issuance = _row(session, project, reduction, text, claim)
    session.add(issuance)
    session.flush()
    _claim_slots(session, chain, issuance.id, inputs.meters)
    _pay_corrections(session, issuance.id, inputs.corrections)
    return PlannedIssuance(
        inputs.vintage, inputs.from_date, inputs.to_date, reduction, claim, verifier, call
    )


def _claim(
    session: Session,
    chain: Chain,
    project: Project,
    site: ChainSite,
    reduction: Reduction,
    manifest: str,
    terms: _Terms,
) -> tuple[Claim, ClaimSigner]:
    """Return the claim of a reduction, and who signs it.

    If the chain has this very batch already, because the books were restored from before it, it is the claim of that
    batch, with the signature that stands on chain.
    """
    inputs, digest = reduction.inputs, manifest_hash(manifest)
    forgotten = batch_of_it(session, site, reduction, digest)
    if forgotten is None:
        check_known(session, project, site, reduction, backfill=terms.backfill)
        signer, before = terms.signer, 0
        if terms.backfill:
            before = check_backfill(session, project, site, inputs).before
        else:
            check_turn(session, project, site, inputs)
    else:
        signer, before = signed_on_chain(session, forgotten), backfilled_before(session, forgotten)
    claim = Claim(
        key=signer.key(),
        class_id=site.class_id,
        project_id=site.project_id,
        site_id=site.site_id,
        amount=reduction.issued_kg,
        period_start=inputs.from_s,
        period_end=inputs.to_s,
        expires_at=0,
        backfill_before=before,
        evidence_root=reduction.evidence_root,
        evidence_total=reduction.evidence_total_kg,
        manifest_hash=digest,
        methodology_hash=methodology_hash(inputs.methodology, inputs.methodology_version),
        recipient=recipient_of(chain.deployment, project.code, site.owner),
        deadline=signer.deadline(terms.now_s),
    )
    return claim, signer


def _signed(
    claim: Claim, manifest: str, signer: ClaimSigner, project: Project, inputs: ReductionInputs
) -> tuple[str, bytes]:
    """Return the verifier and its signature; where its key is not at hand, say how it signs elsewhere."""
    try:
        return signer.sign(claim, manifest)
    except BadInput as error:
        if error.code != NO_KEY:
            raise
        backfill = " --backfill" if claim.backfill_before else ""
        raise BadInput(
            f"{error.message}; or have the verifier sign elsewhere: `{ELSEWHERE} --project {project.code} --from "
            f"{inputs.from_date} --to {inputs.to_date}{backfill} -o DIR`",
            code=NO_KEY,
        ) from error


def _intent(chain: Chain, claim: Claim, verifier: str, signature: bytes) -> NewIntent:
    return NewIntent(
        key=claim.key,
        kind=ISSUE,
        contract=CREDIT,
        address=chain.deployment.credit.address,
        function=ISSUE,
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
            f"the factor of {project.code!r} is not a crediting factor; name one of purpose {Purpose.CREDITING} as its "
            "factor in the site file",
            code="wrong-purpose",
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
        carry_in_kg=fraction_text(inputs.carry_in_kg),
        carry_out_kg=fraction_text(reduction.carry_out_kg),
        issued_kg=reduction.issued_kg,
        evidence_root=reduction.evidence_root,
        leaves=reduction.leaves,
        manifest=manifest,
        manifest_hash=claim.manifest_hash,
        key=claim.key,
        state=IssuanceState.PLANNED,
        created_at=moment_after(_last_noted(session, project)),
    )


def _last_noted(session: Session, project: Project) -> datetime | None:
    """Return when the latest of what an issuance depends on came in: file, withdrawal or its end, correction."""
    brought = (
        select(func.max(ImportFile.imported_at))
        .join(MeterSource, MeterSource.id == ImportFile.source_id)
        .where(MeterSource.site_id == project.site_id)
    )
    found = (
        select(func.max(Correction.found_at))
        .join(Issuance, Issuance.id == Correction.issuance_id)
        .where(Issuance.project_id == project.id)
    )
    # Of all sites: a later time does no harm.
    taken = select(func.max(ReadingWithdrawal.withdrawn_at))
    given = select(func.max(ReadingRestoration.restored_at))
    noted = [session.scalar(query) for query in (brought, found, taken, given)]
    return max((moment for moment in noted if moment is not None), default=None)


def _claim_slots(session: Session, chain: Chain, issuance_id: int, meters: Sequence[Meter]) -> None:
    """Claim every slot of which the issuance has a reading, used or excluded, so that none counts twice."""
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
    """Note which deficits of corrections this issuance pays, so that no other one pays them again."""
    keys = [correction.key for correction in corrections]
    query = select(Correction.key, Correction.id).where(Correction.key.in_(keys))
    ids = {key: number for key, number in session.execute(query).all()}
    for correction in corrections:
        session.add(
            CorrectionCarry(
                correction_id=ids[correction.key],
                issuance_id=issuance_id,
                carried_kg=fraction_text(correction.carried_kg),
            )
        )
    session.flush()
