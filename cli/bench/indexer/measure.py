"""The rounds of the mirror's benchmark, and its results.

In every round all take their turn on the same node: the limit, the mirror into each database, the peers.
The fastest run of each counts. Whoever ends with other rows than the chain has is no result.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cli.bench.indexer import head, ours, raw
from cli.bench.indexer.chain import BenchChain, Say, kept_chain
from cli.bench.indexer.growth import MARIADB, SQLITE
from cli.bench.indexer.peers import PEERS, Peer, PeerUnavailable, installed, run_peer
from cli.bench.indexer.postgres import own_postgres
from cli.bench.indexer.watch import Spent
from cli.bench.mariadb import MariaDbServer, ServerUnavailable
from cli.bench.report import Result, lower_is_better, share_of_limit
from ledger.chain.local.anvil import find_anvil
from ledger.errors import DependencyDown

MEMORY_LIMIT_MB = Decimal(400)
VISIBLE_LIMIT_MS = Decimal(250)
RAW = "raw"
EVENTS = "_events"
"""Ends the names of runs that do no more than the peers."""


@dataclass(frozen=True)
class Request:
    """What shall be measured."""

    anvil: Path | None
    cache: Path
    events: int
    rounds: int
    """0: blocks at the head alone."""
    with_peers: bool
    head_blocks: int
    """Blocks of 1,000 events that are mined at the head, one after the other."""
    databases: Collection[str] = (SQLITE, MARIADB)
    """Those that are mirrored into."""


@dataclass
class Measured:
    """What was measured: every run of everyone, by name, and what could not be."""

    chain: BenchChain
    runs: dict[str, list[Spent]] = field(default_factory=dict)
    visible_ms: dict[str, list[Decimal]] = field(default_factory=dict)
    """How long blocks at the head took until they showed, by database."""
    server: MariaDbServer | None = None
    missing: list[str] = field(default_factory=list)
    failed: str | None = None
    """What of ours went wrong at the head; None: nothing."""

    def best(self, name: str) -> Spent | None:
        """Return the fastest run of one; None when there is none."""
        return min(self.runs.get(name, ()), key=lambda spent: spent.wall_s, default=None)


def measure(request: Request, say: Say) -> Measured:
    """Run everyone, round after round.

    Raises
    ------
    DependencyDown
        If the node, or the mirror, fails.
    ProblemFound
        If the mirror has other rows than it should.
    """
    anvil = find_anvil(request.anvil)
    chain = kept_chain(anvil, request.cache, request.events, say)
    measured = Measured(chain)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="truetonne-bench-")))
        rpc_url = stack.enter_context(chain.running(anvil))
        if MARIADB in request.databases:
            _start_server(stack, measured, scratch / "mariadb")
        runners: dict[str, Callable[[], Spent]] = {}
        if request.rounds:
            runners = _ours(measured, rpc_url, say)
            if request.with_peers:
                runners |= _peers(stack, request, measured, rpc_url, say)
        for number in range(1, request.rounds + 1):
            for name, runner in list(runners.items()):
                say(f"round {number} of {request.rounds}: {name}")
                try:
                    spent = runner()
                except PeerUnavailable as error:
                    measured.missing.append(error.message)
                    del runners[name]
                    continue
                say(f"  {_told(spent, chain.truth.events)}")
                measured.runs.setdefault(name, []).append(spent)
        if request.head_blocks:
            say(f"at the head: {request.head_blocks} blocks of {head.EVENTS} events")
            try:
                _at_the_head(measured, rpc_url, request)
            except DependencyDown as error:  # what was measured before is not lost for it
                measured.failed = f"at the head: {error.message}"
    return measured


def _at_the_head(measured: Measured, rpc_url: str, request: Request) -> None:
    """Measure how soon blocks show, in each database."""
    chain, blocks, shown = measured.chain, request.head_blocks, 0
    if SQLITE in request.databases:
        with ours.sqlite_file() as place:
            measured.visible_ms[SQLITE] = head.visible_ms(chain, rpc_url, blocks, place, shown)
        shown += blocks
    if measured.server is not None:
        with ours.mariadb_database(measured.server) as place:
            measured.visible_ms[MARIADB] = head.visible_ms(chain, rpc_url, blocks, place, shown)


def _start_server(stack: ExitStack, measured: Measured, folder: Path) -> None:
    """Start a MariaDB for ours, where there is one."""
    folder.mkdir()
    try:
        server = MariaDbServer(folder)
        server.start()
    except ServerUnavailable as error:
        measured.missing.append(error.message)
        return
    stack.callback(server.stop)
    measured.server = server


def _ours(measured: Measured, rpc_url: str, say: Say) -> dict[str, Callable[[], Spent]]:
    """Return what runs the limit and the mirror."""
    chain, server = measured.chain, measured.server
    say("recording what the mirror asks")
    bodies = raw.recorded(chain, rpc_url)

    def into_sqlite(events_only: bool) -> Spent:
        with ours.sqlite_file() as place:
            return ours.mirror(chain, rpc_url, place, events_only=events_only)

    runners: dict[str, Callable[[], Spent]] = {
        RAW: lambda: raw.replayed(bodies, rpc_url),
        SQLITE + EVENTS: lambda: into_sqlite(True),
        SQLITE: lambda: into_sqlite(False),
    }
    if server is None:
        return runners

    def into_mariadb(events_only: bool) -> Spent:
        with ours.mariadb_database(server) as place:
            return ours.mirror(chain, rpc_url, place, server.pid, events_only=events_only)

    return runners | {
        MARIADB + EVENTS: lambda: into_mariadb(True),
        MARIADB: lambda: into_mariadb(False),
    }


def _peers(
    stack: ExitStack, request: Request, measured: Measured, rpc_url: str, say: Say
) -> dict[str, Callable[[], Spent]]:
    """Return what runs the peers, as far as they can be had."""
    try:
        server = stack.enter_context(own_postgres())
    except ServerUnavailable as error:
        measured.missing.append(error.message)
        return {}
    logs = request.cache / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    runners: dict[str, Callable[[], Spent]] = {}

    def runner(peer: Peer, project: Path) -> Callable[[], Spent]:
        log = logs / f"{peer.name}.log"
        return lambda: run_peer(peer, project, measured.chain, rpc_url, server, log)

    for peer in PEERS:
        try:
            runners[peer.name] = runner(peer, installed(peer, request.cache, say))
        except PeerUnavailable as error:
            measured.missing.append(error.message)
    return runners


# ------------------------------------------------------------------------------ results


def results(measured: Measured) -> list[Result]:
    """Return the figures, each beside what it is held against."""
    events = measured.chain.truth.events
    found: list[Result] = []
    for peer in PEERS:
        other = measured.best(peer.name)
        if other is None:
            continue
        for run, label in (
            (SQLITE + EVENTS, f"sqlite_vs_{peer.name}"),
            (MARIADB + EVENTS, f"mariadb_vs_{peer.name}"),
            (SQLITE, f"full_vs_{peer.name}"),
            (MARIADB, f"full_mariadb_vs_{peer.name}"),
        ):
            spent = measured.best(run)
            if spent is not None:
                found += _against(label, spent, peer, other)
    for name in (SQLITE, MARIADB):
        peaks = [spent.peak_mb for spent in measured.runs.get(name, ())]
        if peaks:
            found.append(
                share_of_limit(f"{name}_peak_mb", max(peaks), "MiB", "limit", MEMORY_LIMIT_MB)
            )
    limit, sqlite = measured.best(RAW), measured.best(SQLITE)
    if limit is not None and sqlite is not None:
        rates = [(events / spent.wall_s).quantize(Decimal(1)) for spent in (sqlite, limit)]
        found.append(
            share_of_limit("raw_limit", rates[0], "events/s", "the same calls alone", rates[1])
        )
    for name, label in ((SQLITE, "head_visible_ms"), (MARIADB, "head_visible_mariadb_ms")):
        if taken := sorted(measured.visible_ms.get(name, ())):
            middle = taken[len(taken) // 2]
            found.append(share_of_limit(label, middle, "ms", "limit", VISIBLE_LIMIT_MS))
    return found


def _against(label: str, spent: Spent, peer: Peer, other: Spent) -> list[Result]:
    """Return how one of ours stands beside a peer: in time, and in CPU with the databases' servers."""
    title = f"{peer.title}, PostgreSQL"
    return [
        lower_is_better(label, spent.wall_s, "s", title, other.wall_s),
        lower_is_better(f"{label}_cpu", spent.all_cpu_s, "s of CPU", title, other.all_cpu_s),
    ]


def document(measured: Measured) -> Mapping[str, Any]:
    """Return what the document holds beside the results: the chain, and every run."""
    truth = measured.chain.truth
    return {
        "chain": {
            "blocks": truth.head,
            "transactions": truth.transactions,
            "failed": truth.failed,
            "events": truth.events,
            "events_by_name": truth.by_name,
        },
        "runs": [
            {
                "name": name,
                "wall_s": spent.wall_s,
                "cpu_s": spent.cpu_s,
                "server_cpu_s": spent.server_cpu_s,
                "peak_mb": spent.peak_mb,
                "events_per_s": (truth.events / spent.wall_s).quantize(Decimal(1)),
            }
            for name, runs in measured.runs.items()
            for spent in runs
        ],
        "head_visible_ms": measured.visible_ms.get(SQLITE, []),
        "head_visible_mariadb_ms": measured.visible_ms.get(MARIADB, []),
        "missing": measured.missing,
        "failed": measured.failed,
    }


def lines(measured: Measured) -> Sequence[str]:
    """Return the runs as text, one a line."""
    events = measured.chain.truth.events
    told = [
        f"{name}: {_told(spent, events)}" for name, runs in measured.runs.items() for spent in runs
    ]
    lacking = [*measured.missing, *([measured.failed] if measured.failed else [])]
    return [*told, *(f"not measured: {reason}" for reason in lacking)]


def _told(spent: Spent, events: int) -> str:
    rate = (events / spent.wall_s).quantize(Decimal(1))
    return (
        f"{spent.wall_s} s, CPU {spent.cpu_s} s and {spent.server_cpu_s} s of the server, "
        f"{spent.peak_mb:.0f} MiB, {rate} events/s"
    )
