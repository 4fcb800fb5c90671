"""Conversions of units: exact or refused, whatever the thread's decimal context says."""

from decimal import ROUND_HALF_UP, Decimal, getcontext, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.units import (
    counted,
    currency_of_cents,
    decimal_floor,
    decimal_half_up,
    decimal_of,
    kg_of_tonnes,
    scaled_exact,
    text_of_fraction_floor,
    tonnes_of_kg,
    trade_cents_half_away,
)

BIGINT = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("kg", "tonnes"), [(0, "0.000"), (1, "0.001"), (123_851, "123.851"), (-5, "-0.005")]
)
def test_kilograms_to_tonnes(kg: int, tonnes: str) -> None:
    assert str(tonnes_of_kg(kg)) == tonnes


@given(BIGINT)
def test_kilograms_go_to_tonnes_and_back(kg: int) -> None:
    assert kg_of_tonnes(tonnes_of_kg(kg)) == kg


def test_the_thread_s_decimal_context_changes_nothing() -> None:
    before = getcontext().prec
    with localcontext() as context:
        context.prec = 3
        context.rounding = "ROUND_UP"
        assert str(tonnes_of_kg(2**63 - 1)) == "9223372036854775.807"
        assert str(currency_of_cents(-(2**63))) == "-92233720368547758.08"
        assert scaled_exact(Decimal("123456789.012"), 1000) == 123_456_789_012
    assert getcontext().prec == before  # 28, or what a library of the same process has set


@pytest.mark.parametrize("text", ["0.0001", "1.2345", "NaN", "Infinity", "-Infinity", "1e999999"])
def test_tonnes_that_are_no_whole_kilograms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a whole number of kilograms"):
        kg_of_tonnes(Decimal(text))


@pytest.mark.parametrize(
    ("text", "scale", "expected"),
    [("1.5", 1000, 1500), ("-0.0001", 10_000, -1), ("1E+3", 100, 100_000), ("0E-50", 100, 0)],
)
def test_scaled_exactly(text: str, scale: int, expected: int) -> None:
    assert scaled_exact(Decimal(text), scale) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.0001", "more digits than 1/1000"),
        ("NaN", "not a number"),
        ("sNaN", "not a number"),
        ("Infinity", "not a number"),
        ("0." + "1" * 100, "more than 60 digits"),
        ("1e999999", "more than 60 digits"),
        ("1e-999999", "more than 60 digits"),
    ],
)
def test_scaling_refuses_what_does_not_fit(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        scaled_exact(Decimal(text), 1000)


@pytest.mark.parametrize(
    ("numerator", "denominator", "decimals", "expected"),
    [
        (1, 3, 3, "0.333"),
        (-1, 3, 3, "-0.334"),
        (-1, 10**12, 9, "-0.000000001"),
        (1, 10**12, 9, "0.000000000"),
        (7, 2, 0, "3"),
        (-7, 2, 0, "-4"),
        (-12, 1, 2, "-12.00"),
    ],
)
def test_floor_as_text(numerator: int, denominator: int, decimals: int, expected: str) -> None:
    assert text_of_fraction_floor(Fraction(numerator, denominator), decimals) == expected


@given(st.fractions(), st.integers(0, 12))
def test_the_floor_is_at_most_one_unit_below(value: Fraction, decimals: int) -> None:
    floor = Fraction(decimal_floor(value, decimals))
    assert floor <= value < floor + Fraction(1, 10**decimals)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0.0005", "0.001"), ("0.0004999", "0.000"), ("-0.0005", "-0.001"), ("2.3456", "2.346")],
)
def test_half_up_goes_away_from_zero(value: str, expected: str) -> None:
    assert str(decimal_half_up(Fraction(value), 3)) == expected


@pytest.mark.parametrize(
    ("quantity_milli", "price_e4", "cents"),
    [
        (1_000, 10_000, 100),
        (1, 50_000, 1),  # 0.001 x 5.0000 = 0.005: half a cent, away from zero
        (1, -50_000, -1),
        (1, 49_999, 0),
        (1, -49_999, 0),
        (285_190, 1_234, 3519),  # 285.190 kWh x 0.1234 = 35.192446
        (0, -1, 0),
    ],
)
def test_the_value_of_a_trade(quantity_milli: int, price_e4: int, cents: int) -> None:
    assert trade_cents_half_away(quantity_milli, price_e4) == cents


@given(st.integers(0, 10**12), st.integers(-(10**10), 10**10))
def test_the_value_of_a_trade_is_decimal_s_half_up(quantity_milli: int, price_e4: int) -> None:
    with localcontext() as context:
        context.prec = 60
        value = Decimal(quantity_milli) / 1000 * Decimal(price_e4) / 10_000
        expected = int((value * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    assert trade_cents_half_away(quantity_milli, price_e4) == expected


@given(BIGINT)
def test_cents_to_currency(cents: int) -> None:
    shown = currency_of_cents(cents)
    assert shown.as_tuple().exponent == -2
    assert Fraction(shown) == Fraction(cents, 100)


@pytest.mark.parametrize("text", ["1", "-0.5", "+12.", ".25", "007"])
def test_plain_digits_are_a_number(text: str) -> None:
    assert decimal_of(text) == Decimal(text)


@pytest.mark.parametrize(
    "text", ["", ".", "1e3", "1_000", "1,5", " 1", "1\n", "１", "٣", "nan", "+-1"]
)
def test_what_is_written_otherwise_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number; write digits and a point"):
        decimal_of(text)


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("trade",), "0 trades"),
        (1, ("trade",), "1 trade"),
        (1000, ("trade",), "1000 trades"),
        (1, ("row lies", "rows lie"), "1 row lies"),
        (2, ("row lies", "rows lie"), "2 rows lie"),
    ],
)
def test_a_number_with_its_noun(number: int, words: tuple[str, ...], said: str) -> None:
    assert counted(number, *words) == said
