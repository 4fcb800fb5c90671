"""The MariaDB servers of suites and benchmarks end with the process that started them, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.support.forms import long

pytestmark = pytest.mark.mariadb

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60
STARTED = """
    import sys, time
    from pathlib import Path
    from tests.support.mariadb import MariaDbServer
    server = MariaDbServer(Path(sys.argv[1]))
    server.start()
    print(server.pid, flush=True)
    time.sleep(60)
"""
INTERRUPTED = """
    import sys
    from pathlib import Path
    from tests.support.mariadb import MariaDbServer
    server = MariaDbServer(Path(sys.argv[1]))
    def answers():
        print(server.pid, flush=True)
        raise KeyboardInterrupt
    server._answers = answers
    try:
        server.start()
    except KeyboardInterrupt:
        input()
"""


def started(text: str, folder: Path) -> tuple[subprocess.Popen[str], int]:
    """Run a program in a session of its own; return it, and the number of its server."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def ended(pid: int) -> bool:
    """Wait until a process is gone; return whether it is."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@long
def test_a_server_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    process, server = started(STARTED, tmp_path)
    os.kill(server, 0)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert ended(server)


@long
def test_ctrl_c_of_a_terminal_is_left_to_the_process_that_started_it(tmp_path: Path) -> None:
    process, server = started(STARTED, tmp_path)
    assert os.getsid(server) != os.getsid(process.pid)
    process.kill()
    process.communicate()


@long
def test_a_server_whose_start_is_interrupted_is_ended(tmp_path: Path) -> None:
    process, server = started(INTERRUPTED, tmp_path)
    assert ended(server)
    process.communicate("\n")
    assert process.returncode == 0
