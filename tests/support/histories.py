"""A chain with a history: acts of the parties, blocks of nothing, reorganisations; model and record beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from tests.support.chain import PARTIES, TestChain
from tests.support.chronicle import Chronicle
from tests.support.history_acting import Act, Done, Draft
from tests.support.history_acts import Acts
from tests.support.model import Model

ForkStep = tuple[str, int, int, int, int]
"""An act of a fork, with the offset of its block from the first one."""


class History:
    """What happens to one chain.

    Parameters
    ----------
    chain
        The node and its contracts; nothing else acts on it.
    chronicle
        The record of its blocks up to now.
    """

    def __init__(self, chain: TestChain, chronicle: Chronicle) -> None:
        self.chain = chain
        self.record = chronicle
        self.base = chronicle.head
        self.acts = Acts(chain, chronicle.state_at(self.base))
        self.blocks = 0
        self.depths: list[int] = []
        """Of each reorganisation and each head that moved back."""
        self.failed = 0
        """Transactions that the contracts refused."""
        self.highest = self.base

    @property
    def head(self) -> int:
        return self.record.head

    # --------------------------------------------------------------------- acts

    def play(self, name: str, kg: int, choice: int, who: int) -> None:
        """Do an act, each of its transactions in a block of its own."""
        act: Act = getattr(self.acts, name)(kg, choice, who)
        draft = next(act, None)
        while draft is not None:
            before = self.record.canonical[self.head]
            self.record.wire.ask([("eth_sendTransaction", [draft.message()])])
            pending = {(draft.sender, draft.data): [act]}
            draft = self._note(pending)
            while self.record.canonical[self.head] == before:  # it answers before it has mined
                draft = self._note(pending)
            self._all_mined(pending)

    def mine(self, blocks: int) -> None:
        """Mine blocks with nothing in them."""
        self.chain.mine(blocks)
        self._note()

    def reorganise(self, depth: int, steps: Sequence[ForkStep] = ()) -> int:
        """Replace the last blocks by as many others with other contents; return how many it were.

        The node does it at once: a mirror sees another block of the same height.
        """
        head = self.head
        depth = min(depth, head - self.base)
        if depth < 1:
            return 0
        self.acts.model = self.record.state_at(head - depth)
        pending: dict[tuple[str, str], list[Act]] = defaultdict(list)
        placed = [(self._stamp(), 0)]
        for name, kg, choice, who, offset in steps:
            act: Act = getattr(self.acts, name)(kg, choice, who)
            draft = next(act, None)
            if draft is not None:
                pending[draft.sender, draft.data].append(act)
                placed.append((draft.message(), offset % depth))
        self.chain.reorganise(depth, sorted(placed, key=lambda each: each[1]))
        self._note(pending)
        self._all_mined(pending)
        self.depths.append(depth)
        return depth

    def roll_back(self, depth: int) -> int:
        """Let the head move back by so many blocks; return how many it were."""
        head = self.head
        depth = min(depth, head - self.base)
        if depth < 1:
            return 0
        self.chain.roll_back(depth)
        self.acts.model = self.record.state_at(head - depth)
        self._note()
        self.depths.append(depth)
        return depth

    def _stamp(self) -> dict[str, str]:
        """Return a transaction that says nothing, but makes its block another than any before."""
        number = len(self.depths)
        return {
            "from": PARTIES["spare"],
            "to": PARTIES["admin"],
            "data": f"0x{number:08x}",
            "gas": hex(100_000),
        }

    def _note(self, pending: dict[tuple[str, str], list[Act]] | None = None) -> Draft | None:
        """Note the new blocks, and tell the acts that wait; return what the last of them wants next."""
        drafts: list[Draft | None] = [None]

        def state_after(raw: dict[str, Any], receipts: list[dict[str, Any]]) -> Model:
            for transaction, receipt in zip(raw["transactions"], receipts, strict=False):
                waiting = (pending or {}).get((transaction["from"], transaction["input"]))
                if waiting:
                    ok = receipt["status"] == "0x1"
                    self.failed += not ok
                    drafts.append(_resume(waiting.pop(0), Done(ok, int(raw["timestamp"], 16))))
            return self.acts.model

        self.blocks += self.record.note(state_after)
        self.highest = max(self.highest, self.head)
        return drafts[-1]

    @staticmethod
    def _all_mined(pending: dict[tuple[str, str], list[Act]]) -> None:
        assert not any(pending.values()), "a transaction was not mined"


def _resume(act: Act, done: Done) -> Draft | None:
    try:
        return act.send(done)
    except StopIteration:
        return None
