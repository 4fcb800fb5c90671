from typing import Any

import pytest

from tests.contracts.park import Park


@pytest.fixture(scope="module", autouse=True)
def settlement(park: Park) -> Any:
    """VppSettlement with its roles, as each test of a module finds it."""
    return park.deploy_settlement()
