"""What a tick of the jobs costs that finds nothing to do: settling, finalising and sending, each noted as a run.

The books hold trades that were settled long ago, so that a tick which looked through them all would show.
Medians and the slowest of many ticks, in milliseconds, beside the limit that the design set; the CPU time of
this process apart, which a busy machine or a slow disk does not change.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sqlalchemy import insert

from cli.bench.park import Park
from cli.bench.report import Result, share_of_limit
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
from ledger.models import VppDefinition, VppTradingRecord
from ledger.models.jobs import RunOutcome
from ledger.models.trading import TradeStatus, TradeType
from ledger.models.vpp import VppStatus
from ledger.settings import Settings

TICK_MS_MAX = Decimal(50)
TICKS = 50
JOBS = ("settle", "finalise", "send")
_START = datetime(2024, 1, 1, tzinfo=UTC)
_ROWS_AT_ONCE = 5_000


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
                    _fill(db, trades)
                    ticks = list(_ticks(_runner(db, client, deployment, settings), settings))
                results += [
                    share_of_limit(f"{name}_{which}", value, "ms", "limit", TICK_MS_MAX)
                    for which, value in (
                        ("idle_tick_ms", _ms(median(wall for wall, _ in ticks))),
                        ("idle_tick_slowest_ms", _ms(max(wall for wall, _ in ticks))),
                        ("idle_tick_cpu_ms", _ms(median(cpu for _, cpu in ticks))),
                    )
                ]
    return results


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


def _ticks(runner: Runner, settings: Settings) -> Iterator[tuple[int, int]]:
    """Yield how long each tick took, and the CPU time of this process in it, in ns; the first is a rehearsal."""
    jobs = [job_named(settings, name) for name in JOBS]
    try:
        for tick in range(TICKS + 1):
            begun, spent = time.perf_counter_ns(), time.process_time_ns()
            results = [runner.run(job) for job in jobs]
            took = time.perf_counter_ns() - begun, time.process_time_ns() - spent
            for result in results:
                if result is None or result.outcome is not RunOutcome.IDLE:
                    raise TruetonneError(f"a tick of nothing did something: {result}")
            if tick:
                yield took
    finally:
        runner.lease.release()


def _fill(db: Database, trades: int) -> None:
    """Write trades that were settled long ago, one a minute."""
    plant = {
        "id": 1,
        "vpp_id": "bench",
        "name": "Bench",
        "total_capacity": Decimal(1),
        "status": VppStatus.ACTIVE,
    }
    with db.write() as session:
        session.execute(insert(VppDefinition), [plant])
        for start in range(0, trades, _ROWS_AT_ONCE):
            numbers = range(start, min(start + _ROWS_AT_ONCE, trades))
            session.execute(insert(VppTradingRecord), [_trade(number) for number in numbers])


def _trade(number: int) -> dict[str, object]:
    moment = _START + timedelta(minutes=number)
    return {
        "vpp_id": 1,
        "trade_type": TradeType.SELL,
        "quantity": Decimal(1),
        "price": Decimal("0.05"),
        "total_value": Decimal("0.05"),
        "market": "spot",
        "status": TradeStatus.EXECUTED,
        "trade_time": moment,
        "settlement_time": moment,
    }


def _ms(nanoseconds: float) -> Decimal:
    return (Decimal(int(nanoseconds)) / 10**6).quantize(Decimal("0.1"))
