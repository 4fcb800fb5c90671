"""VppSettlement beside a model: random acts on both, and both must agree after each."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.contracts.park import (
    CANCELLED,
    CASH,
    FINALIZED,
    PROPOSED,
    WINDOW_S,
    Batch,
    Park,
    TradeOf,
    refusal,
)

BY_CHANCE = st.integers(0, 10**9)
CENTS = st.one_of(st.integers(1, 50), st.integers(1, 5000))
SEQS = 600  # few enough to meet again
TRADE = st.tuples(
    st.integers(1, SEQS), BY_CHANCE, BY_CHANCE, st.integers(0, 30_000), st.integers(-900, 3000)
)
TRADES = st.lists(TRADE, min_size=1, max_size=6, unique_by=lambda trade: trade[0])
VERBS = [
    *["deposit", "withdraw", "try_to_finalize", "try_to_cancel"] * 2,
    *["propose"] * 4,
    *["pause_or_resume"] * 2,
]


@dataclass
class BatchModel:
    """What the model knows of a batch."""

    batch: Batch
    finalizable_at: int
    status: int = PROPOSED
    seqs: set[int] = field(default_factory=set)


def machine(park: Park) -> type[RuleBasedStateMachine]:
    """Return the machine over a park's contract, which each run takes back to where it was."""
    settlement = park.settlement
    holders = [park.owner, park.buyer, park.market, park.stranger]

    class SettlementMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.balances = {holder.address: 0 for holder in holders}
            self.batches: dict[int, BatchModel] = {}
            self.paused = False

        def teardown(self) -> None:
            # In the end every batch goes one way or the other, and everyone takes the money out.
            if self.paused:
                self.pause_or_resume(0)
            park.mine_at(park.now + WINDOW_S)
            for number, each in self.batches.items():
                if each.status == PROPOSED:
                    self.finalize(number)
            assert settlement.totalLocked() == 0
            for address, cents in self.balances.items():
                if cents:
                    settlement.withdraw(address, cents, {"from": park.accounts.at(address)})
            assert park.currency.balanceOf(settlement) == 0 == settlement.totalBalance()
            park.chain.revert()  # to the snapshot that was taken before the test

        @property
        def settled(self) -> set[int]:
            live = [each.seqs for each in self.batches.values() if each.status != CANCELLED]
            return set().union(*live)

        def chosen(self, chance: int) -> int:
            # Half of the time the next in the order, so that it does go on.
            if chance % 4 < 2 and self.proposed:
                return self.proposed[0]
            return list(self.batches)[chance % len(self.batches)]

        @property
        def proposed(self) -> list[int]:
            return [n for n, each in self.batches.items() if each.status == PROPOSED]

        @initialize(cents=st.lists(st.integers(0, 5000), min_size=4, max_size=4))
        def begin(self, cents: list[int]) -> None:
            for number, each in enumerate(cents):
                self.deposit(number, each + 1000)
            parties = [holder.address for holder in holders[:3]]
            for seq in (7, 300):
                trade = TradeOf(seq, parties[seq % 3], parties[(seq + 1) % 3], 1000, 100 * seq)
                self.add(Batch([trade]))

        @rule(verb=st.sampled_from(VERBS), one=BY_CHANCE, cents=CENTS, drawn=TRADES)
        def act(self, verb: str, one: int, cents: int, drawn: list[tuple[int, ...]]) -> None:
            # One rule for all: of several, Hypothesis leaves some out of each run.
            match verb:
                case "deposit" | "withdraw":
                    getattr(self, verb)(one, cents)
                case "propose":
                    self.propose(drawn)
                case _:
                    getattr(self, verb)(one)

        # ------------------------------------------------------------------- acts

        def deposit(self, who: int, cents: int) -> None:
            holder = holders[who % len(holders)]
            if self.paused:
                error = refusal(settlement.deposit, holder, cents, sender=holder)
                assert error == ("EnforcedPause",)
                return
            park.deposit(holder, cents)
            self.balances[holder.address] += cents

        def withdraw(self, who: int, cents: int) -> None:
            holder = holders[who % len(holders)]
            balance = self.balances[holder.address]
            if cents > balance:
                error = refusal(settlement.withdraw, holder, cents, sender=holder)
                assert error == ("InsufficientBalance", holder.address, CASH, balance, cents)
                return
            settlement.withdraw(holder, cents, {"from": holder})
            self.balances[holder.address] -= cents

        def propose(self, drawn: list[tuple[int, ...]]) -> None:
            trades = []
            for seq, one, other, quantity, price in sorted(drawn):
                buyer = one % len(holders)
                seller = (buyer + 1 + other % (len(holders) - 1)) % len(holders)
                parties = holders[buyer].address, holders[seller].address
                trades.append(TradeOf(seq, *parties, quantity, price))
            batch = Batch(trades)
            expected = self.refused(batch)
            if expected:
                arguments = (park.new_key(), CASH, batch.accounts, batch.words)
                error = refusal(settlement.proposeBatch, *arguments, sender=park.operator)
                assert error == expected
                return
            self.add(batch)

        def add(self, batch: Batch) -> None:
            key = park.new_key()
            number = park.propose(batch, key)
            assert number == len(self.batches) + 1
            assert bytes(settlement.tradesRootOf(number)) == batch.root(key)
            for account, net in zip(batch.accounts, batch.nets, strict=True):
                self.balances[account] += min(net, 0)
            seqs = {trade.seq for trade in batch.trades}
            until = park.now + WINDOW_S
            self.batches[number] = BatchModel(batch, until, seqs=seqs)

        def refused(self, batch: Batch) -> tuple[Any, ...] | None:
            if self.paused:
                return ("EnforcedPause",)
            twice = {trade.seq for trade in batch.trades} & self.settled
            if twice:
                return ("AlreadySettled", min(twice))
            for account, net in zip(batch.accounts, batch.nets, strict=True):
                if -net > self.balances[account]:
                    return ("InsufficientBalance", account, CASH, self.balances[account], -net)
            return None

        def try_to_finalize(self, chance: int) -> None:
            if chance % 2:
                park.mine_at(park.now + WINDOW_S)
            number = self.chosen(chance)
            each = self.batches[number]
            expected: Any = None
            if self.paused:
                expected = ("EnforcedPause",)
            elif each.status != PROPOSED:
                expected = ("BatchNotProposed", number, each.status)
            elif park.now < each.finalizable_at:
                expected = ("WindowOpen", number, each.finalizable_at)
            elif number != self.proposed[0]:
                expected = ("OutOfOrder", number, self.proposed[0])
            if expected:
                arguments = (number, each.batch.outcome)
                assert (
                    refusal(settlement.finalizeBatch, *arguments, sender=park.stranger) == expected
                )
                return
            self.finalize(number)

        def finalize(self, number: int) -> None:
            each = self.batches[number]
            park.finalize(number, each.batch)
            each.status = FINALIZED
            for account, net in zip(each.batch.accounts, each.batch.nets, strict=True):
                self.balances[account] += max(net, 0)

        def try_to_cancel(self, chance: int) -> None:
            number = self.chosen(chance)
            each = self.batches[number]
            batch = each.batch
            if each.status != PROPOSED:
                arguments = (number, batch.outcome, batch.words, "")
                error = refusal(settlement.cancelBatch, *arguments, sender=park.operator)
                assert error == ("BatchNotProposed", number, each.status)
                return
            park.cancel_batch(number, batch)
            each.status = CANCELLED
            for account, net in zip(batch.accounts, batch.nets, strict=True):
                self.balances[account] -= min(net, 0)

        def pause_or_resume(self, one: int) -> None:
            if not self.paused and one % 4:
                return  # most of the time there is none
            if self.paused:
                settlement.unpause({"from": park.admin})
            else:
                settlement.pause({"from": park.pauser})
            self.paused = not self.paused

        # -------------------------------------------------------------- invariants

        @invariant()
        def money_is_where_the_model_says(self) -> None:
            for address, cents in self.balances.items():
                assert settlement.balanceOf(address) == cents
            owed = [-net for n in self.proposed for net in self.batches[n].batch.nets if net < 0]
            assert settlement.totalLocked() == sum(owed)
            assert settlement.totalBalance() == sum(self.balances.values())
            custody = park.currency.balanceOf(settlement)
            assert custody == sum(self.balances.values()) + sum(owed)

        @invariant()
        def batches_are_those_of_the_model(self) -> None:
            for number, each in list(self.batches.items())[-2:]:
                assert settlement.batchStatus(number) == each.status
                for seq in each.seqs:
                    assert settlement.isSettled(seq) == (seq in self.settled)
            expected = self.proposed[0] if self.proposed else len(self.batches) + 1
            assert settlement.nextToFinalize() == expected

    return SettlementMachine


def test_machine(park: Park, settlement: Any) -> None:
    """VS-03, VS-04, VS-16, VS-17, VS-18, VS-20, VS-21, VS-22, VS-30: at random."""
    run_state_machine_as_test(
        machine(park),
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
