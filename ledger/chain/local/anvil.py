"""A local Anvil of our own: started on a free port, never attached to, ended with its parent.

The node keeps its state in a file, so that a later run goes on where this one ended. ``finalized``
lags two blocks behind the head; ``mine`` makes things final.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from ledger.chain.local.state import (
    STATES_KEPT,
    keep_first_genesis,
    place_beside,
    saved_at,
    take_saved,
)
from ledger.chain.node.client import ChainClient
from ledger.errors import KILLED, BadInput, DependencyDown
from ledger.settings import LOCAL_CHAIN_ID

FINALITY_LAG_BLOCKS = 2
SAVED_EVERY_S = 10 * 365 * 86_400
"""How often Anvil saves while it runs: never, so that what is saved is of its end, see ``state``.

By itself it does each minute, and answers nobody meanwhile: a chain of a thousand blocks is 300 MB.
"""

ROOM_BYTES = 65_536
"""A disk with less room than that is full."""
_NPM_SCOPE = Path("node_modules/@foundry-rs")
_CHECKOUT = Path(__file__).resolve().parents[3]
"""Where npm put it for whoever calls the program of a checkout from another folder."""

log = logging.getLogger(__name__)


class LocalNode:
    """One Anvil process.

    Parameters
    ----------
    program
        The native ``anvil`` program. (npm's wrapper orphans it when it is killed.)
    state
        File that the chain is loaded from and saved to when the node ends; None keeps nothing. One that
        cannot be saved leaves the file as it was.
    port
        Port to listen on; None takes a free one.
    options
        Further command-line options.
    ipc
        Path of a socket to listen on as well; None opens none.
    patience_s
        Seconds that the start, and the end, may take; a long chain is loaded and saved more slowly.

    Raises
    ------
    BadInput
        From ``start``, if the port is in use.
    DependencyDown
        From ``start``, if the program does not start.
    """

    def __init__(
        self,
        program: Path,
        state: Path | None = None,
        port: int | None = None,
        log: Path | None = None,
        options: Sequence[str] = (),
        ipc: Path | None = None,
        patience_s: float = 20.0,
    ) -> None:
        self.program = program
        self.state = state
        if port is None:
            self._kept = KeptPort()  # as long as the node may come back there
            port = self._kept.number
        self.port = port
        self._log = log
        self._options = list(options)
        self._ipc = ipc
        self._patience_s = patience_s
        self._process: subprocess.Popen[bytes] | None = None
        self._sweep: Callable[[], object] = lambda: None
        self._begun = False  # whether the place beside the state says that a node runs
        self.gone_back_to: datetime | None = None
        """When the state was saved, if a node ran since that could not save its own: known from the start on."""
        self.unsaved = False
        """Whether a node ran before that could not save its state: known from the start on."""

    @property
    def rpc_url(self) -> str:
        """Address of the node."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process's number; None before the start and after the end."""
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def _killed(self) -> bool:
        return self._process is not None and self._process.poll() == -signal.SIGKILL

    def start(self) -> LocalNode:
        """Start the node and wait until it answers."""
        if not port_is_free(self.port):
            raise BadInput(f"port {self.port} is in use; name another, or end what listens there")
        command = [
            str(self.program),
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--chain-id",
            str(LOCAL_CHAIN_ID),
            "--hardfork",
            "prague",
            "--slots-in-an-epoch",
            "1",
            "--quiet",  # else a line for each question, for as long as it runs; what ends it is said all the same
            *self._options,
        ]
        if self._ipc is not None:
            # A killed node leaves its socket, which would pass for the new one's.
            self._ipc.unlink(missing_ok=True)
            command += ["--ipc", str(self._ipc)]
        try:
            self._launch(command)
            self._wait()
        except BaseException:  # it has nothing to save, and, interrupted, may not yet know how
            self._end()
            self._forget_begun()
            raise
        return self

    def _launch(self, command: list[str]) -> None:
        self._begun = False
        if self.state is not None:
            command += self._state_options(self.state)
        output = self._log.open("ab") if self._log is not None else subprocess.DEVNULL
        environment = {**os.environ, "HOME": str(self._scratch())}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if self._log is not None else subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches us; we end the node in order
                # Safe with threads: it calls functions of libc that were found before, and takes no lock.
                preexec_fn=end_with_parent(),  # noqa: PLW1509
            )
        except OSError as error:
            raise DependencyDown(
                f"{self.program} does not start ({error.strerror}); run ./dev sync, or set anvil"
            ) from error
        finally:
            if self._log is not None:
                output.close()  # type: ignore[union-attr]

    def _state_options(self, state: Path) -> list[str]:
        """Make the state ready to be loaded, and return what has Anvil load it and save it beside."""
        state.parent.mkdir(parents=True, exist_ok=True)
        self.unsaved = not take_saved(state)
        self.gone_back_to = saved_at(state) if self.unsaved else None
        keep_first_genesis(state)
        self._begun = True
        place_beside(state).touch()  # empty until the node has saved: whoever finds it so knows
        loading = ["--load-state", str(state)] if state.exists() else []
        return [
            *loading,
            "--dump-state",
            str(place_beside(state)),
            "--state-interval",
            str(SAVED_EVERY_S),
            "--preserve-historical-states",
            "--prune-history",
            str(STATES_KEPT),
        ]

    def _wait(self) -> None:
        until = time.monotonic() + self._patience_s
        client = ChainClient(self.rpc_url, timeout_s=2.0)
        try:
            while self.running and time.monotonic() < until:
                try:
                    client.chain_id()
                    if self._ipc is None or _somebody_listens(self._ipc):
                        return
                except DependencyDown:
                    pass
                time.sleep(0.02)
        finally:
            client.close()
        if self._killed:
            raise DependencyDown(f"{self.program} {KILLED}; try again")
        places = f"port {self.port}" + (f" and {self._ipc}" if self._ipc is not None else "")
        raise DependencyDown(f"{self.program} did not answer on {places}{self._hint()}")

    def _hint(self) -> str:
        """Return where to look. Without room for its log Anvil ends, and says so nowhere."""
        if self._log is None:
            return ""
        free = shutil.disk_usage(self._log.parent).free
        if free < ROOM_BYTES:
            return (
                f"; {self._log.parent} has no room, {free} bytes are free: make some, and try again"
            )
        return f"; see {self._log}"

    def _scratch(self) -> Path:
        """Return the folder that Anvil takes for HOME: below it, it puts the states of blocks before the last 500.

        Beside the state, which may need as much room; what a node that was killed has left there goes. Else a folder
        that goes with the node.
        """
        if self.state is not None:
            beside = self.state.parent.resolve()
            shutil.rmtree(beside / ".foundry", ignore_errors=True)
            return beside
        folder = tempfile.mkdtemp(prefix="anvil-")
        self._sweep = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def _forget_begun(self) -> None:
        """Have the next start find what this one found: no block was made that could be lost."""
        if self.state is None or not self._begun:
            return
        if self.unsaved:
            place_beside(self.state).write_bytes(b"")
        else:
            place_beside(self.state).unlink(missing_ok=True)
        self._begun = False

    def stop(self) -> None:
        """End the node in order, so that it saves its state; harmless when it has ended."""
        killed = self._killed
        self._end()
        if self.state is not None and self._begun and not take_saved(self.state):
            log.warning(
                "%s; the next start goes back to what was saved before",
                f"the node of the local chain {KILLED}"
                if killed
                else f"the local chain could not be saved in {self.state.parent} (has the disk room?)",
            )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(self._patience_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._sweep()

    def __enter__(self) -> LocalNode:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def mine(self, blocks: int = FINALITY_LAG_BLOCKS) -> None:
        """Mine empty blocks; two make everything before them final."""
        client = ChainClient(self.rpc_url)
        try:
            client.request("anvil_mine", [hex(blocks)])
        finally:
            client.close()


_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def end_with_parent(number: int = signal.SIGTERM) -> Callable[[], None] | None:
    """Return what asks Linux, in a child, to end it by a signal when its parent dies, however it dies; else None.

    For ``preexec_fn`` of a ``Popen``. Linux counts the thread that started the child as the parent: start a node in
    a thread that lives as long as the node shall.
    """
    if _PRCTL is None:
        return None
    parent = os.getpid()

    def ask() -> None:
        assert _PRCTL is not None
        _PRCTL(_SET_PARENT_DEATH_SIGNAL, number)
        if os.getppid() != parent:  # it died before it was asked
            os._exit(1)

    return ask


def find_anvil(configured: Path | None) -> Path:
    """Return the native ``anvil`` program: of the working directory, else of this checkout, else on the path.

    Raises
    ------
    DependencyDown
        If there is none.
    """
    if configured is not None:
        if configured.is_file():
            return _native(configured)
        raise DependencyDown(f"anvil: {configured} does not exist; correct the setting")
    for root in (Path(), _CHECKOUT):
        for program in sorted((root / _NPM_SCOPE).glob("anvil-*/bin/anvil")):
            return program.resolve()
    found = shutil.which("anvil")
    if found is None:
        raise DependencyDown(
            f"no anvil found; {_first_way()}install Foundry, or set rpc_url to a running node"
        )
    return _native(Path(found))


def _first_way() -> str:
    """Return what only a checkout has, and an installed program has not."""
    return "run ./dev sync, " if (_CHECKOUT / "dev").is_file() else ""


def _native(program: Path) -> Path:
    """Return what npm's wrapper starts; what is no such wrapper, as it is.

    A wrapper that is ended leaves its node behind, with a state that nobody saves.

    Raises
    ------
    DependencyDown
        If the native program is not where npm installs it.
    """
    for folder in program.resolve().parents:
        if (folder.name, folder.parent.name) == ("anvil", _NPM_SCOPE.name):
            places = (folder.parent, folder / _NPM_SCOPE)
            for place in places:
                for found in sorted(place.glob("anvil-*/bin/anvil")):
                    return found
            raise DependencyDown(
                f"anvil: {program} is the wrapper of npm, and the native program is not beside it; install it anew, or "
                "set anvil to the native program"
            )
    return program


def _somebody_listens(path: Path) -> bool:
    """Return whether a socket is there and open: Anvil opens it after its port."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


class KeptPort:
    """A port of the loopback interface that nobody used, kept from others until it is closed.

    Its socket does not listen and lets another be bound beside it, so that a program that is given the port
    can listen there; who looks for any free port does not get it. Where a place has one socket alone, which is
    everywhere but on Linux, it is closed at once, and another may be faster.
    """

    def __init__(self) -> None:
        kept = socket.socket()
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        self.number = int(kept.getsockname()[1])
        self.close = weakref.finalize(self, kept.close)
        """Let others have it."""
        if sys.platform != "linux":
            self.close()


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Return whether nothing listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
