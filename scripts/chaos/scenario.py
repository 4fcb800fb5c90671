"""A scenario from beginning to end: turns of work under faults, a world that is healed, and a verdict."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ledger.chain.contracts.wrappers import VppSettlement
from ledger.settlement.trade_rows import COLUMNS
from ledger.settlement.trades import import_trades
from ledger.units import currency_of_cents
from scripts.chaos import clock, judge, rows
from scripts.chaos.differs import DidNotStrike, Stuck
from scripts.chaos.kinds import KINDS
from scripts.chaos.model import Deed, Model, Sold
from scripts.chaos.plans import Plan
from scripts.chaos.process import Process
from scripts.chaos.stage import KW_BY_DAY, Stage
from scripts.chaos.strikes import Fault
from scripts.chaos.watch import Watch
from tests.support.chain import PARTIES
from tests.support.park import MARKET

TURNS_MORE = 8
"""So many further turns a fault has that found nothing to strike."""
ROUNDS_MAX = 40
"""So many rounds the healed world has to settle; a handful is usual."""


@dataclass
class Outcome:
    """What a scenario did that was right in the end."""

    strikes: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    boundaries: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    depths: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0


def run(on: Stage, what: Plan) -> Outcome:
    """Run one scenario on a stage and leave the stage as it was.

    Raises
    ------
    Wrong
        If books, chain and model differ.
    Stuck
        If something does not come to an end.
    DidNotStrike
        If a fault of the plan found nothing to strike: the harness tested less than it says.
    """
    started = time.monotonic()
    with on.played(), clock.own():
        scenario = Scenario(on, what)
        try:
            scenario.play()
        finally:
            scenario.end()
    scenario.outcome.seconds = time.monotonic() - started
    return scenario.outcome


class Scenario:
    """One scenario while it runs."""

    def __init__(self, on: Stage, what: Plan) -> None:
        self.on = on
        self.plan = what
        self.chance = random.Random(what.seed)
        self.model = Model()
        self.outcome = Outcome()
        self.watch = Watch()
        self.url = on.new_books(what.store)
        self.process = Process(on, what, self.url, self.watch)
        self.foreign: set[str] = set()
        """Transactions of strangers with our accounts."""
        self.payments: dict[str, int] = {}
        """What the market paid in by itself, in cents, by transaction; a reorganisation does not undo it."""
        self.still = False
        """Whether no block may come during the work: what is sent shall wait in the pool."""
        self.forgetful = False
        """Whether the books were ever restored from before something that was done."""
        self.first_block = on.node.client.block_number() + 1
        self.known_before = rows.known_keys(self.process.park)
        """Keys of what was done before the scenario began."""
        self._faults: list[Fault] = []
        self._stamps = 0

    # ------------------------------------------------------------------------ the frame

    def play(self) -> None:
        """Play all turns, heal the world, let it settle, and judge."""
        for names in self.plan.turns:
            faults = [KINDS[name](self) for name in names]
            self._faults += faults
            self._turn(faults)
        for more in range(TURNS_MORE):
            missing = [fault for fault in self._faults if not fault.struck]
            if not missing:
                break
            for fault in missing:
                fault.last_chance = more + 1
                self._turn([fault])
        self._heal()
        for fault in self._faults:
            self.outcome.strikes[fault.name] += fault.struck
            if not fault.struck:
                raise DidNotStrike(f"the fault {fault.name!r} found nothing to strike")
        self._settle()
        judge.judge(self)
        self.outcome.said = self.process.said
        self.outcome.boundaries = self.process.crashes
        self.outcome.counts["trades"] += len(self.model.sold)
        self.outcome.counts["transfers and retirements"] += len(self.model.deeds)
        self.outcome.counts["issuances"] += len(self.model.issued_kg()) - 1

    def end(self) -> None:
        """Let go of everything."""
        self.watch.quiet()
        for fault in self._faults:
            fault.end()
        self.process.close()

    def _turn(self, faults: list[Fault]) -> None:
        self._ask()
        work: Callable[[], None] = self.work
        for fault in faults:
            work = _around(fault, work)
        work()
        for fault in faults:
            fault.heal()
        self.watch.quiet()
        self.mine(self.chance.randint(0, 2))

    def _heal(self) -> None:
        for fault in self._faults:
            fault.heal()
        self.watch.quiet()
        clock.set_right()
        node = self.on.node
        node.client.request("evm_setAutomine", [True])
        self.base_fee(1)
        self.process.reopen()

    # -------------------------------------------------------------------------- the work

    def _ask(self) -> None:
        """Ask for something new of every kind: trades always, the rest by chance."""
        chance, model = self.chance, self.model
        for _ in range(chance.randint(1, 3)):
            model.sold.append(
                Sold(
                    len(model.sold),
                    chance.choice(("sell", "sell", "buy")),
                    chance.randint(1, 40_000),
                    chance.choice((1, 1, 1, -1)) * chance.randint(1, 90_000),
                )
            )
        if chance.random() < 0.6:
            number = len(model.deeds)
            kind = chance.choice(("transfer", "retire"))
            # Not drawn: the seeds of before keep the rest of their scenarios.
            if (self.plan.seed + number) % 3 == 0:
                kind = "cancel"
            named = (self.plan.seed + number) % 5 != 0
            model.deeds.append(Deed(f"deed {number}", kind, 10 + number, named))
        if chance.random() < 0.4 and model.days < len(KW_BY_DAY):
            model.days += 1

    def work(self) -> None:
        """Do once what people and the scheduler do, each step for itself."""
        self._steps(self.chance)

    def _steps(self, chance: random.Random) -> None:
        process = self.process
        process.do(self.import_all)
        process.do(process.read)
        for deed in self.model.deeds:
            if deed.named or not deed.asked:
                process.do(lambda deed=deed: process.ask_for(deed))  # type: ignore[misc]
        process.do(lambda: process.issue(self.model))
        for number in range(3):
            process.do(process.jobs()[number])
        if chance.random() < 0.5 and not self.still:
            self.mine(1)
        process.do(process.read)
        if chance.random() < 0.5 and not self.still:
            self.pass_window()
            process.do(process.read)
            process.do(process.jobs()[1])

    def import_all(self) -> None:
        """Import the file of all trades: what is there already is left alone."""
        lines = [",".join(COLUMNS)]
        for sold in self.model.sold:
            quantity, price = f"{sold.milli / 1000:.3f}", f"{sold.price_e4 / 10_000:.4f}"
            cells = [
                "plant",
                "",
                sold.side,
                quantity,
                price,
                str(currency_of_cents(sold.cents)),
                MARKET,
            ]
            lines.append(",".join([*cells, sold.moment.isoformat()]))
        file = self.on.folder / "trades.csv"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        report = self.process.park.db.run(lambda session: import_trades(session, file))
        assert report.rejected == 0, report.errors

    def mine(self, blocks: int) -> None:
        """Let the chain grow, and what waits in the pool with it."""
        for _ in range(blocks):
            self.on.node.mine(1)

    def pass_window(self) -> None:
        """Let the contract's window pass."""
        self.on.node.pass_window()

    def base_fee(self, gwei: int) -> None:
        """Mine a block with this base fee, and see that it has it."""
        client = self.on.node.client
        for _ in range(5):  # a transaction that came meanwhile has a block of its own
            client.request("anvil_setNextBlockBaseFeePerGas", [hex(gwei * 10**9)])
            self.on.node.mine(1)
            head = client.block("latest")
            if head is not None and head.base_fee == gwei * 10**9:
                return
        raise DidNotStrike(f"no block has a base fee of {gwei} gwei")

    def reorganise(self, depth: int) -> int:
        """Replace the last blocks by others; return how many transactions of ours that took away."""
        client = self.on.node.client
        depth = min(depth, client.block_number() - self.first_block + 1)
        if depth < 1:
            return 0
        head = client.block_number()
        gone = 0
        kept: list[tuple[dict[str, str], int]] = []
        cents: list[int] = []
        for offset, each in self.transactions(head - depth + 1, head):
            if each["hash"] in self.payments:
                cents.append(self.payments[each["hash"]])
                kept.append(({name: each[name] for name in ("from", "to", "gas")}, offset))
                kept[-1][0]["data"] = each["input"]
            elif each["from"] != PARTIES["spare"]:
                gone += 1
        self._stamps += 1
        stamp = {
            "from": PARTIES["spare"],
            "to": PARTIES["admin"],
            "data": f"0x{self._stamps:08x}",
            "gas": hex(100_000),
        }
        self.on.node.reorganise(depth, [*kept, (stamp, self.chance.randrange(depth))])
        self.outcome.depths[depth] += 1
        self._pay_again(head - depth + 1, head, cents, {each["data"] for each, _ in kept})
        return gone

    def _pay_again(self, first: int, last: int, cents: Sequence[int], calls: set[str]) -> None:
        """Take note of the market's payments in the blocks that came instead; one may fail there.

        What was taken back and waits in the pool may be mined in these blocks at once, too.
        """
        again = [
            each
            for _, each in self.transactions(first, last)
            if each["from"] == PARTIES["market"] and each["input"] in calls
        ]
        assert len(again) == len(cents)
        for each, paid in zip(again, cents, strict=True):
            receipt = self.on.node.client.receipt(each["hash"])
            assert receipt is not None
            self.foreign.add(each["hash"])
            if receipt.status == 1:
                self.payments[each["hash"]] = paid
            else:
                self.model.paid_in[PARTIES["market"]] -= paid

    def transactions(self, first: int, last: int) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield the transactions of blocks, each with how many blocks its own is after the first."""
        for number in range(first, last + 1):
            block = self.on.node.client.request("eth_getBlockByNumber", [hex(number), True])
            for each in block["transactions"]:
                yield number - first, each

    def direct_settlement(self) -> VppSettlement:
        """Return the contract, asked without any fault between."""
        node = self.on.node
        return VppSettlement(node.client, node.deployment.settlement.address)

    # ------------------------------------------------------------------------ settling

    def _settle(self) -> None:
        """Let the world go on without faults until nothing is left to do."""
        for number in range(ROUNDS_MAX):
            self._steps(self.chance)
            self.pass_window()
            self.mine(8)
            self.process.do(self.process.read)
            if number and not self._left():
                self.outcome.counts["rounds"] += number
                return
        raise Stuck(f"{'; '.join(self._left())}; the last reason was: {self.process.trouble}")

    def _left(self) -> list[str]:
        """Say what is not at its end."""
        park, model = self.process.park, self.model
        left = [
            f"{row.kind} {row.key[:10]} is {row.state.value} ({row.alarm or 'without a reason'})"
            for row in rows.open_intents(park)
        ]
        if rows.pending_trades(park):
            left.append(f"{rows.pending_trades(park)} trades are pending")
        if rows.days_planned(park) < model.days:
            left.append(f"{rows.days_planned(park)} of {model.days} days are issued")
        return left


def _around(fault: Fault, work: Callable[[], None]) -> Callable[[], None]:
    return lambda: fault.strike(work)
