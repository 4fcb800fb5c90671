"""A trade as the contract's 32 bytes: a literal word, round trips, netting, and what does not fit."""

from decimal import ROUND_HALF_UP, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.settlement.words import (
    PRICE_MAX,
    QUANTITY_MAX,
    Trade,
    UnpackedTrade,
    hex_words,
    pack,
    unpack,
    word,
)

A, B, C = ("0x" + digit * 40 for digit in "abc")

# Within the columns: DECIMAL(12,3), DECIMAL(10,4) signed.
QUANTITIES = st.integers(0, 10**12 - 1)
PRICES = st.integers(-(10**10) + 1, 10**10 - 1)
SEQS = st.integers(1, 2**64 - 1)


def test_a_literal_word() -> None:
    # 1.5 kWh at -0.0213: -0.03195, which is -3 cents.
    trade = Trade(seq=0x0102, buyer=A, seller=B, quantity_milli=1500, price_e4=-213)
    assert trade.cents == -3
    assert hex_words([word(trade, 3, 1)]) == [
        "0x"
        "0000000000000102"  # seq
        "0003"  # buyer
        "0001"  # seller
        "0000000005dc"  # quantity
        "ffffffffff2b"  # price
        "fffffffffffffffd"  # cents
    ]


@given(SEQS, st.integers(0, 65_535), st.integers(0, 65_535), QUANTITIES, PRICES)
def test_what_is_packed_is_unpacked(
    seq: int, buyer: int, seller: int, quantity: int, price: int
) -> None:
    trade = Trade(seq, A, B, quantity, price)
    if buyer == seller:
        with pytest.raises(ValueError, match="the same account"):
            word(trade, buyer, seller)
        return
    packed = word(trade, buyer, seller)
    assert 0 <= packed < 2**256
    assert unpack(packed) == UnpackedTrade(seq, buyer, seller, quantity, price, trade.cents)


@given(QUANTITIES, PRICES)
def test_cents_are_rounded_half_away_from_zero(quantity: int, price: int) -> None:
    with localcontext() as context:
        context.prec = 60
        value = Decimal(quantity).scaleb(-3) * Decimal(price).scaleb(-4)
        expected = value.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
    cents = Trade(1, A, B, quantity, price).cents
    assert Decimal(cents).scaleb(-2) == expected


@pytest.mark.parametrize(
    ("quantity", "price", "cents"),
    [(5, 10_000, 1), (5, -10_000, -1), (5, 9_999, 0), (5, -9_999, 0), (15, 10_000, 2)],
)
def test_halves(quantity: int, price: int, cents: int) -> None:
    assert Trade(1, A, B, quantity, price).cents == cents


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seq": 0}, "its number does not fit 64 bits"),
        ({"seq": 2**64}, "its number does not fit 64 bits"),
        ({"quantity_milli": -1}, "the quantity does not fit 48 bits"),
        ({"quantity_milli": 2**48}, "the quantity does not fit 48 bits"),
        ({"price_e4": 2**47}, "price or total do not fit"),
        ({"price_e4": -(2**47)}, "price or total do not fit"),
        (
            {"quantity_milli": 2**40, "price_e4": 3125 * 2**28},
            "price or total do not fit",
        ),  # 2^63 cents
        ({"quantity_milli": QUANTITY_MAX, "price_e4": PRICE_MAX}, "price or total do not fit"),
        ({"buyer": B}, "buyer and seller are the same account"),
    ],
)
def test_what_does_not_fit(change: dict[str, int], said: str) -> None:
    values = {"seq": 9, "buyer": A, "seller": B, "quantity_milli": 1, "price_e4": 1, **change}
    with pytest.raises(ValueError, match=said):
        pack([Trade(**values)])  # type: ignore[arg-type]


def test_the_most_that_fits() -> None:
    """VppSettlement reads u48, i48 and i64, of which a price has no least value."""
    assert (QUANTITY_MAX, PRICE_MAX) == (281_474_976_710_655, 140_737_488_355_327)
    for trade in (Trade(1, A, B, 2**48 - 1, 1), Trade(1, A, B, 1, 2**47 - 1)):
        found = unpack(word(trade, 0, 1))
        assert (found.quantity_milli, found.price_e4) == (trade.quantity_milli, trade.price_e4)


def test_a_position_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="at most 65,536 accounts"):
        word(Trade(1, A, B, 1, 1), 65_536, 0)


def test_a_batch_by_hand() -> None:
    batch = pack(
        [
            Trade(12, C, A, 10_000, 20_000),  # C owes A 20.00
            Trade(7, B, A, 1_000, 5_000),  # B owes A 0.50
            Trade(9, A, B, 1_000, -15_000),  # A buys at a negative price: B owes A 1.50
        ]
    )
    assert batch.accounts == (A, B, C)
    assert batch.nets == (2200, -200, -2000)
    assert [unpack(item) for item in batch.words] == [
        UnpackedTrade(7, 1, 0, 1_000, 5_000, 50),
        UnpackedTrade(9, 0, 1, 1_000, -15_000, -150),
        UnpackedTrade(12, 2, 0, 10_000, 20_000, 2000),
    ]


ACCOUNTS = st.integers(1, 6).map(lambda number: f"0x{number:040x}")
TRADES = st.lists(
    st.builds(Trade, SEQS, ACCOUNTS, ACCOUNTS, QUANTITIES, PRICES).filter(
        lambda trade: trade.buyer != trade.seller
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda trade: trade.seq,
)


@given(TRADES)
def test_netting_makes_and_loses_nothing(trades: list[Trade]) -> None:
    batch = pack(trades)
    assert sum(batch.nets) == 0
    assert list(batch.accounts) == sorted(set(batch.accounts), key=lambda item: int(item, 16))
    numbers = [unpack(item).seq for item in batch.words]
    assert numbers == sorted(trade.seq for trade in trades)
    for account, net in zip(batch.accounts, batch.nets, strict=True):
        gained = sum(trade.cents for trade in trades if trade.seller == account)
        owed = sum(trade.cents for trade in trades if trade.buyer == account)
        assert net == gained - owed
