"""The jobs settle by themselves: a scheduler and a mirror run, and nobody gives a command."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ledger import jobs
from ledger.models import VppSettlementAccount, VppTradingRecord
from ledger.models.trading import TradeStatus
from ledger.settings import Settings, load_settings
from ledger.settlement import escrow
from tests.support.park import Park

SECONDS_MAX = 40.0


def local(folder: Path) -> Settings:
    """Return the settings of a local chain: its blocks become final because a job mines on them."""
    return replace(load_settings(None, {"TRUETONNE_HOME": str(folder)}), local_chain=True)


def test_pending_trades_are_executed_by_the_jobs_alone(
    park: Park, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SETTLE_SECONDS", "RESEND_SECONDS", "FINALITY_SECONDS"):
        monkeypatch.setattr(jobs, name, 1)
    park.mirror_final()
    for account in {item.address for item in park.rows(VppSettlementAccount)}:
        escrow.mint_test_currency(park.chain, account, 100_00)
        escrow.deposit(park.chain, account, account, 100_00)
    park.mirror_final()
    park.trade(("sell", 1_000_000, 412), ("buy", 5_000, 1_000), ("sell", 2_000, -31))

    stop = threading.Event()
    other = park.again()  # the mirror and the jobs each have their own door to the books
    mirror = threading.Thread(target=other.mirror.follow, args=(stop,), daemon=True)
    scheduler = jobs.scheduler(local(tmp_path), park.chain)
    mirror.start()
    scheduler.start()
    try:
        until = time.monotonic() + SECONDS_MAX
        while time.monotonic() < until:
            park.node.client.request("evm_increaseTime", [hex(3600)])
            if {row.status for row in park.rows(VppTradingRecord)} == {TradeStatus.EXECUTED}:
                break
            time.sleep(0.5)
    finally:
        scheduler.shutdown(wait=True)
        stop.set()
        mirror.join(20)
    rows = park.rows(VppTradingRecord)
    assert [row.status for row in rows] == [TradeStatus.EXECUTED] * 3
    assert all(row.settlement_time is not None for row in rows)
    jobs.report_differences(park.chain)


def test_no_run_is_dropped_and_none_overlaps(park: Park, tmp_path: Path) -> None:
    made = jobs.scheduler(local(tmp_path), park.chain)
    made.start(paused=True)
    try:
        found = made.get_jobs()
        assert len(found) == 4
        assert {(job.coalesce, job.max_instances, job.misfire_grace_time) for job in found} == {
            (True, 1, None)
        }
    finally:
        made.shutdown()
    public = replace(local(tmp_path), local_chain=False)
    there = jobs.scheduler(public, park.chain)
    there.start(paused=True)
    try:
        assert len(there.get_jobs()) == 3  # nobody mines on a chain that is not ours
    finally:
        there.shutdown()


def test_a_quiet_local_chain_is_left_as_it_is(park: Park, tmp_path: Path) -> None:
    park.mirror_final()
    park.mirror_final()
    before = park.node.client.block_number()
    jobs.make_final(local(tmp_path), park.chain)
    assert park.node.client.block_number() == before
    park.node.issue(5, 0)
    park.mirror.run_until("head")
    jobs.make_final(local(tmp_path), park.chain)
    assert park.node.client.block_number() == before + 3
