"""Random histories: the mirror, a new mirror, and a model of the contracts that shares no code with them.

The model knows sums and serials. It keeps its state after every block, so that a reorganisation is a
look into the past.
"""

import copy
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from indexer import Indexer
from ledger.chain.client import Receipt
from ledger.chain.events import CREDIT
from ledger.db import Database
from ledger.reconcile import reconcile
from ledger.settlement.words import PackedBatch, pack, unpack
from tests.indexer.conftest import DEPTH
from tests.support import acts
from tests.support.chain import (
    BOND_CENTS,
    DISPUTE_TIMEOUT_S,
    PARTIES,
    WINDOW_S,
    TestChain,
    trade,
)
from tests.support.mirror import dump, fresh, rows, running_chain

SITE = 1 << 32
HOLDERS = ("owner", "buyer", "market")
BUFFER, ESCROW = "the buffer", "the escrow"
"""What the two contracts themselves hold."""


@dataclass
class Proposal:
    """A batch of one trade of energy."""

    buyer: str
    seller: str
    cents: int
    finalizable_at: int
    status: str = "proposed"
    disputer: str = ""
    timeout_at: int = 0
    window_left: int = 0
    disputed_by: set[str] = field(default_factory=set)

    @property
    def open(self) -> bool:
        return self.status in ("proposed", "disputed")


@dataclass
class Model:
    """What the chain holds, by the rules of the contracts written down a second time."""

    issued: dict[int, int] = field(default_factory=dict)
    held: dict[tuple[int, str], int] = field(default_factory=lambda: defaultdict(int))
    fates: dict[int, dict[int, str]] = field(default_factory=dict)
    """What became of every single kilogram, by batch and serial."""
    status: dict[int, str] = field(default_factory=dict)
    deficits: dict[int, int] = field(default_factory=dict)
    buffer_bps: int = 0
    money: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    credits: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    """Credits in escrow, by account and batch."""
    proposals: dict[int, "Proposal"] = field(default_factory=dict)
    paused: bool = False

    def take(self, batch: int, holder: str, kg: int, fate: str) -> None:
        self.held[batch, holder] -= kg
        serials = [serial for serial, now in self.fates[batch].items() if now == "active"]
        chosen = serials[:kg] if fate == "retired" else serials[len(serials) - kg :]
        self.fates[batch].update(dict.fromkeys(chosen, fate))

    def moves(self, batch: int) -> bool:
        """Whether units of a batch go from hand to hand."""
        return self.status[batch] == "active" and not self.paused

    def check(self, db: Database, chain: TestChain) -> None:
        """Compare with what the mirror derived."""
        places = {
            **PARTIES,
            BUFFER: chain.deployment.credit.address,
            ESCROW: chain.deployment.settlement.address,
        }
        holdings = {
            (b, h): kg
            for b, h, kg in rows(db, "credit_holdings", "batch_id", "holder", "amount_kg")
        }
        assert holdings == {(b, places[h]): kg for (b, h), kg in self.held.items() if kg}
        balances = {
            (account, asset): units
            for account, asset, units in rows(
                db, "settlement_balances", "account", "asset", "balance"
            )
        }
        expected = {(PARTIES[name], 0): units for name, units in self.money.items() if units}
        expected |= {(PARTIES[name], b): kg for (name, b), kg in self.credits.items() if kg}
        assert balances == expected
        states = rows(db, "credit_batches", "batch_id", "status", "deficit_kg")
        assert {batch: (state.value, deficit) for batch, state, deficit in states} == {
            batch: (state, self.deficits.get(batch)) for batch, state in self.status.items()
        }
        settled = rows(db, "settlement_batches", "batch_id", "status", "finalizable_at_s")
        assert {number: (state.value, at) for number, state, at in settled} == {
            number: (item.status, item.finalizable_at) for number, item in self.proposals.items()
        }
        status = dict(rows(db, "carbon_credits", "credit_id", "status"))
        fates: dict[int, dict[int, str]] = defaultdict(dict)
        columns = ("credit_id", "batch_id", "first_serial", "last_serial")
        for credit_id, batch, first, last in rows(db, "credit_serials", *columns):
            for serial in range(first, last + 1):
                assert serial not in fates[batch], "a serial in two rows"
                fates[batch][serial] = status[credit_id].value
        assert fates == self.fates


class History:
    """Acts on a chain and on the model, and looks at both through a mirror."""

    def __init__(self, chain: TestChain) -> None:
        self.chain = chain
        self.model = Model()
        self.past: dict[int, Model] = {}
        self.days = 0
        self.batches: list[int] = []
        self.packed: dict[int, PackedBatch] = {}
        self.trades = 0
        self.remember()

    def remember(self) -> None:
        self.past[self.chain.client.block_number()] = copy.deepcopy(self.model)

    def batch(self, choice: int) -> int | None:
        return self.batches[choice % len(self.batches)] if self.batches else None

    def issue(self, kg: int, _choice: int, _who: int) -> None:
        if self.model.paused:
            return
        self.days += 1
        batch = self.chain.issue(kg, self.days)
        self.batches.append(batch)
        buffered = kg * self.model.buffer_bps // 10_000
        self.model.issued[batch] = kg
        self.model.status[batch] = "active"
        self.model.held[batch, BUFFER] += buffered
        self.model.held[batch, "owner"] += kg - buffered
        self.model.fates[batch] = dict.fromkeys(range(1, kg + 1), "active")

    def transfer(self, kg: int, choice: int, who: int) -> None:
        batch = self.batch(choice)
        if batch is None:
            return
        giver, taker = HOLDERS[who % 3], HOLDERS[(who + 1) % 3]
        receipt = self.chain.transfer(giver, taker, batch, kg, must=False)
        allowed = self.model.held[batch, giver] >= kg and self.model.moves(batch)
        assert (receipt.status == 1) == allowed
        if receipt.status == 1:
            self.model.held[batch, giver] -= kg
            self.model.held[batch, taker] += kg

    def retire(self, kg: int, choice: int, who: int) -> None:
        self._take(kg, choice, who, "retired")

    def cancel(self, kg: int, choice: int, who: int) -> None:
        self._take(kg, choice, who, "cancelled")

    def _take(self, kg: int, choice: int, who: int, fate: str) -> None:
        batch, holder = self.batch(choice), HOLDERS[who % 3]
        if batch is None:
            return
        act = self.chain.retire if fate == "retired" else self.chain.cancel
        receipt = act(holder, batch, kg, must=False)
        allowed = self.model.held[batch, holder] >= kg and self.model.status[batch] == "active"
        assert (receipt.status == 1) == allowed
        if receipt.status == 1:
            self.model.take(batch, holder, kg, fate)

    def share(self, kg: int, _choice: int, _who: int) -> None:
        self.chain.act("registrar", CREDIT, "setClassBuffer", [1, kg * 80])
        self.model.buffer_bps = kg * 80

    def stop(self, _kg: int, choice: int, _who: int) -> None:
        batch = self.batch(choice)
        if batch is None or self.model.status[batch] == "cancelled":
            return
        if self.model.status[batch] == "active":
            self.chain.act("pauser", CREDIT, "suspend", [batch])
            self.model.status[batch] = "suspended"
        else:
            self.chain.act("admin", CREDIT, "reinstate", [batch])
            self.model.status[batch] = "active"

    def invalidate(self, kg: int, choice: int, _who: int) -> None:
        batch = self.batch(choice)
        if batch is None or self.model.status[batch] == "cancelled" or kg > 30:
            return
        acts.invalidate(self.chain, batch)
        fates = self.model.fates[batch]
        self.model.status[batch] = "cancelled"
        self.model.deficits[batch] = sum(fate == "retired" for fate in fates.values())
        fates.update({serial: "cancelled" for serial, fate in fates.items() if fate == "active"})

    def replace(self, kg: int, choice: int, who: int) -> None:
        batch, replaced = self.batch(choice), self.batch(choice + 1 + who)
        if batch is None or replaced is None:
            return
        kg = 1 + kg % 5
        receipt = acts.replace(self.chain, batch, replaced, kg, must=False)
        model = self.model
        allowed = (
            model.held[batch, BUFFER] >= kg
            and model.status[batch] == "active"
            and model.deficits.get(replaced, 0) >= kg
        )
        assert (receipt.status == 1) == allowed
        if receipt.status == 1:
            model.take(batch, BUFFER, kg, "retired")
            model.deficits[replaced] -= kg

    def bring_credits(self, kg: int, choice: int, who: int) -> None:
        batch, holder = self.batch(choice), HOLDERS[who % 3]
        if batch is None:
            return
        receipt = acts.deposit_credits(self.chain, holder, batch, kg, must=False)
        allowed = self.model.held[batch, holder] >= kg and self.model.moves(batch)
        assert (receipt.status == 1) == allowed
        if receipt.status == 1:
            self.model.held[batch, holder] -= kg
            self.model.held[batch, ESCROW] += kg
            self.model.credits[holder, batch] += kg

    def take_credits(self, kg: int, choice: int, who: int) -> None:
        batch, holder = self.batch(choice), HOLDERS[who % 3]
        if batch is None:
            return
        receipt = acts.withdraw_credits(self.chain, holder, batch, kg, must=False)
        allowed = self.model.credits[holder, batch] >= kg and self.model.moves(batch)
        assert (receipt.status == 1) == allowed
        if receipt.status == 1:
            self.model.credits[holder, batch] -= kg
            self.model.held[batch, ESCROW] -= kg
            self.model.held[batch, holder] += kg

    def trade_credits(self, kg: int, choice: int, who: int) -> None:
        batch = self.batch(choice)
        if batch is None:
            return
        seller, buyer = HOLDERS[who % 3], HOLDERS[(who + 1) % 3]
        self.trades += 1
        item = trade(self.trades, buyer, seller, kg, 100_000)  # a cent for a kilogram
        receipt = acts.settle_one(self.chain, item, batch, must=False)
        model = self.model
        allowed = model.credits[seller, batch] >= kg and model.money[buyer] >= kg
        assert (receipt.status == 1) == (allowed and model.status[batch] == "active")
        if receipt.status == 1:
            model.credits[seller, batch] -= kg
            model.credits[buyer, batch] += kg
            model.money[buyer] -= kg
            model.money[seller] += kg

    def deposit(self, kg: int, _choice: int, who: int) -> None:
        self.chain.deposit(HOLDERS[who % 3], kg)
        self.model.money[HOLDERS[who % 3]] += kg

    def withdraw(self, kg: int, _choice: int, who: int) -> None:
        holder = HOLDERS[who % 3]
        receipt = self.chain.withdraw(holder, kg, must=False)
        assert (receipt.status == 1) == (self.model.money[holder] >= kg)
        self.model.money[holder] -= kg * receipt.status

    def propose(self, kg: int, _choice: int, who: int) -> None:
        buyer, seller = HOLDERS[who % 3], HOLDERS[(who + 1) % 3]
        self.trades += 1
        item = trade(self.trades, buyer, seller, 1000, kg * 100)  # kg cents
        packed, receipt = self.chain.propose([item], must=False)
        assert (receipt.status == 1) == (self.model.money[buyer] >= kg)
        if receipt.status == 1:
            number = len(self.model.proposals) + 1
            self.model.money[buyer] -= kg
            ends = self.time_of(receipt) + WINDOW_S
            self.model.proposals[number] = Proposal(buyer, seller, kg, ends)
            self.packed[number] = packed

    def cosign(self, kg: int, _choice: int, who: int) -> None:
        buyer, seller = HOLDERS[who % 3], HOLDERS[(who + 1) % 3]
        self.trades += 1
        item = trade(self.trades, buyer, seller, 1000, kg * 100)
        receipt = acts.cosign(self.chain, (buyer, seller), [item], must=False)
        assert (receipt.status == 1) == (self.model.money[buyer] >= kg)
        if receipt.status == 1:
            number = len(self.model.proposals) + 1
            self.model.money[buyer] -= kg
            self.model.money[seller] += kg
            at = self.time_of(receipt)
            self.model.proposals[number] = Proposal(buyer, seller, kg, at, "finalized")
            self.packed[number] = pack([item])

    def dispute(self, _kg: int, choice: int, who: int) -> None:
        number, proposal = self._proposal(choice)
        if proposal is None:
            return
        party = (proposal.buyer, proposal.seller)[who % 2]
        if proposal.status == "disputed":
            receipt = acts.reject_dispute(self.chain, number, must=False)
            in_time = self.time_of(receipt) < proposal.timeout_at
            assert (receipt.status == 1) == in_time
            if receipt.status == 1:
                self.model.money["admin"] += BOND_CENTS
                proposal.status = "proposed"
                proposal.finalizable_at = self.time_of(receipt) + proposal.window_left
            return
        word = unpack(self.packed[number].words[0])
        item = trade(word.seq, proposal.buyer, proposal.seller, word.quantity_milli, word.price_e4)
        receipt = acts.dispute(self.chain, party, number, item, must=False)
        at = self.time_of(receipt)
        allowed = (
            proposal.status == "proposed"
            and at < proposal.finalizable_at
            and party not in proposal.disputed_by
            and self.model.money[party] >= BOND_CENTS
        )
        assert (receipt.status == 1) == allowed
        if receipt.status == 1:
            self.model.money[party] -= BOND_CENTS
            proposal.status, proposal.disputer = "disputed", party
            proposal.disputed_by.add(party)
            proposal.window_left = proposal.finalizable_at - at
            proposal.timeout_at = at + DISPUTE_TIMEOUT_S

    def time_of(self, receipt: Receipt) -> int:
        header = self.chain.client.block(receipt.block_number)
        assert header is not None
        return header.timestamp

    def finalize(self, _kg: int, choice: int, _who: int) -> None:
        number, proposal = self._proposal(choice)
        if proposal is None:
            return
        receipt = self.chain.finalize(number, self.packed[number], must=False)
        earlier = any(self.model.proposals[other].open for other in range(1, number))
        assert (receipt.status == 1) == (proposal.status == "proposed" and not earlier)
        if receipt.status == 1:
            self.model.money[proposal.seller] += proposal.cents
            proposal.status = "finalized"

    def cancel_batch(self, _kg: int, choice: int, _who: int) -> None:
        number, proposal = self._proposal(choice)
        if proposal is None:
            return
        receipt = self.chain.cancel_batch(number, self.packed[number], must=False)
        assert (receipt.status == 1) == proposal.open
        if receipt.status == 1:
            self.model.money[proposal.buyer] += proposal.cents
            if proposal.status == "disputed":  # upheld
                self.model.money[proposal.disputer] += BOND_CENTS
            proposal.status = "cancelled"

    def _proposal(self, choice: int) -> tuple[int, Proposal | None]:
        if not self.model.proposals:
            return 0, None
        number = choice % len(self.model.proposals) + 1
        return number, self.model.proposals[number]

    def pause(self, _kg: int, _choice: int, _who: int) -> None:
        if self.model.paused:
            self.chain.act("admin", CREDIT, "unpause", [])
        else:
            self.chain.act("pauser", CREDIT, "pause", [])
        self.model.paused = not self.model.paused

    def reorganise(self, kg: int, _choice: int, _who: int) -> None:
        head = self.chain.client.block_number()
        depth = min(1 + kg % 12, head - min(self.past))
        if depth < 1:
            return
        self.chain.reorganise(depth)
        self._go_back(head - depth)

    def roll_back(self, kg: int, _choice: int, _who: int) -> None:
        head = self.chain.client.block_number()
        depth = min(1 + kg % 5, head - min(self.past))
        if depth < 1:
            return
        self.chain.roll_back(depth)
        self._go_back(head - depth)

    def _go_back(self, block: int) -> None:
        kept = max(number for number in self.past if number <= block)
        self.model = copy.deepcopy(self.past[kept])
        self.past = {number: model for number, model in self.past.items() if number <= kept}
        self.batches = list(self.model.issued)
        # A deposit is three blocks; half of one has moved no money of the escrow.
        self.remember()


ACTS = (
    "issue", "transfer", "transfer", "retire", "retire", "cancel", "deposit", "deposit", "withdraw",
    "propose", "propose", "finalize", "cancel_batch", "dispute", "dispute", "cosign", "pause", "share", "stop",
    "invalidate", "replace", "replace", "bring_credits", "bring_credits", "take_credits", "trade_credits",
    "reorganise", "reorganise", "roll_back", "mirror", "mirror",
)  # fmt: skip


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(ACTS), st.integers(1, 60), st.integers(0, 5), st.integers(0, 2)),
        min_size=8,
        max_size=40,
    )
)
def test_the_mirror_is_the_chain(
    sqlite_template: Path, steps: list[tuple[str, int, int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as name, running_chain() as chain:
        folder = Path(name)
        file = folder / "mirror.db"
        shutil.copyfile(sqlite_template, file)
        db = Database(f"sqlite:///{file}")
        mirror = Indexer(db, chain.client, chain.deployment, DEPTH)
        history = History(chain)
        history.issue(50, 0, 0)
        history.remember()
        for act, kg, choice, who in steps:
            note(f"{act} {kg} {choice} {who}")
            if act == "mirror":
                mirror.run_until("head")
                history.model.check(db, chain)
                continue
            getattr(history, act)(kg, choice, who)
            history.remember()
        mirror.run_until("head")
        history.model.check(db, chain)
        mine, new = dump(db), fresh(sqlite_template, folder, chain, DEPTH)
        for table, expected in new.items():
            assert mine[table] == expected, table
        report = reconcile(db, chain.client, chain.deployment)
        assert [rule for rule in report.rules if not rule.ok] == []
        db.close()
