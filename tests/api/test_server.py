"""The API's server as a client meets it: over a connection that it keeps."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing

import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse

import api.server
from api import connections
from api.exports.endpoints import SentFile
from api.server import ApiServer
from tests.support.forms import few, long

ONE_DATABASE = "none is asked"


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """The server's ends of all connections, from here on."""
    found: list[socket.socket] = []
    accept = socket.socket.accept

    def noted(listener: socket.socket) -> tuple[socket.socket, object]:
        connection, address = accept(listener)
        found.append(connection)
        return connection, address

    monkeypatch.setattr(socket.socket, "accept", noted)
    return found


LARGE = 16_000_000
"""Bytes of an answer that the sockets of both sides do not hold."""


@pytest.fixture
def held_up() -> Iterator[threading.Event]:
    """What requests of ``/slow`` wait for."""
    event = threading.Event()
    yield event
    event.set()


def parts_of_a_file(size: int, *, whole: bool) -> Iterator[bytes]:
    """Yield the parts of a file, which breaks off behind the last one unless it is whole."""
    yield b"x" * size
    if not whole:
        raise RuntimeError("the database is gone")


@pytest.fixture
def server(accepted: list[socket.socket], held_up: threading.Event) -> Iterator[ApiServer]:
    app = FastAPI()

    @app.post("/said")
    async def said(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.get("/endless")
    def endless() -> StreamingResponse:
        return StreamingResponse(iter(lambda: b"x" * 65_536, b""))

    @app.get("/large")
    def large(size: int = LARGE) -> Response:
        return Response(b"x" * size)

    @app.get("/file")
    def file(whole: bool, size: int = 3) -> StreamingResponse:
        return StreamingResponse(parts_of_a_file(size, whole=whole))

    @app.get("/slow")
    def slow() -> None:
        held_up.wait(120)

    server = ApiServer(app, "127.0.0.1", 0)
    server.start()
    try:
        yield server
    finally:
        held_up.set()
        server.stop()


@pytest.fixture
def place(server: ApiServer) -> str:
    """Host and port of a server."""
    return server.url.removeprefix("http://")


def test_an_answer_does_not_wait_to_be_acknowledged(
    place: str, accepted: list[socket.socket]
) -> None:
    """Head and body are two writes: with Nagle's algorithm the second waits until the first is acknowledged."""
    connection = http.client.HTTPConnection(place, timeout=30)
    connection.request("GET", "/nothing")
    answer = connection.getresponse()
    assert answer.status == 404 and answer.read()
    (ours,) = accepted
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    connection.close()


def opened(place: str, data: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    host, port = place.split(":")
    made = socket.create_connection((host, int(port)), timeout=60, source_address=(source, 0))
    made.sendall(data)
    return made


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def only_connection(server: ApiServer) -> connections.Connection:
    """Return the server's side of the one connection that it has."""
    (found,) = server._server.server_state.connections
    assert isinstance(found, connections.Connection)
    return found


def wait_for_the_end(held: socket.socket) -> None:
    """Read until the server ends the connection, in order or not; the socket waits a minute at most."""
    try:
        while held.recv(4096):
            pass
    except ConnectionResetError:
        pass


def asked(place: str) -> int:
    """Return how a client is answered who sends all at once."""
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request("POST", "/said", b"1234")
    answer = connection.getresponse()
    assert answer.status != 200 or json.load(answer) == {"bytes": 4}
    connection.close()
    return answer.status


HALF = (
    b"",
    b"GET /nothing HTTP/1.1\r\nHost: x\r\n",
    b"POST /said HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1",
)
"""Nothing, a part of a head, a part of a body."""


@pytest.mark.parametrize("half", HALF)
def test_who_waits_makes_room_for_who_asks(
    place: str, monkeypatch: pytest.MonkeyPatch, half: bytes
) -> None:
    """Many connections on which nothing comes keep nobody out, and are ended one by one: the first is first."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 5)
    held = [opened(place, half) for _ in range(20)]
    assert [asked(place) for _ in range(3)] == [200] * 3
    wait_for_the_end(held[0])
    held[-1].setblocking(False)
    with pytest.raises(BlockingIOError):
        held[-1].recv(1)
    for each in held:
        each.close()


@few(1)
@pytest.mark.parametrize("half", HALF)
def test_a_request_that_does_not_come_whole_is_not_waited_for(
    place: str, monkeypatch: pytest.MonkeyPatch, half: bytes
) -> None:
    """Neither the first of a connection, nor the next one."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS_MAX", 0.5)
    for before in (b"", b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"):
        held = opened(place, before + half)
        wait_for_the_end(held)


def test_an_answer_that_nobody_reads_is_given_up(
    place: str, accepted: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STALL_SECONDS_MAX", 0.5)
    held = opened(place, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_until(lambda: all_ended(accepted), "never given up")
    held.close()


def all_ended(accepted: list[socket.socket]) -> bool:
    return bool(accepted) and all(each.fileno() == -1 for each in accepted)


def test_the_end_of_an_answer_is_given_up_too(
    server: ApiServer, accepted: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is little, and the connection is at its end: it held its place for ever."""
    monkeypatch.setattr(connections, "STALL_SECONDS_MAX", 0.5)
    server._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    held.connect(server._socket.getsockname())
    held.sendall(b"GET /large?size=60000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    wait_until(lambda: all_ended(accepted), "never given up")
    held.close()


ALL_OF_IT = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"


def rest_of(held: socket.socket) -> int:
    """Return how many bytes of a body come to its end."""
    answer = http.client.HTTPResponse(held)
    answer.begin()
    return len(answer.read())


def test_who_reads_slowly_is_not_one_who_waits(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer was complete for us, and thrown away after 30 s, or when somebody else came."""
    held = opened(place)
    monkeypatch.setattr(connections, "REQUEST_SECONDS_MAX", 0.5)
    held.sendall(ALL_OF_IT)
    assert held.recv(1, socket.MSG_PEEK)
    wait_for_the_end(opened(place))  # began to wait after it, as it was counted
    monkeypatch.setattr(connections, "REQUEST_SECONDS_MAX", 30.0)
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 2)
    late = [opened(place) for _ in range(3)]
    assert asked(place) == 200
    assert rest_of(held) == LARGE
    for each in late:
        each.close()


@long
def test_what_comes_behind_a_large_answer_must_come_whole_too(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time begins when the answer before is read."""
    for behind in (b"", HALF[1], HALF[2]):
        held = opened(place)
        with monkeypatch.context() as patch:
            patch.setattr(connections, "REQUEST_SECONDS_MAX", 0.5)
            held.sendall(ALL_OF_IT + behind)
            assert rest_of(held) == LARGE
            wait_for_the_end(held)


def test_who_reads_at_all_is_waited_for(server: ApiServer, place: str) -> None:
    held = opened(place, ALL_OF_IT)
    assert held.recv(1, socket.MSG_PEEK)
    ours = only_connection(server)
    wait_until(lambda: ours.unread_since is not None, "all of it is under way")
    loop, unread = ours.loop, ours.transport.get_write_buffer_size()
    while ours.transport.get_write_buffer_size() == unread:
        assert held.recv(65_536)
    loop.call_soon_threadsafe(ours._look, unread)
    loop.call_soon_threadsafe(ours._look, 0)
    wait_for_the_end(held)


def test_who_reads_for_too_long_makes_room_at_last(
    server: ApiServer, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 1)
    held = opened(place, ALL_OF_IT)
    assert held.recv(1, socket.MSG_PEEK)
    ours = only_connection(server)
    wait_until(lambda: ours.unread_since is not None, "all of it is under way")
    assert asked(place) == 503
    ours._unread_since -= connections.STALL_SECONDS_MAX
    assert asked(place) == 200
    wait_for_the_end(held)


def test_who_opens_many_ends_their_own(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sends slowly from elsewhere is not ended, though it came first."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 4)
    slow = opened(place, HALF[2])
    many = [opened(place, source="127.0.0.2") for _ in range(20)]
    wait_for_the_end(many[0])
    slow.sendall(b"23456789")
    answer = http.client.HTTPResponse(slow)
    answer.begin()
    assert json.load(answer) == {"bytes": 9}
    for each in (slow, *many):
        each.close()


def test_requests_of_clients_that_have_left_take_places(
    server: ApiServer, place: str, monkeypatch: pytest.MonkeyPatch, held_up: threading.Event
) -> None:
    """They are worked at still: whoever asks and leaves could pile them up without an end."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 2)
    state = server._server.server_state
    for count in (1, 2, 3, 4):
        opened(place, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").close()
        wait_until(lambda count=count: len(state.tasks) == count, "not begun")  # type: ignore[misc]
    wait_until(lambda: not state.connections, "not left")
    assert asked(place) == 503
    held_up.set()
    wait_until(lambda: not state.tasks, "not ended")
    assert asked(place) == 200


def test_all_places_taken_is_a_problem(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 2)
    held = [opened(place, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(2)]
    assert all(each.recv(1) for each in held)  # they are being answered
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request("GET", "/nothing?a=b")
    answer = connection.getresponse()
    said = json.load(answer)
    assert (answer.status, said["code"], said["instance"]) == (503, "server-busy", "/nothing")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "5" and len(said["request_id"]) == 32
    assert answer.headers["connection"] == "close"  # its place is another's
    assert answer.headers["cache-control"] == "no-store"
    for each in held:
        each.close()


@pytest.mark.parametrize(
    "words", [b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_request_is_a_problem(place: str, words: bytes) -> None:
    held = opened(place, words)
    answer = http.client.HTTPResponse(held)
    answer.begin()
    said = json.load(answer)
    assert (answer.status, said["code"]) == (400, "bad-request") and len(said["request_id"]) == 32


def test_what_is_none_behind_an_answer_that_has_begun_ends_it(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Two answers to one request cannot be; to try was a traceback in the log for whoever wanted one."""
    held = opened(place, b"PUT /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    answer = http.client.HTTPResponse(held)
    answer.begin()
    assert answer.status == 404 and answer.read()
    held.sendall(b"no length\r\n")
    wait_for_the_end(held)
    assert "Traceback" not in caplog.text and "Fatal" not in caplog.text


def test_a_socket_of_a_page_is_an_ordinary_request(
    place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing here speaks WebSocket: it is answered, and counted, as any other, and no line of the log."""
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request("GET", "/nothing", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert connection.getresponse().status == 404
    connection.close()
    assert caplog.records == []


# ------------------------------------------------------------------ HTTP/1.0


@pytest.mark.parametrize("size", [3, LARGE])
def test_a_file_is_whole_when_a_connection_of_http_1_0_ends_in_order(place: str, size: int) -> None:
    """Its end is all that says so there: a proxy that speaks it would pass half of a file on as a whole one."""
    with opened(place, b"GET /file?whole=true&size=%d HTTP/1.0\r\n\r\n" % size) as held:
        said = b"".join(iter(lambda: held.recv(65_536), b""))
    assert len(said.partition(b"\r\n\r\n")[2]) == size
    with (
        opened(place, b"GET /file?whole=false&size=%d HTTP/1.0\r\n\r\n" % size) as held,
        pytest.raises(ConnectionResetError),
    ):
        while held.recv(65_536):
            pass


def test_an_answer_of_http_1_0_that_is_given_up_is_not_whole(
    server: ApiServer, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "STALL_SECONDS_MAX", 0.2)
    with opened(place, b"GET /endless HTTP/1.0\r\n\r\n") as held:
        assert held.recv(4) == b"HTTP"
        wait_until(lambda: not server._server.server_state.connections, "it is given up")
        with pytest.raises(ConnectionResetError):
            while held.recv(65_536):
                pass


def test_a_file_that_breaks_off_has_no_last_chunk(place: str) -> None:
    with opened(place, b"GET /file?whole=false HTTP/1.1\r\nHost: x\r\n\r\n") as held:
        said = b"".join(iter(lambda: held.recv(65_536), b""))
    assert said.endswith(b"\r\n\r\n3\r\nxxx\r\n")


def test_what_is_under_way_at_the_end_is_left_in_order(
    held_up: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file with a slow reader was never closed, and each request that was left was a traceback in the log."""
    monkeypatch.setattr(api.server, "STOP_SECONDS_MAX", 0.3)
    monkeypatch.setattr(api.server, "_LEAVE_SECONDS_MAX", 1)
    app, begun, closed = FastAPI(), threading.Semaphore(0), threading.Event()

    def parts(wait: bool) -> Generator[bytes]:
        try:
            while True:
                begun.release()
                yield b"x" * LARGE
                if wait:
                    held_up.wait(60)
        finally:
            closed.set()

    @app.get("/file")
    def file(wait: bool) -> SentFile:
        return SentFile(parts(wait), media_type="text/plain", headers={})

    @app.get("/slow")
    def slow() -> None:
        begun.release()
        held_up.wait(60)

    server = ApiServer(app, "127.0.0.1", 0)
    server.start()
    place = server.url.removeprefix("http://")
    with ExitStack() as stack:
        for path in ("/file?wait=false", "/file?wait=true", "/slow"):
            asking = stack.enter_context(closing(http.client.HTTPConnection(place, timeout=60)))
            asking.request("GET", path)
            assert begun.acquire(timeout=60)
            if path.endswith("wait=true"):
                assert len(asking.getresponse().read(LARGE)) == LARGE
        server.stop()
    assert closed.wait(60)
    assert not server.alive
    assert [record for record in caplog.records if record.exc_info] == []
