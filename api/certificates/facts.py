"""What a certificate says: nothing that can change once the retirement stands in a final block."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.finality import ChainView
from api.retirements.queries import show_retirement
from ledger.chain.sending.issued import issuance_of
from ledger.errors import NotFound, Refused
from ledger.models import ChainCursor, ChainEvent, CreditBatch, CreditRetirement, CreditSite
from ledger.readings.periods.evidence_files import stated_by
from ledger.serials import credit_id
from ledger.settings import Settings


@dataclass(frozen=True)
class CertificateFacts:
    """One retirement as its certificate states it. Times are UTC, amounts kilograms of CO2 equivalent."""

    retirement_id: int
    key: str
    serials: str
    """The retired serials, ``SITE-VINTAGE-NUMBER-FIRST-LAST``."""
    amount_kg: int
    beneficiary: str
    reason: str
    country: str | None
    consumption_start: datetime | None
    consumption_end: datetime | None
    """Exclusive."""
    document_hash: str | None
    """Keccak-256 of a document that belongs to the retirement; None: none is stated."""
    holder: str
    replaced_batch_id: int | None
    site: str
    vintage: int
    period_start: datetime
    period_end: datetime
    """Exclusive."""
    zone: str | None
    """Legal zone of the project's site, in which the period is whole days; None: as ``methodology``."""
    methodology: str | None
    """Code and version; None: the batch was issued from others' books."""
    batch_id: int
    evidence_root: str
    manifest_hash: str
    retired_at: datetime
    block_number: int
    tx_hash: str
    network: str
    chain_id: int
    contract: str | None
    url: str
    """Address of the retirement's page."""


def facts_of(session: Session, view: ChainView, settings: Settings, name: str) -> CertificateFacts:
    """Return what the certificate of a retirement says.

    Parameters
    ----------
    name
        Number or key of the retirement.

    Raises
    ------
    NotFound
        There is none.
    Refused
        It does not stand in a final block yet.
    """
    found = show_retirement(session, view, name)
    if not found.final:
        raise Refused(
            f"retirement {found.retirement_id} stands in block {found.block_number}, which is not final yet: "
            "its certificate comes when it is",
            code="not-final",
        )
    batch = session.get(CreditBatch, found.batch_id)
    site = session.get(CreditSite, batch.site_id) if batch is not None else None
    if batch is None or site is None:
        raise NotFound(f"the books hold no batch {found.batch_id}; `truetonne reconcile` says why")
    chain_id = session.scalar(
        select(ChainCursor.chain_id).where(ChainCursor.network == view.network)
    )
    zone, methodology = _stated(session, batch)
    event = _event(session, found.retirement_id)
    return CertificateFacts(
        retirement_id=found.retirement_id,
        key=found.key,
        serials=credit_id(
            site.code, batch.vintage, batch.ordinal, found.first_serial, found.last_serial
        ),
        amount_kg=found.amount_kg,
        beneficiary=found.beneficiary,
        reason=found.reason,
        country=found.country,
        consumption_start=found.consumption_start,
        consumption_end=found.consumption_end,
        document_hash=found.document_hash,
        holder=found.holder,
        replaced_batch_id=found.replaced_batch_id,
        site=site.code,
        vintage=batch.vintage,
        period_start=datetime.fromtimestamp(batch.period_start_s, UTC),
        period_end=datetime.fromtimestamp(batch.period_end_s, UTC),
        zone=zone,
        methodology=methodology,
        batch_id=batch.batch_id,
        evidence_root=batch.evidence_root,
        manifest_hash=batch.manifest_hash,
        retired_at=found.retired_at.astimezone(UTC),
        block_number=found.block_number,
        tx_hash=found.tx_hash,
        network=view.network,
        chain_id=chain_id or 0,
        contract=event.contract_address if event is not None else None,
        url=f"{settings.public_url}/retirements/{found.retirement_id}",
    )


def _event(session: Session, retirement_id: int) -> ChainEvent | None:
    """Return the event of a retirement: it says which contract spoke, whatever is deployed today."""
    query = (
        select(ChainEvent)
        .join(
            CreditRetirement,
            (CreditRetirement.block_number == ChainEvent.block_number)
            & (CreditRetirement.log_index == ChainEvent.log_index),
        )
        .where(CreditRetirement.retirement_id == retirement_id)
    )
    return session.scalars(query).first()


def _stated(session: Session, batch: CreditBatch) -> tuple[str | None, str | None]:
    """Return zone and methodology of a batch as its manifest states them, whose hash stands on chain."""
    issuance = issuance_of(session, batch)
    if issuance is None:
        return None, None
    stated = stated_by(issuance)
    return stated.period.zone, f"{stated.methodology.id} {stated.methodology.version}"
