"""Batches on chain of which these books have no issuance: the books lost it, or other books issued it.

If the books come to the very same batch when the period is planned again, it is taken over. Any other has its period
refused; the refusal names the batch and what to do, and comes before anything else that is wrong with the period.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.sending.issued import backfilled_before
from ledger.errors import Refused
from ledger.issuance.signing import ClaimSigner, SignedOnChain
from ledger.issuance.states import ISSUE
from ledger.models import BlockchainTransaction, CreditBatch, Issuance, Project, Site
from ledger.naming import of_site
from ledger.reductions.results import Reduction
from ledger.reductions.zones import legal_day, legal_day_start_s, zone
from ledger.registration import ChainSite

_ISSUED = "period-already-issued"


def batch_of_it(
    session: Session, site: ChainSite, reduction: Reduction, hash_of_manifest: str
) -> CreditBatch | None:
    """Return the batch on chain that is this very issuance and that the books do not know; None: there is none.

    The books were restored from before its planning. The caller plans it again under the key of the batch; the sender
    finds that it is done, and the mirror's rows make it issued.
    """
    query = select(CreditBatch).where(
        CreditBatch.site_id == site.site_id,
        CreditBatch.period_start_s == reduction.inputs.from_s,
        CreditBatch.period_end_s == reduction.inputs.to_s,
        CreditBatch.issued_kg == reduction.issued_kg,
        CreditBatch.evidence_root == reduction.evidence_root,
        CreditBatch.manifest_hash == hash_of_manifest,
        CreditBatch.key.not_in(select(Issuance.key)),
    )
    return session.scalars(query).first()


def signed_on_chain(session: Session, batch: CreditBatch) -> ClaimSigner:
    """Return a signer that gives the signature which is on chain with a claim: nobody has to sign it again."""
    query = select(BlockchainTransaction.parameters).where(
        BlockchainTransaction.tx_hash == batch.tx_hash,
        BlockchainTransaction.function_name == ISSUE,
    )
    call = session.scalars(query).first() or {}
    claim = call.get("claim", {})
    if claim.get("key") != batch.key:  # another contract passed the call on
        return SignedOnChain(batch.key, 0, batch.verifier, b"")
    signature = bytes.fromhex(call["signature"][2:])
    return SignedOnChain(batch.key, int(claim["deadline"]), batch.verifier, signature)


def check_known(
    session: Session, project: Project, site: ChainSite, reduction: Reduction, *, backfill: bool
) -> None:
    """Refuse a period if the chain has a batch in its time that these books do not know and do not come to.

    Raises
    ------
    Refused
        If a batch that they know nothing of has time of the period.
    """
    inputs = reduction.inputs
    batch = _unknown(session, site, inputs.from_s, inputs.to_s)
    if batch is None:
        return
    same = (batch.period_start_s, batch.period_end_s) == (inputs.from_s, inputs.to_s)
    if not same:
        why = f"it is not what is from {inputs.from_date} to {inputs.to_date}"
    elif backfill != (backfilled_before(session, batch) > 0):
        why = "it was issued as a backfill" if not backfill else "it was not issued as a backfill"
    elif reduction.issued_kg != batch.issued_kg:
        why = f"they come to {reduction.issued_kg} kg"
    else:
        why = "they come to as much, but of other readings, factors or terms"
    raise Refused(_said_of(session, project, batch, why), code=_ISSUED)


@contextmanager
def told_of_unknown(
    session: Session, project: Project, site: ChainSite, period: tuple[date, date]
) -> Iterator[None]:
    """Have a refusal of a period say first that it is issued, where a batch that the books do not know has time of it.

    Raises
    ------
    Refused
        The refusal; with what is on chain in front of it.
    """
    try:
        yield
    except Refused as refusal:
        if refusal.code == _ISSUED:
            raise
        where = zone(session.get_one(Site, project.site_id).time_zone)
        batch = _unknown(session, site, *(legal_day_start_s(day, where) for day in period))
        if batch is None:
            raise
        said = _said_of(session, project, batch, refusal.message)
        raise Refused(said, code=_ISSUED, details=refusal.details) from refusal


def _unknown(session: Session, site: ChainSite, from_s: int, to_s: int) -> CreditBatch | None:
    query = (
        select(CreditBatch)
        .where(
            of_site(CreditBatch.batch_id, site.site_id),
            CreditBatch.period_start_s < to_s,
            CreditBatch.period_end_s > from_s,
            CreditBatch.key.not_in(select(Issuance.key)),
        )
        .order_by(CreditBatch.period_start_s)
        .limit(1)
    )
    return session.scalars(query).first()


def _said_of(session: Session, project: Project, batch: CreditBatch, why: str) -> str:
    """Say as which batch a period is issued, why these books do not take it over, and what to do."""
    where = zone(session.get_one(Site, project.site_id).time_zone)
    first, end = (legal_day(at_s, where) for at_s in (batch.period_start_s, batch.period_end_s))
    how = " --backfill" if backfilled_before(session, batch) else ""
    return (
        f"{project.code} is issued on chain from {first} to {end}, as batch {batch.ordinal} ({batch.issued_kg} kg, "
        f"transaction {batch.tx_hash}), and these books have no such issuance: {why}; if they have forgotten it, "
        "import again what they had by then, withdraw and restore again what was (`truetonne readings withdraw` and "
        "`restore`), and "
        f"`truetonne credits issue --project {project.code} --from {first} --to {end}{how}` takes it over "
        "and sends nothing; if other books issue this project, take [project] out of the site file here"
    )
