"""Parameters and answers of the trades."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.finality import ChainPage
from api.pagination import PageParameters
from api.texts import (
    CodeText,
    DecimalText,
    Document,
    HashText,
    IntegerText,
    ShortCodeText,
    Time,
    TimeParameter,
)
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus, TradeType


class TradeFilters(BaseModel):
    """Filters of the list of trades."""

    model_config = ConfigDict(extra="forbid")

    vpp_code: CodeText | None = Field(None, description="Only trades of the plant with this code.")
    market: ShortCodeText | None = Field(None, description="Only trades on this market.")
    trade_type: TradeType | None = Field(None, description="Only trades on this side.")
    status: TradeStatus | None = Field(None, description="Only trades with this status.")
    traded_from: TimeParameter | None = Field(None, description="Only trades from this time on.")
    traded_before: TimeParameter | None = Field(None, description="Only trades before this time.")
    batch_key: HashText | None = Field(None, description="Only trades of this settlement batch.")


class TradeParameters(PageParameters, TradeFilters):
    """The same, page by page."""


class Settlement(Document):
    """The settlement batch that a trade stands in."""

    batch_key: str = Field(
        description="Key of the batch, in books and on chain, by which `/v1/settlements/{settlement_id}` has it."
    )
    state: BatchState = Field(
        description="How far the batch has come; its own route also says whether it is disputed."
    )
    chain_batch_id: IntegerText | None = Field(description="Number of the batch in the contract.")
    proposed_block: int | None = Field(description="Block that proposed it.")
    finalized_block: int | None = Field(description="Block that finalised it.")
    error: str | None = Field(description="Why it failed.")


class Trade(Document):
    """A trade of a virtual power plant on a market."""

    id: int = Field(description="Row number, and the trade's number on chain.")
    vpp_code: str = Field(description="Code of the plant.")
    strategy: str | None = Field(description="Name of the strategy.")
    trade_type: TradeType = Field(description="Side that the plant is on.")
    credits: IntegerText | None = Field(
        description="Number of the credit batch that is traded; null: energy."
    )
    quantity: DecimalText = Field(description="Energy in kWh; credits in t CO2e.")
    price: DecimalText = Field(
        description="Price in the settlement currency per kWh; of credits per t CO2e."
    )
    total_value: DecimalText = Field(description="quantity x price in the settlement currency.")
    market: str = Field(description="Market, the other side of the trade.")
    status: TradeStatus = Field(
        description="executed only once its settlement stands in a final block."
    )
    trade_time: Time = Field(description="When it was agreed.")
    settlement_time: Time | None = Field(description="Time of the block that settled it.")
    left_out: str | None = Field(
        description="Why it waits, or has failed: what its debtor lacks; null: nothing known."
    )
    settlement: Settlement | None = Field(description="Its settlement batch; null: in none yet.")
    final: bool = Field(description="Whether its settlement stands in a final block.")


class TradePage(ChainPage):
    """One page of trades."""

    items: list[Trade] = Field(description="The trades of the page.")
