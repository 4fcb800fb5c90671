"""What a walk of kept books has of a remote signer: in every third walk it has all keys, and it ails now and then.

It is a process of its own (``remote_signer``). At any signature it may refuse, hang, be gone, or sign something else
than it was asked for; the next one is asked for anew. Whoever gave the command is told. While books are restored, and
at the end, it is well.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import Any

from ledger.chain.keys.remote_signer import SignerService
from ledger.chain.keys.signers import Keyring
from ledger.chain.node.client import ChainClient
from tests.support.markets_walk import MarketsWalk
from tests.support.remote_signer import running_signer

SHARE = 1 / 3
HANGS_SECONDS = 0.25
"""So long is it waited for. It answers after five seconds then."""
MOODS = {"none": 30, "refuse": 3, "late": 2, "down": 2, "nonce=1": 1, "sender=8": 1}
"""What it does when it is asked, and how often."""


class AilingService(SignerService):
    """The signer as it is asked by the books: each time another of its doors, until it is to be well."""

    def __init__(self, url: str, seed: int, absent: Collection[str]) -> None:
        super().__init__(url)
        self._well = self._client
        self._doors = {
            mood: ChainClient(f"{url}/lie/{mood}", HANGS_SECONDS)
            for mood in MOODS
            if mood != "down"
        }
        self._doors["none"] = self._well
        self._doors["down"] = ChainClient("http://127.0.0.1:9", HANGS_SECONDS)
        self._chance = random.Random(seed)
        self._absent = absent
        self.ails = False
        self.failures = 0

    def accounts(self) -> tuple[str, ...]:
        """Return whose keys are there."""
        return tuple(each for each in super().accounts() if each not in self._absent)

    def ask(self, method: str, params: Sequence[Any]) -> Any:
        """Ask it, by whichever door."""
        mood = self._chance.choices(list(MOODS), list(MOODS.values()))[0] if self.ails else "none"
        self._client = self._doors[mood]
        self.failures += mood != "none"
        return super().ask(method, params)


class RemoteWalk(MarketsWalk):
    """The part of a walk of kept books that is about where the keys are."""

    signer_url: str | None = None
    service: AilingService | None = None
    signer_ails = False

    def begin_signer(self) -> None:
        """Start it, where this walk has one."""
        self.processes = ExitStack()
        if self.chance.random() < SHARE:
            self.signer_url = self.processes.enter_context(running_signer())

    def keyring(self, *absent: str) -> Keyring:
        """Return the keys that are here, or those of the signer."""
        if self.signer_url is None:
            return super().keyring(*absent)
        self._count()
        self.service = AilingService(self.signer_url, self.chance.randrange(10**6), absent)
        self.service.ails = self.signer_ails
        return Keyring({}, self.service)

    def let_signer(self, ail: bool) -> None:
        """Have it ail, or be well."""
        self.signer_ails = ail
        if self.service is not None:
            self.service.ails = ail

    def _count(self) -> None:
        if self.service is not None:
            self.done["times that the signer failed"] += self.service.failures
            self.service.failures = 0

    def end_signer(self) -> None:
        """End it."""
        self._count()
        self.processes.close()
