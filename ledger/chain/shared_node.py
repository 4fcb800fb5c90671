"""The local chain of one database: whoever needs it first starts its node, the others share it.

``truetonne up`` keeps the node running; a single command starts it, works, and ends it in order, so
that the chain goes on where it ended. A lock keeps two commands from starting two nodes on one
state, and a small file tells the others where the running one listens.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.chain.client import ChainClient
from ledger.chain.local_node import LocalNode, find_anvil
from ledger.errors import DependencyDown
from ledger.settings import Settings

_WAIT_SECONDS_MAX = 30.0


@contextmanager
def node_for(settings: Settings, port: int | None = None) -> Iterator[str]:
    """Give the address of a node for the settings, and end the node if it was started here.

    Parameters
    ----------
    port
        Port of the local node, when it is started here; None takes a free one.

    Yields
    ------
    str
        The JSON-RPC address.

    Raises
    ------
    BadInput
        If the port is in use.
    DependencyDown
        If the local node cannot be started.
    """
    if not settings.local_chain:
        yield settings.rpc_url
        return
    folder = settings.chain_folder
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as lock:
        if not _lock_or_find(lock.fileno(), folder):
            yield _address(folder)
            return
        node = LocalNode(
            find_anvil(settings.anvil),
            state=folder / "state.json",
            port=port,
            log=folder / "anvil.log",
        )
        try:
            node.start()
            _check_continuity(folder, node.rpc_url)
            (folder / "node.json").write_text(
                json.dumps({"rpc_url": node.rpc_url, "pid": os.getpid()}), encoding="utf-8"
            )
            yield node.rpc_url
        finally:
            (folder / "node.json").unlink(missing_ok=True)
            node.stop()


def forget_chain(settings: Settings) -> None:
    """Put the local chain aside, so that the next node begins a new one; for books that are new."""
    folder = settings.chain_folder
    state = folder / "state.json"
    if state.exists():
        state.replace(folder / "state.old.json")
    (folder / "genesis").unlink(missing_ok=True)
    settings.deployment.unlink(missing_ok=True)


def _check_continuity(folder: Path, rpc_url: str) -> None:
    """Check that the node goes on with the chain of this folder; note which chain a first one began.

    Raises
    ------
    DependencyDown
        If the node began another chain: its state was lost or could not be loaded.
    """
    client = ChainClient(rpc_url)
    try:
        first = client.block(0)
    finally:
        client.close()
    genesis = folder / "genesis"
    found = first.hash if first is not None else ""
    if not genesis.exists():
        genesis.write_text(found, encoding="utf-8")
    elif genesis.read_text(encoding="utf-8") != found:
        raise DependencyDown(
            f"the local chain in {folder} did not load its state (state.json); restore that file, "
            "or start anew with: truetonne demo --fresh",
            code="chain-lost",
        )


def mine_to_finality(client: ChainClient, settings: Settings, blocks: int = 2) -> None:
    """Mine empty blocks on a local chain so that what is in its head becomes final."""
    if settings.local_chain:
        client.request("anvil_mine", [hex(blocks)])


def published_url(settings: Settings) -> str:
    """Return the address of a node that answers now, without starting one; empty when none does."""
    return _address(settings.chain_folder) if settings.local_chain else settings.rpc_url


def _lock_or_find(descriptor: int, folder: Path) -> bool:
    """Return True when this process holds the lock, False when another one's node answers."""
    until = time.monotonic() + _WAIT_SECONDS_MAX
    while time.monotonic() < until:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if _address(folder):
                return False
            time.sleep(0.05)
    raise DependencyDown(
        f"another process holds {folder / 'lock'} but its node does not answer; end that process"
    )


def _address(folder: Path) -> str:
    """Return where the running node listens; empty while none answers."""
    try:
        rpc_url = str(json.loads((folder / "node.json").read_text(encoding="utf-8"))["rpc_url"])
    except (OSError, ValueError, KeyError):
        return ""
    client = ChainClient(rpc_url, timeout_s=2.0)
    try:
        client.chain_id()
    except DependencyDown:
        return ""
    finally:
        client.close()
    return rpc_url
