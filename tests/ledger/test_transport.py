"""The ways to a node: what each does right, and what it says of everything that can go wrong."""

import base64
import gzip
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.http11 import Request
from websockets.sync.client import ClientConnection
from websockets.sync.server import ServerConnection, serve

from ledger.chain.local.anvil import KeptPort, LocalNode, find_anvil
from ledger.chain.node.client import ChainClient
from ledger.chain.node.transports.base import Bounds, Transport
from ledger.chain.node.transports.errors import (
    AnswerTooLarge,
    NodeAnswer,
    NodeClosed,
    NodeDown,
    NodeLimits,
    NodeSlow,
    NodeTrouble,
    RequestRefused,
)
from ledger.chain.node.transports.opening import open_transport
from ledger.errors import BadInput, DependencyDown
from tests.support.endpoints import TRANSPORTS, Behaviour, Says, endpoint, true_answer
from tests.support.forms import few, long, rest

EVERY = pytest.mark.parametrize("kind", TRANSPORTS)
PATIENT = Bounds(timeout_s=60.0)
"""For whatever answers at last, however busy the machine is."""


@contextmanager
def asking(
    kind: str, behave: Behaviour, folder: Path, bounds: Bounds = PATIENT
) -> Iterator[Transport]:
    with endpoint(kind, behave, folder) as address:
        transport = open_transport(address, bounds)
        try:
            yield transport
        finally:
            transport.close()


def request(number: int, params: object = ()) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": number, "method": "m", "params": params})


def result(content: bytes) -> object:
    return msgspec.json.decode(content)["result"]


# ------------------------------------------------------------------- when all is well


@EVERY
def test_what_is_sent_comes_back(kind: str, folder: Path) -> None:
    with asking(kind, true_answer, folder) as transport:
        for number in range(5):
            assert result(transport.exchange(request(number, [number]))) == [number]


@EVERY
def test_a_long_answer_comes_whole(kind: str, folder: Path) -> None:
    """Six megabytes with braces at every place where a reader might take them for the end."""
    text = "}]" * 3_000_000
    with asking(kind, true_answer, folder) as transport:
        assert result(transport.exchange(request(1, [text]))) == [text]


@EVERY
def test_every_request_gets_its_own_answer(kind: str, folder: Path) -> None:
    def late_when_even(body: bytes) -> Says:
        number = msgspec.json.decode(body)["id"]
        return Says(true_answer(body).content, wait_s=0.02 if number % 2 == 0 else 0)

    with asking(kind, late_when_even, folder) as transport:
        answers = [transport.submit(request(number, [number])) for number in range(20)]
        assert [result(each.result()) for each in answers] == [[number] for number in range(20)]


@EVERY
def test_several_are_in_flight_and_never_more_than_the_bound(kind: str, folder: Path) -> None:
    lock, inside, most, full = threading.Lock(), [0], [0], threading.Event()

    def count(body: bytes) -> Says:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            if inside[0] == 3:
                full.set()
        assert full.wait(60)
        time.sleep(0.05)
        with lock:
            inside[0] -= 1
        return true_answer(body)

    with (
        asking(kind, count, folder, Bounds(timeout_s=120, in_flight_max=3)) as transport,
        ThreadPoolExecutor(8) as threads,
    ):
        theirs = threads.map(transport.exchange, [request(n, [n]) for n in range(12)])
        ours = [transport.submit(request(n, [n])) for n in range(100, 112)]
        found = [result(item) for item in [*theirs, *(each.result() for each in ours)]]
    assert found == [[n] for n in [*range(12), *range(100, 112)]]
    assert most == [3]


# --------------------------------------------------------------------- when it is not


@few(1)
@EVERY
def test_a_slow_answer_is_not_waited_for_and_never_taken_for_the_next(
    kind: str, folder: Path
) -> None:
    late = threading.Event()

    def one_is_slow(body: bytes) -> Says:
        if msgspec.json.decode(body)["params"] == ["late"]:
            assert late.wait(60)
        return true_answer(body)

    with asking(kind, one_is_slow, folder, Bounds(timeout_s=1)) as transport:
        is_answered_at_last(transport)  # from here on there is a connection
        with pytest.raises(NodeSlow, match=r"did not answer within (1|0\.\d+) s") as caught:
            transport.exchange(request(1000, ["late"]))
        assert caught.value.code == "node-slow"
        late.set()
        time.sleep(0.1)  # so that it may come
        is_answered_at_last(transport)


def is_answered_at_last(transport: Transport) -> None:
    """Ask until an answer comes in time, as one does not when the machine is busy; it must be the right one."""
    number, answer = in_time(transport)
    assert result(answer) == [number]


def in_time(transport: Transport) -> tuple[int, bytes]:
    for number in range(60):
        with suppress(NodeSlow):
            return number, transport.exchange(request(number, [number]))
    raise AssertionError("no answer came in time")


@EVERY
def test_a_connection_that_ends_under_a_read_is_opened_again(kind: str, folder: Path) -> None:
    asked: list[int] = []

    def first_breaks(body: bytes) -> Says:
        asked.append(msgspec.json.decode(body)["id"])
        return Says(true_answer(body).content, close=len(asked) == 2)

    with asking(kind, first_breaks, folder) as transport:
        transport.exchange(request(1))
        assert result(transport.exchange(request(2, ["again"]), again=True)) == ["again"]
    assert asked == [1, 2, 2]


@EVERY
def test_what_must_not_be_made_twice_is_not(kind: str, folder: Path) -> None:
    asked: list[bytes] = []

    def breaks(body: bytes) -> Says:
        asked.append(body)
        return Says(true_answer(body).content, close=True)

    with asking(kind, breaks, folder) as transport:
        with pytest.raises(NodeClosed, match="closed the connection in the middle"):
            transport.exchange(request(1))
        assert len(asked) == 1
        with pytest.raises(NodeClosed):
            transport.exchange(request(2), again=True)
        assert len(asked) == 3


@EVERY
def test_an_answer_beyond_the_bound_is_not_taken(kind: str, folder: Path) -> None:
    with asking(
        kind, true_answer, folder, Bounds(timeout_s=60, answer_bytes_max=100_000)
    ) as transport:
        with pytest.raises(AnswerTooLarge, match="more than 100000 bytes"):
            transport.exchange(request(1, ["x" * 200_000]), again=True)
        assert result(transport.exchange(request(2, ["x"]))) == ["x"]


@EVERY
def test_an_answer_to_another_call(kind: str, folder: Path) -> None:
    def other(body: bytes) -> Says:
        return Says(b'{"jsonrpc":"2.0","id":123456,"result":"0x1"}')

    with endpoint(kind, other, folder) as address:
        client = ChainClient(address, timeout_s=60)
        with pytest.raises(NodeAnswer, match="answered one that was not asked"):
            client.chain_id()
        client.close()


@EVERY
@pytest.mark.parametrize("page", [b"<html>nginx</html>", b"hello", b"null"])
def test_a_page_is_no_answer(kind: str, page: bytes, folder: Path) -> None:
    with endpoint(kind, lambda body: Says(page), folder) as address:
        client = ChainClient(address, timeout_s=60)
        with pytest.raises(NodeAnswer, match="not JSON-RPC; check rpc_url"):
            client.chain_id()
        client.close()


@EVERY
def test_nobody_there(kind: str, folder: Path) -> None:
    nobody = KeptPort()
    address = {
        "http": f"http://127.0.0.1:{nobody.number}",
        "ws": f"ws://127.0.0.1:{nobody.number}",
        "ipc": f"{folder}/none.ipc",
    }[kind]
    transport = open_transport(address, PATIENT)
    with pytest.raises(NodeDown, match="no node answers at") as caught:
        transport.exchange(request(1))
    assert ("(Connection refused)" in caught.value.message) == (kind != "ipc")
    transport.close()


@few(1)
@EVERY
def test_a_node_that_came_back_is_asked_again(kind: str, folder: Path) -> None:
    """A real node ends under kept connections, and comes back at the same address."""
    node = LocalNode(find_anvil(None), ipc=folder / "n.ipc")
    address = {
        "http": node.rpc_url,
        "ws": node.rpc_url.replace("http", "ws"),
        "ipc": str(folder / "n.ipc"),
    }[kind]
    client = ChainClient(address, timeout_s=60)
    with node:
        assert client.chain_id() == 31337
    with pytest.raises((NodeDown, NodeClosed)):
        client.chain_id()
    with node:
        assert client.chain_id() == 31337
    client.close()


@long
def test_a_node_that_takes_nothing_is_not_waited_for(folder: Path) -> None:
    """A real node that is frozen: more bytes than the system keeps for it can never all be sent."""
    with LocalNode(find_anvil(None), ipc=folder / "n.ipc") as node:
        addresses = [node.rpc_url, node.rpc_url.replace("http", "ws"), str(folder / "n.ipc")]
        transports = [open_transport(each, Bounds(timeout_s=1)) for each in addresses]
        for transport in transports:
            in_time(transport)  # from here on there is a connection
        assert node.pid is not None
        os.kill(node.pid, signal.SIGSTOP)
        try:
            asked = [each.submit(b" " * 24_000_000, again=True) for each in transports]
            for answer in asked:
                with pytest.raises(NodeSlow, match="did not answer within 1 s"):
                    answer.result(timeout=60)
            with (
                closing(ChainClient(addresses[0], timeout_s=0.5)) as client,
                pytest.raises(NodeSlow, match=r"did not answer within 0\.5 s"),
            ):
                client.chain_id()
        finally:
            os.kill(node.pid, signal.SIGCONT)
        for transport in transports:
            transport.close()


# --------------------------------------------------------------------- of HTTP alone


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (399, NodeAnswer, "answers HTTP 399, a redirection"),
        (400, RequestRefused, "answers HTTP 400 but not JSON-RPC"),
        (401, NodeAnswer, "check the key in rpc_url"),
        (403, NodeAnswer, "check the key in rpc_url"),
        (404, RequestRefused, "answers HTTP 404 but not JSON-RPC"),
        (499, RequestRefused, "answers HTTP 499 but not JSON-RPC"),
        (500, NodeAnswer, "answers HTTP 500 but not JSON-RPC"),
        (502, NodeDown, "the node behind it is down"),
        (503, NodeDown, "the node behind it is down"),
        (504, NodeSlow, "the node behind it did not answer in time"),
        (521, NodeDown, "the node behind it is down"),
        (524, NodeSlow, "the node behind it did not answer in time"),
    ],
)
def test_pages_of_gateways(
    status: int, error: type[DependencyDown], said: str, folder: Path
) -> None:
    page = Says(b"<html><h1>nginx</h1></html>", status=status)
    with (
        asking("http", lambda body: page, folder) as transport,
        pytest.raises(error, match=said),
    ):
        transport.exchange(request(1), again=True)


@pytest.mark.parametrize("status", [400, 404, 500, 502])
def test_a_refusal_in_json_rpc_is_an_answer_whatever_the_status(status: int, folder: Path) -> None:
    refusal = b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}'
    with asking("http", lambda body: Says(refusal, status=status), folder) as transport:
        assert transport.exchange(request(1)) == refusal


def test_a_short_rest_is_kept_to_by_every_thread(folder: Path) -> None:
    times: list[float] = []

    def limits(body: bytes) -> Says:
        times.append(time.monotonic())
        if len(times) == 1:
            return Says(b"slow down", status=429, headers={"retry-after": "1"})
        return true_answer(body)

    with asking("http", limits, folder) as transport:
        assert result(transport.exchange(request(1, ["a"]))) == ["a"]
    assert len(times) == 2
    assert times[1] - times[0] >= 1.0


FAR = "1 Jan 99999999999999999999 00:00:00 GMT"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("3600", 3600.0),
        ("1764352532", 3600.0),  # a moment in place of the seconds
        ("9" * 400, 3600.0),
        ("soon", None),
        (FAR, None),
        (None, None),
    ],
)
def test_a_long_rest_is_said(said: str | None, expected: float | None, folder: Path) -> None:
    headers = {} if said is None else {"retry-after": said}
    asked: list[bytes] = []

    def limits(body: bytes) -> Says:
        asked.append(body)
        return Says(b'{"error":{"code":429}}', status=429, headers=headers)

    with asking("http", limits, folder) as transport:
        begun = time.monotonic()
        with pytest.raises(NodeLimits) as caught:
            transport.exchange(request(1))
        if expected is not None:  # less what has passed of it
            least = expected - (time.monotonic() - begun)
            assert least <= (caught.value.retry_after_s or 0) <= expected
        assert (caught.value.retry_after_s is None) == (expected is None)
        if expected is not None:  # nobody asks again before
            with pytest.raises(NodeLimits):
                transport.exchange(request(2))
            assert len(asked) == 1


def test_who_is_down_and_asks_for_rest_is_not_said_to_be_asked_too_much(folder: Path) -> None:
    page = Says(b"<html>Maintenance</html>", status=503, headers={"retry-after": "600"})
    with asking("http", lambda body: page, folder) as transport:
        for _ in range(2):  # from the page, and then from what is remembered of it
            with pytest.raises(NodeLimits, match=r"\(HTTP 503\); it asks for \d+ s of rest"):
                transport.exchange(request(1))


def test_a_rest_until_a_date(folder: Path) -> None:
    headers = {"retry-after": "Wed, 01 Jan 2120 00:00:00 GMT"}
    with (
        asking("http", lambda body: Says(b"", status=429, headers=headers), folder) as transport,
        pytest.raises(NodeLimits) as caught,
    ):
        transport.exchange(request(1))
    assert caught.value.retry_after_s is not None
    assert 3590 < caught.value.retry_after_s <= 3600  # in a hundred years nobody is there


@long
@pytest.mark.parametrize("said", rest(["0", "Thu, 01 Jan 2015 00:00:00 GMT"]))
def test_a_rest_of_nothing_is_no_leave_to_ask_without_end(said: str, folder: Path) -> None:
    """A gateway may ask for none and refuse again; a date is past where its clock is behind ours."""
    asked: list[bytes] = []

    def limits(body: bytes) -> Says:
        asked.append(body)
        return Says(b"", status=429, headers={"retry-after": said})

    with asking("http", limits, folder) as transport, pytest.raises(NodeLimits):
        transport.exchange(request(1))
    assert 2 <= len(asked) <= 30


@few(1)
@pytest.mark.parametrize(
    "begin",
    [b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b"HTTP/1.1 200 OK\r\nx-a: ", b"HTTP/1.1"],
    ids=["body", "headers", "status"],
)
def test_an_answer_that_drips_is_not_waited_for(begin: bytes) -> None:
    """Each part comes in time, the whole does not."""
    listening = socket.create_server(("127.0.0.1", 0))
    left = threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        connection.recv(65536)
        with connection, suppress(OSError):
            connection.sendall(begin)
            while not left.wait(0.05):
                connection.sendall(b" ")

    with ThreadPoolExecutor() as pool:
        dripping = pool.submit(drip)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        transport = open_transport(address, Bounds(timeout_s=0.4))
        asked = pool.submit(transport.exchange, request(1))
        try:
            with pytest.raises(NodeSlow):
                asked.result(60)
        finally:
            left.set()
            dripping.result()
            transport.close()
            listening.close()


def test_a_compressed_answer_is_read_and_bounded(folder: Path) -> None:
    text = "}]" * 500_000
    headers = {"content-encoding": "gzip"}

    def shrunk(body: bytes) -> Says:
        return Says(gzip.compress(true_answer(body).content), headers=headers)

    bounds = Bounds(timeout_s=60, answer_bytes_max=1_100_000)
    with asking("http", shrunk, folder, bounds) as transport:
        assert result(transport.exchange(request(1, [text]))) == [text]
        with pytest.raises(AnswerTooLarge):  # a few kilobytes on their way
            transport.exchange(request(2, [text + text]))
        assert result(transport.exchange(request(3, ["x"]))) == ["x"]


def answered(address: str, answer: bytes) -> tuple[bytes, bytes]:
    """Ask once at a port of our own that answers these bytes; return what it was sent, and what was read."""
    listening = socket.create_server(("127.0.0.1", 0))
    said: list[bytes] = []

    def serve() -> None:
        connection, _ = listening.accept()
        said.append(connection.recv(65536))
        while not (b"\r\n\r\n{" in said[0] or b"Upgrade: websocket" in said[0]):
            said[0] += connection.recv(65536)
        connection.sendall(answer)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    transport = open_transport(address.format(listening.getsockname()[1]), PATIENT)
    try:
        return transport.exchange(request(1)), said[0]
    finally:
        transport.close()
        thread.join()
        listening.close()


def test_name_and_password_of_an_address_are_sent_and_its_path_and_key_asked() -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    content, said = answered("http://me:p%40ss@127.0.0.1:{}/v3/key?a=b", whole)
    assert content == b"{}"
    assert said.startswith(b"POST /v3/key?a=b HTTP/1.1\r\n")
    lines = said.lower().split(b"\r\n")
    assert b"authorization: basic " + base64.b64encode(b"me:p@ss").lower() in lines
    assert b"content-type: application/json" in lines


@pytest.mark.parametrize(
    ("user", "sent"),
    [("token", "token:"), ("me:", "me:"), (":p", ":p"), ("me:%E2%82%AC%3a", "me:€:")],
)
def test_names_and_passwords_of_every_form(user: str, sent: str) -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    _, said = answered(f"http://{user}@127.0.0.1:{{}}", whole)
    assert b": basic " + base64.b64encode(sent.encode()).lower() + b"\r\n" in said.lower()


@pytest.mark.parametrize(
    ("user", "sent"), [("me:p%40s%3As", "me:p@s:s"), ("token", "token:"), ("me:%E2%82%AC", "me:€")]
)
def test_they_are_sent_before_a_websocket_as_over_http(user: str, sent: str) -> None:
    """Its library sent them as they are written, and took no name alone."""
    seen: list[tuple[str, list[str]]] = []

    def look(_: ServerConnection, asked: Request) -> None:
        seen.append((asked.path, asked.headers.get_all("authorization")))

    def answer(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(true_answer(str(message).encode()).content, text=True)

    with serve(answer, "127.0.0.1", 0, process_request=look) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        transport = open_transport(f"ws://{user}@127.0.0.1:{port}/v3/key?a=b@c", PATIENT)
        assert result(transport.exchange(request(1, ["x"]))) == ["x"]
        transport.close()
        server.shutdown()
        thread.join()
    basic = f"Basic {base64.b64encode(sent.encode()).decode()}"
    assert seen == [("/v3/key?a=b@c", [basic])]


@pytest.mark.parametrize("end", [b"connection: close", b"transfer-encoding: chunked\r\n\r\n0"])
@pytest.mark.parametrize(
    ("status", "error"), [(401, NodeAnswer), (404, NodeAnswer), (502, NodeDown)]
)
def test_a_gateway_that_says_its_status_and_no_more(
    status: int, error: type[DependencyDown], end: bytes
) -> None:
    with pytest.raises(error):
        answered("http://127.0.0.1:{}", b"HTTP/1.1 %d No\r\n%s\r\n\r\n" % (status, end))


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b""])
def test_an_answer_in_chunks_is_whole_or_none(end: bytes) -> None:
    begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n"
    if end:
        assert answered("http://127.0.0.1:{}", begun + end)[0] == b"{}"
        return
    with pytest.raises(NodeClosed):
        answered("http://127.0.0.1:{}", begun)


def test_an_answer_that_is_shorter_than_it_says() -> None:
    with pytest.raises(NodeClosed):
        answered("http://127.0.0.1:{}", b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}")


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9\r\n", b"", b"HTTP/1.1 200 OK\r\n"])
def test_a_server_of_something_else(answer: bytes) -> None:
    with pytest.raises(NodeTrouble):
        answered("http://127.0.0.1:{}", answer)


def test_a_redirection_is_not_followed_and_said() -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"
    with pytest.raises(NodeAnswer, match=r"HTTP 302, a redirection, which is not followed"):
        answered("http://127.0.0.1:{}", moved)


def test_a_gateway_that_takes_short_requests_alone_is_named() -> None:
    short = b"HTTP/1.1 413 Too Large\r\ncontent-length: 6\r\n\r\n<html>"
    with pytest.raises(NodeAnswer, match=r"takes no request as long as ours \(HTTP 413\)"):
        answered("http://127.0.0.1:{}", short)


@pytest.mark.parametrize(
    "address",
    [
        *("http://", "http://host:port", "http://[::1", "http://host:99999/v3/secret7"),
        *("ws://", "ws://host:port", "wss://[::1", "wss://host/v3/secret7#main"),
    ],
)
def test_an_address_that_is_none(address: str) -> None:
    transport = open_transport(address, PATIENT)
    with pytest.raises(BadInput, match="is not an address") as caught:
        transport.exchange(request(1))
    assert "secret7" not in caught.value.message
    transport.close()


# ----------------------------------------------------------- of WebSocket and IPC alone


def test_a_server_that_is_none_of_websockets(folder: Path) -> None:
    with endpoint("http", true_answer, folder) as address:
        transport = open_transport(address.replace("http://", "ws://"), PATIENT)
        with pytest.raises(NodeAnswer, match=r"opens no WebSocket|does not speak WebSocket"):
            transport.exchange(request(1))
        transport.close()


@pytest.mark.parametrize("late_s", [0.0, 0.1])
def test_a_connection_that_ends_before_a_websocket_is_open(
    late_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a node restarts. `websockets` has an error of its own where it sees the end before it writes."""
    true = ClientConnection.handshake

    def handshake(self: ClientConnection, *arguments: Any, **options: Any) -> None:
        time.sleep(late_s)  # another thread reads meanwhile
        true(self, *arguments, **options)

    monkeypatch.setattr(ClientConnection, "handshake", handshake)
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepts = threading.Thread(
            target=lambda: [server.accept()[0].close() for _ in range(2)], daemon=True
        )
        accepts.start()
        transport = open_transport(f"ws://127.0.0.1:{server.getsockname()[1]}", PATIENT)
        with pytest.raises(NodeClosed, match="before a WebSocket was open"):
            transport.exchange(request(1), again=True)
        transport.close()
        accepts.join()


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"502 Bad Gateway", NodeDown),
        (b"503 Service Unavailable\r\nretry-after: 7", NodeLimits),
        (b"504 Gateway Timeout", NodeSlow),
        (b"429 Too Many Requests", NodeLimits),
        (b"429 Too Many Requests\r\nretry-after: 7\r\nretry-after: 9", NodeLimits),
        (b"404 Not Found", NodeAnswer),
    ],
)
def test_gateways_before_a_websocket(head: bytes, error: type[DependencyDown]) -> None:
    with pytest.raises(error):
        answered("ws://127.0.0.1:{}", b"HTTP/1.1 %s\r\ncontent-length: 0\r\n\r\n" % head)


def test_a_file_is_no_socket(folder: Path) -> None:
    (folder / "file").write_text("x")
    transport = open_transport(f"ipc://{folder}/file", PATIENT)
    with pytest.raises((BadInput, NodeDown)):
        transport.exchange(request(1))
    transport.close()


def test_a_socket_without_a_node(folder: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(folder / "left.ipc"))
    left.close()
    transport = open_transport(f"{folder}/left.ipc", PATIENT)
    with pytest.raises(NodeDown, match="nobody listens"):
        transport.exchange(request(1))
    transport.close()


@pytest.mark.parametrize("between", [b"", b"\n", b" \r\n"])
def test_messages_in_one_piece_are_told_apart(between: bytes, folder: Path) -> None:
    messages = [b'{"a":"}{"}', b'["\xc3\xa9"]', b'{"b":[{}]}']
    with asking("ipc", lambda body: Says(between.join(messages)), folder) as transport:
        channel = transport.channel()
        assert channel is not None
        channel.send(request(1))
        assert [channel.receive(60) for _ in messages] == messages
        assert channel.usable()
        channel.close()


def test_json_that_is_none(folder: Path) -> None:
    with (
        asking("ipc", lambda body: Says(b'{"a" oops}'), folder) as transport,
        pytest.raises(NodeAnswer, match="not JSON-RPC"),
    ):
        transport.exchange(request(1))


@pytest.mark.parametrize("kind", ["ws", "ipc"])
def test_a_channel_bears_silence(kind: str, folder: Path) -> None:
    with asking(kind, true_answer, folder) as transport:
        channel = transport.channel()
        assert channel is not None
        with pytest.raises(NodeSlow):
            channel.receive(0.05)
        channel.send(request(1, ["x"]))
        assert result(channel.receive(60)) == ["x"]
        channel.close()


def test_http_has_no_channel(folder: Path) -> None:
    with asking("http", true_answer, folder) as transport:
        assert transport.channel() is None


def test_where_no_more_files_can_be_opened_nobody_is_told_to_start_the_node() -> None:
    """A socket is a file: `no node answers` sent people to a node that ran."""
    transport = open_transport("http://127.0.0.1:9", PATIENT)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(NodeDown, match=r"can be opened \(Too many .*`ulimit -n`") as told:
            transport.exchange(request(1, []))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        transport.close()
    assert told.value.code == "too-many-files"
