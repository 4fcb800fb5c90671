"""Parameters and answers of the transactions."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.finality import ChainPage
from api.pagination import PageParameters
from api.texts import AddressText, CodeText, DecimalText, Document, HashText, IntegerText, Time
from ledger.models.blockchain import TransactionStatus


class TransactionFilters(BaseModel):
    """Filters of the list of transactions."""

    model_config = ConfigDict(extra="forbid")

    status: TransactionStatus | None = Field(
        None, description="Only transactions with this status."
    )
    contract_address: AddressText | None = Field(
        None, description="Only transactions to this contract."
    )
    function_name: CodeText | None = Field(None, description="Only calls of this function.")
    tx_hash: HashText | None = Field(None, description="Only the transaction with this hash.")
    key: HashText | None = Field(None, description="Only transactions of the intent with this key.")


class TransactionParameters(PageParameters, TransactionFilters):
    """The same, page by page."""


class ContractError(Document):
    """An error of a contract in plain words."""

    name: str = Field(description="Name of the error in the contract.")
    arguments: dict[str, str] = Field(description="Its values, by name.")
    english: str = Field(description="What it says.")
    to_do: str = Field(description="What to do.")
    chinese: str = Field(description="What it says, in Chinese.")
    to_do_chinese: str = Field(description="What to do, in Chinese.")


class Transaction(Document):
    """A transaction to one of our contracts, sent by us or by anybody."""

    id: int = Field(description="Row number.")
    tx_hash: str = Field(description="Hash of the transaction.")
    key: str | None = Field(description="Key of the intent that it carries; null: not one of ours.")
    contract_address: str | None = Field(description="Contract that was called.")
    contract_name: str | None = Field(description="Name of that contract, if it is registered.")
    function_name: str | None = Field(description="Function that was called.")
    parameters: dict[str, Any] | None = Field(description="Decoded arguments; integers as text.")
    status: TransactionStatus = Field(
        description="pending until its block is final; then confirmed, or failed if it reverted."
    )
    error: str | None = Field(description="Why it reverted.")
    explanation: ContractError | None = Field(
        description="The same in plain words; null: it did not revert, or with no error of ours."
    )
    sender: str | None = Field(description="Account that sent it; null until it is in a block.")
    block_number: int | None = Field(description="Block that it is in; null until it is in one.")
    gas_used: IntegerText | None = Field(description="Gas that it used.")
    gas_price: DecimalText | None = Field(
        description="Price that was paid for a unit of gas, in wei."
    )
    created_at: Time = Field(description="When we first knew of it.")
    confirmed_at: Time | None = Field(description="Time of its block, once that is final.")
    final: bool = Field(description="Whether it stands in a final block.")


class TransactionPage(ChainPage):
    """One page of transactions."""

    items: list[Transaction] = Field(description="The transactions of the page.")
