"""The largest batch, and what a batch of the usual size costs."""

import random
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from tests.contracts.park import ASSET, CASH, WINDOW_S, Batch, Park, TradeOf
from tests.support.forms import few, long

GAS_MAX = 16_777_216  # of one transaction, EIP-7825
BYTES_MAX = 128 * 1024  # of one transaction in geth's pool
RANDOM = random.Random(7)


def addresses(count: int) -> list[str]:
    """Return accounts that nobody has the keys of."""
    return [to_checksum_address(f"0x{RANDOM.getrandbits(160):040x}") for _ in range(count)]


def fund(park: Park, accounts: list[str], cents: int) -> None:
    """Deposit cents for each account; the market pays."""
    park.currency.mint(park.market, cents * len(accounts), {"from": park.market})
    park.currency.approve(park.settlement, cents * len(accounts), {"from": park.market})
    for account in accounts:
        park.settlement.deposit(account, cents, {"from": park.market})


def gas_of(function: Any, *arguments: Any, sender: Any) -> int:
    """Send a large transaction and return its gas; Brownie takes a slow receipt for a lost one."""
    from brownie import web3

    data = function.encode_input(*arguments)
    assert len(data) // 2 < BYTES_MAX
    message = {"from": sender.address, "to": function._address, "data": data, "gas": GAS_MAX}
    receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_transaction(message))
    assert receipt["status"] == 1
    return int(receipt["gasUsed"])


@long
@pytest.mark.parametrize(
    ("count", "step"),
    [
        pytest.param(2000, 1, id="the most trades", marks=pytest.mark.long),
        pytest.param(600, 256, id="the dearest marks"),
    ],
)
def test_a_large_batch_fits(park: Park, settlement: Any, count: int, step: int) -> None:
    """VS-12, VS-23: proposed, cancelled and finalized, by 199 debtors of one creditor."""
    creditor, *debtors = addresses(200)
    fund(park, debtors, 11)
    trades = [TradeOf(step * n, debtors[n % 199], creditor, 1000, 100) for n in range(count)]
    batch = Batch(trades)
    assert sum(net < 0 for net in batch.nets) == 199

    def propose() -> tuple[int, int]:
        arguments = (park.new_key(), CASH, batch.accounts, batch.words)
        gas = gas_of(settlement.proposeBatch, *arguments, sender=park.operator)
        return gas, settlement.batchCount()

    most, batch_id = propose()
    arguments = (batch_id, batch.outcome, batch.words, "x" * 1024)
    assert gas_of(settlement.cancelBatch, *arguments, sender=park.operator) < most
    _, batch_id = propose()
    park.mine_at(park.now + WINDOW_S)
    arguments = (batch_id, batch.outcome)
    assert gas_of(settlement.finalizeBatch, *arguments, sender=park.stranger) < most

    assert settlement.balanceOf(creditor) == count
    print(f"gas of {count} trades: {most}")
    assert most < GAS_MAX
    # What batches are planned by (ledger/settlement/netting.py) is no less than what one costs.
    marks = len({trade.seq >> 8 for trade in trades})
    assert most < 120_000 + count * 2_000 + 200 * 45_000 + marks * 22_500


def test_the_code_fits(settlement: Any) -> None:
    """VS-28: 24,576 bytes are the most that a contract may have."""
    from brownie import web3

    size = len(web3.eth.get_code(settlement.address))
    print(f"bytes of code: {size}")
    assert size <= 24_576 - 512


# ------------------------------------------------------------------------- what it costs


@pytest.fixture
def parties(park: Park) -> list[str]:
    """Ten accounts with keys, cash and credits."""
    accounts = list(park.accounts[:10])
    for account in accounts:
        park.deposit(account, 10**9)
        park.deposit_credits(account, 10**9)
    return [account.address for account in accounts]


def usual(parties: list[str], first: int, count: int, asset: int) -> Batch:
    """Return trades between all parties, neighbours by number, at prices of either sign."""
    trades = [
        TradeOf(seq, *RANDOM.sample(parties, 2), RANDOM.randint(1, 2 * 10**5), price)
        for seq in range(first, first + count)
        for price in [RANDOM.randint(-500, 4500)]
    ]
    return Batch(trades, others=parties, asset=asset)


@few(1)
@pytest.mark.parametrize("asset", [CASH, ASSET], ids=["energy", "credits"])
def test_a_thousand_trades(park: Park, settlement: Any, parties: list[str], asset: int) -> None:
    """VS-23: gas of 1,000 trades among 10 accounts that have traded before, each way."""

    def propose(batch: Batch) -> int:
        arguments = (park.new_key(), asset, batch.accounts, batch.words)
        gas = gas_of(settlement.proposeBatch, *arguments, sender=park.operator)
        park.mine_at(park.now + WINDOW_S)
        arguments = (settlement.batchCount(), batch.outcome)
        return gas + gas_of(settlement.finalizeBatch, *arguments, sender=park.stranger)

    def cosign(batch: Batch) -> int:
        arguments = park.cosigned(batch)
        return gas_of(settlement.settleCosigned, *arguments, sender=park.registrar)

    propose(usual(parties, 10**6 - 40, 40, asset))
    per_trade = {
        act.__name__: act(usual(parties, first, 1000, asset)) / 1000
        for first, act in ((10**6, propose), (10**6 + 1000, cosign))
    }
    print(f"gas of a trade among 1,000: {per_trade}")
    assert per_trade["propose"] < 2100
    assert per_trade["cosign"] < 2000


def test_a_single_trade(park: Park, parties: list[str]) -> None:
    """VS-23, VS-27: gas of one among accounts that have traded before, its mark beside others."""
    gas = {}
    for seq, asset in ((1000, CASH), (1001, CASH), (1002, ASSET)):
        trade = TradeOf(seq, parties[0], parties[1], 123_456, 1_234)
        gas[asset] = park.settle_one(trade, asset).gas_used
    print(f"gas of a single trade: {gas}")
    assert gas[CASH] < 53_058
    assert gas[ASSET] < 70_000
