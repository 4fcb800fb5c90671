"""A walk of books that are kept as an operator keeps them: saved, restored, moved to another database, mirrored anew.

What is restored is older than the chain. Then the operator does what docs/backup.md says, from a log of what was done
since the backup, and nothing else: the mirror reads, files come again, what was issued is issued again, and what left
nothing on chain is done by hand. Behind that books and chain must agree as they do at any other step. Beside it values
of meters are withdrawn and given back, and credits move by acts with a ``--key``, which are asked for more than once.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

from sqlalchemy import select

from indexer.reindex import reindex
from ledger.audit_chain import check
from ledger.backup.copying import copy_books, require_new
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.keys.signers import anvil_address
from ledger.chain.sending.adoption import adopt_now
from ledger.chain.sending.sender import AlreadyOnChain
from ledger.corrections import correct, corrections_of
from ledger.db import Database
from ledger.errors import Refused, TruetonneError
from ledger.holdings import cancellation_call as cancel_call
from ledger.holdings import details_of, holding_of, plan_call, retirement_call, transfer_call
from ledger.issuance import submit_planned as submit_issuances
from ledger.jobs.expiring import record_expired
from ledger.models import (
    BlockchainTransaction,
    ChainEvent,
    ChainInclusion,
    Correction,
    CreditBatch,
    CreditCancellation,
    CreditHolding,
    CreditRetirement,
    CreditSite,
    Issuance,
    SettlementBatch,
    VppDefinition,
    VppSettlementBatch,
    VppSettlementItem,
    VppTradingRecord,
)
from ledger.models.blockchain import TransactionStatus
from ledger.models.credits import BatchStatus
from ledger.models.escrow import SettlementStatus
from ledger.models.settlement import BatchState
from ledger.readings.imports.restoring import restore as give_back
from ledger.readings.imports.selected import Which
from ledger.readings.imports.withdrawing import withdraw as take_back
from ledger.serials import Act
from ledger.settings.settling import Way
from ledger.settlement.batches import plan_round
from ledger.settlement.cancel import cancel_trade
from ledger.settlement.pending import Scope
from ledger.settlement.words import trade_of
from tests.support import acts, beside
from tests.support.chain import MEMBER_ROLE, OPERATOR_ROLE, PARTIES, class_role
from tests.support.copied import Restore, open_again
from tests.support.credit_walk import BUYER, OWNER, Differs, Nothing
from tests.support.markets_walk import INTRADAY, SECOND_MARKET
from tests.support.meters_walk import OTHER, site_with
from tests.support.money_walk import (
    ACTS,
    FINALITY,
    LAST,
    RULES_OF_MONEY,
    STRANGER,
    differences_of,
)
from tests.support.park import MARKET as DAY_AHEAD
from tests.support.park import PARIS, PROJECT, TRADING, apply_park
from tests.support.pool_walk import A_REASON, PoolWalk
from tests.support.signing_walk import ACCOUNTS, MORE, PLANTS
from tests.support.stages import Stage

SETTLES_IN = 6
"""So many ticks of the jobs have restored books, until they and the chain agree."""
QUARRELS_ENDED = 0.7
"""So many disputes an arbiter rejects."""
EXPIRED = 5
"""The contract's number of that status."""
VERSIONS_MAX = 9
REVISED = """
[[factor]]
code = "cm"
version = "{0}"
purpose = "crediting_cm"
value = "0.{1}"
unit = "t/MWh"
source = "a revision"
verified = true
"""


@dataclass(frozen=True)
class Note:
    """A line of the operator's log: what was done, and how it is done again."""

    what: str
    again: Callable[[], object]
    is_of_trades: bool = False
    is_of_issuing: bool = False
    by_hand: bool = False
    """Whether it is done after all files have come again."""


@dataclass(frozen=True)
class Named:
    """An act of a holder that has a ``--key``."""

    key: str
    act: Act
    batch_id: int
    kg: int
    holder: str
    to: str


class KeptWalk(PoolWalk):
    """One walk of books that are kept."""

    steps = 48
    parties = ("owner", "market", "buyer", "issuer", "operator")

    def __init__(self, db: Database, on: Stage, seed: int) -> None:
        self.saved: tuple[Database, Restore, int] | None = None
        self.notes: list[Note] = []
        self.versions = 1
        """Of the factor."""
        self.refusing = set()
        self.orders = []
        self.had = {}
        self.had_by_market = {DAY_AHEAD: set(), INTRADAY: set()}
        self.offers = []
        self.most_kw = {}
        self.expiring: list[int] = []
        """Batches that others issue, and that expire."""
        self.named: dict[str, Named] = {}
        self.keys: dict[str, str] = {}
        """Of the acts that have names."""
        self.payments = []
        self.asked = Counter()
        self.issued_keys: set[str] = set()
        """Of all issuances that these books ever planned."""
        self.taken: set[datetime] = set()
        """When the trades were that somebody has taken out."""
        self.places = count(1)
        self.others_hour = 0
        self.moved: list[Database] = []
        """Books that were copied, and closed."""
        self.redoing = False
        super().__init__(db, on, seed)
        self.begin_signer()
        self.open(db)
        self.acts = {**ACTS, **KEPT_ACTS}
        self.last = (*LAST, "displace_what_is_left", "ask_again", "others_work", "expire")

    def close(self) -> None:
        super().close()
        self.end_signer()
        self.others.db.close()
        for db in self.moved:
            if db.dialect != "sqlite":  # the next walk is on the same
                open_again(db)

    # ------------------------------------------------------------------ the log

    def _note(self, what: str, again: Callable[[], object], **how: bool) -> None:
        if not self.redoing:
            self.notes.append(Note(what, again, **how))

    def bring_trades(self, text: str) -> int:
        new = super().bring_trades(text)
        self._note("trades", lambda: self.bring_trades(text), is_of_trades=True)
        return new

    def bring_readings(self, rows: list[tuple[str, str]], source: str = "scada") -> None:
        super().bring_readings(rows, source)
        self._note("readings", lambda: self.bring_readings(rows, source))

    def plan_period(self, start_day: date, end_day: date, project: str = PROJECT) -> list[str]:
        keys = super().plan_period(start_day, end_day, project)
        self.issued_keys.update(keys)
        again = partial(self._issue_again, (start_day, end_day, project), keys)
        self._note(f"issue {start_day}", again, is_of_issuing=True)
        return keys

    def correct_so(self, cancels: bool) -> int:
        """Correct by what came late, or by the factor of now as well."""
        by_factor = self.versions > 1 and self.chance.random() < 0.5
        factor = ("cm", str(self.versions)) if by_factor else None
        project = self.chance.choice((PROJECT, PROJECT, OTHER))
        known = {row.id for row in self._rows(Correction)}

        def do() -> None:
            chain = self.park.chain if cancels else None
            correct(self.park.db, project, factor=factor, chain=chain)

        self.command("reductions correct", do)
        with self.park.db.read() as session:
            every = corrections_of(session, project)
        found = [item for item in every if item.number not in known]
        for period in sorted({(item.from_date, item.to_date) for item in found}):
            again = partial(self._correct_again, project, period, factor, cancels=cancels)
            self._note(f"correct {period[0]}", again)
        return len(found)

    def lower_factor(self) -> str:
        """The site file has a lower version of the factor, by which is issued from then on."""
        if self.versions >= VERSIONS_MAX:
            raise Nothing
        self.versions += 1
        self._apply(self.versions, self.accounts, self.place, self.purses)
        return f"version {self.versions}"

    def change_account(self) -> str:
        """The plants have other accounts in the site file: what is pending, and in no batch, goes to those."""
        accounts = self.chance.choice([each for each in ACCOUNTS if each != self.accounts])
        self._apply(self.versions, accounts, self.place, self.purses)
        return f"{self.accounts}"

    def apply_place(self, place: str) -> None:
        self._apply(self.versions, self.accounts, place, self.purses)

    def apply_purses(self, purses: tuple[int, int]) -> None:
        self._apply(self.versions, self.accounts, self.place, purses)

    def _apply(
        self, versions: int, accounts: tuple[int, int], place: str, purses: tuple[int, int]
    ) -> None:
        tables = "".join(REVISED.format(number, 50 - number) for number in range(2, versions + 1))
        site = site_with(place).replace("\n[project]", f"{tables}\n[project]")
        if versions > 1:
            site = site.replace('factor = "cm"', f'factor = "cm"\nfactor_version = "{versions}"')
        first, second = accounts
        trading = TRADING.replace("anvil:4", f"anvil:{first}")
        trading = trading.replace("anvil:6", f"anvil:{purses[0]}")
        trading += MORE.replace("anvil:2", f"anvil:{second}")
        trading += SECOND_MARKET.replace("anvil:7", f"anvil:{purses[1]}")
        self.command("site apply", lambda: apply_park(self.park.db, site, trading))
        self.accounts, self.plant, self.place = accounts, anvil_address(first), place
        self.purses = purses
        for market, purse in zip((DAY_AHEAD, INTRADAY), purses, strict=True):
            self.had_by_market[market].add(anvil_address(purse))
        for row in self._rows(VppDefinition):
            self.had.setdefault(row.id, set()).add(
                anvil_address(accounts[PLANTS.index(row.vpp_id)])
            )
        self._note("site", lambda: self._apply(versions, accounts, place, purses))

    def withdraw_planned(self, key: str) -> bool:
        self._note("withdraw", lambda: self.withdraw_planned(key), by_hand=True)
        return super().withdraw_planned(key)

    def take_out(self) -> str:
        row = self._some(self._pending())
        cancel = partial(cancel_trade, number=row.id, reason=A_REASON)
        self.command("trades cancel", lambda: self.park.db.run(cancel))
        moment = row.trade_time
        self.taken.add(moment)
        self._note("take out", lambda: self._cancel_again(moment), by_hand=True)
        return f"{row.id}"

    def _taken_out(self) -> set[int]:
        """Its number may be another one by now."""
        rows = self._rows(VppTradingRecord)
        return {row.id for row in rows if row.trade_time in self.taken}

    # ------------------------------------------------------------------ readings and credits

    def withdraw_readings(self) -> str:
        """Take back the values of some slots of a day."""
        return self._of_readings("withdraw", take_back)

    def restore_readings(self) -> str:
        return self._of_readings("restore", give_back)

    def _of_readings(self, name: str, act: Callable[..., Any]) -> str:
        day = self.chance.randrange(self.days)
        midnight = datetime.combine(self._day(day), datetime.min.time(), PARIS).astimezone(UTC)
        start = midnight + timedelta(minutes=10 * self.chance.randrange(144))
        which = Which(from_s=int(start.timestamp()), to_s=int(start.timestamp()) + 600)
        if self.chance.random() < 0.3:
            start_s = int(midnight.timestamp())
            which = Which(from_s=start_s, to_s=start_s + 86_400)

        def do() -> Any:
            return self.park.db.run(lambda session: act(session, "park", device, which, A_REASON))

        device = self.chance.choice(("A", "A", "B"))
        done = self.command(f"{name} readings", do)
        self._note(f"{name} readings", do)
        return f"{done.readings if done else 'those'} of {device} on day {day}"

    def _status(self, batch_id: int) -> int:
        return int(self.node.ask(CREDIT, "statusOf", [batch_id]), 16)

    def invalidate(self) -> str:
        """A batch of the project is found to be worth nothing, and is on chain: no fork has taken it back."""
        self.park.mirror.run_until("head")
        row = self._some(
            self._rows(
                CreditBatch, CreditBatch.expires_at_s == 0, CreditBatch.batch_id != self.batch
            )
        )
        if self.is_paused(CREDIT) or row.status is not BatchStatus.ACTIVE:
            raise Nothing
        acts.invalidate(self.node, row.batch_id)
        return f"{row.batch_id}"

    def issue_expiring(self) -> str:
        """Another issuer has credits that expire, soon or at the end of all windows."""
        issuer = class_role("ISSUER_ROLE", 1)
        if self.is_paused(CREDIT) or not self._has(CREDIT, issuer, "issuer"):
            raise Nothing
        head = self.node.client.block("latest")
        assert head is not None
        expires_at = head.timestamp + self.chance.choice((600, 3600, 7200))
        day = 2 + len(self.expiring)
        self.expiring.append(self.node.issue(100, day, expires_at=expires_at))
        return f"{self.expiring[-1]}"

    def expire(self) -> str:
        """The job that records what has expired."""
        return self._sent(record_expired(self.park.chain))

    def ask_by_name(self) -> str:
        """A holder acts under a name of its own."""
        those = CreditHolding.holder.in_((OWNER, BUYER))
        row = self._some(self._rows(CreditHolding, those))
        kg = self.chance.randint(1, row.amount_kg)
        act = self.chance.choice((Act.TRANSFER, Act.RETIRE, Act.CANCEL))
        to = BUYER if row.holder == OWNER else OWNER
        asked = Named(f"act {len(self.named)}", act, row.batch_id, kg, row.holder, to)
        self.named[asked.key] = asked
        return self._ask(asked)

    def ask_again(self) -> str:
        """The same command is given once more."""
        if not self.named:
            raise Nothing
        return self._ask(self.named[self.chance.choice(sorted(self.named))])

    def _ask(self, asked: Named) -> str:
        chain = self.park.chain

        def work(session: Any) -> str:
            batch = session.get(CreditBatch, asked.batch_id)
            if batch is None:  # a fork has taken it back
                raise Nothing
            text = (
                f"{session.get_one(CreditSite, batch.site_id).code}-{batch.vintage}-{batch.ordinal}"
            )
            held = holding_of(session, chain, text, asked.kg, asked.holder, asked.act, asked.key)
            if asked.act is Act.TRANSFER:
                return plan_call(session, chain, transfer_call(chain, held, asked.to))
            if asked.act is Act.RETIRE:
                details = details_of(asked.key, asked.key)
                return plan_call(session, chain, retirement_call(chain, held, details))
            return plan_call(session, chain, cancel_call(chain, held, asked.key))

        key = self.keys[asked.key] = self.park.db.run(work)
        what = f"{asked.key}, {asked.act.value} {asked.kg} kg of {asked.batch_id}"
        try:
            chain.sender.submit(key, CREDIT)
        except AlreadyOnChain:
            adopt_now(self.park.db, chain.deployment.chain_id, key)
            return f"{what}: done already"
        return what

    def quarrel(self) -> str:
        """A batch is proposed and disputed, and as a rule the arbiter rejects that: each by a process that may die."""
        self.trade()
        plan_round(self.park.chain, Scope(way=Way.PROPOSED))
        said = []
        for name in ("submit", "dispute", "reject"):
            self.park.mirror.run_until("head")
            if name != "reject" or self.chance.random() < QUARRELS_ENDED:
                for _ in range(2):  # who died asks again, at once
                    said += [name] * self._do(name, getattr(self, name))
        return ", ".join(said)

    def lose_patience(self) -> str:
        """What lacks funds fails at once, and is tried again."""
        settling = replace(self.park.chain.settling, debtor_hours=0)
        made = plan_round(replace(self.park.chain, settling=settling), Scope())
        if not made.failed:
            raise Nothing
        self._do("retry", self.retry)
        return f"{made.failed}"

    # ------------------------------------------------------------------ other books

    def _begin(self) -> None:
        for role in (OPERATOR_ROLE, MEMBER_ROLE):
            self.node.act("admin", SETTLEMENT, "grantRole", [role, PARTIES[beside.OPERATOR]])
        for party in (beside.PLANT, beside.MARKET):
            self.node.deposit(party, beside.PAID_IN)
        self.others = beside.open_beside(
            self.node, self.on.template, self.on.folder, self.policy, FINALITY
        )
        self._apply(self.versions, self.accounts, self.place, self.purses)
        super()._begin()
        self.let_signer(ail=True)

    def heal_credits(self) -> None:
        super().heal_credits()
        self.heal_signing()

    def others_trade(self) -> str:
        """Another installation has trades as well, under numbers that these books may have given, too."""
        found = beside.trade(self.others, self.chance, self.others_hour)
        self.others_hour += found
        return f"{found}"

    def others_work(self) -> str:
        """Their jobs run once, in processes of their own: one of these may have died the last time."""
        self.others = beside.opened(self.others, FINALITY)
        return f"{beside.work(self.others)}"

    def _heal(self) -> None:
        self.let_signer(ail=False)
        super()._heal()

    def differences(self) -> list[str]:
        """What a person or a job does about a difference, as it says, is done, and is not one any more.

        A number that others were faster with is told until the next planning gives the trade another. An issuance that
        the books forgot while it waited in the pool is told when it is mined, long after all else was done again.
        """
        found = super().differences()
        if any(", the chain says " in each for each in found):
            self._do("plan_as_a_job", self.plan_as_a_job)
            found = super().differences()
        if any("issuing that period takes it over" in each for each in found):
            self._redo([note for note in self.notes if note.is_of_issuing])
            found = super().differences()
        return found

    def look(self) -> None:
        super().look()
        self.others.mirror.run_until("head")
        found = differences_of(self.others, RULES_OF_MONEY)
        if any(", the chain says " in each for each in found):
            beside.work(self.others)
            found = differences_of(self.others, RULES_OF_MONEY)
        found = [each for each in found if not each.endswith("the next settlement takes it over")]
        if found:
            raise Differs(f"the other books: {'; '.join(found)}")

    def _left(self) -> list[str]:
        expiring = self._rows(
            CreditBatch, CreditBatch.expires_at_s > 0, CreditBatch.status != BatchStatus.EXPIRED
        )
        return [
            *super()._left(),
            *beside.left_of(self.others),
            *(f"batch {row.batch_id} is {row.status.value}" for row in expiring),
        ]

    def _judge_money(self) -> None:
        super()._judge_money()
        self.judge_payments()
        self.judge_pool()
        self.judge_signing()
        self.judge_meters()
        self.judge_markets()
        if self.fee_bps:
            return
        parties = [PARTIES[beside.PLANT], PARTIES[beside.MARKET]]
        found = self.others.chain.settlement.balances_of(parties)
        owed = beside.owed_to_plant(self.others)
        wanted = [beside.PAID_IN + owed, beside.PAID_IN - owed]
        if found != wanted:
            raise Differs(f"the other books: the escrow has {found}, it should be {wanted}")

    # ------------------------------------------------------------------ keeping

    def save(self) -> None:
        """Take a backup."""
        db = self.park.db
        self.saved = db, self.back_up(db), len(self.notes)

    def put_back(self) -> str:
        """Restore the backup, and do what docs/backup.md says."""
        if self.saved is None:
            raise Nothing
        self.let_signer(ail=False)
        try:
            return self._restored(*self.saved)
        finally:
            self.let_signer(ail=True)

    def _restored(self, db: Database, restore: Restore, place: int) -> str:
        known = {row.batch_key for row in self._rows(VppSettlementBatch)}
        self.park.db.close()
        restore()
        self.open(db)
        with db.read() as session:
            assert not check(session).problems
        self.park.mirror.run_until("head")
        said = self.park.differences()
        self._are_named(known, "\n".join(said))
        self.look_into_pool()
        notes = self.notes[place:]
        self.redoing = True
        try:
            self._redo(notes)
        finally:
            self.redoing = False
        self.log.append(f"restored: {len(notes)} notes, {len(said)} differences")
        ticks = self._settle_in()
        return f"{len(notes)} notes, {len(said)} differences, {ticks} ticks"

    def _are_named(self, known: set[str], said: str) -> None:
        """What the chain has and the books have forgotten is named."""
        issued = {row.key for row in self._rows(Issuance)}
        ours = {row.batch_key for row in self._rows(VppSettlementBatch)}
        there = (SettlementStatus.PROPOSED, SettlementStatus.DISPUTED, SettlementStatus.FINALIZED)
        batches = self._rows(SettlementBatch, SettlementBatch.status.in_(there))
        # One that was signed needs no row: its trades are executed where they are. One the trades of which stand in a
        # batch that is planned here waits for that to make room. One that a stranger sent is known by its trades alone.
        planned = {row.trade_id for row in self._rows(VppSettlementItem)}
        trades = {row.id for row in self._rows(VppTradingRecord)}
        lost = [
            row.key
            for row in batches
            if row.key in known - ours
            and row.cosigned_digest is None
            and planned.isdisjoint(numbers := self._numbers_of(row))
            and (trades.issuperset(numbers) or self._sender_of(row) != PARTIES[STRANGER])
        ]
        lost += [row.key for row in self._rows(CreditBatch) if row.key in self.issued_keys - issued]
        if silent := [key for key in lost if key not in said]:
            raise Differs(f"restored, and not a word of {silent}: {said}")

    def _sender_of(self, batch: SettlementBatch) -> str:
        with self.park.db.read() as session:
            event = session.get_one(ChainEvent, (batch.block_number, batch.log_index))
            query = select(ChainInclusion.sender).where(ChainInclusion.tx_hash == event.tx_hash)
            return session.execute(query).scalar_one()

    def _numbers_of(self, batch: SettlementBatch) -> list[int]:
        return [trade_of(batch.accounts, word).seq for word in self._words_of(batch)]

    def _redo(self, notes: list[Note]) -> None:
        """Do again what the log has: trades in any order, readings in theirs, and last what is done by hand."""
        trades = [note for note in notes if note.is_of_trades]
        self.chance.shuffle(trades)
        readings = [note for note in notes if not (note.is_of_trades or note.by_hand)]
        by_hand = [note for note in notes if note.by_hand]
        first, second = self.chance.sample((trades, readings), 2)
        for note in (*first, *second, *by_hand):
            try:
                note.again()
            except TruetonneError as error:
                self.log.append(f"  {note.what} again: {error.code}: {error.message[:300]}")

    def _issue_again(self, what: tuple[date, date, str], keys: list[str]) -> None:
        """Give a command again that issued what the chain has; what never came there is planned anew later."""
        known = {row.key for row in self._rows(Issuance)}
        there = {row.key for row in self._rows(CreditBatch)} - known
        if not there & set(keys):
            return
        found = super().plan_period(*what)
        if found != keys:
            raise Differs(f"{what} comes to {found}, the chain has {keys}")
        submit_issuances(self.park.chain, what[-1])

    def _correct_again(
        self,
        project: str,
        period: tuple[date, date],
        factor: tuple[str, str] | None,
        *,
        cancels: bool,
    ) -> None:
        """Correct a period as it was then; a refusal may say that it was done in the other way."""
        for cancelled in (cancels, not cancels):
            chain = self.park.chain if cancelled else None
            try:
                correct(self.park.db, project, period=period, factor=factor, chain=chain)
            except Refused as refusal:
                if refusal.code not in ("forgotten-correction", "forgotten-issuance"):
                    raise
                said = refusal
            else:
                return
        raise said

    def _cancel_again(self, moment: datetime) -> None:
        for row in self._rows(VppTradingRecord, VppTradingRecord.trade_time == moment):
            cancel = partial(cancel_trade, number=row.id, reason=A_REASON)
            try:
                self.park.db.run(cancel)
            except Refused as error:
                if error.code == "trade-settled":  # the books did not know that before
                    self.taken.discard(moment)
                if error.code != "trade-in-batch" or not self._withdraw_with(row.id):
                    raise
                self.park.db.run(cancel)

    def _withdraw_with(self, number: int) -> bool:
        """Cancel the batch that a trade waits in, as the refusal says: it had ended when the trade was taken out."""
        held = VppSettlementItem.trade_id == number
        batches = [row.batch_id for row in self._rows(VppSettlementItem, held)]
        planned = VppSettlementBatch.state == BatchState.PLANNED
        found = self._rows(VppSettlementBatch, VppSettlementBatch.id.in_(batches), planned)
        return any([self.withdraw_planned(row.batch_key) for row in found])

    def _settle_in(self) -> int:
        """Let the jobs run until books and chain agree; return how many ticks that took."""
        found: list[str] = []
        for tick in range(SETTLES_IN):
            for name in ("tend", "plan_as_a_job", "submit", "send_cancellations"):
                self._do(name, getattr(self, name))
            self.look_into_pool()
            if tick >= 2:
                self.node.mine(FINALITY + 1)
            self.park.mirror.run_until("head")
            found = self.differences()
            if not found:
                self.look()
                return tick + 1
        raise Differs(f"restored, and after {SETTLES_IN} ticks: {'; '.join(found)}")

    def mirror_anew(self) -> str:
        """Build the mirrored tables anew: nothing changes, as nobody altered them."""
        self.park.mirror.run_until("head")
        changes = reindex(self.park.db, self.node.client, self.node.deployment, FINALITY)
        return f"{changes}"

    def move_house(self) -> str:
        """Copy the books to the other kind of database, and go on there."""
        old = self.park.db
        if old.dialect == "sqlite" and self.on.mariadb is not None and self.store == "mysql":
            new = self.on.mariadb()
            new.upgrade()
        else:
            file = self.on.folder / f"walk.db.{next(self.places)}"
            shutil.copyfile(self.on.template, file)
            new = Database(f"sqlite:///{file}")

        def copy() -> int:
            require_new(new)
            return sum(item.rows for item in copy_books(old, new, lambda item: None, close=True))

        rows = self.command("db copy", copy)
        old.close()
        self.moved.append(old)
        self.open(new)
        return f"to {new.dialect}, {rows or 'all'} rows"

    def judge_credits(self) -> None:
        """What has a name was done once at most, and what has expired is recorded."""
        super().judge_credits()
        for row in self._rows(CreditBatch, CreditBatch.expires_at_s > 0):
            if self._status(row.batch_id) != EXPIRED:
                raise Differs(f"batch {row.batch_id} has expired, and the contract does not say so")
        done = Counter(row.beneficiary for row in self._rows(CreditRetirement))
        done.update(row.reason for row in self._rows(CreditCancellation))
        names = {key: name for name, key in self.keys.items()}
        for row in self._rows(
            BlockchainTransaction,
            BlockchainTransaction.function_name == "safeTransferFrom",
            BlockchainTransaction.status == TransactionStatus.CONFIRMED,
        ):
            done[names.get((row.parameters or {}).get("data", ""), "")] += 1
        if twice := [name for name in self.named if done[name] > 1]:
            raise Differs(f"done more than once: {twice}")


KEPT_ACTS = {
    "save": 8,
    "put_back": 24,
    "mirror_anew": 3,
    "move_house": 2,
    "withdraw_readings": 6,
    "restore_readings": 4,
    "ask_by_name": 6,
    "ask_again": 6,
    "pay": 8,
    "pay_once_more": 3,
    "move_meter": 7,
    "read_second": 10,
    "issue_other": 8,
    "refuse_to_sign": 4,
    "let_run_out": 5,
    "write_order": 6,
    "read_order": 16,
    "lower_factor": 4,
    "change_account": 5,
    "change_purse": 5,
    "plan_market": 4,
    "issue_expiring": 3,
    "expire": 5,
    "invalidate": 1,
    "wait_in_pool": 20,
    "use_wallet": 4,
    "displace": 6,
    "quarrel": 8,
    "lose_patience": 8,
    "others_trade": 8,
    "others_work": 12,
}
"""What happens beside the acts of other walks, and how often."""
