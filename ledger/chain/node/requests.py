"""Requests to one node: calls with ids, and their answers; in batches as long as the node takes them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ledger.chain.node.batches import BatchLength, is_refusal
from ledger.chain.node.lengths import is_of_length
from ledger.chain.node.refusals import is_of_call, is_rate, told
from ledger.chain.node.transports.base import Transport
from ledger.chain.node.transports.errors import (
    AnswerTooLarge,
    NodeAnswer,
    NodeLimits,
    NodeSlow,
    NodeTrouble,
    RequestRefused,
)
from ledger.chain.node.wire import Call

Exchanged = tuple[dict[str, Any], dict[str, Any]]
"""A call as it was sent, and its answer."""

BATCH_MAX = 50
"""Calls in one request; nodes refuse long batches, and receipts come fastest in fifties."""
RATE_PAUSE_S = 0.5
"""Before what was too much for one moment is asked again: the same once more, then half of it."""
_LASTING = (NodeSlow, AnswerTooLarge)
"""After these the same is not asked again at once: it would take as long."""
_SENDS = "eth_sendRawTransaction"
_FEW = 2
"""Where so few calls are not answered in time, it is not for their number: nobody is kept waiting as long again."""


class Requests:
    """Requests over one transport; used by several threads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._ids = itertools.count(1)
        self.length = BatchLength()

    def batches(self, calls: Sequence[Call], batch_max: int) -> Iterator[Sequence[Call]]:
        """Yield the calls of one request after the other."""
        start = 0
        while start < len(calls):
            size = self.length.next(min(batch_max, len(calls) - start))
            yield calls[start : start + size]
            start += size

    def again(
        self,
        calls: Sequence[Call],
        bodies: Sequence[dict[str, Any]],
        content: bytes | None,
        error: Exception,
        *,
        alone: bool,
    ) -> bytes | None:
        """Ask in smaller requests, or later, what was refused (None) or answered by an error; return the answers.

        Parameters
        ----------
        alone
            Whether nothing else is on its way that would go before the question whether the node is there.

        Returns
        -------
        bytes or None
            As one answer to the first request; None when that was not too long.
        """
        later = False
        if content is not None:
            try:
                answers = self.answers(bodies, content)
            except NodeAnswer as unread:
                error = unread
            else:
                later = any(map(_is_rate, answers))
                if not (later or is_refusal(answers)):
                    return None
        if isinstance(error, NodeTrouble) and not isinstance(error, RequestRefused):
            later = (alone or isinstance(error, NodeLimits)) and self._may_be_answered(calls, error)
            if not later:
                return None
        if later:
            time.sleep(RATE_PAUSE_S)
        elif len(calls) == 1:
            return None
        if self.length.refuses(len(calls)):  # another has found out, while these were on their way
            found: list[Exchanged] | None = [
                pair for batch in self.batches(calls, BATCH_MAX) for pair in self.exchanged(batch)
            ]
        elif later:
            found = self.exchanged(calls, error if isinstance(error, NodeTrouble) else None)
        else:
            found = self._halved(calls)
        return None if found is None else _numbered(bodies, found)

    def bodies(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """Return calls as they are sent, each with an id of its own."""
        return [
            {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
            for method, params in calls
        ]

    def exchanged(
        self, calls: Sequence[Call], trouble: NodeTrouble | None = None
    ) -> list[Exchanged]:
        """Make calls in one request, or in several where the node refuses that; return each with its answer.

        What was too much for a moment is asked again after it, and in halves: a node that takes some calls a second
        would never take more of them at once, however long one waits. So is what may be too long an answer for a
        gateway: once is not for its length.

        Parameters
        ----------
        trouble
            What they met just before.
        """
        if not all(_repeatable(method) for method, _ in calls):
            return self._once(calls)
        found: list[Exchanged] = []
        for last in (False, True):
            if isinstance(trouble, _LASTING):
                break
            try:
                found, trouble = self._once(calls), None
            except NodeTrouble as error:
                if not self._may_be_answered(calls, error):
                    raise
                found, trouble = [], error
            left = [place for place, (_, answer) in enumerate(found) if _is_rate(answer)]
            if found and len(left) < len(calls):
                return self._with_the_rest(calls, found, left)
            if not last:
                time.sleep(RATE_PAUSE_S)
        if len(calls) > 1:
            half = len(calls) // 2
            some = self.exchanged(calls[:half])
            if not all(_is_rate(answer) for _, answer in some):
                self.length.refused(len(calls))
                for batch in self.batches(calls[half:], BATCH_MAX):
                    some += self.exchanged(batch)
                return some
        if trouble is not None:
            raise trouble
        return found

    def _may_be_answered(self, calls: Sequence[Call], error: NodeTrouble) -> bool:
        """Return whether calls that met a trouble may be answered later, or some at a time."""
        if isinstance(error, NodeLimits):
            return error.retry_after_s is None
        few = _FEW if isinstance(error, NodeSlow) else 1
        if len(calls) <= few or isinstance(error, RequestRefused):  # that was asked for in halves
            return False
        if any(method == _SENDS for method, _ in calls):  # its answers are short
            return False
        return is_of_length(error, lambda: self._once([("eth_blockNumber", ())]))

    def _with_the_rest(
        self, calls: Sequence[Call], found: list[Exchanged], left: Sequence[int]
    ) -> list[Exchanged]:
        """Make the calls that were too much after the others were answered."""
        if left:
            time.sleep(RATE_PAUSE_S)
            for place, pair in zip(left, self.exchanged([calls[one] for one in left]), strict=True):
                found[place] = pair
        return found

    def _once(self, calls: Sequence[Call]) -> list[Exchanged]:
        bodies = self.bodies(calls)
        again = all(_repeatable(method) for method, _ in calls)
        may_halve = again and len(calls) > 1
        try:
            answers = self.answers(bodies, self._transport.exchange(encoded(bodies), again))
        except RequestRefused:
            halves = self._halved(calls) if may_halve else None
            if halves is None:
                raise
            return halves
        if not (may_halve and is_refusal(answers)) or any(map(_is_rate, answers)):
            self.length.taken(len(calls))
        elif (halves := self._halved(calls)) is not None:
            return halves
        return list(zip(bodies, answers, strict=True))

    def _halved(self, calls: Sequence[Call]) -> list[Exchanged] | None:
        """Make calls that were refused in one request in smaller ones; None when these are refused as well."""
        half = len(calls) // 2
        found = self.exchanged(calls[:half])
        if all(answer.get("error") is not None for _, answer in found):
            return None
        self.length.refused(len(calls))
        for batch in self.batches(calls[half:], BATCH_MAX):
            found += self.exchanged(batch)
        return found

    def answers(self, bodies: Sequence[dict[str, Any]], content: bytes) -> list[dict[str, Any]]:
        """Return the answer to each call; one for the whole request stands for all of them.

        Raises
        ------
        RequestRefused
            If some of several calls have none, or all: some nodes answer the first one, or as many as they take, and
            are silent about the others.
        NodeAnswer
            If it is something else.
        """
        try:
            answer = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.no_rpc() from error
        answers = answer if isinstance(answer, list) else [] if answer is None else [answer]
        known = [item for item in answers if isinstance(item, dict)]
        by_id = {item["id"]: item for item in known if isinstance(item.get("id"), int)}
        if any(body["id"] not in by_id for body in bodies):
            # One error object for the whole request, without an id or with the first one's.
            if len(known) == 1 and known[0].get("error") is not None:
                return known * len(bodies)
            self._transport.reset()  # the others may come by themselves
            ids = {body["id"] for body in bodies}
            if len(bodies) > 1 and by_id.keys() < ids and all(map(_is_rpc, answers)):
                raise RequestRefused(
                    f"{self._transport.place} answers {len(by_id)} of {len(bodies)} calls of a request; check rpc_url"
                )
            if not by_id:
                raise self.no_rpc()
            raise NodeAnswer(
                f"{self._transport.place} left a call without an answer, and answered one that was not asked"
            )
        return [by_id[body["id"]] for body in bodies]

    def no_rpc(self) -> NodeAnswer:
        """Return the error for an answer that is no JSON-RPC."""
        return NodeAnswer(f"{self._transport.place} answers, but not JSON-RPC; check rpc_url")


def _is_rpc(answer: Any) -> bool:
    """Return whether it is an answer to a call, whatever call that is."""
    return isinstance(answer, dict) and ("result" in answer or "error" in answer)


def _numbered(bodies: Sequence[dict[str, Any]], found: Sequence[Exchanged]) -> bytes:
    """Return answers as one to the first request."""
    pairs = zip(bodies, found, strict=True)
    return msgspec.json.encode([{**answer, "id": body["id"]} for body, (_, answer) in pairs])


def _is_rate(answer: dict[str, Any]) -> bool:
    error = answer.get("error")
    return not is_of_call(error) and is_rate(*told(error))


def encoded(bodies: Sequence[dict[str, Any]]) -> bytes:
    """Return a request: one call goes by itself, which nodes take that take no batches."""
    return msgspec.json.encode(bodies[0] if len(bodies) == 1 else bodies)


def _repeatable(method: str) -> bool:
    """Return whether a call may be made twice: it reads, or sends bytes that a node takes once."""
    return (
        method.startswith(("eth_", "net_", "web3_", "trace_")) and method != "eth_sendTransaction"
    )
