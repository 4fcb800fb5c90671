"""Keeps Brownie's pytest plugin out of ordinary sessions, and their temporary files in memory.

Brownie registers a pytest plugin that compiles the project at the start of *every* session, starts
a node on port 8545, and takes over and resets a chain that already listens there. Only ``brownie
test`` wants that; there the node gets a free port instead. The plain sessions load Brownie in
``tests/contracts/conftest.py``, when its tests are collected.

Tests commit to databases thousands of times, and wait for the disk each time, for files that are gone a moment later.

What a shell has set for work with the product, or for Foundry and MariaDB, is of no test: each sets its own.

The path of a Unix socket has at most 107 bytes: below a long ``TMPDIR`` nodes and servers did not start.

Loaded by ``addopts = "-p scripts.toolchain.pytest_plugin"``, before the installed plugins are.
"""

import atexit
import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from scripts.toolchain.brownie_home import take_own_port

BROWNIE_PLUGIN = "pytest-brownie"
MEMORY = Path("/dev/shm")
ROOM_BYTES = 12 * 2**30
"""So much memory is free before temporary files lie there: a whole session has up to 4 GB of them."""
SHORT_BYTES = 40
"""A longer path of temporary files gets a short name: what programs put below it has up to 60 bytes more."""
_SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
_links: list[Path] = []
_OF_THE_SHELL = ("TRUETONNE_", "FOUNDRY_", "DAPP_", "ETH_RPC_URL", "ANVIL_IP_ADDR", "MYSQL_")
_OF_THE_TESTS = ("TRUETONNE_ANVIL", "TRUETONNE_BROWNIE_TEST", "TRUETONNE_PYTHON")
_BROWNIE_TEST = "TRUETONNE_BROWNIE_TEST"  # inherited by the workers of pytest-xdist


def is_brownie_test() -> bool:
    """Whether this session, or the one that started this worker, is ``brownie test``."""
    if Path(sys.argv[0]).stem == "brownie" and "test" in sys.argv[1:2]:
        os.environ[_BROWNIE_TEST] = "1"
    return _BROWNIE_TEST in os.environ


def has_room(memory: Path = MEMORY, meminfo: Path = Path("/proc/meminfo")) -> bool:
    """Return whether programs can run in a file system in memory, and there is room for the files of a session."""
    try:
        found = os.statvfs(memory)
        (free_kb,) = (
            int(line.split()[1])
            for line in meminfo.read_text().splitlines()
            if line.startswith("MemAvailable:")
        )
    except (OSError, ValueError):
        return False
    room = min(found.f_bavail * found.f_frsize, free_kb * 1024)
    return room >= ROOM_BYTES and not found.f_flag & os.ST_NOEXEC and os.access(memory, os.W_OK)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Put temporary files into memory, unless ``TMPDIR`` says where; workers and programs inherit it."""
    if not is_brownie_test():  # its networks are named by such variables
        for name in [*os.environ]:
            if name.startswith(_OF_THE_SHELL) and name not in _OF_THE_TESTS:
                del os.environ[name]
    if "TMPDIR" not in os.environ and has_room():
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # asked for again
    elif "TMPDIR" in os.environ:
        os.environ["TMPDIR"] = shortened(tempfile.gettempdir())
        tempfile.tempdir = None


def shortened(folder: str, places: Sequence[str] = _SHORT_PLACES) -> str:
    """Return a folder's name, or a link's to it where that is too long for sockets; the session removes the link."""
    if len(os.fsencode(folder)) > SHORT_BYTES:
        for place in places:
            link = Path(place) / f"tests-{secrets.token_hex(4)}"
            with suppress(OSError):
                link.symlink_to(folder)
                _links.append(link)
                atexit.register(_unlink, os.getpid())
                return str(link)
    return folder


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """Remove what this session linked; its workers have ended."""
    _unlink(os.getpid())


def _unlink(owner: int) -> None:
    # At the process's end as well: without its conftest a session ends before it is configured. But not of a fork's.
    while _links and owner == os.getpid():
        _links.pop().unlink(missing_ok=True)


def pytest_plugin_registered(manager: pytest.PytestPluginManager) -> None:
    """Block the plugin; called for our own registration first, so before installed plugins load."""
    if not is_brownie_test() and not manager.is_blocked(BROWNIE_PLUGIN):
        manager.set_blocked(BROWNIE_PLUGIN)


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Let a terminated session stop its nodes; give ``brownie test`` a node of its own.

    It would reset whatever listens on 8545. A shell lets what it starts in the background ignore Ctrl-C, and
    the programs that tests start and interrupt would ignore it as well.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if is_brownie_test():
        import hypothesis.extra.pytestplugin  # Brownie's plugin expects it to be imported  # noqa: F401
        from brownie._config import CONFIG

        take_own_port(CONFIG.networks)
