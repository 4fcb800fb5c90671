"""The local chain of one database: whoever needs it first starts its node, the others share it.

``truetonne up`` keeps the node running; a single command starts it, works, and ends it in order, so
that the chain goes on where it ended. A lock keeps two commands from starting two nodes on one
state, and a small file tells the others where the running one listens. Whoever shares the node holds a
second lock meanwhile, so that the one who started it ends it only when nobody needs it any more. A
process that was killed takes its node along: the next one waits until that has saved its state. Where it could
not, the chain goes on from the state before, and the mirror takes back what came later. An older state that somebody
put there is refused.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.chain.local.anvil import FINALITY_LAG_BLOCKS, LocalNode, find_anvil
from ledger.chain.local.state import ANEW, place_beside
from ledger.chain.node.client import ChainClient, RpcError
from ledger.db import Database, SchemaMissing
from ledger.errors import BadInput, DependencyDown, TruetonneError
from ledger.files import part_in, put
from ledger.models import ChainCursor
from ledger.settings import LOCAL_CHAIN_ID, Settings

_WAIT_SECONDS_MAX = 30.0
_GUESTS_SECONDS_MAX = 20.0
"""How long a command that started the node waits for others that still use it."""

log = logging.getLogger(__name__)


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
    with (folder / "lock").open("a") as lock, (folder / "guests").open("a") as guests:
        rpc_url = _lock_or_find(lock.fileno(), guests.fileno(), folder)
        if rpc_url:
            yield rpc_url
            return
        _wait_for_end(folder)
        node = LocalNode(
            find_anvil(settings.anvil),
            state=folder / "state.json",
            port=port,
            log=folder / "anvil.log",
        )
        try:
            _begin(settings, node)
            yield node.rpc_url
        finally:
            # Nobody comes any more, and whoever comes next knows who saves.
            with suppress(FileNotFoundError):
                (folder / "node.json").rename(folder / "ending.json")
            _wait_for_guests(guests.fileno())
            node.stop()
            (folder / "ending.json").unlink(missing_ok=True)


def _begin(settings: Settings, node: LocalNode) -> None:
    """Start the node, see that it goes on with the chain of the folder, and note where it listens."""
    folder = settings.chain_folder
    try:
        node.start()
        _check_continuity(settings, node)
        _check_age(settings, node)
        _note_down(
            folder / "node.json", json.dumps({"rpc_url": node.rpc_url, "node_pid": node.pid})
        )
    except OSError as error:
        raise DependencyDown(
            f"the local chain cannot write into {folder} ({error.strerror}); make room on its disk, "
            "or let this account write there, and start again"
        ) from error


def _note_down(file: Path, text: str) -> None:
    """Write a small file, whole or not at all: half of one says another thing at the next start."""
    with part_in(file.parent) as part:
        part.write_text(text, encoding="utf-8")
        put(part, file)


def _check_age(settings: Settings, node: LocalNode) -> None:
    """Check that the chain is as high as the books; make it so where the node that ran last could not save its state.

    Blocks of other hashes where the books have theirs are a reorganisation, which the mirror follows.

    Raises
    ------
    DependencyDown
        If somebody put an older state in its place. It may be a mistake, and the newer one is elsewhere.
    """
    if node.gone_back_to is not None:
        log.warning(
            "the local chain was not saved when it last ended, by a full disk or a kill: it goes on as of %s UTC; the "
            "mirror takes back what came later, as in a reorganisation, and what we had signed is sent again",
            f"{node.gone_back_to:%Y-%m-%d %H:%M:%S}",
        )
    cursor = _cursor(settings)
    if cursor is None:
        return
    client = ChainClient(node.rpc_url)
    try:
        head, (_, first) = client.block_number(), client.identity()
    finally:
        client.close()
    if first is not None and first.hash != cursor.genesis_hash:
        return  # another park's: older or not, who works on it refuses it, and nothing is taken back for it
    mirrored = cursor.block_number
    if mirrored > head and node.gone_back_to is None:
        folder = settings.chain_folder
        raise DependencyDown(
            f"the local chain in {folder} is older than the books: it ends at block {head}, and they have block "
            f"{mirrored}; bring back the newest state.json. Where that is lost, make an empty file "
            f"{place_beside(folder / 'state.json')} and start again: the mirror takes back what came later, "
            "and what we had signed is sent again",
            code="chain-older",
        )
    if mirrored >= head and node.gone_back_to is not None:
        node.mine(mirrored + 1 - head)


def _cursor(settings: Settings) -> ChainCursor | None:
    """Return what the books have of the chain, and how far; None where there is nothing."""
    db = Database(settings.database_url)
    if not db.is_there():
        return None
    try:
        with db.read() as session:
            return session.get(ChainCursor, settings.network)
    except DependencyDown:  # no tables yet: nothing to be older than
        return None
    finally:
        db.close()


def _is_unknown(settings: Settings) -> bool:
    """Return whether the books say that they mirror no chain; False where they do not answer."""
    with closing(Database(settings.database_url)) as db:
        if not db.is_there():
            return True
        try:
            with db.read() as session:
                return session.get(ChainCursor, settings.network) is None
        except DependencyDown as error:
            return error.code == "schema-missing"


def check_node_lives(settings: Settings) -> None:
    """Check that the node of the local chain still runs; for those who stay while it does.

    Raises
    ------
    DependencyDown
        If it has ended.
    """
    if not settings.local_chain:
        return
    pid = _node_pid(settings.chain_folder)
    if pid is None or not _is_node(pid):
        raise DependencyDown(
            f"the node of the local chain has ended; {settings.chain_folder / 'anvil.log'} may say why, "
            "and what it had not saved is taken back at the next start: start again",
            code="node-ended",
        )


def check_chain_is_here(settings: Settings, db: Database) -> None:
    """Check that the local chain that the books mirror is in its folder.

    The folder's name comes from the place of the database: one that was moved looks for another name.

    Raises
    ------
    BadInput
        If the books know a local chain and the folder holds none.
    DependencyDown
        If the folder holds none, and the database does not answer: it is the first thing to say then.
    """
    folder = settings.chain_folder
    if not settings.local_chain or settings.deployment.exists():
        return
    if (folder / "state.json").exists():
        return  # the chain is here, and its deployment file is not: to deploy again writes that
    if not db.is_there():  # reading would make it
        return
    try:
        with db.read() as session:
            known = session.get(ChainCursor, settings.network) is not None
    except SchemaMissing:  # no tables yet: no chain either
        return
    if not known:
        return
    others = sorted(path.parent for path in settings.home.glob("chain-*/deployment.json"))
    found = " or ".join(str(path) for path in others) or "its old folder, chain-..."
    raise BadInput(
        f"the books mirror a local chain that is not in {folder}; when the database was moved, rename "
        f"{found} to {folder.name}, {ANEW}",
        code="chain-moved",
        details={"expected": str(folder), "found": [str(path) for path in others]},
    )


def forget_chain(settings: Settings) -> None:
    """Put the local chain aside, so that the next node begins a new one; for books that are new."""
    folder = settings.chain_folder
    state = folder / "state.json"
    if state.exists():
        state.replace(folder / "state.old.json")
    place_beside(state).unlink(missing_ok=True)
    (folder / "genesis").unlink(missing_ok=True)
    settings.deployment.unlink(missing_ok=True)


def _check_continuity(settings: Settings, node: LocalNode) -> None:
    """Check that the node goes on with the chain of this folder; note which chain a first one began.

    A first one that could not save what it began, by a full disk or a kill, leaves nothing to go on with. Where the
    books know nothing of it either, this one is the first.

    Raises
    ------
    DependencyDown
        If the node began another chain: its state was lost or could not be loaded.
    """
    folder = settings.chain_folder
    client = ChainClient(node.rpc_url)
    try:
        first = client.block(0)
    finally:
        client.close()
    genesis = folder / "genesis"
    found = first.hash if first is not None else ""
    before = genesis.read_text(encoding="utf-8") if genesis.exists() else ""
    first_unsaved = node.unsaved and node.gone_back_to is None
    if before not in ("", found) and first_unsaved and _is_unknown(settings):
        if settings.deployment.parent == folder:  # else it is a person's own
            settings.deployment.unlink(missing_ok=True)
        before = ""
    if not before:  # also a file that a full disk or a kill left empty
        _note_down(genesis, found)
    elif before != found:
        raise DependencyDown(
            f"the local chain in {folder} did not load its state (state.json); restore that file; {ANEW}",
            code="chain-lost",
        )


def mine_to_finality(client: ChainClient, settings: Settings) -> None:
    """Mine empty blocks on a local chain so that what is in its head becomes final."""
    if settings.local_chain:
        client.request("anvil_mine", [hex(FINALITY_LAG_BLOCKS)])


def come_to(client: ChainClient, chain_id: int, moment: datetime) -> None:
    """Have a local chain come to a moment that is over by our clock, where its newest block is from before.

    A call is tried by the time of the newest block. A local chain has no blocks but those of transactions: what has
    been right since would be refused for as long as nobody sends anything.
    """
    if chain_id != LOCAL_CHAIN_ID or moment > datetime.now(UTC):
        return
    head = client.block("latest")
    if head is not None and head.timestamp < moment.timestamp():
        with suppress(RpcError):  # a node that is none of ours, and cannot
            client.request("evm_mine")


def judged_at_s(client: ChainClient, chain_id: int) -> int:
    """Return the time by which the contracts judge a deadline now, in epoch seconds: that of the newest block.

    Ours on a local chain, if that is later: its node is on this machine, and mines when something is sent.
    """
    newest_s = client.head().timestamp
    ours_s = int(datetime.now(UTC).timestamp())
    return max(newest_s, ours_s) if chain_id == LOCAL_CHAIN_ID else newest_s


def published_url(settings: Settings) -> str:
    """Return the address of a node that answers now, without starting one; empty when none does."""
    return _address(settings.chain_folder) if settings.local_chain else settings.rpc_url


def silence(settings: Settings) -> str:
    """Return what to say where a local node runs and does not answer, as one that hangs; empty when none runs."""
    pid = _node_pid(settings.chain_folder) if settings.local_chain else None
    if pid is None or not _is_node(pid):
        return ""
    return f"the node of the local chain (process {pid}) runs and does not answer"


def answering_url(settings: Settings) -> str:
    """Return the address of a node that answers now, without starting one.

    Raises
    ------
    DependencyDown
        If the local chain's node does not run (``node-down``), or runs and does not answer (``node-slow``).
    """
    url = published_url(settings)
    if url:
        return url
    silent = silence(settings)
    if silent:
        raise DependencyDown(silent, code="node-slow")
    raise DependencyDown(
        "the local chain is not running; `truetonne up` starts it", code="node-down"
    )


def _lock_or_find(lock: int, guests: int, folder: Path) -> str:
    """Return where another process's node answers, held for us; empty when this one holds the lock."""
    until = time.monotonic() + _WAIT_SECONDS_MAX
    while time.monotonic() < until:
        if _locked(lock, fcntl.LOCK_EX):
            return ""
        # A guest first, then a look: a node that answers a guest is not ended under it.
        if _locked(guests, fcntl.LOCK_SH):
            rpc_url = _address(folder)
            if rpc_url:
                return rpc_url
            fcntl.flock(guests, fcntl.LOCK_UN)
        time.sleep(0.05)
    raise DependencyDown(
        f"another process holds {folder / 'lock'} but its node does not answer; end that process"
    )


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for_guests(guests: int) -> None:
    """Wait until nobody shares the node any more, within reason."""
    until = time.monotonic() + _GUESTS_SECONDS_MAX
    while not _locked(guests, fcntl.LOCK_EX) and time.monotonic() < until:
        time.sleep(0.05)


def _wait_for_end(folder: Path) -> None:
    """Wait until the node of a process that was killed, also while it ended, has ended: it is saving the state."""
    until = time.monotonic() + _WAIT_SECONDS_MAX
    for name in ("node.json", "ending.json"):
        pid = _node_pid(folder, name)
        while pid is not None and _is_node(pid) and time.monotonic() < until:
            time.sleep(0.05)
        (folder / name).unlink(missing_ok=True)


def _node_pid(folder: Path, name: str = "node.json") -> int | None:
    """Return the process that a note of the folder names; None when there is none."""
    try:
        return int(_note(folder, name)["node_pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note(folder: Path, name: str = "node.json") -> Any:
    """Return what the one who runs the node wrote down, as it is: nobody vouches for the file."""
    return json.loads((folder / name).read_text(encoding="utf-8"))


def _is_node(pid: int) -> bool:
    """Return whether a process lives and may be a node; numbers of processes are given out again."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        # "PID (NAME) STATE ...": one that ended and that nobody has fetched is in state Z.
        return not stat.exists() or (
            " (anvil) " in (text := stat.read_text()) and " (anvil) Z" not in text
        )
    except OSError:
        return False


def _address(folder: Path) -> str:
    """Return where the running node listens; empty while none answers."""
    try:
        rpc_url = str(_note(folder)["rpc_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    client = ChainClient(rpc_url, timeout_s=2.0)
    try:
        client.chain_id()
    except TruetonneError:  # also no address, or a stranger who took its port and refuses
        return ""
    finally:
        client.close()
    return rpc_url
