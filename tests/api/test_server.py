"""The API's server as a client meets it: over a connection that it keeps."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

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
    server = ApiServer(FastAPI(), "127.0.0.1", 0)
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
