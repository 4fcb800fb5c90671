"""settleCosigned and hashSettlement."""

from dataclasses import replace
from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message

from tests.contracts.park import (
    ASSET,
    CASH,
    FINALIZED,
    WINDOW_S,
    ZERO,
    Batch,
    Park,
    TradeOf,
    event,
    merkle_proof,
    missing_role,
    private_key,
    refusal,
)

pytestmark = pytest.mark.usefixtures("three_with_money", "three_with_credits")

KEY = b"\x01" * 32
SEQ = 700


@pytest.fixture
def batch(park: Park) -> Batch:
    """Three trades of credits among three accounts."""
    buyer, owner, market = (each.address for each in (park.buyer, park.owner, park.market))
    return Batch(
        [
            TradeOf(SEQ, buyer, owner, 900, 200_000),
            TradeOf(SEQ + 1, owner, market, 400, -50_000),
            TradeOf(SEQ + 300, market, buyer, 100, 100_000),
        ],
        asset=ASSET,
    )


def refused(park: Park, settlement: Any, signatures: Any, by: Any = None) -> tuple[Any, ...]:
    arguments = (settlement, signatures)
    return refusal(park.settlement.settleCosigned, *arguments, sender=by or park.registrar)


def test_a_sender_is_a_member(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-42: not a party by itself, nor an operator: whoever sends uses up numbers."""
    arguments = park.cosigned(batch)
    for sender in (park.admin, park.operator, park.buyer, park.stranger):
        denied = missing_role(sender, settlement.MEMBER_ROLE())
        assert refused(park, *arguments, by=sender) == denied


def test_a_pause_stops_it(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-30: however many have signed."""
    settlement.pause({"from": park.pauser})
    assert refused(park, *park.cosigned(batch)) == ("EnforcedPause",)


def test_a_deadline_passes(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-42: good in its last second, not in the next."""
    deadline = park.now + 100
    arguments = park.cosigned(batch, deadline=deadline)
    park.mine_at(deadline + 1)
    assert refused(park, *arguments) == ("SignaturesExpired", deadline)
    deadline = park.now + 100
    arguments = park.cosigned(batch, deadline=deadline)
    park.mine_at(deadline)
    settlement.settleCosigned.call(*arguments, {"from": park.registrar})


def test_all_have_signed(park: Park, batch: Batch) -> None:
    """VS-40: none is missing, none is for another, none is empty or cut."""
    plain, signatures = park.cosigned(batch)
    first, second, third = signatures
    assert refused(park, plain, [first, second]) == ("WrongSignatureCount", 2, 3)
    assert refused(park, plain, [*signatures, third]) == ("WrongSignatureCount", 4, 3)
    assert refused(park, plain, []) == ("WrongSignatureCount", 0, 3)
    for index, account in enumerate(batch.accounts):
        for wrong in (b"", signatures[index][:-1], signatures[index] + b"\0", bytes(65)):
            several = [*signatures[:index], wrong, *signatures[index + 1 :]]
            assert refused(park, plain, several) == ("BadSignature", account)
    swapped = [second, first, third]
    assert refused(park, plain, swapped) == ("BadSignature", batch.accounts[0])
    high = first[:32] + (N - int.from_bytes(first[32:64], "big")).to_bytes(32, "big")
    malleable = [high + bytes([55 - first[64]]), second, third]
    assert refused(park, plain, malleable) == ("BadSignature", batch.accounts[0])


N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141  # order of secp256k1


def test_what_was_signed_is_what_is_settled(park: Park, batch: Batch) -> None:
    """VS-40: another key, asset, account, trade or deadline is not."""
    (key, asset, accounts, words, deadline), signatures = park.cosigned(batch)
    first = accounts[0]
    cheaper = batch.word(replace(batch.trades[0], price=100_000))
    others = [
        (park.new_key(), asset, accounts, words, deadline),
        (key, CASH, accounts, words, deadline),
        (key, asset + 1, accounts, words, deadline),
        (key, asset, accounts, [cheaper, *words[1:]], deadline),
        (key, asset, accounts, words[:-1], deadline),
        (key, asset, accounts, [*words, words[0]], deadline),
        (key, asset, accounts, words, deadline - 1),
    ]
    for other in others:
        assert refused(park, other, signatures) == ("BadSignature", first)
    stranger = park.stranger.address
    more = sorted([*accounts, stranger], key=lambda account: int(account, 16))
    message = park.settlement_message(
        {"key": key, "asset": asset, "accounts": accounts, "words": words, "deadline": deadline}
    )
    extra = bytes(private_key(9).sign_message(message).signature)
    signed = dict(zip([*accounts, stranger], [*signatures, extra], strict=True))
    error = refused(park, (key, asset, more, words, deadline), [signed[each] for each in more])
    assert error == ("BadSignature", more[0])


@pytest.mark.parametrize(
    "domain",
    [
        {"name": "Truetonne CarbonCredit"},
        {"version": "2"},
        {"chainId": 1},
        {"verifyingContract": ZERO},
    ],
)
def test_signatures_are_for_this_contract(park: Park, batch: Batch, domain: Any) -> None:
    """VS-40: not for another contract, chain or version."""
    plain, _ = park.cosigned(batch)
    names = ("key", "asset", "accounts", "words", "deadline")
    message = park.settlement_message(dict(zip(names, plain, strict=True)), **domain)
    index_of = {account.address: index for index, account in enumerate(park.accounts[:10])}
    signatures = [
        bytes(private_key(index_of[account]).sign_message(message).signature)
        for account in batch.accounts
    ]
    assert refused(park, plain, signatures) == ("BadSignature", batch.accounts[0])


def test_checks_of_a_proposal(park: Park, batch: Batch) -> None:
    """VS-11, VS-12, VS-13, VS-14, VS-15, VS-25: signatures mend nothing."""
    accounts, words = batch.accounts, batch.words

    def error(**changes: Any) -> tuple[Any, ...]:
        return refused(park, *park.cosigned(batch, **changes))

    assert error(key=bytes(32)) == ("EmptyKey",)
    assert error(words=[]) == ("EmptyBatch",)
    assert error(words=[0] * 2001) == ("TooManyTrades", 2001, 2000)
    assert error(words=[words[1], words[0]]) == ("SeqOutOfOrder", SEQ)
    trade = batch.trades[0]
    assert error(words=[batch.word(trade, buyer=3)]) == ("UnknownParty", SEQ, 3)
    assert error(words=[batch.word(trade, buyer=1, seller=1)]) == ("SelfTrade", SEQ)
    wrong = batch.word(trade, cents=trade.cents + 1)
    assert error(words=[wrong]) == ("WrongTotal", SEQ, trade.cents + 1, trade.cents)
    plain, signatures = park.cosigned(batch)
    turned = (plain[0], plain[1], accounts[::-1], *plain[3:])
    names = ("key", "asset", "accounts", "words", "deadline")
    message = park.settlement_message(dict(zip(names, turned, strict=True)))
    index_of = {account.address: index for index, account in enumerate(park.accounts[:10])}
    signatures = [
        bytes(private_key(index_of[account]).sign_message(message).signature)
        for account in accounts[::-1]
    ]
    assert refused(park, turned, signatures) == ("AccountsNotSorted", 1)
    park.credits.freeze(ASSET, True, {"from": park.stranger})
    assert error() == ("AssetNotTransferable", ASSET)


def test_a_settlement_comes_once(park: Park, batch: Batch) -> None:
    """VS-11, VS-16, VS-42: neither its key nor its trades again."""
    arguments = park.cosigned(batch, KEY)
    park.settlement.settleCosigned(*arguments, {"from": park.registrar})
    assert refused(park, *arguments) == ("KeyUsed", KEY)
    assert refused(park, *park.cosigned(batch)) == ("AlreadySettled", SEQ)
    for trade in batch.trades:
        single = Batch([trade], asset=ASSET)
        assert refused(park, *park.cosigned(single)) == ("AlreadySettled", trade.seq)
    error = refusal(park.settlement.proposeBatch, KEY, ASSET, [], [], sender=park.operator)
    assert error == ("KeyUsed", KEY)


def test_a_debtor_has_what_it_owes(park: Park) -> None:
    """VS-17, VS-24: in cash and in credits, or nothing moves."""
    buyer, owner = park.buyer.address, park.owner.address
    dear = Batch([TradeOf(1, buyer, owner, 1000, 1_000_100)])
    error = refused(park, *park.cosigned(dear))
    assert error == ("InsufficientBalance", buyer, CASH, 10_000, 10_001)
    many = Batch([TradeOf(1, buyer, owner, 1001, 1)], asset=ASSET)
    error = refused(park, *park.cosigned(many))
    assert error == ("InsufficientBalance", owner, ASSET, 1000, 1001)


def test_what_is_signed(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-40: the digest that any EIP-712 wallet computes, and the domain in ERC-5267."""
    plain, _ = park.cosigned(batch, KEY)
    names = ("key", "asset", "accounts", "words", "deadline")
    message = park.settlement_message(dict(zip(names, plain, strict=True)))
    assert bytes(settlement.hashSettlement(plain)) == _hash_eip191_message(message)
    domain = settlement.eip712Domain()
    assert domain[1:5] == ("Truetonne VppSettlement", "1", 31337, settlement.address)


def test_a_contract_signs(park: Park, settlement: Any) -> None:
    """VS-40: by ERC-1271, and nobody for it."""
    wallet = park.project.SmartWallet.deploy(park.owner, {"from": park.owner})
    park.deposit(park.buyer, 100)
    park.currency.mint(park.buyer, 100, {"from": park.buyer})
    trade = TradeOf(SEQ, park.buyer.address, wallet.address, 1000, 1000)
    batch = Batch([trade])
    settlement_ = {
        "key": KEY,
        "asset": CASH,
        "accounts": batch.accounts,
        "words": batch.words,
        "deadline": 2**40,
    }
    message = park.settlement_message(settlement_)
    by = {index: bytes(private_key(index).sign_message(message).signature) for index in (4, 5, 9)}
    plain = tuple(settlement_.values())
    order = [batch.accounts.index(park.buyer.address), batch.accounts.index(wallet.address)]

    def signed(buyer: bytes, owner: bytes) -> list[bytes]:
        pair = {order[0]: buyer, order[1]: owner}
        return [pair[0], pair[1]]

    for wrong in (by[9], by[5], b""):
        error = refused(park, plain, signed(by[5], wrong))
        assert error == ("BadSignature", wallet.address)
    settlement.settleCosigned(plain, signed(by[5], by[4]), {"from": park.registrar})
    assert settlement.balanceOf(wallet) == trade.cents == 10


def test_settle_cosigned(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-18, VS-19, VS-24, VS-41: events in order, return value, marks, root, every balance."""
    arguments = park.cosigned(batch, KEY)
    tx = settlement.settleCosigned(*arguments, {"from": park.registrar})
    assert tx.return_value == 1
    names = ["BatchProposed", "BatchCosigned", "BatchFinalized"]
    assert [each.name for each in tx.events] == names
    published = event(tx, "BatchProposed")
    root = "0x" + batch.root(KEY).hex()
    assert {**published, "key": bytes(published["key"])} == {
        "key": KEY,
        "batchId": 1,
        "asset": ASSET,
        "tradesRoot": root,
        "finalizableAt": tx.timestamp,
        "accounts": tuple(batch.accounts),
        "nets": tuple(batch.nets),
        "creditNets": tuple(batch.credit_nets),
        "words": tuple(batch.words),
    }
    digest = settlement.hashSettlement(arguments[0])
    cosigned = event(tx, "BatchCosigned")
    assert (bytes(cosigned["key"]), cosigned["batchId"]) == (KEY, 1)
    assert cosigned["digest"] == digest
    final = event(tx, "BatchFinalized")
    assert (bytes(final["key"]), final["batchId"], final["tradesRoot"]) == (KEY, 1, root)
    assert (final["fee"], final["feeCollector"]) == (0, park.issuer)
    assert settlement.batchStatus(1) == FINALIZED
    assert settlement.batchOfKey(KEY) == 1
    assert settlement.nextToFinalize() == 2
    assert settlement.isSettled(SEQ + 300)
    leaves = batch.leaves(KEY)
    for position, trade in enumerate(batch.trades):
        assert settlement.verifyTrade(1, trade.values, merkle_proof(leaves, position))
    # 180.00 to the owner, 20.00 from the market to the owner, 10.00 to the buyer
    assert park.escrow() == {
        park.buyer: 10_000 - 1800 + 100,
        park.owner: 10_000 + 1800 + 200,
        park.market: 10_000 - 200 - 100,
    }
    assert park.credit_escrow() == {park.buyer: 1800, park.owner: 500, park.market: 700}


def test_no_caps(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-41: what the parties signed needs none."""
    settlement.setCaps(0, 0, {"from": park.admin})
    park.cosign(batch)


def test_no_way_back(park: Park, settlement: Any, batch: Batch) -> None:
    """VS-20, VS-22, VS-41: a final batch is neither finalized, cancelled nor disputed."""
    park.cosign(batch, KEY)
    error = refusal(settlement.finalizeBatch, 1, batch.outcome, sender=park.stranger)
    assert error == ("BatchNotProposed", 1, FINALIZED)
    arguments = (1, batch.outcome, batch.words, "")
    error = refusal(settlement.cancelBatch, *arguments, sender=park.operator)
    assert error == ("BatchNotOpen", 1, FINALIZED)
    proof = merkle_proof(batch.leaves(KEY), 0)
    arguments = (1, batch.trades[0].values, proof)
    error = refusal(settlement.disputeTrade, *arguments, sender=park.buyer)
    assert error == ("BatchNotProposed", 1, FINALIZED)


def test_the_order_passes_it_over(park: Park, settlement: Any) -> None:
    """VS-21: between proposals, before them and after."""
    buyer, owner = park.buyer.address, park.owner.address
    batches = {n: Batch([TradeOf(n, buyer, owner, 1000, 100)]) for n in range(1, 7)}
    for number, batch in batches.items():
        if number in (1, 3, 4, 6):
            park.cosign(batch)
        else:
            assert park.propose(batch) == number
    assert settlement.nextToFinalize() == 2
    park.mine_at(park.now + WINDOW_S)
    error = refusal(settlement.finalizeBatch, 5, batches[5].outcome, sender=park.stranger)
    assert error == ("OutOfOrder", 5, 2)
    park.finalize(2, batches[2])
    park.finalize(5, batches[5])
    assert settlement.nextToFinalize() == 7
    assert park.escrow() == {park.buyer: 9994, park.owner: 10_006, park.market: 10_000}
