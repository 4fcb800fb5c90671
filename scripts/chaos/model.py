"""What must have happened in the end, kept beside the product in plain integers: cents and kilograms."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from scripts.chaos.stage import DAYS_ISSUED, FIRST_DAY, FUNDS_CENTS, KW_BY_DAY
from tests.support.chain import PARTIES


@dataclass(frozen=True)
class Sold:
    """A trade between the park and its market, as a file has it."""

    number: int
    """Counted from 0 in the scenario: its hour."""
    side: str
    milli: int
    price_e4: int

    @property
    def moment(self) -> datetime:
        """When it was traded: unique."""
        return datetime(2014, 1, 1, tzinfo=UTC) + timedelta(hours=self.number)

    @property
    def cents(self) -> int:
        """What the buyer pays: quantity times price, rounded half away from zero."""
        product = self.milli * self.price_e4
        return (abs(product) * 2 + 100_000) // 200_000 * (1 if product >= 0 else -1)

    @property
    def parties(self) -> tuple[str, str]:
        """Seller and buyer."""
        plant, market = PARTIES["owner"], PARTIES["market"]
        return (plant, market) if self.side == "sell" else (market, plant)


@dataclass
class Deed:
    """An act of the owner with credits; ``kg`` is unlike that of any other deed of the scenario.

    One with a name is asked for again and again, and happens once. One without is asked for once: it happens
    once when the books have it, and not at all when they have not.
    """

    name: str
    kind: str
    kg: int
    named: bool = True
    asked: bool = False


@dataclass
class Model:
    """All that was asked for."""

    sold: list[Sold] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    days: int = DAYS_ISSUED
    """Days of the park that were asked to be issued, from the first."""
    paid_in: Counter[str] = field(default_factory=Counter)
    """What strangers paid into the escrow for an account, less what they took out."""

    def day(self, number: int) -> date:
        """Return a day of the park."""
        return FIRST_DAY + timedelta(number)

    def money(self, executed: set[int]) -> dict[str, int]:
        """Return what each account has in escrow, when these trades were settled, each once."""
        found = Counter({PARTIES[party]: cents for party, cents in FUNDS_CENTS.items()})
        found.update(self.paid_in)
        for trade in self.sold:
            if trade.number in executed:
                seller, buyer = trade.parties
                found[seller] += trade.cents
                found[buyer] -= trade.cents
        return dict(found)

    def issued_kg(self) -> list[int]:
        """Return the kilograms of each issuance, in order: the first of several days, then one for a day."""
        first = 12 * sum(KW_BY_DAY[:DAYS_ISSUED])
        return [first, *(12 * kw for kw in KW_BY_DAY[DAYS_ISSUED : self.days])]
