"""The verdict: all that was acknowledged is there once, mirror and chain agree, and all nodes are equal."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.wrappers import encode_call
from ledger.clock import time_text
from ledger.models import (
    ApiKey,
    AuditLog,
    Base,
    ChainIntent,
    CreditBatch,
    DeviceAlert,
    Issuance,
    MeterReading,
    ReadingRestoration,
    ReadingWithdrawal,
    SettlementBalance,
    VppTradingRecord,
)
from ledger.models.devices import AlertStatus
from ledger.models.escrow import CURRENCY as MONEY
from ledger.models.issuance import IssuanceState
from ledger.models.sending import IntentState
from ledger.models.trading import TradeStatus
from ledger.park import handling
from tests.ha.load import SLIP_KW, SLIPS_FROM, TRADE_CENTS, TRADES_FROM, Load, readings, slip_at
from tests.ha.park_at_work import DATABASE, DAYS_ISSUED, KG_A_DAY, AtWork
from tests.support.chain import PARTIES
from tests.support.mirror import LOCAL, Dump, dump, fresh

SETTLE_S = 180.0
OURS = {("blockchain_transactions", "created_at"), ("chain_inclusions", "intent_key")}
"""What a transaction's sender knows of it."""


def settle(work: AtWork) -> None:
    """Let mirror and jobs bring everything to its end: no intent open, every trade executed."""
    park = work.park
    until_s = time.monotonic() + SETTLE_S
    passed = False
    while True:
        work.check_alive()
        park.node.mine(1)
        intents = Counter(row.state for row in park.rows(ChainIntent))
        trades = Counter(row.status for row in park.rows(VppTradingRecord))
        issued = Counter(row.state for row in park.rows(Issuance))
        calm = not set(intents) - {IntentState.CONFIRMED, IntentState.FAILED}
        if calm and set(trades) <= {TradeStatus.EXECUTED} and set(issued) <= {IssuanceState.ISSUED}:
            return
        if calm and not passed:
            park.node.pass_window()  # else nothing proposed is finalised
            passed = True
        passed = passed and not calm
        assert time.monotonic() < until_s, (intents, trades, issued)
        time.sleep(0.5)


def judge(work: AtWork, load: Load, template: Path) -> dict[str, int]:
    """Compare everything; return what was counted.

    Parameters
    ----------
    template
        An SQLite file with the schema, for a mirror made anew.
    """
    park = work.park
    for name, child in work.children.items():  # the chain grows no more, and nobody writes
        assert child.stop() == 0, (name, child.said()[-2000:])
    park.mirror.run_until("head")
    counted = {worker.name.lower(): len(worker.acknowledged) for worker in load.workers}
    _readings(work, load)
    _slips(work, load)
    _keys(work, load)
    _transfers(work, load)
    _trades(work, load)
    _issues(work, load)
    assert park.differences() == []
    ended = work.nursery.run(
        ["index", "verify", "--json"], work.folder, _environment(work), timeout_s=120
    )
    assert ended[0] == 0, ended
    _mirror(work, template)
    counted["tables alike on all nodes"] = _nodes(work)
    return counted


def _mirror(work: AtWork, template: Path) -> None:
    """Compare the mirror with one that is made anew, in SQLite, in books that know nothing of what was sent."""
    found = _mirrored(dump(work.park.db))
    anew = _mirrored(fresh(template, work.folder, work.park.node, "finalized"))
    apart = {
        name: [sorted(set(found[name]) ^ set(anew[name]))[:2]]
        for name in found
        if found[name] != anew[name]
    }
    assert not apart, f"the mirror is not what one made anew is: {apart}"


def _mirrored(rows: Dump) -> dict[str, list[str]]:
    """Return rows without what only those know who sent them."""
    kept = {}
    for name in rows:
        columns = [
            column.name
            for column in Base.metadata.tables[name].columns
            if (name, column.name) not in LOCAL
        ]
        places = [number for number, key in enumerate(columns) if (name, key) not in OURS]
        kept[name] = sorted(repr([row[place] for place in places]) for row in rows[name])
    return kept


def _environment(work: AtWork) -> dict[str, str]:
    import os

    return {**os.environ, **work.settings}


def _readings(work: AtWork, load: Load) -> None:
    expected = {
        (int(moment.timestamp()), kw)
        for number in load.readings.acknowledged
        for moment, kw in readings(number)
    }
    first = min((start for start, _ in expected), default=0)
    with work.park.db.read() as session:
        found = Counter(
            (start, text)
            for start, text in session.execute(
                select(MeterReading.start_s, MeterReading.text).where(
                    MeterReading.start_s >= first,
                    MeterReading.start_s < int(SLIPS_FROM.timestamp()),
                )
            )
        )
    assert not expected - set(found), "readings that were acknowledged are lost"
    assert set(found) == expected, "readings that nobody imported"
    assert set(found.values()) <= {1}


def _slips(work: AtWork, load: Load) -> None:
    """Each was seen once, and withdrawn once; every second one has its value again."""
    numbers = load.slips.acknowledged
    restored = [number for number in numbers if number % 2 == 0]
    rows = {row.start_s: row for row in work.park.rows(MeterReading) if row.text == SLIP_KW}
    at = {number: rows[int(slip_at(number).timestamp())] for number in numbers}
    assert len(rows) == len(numbers), (
        "values that were acknowledged are lost, or nobody imported them"
    )
    with_value = [number for number in numbers if at[number].value_digits is not None]
    assert with_value == restored
    for table, those in ((ReadingWithdrawal, numbers), (ReadingRestoration, restored)):
        found = sorted((row.reading_id, row.turn) for row in work.park.rows(table))
        assert found == sorted((at[number].id, 1) for number in those), table.__tablename__
    alerts = work.park.rows(DeviceAlert)
    told = Counter((alert.details or {})["since"] for alert in alerts)
    assert told == Counter(time_text(slip_at(number)) for number in numbers)
    assert {alert.status for alert in alerts} <= {AlertStatus.RESOLVED}
    noted = Counter(row.action for row in work.park.rows(AuditLog))
    for action, those in (
        ("readings.withdraw", numbers),
        ("readings.restore", restored),
        (handling.ACKNOWLEDGED, numbers),
    ):
        assert noted[action] == len(those), (action, noted[action], len(those))


def _keys(work: AtWork, load: Load) -> None:
    found = Counter(row.name for row in work.park.rows(ApiKey))
    expected = {f"key-{number:06d}" for number in load.requests.acknowledged}
    assert set(found) == expected, "keys made and keys acknowledged differ"
    assert set(found.values()) <= {1}
    assert all(row.revoked_at is not None for row in work.park.rows(ApiKey))


def _transfers(work: AtWork, load: Load) -> None:
    park = work.park
    moved = [row for row in park.rows(ChainIntent) if row.function_name == "transfer"]
    kinds = Counter(row.state for row in moved)
    data = encode_call(CREDIT, "balanceOf", [PARTIES["buyer"], work.batch_id])
    address = park.node.deployment.credit.address
    held = int(park.node.client.call(address, data), 16)
    assert held == len(load.transfers.acknowledged), (held, len(load.transfers.acknowledged), kinds)


def _trades(work: AtWork, load: Load) -> None:
    park = work.park
    rows = park.rows(VppTradingRecord)
    found = Counter(int((row.trade_time - TRADES_FROM).total_seconds()) // 60 for row in rows)
    assert set(found) == set(load.trades.acknowledged)
    assert set(found.values()) <= {1}
    unit = park.chain.settlement.units_per_cent()
    money: dict[Any, int] = {
        row.account: int(row.balance) for row in park.rows(SettlementBalance) if row.asset == MONEY
    }
    assert money[PARTIES["owner"]] == len(rows) * TRADE_CENTS * unit


def _issues(work: AtWork, load: Load) -> None:
    park = work.park
    issued = park.rows(Issuance)
    assert len(issued) == 1 + len(load.issues.acknowledged)
    kg = sorted(int(row.issued_kg) for row in park.rows(CreditBatch))
    assert kg == sorted([KG_A_DAY * DAYS_ISSUED, *[KG_A_DAY] * len(load.issues.acknowledged)])


def _nodes(work: AtWork) -> int:
    """Compare the checksum of every table on every node."""
    tables = ", ".join(f"`{name}`" for name in (*sorted(Base.metadata.tables), "alembic_version"))
    sums = [
        [(str(name), number) for name, number in node.ask(f"CHECKSUM TABLE {tables}", DATABASE)]
        for node in work.cluster.nodes
    ]
    assert all(number is not None for _, number in sums[0])
    for node, found in zip(work.cluster.nodes[1:], sums[1:], strict=True):
        apart = [pair for pair in zip(sums[0], found, strict=True) if pair[0] != pair[1]]
        assert not apart, f"{node.name} differs: {apart}"
    return len(sums[0])
