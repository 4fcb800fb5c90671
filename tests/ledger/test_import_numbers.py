"""Numbers and times in a meter file: exact, or refused with one line."""

import re
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import BadInput
from ledger.readings.files.sources import unit_scale
from ledger.readings.files.times import NaiveTime, SkippedTime, TimeReader
from ledger.reductions import Kind
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.zones import legal_day_start_s, zone


def value(text: str, unit: str = "kW") -> Fraction:
    digits, scale = parse_value(text, UNITS[Kind.POWER][unit])
    assert -(2**63) < digits < 2**63
    assert 0 <= scale <= 36
    return Fraction(digits, 10**scale)


def test_what_64_bits_hold_is_kept_and_no_digit_more() -> None:
    """Digits are a BIGINT, of which evidence has never the least."""
    most = "9.223372036854775807"
    assert parse_value(most, 0) == (9_223_372_036_854_775_807, 18)
    assert parse_value(f"-{most}", 0) == (-9_223_372_036_854_775_807, 18)
    for text in ("9.223372036854775808", "-9.223372036854775808"):
        with pytest.raises(ValueError, match="has more digits than are kept exactly"):
            parse_value(text, 0)


@pytest.mark.parametrize(
    ("text", "unit", "kw"),
    [
        ("441.06", "kW", "441.06"),
        ("457.76000999999997", "kW", "457.76000999999997"),
        ("-0.050000000999999995", "kW", "-0.050000000999999995"),
        ("-2.8601", "W", "-0.0028601"),
        ("5426.4", "W", "5.4264"),
        ("1.5", "MW", "1500"),
        ("0.0000001", "MW", "0.0001"),
        ("2", "GW", "2000000"),
        ("+7", "kW", "7"),
        (".5", "kW", "0.5"),
        ("5.", "kW", "5"),
        ("007", "kW", "7"),
        ("-0", "kW", "0"),
        ("1e3", "kW", "1000"),
        ("1.5E-3", "kW", "0.0015"),
        ("5.551115123125783e-17", "W", "0.00000000000000000005551115123125783"),
        ("100000000000000000000e-15", "kW", "100000"),
        ("1.0000000000000000000000", "kW", "1"),
    ],
)
def test_a_number_is_kept_exactly(text: str, unit: str, kw: str) -> None:
    assert value(text, unit) == Fraction(kw)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abc", "is not a number"),
        ("nan", "is not a number: leave a missing value empty"),
        ("-inf", "is not a number: leave a missing value empty"),
        ("NULL", "is not a number: leave a missing value empty"),
        ("1,5", "decimal point"),
        ("1 000", 'has signs between thousands: write thousands = " " in'),
        ("1,000,000.5", 'has signs between thousands: write thousands = "," in'),
        ("-1\u2019000", 'has signs between thousands: write thousands = "\'" in'),
        ("1,00,000", "is not a number$"),
        ("10.5kWh", "something follows the number; have the file written without it"),
        ("30 \u5ea6", "something follows the number"),
        ("\u221210.5", "only look like 0 to 9, point and minus"),
        ("(10.5)", "brackets are no sign"),
        ('="10.5"', "a spreadsheet's formula"),
        ("'10.5", "an apostrophe stands before it"),
        ("10.5-", "is not a number$"),
        ("1_000", "is not a number"),
        ("１２", "is not a number: its digits or signs only look like"),
        ("0x10", "is not a number$"),
        ("1e12345", "is not a number$"),
        ("--5", "is not a number"),
        ("5-3", "is not a number"),
        (".", "is not a number"),
        ("-", "is not a number"),
        (".-5", "is not a number"),
        (".+5", "is not a number"),
        ("e5", "is not a number"),
        ("1.2.3", "is not a number"),
        ("1e", "is not a number"),
        ("1e5.5", "is not a number"),
        ("1.0000000000000000001", "more digits"),
        ("1e-99", "more digits"),
        ("1e9", "beyond"),
        ("-9.96921e36", "beyond"),
        ("1" * 65, "longer than 64"),
    ],
)
def test_what_is_no_number_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        value(text)
    assert "\n" not in str(caught.value)


@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-9e8, max_value=9e8),
    st.sampled_from(["W", "kW"]),
)
def test_whatever_a_float_prints_is_kept_or_refused_never_changed(number: float, unit: str) -> None:
    text = repr(number)
    try:
        kept = value(text, unit)
    except ValueError:
        assert abs(number) < 1e-15  # only a speck of more than 36 decimals is refused
        return
    assert kept == Fraction(text) / (1000 if unit == "W" else 1)


@given(
    st.integers(-(10**17), 10**17), st.integers(0, 17), st.sampled_from(sorted(UNITS[Kind.POWER]))
)
def test_decimal_text_equals_decimal_arithmetic(digits: int, places: int, unit: str) -> None:
    number = Decimal(digits).scaleb(-places, Context(prec=60))
    text = format(number, "f")
    exact = number.scaleb(-UNITS[Kind.POWER][unit], Context(prec=60))
    if abs(exact) < 10**9:
        try:
            kept = value(text, unit)
        except ValueError:  # GW and MW may need more digits than are kept
            assert abs(int(exact.scaleb(max(0, -exact.as_tuple().exponent)))) >= 2**63  # type: ignore[operator]
        else:
            assert kept == Fraction(exact)


@pytest.mark.parametrize(
    ("kind", "unit", "hint"),
    [
        (Kind.POWER, "kWh", "use one of W, kW, MW, GW"),
        (Kind.ENERGY, "kW", "use one of Wh, kWh, MWh, GWh"),
        (Kind.POWER, "kw", "write kW"),
        (Kind.ENERGY, "MWH", "write MWh"),
        (Kind.POWER, "", "use one of W, kW, MW, GW"),
        (Kind.POWER, "hp", "use one of W, kW, MW, GW"),
    ],
)
def test_trap_a_unit_of_the_other_kind_or_spelling_is_refused(
    kind: Kind, unit: str, hint: str
) -> None:
    with pytest.raises(BadInput, match=f"unknown unit '{unit}' for .*; {hint}$"):
        unit_scale(kind, unit, "source")


PARIS = zone("Europe/Paris")


def reader(time_zone: str = "offset", minutes: int = 10, **changes: object) -> TimeReader:
    settings: dict[str, object] = {"label_is_end": False, "grid_zone": PARIS, **changes}
    return TimeReader(time_zone, minutes * 60, **settings)  # type: ignore[arg-type]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    "text",
    [
        "2014-01-01T01:00:00+01:00",
        "2014-01-01 00:00:00Z",
        "2014-01-01T00:00+00:00",
        "2013-12-31T17:00:00-07:00",
        "20140101T010000+0100",
        "2014-01-01T01:00:00.0000000+01:00",
        "2014-W01-3T00:00Z",
    ],
)
def test_a_time_with_its_offset_is_one_instant(text: str) -> None:
    assert reader().start_s(text) == at("2014-01-01T00:00:00+00:00")


def test_trap_a_label_at_the_end_puts_midnight_into_the_day_before() -> None:
    ends = reader(label_is_end=True)
    assert ends.start_s("2014-01-02T00:00:00+01:00") == at("2014-01-01T23:50:00+01:00")


def test_a_naive_time_is_read_in_the_zone_that_the_source_names() -> None:
    assert reader("Europe/Paris").start_s("2014-07-01T12:00") == at("2014-07-01T10:00+00:00")


@pytest.mark.parametrize(
    ("time_zone", "text"),
    [
        # What stands after a dash is when the row ends; 23:50-24:00 was never a time.
        ("Europe/Paris", "2014-07-01 00:00-00:10"),
        ("Europe/Paris", "2014-07-01 11:00-12:00"),
        ("Europe/Paris", "2014-07-01 23:50-00:00"),
        ("Asia/Shanghai", "20140701T2350-0000"),
        ("+08:00", "2014-07-01 01:00-02:00"),
        ("Europe/Paris", "2014-07-01T12:00+08:00"),
    ],
)
def test_trap_a_span_of_two_times_is_no_time_with_an_offset(time_zone: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(time_zone)} does not have; write time_zone"):
        reader(time_zone).start_s(text)


@pytest.mark.parametrize(
    ("time_zone", "text"),
    [
        ("Europe/Paris", "2014-07-01T12:00+02:00"),
        ("Europe/Paris", "2014-07-01T12:00+01:00"),  # a logger that stays in winter
        ("Asia/Shanghai", "2014-07-01T12:00Z"),
        ("Asia/Shanghai", "2014-07-01T12:00+00:00"),
        ("Europe/London", "2014-01-01T23:50-00:00"),
        ("America/New_York", "2014-07-01 03:00-04:00"),  # of a span as well, and the same moment
        ("+10:30", "2014-07-01T12:00+10:30"),
    ],
)
def test_an_offset_that_the_named_zone_has_and_utc_are_read(time_zone: str, text: str) -> None:
    assert reader(time_zone).start_s(text) == at(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [("2014-10-26T02:30:00", "comes twice"), ("2014-03-30T02:30:00", "does not exist")],
)
def test_a_local_hour_that_comes_twice_or_never_is_not_guessed(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        reader("Europe/Paris").start_s(text)


def test_the_hours_around_a_change_of_the_clocks_are_read() -> None:
    paris = reader("Europe/Paris")
    assert paris.start_s("2014-03-30T03:00") - paris.start_s("2014-03-30T01:50") == 600
    assert paris.start_s("2014-10-26T03:00") - paris.start_s("2014-10-26T01:50") == 7800


def test_a_naive_time_without_any_zone_is_refused() -> None:
    with pytest.raises(NaiveTime, match="no offset"):
        reader().start_s("2014-01-01T01:00:00")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("yesterday", "not a time"),
        ("", "not a time"),
        ("1388534400", "not a time"),
        ("2014-13-01T00:00+00:00", "not a time"),
        ("2014-02-29T00:00+00:00", "not a time"),
        ("2014-01-01T00:03:00+00:00", "grid of 10 minutes"),
        ("2014-01-01T00:00:01+00:00", "grid"),
        ("2014-01-01T00:00:00.5+00:00", "fractions"),
        ("2014-01-01T00:00:00.0000001+00:00", "fractions"),  # digits that Python drops unseen
        ("20140101T000000.0000001Z", "fractions"),
        ("1969-12-31T00:00+00:00", "1970"),
        ("2107-01-01T00:00+00:00", "2106"),
        ("0001-01-01T00:00+14:00", "1970"),
        ("9999-12-31T23:50-14:00", "2106"),
        ("9999-12-31T24:00+00:00", "2106"),
    ],
)
def test_other_times_are_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        reader().start_s(text)


@pytest.mark.parametrize(
    ("clock", "taken_to"),
    [
        ("00:09:00.5", "00:10"),  # 59.5 s before it
        ("00:11:00", "00:10"),
        ("00:11:00.5", None),
        ("00:08:59.5", None),
        ("00:10:00.5", "00:10"),
    ],
)
def test_a_fraction_of_a_second_counts_towards_the_tolerance(
    clock: str, taken_to: str | None
) -> None:
    lenient = reader(tolerance_s=60)
    if taken_to is not None:
        assert lenient.start_s(f"2014-01-01T{clock}Z") == at(f"2014-01-01T{taken_to}+00:00")
        return
    with pytest.raises(ValueError, match="grid"):
        lenient.start_s(f"2014-01-01T{clock}Z")


def test_a_tolerance_is_proposed_as_long_as_all_times_are_alike_beside_the_grid() -> None:
    by = reader()
    for clock, proposed in (("00:01", True), ("00:11", True), ("00:22", False), ("00:31", False)):
        with pytest.raises(ValueError, match="grid") as caught:
            by.start_s(f"2014-01-01T{clock}Z")
        assert ("write tolerance_seconds = 60" in str(caught.value)) is proposed, clock


@pytest.mark.parametrize(
    ("minutes", "clock", "seconds"),
    [
        (10, "00:09:59", 1),  # before its time
        (10, "00:02:30", 150),  # a quarter of the interval at most
        (10, "00:02:31", None),
        (1440, "00:15:00", 900),
        (1440, "00:15:01", None),
    ],
)
def test_a_tolerance_that_is_proposed_is_a_small_one(
    minutes: int, clock: str, seconds: int | None
) -> None:
    with pytest.raises(ValueError, match="grid") as caught:
        reader("Europe/Paris", minutes).start_s(f"2014-01-01T{clock}")
    proposed = f"write tolerance_seconds = {seconds} in [[source]]"
    other = 'bring periods of varying length as the readings of a register, kind = "counter"'
    assert str(caught.value).endswith(proposed if seconds else other)


@pytest.mark.parametrize(
    ("zone_name", "clock", "tolerance_s", "begins"),
    [
        ("Europe/Paris", "02:00:00", 0, "2014-03-30T03:00+02:00"),
        ("Europe/Paris", "02:00:30", 60, "2014-03-30T03:00+02:00"),
        ("Europe/Paris", "02:00:30", 0, None),
        ("Europe/Paris", "02:01:30", 60, None),
        ("Europe/Paris", "02:01:00", 60, "2014-03-30T03:00+02:00"),
        ("Europe/London", "01:00:00", 0, None),  # two hours begin at 00:00 and at 02:00
    ],
)
def test_a_skipped_time_is_the_label_of_two_hours_only_where_they_begin(
    zone_name: str, clock: str, tolerance_s: int, begins: str | None
) -> None:
    by = reader(zone_name, 120, grid_zone=zone(zone_name), tolerance_s=tolerance_s)
    if begins is not None:
        assert by.start_s(f"2014-03-30T{clock}") == at(begins)
        return
    with pytest.raises(SkippedTime):
        by.start_s(f"2014-03-30T{clock}")


def test_of_a_time_that_comes_twice_the_one_beside_the_grid_may_be_the_second() -> None:
    """Lord Howe's clocks go back from 02:00 to 01:30: of an hourly meter, the second 01:59:50 is 02:00."""
    howe = "Australia/Lord_Howe"
    by = reader(howe, 60, grid_zone=zone(howe), tolerance_s=60)
    assert by.start_s("2014-04-06T01:59:50") == at("2014-04-06T02:00+10:30")


def test_the_grid_is_that_of_local_midnight() -> None:
    kathmandu = zone("Asia/Kathmandu")  # UTC+5:45
    hourly = reader("offset", 60, grid_zone=kathmandu)
    assert hourly.start_s("2014-01-01T01:00+05:45") == at("2013-12-31T19:15+00:00")
    with pytest.raises(ValueError, match="grid"):
        hourly.start_s("2014-01-01T01:00+00:00")


@pytest.mark.parametrize(
    "name", ["", "Europe/Atlantis", "../etc/passwd", "Europe", "CEST", "zone.tab"]
)
def test_a_zone_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="IANA"):
        zone(name)


@pytest.mark.parametrize(
    ("name", "day", "starts"),
    [
        ("Europe/Paris", date(2014, 3, 30), "2014-03-29T23:00+00:00"),
        ("Europe/Paris", date(2014, 3, 31), "2014-03-30T22:00+00:00"),
        ("Europe/Paris", date(2014, 10, 27), "2014-10-26T23:00+00:00"),
        ("Asia/Shanghai", date(2024, 2, 29), "2024-02-28T16:00+00:00"),
        # Midnight does not exist on this day: the clocks go from 0:00 to 1:00.
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00+00:00"),
    ],
)
def test_a_legal_day_begins_at_its_first_second(name: str, day: date, starts: str) -> None:
    begun = datetime.fromtimestamp(legal_day_start_s(day, zone(name)), UTC)
    assert begun == datetime.fromisoformat(starts)
