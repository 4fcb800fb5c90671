"""What goes wrong between us and a node: errors, lost answers, and answers that are not of now."""

from __future__ import annotations

from typing import Any

from ledger.chain.node.transports.errors import NodeDown, NodeSlow
from scripts.chaos.strikes import Fault, Work
from scripts.chaos.watch import Calls

SEND = "eth_sendRawTransaction"
Answers = list[dict[str, Any]]


def _refused(calls: Calls) -> Answers:
    error = {"code": -32005, "message": "too many requests"}
    return [{"jsonrpc": "2.0", "id": call["id"], "error": error} for call in calls]


class _Errors(Fault):
    """Strikes some requests of a turn; one that sends is struck in any case where there is one."""

    def __init__(self, scenario: Any) -> None:
        super().__init__(scenario)
        self.left = self.chance.randint(1, 4)
        self.odds = self.chance.choice((1.0, 0.3, 0.1))
        self.sending_only = self.chance.random() < 0.5

    def hits(self, calls: Calls) -> bool:
        if self.left == 0:
            return False
        sends = any(call["method"] == SEND for call in calls)
        if sends or (not self.sending_only and self.chance.random() < self.odds):
            self.left -= 1
            return True
        return False


class ErrorBefore(_Errors):
    """The node says no, or is not there, and has not heard the question."""

    name = "error before sending"

    def strike(self, work: Work) -> None:
        def before(calls: Calls) -> Answers | None:
            if not self.hits(calls):
                return None
            self.struck += 1
            if self.chance.random() < 0.5:
                raise NodeDown("the node does not answer")
            return _refused(calls)

        self.on.watch.before = before
        work()


class ErrorAfter(_Errors):
    """The node has done what it was asked, and the answer is an error."""

    name = "error after sending"

    def strike(self, work: Work) -> None:
        def after(calls: Calls, answers: Answers) -> Answers:
            if not self.hits(calls):
                return answers
            self.struck += 1
            if self.chance.random() < 0.5:
                raise NodeDown("the connection ended")
            return _refused(calls)

        self.on.watch.after = after
        work()


class TimeOut(Fault):
    """A transaction arrives at the node, and no answer comes in time."""

    name = "time-out that was a success"

    def strike(self, work: Work) -> None:
        left = self.chance.randint(1, 3)

        def after(calls: Calls, answers: Answers) -> Answers:
            nonlocal left
            if left and any(
                call["method"] == SEND and "result" in answer
                for call, answer in zip(calls, answers, strict=True)
            ):
                left -= 1
                self.struck += 1
                raise NodeSlow("no answer in time")
            return answers

        self.on.watch.after = after
        work()


class LateReceipts(Fault):
    """A node has blocks, and not yet the receipts of the last ones."""

    name = "receipts that lag"

    def strike(self, work: Work) -> None:
        behind = self.chance.randint(0, 4)

        def after(calls: Calls, answers: Answers) -> Answers:
            if not any("Receipt" in call["method"] for call in calls):
                return answers
            known = self.on.on.node.client.block_number() - behind
            return [self._told(answer, known) for answer in answers]

        self.on.watch.after = after
        work()

    def _told(self, answer: dict[str, Any], known: int) -> dict[str, Any]:
        result = answer.get("result")
        first = result[0] if isinstance(result, list) and result else result
        is_receipt = isinstance(first, dict) and {"gasUsed", "transactionHash"} <= first.keys()
        if is_receipt and int(first["blockNumber"], 16) >= known:
            self.struck += 1
            return {**answer, "result": None}
        return answer


class OrphanedReceipts(Fault):
    """A node still hands out receipts of blocks that the chain has left."""

    name = "receipt of an orphaned block"

    def strike(self, work: Work) -> None:
        work()
        depth = min(self.chance.randint(1, 6) + self.last_chance, 8)
        old = self._receipts(depth)
        self.on.reorganise(depth)

        def after(calls: Calls, answers: Answers) -> Answers:
            return [
                self._told(call, answer, old) for call, answer in zip(calls, answers, strict=True)
            ]

        self.on.watch.after = after
        work()

    def _receipts(self, depth: int) -> dict[str, Any]:
        """Return the receipts of the last blocks, by their transactions."""
        client = self.on.on.node.client
        head = client.block_number()
        found: dict[str, Any] = {}
        for number in range(head - depth + 1, head + 1):
            for receipt in client.request("eth_getBlockReceipts", [hex(number)]):
                found[receipt["transactionHash"]] = receipt
        return found

    def _told(
        self, call: dict[str, Any], answer: dict[str, Any], old: dict[str, Any]
    ) -> dict[str, Any]:
        if call["method"] != "eth_getTransactionReceipt":
            return answer
        orphan = old.get(call["params"][0])
        if orphan is None or answer.get("result") == orphan:
            return answer
        self.struck += 1
        return {"jsonrpc": "2.0", "id": call["id"], "result": orphan}


def _number(value: Any) -> int:
    return int(value, 16) if isinstance(value, str) else int(value)  # traces have plain numbers


class OlderHead(Fault):
    """A node that is behind the one that answered before: all that it says is of an older head."""

    name = "older head than before"

    def strike(self, work: Work) -> None:
        work()
        behind = self.chance.randint(1, 6)
        head = self.on.on.node.client.block_number() - behind

        def before(calls: Calls) -> Answers | None:
            for call in calls:
                call["params"] = [self._of(parameter, head) for parameter in call["params"]]
            return None

        def after(calls: Calls, answers: Answers) -> Answers:
            return [
                self._told(call, answer, head) for call, answer in zip(calls, answers, strict=True)
            ]

        self.on.watch.before, self.on.watch.after = before, after
        work()

    def _of(self, parameter: Any, head: int) -> Any:
        if parameter in ("latest", "pending"):
            self.struck += 1
            return hex(head)
        return parameter

    def _told(self, call: dict[str, Any], answer: dict[str, Any], head: int) -> dict[str, Any]:
        result = answer.get("result")
        if call["method"] == "eth_blockNumber":
            self.struck += 1
            return {**answer, "result": hex(head)}
        first = result[0] if isinstance(result, list) and result else result
        if isinstance(first, dict):
            number = first.get("blockNumber") or (
                first.get("number") if "parentHash" in first else None
            )
            if number is not None and _number(number) > head:
                self.struck += 1
                if call["method"] == "eth_getBlockByNumber" and call["params"][0] in (
                    "finalized",
                    "safe",
                ):
                    found = self.on.on.node.client.request(
                        "eth_getBlockByNumber", [hex(max(head - 2, 0)), False]
                    )
                    return {**answer, "result": found}
                return {**answer, "result": [] if call["method"] == "eth_getLogs" else None}
        return answer
