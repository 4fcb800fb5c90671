"""The work of a park, done with the rights that the database's accounts for writing and reading have."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ledger.db import Database
from ledger.db.grants import Account
from ledger.issuance import plan_issuance, submit_planned
from ledger.models import (
    BlockchainTransaction,
    CarbonCredit,
    Issuance,
    MeterReading,
    VppTradingRecord,
)
from ledger.models.issuance import IssuanceState
from ledger.models.trading import TradeStatus
from ledger.settlement import batches
from tests.support.accounts import made_account
from tests.support.chain import PARTIES
from tests.support.mariadb import MariaDbServer
from tests.support.park import MARKET, PROJECT, running_park
from tests.support.reports import reports


@pytest.mark.mariadb
def test_readings_to_credits_and_trades_to_batches_without_a_right_too_many(
    mariadb_server: MariaDbServer, mariadb_db: Database, tmp_path: Path
) -> None:
    with made_account(mariadb_server, Account.WRITE) as url:
        database = Database(url.render_as_string(hide_password=False), lock_timeout_s=10)
        with running_park(database, tmp_path) as park:
            park.register()
            park.generate(date(2014, 1, 1), ["60", "61.2345"])
            assert park.count(MeterReading) == 288
            plan_issuance(park.chain, PROJECT, date(2014, 1, 1), date(2014, 1, 3))
            submit_planned(park.chain, PROJECT)
            park.mirror.run_until("head")
            before = park.count(CarbonCredit)
            park.node.reorganise(1)  # rows of the mirror go, and come again
            park.mirror.run_until("head")
            assert park.count(CarbonCredit) == 0
            park.chain.sender.rebroadcast()
            park.mirror_final()
            assert (before, park.count(CarbonCredit)) == (1, 1)
            assert [row.state for row in park.rows(Issuance)] == [IssuanceState.ISSUED]

            buyer = PARTIES["market"]
            park.fund(buyer, 100_00)
            park.trade(("sell", 1_000, 5_000), ("buy", 1_000, 3_000))
            assert [item.trades for item in batches.plan_batches(park.chain)] == [2]
            assert len(batches.submit_planned(park.chain)) == 1
            park.mirror_final()
            with database.read() as session:
                states = session.scalars(select(VppTradingRecord.status)).all()
                sent = session.scalar(select(func.count()).select_from(BlockchainTransaction))
            assert set(states) == {TradeStatus.PENDING}
            with made_account(mariadb_server, Account.READ) as reader:
                said = reports(reader, "+01:00")
            assert len(said) >= 20
            hour = Decimal("61.235")  # of 61.2345 kWh, rounded half away from zero
            days = [("A", date(2014, 1, 1), 60 * 24), ("A", date(2014, 1, 2), 24 * hour)]
            assert said["Generation by device and day"] == days
            assert said["Balance of the park by month"] == [
                ("park", "2014-01", 60 * 24 + 24 * hour, 0, None)
            ]
            (issued,) = said["Reductions and what was issued for them"]
            # 2,909.628 kWh at 0.5 t/MWh
            assert issued[5:8] == (Decimal("1454.814"), 1454, "issued")
            assert said["Credits by vintage and status"] == [
                (PROJECT, 2014, "active", "active", Decimal("1.454"))
            ]
            assert [row[2] for row in said["Who holds credits"]] == [Decimal("1.454")]
            one = Decimal(1)
            assert said["Statement of a month for each plant"] == [
                ("plant", MARKET, "2014-01", "kWh", "pending", one, one, Decimal("0.20"))
            ]
            moved = {(row[2], row[3]) for row in said["What the chain moved"]}
            assert ("deposit", Decimal(100)) in moved
            assert sum(row[3] for row in said["Gas by contract and function"]) == sent
        database.close()
