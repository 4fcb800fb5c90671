"""What a walk of the books does to credits: readings come, also late ones, and are issued, corrected, moved, retired.

Beside it roles are taken and given back, the credits are paused, and the chain may mine the one and the other in
place of what it has taken back: then what was on its way fails, for good where that becomes final.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from eth_utils.crypto import keccak
from sqlalchemy import select

from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.corrections import correct
from ledger.corrections import submit_planned as submit_cancellations
from ledger.errors import Refused
from ledger.holdings import Holding, details_of, plan_cancellation, plan_retirement, plan_transfer
from ledger.issuance import plan_issuance
from ledger.issuance import submit_planned as submit_issuances
from ledger.models import ChainCursor, ChainIntent, CreditBatch, CreditHolding, Issuance
from ledger.models.issuance import LIVE, IssuanceState
from ledger.models.sending import IntentState
from ledger.readings import import_file
from ledger.registration import register_project, register_site
from tests.support.chain import MEMBER_ROLE, OPERATOR_ROLE, PARTIES, TestChain, class_role
from tests.support.park import PARIS, PROJECT, Park
from tests.support.plant import write_csv

FIRST_DAY = date(2014, 3, 1)
OWNER, BUYER = PARTIES["owner"], PARTIES["buyer"]
POWERS_KW = ("60", "60.001", "37.5", "1.25", "99.9")
ROLES = (
    (CREDIT, class_role("ISSUER_ROLE", 1), "issuer"),
    (SETTLEMENT, OPERATOR_ROLE, "operator"),
    (SETTLEMENT, MEMBER_ROLE, "operator"),
)
RULES_OF_CREDITS = ("holdings", "issuances", "evidence", "corrections")


class Differs(AssertionError):
    """Books and chain do not agree, or something does not come to an end."""


class Nothing(Exception):
    """There is nothing to act on."""


class CreditWalk:
    """The half of a walk that is about credits."""

    chance: random.Random
    node: TestChain
    park: Park
    days = 0
    """How many days have readings, from the first one on."""

    # ------------------------------------------------------------------ what is there

    def _rows(self, table: Any, *those: Any) -> list[Any]:
        with self.park.db.read() as session:
            return list(session.scalars(select(table).where(*those)))

    def _some(self, rows: list[Any]) -> Any:
        if not rows:
            raise Nothing
        return self.chance.choice(rows)

    def _final(self) -> int:
        (cursor,) = self._rows(ChainCursor)
        return int(cursor.final_number)

    def _asked(self, contract: str, signature: str, argument: str, block: int) -> int:
        """Ask a contract for a number, as of a block, by a call that is written here."""
        data = "0x" + keccak(text=signature)[:4].hex() + argument.removeprefix("0x").zfill(64)
        call = {"to": self.node.deployment.contracts[contract].address, "data": data}
        return int(self.node.client.request("eth_call", [call, hex(block)]), 16)

    @staticmethod
    def _sent(sent: list[str]) -> str:
        if not sent:
            raise Nothing
        return f"{len(sent)} sent"

    # ------------------------------------------------------------------ readings and issuances

    def begin_credits(self) -> None:
        """Register the project, and have readings of some days, the first of which is issued."""
        self.register(PROJECT)
        for _ in range(3):
            self.read()
        self.plan_period(self._day(0), self._day(1))
        submit_issuances(self.park.chain)

    def register(self, project: str) -> None:
        """Register a project and its site on chain."""
        register_project(self.park.chain, project)
        self.park.mirror.run_until("head")
        register_site(self.park.chain, project)
        self.park.mirror.run_until("head")

    def read(self) -> str:
        """A day's readings come."""
        power = self.chance.choice(POWERS_KW)
        self._import(self.days, [(slot, power) for slot in range(144)])
        self.days += 1
        return f"day {self.days - 1} of {power} kW"

    def read_late(self) -> str:
        """Other values come for some slots of a day, whether it is issued or not."""
        day = self.chance.randrange(self.days)
        slots = self.chance.sample(range(144), self.chance.randint(1, 5))
        self._import(day, [(slot, self.chance.choice(POWERS_KW)) for slot in sorted(slots)])
        return f"{len(slots)} of day {day}"

    def _import(self, day: int, values: list[tuple[int, str]], source: str = "scada") -> None:
        midnight = datetime.combine(self._day(day), datetime.min.time(), PARIS).astimezone(UTC)
        rows = [((midnight + timedelta(minutes=10 * slot)).isoformat(), kw) for slot, kw in values]
        self.bring_readings(rows, source)

    def bring_readings(self, rows: list[tuple[str, str]], source: str = "scada") -> None:
        """Import a file of readings: their times and values."""
        file = write_csv(self.park.folder / "readings.csv", rows)
        assert import_file(self.park.db, "park", source, file).rejected == 0

    @staticmethod
    def _day(number: int) -> date:
        return FIRST_DAY + timedelta(days=number)

    def issue(self) -> str:
        """Plan the first day that no live issuance has; now and then a later one, which skips it."""
        first = self._first_free()
        if self.chance.random() < 0.1:
            first += 1
        if first >= self.days:
            raise Nothing
        end = first + self.chance.choice((1, 1, 2))
        start_day, end_day = self._day(first), self._day(min(end, self.days))
        self.plan_period(start_day, end_day)
        return f"{start_day} to {end_day}"

    def plan_period(self, start_day: date, end_day: date, project: str = PROJECT) -> list[str]:
        """Plan a period; return the keys of its issuances."""
        made = plan_issuance(self.park.chain, project, start_day, end_day)
        return [item.call.key for item in made]

    def _first_free(self) -> int:
        ends = [row.to_date for row in self._rows(Issuance, Issuance.state.in_(LIVE))]
        return (max(ends) - FIRST_DAY).days if ends else 0

    def send_issuances(self) -> str:
        return self._sent(submit_issuances(self.park.chain, PROJECT))

    def correct(self) -> str:
        cancels = self.chance.random() < 0.5
        found = self.correct_so(cancels)
        if not found:
            raise Nothing
        return f"{found}, {'cancelled' if cancels else 'carried'}"

    def correct_so(self, cancels: bool) -> int:
        """Correct what is issued, and cancel what it owes or carry it; return how many corrections are new."""
        chain = self.park.chain if cancels else None
        return len(correct(self.park.db, PROJECT, chain=chain).found)

    def send_cancellations(self) -> str:
        return self._sent(submit_cancellations(self.park.chain))

    def move(self) -> str:
        """The owner or the buyer gives away, retires or cancels some of its credits."""
        those = CreditHolding.holder.in_((OWNER, BUYER))
        row = self._some(self._rows(CreditHolding, those))
        holding = Holding(row.batch_id, row.holder, self.chance.randint(1, row.amount_kg))
        chain = self.park.chain
        kind = self.chance.choice(("transfer", "retire", "cancel"))

        def work(session: Any) -> str:
            if kind == "transfer":
                to = BUYER if row.holder == OWNER else OWNER
                return plan_transfer(session, chain, holding, to)
            if kind == "retire":
                return plan_retirement(session, chain, holding, details_of("a walk", "a walk"))
            return plan_cancellation(session, chain, holding, "a walk")

        key = self.park.db.run(work)
        chain.sender.submit(key, CREDIT)
        return f"{kind} {holding.amount_kg} kg of {row.batch_id}"

    def send_asked(self) -> str:
        """Give a command again that had planned an act and could not send it then."""
        kinds = ChainIntent.kind.in_(("transfer", "retire", "cancel"))
        rows = self._rows(ChainIntent, ChainIntent.state == IntentState.PLANNED, kinds)
        for row in rows:
            try:
                self.park.chain.sender.submit(row.key, CREDIT)
            except Refused:  # and has failed by that
                continue
        return self._sent([row.key for row in rows])

    # ------------------------------------------------------------------ those who hinder

    def _has(self, contract: str, role: bytes, party: str) -> bool:
        return int(self.node.ask(contract, "hasRole", [role, PARTIES[party]]), 16) == 1

    def role(self) -> str:
        """Take a role from an account of ours, or give it back."""
        contract, role, party = self.chance.choice(ROLES)
        name = "revokeRole" if self._has(contract, role, party) else "grantRole"
        self.node.act("admin", contract, name, [role, PARTIES[party]])
        return f"{name} {party}"

    def pause_credits(self) -> str:
        return self.turn(CREDIT)

    def turn(self, contract: str) -> str:
        """Pause a contract, or have it go on."""
        party, name = ("admin", "unpause") if self.is_paused(contract) else ("pauser", "pause")
        self.node.act(party, contract, name, [])
        return name

    def is_paused(self, contract: str) -> bool:
        return int(self.node.ask(contract, "paused", []), 16) == 1

    def hindrance(self) -> dict[str, str]:
        """Return a transaction that may stand in a fork, before what is sent again there."""
        contract, role, party = self.chance.choice(ROLES)
        return self.chance.choice(
            (
                self.node.transaction("pauser", CREDIT, "pause", []),
                self.node.transaction("admin", contract, "revokeRole", [role, PARTIES[party]]),
            )
        )

    def heal_credits(self) -> None:
        """Give back every role, and let the credits move."""
        for contract, role, party in ROLES:
            if not self._has(contract, role, party):
                self.node.act("admin", contract, "grantRole", [role, PARTIES[party]])
        if self.is_paused(CREDIT):
            self.pause_credits()

    # ------------------------------------------------------------------ what must hold

    def credit_statuses(self) -> list[str]:
        """What is issued a final block has, by the contract's word; and no more than that is confirmed."""
        final = self._final()
        found = []
        for row in self._rows(Issuance):
            batch = self._asked(CREDIT, "batchOfKey(bytes32)", row.key, final)
            if (row.state is IssuanceState.ISSUED) != (batch != 0):
                found.append(
                    f"issuance {row.id} is {row.state.value}, and final block {final} has {batch}"
                )
        return found

    def left_of_credits(self) -> list[str]:
        """Return which issuances are not at their end."""
        rows = self._rows(Issuance, Issuance.state == IssuanceState.PLANNED)
        return [f"issuance {row.id} is planned" for row in rows]

    def issue_what_is_left(self) -> None:
        """Plan all days that are not issued; a day without a whole kilogram waits for the next."""
        first = self._first_free()
        if first < self.days:
            self.plan_period(self._day(first), self._day(self.days))

    def judge_credits(self) -> None:
        """Nothing is issued twice, and each batch of the project is one that the books issued."""
        head = self.node.height()
        batches = self._rows(CreditBatch)
        issued = self._rows(Issuance, Issuance.state == IssuanceState.ISSUED)
        ours = {row.key: row for row in issued}
        times = sorted((row.project_id, row.from_s, row.to_s) for row in issued)
        if any(
            of == project and end > begin for (of, _, end), (project, begin, _) in pairwise(times)
        ):
            raise Differs(f"two issuances have one time: {times}")
        for row in issued:
            number = self._asked(CREDIT, "batchOfKey(bytes32)", row.key, head)
            if number not in {batch.batch_id for batch in batches if batch.key == row.key}:
                raise Differs(f"issuance {row.id} is issued, and the contract has not its key")
        failed = {
            row.key: row.state
            for row in self._rows(ChainIntent, ChainIntent.kind == "issue")
            if row.state is not IntentState.CONFIRMED
        }
        if shared := ours.keys() & failed.keys():
            raise Differs(f"issued, and the intent says {[failed[key] for key in shared]}")
