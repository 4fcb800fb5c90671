"""The list of batches is bounded: what is open, and the latest that have ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cli.settle_rows import ENDED_SHOWN, alarms_of, latest_of, rows_of, windows_of
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


NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def row(minutes: int, state: str = "proposed", on_chain: str = "proposed") -> dict[str, Any]:
    ends = NOON + timedelta(minutes=minutes)
    return {"state": state, "on_chain": on_chain, "finalizable_at": ends}


def test_it_says_until_when_batches_may_be_disputed() -> None:
    """After a run on a chain with a window of an hour nothing said what happens next, and when."""
    others = [row(9, on_chain="disputed"), row(9, "finalized", "finalized"), row(0), row(-1)]
    planned = {"state": "planned", "on_chain": None, "finalizable_at": None}
    assert windows_of([*others, planned], NOON) == ()
    assert windows_of([*others, row(5)], NOON) == (
        "1 batch may be disputed until 2026-11-02 12:05:00 UTC; `truetonne settle run` or the jobs finalise it when "
        "its window is over",
    )
    assert windows_of([row(7), row(5), planned], NOON) == (
        "2 batches may be disputed until 2026-11-02 12:07:00 UTC; `truetonne settle run` or the jobs finalise them "
        "when their windows are over",
    )


def test_alarms_that_are_alike_are_one_line() -> None:
    """While the contract is paused each batch that waits has the same one: there were 41 lines of it."""
    paused = "settleCosigned: The contract is paused."
    said = alarms_of([paused, "mint: gas costs 900.0 gwei", paused])
    assert said == [
        f"alarm, of 2 transactions: {paused}; see truetonne chain intents",
        "alarm: mint: gas costs 900.0 gwei; see truetonne chain intents",
    ]
