"""Money and trades in the benchmark's story: the escrow, batches that are settled, single trades."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from cli.bench.indexer.acts import Act, World
from cli.bench.park import CURRENCY, PARTY
from ledger.chain.contracts.events import SETTLEMENT
from ledger.settlement.words import PackedBatch, Trade, pack, unpack

MONEY = 10**11
"""Cents that every member has in the escrow at the start, and as many in its purse."""
TRADES = (20, 120)
SIGNERS = 5
FOREVER_S = 2**40
CANCELLED_OF = 8
"""One proposal of so many is taken back."""
Outcome = tuple[list[str], list[int], list[int]]


@dataclass(frozen=True)
class Proposal:
    """A batch that waits for its end."""

    batch_id: int
    block: int
    outcome: Outcome
    words: tuple[int, ...]


class Trading:
    """What members and the operator do in the settlement contract.

    ``asset`` is the batch of credits that is traded beside energy; every member has plenty of it in the
    escrow.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.asset = 0
        self._seq = 0
        self._batches = 0
        self._open: deque[Proposal] = deque()
        self._purses = dict.fromkeys(world.members, MONEY)
        self._members: set[str] = set()
        self._cap = 10**15
        self._settled: Act | None = None

    # ------------------------------------------------------------------ money

    def opening(self) -> list[list[Act]]:
        """Give every member money, half of it in the escrow."""
        members, escrow = self._world.members, self._world.park.places[SETTLEMENT]
        return [
            [Act(each, CURRENCY, "mint", [each, 2 * MONEY], 0) for each in members],
            [Act(each, CURRENCY, "approve", [escrow, 2**200], 0) for each in members],
            [Act(each, SETTLEMENT, "deposit", [each, MONEY], 1) for each in members],
        ]

    def deposit(self) -> Act:
        """Pay money into the escrow."""
        member, cents = self._world.member(), self._world.dice.randrange(1, 100_000)
        self._purses[member] -= cents
        assert self._purses[member] >= 0
        return Act(member, SETTLEMENT, "deposit", [member, cents], 1)

    def withdraw(self) -> Act:
        """Take money out of the escrow."""
        member, cents = self._world.member(), self._world.dice.randrange(1, 100_000)
        self._purses[member] += cents
        return Act(member, SETTLEMENT, "withdraw", [member, cents], 1)

    # ----------------------------------------------------------------- trades

    def single(self) -> Act:
        """Settle one trade by itself, of energy or of credits."""
        asset = self._asset()
        trade = self._trade(self._world.pair())
        values = (trade.seq, trade.buyer, trade.seller, trade.quantity_milli, trade.price_e4)
        arguments = [asset, (*values, trade.cents)]
        self._settled = self._operator("settleOne", arguments, 1)
        return self._settled

    def propose(self) -> Act:
        """Propose a batch of trades, which ``due`` ends."""
        asset = self._asset()
        packed = self._packed(self._world.members, self._world.dice.randint(*TRADES))
        self._batches += 1
        proposal = Proposal(self._batches, self._world.block, _outcome(packed, asset), packed.words)
        self._open.append(proposal)
        arguments = [self._world.key(), asset, list(packed.accounts), list(packed.words)]
        return self._operator("proposeBatch", arguments, 1)

    def cosign(self) -> Act:
        """Settle a batch that its parties have signed."""
        asset = self._asset()
        signers = self._world.dice.sample(self._world.signers, SIGNERS)
        packed = self._packed([signer.address for signer in signers], 20)
        self._batches += 1
        settlement = (
            self._world.key(),
            asset,
            list(packed.accounts),
            list(packed.words),
            FOREVER_S,
        )
        of_address = {signer.address: signer for signer in signers}
        signatures = [
            self._world.park.signed(SETTLEMENT, "settleCosigned", settlement, of_address[account])
            for account in packed.accounts
        ]
        return self._operator("settleCosigned", [settlement, signatures], 3)

    def due(self) -> list[Act]:
        """End the proposals of earlier blocks, in their order; take some of them back."""
        acts = []
        while self._open and self._open[0].block < self._world.block:
            proposal = self._open.popleft()
            if proposal.batch_id % CANCELLED_OF == 0:
                words = list(proposal.words)
                arguments = [proposal.batch_id, proposal.outcome, words, "prices of another day"]
                acts.append(self._operator("cancelBatch", arguments, 1))
            else:
                arguments = [proposal.batch_id, proposal.outcome]
                acts.append(self._operator("finalizeBatch", arguments, 1))
        return acts

    # ---------------------------------------------------------------- the rest

    def role(self) -> Act:
        """Make an account a member of the market, or no longer."""
        member = self._world.member()
        self._members ^= {member}
        function = "grantRole" if member in self._members else "revokeRole"
        arguments = [keccak(text="MEMBER_ROLE"), member]
        return Act(PARTY["admin"], SETTLEMENT, function, arguments, 1)

    def cap(self) -> Act:
        """Raise the cap of a batch by a cent."""
        self._cap += 1
        return Act(PARTY["admin"], SETTLEMENT, "setCaps", [self._cap, 10**12], 1)

    def failure(self) -> Act:
        """Do what the contract refuses: overdraw, settle a trade again, end what never was."""
        member = self._world.member()
        again = self._settled
        if again is None:
            return _refused(member, "withdraw", [member, 10**20])
        return self._world.dice.choice(
            [
                _refused(member, "withdraw", [member, 10**20]),
                _refused(member, "withdrawCredits", [member, self.asset, 2**60]),
                _refused(again.sender, again.function, again.arguments),
                _refused(member, "finalizeBatch", [2**40, ([], [], [])]),
                _refused(member, "settleOne", again.arguments),
            ]
        )

    def _asset(self) -> int:
        return self.asset if self._world.dice.randrange(4) == 0 else 0

    def _packed(self, parties: Sequence[str], trades: int) -> PackedBatch:
        made = []
        for _ in range(trades):
            buyer, seller = self._world.dice.sample(parties, 2)
            made.append(self._trade((buyer, seller)))
        return pack(made)

    def _trade(self, parties: tuple[str, str]) -> Trade:
        self._seq += 1
        dice = self._world.dice
        return Trade(
            self._seq, *parties, dice.randrange(100, 5_000), dice.randrange(-9_999, 900_000)
        )

    @staticmethod
    def _operator(function: str, arguments: Sequence[Any], logs: int) -> Act:
        return Act(PARTY["operator"], SETTLEMENT, function, arguments, logs)


def _outcome(packed: PackedBatch, asset: int) -> Outcome:
    """Return what a batch comes to: cents, and kilograms when it is of credits."""
    kg = [0] * len(packed.accounts)
    for word in packed.words:
        trade = unpack(word)
        kg[trade.buyer] += trade.quantity_milli
        kg[trade.seller] -= trade.quantity_milli
    return list(packed.accounts), list(packed.nets), kg if asset else []


def _refused(sender: str, function: str, arguments: Sequence[Any]) -> Act:
    return Act(sender, SETTLEMENT, function, arguments, 0, fails=True)
