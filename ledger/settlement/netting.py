"""Who pays what, and who is left out: pure arithmetic on trades and on what their parties have.

The contract refuses a whole batch if one party cannot pay what it owes in sum. So whoever lacks funds is left
out beforehand, with all of its trades of the batch, and the rest is added up anew, until everybody who is left
can pay. The first to go is who can pay the smallest share of its debt. One at a time, because each that goes
changes the sums of the others: who owed it money may be able to pay now, and who was to get money from it may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from ledger.chain.fees import TRANSACTION_GAS_MAX, transaction_gas_max
from ledger.settlement.words import Trade

TRADES_PER_BATCH_MAX = 1000
"""Half of MAX_TRADES of the contract: more per transaction saves little gas, and risks more at once."""
ACCOUNTS_PER_BATCH_MAX = 200
"""MAX_ACCOUNTS of the contract."""

GAS_BASE = 120_000
GAS_PER_TRADE = 2_000
GAS_PER_ACCOUNT = 45_000
GAS_PER_MARK = 22_500
"""Upper figures, measured: of a batch, a trade, an account (two balances, a signature), and a first bit in a
word of 256 trade numbers. Trades far apart in number cost a word each."""


@dataclass(frozen=True)
class Limits:
    """What one transaction may hold: gas, and, where an operator proposes, cents and kg of credits (None: any)."""

    gas: int = TRANSACTION_GAS_MAX
    cents: int | None = None
    kg: int | None = None

    @classmethod
    def of(cls, block_gas: int, signer_gas: int, cents: int, kg: int) -> Limits:
        """Return the limits of a chain whose blocks hold so much gas, of a signer policy, and of a contract's caps."""
        return cls(min(transaction_gas_max(block_gas), signer_gas), cents, kg)

    @property
    def batch_gas(self) -> int:
        """What a batch may cost by the figures above: with room for the margin of a gas limit."""
        return self.gas * 3 // 4

    def without_caps(self) -> Limits:
        """Return the same for a batch that its parties sign: the contract's caps are the operator's."""
        return Limits(self.gas)

    def above_caps(self, cents: int, kg: int) -> bool:
        """Return whether the contract would refuse so much from an operator."""
        return (self.cents is not None and cents > self.cents) or (
            self.kg is not None and kg > self.kg
        )


@dataclass(frozen=True)
class Shortfall:
    """What a debtor of a batch has and owes of an asset: cents of money (asset None), or kg of credits."""

    account: str
    asset: int | None
    held: int
    owed: int

    @property
    def missing(self) -> int:
        """What would have to be paid in."""
        return self.owed - self.held

    @property
    def _order(self) -> tuple[Fraction, bool, str]:
        return Fraction(self.held, self.owed), self.asset is not None, self.account


@dataclass(frozen=True)
class LeftOut:
    """Trades of a batch that are left out, and the debtor who cannot pay for them."""

    shortfall: Shortfall
    trades: tuple[Trade, ...]


@dataclass
class Funds:
    """What accounts have in escrow and have not promised: cents by account, kg by account and credits."""

    cents: dict[str, int] = field(default_factory=dict)
    kg: dict[tuple[str, int], int] = field(default_factory=dict)

    def copy(self) -> Funds:
        """Return the same funds, to be spent apart."""
        return Funds(dict(self.cents), dict(self.kg))

    def promise(
        self, nets: Mapping[str, int], asset: int | None, credit_nets: Mapping[str, int]
    ) -> None:
        """Deduct what the debtors of a batch will pay. What its creditors get counts only when it is final."""
        for account, net in nets.items():
            self.cents[account] = self.cents.get(account, 0) + min(net, 0)
        if asset is not None:
            for account, net in credit_nets.items():
                pair = account, asset
                self.kg[pair] = self.kg.get(pair, 0) + min(net, 0)

    def of(self, account: str, asset: int | None) -> int:
        """Return what an account has of an asset, never less than nothing."""
        held = self.cents.get(account, 0) if asset is None else self.kg.get((account, asset), 0)
        return max(held, 0)


def nets_in_cents(trades: Iterable[Trade]) -> dict[str, int]:
    """Return what each party gains (positive) or owes on the whole, in cents; they sum to zero."""
    nets: dict[str, int] = {}
    for trade in trades:
        nets[trade.buyer] = nets.get(trade.buyer, 0) - trade.cents
        nets[trade.seller] = nets.get(trade.seller, 0) + trade.cents
    return nets


def nets_in_kg(trades: Iterable[Trade], asset: int | None) -> dict[str, int]:
    """Return what each party gains or delivers of the credits, in kg; nothing for energy."""
    nets: dict[str, int] = {}
    for trade in trades if asset is not None else ():
        nets[trade.buyer] = nets.get(trade.buyer, 0) + trade.quantity_milli
        nets[trade.seller] = nets.get(trade.seller, 0) - trade.quantity_milli
    return nets


def shortfalls(trades: Sequence[Trade], asset: int | None, funds: Funds) -> list[Shortfall]:
    """Return who cannot pay or deliver what it owes, the least able first."""
    found = []
    for of, nets in ((None, nets_in_cents(trades)), (asset, nets_in_kg(trades, asset))):
        for account, net in nets.items():
            held = funds.of(account, of)
            if held + net < 0:
                found.append(Shortfall(account, of, held, -net))
    return sorted(found, key=lambda item: item._order)


def without_the_insolvent(
    trades: Sequence[Trade], asset: int | None, funds: Funds
) -> tuple[list[Trade], list[LeftOut]]:
    """Return the trades that can be settled together, and those that are left out, by debtor.

    Everybody who is left in can pay. Nobody is left out who could have paid when it was looked at.
    """
    kept = list(trades)
    out = []
    while short := shortfalls(kept, asset, funds):
        worst = short[0]
        theirs = [trade for trade in kept if worst.account in (trade.buyer, trade.seller)]
        kept = [trade for trade in kept if worst.account not in (trade.buyer, trade.seller)]
        out.append(LeftOut(worst, tuple(theirs)))
    return kept, out


_ANY = Limits()


def volume_of(trade: Trade, asset: int | None) -> tuple[int, int]:
    """Return what a trade counts for against the contract's caps: cents, as if positive, and kg of credits."""
    return abs(trade.cents), 0 if asset is None else trade.quantity_milli


def parts(
    trades: Sequence[Trade], limits: Limits = _ANY, asset: int | None = None
) -> Iterator[list[Trade]]:
    """Cut trades into parts that fit one transaction each; a trade that is too large by itself is a part of its own.

    Parameters
    ----------
    asset
        The credits that they are of; None: energy, of which no cap counts the quantity.
    """
    part: list[Trade] = []
    accounts: set[str] = set()
    marks: set[int] = set()
    cents = kg = 0
    for trade in trades:
        its_cents, its_kg = volume_of(trade, asset)
        more = accounts | {trade.buyer, trade.seller}
        marked = marks | {trade.seq >> 8}
        full = (
            len(part) == TRADES_PER_BATCH_MAX
            or len(more) > ACCOUNTS_PER_BATCH_MAX
            or _gas(len(part) + 1, len(more), len(marked)) > limits.batch_gas
            or limits.above_caps(cents + its_cents, kg + its_kg)
        )
        if part and full:
            yield part
            part, more, marked = [], {trade.buyer, trade.seller}, {trade.seq >> 8}
            cents = kg = 0
        part.append(trade)
        accounts, marks = more, marked
        cents, kg = cents + its_cents, kg + its_kg
    if part:
        yield part


def _gas(trades: int, accounts: int, marks: int) -> int:
    return GAS_BASE + trades * GAS_PER_TRADE + accounts * GAS_PER_ACCOUNT + marks * GAS_PER_MARK
