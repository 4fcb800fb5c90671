"""The reconciliation against a small but complete history: it holds, and any altered column breaks it.

Everything goes the real way: a meter file, issuances, trades, transfers, retirements and a failed
transaction, on a real chain, mirrored to the end.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak
from sqlalchemy import JSON, Column, Integer, Table, create_engine, select, text, update
from sqlalchemy.pool import NullPool

from indexer import Indexer
from ledger import audit, holdings, issuance
from ledger.chain.access import Chain
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.keys.signers import ANVIL_ROLES, Keyring, anvil_signer
from ledger.chain.local.anvil import LocalNode, find_anvil
from ledger.chain.node.client import ChainClient
from ledger.chain.sending.sender import Sender
from ledger.corrections import correct
from ledger.db import Database
from ledger.errors import BooksDiffer, DependencyDown, NotFound, WrongChain
from ledger.models import Base, VppTradingRecord
from ledger.models.trading import TradeStatus
from ledger.models.types import ExactDecimal, Hex
from ledger.reconcile import RULES, applied, reconcile, shelves
from ledger.reconcile.books import open_books
from ledger.reconcile.chain_rules import contracts_deployed
from ledger.reconcile.pieces import pieces
from ledger.registration import register_project, register_site
from ledger.settlement import batches, escrow, finalizing
from ledger.settlement.cancel import cancel_trade
from ledger.settlement.trades import import_trades
from ledger.sites import apply_site
from tests.support import acts
from tests.support.chain import (
    MEMBER_ROLE,
    OPERATOR_ROLE,
    PARTIES,
    TestChain,
    deploy_contracts,
    trade,
)
from tests.support.forms import few, long
from tests.support.full import little_room
from tests.support.park import PROJECT, PROPOSED, Park
from tests.support.plant import SITE, imported, write_csv
from tests.support.proxy import LyingNode, NodeError

SHORT_ON_MARIADB = ("test_a_trade_is_cancelled_by_the_command_alone",)

TRADING = f"""
[[vpp]]
code = "vpp"
name = "Plant"
total_capacity = "100"
account = "{PARTIES["owner"]}"

[[market]]
name = "spot"
account = "{PARTIES["market"]}"
"""
TRADES = """\
vpp,strategy,trade_type,quantity,price,total_value,market,trade_time
vpp,,sell,1000.000,0.0412,41.20,spot,2020-01-01T00:00:00+01:00
vpp,,sell,500.000,-0.0031,-1.55,spot,2020-01-01T01:00:00+01:00
vpp,,buy,10.000,0.1000,1.00,spot,2020-01-01T02:00:00+01:00
"""
ONE_MORE = """\
vpp,strategy,trade_type,quantity,price,total_value,market,trade_time
vpp,,sell,100.000,0.0500,5.00,spot,2020-01-01T03:00:00+01:00
"""

MIRRORED = (
    "blockchain_transactions",
    "carbon_credits",
    "carbon_emissions",
    "chain_attempts",
    "chain_blocks",
    "chain_cursor",
    "chain_events",
    "chain_inclusions",
    "chain_intents",
    "chain_nonce_lanes",
    "correction_carries",
    "correction_readings",
    "corrections",
    "credit_batches",
    "credit_cancellations",
    "credit_classes",
    "credit_holdings",
    "credit_invalidations",
    "credit_overlaps",
    "credit_projects",
    "credit_retirements",
    "credit_serials",
    "credit_sites",
    "credit_transfers",
    "energy_consumption",
    "energy_production",
    "import_files",
    "issuances",
    "meter_readings",
    "reading_claims",
    "settlement_balances",
    "settlement_batches",
    "settlement_disputes",
    "settlement_movements",
    "settlement_terms",
    "settlement_trades",
    "smart_contracts",
    "vpp_settlement_batches",
    "vpp_settlement_items",
    "vpp_trading_records",
)
"""Every table whose rows say something that the chain says too, that an issued credit stands on, or that follows from
its readings.
"""

EXEMPT = {
    # Numbers and times that these books give by themselves: the chain knows nothing of them.
    "blockchain_transactions.id",
    "blockchain_transactions.created_at",  # of our own: the time of signing
    "carbon_credits.id",
    "carbon_emissions.id",
    "carbon_emissions.created_at",
    "chain_attempts.ordinal",
    "chain_attempts.created_at",
    "chain_attempts.broadcast_at",
    "chain_cursor.network",  # another name is another mirror: see test_without_a_mirror
    "chain_cursor.final_number",  # how far these books confirmed; statuses are held against it
    "chain_cursor.updated_at",
    "chain_intents.alarm",  # what a person should know
    "chain_intents.kind",
    "chain_intents.created_at",
    "chain_intents.submitted_at",
    "corrections.cause",  # several may hold; the manifest says what was known
    "corrections.found_at",
    "energy_consumption.id",
    "energy_consumption.cost",  # nobody of ours fills it
    "energy_consumption.created_at",
    "energy_production.id",
    "energy_production.revenue",  # the same
    "energy_production.created_at",
    "import_files.imported_at",
    "import_files.source_id",  # how the file was read, which shows in its readings
    "issuances.id",
    "issuances.created_at",
    "issuances.factor_id",  # the manifest holds the factor itself
    "smart_contracts.id",
    "smart_contracts.status",  # deployed or verified: what verification found, not what the chain says
    "vpp_settlement_batches.id",
    "vpp_settlement_batches.market",
    "vpp_settlement_batches.netted_from",  # which hours were netted is the settings' matter
    "vpp_settlement_batches.signed_until",  # checked by the contract while it counts
    "vpp_settlement_batches.finalize_key",  # anybody may finalise
    "vpp_settlement_batches.created_at",
    "vpp_settlement_batches.updated_at",
    "vpp_settlement_items.id",
    "vpp_trading_records.strategy_id",
    "vpp_trading_records.trade_time",
    # Where a reading came from is not in its leaf.
    "meter_readings.id",
    "meter_readings.line",
    "meter_readings.unit",
    "meter_readings.conflict",  # repeats for the eye what the reason says
}


@dataclass
class History:
    """Books and chain after the history, in agreement."""

    db: Database
    client: ChainClient
    chain: Chain
    indexer: Indexer
    memory: RememberingClient

    def breaks(self, rule: str | None = None) -> bool:
        """Say whether a rule does not hold, or whether this one does not; asks no rule in vain.

        The chain does not move any more, and what the node said of it once is held against the books again.
        """
        try:
            with self.db.read() as session:
                books = open_books(session, self.memory, self.chain.deployment)
                return any(not found.ok for found in applied(books, rule and [rule]))
        except BooksDiffer:
            return rule is None

    def told(self, rule: str) -> list[str]:
        """Return the differences that a rule finds."""
        with self.db.read() as session:
            books = open_books(session, self.memory, self.chain.deployment)
            return [line for found in applied(books, [rule]) for line in found.differences]

    def select(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.db.read() as session:
            return [tuple(row) for row in session.execute(text(query))]

    def broken(self) -> list[str]:
        """Return the names of the rules that do not hold."""
        try:
            report = reconcile(self.db, self.client, self.chain.deployment)
        except BooksDiffer as error:
            return [error.code]
        return [rule.name for rule in report.rules if not rule.ok]


class RememberingClient(ChainClient):
    """A client that asks a node each question once."""

    def __init__(self, rpc_url: str) -> None:
        super().__init__(rpc_url)
        self._known: dict[str, Any] = {}

    def request_batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        questions = [json.dumps(call) for call in calls]
        new = [number for number, text in enumerate(questions) if text not in self._known]
        answers = super().request_batch([calls[number] for number in new]) if new else []
        self._known |= zip((questions[number] for number in new), answers, strict=True)
        return [self._known[text] for text in questions]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[History]:
    folder = tmp_path_factory.mktemp("history")
    file = folder / "books.db"
    file.write_bytes(sqlite_template.read_bytes())
    db = Database(f"sqlite:///{file}")
    with LocalNode(find_anvil(None)) as node:
        client = ChainClient(node.rpc_url)
        deployment = deploy_contracts(client)
        signers = [anvil_signer(number) for number in ANVIL_ROLES.values()]
        keyring = Keyring({signer.address: signer for signer in signers})
        sender = Sender(db, client, keyring, deployment.chain_id, max_fee_gwei=200)
        chain = Chain(db, client, deployment, keyring, sender, PROPOSED)
        memory = RememberingClient(node.rpc_url)
        made = History(db, client, chain, Indexer(db, client, deployment), memory)
        _live(made, TestChain(client, deployment, itertools.count(1000)), folder)
        yield made
        memory.close()
        client.close()
    db.close()


def _live(history: History, others: TestChain, folder: Path) -> None:
    """Do everything that leaves rows behind."""
    db, chain = history.db, history.chain

    def settle_down() -> None:
        others.mine(2)
        history.indexer.run_until("head")

    with db.write() as session:
        apply_site(session, SITE + TRADING)
    start = datetime(2019, 12, 31, 23, tzinfo=UTC)
    times = [start + timedelta(minutes=10 * slot) for slot in range(288)]
    values = ["60.5", "-0.3", "", "61.000000000000004", "500"] + ["42.1"] * 283
    imported(
        db,
        write_csv(folder / "meter.csv", zip(map(datetime.isoformat, times), values, strict=True)),
    )

    settle_down()
    for send in (register_project, register_site):
        send(chain, "park-wind")
        settle_down()
    for day in (1, 2):
        issuance.plan_issuance(chain, "park-wind", date(2020, 1, day), date(2020, 1, day + 1))
        issuance.submit_planned(chain)
        settle_down()
        if day == 1:  # a reading that comes late, and lowers what the next one issues
            late = [((start + timedelta(hours=9)).isoformat(), "41.1")]
            imported(db, write_csv(folder / "late.csv", late))
            assert len(correct(db, "park-wind").found) == 1

    for party in ("owner", "market"):
        escrow.mint_test_currency(chain, PARTIES[party], 100_00)
        escrow.deposit(chain, PARTIES[party], PARTIES[party], 100_00)
    escrow.withdraw(chain, PARTIES["owner"], PARTIES["owner"], 5_00)
    settle_down()
    trades = folder / "trades.csv"
    trades.write_text(TRADES)
    with db.write() as session:
        import_trades(session, trades)
    batches.plan_batches(chain)
    batches.submit_planned(chain)
    settle_down()
    history.client.request("evm_increaseTime", [hex(3600 * 24)])
    settle_down()
    finalizing.finalize_due(chain)
    settle_down()

    for plan in (
        lambda session, held: holdings.plan_transfer(session, chain, held, PARTIES["buyer"]),
        lambda session, held: holdings.plan_retirement(
            session, chain, held, holdings.details_of("绿色幼儿园", "year 2020", "CN", (0, 9))
        ),
        lambda session, held: holdings.plan_cancellation(session, chain, held, "meter replaced"),
    ):

        def work(session: Any, plan: Any = plan) -> str:
            held = holdings.holding_of(session, chain, "park-wind-2020-1", 100, PARTIES["owner"])
            return str(plan(session, held))

        chain.sender.submit(db.run(work), CREDIT)
        settle_down()
    # Somebody else's: a suspension, a failed retirement, a proposal that is cancelled.
    (batch_id,) = db_scalars(
        db, "SELECT batch_id FROM credit_batches ORDER BY batch_id DESC LIMIT 1"
    )
    others.act("pauser", CREDIT, "suspend", [batch_id])
    others.retire("owner", batch_id, 1, must=False)
    settle_down()
    _others_settle(db, others, folder)
    settle_down()
    _others_oversee(others)
    settle_down()


def _others_settle(db: Database, others: TestChain, folder: Path) -> None:
    """Settle in every other way: one trade of ours by itself, credits, disputes, signatures, a fee."""
    trades = folder / "more.csv"
    trades.write_text(ONE_MORE)
    with db.write() as session:
        import_trades(session, trades)
    (seq,) = db_scalars(db, "SELECT MAX(id) FROM vpp_trading_records")
    acts.settle_one(others, trade(seq, "market", "owner", 100_000, 500))
    others.act("admin", SETTLEMENT, "setCaps", [10**9, 10**6])
    others.act("admin", SETTLEMENT, "setFee", [50, PARTIES["buyer"]])
    for role in (OPERATOR_ROLE, MEMBER_ROLE):
        others.act("admin", SETTLEMENT, "grantRole", [role, PARTIES["spare"]])
    batch = others.issue(1000, 0, expires_at=2**32 - 1)
    acts.deposit_credits(others, "owner", batch, 500)
    acts.withdraw_credits(others, "owner", batch, 100)
    others.later(acts.WEEK_S)
    first, second = (trade(n, "market", "owner", 100, 1_000_000) for n in (1001, 1002))
    for number, item in ((2, first), (3, second)):
        packed, _ = others.propose([item], asset=batch, sender="spare")
        acts.dispute(others, "owner", number, item)
        if number == 2:
            acts.reject_dispute(others, number)
            others.finalize(number, packed)
        else:
            others.cancel_batch(number, packed, sender="admin")
    acts.settle_one(others, trade(1003, "market", "owner", 10, 1_000_000), batch, sender="spare")
    signed = [trade(1004, "market", "owner", 10, 100_000)]
    acts.cosign(others, ("market", "owner"), signed, sender="spare")
    last = trade(1005, "market", "owner", 100, 1_000_000)
    others.propose([last], asset=batch, sender="spare")


def _others_oversee(others: TestChain) -> None:
    """Show an overlap, invalidate a batch, and replace what was retired of it."""
    others.act("registrar", CREDIT, "setClassBuffer", [1, 1000])
    one, two = acts.evidence("meter 7", 0), acts.evidence("meter 7", 300)
    bad = others.issue(100, 4, evidence_root=one.root)
    good = others.issue(200, 9, evidence_root=two.root)
    others.issue(50, 7, backfill_before=good & 0xFFFF_FFFF)
    others.retire("owner", bad, 30)
    others.act("spare", CREDIT, "proveOverlap", [one.proven, two.proven])
    others.act("admin", CREDIT, "reinstate", [good])
    acts.invalidate(others, bad)
    acts.replace(others, good, bad, 12)
    others.act("reverser", CREDIT, "proposeInvalidation", [good, "the same meter"])


def db_scalars(db: Database, sql: str) -> list[Any]:
    with db.read() as session:
        return list(session.execute(text(sql)).scalars())


@long
def test_pieces_of_any_length_say_the_same(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, events and shelves are gone through two at a time."""
    whole = reconcile(history.db, history.client, history.chain.deployment)
    monkeypatch.setattr(pieces, "__defaults__", (2,))
    monkeypatch.setattr(shelves, "PIECE", 2)
    monkeypatch.setattr("ledger.reconcile.transaction_rules.ROWS", 2)
    monkeypatch.setattr("ledger.reconcile.transaction_rules._ROWS", 2)
    monkeypatch.setattr("ledger.reconcile.trade_rules.ROWS", 2)
    for rules in ("trade_rules", "forgotten"):
        monkeypatch.setattr(f"ledger.reconcile.{rules}.BATCHES", 1)
    monkeypatch.setattr("ledger.reconcile.books._BLOCKS_MAX", 2)
    monkeypatch.setattr("ledger.reconcile.books._BLOCKS_FIRST", 1)
    report = reconcile(history.db, history.memory, history.chain.deployment)
    assert report == whole and report.ok


@long
def test_no_room_for_the_chains_events_is_said(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    little_room(monkeypatch, 60)
    with pytest.raises(DependencyDown, match="make room, or set TMPDIR"):
        reconcile(history.db, history.memory, history.chain.deployment)


def test_books_and_chain_agree(history: History) -> None:
    assert history.broken() == []
    assert not history.breaks()


def test_the_history_leaves_rows_in_every_table(history: History) -> None:
    with history.db.read() as session:
        for name in MIRRORED:
            assert session.execute(select(Base.metadata.tables[name]).limit(1)).first(), name


def _columns() -> list[Any]:
    """Every column that a rule compares; the short form alters the first and each tenth of a table."""
    return [
        pytest.param(name, column.name, id=f"{name}.{column.name}", marks=() if short else long)
        for name in MIRRORED
        for number, column in enumerate(Base.metadata.tables[name].columns)
        for short in [number % 10 == 0]
        if f"{name}.{column.name}" not in EXEMPT
    ]


def _other(value: Any, column: Column[Any]) -> Any:
    """Return another value that the column can hold."""
    if value is None:
        return _of_nothing(column)
    match value:
        case bool():
            other: Any = not value
        case Enum():
            other = next(item for item in type(value) if item is not value)
        case int() | Decimal():
            other = value + 1000  # no other row has that
        case datetime() | date():
            other = value + timedelta(days=1)
        case dict():
            other = {**value, "more": 1}
        case list():
            other = [*value, "0"]
        case str() if value.startswith("0x"):
            other = value[:-1] + ("0" if value[-1] != "0" else "1")
        case str() if "/" in value:  # an exact fraction
            other = value + "1"
        case _:
            other = ("A" if not value.startswith("A") else "B") + value[1:]
    return other


def _of_nothing(column: Column[Any]) -> Any:
    """Return a value for a column that holds none."""
    if isinstance(column.type, JSON):
        return {"more": 1}
    if isinstance(column.type, Hex):
        return "0x" + "1" * (column.type.length - 2)
    if column.name.endswith("_at") or column.name == "settlement_time":
        return datetime(2030, 1, 1, tzinfo=UTC)
    if isinstance(column.type, ExactDecimal):
        return Decimal(7)
    return 7 if isinstance(column.type, Integer) else "AA"


@few(2)
@pytest.mark.parametrize(("table", "column"), _columns())
def test_an_altered_column_is_a_difference(history: History, table: str, column: str) -> None:
    """A row of the middle, so that neither the first nor the last is special."""
    made: Table = Base.metadata.tables[table]
    target = made.c[column]
    keys = list(made.primary_key.columns)
    with history.db.read() as session:
        rows = session.execute(select(*keys, target)).all()
    *key, value = sorted(rows, key=repr)[len(rows) // 2]
    here = [part == held for part, held in zip(keys, key, strict=True)]
    altered = _other(value, target)
    with _by_hand(history, update(made).where(*here).values({column: altered})):
        assert history.breaks(), f"{table}.{column}: {value!r} became {altered!r} unnoticed"


@long
def test_each_trade_stands_in_its_batch(history: History) -> None:
    """Words in the order of their trades hid that the first or the last of them named another trade."""
    made: Table = Base.metadata.tables["vpp_settlement_items"]
    for (number,) in history.select("SELECT trade_id FROM vpp_settlement_items"):
        for other in (0, 9999):
            changed = update(made).where(made.c.trade_id == number).values(trade_id=other)
            with _by_hand(history, changed):
                assert history.breaks("settlement-batches"), (number, other)


LAST = "(SELECT MAX(number) FROM chain_blocks)"
LATE = {
    "meter_id": 2,
    "start_s": 1_577_865_601,
    "duration_s": 601,
    "text": "41.0",
    "value_digits": 412,
}


@long
def test_what_came_late_stands_under_its_correction(history: History) -> None:
    """It cancels or carries by what came late: rows of no issued root, at which nothing looked."""
    made: Table = Base.metadata.tables["meter_readings"]
    for column, value in LATE.items():
        with _by_hand(
            history, update(made).where(made.c.quality == "late").values({column: value})
        ):
            assert history.breaks("corrections"), column
    assert history.told("corrections") == []


@contextmanager
def _by_hand(history: History, *statements: Any) -> Iterator[None]:
    """Execute statements with no foreign key, check or trigger in their way; undo them at the end.

    This is what somebody does who edits the file: whatever the database itself would refuse is tried too.
    """
    file = history.db.url.database
    kept = sqlite3.connect(":memory:")
    with closing(sqlite3.connect(file)) as link:
        link.backup(kept)
    engine = create_engine(
        f"sqlite:///{file}", poolclass=NullPool
    )  # SQLite enforces nothing by itself
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        for (name,) in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
    try:
        yield
    finally:
        with closing(sqlite3.connect(file)) as link:
            kept.backup(link)
        kept.close()


@long
def test_a_missing_row_is_a_difference(history: History) -> None:
    for name in MIRRORED:
        made: Table = Base.metadata.tables[name]
        with history.db.read() as session:
            row = dict(session.execute(select(made)).mappings().all()[-1])
        if name in ("chain_cursor", "vpp_trading_records", "chain_attempts"):
            continue  # without a cursor there is no mirror; the others are deleted with what they are part of
        key = [column == row[column.name] for column in made.primary_key.columns]
        with _by_hand(history, made.delete().where(*key)):
            assert history.breaks(), f"a row of {name} vanished unnoticed"
    assert history.broken() == []


def test_every_rule_can_fail(history: History) -> None:
    """Each rule is broken by at least one alteration, made where only it looks or it among others."""
    spoilt = {
        "blocks": "UPDATE chain_blocks SET parent_hash = hash",
        "events": "UPDATE chain_events SET event_name = 'X' WHERE seq = 1",
        "contracts": "UPDATE smart_contracts SET bytecode = '0x'",
        "registry": "UPDATE credit_sites SET code = 'x'",
        "registry-on-chain": "UPDATE credit_sites SET minted_until_s = minted_until_s + 1",
        "oversight": "UPDATE credit_invalidations SET tx_hash = '0x'",
        "settlements": "UPDATE settlement_disputes SET tx_hash = '0x'",
        "settlements-on-chain": "UPDATE settlement_batches SET finalizable_at_s = finalizable_at_s + 1",
        "batches": "UPDATE credit_batches SET verifier = issuer",
        "batches-on-chain": "UPDATE credit_batches SET retired_kg = retired_kg + 1",
        "credits": "UPDATE carbon_credits SET amount = amount + 1",
        "retirements": "UPDATE credit_retirements SET beneficiary = 'somebody else'",
        "holdings": "UPDATE credit_transfers SET tx_hash = '0x'",
        "holdings-on-chain": "UPDATE credit_holdings SET amount_kg = amount_kg + 1",
        "escrow": "UPDATE settlement_movements SET tx_hash = '0x'",
        "custody": "UPDATE settlement_movements SET amount = CAST(amount + 1 AS TEXT) WHERE kind = 'deposit'",
        "escrow-on-chain": "UPDATE settlement_balances SET balance = CAST(balance + 1 AS TEXT)",
        "transactions": "UPDATE blockchain_transactions SET gas_used = 1",
        "intents": "UPDATE chain_intents SET call_data = '0x'",
        "issuances": "UPDATE issuances SET issued_kg = issued_kg + 1",
        "imported-files": "UPDATE import_files SET file_sha256 = 'x'",
        "evidence": "UPDATE meter_readings SET value_digits = value_digits + 1 WHERE quality = 'used'",
        "plans": "UPDATE vpp_settlement_batches SET state = 'failed'",
        "readings": "UPDATE meter_readings SET value_digits = value_digits + 1 WHERE quality = 'outlier'",
        "energy": "UPDATE energy_production SET production = production + 1",
        "corrections": "UPDATE correction_carries SET carried_kg = '-1/7'",
        "energy-certificates": "INSERT INTO energy_certificates (meter_id, instrument, reference, from_day, "
        "to_day, share, created_at) SELECT MIN(meter_id), 'GEC', '1', '2000-01-01', '2099-12-31', '1', "
        "'2026-01-01 00:00:00.000000' FROM reading_claims",
        "settlement-batches": "UPDATE vpp_settlement_items SET word = '0x'",
        "trades": "UPDATE vpp_trading_records SET price = price + 1",
    }
    # One rule holds the chain against itself: see below.
    assert {name for name, _ in RULES} - set(spoilt) == {"credit-log"}
    for name, sql in spoilt.items():
        with _by_hand(history, text(sql)):
            assert history.breaks(name), name
    assert history.broken() == []


@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        (
            "blocks",
            "INSERT INTO chain_blocks SELECT -7, hash, parent_hash, block_time FROM chain_blocks LIMIT 1",
        ),
        ("blocks", "UPDATE chain_blocks SET number = -7.5 WHERE number = 3"),
        ("registry-on-chain", "UPDATE credit_classes SET class_id = -7"),
        ("registry-on-chain", "UPDATE credit_overlaps SET first_batch_id = -7"),
        ("holdings-on-chain", "UPDATE credit_holdings SET batch_id = -7 WHERE rowid = 1"),
    ],
)
def test_a_number_that_the_chain_cannot_be_asked_for_is_a_difference(
    history: History, rule: str, statement: str
) -> None:
    with _by_hand(history, text(statement)):
        assert any("-7" in line for line in history.told(rule))


@few(1)
@pytest.mark.parametrize(
    ("rule", "statement"),
    [
        ("holdings-on-chain", f"UPDATE credit_holdings SET amount_kg = {2**63 - 1}"),
        ("credits", "UPDATE carbon_credits SET amount = 'much'"),
        ("escrow", "UPDATE settlement_balances SET account = CAST(X'FF' AS TEXT) WHERE rowid = 1"),
        ("events", f"UPDATE chain_events SET args = '{'[' * 50_000}'"),
        ("transactions", "UPDATE blockchain_transactions SET tx_hash = '0xzz' WHERE id = 3"),
        ("intents", "UPDATE chain_nonce_lanes SET address = '[1]' WHERE rowid = 1"),
        ("evidence", "UPDATE meter_readings SET start_s = start_s + 0.5 WHERE quality = 'used'"),
        ("blocks", f"UPDATE chain_blocks SET block_time = 'soon' WHERE number = {LAST}"),
    ],
    ids=[
        *("no sum", "no decimal", "no text", "too deep", "no hash", "no account", "no second"),
        "no time where the mirror stands",
    ],
)
def test_a_value_that_nobody_can_read_is_a_difference_of_its_rule(
    history: History, rule: str, statement: str
) -> None:
    """Each ended the whole comparison: as a defect, as a database that does not answer, or with what the node said."""
    with _by_hand(history, text(statement)):
        broken = history.broken()
    assert rule in broken and "imported-files" not in broken


@long
def test_a_manifest_that_nobody_can_read_is_a_difference(history: History) -> None:
    """A rule that read it ended the whole comparison as bad input, exit 2, and nothing else was told."""
    parix = "UPDATE issuances SET manifest = replace(manifest, 'Europe/Paris', 'Europe/Parix')"
    with _by_hand(history, text(parix)):
        assert {"evidence", "corrections"} <= set(history.broken())


@long
def test_a_meter_file_is_the_one_that_was_imported(history: History) -> None:
    """The record of an import could name another file, and readings that nothing was issued from could vanish."""
    ((number, name, brought),) = history.select(
        "SELECT id, file_name, rows_new FROM import_files ORDER BY id LIMIT 1"
    )
    what = f"import file {number} ({name})"
    gone = "DELETE FROM meter_readings WHERE id = (SELECT MAX(id) FROM meter_readings WHERE file_id = 1)"
    for sql, said in (
        (
            "UPDATE import_files SET file_sha256 = 'x' WHERE id = 1",
            "sha256 is x, the audit log says",
        ),
        (gone, f"it brought {brought} readings, and {brought - 1} are there; restore"),
        (
            "DELETE FROM import_files WHERE id = 1",
            "the audit log says that it was imported; restore",
        ),
    ):
        with _by_hand(history, text(sql)):
            (line,) = history.told("imported-files")
        assert line.startswith(f"{what}: {said}")
    assert history.told("imported-files") == []


def test_a_call_that_failed_and_has_no_row_is_missed(history: History) -> None:
    """It left no event: the blocks themselves are looked through."""
    ((tx_hash,), *_) = history.select(
        "SELECT tx_hash FROM blockchain_transactions WHERE status = 'failed'"
    )
    tables = ("blockchain_transactions", "chain_inclusions")
    gone = (text(f"DELETE FROM {name} WHERE tx_hash = '{tx_hash}'") for name in tables)
    with _by_hand(history, *gone):
        (line,) = history.told("transactions")
    assert tx_hash in line


def test_an_altered_value_is_told_beside_what_its_text_says(history: History) -> None:
    altered = "UPDATE meter_readings SET value_digits = value_digits + 1 WHERE quality = 'outlier'"
    with _by_hand(history, text(altered)):
        (line,) = history.told("readings")
    assert ": '500' stands there as 501, and is 500: the row was altered" in line


def test_energy_of_a_time_without_readings_is_told(history: History) -> None:
    far = "UPDATE energy_production SET recorded_at = '2031-01-01 00:00:00.000000' WHERE id = 1"
    with _by_hand(history, text(far)):
        said = history.told("energy")
    assert any("a row of a time of which its meter has no readings" in line for line in said)


def test_the_books_of_one_chain_are_held_against_no_other(history: History) -> None:
    deployment = replace(history.chain.deployment, chain_id=1)
    with history.db.read() as session, pytest.raises(WrongChain):
        open_books(session, history.memory, deployment)
    elsewhere = "UPDATE chain_cursor SET block_hash = (SELECT hash FROM chain_blocks ORDER BY number LIMIT 1)"
    with (
        _by_hand(history, text(elsewhere)),
        history.db.read() as session,
        pytest.raises(BooksDiffer, match="is not among the stored blocks; the row was altered"),
    ):
        open_books(session, history.memory, history.chain.deployment)
    # It passed for a mirror that has not begun, with which the nightly comparison has nothing to do.
    with (
        _by_hand(history, text("DELETE FROM chain_cursor")),
        history.db.read() as session,
        pytest.raises(BooksDiffer, match="chain_blocks has blocks: the row was deleted"),
    ):
        open_books(session, history.memory, history.chain.deployment)


def test_an_issuance_that_the_chain_does_not_know_is_told(history: History) -> None:
    one = "(SELECT MIN(id) FROM issuances WHERE state = 'issued')"
    other = f"UPDATE issuances SET key = '0x{'ab' * 32}' WHERE id = {one}"
    with _by_hand(history, text(other)):
        said = history.told("issuances")
    assert any("issued, but the chain has no batch with its key" in line for line in said)


def test_a_mirror_that_is_final_beyond_its_block_is_told(history: History) -> None:
    beyond = "UPDATE chain_cursor SET final_number = block_number + 1"
    with _by_hand(history, text(beyond)):
        said = history.told("blocks")
    assert any("is not up to the mirrored block" in line for line in said)


def test_a_reading_of_a_time_that_no_file_can_bring_is_named(history: History) -> None:
    """Each day until then was looked at: millions, and the end of the calendar was an internal error."""
    ((serial,),) = history.select(
        "SELECT serial FROM meters WHERE id = (SELECT meter_id FROM meter_readings WHERE quality = 'outlier')"
    )
    far = f"UPDATE meter_readings SET start_s = {2**38} WHERE quality = 'outlier'"
    said = f"meter_readings of meter {serial}: 1 row has a time before 1970 or after 2106"
    with _by_hand(history, text(far)):
        assert [line.partition(",")[0] for line in history.told("readings")] == [said]
        assert history.told("energy") == []  # an outlier is in no sum


@long
def test_what_the_books_forgot_altogether_is_named(history: History) -> None:
    """Neither issuance nor intent is left, as in a backup of before: it was said that books and chain agree."""
    (key, first, end), *_ = issued = history.select(
        "SELECT key, from_date, to_date FROM issuances WHERE state = 'issued' ORDER BY id"
    )
    batches = [found for (found,) in history.select("SELECT batch_key FROM vpp_settlement_batches")]
    forgotten = ("reading_claims", "issuances", "vpp_settlement_items", "vpp_settlement_batches")
    with _by_hand(history, *(text(f"DELETE FROM {name}") for name in forgotten)):
        said = {
            name: [line for line in history.told(name) if not line.startswith("intent ")]
            for name in ("issuances", "settlement-batches")
        }
    assert len(said["issuances"]) == len(issued) > 0
    assert f"({first} to {end}): " in said["issuances"][0]
    assert f"kg are on chain with key {key}, and no issuance here has that" in said["issuances"][0]
    # Who let the project go, as its site file said to, was told of each batch of others for ever.
    let_go = (f"DELETE FROM {name}" for name in forgotten), ["UPDATE meters SET project_id = NULL"]
    with _by_hand(history, *(text(sql) for part in let_go for sql in part)):
        assert [line for line in history.told("issuances") if not line.startswith("intent ")] == []
    named = {line.split()[2].rstrip(":") for line in said["settlement-batches"]}
    assert named and named <= set(batches)
    assert all("the next settlement takes it over" in line for line in said["settlement-batches"])


def test_a_wrong_block_in_the_deployment_file_is_told_as_the_files(history: History) -> None:
    """It was said of the row, which is right, and `index reindex` mended nothing; one above the head was internal."""
    deployment = history.chain.deployment
    made = deployment.credit.block
    for changes, said in (
        ({"block": made + 1}, f"it was made in block {made}: write {made} as its `block` there"),
        ({"block": 10**9, "tx_hash": None}, "there is no such block: correct its `block` there"),
    ):
        forged = replace(deployment.credit, **changes)
        contracts = {**deployment.contracts, "CarbonCredit": forged}
        with history.db.read() as session:
            books = open_books(session, history.memory, replace(deployment, contracts=contracts))
            (found,) = contracts_deployed(books)
        start = f"CarbonCredit: the deployment file says that it was made in block {forged.block}"
        assert found == f"{start}, and {said}"


def test_a_deployment_file_without_the_terms_of_the_settlement_is_told_as_the_files(
    history: History,
) -> None:
    """It was said of a row that it could not be read: KeyError."""
    deployment = history.chain.deployment
    known = {"creditCap": deployment.settlement.constructor["creditCap"]}
    forged = replace(deployment.settlement, constructor=known)
    contracts = {**deployment.contracts, SETTLEMENT: forged}
    with history.db.read() as session:
        books = open_books(session, history.memory, replace(deployment, contracts=contracts))
        (outcome,) = applied(books, ["settlements-on-chain"])
    (found,) = outcome.differences
    start = "deployment file: `constructor` of VppSettlement lacks feeCollector, notionalCap"
    assert found.startswith(start)


@long
@few(1)
@pytest.mark.parametrize(
    ("call", "rule", "said"),
    [
        ("logHead", "credit-log", "credit log: seq is"),
        ("currency.balanceOf", "custody", "custody of the currency: the contract has"),
        ("currency that is gone", "custody", "the currency does not say what"),
        ("CarbonCredit.balanceOf", "custody", "kg were paid in and not out"),
        pytest.param("totalsOf", "custody", "what is on no account is", marks=long),
    ],
)
def test_a_contract_that_says_otherwise_is_a_difference(
    history: History, call: str, rule: str, said: str
) -> None:
    """The node answers one question of the contracts' storage with a unit less."""
    selectors = {
        "logHead": keccak(text="logHead()"),
        "currency.balanceOf": keccak(text="balanceOf(address)"),
        "currency that is gone": keccak(text="balanceOf(address)"),
        "CarbonCredit.balanceOf": keccak(text="balanceOf(address,uint256)"),
        "totalsOf": keccak(text="totalsOf(uint256)"),
    }
    wanted = "0x" + selectors[call][:4].hex()
    settlement = history.chain.deployment.settlement.address.lower()
    currency = history.chain.settlement.currency()

    def tamper(method: str, parameters: list[Any], result: Any) -> Any:
        if method != "eth_call" or not (data := call_data(parameters)).startswith(wanted):
            return result
        if call.startswith("currency") and parameters[0]["to"].lower() != currency:
            return result
        if call == "currency that is gone":
            return "0x"
        if call == "CarbonCredit.balanceOf" and settlement[2:] not in data:
            return result
        first, rest = result[:-64] or "0x", result[-64:]
        if call == "logHead":  # the first of two words
            first, rest = "0x" + f"{int(result[2:66], 16) - 1:064x}", result[66:]
            return first + rest
        return first + f"{int(rest, 16) - 1:064x}"

    with LyingNode(history.client.rpc_url) as liar:
        liar.tamper = tamper
        client = ChainClient(liar.rpc_url)
        found = {
            item.name: item.differences
            for item in reconcile(history.db, client, history.chain.deployment).rules
        }
        client.close()
        assert liar.lies > 0
    assert any(said in text for text in found[rule]), found


@long
@few(1)
@pytest.mark.parametrize("receipts", ["kept", "dropped", "not served"])
def test_a_node_that_knows_old_transactions_by_their_blocks_alone_is_believed(
    history: History, receipts: str
) -> None:
    """Geth forgets after 2,350,000 blocks which block has a transaction: none of ours was on chain, by that."""

    def tamper(method: str, parameters: list[Any], result: Any) -> Any:
        if method in ("eth_getTransactionByHash", "eth_getTransactionReceipt"):
            return None
        return None if method == "eth_getBlockReceipts" and receipts == "dropped" else result

    with LyingNode(history.client.rpc_url) as liar:
        liar.tamper = tamper
        if receipts == "not served":
            liar.lacks = frozenset({"eth_getBlockReceipts"})
        with closing(ChainClient(liar.rpc_url)) as client:
            if receipts == "kept":
                report = reconcile(history.db, client, history.chain.deployment)
                assert [item for item in report.rules if item.differences] == []
                assert liar.lies > 0
                return
            with pytest.raises(DependencyDown, match="in its block, and no receipt of it"):
                reconcile(history.db, client, history.chain.deployment)


@long
def test_a_node_that_hands_out_few_blocks_at_once_is_asked_for_fewer(history: History) -> None:
    def tamper(method: str, parameters: list[Any], result: Any) -> Any:
        if method != "eth_getLogs":
            return result
        first, last = (int(parameters[0][name], 16) for name in ("fromBlock", "toBlock"))
        return NodeError("query exceeds max block range 9") if last - first > 8 else result

    with LyingNode(history.client.rpc_url) as liar:
        liar.tamper = tamper
        with closing(ChainClient(liar.rpc_url)) as client:
            assert reconcile(history.db, client, history.chain.deployment).ok
        assert liar.lies > 0


def call_data(parameters: list[Any]) -> str:
    return str(parameters[0].get("data") or parameters[0].get("input"))


@long
def test_what_is_planned_is_what_will_be_sent(park: Park) -> None:
    """A batch and an issuance that are planned, and not sent: every figure of theirs is held against the intent."""
    park.generate(date(2014, 1, 1), ["50"])
    park.register()
    issuance.plan_issuance(park.chain, PROJECT, date(2014, 1, 1), date(2014, 1, 2))
    park.trade(("sell", 1000, 10_000), ("buy", 500, 20_000))
    batches.plan_batches(park.chain)
    deployment = park.chain.deployment

    def broken() -> dict[str, tuple[str, ...]]:
        report = reconcile(park.db, park.node.client, deployment)
        return {rule.name: rule.differences for rule in report.rules if not rule.ok}

    assert broken() == {}
    memory = RememberingClient(park.node.client.rpc_url)
    here = History(park.db, park.node.client, park.chain, park.mirror, memory)
    for sql, said in (
        ("UPDATE vpp_settlement_batches SET trade_count = 3", "trade_count is 3, its trades say 2"),
        ('UPDATE vpp_settlement_batches SET nets = \'["1", "-1"]\'', "nets is (1, -1)"),
        ("UPDATE vpp_settlement_batches SET trades_root = batch_key", "trades_root is 0x"),
        (
            "UPDATE vpp_settlement_items SET word = substr(word, 1, length(word) - 1) || '7'",
            "its intent's trades",
        ),
        ("UPDATE vpp_settlement_items SET trade_id = trade_id + 2", "trade 3 is not what would be"),
        ("UPDATE vpp_trading_records SET price = price + 1", "trade 1 is not what would be"),
        ("INSERT INTO vpp_trade_credits VALUES (2, 7)", "trade 2 is not what would be"),
        (
            "UPDATE vpp_settlement_batches SET batch_key = '0x' || substr(batch_key, 4) || '0'",
            "no intent",
        ),
        (
            "UPDATE vpp_settlement_batches SET state = 'failed'",
            "failed, and trades 1, 2 still stand in",
        ),
        ("UPDATE issuances SET issued_kg = 1", "issued_kg is 1, its intent says 600"),
        ("UPDATE issuances SET from_s = from_s - 600", "from_s is"),
        ("UPDATE issuances SET evidence_root = key", "evidence_root is"),
        ("UPDATE issuances SET key = evidence_root", "no intent issues it"),
    ):
        with _by_hand(here, text(sql.replace(":", r"\:"))):
            assert any(said in item for item in broken().get("plans", ())), (sql, broken())
    for altered in ("block_number = 7", "confirmed_at = '2026-01-01 00\\:00\\:00.000000'"):
        with _by_hand(here, text(f"UPDATE chain_intents SET {altered}")):
            told = broken()["intents"]
        assert any(f"{altered.split(' ', 1)[0]} is " in item for item in told)
    assert broken() == {}


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("UPDATE vpp_settlement_batches SET nets = '{}'", "settlement-batches"),
        ("UPDATE carbon_credits SET status = 'lost'", "credits"),
        ("UPDATE issuances SET state = 'lost'", "issuances"),
        # Rows that no row of the chain stands for.
        ("INSERT INTO vpp_trade_credits VALUES (1, 7)", "trades"),
        ("DELETE FROM corrections", "corrections"),
        ("DELETE FROM correction_readings", "corrections"),
        ("UPDATE corrections SET owed_kg = '0/1', state = 'recorded'", "corrections"),
        ("UPDATE chain_nonce_lanes SET next_nonce = next_nonce + 1", "intents"),
    ],
)
def test_what_was_written_by_hand_is_a_difference(history: History, sql: str, rule: str) -> None:
    with _by_hand(history, text(sql)):
        assert history.breaks(rule)


def test_what_is_confirmed_by_a_transaction_that_the_chain_has_not(history: History) -> None:
    """Both tables name hashes that are those of no transaction."""
    others = [
        text(f"UPDATE {table} SET tx_hash = '0x' || substr(tx_hash, 35) || substr(tx_hash, 3, 32)")
        for table in ("chain_intents", "chain_attempts")
    ]
    said = "confirmed, but no transaction of it is on chain"
    assert not [line for line in history.told("intents") if said in line]
    with _by_hand(history, *others):
        assert [line for line in history.told("intents") if said in line]


@long
def test_a_trade_is_cancelled_by_the_command_alone(both: Park) -> None:
    """The chain knows nothing of a pending trade: what took it out stands in the audit log, or nowhere."""

    def said() -> list[str]:
        report = reconcile(both.db, both.node.client, both.chain.deployment)
        return [text for rule in report.rules for text in rule.differences]

    def set_status(number: int, status: TradeStatus) -> None:
        with both.db.write() as session:
            session.get_one(VppTradingRecord, number).status = status

    both.trade(("sell", 1000, 10_000), ("sell", 1000, 20_000), ("sell", 1000, 30_000))
    both.mirror_final()
    both.db.run(lambda session: cancel_trade(session, 1, "entered twice"))
    assert said() == []
    set_status(2, TradeStatus.CANCELLED)
    (difference,) = said()
    assert difference.startswith("trade 2: cancelled, and neither")
    assert "trades.cancel" in difference
    set_status(2, TradeStatus.PENDING)
    assert said() == []
    set_status(1, TradeStatus.PENDING)
    (difference,) = said()
    assert difference.startswith("trade 1: status")
    set_status(1, TradeStatus.CANCELLED)
    with both.db.write() as session:  # an entry that names no trade stops no comparison
        audit.record(session, "trades.cancel", "vpp_trading_records/", {}, {})
    assert said() == []


def test_a_reading_that_is_gone_is_missed_before_anything_is_issued(both: Park) -> None:
    both.generate(date(2014, 1, 1), ["50"])
    both.mirror_final()

    def said() -> dict[str, list[str]]:
        report = reconcile(both.db, both.node.client, both.chain.deployment)
        return {rule.name: list(rule.differences) for rule in report.rules if not rule.ok}

    assert said() == {}
    with both.db.write() as session:
        session.execute(text("DELETE FROM meter_readings WHERE start_s = 1388534400"))
    (line,) = said()["imported-files"]
    assert "(meter.csv): it brought 144 readings, and 143 are there; restore" in line


def test_without_a_mirror_there_is_nothing_to_compare(
    history: History, sqlite_db: Database
) -> None:
    with pytest.raises(NotFound, match="nothing is mirrored"):
        reconcile(sqlite_db, history.client, history.chain.deployment)


@long
def test_the_report_is_json(history: History) -> None:
    report = reconcile(history.db, history.client, history.chain.deployment).as_json()
    assert json.loads(json.dumps(report))["rules"][0] == {
        "name": "blocks",
        "ok": True,
        "differences": [],
    }
