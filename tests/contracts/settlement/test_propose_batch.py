"""proposeBatch."""

from typing import Any

import pytest

from tests.contracts.park import (
    ASSET,
    CASH,
    PROPOSED,
    WINDOW_S,
    ZERO,
    Batch,
    Park,
    TradeOf,
    event,
    missing_role,
    refusal,
)

pytestmark = pytest.mark.usefixtures("three_with_money")

KEY = b"\x01" * 32
SEQ = 2**40


@pytest.fixture
def batch(park: Park) -> Batch:
    """Three trades among three accounts, one at a negative price: 20.00, -5.00 and 7.50."""
    buyer, owner, market = (each.address for each in (park.buyer, park.owner, park.market))
    return Batch(
        [
            TradeOf(SEQ, buyer, owner, 1_000_000, 200),
            TradeOf(SEQ + 1, owner, market, 1_000_000, -50),
            TradeOf(SEQ + 300, market, buyer, 750_000, 100),
        ]
    )


def refused(
    park: Park, key: bytes, accounts: list[str], words: list[int], asset: int = CASH, by: Any = None
) -> tuple[Any, ...]:
    arguments = (key, asset, accounts, words)
    return refusal(park.settlement.proposeBatch, *arguments, sender=by or park.operator)


def test_only_an_operator_proposes(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-10: not the admin, nor a party of the trades."""
    for sender in (park.admin, park.pauser, park.buyer, park.stranger):
        denied = missing_role(sender, settlement.OPERATOR_ROLE())
        assert refused(park, KEY, batch.accounts, batch.words, by=sender) == denied


def test_a_key_is_needed(park: Park, batch: Batch) -> None:
    """VS-11: zero names nothing."""
    assert refused(park, bytes(32), batch.accounts, batch.words) == ("EmptyKey",)


def test_a_key_is_used_once(park: Park, batch: Batch) -> None:
    """VS-11: also when its batch is cancelled, and said before all else."""
    batch_id = park.propose(batch, KEY)
    assert refused(park, KEY, [], []) == ("KeyUsed", KEY)
    park.cancel_batch(batch_id, batch)
    assert refused(park, KEY, batch.accounts, batch.words) == ("KeyUsed", KEY)


def test_a_batch_has_trades(park: Park, batch: Batch) -> None:
    """VS-12: one at least."""
    assert refused(park, KEY, batch.accounts, []) == ("EmptyBatch",)


def test_a_batch_has_2000_trades_at_most(park: Park, batch: Batch) -> None:
    """VS-12: said before any of them is looked at."""
    assert refused(park, KEY, batch.accounts, [0] * 2001) == ("TooManyTrades", 2001, 2000)


def test_a_batch_has_200_accounts_at_most(park: Park, batch: Batch) -> None:
    """VS-12: said before any of them is looked at."""
    accounts = [park.buyer.address] * 201
    assert refused(park, KEY, accounts, batch.words) == ("TooManyAccounts", 201, 200)


def test_accounts_ascend(park: Park, batch: Batch) -> None:
    """VS-13: none twice, none out of order, none zero."""
    first, second, third = batch.accounts
    words = batch.words
    assert refused(park, KEY, [first, first, third], words) == ("AccountsNotSorted", 1)
    assert refused(park, KEY, [first, third, second], words) == ("AccountsNotSorted", 2)
    assert refused(park, KEY, [ZERO, second, third], words) == ("ZeroAddress",)
    assert refused(park, KEY, [first, ZERO, third], words) == ("ZeroAddress",)


def test_trades_ascend(park: Park, batch: Batch) -> None:
    """VS-14: none twice, none out of order, across mark words too."""
    one, two, three = batch.words
    assert refused(park, KEY, batch.accounts, [one, one]) == ("SeqOutOfOrder", SEQ)
    assert refused(park, KEY, batch.accounts, [two, one]) == ("SeqOutOfOrder", SEQ)
    assert refused(park, KEY, batch.accounts, [one, three, two]) == ("SeqOutOfOrder", SEQ + 1)


@pytest.mark.parametrize("side", ["buyer", "seller"])
@pytest.mark.parametrize("index", [3, 2**16 - 1])
def test_parties_are_of_the_batch(park: Park, batch: Batch, side: str, index: int) -> None:
    """VS-14: one past the last account is nobody."""
    word = batch.word(batch.trades[1], **{side: index})
    error = refused(park, KEY, batch.accounts, [batch.words[0], word])
    assert error == ("UnknownParty", SEQ + 1, index)


def test_parties_are_two(park: Park, batch: Batch) -> None:
    """VS-14: nobody trades with itself."""
    word = batch.word(batch.trades[0], buyer=2, seller=2)
    assert refused(park, KEY, batch.accounts, [word]) == ("SelfTrade", SEQ)


@pytest.mark.parametrize("off", [-1, 1])
@pytest.mark.parametrize("position", [0, 1])
def test_the_total_is_right(park: Park, batch: Batch, off: int, position: int) -> None:
    """VS-15: a cent too much or too little is refused, whichever way the money goes."""
    trade = batch.trades[position]
    word = batch.word(trade, cents=trade.cents + off)
    error = refused(park, KEY, batch.accounts, [word])
    assert error == ("WrongTotal", trade.seq, trade.cents + off, trade.cents)


def test_a_trade_is_settled_once(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-16: in another batch, alone or among others, proposed or final."""
    batch_id = park.propose(batch)
    for _ in range(2):
        for trade in batch.trades:
            word = batch.word(trade)
            error = refused(park, KEY, batch.accounts, [word])
            assert error == ("AlreadySettled", trade.seq)
        fresh = batch.word(TradeOf(SEQ + 2, park.buyer.address, park.owner.address, 1, 1))
        several = [batch.words[1], fresh]
        assert refused(park, KEY, batch.accounts, several) == ("AlreadySettled", SEQ + 1)
        if settlement.nextToFinalize() == batch_id:
            park.mine_at(park.now + WINDOW_S)
            park.finalize(batch_id, batch)


def test_the_lowest_repeated_trade_is_named(park: Park, batch: Batch) -> None:
    """VS-16: of several that are in another batch."""
    park.propose(batch)
    error = refused(park, KEY, batch.accounts, batch.words)
    assert error == ("AlreadySettled", SEQ)


def test_a_debtor_has_what_it_owes(park: Park) -> None:
    """VS-17: to the cent, on the whole and not trade by trade."""
    buyer, owner, market = (each.address for each in (park.buyer, park.owner, park.market))
    # The buyer owes 150.00 and has 60.00 coming: 90.00 of its 100.00.
    good = [
        TradeOf(SEQ, buyer, owner, 1_000_000, 1_500),
        TradeOf(SEQ + 1, market, buyer, 1_000_000, 600),
    ]
    most = TradeOf(SEQ + 2, buyer, owner, 1_000_000, 100)
    above = TradeOf(SEQ + 2, buyer, owner, 10_000, 10_010)
    assert (most.cents, above.cents) == (1000, 1001)
    wrong = Batch([*good, above])
    error = refused(park, KEY, wrong.accounts, wrong.words)
    assert error == ("InsufficientBalance", buyer, CASH, 10_000, 10_001)
    park.propose(Batch([*good, most]))
    assert park.escrow() == {park.owner: 10_000, park.market: 4_000, "locked": 16_000}


def test_far_above_the_deposit(park: Park) -> None:
    """VS-17: the largest prices, of either sign, and the sum of many."""
    buyer, owner = park.buyer.address, park.owner.address
    several = Batch([TradeOf(SEQ + n, buyer, owner, 100, 2**47 - 1) for n in range(5)])
    assert several.trades[0].cents == 140_737_488_355
    error = refused(park, KEY, several.accounts, several.words)
    assert error == ("InsufficientBalance", buyer, CASH, 10_000, 703_687_441_775)
    negative = Batch([TradeOf(SEQ, buyer, owner, 100, -(2**47))])
    error = refused(park, KEY, negative.accounts, negative.words)
    assert error == ("InsufficientBalance", owner, CASH, 10_000, 140_737_488_355)


def test_a_total_that_does_not_fit_is_refused(park: Park) -> None:
    """VS-15: beyond 64 bits a word cannot tell the total, and a cut one is wrong."""
    buyer, owner = park.buyer.address, park.owner.address
    for price in (2**47 - 1, -(2**47)):
        trade = TradeOf(SEQ, buyer, owner, 2**48 - 1, price)
        batch = Batch([TradeOf(SEQ, buyer, owner, 1, 0)])
        cut = (trade.cents + 2**63) % 2**64 - 2**63
        word = batch.word(trade, cents=cut)
        error = refused(park, KEY, batch.accounts, [word])
        assert error == ("WrongTotal", SEQ, cut, trade.cents)


def test_credits_are_transferable(park: Park, batch: Batch) -> None:
    """VS-25: frozen ones are not, nor what no batch of credits has as its number."""
    park.deposit_credits(park.owner, 10_000_000)
    park.credits.freeze(ASSET, True, {"from": park.stranger})
    accounts, words = batch.accounts, batch.words
    assert refused(park, KEY, accounts, words, asset=ASSET) == ("AssetNotTransferable", ASSET)
    for asset in (2**64, 2**64 + ASSET, 2**256 - 1):
        assert refused(park, KEY, accounts, words, asset=asset) == ("AssetNotTransferable", asset)


def test_a_debtor_has_the_credits(park: Park) -> None:
    """VS-17, VS-24: to the kilogram, on the whole; those of another batch do not count."""
    buyer, owner = park.buyer.address, park.owner.address
    park.deposit_credits(park.owner, 999)
    park.deposit_credits(park.owner, 5000, asset=ASSET + 1)
    several = Batch(
        [TradeOf(1, buyer, owner, 1200, 10), TradeOf(2, owner, buyer, 200, 10)], asset=ASSET
    )
    error = refused(park, KEY, several.accounts, several.words, asset=ASSET)
    assert error == ("InsufficientBalance", owner, ASSET, 999, 1000)
    park.deposit_credits(park.owner, 1)
    park.propose(several)
    assert park.credit_escrow() == {"locked": 1000}


def test_the_caps(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-26: all totals as if positive, all kilograms; one too many is refused, zero is nothing."""
    park.deposit_credits(park.owner, 10_000_000)
    park.deposit_credits(park.market, 10_000_000)
    accounts, words = batch.accounts, batch.words
    notional, kilograms = 2000 + 500 + 750, 2_750_000
    by_admin = {"from": park.admin}
    settlement.setCaps(notional - 1, kilograms, by_admin)
    assert refused(park, KEY, accounts, words) == ("NotionalAboveCap", notional, notional - 1)
    settlement.setCaps(notional, kilograms - 1, by_admin)
    error = refused(park, KEY, accounts, words, asset=ASSET)
    assert error == ("CreditsAboveCap", kilograms, kilograms - 1)
    settlement.proposeBatch.call(KEY, CASH, accounts, words, {"from": park.operator})
    settlement.setCaps(0, 0, by_admin)
    assert refused(park, KEY, accounts, words) == ("NotionalAboveCap", notional, 0)
    free = Batch([TradeOf(SEQ, park.buyer.address, park.owner.address, 1, 0)])
    error = refused(park, KEY, free.accounts, free.words, asset=ASSET)
    assert error == ("CreditsAboveCap", 1, 0)
    settlement.setCaps(notional, kilograms, by_admin)
    settlement.proposeBatch(KEY, ASSET, accounts, words, {"from": park.operator})


def test_a_pause_stops_proposals(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-30: also of an operator."""
    settlement.pause({"from": park.pauser})
    assert refused(park, KEY, batch.accounts, batch.words) == ("EnforcedPause",)


def test_propose_batch(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-10, VS-17, VS-18, VS-19: event, return value, marks, locks and every balance."""
    assert dict(zip(batch.accounts, batch.nets, strict=True)) == {
        park.buyer.address: -2000 + 750,
        park.owner.address: 2000 + 500,
        park.market.address: -500 - 750,
    }
    tx = settlement.proposeBatch(KEY, CASH, batch.accounts, batch.words, {"from": park.operator})

    finalizable_at = tx.timestamp + WINDOW_S
    assert tx.return_value == 1
    assert [each.name for each in tx.events] == ["BatchProposed"]
    published = event(tx, "BatchProposed")
    assert {**published, "key": bytes(published["key"])} == {
        "key": KEY,
        "batchId": 1,
        "asset": CASH,
        "tradesRoot": "0x" + batch.root(KEY).hex(),
        "finalizableAt": finalizable_at,
        "accounts": tuple(batch.accounts),
        "nets": tuple(batch.nets),
        "creditNets": (),
        "words": tuple(batch.words),
    }
    assert sum(published["nets"]) == 0
    assert settlement.batchStatus(1) == PROPOSED
    assert settlement.batchOfKey(KEY) == 1
    assert settlement.assetOf(1) == CASH
    assert bytes(settlement.keyOf(1)) == KEY
    assert settlement.finalizableAt(1) == finalizable_at
    assert settlement.batchCount() == 1
    assert settlement.nextToFinalize() == 1
    marked = {n for n in range(SEQ - 2, SEQ + 302) if settlement.isSettled(n)}
    assert marked == {SEQ, SEQ + 1, SEQ + 300}
    assert park.escrow() == {
        park.buyer: 8750,
        park.owner: 10_000,
        park.market: 8750,
        "locked": 2500,
    }


def test_accounts_without_trades(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-18: they gain nothing and lose nothing."""
    wider = Batch(batch.trades, others=[park.stranger.address, park.admin.address])
    tx = settlement.proposeBatch(KEY, CASH, wider.accounts, wider.words, {"from": park.operator})
    nets = dict(zip(wider.accounts, event(tx, "BatchProposed")["nets"], strict=True))
    assert nets[park.stranger.address] == nets[park.admin.address] == 0
    assert sum(nets.values()) == 0


def test_batches_count_from_1(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-18: by id and by key."""
    keys = [park.new_key() for _ in batch.trades]
    ids = [park.propose(Batch([trade]), key) for trade, key in zip(batch.trades, keys, strict=True)]
    assert ids == [1, 2, 3]
    assert [settlement.batchOfKey(key) for key in keys] == ids
    assert settlement.batchOfKey(KEY) == 0


def test_propose_batch_of_credits(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-17, VS-18, VS-24: both legs netted, published and locked."""
    for account in (park.owner, park.market):
        park.deposit_credits(account, 2_000_000)
    dvp = Batch(batch.trades, asset=ASSET)
    kilograms = dict(zip(dvp.accounts, dvp.credit_nets, strict=True))
    assert kilograms == {
        park.buyer.address: 1_000_000 - 750_000,
        park.owner.address: -1_000_000 + 1_000_000,
        park.market.address: -1_000_000 + 750_000,
    }
    tx = settlement.proposeBatch(KEY, ASSET, dvp.accounts, dvp.words, {"from": park.operator})
    published = event(tx, "BatchProposed")
    assert published["asset"] == ASSET == settlement.assetOf(1)
    assert published["nets"] == tuple(dvp.nets)
    assert published["creditNets"] == tuple(dvp.credit_nets)
    assert sum(published["creditNets"]) == 0
    assert bytes(published["tradesRoot"]) == batch.root(KEY)
    assert park.escrow() == {
        park.buyer: 8750,
        park.owner: 10_000,
        park.market: 8750,
        "locked": 2500,
    }
    assert park.credit_escrow() == {
        park.owner: 2_000_000,
        park.market: 1_750_000,
        "locked": 250_000,
    }
