"""A node that answers as a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ledger.chain.node.client import ChainClient
from tests.support.endpoints import Http, Says


@contextmanager
def answering(respond: Callable[[Any], tuple[int, bytes]]) -> Iterator[ChainClient]:
    """Serve a function of a request's JSON, which returns status and content; give a client of it."""

    def behave(body: bytes) -> Says:
        status, content = respond(json.loads(body))
        return Says(content, status=status)

    server = Http(behave)
    client = ChainClient(server.address, timeout_s=60)
    try:
        yield client
    finally:
        client.close()
        server.stop()
