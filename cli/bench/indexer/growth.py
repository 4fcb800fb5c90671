"""Whether the mirror slows down as its books grow: the first and the last tenth of a long chain.

The chain is computed by ``endless`` and served by a process of its own. Beside the rows a second stands the
mirror's CPU time a row, since a node that is slower than the mirror would hide that the mirror slows down.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import func, select

from cli.bench.indexer import ours
from cli.bench.indexer.chain import Say
from cli.bench.indexer.endless import (
    CREDIT_ADDRESS,
    EVENTS_OF_LOT,
    LOTS_OF_BLOCK,
    SETTLEMENT_ADDRESS,
    SITES,
    TRANSACTIONS_OF_LOT,
    block_hash,
)
from cli.bench.indexer.watch import Spent, run, tree_cpu_s
from cli.bench.mariadb import MariaDbServer, ServerUnavailable
from cli.bench.park import PARTY
from cli.bench.report import Result, lower_is_better, share_of_limit
from ledger.chain.addresses.book import TOLD
from ledger.chain.contracts.abi import artifact
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.local.anvil import free_port
from ledger.db import Database
from ledger.errors import DependencyDown, ProblemFound
from ledger.models import Base, ChainCursor
from ledger.settings import LOCAL_CHAIN_ID

ROWS_OF_LOT = 108
"""About so many rows of all tables come from a lot; they are counted in the end."""
MEMORY_LIMIT_MB = Decimal(400)
SQLITE, MARIADB = "sqlite", "mariadb"
MILLION = 10**6
SAMPLE_S = 0.5
"""How often the mirror's cursor is looked at: a thousandth of a core."""
SECONDS_MAX = 6 * 3600.0


@dataclass(frozen=True)
class Sample:
    """How far the mirror was at a moment: seconds, block, and CPU seconds of mirror and server."""

    at_s: float
    block: int
    cpu_s: Decimal


@dataclass(frozen=True)
class Grown:
    """A long run: what it took, how many rows it made, and how far it was when."""

    name: str
    spent: Spent
    rows: int
    blocks: int
    samples: tuple[Sample, ...]

    def tenth(self, number: int) -> tuple[Decimal, Decimal]:
        """Return rows a second, and CPU microseconds a row, of one tenth of the blocks, from 0.

        The first tenth begins with the first range that is written: to count the start of the program
        would make the first tenth look slow, and hide that the last one is.
        """
        first, last = (self.blocks * part / 10 for part in (number, number + 1))
        begun = next((each.block for each in self.samples if each.block > 0), 0)
        if number == 0 and begun < last:
            first = begun
        start, end = _at(self.samples, first), _at(self.samples, last)
        rows = Decimal(self.rows) * Decimal(str(last - first)) / self.blocks
        seconds, cpu = (
            Decimal(str(later - before)) for before, later in zip(start, end, strict=True)
        )
        per_row = (cpu * MILLION / rows).quantize(Decimal("0.01"))
        return (rows / seconds).quantize(Decimal(1)), per_row


def _at(samples: tuple[Sample, ...], block: float) -> tuple[float, float]:
    """Return seconds and CPU seconds at which a block was reached, between two samples if need be."""
    before = samples[0]
    for sample in samples:
        if sample.block >= block:
            if sample.block == before.block:
                return sample.at_s, float(sample.cpu_s)
            share = (block - before.block) / (sample.block - before.block)
            return (
                before.at_s + share * (sample.at_s - before.at_s),
                float(before.cpu_s) + share * float(sample.cpu_s - before.cpu_s),
            )
        before = sample
    raise ProblemFound(f"the mirror never reached block {block:.0f}", code="rows-lost")


def grow(rows: int, databases: Collection[str], buffer_mib: int, say: Say) -> list[Grown]:
    """Mirror a chain of about so many rows into SQLite and, where there is one, into MariaDB.

    Parameters
    ----------
    databases
        ``sqlite``, ``mariadb``: those that are wanted.
    buffer_mib
        Memory that MariaDB has for its pages; its log has a quarter of that.

    Raises
    ------
    DependencyDown, ProblemFound
        If the mirror fails, or has not all events and transactions in the end.
    """
    blocks = max(rows // (ROWS_OF_LOT * LOTS_OF_BLOCK), 10)
    say(f"about {rows} rows, from {blocks} blocks")
    grown = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="truetonne-growth-")))
        if SQLITE in databases:
            say("into SQLite")
            with ours.sqlite_file() as place:
                grown.append(_grown(SQLITE, blocks, scratch, place))
            say(told(grown[-1]))  # hours may lie between this and the end
        if MARIADB in databases:
            try:
                server = MariaDbServer(scratch, _memory(buffer_mib))
                server.start()
            except ServerUnavailable as error:
                if not grown:
                    raise
                say(f"without MariaDB: {error.message}")
                return grown
            stack.callback(server.stop)
            say(f"into MariaDB, with {buffer_mib} MiB for its pages")
            with ours.mariadb_database(server) as place:
                grown.append(_grown(MARIADB, blocks, scratch, place, server.pid))
            say(told(grown[-1]))
    return grown


def _memory(buffer_mib: int) -> list[str]:
    """Return the options of a server for long books, as docs/performance.md has them.

    A short log makes the server write the same page of an index again and again, to have room in the log.
    """
    return [
        f"--innodb-buffer-pool-size={buffer_mib}M",
        f"--innodb-log-file-size={max(buffer_mib // 4, 96)}M",
    ]


def results(grown: list[Grown]) -> list[Result]:
    """Return each run's last tenth beside its first, and its memory."""
    found = []
    for each in grown:
        first, last = each.tenth(0), each.tenth(9)
        name = f"growth_{each.name}"
        found += [
            share_of_limit(f"{name}_rows_per_s", last[0], "rows/s", "the first tenth", first[0]),
            lower_is_better(f"{name}_cpu_us_a_row", last[1], "us", "the first tenth", first[1]),
            share_of_limit(f"{name}_peak_mb", each.spent.peak_mb, "MiB", "limit", MEMORY_LIMIT_MB),
        ]
    return found


def document(grown: Grown) -> dict[str, object]:
    """Return what the document holds of a run beside the results: every tenth."""
    tenths = [grown.tenth(number) for number in range(10)]
    return {
        "name": grown.name,
        "rows": grown.rows,
        "blocks": grown.blocks,
        "wall_s": grown.spent.wall_s,
        "rows_per_s": [rate for rate, _ in tenths],
        "cpu_us_a_row": [cpu for _, cpu in tenths],
    }


def told(grown: Grown) -> str:
    """Return a run as a line of text."""
    tenths = ", ".join(str(grown.tenth(number)[0]) for number in range(10))
    return (
        f"{grown.name}: {grown.rows} rows in {grown.spent.wall_s} s, {grown.spent.peak_mb:.0f} MiB; "
        f"rows/s by tenths: {tenths}"
    )


def _grown(
    name: str,
    blocks: int,
    scratch: Path,
    place: tuple[Path, str],
    server_pid: int | None = None,
) -> Grown:
    folder, url = place
    deployment = scratch / "deployment.json"
    deployment.write_text(json.dumps(_deployment()), encoding="utf-8")
    samples: list[Sample] = []
    with _node(blocks, scratch / "node.log") as rpc_url:
        settings = ours.settings_of(deployment, folder, rpc_url, url)
        settings["TRUETONNE_RECEIPTS"] = TOLD  # its blocks are made up: their hashes cover nothing
        ours.upgrade(url)
        books = Database(url)

        def sample(pid: int) -> None:
            if samples and time.perf_counter() < samples[-1].at_s + SAMPLE_S:
                return
            with books.read() as session:
                block = session.scalar(select(ChainCursor.block_number))
            cpu = tree_cpu_s(pid, fresh=False) + tree_cpu_s(server_pid, fresh=False)
            samples.append(Sample(time.perf_counter(), block or 0, cpu))

        try:
            spent = run(
                ours.product("index", "run", "--until", "head"),
                folder / "mirror.log",
                environment=settings,
                server_pid=server_pid,
                seconds_max=SECONDS_MAX,
                on_sample=sample,
            )
            rows = _counted(books, blocks)
        finally:
            books.close()
    # The last samples were taken before the end.
    samples.append(
        Sample(samples[0].at_s + float(spent.wall_s), blocks, spent.all_cpu_s + samples[0].cpu_s)
    )
    return Grown(name, spent, rows, blocks, tuple(samples))


def _counted(books: Database, blocks: int) -> int:
    """Return how many rows of all tables there are; check those that can be known."""
    lots = LOTS_OF_BLOCK * (blocks - 1)
    wanted = {
        "chain_events": 2 + SITES + EVENTS_OF_LOT * lots,
        "blockchain_transactions": 2 + SITES + TRANSACTIONS_OF_LOT * lots,
        "credit_batches": lots,
    }
    with books.read() as session:
        found = {
            name: session.scalar(select(func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
        }
    if {name: found[name] for name in wanted} != wanted:
        raise ProblemFound(f"the mirror has other rows than {wanted}: {found}", code="rows-lost")
    return sum(found.values())


@contextmanager
def _node(blocks: int, log: Path) -> Iterator[str]:
    """Serve the endless chain in a process of its own; give its address."""
    port = free_port()
    command = [sys.executable, "-m", "cli.bench.indexer.endless_node", str(blocks), str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=output)
    assert process.stdout is not None
    try:
        if process.stdout.readline().strip() != b"ready":
            raise DependencyDown(f"the endless node does not start: {log.read_text()[-500:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def _deployment() -> dict[str, object]:
    from eth_utils.crypto import keccak

    def entry(name: str, address: str) -> dict[str, object]:
        code = bytes.fromhex(artifact(name).deployed_bytecode[2:])
        return {
            "address": address,
            "constructor": {},
            "salt": "0x" + bytes(32).hex(),
            "init_code_hash": "0x" + keccak(hexstr=artifact(name).bytecode).hex(),
            "code_hash": "0x" + keccak(code).hex(),
            "block": 1,
            "tx_hash": None,
            "source_hash": artifact(name).source_hash,
        }

    return {
        "network": "bench",
        "chain_id": LOCAL_CHAIN_ID,
        "genesis_hash": block_hash(0),
        "deployed_block": 1,
        "contracts": {
            CREDIT: entry(CREDIT, CREDIT_ADDRESS),
            SETTLEMENT: entry(SETTLEMENT, SETTLEMENT_ADDRESS),
        },
        "accounts": {name: address for name, address in PARTY.items() if name != "spare"},
        "class": {"id": 1, "code": "endless"},
    }
