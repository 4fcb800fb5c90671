"""Where Brownie keeps its state, when it is imported outside ``./dev brownie``.

Brownie reads ``HOME`` once, when it is imported, and keeps accounts, networks and a database under
it. These helpers point it at ``build/brownie-home`` for the time of the import and put ``HOME``
back.
"""

import fcntl
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ledger.chain.local.anvil import end_with_parent

ROOT = Path(__file__).resolve().parents[2]
NETWORKS = Path(__file__).with_name("networks.yaml")


@contextmanager
def brownie_home() -> Iterator[None]:
    """Set ``HOME`` to the project's Brownie home: around the first ``import brownie``, and where its node starts."""
    # One home for each worker of pytest-xdist: Brownie's database does not share.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    home = ROOT / "build" / f"brownie-home{'-' + worker if worker else ''}"
    state = home / ".brownie"
    state.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(NETWORKS, state / "network-config.yaml")
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(home)
    try:
        yield
    finally:
        if before is None:
            del os.environ["HOME"]
        else:
            os.environ["HOME"] = before


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one process load the project, which compiles it: the others take what it has left under build/."""
    lock = ROOT / "build" / "brownie.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def node_ends_with_us() -> None:
    """Have the node that Brownie starts end with this process, however it ends; before it connects."""
    import psutil

    starts = partial(psutil.Popen, preexec_fn=end_with_parent())
    sys.modules["brownie.network.rpc.anvil"].psutil = SimpleNamespace(Popen=starts)  # type: ignore[attr-defined]


def take_own_port(networks: Mapping[str, Any]) -> None:
    """Give the node of this process a port of its own; ``networks`` as Brownie read them, by name.

    Brownie attaches to whatever listens on the port of its file, and resets that chain: also to the node of another
    run, so that the port is no part of the file that they share.
    """
    networks["development"]["cmd_settings"]["port"] = free_port()


def free_port() -> int:
    """Return a TCP port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
