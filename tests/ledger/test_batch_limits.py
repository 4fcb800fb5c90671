"""Nodes that take no batches, or short ones only: each call is made, and what was learnt is remembered."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from ledger.chain.node import batches, requests
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.transports.errors import NodeAnswer, NodeDown, NodeSlow
from ledger.chain.node.wire import TRANSACTIONS, batch_decoder
from ledger.errors import DependencyDown
from tests.support.answering import answering
from tests.support.forms import few, long, rest

NUMBERS = batch_decoder(int)
Refusal = Callable[[list[Any]], tuple[int, bytes]]
"""From the calls of a request that is too long to status and body."""


def _error(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def _whole(code: int, message: str, status: int = 200) -> Refusal:
    return lambda calls: (status, json.dumps(_error(None, code, message)).encode())


def _first(calls: list[Any]) -> tuple[int, bytes]:
    """As go-ethereum does: a list of one error, with the id of the first call."""
    return 200, json.dumps([_error(calls[0]["id"], -32600, "batch too large")]).encode()


def _each(calls: list[Any]) -> tuple[int, bytes]:
    found = [_error(call["id"], -32005, "batch limit exceeded") for call in calls]
    return 200, json.dumps(found).encode()


def _rest(calls: list[Any]) -> tuple[int, bytes]:
    """As go-ethereum does where answers are long: the first one is answered, and the others are refused."""
    found = [_error(call["id"], -32003, "response too large") for call in calls]
    found[0] = {"jsonrpc": "2.0", "id": calls[0]["id"], "result": calls[0]["params"][0]}
    return 200, json.dumps(found).encode()


def _half(calls: list[Any]) -> tuple[int, bytes]:
    """Answer some, and be silent about the others."""
    some = calls[: len(calls) // 2]
    return 200, json.dumps(
        [{"id": call["id"], "result": call["params"][0]} for call in some]
    ).encode()


def _half_refused(calls: list[Any]) -> tuple[int, bytes]:
    """Answer some, refuse some, and be silent about the others."""
    status, some = _half(calls)
    if len(calls) == 2:  # there are no others: a refusal in a whole answer is that call's own
        return status, some
    refused = _error(calls[-1]["id"], -32005, "limit exceeded")
    return status, json.dumps([*json.loads(some), refused]).encode()


def _one(calls: list[Any]) -> tuple[int, bytes]:
    """Answer the first as if it were alone."""
    return 200, json.dumps({"id": calls[0]["id"], "result": calls[0]["params"][0]}).encode()


REFUSALS: dict[str, Refusal] = {
    "413": lambda calls: (413, b"<html>Request Entity Too Large</html>"),
    "400": lambda calls: (400, b"no batches"),
    "500": lambda calls: (500, b"json: cannot unmarshal array into Go value"),
    "501": lambda calls: (501, b""),
    "none": lambda calls: (200, b"[]"),
    "nothing": lambda calls: (200, b"null"),
    "half of them": _half,
    "half of them, and a refusal": _half_refused,
    "one of them": _one,
    "413 in JSON": _whole(-32600, "too many", 413),
    "-32005": _whole(-32005, "limit exceeded"),
    "-32014": _whole(-32014, "batch limit exceeded"),
    "500 in JSON": _whole(31, "Batch of more than 3 requests are not allowed", 500),
    "the first": _first,
    "each": _each,
    "the rest": _rest,
}


class Limited:
    """A server that answers each call by its first parameter, and takes so many calls in a request."""

    def __init__(self, most: int, refusal: Refusal) -> None:
        self.most = most
        self.refusal = refusal
        self.sizes: list[int] = []
        """Of the requests that were answered."""
        self.refused: list[int] = []
        self.lists = 0
        """Requests that came as a list."""

    def respond(self, body: Any) -> tuple[int, bytes]:
        """Answer as it does now: a test may change how."""
        return self.answer(body)

    def answer(self, body: Any) -> tuple[int, bytes]:
        calls = body if isinstance(body, list) else [body]
        self.lists += isinstance(body, list)
        if isinstance(body, list) and len(calls) > self.most:
            self.refused.append(len(calls))
            return self.refusal(calls)
        self.sizes.append(len(calls))
        found = [
            {"jsonrpc": "2.0", "id": call["id"], "result": (call["params"] or ["0x1"])[0]}
            for call in calls
        ]
        return 200, json.dumps(found if isinstance(body, list) else found[0]).encode()


def calls(count: int) -> list[tuple[str, list[int]]]:
    """Return calls whose results are their numbers."""
    return [("eth_number", [number]) for number in range(count)]


@few(2)
@pytest.mark.parametrize("most", rest([0, 1, 3, 10], 3))
@pytest.mark.parametrize("name", REFUSALS)
def test_all_is_answered_whatever_a_node_takes(name: str, most: int) -> None:
    """``most`` 0: not even a list of one call."""
    limited = Limited(most, REFUSALS[name])
    with answering(limited.respond) as client:
        assert client.ask(calls(130), NUMBERS).results() == list(range(130))
        assert client.request_batch(calls(70)) == list(range(70))
        assert client.attempt(calls(70)) == list(range(70))
        assert limited.refused, "the server has not refused anything"
        limited.refused.clear()
        assert client.ask(calls(130), NUMBERS).results() == list(range(130))
        assert client.request_batch(calls(130)) == list(range(130))
    assert all(size <= max(most, 1) for size in limited.sizes)
    # Learnt: but for one that is tried now and then.
    assert len(limited.refused) <= 2
    if most > 1:
        assert sum(size > most / 2 for size in limited.sizes) > len(limited.sizes) / 2


OUTAGES: dict[str, Refusal] = {
    "502": lambda calls: (502, b"<html>Bad Gateway</html>"),
    "524": lambda calls: (524, b"error code: 524"),
    "cut off": lambda calls: (200, b'[{"jsonrpc": "2.0", "id": 1, "res'),
}


@long
@pytest.mark.parametrize("name", OUTAGES)
def test_a_gateway_that_calls_its_node_down_may_bear_fewer_answers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked for headers, receipts or transactions fifty at once came to an end there."""
    monkeypatch.setattr(requests, "RATE_PAUSE_S", 0.0)
    limited = Limited(4, OUTAGES[name])
    with answering(limited.respond) as client:
        assert client.request_batch(calls(70)) == list(range(70))
        assert max(limited.refused) == 50
        limited.refused.clear()
        assert client.request_batch(calls(130)) == list(range(130))
        assert client.attempt(calls(70)) == list(range(70))
    assert limited.refused == []


@pytest.mark.parametrize(
    ("status", "count", "expected"),
    [
        (502, 50, [50, "eth_blockNumber"]),
        (502, 1, ["eth_number"]),
        (524, 50, [50, "eth_blockNumber"]),
        (524, 2, [2]),  # to ask again would take as long
    ],
)
def test_a_node_that_is_down_is_asked_once_more_and_shortly(
    status: int, count: int, expected: list[Any]
) -> None:
    asked: list[Any] = []

    def respond(body: Any) -> tuple[int, bytes]:
        asked.append(len(body) if isinstance(body, list) else body["method"])
        return status, b"<html>Bad Gateway</html>"

    with answering(respond) as client, pytest.raises((NodeDown, NodeSlow)):
        client.request_batch(calls(count))
    assert asked == expected


@few(1)
@pytest.mark.parametrize(("name", "again"), [("502", [50, 50]), ("524", []), ("cut off", [50, 50])])
def test_what_is_on_its_way_meanwhile_is_asked_for_as_others_found_out(
    name: str, again: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of four requests was made twice more as it was, one that had taken minutes as well, before it was parted."""
    monkeypatch.setattr(requests, "RATE_PAUSE_S", 0.0)
    limited = Limited(4, OUTAGES[name])
    with answering(limited.respond) as client:
        assert client.ask(calls(200), NUMBERS, alone=True).results() == list(range(200))
    assert [size for size in limited.refused if size == 50] == [50] * 4 + again


def test_a_node_that_takes_no_connection_is_not_waited_for_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where packets are lost on the way to it, that is 30 s each time."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    asked: list[bytes] = []
    with closing(ChainClient(f"http://127.0.0.1:{port}")) as client:
        exchange = client.transport.exchange

        def counted(body: bytes, again: bool = False) -> bytes:
            asked.append(body)
            return exchange(body, again)

        monkeypatch.setattr(client.transport, "exchange", counted)
        with pytest.raises(NodeDown, match="no node answers"):
            client.blocks(["latest", 1])
    assert len(asked) == 1


def test_what_sends_is_not_sent_again_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "RATE_PAUSE_S", 0.0)
    limited = Limited(1, OUTAGES["502"])
    sent = [("eth_sendRawTransaction", [f"0x{number}"]) for number in range(4)]
    with answering(limited.respond) as client, pytest.raises(NodeDown):
        client.request_batch(sent)
    assert (limited.refused, limited.sizes) == ([4], [])


def test_a_trouble_that_passes_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "RATE_PAUSE_S", 0.0)
    limited = Limited(4, OUTAGES["502"])

    def respond(body: Any) -> tuple[int, bytes]:
        answer = limited.answer(body)
        limited.most = 1000
        return answer

    with answering(respond) as client:
        assert client.request_batch(calls(100)) == list(range(100))
    assert limited.sizes == [1, 50, 50]


@long
def test_what_is_learnt_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal may have been a passing one: the length comes back, by twos."""
    monkeypatch.setattr(batches, "_PROBE_AFTER", 20)
    limited = Limited(1, REFUSALS["413"])
    with answering(limited.respond) as client:
        assert client.request_batch(calls(50)) == list(range(50))
        limited.most = 1000
        limited.sizes.clear()
        for _ in range(60):
            assert client.ask(calls(100), NUMBERS).results() == list(range(100))
            if limited.sizes[-2:] == [50, 50]:
                break
        else:
            pytest.fail("it is as short as ever")
    assert limited.sizes[0] == 1
    assert {2, 4, 8, 16, 32, 50} <= set(limited.sizes)


def test_an_error_that_single_calls_get_too_teaches_nothing() -> None:
    limited = Limited(1000, _whole(-32005, "daily limit"))
    with answering(limited.respond) as client:
        client.request_batch(calls(2))

        def refuse_all(body: Any) -> tuple[int, bytes]:
            limited.lists += isinstance(body, list)
            return limited.refusal(body)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(limited, "answer", refuse_all)
            with pytest.raises(RpcError, match="daily limit"):
                client.request_batch(calls(50))
            with pytest.raises(RpcError, match="daily limit"):
                client.ask(calls(50), NUMBERS).results()
            found = client.attempt(calls(50))
            assert all(isinstance(one, RpcError) for one in found) and len(found) == 50
        limited.sizes.clear()
        client.request_batch(calls(100))
    assert limited.sizes == [50, 50]


def test_calls_that_are_not_to_be_made_twice_are_not_asked_for_again() -> None:
    limited = Limited(1, _whole(-32005, "limit exceeded"))
    with answering(limited.respond) as client, pytest.raises(RpcError, match="limit exceeded"):
        client.request_batch([("eth_sendTransaction", [1])] * 2)
    assert (limited.refused, limited.sizes) == ([2], [])


@pytest.mark.parametrize(
    "error",
    [
        {"code": 3, "message": "execution reverted: no such batch"},
        {"code": -32000, "message": "execution reverted: batch", "data": "0x08c379a0"},
        {"code": -32000, "message": "VM Exception: revert batch is open"},
        {"code": -32000, "message": "header not found"},
    ],
)
def test_the_error_of_a_call_is_its_own(error: dict[str, Any]) -> None:
    """Batches of credits are not batches of calls."""
    answers = [{"id": 1, "result": "0x"}, {"id": 2, "error": error}]
    assert not batches.is_refusal(answers)


def test_a_gateway_that_answers_nothing_else_is_named() -> None:
    limited = Limited(0, REFUSALS["413"])
    with (
        answering(limited.respond) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(limited, "answer", lambda body: (413, b"<html>"))
        with pytest.raises(NodeAnswer, match="HTTP 413"):
            client.request_batch(calls(50))
        with pytest.raises(NodeAnswer, match="HTTP 413"):
            client.ask(calls(50), NUMBERS).results()
        patch.setattr(limited, "answer", lambda body: (502, b"<html>"))
        with pytest.raises(NodeDown):
            client.ask(calls(50), NUMBERS).results()


def test_an_answer_of_another_kind_is_none() -> None:
    with (
        answering(Limited(1, REFUSALS["413"]).respond) as client,
        pytest.raises(DependencyDown, match="answers eth_number with something else") as said,
    ):
        client.ask(calls(3), TRANSACTIONS).results()
    # Whoever runs the node is to look there.
    assert "(Expected `object | null`, got " in said.value.message
