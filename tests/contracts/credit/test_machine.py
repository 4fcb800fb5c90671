"""CarbonCredit beside a model: random acts on both, and both must agree after each."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.contracts.credit.evidence import Evidence, reading
from tests.contracts.credit.model import Model, Refused, totals
from tests.contracts.credit.orders import approval, order, sign
from tests.contracts.credit.replay import compare_with_storage, replayed
from tests.contracts.park import (
    CAP_KG,
    IN_DISPUTE,
    METHODOLOGY_HASH,
    NO_DETAILS,
    SUSPENDED,
    ZERO,
    Park,
    ledger_records,
    log_head,
    refusal,
    sealed,
)

DAY_S = 86_400
OFTEN = ["issue", "transfer", "retire", "replace", "reinstate", "unpause"]
VERBS = [
    *OFTEN * 2,
    *["issue_again", "backfill", "transfer_all", "retire_batch", "retire_for", "cancel"],
    *["prove_overlap", "prove_overlap", "propose", "execute", "expire", "expire", "suspend"],
    *["let_time_pass", "pause"],
    *["approve", "permit", "set_cap", "set_share", "register"],
]
BY_CHANCE = st.integers(0, 2**32 - 1)


def machine(park: Park, glance: Any, done: Counter[str]) -> type[RuleBasedStateMachine]:
    """Return the machine over a park's contract, which each run takes back to where it was.

    What both have done is counted by verb in ``done``.
    """
    credit = park.credit
    holders = [park.owner, park.buyer, park.market, park.stranger]
    everyone = [account.address for account in holders] + [credit.address]
    index_of = {account.address: index for index, account in enumerate(park.accounts[:10])}

    class CreditMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            owner = park.owner.address
            self.model = Model(
                buffer=credit.address,
                caps={1: CAP_KG, 2: CAP_KG},
                shares={1: 0, 2: 0},
                projects={1: (owner, 1), 2: (owner, 2)},
                sites={1: 1, 2: 2},
                codes={("class", "second"), ("project", "other"), ("site", "lhb-wind")},
            )
            records = ledger_records(credit)
            self.ledger = replayed(records)
            self.head = sealed(records)
            self.model.records = self.entered = len(records)
            self.height = park.chain.height
            self.used = self.steps = 0

        # ------------------------------------------------------------------ both

        def both(
            self,
            verb: str,
            function: Any,
            arguments: tuple[Any, ...],
            sender: Any,
            act: Callable[[], Any],
        ) -> None:
            """Let contract and model act: both refuse for one reason, or both do and return it."""
            try:
                expected = act()
            except Refused as refused:
                assert refusal(function, *arguments, sender=sender) == refused.reason
                return
            answer = function.call(*arguments, {"from": sender})
            assert (answer or None) == expected
            park.next_block_at(self.model.now)
            function(*arguments, {"from": sender})
            done[verb] += 1

        @initialize(seed=BY_CHANCE)
        def begin(self, seed: int) -> None:
            chance = Random(seed)
            self.verbs = chance.sample(VERBS, len(VERBS))
            self.tell_time()
            act = lambda: self.model.set_share(1, 3333)  # noqa: E731
            self.by_registrar("set_share", credit.setClassBuffer, (1, 3333), act)
            self.tell_time()
            for verb in ("issue", "issue", "retire", "issue", "propose", "issue", "execute"):
                getattr(self, verb)(chance)
                self.tell_time()

        @rule(seed=BY_CHANCE)
        def act(self, seed: int) -> None:
            # One rule for all: of several, Hypothesis leaves some out of each run.
            self.steps += 1
            done["steps"] += 1
            chance = Random(f"{seed} {self.steps}")
            self.tell_time()
            getattr(self, self.verbs[self.steps % len(VERBS)])(chance)

        def tell_time(self) -> None:
            """Set the model's clock to the next block; what is asked now is asked a second early."""
            times = {batch.expires for batch in self.model.batches.values()}
            times |= {each.pending[1] for each in self.model.batches.values() if each.pending}
            now = park.now
            if now + 1 in times:
                park.mine_at(now + 2)
            self.model.now = park.now + 1
            assert self.model.now not in times

        # ------------------------------------------------------------------- acts

        def number(self, chance: Random) -> int:
            known = list(self.model.batches)
            moving = [number for number in known if self.model.is_transferable(number)]
            if moving and chance.randrange(2):
                return chance.choice(moving)
            return chance.choice(known) if chance.randrange(20) else 7

        def holding(self, chance: Random, number: int) -> tuple[Any, int]:
            """Return a holder, mostly one that has some, and an amount, mostly of what it has."""
            batch = self.model.batches.get(number)
            having = [each for each in holders if batch and batch.balances.get(each.address)]
            holder = chance.choice(having if having and chance.randrange(5) else holders)
            held = batch.balances.get(holder.address, 0) if batch else 0
            most = held if held and chance.randrange(5) else held + 5
            return holder, chance.choice([1, most, chance.randint(1, max(most, 1))]) or 1

        def claim(self, chance: Random, site: int, start: int, end: int, **changes: Any) -> Any:
            """Return a claim and its evidence: a reading that others may have, and one of its own."""
            self.used += 1
            quality = 100 if chance.randrange(6) else 301
            begin = chance.randrange(20)
            shared = reading(begin, begin + chance.randrange(20), f"{self.used}", "T1", quality)
            evidence = Evidence(shared, reading(0, 9, "1", f"own {self.used}"))
            amount = chance.choice([1, 3, chance.randint(1, 2000)])
            project = self.model.sites[site]
            plain = {
                "classId": self.model.projects[project][1],
                "projectId": project,
                "siteId": site,
                "amount": amount,
                "evidenceTotal": amount,
                "periodStart": start,
                "periodEnd": end,
                "expiresAt": chance.choice([0, 0, self.model.now + chance.randint(1, 60) * DAY_S]),
                "evidenceRoot": evidence.root,
                "recipient": chance.choice(holders).address,
            }
            return park.claim(**{**plain, **changes}), evidence

        def bring(self, verb: str, claim: Any, evidence: Evidence) -> None:
            arguments = park.issue_arguments(claim)
            act = lambda: self.model.issue(claim, evidence)  # noqa: E731
            self.both(verb, credit.issue, arguments, park.issuer, act)

        def issue(self, chance: Random) -> None:
            site = chance.choice([1, 1, 2])
            start = self.model.until(site) + chance.randint(-1, 9)
            self.bring(
                "issue", *self.claim(chance, site, max(start, 0), start + chance.randint(2, 5))
            )

        def issue_again(self, chance: Random) -> None:
            """Bring a key or a root that is used, or a period of which a part is."""
            what = chance.choice(["key", "root", "period"])
            old = chance.choice(list(self.model.batches.values()))
            until = self.model.until(old.site)
            claim, evidence = self.claim(chance, old.site, until, until + 1)
            if what == "key":
                claim["key"] = chance.choice(list(self.model.keys))
            elif what == "root":
                claim["evidenceRoot"], evidence = old.evidence.root, old.evidence
            else:
                claim["periodStart"] = old.period.stop - 1
                claim["periodEnd"] = old.period.stop
            before = len(self.model.batches)
            self.bring("issue_again", claim, evidence)
            assert len(self.model.batches) == before
            done["issue_again"] += 1

        def backfill(self, chance: Random) -> None:
            """Bring a period before a batch, mostly within the free time before it."""
            number, batch = chance.choice(list(self.model.batches.items()))
            start = max(batch.period.start - chance.randint(1, 8), 0)
            if batch.free and chance.randrange(4):
                start = chance.choice(sorted(batch.free))
            end = chance.randint(start + 1, max(batch.period.start, start + 1))
            before = number % 2**32 if chance.randrange(20) else 99
            claim = self.claim(chance, batch.site, start, end, backfillBefore=before)
            self.bring("backfill", *claim)

        def transfer(self, chance: Random) -> None:
            number = self.number(chance)
            giver, amount = self.holding(chance, number)
            sender, taker = chance.choice([giver, giver, *holders]), chance.choice(holders)
            arguments = (giver, taker, number, amount, b"")
            given = (sender.address, giver.address, taker.address, [number], [amount])
            act = lambda: self.model.transfer(*given)  # noqa: E731
            self.both("transfer", credit.safeTransferFrom, arguments, sender, act)

        def transfer_all(self, chance: Random) -> None:
            giver, taker = chance.choice(holders), chance.choice(holders)
            numbers = [
                number
                for number in self.model.batches
                if self.model.is_transferable(number) or not chance.randrange(20)
            ]
            amounts = [self.model.batches[each].balances.get(giver.address, 0) for each in numbers]
            arguments = (giver, taker, numbers, amounts, b"")
            given = (giver.address, giver.address, taker.address, numbers, amounts)
            act = lambda: self.model.transfer(*given)  # noqa: E731
            self.both("transfer_all", credit.safeBatchTransferFrom, arguments, giver, act)

        def retire(self, chance: Random) -> None:
            number = self.number(chance)
            holder, amount = self.holding(chance, number)
            arguments = (park.new_key(), number, amount, NO_DETAILS)
            act = lambda: self.model.retire(holder.address, [number], [amount])  # noqa: E731
            self.both("retire", credit.retire, arguments, holder, act)

        def retire_batch(self, chance: Random) -> None:
            first = self.number(chance)
            holder, amount = self.holding(chance, first)
            having = [
                number
                for number, each in self.model.batches.items()
                if self.model.is_transferable(number) and each.balances.get(holder.address)
            ]
            others = chance.sample(having, min(len(having), chance.randint(0, 2)))
            numbers = [first, *others, *[self.number(chance)] * (not chance.randrange(5))]
            amounts = [amount, *(1 for _ in numbers[1:])]
            arguments = (park.new_key(), numbers, amounts, NO_DETAILS)
            act = lambda: self.model.retire(holder.address, numbers, amounts)  # noqa: E731
            self.both("retire_batch", credit.retireBatch, arguments, holder, act)

        def nonce(self, chance: Random, holder: Any) -> int:
            return self.model.nonces.get(holder.address, 0) + (not chance.randrange(6))

        def retire_for(self, chance: Random) -> None:
            number = self.number(chance)
            holder, amount = self.holding(chance, number)
            nonce = self.nonce(chance, holder)
            changes = {"holder": holder.address, "batchId": number, "amount": amount}
            message = order(park, nonce=nonce, **changes)
            signature = sign(park, message, index_of[holder.address])
            arguments = (tuple(message.values()), signature)
            given = (holder.address, number, amount, nonce)
            act = lambda: self.model.retire_for(*given)  # noqa: E731
            self.both("retire_for", credit.retireFor, arguments, park.admin, act)

        def cancel(self, chance: Random) -> None:
            number = self.number(chance)
            holder, amount = self.holding(chance, number)
            amount = min(amount, chance.choice([5, 2000]))
            act = lambda: self.model.cancel(holder.address, number, amount)  # noqa: E731
            arguments = (park.new_key(), number, amount, "")
            self.both("cancel", credit.cancel, arguments, holder, act)

        def approve(self, chance: Random) -> None:
            owner, operator = chance.choice(holders), chance.choice(holders)
            approved = chance.random() < 0.7
            given = (owner.address, operator.address, approved)
            act = lambda: self.model.approve(*given)  # noqa: E731
            self.both("approve", credit.setApprovalForAll, (operator, approved), owner, act)

        def permit(self, chance: Random) -> None:
            owner, operator = chance.choice(holders), chance.choice(holders)
            nonce, approved = self.nonce(chance, owner), chance.random() < 0.7
            given = {"owner": owner.address, "operator": operator.address, "approved": approved}
            message = approval(park, nonce=nonce, **given)
            signature = sign(park, message, index_of[owner.address])
            arguments = (*given.values(), message["deadline"], signature)
            act = lambda: self.model.permit(*given.values(), nonce)  # noqa: E731
            self.both("permit", credit.permitForAll, arguments, park.admin, act)

        # -------------------------------------------------------------- oversight

        def one(self, verb: str, function: Any, number: int, sender: Any) -> None:
            """Let both do what needs nothing but a batch."""
            act = lambda: getattr(self.model, verb)(number)  # noqa: E731
            self.both(verb, function, (number,), sender, act)

        def suspend(self, chance: Random) -> None:
            self.one("suspend", credit.suspend, self.number(chance), park.pauser)

        def reinstate(self, chance: Random) -> None:
            stopped = [
                number
                for number, each in self.model.batches.items()
                if each.status in (SUSPENDED, IN_DISPUTE) and not (each.pending and each.retired)
            ]
            number = chance.choice(stopped) if stopped else self.number(chance)
            self.one("reinstate", credit.reinstate, number, park.admin)

        def expire(self, chance: Random) -> None:
            over = [
                number
                for number, batch in self.model.batches.items()
                if batch.expires and batch.expires < self.model.now
            ]
            number = chance.choice(over) if over else self.number(chance)
            self.one("expire", credit.expire, number, park.stranger)

        def prove_overlap(self, chance: Random) -> None:
            known = list(self.model.batches)
            one, other = chance.choice(known), chance.choice(known)
            trees = [self.model.batches[number].evidence for number in (one, other)]
            found = [chance.choice(tree.readings) for tree in trees]
            if chance.randrange(4):  # the one that others have too
                meter = keccak(text="T1")
                found = [
                    next(each for each in tree.readings if each.meter == meter) for tree in trees
                ]
            arguments = tuple(tree.proven(shown) for tree, shown in zip(trees, found, strict=True))
            act = lambda: self.model.prove_overlap(one, found[0], other, found[1])  # noqa: E731
            self.both("prove_overlap", credit.proveOverlap, arguments, park.stranger, act)

        def propose(self, chance: Random) -> None:
            retired = [number for number, each in self.model.batches.items() if each.retired]
            number = chance.choice(retired) if retired else self.number(chance)
            by = chance.choice([park.reverser] * 3 + [park.admin])
            act = lambda: self.model.propose(by.address, number)  # noqa: E731
            self.both("propose", credit.proposeInvalidation, (number, "why"), by, act)

        def execute(self, chance: Random) -> None:
            waiting = [number for number, each in self.model.batches.items() if each.pending]
            number = chance.choice(waiting) if waiting else self.number(chance)
            if chance.randrange(5):
                park.mine_at(park.now + 8 * DAY_S)
                self.tell_time()
            act = lambda: self.model.execute(park.admin.address, number)  # noqa: E731
            self.both("execute", credit.executeInvalidation, (number,), park.admin, act)

        def replace(self, chance: Random) -> None:
            owing = [number for number, each in self.model.batches.items() if each.deficit]
            number = self.number(chance)
            replaced = chance.choice(owing) if owing else chance.choice(list(self.model.batches))
            amount = chance.randint(1, (self.model.batches[replaced].deficit or 0) + 1)
            if chance.randrange(4):  # of what the buffer can give
                fit = [
                    number
                    for number, each in self.model.batches.items()
                    if self.model.is_transferable(number)
                    and each.balances[credit.address]
                    and each.site == self.model.batches[replaced].site
                ]
                number = chance.choice(fit) if fit else number
                batch = self.model.batches.get(number)
                amount = min(amount, batch.balances[credit.address] or 1) if batch else 1
            arguments = (park.new_key(), number, replaced, amount)
            act = lambda: self.model.replace(number, replaced, amount)  # noqa: E731
            self.both("replace", credit.replace, arguments, park.reverser, act)

        def pause(self, chance: Random) -> None:
            if chance.randrange(2):
                self.both("pause", credit.pause, (), park.pauser, self.model.pause)

        def unpause(self, _: Random) -> None:
            self.both("unpause", credit.unpause, (), park.admin, self.model.unpause)

        def let_time_pass(self, chance: Random) -> None:
            park.mine_at(park.now + chance.randint(1, 20 * DAY_S))
            self.tell_time()
            done["let_time_pass"] += 1

        # --------------------------------------------------------------- register

        def by_registrar(self, verb: str, function: Any, arguments: Any, act: Any) -> None:
            self.both(verb, function, arguments, park.registrar, act)

        def set_cap(self, chance: Random) -> None:
            class_id = chance.choice([1, 2, 9])
            cap = max(0, self.model.issued_in(class_id) + chance.randint(-500, 5000))
            act = lambda: self.model.set_cap(class_id, cap)  # noqa: E731
            self.by_registrar("set_cap", credit.setClassCap, (class_id, cap), act)

        def set_share(self, chance: Random) -> None:
            class_id = chance.choice([1, 1, 2])
            share = chance.choice([0, 333, 2500, 5000, 5001])
            act = lambda: self.model.set_share(class_id, share)  # noqa: E731
            self.by_registrar("set_share", credit.setClassBuffer, (class_id, share), act)

        def register(self, chance: Random) -> None:
            kind, code = chance.choice(["class", "project", "site"]), f"new {chance.randrange(4)}"
            of = chance.choice([1, 2, 9])
            owner = park.owner.address
            if kind == "class":
                share = chance.choice([0, 5000, 5001])
                arguments: Any = (code, METHODOLOGY_HASH, 5, share)
                act = lambda: self.model.register_class(code, 5, share)  # noqa: E731
                function = credit.registerClass
            elif kind == "project":
                arguments, function = (of, owner, code), credit.registerProject
                act = lambda: self.model.register_project(of, owner, code)  # noqa: E731
            else:
                arguments, function = (of, code), credit.registerSite
                act = lambda: self.model.register_site(of, code)  # noqa: E731
            self.by_registrar("register", function, arguments, act)

        # -------------------------------------------------------------- invariants

        @invariant()
        def the_log_says_what_the_model_knows(self) -> None:
            for record in ledger_records(credit, self.height):
                seq = record["seq"]
                if seq <= self.entered:
                    continue
                self.ledger.enter(record)
                self.entered += 1
                assert seq == self.entered
                seal = ["bytes32", "uint64", "bytes32"]
                self.head = keccak(encode(seal, [self.head, seq, record.hash]))
                assert record["head"] == self.head
            self.height = park.chain.height
            assert self.ledger == self.model.as_ledger()
            assert log_head(credit) == (self.model.records, self.head)
            assert self.entered == self.model.records

        @invariant()
        def storage_is_that_of_the_model(self) -> None:
            batches = self.model.batches
            rows = glance.rows(credit, list(batches), everyone)
            for row, (number, batch) in zip(rows, batches.items(), strict=True):
                held = [batch.balances.get(holder, 0) for holder in everyone]
                assert row == (
                    totals(batch),
                    batch.status,
                    self.model.is_transferable(number),
                    sum(held),
                    batch.deficit or 0,
                    batch.pending or (ZERO, 0),
                    tuple(held),
                )
                assert sum(held) == len(batch.left)
                assert batch.issued == sum(held) + batch.retired + batch.cancelled
                bottom, top = batch.retired + 1, batch.issued - batch.cancelled
                assert batch.left == list(range(bottom, top + 1))
                assert (batch.pending is None) or batch.status == IN_DISPUTE

        @invariant()
        def registers_are_those_of_the_model(self) -> None:
            expected = self.model.as_ledger()
            assert [credit.classOf(number) for number in (1, 2)] == [
                tuple(expected.classes[number]) for number in (1, 2)
            ]
            assert [credit.siteOf(number) for number in (1, 2)] == [
                tuple(expected.sites[number]) for number in (1, 2)
            ]
            assert credit.retirementCount() == self.model.retirements
            assert credit.paused() == self.model.paused

        def teardown(self) -> None:
            try:
                self.end_well()
            finally:
                park.chain.revert()  # to the snapshot that was taken before the test

        def end_well(self) -> None:
            records = ledger_records(credit)
            assert (len(records), self.head) == log_head(credit)
            for index in {len(records) // 2, len(records) - 1}:
                assert sealed(records[:index] + records[index + 1 :]) != self.head
            compare_with_storage(park)
            # All can retire what they hold of an active batch, paused or not.
            if not self.model.paused:
                credit.pause({"from": park.pauser})
            self.tell_time()
            for number, batch in self.model.batches.items():
                if not self.model.is_transferable(number):
                    continue
                for holder in holders:
                    if amount := batch.balances.get(holder.address):
                        park.retire(number, amount, holder)
                assert credit.totalSupply(number) == batch.balances[credit.address]
                done["all retired"] += 1

    return CreditMachine


def test_machine(park: Park, credit: Any) -> None:
    """CC-02, CC-05, CC-06, CC-13, CC-14, CC-15, CC-17, CC-20, CC-21, CC-22, CC-30, CC-31, CC-33,
    CC-34, CC-35, CC-40, CC-41, CC-42, CC-43, CC-45, CC-46, CC-50, CC-51, CC-55, CC-56, CC-57, CC-58,
    CC-60, CC-61, CC-62, CC-71, CC-72: at random.
    """
    park.grant(credit, credit.issuerRole(2), park.issuer)
    park.grant(credit, credit.verifierRole(2), park.verifier)
    park.grant(credit, credit.REVERSER_ROLE(), park.admin)
    glance = park.project.CreditGlance.deploy({"from": park.admin})
    park.chain.snapshot()
    done: Counter[str] = Counter()
    run_state_machine_as_test(
        machine(park, glance, done),
        settings=settings(
            max_examples=14,
            stateful_step_count=40,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # a run on a chain takes too long to be shrunk
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert set(VERBS) - set(done) == set()
    assert done["all retired"] > 10
