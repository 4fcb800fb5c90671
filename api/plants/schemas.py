"""Parameters and answers about virtual power plants."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from api.finality import ChainAnswer, ChainPage
from api.holders.schemas import Holding
from api.pagination import PageParameters
from api.settlements.schemas import Payment
from api.texts import DecimalText, Document, IntegerText, Time
from ledger.models.escrow import SettlementStatus
from ledger.models.settlement import BatchState
from ledger.models.vpp import AssociationRole, ResourceType, VppStatus


class TradePeriod(StrEnum):
    """How long the periods are that trades are summed by, in UTC."""

    MONTH = "month"
    DAY = "day"
    HOUR = "hour"


class PlantsParameters(PageParameters):
    """Filters of the list of plants."""

    status: VppStatus | None = Field(None, description="Only plants that are so.")


class PlantParameters(BaseModel):
    """How a plant is shown."""

    model_config = ConfigDict(extra="forbid")

    by: TradePeriod = Field(
        TradePeriod.MONTH, description="What its trades are summed by; days and hours are UTC."
    )


class PlantItem(Document):
    """A virtual power plant: what trades on a market as one."""

    code: str = Field(description="Code of the plant.")
    name: str = Field(description="Name for people.")
    status: VppStatus = Field(description="Whether it is in use.")
    capacity_kw: DecimalText = Field(description="Capacity in kW.")
    account: str | None = Field(description="Its settlement account; null: it has none yet.")


class PlantPage(ChainPage):
    """One page of plants."""

    items: list[PlantItem] = Field(description="The plants of the page.")


class Resource(Document):
    """What belongs to a plant, and how much of it."""

    code: str = Field(description="Code of the resource.")
    name: str = Field(description="Name for people.")
    type: ResourceType = Field(description="What it is.")
    capacity: DecimalText = Field(description="Rated capacity, in the unit beside it.")
    unit: str = Field(description="Unit of the capacity.")
    share: DecimalText = Field(description="Share that belongs to the plant, from 0 to 1.")
    role: AssociationRole = Field(description="Part that it plays.")


class Balance(Document):
    """What the plant has in the settlement contract."""

    asset: IntegerText = Field(
        description="0: the settlement currency, in its base units; else a credit batch, in kg."
    )
    batch: str | None = Field(
        description="The credit batch as SITE-VINTAGE-NUMBER; null: money, or a batch that these books do not know."
    )
    balance: DecimalText = Field(description="Balance, in units of the asset.")


class FormerAccount(Document):
    """An account that the plant had before; what was settled with it stays settled."""

    account: str = Field(description="The account.")
    balances: list[Balance] = Field(
        description="What it still has in the settlement contract, the plant's to withdraw."
    )


class TradeSum(Document):
    """The trades of a period that are settled or are to be; not those that were cancelled or that failed."""

    period: str = Field(description="Month, day or hour of the trades, UTC, as `2024-01`.")
    trades: int = Field(description="How many trades.")
    energy_bought_kwh: DecimalText = Field(description="Energy that it bought, kWh.")
    energy_sold_kwh: DecimalText = Field(description="Energy that it sold, kWh.")
    credits_bought_t: DecimalText = Field(description="Credits that it bought, t CO2e.")
    credits_sold_t: DecimalText = Field(description="Credits that it sold, t CO2e.")
    received: DecimalText = Field(
        description="What all of them bring it, settlement currency; negative: it pays."
    )


class PlantSettlement(Document):
    """A settlement batch that the plant took part in."""

    id: int = Field(description="Row number of the batch.")
    batch_key: str = Field(description="Key of the batch.")
    state: BatchState = Field(description="How far the batch has come.")
    chain_status: SettlementStatus | None = Field(
        description="State in the contract; null: not there yet."
    )
    payment: Payment = Field(description="Who pays whom for the plant's trades in it.")
    created_at: Time = Field(description="When it was planned.")
    final: bool = Field(description="Whether its end stands in a final block.")


class PlantAnswer(PlantItem, ChainAnswer):
    """A plant as settlement sees it: its account, what it holds, its trades, and who paid whom."""

    description: str | None = Field(description="What it is for.")
    resources: list[Resource] = Field(description="What belongs to it, the first 200 by code.")
    balances: list[Balance] = Field(description="What it has in the settlement contract.")
    former_accounts: list[FormerAccount] = Field(
        description="Accounts that it had before, by address."
    )
    holdings: list[Holding] = Field(
        description="Credits of its account, the first 50 batches; `/v1/holders/{address}` has all."
    )
    sums: list[TradeSum] = Field(
        description="Its trades by period, the last 60 with trades, the latest first."
    )
    settlements: list[PlantSettlement] = Field(
        description="Batches that it took part in, the last 50, the latest first; `/v1/settlements?vpp_code=` has all."
    )
