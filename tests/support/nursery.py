"""Processes of the command line that begin with everything imported.

To start Python and import the program takes a second and more, and the tests start it hundreds of times.
The nursery imports it once, for all processes of a run of the tests, and forks for every run: the run is a process
of its own all the same, with its own folder, environment, streams and exit code, and it can be killed. It opens
neither database nor network before it forks. ``python -m tests.support.nursery FOLDER SOCKET`` is that process;
``Nursery`` talks to it.
"""

from __future__ import annotations

import array
import atexit
import fcntl
import gc
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path
from pkgutil import walk_packages
from select import select
from typing import Any, NoReturn, Self
from zlib import crc32

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cli", "ledger", "indexer", "api")
NOT_IMPORTED = ("ledger.migrations.env", "ledger.migrations.versions")  # Alembic runs these
_REQUEST_BYTES_MAX = 1 << 20
_ANSWER_S_MAX = 600
"""It imports the whole program before its first answer: on a busy machine that took more than a minute."""


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
        self.wait(60)

    def stop(self) -> int:
        """Ask it to end, and return the exit code."""
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)
        return self.wait(60)

    def said(self) -> str:
        """Return what it wrote to stdout and stderr."""
        return self.log.read_text(encoding="utf-8", errors="replace")


class Nursery:
    """Its user's line to the process that forks; what was forked for a user ends with it."""

    def __init__(self) -> None:
        self.mutant: str | None = None
        """Name of what is broken in the processes that start now, see ``tests.support.mutants``."""
        folder = _place()
        with _alone(folder):
            self._line = _called(folder) or _started(folder)

    def start(
        self,
        words: Sequence[str],
        settings: Mapping[str, str],
        log: Path,
        folder: Path = ROOT,
        *,
        ahead: bool = False,
        dies: Sequence[Any] | None = None,
    ) -> Child:
        """Start the command with some words; ``settings`` are variables of its environment.

        With ``ahead`` ranges are short in it, and read ahead, see ``tests.support.ahead``. ``dies`` are a file and a
        number, see ``tests.support.dying``.
        """
        environ = {**os.environ, **settings}
        with log.open("ab") as stream:
            streams = (stream.fileno(), stream.fileno())
            pid = self._fork(words, environ, folder, streams, ahead=ahead, dies=dies)
            return Child(self, pid, log)

    def run(
        self, words: Sequence[str], folder: Path, environ: Mapping[str, str], timeout_s: float
    ) -> tuple[int, str, str]:
        """Run the command in this environment alone; return its exit code, and its stdout and stderr."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            pid = self._fork(words, environ, folder, (out.fileno(), err.fileno()))
            code = self.ask({"wait": pid}, timeout_s)
            out.seek(0)
            err.seek(0)
            return code, out.read().decode(), err.read().decode()

    def ask(self, question: Mapping[str, Any], timeout_s: float = _ANSWER_S_MAX) -> Any:
        """Put a question to the process and return the answer."""
        self._line.settimeout(timeout_s)
        self._line.send(json.dumps(question).encode())
        return json.loads(self._line.recv(100))

    def close(self) -> None:
        """End what was forked for this user, and wait until it is gone."""
        self._line.settimeout(30)
        with self._line, suppress(OSError):  # it may be gone already
            self._line.shutdown(socket.SHUT_WR)
            while self._line.recv(100):
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fork(
        self,
        words: Sequence[str],
        environ: Mapping[str, str],
        folder: Path,
        streams: tuple[int, int],
        *,
        ahead: bool = False,
        dies: Sequence[Any] | None = None,
    ) -> int:
        request = {
            "words": list(words),
            "folder": str(folder),
            "environ": dict(environ),
            "mutant": self.mutant,
            "ahead": ahead,
            "dies": None if dies is None else [str(dies[0]), *dies[1:]],
        }
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))]
        self._line.settimeout(_ANSWER_S_MAX)
        self._line.sendmsg([json.dumps(request).encode()], rights)
        return int(json.loads(self._line.recv(100)))


def _place() -> Path:
    """Return the folder where the process listens: one for all processes of a run of tests, in one project's folder."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}")
    return Path(tempfile.gettempdir()) / f"nursery-{run}-{crc32(bytes(ROOT)):08x}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process begin or end the process that listens, or call it."""
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = (folder / "lock").open("w")
        except FileNotFoundError:  # the process that ends removes the folder
            continue
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock.fileno()).st_nlink:
                yield
                return


def _called(folder: Path) -> socket.socket | None:
    """Call the process that listens, if there is one; it answers when it has imported everything."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        line.connect(str(folder / "socket"))
    except OSError:
        line.close()
        return None
    return line


def _started(folder: Path) -> socket.socket:
    """Start the process and call it."""
    (folder / "socket").unlink(missing_ok=True)  # of one that was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(folder / "socket"))
    listener.listen(100)
    with listener:
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.nursery", str(folder), str(listener.fileno())],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C reaches its users, and then it ends
        )
        line = _called(folder)
    assert line is not None
    return line


@cache
def shared() -> Nursery:
    """Return the nursery of this process, which all its tests share."""
    made = Nursery()
    atexit.register(made.close)
    return made


# --------------------------------------------------------------------- inside of that process


def _load() -> None:
    """Import the whole program, and have it read what it reads once."""
    gc.disable()  # nothing of what is imported is garbage
    for name in PACKAGES:
        package = import_module(name)
        for module in walk_packages(package.__path__, f"{name}."):
            if not module.name.startswith(NOT_IMPORTED):
                import_module(module.name)
    import httpx
    import sqlalchemy.dialects.mysql.pymysql
    import sqlalchemy.dialects.sqlite  # noqa: F401
    from sqlalchemy.orm import configure_mappers

    from cli.main import build, run
    from ledger.chain.contracts.abi import artifact
    from ledger.chain.contracts.events import CREDIT, SETTLEMENT
    from ledger.migrations.revisions import head

    build()
    with redirect_stdout(StringIO()):
        run(["--version"])  # and what the first command of a process makes once
    head()
    configure_mappers()
    httpx.Client(trust_env=False).close()
    for name in (CREDIT, SETTLEMENT):
        artifact(name)
    assert threading.active_count() == 1, "a thread does not survive a fork"
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page that it has from here
    gc.enable()


def _child(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """Be the program, as the interpreter would run it."""
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    random.seed()
    sys.argv = ["truetonne", *request["words"]]
    code: Any = 0
    try:
        if request["mutant"] is not None:
            from tests.support.mutants import MUTANTS

            MUTANTS[request["mutant"]](setattr)
        if request["ahead"]:
            from tests.support.ahead import small

            small()
        if request["dies"] is not None:
            from tests.support.dying import install

            install(Path(request["dies"][0]), *request["dies"][1:])
        from cli.main import main as program

        program()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Import the program, then fork a process for each user, and end with the last of them."""
    folder = Path(sys.argv[1])
    listener = socket.socket(fileno=int(sys.argv[2]))
    _load()
    users: set[int] = set()
    while True:
        if select([listener], [], [], 0.5)[0]:
            users.add(_user(listener))
        for pid in list(users):
            if os.waitpid(pid, os.WNOHANG)[0]:
                users.remove(pid)
        if not users:
            with _alone(folder):  # nobody calls meanwhile
                if not select([listener], [], [], 0)[0]:
                    shutil.rmtree(folder)
                    return


def _user(listener: socket.socket) -> int:
    """Accept a call, and fork the process that serves it; return its number."""
    line, _ = listener.accept()
    with line:
        user = os.fork()
        if user == 0:
            listener.close()
            try:
                _serve(line)
            except BaseException:
                traceback.print_exc()
            os._exit(0)
    return user


def _serve(line: socket.socket) -> None:
    """Answer a user until it is gone."""
    running: set[int] = set()
    try:
        while True:
            text, rights, _, _ = line.recvmsg(_REQUEST_BYTES_MAX, 1024)
            if not text:
                return
            line.send(json.dumps(_answer(json.loads(text), rights, line, running)).encode())
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _answer(
    question: dict[str, Any],
    rights: Sequence[tuple[int, int, bytes]],
    line: socket.socket,
    running: set[int],
) -> int | None:
    """Return an exit code (None: it runs), or the number of a process that was forked."""
    for word, options in (("poll", os.WNOHANG), ("wait", 0)):
        if word in question:
            pid, status = os.waitpid(question[word], options)
            running.discard(pid)
            return os.waitstatus_to_exitcode(status) if pid else None
    streams = array.array("i")
    for _, _, data in rights:
        streams.frombytes(data)
    child = os.fork()
    if child == 0:
        line.close()
        _child(question, list(streams))
    for stream in streams:
        os.close(stream)
    running.add(child)
    return child


if __name__ == "__main__":
    main()
