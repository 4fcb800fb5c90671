"""Who is left out, and what the rest comes to: against sums of fractions, computed apart."""

from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.settlement.estimate import fee_cents, finalize_gas
from ledger.settlement.netting import Funds, Limits, parts, shortfalls, without_the_insolvent
from ledger.settlement.planning import PlannedBatch
from ledger.settlement.words import CENTS_MAX, Trade, pack
from tests.support.forms import times

NAMES = [f"0x{number:040x}" for number in range(1, 7)]
ASSET = 7


def cents(trade: Trade) -> int:
    """Quantity times price as Decimal rounds it half up, which is half away from zero."""
    value = Decimal(trade.quantity_milli) / 1000 * (Decimal(trade.price_e4) / 10_000)
    return int((value * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def sums(trades: list[Trade]) -> tuple[dict[str, int], dict[str, int]]:
    """Money and kilograms by party, the plain way: one entry for each side of each trade."""
    money: dict[str, list[int]] = defaultdict(list)
    kg: dict[str, list[int]] = defaultdict(list)
    for trade in trades:
        money[trade.buyer].append(-cents(trade))
        money[trade.seller].append(cents(trade))
        kg[trade.buyer].append(trade.quantity_milli)
        kg[trade.seller].append(-trade.quantity_milli)
    return (
        {name: sum(items) for name, items in money.items()},
        {name: sum(items) for name, items in kg.items()},
    )


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[Trade], Funds]:
    trades = []
    for seq in range(1, draw(st.integers(0, 25)) + 1):
        buyer, seller = draw(st.permutations(NAMES))[:2]
        quantity = draw(st.integers(1, 5_000))
        trades.append(Trade(seq, buyer, seller, quantity, draw(st.integers(-90_000, 90_000))))
    money = {name: draw(st.integers(0, 60_000)) for name in NAMES}
    kg = {(name, ASSET): draw(st.integers(0, 9_000)) for name in NAMES}
    return trades, Funds(money, kg)


@settings(max_examples=times(40, 200), deadline=None)
@given(markets(), st.sampled_from([None, ASSET]))
def test_with_the_insolvent_left_out_the_rest_is_the_net_of_the_rest(
    market: tuple[list[Trade], Funds], asset: int | None
) -> None:
    trades, funds = market
    before = funds.copy()
    kept, out = without_the_insolvent(trades, asset, funds)
    assert funds == before
    gone = [trade for item in out for trade in item.trades]
    assert sorted(trade.seq for trade in kept + gone) == [trade.seq for trade in trades]
    money, kg = sums(kept)
    if kept:
        packed = pack(kept)
        assert dict(zip(packed.accounts, packed.nets, strict=True)) == money
    assert sum(money.values()) == sum(kg.values()) == 0
    for name, net in money.items():
        assert funds.cents[name] + net >= 0
        assert asset is None or funds.kg[name, ASSET] + kg[name] >= 0
    # Each one that is out lacked something when its turn came, and none of its trades is in.
    left = trades
    for item in out:
        debtor = item.shortfall.account
        money, kg = sums(left)
        of = money if item.shortfall.asset is None else kg
        held = before.of(debtor, item.shortfall.asset)
        assert (item.shortfall.held, item.shortfall.owed) == (held, -of[debtor])
        assert item.shortfall.missing > 0
        share = Fraction(held, -of[debtor])
        for name, net in money.items():
            if before.cents[name] + net < 0:
                assert share <= Fraction(before.cents[name], -net)
        left = [trade for trade in left if debtor not in (trade.buyer, trade.seller)]
    assert left == kept
    assert shortfalls(kept, asset, funds) == []


@settings(max_examples=times(12, 50), deadline=None)
@given(markets())
def test_nobody_is_left_out_who_can_pay(market: tuple[list[Trade], Funds]) -> None:
    trades, _ = market
    rich = Funds({name: CENTS_MAX for name in NAMES}, {})
    assert without_the_insolvent(trades, None, rich) == (trades, [])


def test_one_who_is_ruined_by_another_is_left_out_too() -> None:
    """The first owes the second 5.00 and has nothing; the second owes the third 4.00 of it."""
    a, b, c, d = NAMES[:4]
    trades = [Trade(1, a, b, 1000, 50_000), Trade(2, b, c, 1000, 40_000), Trade(3, d, c, 1000, 100)]
    kept, out = without_the_insolvent(trades, None, Funds({a: 0, b: 0, c: 0, d: 1}))
    assert [trade.seq for trade in kept] == [3]
    assert [(item.shortfall.account, item.shortfall.owed) for item in out] == [(a, 500), (b, 400)]
    kept, out = without_the_insolvent(trades, None, Funds({a: 500, b: 0, c: 0, d: 1}))
    assert (len(kept), out) == (3, [])


def test_parts_fit_a_transaction() -> None:
    """Numbers in sequence fill a part with a thousand; far apart, each costs a word of the bitmap."""
    dense = [Trade(seq, NAMES[0], NAMES[1], 1, 1) for seq in range(1, 2502)]
    assert [len(part) for part in parts(dense)] == [1000, 1000, 501]
    sparse = [Trade(seq * 256, NAMES[0], NAMES[1], 1, 1) for seq in range(1, 1101)]
    found = [len(part) for part in parts(sparse)]
    # 120,000 + 2 x 45,000 + n x (2,000 + 22,500) passes 12,582,912, three quarters of EIP-7825's limit, after 505.
    # That these are upper figures shows test_a_large_batch_fits of the contracts.
    assert found == [505, 505, 90]
    large = 10**8
    # In a block of 400,000: 120,000 + 2 x 45,000 + 22,500 + n x 2,000 passes 300,000 after 33.
    assert [len(part) for part in parts(dense[:40], Limits.of(400_000, large, 1, 1))] == [33, 7]
    assert [len(part) for part in parts(dense[:40], Limits.of(0, 400_000, 1, 1))] == [33, 7]
    # The contract takes 200 accounts; the 200th debtor of one creditor is the 201st.
    many = [Trade(seq, f"0x{seq:040x}", "0x" + "f" * 40, 1, 1) for seq in range(1, 301)]
    assert [len(part) for part in parts(many)] == [199, 101]


def test_parts_are_within_the_caps() -> None:
    """Money counts by its amount, whoever pays; what is alone above a cap is alone; kilograms count of credits."""
    prices = (100, -100, 100, 100, 500, 100)
    trades = [Trade(n, *NAMES[:2], 1000, price * 10_000) for n, price in enumerate(prices, 1)]
    for cents_max, kg_max, asset, lengths in (
        (250_00, 10**9, None, [2, 2, 1, 1]),
        (200_00, 10**9, None, [2, 2, 1, 1]),
        (199_99, 10**9, None, [1] * 6),
        (10**9, 2_999, None, [6]),
        (10**9, 2_999, ASSET, [2, 2, 2]),
        (10**9, 2_000, ASSET, [2, 2, 2]),
    ):
        limits = Limits.of(0, 10**8, cents_max, kg_max)
        assert [len(part) for part in parts(trades, limits, asset)] == lengths
        assert [len(part) for part in parts(trades, limits.without_caps(), asset)] == [6]


def test_who_has_nothing_in_escrow_has_nothing() -> None:
    stranger, funds = "0x" + "9" * 40, Funds({}, {})
    assert funds.of(stranger, None) == funds.of(stranger, ASSET) == 0
    funds.promise({stranger: 5}, ASSET, {stranger: 3})  # what it gains comes later
    assert (funds.cents, funds.kg) == ({stranger: 0}, {(stranger, ASSET): 0})
    funds = Funds({}, {})
    funds.promise({stranger: -5}, ASSET, {stranger: -3})
    assert (funds.cents, funds.kg) == ({stranger: -5}, {(stranger, ASSET): -3})
    assert funds.of(stranger, None) == funds.of(stranger, ASSET) == 0


def test_what_is_promised_of_a_copy_is_not_promised_of_the_whole() -> None:
    """A plan that a busy database throws away is made anew from the same funds."""
    funds = Funds({"0xa": 7}, {("0xa", ASSET): 9})
    funds.copy().promise({"0xa": -5}, ASSET, {"0xa": -3})
    assert funds == Funds({"0xa": 7}, {("0xa", ASSET): 9})


def test_of_those_who_have_nothing_who_owes_money_goes_first_then_the_lower_account() -> None:
    low, middle, high = NAMES[:3]
    trades = [Trade(1, high, low, 1000, 10_000), Trade(2, middle, low, 1000, 10_000)]
    for order in (trades, trades[::-1]):
        found = shortfalls(order, ASSET, Funds())
        assert [(item.account, item.asset) for item in found] == [
            (middle, None),
            (high, None),
            (low, ASSET),
        ]


def test_a_finalisation_pays_who_gains_and_a_fee_is_of_what_they_gain() -> None:
    nets, credit_nets = {"0xa": -3_000, "0xb": 2_999, "0xc": 1}, {"0xa": 7, "0xb": -7}
    energy = PlannedBatch("key", "market", 2, nets)
    assert finalize_gas(energy) == 52_000 + 3 * 1_900 + 2 * 5_900
    credits = PlannedBatch("key", "market", 2, nets, ASSET, credit_nets)
    assert finalize_gas(credits) == 52_000 + 7_000 + 3 * 1_900 + 3 * 5_900
    # Of each by itself: a ten-thousandth of 99.99 is no cent.
    assert fee_cents([-19_999, 9_999, 10_000], 1) == 1
