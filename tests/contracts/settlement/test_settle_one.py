"""settleOne."""

from dataclasses import replace
from typing import Any

import pytest

from tests.contracts.park import (
    ASSET,
    CASH,
    WINDOW_S,
    ZERO,
    Batch,
    Park,
    TradeOf,
    event,
    missing_role,
    refusal,
)

SEQ = 5000


@pytest.fixture(scope="module", autouse=True)
def money(park: Park) -> None:
    """Buyer and owner with 100.00 each; the owner with 1,000 kg."""
    for account in (park.buyer, park.owner):
        park.deposit(account, 10_000)
    park.deposit_credits(park.owner, 1000)


@pytest.fixture
def trade(park: Park) -> TradeOf:
    """The buyer takes 600 for 12.00."""
    return TradeOf(SEQ, park.buyer.address, park.owner.address, 600, 200_000)


def refused(park: Park, trade: Any, asset: int = CASH, by: Any = None) -> tuple[Any, ...]:
    values = trade.values if isinstance(trade, TradeOf) else trade
    return refusal(park.settlement.settleOne, asset, values, sender=by or park.operator)


def test_only_an_operator_settles(park: Park, settlement: Any, trade: TradeOf) -> None:
    """VS-10: not the admin, nor a party of the trade, nor who sends co-signed batches."""
    for sender in (park.admin, park.registrar, park.buyer, park.stranger):
        denied = missing_role(sender, settlement.OPERATOR_ROLE())
        assert refused(park, trade, by=sender) == denied


def test_a_pause_stops_it(park: Park, settlement: Any, trade: TradeOf) -> None:
    """VS-30: also of an operator."""
    settlement.pause({"from": park.pauser})
    assert refused(park, trade) == ("EnforcedPause",)


def test_parties_are_two(park: Park, trade: TradeOf) -> None:
    """VS-27: and none of them is zero."""
    assert refused(park, replace(trade, seller=trade.buyer)) == ("SelfTrade", SEQ)
    assert refused(park, replace(trade, seller=ZERO)) == ("ZeroAddress",)
    assert refused(park, replace(trade, buyer=ZERO)) == ("ZeroAddress",)


@pytest.mark.parametrize("price", [200_000, -200_000, 0, 1])
@pytest.mark.parametrize("off", [-1, 1])
def test_the_total_is_right(park: Park, trade: TradeOf, price: int, off: int) -> None:
    """VS-15, VS-27: a cent too much or too little is refused, whichever way the money goes."""
    trade = replace(trade, price=price)
    wrong = [*trade.values[:5], trade.cents + off]
    assert refused(park, wrong) == ("WrongTotal", SEQ, trade.cents + off, trade.cents)


def test_the_caps(park: Park, settlement: Any, trade: TradeOf) -> None:
    """VS-26: as if positive; kilograms of credits alone; zero is nothing."""
    by_admin = {"from": park.admin}
    for price in (200_000, -200_000):
        settlement.setCaps(1199, 0, by_admin)
        error = refused(park, replace(trade, price=price))
        assert error == ("NotionalAboveCap", 1200, 1199)
        settlement.setCaps(1200, 599, by_admin)
        error = refused(park, replace(trade, price=price), asset=ASSET)
        assert error == ("CreditsAboveCap", 600, 599)
    settlement.settleOne(CASH, trade.values, {"from": park.operator})


def test_credits_are_transferable(park: Park, trade: TradeOf) -> None:
    """VS-25: frozen ones are not, nor what no batch of credits has as its number."""
    park.credits.freeze(ASSET, True, {"from": park.stranger})
    assert refused(park, trade, asset=ASSET) == ("AssetNotTransferable", ASSET)
    assert refused(park, trade, asset=2**64) == ("AssetNotTransferable", 2**64)


def test_both_have_what_they_give(park: Park) -> None:
    """VS-17, VS-24: cash to the cent, credits to the kilogram; else nothing moves."""
    buyer, owner = park.buyer.address, park.owner.address
    dear = TradeOf(SEQ, buyer, owner, 1000, 1_000_100)
    assert dear.cents == 10_001
    assert refused(park, dear) == ("InsufficientBalance", buyer, CASH, 10_000, 10_001)
    assert refused(park, replace(dear, price=-1_000_100)) == (
        "InsufficientBalance",
        owner,
        CASH,
        10_000,
        10_001,
    )
    many = TradeOf(SEQ, buyer, owner, 1001, 10_000)
    assert refused(park, many, asset=ASSET) == ("InsufficientBalance", owner, ASSET, 1000, 1001)
    back = TradeOf(SEQ, owner, buyer, 1, 10_000)
    assert refused(park, back, asset=ASSET) == ("InsufficientBalance", buyer, ASSET, 0, 1)


def test_a_trade_is_settled_once(park: Park, settlement: Any, trade: TradeOf) -> None:
    """VS-16: not again by itself, nor in a batch; and none that is in a batch."""
    park.settle_one(trade)
    assert refused(park, trade) == ("AlreadySettled", SEQ)
    assert refused(park, replace(trade, price=1)) == ("AlreadySettled", SEQ)
    batch = Batch([trade])
    arguments = (park.new_key(), CASH, batch.accounts, batch.words)
    error = refusal(settlement.proposeBatch, *arguments, sender=park.operator)
    assert error == ("AlreadySettled", SEQ)
    error = refusal(settlement.settleCosigned, *park.cosigned(batch), sender=park.registrar)
    assert error == ("AlreadySettled", SEQ)

    other = replace(trade, seq=SEQ + 1)
    park.propose(Batch([other]))
    assert refused(park, other) == ("AlreadySettled", SEQ + 1)
    park.cancel_batch(1, Batch([other]))
    park.settle_one(other)
    park.cosign(Batch([replace(trade, seq=SEQ + 2)]))
    assert refused(park, replace(trade, seq=SEQ + 2)) == ("AlreadySettled", SEQ + 2)


def test_its_mark_is_its_own(park: Park, settlement: Any, trade: TradeOf) -> None:
    """VS-16: the neighbours stay free, on either side of a mark word."""
    for seq in (SEQ, 255, 256, 2**64 - 1):
        park.settle_one(replace(trade, seq=seq, price=0))
        assert settlement.isSettled(seq)
        assert not settlement.isSettled((seq + 1) % 2**64) or seq == 255
        assert not settlement.isSettled(seq - 1) or seq == 256


def test_settle_one(park: Park, settlement: Any, trade: TradeOf) -> None:
    """VS-24, VS-27: event, mark and every balance; of energy, only cash moves."""
    tx = park.settle_one(trade)
    assert [each.name for each in tx.events] == ["TradeSettled"]
    assert event(tx, "TradeSettled") == {
        "seq": SEQ,
        "buyer": park.buyer,
        "seller": park.owner,
        "asset": CASH,
        "quantity": 600,
        "price": 200_000,
        "cents": 1200,
        "fee": 0,
        "feeCollector": park.issuer,
    }
    assert park.escrow() == {park.buyer: 8800, park.owner: 11_200}
    assert park.credit_escrow() == {park.owner: 1000}
    assert settlement.isSettled(SEQ)
    assert settlement.batchCount() == 0


def test_settle_one_of_credits(park: Park, settlement: Any, trade: TradeOf) -> None:
    """VS-24, VS-27: both legs; at a negative price both go the same way."""
    tx = park.settle_one(trade, ASSET)
    assert event(tx, "TradeSettled")["asset"] == ASSET
    assert park.escrow() == {park.buyer: 8800, park.owner: 11_200}
    assert park.credit_escrow() == {park.buyer: 600, park.owner: 400}
    tx = park.settle_one(replace(trade, seq=SEQ + 1, quantity=400, price=-10_000), ASSET)
    assert event(tx, "TradeSettled")["cents"] == -40
    assert park.escrow() == {park.buyer: 8840, park.owner: 11_160}
    assert park.credit_escrow() == {park.buyer: 1000}
    settlement.withdraw(park.buyer, 8840, {"from": park.buyer})
    settlement.withdrawCredits(park.buyer, ASSET, 1000, {"from": park.buyer})


def test_it_waits_for_no_batch(park: Park, trade: TradeOf) -> None:
    """VS-27: nor does a batch wait for it."""
    batch = Batch([replace(trade, seq=1)])
    park.propose(batch)
    park.settle_one(trade)
    park.mine_at(park.now + WINDOW_S)
    park.finalize(1, batch)
    assert park.escrow() == {park.buyer: 7600, park.owner: 12_400}
