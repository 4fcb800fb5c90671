from typing import Any

import pytest

from tests.contracts.park import Park


@pytest.fixture(scope="module", autouse=True)
def settlement(park: Park) -> Any:
    """VppSettlement with its roles, as each test of a module finds it."""
    return park.deploy_settlement()


@pytest.fixture(scope="module")
def three_with_money(park: Park) -> None:
    """Buyer, owner and market with 100.00 each in escrow."""
    for account in (park.buyer, park.owner, park.market):
        park.deposit(account, 10_000)


@pytest.fixture(scope="module")
def three_with_credits(park: Park) -> None:
    """Buyer, owner and market with 1,000 kg each in escrow."""
    for account in (park.buyer, park.owner, park.market):
        park.deposit_credits(account, 1000)
