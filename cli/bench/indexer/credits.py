"""What members and officers do with credits in the benchmark's story."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from cli.bench.indexer.acts import Act, Holdings, World
from cli.bench.park import PARTY
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.keys.signers import ANVIL_ROLES, anvil_signer
from ledger.units import DAY_S

SITES = 30
FIRST_PERIOD_S = 1_388_534_400  # 2014-01-01
PERIOD_DAYS = 7
BUFFER_BPS = 500
SUSPENDED_BLOCKS = 8
FOREVER_S = 2**40
BENEFICIARIES = ("Muster GmbH, Berlin", "Kindergarten Süd", "绿色园区 B2", "Acme S.A., Lyon")
REASONS = ("electricity of 2024, Scope 2", "business travel", "", "own fleet, third quarter")
Retirement = tuple[str, str, bytes, int, int, bytes]


class Credits:
    """Issuance, transfer, retirement, cancellation, suspension; and into the escrow and back."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._held = Holdings()
        self._in_escrow = Holdings()
        self._ordinals: dict[int, int] = defaultdict(int)
        self._suspended: dict[int, int] = {}
        self._approved: set[tuple[str, str]] = set()
        self._verifier = anvil_signer(ANVIL_ROLES["verifier"])
        self._cap = 2**63
        self.last_issue: Sequence[Any] = ()

    # --------------------------------------------------------------- officers

    def opening(self) -> list[Act]:
        """Share of the buffer, the officer who suspends, sites."""
        registrar, officer = PARTY["registrar"], [keccak(text="SUSPENDER_ROLE"), PARTY["pauser"]]
        return [
            Act(registrar, CREDIT, "setClassBuffer", [1, BUFFER_BPS], 1),
            Act(PARTY["admin"], CREDIT, "grantRole", officer, 1),
            *(
                Act(registrar, CREDIT, "registerSite", [1, f"site-{number}"], 1)
                for number in range(2, SITES + 1)
            ),
        ]

    def issue(self, to: str | None = None, kg: int | None = None) -> Act:
        """Issue a week of a site; the buffer has its share."""
        site = sum(self._ordinals.values()) % SITES + 1
        ordinal = self._ordinals[site] = self._ordinals[site] + 1
        start = FIRST_PERIOD_S + (ordinal - 1) * PERIOD_DAYS * DAY_S
        amount = kg or self._world.dice.randrange(2_000_000, 9_000_000)
        recipient = to or self._world.member()
        name = f"{site} {ordinal}"
        claim = (
            self._world.key(),
            *(1, 1, site, amount, start, start + PERIOD_DAYS * DAY_S, 0, 0),
            keccak(text=f"root {name}"),
            amount + 1,
            keccak(text=f"manifest {name}"),
            keccak(text="m"),
            recipient,
            FOREVER_S,
        )
        signature = self._world.park.signed(CREDIT, "issue", claim, self._verifier)
        self._held.add(recipient, site << 32 | ordinal, amount - amount * BUFFER_BPS // 10_000)
        self.last_issue = [claim, PARTY["verifier"], signature]
        return Act(PARTY["issuer"], CREDIT, "issue", self.last_issue, 3)

    def last_batch(self) -> int:
        """Return the batch that was issued last."""
        site = (sum(self._ordinals.values()) - 1) % SITES + 1
        return site << 32 | self._ordinals[site]

    def suspend(self) -> Act:
        """Stop a batch for some blocks."""
        batch = self._some(self._world.member(), 1)
        if batch is None:
            return self.issue()
        self._suspended[batch] = self._world.block + SUSPENDED_BLOCKS
        return Act(PARTY["pauser"], CREDIT, "suspend", [batch], 1)

    def due(self) -> list[Act]:
        """Let the batches go on whose time has come."""
        due = [batch for batch, until in self._suspended.items() if until <= self._world.block]
        for batch in due:
            del self._suspended[batch]
        return [Act(PARTY["admin"], CREDIT, "reinstate", [batch], 1) for batch in due]

    def cap(self) -> Act:
        """Lower the cap of the class by a kilogram."""
        self._cap -= 1
        return Act(PARTY["registrar"], CREDIT, "setClassCap", [1, self._cap], 1)

    # ---------------------------------------------------------------- members

    def transfer(self) -> Act:
        """Move units of one batch to another member."""
        giver, taker = self._world.pair()
        batch, kg = self._some(giver, 1_000), self._world.dice.randrange(1, 1_000)
        if batch is None:
            return self.issue(to=giver)
        self._held.take(giver, batch, kg)
        self._held.add(taker, batch, kg)
        return Act(giver, CREDIT, "safeTransferFrom", [giver, taker, batch, kg, b""], 1)

    def transfer_batch(self) -> Act:
        """Move units of some batches to another member, in one event."""
        giver, taker = self._world.pair()
        batches = self._several(giver, 2, 4)
        if not batches:
            return self.issue(to=giver)
        amounts = [self._world.dice.randrange(1, 1_000) for _ in batches]
        for batch, kg in zip(batches, amounts, strict=True):
            self._held.take(giver, batch, kg)
            self._held.add(taker, batch, kg)
        arguments = [giver, taker, batches, amounts, b""]
        return Act(giver, CREDIT, "safeBatchTransferFrom", arguments, 1)

    def retire(self) -> Act:
        """Retire units on somebody's behalf."""
        holder = self._world.member()
        batch, kg = self._some(holder, 1_000), self._world.dice.randrange(1, 1_000)
        if batch is None:
            return self.issue(to=holder)
        self._held.take(holder, batch, kg)
        return Act(holder, CREDIT, "retire", [self._world.key(), batch, kg, self._details()], 2)

    def retire_batch(self) -> Act:
        """Retire units of several batches for one purpose."""
        holder = self._world.member()
        batches = self._several(holder, 4, 8)
        if not batches:
            return self.issue(to=holder)
        amounts = [self._world.dice.randrange(1, 1_000) for _ in batches]
        for batch, kg in zip(batches, amounts, strict=True):
            self._held.take(holder, batch, kg)
        arguments = [self._world.key(), batches, amounts, self._details()]
        return Act(holder, CREDIT, "retireBatch", arguments, 2 * len(batches))

    def cancel(self) -> Act:
        """Cancel units."""
        holder = self._world.member()
        batch, kg = self._some(holder, 100), self._world.dice.randrange(1, 100)
        if batch is None:
            return self.issue(to=holder)
        self._held.take(holder, batch, kg)
        arguments = [self._world.key(), batch, kg, "meter replaced"]
        return Act(holder, CREDIT, "cancel", arguments, 2)

    def approve(self) -> Act:
        """Let another account act for a holder, or no longer."""
        pair = self._world.pair()
        self._approved ^= {pair}
        arguments = [pair[1], pair in self._approved]
        return Act(pair[0], CREDIT, "setApprovalForAll", arguments, 1)

    # ----------------------------------------------------------------- escrow

    def give_to_all(self, batch: int, giver: str, kg: int) -> list[Act]:
        """Pay units into the escrow for every member."""
        escrow = self._world.park.places[SETTLEMENT]
        acts = []
        for member in self._world.members:
            self._held.take(giver, batch, kg)
            data = abi_encode(["address"], [member])
            acts.append(Act(giver, CREDIT, "safeTransferFrom", [giver, escrow, batch, kg, data], 2))
        return acts

    def deposit(self) -> Act:
        """Pay units into the escrow, to the holder's own balance."""
        holder, escrow = self._world.member(), self._world.park.places[SETTLEMENT]
        batch, kg = self._some(holder, 1_000), self._world.dice.randrange(1, 1_000)
        if batch is None:
            return self.issue(to=holder)
        self._held.take(holder, batch, kg)
        self._in_escrow.add(holder, batch, kg)
        return Act(holder, CREDIT, "safeTransferFrom", [holder, escrow, batch, kg, b""], 2)

    def withdraw(self) -> Act:
        """Take back what a member has of a batch in the escrow."""
        holder = self._world.member()
        free = [one for one in self._in_escrow.recent(holder) if one not in self._suspended]
        if not free:
            return self.deposit()
        batch = self._world.dice.choice(free)
        kg = self._in_escrow.of(holder, batch)
        self._in_escrow.take(holder, batch, kg)
        self._held.add(holder, batch, kg)
        return Act(holder, SETTLEMENT, "withdrawCredits", [holder, batch, kg], 2)

    # ---------------------------------------------------------------- failures

    def failure(self) -> Act:
        """Do what the contract refuses: more than one has, without a key, or twice."""
        holder = self._world.member()
        batch, details = self.last_batch(), self._details()
        return self._world.dice.choice(
            [
                _refused(holder, "retire", [self._world.key(), batch, 2**39, details]),
                _refused(holder, "retire", [bytes(32), batch, 1, details]),
                _refused(holder, "safeTransferFrom", [holder, PARTY["owner"], batch, 2**50, b""]),
                _refused(holder, "suspend", [batch]),
                _refused(PARTY["issuer"], "issue", self.last_issue),
                _refused(holder, "cancel", [self._world.key(), 2**60, 1, "unknown batch"]),
            ]
        )

    # ----------------------------------------------------------------- choices

    def _some(self, holder: str, kg: int) -> int | None:
        """Return one of a holder's recent batches that has so many units and may move."""
        free = self._free(holder, kg)
        return self._world.dice.choice(free) if free else None

    def _several(self, holder: str, least: int, most: int) -> list[int]:
        free, wanted = self._free(holder, 1_000), self._world.dice.randint(least, most)
        return self._world.dice.sample(free, wanted) if len(free) >= wanted else []

    def _free(self, holder: str, kg: int) -> list[int]:
        return [
            batch
            for batch in self._held.recent(holder)
            if self._held.of(holder, batch) >= kg and batch not in self._suspended
        ]

    def _details(self) -> Retirement:
        dice, hour = self._world.dice, FIRST_PERIOD_S + 3600 * self._world.block
        country = dice.choice((b"DE", b"FR", b"CN", bytes(2)))
        texts = dice.choice(BENEFICIARIES), dice.choice(REASONS)
        return (*texts, country, hour, hour + 3600, keccak(text=str(self._world.block)))


def _refused(sender: str, function: str, arguments: Sequence[Any]) -> Act:
    return Act(sender, CREDIT, function, arguments, 0, fails=True)
