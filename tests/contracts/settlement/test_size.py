"""The largest batch, and what a batch of the usual size costs."""

import random
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from tests.contracts.park import CASH, WINDOW_S, Batch, Park, TradeOf

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


@pytest.mark.parametrize(
    ("count", "step"), [(2000, 1), (600, 256)], ids=["the most trades", "the dearest marks"]
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


def test_a_usual_batch(park: Park, settlement: Any) -> None:
    """VS-23: gas of 1,000 trades among 20 accounts that have traded before, both receipts."""
    accounts = addresses(20)
    fund(park, accounts, 10**9)

    def settle(first: int, count: int) -> float:
        trades = [
            TradeOf(seq, *RANDOM.sample(accounts, 2), RANDOM.randint(1, 2 * 10**6), price)
            for seq in range(first, first + count)
            for price in [RANDOM.randint(-500, 4500)]
        ]
        batch = Batch(trades, others=accounts)
        arguments = (park.new_key(), CASH, batch.accounts, batch.words)
        gas = gas_of(settlement.proposeBatch, *arguments, sender=park.operator)
        park.mine_at(park.now + WINDOW_S)
        arguments = (settlement.batchCount(), batch.outcome)
        return (gas + gas_of(settlement.finalizeBatch, *arguments, sender=park.stranger)) / count

    settle(10**6 - 40, 40)
    per_trade = settle(10**6, 1000)
    print(f"gas of a trade among 1,000: {per_trade:.0f}")
    assert per_trade < 2900
