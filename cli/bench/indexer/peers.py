"""Subsquid and Ponder on the benchmark's chain, as their users run them, into PostgreSQL.

Their projects stand in ``tests/benchmarks/peers`` of a checkout; npm installs them into the cache when they
are first needed. A peer is done when every row is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.bench.indexer.chain import MIRRORED, BenchChain, Say
from cli.bench.indexer.postgres import Postgres
from cli.bench.indexer.tables import peer_rows_of
from cli.bench.indexer.watch import Spent, run
from ledger.chain.contracts.abi import artifact
from ledger.chain.local.anvil import free_port
from ledger.errors import DependencyDown

PROJECTS = Path(__file__).resolve().parents[3] / "tests" / "benchmarks" / "peers"
INSTALL_S = 900
POLLS_OF_WATCH = 5
"""The database is asked at every so-manieth look at the process: about ten times a second."""
_NODE_OPTIONS = "--max-old-space-size=4096"


class PeerUnavailable(DependencyDown):
    """A peer cannot be installed or run here; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A peer: its folder, what starts it, and the variable that names its database."""

    name: str
    title: str
    start: tuple[str, ...]
    prepare: tuple[str, ...]
    """Run before it is started, as its tables are made then; empty: it makes them itself."""
    database_variable: str
    schema: str


SUBSQUID = Peer("subsquid", "Subsquid", ("lib/main.js",), ("lib/migrate.js",), "DB_URL", "public")
PONDER = Peer(
    "ponder",
    "Ponder",
    ("node_modules/ponder/dist/esm/bin/ponder.js", "start", "--schema", "bench"),
    (),
    "DATABASE_URL",
    "bench",
)
PEERS = (SUBSQUID, PONDER)


def installed(peer: Peer, cache: Path, say: Say) -> Path:
    """Return the folder of a peer's project, installed by npm from its lock.

    Raises
    ------
    PeerUnavailable
        If this is no checkout, or npm is missing or fails.
    """
    project = PROJECTS / peer.name
    lock = project / "package-lock.json"
    if not lock.exists():
        raise PeerUnavailable(f"{peer.title}: its project is in a checkout alone, not at {project}")
    npm = shutil.which("npm")
    if npm is None:
        raise PeerUnavailable(f"{peer.title}: npm is not installed")
    folder = cache / "peers" / f"{peer.name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not (folder / "node_modules").is_dir():
        say(f"installing {peer.title} into {folder}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=folder.parent))
        try:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(project / name, draft)
            _npm(peer, npm, draft)
            shutil.rmtree(folder, ignore_errors=True)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(project, folder, dirs_exist_ok=True)  # what is written may change, the lock not
    return folder


def _npm(peer: Peer, npm: str, folder: Path) -> None:
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_S
        )
    except subprocess.TimeoutExpired as error:
        raise PeerUnavailable(f"{peer.title}: npm takes too long") from error
    if done.returncode != 0:
        raise PeerUnavailable(f"{peer.title}: npm ci failed: {done.stderr.strip()[-500:]}")


def run_peer(
    peer: Peer, project: Path, chain: BenchChain, rpc_url: str, server: Postgres, log: Path
) -> Spent:
    """Let a peer read the whole chain into an empty database, and count its rows.

    Raises
    ------
    PeerUnavailable
        If it fails, or has other rows in the end than it should.
    """
    database = f"bench_{peer.name}"
    server.make(database)
    bench_file = log.with_suffix(".json")
    bench_file.write_text(json.dumps(_described(chain, rpc_url)), encoding="utf-8")
    environment = _environment(project) | {
        "BENCH_FILE": str(bench_file.resolve()),
        peer.database_variable: server.url(database),
    }
    node = str(project / "node_modules" / ".bin" / "node")
    if peer.prepare:
        _prepare([node, *peer.prepare], project, environment)
    shutil.rmtree(project / ".ponder", ignore_errors=True)
    options = ["--port", str(free_port())] if peer is PONDER else []
    wanted = peer_rows_of(chain.truth)
    block, index = chain.truth.last_event
    last = f"SELECT 1 FROM {peer.schema}.chain_event WHERE block_number = {block} AND log_index = {index}"
    looks = 0
    with server.asking(database) as ask:

        def counted() -> dict[str, int]:
            queries = [
                f"SELECT '{table}', count(*) FROM {peer.schema}.{table}" for table in sorted(wanted)
            ]
            lines = ask(" UNION ALL ".join(queries))
            return {table: int(count) for table, count in (line.split("\t") for line in lines)}

        def done() -> bool:
            nonlocal looks
            looks += 1
            return looks % POLLS_OF_WATCH == 0 and ask(last) == ["1"] and counted() == wanted

        try:
            return run(
                [node, *peer.start, *options],
                log,
                environment=environment,
                folder=project,
                done=done,
                server_pid=server.process.pid,
            )
        except DependencyDown as error:
            raise PeerUnavailable(
                f"{peer.title} has {counted()}, and should have {wanted}: {error.message}"
            ) from error


def _described(chain: BenchChain, rpc_url: str) -> dict[str, Any]:
    """Return what a peer must know of the chain."""
    deployment = json.loads(chain.deployment.read_text(encoding="utf-8"))
    return {
        "rpcUrl": rpc_url,
        "firstBlock": chain.truth.first_block,
        "contracts": {
            name: {
                "address": deployment["contracts"][name]["address"],
                "abi": [item for item in artifact(name).abi if item["type"] == "event"],
            }
            for name in MIRRORED
        },
    }


def _environment(project: Path) -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return environment | {
        "NODE_ENV": "production",
        "NODE_OPTIONS": _NODE_OPTIONS,
        "DO_NOT_TRACK": "1",
        "PONDER_TELEMETRY_DISABLED": "true",
        "npm_config_cache": str(project / ".npm"),
    }


def _prepare(command: list[str], project: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=project, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PeerUnavailable(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
