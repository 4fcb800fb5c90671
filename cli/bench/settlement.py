"""How long pending trades take from the database to final: planned, netted, sent, mined, mirrored, executed.

Books are an SQLite file, the chain an Anvil of its own, and mirror and run are this one process: what a park runs
on one machine. Twenty plants and a market, ten hours of trades. Every trade must be executed, and every balance be
what the trades sum to, or there is no figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import func, insert, select

from cli.bench.park import CURRENCY, PARTY, Park
from cli.bench.report import Result, share_of_limit
from indexer import Indexer
from ledger.chain.access import Chain
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.keys.policy import GuardedKeyring, SignerPolicy
from ledger.chain.keys.signers import ANVIL_ROLES, Keyring, anvil_signer, derived_signer
from ledger.chain.node.client import ChainClient
from ledger.chain.sending.sender import Sender
from ledger.db import Database
from ledger.errors import ProblemFound
from ledger.models import (
    ChainIntent,
    VppDefinition,
    VppSettlementAccount,
    VppSettlementBatch,
    VppTradingRecord,
)
from ledger.models.settlement import BatchState
from ledger.models.trading import TradeStatus, TradeType
from ledger.models.vpp import VppStatus
from ledger.settings.settling import SettlementPolicy, Way
from ledger.settlement.batches import plan_round, submit_planned
from ledger.settlement.finalizing import finalize_due
from ledger.settlement.outlook import preview
from ledger.units import currency_of_cents, trade_cents_half_away

PLANTS = 20
HOURS = 10
MARKET = "bench"
LIMIT_S, LIMIT_TICK_MS = Decimal(60), Decimal(50)
_FUNDS_CENTS = 10**12
_IDLE_TICKS = 20
_ROUNDS_MAX = 50

Say = Callable[[str], None]


@dataclass(frozen=True)
class _Bench:
    """Books, chain and mirror; the sums of the trades that were put in, in cents by account."""

    chain: Chain
    mirror: Indexer
    sums: dict[str, int]

    def mirror_final(self) -> None:
        self.chain.client.request("anvil_mine", ["0x2"])
        self.mirror.run_until("head")


def measure(rpc_url: str, trades: int, say: Say) -> list[Result]:
    """Settle so many trades both ways, and return how long it took, and what a tick with nothing to do takes.

    Raises
    ------
    DependencyDown
        If the node refuses a transaction or does not mine it.
    ProblemFound
        If a trade is not executed, or a balance is not what the trades sum to.
    """
    client = ChainClient(rpc_url)
    results = []
    try:
        park = Park(client)
        for name, way in (("cosigned", Way.AUTO), ("proposed", Way.PROPOSED)):
            with (
                TemporaryDirectory(prefix="truetonne-bench-") as folder,
                closing(Database(f"sqlite:///{Path(folder) / 'bench.db'}")) as db,
            ):
                db.upgrade()
                say(f"putting {trades} pending trades into a database ({name})")
                bench = _bench(db, park, way, trades, first=1 if way is Way.AUTO else trades + 1)
                outlook = preview(bench.chain).batches
                say(f"settling them ({name})")
                seconds = _settle(bench, say)
                _check(bench, trades)
                gas = _gas(bench)
                tick = _idle_ms(bench)
            results.append(
                share_of_limit(f"settle_{trades}_{name}_s", seconds, "s", "limit", LIMIT_S)
            )
            results.append(
                share_of_limit(f"idle_tick_{name}_ms", tick, "ms", "limit", LIMIT_TICK_MS)
            )
            said = sum(item.cost.gas or 0 for item in outlook)
            results.append(
                share_of_limit(
                    f"gas_per_trade_{name}",
                    _per_trade(gas, trades),
                    "gas",
                    "preview",
                    _per_trade(said, trades),
                )
            )
    finally:
        client.close()
    return results


def _bench(db: Database, park: Park, way: Way, trades: int, first: int) -> _Bench:
    signers = [derived_signer(f"bench {way} {number}") for number in range(PLANTS + 1)]
    addresses = [signer.address for signer in signers]
    market = addresses[-1]
    park.act("admin", CURRENCY, "mint", [PARTY["admin"], _FUNDS_CENTS * (PLANTS + 1)])
    park.act("admin", CURRENCY, "approve", [park.places[SETTLEMENT], _FUNDS_CENTS * (PLANTS + 1)])
    for address in addresses:
        park.act("admin", SETTLEMENT, "deposit", [address, _FUNDS_CENTS])
    rows, sums = _trades(addresses, trades, first)
    with db.write() as session:
        now = datetime.now(UTC)
        plants = [
            VppDefinition(
                vpp_id=f"plant-{number}",
                name=f"Plant {number}",
                total_capacity=Decimal(100),
                status=VppStatus.ACTIVE,
            )
            for number in range(PLANTS)
        ]
        session.add_all(plants)
        session.flush()
        session.add_all(
            VppSettlementAccount(vpp_id=plant.id, market=None, address=address, created_at=now)
            for plant, address in zip(plants, addresses[:-1], strict=True)
        )
        session.add(VppSettlementAccount(vpp_id=None, market=MARKET, address=market))
        session.execute(insert(VppTradingRecord), rows)
    deployment = park.address_book()
    keys = [*signers, *(anvil_signer(number) for number in set(ANVIL_ROLES.values()))]
    policy = SignerPolicy.with_limits(deployment)
    keyring = GuardedKeyring(Keyring({signer.address: signer for signer in keys}), policy)
    sender = Sender(db, park.client, keyring, deployment.chain_id, max_fee_gwei=200)
    chain = Chain(db, park.client, deployment, keyring, sender, SettlementPolicy(way))
    mirror = Indexer(db, park.client, deployment)
    mirror.run_until("head")
    return _Bench(chain, mirror, sums)


def _trades(
    addresses: list[str], trades: int, first: int
) -> tuple[list[dict[str, object]], dict[str, int]]:
    """Return trades of plants with the market, some bought, some at a price below zero, and their sums."""
    sums = dict.fromkeys(addresses, 0)
    rows: list[dict[str, object]] = []
    start = datetime(2024, 1, 1, tzinfo=UTC)
    for number in range(trades):
        plant = number * 7 % PLANTS
        quantity, price = 1_000 + number * 37 % 90_000, number * 131 % 2_500 - 400
        cents = trade_cents_half_away(quantity, price)
        buys = number % 5 == 0
        sums[addresses[plant]] += -cents if buys else cents
        sums[addresses[-1]] -= -cents if buys else cents
        rows.append(
            {
                "id": first + number,
                "vpp_id": plant + 1,
                "strategy_id": None,
                "trade_type": TradeType.BUY if buys else TradeType.SELL,
                "quantity": Decimal(quantity) / 1000,
                "price": Decimal(price) / 10_000,
                "total_value": currency_of_cents(cents),
                "market": MARKET,
                "status": TradeStatus.PENDING,
                "trade_time": start + timedelta(hours=HOURS) * number / trades,
                "settlement_time": None,
            }
        )
    return rows, sums


def _settle(bench: _Bench, say: Say) -> Decimal:
    """Do what jobs and mirror do until nothing is pending; return the seconds it took."""
    begun = last = time.perf_counter()

    def told(step: str) -> None:
        nonlocal last
        now = time.perf_counter()
        say(f"  {step}: {now - last:.2f} s")
        last = now

    planned = len(plan_round(bench.chain).batches)
    told(f"planned as {planned} batches")
    submit_planned(bench.chain)
    told("sent")
    for _ in range(_ROUNDS_MAX):
        bench.mirror_final()
        told("mirrored")
        if _open(bench) == 0:
            return Decimal(time.perf_counter() - begun).quantize(Decimal("0.01"))
        # The window of this chain is a second.
        bench.chain.client.request("evm_increaseTime", ["0x2"])
        bench.mirror_final()
        finalize_due(bench.chain)
        told("finalised")
    raise ProblemFound(f"trades are still pending after {_ROUNDS_MAX} rounds")


def _open(bench: _Bench) -> int:
    with bench.chain.db.read() as session:
        query = select(func.count()).where(VppTradingRecord.status == TradeStatus.PENDING)
        return session.scalar(query) or 0


def _check(bench: _Bench, trades: int) -> None:
    with bench.chain.db.read() as session:
        query = select(func.count()).where(VppTradingRecord.status == TradeStatus.EXECUTED)
        done = session.scalar(query)
        failed = session.scalar(
            select(func.count()).where(VppSettlementBatch.state != BatchState.FINALIZED)
        )
    if (done, failed) != (trades, 0):
        raise ProblemFound(
            f"{done} of {trades} trades are executed, {failed} batches are not final"
        )
    accounts = list(bench.sums)
    found = bench.chain.settlement.balances_of(accounts)
    for account, units in zip(accounts, found, strict=True):
        if units != _FUNDS_CENTS + bench.sums[account]:
            raise ProblemFound(
                f"{account} has {units}, and its trades make it {_FUNDS_CENTS + bench.sums[account]}"
            )


def _gas(bench: _Bench) -> int:
    """Return what all transactions of the batches used, by their receipts."""
    with bench.chain.db.read() as session:
        kinds = ("propose_batch", "finalize_batch", "settle_cosigned")
        query = select(ChainIntent.tx_hash).where(ChainIntent.kind.in_(kinds))
        hashes = [tx_hash for tx_hash in session.scalars(query) if tx_hash is not None]
    return sum(item.gas_used for item in bench.chain.client.receipts(hashes) if item is not None)


def _per_trade(gas: int, trades: int) -> Decimal:
    return (Decimal(gas) / trades).quantize(Decimal("0.1"))


def _idle_ms(bench: _Bench) -> Decimal:
    """Return the middle of several runs of a tick that has nothing to do."""
    times = []
    for _ in range(_IDLE_TICKS):
        begun = time.perf_counter_ns()
        plan_round(bench.chain)
        submit_planned(bench.chain)
        finalize_due(bench.chain)
        times.append(time.perf_counter_ns() - begun)
    middle = sorted(times)[len(times) // 2]
    return (Decimal(middle) / 10**6).quantize(Decimal("0.01"))
