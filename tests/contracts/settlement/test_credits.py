"""Credits in escrow: the ERC-1155 hooks and withdrawCredits."""

from typing import Any

import pytest
from eth_abi.abi import encode

from tests.contracts.deploying import request
from tests.contracts.park import (
    ASSET,
    CASH,
    ZERO,
    Batch,
    Park,
    TradeOf,
    event,
    missing_role,
    refusal,
)

OTHER = ASSET + 1


@pytest.fixture(scope="module", autouse=True)
def credits_(park: Park) -> None:
    """The owner has 1,000 kg of each of two batches in its wallet, and 500 of one in escrow."""
    for asset in (ASSET, OTHER):
        park.credits.mint(park.owner, asset, 1000, {"from": park.owner})
    park.deposit_credits(park.owner, 500)


def send(park: Park, asset: int, amount: int, data: bytes = b"", by: Any = None) -> Any:
    arguments = (park.owner, park.settlement, asset, amount, data)
    return park.credits.safeTransferFrom(*arguments, {"from": by or park.owner})


def refused(park: Park, asset: int, amount: int, data: bytes = b"") -> tuple[Any, ...]:
    arguments = (park.owner, park.settlement, asset, amount, data)
    return refusal(park.credits.safeTransferFrom, *arguments, sender=park.owner)


# -------------------------------------------------------------------------------- coming


def test_only_the_credits_contract_is_believed(park: Park, settlement: Any) -> None:
    """VS-07: not another token, and not whoever calls."""
    foreign = park.project.PlainCredits.deploy({"from": park.stranger})
    foreign.mint(park.owner, ASSET, 100, {"from": park.stranger})
    arguments = (park.owner, settlement, ASSET, 100, b"")
    error = refusal(foreign.safeTransferFrom, *arguments, sender=park.owner)
    assert error == ("ForeignToken", foreign.address)
    pair = ([ASSET, OTHER], [1, 1])
    foreign.mint(park.owner, OTHER, 100, {"from": park.stranger})
    arguments = (park.owner, settlement, *pair, b"")
    error = refusal(foreign.safeBatchTransferFrom, *arguments, sender=park.owner)
    assert error == ("ForeignToken", foreign.address)
    error = refusal(foreign.lie, settlement, park.owner, ASSET, 100, sender=park.stranger)
    assert error == ("ForeignToken", foreign.address)
    for sender in (park.operator, park.owner, park.admin):
        arguments = (sender, sender, ASSET, 100, b"")
        error = refusal(settlement.onERC1155Received, *arguments, sender=sender)
        assert error == ("ForeignToken", sender.address)
    arguments = (park.owner, park.owner, *pair, b"")
    error = refusal(settlement.onERC1155BatchReceived, *arguments, sender=park.owner)
    assert error == ("ForeignToken", park.owner.address)


def test_nothing_is_no_deposit(park: Park, settlement: Any) -> None:
    """VS-02, VS-07: a transfer of no batch at all is refused, whoever's token it is."""
    foreign = park.project.PlainCredits.deploy({"from": park.stranger})
    for token in (foreign, park.credits):
        arguments = (park.owner, settlement, [], [], b"")
        error = refusal(token.safeBatchTransferFrom, *arguments, sender=park.owner)
        assert error == ("ZeroAmount",)


def test_a_mint_is_no_deposit(park: Park, settlement: Any) -> None:
    """VS-07: it would be nobody's."""
    error = refusal(park.credits.mint, settlement, ASSET, 5, sender=park.owner)
    assert error == ("MintRefused", ASSET)


def test_the_currency_is_no_batch_of_credits(park: Park, settlement: Any) -> None:
    """VS-07: nobody makes cash of an ERC-1155 with the number zero."""
    park.credits.mint(park.owner, CASH, 100, {"from": park.owner})
    assert refused(park, CASH, 100) == ("AssetNotTransferable", CASH)
    park.deposit(park.buyer, 100)
    error = refusal(settlement.withdrawCredits, park.buyer, CASH, 100, sender=park.buyer)
    assert error == ("AssetNotTransferable", CASH)


def test_a_transfer_is_more_than_zero(park: Park) -> None:
    """VS-02: nothing is no deposit."""
    assert refused(park, ASSET, 0) == ("ZeroAmount",)


def test_data_is_an_account_or_nothing(park: Park) -> None:
    """VS-07: of 32 bytes, and not zero."""
    for length in (1, 20, 31, 33, 64):
        assert refused(park, ASSET, 1, bytes(length)) == ("BadDepositData", length)
    assert refused(park, ASSET, 1, bytes(32)) == ("ZeroAddress",)
    itself = bytes(12) + bytes.fromhex(park.settlement.address[2:])
    assert refused(park, ASSET, 1, itself) == ("BadReceiver", park.settlement.address)


def test_dirty_data_is_refused(park: Park) -> None:
    """VS-07: an account has 20 bytes."""
    from brownie.exceptions import VirtualMachineError

    with pytest.raises(VirtualMachineError):
        send(park, ASSET, 1, b"\x01" * 32)


def test_a_pause_stops_it(park: Park, settlement: Any) -> None:
    """VS-30: deposits of credits too, singly and several."""
    settlement.pause({"from": park.pauser})
    assert refused(park, ASSET, 1) == ("EnforcedPause",)
    arguments = (park.owner, settlement, [ASSET, OTHER], [1, 1], b"")
    error = refusal(park.credits.safeBatchTransferFrom, *arguments, sender=park.owner)
    assert error == ("EnforcedPause",)


def test_a_deposit(park: Park) -> None:
    """VS-04, VS-07: to the sender's balance; event and every balance."""
    tx = send(park, ASSET, 300)
    assert event(tx, "CreditsDeposited") == {
        "account": park.owner,
        "payer": park.owner,
        "asset": ASSET,
        "amount": 300,
        "balance": 800,
    }
    assert park.credit_escrow() == {park.owner: 800}
    assert park.credit_escrow(OTHER) == {}
    assert park.credits.balanceOf(park.owner, ASSET) == 700
    assert park.escrow() == {}


def test_a_deposit_for_another(park: Park) -> None:
    """VS-07: whom the data names; the payer is the holder, whoever sends."""
    park.credits.setApprovalForAll(park.stranger, True, {"from": park.owner})
    data = encode(["address"], [park.buyer.address])
    tx = send(park, ASSET, 300, data, by=park.stranger)
    published = event(tx, "CreditsDeposited")
    assert (published["account"], published["payer"]) == (park.buyer, park.owner)
    assert park.credit_escrow() == {park.owner: 500, park.buyer: 300}


def test_a_deposit_of_several(park: Park, settlement: Any) -> None:
    """VS-04, VS-07: one event for each; the same batch twice too."""
    assets, amounts = [ASSET, OTHER, ASSET], [10, 20, 30]
    data = encode(["address"], [park.buyer.address])
    tx = park.credits.safeBatchTransferFrom(
        park.owner, settlement, assets, amounts, data, {"from": park.owner}
    )
    found = [(each["asset"], each["amount"]) for each in tx.events["CreditsDeposited"]]
    assert found == list(zip(assets, amounts, strict=True))
    assert park.credit_escrow() == {park.owner: 500, park.buyer: 40}
    assert park.credit_escrow(OTHER) == {park.buyer: 20}


def test_what_it_answers_to(settlement: Any) -> None:
    """VS-07: a receiver of ERC-1155, an access control, and nothing else."""
    answers = {
        name: settlement.supportsInterface(name)
        for name in (
            "0x4e2312e0",
            "0x01ffc9a7",
            "0x7965db0b",
            "0x31498786",
            "0xd9b67a26",
            "0xffffffff",
        )
    }
    assert answers == {
        "0x4e2312e0": True,  # IERC1155Receiver
        "0x01ffc9a7": True,  # IERC165
        "0x7965db0b": True,  # IAccessControl
        "0x31498786": True,  # IAccessControlDefaultAdminRules
        "0xd9b67a26": False,  # IERC1155
        "0xffffffff": False,
    }


# ----------------------------------------------------------------------- withdrawCredits


def test_a_withdrawal_goes_somewhere(park: Park, settlement: Any) -> None:
    """VS-04: not to zero, and not to the contract."""
    error = refusal(settlement.withdrawCredits, ZERO, ASSET, 1, sender=park.owner)
    assert error == ("ZeroAddress",)
    error = refusal(settlement.withdrawCredits, settlement, ASSET, 1, sender=park.owner)
    assert error == ("BadReceiver", settlement.address)


def test_a_withdrawal_is_more_than_zero(park: Park, settlement: Any) -> None:
    """VS-02: nothing is no withdrawal."""
    error = refusal(settlement.withdrawCredits, park.owner, ASSET, 0, sender=park.owner)
    assert error == ("ZeroAmount",)


def test_no_more_than_the_balance(park: Park, settlement: Any) -> None:
    """VS-03, VS-32: of that batch, of that account."""
    error = refusal(settlement.withdrawCredits, park.owner, ASSET, 501, sender=park.owner)
    assert error == ("InsufficientBalance", park.owner.address, ASSET, 500, 501)
    error = refusal(settlement.withdrawCredits, park.owner, OTHER, 1, sender=park.owner)
    assert error == ("InsufficientBalance", park.owner.address, OTHER, 0, 1)
    for sender in (park.admin, park.operator, park.verifier, park.registrar, park.stranger):
        error = refusal(settlement.withdrawCredits, sender, ASSET, 1, sender=sender)
        assert error == ("InsufficientBalance", sender.address, ASSET, 0, 1)


def test_locked_credits_stay(park: Park, settlement: Any) -> None:
    """VS-17: what a proposed batch will deliver is not there to withdraw."""
    trade = TradeOf(1, park.buyer.address, park.owner.address, 400, 0)
    park.propose(Batch([trade], asset=ASSET))
    error = refusal(settlement.withdrawCredits, park.owner, ASSET, 101, sender=park.owner)
    assert error == ("InsufficientBalance", park.owner.address, ASSET, 100, 101)
    error = refusal(settlement.withdrawCredits, park.buyer, ASSET, 1, sender=park.buyer)
    assert error == ("InsufficientBalance", park.buyer.address, ASSET, 0, 1)


def test_frozen_credits_stay(park: Park, settlement: Any) -> None:
    """VS-03: what their contract does not let go is in the balance still."""
    park.credits.freeze(ASSET, True, {"from": park.stranger})
    error = refusal(settlement.withdrawCredits, park.owner, ASSET, 1, sender=park.owner)
    assert error == ("Error", "frozen")
    park.credits.freeze(ASSET, False, {"from": park.stranger})
    settlement.withdrawCredits(park.owner, ASSET, 500, {"from": park.owner})


def test_withdraw_credits(park: Park, settlement: Any) -> None:
    """VS-03, VS-04, VS-30: event and every balance; in a pause too."""
    settlement.pause({"from": park.pauser})
    tx = settlement.withdrawCredits(park.stranger, ASSET, 200, {"from": park.owner})
    assert event(tx, "CreditsWithdrawn") == {
        "account": park.owner,
        "to": park.stranger,
        "asset": ASSET,
        "amount": 200,
        "balance": 300,
    }
    assert park.credit_escrow() == {park.owner: 300}
    assert park.credits.balanceOf(park.stranger, ASSET) == 200


@pytest.mark.parametrize("again", ["withdrawCredits", "withdraw"])
def test_a_receiver_that_calls_back(park: Park, settlement: Any, again: str) -> None:
    """VS-05: neither way out is entered while it is left by the other."""
    receiver = park.project.ReenteringReceiver.deploy({"from": park.stranger})
    park.deposit(park.buyer, 100)
    park.currency.mint(park.stranger, 100, {"from": park.stranger})
    park.currency.approve(settlement, 100, {"from": park.stranger})
    settlement.deposit(receiver, 100, {"from": park.stranger})
    send(park, ASSET, 300, encode(["address"], [receiver.address]))
    call = {
        "withdrawCredits": settlement.withdrawCredits.encode_input(receiver, ASSET, 100),
        "withdraw": settlement.withdraw.encode_input(park.stranger, 100),
    }[again]
    receiver.arm(settlement, call, {"from": park.stranger})
    first = settlement.withdrawCredits.encode_input(receiver, ASSET, 100)
    error = refusal(receiver.run, settlement, first, sender=park.stranger)
    assert error == ("ReentrancyGuardReentrantCall",)


def test_a_receiver_that_pays_in_again(park: Park, settlement: Any) -> None:
    """VS-04, VS-05: in the middle of the withdrawal; the books are right in every moment."""
    receiver = park.project.ReenteringReceiver.deploy({"from": park.stranger})
    send(park, ASSET, 300, encode(["address"], [receiver.address]))
    data = encode(["address"], [park.buyer.address])
    call = park.credits.safeTransferFrom.encode_input(receiver, settlement, ASSET, 120, data)
    receiver.arm(park.credits, call, {"from": park.stranger})
    first = settlement.withdrawCredits.encode_input(receiver, ASSET, 200)
    receiver.run(settlement, first, {"from": park.stranger})
    assert settlement.creditBalanceOf(receiver, ASSET) == 100
    assert settlement.creditBalanceOf(park.buyer, ASSET) == 120
    assert settlement.totalsOf(ASSET) == (500 + 100 + 120, 0)
    assert park.credits.balanceOf(settlement, ASSET) == 720
    assert park.credits.balanceOf(receiver, ASSET) == 80


def test_a_receiver_that_settles(park: Park, settlement: Any) -> None:
    """VS-05, VS-10: has no more rights in the middle of a withdrawal than before."""
    receiver = park.project.ReenteringReceiver.deploy({"from": park.stranger})
    send(park, ASSET, 300, encode(["address"], [receiver.address]))
    trade = TradeOf(1, receiver.address, park.owner.address, 1, 0)
    call = settlement.settleOne.encode_input(ASSET, trade.values)
    receiver.arm(settlement, call, {"from": park.stranger})
    first = settlement.withdrawCredits.encode_input(receiver, ASSET, 200)
    error = refusal(receiver.run, settlement, first, sender=park.stranger)
    assert error == missing_role(receiver.address, settlement.OPERATOR_ROLE())


def test_receivers_that_take_nothing(park: Park, settlement: Any) -> None:
    """VS-05: the withdrawal fails as a whole, and the balance stays."""
    from brownie.exceptions import VirtualMachineError

    for name in ("DeafHolder", "RefusingHolder"):
        receiver = park.project[name].deploy({"from": park.stranger})
        with pytest.raises(VirtualMachineError, match="ERC1155InvalidReceiver"):
            settlement.withdrawCredits(receiver, ASSET, 100, {"from": park.owner})
    assert park.credit_escrow() == {park.owner: 500}


def test_a_receiver_that_burns_all_gas(park: Park) -> None:
    """VS-05: the withdrawal fails as a whole, and the balance goes to another receiver."""
    request("anvil_setCode", [park.stranger.address, "0xfe"])
    try:
        arguments = (park.stranger.address, ASSET, 100)
        error = refusal(park.settlement.withdrawCredits, *arguments, sender=park.owner)
        assert error == ("ERC1155InvalidReceiver", park.stranger.address)
    finally:
        request("anvil_setCode", [park.stranger.address, "0x"])
    assert park.credit_escrow() == {park.owner: 500}
    park.settlement.withdrawCredits(park.stranger, ASSET, 100, {"from": park.owner})
