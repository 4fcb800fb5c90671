"""Delivery versus payment of the credits that CarbonCredit issues."""

from typing import Any

import pytest
from eth_abi.abi import encode

from tests.contracts.park import FINALIZED, SUSPENDED, WINDOW_S, Batch, Park, TradeOf, refusal

KILOGRAMS = 10_000


@pytest.fixture(scope="module", autouse=True)
def settlement(park: Park) -> Any:
    """A settlement in real credits; the owner has a batch of them, the buyer has cash."""
    park.deploy_credit()
    park.currency = park.project.TestCurrency.deploy({"from": park.admin})
    park.credits = park.credit
    park.settlement = park.settlement_in(park.currency)
    park.deposit(park.buyer, 100_000)
    return park.settlement


@pytest.fixture
def asset(park: Park) -> int:
    """A batch of 10 t, in escrow."""
    park.issue(amount=KILOGRAMS, evidenceTotal=KILOGRAMS)
    number = 1 << 32 | 1
    park.credit.safeTransferFrom(
        park.owner, park.settlement, number, KILOGRAMS, b"", {"from": park.owner}
    )
    return number


def batch_of(park: Park, asset: int, seq: int = 1) -> Batch:
    """Return a batch in which the buyer pays 80.00 for 4 t."""
    trade = TradeOf(seq, park.buyer.address, park.owner.address, 4000, 200_000)
    return Batch([trade], asset=asset)


def test_from_issue_to_retirement(park: Park, settlement: Any, asset: int) -> None:
    """VS-03, VS-07, VS-24: issued, deposited, sold, withdrawn and retired by who bought them."""
    batch = batch_of(park, asset)
    assert batch.trades[0].cents == 8000
    park.propose(batch)
    park.mine_at(park.now + WINDOW_S)
    park.finalize(1, batch)
    assert park.escrow() == {park.buyer: 92_000, park.owner: 8000}
    assert park.credit_escrow(asset) == {park.buyer: 4000, park.owner: 6000}
    settlement.withdrawCredits(park.buyer, asset, 4000, {"from": park.buyer})
    park.retire(asset, 4000, park.buyer)
    assert park.credit.balanceOf(park.buyer, asset) == 0
    assert park.credit_escrow(asset) == {park.owner: 6000}


def test_what_was_never_issued(park: Park, settlement: Any) -> None:
    """VS-25: is not transferable, and so not settled."""
    never = 7 << 32 | 7
    batch = batch_of(park, never)
    arguments = (park.new_key(), never, batch.accounts, batch.words)
    error = refusal(settlement.proposeBatch, *arguments, sender=park.operator)
    assert error == ("AssetNotTransferable", never)


def test_a_mint_into_escrow(park: Park, settlement: Any) -> None:
    """VS-07: an issuance straight to the contract is refused as a whole."""
    claim = park.claim(recipient=settlement.address)
    arguments = park.issue_arguments(claim)
    error = refusal(park.credit.issue, *arguments, sender=park.issuer)
    assert error == ("MintRefused", 1 << 32 | 1)


def test_suspension_holds_both_legs(park: Park, settlement: Any, asset: int) -> None:
    """VS-03, VS-24, VS-25: nothing of a suspended batch moves within escrow; then all is as before."""
    batch, other = batch_of(park, asset), batch_of(park, asset, seq=2)
    before = (park.escrow(), park.credit_escrow(asset))
    park.propose(batch)
    park.mine_at(park.now + WINDOW_S)
    park.credit.suspend(asset, {"from": park.pauser})
    assert park.credit.statusOf(asset) == SUSPENDED
    refused = ("AssetNotTransferable", asset)
    error = refusal(settlement.finalizeBatch, 1, batch.outcome, sender=park.stranger)
    assert error == refused
    arguments: tuple[Any, ...] = (park.new_key(), asset, other.accounts, other.words)
    assert refusal(settlement.proposeBatch, *arguments, sender=park.operator) == refused
    arguments = (asset, other.trades[0].values)
    assert refusal(settlement.settleOne, *arguments, sender=park.operator) == refused
    error = refusal(settlement.settleCosigned, *park.cosigned(other), sender=park.registrar)
    assert error == refused
    error = refusal(settlement.withdrawCredits, park.owner, asset, 1, sender=park.owner)
    assert error == ("NotActive", asset, SUSPENDED)

    park.cancel_batch(1, batch, by=park.stranger)
    assert (park.escrow(), park.credit_escrow(asset)) == before
    park.credit.reinstate(asset, {"from": park.admin})
    park.cosign(other)
    assert settlement.batchStatus(2) == FINALIZED
    settlement.withdrawCredits(park.owner, asset, 6000, {"from": park.owner})


def test_a_pause_of_the_credits(park: Park, settlement: Any, asset: int) -> None:
    """VS-25: is no reason for a stranger to cancel: it is soon over."""
    batch = batch_of(park, asset)
    park.propose(batch)
    park.credit.pause({"from": park.pauser})
    arguments = (1, batch.outcome, batch.words, "")
    error = refusal(settlement.cancelBatch, *arguments, sender=park.stranger)
    assert error == ("MayNotCancel", 1, park.stranger.address)


def test_trades_go_on_while_the_credits_are_paused(park: Park, settlement: Any, asset: int) -> None:
    """CC-34, VS-24: in the escrow credits change hands on the settlement's books alone; out they do not come."""
    batch = batch_of(park, asset)
    park.propose(batch)
    park.credit.pause({"from": park.pauser})
    park.mine_at(park.now + WINDOW_S)
    park.finalize(1, batch)
    assert park.credit_escrow(asset) == {park.buyer: 4000, park.owner: 6000}
    error = refusal(settlement.withdrawCredits, park.buyer, asset, 1, sender=park.buyer)
    assert error == ("EnforcedPause",)


def test_a_deposit_for_another(park: Park, settlement: Any, asset: int) -> None:
    """VS-07: the data names it."""
    settlement.withdrawCredits(park.owner, asset, 500, {"from": park.owner})
    data = encode(["address"], [park.market.address])
    park.credit.safeTransferFrom(park.owner, settlement, asset, 500, data, {"from": park.owner})
    assert park.credit_escrow(asset) == {park.owner: 9500, park.market: 500}
