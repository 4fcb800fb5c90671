"""Servers in processes of their own, each with a way to ask how much of the processor it has used."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from ledger.errors import DependencyDown
from ledger.settings import Settings

_START_SECONDS_MAX = 60.0


class Served:
    """A server that runs: its port, and its processor time."""

    def __init__(self, port: int, pipe: Connection) -> None:
        self.port = port
        self._pipe = pipe

    def cpu_ns(self) -> int:
        """Return the processor time of the whole process so far, in nanoseconds."""
        self._pipe.send("cpu")
        found: int = self._pipe.recv()
        return found


@contextmanager
def served(settings: Settings | None, answer: bytes = b"") -> Iterator[Served]:
    """Serve the API with these settings, or, without any, an empty route with an answer.

    Raises
    ------
    DependencyDown
        If the server does not start.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, settings, answer), daemon=True)
    process.start()
    theirs.close()
    try:
        try:
            port = int(ours.recv()) if ours.poll(_START_SECONDS_MAX) else None
        except EOFError:  # it has ended, and said why
            port = None
        if port is None:
            raise DependencyDown("the server did not start", code="api-down")
        yield Served(port, ours)
    finally:
        ours.close()
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()


def _serve(pipe: Connection, settings: Settings | None, answer: bytes) -> None:
    from api.app import create_app
    from api.server import ApiServer
    from api.yardstick import empty_app

    app: Any = empty_app(answer) if settings is None else create_app(settings)
    server = ApiServer(app, "127.0.0.1", 0)
    server.start()
    gc.collect()
    gc.freeze()
    pipe.send(int(server.url.rpartition(":")[2]))
    try:
        while pipe.recv() == "cpu":
            pipe.send(time.process_time_ns())
    except EOFError:
        pass
    server.stop()
