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
from ledger.chain.events import CREDIT
from ledger.db import Database
from ledger.reconcile import reconcile
from ledger.settlement.words import PackedBatch
from tests.indexer.conftest import DEPTH
from tests.support.chain import PARTIES, TestChain, trade
from tests.support.mirror import dump, fresh, rows, running_chain

SITE = 1 << 32
HOLDERS = ("owner", "buyer", "market")


@dataclass
class Proposal:
    """A batch of one trade."""

    buyer: str
    seller: str
    cents: int
    open: bool = True


@dataclass
class Model:
    """What the chain holds, by the rules of the contracts written down a second time."""

    issued: dict[int, int] = field(default_factory=dict)
    held: dict[tuple[int, str], int] = field(default_factory=lambda: defaultdict(int))
    fates: dict[int, dict[int, str]] = field(default_factory=dict)
    """What became of every single kilogram, by batch and serial."""
    money: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    proposals: dict[int, "Proposal"] = field(default_factory=dict)
    paused: bool = False

    def take(self, batch: int, holder: str, kg: int, fate: str) -> None:
        self.held[batch, holder] -= kg
        serials = [serial for serial, now in self.fates[batch].items() if now == "active"]
        chosen = serials[:kg] if fate == "retired" else serials[len(serials) - kg :]
        self.fates[batch].update(dict.fromkeys(chosen, fate))

    def check(self, db: Database) -> None:
        """Compare with what the mirror derived."""
        holdings = {
            (b, h): kg
            for b, h, kg in rows(db, "credit_holdings", "batch_id", "holder", "amount_kg")
        }
        assert holdings == {(b, PARTIES[h]): kg for (b, h), kg in self.held.items() if kg}
        balances = dict(rows(db, "settlement_balances", "account", "balance"))
        assert balances == {PARTIES[name]: units for name, units in self.money.items() if units}
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
        self.model.issued[batch] = kg
        self.model.held[batch, "owner"] += kg
        self.model.fates[batch] = dict.fromkeys(range(1, kg + 1), "active")

    def transfer(self, kg: int, choice: int, who: int) -> None:
        batch = self.batch(choice)
        if batch is None:
            return
        giver, taker = HOLDERS[who % 3], HOLDERS[(who + 1) % 3]
        receipt = self.chain.transfer(giver, taker, batch, kg, must=False)
        allowed = self.model.held[batch, giver] >= kg and not self.model.paused
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
        assert (receipt.status == 1) == (self.model.held[batch, holder] >= kg)
        if receipt.status == 1:
            self.model.take(batch, holder, kg, fate)

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
            self.model.proposals[number] = Proposal(buyer, seller, kg)
            self.packed[number] = packed

    def finalize(self, _kg: int, choice: int, _who: int) -> None:
        number, proposal = self._proposal(choice)
        if proposal is None:
            return
        receipt = self.chain.finalize(number, self.packed[number], must=False)
        earlier = any(self.model.proposals[other].open for other in range(1, number))
        assert (receipt.status == 1) == (proposal.open and not earlier)
        if receipt.status == 1:
            self.model.money[proposal.seller] += proposal.cents
            proposal.open = False

    def cancel_batch(self, _kg: int, choice: int, _who: int) -> None:
        number, proposal = self._proposal(choice)
        if proposal is None:
            return
        receipt = self.chain.cancel_batch(number, self.packed[number], must=False)
        assert (receipt.status == 1) == proposal.open
        if receipt.status == 1:
            self.model.money[proposal.buyer] += proposal.cents
            proposal.open = False

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
    "propose", "propose", "finalize", "cancel_batch", "pause", "reorganise", "reorganise", "roll_back",
    "mirror", "mirror",
)  # fmt: skip


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    acts=st.lists(
        st.tuples(st.sampled_from(ACTS), st.integers(1, 60), st.integers(0, 5), st.integers(0, 2)),
        min_size=8,
        max_size=40,
    )
)
def test_the_mirror_is_the_chain(
    sqlite_template: Path, acts: list[tuple[str, int, int, int]]
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
        for act, kg, choice, who in acts:
            note(f"{act} {kg} {choice} {who}")
            if act == "mirror":
                mirror.run_until("head")
                history.model.check(db)
                continue
            getattr(history, act)(kg, choice, who)
            history.remember()
        mirror.run_until("head")
        history.model.check(db)
        mine, new = dump(db), fresh(sqlite_template, folder, chain, DEPTH)
        for table, expected in new.items():
            assert mine[table] == expected, table
        report = reconcile(db, chain.client, chain.deployment)
        assert [rule for rule in report.rules if not rule.ok] == []
        db.close()
