"""CarbonCredit beside a model: random acts on both, and both must agree after each."""

from dataclasses import dataclass
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
    ACTIVE,
    CAP_KG,
    NO_DETAILS,
    SUSPENDED,
    Park,
    event,
    ledger_records,
    log_head,
    refusal,
    sealed,
)

HOLDERS = 4
BY_CHANCE = st.integers(0, 10**9)
VERBS = [
    *["transfer", "retire_or_cancel"] * 4,
    *["issue", "issue_again", "transfer_all", "suspend_or_lift", "set_cap"],
    *["pause_or_resume"] * 2,
]
AMOUNTS = st.one_of(st.integers(1, 10), st.integers(1, 2000))


@dataclass
class BatchModel:
    """What the model knows of a batch."""

    issued: int
    holders: dict[Any, int]
    retired: int = 0
    cancelled: int = 0
    suspended: bool = False


def machine(park: Park) -> type[RuleBasedStateMachine]:
    """Return the machine over a park's contract, which each run takes back to where it was."""
    credit = park.credit
    holders = [park.owner, park.buyer, park.market, park.stranger][:HOLDERS]

    class CreditMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.batches: dict[int, BatchModel] = {}
            self.claims: list[dict[str, Any]] = []
            self.serials: dict[int, set[int]] = {}
            self.time_s = 100
            self.cap = CAP_KG
            self.issued = 0
            self.retirements = 0
            self.paused = False
            self.records = len(ledger_records(credit))

        def teardown(self) -> None:
            records = ledger_records(credit)
            assert log_head(credit) == (self.records, sealed(records))
            assert len(records) == self.records
            # In the end all can retire what they hold, were it paused or suspended before.
            for number, batch in self.batches.items():
                if batch.suspended:
                    credit.reinstate(number, {"from": park.admin})
                for holder, amount in batch.holders.items():
                    if amount:
                        park.retire(number, amount, holder)
                assert credit.totalSupply(number) == 0
            park.chain.revert()  # to the snapshot that was taken before the test

        def batch(self, chance: int) -> tuple[int, BatchModel]:
            return list(self.batches.items())[chance % len(self.batches)]

        def mostly_held(self, number: int, holder: Any, amount: int) -> int:
            held = self.batches[number].holders[holder]
            return 1 + amount % held if held and amount % 4 else amount

        def stopped(self, number: int, moving: bool) -> tuple[Any, ...] | None:
            if moving and self.paused:
                return ("EnforcedPause",)
            if self.batches[number].suspended:
                return ("NotActive", number, SUSPENDED)
            return None

        @initialize(amounts=st.lists(st.integers(1, 2000), min_size=2, max_size=3), who=BY_CHANCE)
        def begin(self, amounts: list[int], who: int) -> None:
            for number, amount in enumerate(amounts):
                self.issue(who + number, 0, amount)

        @rule(verb=st.sampled_from(VERBS), one=BY_CHANCE, two=BY_CHANCE, amount=AMOUNTS)
        def act(self, verb: str, one: int, two: int, amount: int) -> None:
            # One rule for all: of several, Hypothesis leaves some out of each run.
            getattr(self, verb)(one, two, amount)

        # ------------------------------------------------------------------- acts

        def issue(self, one: int, two: int, amount: int) -> None:
            recipient, gap, length = holders[one % HOLDERS], two % 3, 1 + two % 5
            claim = park.claim(
                amount=amount,
                evidenceTotal=amount,
                periodStart=self.time_s + gap,
                periodEnd=self.time_s + gap + length,
                recipient=recipient.address,
            )
            wanted = self.issued + amount
            expected: Any = None
            if wanted > self.cap:
                expected = ("CapExceeded", 1, self.cap, wanted)
            elif self.paused:
                expected = ("EnforcedPause",)
            if expected:
                arguments = park.issue_arguments(claim)
                assert refusal(credit.issue, *arguments, sender=park.issuer) == expected
                return
            number = park.issue(claim).return_value
            assert number == (1 << 32) + len(self.batches) + 1
            self.batches[number] = BatchModel(
                amount, {**dict.fromkeys(holders, 0), recipient: amount}
            )
            self.serials[number] = set(range(1, amount + 1))
            self.claims.append(claim)
            self.time_s = claim["periodEnd"]
            self.issued = wanted
            self.records += 1

        def issue_again(self, one: int, two: int, _: int) -> None:
            old = self.claims[one % len(self.claims)]
            what = ("key", "evidenceRoot", "period")[two % 3]
            later = {"periodStart": self.time_s, "periodEnd": self.time_s + 1, "amount": 1}
            if what == "period":
                period = {name: old[name] for name in ("periodStart", "periodEnd")}
                claim, expected = park.claim(**period), "PeriodAlreadyIssued"
            else:
                claim = park.claim(**later, **{what: old[what]})
                expected = {"key": "KeyUsed", "evidenceRoot": "EvidenceRootUsed"}[what]
            arguments = park.issue_arguments(claim)
            assert refusal(credit.issue, *arguments, sender=park.issuer)[0] == expected

        def transfer(self, one: int, two: int, amount: int) -> None:
            number, batch = self.batch(one)
            giver, taker = holders[two % HOLDERS], holders[two // HOLDERS % HOLDERS]
            amount = self.mostly_held(number, giver, amount)
            arguments = (giver, taker, number, amount, b"")
            expected = self.stopped(number, moving=True) or self.short(number, giver, amount)
            if expected:
                assert refusal(credit.safeTransferFrom, *arguments, sender=giver) == expected
                return
            credit.safeTransferFrom(*arguments, {"from": giver})
            batch.holders[giver] -= amount
            batch.holders[taker] += amount

        def transfer_all(self, one: int, two: int, _: int) -> None:
            giver, taker = holders[one % HOLDERS], holders[two % HOLDERS]
            numbers = list(self.batches)
            amounts = [batch.holders[giver] for batch in self.batches.values()]
            arguments = (giver, taker, numbers, amounts, b"")
            stops = [stop for number in numbers if (stop := self.stopped(number, moving=True))]
            if stops:
                error = refusal(credit.safeBatchTransferFrom, *arguments, sender=giver)
                assert error == stops[0]
                return
            credit.safeBatchTransferFrom(*arguments, {"from": giver})
            for batch, amount in zip(self.batches.values(), amounts, strict=True):
                batch.holders[giver] -= amount
                batch.holders[taker] += amount

        def short(self, number: int, holder: Any, amount: int) -> tuple[Any, ...] | None:
            held = self.batches[number].holders[holder]
            if held >= amount:
                return None
            return ("ERC1155InsufficientBalance", holder.address, held, amount, number)

        def retire_or_cancel(self, one: int, two: int, amount: int) -> None:
            number, batch = self.batch(one)
            holder, cancelling = holders[two % HOLDERS], two // HOLDERS % 2 == 0
            amount = self.mostly_held(number, holder, amount)
            expected = self.stopped(number, moving=False) or self.short(number, holder, amount)
            if expected:
                function, last = (credit.cancel, "") if cancelling else (credit.retire, NO_DETAILS)
                arguments = (b"\1" * 32, number, amount, last)
                assert refusal(function, *arguments, sender=holder) == expected
                return
            act = park.cancel if cancelling else park.retire
            values = event(act(number, amount, holder), "Cancelled" if cancelling else "Retired")
            batch.holders[holder] -= amount
            self.records += 1
            left = sorted(self.serials[number])
            taken = left[-amount:] if cancelling else left[:amount]
            assert values["firstSerial"] == taken[0]
            assert taken[-1] - taken[0] + 1 == amount
            self.serials[number] -= set(taken)
            if cancelling:
                batch.cancelled += amount
            else:
                batch.retired += amount
                self.retirements += 1
                assert values["retirementId"] == self.retirements

        def suspend_or_lift(self, one: int, _: int, __: int) -> None:
            number, batch = self.batch(one)
            if batch.suspended:
                error = refusal(credit.suspend, number, sender=park.pauser)
                assert error == ("NotActive", number, SUSPENDED)
                credit.reinstate(number, {"from": park.admin})
            else:
                credit.suspend(number, {"from": park.pauser})
            batch.suspended = not batch.suspended
            self.records += 1

        def pause_or_resume(self, one: int, _: int, __: int) -> None:
            if not self.paused and one % 4:
                return  # most of the time there is none
            if self.paused:
                credit.unpause({"from": park.admin})
            else:
                credit.pause({"from": park.pauser})
            self.paused = not self.paused

        def set_cap(self, _: int, two: int, __: int) -> None:
            self.cap = max(0, self.issued + two % 6000 - 500)
            credit.setClassCap(1, self.cap, {"from": park.registrar})
            self.records += 1

        # -------------------------------------------------------------- invariants

        @invariant()
        def batches_are_those_of_the_model(self) -> None:
            for number, batch in self.batches.items():
                totals = (batch.issued, batch.retired, batch.cancelled)
                assert credit.batchOf(number)[:3] == totals
                assert credit.statusOf(number) == (SUSPENDED if batch.suspended else ACTIVE)
                held = credit.balanceOfBatch(holders, [number] * HOLDERS)
                assert held == tuple(batch.holders[holder] for holder in holders)
                assert batch.issued == sum(held) + batch.retired + batch.cancelled
                assert len(self.serials[number]) == sum(held)

        @invariant()
        def registers_are_those_of_the_model(self) -> None:
            until = self.claims[-1]["periodEnd"] if self.claims else 0
            assert credit.siteOf(1) == (1, until, len(self.batches))
            assert credit.classOf(1) == (self.cap, self.issued)
            assert credit.retirementCount() == self.retirements
            assert credit.paused() == self.paused

        @invariant()
        def every_event_is_numbered(self) -> None:
            assert log_head(credit)[0] == self.records

    return CreditMachine


def test_machine(park: Park, credit: Any) -> None:
    """CC-13, CC-14, CC-15, CC-17, CC-30, CC-41, CC-42, CC-43, CC-51, CC-60: at random."""
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
