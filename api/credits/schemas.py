"""Parameters and answers of the credits."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.finality import ChainAnswer, ChainPage
from api.pagination import Order, PageParameters
from api.texts import (
    AS_OF_BLOCK,
    BlockParameter,
    CodeText,
    DecimalText,
    Document,
    HashText,
    IntegerText,
    Time,
)
from ledger.models.credits import BatchStatus
from ledger.models.readings import ReadingKind, ReadingQuality
from ledger.serials import CreditStatus


class CreditFilters(BaseModel):
    """Filters of the list of credits."""

    model_config = ConfigDict(extra="forbid")

    status: CreditStatus | None = Field(None, description="Only credits with this status.")
    site: CodeText | None = Field(
        None,
        description="Only credits of the site with this code on chain, which is its project's.",
    )
    vintage: int | None = Field(None, ge=1970, le=9999, description="Only credits of this year.")
    key: HashText | None = Field(None, description="Only credits of the issuance with this key.")
    batch_id: int | None = Field(None, ge=1, lt=2**63, description="Only credits of this batch.")
    as_of_block: BlockParameter | None = Field(None, description=AS_OF_BLOCK)


class CreditParameters(PageParameters, CreditFilters):
    """The same, page by page."""


class AsOfParameters(BaseModel):
    """When an answer is of."""

    model_config = ConfigDict(extra="forbid")

    as_of_block: BlockParameter | None = Field(None, description=AS_OF_BLOCK)


class Credit(Document):
    """A run of serials of one batch that share one status."""

    id: int | None = Field(
        description="Row number; null: as of an earlier block, and parted since."
    )
    credit_id: str = Field(description="Serial: site, vintage, batch, first and last kilogram.")
    amount: DecimalText = Field(description="Amount in tonnes of CO2 equivalent.")
    amount_kg: IntegerText = Field(description="The same amount in kilograms.")
    unit: str = Field(description="Unit of `amount`: tCO2e.")
    status: CreditStatus = Field(description="What became of it.")
    issuer: str = Field(description="Address of the issuer.")
    site: str | None = Field(description="Code of the site on chain, which is its project's.")
    vintage: int = Field(description="Year of the reductions.")
    batch_id: IntegerText = Field(description="ERC-1155 id of the batch.")
    batch_status: BatchStatus = Field(description="Status of the whole batch on chain.")
    first_serial: IntegerText = Field(description="First kilogram of the run, in the batch.")
    last_serial: IntegerText = Field(description="Last kilogram of the run, in the batch.")
    key: str = Field(description="Key of the issuance, in books and on chain.")
    retirement_id: IntegerText | None = Field(description="Retirement that it belongs to, if any.")
    blockchain_tx: str | None = Field(description="Transaction that issued it.")
    status_tx: str | None = Field(
        description="Transaction that gave it its status: it issued, retired, cancelled or invalidated it."
    )
    issued_at: Time = Field(description="Time of the block that issued it.")
    expires_at: Time | None = Field(description="When it ends; null: never.")
    final: bool = Field(
        description="Whether its issuance, and all that changed the credits or the status of its batch, "
        "stands in final blocks; transfers between holders change neither."
    )


class CreditPart(Document):
    """One of the runs that together make up a batch."""

    credit_id: str = Field(description="Serial of the run.")
    amount_kg: IntegerText = Field(description="Amount in kilograms.")
    status: CreditStatus = Field(description="What became of it.")


class Batch(Document):
    """The batch of a credit: one issuance, of one site, for one monitoring period."""

    issued_kg: IntegerText = Field(description="Kilograms issued.")
    retired_kg: IntegerText = Field(description="Kilograms retired.")
    cancelled_kg: IntegerText = Field(description="Kilograms cancelled by their holders.")
    buffered_kg: IntegerText = Field(description="Kilograms that went to the buffer of the class.")
    deficit_kg: IntegerText | None = Field(
        description="Kilograms retired and still to be replaced; null: it was never invalidated."
    )
    period_start: Time = Field(description="Start of the monitoring period.")
    period_end: Time = Field(description="End of the monitoring period, not included.")
    recipient: str = Field(description="Address that received the credits.")
    verifier: str = Field(description="Address of the verifier who signed.")
    evidence_root: str = Field(description="Merkle root of the readings behind it.")
    evidence_total_kg: IntegerText = Field(description="Kilograms that the evidence adds up to.")
    manifest_hash: str = Field(
        description="Hash of the manifest: everything needed to recompute it."
    )
    methodology_hash: str = Field(description="Hash of methodology and version.")
    block_number: int = Field(description="Block that issued it.")
    backfill_before_batch_id: IntegerText | None = Field(
        description="For a backfill, the batch that comes after it in time; null: it is none."
    )
    credits_count: int = Field(description="How many runs of serials the batch has.")
    credits: list[CreditPart] = Field(
        description="Its runs in the order of serials, the first 500; the list of credits has all, by `batch_id`."
    )


class Retirement(Document):
    """The retirement that a credit belongs to."""

    key: str = Field(description="Key of the retirement.")
    holder: str = Field(description="Address whose credits were retired; the contract: the buffer.")
    replaced_batch_id: IntegerText | None = Field(
        description="The invalidated batch that units of the buffer stand in for; null: none."
    )
    beneficiary: str = Field(description="Who benefits.")
    reason: str = Field(description="Why.")
    country: str | None = Field(
        description="Country of the beneficiary, ISO 3166-1; null: not stated."
    )
    tx_hash: str = Field(description="Transaction that retired it.")
    block_number: int = Field(description="Block that retired it.")
    retired_at: Time = Field(description="Time of that block.")
    consumption_start: Time | None = Field(description="Start of what is offset; null: not stated.")
    consumption_end: Time | None = Field(description="End of what is offset; null: not stated.")
    document_hash: str | None = Field(description="Hash of a document; null: none.")


class CreditAnswer(Credit, ChainAnswer):
    """One credit, with its batch and its retirement."""

    batch: Batch = Field(description="Its batch.")
    retirement: Retirement | None = Field(description="Its retirement, if it is retired.")


class CreditPage(ChainPage):
    """One page of credits."""

    items: list[Credit] = Field(description="The credits of the page.")


class HistoryEntry(Document):
    """One thing that happened."""

    kind: str = Field(
        description="readings_imported, reductions_computed, corrected, issued, transferred, retired, replaced, "
        "cancelled, status_changed, invalidation_proposed, invalidation_dropped, invalidation_executed or "
        "overlap_proven."
    )
    at: Time | None = Field(
        description="When: time of the block, or of our books; null: see block."
    )
    block_number: int | None = Field(description="Block; null for what happened in our books.")
    log: int | None = Field(description="Place of its log in the block.")
    tx_hash: str | None = Field(description="Transaction.")
    final: bool | None = Field(description="Whether its block is final; null without a block.")
    values: dict[str, str] = Field(
        description="What it says, by name; numbers as text; names that end in `_link` are paths."
    )


class HistoryParameters(PageParameters):
    """Which part of a history."""

    limit: int = Field(1000, ge=1, le=1000, description="Entries of one page.")
    order: Order = Field(Order.ASC, description="asc: oldest first; desc: newest first.")


class HistoryAnswer(ChainPage):
    """A page of the life of a batch: from its meter files to retirements and cancellations."""

    batch_id: IntegerText = Field(description="The batch.")
    items: list[HistoryEntry] = Field(description="What happened.")
    complete: bool = Field(description="Whether nothing follows; else go on at `next_cursor`.")


class RetirementItem(Retirement):
    """One retirement, with the credits that it retired."""

    retirement_id: IntegerText = Field(description="Number of the retirement.")
    batch_id: IntegerText = Field(description="The batch whose credits were retired.")
    first_serial: IntegerText = Field(description="First kilogram that was retired, in the batch.")
    last_serial: IntegerText = Field(description="Last kilogram that was retired, in the batch.")
    amount_kg: IntegerText = Field(description="Kilograms.")
    credit_id: str | None = Field(description="The credit, by its serials.")
    final: bool = Field(description="Whether the retirement stands in a final block.")


class RetirementAnswer(RetirementItem, ChainAnswer):
    """One retirement, and as of when."""


class ReadingParameters(PageParameters):
    """Which readings of a credit."""

    order: Order = Field(Order.ASC, description="asc: earliest first; desc: latest first.")
    quality: ReadingQuality | None = Field(None, description="Only readings with this quality.")
    device: CodeText | None = Field(None, description="Only readings of this device.")


class CreditReading(Document):
    """A reading of the period of a credit's batch, whether it counts or not."""

    id: int = Field(description="Row number; `/v1/readings/{id}/proof` proves it.")
    device: str = Field(description="Code of the device.")
    meter: str = Field(description="Serial number of the meter.")
    start: Time = Field(description="When its interval begins.")
    end: Time = Field(description="When its interval ends.")
    kind: ReadingKind = Field(
        description="power: mean kW; energy: kWh; fuel_mass: kg; fuel_volume: l."
    )
    value: DecimalText | None = Field(description="The value in the unit of its kind; null: none.")
    text: str = Field(description="The value as the file has it; empty: none.")
    unit: str = Field(description="Unit of the text.")
    quality: ReadingQuality = Field(description="Whether it counts.")
    conflict: bool = Field(description="Whether another value stands for the interval.")
    reason: str | None = Field(description="Why it does not count.")
    withdrawn: str | None = Field(
        description="Why its value was taken back, so that its text counts as none; null: it was not."
    )
    restored: str | None = Field(
        description="Why the value that was taken back was given back; null: it was not."
    )
    file: str = Field(description="File that brought it.")
    line: int = Field(description="Line in that file, the header is 1.")


class ReadingPage(ChainPage):
    """One page of the readings behind a credit."""

    batch_id: IntegerText = Field(description="The batch.")
    items: list[CreditReading] = Field(description="Readings of its period, by time.")
