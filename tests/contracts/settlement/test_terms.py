"""setCaps and setFee, and what fees take."""

from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.park import (
    ASSET,
    CREDIT_CAP,
    NOTIONAL_CAP,
    WINDOW_S,
    ZERO,
    Batch,
    Park,
    TradeOf,
    event,
    missing_role,
    refusal,
)

pytestmark = pytest.mark.usefixtures("three_with_money", "three_with_credits")

ADMIN_ROLE = bytes(32)
DELAY_S = 7 * 86_400


@pytest.fixture
def batch(park: Park) -> Batch:
    """The owner gains 19.99 and the market 7.51, of a fee of 0.50 %."""
    buyer, owner, market = (each.address for each in (park.buyer, park.owner, park.market))
    trades = [TradeOf(1, buyer, owner, 1999, 100_000), TradeOf(2, buyer, market, 751, 100_000)]
    return Batch(trades, fee_bps=50)


def charge(park: Park, bps: int = 50) -> None:
    """Set the fee, and wait until it holds."""
    park.settlement.setFee(bps, park.stranger, {"from": park.admin})
    park.mine_at(park.now + DELAY_S)


# ------------------------------------------------------------------------------- setCaps


def test_only_the_admin_sets_caps(park: Park, settlement: Any) -> None:
    """VS-33: not the operator that they hold back."""
    for sender in (park.operator, park.pauser, park.verifier, park.stranger):
        denied = missing_role(sender, ADMIN_ROLE)
        assert refusal(settlement.setCaps, 1, 1, sender=sender) == denied


def test_set_caps(park: Park, settlement: Any) -> None:
    """VS-33: old and new."""
    tx = settlement.setCaps(7, 8, {"from": park.admin})
    assert event(tx, "CapsChanged") == {
        "oldNotionalCap": NOTIONAL_CAP,
        "newNotionalCap": 7,
        "oldCreditCap": CREDIT_CAP,
        "newCreditCap": 8,
    }
    assert (settlement.notionalCap(), settlement.creditCap()) == (7, 8)
    tx = settlement.setCaps(0, 2**64 - 1, {"from": park.admin})
    assert tuple(event(tx, "CapsChanged").values()) == (7, 0, 8, 2**64 - 1)
    assert (settlement.notionalCap(), settlement.creditCap()) == (0, 2**64 - 1)


def test_caps_leave_the_counters(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-21, VS-33: they share a storage word with them, with the pause and with the fee."""
    plain = Batch(batch.trades)
    park.propose(plain)
    settlement.setFee(100, park.stranger, {"from": park.admin})
    pending = settlement.pendingFee()
    settlement.pause({"from": park.pauser})
    settlement.setCaps(2**64 - 1, 2**64 - 1, {"from": park.admin})
    assert (settlement.batchCount(), settlement.nextToFinalize()) == (1, 1)
    assert settlement.paused()
    assert settlement.pendingFee() == pending
    assert settlement.feeBps() == 0
    settlement.unpause({"from": park.admin})
    park.mine_at(park.now + WINDOW_S)
    park.finalize(1, plain)
    assert (settlement.batchCount(), settlement.nextToFinalize()) == (1, 2)
    assert settlement.notionalCap() == 2**64 - 1


# -------------------------------------------------------------------------------- setFee


def test_only_the_admin_sets_the_fee(park: Park, settlement: Any) -> None:
    """VS-60: not who collects it."""
    for sender in (park.operator, park.issuer, park.verifier, park.stranger):
        denied = missing_role(sender, ADMIN_ROLE)
        assert refusal(settlement.setFee, 1, park.stranger, sender=sender) == denied


def test_a_fee_has_a_limit(park: Park, settlement: Any) -> None:
    """VS-60: 1 % is good, a hundredth more is not; somebody collects it."""
    error = refusal(settlement.setFee, 101, park.stranger, sender=park.admin)
    assert error == ("FeeTooHigh", 101, 100)
    assert refusal(settlement.setFee, 1, ZERO, sender=park.admin) == ("ZeroAddress",)
    settlement.setFee(100, park.stranger, {"from": park.admin})


def test_a_fee_is_announced(park: Park, settlement: Any) -> None:
    """VS-60: event; the old one holds for 7 days to the second, the new one from then on."""
    assert settlement.pendingFee() == (0, ZERO, 0)
    tx = settlement.setFee(50, park.stranger, {"from": park.admin})
    since = tx.timestamp + DELAY_S
    assert event(tx, "FeeChanged") == {
        "oldBps": 0,
        "newBps": 50,
        "oldCollector": park.issuer,
        "newCollector": park.stranger,
        "effectiveAt": since,
    }
    assert settlement.pendingFee() == (50, park.stranger, since)
    park.mine_at(since - 1)
    assert (settlement.feeBps(), settlement.feeCollector()) == (0, park.issuer)
    park.mine_at(since)
    assert (settlement.feeBps(), settlement.feeCollector()) == (50, park.stranger)


def test_the_next_fee(park: Park, settlement: Any) -> None:
    """VS-60: what holds stays until then; an announcement that does not hold yet is replaced."""
    charge(park, 50)
    by_admin = {"from": park.admin}
    settlement.setFee(100, park.owner, by_admin)
    assert (settlement.feeBps(), settlement.feeCollector()) == (50, park.stranger)
    park.mine_at(park.now + DELAY_S - 100)
    tx = settlement.setFee(0, park.issuer, by_admin)
    assert tuple(event(tx, "FeeChanged").values())[:4] == (50, 0, park.stranger, park.issuer)
    park.mine_at(park.now + 200)
    assert (settlement.feeBps(), settlement.feeCollector()) == (50, park.stranger)
    park.mine_at(tx.timestamp + DELAY_S)
    assert (settlement.feeBps(), settlement.feeCollector()) == (0, park.issuer)


# --------------------------------------------------------------------- what a fee takes


def test_a_fee_of_a_batch(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-18, VS-61: of each creditor's gain, rounded down; paid when the batch is final."""
    charge(park)
    # 0.5 % of 19.99 and of 7.51 are 9.995 and 3.755 cents.
    gains = dict(zip(batch.accounts, batch.nets, strict=True))
    assert gains == {
        park.buyer.address: -2750,
        park.owner.address: 1999 - 9,
        park.market.address: 751 - 3,
    }
    key = park.new_key()
    arguments = (key, 0, batch.accounts, batch.words)
    tx = settlement.proposeBatch(*arguments, {"from": park.operator})
    assert event(tx, "BatchProposed")["nets"] == tuple(batch.nets)
    assert park.escrow() == {
        park.buyer: 7250,
        park.owner: 10_000,
        park.market: 10_000,
        "locked": 2750,
    }
    park.mine_at(park.now + WINDOW_S)
    final = event(park.finalize(1, batch), "BatchFinalized")
    assert (final["fee"], final["feeCollector"]) == (12, park.stranger)
    assert park.escrow() == {
        park.buyer: 7250,
        park.owner: 11_990,
        park.market: 10_748,
        park.stranger: 12,
    }
    settlement.withdraw(park.stranger, 12, {"from": park.stranger})


def test_a_fee_comes_back_with_the_rest(park: Park, batch: Batch) -> None:
    """VS-22, VS-61: a cancelled batch costs nothing."""
    charge(park)
    before = park.escrow()
    park.propose(batch)
    park.cancel_batch(1, batch)
    assert park.escrow() == before


def test_a_batch_has_the_fee_of_its_proposal(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-60, VS-61: and pays it to who collects when it is final."""
    settlement.setFee(100, park.stranger, {"from": park.admin})
    park.mine_at(park.now + DELAY_S - 50)
    plain = Batch(batch.trades)
    park.propose(plain)
    park.mine_at(park.now + WINDOW_S)
    assert settlement.feeBps() == 100
    final = event(park.finalize(1, plain), "BatchFinalized")
    assert (final["fee"], final["feeCollector"]) == (0, park.stranger)
    later = Batch([replace(batch.trades[0], seq=9)], fee_bps=100)
    park.propose(later)
    settlement.setFee(0, park.issuer, {"from": park.admin})
    park.mine_at(park.now + DELAY_S)
    final = event(park.finalize(2, later), "BatchFinalized")
    assert (final["fee"], final["feeCollector"]) == (19, park.issuer)
    assert park.escrow()[park.issuer] == 19


def test_a_fee_of_a_cosigned_batch(park: Park, batch: Batch) -> None:
    """VS-41, VS-61: at once, of cash alone."""
    charge(park)
    dvp = Batch(batch.trades, asset=ASSET, fee_bps=50)
    park.deposit_credits(park.owner, 999)
    tx = park.cosign(dvp)
    assert event(tx, "BatchProposed")["nets"] == tuple(dvp.nets)
    assert event(tx, "BatchFinalized")["fee"] == 12
    assert park.escrow()[park.stranger] == 12
    assert park.credit_escrow() == {park.buyer: 1000 + 1999 + 751, park.market: 249}


@pytest.mark.parametrize(
    ("price", "fee"), [(100_000, 9), (-100_000, 9), (5_000, 0), (10_050, 1), (9_900, 0)]
)
def test_a_fee_of_a_single_trade(park: Park, price: int, fee: int) -> None:
    """VS-27, VS-61: of the creditor's gain, whoever it is; a collector may be a party."""
    charge(park)
    trade = TradeOf(5, park.buyer.address, park.owner.address, 1999, price)
    tx = park.settle_one(trade)
    published = event(tx, "TradeSettled")
    assert (published["fee"], published["feeCollector"]) == (fee, park.stranger)
    gain = abs(trade.cents)
    debtor, creditor = (park.buyer, park.owner) if price > 0 else (park.owner, park.buyer)
    expected = {debtor: 10_000 - gain, creditor: 10_000 + gain - fee, park.market: 10_000}
    assert park.escrow() == {**expected, **({park.stranger: fee} if fee else {})}


def test_a_collector_that_trades(park: Park, settlement: Any) -> None:
    """VS-04, VS-61: gets its own fee back."""
    settlement.setFee(100, park.owner, {"from": park.admin})
    park.mine_at(park.now + DELAY_S)
    park.settle_one(TradeOf(5, park.buyer.address, park.owner.address, 1000, 100_000))
    batch = Batch([TradeOf(6, park.buyer.address, park.owner.address, 1000, 100_000)], fee_bps=100)
    park.propose(batch)
    park.mine_at(park.now + WINDOW_S)
    park.finalize(1, batch)
    assert park.escrow() == {park.buyer: 8000, park.owner: 12_000, park.market: 10_000}
