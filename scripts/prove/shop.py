"""The workshop of all parts: where things are, and how a tool is run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "prove"
TOOLS = ROOT / ".tools" / "prove" / "bin"
BUILD_TIMEOUT_S = 600  # for what hangs: the machine may be shared
SNAPSHOTS = ROOT / "build" / "forge-snapshots"  # as foundry.toml says

_AT_WORK: set[subprocess.Popen[str]] = set()


class Refused(Exception):
    """A tool is missing, or says something that is no result; said in one line."""


@dataclass(frozen=True)
class Run:
    """What a command said, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float
    timed_out: bool = False

    @property
    def text(self) -> str:
        """Both streams, for a reader."""
        return f"{self.out}\n{self.err}".strip()


def run(
    command: Sequence[str | Path],
    *,
    timeout_s: float,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
) -> Run:
    """Run a command to its end, or end it and all its children when its time is over."""
    started = time.monotonic()
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env={**environment(), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        _AT_WORK.add(process)
        timed_out = False
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            _AT_WORK.discard(process)
    return Run(process.returncode, out, err, time.monotonic() - started, timed_out)


@contextmanager
def ended_when_interrupted(pool: Executor) -> Iterator[None]:
    """End what the threads of a pool run when this one is interrupted: they do not hear it, and would be waited for."""
    try:
        yield
    except KeyboardInterrupt:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(_AT_WORK):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        raise


def environment() -> dict[str, str]:
    """Return the environment of every tool: a home of the project's own."""
    home = ROOT / "build" / "foundry-home"
    home.mkdir(parents=True, exist_ok=True)
    of_the_shell = ("FOUNDRY_", "DAPP_", "ETH_RPC_URL")  # by the last one forge forks a chain
    found = {name: value for name, value in os.environ.items() if not name.startswith(of_the_shell)}
    return {**found, "HOME": str(home), "NO_COLOR": "1"}


def built() -> dict[str, str]:
    """Compile contracts and suites, unless that was done; return the variables that name the folders.

    All parts share one build: to compile is half of their time. It is whole or not there, because a
    compilation of what changed alone leaves no output of the compiler that covers everything.

    Raises
    ------
    Refused
        If they do not compile.
    """
    folder = BUILD / "forge"
    env = {"FOUNDRY_OUT": str(folder / "out"), "FOUNDRY_CACHE_PATH": str(folder / "cache")}
    stamp, sources = folder / "sources", _fingerprint()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == sources:
        return env
    shutil.rmtree(folder, ignore_errors=True)
    done = run(["forge", "build", "--build-info"], timeout_s=BUILD_TIMEOUT_S, env=env)
    if done.code:
        raise Refused(f"forge does not compile: {done.text[-2000:]}")
    stamp.write_text(sources, encoding="utf-8")
    return env


def _fingerprint() -> str:
    """Return a hash of all that a build depends on."""
    names = ("foundry.toml", "package-lock.json", "scripts/toolchain/solc.js")
    files = [ROOT / name for name in names]
    for folder in ("contracts", "tests/forge", "scripts/toolchain/solc"):
        files += sorted(path for path in (ROOT / folder).rglob("*") if path.is_file())
    digest = sha256()
    for path in files:
        content = sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(ROOT)} {content}\n".encode())
    return digest.hexdigest()


def tool(name: str) -> Path:
    """Return one of the tools that ``./dev prove`` installs under .tools/prove."""
    path = TOOLS / name
    if not path.exists():
        raise Refused(f"{name} is not installed: run ./dev prove")
    return path


def require(name: str) -> None:
    """Refuse when a command is not on PATH."""
    if not shutil.which(name):
        raise Refused(f"{name} is not on PATH: run ./dev prove")


def compiled(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the artifacts of our own contracts, by name, from a build folder."""
    found = {}
    for source in sorted((ROOT / "contracts").rglob("*.sol")):
        for path in sorted((folder / source.name).glob("*.json")):
            found[path.stem] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_json(path: Path, value: Any) -> None:
    """Write a document whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    new.replace(path)
