"""The list of batches is bounded: what is open, and the latest that have ended."""

from __future__ import annotations

import pytest

from cli.settle_rows import ENDED_SHOWN, latest_of, rows_of
from ledger.db import Database
from ledger.models.settlement import BatchState, VppSettlementBatch

STATES = (BatchState.FINALIZED, BatchState.CANCELLED, BatchState.FAILED)


def add(db: Database, count: int, *opened: int) -> None:
    with db.write() as session:
        for row in range(1, count + 1):
            state = BatchState.PROPOSED if row in opened else STATES[row % 3]
            session.add(
                VppSettlementBatch(
                    id=row,
                    batch_key=f"0x{row:064x}",
                    market="spot",
                    state=state,
                    trade_count=1,
                    accounts=[],
                    nets=[],
                    trades_root=f"0x{row:064x}",
                )
            )


@pytest.mark.parametrize(
    ("count", "opened", "older"),
    [(0, (), 0), (50, (), 0), (51, (), 1), (51, (1,), 0), (60, (3, 60), 8)],
)
def test_open_batches_and_the_latest_that_ended(
    sqlite_db: Database, count: int, opened: tuple[int, ...], older: int
) -> None:
    add(sqlite_db, count, *opened)
    with sqlite_db.read() as session:
        wanted, found = latest_of(session)
        rows = rows_of(session) if wanted is None else rows_of(session, wanted)
    shown = [int(row["batch_key"], 16) for row in rows]
    ended = [row for row in range(1, count + 1) if row not in opened]
    assert shown == sorted({*opened, *ended[-ENDED_SHOWN:]})
    assert found == older == count - len(shown)
