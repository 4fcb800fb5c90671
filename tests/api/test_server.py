"""The API's server as a client meets it: over a connection that it keeps."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from api import connections
from api.server import ApiServer

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


@pytest.fixture
def place(accepted: list[socket.socket]) -> Iterator[str]:
    """Host and port of a server."""
    app = FastAPI()

    @app.post("/said")
    async def said(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.get("/endless")
    def endless() -> StreamingResponse:
        return StreamingResponse(iter(lambda: b"x" * 65_536, b""))

    server = ApiServer(app, "127.0.0.1", 0)
    server.start()
    try:
        yield server.url.removeprefix("http://")
    finally:
        server.stop()


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


def opened(place: str, data: bytes = b"") -> socket.socket:
    host, port = place.split(":")
    made = socket.create_connection((host, int(port)), timeout=60)
    made.sendall(data)
    return made


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
    end = time.monotonic() + 60
    while not accepted or any(each.fileno() != -1 for each in accepted):  # the server's end is open
        assert time.monotonic() < end, "never given up"
        time.sleep(0.02)
    held.close()


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


def test_a_socket_of_a_page_is_an_ordinary_request(place: str) -> None:
    """Nothing here speaks WebSocket: such a request is answered, and counted, as any other."""
    connection = http.client.HTTPConnection(place, timeout=60)
    connection.request("GET", "/nothing", headers={"Connection": "Upgrade", "Upgrade": "websocket"})
    assert connection.getresponse().status == 404
    connection.close()
