"""An act of the benchmark's story, and what everybody in it knows."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from cli.bench.park import Park
from ledger.chain.keys.signers import LocalSigner, derived_signer

SEED = 5
MEMBERS = 40
RECENT = 120
"""A member acts on one of so many batches that came to it last."""


@dataclass(frozen=True)
class Act:
    """One transaction, with what is known of it beforehand."""

    sender: str
    contract: str
    function: str
    arguments: Sequence[Any]
    logs: int
    """Events of our contracts that it leaves; none when it fails."""
    fails: bool = False


class Holdings:
    """Who has how many kilograms of which batch."""

    def __init__(self) -> None:
        self._kg: dict[tuple[str, int], int] = defaultdict(int)
        self._batches: dict[str, list[int]] = defaultdict(list)

    def add(self, holder: str, batch: int, kg: int) -> None:
        """Give units to a holder."""
        if self._kg[holder, batch] == 0:
            self._batches[holder].append(batch)
        self._kg[holder, batch] += kg

    def take(self, holder: str, batch: int, kg: int) -> None:
        """Take units from a holder, who has them."""
        left = self._kg[holder, batch] - kg
        assert left >= 0, (holder, batch, kg)
        self._kg[holder, batch] = left
        if left == 0:
            self._batches[holder].remove(batch)

    def of(self, holder: str, batch: int) -> int:
        """Return what a holder has of a batch, in kg."""
        return self._kg[holder, batch]

    def recent(self, holder: str) -> list[int]:
        """Return the batches that came to a holder last."""
        return self._batches[holder][-RECENT:]


def member_signers() -> list[LocalSigner]:
    """Return the members, by address."""
    signers = [derived_signer(f"member {number}") for number in range(MEMBERS)]
    return sorted(signers, key=lambda signer: signer.address)


@dataclass
class World:
    """Contracts, members, dice, and the number of the block that is being made."""

    park: Park
    dice: random.Random = field(default_factory=lambda: random.Random(SEED))
    signers: list[LocalSigner] = field(default_factory=member_signers)
    block: int = 0
    keys: int = 0

    @property
    def members(self) -> list[str]:
        """The members' addresses, ascending."""
        return [signer.address for signer in self.signers]

    def member(self) -> str:
        """Return one of the members."""
        return self.signers[self.dice.randrange(len(self.signers))].address

    def pair(self) -> tuple[str, str]:
        """Return two different members."""
        one, other = self.dice.sample(self.signers, 2)
        return one.address, other.address

    def key(self) -> bytes:
        """Return a key that no other act has."""
        self.keys += 1
        return keccak(text=f"key {self.keys}")
