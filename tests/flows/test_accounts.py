"""The work of a park, done with the rights that the database's account for writing has."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import select

from ledger.db import Database
from ledger.db.grants import Account
from ledger.issuance import plan_issuance, submit_planned
from ledger.models import CarbonCredit, Issuance, MeterReading, VppTradingRecord
from ledger.models.issuance import IssuanceState
from ledger.models.trading import TradeStatus
from ledger.settlement import batches
from tests.support.accounts import made_account
from tests.support.chain import PARTIES
from tests.support.mariadb import MariaDbServer
from tests.support.park import PROJECT, running_park


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
            assert set(states) == {TradeStatus.PENDING}
        database.close()
