"""Parameters and answers of the settlement batches."""

from __future__ import annotations

from pydantic import Field

from api.finality import ChainAnswer, ChainPage
from api.pagination import PageParameters
from api.texts import CodeText, DecimalText, Document, IntegerText, ShortCodeText, Time
from ledger.models.escrow import DisputeStep, MovementKind, SettlementStatus
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus, TradeType


class SettlementParameters(PageParameters):
    """Filters of the list of settlement batches."""

    vpp_code: CodeText | None = Field(
        None, description="Only batches with trades of the plant with this code."
    )
    market: ShortCodeText | None = Field(None, description="Only batches of this market.")
    state: BatchState | None = Field(None, description="Only batches that have come so far.")
    elsewhere: bool = Field(
        False,
        description="True: batches that others proposed, which these books know from the chain alone; "
        "false: batches of these books.",
    )


class SettlementBatchItem(Document):
    """Trades of one market that are settled together."""

    id: int | None = Field(
        description="Row number; null: it is not of these books, and known from the chain alone."
    )
    batch_key: str = Field(description="Key of the batch, in books and on chain.")
    market: str | None = Field(description="Market of the trades; null: not of these books.")
    state: BatchState = Field(description="How far the batch has come.")
    chain_status: SettlementStatus | None = Field(
        description="State in the contract; null: not there yet."
    )
    cosigned: bool = Field(description="Whether all parties sign; else an operator proposes it.")
    credits: IntegerText | None = Field(
        description="Number of the credit batch that is traded; null: energy."
    )
    trade_count: int = Field(description="How many trades.")
    trades_root: str = Field(description="Merkle root of the trades.")
    chain_batch_id: IntegerText | None = Field(description="Number of the batch in the contract.")
    netted_from: Time | None = Field(description="Start of the hours that are netted.")
    finalizable_at: Time | None = Field(description="End of the window for disputes.")
    proposed_block: int | None = Field(description="Block that proposed it.")
    finalized_block: int | None = Field(description="Block that finalised or cancelled it.")
    error: str | None = Field(description="Why it failed.")
    created_at: Time = Field(description="When it was planned; of others: when it was proposed.")
    final: bool = Field(description="Whether its end stands in a final block.")


class SettlementPage(ChainPage):
    """One page of settlement batches."""

    items: list[SettlementBatchItem] = Field(description="The batches of the page.")


class Position(Document):
    """What a settlement comes to for one account."""

    account: str = Field(description="Account on chain.")
    participant: str | None = Field(
        description="Code of the plant, or name of the market; null: not known here."
    )
    net: DecimalText = Field(
        description="Settlement currency that it receives, before any fee; negative: it pays."
    )
    net_kg: IntegerText | None = Field(
        description="Credits that it receives, kg; negative: it delivers; null: energy."
    )


class Payment(Document):
    """What one party pays another for all their trades in the batch."""

    payer: str = Field(description="Who pays: code of the plant, or name of the market.")
    payee: str = Field(description="Who is paid.")
    amount: DecimalText = Field(description="Settlement currency, what is owed both ways netted.")
    trades: int = Field(description="How many trades it is for.")


class SettlementTradeItem(Document):
    """A trade of the batch."""

    id: int = Field(description="Row number, and the trade's number on chain.")
    vpp_code: str = Field(description="Code of the plant.")
    trade_type: TradeType = Field(description="Side that the plant is on.")
    quantity: DecimalText = Field(description="Energy in kWh; credits in t CO2e.")
    price: DecimalText = Field(description="Settlement currency per kWh; of credits per t CO2e.")
    total_value: DecimalText = Field(description="quantity x price in the settlement currency.")
    status: TradeStatus = Field(description="How far the trade has come.")
    trade_time: Time = Field(description="When it was agreed.")


class Movement(Document):
    """A change of an escrow balance that the batch made on chain."""

    account: str = Field(description="Account.")
    participant: str | None = Field(description="Whose account it is; null: not known here.")
    kind: MovementKind = Field(description="Why the balance changed.")
    asset: IntegerText = Field(
        description="0: the settlement currency, in its base units; else a credit batch, in kg."
    )
    amount: DecimalText = Field(description="The change, in units of the asset; signed.")
    block_number: int = Field(description="Block.")
    tx_hash: str = Field(description="Transaction.")


class Dispute(Document):
    """A step of a dispute over the batch."""

    step: DisputeStep = Field(description="What happened.")
    account: str = Field(description="Account that disputes.")
    participant: str | None = Field(description="Whose account it is; null: not known here.")
    trade: IntegerText | None = Field(description="Number of the trade; null: it is over.")
    until: Time | None = Field(
        description="Disputed: from when it is too late to reject it, and anybody may cancel the batch. Rejected: the "
        "new end of the window. Null: upheld."
    )
    block_number: int = Field(description="Block.")
    tx_hash: str = Field(description="Transaction.")
    happened_at: Time = Field(description="Time of that block.")


class SettlementAnswer(SettlementBatchItem, ChainAnswer):
    """One settlement batch: its trades, net positions, and who paid whom."""

    fee: DecimalText | None = Field(
        description="What the collector got, in the settlement currency; null: not finalised."
    )
    fee_collector: str | None = Field(description="Account that got the fee.")
    proposed_tx: str | None = Field(description="Transaction that proposed it.")
    positions: list[Position] = Field(description="Net positions; they sum to zero.")
    payments: list[Payment] = Field(
        description="Who pays whom, each pair once; their sums are the positions. Of others' batches "
        "the chain tells the positions alone: none."
    )
    trades: list[SettlementTradeItem] = Field(
        description="Trades by number, the first 1,000; `/v1/trades?batch_key=` has all."
    )
    movements: list[Movement] = Field(
        description="Changes of escrow balances on chain, the first 1,000."
    )
    disputes: list[Dispute] = Field(description="Steps of disputes, oldest first.")
