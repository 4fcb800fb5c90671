"""Why a trade cannot be settled: each reason by a trade that has it, and one step before it."""

from decimal import Decimal
from typing import Any

import pytest

from ledger.models import VppTradingRecord
from ledger.models.trading import TradeType
from ledger.settlement.elsewhere import Accounts
from ledger.settlement.fitting import Terms, above_caps, why_unfit
from ledger.settlement.netting import Limits
from ledger.settlement.words import Trade

PLANT, MARKET = "0x" + "1" * 40, "0x" + "2" * 40
TERMS = Terms(
    Accounts({1: PLANT, 3: MARKET}, {"day-ahead": MARKET}),
    plants={1: "wind", 2: "sun", 3: "storage"},
    unmoving={8: "suspended"},
    signed={},
)


def why(asset: int | None = None, **changed: Any) -> str | None:
    """Say why a kWh at 2.00 with these changes is unfit."""
    row = {"id": 1, "vpp_id": 1, "market": "day-ahead", "trade_type": TradeType.SELL}
    figures = {"quantity": Decimal(1), "price": Decimal(2), "total_value": Decimal("2.00")}
    unfit = why_unfit(VppTradingRecord(**(row | figures | changed)), asset, TERMS)
    return None if unfit is None else unfit.why


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"vpp_id": 4}, "there is no plant in the row 4"),
        ({"vpp_id": 2}, "sun has no settlement account"),
        ({"market": "spot"}, "spot has no settlement account"),
        ({"vpp_id": 3}, f"its plant and its market have one account, {MARKET}"),
        ({"quantity": Decimal(0), "total_value": Decimal(0)}, "its quantity 0 is not above zero"),
        ({"quantity": Decimal("0.001"), "total_value": Decimal(0)}, None),
        ({"quantity": Decimal(2**48) / 1000}, "the quantity does not fit 48 bits"),
        (
            {"total_value": Decimal("2.01")},
            "its total_value 2.01 is not quantity x price = 2.00 (rounded half away from zero)",
        ),
        ({"asset": 7}, None),
        ({"asset": 8}, "credits of batch 8 are suspended and do not move"),
    ],
)
def test_a_trade_that_does_not_fit_says_why(changed: dict[str, Any], said: str | None) -> None:
    assert why(**changed) == said


@pytest.mark.parametrize(
    ("asset", "limits", "said"),
    [
        (None, Limits(cents=2_00), None),
        (None, Limits(cents=1_99), "its value of 2.00 is above the cap of 1.99 that an operator"),
        (None, Limits(cents=2_00, kg=999), None),  # a kWh is no credit
        (7, Limits(cents=2_00, kg=1000), None),
        (7, Limits(kg=999), "its quantity of 1.000 t is above the cap of 0.999 t that an operator"),
        (7, Limits(cents=2_00, kg=999), "its quantity of 1.000 t is above the cap of 0.999 t"),
    ],
)
@pytest.mark.parametrize("price_e4", [20_000, -20_000])
def test_a_trade_above_a_cap_says_which(
    asset: int | None, limits: Limits, said: str | None, price_e4: int
) -> None:
    found = above_caps(Trade(1, MARKET, PLANT, 1000, price_e4), asset, limits)
    assert (found is None) == (said is None)
    assert found is None or found.why.startswith(said or "")
