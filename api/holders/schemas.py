"""Parameters and answers about holders."""

from __future__ import annotations

from pydantic import Field

from api.finality import ChainPage
from api.pagination import PageParameters
from api.texts import AS_OF_BLOCK, BlockParameter, DecimalText, Document, IntegerText
from ledger.models.credits import BatchStatus


class HolderParameters(PageParameters):
    """Which part of a holder's credits."""

    as_of_block: BlockParameter | None = Field(None, description=AS_OF_BLOCK)


class Holding(Document):
    """What an account has of a batch."""

    batch_id: IntegerText = Field(description="The batch.")
    batch: str = Field(description="The batch as SITE-VINTAGE-NUMBER.")
    batch_status: BatchStatus = Field(description="Status of the whole batch on chain.")
    amount: DecimalText = Field(description="Amount in tonnes of CO2 equivalent.")
    amount_kg: IntegerText = Field(description="The same amount in kilograms.")


class Escrowed(Document):
    """What an account has of a batch in the settlement contract."""

    batch_id: IntegerText = Field(description="The batch.")
    batch: str = Field(description="The batch as SITE-VINTAGE-NUMBER.")
    amount_kg: IntegerText = Field(description="Amount in kilograms of CO2 equivalent.")


class HolderPage(ChainPage):
    """One page of what an account has."""

    holder: str = Field(description="The account.")
    contract: str | None = Field(
        description="Name of the contract of this ledger that stands there; null: none does."
    )
    items: list[Holding] = Field(description="Its credits by batch.")
    escrow: list[Escrowed] | None = Field(
        description="What it has paid into the settlement contract, which holds that, by batch; at most 200. "
        "Null with `as_of_block`."
    )
    money: IntegerText | None = Field(
        description="Money that it has in the settlement contract, in base units of the settlement currency. Null with "
        "`as_of_block`."
    )
