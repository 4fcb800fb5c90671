"""The API's server as a client meets it: over a connection that it keeps."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from api.server import ApiServer

ONE_DATABASE = "none is asked"
ACKNOWLEDGED_S = 0.04
"""So long does Linux wait at least before it acknowledges what nothing followed."""


@pytest.fixture
def place() -> Iterator[str]:
    """Host and port of a server whose application answers in no time."""
    server = ApiServer(FastAPI(), "127.0.0.1", 0)
    server.start()
    try:
        yield server.url.removeprefix("http://")
    finally:
        server.stop()


def test_an_answer_does_not_wait_to_be_acknowledged(place: str) -> None:
    """Head and body are two writes: the second must not wait for the client's system to acknowledge the first."""
    connection = http.client.HTTPConnection(place, timeout=30)
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        connection.request("GET", "/nothing")
        answer = connection.getresponse()
        assert answer.status == 404 and answer.read()
        taken.append(time.perf_counter() - began)
    connection.close()
    # The first few are acknowledged at once. Of the others the fastest counts: a busy machine is slow, too.
    assert min(taken[5:]) < ACKNOWLEDGED_S / 2
