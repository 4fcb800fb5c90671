"""What a walk of kept books pays into the escrow and out of it, by commands that die amid that, and are given again.

A payment has no key, so the same command is another payment. Each has an amount of its own, by which its transfers are
found on chain, whatever the books say of it; what strangers pay is even. None may be paid more often than it was asked
for, and what restored books have forgotten is said when it is asked for once more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC

import pytest

from ledger.chain.contracts.events import CREDIT
from ledger.chain.sending import sender, twins
from ledger.models import ChainIntent
from ledger.models.sending import UNDER_WAY, IntentState
from ledger.settlement import escrow
from scripts.chaos import clock
from tests.support.chain import CURRENCY, PARTIES
from tests.support.credit_walk import Differs
from tests.support.money_walk import MoneyWalk
from tests.support.sending import Boundaries, Crash, crashing

KINDS = ("deposit", "withdraw", "deposit_credits", "withdraw_credits")
FIRST_AMOUNT = 101
LATELY_S = 3_600
"""Of what was done since then is told who asks for it once more."""
MOMENTS = 8
"""A payment that dies does so at one of the first so many."""


@dataclass(frozen=True)
class Payment:
    """A payment that somebody asks for: the kind of its intent, whose it is, and cents or kilograms, which are odd."""

    kind: str
    account: str
    amount: int


class Moments(Boundaries):
    """Before and after each commit and each sending alone: how often the node is asked is the machine's."""

    def step(self, name: str) -> None:
        if "commit" in name or "eth_sendRawTransaction" in name:
            super().step(name)


class EscrowWalk(MoneyWalk):
    """The part of a walk of kept books that is about payments."""

    payments: list[Payment]
    asked: Counter[Payment]
    """How often each was asked for; asking again for what the chain had lost with the books is no more."""

    def _note(self, what: str, again: Callable[[], object], **how: bool) -> None:
        raise NotImplementedError

    def pay(self) -> str:
        """A plant or the market pays in, or out; now and then the process dies amid that."""
        return self._pay(KINDS)

    def pay_out(self) -> str:
        """One of them pays out, which waits for no block."""
        return self._pay(tuple(kind for kind in KINDS if kind.startswith("withdraw")))

    def _pay(self, kinds: Sequence[str]) -> str:
        party = self.chance.choice(self.parties)
        amount = FIRST_AMOUNT + 2 * len(self.payments)
        payment = Payment(self.chance.choice(kinds), PARTIES[party], amount)
        at = self.chance.randrange(MOMENTS) if self.chance.random() < 0.4 else None
        if payment.kind == "deposit":
            self.node.act(party, CURRENCY, "mint", [payment.account, amount])
        self.park.mirror.run_until("head")
        self.payments.append(payment)
        self._note("pay", lambda: self._pay_again(payment), by_hand=True)
        return self._ask_for(payment, at)

    def pay_once_more(self) -> str:
        """The same is asked for a second time, and that is said."""
        payment = self._some(self.payments)
        self.park.mirror.run_until("head")
        return self._ask_for(payment)

    def _ask_for(self, payment: Payment, at: int | None = None, again: bool = False) -> str:
        """Give the command; return what came of it.

        Parameters
        ----------
        at
            At which moment its process dies; None: it does not.
        again
            Whether it is given as the chain has lost it with the books: then it is no second payment.
        """
        known = self._paid_lately(payment)
        if not again:
            self.asked[payment] += 1
        moments = Moments(at)
        name = f"{payment.kind} of {payment.amount} by {payment.account[:10]}"
        try:
            with pytest.MonkeyPatch.context() as patch, crashing(patch, moments):
                patch.setattr(sender, "_INCLUSION_SECONDS_MAX", 2.0)
                key = self._command(payment)
        except sender.AlreadyOnChain as error:
            raise Differs(f"{name}: it is not the one that was done before") from error
        except Crash:
            self.done["pay and die"] += 1
            self.open(self.park.db)
            return f"{name} died {moments.crashed_at}"
        with self.park.db.read() as session:
            own = session.get_one(ChainIntent, key)
            said = twins.twin_of(session, own) or twins.twin_on_chain(session, own)
        if known and said is None:
            raise Differs(f"{name}: done before, and nothing is said of that")
        return f"{name}{' on top of another' if said else ''}"

    def _command(self, payment: Payment) -> str:
        """Do what ``settle deposit`` and ``settle withdraw`` do; return the key of the intent."""
        chain, account, amount = self.park.chain, payment.account, payment.amount
        match payment.kind:
            case "deposit":
                return escrow.deposit(chain, account, account, amount)[-1]
            case "withdraw":
                return escrow.withdraw(chain, account, account, amount)
            case "deposit_credits":
                return escrow.deposit_credits(chain, account, self.batch, amount)
            case _:
                return escrow.withdraw_credits(chain, account, account, self.batch, amount)

    def _pay_again(self, payment: Payment) -> None:
        """Ask for a payment again that left nothing on chain, after a restore: what the chain has is not paid again."""
        if self._transfers()[payment]:
            self.done["payments that the chain had kept"] += 1
            return
        self.done["payments asked again"] += 1
        self.log.append(f"  {self._ask_for(payment, again=True)}")

    def _intents_of(self, payment: Payment) -> list[ChainIntent]:
        rows = self._rows(
            ChainIntent,
            ChainIntent.kind == payment.kind,
            ChainIntent.sender_address == payment.account,
        )
        return [row for row in rows if payment.amount in map(_number, row.parameters.values())]

    def _paid_lately(self, payment: Payment) -> bool:
        """Return whether the books have such a payment on its way, or they or the mirror one of the last hour.

        What the books know is as old as this machine's clock says, which may have been set since; what they have lost
        is as old as the chain's clock says.
        """
        rows, now = self._intents_of(payment), clock.Wrong.now(UTC)
        done = [row for row in rows if row.state is IntentState.CONFIRMED]
        lost = self._transfers(self.now_s() - LATELY_S)[payment] - len(done)
        is_known = any((now - row.created_at).total_seconds() < LATELY_S for row in done)
        return lost > 0 or is_known or any(row.state in UNDER_WAY for row in rows)

    def _transfers(self, since_s: int = 0) -> Counter[Payment]:
        """Count what the chain has moved into the escrow and out of it since then, by the two tokens' own events."""
        found: Counter[Payment] = Counter()
        for token, names in ((CURRENCY, KINDS[:2]), (CREDIT, KINDS[2:])):
            for account, units in self.escrow_transfers(token, since_s):
                found[Payment(names[units < 0], account, abs(units))] += 1
        return found

    def judge_payments(self) -> None:
        """Nothing was paid more often than it was asked for; and what the books say is done, is."""
        paid = self._transfers()
        for payment in self.payments:
            rows = self._intents_of(payment)
            confirmed = sum(row.state is IntentState.CONFIRMED for row in rows)
            if not confirmed <= paid[payment] <= self.asked[payment]:
                raise Differs(
                    f"{payment}: asked for {self.asked[payment]} times, paid {paid[payment]} times, "
                    f"{confirmed} of which the books know"
                )
        if strange := [each for each in paid if each.amount % 2 and each not in self.asked]:
            raise Differs(f"paid, and nobody asked for it: {strange}")


def _number(value: object) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() else None
