"""What a tick of the jobs costs that finds nothing to do: settling, finalising and sending, each noted as a run.

The books have a long history (``history``), so that a tick which looked through it would show. In turn with each such
tick one looks back at all of it, as the first does, and any after something was settled (``standstill``). Then the same
with a trade that waits for the end of its hour.
Medians and the slowest of many ticks, in milliseconds, beside the limit that the design set; the CPU time of
this process apart, which a busy machine or a slow disk does not change; and the statements, which nothing changes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from sqlalchemy import event
from sqlalchemy.engine import Engine

from cli.bench.history import fill, let_one_wait
from cli.bench.park import Park
from cli.bench.report import Result, lower_is_better, share_of_limit
from ledger.chain.access import Chain
from ledger.chain.addresses.book import Deployment
from ledger.chain.keys.signers import ANVIL_ROLES, Keyring, anvil_signer
from ledger.chain.node.client import ChainClient
from ledger.chain.sending.sender import Sender
from ledger.db import Database
from ledger.errors import TruetonneError
from ledger.jobs.catalogue import job_named, schedules_of
from ledger.jobs.rows import NAME
from ledger.jobs.running import Runner
from ledger.jobs.work import Tools
from ledger.leases import Lease
from ledger.models.jobs import RunOutcome
from ledger.settings import Settings

TICK_MS_MAX = Decimal(50)
TICKS = 50
JOBS = ("settle", "finalise", "send")


class Tick(NamedTuple):
    """What one took."""

    wall_ns: int
    cpu_ns: int
    """Of this process."""
    statements: int


def measure(rpc_url: str, settings: Settings, trades: int, mariadb: str | None) -> list[Result]:
    """Return what an idle tick costs with the books in SQLite and, where there is one, in MariaDB.

    Parameters
    ----------
    trades
        Settled trades in the books.
    mariadb
        Address of an empty database; None: no MariaDB.

    Raises
    ------
    DependencyDown
        If node or database do not answer.
    """
    with closing(ChainClient(rpc_url)) as client:
        deployment = Park(client).address_book()
        results = []
        with TemporaryDirectory(prefix="truetonne-bench-") as folder:
            places = {"sqlite": f"sqlite:///{Path(folder) / 'books.db'}"}
            if mariadb is not None:
                places["mariadb"] = mariadb
            for name, url in places.items():
                with closing(Database(url)) as db:
                    db.upgrade()
                    fill(db, trades, deployment.chain_id, deployment.settlement.address)
                    runner = _runner(db, client, deployment, settings)
                    try:
                        idle = list(_ticks(runner, settings))
                        let_one_wait(db)
                        waiting = list(_ticks(runner, settings))
                    finally:
                        runner.lease.release()
                results += _results(name, *zip(*idle, strict=True))
                results += _results_of_waiting(name, *zip(*waiting, strict=True))
    return results


def _results(name: str, idle: Sequence[Tick], back: Sequence[Tick]) -> list[Result]:
    timed = _timed(
        name,
        ("idle_tick", median(tick.wall_ns for tick in idle)),
        ("idle_tick_slowest", max(tick.wall_ns for tick in idle)),
        ("idle_tick_cpu", median(tick.cpu_ns for tick in idle)),
        ("looking_back_tick", median(tick.wall_ns for tick in back)),
        ("looking_back_tick_cpu", median(tick.cpu_ns for tick in back)),
    )
    asked, asked_back = (Decimal(median(tick.statements for tick in each)) for each in (idle, back))
    statements = f"{name}_idle_tick_statements"
    return [*timed, lower_is_better(statements, asked, "", "looking back", asked_back)]


def _results_of_waiting(name: str, waiting: Sequence[Tick], back: Sequence[Tick]) -> list[Result]:
    return _timed(
        name,
        ("waiting_tick", median(tick.wall_ns for tick in waiting)),
        ("waiting_tick_cpu", median(tick.cpu_ns for tick in waiting)),
        ("waiting_looking_back_tick", median(tick.wall_ns for tick in back)),
        ("waiting_looking_back_tick_cpu", median(tick.cpu_ns for tick in back)),
    )


def _timed(name: str, *found: tuple[str, float]) -> list[Result]:
    return [
        share_of_limit(f"{name}_{which}_ms", _ms(value), "ms", "limit", TICK_MS_MAX)
        for which, value in found
    ]


def _runner(
    db: Database, client: ChainClient, deployment: Deployment, settings: Settings
) -> Runner:
    signers = [anvil_signer(number) for number in ANVIL_ROLES.values()]
    keyring = Keyring({signer.address: signer for signer in signers})
    sender = Sender(db, client, keyring, deployment.chain_id, settings.max_fee_gwei)
    chain = Chain(db, client, deployment, keyring, sender)
    lease = Lease(db, NAME)
    if lease.take() is not None:  # pragma: no cover - the books are our own
        raise TruetonneError("somebody else runs the jobs of books that were just made")
    runner = Runner(Tools(chain, settings), lease, schedules_of(settings))
    runner.lead()
    return runner


def _ticks(runner: Runner, settings: Settings) -> Iterator[tuple[Tick, Tick]]:
    """Yield ticks, and in turn with each one that looks back; the first pair is a rehearsal."""
    _tick(runner, settings)
    for number in range(TICKS + 1):
        idle = _tick(runner, settings)
        runner.tools.standstill.note(None)
        pair = idle, _tick(runner, settings)
        if number:
            yield pair


def _tick(runner: Runner, settings: Settings) -> Tick:
    jobs = [job_named(settings, name) for name in JOBS]
    statements = 0

    def asked(*_: Any) -> None:
        nonlocal statements
        statements += 1

    event.listen(Engine, "before_cursor_execute", asked)
    try:
        begun, spent = time.perf_counter_ns(), time.process_time_ns()
        results = [runner.run(job) for job in jobs]
        wall_ns, cpu_ns = time.perf_counter_ns() - begun, time.process_time_ns() - spent
    finally:
        event.remove(Engine, "before_cursor_execute", asked)
    for result in results:
        if result is None or result.outcome is not RunOutcome.IDLE:
            raise TruetonneError(f"a tick of nothing did something: {result}")
    return Tick(wall_ns, cpu_ns, statements)


def _ms(nanoseconds: float) -> Decimal:
    return (Decimal(int(nanoseconds)) / 10**6).quantize(Decimal("0.1"))
