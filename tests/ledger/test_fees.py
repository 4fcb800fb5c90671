"""What a transaction may cost, against exact fractions and the figures of the EIPs."""

from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from ledger.chain import fees
from ledger.chain.fees import Fees, Market

GWEI = 10**9
wei = st.integers(min_value=0, max_value=10**13)


def test_the_floor_of_call_data() -> None:
    """EIP-7623: 21,000, and 10 gas a token; a byte is four tokens, a zero byte one."""
    assert fees.floor_gas("0x") == 21_000
    assert fees.floor_gas("0x00") == 21_010
    assert fees.floor_gas("0x01") == 21_040
    assert fees.floor_gas("0x" + "ff" * 100 + "00" * 50) == 21_000 + 4_000 + 500


def test_the_gas_limit() -> None:
    large = 30_000_000
    assert fees.gas_limit(100_000, "0x", large) == 125_000
    assert fees.gas_limit(21_000, "0x" + "ff" * 1000, large) == 61_000  # the floor, not 26,250
    assert fees.gas_limit(16_000_000, "0x", large) == 16_777_216  # EIP-7825
    assert fees.gas_limit(16_000_000, "0x", 0) == 16_777_216  # a node that names no limit
    assert fees.gas_limit(100_000, "0x", 110_000) == 110_000  # a block holds no more


def test_the_first_attempt() -> None:
    assert fees.first(Market(10 * GWEI, GWEI), 200 * GWEI) == Fees(21 * GWEI, GWEI)
    assert fees.first(Market(10 * GWEI, GWEI), 15 * GWEI) == Fees(15 * GWEI, GWEI)
    assert fees.first(Market(GWEI, 9 * GWEI), 3 * GWEI) == Fees(3 * GWEI, 3 * GWEI)


def test_the_eighth_is_rounded_up() -> None:
    found = fees.replacing(Fees(1_000_000_001, 9), Market(0, 0), 10**12)
    assert found == Fees(1_125_000_002, 11)  # 1,125,000,001.125 and 10.125
    assert fees.replacing(Fees(9, 0), Market(0, 0), 10**12) == Fees(11, 1)


def test_a_replacement_has_room_for_the_base_fee_to_double() -> None:
    before, market = Fees(10 * GWEI, GWEI), Market(20 * GWEI, GWEI)
    wanted = 41_125_000_000  # twice 20 gwei, and a tip of 1.125
    assert fees.replacing(before, market, 200 * GWEI) == Fees(wanted, 1_125_000_000)
    assert not fees.is_capped(before, market, wanted)
    assert fees.is_capped(before, market, wanted - 1)


@given(wei, wei, wei, wei, wei)
def test_a_replacement(highest: int, tip: int, base: int, suggested: int, cap: int) -> None:
    before = Fees(max(highest, tip), min(highest, tip))
    found = fees.replacing(before, Market(base, suggested), cap)
    least = ceil(Fraction(9, 8) * before.max_fee_wei)
    if least > cap:
        assert found is None
        return
    assert found is not None
    # What a pool asks for: a tenth more, of both.
    assert Fraction(found.max_fee_wei) >= Fraction(11, 10) * before.max_fee_wei
    assert Fraction(found.priority_fee_wei) >= min(
        Fraction(11, 10) * before.priority_fee_wei, found.max_fee_wei
    )
    assert found.priority_fee_wei <= found.max_fee_wei <= cap
    assert found.max_fee_wei >= min(cap, max(least, 2 * base + found.priority_fee_wei))
    capped = fees.is_capped(before, Market(base, suggested), cap)
    assert capped or found.max_fee_wei >= 2 * base + suggested
