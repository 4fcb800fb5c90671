"""What can happen on the chain in a random history: each act makes its calls, and tells the model.

An act is a generator. It yields a transaction, is sent what became of it, compares that with what the
model allows, and changes the model. So the same act serves a block that is mined now and a block of a
fork that is written at once (``IN_FORKS``: acts of one transaction that need no look at the chain).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from ledger.chain.client import Receipt
from ledger.chain.contracts import encode_call
from ledger.chain.events import CREDIT, SETTLEMENT
from ledger.serials import batch_id_of
from ledger.settlement.words import PackedBatch, pack, unpack
from tests.support import acts
from tests.support.chain import (
    BOND_CENTS,
    CAP_KG,
    CREDIT_CAP_KG,
    CURRENCY,
    DISPUTE_TIMEOUT_S,
    GAS_CALL,
    NOTIONAL_CAP_CENTS,
    PARTIES,
    WINDOW_S,
    TestChain,
    trade,
)
from tests.support.model import BUFFER, ESCROW, HOLDERS, Model, Proposal


class ModelDiffers(AssertionError):
    """The contracts did what the model does not allow, or refused what it allows."""


@dataclass(frozen=True)
class Draft:
    """A transaction that is not sent yet."""

    sender: str
    to: str
    data: str

    def message(self) -> dict[str, str]:
        """Return it as a node takes it."""
        return {"from": self.sender, "to": self.to, "data": self.data, "gas": hex(GAS_CALL)}


@dataclass(frozen=True)
class Done:
    """What became of a draft: whether it succeeded, and the time of its block."""

    ok: bool
    at: int


Act = Generator[Draft, Done, None]


class _Drafting(TestChain):
    """Takes the acts of the parties, and sends nothing."""

    __test__ = False
    draft: Draft | None = None

    def act(
        self, sender: str, contract: str, function: str, arguments: Sequence[Any], must: bool = True
    ) -> Receipt:
        address = self.deployment.contracts[contract].address
        self.draft = Draft(
            PARTIES.get(sender, sender), address, encode_call(contract, function, arguments)
        )
        return None  # type: ignore[return-value]


class Acts:
    """The acts of one history; ``model`` is the state now."""

    def __init__(self, chain: TestChain, state: Model) -> None:
        self.chain = chain
        self.model = state
        self._pen = _Drafting(chain.client, chain.deployment)
        self._trades = 0
        self._names = 0

    def _draft(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Draft:
        function(*arguments, **named)
        draft, self._pen.draft = self._pen.draft, None
        assert draft is not None
        return draft

    def _judge(self, done: Done, allowed: bool, what: str) -> bool:
        if done.ok != allowed:
            verb = "refused" if allowed else "allowed"
            raise ModelDiffers(f"the contract {verb} {what}, the model does not")
        return done.ok

    def _batch(self, choice: int) -> int | None:
        batches = sorted(self.model.issued)
        return batches[choice % len(batches)] if batches else None

    def _others(self, choice: int) -> list[int]:
        """Return up to three different batches."""
        batches = sorted(self.model.issued)
        start = choice % len(batches) if batches else 0
        return (batches[start:] + batches[:start])[:3]

    # ------------------------------------------------------------------- credits

    def issue(self, kg: int, _choice: int, _who: int) -> Act:
        claim = self._pen.claim(kg, self.model.days + 1)
        yield from self._issue(claim, kg)

    def issue_again(self, kg: int, _choice: int, _who: int) -> Act:
        """A day that was issued before: refused."""
        claim = self._pen.claim(kg, max(self.model.days, 1))
        yield from self._issue(claim, kg)

    def _issue(self, claim: Any, kg: int) -> Act:
        day = (claim.period_start - self._pen.claim(1, 0).period_start) // 86_400
        done = yield self._draft(
            self._pen.act, "issuer", CREDIT, "issue", self._pen.issue_arguments(claim)
        )
        allowed = not self.model.paused and day > self.model.days
        if self._judge(done, allowed, f"the issuance of day {day}"):
            self.model.days = day
            self.model.issue(batch_id_of(1, len(self.model.issued) + 1), kg)

    def transfer(self, kg: int, choice: int, who: int) -> Act:
        batch = self._batch(choice)
        if batch is None:
            return
        giver, taker = HOLDERS[who % 3], HOLDERS[(who + 1) % 3]
        done = yield self._draft(self._pen.transfer, giver, taker, batch, kg)
        if self._judge(done, self.model.may_move(batch, giver, kg), "a transfer"):
            self.model.move(batch, giver, taker, kg)

    def transfer_batch(self, kg: int, choice: int, who: int) -> Act:
        units = [(batch, 1 + kg % (5 + place)) for place, batch in enumerate(self._others(choice))]
        if not units:
            return
        giver, taker = HOLDERS[who % 3], HOLDERS[(who + 2) % 3]
        done = yield self._draft(self._pen.transfer_batch, giver, taker, units)
        allowed = all(self.model.may_move(batch, giver, each) for batch, each in units)
        if self._judge(done, allowed, "a transfer of several batches"):
            for batch, each in units:
                self.model.move(batch, giver, taker, each)

    def retire(self, kg: int, choice: int, who: int) -> Act:
        yield from self._take(kg, choice, who, "retired")

    def cancel(self, kg: int, choice: int, who: int) -> Act:
        yield from self._take(kg, choice, who, "cancelled")

    def _take(self, kg: int, choice: int, who: int, fate: str) -> Act:
        batch, holder = self._batch(choice), HOLDERS[who % 3]
        if batch is None:
            return
        act = self._pen.retire if fate == "retired" else self._pen.cancel
        done = yield self._draft(act, holder, batch, kg)
        if self._judge(done, self.model.may_take(batch, holder, kg), f"credits being {fate}"):
            self.model.take(batch, holder, kg, fate)

    def retire_batch(self, kg: int, choice: int, who: int) -> Act:
        units = [(batch, 1 + kg % (4 + place)) for place, batch in enumerate(self._others(choice))]
        if not units:
            return
        holder = HOLDERS[who % 3]
        done = yield self._draft(acts.retire_batch, self._pen, holder, units)
        allowed = all(self.model.may_take(batch, holder, each) for batch, each in units)
        if self._judge(done, allowed, "a retirement of several batches"):
            for batch, each in units:
                self.model.take(batch, holder, each, "retired")

    def retire_for(self, kg: int, choice: int, who: int) -> Act:
        batch, holder = self._batch(choice), HOLDERS[who % 3]
        if batch is None:
            return
        nonce = self.model.nonces[holder]
        done = yield self._draft(acts.retire_for, self._pen, holder, batch, kg, nonce)
        allowed = self.model.may_take(batch, holder, kg) and self.model.nonces[holder] == nonce
        if self._judge(done, allowed, "a signed retirement"):
            self.model.nonces[holder] += 1
            self.model.take(batch, holder, kg, "retired")

    # ----------------------------------------------------------------- oversight

    def share(self, kg: int, _choice: int, _who: int) -> Act:
        bps = kg * 80
        done = yield self._draft(self._pen.act, "registrar", CREDIT, "setClassBuffer", [1, bps])
        if self._judge(done, True, "a buffer share"):
            self.model.buffer_bps = bps

    def suspend(self, _kg: int, choice: int, _who: int) -> Act:
        """Suspend an active batch; lift that, or the dispute, of another."""
        batch = self._batch(choice)
        if batch is None:
            return
        if self.model.status[batch] == "active":
            done = yield self._draft(self._pen.act, "pauser", CREDIT, "suspend", [batch])
            if self._judge(done, self.model.status[batch] == "active", "a suspension"):
                self.model.status[batch] = "suspended"
            return
        done = yield self._draft(self._pen.act, "admin", CREDIT, "reinstate", [batch])
        stopped = self.model.status[batch] in ("suspended", "disputed")
        if self._judge(done, stopped, "a reinstatement"):
            self.model.status[batch] = "active"
            self.model.invalidation_at.pop(batch, None)

    def invalidate(self, kg: int, choice: int, _who: int) -> Act:
        """Propose an invalidation; half of them are executed a week later."""
        batch = self._batch(choice)
        if batch is None or self.model.status[batch] == "cancelled" or kg > 40:
            return
        if batch not in self.model.invalidation_at:
            words = [batch, "meter was tampered with"]
            done = yield self._draft(
                self._pen.act, "reverser", CREDIT, "proposeInvalidation", words
            )
            if self._judge(done, True, "a proposal to invalidate"):
                self.model.status[batch] = "disputed"
                self.model.invalidation_at[batch] = done.at + acts.WEEK_S
        if kg % 2:
            self.chain.later(acts.WEEK_S)
        done = yield self._draft(self._pen.act, "admin", CREDIT, "executeInvalidation", [batch])
        allowed = done.at >= self.model.invalidation_at[batch]
        if self._judge(done, allowed, "an invalidation"):
            del self.model.invalidation_at[batch]
            self.model.invalidate(batch)

    def replace(self, kg: int, choice: int, who: int) -> Act:
        batch, replaced = self._batch(choice), self._batch(choice + 1 + who)
        if batch is None or replaced is None:
            return
        kg = 1 + kg % 5
        done = yield self._draft(acts.replace, self._pen, batch, replaced, kg)
        model = self.model
        allowed = model.may_take(batch, BUFFER, kg) and model.deficits.get(replaced, 0) >= kg
        if self._judge(done, allowed, "a replacement"):
            model.take(batch, BUFFER, kg, "retired")
            model.deficits[replaced] -= kg

    def pause(self, _kg: int, _choice: int, _who: int) -> Act:
        before = self.model.paused
        party, function = ("admin", "unpause") if before else ("pauser", "pause")
        done = yield self._draft(self._pen.act, party, CREDIT, function, [])
        if self._judge(done, self.model.paused == before, f"to {function}"):
            self.model.paused = not before

    def overlap(self, kg: int, _choice: int, _who: int) -> Act:
        """Two batches that one reading of a meter counts in, and the proof of it."""
        self._names += 1
        meter = f"meter {self._names}"
        readings = [acts.evidence(meter, 0), acts.evidence(meter, 300)]
        first = len(self.model.issued) + 1
        if self.model.paused:
            return
        for reading in readings:
            day = self.model.days + 1
            yield from self._issue(self._pen.claim(kg, day, evidence_root=reading.root), kg)
        proofs = [reading.proven for reading in readings]
        done = yield self._draft(self._pen.act, "spare", CREDIT, "proveOverlap", proofs)
        if self._judge(done, True, "a proof of an overlap"):
            for ordinal in (first, first + 1):
                self.model.status[batch_id_of(1, ordinal)] = "disputed"

    def grant(self, _kg: int, _choice: int, _who: int) -> Act:
        """A role, of no consequence, in the hands of a contract."""
        self._names += 1
        role = keccak(text=f"role {self._names}")
        address = self.chain.deployment.contracts[CURRENCY].address
        done = yield self._draft(self._pen.act, "admin", CREDIT, "grantRole", [role, address])
        self._judge(done, True, "a grant")

    # -------------------------------------------------------------------- escrow

    def bring_credits(self, kg: int, choice: int, who: int) -> Act:
        batch, holder = self._batch(choice), HOLDERS[who % 3]
        if batch is None:
            return
        done = yield self._draft(acts.deposit_credits, self._pen, holder, batch, kg)
        if self._judge(done, self.model.may_move(batch, holder, kg), "a deposit of credits"):
            self.model.move(batch, holder, ESCROW, kg)
            self.model.credits[holder, batch] += kg

    def take_credits(self, kg: int, choice: int, who: int) -> Act:
        batch, holder = self._batch(choice), HOLDERS[who % 3]
        if batch is None:
            return
        done = yield self._draft(acts.withdraw_credits, self._pen, holder, batch, kg)
        allowed = self.model.credits[holder, batch] >= kg and self.model.moves(batch)
        if self._judge(done, allowed, "a withdrawal of credits"):
            self.model.credits[holder, batch] -= kg
            self.model.move(batch, ESCROW, holder, kg)

    def deposit(self, kg: int, _choice: int, who: int) -> Act:
        """Three transactions, of which the last moves money of the escrow."""
        holder = HOLDERS[who % 3]
        escrow = self.chain.deployment.settlement.address
        for contract, function, arguments in (
            (CURRENCY, "mint", [PARTIES[holder], kg]),
            (CURRENCY, "approve", [escrow, kg]),
            (SETTLEMENT, "deposit", [PARTIES[holder], kg]),
        ):
            done = yield self._draft(self._pen.act, holder, contract, function, arguments)
            self._judge(done, True, f"a {function}")
        self.model.money[holder] += kg

    def withdraw(self, kg: int, _choice: int, who: int) -> Act:
        holder = HOLDERS[who % 3]
        done = yield self._draft(self._pen.withdraw, holder, kg)
        if self._judge(done, self.model.money[holder] >= kg, "a withdrawal"):
            self.model.money[holder] -= kg

    # ------------------------------------------------------------------ registers

    def register(self, _kg: int, _choice: int, _who: int) -> Act:
        """A class, a project and a site, which nothing is issued for; a cap, and the terms of settlement."""
        self._names += 1
        name, code = f"other-{self._names}", keccak(text="methodology")
        for party, contract, function, arguments in (
            ("registrar", CREDIT, "registerClass", [name, code, 9, 0]),
            ("registrar", CREDIT, "registerProject", [1, PARTIES["owner"], name]),
            ("registrar", CREDIT, "registerSite", [1, name]),
            ("registrar", CREDIT, "setClassCap", [1, CAP_KG + self._names]),
            ("admin", SETTLEMENT, "setCaps", [NOTIONAL_CAP_CENTS, CREDIT_CAP_KG + self._names]),
        ):
            done = yield self._draft(self._pen.act, party, contract, function, arguments)
            self._judge(done, True, f"a {function}")

    # ---------------------------------------------------------------- settlement

    def settle_one(self, kg: int, choice: int, who: int) -> Act:
        """One trade by itself, at a cent for a kilogram: of credits, or of energy where there are none."""
        asset = (self._batch(choice) or 0) if kg % 3 else 0
        seller, buyer = HOLDERS[who % 3], HOLDERS[(who + 1) % 3]
        self._trades += 1
        done = yield self._draft(
            acts.settle_one, self._pen, trade(self._trades, buyer, seller, kg, 100_000), asset
        )
        model = self.model
        allowed = model.money[buyer] >= kg
        if asset:
            allowed &= model.credits[seller, asset] >= kg and model.status[asset] == "active"
        if self._judge(done, allowed, "a single trade"):
            model.money[buyer] -= kg
            model.money[seller] += kg
            if asset:
                model.credits[seller, asset] -= kg
                model.credits[buyer, asset] += kg

    def propose(self, kg: int, _choice: int, who: int) -> Act:
        buyer, seller = HOLDERS[who % 3], HOLDERS[(who + 1) % 3]
        self._trades += 1
        item = trade(self._trades, buyer, seller, 1000, kg * 100)  # kg cents
        done = yield self._draft(self._pen.propose, [item])
        if self._judge(done, self.model.money[buyer] >= kg, "a proposal"):
            self.model.money[buyer] -= kg
            self._remember(Proposal(buyer, seller, kg, done.at + WINDOW_S, seq=item.seq))

    def cosign(self, kg: int, _choice: int, who: int) -> Act:
        buyer, seller = HOLDERS[who % 3], HOLDERS[(who + 1) % 3]
        self._trades += 1
        item = trade(self._trades, buyer, seller, 1000, kg * 100)
        done = yield self._draft(acts.cosign, self._pen, (buyer, seller), [item])
        if self._judge(done, self.model.money[buyer] >= kg, "a co-signed batch"):
            self.model.money[buyer] -= kg
            self.model.money[seller] += kg
            self._remember(Proposal(buyer, seller, kg, done.at, "finalized", seq=item.seq))

    def _remember(self, proposal: Proposal) -> None:
        self.model.proposals[len(self.model.proposals) + 1] = proposal

    def dispute(self, _kg: int, choice: int, who: int) -> Act:
        number, proposal = self._proposal(choice)
        if proposal is None:
            return
        if proposal.status == "disputed":
            done = yield self._draft(acts.reject_dispute, self._pen, number)
            if self._judge(done, done.at < proposal.timeout_at, "a rejection"):
                self.model.money["admin"] += BOND_CENTS
                proposal.status = "proposed"
                proposal.finalizable_at = done.at + proposal.window_left
            return
        party = (proposal.buyer, proposal.seller)[who % 2]
        word = unpack(self._pack(proposal).words[0])
        item = trade(word.seq, proposal.buyer, proposal.seller, word.quantity_milli, word.price_e4)
        done = yield self._draft(acts.dispute, self._pen, party, number, item)
        allowed = (
            proposal.status == "proposed"
            and done.at < proposal.finalizable_at
            and party not in proposal.disputed_by
            and self.model.money[party] >= BOND_CENTS
        )
        if self._judge(done, allowed, "a dispute"):
            self.model.money[party] -= BOND_CENTS
            proposal.status, proposal.disputer = "disputed", party
            proposal.disputed_by.add(party)
            proposal.window_left = proposal.finalizable_at - done.at
            proposal.timeout_at = done.at + DISPUTE_TIMEOUT_S

    def finalize(self, _kg: int, choice: int, _who: int) -> Act:
        number, proposal = self._proposal(choice)
        if proposal is None:
            return
        self.chain.later(WINDOW_S + 1)
        arguments = [number, self.chain.outcome(number, self._pack(proposal))]
        done = yield self._draft(self._pen.act, "operator", SETTLEMENT, "finalizeBatch", arguments)
        earlier = any(self.model.proposals[other].open for other in range(1, number))
        allowed = proposal.status == "proposed" and not earlier
        if self._judge(done, allowed, "a finalization"):
            self.model.money[proposal.seller] += proposal.cents
            proposal.status = "finalized"

    def cancel_batch(self, _kg: int, choice: int, _who: int) -> Act:
        number, proposal = self._proposal(choice)
        if proposal is None:
            return
        packed = self._pack(proposal)
        outcome = self.chain.outcome(number, packed)
        arguments = [number, outcome, list(packed.words), "wrong day"]
        done = yield self._draft(self._pen.act, "operator", SETTLEMENT, "cancelBatch", arguments)
        if self._judge(done, proposal.open, "a cancellation of a batch"):
            self.model.money[proposal.buyer] += proposal.cents
            if proposal.status == "disputed":  # upheld
                self.model.money[proposal.disputer] += BOND_CENTS
            proposal.status = "cancelled"

    def _pack(self, proposal: Proposal) -> PackedBatch:
        item = trade(proposal.seq, proposal.buyer, proposal.seller, 1000, proposal.cents * 100)
        return pack([item])

    def _proposal(self, choice: int) -> tuple[int, Proposal | None]:
        if not self.model.proposals:
            return 0, None
        number = choice % len(self.model.proposals) + 1
        return number, self.model.proposals[number]


IN_FORKS = (
    "issue", "issue_again", "transfer", "transfer_batch", "retire", "cancel", "retire_batch",
    "retire_for", "share", "grant", "suspend", "replace", "pause", "bring_credits", "take_credits", "withdraw",
    "settle_one", "propose", "cosign",
)  # fmt: skip
ON_CHAIN = (
    *IN_FORKS,
    "register",
    "overlap",
    "invalidate",
    "deposit",
    "dispute",
    "finalize",
    "cancel_batch",
)
