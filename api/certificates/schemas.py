"""The certificate of a retirement as JSON."""

from __future__ import annotations

from pydantic import Field

from api.finality import ChainAnswer
from api.texts import Document, IntegerText, Time


class Certificate(Document):
    """What a certificate states; no field changes any more."""

    retirement_id: IntegerText = Field(description="Number of the retirement.")
    key: str = Field(description="Key of the retirement.")
    serials: str = Field(description="Retired serials: site, vintage, batch, first and last.")
    amount_kg: IntegerText = Field(description="Kilograms of CO2 equivalent.")
    beneficiary: str = Field(description="Who benefits; somebody else's text, as it is.")
    reason: str = Field(description="Why; the same.")
    country: str | None = Field(description="Country of the claim; null: not stated.")
    consumption_start: Time | None = Field(description="Start of what is offset; null: not stated.")
    consumption_end: Time | None = Field(description="End of what is offset, not included.")
    document_hash: str | None = Field(
        description="Keccak-256 of a document that belongs to the retirement; null: none."
    )
    holder: str = Field(description="Address whose credits were retired.")
    replaced_batch_id: IntegerText | None = Field(
        description="The invalidated batch that units of the buffer stand in for; null: none."
    )
    site: str = Field(description="Code of the site on chain, which is its project's.")
    vintage: int = Field(description="Year of the reductions.")
    period_start: Time = Field(description="Start of the monitoring period.")
    period_end: Time = Field(description="End of the monitoring period, not included.")
    zone: str | None = Field(
        description="Zone whose whole days the period is; null: not known here."
    )
    methodology: str | None = Field(description="Code and version; null: not known here.")
    batch_id: IntegerText = Field(description="The batch.")
    evidence_root: str = Field(description="Merkle root of the readings behind it.")
    manifest_hash: str = Field(description="Hash of the calculation.")
    retired_at: Time = Field(description="Time of the block.")
    block_number: int = Field(description="Block that retired it.")
    tx_hash: str = Field(description="Transaction that retired it.")
    network: str = Field(description="Name of the network.")
    chain_id: int = Field(description="Number of the chain.")
    contract: str | None = Field(description="Contract that said so; null: not known here.")
    url: str = Field(
        description="Page of the retirement, as on the certificate and in its QR code."
    )


class CertificateAnswer(ChainAnswer):
    """A certificate, and the hash of its PDF."""

    certificate: Certificate = Field(description="What it states.")
    pdf: str = Field(description="Path of the PDF.")
    pdf_sha256: str = Field(
        description="SHA-256 of the PDF, which has the same bytes at every run."
    )
