"""deposit, withdraw, and the constructor."""

from typing import Any

import pytest
from brownie.exceptions import VirtualMachineError

from tests.contracts.park import (
    CASH,
    CREDIT_CAP,
    NOTIONAL_CAP,
    ZERO,
    Batch,
    Park,
    TradeOf,
    event,
    refusal,
)


@pytest.fixture(scope="module", autouse=True)
def money(park: Park, settlement: Any) -> None:
    """The buyer has 1,000 in its pocket, approved, and 500 in escrow; the owner has 300 there."""
    park.deposit(park.owner, 300)
    park.deposit(park.buyer, 500)
    park.currency.mint(park.buyer, 1000, {"from": park.buyer})
    park.currency.approve(settlement, 2000, {"from": park.buyer})


# --------------------------------------------------------------------------- constructor


@pytest.mark.parametrize("decimals", [0, 1, 37, 255])
def test_a_currency_has_cents(park: Park, decimals: int) -> None:
    """VS-06: two decimals at least, and 36 at most."""
    currency = park.project.PlainCurrency.deploy(decimals, {"from": park.admin})
    arguments = park.settlement_arguments(currency)
    with pytest.raises(VirtualMachineError, match=f"UnsupportedDecimals: {decimals}"):
        park.project.VppSettlement.deploy(*arguments, {"from": park.admin})


@pytest.mark.parametrize("decimals", [2, 6, 18, 36])
def test_a_cent_in_base_units(park: Park, decimals: int) -> None:
    """VS-06: and currency and window as they were given."""
    currency = park.project.PlainCurrency.deploy(decimals, {"from": park.admin})
    settlement = park.settlement_in(currency, window=77, disputeTimeout=78, disputeBond=79)
    assert settlement.unitsPerCent() == 10 ** (decimals - 2)
    assert settlement.currency() == currency
    assert settlement.window() == 77
    assert settlement.disputeTimeout() == 78
    assert settlement.disputeBond() == 79
    assert settlement.credits() == park.credits
    assert (settlement.notionalCap(), settlement.creditCap()) == (NOTIONAL_CAP, CREDIT_CAP)
    assert settlement.feeCollector() == park.issuer
    assert settlement.feeBps() == 0
    assert settlement.nextToFinalize() == 1
    assert settlement.batchCount() == 0


def test_a_currency_is_a_contract(park: Park) -> None:
    """VS-06: an account that is none has no decimals."""
    arguments = park.settlement_arguments(park.buyer)
    with pytest.raises(VirtualMachineError):
        park.project.VppSettlement.deploy(*arguments, {"from": park.admin})


@pytest.mark.parametrize("name", ["credits", "feeCollector"])
def test_no_part_is_zero(park: Park, name: str) -> None:
    """VS-06: neither the credits' contract nor the collector."""
    arguments = park.settlement_arguments(park.currency, **{name: ZERO})
    with pytest.raises(VirtualMachineError, match="ZeroAddress"):
        park.project.VppSettlement.deploy(*arguments, {"from": park.admin})


# ------------------------------------------------------------------------------- deposit


def test_a_deposit_names_an_account(park: Park, settlement: Any) -> None:
    """VS-01: zero is nobody."""
    assert refusal(settlement.deposit, ZERO, 1, sender=park.buyer) == ("ZeroAddress",)


def test_a_deposit_is_more_than_zero(park: Park, settlement: Any) -> None:
    """VS-02: nothing is no deposit."""
    assert refusal(settlement.deposit, park.buyer, 0, sender=park.buyer) == ("ZeroAmount",)


def test_a_deposit_is_whole_cents(park: Park) -> None:
    """VS-02: of a currency of six decimals, one unit more than a cent is not."""
    currency = park.project.PlainCurrency.deploy(6, {"from": park.admin})
    settlement = park.settlement_in(currency)
    currency.mint(park.buyer, 10**6, {"from": park.buyer})
    currency.approve(settlement, 10**6, {"from": park.buyer})
    for amount in (1, 9_999, 10_001):
        error = refusal(settlement.deposit, park.buyer, amount, sender=park.buyer)
        assert error == ("NotWholeCents", amount, 10_000)
    settlement.deposit(park.buyer, 20_000, {"from": park.buyer})
    error = refusal(settlement.withdraw, park.buyer, 10_001, sender=park.buyer)
    assert error == ("NotWholeCents", 10_001, 10_000)
    settlement.withdraw(park.buyer, 20_000, {"from": park.buyer})
    assert currency.balanceOf(park.buyer) == 10**6


def test_a_deposit_is_the_payers_own(park: Park, settlement: Any) -> None:
    """VS-01: no more than it has and has approved, and nobody else's."""
    error = refusal(settlement.deposit, park.buyer, 1001, sender=park.buyer)
    assert error == ("ERC20InsufficientBalance", park.buyer.address, 1000, 1001)
    error = refusal(settlement.deposit, park.buyer, 1, sender=park.stranger)
    assert error == ("ERC20InsufficientAllowance", settlement.address, 0, 1)


def test_deposit(park: Park, settlement: Any) -> None:
    """VS-01, VS-04: event, return value and every balance; for another account too."""
    tx = settlement.deposit(park.market, 400, {"from": park.buyer})
    assert tx.return_value == 400
    assert event(tx, "Deposited") == {
        "account": park.market,
        "payer": park.buyer,
        "amount": 400,
        "balance": 400,
    }
    tx = settlement.deposit(park.market, 1, {"from": park.buyer})
    assert event(tx, "Deposited")["balance"] == 401
    assert park.escrow() == {park.owner: 300, park.buyer: 500, park.market: 401}
    assert park.currency.balanceOf(park.buyer) == 599
    assert park.currency.balanceOf(settlement) == 1201


# ------------------------------------------------------------------------------ withdraw


def test_a_withdrawal_goes_somewhere(park: Park, settlement: Any) -> None:
    """VS-04: not to zero, and not to the contract, where it would be nobody's."""
    assert refusal(settlement.withdraw, ZERO, 1, sender=park.buyer) == ("ZeroAddress",)
    error = refusal(settlement.withdraw, settlement, 1, sender=park.buyer)
    assert error == ("BadReceiver", settlement.address)


def test_a_withdrawal_is_more_than_zero(park: Park, settlement: Any) -> None:
    """VS-02: nothing is no withdrawal."""
    assert refusal(settlement.withdraw, park.buyer, 0, sender=park.buyer) == ("ZeroAmount",)


def test_no_more_than_the_balance(park: Park, settlement: Any) -> None:
    """VS-03: a cent more is refused, and others' money is not there for it."""
    error = refusal(settlement.withdraw, park.buyer, 501, sender=park.buyer)
    assert error == ("InsufficientBalance", park.buyer.address, CASH, 500, 501)


def test_nobody_withdraws_for_others(park: Park, settlement: Any) -> None:
    """VS-03, VS-32: each role has what is its own, and that is nothing."""
    for sender in (park.admin, park.operator, park.pauser, park.stranger):
        error = refusal(settlement.withdraw, sender, 1, sender=sender)
        assert error == ("InsufficientBalance", sender.address, CASH, 0, 1)


def test_locked_money_stays(park: Park, settlement: Any) -> None:
    """VS-17: what is owed to a proposed batch is not there to withdraw."""
    # 1,000 kWh at 0.002 are 2.00
    trade = TradeOf(1, park.buyer.address, park.owner.address, 1_000_000, 20)
    park.propose(Batch([trade]))
    error = refusal(settlement.withdraw, park.buyer, 301, sender=park.buyer)
    assert error == ("InsufficientBalance", park.buyer.address, CASH, 300, 301)
    error = refusal(settlement.withdraw, park.owner, 301, sender=park.owner)
    assert error == ("InsufficientBalance", park.owner.address, CASH, 300, 301)


def test_withdraw(park: Park, settlement: Any) -> None:
    """VS-03, VS-04: event and every balance; to another address too."""
    tx = settlement.withdraw(park.stranger, 200, {"from": park.buyer})
    assert event(tx, "Withdrawn") == {
        "account": park.buyer,
        "to": park.stranger,
        "amount": 200,
        "balance": 300,
    }
    assert park.escrow() == {park.owner: 300, park.buyer: 300}
    assert park.currency.balanceOf(park.stranger) == 200
    assert park.currency.balanceOf(park.buyer) == 1000
    settlement.withdraw(park.buyer, 300, {"from": park.buyer})
    assert park.escrow() == {park.owner: 300}


def test_a_gift_is_nobodys(park: Park, settlement: Any) -> None:
    """VS-04: money sent past deposit adds to custody, not to a balance, and stays there."""
    park.currency.transfer(settlement, 50, {"from": park.buyer})
    assert park.currency.balanceOf(settlement) == 850
    assert settlement.totalBalance() == 800
    tx = settlement.deposit(park.buyer, 10, {"from": park.buyer})
    assert tx.return_value == 10
    assert settlement.balanceOf(park.buyer) == 510
