"""What may go wrong between a node and its mirror, by name.

Each kind is made anew for a history: it draws its details from the history's chance, and some need blocks
that the chain had and left. ``KINDS`` lists them all; a kind that needs an orphaned fork is in ``FORKED``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec

from ledger.chain.contracts.events import CREDIT, SETTLEMENT, EventSchema, schemas
from ledger.proofs import encoding
from ledger.proofs.tries import Trie
from tests.support.chronicle import Chronicle, Past
from tests.support.proxy import Delivery, Fault, NodeError, Tamper

HANG_S = 1.2
"""Longer than the time-out of the clients that are tested with it."""
Kind = Callable[[random.Random, Chronicle], Fault]
_RECEIPTS = ("eth_getTransactionReceipt", "eth_getBlockReceipts")
_BLOCKS = ("eth_getBlockByNumber", "eth_getBlockByHash")
_NO_BLOOM = "0x" + "00" * 256


# ---------------------------------------------------------------------- over the wire


def _wire(name: str, delivery: Callable[[bytes], Delivery | None]) -> tuple[str, Kind]:
    return name, lambda chance, chronicle: Fault(name, delivery=delivery)


def _cut(body: bytes) -> bytes:
    return body[: max(1, len(body) // 2)]


_WIRE = dict(
    [
        _wire("time-out", lambda body: Delivery(b"", silent=True, pause_s=HANG_S, close=True)),
        _wire("slow body", lambda body: Delivery(body, pieces=5, pause_s=0.03)),
        _wire("truncated answer", lambda body: Delivery(_cut(body))),
        _wire("empty answer", lambda body: Delivery(b"")),
        _wire(
            "connection closed in the middle of a body",
            lambda body: Delivery(_cut(body), declared=len(body), close=True),
        ),
        _wire(
            "connection closed before an answer",
            lambda body: Delivery(b"", silent=True, close=True),
        ),
        _wire("429", lambda body: Delivery(b"slow down", 429, {"content-type": "text/plain"})),
        _wire(
            "429 with Retry-After",
            lambda body: Delivery(
                b'{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"rate limit"}}',
                429,
                {"retry-after": "1"},
            ),
        ),
        _wire(
            "502 of a gateway",
            lambda body: Delivery(b"<html>Bad Gateway</html>", 502, {"content-type": "text/html"}),
        ),
        _wire("an answer of nothing but null", lambda body: Delivery(b"null")),
    ]
)


# ------------------------------------------------------------------------- the protocol


_TEXTS = ("limit exceeded", "header not found", "missing trie node", "internal error")


def _errors(chance: random.Random, chronicle: Chronicle) -> Fault:
    def results(method: str, params: list[Any], result: Any) -> Any:
        return NodeError(chance.choice(_TEXTS))

    return Fault("error objects", results=results, whole=False)


def _no_reasons(chance: random.Random, chronicle: Chronicle) -> Fault:
    """Errors where it is asked why a transaction failed: what is written then must not depend on them."""

    def results(method: str, params: list[Any], result: Any) -> Any:
        asked = method.startswith(("trace_", "debug_")) or method == "eth_call"
        return NodeError(chance.choice(_TEXTS)) if asked else result

    return Fault("errors for the reasons of failures", results=results)


def _no_traces(chance: random.Random, chronicle: Chronicle) -> Fault:
    def results(method: str, params: list[Any], result: Any) -> Any:
        return [] if method.startswith("trace_") and result else result

    return Fault("empty traces", results=results)


def _whole_error(chance: random.Random, chronicle: Chronicle) -> Fault:
    body = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batch refused"}}'
    return Fault("one error object for a request", delivery=lambda _: Delivery(body))


def _out_of_order(chance: random.Random, chronicle: Chronicle) -> Fault:
    return Fault("answers of a batch out of order", answers=lambda answers: answers[::-1])


def _one_missing(chance: random.Random, chronicle: Chronicle) -> Fault:
    """Of a batch, which is then asked in smaller ones, and in the end of a call by itself."""

    def answers(true: list[dict[str, Any]]) -> list[dict[str, Any]]:
        place = chance.randrange(len(true))
        return true[:place] + true[place + 1 :]

    def alone(body: bytes) -> Delivery | None:
        return Delivery(b"[]") if body.startswith(b"{") else None

    return Fault("an answer missing", answers=answers, delivery=alone)


def _other_ids(chance: random.Random, chronicle: Chronicle) -> Fault:
    def other(answer: dict[str, Any]) -> dict[str, Any]:
        return {**answer, "id": answer.get("id", 0) + 1_000_000}

    def alone(body: bytes) -> Delivery | None:
        if not body.startswith(b"{"):
            return None
        return Delivery(msgspec.json.encode(other(msgspec.json.decode(body))))

    return Fault(
        "answers with ids of other calls",
        answers=lambda true: [other(answer) for answer in true],
        delivery=alone,
    )


# ---------------------------------------------------------------------------- the content


def _result(name: str, methods: tuple[str, ...], change: Callable[..., Any]) -> tuple[str, Kind]:
    """A kind that changes the results of some calls; those without content stay as they are."""

    def kind(chance: random.Random, chronicle: Chronicle) -> Fault:
        def results(method: str, params: list[Any], result: Any) -> Any:
            return change(chance, result) if method in methods and result else result

        return Fault(name, results=results)

    return name, kind


def _drop(chance: random.Random, items: list[Any]) -> list[Any]:
    place = chance.randrange(len(items))
    return items[:place] + items[place + 1 :]


def _double(chance: random.Random, items: list[Any]) -> list[Any]:
    place = chance.randrange(len(items))
    return items[: place + 1] + items[place:]


def _in_logs(change: Callable[[random.Random, list[Any]], Any]) -> Callable[..., Any]:
    """A change of the logs of each receipt that has some."""

    def changed(chance: random.Random, result: Any) -> Any:
        if isinstance(result, list):
            return [changed(chance, each) for each in result]
        return {**result, "logs": change(chance, result["logs"])} if result["logs"] else result

    return changed


def _other_data(chance: random.Random, logs: list[Any]) -> list[Any]:
    place = chance.randrange(len(logs))
    log = {**logs[place], "data": logs[place]["data"] + "00" * 32}
    return [*logs[:place], log, *logs[place + 1 :]]


def _orphaned(chance: random.Random, result: Any) -> Any:
    if isinstance(result, list):
        return [_orphaned(chance, each) for each in result]
    strange = "0x" + chance.randbytes(32).hex()
    return {
        **result,
        "blockHash": strange,
        "logs": [{**log, "blockHash": strange} for log in result["logs"]],
    }


def _nothing(chance: random.Random, result: Any) -> None:
    return None


def _fewer_receipts(chance: random.Random, result: Any) -> Any:
    return _drop(chance, result) if isinstance(result, list) else None


_CONTENT = dict(
    [
        _result("a log missing", _RECEIPTS, _in_logs(_drop)),
        _result("no logs", _RECEIPTS, _in_logs(lambda chance, logs: [])),
        _result("a log twice", _RECEIPTS, _in_logs(_double)),
        _result("a log with other data", _RECEIPTS, _in_logs(_other_data)),
        _result("null logs", _RECEIPTS, _in_logs(_nothing)),
        _result("a result of another kind", (*_BLOCKS, *_RECEIPTS), lambda chance, result: "0x1"),
        _result("null receipts", _RECEIPTS, _fewer_receipts),
        _result("receipts of an orphaned block", _RECEIPTS, _orphaned),
        _result("null blocks", _BLOCKS, _nothing),
        _result("wrong chain id", ("eth_chainId",), lambda chance, result: "0x1"),
    ]
)


def _hidden(name: str, contract: str, events: Callable[[EventSchema], bool]) -> tuple[str, Kind]:
    """A log that neither receipt nor bloom nor index has: no two answers of the node contradict each other."""

    def kind(chance: random.Random, chronicle: Chronicle) -> Fault:
        topics = {topic for topic, event in schemas(contract).items() if events(event)}
        doomed: set[tuple[str, str]] = set()
        assert topics

        def kept(logs: list[Any]) -> list[Any]:
            return [log for log in logs if (log["blockHash"], log["logIndex"]) not in doomed]

        def without(receipt: dict[str, Any]) -> dict[str, Any]:
            logs = kept(receipt["logs"])
            return {**receipt, "logs": logs} if len(logs) < len(receipt["logs"]) else receipt

        def results(method: str, params: list[Any], result: Any) -> Any:
            if method == "eth_getLogs" and result:
                return kept(result)
            if method not in _RECEIPTS or not result:
                return result
            receipts = result if isinstance(result, list) else [result]
            logs = [log for receipt in receipts for log in receipt["logs"]]
            found = [log for log in logs if log["topics"][0] in topics]
            if found and not doomed:
                one = chance.choice(found)
                doomed.add((one["blockHash"], one["logIndex"]))
            receipts = [without(receipt) for receipt in receipts]
            return receipts if isinstance(result, list) else receipts[0]

        return Fault(name, results=results)

    return name, kind


_HIDDEN = dict(
    [
        _hidden("an entry of the credit log hidden", CREDIT, lambda event: event.is_in_log),
        _hidden("a transfer hidden", CREDIT, lambda event: event.name.startswith("Transfer")),
        _hidden("an event of settlement hidden", SETTLEMENT, lambda event: True),
    ]
)


def _hidden_in_headers(chance: random.Random, chronicle: Chronicle) -> Fault:
    """All of settlement hidden, and the headers agree with that in bloom and root: only their hashes tell."""
    settlement = chronicle.deployment.settlement.address

    def bare(receipt: dict[str, Any]) -> dict[str, Any]:
        logs = [log for log in receipt["logs"] if log["address"].lower() != settlement]
        return {**receipt, "logs": logs, "logsBloom": receipt["logsBloom"] if logs else _NO_BLOOM}

    def header(block: dict[str, Any]) -> dict[str, Any]:
        receipts = [bare(each) for each in chronicle.known[block["hash"]].receipts]
        root = Trie([encoding.receipt(each) for each in receipts]).root
        bloom = block["logsBloom"] if any(each["logs"] for each in receipts) else _NO_BLOOM
        return {**block, "logsBloom": bloom, "receiptsRoot": "0x" + root.hex()}

    def results(method: str, params: list[Any], result: Any) -> Any:
        if method in _BLOCKS and result and result["hash"] in chronicle.known:
            return header(result)
        if method in _RECEIPTS and result:
            return [bare(each) for each in result] if isinstance(result, list) else bare(result)
        if method == "eth_getLogs" and result:
            return [log for log in result if log["address"].lower() != settlement]
        return result

    return Fault("settlement hidden, in headers, too", results=results)


# ------------------------------------------------------------------------- other chains


def _past(
    name: str, tip: Callable[[random.Random, Chronicle], str], whole: bool
) -> tuple[str, Kind]:
    def kind(chance: random.Random, chronicle: Chronicle) -> Fault:
        node = Past(chronicle, tip(chance, chronicle))
        results: Tamper = node.answer
        return Fault(name, results=results, whole=whole)

    return name, kind


def _older(chance: random.Random, chronicle: Chronicle) -> str:
    behind = chance.randint(1, 12)
    return chronicle.canonical[max(chronicle.head - behind, min(chronicle.canonical))]


def _orphan(chance: random.Random, chronicle: Chronicle) -> str:
    return chance.choice(chronicle.orphaned_tips)


_PAST = dict(
    [
        _past("some answers of an older head", _older, whole=False),
        _past("an older head", _older, whole=True),
        _past("some answers of another fork", _orphan, whole=False),
        _past("another fork", _orphan, whole=True),
    ]
)
KINDS: dict[str, Kind] = {
    **_WIRE,
    "error objects": _errors,
    "errors for the reasons of failures": _no_reasons,
    "empty traces": _no_traces,
    "one error object for a request": _whole_error,
    "answers of a batch out of order": _out_of_order,
    "an answer missing": _one_missing,
    "answers with ids of other calls": _other_ids,
    **_CONTENT,
    **_HIDDEN,
    "settlement hidden, in headers, too": _hidden_in_headers,
    **_PAST,
}
FORKED = ("some answers of another fork", "another fork")
HARMLESS = ("slow body", "answers of a batch out of order")
"""Faults under which a mirror must go on as if nothing were the matter."""
MAY_GO_ON = (*_PAST, "429", "429 with Retry-After", "empty traces")
"""Faults under which a mirror may also go on: it is shown a whole chain, though not the right one; it waits
as long as it was asked to, or a moment; it asks in another way."""
