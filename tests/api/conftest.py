"""Books for the API to read: rows written here, one by one, and known by heart.

Batch ``i`` (1 to 100) holds ``1000 + i`` kg of site ``park-a`` (odd) or ``park-b`` (even), issued in
block ``i``. Batch 1 is parted in three by a retirement in block 95 and a cancellation in block 40;
batch 3 is parted in thirty by retirements in block 50. The mirror has read to block 98, and 90 is final.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from api.app import create_app
from ledger.db import Database
from ledger.models.blockchain import (
    BlockchainTransaction,
    CarbonCredit,
    ContractStatus,
    SmartContract,
    TransactionStatus,
)
from ledger.models.credits import (
    BatchStatus,
    CreditBatch,
    CreditCancellation,
    CreditProject,
    CreditRetirement,
    CreditSerial,
    CreditSite,
)
from ledger.models.mirror import ChainCursor, ChainInclusion
from ledger.models.sending import ChainAttempt, ChainIntent, IntentState
from ledger.models.settlement import BatchState, VppSettlementBatch, VppSettlementItem
from ledger.models.trading import (
    StrategyType,
    TradeStatus,
    TradeType,
    VppTradingRecord,
    VppTradingStrategy,
)
from ledger.models.vpp import VppDefinition, VppStatus
from ledger.serials import CreditStatus
from ledger.settings import Settings, load_settings
from tests.support.plant import apply, imported, write_csv

HEAD_BLOCK = 98
FINAL_BLOCK = 90
PENDING_RETIREMENT = 31
"""The last one, as the contract numbers them in the order of the chain; those of numbers 2 to 30 are final."""
BATCHES = 100
CREDITS = 131
TRANSACTIONS = 125
TRADES = 130
CREDIT_CONTRACT = "0x" + "c1" * 20
SETTLEMENT_CONTRACT = "0x" + "5e" * 20
ISSUER = "0x" + "aa" * 20
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
SALE = {
    "trade_type": TradeType.SELL,
    "quantity": Decimal(1),
    "price": Decimal(1),
    "total_value": Decimal(1),
    "market": "spot",
    "status": TradeStatus.EXECUTED,
}
"""A trade that is settled, but for its plant and its time."""


def h66(kind: int, number: int) -> str:
    """Return a hash that tells what it belongs to."""
    return f"0x{kind:02x}{number:062x}"


def key_of(batch: int) -> str:
    """Return the key of a batch's issuance."""
    return h66(0xAB, batch)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, on MariaDB, the files that say by ``ONE_DATABASE`` why SQLite is enough."""
    left_out = [
        item
        for item in items
        if isinstance(item, pytest.Function)
        and hasattr(item.module, "ONE_DATABASE")
        and item.get_closest_marker("mariadb") is not None
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = {id(item) for item in left_out}
        items[:] = [item for item in items if id(item) not in gone]


@pytest.fixture(scope="session")
def filled() -> dict[str, str]:
    """The URLs of the books that were filled, by the kind of their database.

    pytest forgets what ``books`` gave whenever it goes on to the other kind, which is in every file.
    """
    return {}


@pytest.fixture(
    scope="session", params=["sqlite", pytest.param("mariadb", marks=pytest.mark.mariadb)]
)
def books(
    request: pytest.FixtureRequest,
    filled: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The URL of a database that nobody writes to any more; the same rows on both."""
    kind: str = request.param
    if kind not in filled:
        if kind == "mariadb":
            url: str = request.getfixturevalue("migrated_mariadb_url")("api_books")
        else:
            file = tmp_path_factory.mktemp("books") / "books.db"
            shutil.copyfile(request.getfixturevalue("sqlite_template"), file)
            url = f"sqlite:///{file}"
        fill(url, tmp_path_factory.mktemp("readings"))
        filled[kind] = url
    return filled[kind]


def fill(url: str, folder: Path) -> None:
    """Write the books into an empty database."""
    database = Database(url)
    with database.write() as session:
        _contracts(session)
        _transactions(session)
        session.flush()
        for batch in range(1, BATCHES + 1):
            _batch(session, batch)
        _trades(session)
    _readings(database, folder)
    database.close()


def give_odd_forms(url: str) -> None:
    """Give the first retirements what most do not have, one by one."""
    forms: tuple[dict[str, object], ...] = (
        {"document_hash": "0x" + "d0" * 32, "country": None},
        {"consumption_start_s": 1_400_000_000, "consumption_end_s": 1_400_086_400},
        {"retired_at": EPOCH.replace(microsecond=120), "replaced_batch_id": 2**62 + 1},
        {"beneficiary": '"\\ü\x01\x7f绿\u2028', "reason": "", "first_serial": 2**61},
    )
    database = Database(url)
    with database.write() as session:
        numbers = session.scalars(
            select(CreditRetirement.retirement_id).order_by(CreditRetirement.retirement_id)
        ).all()
        for number, values in zip(numbers, forms, strict=False):
            session.execute(
                update(CreditRetirement)
                .where(CreditRetirement.retirement_id == number)
                .values(**values)
            )
    database.close()
    assert len(numbers) > len(forms)


@pytest.fixture(scope="session")
def settings(books: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings for those books, and for a node that is not there."""
    home = tmp_path_factory.mktemp("home")
    return load_settings(
        None,
        {
            "TRUETONNE_DATABASE_URL": books,
            "TRUETONNE_HOME": str(home),
            "TRUETONNE_FINALITY": "8",
            "TRUETONNE_RATE_LIMIT": "0",
        },
    )


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[TestClient]:
    """A client of the API over those books."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def _readings(database: Database, folder: Path) -> None:
    """Half an hour of a park: a value, none, and one that is beyond what the device can do."""
    apply(database)
    rows = [("2014-06-01T00:00:00+02:00", "60"), ("2014-06-01T00:10:00+02:00", "")]
    imported(database, write_csv(folder / "a.csv", [*rows, ("2014-06-01T00:20:00+02:00", "500")]))


def _contracts(session: Session) -> None:
    session.add(
        ChainCursor(
            network="local",
            chain_id=31337,
            genesis_hash=h66(0xB1, 0),
            block_number=HEAD_BLOCK,
            block_hash=h66(0xB1, HEAD_BLOCK),
            final_number=FINAL_BLOCK,
        )
    )
    for name, address in (
        ("CarbonCredit", CREDIT_CONTRACT),
        ("VppSettlement", SETTLEMENT_CONTRACT),
    ):
        session.add(
            SmartContract(
                contract_name=name,
                contract_address=address,
                abi='[{"type": "function", "name": "pause", "inputs": []}]',
                bytecode="0x6000",
                network="local",
                status=ContractStatus.DEPLOYED,
                deployed_at=EPOCH,
            )
        )
    session.add(
        CreditProject(project_id=1, class_id=1, owner=ISSUER, code="park-a", block_number=1)
    )
    for site_id, code in ((1, "park-a"), (2, "park-b")):
        session.add(
            CreditSite(site_id=site_id, project_id=1, code=code, minted_until_s=0, block_number=1)
        )


def _transactions(session: Session) -> None:
    """Transactions 1 to 125: 100 issued batches 1 to 100; then 20 failed; 5 are pending."""
    for number in range(1, TRANSACTIONS + 1):
        failed, pending = 100 < number <= 120, number > 120
        block = None if pending else min(number, HEAD_BLOCK)
        final = block is not None and block <= FINAL_BLOCK
        status = TransactionStatus.FAILED if failed else TransactionStatus.CONFIRMED
        session.add(
            BlockchainTransaction(
                tx_hash=h66(0x77, number),
                contract_address=CREDIT_CONTRACT,
                function_name="retire" if failed else "issue",
                parameters={"amount": 1000 + number, "details": {"consumptionStart": [number]}},
                status=status if final or failed else TransactionStatus.PENDING,
                gas_used=None if pending else 210_000 + number,
                gas_price=None if pending else Decimal("12345678901234567890"),
                created_at=EPOCH + timedelta(seconds=number),
                confirmed_at=EPOCH + timedelta(seconds=number) if final else None,
            )
        )
        if pending:
            _attempt(session, number, IntentState.SUBMITTED)
            continue
        assert block is not None
        session.flush()
        if number <= BATCHES:
            _attempt(session, number, IntentState.CONFIRMED)
        session.add(
            ChainInclusion(
                tx_hash=h66(0x77, number),
                block_number=block,
                block_hash=h66(0xB1, block),
                tx_index=number - block,
                sender=ISSUER,
                nonce=number,
                intent_key=key_of(number) if number <= BATCHES else None,
                error="NotActive(1, Suspended)" if failed else None,
            )
        )


def _attempt(session: Session, number: int, state: IntentState) -> None:
    session.add(
        ChainIntent(
            key=key_of(number),
            chain_id=31337,
            kind="issue",
            contract_address=CREDIT_CONTRACT,
            function_name="issue",
            parameters={},
            call_data="0x",
            sender_address=ISSUER,
            nonce=number,
            state=state,
            tx_hash=h66(0x77, number),
        )
    )
    session.flush()
    session.add(
        ChainAttempt(
            tx_hash=h66(0x77, number),
            intent_key=key_of(number),
            ordinal=1,
            raw_transaction="0x02",
            max_fee_wei=Decimal(2),
            priority_fee_wei=Decimal(1),
        )
    )


def _batch(session: Session, number: int) -> None:
    site_id = 1 if number % 2 else 2
    issued = 1000 + number
    runs = [(1, issued, CreditStatus.ACTIVE, None)]
    retired = cancelled = 0
    if number == 1:
        # 1001 kg: 400 retired from the bottom in block 95, 100 cancelled from the top in block 40.
        retired, cancelled = 400, 100
        runs = [
            (1, 400, CreditStatus.RETIRED, PENDING_RETIREMENT),
            (401, 901, CreditStatus.ACTIVE, None),
            (902, 1001, CreditStatus.CANCELLED, None),
        ]
        _retirement(session, PENDING_RETIREMENT, 1, 400, block=95)
        session.add(
            CreditCancellation(
                block_number=40,
                log_index=0,
                key=h66(0xCA, 1),
                batch_id=_batch_id(1),
                holder=ISSUER,
                first_serial=902,
                amount_kg=100,
                reason="over-issued",
                tx_hash=h66(0x77, 40),
                cancelled_at=EPOCH,
            )
        )
    if number == 3:
        retired = 290
        runs = [(10 * i + 1, 10 * i + 10, CreditStatus.RETIRED, 2 + i) for i in range(29)]
        runs.append((291, 1003, CreditStatus.ACTIVE, None))
        for i in range(29):
            _retirement(session, 2 + i, 10 * i + 1, 10, block=50, batch=3)
    session.add(
        CreditBatch(
            batch_id=_batch_id(number),
            key=key_of(number),
            site_id=site_id,
            ordinal=number,
            vintage=2014 + number % 2,
            recipient=ISSUER,
            issued_kg=issued,
            retired_kg=retired,
            cancelled_kg=cancelled,
            buffered_kg=20,
            deficit_kg=None,
            period_start_s=1388530800,
            period_end_s=1391209200,
            gap_start_s=0,
            expires_at_s=0,
            evidence_root=h66(0xE1, number),
            evidence_total_kg=Decimal(2**64 - 1),
            manifest_hash=h66(0xE2, number),
            methodology_hash=h66(0xE3, 1),
            issuer=ISSUER,
            verifier="0x" + "bb" * 20,
            status=BatchStatus.SUSPENDED if number == 5 else BatchStatus.ACTIVE,
            block_number=min(number, HEAD_BLOCK),
            log_index=number,
            tx_hash=h66(0x77, number),
            issued_at=EPOCH + timedelta(seconds=number),
        )
    )
    for first, last, status, retirement_id in runs:
        credit_id = (
            f"park-{'a' if site_id == 1 else 'b'}-{2014 + number % 2}-{number}-{first}-{last}"
        )
        kg = last - first + 1
        session.add(
            CarbonCredit(
                credit_id=credit_id,
                amount=Decimal(kg).scaleb(-3),
                unit="tCO2e",
                issuer=ISSUER,
                status=status,
                blockchain_tx=h66(0x77, number),
                issued_at=EPOCH + timedelta(seconds=number),
            )
        )
        session.flush()
        session.add(
            CreditSerial(
                credit_id=credit_id,
                batch_id=_batch_id(number),
                first_serial=first,
                last_serial=last,
                retirement_id=retirement_id,
            )
        )


def _retirement(
    session: Session, number: int, first: int, kg: int, *, block: int, batch: int = 1
) -> None:
    session.add(
        CreditRetirement(
            retirement_id=number,
            key=h66(0xDE, number),
            batch_id=_batch_id(batch),
            holder=ISSUER,
            replaced_batch_id=None,
            first_serial=first,
            amount_kg=kg,
            beneficiary="Mühle Übel & Söhne",
            reason="train journeys of 2024",
            country="DE",
            consumption_start_s=0,
            consumption_end_s=0,
            document_hash=h66(0, 0),
            block_number=block,
            log_index=number,
            tx_hash=h66(0x77, block),
            retired_at=EPOCH + timedelta(seconds=block),
        )
    )


def _batch_id(number: int) -> int:
    return ((1 if number % 2 else 2) << 32) | number


def _trades(session: Session) -> None:
    """Trades 1 to 130; 1 to 24 stand in a finalised batch (block 60), 25 to 30 in a proposed one.

    Number 123 was cancelled, and 125 failed for want of funds.
    """
    ended = {123: TradeStatus.CANCELLED, 125: TradeStatus.FAILED}
    for row, code in ((1, "vpp-north"), (2, "vpp-south")):
        session.add(
            VppDefinition(
                id=row,
                vpp_id=code,
                name=code,
                total_capacity=Decimal(2050),
                status=VppStatus.ACTIVE,
            )
        )
    session.flush()
    session.add(
        VppTradingStrategy(
            id=1,
            vpp_id=1,
            strategy_name="sell at noon",
            strategy_type=StrategyType.ARBITRAGE,
            status=VppStatus.ACTIVE,
        )
    )
    session.flush()
    for number in range(1, TRADES + 1):
        executed = number <= 24
        session.add(
            VppTradingRecord(
                id=number,
                vpp_id=1 if number % 2 else 2,
                strategy_id=1 if number % 2 else None,
                trade_type=TradeType.SELL,
                quantity=Decimal("1234.567"),
                price=Decimal("-0.0421") if number == 7 else Decimal("0.0421"),
                total_value=Decimal("-51.98") if number == 7 else Decimal("51.98"),
                market="day-ahead",
                status=TradeStatus.EXECUTED if executed else ended.get(number, TradeStatus.PENDING),
                trade_time=EPOCH + timedelta(hours=number),
                settlement_time=EPOCH + timedelta(days=9) if executed else None,
            )
        )
    for row, state, trades in (
        (1, BatchState.FINALIZED, range(1, 25)),
        (2, BatchState.PROPOSED, range(25, 31)),
    ):
        session.add(
            VppSettlementBatch(
                id=row,
                batch_key=h66(0x5B, row),
                market="day-ahead",
                state=state,
                trade_count=len(trades),
                accounts=[ISSUER],
                nets=["0"],
                trades_root=h66(0x5C, row),
                chain_batch_id=row,
                proposed_block=59,
                finalized_block=60 if state is BatchState.FINALIZED else None,
            )
        )
        session.flush()
        for trade in trades:
            session.add(VppSettlementItem(batch_id=row, trade_id=trade, word=h66(0x5D, trade)))
