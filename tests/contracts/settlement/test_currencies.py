"""Settlement in currencies that do not behave."""

from typing import Any

import pytest

from tests.contracts.park import Park, event, refusal


def settled_in(park: Park, currency: Any, approved: int = 1000) -> Any:
    """Return a settlement in a currency of which the buyer has 1,000 units."""
    currency.mint(park.buyer, 1000, {"from": park.buyer})
    settlement = park.settlement_in(currency)
    currency.approve(settlement, approved, {"from": park.buyer})
    return settlement


def test_fee_on_transfer(park: Park) -> None:
    """VS-01, VS-05: what arrived is credited, and all of it can leave."""
    currency = park.project.FeeCurrency.deploy(2, 3, {"from": park.admin})
    settlement = settled_in(park, currency)
    tx = settlement.deposit(park.owner, 100, {"from": park.buyer})
    assert tx.return_value == 97
    assert event(tx, "Deposited")["amount"] == 97
    assert settlement.balanceOf(park.owner) == 97 == currency.balanceOf(settlement)
    settlement.withdraw(park.owner, 97, {"from": park.owner})
    assert settlement.totalBalance() == 0 == currency.balanceOf(settlement)
    assert currency.balanceOf(park.owner) == 94


def test_a_fee_that_leaves_nothing(park: Park) -> None:
    """VS-02, VS-05: a deposit that does not arrive is none."""
    currency = park.project.FeeCurrency.deploy(2, 3, {"from": park.admin})
    settlement = settled_in(park, currency)
    assert refusal(settlement.deposit, park.buyer, 3, sender=park.buyer) == ("ZeroAmount",)


def test_a_fee_that_breaks_a_cent(park: Park) -> None:
    """VS-02, VS-05: what arrives must be whole cents, not what was asked for."""
    currency = park.project.FeeCurrency.deploy(3, 5, {"from": park.admin})
    settlement = settled_in(park, currency)
    error = refusal(settlement.deposit, park.buyer, 100, sender=park.buyer)
    assert error == ("NotWholeCents", 95, 10)
    settlement.deposit(park.buyer, 105, {"from": park.buyer})
    assert settlement.balanceOf(park.buyer) == 100


def test_a_fee_of_the_sender(park: Park) -> None:
    """VS-03, VS-04, VS-05: what a withdrawal costs beside its amount is borne by who withdraws alone."""
    currency = park.project.SenderFeeCurrency.deploy(2, 3, {"from": park.admin})
    settlement = settled_in(park, currency)
    for account in (park.buyer, park.owner):
        settlement.deposit(account, 100, {"from": park.buyer})
    error = refusal(settlement.withdraw, park.buyer, 98, sender=park.buyer)
    assert error == ("InsufficientBalance", park.buyer.address, 0, 2, 3)
    tx = settlement.withdraw(park.stranger, 97, {"from": park.buyer})
    booked = [(each["to"], each["amount"], each["balance"]) for each in tx.events["Withdrawn"]]
    assert booked == [(park.stranger, 97, 3), (park.stranger, 3, 0)]
    assert settlement.totalBalance() == 100 == currency.balanceOf(settlement)
    settlement.withdraw(park.owner, 97, {"from": park.owner})
    assert settlement.totalBalance() == 0 == currency.balanceOf(settlement)


def test_a_fee_of_the_sender_that_breaks_a_cent(park: Park) -> None:
    """VS-02, VS-05: balances stay whole cents."""
    currency = park.project.SenderFeeCurrency.deploy(3, 5, {"from": park.admin})
    settlement = settled_in(park, currency)
    settlement.deposit(park.buyer, 100, {"from": park.buyer})
    error = refusal(settlement.withdraw, park.buyer, 50, sender=park.buyer)
    assert error == ("NotWholeCents", 5, 10)


def test_false(park: Park) -> None:
    """VS-05: a currency that says false has moved nothing, and nothing is booked."""
    currency = park.project.FalseCurrency.deploy({"from": park.admin})
    settlement = settled_in(park, currency)
    error = refusal(settlement.deposit, park.buyer, 100, sender=park.buyer)
    assert error == ("SafeERC20FailedOperation", currency.address)


def test_true_for_nothing(park: Park) -> None:
    """VS-01, VS-05: a currency that says true and moves nothing is not believed."""
    currency = park.project.LyingCurrency.deploy({"from": park.admin})
    settlement = settled_in(park, currency)
    assert refusal(settlement.deposit, park.buyer, 100, sender=park.buyer) == ("ZeroAmount",)


def test_no_answer(park: Park) -> None:
    """VS-05: a currency that moves and says nothing is used as any other."""
    currency = park.project.SilentCurrency.deploy({"from": park.admin})
    settlement = settled_in(park, currency)
    settlement.deposit(park.buyer, 100, {"from": park.buyer})
    settlement.withdraw(park.owner, 60, {"from": park.buyer})
    assert settlement.balanceOf(park.buyer) == 40 == currency.balanceOf(settlement)
    assert currency.balanceOf(park.owner) == 60


@pytest.mark.parametrize("within", ["deposit", "withdraw"])
@pytest.mark.parametrize("again", ["deposit", "withdraw"])
def test_a_call_in_a_call(park: Park, within: str, again: str) -> None:
    """VS-04, VS-05: neither is entered while the other runs."""
    currency = park.project.ReenteringCurrency.deploy({"from": park.admin})
    settlement = settled_in(park, currency)
    settlement.deposit(park.buyer, 500, {"from": park.buyer})
    call = getattr(settlement, again).encode_input(park.buyer, 10)
    currency.arm(settlement, call, {"from": park.stranger})
    error = refusal(getattr(settlement, within), park.buyer, 10, sender=park.buyer)
    assert error == ("ReentrancyGuardReentrantCall",)


def test_a_harmless_call_in_a_call(park: Park) -> None:
    """VS-05: the mock does call back: what is not guarded goes through."""
    currency = park.project.ReenteringCurrency.deploy({"from": park.admin})
    settlement = settled_in(park, currency)
    call = settlement.skipClosed.encode_input(1)
    currency.arm(settlement, call, {"from": park.stranger})
    settlement.deposit(park.buyer, 10, {"from": park.buyer})
    assert settlement.balanceOf(park.buyer) == 10
    currency.arm(settlement, settlement.pause.encode_input(), {"from": park.stranger})
    error = refusal(settlement.deposit, park.buyer, 10, sender=park.buyer)
    assert error[:2] == ("AccessControlUnauthorizedAccount", currency.address)
