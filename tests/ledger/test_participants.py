"""Who a settlement account belongs to, and what a name on a command line stands for."""

from types import SimpleNamespace
from typing import Any

import pytest

from cli.escrow import address_of
from ledger.db import Database
from ledger.errors import BadInput
from ledger.models import VppDefinition, VppSettlementAccount
from ledger.models.vpp import VppStatus
from ledger.settlement.money import participants

PLANT, MARKET, OTHER = ("0x" + digit * 40 for digit in "123")


@pytest.fixture
def both_called_north(sqlite_db: Database) -> Database:
    def work(session: Any) -> None:
        plant = VppDefinition(
            vpp_id="north", name="North", total_capacity=1, status=VppStatus.ACTIVE
        )
        session.add(plant)
        session.flush()
        session.add_all(
            [
                VppSettlementAccount(vpp_id=plant.id, address=PLANT),
                VppSettlementAccount(market="north", address=MARKET),
                VppSettlementAccount(market="spot", address=OTHER),
            ]
        )

    sqlite_db.run(work)
    return sqlite_db


def test_money_goes_to_nobody_whose_name_is_anothers_too(both_called_north: Database) -> None:
    flow: Any = SimpleNamespace(db=both_called_north)
    assert address_of(flow, "spot") == OTHER
    with pytest.raises(BadInput) as refused:
        address_of(flow, "north")
    for part in ("'north'", f"a VPP with account {PLANT}", f"a market with account {MARKET}"):
        assert part in refused.value.message


def test_who_shares_a_name_is_called_by_the_account(both_called_north: Database) -> None:
    """So that the command in a sentence, `truetonne settle deposit NAME`, pays whom the sentence is about."""
    with both_called_north.read() as session:
        assert participants(session) == {PLANT: PLANT, MARKET: MARKET, OTHER: "spot"}


def test_a_plant_that_is_a_market_to_others_is_called_by_its_own_name(
    both_called_north: Database,
) -> None:
    """Two parks that trade with each other: each was called as the other's books call its market."""

    def work(session: Any) -> None:
        plant = VppDefinition(
            vpp_id="south", name="South", total_capacity=1, status=VppStatus.ACTIVE
        )
        session.add(plant)
        session.flush()
        session.add(VppSettlementAccount(vpp_id=plant.id, address=OTHER))

    both_called_north.run(work)
    with both_called_north.read() as session:
        assert participants(session)[OTHER] == "south"
