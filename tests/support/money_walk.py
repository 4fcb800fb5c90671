"""A random walk of the books: people, jobs, strangers and the chain act on trades in turn, and reconcile always holds.

The histories (``scenario``) have strangers act alone, on a mirror without books of its own; chaos breaks machines, and
judges at the end. Here the books plan, send, cancel, dispute and retry, others settle the same trades beside them, the
chain goes back and comes again with other contents, and after each look books and chain must agree, by the product's
own rules and by what is asked of the contract here. At the end everything that hinders is mended: then nothing may be
left undone, and each cent is where the executed trades put it.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from eth_utils.crypto import keccak
from sqlalchemy import or_, select

from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.keys.signers import Keyring
from ledger.db import Database
from ledger.errors import TruetonneError
from ledger.jobs.released import submit_released
from ledger.models import (
    AuditLog,
    ChainAttempt,
    ChainEvent,
    ChainInclusion,
    ChainIntent,
    CreditBatch,
    SettlementBatch,
    SettlementTrade,
    VppSettlementBatch,
    VppTradeCredit,
    VppTradeShortfall,
    VppTradingRecord,
)
from ledger.models.escrow import SettlementStatus
from ledger.models.sending import UNDER_WAY, IntentState
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus
from ledger.reconcile import applied
from ledger.reconcile.books import open_books
from ledger.settings.settling import SettlementPolicy, Way
from ledger.settlement import cosign, renumbered, shortfalls
from ledger.settlement.batches import plan_again, plan_round, submit_planned
from ledger.settlement.cancel import cancel_trade, plan_cancellation, withdraw
from ledger.settlement.disputes import plan_dispute, plan_rejection
from ledger.settlement.elsewhere import Accounts
from ledger.settlement.finalizing import finalize_due
from ledger.settlement.finding import resource_of
from ledger.settlement.pending import Scope
from ledger.settlement.singles import plan_single
from ledger.settlement.standstill import Standstill
from ledger.settlement.trade_rows import COLUMNS, CREDIT_COLUMN
from ledger.settlement.trades import import_trades
from ledger.settlement.words import Trade, trade_of
from ledger.units import currency_of_cents
from tests.support import acts
from tests.support.chain import (
    BOND_CENTS,
    CURRENCY,
    MEMBER_ROLE,
    OPERATOR_ROLE,
    PARTIES,
    go_back,
    send,
    until_mined,
)
from tests.support.clocks_walk import Clocks, clocks_apart
from tests.support.credit_walk import RULES_OF_CREDITS, CreditWalk, Differs, Nothing
from tests.support.park import MARKET as DAY_AHEAD
from tests.support.park import AfterMining, Park, apply_park, keys_without, open_chain
from tests.support.stages import Stage

PLANT, MARKET = PARTIES["owner"], PARTIES["market"]
STRANGER = "spare"
"""Settles beside the books: an operator and member of the market of its own."""
FINALITY = 5
FOREIGN = 900_000
"""Numbers below it, downwards, are trades of nobody's books: books that give trades another number take one above."""
ROUNDS_MAX = 30
DEEPEST = 40
"""No fork goes back further: the node forgets its states."""
KG = 20_000
"""Credits that each party has in escrow at the beginning."""
MARIADB_EVERY = 4
"""Every fourth walk is on MariaDB, where there is a server."""
STEPS = 32
"""A walk has so many, unless somebody says otherwise: seconds."""
RULES_OF_MONEY = ("escrow", "transactions", "intents", "plans", "settlement-batches", "trades")
TRANSFERS = {
    CURRENCY: ("Transfer(address,address,uint256)", (1, 2)),
    CREDIT: ("TransferSingle(address,address,address,uint256,uint256)", (2, 3)),
}
"""The event of each token, and which of its topics are giver and taker."""
SPARE_CENTS = 5_000
FEE_BPS = 30
"""The contract's fee in every other walk, in hundredths of a percent."""


class Offer(NamedTuple):
    """A trade to come: thousandths, ten-thousandths, and by how much it is later than its hour begins."""

    plant: str
    side: str
    milli: int
    price_e4: int
    market: str = DAY_AHEAD
    late: timedelta = timedelta(0)


def run(
    on: Stage,
    seed: int,
    steps: int | None = None,
    kind: type[MoneyWalk] | None = None,
    mariadb_every: int = MARIADB_EVERY,
) -> MoneyWalk:
    """Take a walk on a stage, and leave the stage as it was.

    Parameters
    ----------
    steps
        How many; None: as many as such a walk has.
    kind
        Which walk; None: the one of trades and credits alone.
    mariadb_every
        Every so manieth seed is on MariaDB, where there is a server.

    Raises
    ------
    Differs
        With the first difference, and what was done until then.
    """
    client = on.chain.client
    snapshot = client.request("evm_snapshot")
    file = on.folder / "walk.db"
    for old in on.folder.glob("walk.db*"):
        old.unlink()
    shutil.copyfile(on.template, file)
    on_mariadb = on.mariadb is not None and seed % mariadb_every == 0
    db = on.mariadb() if on.mariadb and on_mariadb else Database(f"sqlite:///{file}")
    with closing(db), clocks_apart(client, seed) as clocks:
        apply_park(db)
        walk = (kind or MoneyWalk)(db, on, seed)
        walk.clocks = clocks
        try:
            walk.play(steps or walk.steps)
        except Exception as error:
            error.add_note("\n".join(walk.log))
            raise
        finally:
            walk.close()
            go_back(client, snapshot)
    return walk


def differences_of(park: Park, names: Sequence[str]) -> list[str]:
    """Return in what books and chain differ by some rules."""
    with park.db.read() as session:
        books = open_books(session, park.node.client, park.node.deployment)
        with closing(books.replay.shelves):
            rules = list(applied(books, names))
    return [f"{rule.name}: {text}" for rule in rules for text in rule.differences]


class MoneyWalk(CreditWalk):
    """One walk."""

    steps = STEPS
    parties: tuple[str, ...] = ("owner", "market")
    """Who has money and credits in escrow: whoever is not the market has been the plant's account, or is."""
    markets: Collection[str] = frozenset({MARKET})
    """The accounts of markets."""
    plant = PLANT
    """The plant's account."""
    netted_hours: tuple[int, int] = (1, 10**6)
    """Trades of so many hours are netted, the one or the other: each comes in an hour of its own."""
    refusing: Collection[str] = ()
    """Accounts whose keys are not here: they sign nothing."""
    clocks: Clocks
    """How far this machine's clock is from the chain's."""

    def __init__(self, db: Database, on: Stage, seed: int) -> None:
        self.chance = random.Random(seed)
        self.on = on
        self.node = on.chain
        self.acts = ACTS
        self.last: Sequence[str] = LAST
        self.fee_bps = self.chance.choice((0, FEE_BPS))
        self.deep = self.chance.random() < 0.4
        """Whether the chain also takes back what was final."""
        hours = self.chance.choice(self.netted_hours)
        self.policy = SettlementPolicy(Way.AUTO, hours, debtor_hours=self.chance.choice((0, 72)))
        self.open(db)
        self.hour = 0
        self.foreign = FOREIGN
        self.stamps = 0
        self.failed_above: int | None = None
        """Above which block an issuance has failed for good, as a fork wanted it."""
        self.store = db.dialect
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.log: list[str] = []
        self.first_block = self.node.client.block_number() + 1

    def open(self, db: Database) -> None:
        """Open books with chain and mirror, as processes do that begin."""
        keys = self.keyring(*self.refusing)
        chain = open_chain(db, self.node, settling=self.policy, finality=FINALITY, keyring=keys)
        mirror = AfterMining(db, self.node.client, self.node.deployment, FINALITY)
        self.park = Park(db, self.node, chain, mirror, self.on.folder)
        self.standstill = Standstill()

    def keyring(self, *absent: str) -> Keyring:
        """Return the keys that are here: all but those of some accounts."""
        return keys_without(*absent)

    def close(self) -> None:
        """Close the books."""
        self.park.db.close()

    # ------------------------------------------------------------------ the frame

    def play(self, steps: int) -> None:
        """Take so many steps, then mend everything, and judge."""
        self.clocks.go_on()
        self.log.append(f"this machine's clock is {self.clocks.apart_s:+} s from the chain's")
        self._begin()
        names, weights = list(self.acts), list(self.acts.values())
        for _ in range(steps):
            for name in self.chance.choices(names, weights, k=6):
                if self._do(name, getattr(self, name)):
                    break
            if self.chance.random() < 0.4:
                self.look()
        self._heal()
        self._come_to_an_end()
        self._judge()

    def _begin(self) -> None:
        if self.fee_bps:
            self.node.act("admin", SETTLEMENT, "setFee", [self.fee_bps, PARTIES["admin"]])
            self.node.later(8 * 86_400)  # it holds after a week
        for role in (OPERATOR_ROLE, MEMBER_ROLE):
            self.node.act("admin", SETTLEMENT, "grantRole", [role, PARTIES[STRANGER]])
        self.batch = self.node.issue(KG * len(self.parties), 1)
        for party in self.parties:
            self.node.deposit(party, 5_000 if party == "market" else 2_000)
            if party != "owner":
                self.node.transfer("owner", party, self.batch, KG)
            acts.deposit_credits(self.node, party, self.batch, KG)
        self.park.mirror.run_until("head")
        self.trade()
        self.trade()
        self.begin_credits()
        self.node.mine(FINALITY)
        self.floor = self.node.height()
        self.look()

    def _do(self, name: str, act: Callable[[], object]) -> bool:
        """Do an act; return whether there was something to do it with."""
        if is_set := self.clocks.go_on():
            self.log.append(is_set)
        try:
            said = act()
        except Nothing:
            return False
        except TruetonneError as error:
            self.refused[f"{name}: {error.code}"] += 1
            self.log.append(f"{name}: refused, {error.message[:150]}")
        else:
            self.done[name] += 1
            self.log.append(f"{name}: {said if said is not None else 'done'}")
        return True

    def look(self) -> None:
        """Mirror to the head, and compare."""
        self.park.mirror.run_until("head")
        found = [*self.differences(), *self._statuses(), *self.credit_statuses()]
        # What strangers propose with trades of ours is told until the next planning.
        found = [each for each in found if not each.endswith("the next settlement takes it over")]
        if found:
            raise Differs("; ".join(found))

    def differences(self) -> list[str]:
        """In what books and chain differ by the rules of money: the others cost as much, and are kept for the end."""
        return differences_of(self.park, (*RULES_OF_MONEY, *RULES_OF_CREDITS))

    def _statuses(self) -> list[str]:
        """What is executed a final block has settled, by the contract's word; and what has ended stays so."""
        final = self._final()
        records = self._rows(VppTradingRecord)
        short = self._rows(VppTradeShortfall, VppTradeShortfall.failed_at.is_not(None))
        failed = {row.trade_id for row in short}
        taken = self._taken_out()
        found = []
        for row in records:
            if row.status is TradeStatus.EXECUTED and not self._is_marked(row.id, final):
                found.append(
                    f"trade {row.id} is executed, and final block {final} has not settled it"
                )
            if row.status is TradeStatus.FAILED and row.id not in failed:
                found.append(f"trade {row.id} failed without a reason")
            if row.status is TradeStatus.PENDING and row.id in taken:
                found.append(f"trade {row.id} was taken out, and is pending")
            if row.status is TradeStatus.PENDING and row.id in failed:
                found.append(f"trade {row.id} has failed, and is pending")
        return found

    def _taken_out(self) -> set[int]:
        rows = self._rows(AuditLog, AuditLog.action == "trades.cancel")
        return {int(row.resource.rpartition("/")[2]) for row in rows}

    def _is_marked(self, seq: int, block: int) -> bool:
        return self._asked(SETTLEMENT, "isSettled(uint64)", f"{seq:x}", block) == 1

    # ------------------------------------------------------------------ what is there

    def _pending(self) -> list[VppTradingRecord]:
        return self._rows(VppTradingRecord, VppTradingRecord.status == TradeStatus.PENDING)

    def _for_others(self) -> list[VppTradingRecord]:
        """Pending trades that strangers may settle.

        None that was given another number: a fork may bring in a call of ours with the former one, too, and nobody
        could keep both from being paid.
        """
        given = {row.resource for row in self._rows(AuditLog, AuditLog.action == renumbered.ACTION)}
        return [row for row in self._pending() if resource_of(row.id) not in given]

    def _asset(self, row: VppTradingRecord) -> int:
        """What a trade is of: a number of credits, 0 for energy."""
        found = self._rows(VppTradeCredit, VppTradeCredit.trade_id == row.id)
        return int(found[0].asset) if found else 0

    def _alike(self, rows: list[VppTradingRecord]) -> tuple[list[Trade], int]:
        """Choose one or two trades of one asset."""
        first = self._some(rows)
        asset = self._asset(first)
        others = [row for row in rows if row.id != first.id and self._asset(row) == asset]
        chosen = [first, *self.chance.sample(others, min(len(others), self.chance.randint(0, 1)))]
        return [self._as_trade(row) for row in sorted(chosen, key=lambda row: row.id)], asset

    def _as_trade(self, row: VppTradingRecord) -> Trade:
        with self.park.db.read() as session:
            return Accounts.load(session).trade(row)

    # ------------------------------------------------------------------ people and jobs

    def trade(self) -> str:
        """Import trades of energy, or of credits."""
        credits = self.chance.random() < 0.3
        lines = [",".join((*COLUMNS, CREDIT_COLUMN))]
        for _ in range(self.chance.randint(1, 3)):
            plant, side, milli, price, market, late = self.offer()
            total = currency_of_cents(Trade(1, MARKET, PLANT, milli, price).cents)
            moment = datetime(2014, 1, 1, tzinfo=UTC) + timedelta(hours=self.hour) + late
            figures = f"{milli / 1000:.3f},{price / 10_000:.4f},{total}"
            credit = "lhb-wind-2014-1" if credits else ""
            lines.append(f"{plant},,{side},{figures},{market},{moment.isoformat()},{credit}")
            self.hour += 1
        new = self.bring_trades("\n".join(lines) + "\n")
        return f"{new}{' of credits' if credits else ''}"

    def offer(self) -> Offer:
        """Return what is traded next."""
        side = self.chance.choice(("sell", "sell", "buy"))
        milli = self.chance.randint(1, 3000)
        price = self.chance.choice((1, 1, 1, -1)) * self.chance.randint(1, 90_000)
        return Offer(self.trader(), side, milli, price)

    def trader(self) -> str:
        """Return the code of the plant whose trade comes next."""
        return "plant"

    def bring_trades(self, text: str) -> int:
        """Import a file of trades; return how many are new."""
        file = self.park.folder / "trades.csv"
        file.write_text(text)
        report = self.park.db.run(lambda session: import_trades(session, file))
        assert report.rejected == 0, report.errors
        return report.new

    def plan(self) -> str:
        way = self.chance.choice((None, Way.PROPOSED, Way.COSIGNED))
        # A deadline by the chain's clock, sometimes one that is over soon.
        until = None
        if self.refusing or self.chance.random() < 0.3:
            until = datetime.fromtimestamp(self.now_s() + 1800, UTC)
        made = plan_round(self.park.chain, Scope(way=way, signed_until=until))
        if not (made.batches or made.failed):
            raise Nothing
        return f"{way}, {len(made.batches)} batches, {len(made.left_out)} out, {made.failed} failed"

    def now_s(self) -> int:
        """Return the time of the latest block, in epoch seconds."""
        head = self.node.client.block("latest")
        assert head is not None
        return head.timestamp

    def submit(self) -> str:
        return self._sent(submit_planned(self.park.chain))

    def sign_in_part(self) -> None:
        """One party's key is here alone; the other signs at the next submission."""
        with self.park.db.read() as session:
            keys = cosign.waiting_for_signatures(session)
        key = self._some(list(keys))
        absent = self.chance.choice((self.plant, MARKET))
        chain = open_chain(
            self.park.db,
            self.node,
            keyring=self.keyring(absent, *self.refusing),
            settling=self.park.chain.settling,
        )
        cosign.sign_ours(chain, key)

    def finalise(self) -> str:
        return self._sent(finalize_due(self.park.chain))

    def window(self) -> None:
        self.node.pass_window()

    def cancel_a_batch(self) -> str:
        row = self._some(
            self._rows(
                VppSettlementBatch,
                VppSettlementBatch.state.in_((BatchState.PROPOSED, BatchState.PLANNED)),
            )
        )
        chain = self.park.chain
        if row.state is BatchState.PLANNED:
            taken = self.withdraw_planned(row.batch_key)
            return f"{row.batch_key[:10]} {'withdrawn' if taken else 'not withdrawn'}"
        key = self.park.db.run(
            lambda session: plan_cancellation(session, chain, row.batch_key, "a walk")
        )
        chain.sender.submit(key, SETTLEMENT)
        return f"{row.batch_key[:10]} cancelled by {key[:10]}"

    def withdraw_planned(self, key: str) -> bool:
        """Take back a batch of which nothing is sent; return whether it was."""
        return bool(self.park.db.run(lambda session: withdraw(session, key, "a walk")))

    def _proposed(self) -> Any:
        return self._some(
            self._rows(VppSettlementBatch, VppSettlementBatch.state == BatchState.PROPOSED)
        )

    def dispute(self) -> str:
        key = self._proposed().batch_key
        row = self._some(self._rows(SettlementBatch, SettlementBatch.key == key))
        item = self._some([trade_of(row.accounts, word) for word in self._words_of(row)])
        account = self.chance.choice((item.buyer, item.seller))
        chain = self.park.chain
        planned = self.park.db.run(
            lambda session: plan_dispute(session, chain, key, item.seq, account)
        )
        chain.sender.submit(planned, SETTLEMENT)
        return f"{key[:10]} {item.seq}"

    def reject(self) -> str:
        row = self._some(
            self._rows(SettlementBatch, SettlementBatch.status == SettlementStatus.DISPUTED)
        )
        chain = self.park.chain
        key = self.park.db.run(lambda session: plan_rejection(session, chain, row.key))
        chain.sender.submit(key, SETTLEMENT)
        return f"{row.key[:10]}"

    def take_out(self) -> str:
        row = self._some(self._pending())
        self.park.db.run(lambda session: cancel_trade(session, row.id, "a walk"))
        return f"{row.id}"

    def single(self) -> str:
        row = self._some(self._pending())
        self.park.db.run(lambda session: plan_single(session, self.park.chain, row.id))
        return f"{row.id}"

    def retry(self) -> str:
        row = self._some(
            self._rows(VppTradingRecord, VppTradingRecord.status == TradeStatus.FAILED)
        )
        self.park.db.run(lambda session: shortfalls.reopen(session, row.id, "a walk"))
        return f"{row.id}"

    def tend(self) -> None:
        chain = self.park.chain
        if not self._rows(ChainIntent, ChainIntent.state.in_(UNDER_WAY)):
            raise Nothing
        chain.sender.recheck_final()
        chain.sender.tend()
        submit_released(chain)

    # ------------------------------------------------------------------ strangers

    def pay_in(self) -> None:
        if self.is_paused(SETTLEMENT):
            raise Nothing
        cents = self.chance.randint(1, 3000)
        self.give(self.chance.choice(self.parties), cents + cents % 2)

    def give(self, party: str, cents: int) -> None:
        """Pay in for a party, which has more: what a fork took from it may be what a payment of ours waits for."""
        self.node.act(party, CURRENCY, "mint", [PARTIES[party], SPARE_CENTS])
        self.node.deposit(party, cents)

    def take_money(self) -> str:
        party = self.chance.choice(self.parties)
        cents = self.chance.randint(1, 4000)
        receipt = self.node.withdraw(party, cents + cents % 2, must=False)
        return f"{party} {receipt.status}"

    def _who(self) -> str:
        """Most strangers have accounts of their own; some share ours."""
        return STRANGER if self.chance.random() < 0.8 else "operator"

    def others_settle_one(self) -> str:
        row = self._some(self._rows(VppTradingRecord))
        item = self._as_trade(row)
        call = [self._asset(row), acts.trade_tuple(item)]
        receipt = self.node.act(self._who(), SETTLEMENT, "settleOne", call, must=False)
        return f"{row.id}: {receipt.status}"

    def others_cosign(self) -> str:
        trades, asset = self._alike(self._rows(VppTradingRecord))
        receipt = acts.cosign(self.node, self.parties, trades, asset, must=False)
        return f"{[item.seq for item in trades]}: {receipt.status}"

    def others_propose(self) -> str:
        """Trades of ours under a key of theirs: the books take the batch up, unless others' stand beside them."""
        trades, asset = self._alike(self._for_others())
        sender = "operator"
        if self.chance.random() < 0.3 and not asset:
            self.foreign -= 1
            trades.append(Trade(self.foreign, MARKET, self.plant, 1000, 10_000))
            sender = STRANGER  # from an account of ours the reconciliation would miss that trade
        _, receipt = self.node.propose(trades, must=False, asset=asset, sender=sender)
        return f"{[item.seq for item in trades]}: {receipt.status}"

    def others_send_our_call(self) -> str:
        """A member who has the signatures, or an operator who saw the call, sends it."""
        kinds = ("settle_cosigned", "propose_batch", "finalize_batch", "settle_one")
        # A call with a key of the books that was given up before it was signed was seen by nobody.
        signed = select(ChainAttempt.intent_key).where(ChainAttempt.intent_key == ChainIntent.key)
        seen = or_(
            ChainIntent.state != IntentState.FAILED,
            ChainIntent.kind.in_(("settle_cosigned", "finalize_batch")),
            signed.exists(),
        )
        row = self._some(self._rows(ChainIntent, ChainIntent.kind.in_(kinds), seen))
        receipt = self._send(row)
        return f"{row.kind} {row.key[:10]} ({row.state.value}): {receipt}"

    def _send(self, row: ChainIntent) -> Any:
        return send(self.node.client, PARTIES[STRANGER], row.contract_address, row.call_data).status

    def others_finalise(self) -> str:
        row = self._some(
            self._rows(SettlementBatch, SettlementBatch.status == SettlementStatus.PROPOSED)
        )
        outcome = self._outcome(row)
        receipt = self.node.act(
            STRANGER, SETTLEMENT, "finalizeBatch", [row.batch_id, outcome], must=False
        )
        return f"{row.batch_id}: {receipt.status}"

    def others_cancel(self) -> str:
        open_ = (SettlementStatus.PROPOSED, SettlementStatus.DISPUTED)
        row = self._some(self._rows(SettlementBatch, SettlementBatch.status.in_(open_)))
        return f"{row.batch_id}: {self._cancel(row)}"

    def _cancel(self, row: SettlementBatch) -> int:
        call = [row.batch_id, self._outcome(row), self._words_of(row), "a stranger"]
        who = self.chance.choice(("admin", STRANGER))
        return int(self.node.act(who, SETTLEMENT, "cancelBatch", call, must=False).status or 0)

    def _words_of(self, row: SettlementBatch) -> list[int]:
        with self.park.db.read() as session:
            event = session.get_one(ChainEvent, (row.block_number, row.log_index))
        return [int(word) for word in event.args["words"]]

    @staticmethod
    def _outcome(row: SettlementBatch) -> Any:
        return list(row.accounts), [int(n) for n in row.nets], [int(n) for n in row.credit_nets]

    def pause(self) -> str:
        return self.turn(SETTLEMENT)

    def suspend(self) -> str:
        """Keep the credits from moving; or let them move again."""
        (row,) = self._rows(CreditBatch, CreditBatch.batch_id == self.batch)
        is_on = self._is_suspended()
        party, name = ("admin", "reinstate") if is_on else ("pauser", "suspend")
        self.node.act(party, CREDIT, name, [self.batch])
        return f"{name}, {row.status.value} before"

    def _is_suspended(self) -> bool:
        return int(self.node.ask(CREDIT, "statusOf", [self.batch]), 16) != 1

    # ------------------------------------------------------------------ the chain

    def mine(self) -> None:
        self.node.mine(self.chance.randint(1, 4))

    def final(self) -> None:
        self.node.mine(FINALITY + 1)
        self.look()

    def reorganise(self) -> str:
        depth = self._depth()
        self.stamps += 1
        stamp = {"from": PARTIES["buyer"], "to": PARTIES["admin"], "data": f"0x{self.stamps:08x}"}
        other = [({**stamp, "gas": hex(100_000)}, 0)]
        if self.chance.random() < 0.5:
            rows = self._for_others()
            if rows:
                row = self.chance.choice(rows)
                item = self._as_trade(row)
                call = self.node.transaction(
                    STRANGER, SETTLEMENT, "settleOne", [self._asset(row), acts.trade_tuple(item)]
                )
                other.append((call, self.chance.randrange(depth)))
        if self.chance.random() < 0.3:
            other.append((self.hindrance(), 0))
        self.node.reorganise(depth, other)
        return f"{depth}, with {len(other) - 1}"

    def reorganise_in_a_row(self) -> str:
        """Several forks, which the mirror follows or not; what is sent between them stands in one of them."""
        said = []
        for _ in range(self.chance.randint(2, 3)):
            said.append(self.reorganise())
            if self.chance.random() < 0.5:
                self.park.mirror.run_until("head")
            if self.chance.random() < 0.5:
                self.park.chain.sender.rebroadcast()
        return "; ".join(said)

    def fail_an_issuance(self) -> str:
        """A fork has the credits paused before an issuance that is in a block, and becomes final."""
        if not self.deep:
            raise Nothing
        sent = select(ChainIntent.tx_hash).where(
            ChainIntent.kind == "issue", ChainIntent.state == IntentState.SUBMITTED
        )
        row = self._some(self._rows(ChainInclusion, ChainInclusion.tx_hash.in_(sent)))
        self.failed_above = row.block_number - 1
        depth = self.node.height() - self.failed_above
        self.node.reorganise(depth, [(self.node.transaction("pauser", CREDIT, "pause", []), 0)])
        self.park.chain.sender.rebroadcast()
        self.final()
        return f"in block {row.block_number}"

    def bring_it_back(self) -> str:
        """A deeper fork takes that failure back, after what was done meanwhile."""
        depth = self.node.height() - (self.failed_above or 0)
        if self.failed_above is None or depth > DEEPEST:
            raise Nothing
        self.failed_above = None
        self.node.reorganise(depth)
        self.park.mirror.run_until("head")
        self.park.chain.sender.rebroadcast()
        return f"{depth} deep"

    def roll_back(self) -> str:
        depth = self._depth()
        self.node.roll_back(depth)
        # A head that stays lower than what was final is no chain to go on with.
        self.node.mine(depth)
        return f"{depth}"

    def _depth(self) -> int:
        until_mined(self.node.client)
        head = self.node.height()
        most = 12 if self.deep else FINALITY - 1
        lowest = max(self.floor, 0 if self.deep else self._final())
        most = min(most, head - lowest)
        if most < 1:
            raise Nothing
        return self.chance.randint(1, most)

    # ------------------------------------------------------------------ the end

    def _heal(self) -> None:
        if self.is_paused(SETTLEMENT):
            self.pause()
        if self._is_suspended():
            self.suspend()
        self.heal_credits()
        for party in self.parties:
            self.give(party, 100_000)
        self.look()
        self.log.append("healed")

    def _come_to_an_end(self) -> None:
        for _ in range(ROUNDS_MAX):
            for name in self.last:
                self._do(name, getattr(self, name))
            self.node.pass_window()
            self.node.mine(FINALITY + 1)
            self.look()
            left = [*self._left(), *self.left_of_credits()]
            if not left:
                found = self.park.differences()
                if found:
                    raise Differs("; ".join(found))
                return
        raise Differs(f"does not come to an end: {'; '.join(left)}")

    def plan_as_a_job(self) -> str:
        made = plan_again(self.park.chain, Scope(), self.standstill)
        return f"{len(made.batches)} batches, waiting {[item.message for item in made.waiting]}"

    def end_disputes(self) -> None:
        """An arbiter, or who may, cancels what is disputed; what others proposed is finalised by them."""
        for row in self._rows(SettlementBatch, SettlementBatch.status == SettlementStatus.DISPUTED):
            self._cancel(row)
        ours = {row.batch_key for row in self._rows(VppSettlementBatch)}
        for row in self._rows(SettlementBatch, SettlementBatch.status == SettlementStatus.PROPOSED):
            if row.key not in ours:
                call = [row.batch_id, self._outcome(row)]
                self.node.act(STRANGER, SETTLEMENT, "finalizeBatch", call, must=False)

    def _left(self) -> list[str]:
        """Return what is not at its end. What a person asked for, and the node refused, is for a person to send."""
        left = [
            f"{row.kind} {row.key[:10]} is {row.state.value} ({row.alarm or 'without a reason'})"
            for row in self._rows(ChainIntent, ChainIntent.state.in_(UNDER_WAY))
            if not (
                row.kind in ("cancel_batch", "dispute_trade", "reject_dispute")
                and row.state.value == "planned"
            )
        ]
        left += [f"trade {row.id} is pending" for row in self._pending()]
        open_ = (BatchState.PLANNED, BatchState.PROPOSED)
        left += [
            f"batch {row.batch_key[:10]} is {row.state.value}"
            for row in self._rows(VppSettlementBatch, VppSettlementBatch.state.in_(open_))
        ]
        # Also one of others that no batch here is, as its trades had ended: what it locks is nobody's until its end.
        on_chain = (SettlementStatus.PROPOSED, SettlementStatus.DISPUTED)
        left += [
            f"batch {row.batch_id} is {row.status.value} on chain"
            for row in self._rows(SettlementBatch, SettlementBatch.status.in_(on_chain))
        ]
        return left

    def _judge(self) -> None:
        self.judge_credits()
        self._judge_money()

    def _judge_money(self) -> None:
        """Each cent is where payments, bonds and executed trades put it: all plants taken as one, and all markets."""
        head = self.node.height()
        plants = [PARTIES[party] for party in self.parties if PARTIES[party] not in self.markets]
        accounts = [*plants, *self.markets]
        held, kg = Counter[str](), Counter[str]()
        strangers = set(range(self.foreign, FOREIGN))
        for row in self._rows(VppTradingRecord, VppTradingRecord.status == TradeStatus.EXECUTED):
            if not self._is_marked(row.id, head):
                raise Differs(f"trade {row.id} is executed, and not settled")
            strangers.discard(row.id)
            item = self._as_trade(row)
            buyer, seller = self._side(item.buyer), self._side(item.seller)
            held[buyer] -= item.cents
            held[seller] += item.cents
            if self._asset(row):
                kg[buyer] += item.quantity_milli
                kg[seller] -= item.quantity_milli
        for settled in self.settled_trades():
            # Other books may have such a number as well, for a trade between accounts of theirs.
            strangers -= {item.seq for item in settled if item.buyer not in accounts}
        for seq in strangers:
            if self._is_marked(seq, head):
                held[MARKET] -= 100
                held[PLANT] += 100
        paid, fees = self._paid(), self._fees()
        for account in accounts:
            held[self._side(account)] += paid[account] - fees[account]
        for account, units in self.escrow_transfers(CREDIT):
            kg[self._side(account)] += units
        found = self.park.chain.settlement.balances_of(accounts)
        found = [sum(found[: len(plants)]), sum(found[len(plants) :])]
        if found != [held[PLANT], held[MARKET]]:
            raise Differs(f"the escrow has {found}, it should be {[held[PLANT], held[MARKET]]}")
        pairs = [(account, self.batch) for account in accounts]
        found = self.park.chain.settlement.credit_balances_of(pairs)
        found = [sum(found[: len(plants)]), sum(found[len(plants) :])]
        if found != [kg[PLANT], kg[MARKET]]:
            raise Differs(f"the escrow has {found} kg, it should be {[kg[PLANT], kg[MARKET]]}")

    def _side(self, account: str) -> str:
        return MARKET if account in self.markets else PLANT

    def _fees(self) -> Counter[str]:
        """Compute what each creditor was taken off: of what it gains by a batch, or by a single trade, rounded down."""
        fees: Counter[str] = Counter()
        gains: list[Counter[str]] = []
        for settled in self.settled_trades():
            gains.append(Counter())
            for item in settled:
                gains[-1][item.seller] += item.cents
                gains[-1][item.buyer] -= item.cents
        for gained in gains:
            for account, cents in gained.items():
                fees[account] += max(cents, 0) * self.fee_bps // 10_000
        return fees

    def settled_trades(self) -> list[list[Trade]]:
        """Return the trades that the chain has settled as it has them, those of a batch together."""
        ended = SettlementBatch.status == SettlementStatus.FINALIZED
        found = []
        for row in self._rows(SettlementBatch, ended):
            found.append([trade_of(row.accounts, word) for word in self._words_of(row)])
        for row in self._rows(SettlementTrade):
            item = Trade(int(row.seq), row.buyer, row.seller, row.quantity, row.price_e4)
            found.append([item])
        return found

    def escrow_transfers(self, token: str, since_s: int = 0) -> list[tuple[str, int]]:
        """Read from a token's events what came into the escrow, and went out (less than nought): cents, or kilograms.

        Of the credits of the walk's batch alone, and in blocks since some second.
        """
        escrow = self.node.deployment.settlement.address
        said, places = TRANSFERS[token]
        query = {
            "address": self.node.deployment.contracts[token].address,
            "topics": ["0x" + keccak(text=said).hex()],
            "fromBlock": hex(self.first_block),
        }
        found = []
        for log in self.node.client.request("eth_getLogs", [query]):
            giver, taker = ("0x" + log["topics"][place][-40:] for place in places)
            *of, units = (
                int(log["data"][2:][at : at + 64], 16) for at in range(0, len(log["data"]) - 2, 64)
            )
            lately = int(log["blockTimestamp"], 16) >= since_s
            if lately and of in ([], [self.batch]) and escrow in (giver, taker):
                found.append((giver, units) if taker == escrow else (taker, -units))
        return found

    def _paid(self) -> Counter[str]:
        """Read from the token who paid in and was paid out, and from the contract who gave bonds and has them back."""
        paid: Counter[str] = Counter()
        for account, units in self.escrow_transfers(CURRENCY):
            paid[account] += units
        bond = (
            "0x" + keccak(text="TradeDisputed(bytes32,uint256,address,uint64,uint256,uint64)").hex()
        )
        back = (
            "0x"
            + keccak(
                text="DisputeResolved(bytes32,uint256,address,bool,address,uint256,uint64)"
            ).hex()
        )
        escrow = self.node.deployment.settlement.address
        query = {"address": escrow, "fromBlock": hex(self.first_block)}
        for log in self.node.client.request("eth_getLogs", [query]):
            if log["topics"][0] == bond:
                paid["0x" + log["topics"][3][-40:]] -= BOND_CENTS
            elif log["topics"][0] == back:
                paid["0x" + log["data"][2 + 64 + 24 : 2 + 128]] += BOND_CENTS
        return paid


ACTS = {
    "trade": 10,
    "plan": 10,
    "submit": 12,
    "sign_in_part": 3,
    "finalise": 6,
    "window": 4,
    "cancel_a_batch": 4,
    "dispute": 3,
    "reject": 2,
    "take_out": 3,
    "single": 4,
    "retry": 3,
    "tend": 5,
    "pay_in": 3,
    "take_money": 4,
    "others_settle_one": 5,
    "others_cosign": 4,
    "others_propose": 3,
    "others_send_our_call": 5,
    "others_finalise": 2,
    "others_cancel": 2,
    "pause": 2,
    "suspend": 3,
    "mine": 4,
    "final": 8,
    "reorganise": 8,
    "reorganise_in_a_row": 3,
    "roll_back": 3,
    "fail_an_issuance": 30,
    "bring_it_back": 40,
    "read": 3,
    "read_late": 5,
    "issue": 10,
    "send_issuances": 10,
    "correct": 5,
    "send_cancellations": 4,
    "send_asked": 2,
    "move": 5,
    "role": 3,
    "pause_credits": 2,
}
"""What happens, and how often."""
LAST = (
    "tend",
    "plan_as_a_job",
    "submit",
    "finalise",
    "end_disputes",
    "issue_what_is_left",
    "send_issuances",
    "correct",
    "send_cancellations",
    "send_asked",
)
"""What is done again and again at the end."""
