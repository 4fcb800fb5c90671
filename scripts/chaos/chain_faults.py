"""What goes wrong on the chain: its pool, its fees, its forks, strangers with our accounts, debtors without money."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ledger.chain.node.records import Receipt
from scripts.chaos import rows
from scripts.chaos.strikes import Fault, Work
from tests.support.chain import PARTIES
from tests.support.sending import drop, steal

NAMES = {address: name for name, address in PARTIES.items()}


class _Waiting(Fault):
    """What strikes transactions while they wait in the pool."""

    def strike(self, work: Work) -> None:
        client = self.on.on.node.client
        client.request("evm_setAutomine", [False])
        self.on.still = True
        work()
        self.on.still = False
        self.strike_pool()

    def strike_pool(self) -> None:
        raise NotImplementedError

    def heal(self) -> None:
        self.on.on.node.client.request("evm_setAutomine", [True])

    def pool(self) -> int:
        """Return how many transactions wait, as the node counts them."""
        status = self.on.on.node.client.request("txpool_status")
        return int(status["pending"], 16) + int(status["queued"], 16)


class WipedPool(_Waiting):
    """A node restarts, and has forgotten what it had taken."""

    name = "mempool wiped"

    def strike_pool(self) -> None:
        for _ in range(self.chance.randint(1, 3)):
            waiting = self.pool()
            until = time.monotonic() + 60
            while self.pool():  # the node answers before it has done it
                self.on.on.node.client.request("anvil_dropAllTransactions")
                assert time.monotonic() < until, "the pool is not wiped"
            self.struck += waiting
            self.on.mine(1)
            process = self.on.process
            process.do(process.jobs()[2])


class Spike(_Waiting):
    """Gas becomes dear, beyond what we offered, at times beyond what we would offer."""

    name = "base-fee spike"

    def strike_pool(self) -> None:
        before = len(rows.in_no_block(self.on.process.park))
        gwei = self.chance.choice((30, 60, 150, 400))
        self.on.base_fee(gwei)
        # What still stands in no block, though one was mined, is stuck.
        self.struck += len(rows.in_no_block(self.on.process.park)) if before else 0
        process = self.on.process
        for _ in range(2):
            process.do(process.jobs()[2])
            self.on.mine(1)

    def heal(self) -> None:
        super().heal()
        self.on.base_fee(1)


class StolenNonce(_Waiting):
    """Somebody else has the key, and sends with the nonce that we signed with."""

    name = "nonce stolen"

    def strike_pool(self) -> None:
        waiting = rows.in_no_block(self.on.process.park)
        self.chance.shuffle(waiting)
        taken: set[str] = set()
        client = self.on.on.node.client
        for row in waiting:
            count = client.transaction_count(row.sender_address)
            if row.sender_address in taken or row.nonce != count:
                continue
            taken.add(row.sender_address)
            if client.request("eth_getTransactionByHash", [row.tx_hash]) is not None:
                drop(self.on.process.park, str(row.tx_hash))
            theft = steal(self.on.process.park, NAMES[row.sender_address], count)
            self.on.foreign.add(theft)
            self.struck += 1
            if self.chance.random() < 0.5:
                break
        self.on.mine(self.chance.randint(0, 3))
        process = self.on.process
        process.do(process.jobs()[2])


class Reorganisation(Fault):
    """The chain takes back its last blocks, with what we sent, and has others with other contents."""

    name = "reorganisation"

    def strike(self, work: Work) -> None:
        work()
        depth = self.chance.randint(1, 8)
        if self.last_chance:
            depth = 8
        if self.chance.random() < 0.3:
            self.during(work, depth)
        else:
            self.struck += self.on.reorganise(depth)
            work()

    def during(self, work: Work, depth: int) -> None:
        """Let it happen at a question to the node, in the middle of the work."""
        left = self.chance.randint(1, 40)

        def before(calls: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.struck += self.on.reorganise(depth)

        self.on.watch.before = before
        work()


class Insolvent(Fault):
    """The market takes its money out, and pays it in again later."""

    name = "insolvent debtor"

    def strike(self, work: Work) -> None:
        market, park = PARTIES["market"], self.on.process.park
        cents = self.on.direct_settlement().balances_of([market])[0]
        left = self.chance.choice((0, 1, 100))
        if cents > left:
            self._move(park.node.withdraw, left - cents)
        if self.chance.random() < 0.5:
            self.on.process.do(self.on.process.read)
        work()
        park = self.on.process.park  # another one, where the process has ended
        self.struck += rows.shortfalls(park) + rows.refused_batches(park)
        if cents > left:
            self._move(park.node.deposit, cents - left)

    def _move(self, act: Callable[[str, int], Receipt], cents: int) -> None:
        client = self.on.on.node.client
        first = client.block_number() + 1
        receipt = act("market", abs(cents))
        assert receipt.status == 1
        for _, each in self.on.transactions(first, client.block_number()):
            # Also what it takes before: money, and its approval.
            if each["from"] == PARTIES["market"]:
                self.on.foreign.add(each["hash"])
                self.on.payments[each["hash"]] = cents if each["hash"] == receipt.tx_hash else 0
        self.on.model.paid_in[PARTIES["market"]] += cents
