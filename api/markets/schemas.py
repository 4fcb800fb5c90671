"""Parameters and answers about markets."""

from __future__ import annotations

from pydantic import Field

from api.finality import ChainPage
from api.pagination import PageParameters
from api.texts import Document, IntegerText, ShortCodeText

MONEY = "Money that it has in the settlement contract, in base units of the settlement currency"


class MarketParameters(PageParameters):
    """Filters of the list of markets."""

    market: ShortCodeText | None = Field(None, description="Only the market with this name.")


class FormerAccountMoney(Document):
    """An account that a market had before, and the money that is still there."""

    account: str = Field(description="The account.")
    money: IntegerText = Field(description=f"{MONEY}; the market's to withdraw.")


class MarketItem(Document):
    """A market as settlement sees it: the other side of the trades of plants."""

    market: str = Field(description="Name of the market, as its trades have it.")
    account: str = Field(
        description="Its settlement account; `/v1/holders/{address}` has its credits."
    )
    money: IntegerText = Field(description=f"{MONEY}.")
    former_accounts: list[FormerAccountMoney] = Field(
        description="Accounts that it had before, by address."
    )


class MarketPage(ChainPage):
    """One page of markets."""

    units_per_cent: IntegerText | None = Field(
        description="Base units of the settlement currency in a cent, by what the contract took of who paid; null "
        "as long as nobody has."
    )
    items: list[MarketItem] = Field(description="The markets of the page.")
