"""What a settlement is, in Python: balances, batches, disputes and fees, without a chain.

Every ``refused_*`` says the error that the contract must give, or None, in the contract's order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.contracts.park import (
    ASSET,
    BOND,
    CANCELLED,
    CASH,
    DISPUTED,
    FINALIZED,
    PROPOSED,
    TIMEOUT_S,
    WINDOW_S,
    Batch,
    TradeOf,
)

Refusal = tuple[Any, ...] | None


@dataclass
class BatchModel:
    """What the model knows of a batch."""

    batch: Batch
    finalizable_at: int
    status: int = PROPOSED
    disputer: str = ""
    timeout_at: int = 0
    window_left: int = 0
    paused_before_s: int = 0
    disputers: set[str] = field(default_factory=set)

    @property
    def open(self) -> bool:
        """Whether it may still go one way or the other."""
        return self.status in (PROPOSED, DISPUTED)

    @property
    def seqs(self) -> set[int]:
        """The numbers of its trades."""
        return {trade.seq for trade in self.batch.trades}


@dataclass
class Model:
    """A settlement with one batch of credits beside the currency."""

    collector: str
    balances: dict[int, dict[str, int]] = field(default_factory=lambda: {CASH: {}, ASSET: {}})
    batches: dict[int, BatchModel] = field(default_factory=dict)
    singles: set[int] = field(default_factory=set)
    paused_at: int | None = None
    paused_before_s: int = 0
    frozen: bool = False
    caps: tuple[int, int] = (2**64 - 1, 2**64 - 1)
    fee_bps: int = 0
    next_fee: tuple[int, str, int] | None = None

    # ------------------------------------------------------------------ what there is

    def balance(self, account: str, asset: int = CASH) -> int:
        """What an account has of an asset."""
        return self.balances[asset].get(account, 0)

    def add(self, account: str, amount: int, asset: int = CASH) -> None:
        """Give to an account, or take from it."""
        self.balances[asset][account] = self.balance(account, asset) + amount

    @property
    def paused(self) -> bool:
        """Whether a pause holds."""
        return self.paused_at is not None

    def paused_for_s(self, now: int) -> int:
        """How long all pauses have held so far."""
        return self.paused_before_s + (now - self.paused_at if self.paused_at is not None else 0)

    @property
    def opened(self) -> list[int]:
        """Open batches in their order."""
        return [number for number, each in self.batches.items() if each.open]

    @property
    def settled(self) -> set[int]:
        """Numbers of trades that are settled or in an open batch."""
        live = [each.seqs for each in self.batches.values() if each.status != CANCELLED]
        return self.singles.union(*live)

    def locked(self, asset: int) -> int:
        """What the debtors of open batches owe of an asset, and the bonds."""
        legs = [self.legs(self.batches[number].batch)[asset] for number in self.opened]
        owed = sum(-net for leg in legs for net in leg if net < 0)
        disputes = sum(each.status == DISPUTED for each in self.batches.values())
        return owed + (disputes * BOND if asset == CASH else 0)

    def legs(self, batch: Batch) -> dict[int, list[int]]:
        """What each account of a batch gains of each asset."""
        return {CASH: batch.nets, ASSET: batch.credit_nets}

    def at(self, now: int) -> "Model":
        """Let an announced fee hold when its time has come."""
        if self.next_fee and now >= self.next_fee[2]:
            self.fee_bps, self.collector, _ = self.next_fee
            self.next_fee = None
        return self

    # -------------------------------------------------------------------- what is refused

    def refused_withdrawal(self, account: str, asset: int, amount: int) -> Refusal:
        """Of what an account takes out; frozen credits are their contract's matter."""
        balance = self.balance(account, asset)
        if amount > balance:
            return ("InsufficientBalance", account, asset, balance, amount)
        return ("Error", "frozen") if asset == ASSET and self.frozen else None

    def refused_trades(self, batch: Batch, capped: bool) -> Refusal:
        """Of trades, whichever way they come."""
        if self.paused:
            return ("EnforcedPause",)
        if batch.asset == ASSET and self.frozen:
            return ("AssetNotTransferable", ASSET)
        return None if capped else self._refused_marks(batch) or self._refused_debts(batch)

    def refused_proposal(self, batch: Batch) -> Refusal:
        """Of a batch that an operator proposes."""
        return (
            self.refused_trades(batch, capped=True)
            or self._refused_marks(batch)
            or self._refused_caps(batch)
            or self._refused_debts(batch)
        )

    def refused_single(self, trade: TradeOf, asset: int) -> Refusal:
        """Of a trade that an operator settles by itself."""
        batch = Batch([trade], asset=asset)
        return (
            self.refused_trades(batch, capped=True)
            or self._refused_caps(batch)
            or self._refused_marks(batch)
            or self._refused_debts(batch)
        )

    def refused_finalization(self, number: int, now: int) -> Refusal:
        """Of a batch that somebody finalizes."""
        each = self.batches[number]
        if self.paused:
            return ("EnforcedPause",)
        if each.status != PROPOSED:
            return ("BatchNotProposed", number, each.status)
        if now < each.finalizable_at:
            return ("WindowOpen", number, each.finalizable_at)
        if each.batch.asset == ASSET and self.frozen:
            return ("AssetNotTransferable", ASSET)
        first = self.opened[0]
        return ("OutOfOrder", number, first) if number != first else None

    def refused_cancellation(self, number: int, who: str, sender: str, now: int) -> Refusal:
        """Of a batch that an operator, an arbiter or a stranger cancels."""
        each = self.batches[number]
        if not each.open:
            return ("BatchNotOpen", number, each.status)
        disputed = each.status == DISPUTED
        may = (
            who in ("operator", "arbiter")
            or (
                self.paused
                and now >= each.finalizable_at + TIMEOUT_S
                and self.paused_for_s(now) - each.paused_before_s >= TIMEOUT_S
            )
            or (disputed and now >= each.timeout_at)
            or (each.batch.asset == ASSET and self.frozen)
        )
        return None if may else ("MayNotCancel", number, sender)

    def refused_dispute(self, number: int, party: str, now: int) -> Refusal:
        """Of a trade that one of its parties disputes."""
        each = self.batches[number]
        if each.status != PROPOSED:
            return ("BatchNotProposed", number, each.status)
        if now >= each.finalizable_at:
            return ("WindowOver", number, each.finalizable_at)
        if party in each.disputers:
            return ("DisputedBefore", number, party)
        balance = self.balance(party)
        return ("InsufficientBalance", party, CASH, balance, BOND) if balance < BOND else None

    def refused_rejection(self, number: int, now: int) -> Refusal:
        """Of a dispute that an arbiter rejects."""
        each = self.batches[number]
        if each.status != DISPUTED:
            return ("BatchNotDisputed", number, each.status)
        return ("DisputeTimedOut", number, each.timeout_at) if now >= each.timeout_at else None

    def _refused_marks(self, batch: Batch) -> Refusal:
        twice = {trade.seq for trade in batch.trades} & self.settled
        return ("AlreadySettled", min(twice)) if twice else None

    def _refused_caps(self, batch: Batch) -> Refusal:
        notional = sum(abs(trade.cents) for trade in batch.trades)
        quantity = sum(trade.quantity for trade in batch.trades)
        if notional > self.caps[0]:
            return ("NotionalAboveCap", notional, self.caps[0])
        if batch.asset == ASSET and quantity > self.caps[1]:
            return ("CreditsAboveCap", quantity, self.caps[1])
        return None

    def _refused_debts(self, batch: Batch) -> Refusal:
        for asset, leg in self.legs(batch).items():
            for account, net in _pairs(batch, leg):
                balance = self.balance(account, asset)
                if -net > balance:
                    return ("InsufficientBalance", account, asset, balance, -net)
        return None

    # ------------------------------------------------------------------------ what is done

    def propose(self, batch: Batch, now: int) -> int:
        """Add a batch and lock what its debtors owe."""
        number = len(self.batches) + 1
        paused_s = self.paused_for_s(now)
        self.batches[number] = BatchModel(batch, now + WINDOW_S, paused_before_s=paused_s)
        for asset, leg in self.legs(batch).items():
            for account, net in _pairs(batch, leg):
                self.add(account, min(net, 0), asset)
        return number

    def finalize(self, number: int) -> None:
        """Pay the creditors of a batch, and the collector."""
        each = self.batches[number]
        each.status = FINALIZED
        for asset, leg in self.legs(each.batch).items():
            for account, net in _pairs(each.batch, leg):
                self.add(account, max(net, 0), asset)
        self.add(self.collector, each.batch.fee)

    def settle(self, trade: TradeOf, asset: int) -> int:
        """Settle a trade by itself; return the fee."""
        self.singles.add(trade.seq)
        batch = Batch([trade], asset=asset, fee_bps=self.fee_bps)
        for each, leg in self.legs(batch).items():
            for account, net in _pairs(batch, leg):
                self.add(account, net, each)
        self.add(self.collector, batch.fee)
        return batch.fee

    def cancel(self, number: int) -> None:
        """Give the debtors of a batch what was locked, and the disputer the bond."""
        each = self.batches[number]
        if each.status == DISPUTED:
            self.add(each.disputer, BOND)
        each.status = CANCELLED
        for asset, leg in self.legs(each.batch).items():
            for account, net in _pairs(each.batch, leg):
                self.add(account, -min(net, 0), asset)

    def dispute(self, number: int, party: str, now: int) -> None:
        """Let a batch wait."""
        each = self.batches[number]
        each.status, each.disputer = DISPUTED, party
        each.disputers.add(party)
        each.timeout_at, each.window_left = now + TIMEOUT_S, each.finalizable_at - now
        self.add(party, -BOND)

    def pause(self, now: int) -> None:
        """Stop what a pause stops."""
        self.paused_at = now

    def resume(self, now: int) -> None:
        """End the pause."""
        self.paused_before_s, self.paused_at = self.paused_for_s(now), None

    def reject(self, number: int, now: int) -> None:
        """Let a batch go on."""
        each = self.batches[number]
        each.status, each.finalizable_at = PROPOSED, now + each.window_left
        self.add(self.collector, BOND)


def _pairs(batch: Batch, leg: Sequence[int]) -> list[tuple[str, int]]:
    return list(zip(batch.accounts, leg, strict=True)) if leg else []
