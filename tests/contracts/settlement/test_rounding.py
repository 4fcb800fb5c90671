"""The total of a trade: quantity times price, rounded as Python's Decimal rounds half up."""

import random
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from tests.contracts.park import CASH, Batch, Park, TradeOf, refusal, round_half_away

KEY = b"\x01" * 32
RANDOM = random.Random(20_240_101)


def decimal_cents(quantity: int, price: int) -> int:
    """Return cents as the books compute them, from kWh and currency per kWh."""
    total = Decimal(quantity).scaleb(-3) * Decimal(price).scaleb(-4)
    return int(total.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP).scaleb(2))


def samples() -> list[tuple[int, int]]:
    """Return quantities and prices: halves on either side, the smallest, the largest, chance."""
    halves = [
        (quantity, sign * price)
        for quantity, price in [(1, 50_000), (5, 10_000), (3, 50_000), (25, 2_000), (125, 400)]
        for sign in (1, -1)
    ]
    beside = [(1, sign * (50_000 + off)) for sign in (1, -1) for off in (-1, 0, 1)]
    ends = [(0, 1), (0, -1), (1, 0), (1, 1), (1, -1), (2**48 - 1, 1), (2**48 - 1, -1)]
    ends += [(1, 2**47 - 1), (1, -(2**47)), (2**24, 2**38), (2**24, -(2**38))]
    chance = [
        (RANDOM.randrange(1, 10 ** RANDOM.randrange(1, 12)), RANDOM.randint(-(10**7), 10**7))
        for _ in range(400)
    ]
    odd = [(50_000 * (2 * n + 1), sign) for n in range(40) for sign in (1, -1)]
    return [*halves, *beside, *ends, *chance, *odd]


@pytest.mark.parametrize(
    ("quantity", "price", "cents"),
    [
        (1, 50_000, 1),  # 0.005
        (1, -50_000, -1),
        (1, 49_999, 0),
        (1, -49_999, 0),
        (1, 150_000, 2),  # 0.015
        (1, -150_000, -2),
        (1_234_567, 12_345, 152_407),  # 1,524.0729...
        (1_234_567, -12_345, -152_407),
    ],
)
def test_by_hand(quantity: int, price: int, cents: int) -> None:
    """VS-15: half a cent goes away from zero, on either side."""
    assert decimal_cents(quantity, price) == cents == round_half_away(quantity, price)


def test_as_the_books_round(park: Park, settlement: Any) -> None:
    """VS-15: the contract accepts what Decimal gives, for every sample."""
    park.deposit(park.buyer, 10**20)
    park.deposit(park.owner, 10**20)
    trades = [
        TradeOf(seq, park.buyer.address, park.owner.address, quantity, price)
        for seq, (quantity, price) in enumerate(samples())
    ]
    expected = [decimal_cents(trade.quantity, trade.price) for trade in trades]
    assert [trade.cents for trade in trades] == expected
    assert min(expected) < 0 < max(expected)
    batch = Batch(trades)
    park.propose(batch)
    assert settlement.totalLocked() == abs(sum(expected))


def test_nothing_else_is_accepted(park: Park, settlement: Any) -> None:
    """VS-15: the cent beside the right one is refused, for a part of the samples."""
    for quantity, price in samples()[:24]:
        trade = TradeOf(1, park.buyer.address, park.owner.address, quantity, price)
        batch = Batch([trade])
        right = decimal_cents(quantity, price)
        for wrong in (right - 1, right + 1, -right if right else 7):
            word = batch.word(trade, cents=wrong)
            arguments = (KEY, CASH, batch.accounts, [word])
            error = refusal(settlement.proposeBatch, *arguments, sender=park.operator)
            assert error == ("WrongTotal", 1, wrong, right)
