"""Processes of the command line that begin with everything imported.

To start Python and import the program takes most of a second, and the tests start it hundreds of times.
Here one process imports it once, and forks for every run: the run is a process of its own all the same,
with its own folder, environment, streams and exit code. ``python -m tests.support.forks SOCKET`` is that
process; ``Forks`` talks to it.
"""

import array
import atexit
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cli", "ledger", "indexer", "api")
NOT_IMPORTED = ("ledger.migrations.env", "ledger.migrations.versions")  # Alembic runs these
_REQUEST_BYTES_MAX = 1 << 20


class Forks:
    """The process that forks, started on first use and ended with its user."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forks-")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(f"{self._folder.name}/socket")
        self._listener.listen(1)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks", f"{self._folder.name}/socket"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
        )
        self._listener.settimeout(60)
        self._line, _ = self._listener.accept()

    def run(
        self, words: Sequence[str], folder: Path, environ: Mapping[str, str], timeout_s: float
    ) -> tuple[int, str, str]:
        """Run the command line; return its exit code, and what it wrote to stdout and stderr."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            request = {"words": list(words), "folder": str(folder), "environ": dict(environ)}
            self._line.settimeout(timeout_s)
            streams = array.array("i", [out.fileno(), err.fileno()])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)]
            self._line.sendmsg([json.dumps(request).encode()], rights)
            code = json.loads(self._line.recv(100))
            out.seek(0)
            err.seek(0)
            return code, out.read().decode(), err.read().decode()

    def close(self) -> None:
        """End the process: it ends when nobody talks to it any more."""
        self._line.close()
        self._listener.close()
        self._process.wait(timeout=30)
        self._folder.cleanup()


def main() -> None:
    """Import the program, then fork for every request until the other side is gone."""
    for name in PACKAGES:
        package = import_module(name)
        for module in walk_packages(package.__path__, f"{name}."):
            if not module.name.startswith(NOT_IMPORTED):
                import_module(module.name)
    assert threading.active_count() == 1, "a thread does not survive a fork"
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.connect(sys.argv[1])
    while True:
        request, rights, _, _ = line.recvmsg(_REQUEST_BYTES_MAX, 1024)
        if not request:
            return
        streams = array.array("i")
        for _, _, data in rights:
            streams.frombytes(data)
        child = os.fork()
        if child == 0:
            line.close()
            _run(json.loads(request), list(streams))
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        line.send(json.dumps(os.waitstatus_to_exitcode(status)).encode())


def _run(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """Be the program, as the interpreter would run it."""
    for number, stream in enumerate(streams, start=1):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    random.seed()
    sys.argv = ["truetonne", *request["words"]]
    code: Any = 0
    try:
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


if __name__ == "__main__":
    main()
