"""Starts the product's command in processes of its own, quickly: each is forked from one that has loaded it.

A start of ``truetonne`` reads some seconds of modules. The nursery reads them once; a child then runs
``cli.main.main`` with words and environment of its own, as the installed command does, and can be killed.
It opens neither database nor network before it forks.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Child:
    """One run of the command."""

    nursery: Nursery
    pid: int
    log: Path
    code: int | None = None
    """Exit code; negative for a signal, None while it runs."""

    def alive(self) -> bool:
        if self.code is None:
            self.code = self.nursery.ask({"poll": self.pid})
        return self.code is None

    def wait(self, seconds: float) -> int:
        """Wait for the end and return the exit code."""
        until = time.monotonic() + seconds
        while self.alive():
            assert time.monotonic() < until, f"process {self.pid} does not end; {self.said()}"
            time.sleep(0.005)
        assert self.code is not None
        return self.code

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.alive():
            os.kill(self.pid, signal.SIGKILL)
        self.wait(10)

    def stop(self) -> int:
        """Ask it to end, and return the exit code."""
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)
        return self.wait(30)

    def said(self) -> str:
        """Return what it wrote to stdout and stderr."""
        return self.log.read_text(encoding="utf-8", errors="replace")


class Nursery:
    """The process that forks."""

    def __init__(self) -> None:
        self.mutant: str | None = None
        """Name of what is broken in the processes that start now, see ``tests.support.mutants``."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, words: list[str], settings: dict[str, str], log: Path) -> Child:
        """Start the command with some words; ``settings`` are variables of its environment."""
        question = {"words": words, "settings": settings, "log": str(log), "mutant": self.mutant}
        pid = self.ask(question)
        return Child(self, pid, log)

    def ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _load() -> None:
    import httpx
    import sqlalchemy.dialects.mysql.pymysql
    import sqlalchemy.dialects.sqlite  # noqa: F401
    from sqlalchemy.orm import configure_mappers

    import ledger.chain.access
    import ledger.chain.client
    import ledger.chain.shared_node
    import ledger.models  # noqa: F401
    from cli.main import build
    from ledger.chain.abi import artifact
    from ledger.chain.events import CREDIT, SETTLEMENT

    build()
    configure_mappers()
    httpx.Client(trust_env=False).close()
    for name in (CREDIT, SETTLEMENT):
        artifact(name)
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that it has from here


def _child(question: dict[str, Any]) -> None:
    from cli.main import main

    code = 1
    try:
        log = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        random.seed()
        os.environ.update(question["settings"])
        sys.argv = ["truetonne", *question["words"]]
        if question["mutant"] is not None:
            from tests.support.mutants import MUTANTS

            MUTANTS[question["mutant"]](setattr)
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    _load()
    running: set[int] = set()
    try:
        for line in sys.stdin:
            question = json.loads(line)
            answer: int | None
            if "poll" in question:
                pid, status = os.waitpid(question["poll"], os.WNOHANG)
                answer = os.waitstatus_to_exitcode(status) if pid else None
                running.discard(pid)
            else:
                answer = os.fork()
                if answer == 0:
                    _child(question)
                running.add(answer)
            print(json.dumps(answer), flush=True)
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    _serve()
