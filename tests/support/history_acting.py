"""Acts of a random history: each makes its calls, and tells the model.

An act is a generator. It yields a transaction, is sent what became of it, compares that with what the
model allows, and changes the model. So the same act serves a block that is mined now and a block of a
fork that is written at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.node.records import Receipt
from tests.support.chain import GAS_CALL, PARTIES, TestChain
from tests.support.model import Model


class ModelDiffers(AssertionError):
    """The contracts did what the model does not allow, or refused what it allows."""


@dataclass(frozen=True)
class Draft:
    """A transaction that is not sent yet."""

    sender: str
    to: str
    data: str

    def message(self) -> dict[str, str]:
        """Return it as a node takes it."""
        return {"from": self.sender, "to": self.to, "data": self.data, "gas": hex(GAS_CALL)}


@dataclass(frozen=True)
class Done:
    """What became of a draft: whether it succeeded, and the time of its block."""

    ok: bool
    at: int


Act = Generator[Draft, Done, None]


class _Drafting(TestChain):
    """Takes the acts of the parties, and sends nothing."""

    __test__ = False
    draft: Draft | None = None

    def act(
        self, sender: str, contract: str, function: str, arguments: Sequence[Any], must: bool = True
    ) -> Receipt:
        address = self.deployment.contracts[contract].address
        self.draft = Draft(
            PARTIES.get(sender, sender), address, encode_call(contract, function, arguments)
        )
        return None  # type: ignore[return-value]


class Acting:
    """What all acts of a history share; ``model`` is the state now."""

    def __init__(self, chain: TestChain, state: Model) -> None:
        self.chain = chain
        self.model = state
        self._pen = _Drafting(chain.client, chain.deployment)
        self._trades = 0
        self._names = 0

    def _draft(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Draft:
        function(*arguments, **named)
        draft, self._pen.draft = self._pen.draft, None
        assert draft is not None
        return draft

    def _judge(self, done: Done, allowed: bool, what: str) -> bool:
        if done.ok != allowed:
            verb = "refused" if allowed else "allowed"
            raise ModelDiffers(f"the contract {verb} {what}, the model does not")
        return done.ok

    def _batch(self, choice: int) -> int | None:
        batches = sorted(self.model.issued)
        return batches[choice % len(batches)] if batches else None

    def _others(self, choice: int) -> list[int]:
        """Return up to three different batches."""
        batches = sorted(self.model.issued)
        start = choice % len(batches) if batches else 0
        return (batches[start:] + batches[:start])[:3]
