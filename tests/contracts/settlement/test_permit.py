"""depositWithPermit."""

from typing import Any

import pytest
from eth_account.messages import encode_typed_data

from tests.contracts.park import ZERO, Park, event, private_key, refusal

FIELDS = ("owner", "spender", "value", "nonce", "deadline")
KINDS = ("address", "address", "uint256", "uint256", "uint256")
NOT_SIGNED = (2**40, 27, bytes(32), bytes(32))


@pytest.fixture
def currency(park: Park) -> Any:
    """A currency with permits, of which the buyer has 10.00."""
    currency = park.project.PermitCurrency.deploy({"from": park.admin})
    currency.mint(park.buyer, 1000, {"from": park.admin})
    return currency


@pytest.fixture
def escrow(park: Park, currency: Any) -> Any:
    """A settlement in it."""
    return park.settlement_in(currency)


def permit(currency: Any, escrow: Any, amount: int, index: int = 5, deadline: int = 2**40) -> Any:
    """Return deadline, v, r and s of a permit of the buyer, signed by an account."""
    owner = private_key(5).address
    values = (owner, escrow.address, amount, currency.nonces(owner), deadline)
    domain = {
        "name": "Plain",
        "version": "1",
        "chainId": 31337,
        "verifyingContract": currency.address,
    }
    kinds = [{"name": name, "type": kind} for name, kind in zip(FIELDS, KINDS, strict=True)]
    message = encode_typed_data(domain, {"Permit": kinds}, dict(zip(FIELDS, values, strict=True)))
    signed = private_key(index).sign_message(message)
    return deadline, signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")


def test_what_a_deposit_needs(park: Park, currency: Any, escrow: Any) -> None:
    """VS-01, VS-02, VS-08, VS-30: a permit mends nothing else."""
    good = permit(currency, escrow, 1000)
    arguments = (ZERO, 1000, *good)
    assert refusal(escrow.depositWithPermit, *arguments, sender=park.buyer) == ("ZeroAddress",)
    arguments = (park.buyer, 0, *permit(currency, escrow, 0))
    assert refusal(escrow.depositWithPermit, *arguments, sender=park.buyer) == ("ZeroAmount",)
    escrow.pause({"from": park.pauser})
    arguments = (park.buyer, 1000, *good)
    assert refusal(escrow.depositWithPermit, *arguments, sender=park.buyer) == ("EnforcedPause",)


@pytest.mark.parametrize("case", ["another signer", "too late", "another amount"])
def test_a_bad_permit_approves_nothing(park: Park, currency: Any, escrow: Any, case: str) -> None:
    """VS-08: the transfer fails as without it."""
    bad = {
        "another signer": permit(currency, escrow, 1000, index=6),
        "too late": permit(currency, escrow, 1000, deadline=1),
        "another amount": permit(currency, escrow, 999),
    }[case]
    error = refusal(escrow.depositWithPermit, park.buyer, 1000, *bad, sender=park.buyer)
    assert error == ("ERC20InsufficientAllowance", escrow.address, 0, 1000)


def test_a_permit_is_its_senders(park: Park, currency: Any, escrow: Any) -> None:
    """VS-08, VS-32: nobody pays in, to whomever, with another's permit."""
    arguments = (park.stranger, 1000, *permit(currency, escrow, 1000))
    error = refusal(escrow.depositWithPermit, *arguments, sender=park.stranger)
    assert error == ("ERC20InsufficientAllowance", escrow.address, 0, 1000)


def test_deposit_with_permit(park: Park, currency: Any, escrow: Any) -> None:
    """VS-01, VS-08: without an approval before; event, return value, every balance."""
    arguments = (park.market, 400, *permit(currency, escrow, 400))
    tx = escrow.depositWithPermit(*arguments, {"from": park.buyer})
    assert tx.return_value == 400
    assert event(tx, "Deposited") == {
        "account": park.market,
        "payer": park.buyer,
        "amount": 400,
        "balance": 400,
    }
    assert escrow.balanceOf(park.market) == 400 == escrow.totalBalance()
    assert currency.balanceOf(escrow) == 400
    assert currency.balanceOf(park.buyer) == 600
    assert currency.allowance(park.buyer, escrow) == 0


def test_a_permit_that_was_sent_before(park: Park, currency: Any, escrow: Any) -> None:
    """VS-08: by whoever saw it: the approval is there, and that is enough."""
    good = permit(currency, escrow, 400)
    currency.permit(park.buyer, escrow, 400, *good, {"from": park.stranger})
    escrow.depositWithPermit(park.buyer, 400, *good, {"from": park.buyer})
    assert escrow.balanceOf(park.buyer) == 400


@pytest.mark.parametrize("name", ["PlainCurrency", "PanickingCurrency"])
def test_currencies_without_permits(park: Park, name: str) -> None:
    """VS-05, VS-08: that have no such function, or a broken one, take an approval as before."""
    decimals = [2] if name == "PlainCurrency" else []
    currency = park.project[name].deploy(*decimals, {"from": park.admin})
    escrow = park.settlement_in(currency)
    currency.mint(park.buyer, 400, {"from": park.admin})
    arguments = (park.buyer, 400, *NOT_SIGNED)
    error = refusal(escrow.depositWithPermit, *arguments, sender=park.buyer)
    assert error == ("ERC20InsufficientAllowance", escrow.address, 0, 400)
    currency.approve(escrow, 400, {"from": park.buyer})
    escrow.depositWithPermit(*arguments, {"from": park.buyer})
    assert escrow.balanceOf(park.buyer) == 400
