"""The largest batch, and what a batch of the usual size costs."""

import random
from typing import Any

import pytest
from eth_utils.address import to_checksum_address

from tests.contracts.park import WINDOW_S, Batch, Park, TradeOf

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

    def propose() -> Any:
        arguments = (park.new_key(), batch.accounts, batch.words)
        assert len(settlement.proposeBatch.encode_input(*arguments)) // 2 < BYTES_MAX
        return settlement.proposeBatch(*arguments, {"from": park.operator})

    proposed = propose()
    most = proposed.gas_used
    arguments = (proposed.return_value, batch.accounts, batch.nets, batch.words, "x" * 1024)
    assert len(settlement.cancelBatch.encode_input(*arguments)) // 2 < BYTES_MAX
    assert settlement.cancelBatch(*arguments, {"from": park.operator}).gas_used < most
    proposed = propose()
    park.mine_at(park.now + WINDOW_S)
    assert park.finalize(proposed.return_value, batch).gas_used < most

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
        arguments = (park.new_key(), batch.accounts, batch.words)
        proposed = settlement.proposeBatch(*arguments, {"from": park.operator})
        park.mine_at(park.now + WINDOW_S)
        finalized = park.finalize(proposed.return_value, batch)
        return float(proposed.gas_used + finalized.gas_used) / count

    settle(10**6 - 40, 40)
    per_trade = settle(10**6, 1000)
    print(f"gas of a trade among 1,000: {per_trade:.0f}")
    assert per_trade < 2900
