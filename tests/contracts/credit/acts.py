"""What holders and issuers do at random, on the contract and on the model alike."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine

from tests.contracts.credit.evidence import Evidence, reading
from tests.contracts.credit.model import Model, Refused
from tests.contracts.credit.orders import approval, order, sign
from tests.contracts.credit.replay import replayed
from tests.contracts.park import CAP_KG, NO_DETAILS, Park, ledger_records, refusal, sealed

DAY_S = 86_400


class CreditActs(RuleBasedStateMachine):
    """A park's contract and a model beside it; each run takes the contract back to where it was."""

    park: ClassVar[Park]
    credit: ClassVar[Any]
    glance: ClassVar[Any]
    done: ClassVar[Counter[str]]
    """What both have done, counted by verb."""

    def __init__(self) -> None:
        super().__init__()
        owner = self.park.owner.address
        self.model = Model(
            buffer=self.credit.address,
            caps={1: CAP_KG, 2: CAP_KG},
            shares={1: 0, 2: 0},
            projects={1: (owner, 1), 2: (owner, 2)},
            sites={1: 1, 2: 2},
            codes={("class", "second"), ("project", "other"), ("site", "lhb-wind")},
        )
        records = ledger_records(self.credit)
        self.ledger = replayed(records)
        self.head = sealed(records)
        self.model.records = self.entered = len(records)
        self.height = self.park.chain.height
        self.used = self.steps = 0
        park = self.park
        self.holders = [park.owner, park.buyer, park.market, park.stranger]
        self.everyone = [account.address for account in self.holders] + [self.credit.address]
        self.index_of = {each.address: index for index, each in enumerate(park.accounts[:10])}

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
        self.park.next_block_at(self.model.now)
        function(*arguments, {"from": sender})
        self.done[verb] += 1

    def tell_time(self) -> None:
        """Set the model's clock to the next block; what is asked now is asked a second early."""
        times = {batch.expires for batch in self.model.batches.values()}
        times |= {each.pending[1] for each in self.model.batches.values() if each.pending}
        now = self.park.now
        if now + 1 in times:
            self.park.mine_at(now + 2)
        self.model.now = self.park.now + 1
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
        having = [each for each in self.holders if batch and batch.balances.get(each.address)]
        holder = chance.choice(having if having and chance.randrange(5) else self.holders)
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
            "recipient": chance.choice(self.holders).address,
        }
        return self.park.claim(**{**plain, **changes}), evidence

    def bring(self, verb: str, claim: Any, evidence: Evidence) -> None:
        arguments = self.park.issue_arguments(claim)
        act = partial(self.model.issue, claim, evidence)
        self.both(verb, self.credit.issue, arguments, self.park.issuer, act)

    def issue(self, chance: Random) -> None:
        site = chance.choice([1, 1, 2])
        start = self.model.until(site) + chance.randint(-1, 9)
        self.bring("issue", *self.claim(chance, site, max(start, 0), start + chance.randint(2, 5)))

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
        self.done["issue_again"] += 1

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
        sender, taker = chance.choice([giver, giver, *self.holders]), chance.choice(self.holders)
        arguments = (giver, taker, number, amount, b"")
        given = (sender.address, giver.address, taker.address, [number], [amount])
        act = partial(self.model.transfer, *given)
        self.both("transfer", self.credit.safeTransferFrom, arguments, sender, act)

    def transfer_all(self, chance: Random) -> None:
        giver, taker = chance.choice(self.holders), chance.choice(self.holders)
        numbers = [
            number
            for number in self.model.batches
            if self.model.is_transferable(number) or not chance.randrange(20)
        ]
        amounts = [self.model.batches[each].balances.get(giver.address, 0) for each in numbers]
        arguments = (giver, taker, numbers, amounts, b"")
        given = (giver.address, giver.address, taker.address, numbers, amounts)
        act = partial(self.model.transfer, *given)
        self.both("transfer_all", self.credit.safeBatchTransferFrom, arguments, giver, act)

    def retire(self, chance: Random) -> None:
        number = self.number(chance)
        holder, amount = self.holding(chance, number)
        arguments = (self.park.new_key(), number, amount, NO_DETAILS)
        act = partial(self.model.retire, holder.address, [number], [amount])
        self.both("retire", self.credit.retire, arguments, holder, act)

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
        arguments = (self.park.new_key(), numbers, amounts, NO_DETAILS)
        act = partial(self.model.retire, holder.address, numbers, amounts)
        self.both("retire_batch", self.credit.retireBatch, arguments, holder, act)

    def nonce(self, chance: Random, holder: Any) -> int:
        return self.model.nonces.get(holder.address, 0) + (not chance.randrange(6))

    def retire_for(self, chance: Random) -> None:
        number = self.number(chance)
        holder, amount = self.holding(chance, number)
        nonce = self.nonce(chance, holder)
        changes = {"holder": holder.address, "batchId": number, "amount": amount}
        message = order(self.park, nonce=nonce, **changes)
        signature = sign(self.park, message, self.index_of[holder.address])
        arguments = (tuple(message.values()), signature)
        given = (holder.address, number, amount, nonce)
        act = partial(self.model.retire_for, *given)
        self.both("retire_for", self.credit.retireFor, arguments, self.park.admin, act)

    def cancel(self, chance: Random) -> None:
        number = self.number(chance)
        holder, amount = self.holding(chance, number)
        amount = min(amount, chance.choice([5, 2000]))
        act = partial(self.model.cancel, holder.address, number, amount)
        arguments = (self.park.new_key(), number, amount, "")
        self.both("cancel", self.credit.cancel, arguments, holder, act)

    def approve(self, chance: Random) -> None:
        owner, operator = chance.choice(self.holders), chance.choice(self.holders)
        approved = chance.random() < 0.7
        given = (owner.address, operator.address, approved)
        act = partial(self.model.approve, *given)
        self.both("approve", self.credit.setApprovalForAll, (operator, approved), owner, act)

    def permit(self, chance: Random) -> None:
        owner, operator = chance.choice(self.holders), chance.choice(self.holders)
        nonce, approved = self.nonce(chance, owner), chance.random() < 0.7
        given = {"owner": owner.address, "operator": operator.address, "approved": approved}
        message = approval(self.park, nonce=nonce, **given)
        signature = sign(self.park, message, self.index_of[owner.address])
        arguments = (*given.values(), message["deadline"], signature)
        act = partial(self.model.permit, *given.values(), nonce)
        self.both("permit", self.credit.permitForAll, arguments, self.park.admin, act)
