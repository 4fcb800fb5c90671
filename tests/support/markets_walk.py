"""What a walk of kept books does with a second market, where the same plants trade, often the same thing at one price.

Its account is one of its own or that of the first market, and either market may get the other's. Trades of both are of
the same hours and never stand in one batch. Where both have one account, the chain does not know them apart.
"""

from __future__ import annotations

from datetime import timedelta

from ledger.models import VppSettlementBatch, VppSettlementItem, VppTradingRecord
from ledger.settlement.batches import plan_round
from ledger.settlement.pending import Scope
from tests.support.chain import PARTIES
from tests.support.credit_walk import Differs, Nothing
from tests.support.meters_walk import MetersWalk
from tests.support.money_walk import Offer
from tests.support.park import MARKET as DAY_AHEAD

INTRADAY = "intraday"
SECOND_MARKET = """
[[market]]
name = "intraday"
account = "anvil:7"
"""
PURSES = ((6, 7), (6, 6), (7, 6), (7, 7))
"""Anvil's numbers of the accounts of both markets: the second one's own is the operator's."""


class MarketsWalk(MetersWalk):
    """The part of a walk of kept books that is about the second market."""

    markets = frozenset({PARTIES["market"], PARTIES["operator"]})
    purses = PURSES[0]
    offers: list[Offer]
    """What was traded."""

    def offer(self) -> Offer:
        """Something new, or what was traded before on this market or the other."""
        found = super().offer()
        if self.offers and self.chance.random() < 0.4:
            before = self.chance.choice(self.offers)
            found = before._replace(market=found.market, late=found.late)
        if self.chance.random() < 0.4:
            # Half an hour before the next one: no two trades have one time.
            found = found._replace(market=INTRADAY, late=timedelta(minutes=-30))
        self.offers.append(found)
        return found

    def apply_purses(self, purses: tuple[int, int]) -> None:
        """Apply the site file with these accounts of the markets."""
        raise NotImplementedError

    def change_purse(self) -> str:
        """The markets have other accounts in the site file."""
        purses = self.chance.choice([each for each in PURSES if each != self.purses])
        self.apply_purses(purses)
        return f"{purses}"

    def plan_market(self) -> str:
        """One market alone is settled."""
        market = self.chance.choice((DAY_AHEAD, INTRADAY))
        made = plan_round(self.park.chain, Scope(market=market))
        if not (made.batches or made.failed):
            raise Nothing
        if strange := {batch.market for batch in made.batches} - {market}:
            raise Differs(f"planned for {market}, and batches of {strange}")
        return f"{market}, {len(made.batches)} batches"

    def judge_markets(self) -> None:
        """What was planned here is of one market each; both markets had trades that ended."""
        market_of = {row.id: row.market for row in self._rows(VppTradingRecord)}
        planned = self._rows(VppSettlementBatch, VppSettlementBatch.netted_from.is_not(None))
        for batch in planned:
            those = self._rows(VppSettlementItem, VppSettlementItem.batch_id == batch.id)
            markets = {market_of[item.trade_id] for item in those}
            if markets - {batch.market}:
                self.done["batches whose trades changed markets"] += 1
        self.done["walks with trades of two markets"] += len(set(market_of.values())) > 1
