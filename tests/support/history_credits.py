"""What happens to credits in a random history: issuance, holding, retirement, oversight, registers."""

from __future__ import annotations

from typing import Any

from eth_utils.crypto import keccak

from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.serials import batch_id_of
from tests.support import acts
from tests.support.chain import CAP_KG, CREDIT_CAP_KG, CURRENCY, NOTIONAL_CAP_CENTS, PARTIES
from tests.support.history_acting import Act, Acting
from tests.support.model import BUFFER, HOLDERS


class CreditActs(Acting):
    """Acts on the credit contract."""

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
        """Of a batch with a buffer for one with a deficit; where there are none, of others, which is refused."""
        batches = sorted(self.model.issued)
        if not batches:
            return
        buffered = [each for each in batches if self.model.held.get((each, BUFFER))] or batches
        lacking = [each for each in batches if self.model.deficits.get(each)] or batches
        batch, replaced = buffered[choice % len(buffered)], lacking[who % len(lacking)]
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
