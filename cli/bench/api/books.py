"""Books of many credits for the measurement, written row by row without the ORM.

Each batch has two credits: a retired run and what is left. Every tenth has a third one, cancelled. All of it
stands in final blocks, ten batches a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.models import (
    BlockchainTransaction,
    CarbonCredit,
    ChainBlock,
    ChainCursor,
    ChainInclusion,
    CreditBatch,
    CreditCancellation,
    CreditRetirement,
    CreditSerial,
    CreditSite,
    Reconciliation,
)
from ledger.models.blockchain import TransactionStatus
from ledger.models.credits import BatchStatus
from ledger.serials import CreditStatus, batch_id_of

SITE, VINTAGE = "bench-wind", 2024
ISSUED_KG, RETIRED_KG, CANCELLED_KG = 1_000, 400, 100
BATCHES_PER_BLOCK = 10
_AT_ONCE = 5_000
_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)
_ISSUER, _VERIFIER, _OWNER = ("0x" + byte * 20 for byte in ("aa", "bb", "cc"))
_Rows = dict[type[Any], list[dict[str, Any]]]


def make_books(db: Database, credits: int) -> list[str]:
    """Write at least so many credits into an empty database; return the names of all."""
    names: list[str] = []
    with db.write() as session:
        session.add(
            CreditSite(site_id=1, project_id=1, code=SITE, minted_until_s=0, block_number=1)
        )
        session.flush()
        ordinal = 0
        while len(names) < credits:
            count = min(_AT_ONCE, (credits - len(names)) // 2 + 1)
            rows: _Rows = {}
            for number in range(ordinal + 1, ordinal + count + 1):
                names += _batch(rows, number)
            ordinal += count
            for table, values in rows.items():
                session.execute(insert(table.__table__), values)
        _tip(session, ordinal)
    return names


def _tip(session: Session, batches: int) -> None:
    block = batches // BATCHES_PER_BLOCK + 10
    session.add(
        ChainCursor(
            network="local",
            chain_id=31337,
            genesis_hash=_hash(9, 0),
            block_number=block,
            block_hash=_hash(9, block),
            final_number=block - 2,
        )
    )
    for number in (0, block):
        session.add(
            ChainBlock(
                number=number,
                hash=_hash(9, number),
                parent_hash=_hash(9, max(number - 1, 0)),
                block_time=_EPOCH,
            )
        )
    session.add(
        Reconciliation(network="local", block_number=block, compared_at=_EPOCH, ok=True, rules=[])
    )


def _batch(rows: _Rows, ordinal: int) -> Iterator[str]:
    """Add a batch with all that became of it; yield the names of its credits."""
    block = ordinal // BATCHES_PER_BLOCK + 1
    at = _EPOCH + timedelta(seconds=block)
    cancelled = CANCELLED_KG if ordinal % 10 == 0 else 0
    _transaction(rows, ordinal, 1, block, at)
    _transaction(rows, ordinal, 2, block, at)
    _issuance(rows, ordinal, block, at, cancelled)
    _retirement(rows, ordinal, block, at)
    if cancelled:
        _cancellation(rows, ordinal, block, at)
    last = ISSUED_KG - cancelled
    runs = [
        (1, RETIRED_KG, CreditStatus.RETIRED, ordinal),
        (RETIRED_KG + 1, last, CreditStatus.ACTIVE, None),
        (last + 1, ISSUED_KG, CreditStatus.CANCELLED, None),
    ]
    for first, end, status, retirement_id in islice(runs, 3 if cancelled else 2):
        name = f"{SITE}-{VINTAGE}-{ordinal}-{first}-{end}"
        _add(
            rows,
            CarbonCredit,
            credit_id=name,
            amount=Decimal(end - first + 1).scaleb(-3),
            unit="tCO2e",
            issuer=_ISSUER,
            status=status,
            blockchain_tx=_hash(1, ordinal),
            issued_at=at,
            expires_at=None,
        )
        _add(
            rows,
            CreditSerial,
            credit_id=name,
            batch_id=batch_id_of(1, ordinal),
            first_serial=first,
            last_serial=end,
            retirement_id=retirement_id,
        )
        yield name


def _issuance(rows: _Rows, ordinal: int, block: int, at: datetime, cancelled: int) -> None:
    _add(
        rows,
        CreditBatch,
        batch_id=batch_id_of(1, ordinal),
        key=_hash(3, ordinal),
        site_id=1,
        ordinal=ordinal,
        vintage=VINTAGE,
        recipient=_OWNER,
        issued_kg=ISSUED_KG,
        retired_kg=RETIRED_KG,
        cancelled_kg=cancelled,
        period_start_s=1_704_067_200 + 600 * ordinal,
        period_end_s=1_704_067_800 + 600 * ordinal,
        gap_start_s=0,
        expires_at_s=0,
        buffered_kg=0,
        evidence_root=_hash(4, ordinal),
        evidence_total_kg=Decimal(ISSUED_KG),
        manifest_hash=_hash(5, ordinal),
        methodology_hash=_hash(6, 1),
        issuer=_ISSUER,
        verifier=_VERIFIER,
        status=BatchStatus.ACTIVE,
        deficit_kg=None,
        block_number=block,
        log_index=ordinal % BATCHES_PER_BLOCK,
        tx_hash=_hash(1, ordinal),
        issued_at=at,
    )


def _retirement(rows: _Rows, ordinal: int, block: int, at: datetime) -> None:
    _add(
        rows,
        CreditRetirement,
        retirement_id=ordinal,
        key=_hash(7, ordinal),
        batch_id=batch_id_of(1, ordinal),
        holder=_OWNER,
        replaced_batch_id=None,
        first_serial=1,
        amount_kg=RETIRED_KG,
        beneficiary="Kindergarten Süd 绿",
        reason="electricity of 2024",
        country="DE",
        consumption_start_s=0,
        consumption_end_s=0,
        document_hash="0x" + "00" * 32,
        block_number=block,
        log_index=100 + ordinal % BATCHES_PER_BLOCK,
        tx_hash=_hash(2, ordinal),
        retired_at=at,
    )


def _cancellation(rows: _Rows, ordinal: int, block: int, at: datetime) -> None:
    _add(
        rows,
        CreditCancellation,
        block_number=block,
        log_index=200 + ordinal % BATCHES_PER_BLOCK,
        key=_hash(8, ordinal),
        batch_id=batch_id_of(1, ordinal),
        holder=_OWNER,
        first_serial=ISSUED_KG - CANCELLED_KG + 1,
        amount_kg=CANCELLED_KG,
        reason="meter replaced",
        tx_hash=_hash(2, ordinal),
        cancelled_at=at,
    )


def _transaction(rows: _Rows, ordinal: int, kind: int, block: int, at: datetime) -> None:
    _add(
        rows,
        BlockchainTransaction,
        tx_hash=_hash(kind, ordinal),
        contract_address="0x" + "c1" * 20,
        function_name="issue" if kind == 1 else "retire",
        parameters={"amount": "1000"},
        status=TransactionStatus.CONFIRMED,
        gas_used=210_000,
        gas_price=Decimal(10**9),
        created_at=at,
        confirmed_at=at,
    )
    _add(
        rows,
        ChainInclusion,
        tx_hash=_hash(kind, ordinal),
        block_number=block,
        block_hash=_hash(9, block),
        tx_index=2 * (ordinal % BATCHES_PER_BLOCK) + kind - 1,
        sender=_ISSUER,
        nonce=2 * ordinal + kind,
        intent_key=None,
        error=None,
    )


def _add(rows: _Rows, table: type[Any], **values: Any) -> None:
    rows.setdefault(table, []).append(values)


def _hash(kind: int, number: int) -> str:
    return f"0x{kind:02x}{number:062x}"
