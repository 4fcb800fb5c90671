"""VppSettlement beside a model: random acts on both, and both must agree after each."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.contracts.park import (
    ASSET,
    CASH,
    DISPUTED,
    TIMEOUT_S,
    WINDOW_S,
    Batch,
    Park,
    TradeOf,
    merkle_proof,
    refusal,
)
from tests.contracts.settlement.model import Model
from tests.support.forms import times

BY_CHANCE = st.integers(0, 10**9)
AMOUNT = st.one_of(st.integers(1, 50), st.integers(1, 5000))
SEQS = 600  # few enough to meet again
FEE_DELAY_S = 7 * 86_400
TRADE = st.tuples(
    st.integers(1, SEQS), BY_CHANCE, BY_CHANCE, st.integers(0, 30_000), st.integers(-900, 3000)
)
TRADES = st.lists(TRADE, min_size=1, max_size=6, unique_by=lambda trade: trade[0])
VERBS = [
    *["deposit", "withdraw", "finalize", "cancel", "dispute", "reject", "wait"] * 2,
    *["propose"] * 4,
    *["cosign", "settle_one"] * 2,
    *["pause_or_resume", "freeze_or_thaw", "set_fee", "set_caps"],
]


def machine(park: Park) -> type[RuleBasedStateMachine]:
    """Return the machine over a park's contract, which each run takes back to where it was."""
    settlement = park.settlement
    holders = [park.owner, park.buyer, park.market, park.stranger]
    arbiter, collectors = park.verifier, [park.issuer, park.registrar]

    class SettlementMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.model = Model(park.issuer.address)

        def teardown(self) -> None:
            # Whatever went wrong: the next run begins where this one did, or it says something else.
            try:
                self.end()
            finally:
                park.chain.revert()  # to the snapshot that was taken before the test

        def end(self) -> None:
            # In the end every batch goes one way or the other, and everyone takes all out.
            model = self.model
            if model.paused:
                self.pause_or_resume(0)
            if model.frozen:
                self.freeze_or_thaw(0)
            park.mine_at(park.now + TIMEOUT_S)
            for number in model.opened:
                if model.batches[number].status == DISPUTED:
                    self.cancel(number, 2)
                else:
                    self.finalize(number)
            for asset in (CASH, ASSET):
                assert settlement.totalsOf(asset)[1] == 0
            for asset, balances in model.balances.items():
                for address, amount in balances.items():
                    if amount:
                        self.take(park.accounts.at(address), asset, amount)
            for asset in (CASH, ASSET):
                assert settlement.totalsOf(asset) == (0, 0)
            assert park.currency.balanceOf(settlement) == 0
            assert park.credits.balanceOf(settlement, ASSET) == 0

        def numbered(self, chance: int) -> int:
            # Half of the time the next in the order, so that it does go on.
            if chance % 4 < 2 and self.model.opened:
                return self.model.opened[0]
            return list(self.model.batches)[chance % len(self.model.batches)]

        @initialize(cents=st.lists(st.integers(0, 5000), min_size=4, max_size=4))
        def begin(self, cents: list[int]) -> None:
            for number, each in enumerate(cents):
                self.deposit(2 * number, each + 1000)
                self.deposit(2 * number + 1, 10 * each + 10_000)
            parties = [holder.address for holder in holders[:3]]
            for seq, asset in ((7, CASH), (300, ASSET)):
                trade = TradeOf(seq, parties[seq % 3], parties[(seq + 1) % 3], 1000, 100 * seq)
                self.open(Batch([trade], asset=asset))

        @rule(verb=st.sampled_from(VERBS), one=BY_CHANCE, two=AMOUNT, drawn=TRADES)
        def act(self, verb: str, one: int, two: int, drawn: list[tuple[int, ...]]) -> None:
            # One rule for all: of several, Hypothesis leaves some out of each run.
            self.model.at(park.now)
            match verb:
                case "deposit" | "withdraw":
                    getattr(self, verb)(one, two)
                case "propose" | "cosign" | "settle_one":
                    getattr(self, verb)(self.batch_of(drawn, one), one)
                case "finalize":
                    self.finalize(self.numbered(one))
                case "cancel" | "dispute" | "reject":
                    getattr(self, verb)(self.numbered(one), two)
                case _:
                    getattr(self, verb)(one)

        def batch_of(self, drawn: list[tuple[int, ...]], chance: int) -> Batch:
            trades = []
            for seq, one, other, quantity, price in sorted(drawn):
                buyer = one % len(holders)
                seller = (buyer + 1 + other % (len(holders) - 1)) % len(holders)
                parties = holders[buyer].address, holders[seller].address
                trades.append(TradeOf(seq, *parties, quantity, price))
            asset = (CASH, ASSET)[chance % 2]
            return Batch(trades, asset=asset, fee_bps=self.model.fee_bps)

        def agreed(self, expected: Any, function: Any, *arguments: Any, sender: Any) -> bool:
            """Return whether the act goes through; both must say the same."""
            if expected:
                assert refusal(function, *arguments, sender=sender) == expected
            return not expected

        # ------------------------------------------------------------------- escrow

        def deposit(self, one: int, amount: int) -> None:
            holder, asset = holders[one // 2 % len(holders)], (CASH, ASSET)[one % 2]
            if self.model.paused or (asset == ASSET and self.model.frozen):
                return
            (park.deposit_credits if asset else park.deposit)(holder, amount)
            self.model.add(holder.address, amount, asset)

        def withdraw(self, one: int, amount: int) -> None:
            self.take(holders[one // 2 % len(holders)], (CASH, ASSET)[one % 2], amount)

        def take(self, holder: Any, asset: int, amount: int) -> None:
            to = park.stranger
            function = settlement.withdrawCredits if asset else settlement.withdraw
            arguments = (to, asset, amount) if asset else (to, amount)
            expected = self.model.refused_withdrawal(holder.address, asset, amount)
            if self.agreed(expected, function, *arguments, sender=holder):
                function(*arguments, {"from": holder})
                self.model.add(holder.address, -amount, asset)

        # -------------------------------------------------------------- settlements

        def propose(self, batch: Batch, _one: int) -> None:
            arguments = (park.new_key(), batch.asset, batch.accounts, batch.words)
            expected = self.model.refused_proposal(batch)
            if self.agreed(expected, settlement.proposeBatch, *arguments, sender=park.operator):
                self.open(batch)

        def open(self, batch: Batch) -> None:
            key = park.new_key()
            number = park.propose(batch, key)
            assert number == self.model.propose(batch, park.now)
            assert bytes(settlement.tradesRootOf(number)) == batch.root(key)

        def cosign(self, batch: Batch, _one: int) -> None:
            arguments = park.cosigned(batch)
            expected = self.model.refused_trades(batch, capped=False)
            function = settlement.settleCosigned
            if self.agreed(expected, function, *arguments, sender=park.registrar):
                tx = function(*arguments, {"from": park.registrar})
                number = self.model.propose(batch, park.now)
                assert tx.return_value == number
                self.model.finalize(number)

        def settle_one(self, batch: Batch, _one: int) -> None:
            trade, asset = batch.trades[0], batch.asset
            expected = self.model.refused_single(trade, asset)
            arguments = (asset, trade.values)
            if self.agreed(expected, settlement.settleOne, *arguments, sender=park.operator):
                tx = park.settle_one(trade, asset)
                fee = self.model.settle(trade, asset)
                assert tx.events["TradeSettled"]["fee"] == fee

        def finalize(self, number: int) -> None:
            outcome = self.model.batches[number].batch.outcome
            expected = self.model.refused_finalization(number, park.now)
            function = settlement.finalizeBatch
            if self.agreed(expected, function, number, outcome, sender=park.stranger):
                function(number, outcome, {"from": park.stranger})
                self.model.finalize(number)

        def cancel(self, number: int, two: int) -> None:
            who, sender = [
                ("operator", park.operator),
                ("arbiter", arbiter),
                ("stranger", park.stranger),
            ][two % 3]
            batch = self.model.batches[number].batch
            arguments = (number, batch.outcome, batch.words, "")
            expected = self.model.refused_cancellation(number, who, sender.address, park.now)
            if self.agreed(expected, settlement.cancelBatch, *arguments, sender=sender):
                settlement.cancelBatch(*arguments, {"from": sender})
                self.model.cancel(number)

        # ----------------------------------------------------------------- disputes

        def dispute(self, number: int, two: int) -> None:
            batch = self.model.batches[number].batch
            position = two % len(batch.trades)
            trade = batch.trades[position]
            party = (trade.buyer, trade.seller)[two // 7 % 2]
            proof = merkle_proof(batch.leaves(bytes(settlement.keyOf(number))), position)
            arguments = (number, trade.values, proof)
            sender = park.accounts.at(party)
            expected = self.model.refused_dispute(number, party, park.now)
            if self.agreed(expected, settlement.disputeTrade, *arguments, sender=sender):
                settlement.disputeTrade(*arguments, {"from": sender})
                self.model.dispute(number, party, park.now)

        def reject(self, number: int, _two: int) -> None:
            expected = self.model.refused_rejection(number, park.now)
            if self.agreed(expected, settlement.rejectDispute, number, sender=arbiter):
                settlement.rejectDispute(number, {"from": arbiter})
                self.model.reject(number, park.now)

        # ---------------------------------------------------------------- oversight

        def wait(self, one: int) -> None:
            park.mine_at(park.now + (WINDOW_S, TIMEOUT_S, FEE_DELAY_S)[one % 3])

        def pause_or_resume(self, one: int) -> None:
            if not self.model.paused and one % 4:
                return  # most of the time there is none
            if self.model.paused:
                settlement.unpause({"from": park.admin})
                self.model.resume(park.now)
            else:
                settlement.pause({"from": park.pauser})
                self.model.pause(park.now)

        def freeze_or_thaw(self, one: int) -> None:
            if not self.model.frozen and one % 3:
                return
            self.model.frozen = not self.model.frozen
            park.credits.freeze(ASSET, self.model.frozen, {"from": park.stranger})

        def set_fee(self, one: int) -> None:
            bps, collector = one % 101, collectors[one % 2]
            settlement.setFee(bps, collector, {"from": park.admin})
            self.model.next_fee = (bps, collector.address, park.now + FEE_DELAY_S)

        def set_caps(self, one: int) -> None:
            caps = ((2**64 - 1, 2**64 - 1), (400, 2**64 - 1), (2**64 - 1, 20_000))[one % 3]
            settlement.setCaps(*caps, {"from": park.admin})
            self.model.caps = caps

        # --------------------------------------------------------------- invariants

        @invariant()
        def everything_is_where_the_model_says(self) -> None:
            expected: dict[tuple[Any, ...], Any] = {}
            for asset, balances in self.model.balances.items():
                for address, amount in balances.items():
                    expected[settlement.creditBalanceOf, address, asset] = amount
                total, locked = sum(balances.values()), self.model.locked(asset)
                expected[settlement.totalsOf, asset] = (total, locked)
                held = (
                    (park.credits.balanceOf, settlement.address, asset)
                    if asset
                    else (park.currency.balanceOf, settlement.address)
                )
                expected[held] = total + locked
            assert dict(zip(expected, park.answers(list(expected)), strict=True)) == expected

        @invariant()
        def batches_are_those_of_the_model(self) -> None:
            model, expected = self.model, {}
            for number, each in list(model.batches.items())[-2:]:
                expected[settlement.batchStatus, number] = each.status
                for seq in each.seqs:
                    expected[settlement.isSettled, seq] = seq in model.settled
            following = model.opened[0] if model.opened else len(model.batches) + 1
            expected[(settlement.nextToFinalize,)] = following
            assert dict(zip(expected, park.answers(list(expected)), strict=True)) == expected

    return SettlementMachine


def test_machine(park: Park, settlement: Any) -> None:
    """VS-03, VS-04, VS-16, VS-17, VS-18, VS-20, VS-21, VS-22, VS-24, VS-25, VS-26, VS-27, VS-30,
    VS-41, VS-50, VS-51, VS-52, VS-53, VS-60, VS-61: at random.
    """
    settlement.setCaps(2**64 - 1, 2**64 - 1, {"from": park.admin})
    park.chain.snapshot()
    run_state_machine_as_test(
        machine(park),
        settings=settings(
            max_examples=times(4, 12),
            stateful_step_count=times(20, 30),
            derandomize=True,
            deadline=None,
            database=None,
            phases=(Phase.generate,),  # to make a failure smaller takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
