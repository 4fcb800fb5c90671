"""What happens to money and trades in a random history: escrow, single trades, batches, disputes."""

from __future__ import annotations

from ledger.chain.contracts.events import SETTLEMENT
from ledger.settlement.words import PackedBatch, pack, unpack
from tests.support import acts
from tests.support.chain import BOND_CENTS, CURRENCY, DISPUTE_TIMEOUT_S, PARTIES, WINDOW_S, trade
from tests.support.history_acting import Act, Acting
from tests.support.model import ESCROW, HOLDERS, Proposal


class TradeActs(Acting):
    """Acts on the settlement contract."""

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
