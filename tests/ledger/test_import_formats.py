"""Files as they come: how they are written, and what the times in them mean."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from ledger.db import Database
from ledger.errors import BadInput
from ledger.models import CarbonEmission, EnergyProduction, ImportFile, MeterReading
from ledger.park import kind_named, read_file
from ledger.readings import ImportReport, import_file, reductions_for
from ledger.readings.files.formats import Format
from ledger.readings.files.timeformats import parser_of
from ledger.readings.files.times import DoubledTime, SkippedTime, TimeReader
from ledger.readings.files.writing import rewriter_of
from ledger.reductions import Counts
from ledger.reductions.grids import clock_points, grid_of
from ledger.reductions.zones import zone
from tests.support.forms import few
from tests.support.plant import SITE, apply, imported, stored

START = datetime(2014, 6, 1, tzinfo=UTC)


def declared(*lines: str, **changes: str) -> str:
    """The park, with further lines in its ``[[source]]`` and other values of its keys."""
    site = SITE
    for key, value in changes.items():
        old = next(line for line in SITE.splitlines()[::-1] if line.startswith(f"{key} ="))
        site = site.replace(old, f"{key} = {value}")
    return site + "\n".join(lines) + "\n"


def bring(
    db: Database, folder: Path, text: str | bytes, *lines: str, **changes: str
) -> ImportReport:
    """Apply the park with such a source, and import a file."""
    apply(db, declared(*lines, **changes))
    path = folder / "meter.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return imported(db, path)


def values(db: Database) -> list[Fraction | None]:
    """Value of each row, kW or kWh."""
    with db.read() as session:
        rows = session.scalars(select(MeterReading).order_by(MeterReading.start_s)).all()
    return [
        None
        if row.value_digits is None
        else Fraction(row.value_digits, 10 ** (row.value_scale or 0))
        for row in rows
    ]


# ------------------------------------------------------------------ how numbers are written


def test_trap_semicolons_and_decimal_commas(sqlite_db: Database, tmp_path: Path) -> None:
    report = bring(
        sqlite_db,
        tmp_path,
        "time;value\n2014-06-01T00:00Z;60,25\n2014-06-01T00:10Z;-0,5\n2014-06-01T00:20Z;1,5e1\n",
        'delimiter = ";"',
        'decimal = ","',
    )
    assert (report.new, report.rejected) == (3, 0)
    assert values(sqlite_db) == [Fraction("60.25"), Fraction("-0.5"), Fraction(15)]
    # The ledger writes a number one way, so that its text says its value without the source.
    assert [row[1] for row in stored(sqlite_db)] == ["60.25", "-0.5", "1.5e1"]


def test_trap_a_point_where_commas_are_declared_is_not_guessed(
    sqlite_db: Database, tmp_path: Path
) -> None:
    report = bring(
        sqlite_db,
        tmp_path,
        "time;value\n2014-06-01T00:00Z;60.25\n",
        'delimiter = ";"',
        'decimal = ","',
    )
    assert report.rejected == 1
    assert 'has a point, and the source says decimal = ","' in report.errors[0]["message"]


@pytest.mark.parametrize(
    ("text", "decimal", "thousands", "plain"),
    [
        ("1.234,5", ",", ".", "1234.5"),
        ("-1.234.567", ",", ".", "-1234567"),
        ("1,234.5", ".", ",", "1234.5"),
        ("1 234", ".", " ", "1234"),
        ("1\u00a0234,5", ",", " ", "1234.5"),
        ("1\u202f234\u202f567,5", ",", " ", "1234567.5"),
        ("1'234.5", ".", "'", "1234.5"),
        ("1\u2019234.5", ".", "'", "1234.5"),
        ("1234,5", ",", ".", "1234.5"),
        ("0,5", ",", ".", "0.5"),
        (",5", ",", None, ".5"),
    ],
)
def test_thousands_are_taken_out(
    text: str, decimal: str, thousands: str | None, plain: str
) -> None:
    rewrite = rewriter_of(Format(decimal=decimal, thousands=thousands))
    assert rewrite is not None
    assert rewrite(text) == plain


@pytest.mark.parametrize(
    ("text", "decimal", "thousands"),
    [
        ("1.23", ",", "."),
        ("12.3456", ",", "."),
        ("1234.567", ",", "."),
        ("1,2345.6", ".", ","),
        ("1,234,56", ".", ","),
        ("1 234\u00a0567", ".", " "),
        (".234", ",", "."),
        ("1.234,567.8", ",", "."),
    ],
)
def test_wrong_grouping_is_refused(text: str, decimal: str, thousands: str) -> None:
    rewrite = rewriter_of(Format(decimal=decimal, thousands=thousands))
    assert rewrite is not None
    with pytest.raises(ValueError, match=r"grouped in threes|has a point"):
        rewrite(text)


@pytest.mark.parametrize(
    ("text", "decimal", "thousands"),
    [
        ("1,234,5", ",", None),  # two decimal commas, and no hint to declare what is declared
        ("1,5 kWh", ",", None),
        ("1,234.50 kWh", ".", ","),
        ("1 234 5,0E", ",", None),
        (",", ",", None),
    ],
)
def test_what_is_no_number_is_named_as_the_file_has_it(
    sqlite_db: Database, tmp_path: Path, text: str, decimal: str, thousands: str | None
) -> None:
    lines = ['delimiter = ";"', f'decimal = "{decimal}"']
    lines += [f'thousands = "{thousands}"'] if thousands else []
    report = bring(sqlite_db, tmp_path, f"time;value\n2014-06-01T00:00Z;{text}\n", *lines)
    unit = ": something follows the number; have the file written without it"
    says = f"{text!r} is not a number{unit if text.endswith('kWh') else ''}"
    assert [error["message"].partition("; where it means")[0] for error in report.errors] == [says]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,5e1234", "is beyond 1e9 kW or kWh: leave a value that does not exist empty"),
        ("9.999.999.999,5", "is beyond 1e9 kW or kWh: leave a value that does not exist empty"),
        ("1,5e-1234", "has more digits than are kept exactly (18 digits, 36 decimals)"),
    ],
)
def test_what_is_too_much_of_a_number_is_named_as_the_file_has_it(
    sqlite_db: Database, tmp_path: Path, text: str, said: str
) -> None:
    lines = ['delimiter = ";"', 'decimal = ","', 'thousands = "."']
    report = bring(sqlite_db, tmp_path, f"time;value\n2014-06-01T00:00Z;{text}\n", *lines)
    assert [error["message"] for error in report.errors] == [f"{text!r} {said}"]


@given(
    st.integers(-(10**12), 10**12), st.integers(0, 999), st.sampled_from([".,", ",.", " ,", "'."])
)
def test_a_number_written_with_thousands_is_the_number(whole: int, part: int, signs: str) -> None:
    thousands, decimal = signs
    text = f"{whole:,}".replace(",", thousands) + f"{decimal}{part:03d}"
    rewrite = rewriter_of(Format(decimal=decimal, thousands=thousands))
    assert rewrite is not None
    sign = -1 if whole < 0 else 1
    assert Fraction(rewrite(text)) == whole + sign * Fraction(part, 1000)


def test_trap_a_sentinel_that_is_declared_is_a_missing_value(
    sqlite_db: Database, tmp_path: Path
) -> None:
    times = [(START + timedelta(minutes=10 * n)).isoformat() for n in range(6)]
    texts = ["NaN", "-", "-1000000", "-1000000.0", "-1e6", "60"]
    rows = "".join(f"{time},{text}\n" for time, text in zip(times, texts, strict=True))
    report = bring(sqlite_db, tmp_path, "time,value\n" + rows, 'missing = ["NaN", "-", "-1000000"]')
    assert (report.new, report.missing, report.outliers) == (6, 5, 0)
    assert {row[2] for row in stored(sqlite_db)} == {"missing", "used"}
    with sqlite_db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
        leaves = {reading.text: reading for reading in reduction.inputs.meters[0].readings}
    assert reduction.counts == Counts(expected=144, used=1, missing=143)
    assert (leaves["-1000000"].quality, leaves["-1000000"].digits) == (201, 0)


def test_trap_a_sentinel_that_is_not_declared_is_rejected_or_an_outlier(
    sqlite_db: Database, tmp_path: Path
) -> None:
    report = bring(
        sqlite_db, tmp_path, "time,value\n2014-06-01T00:00Z,NaN\n2014-06-01T00:10Z,-1000000\n"
    )
    assert (report.rejected, report.outliers) == (1, 1)


def test_trap_an_empty_value_that_a_file_writes_as_zero(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = "time,value\n2014-06-01T00:00Z,0\n2014-06-01T00:10Z,0.00\n2014-06-01T00:20Z,0.5\n"
    report = bring(sqlite_db, tmp_path, text, 'missing = ["0"]')
    assert (report.missing, [row[2] for row in stored(sqlite_db)]) == (
        2,
        ["missing", "missing", "used"],
    )


def test_a_value_takes_the_place_of_a_sentinel(sqlite_db: Database, tmp_path: Path) -> None:
    text = "time,value\n2014-06-01T00:00Z,-\n2014-06-01T00:00Z,60\n"
    bring(sqlite_db, tmp_path, text, 'missing = ["-"]')
    assert [row[1:] for row in stored(sqlite_db)] == [("-", "superseded"), ("60", "used")]


# ------------------------------------------------------------------ how files are written


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16", "utf-16"),
        ("windows-1252", "windows-1252"),
        ("latin-1", "latin-1"),
        ("gb18030", "gb18030"),
        ("cp950", "big5"),
        ("utf-8-sig", "utf-8"),
    ],
)
def test_trap_encodings_and_the_byte_order_mark(
    sqlite_db: Database, tmp_path: Path, encoding: str, name: str
) -> None:
    chinese = name in ("gb18030", "big5", "utf-8", "utf-16")
    column = "恒定功率" if chinese else "Größe"  # of Big5, a sign that Windows has alone
    content = f"time,{column}\n2014-06-01T00:00Z,60\n".encode(encoding)
    report = bring(sqlite_db, tmp_path, content, f'encoding = "{name}"', value_column=f'"{column}"')
    assert (report.new, report.rejected) == (1, 0)


@pytest.mark.parametrize(
    ("content", "encoding", "says"),
    [
        ("time,value\n".encode("utf-16"), "utf-8", 'line 1 is UTF-16; write encoding = "utf-16"'),
        (b"\xef\xbb\xbftime,value\n", "latin-1", 'line 1 is UTF-8; write encoding = "utf-8"'),
        (b"time,value\n", "utf-16", "no byte order mark"),
        (b"time,value\n2014,\xff\n", "gb18030", "line 2: byte 0xff is not GB18030"),
        (b"time,value\n2014,\xff\n", "utf-8", 'encoding = "windows-1252"'),
    ],
)
def test_another_encoding_than_declared_is_refused_whole(
    sqlite_db: Database, tmp_path: Path, content: bytes, encoding: str, says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        bring(sqlite_db, tmp_path, content, f'encoding = "{encoding}"')
    assert says in caught.value.message


def test_lines_before_the_header_and_comments_are_passed_over_and_lines_keep_their_numbers(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = (
        'Report "of the day\n\n# made by hand\ntime,value\n2014-06-01T00:00Z,60\n#2014,7\n\n'
        "2014-06-01T00:10Z,sixty\n"
    )
    report = bring(sqlite_db, tmp_path, text, "header_line = 3", 'comment = "#"')
    assert (report.read, report.new) == (2, 1)
    assert [error["line"] for error in report.errors] == [8]
    with sqlite_db.read() as session:
        assert session.scalars(select(MeterReading.line)).one() == 5


@pytest.mark.parametrize("text", ["time,value\n", "time,value"])
def test_a_header_beyond_the_end_is_refused(sqlite_db: Database, tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match="there is no line 5; it needs a header line"):
        bring(sqlite_db, tmp_path, text, "header_line = 5")


@pytest.mark.parametrize(
    ("sign", "written", "name"),
    [(";", ";", "semicolons"), ("\t", "\\t", "tabs"), ("|", "|", "bars")],
)
def test_a_wrong_delimiter_is_one_clear_line_and_the_right_one_reads(
    sqlite_db: Database, tmp_path: Path, sign: str, written: str, name: str
) -> None:
    text = f"time{sign}value\n2014-06-01T00:00Z{sign}60\n"
    with pytest.raises(BadInput) as caught:
        bring(sqlite_db, tmp_path, text)
    hint = f'the columns are separated by {name}: write delimiter = "{written}" in [[source]]'
    assert caught.value.message.endswith(hint)
    assert bring(sqlite_db, tmp_path, text, f'delimiter = "{written}"').new == 1


def test_lines_of_json_without_a_declaration_say_what_to_declare(
    sqlite_db: Database, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r'the lines are of JSON: write format = "jsonl"'):
        bring(sqlite_db, tmp_path, '{"time": "2014-06-01T00:00Z", "value": 1}\n' * 2)


def test_a_decimal_comma_that_is_not_declared_says_what_to_declare(
    sqlite_db: Database, tmp_path: Path
) -> None:
    report = bring(sqlite_db, tmp_path, 'time,value\n2014-06-01T00:00Z,"60,5"\n')
    assert 'write decimal = "," in [[source]]' in report.errors[0]["message"]


# ------------------------------------------------------------------ lines of JSON


def test_json_lines_are_read_without_a_float(sqlite_db: Database, tmp_path: Path) -> None:
    lines = [
        '{"t": "2014-06-01T00:00Z", "data": {"P": 60.1000000000000001}}',
        '{"t": "2014-06-01T00:10Z", "data": {"P": null}}',
        '{"t": "2014-06-01T00:20Z", "data": {"P": "7.5"}}',
        "",
        '{"t": "2014-06-01T00:30Z", "data.P": 8, "data": {"P": 9}}',
        "[1, 2]",
        '{"t": "2014-06-01T00:40Z"}',
        '{"t": "2014-06-01T00:40Z", "data": {"Q": 1, "p": 2}}',
        '{"t": "2014-06-01T00:50Z", "data": {"P": true}}',
        '{"t": "2014-06-01T00:50Z", "t": 1, "data": {"P": 1}}',
        '{"t": "2014-06-01T01:00Z", "data": {"P": NaN}}',
        "not JSON",
        '{"t": 1',
    ]
    report = bring(
        sqlite_db,
        tmp_path,
        "\n".join(lines) + "\n",
        'format = "jsonl"',
        time_column='"t"',
        value_column='"data.P"',
    )
    assert (report.read, report.new, report.rejected) == (12, 4, 8)
    assert [row[1] for row in stored(sqlite_db)] == ["60.1000000000000001", "", "7.5", "8"]
    found = [(error["line"], error["message"]) for error in report.errors]
    assert found == [
        (6, "not a JSON object, but a list"),
        (7, "the object has no key 'data.P', found: t"),
        (8, "the object has no key 'data.P', found: data.Q, data.p"),
        (9, "'data.P' is true or false, not a text or a number"),
        (10, "not one JSON object on a line (a key stands twice)"),
        (
            11,
            "'NaN' is not a number: leave a missing value empty; where it means \"no value\", "
            'write missing = ["NaN"] in [[source]]',
        ),
        (12, "not one JSON object on a line (Expecting value at column 1)"),
        (13, "not one JSON object on a line (Expecting ',' delimiter at column 8)"),
    ]


def test_lines_of_json_may_begin_with_blanks_and_end_without_a_line_end(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = (
        ' \t{"time": "2014-06-01T00:00Z", "value": 60}\n{"time": "2014-06-01T00:10Z", "value": 61}'
    )
    report = bring(sqlite_db, tmp_path, text, 'format = "jsonl"')
    assert (report.new, report.rejected) == (2, 0)


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_byte_order_marks_of_joined_files_of_json_are_skipped(
    sqlite_db: Database, tmp_path: Path, encoding: str
) -> None:
    lines = [f'\ufeff{{"time": "2014-06-01T00:{at}Z", "value": 60}}\n' for at in ("00", "10")]
    settings = f'format = "jsonl"\nencoding = "{encoding}"'
    report = bring(sqlite_db, tmp_path, "".join(lines).encode(encoding), settings)
    assert (report.new, report.rejected) == (2, 0)


@pytest.mark.parametrize("end", ["\n", ""], ids=["whole", "cut short"])
def test_a_line_of_json_that_memory_shall_not_hold_is_one_bad_row(
    sqlite_db: Database, tmp_path: Path, end: str
) -> None:
    row = '{"time": "2014-06-01T00:%02dZ", "value": %d%s}\n'
    fits = row % (0, 60, " " * (1_048_576 - len(row % (0, 60, ""))))
    long_row = row % (10, 61, " " * 3_000_000)
    text = fits + long_row + row % (20, 62, "") + long_row[:2_500_000] + end
    report = bring(sqlite_db, tmp_path, text, 'format = "jsonl"')
    assert (report.read, report.new) == (4, 2)
    said = "a line of more than 1048576 characters"
    assert [(error["line"], error["message"]) for error in report.errors] == [(2, said), (4, said)]
    with sqlite_db.read() as session:
        assert session.scalars(select(MeterReading.line)).all() == [1, 3]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("null", "not a JSON object, but null"),
        ('{"time": {"at": 1}, "value": 1}', "'time' is an object, not a text or a number"),
        (
            '{"time": "2014-06-01T00:00Z", "value": [1]}',
            "'value' is a list, not a text or a number",
        ),
        ('{"time": ' + "[" * 100_000, "not one JSON object on a line (too deeply nested)"),
    ],
    ids=["null", "object", "list", "deep"],
)
def test_what_stands_in_the_place_of_a_value_is_named(
    sqlite_db: Database, tmp_path: Path, line: str, says: str
) -> None:
    first = '{"time": "2014-06-01T00:10Z", "value": 61}\n'
    report = bring(sqlite_db, tmp_path, f"{first}{line}\n", 'format = "jsonl"')
    assert (report.new, [error["message"] for error in report.errors]) == (1, [says])


def test_an_empty_file_of_json_lines_is_refused(sqlite_db: Database, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="it needs a JSON object on each line"):
        bring(sqlite_db, tmp_path, "\n \n", 'format = "jsonl"')


@given(st.decimals(-(10**6), 10**6, allow_nan=False, allow_infinity=False))
def test_a_json_number_is_its_text(number: Decimal) -> None:
    text = format(number, "f")
    found = json.loads(f'{{"P": {text}}}', parse_float=str, parse_int=str)
    assert found["P"] == text


# ------------------------------------------------------------------ how times are written


@pytest.mark.parametrize(
    ("pattern", "text", "iso"),
    [
        ("%d.%m.%Y %H:%M", "31.12.2014 23:50", "2014-12-31T23:50:00"),
        ("%d.%m.%Y %H:%M", "1.2.2014  5:07", "2014-02-01T05:07:00"),
        ("%d.%m.%Y %H:%M", "31.12.2014 24:00", "2015-01-01T00:00:00"),
        ("%m/%d/%y %I:%M %p", "12/31/14 12:05 AM", "2014-12-31T00:05:00"),
        ("%m/%d/%y %I:%M %p", "12/31/69 12:05 pm", "1969-12-31T12:05:00"),
        ("%m/%d/%Y, %I:%M:%S %p", "12/31/2014, 11:50:00\u202fPM", "2014-12-31T23:50:00"),
        ("%Y%m%d%H%M%S", "20141231235000", "2014-12-31T23:50:00"),
        ("%d-%b-%Y", "31-dec-2014", "2014-12-31T00:00:00"),
        ("%d %B %Y %T", "31 December 2014 23:50:00", "2014-12-31T23:50:00"),
        ("%FT%T%z", "2014-12-31T23:50:00+01:00", "2014-12-31T23:50:00+01:00"),
        ("%F %H:%M %z", "2014-12-31 23:50 -0730", "2014-12-31T23:50:00-07:30"),
        ("%F %H:%M%z", "2014-12-31 23:50Z", "2014-12-31T23:50:00+00:00"),
        (None, "2014-12-31T24:00:00+01:00", "2015-01-01T00:00:00+01:00"),
        (None, "2014-12-31 24:00", "2015-01-01T00:00:00"),
        ("unix", "1420066200", "2014-12-31T22:50:00+00:00"),
        ("unix_ms", "1420066200000", "2014-12-31T22:50:00+00:00"),
        ("unix_us", "1420066200000000", "2014-12-31T22:50:00+00:00"),
        ("unix_ns", "1420066200000000000", "2014-12-31T22:50:00+00:00"),
        ("%Y-%m-%d %H:%M:%S", "2014-12-31 23:59:08", "2014-12-31T23:59:08"),
        ("%Y-%m-%d %H:%M:%S.%f", "2014-12-31 23:59:58.05", "2014-12-31T23:59:58.050000"),
        ("%Y-%m-%d 100%% %H:%M", "2014-12-31 100% 23:50", "2014-12-31T23:50:00"),
        ("%Y/%m/%d %p %I:%M", "2014/12/31 上午 12:05", "2014-12-31T00:05:00"),
        ("%d/%m/%Y %I:%M:%S %p", "31/12/2014 12:05:00 p.\u00a0m.", "2014-12-31T12:05:00"),
        ("%d/%m/%Y %I:%M %p", "31/12/2014 12:05 a.m.", "2014-12-31T00:05:00"),
        ("%Y/%m/%d %p%I:%M:%S", "2014/12/31 下午1:05:00", "2014-12-31T13:05:00"),
        ("%Y年%m月%d日 %p %I:%M", "2014年1月5日 下午 12:05", "2014-01-05T12:05:00"),
    ],
)
def test_a_time_is_read_as_its_source_says(pattern: str | None, text: str, iso: str) -> None:
    assert parser_of(pattern)(text) == datetime.fromisoformat(iso)
    assert parser_of(pattern)(text).isoformat() == iso


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("%d.%m.%Y %H:%M", "2014-12-31 23:50"),
        ("%d.%m.%Y %H:%M", "31.13.2014 23:50"),
        ("%d.%m.%Y %H:%M", "31.12.2014 24:10"),
        ("%d.%m.%Y %H:%M", "31.12.2014 23:50 "),
        ("%d.%m.%Y %H:%M", "３１.12.2014 23:50"),
        ("%m/%d/%y %I:%M %p", "12/31/14 13:05 PM"),
        ("%Y%m%d%H%M", "2014123123500"),
        # A spreadsheet has taken a zero away, and nothing says which.
        ("%Y%m%d%H%M", "20141231235"),
        ("%d%m%Y", "1122014"),
        ("%Y-%m-%d %H%M", "2014-12-31 235"),
        ("%y%m%d", "14111"),
        ("%d.%m.%Y %H:%M:%S.%f", "31.12.2014 24:00:00.5"),  # beyond the day's end, as in ISO 8601:
        (None, "2014-12-31T24:00:00.5"),
        (None, "2014-12-31T24:10:00"),
        (None, "2014-12-32T24:00:00"),
        ("unix", "1420066200.5"),
        ("unix", "2014-12-31"),
        ("unix", "1" * 15),
        ("unix_ms", "1420066200500"),
        ("unix_us", "1420066200000500"),
        ("unix_ns", "1420066200000000500"),
        ("%Y/%m/%d %p %I:%M", "2014/12/31 中午 12:05"),
    ],
)
def test_a_time_of_another_form_is_refused_in_one_line(pattern: str | None, text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|is no|has") as caught:
        parser_of(pattern)(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2026/3/1 0:15", 'write time_format = "%Y/%m/%d %H:%M" in [[source]]'),
        ("2026-3-1 0:15:00", 'write time_format = "%Y-%m-%d %H:%M:%S" in [[source]]'),
        ("01.03.2026 00:15", 'write time_format = "%d.%m.%Y %H:%M" in [[source]]'),
        ("2026/3/1 下午 3:15", 'write time_format = "%Y/%m/%d %p %I:%M" in [[source]]'),
        ("2026年3月1日 0时15分", 'write time_format = "%Y年%m月%d日 %H时%M分" in [[source]]'),
        ("202603010015", 'write time_format = "%Y%m%d%H%M" in [[source]]'),
        ("2026030100", 'write time_format = "%Y%m%d%H" in [[source]]'),
        ("1772294400", 'write time_format = "unix" in [[source]]'),
        ("1772294400000", 'write time_format = "unix_ms" in [[source]]'),
        ("3/1/2026 0:15", "time_format in [[source]]"),  # of March or of January
        ("2026/13/1 0:15", "time_format in [[source]]"),
        ("7", "time_format in [[source]]"),
        (
            "合计",
            'time_format in [[source]]; if lines that begin so are no readings, write comment = "合计"',
        ),
        (
            "Gesamtsumme Mai",
            'if lines that begin so are no readings, write comment = "Gesamtsumm"',
        ),
        ('"合计', "time_format in [[source]]"),
        ("", "time_format in [[source]]"),
    ],
)
def test_a_time_that_can_be_read_in_one_way_says_how_to_declare_it(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="is not a time; ") as caught:
        parser_of(None)(text)
    assert str(caught.value).endswith(says)
    declared = re.search('time_format = "(.*)"', says)
    if declared:
        parser_of(declared[1])(text)


def test_a_row_of_sums_under_a_pattern_says_how_to_pass_over_it() -> None:
    with pytest.raises(ValueError, match=r'form .*; if lines .* write comment = "Total:"$'):
        parser_of("%d.%m.%Y")("Total:")


def test_seconds_and_milliseconds_are_told_from_each_other() -> None:
    with pytest.raises(ValueError, match="it counts milliseconds: write time_format = 'unix_ms'"):
        parser_of("unix")("1420066200000")
    with pytest.raises(ValueError, match="if it counts seconds, write time_format = 'unix'"):
        parser_of("unix_ms")("1420066201")
    with pytest.raises(
        ValueError,
        match=r"has fractions of a second; .* write tolerance_seconds = 1 in \[\[source\]\]$",
    ):
        parser_of("unix_ms")("1420066200500")
    finer = {"unix_us": "1420066200123456", "unix_ns": "1420066200000000000"}
    for declared, text in finer.items():
        for counted in ("unix", "unix_ms"):
            with pytest.raises(ValueError, match=rf"2106; it counts \w+: write .* '{declared}'$"):
                parser_of(counted)(text)
    with pytest.raises(ValueError, match=r"not between 1970 and 2106$"):
        parser_of("unix_us")("9" * 20)
    for counted, text in (("unix_us", "1420066200123"), ("unix_ns", "1420066200001")):
        with pytest.raises(ValueError, match=r"if it counts milliseconds, write .* 'unix_ms'"):
            parser_of(counted)(text)


@pytest.mark.parametrize("text", ["41640", "41640.0069444444", "41640,5"])
def test_a_number_of_a_day_is_told_from_other_texts(text: str) -> None:
    """Which no `time_format` reads: the line told to write one."""
    with pytest.raises(ValueError, match=f"{text}' is a spreadsheet's number of a day; format"):
        parser_of(None)(text)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("%d.%m.%Y %Q", "not known"),
        ("%d.%m %H:%M", "a year"),
        ("%d.%m.%Y %d", "stands twice"),
        ("%d.%Y %H:%M", "a month"),
        ("%b.%m.%d.%Y", "a month .* each once"),
        ("%m.%Y %H:%M", "a day"),
        ("%d.%m.%Y %I:%M", "%I with %p"),
        ("%d.%m.%Y %H %I %p", "%H, or %I with %p"),
        ("%d.%m.%Y %", "not known"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_with_the_site_file(
    sqlite_db: Database, pattern: str, says: str
) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        apply(sqlite_db, declared(f'time_format = "{pattern}"'))
    assert "[source]" in caught.value.message


def test_trap_a_label_at_the_end_in_two_columns_closes_the_day_before(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = "day;time;value\n31.12.2014;23:50;1\n31.12.2014;24:00;2\n01.01.2015;00:00;2\n01.01.2015;0:10;3\n"
    report = bring(
        sqlite_db,
        tmp_path,
        text,
        'delimiter = ";"',
        'date_column = "day"',
        'time_format = "%d.%m.%Y %H:%M"',
        label='"end"',
        time_zone='"Europe/Paris"',
    )
    # 24:00 and 0:00 are one moment, and so one interval.
    assert (report.new, report.unchanged) == (3, 1)
    assert [row[:2] for row in stored(sqlite_db)] == [
        ("2014-12-31T22:40", "1"),
        ("2014-12-31T22:50", "2"),
        ("2014-12-31T23:00", "3"),
    ]
    with sqlite_db.read() as session:
        (year,) = reductions_for(session, "park-wind", date(2014, 12, 31), date(2015, 1, 1))
    assert year.counts.used == 2


# ------------------------------------------------------------------ clocks


def autumn(*walls: str) -> str:
    return "time,value\n" + "".join(f"2014-10-26T{wall},{n}\n" for n, wall in enumerate(walls))


HOURLY = {"interval_minutes": "30", "time_zone": '"Europe/Paris"'}
IN_ORDER = 'clock_change = "in_order"'


def test_trap_a_25_hour_day_is_read_in_the_order_of_its_rows(
    sqlite_db: Database, tmp_path: Path
) -> None:
    walls = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    report = bring(sqlite_db, tmp_path, autumn(*walls), IN_ORDER, **HOURLY)
    assert (report.new, report.rejected, report.clock_change) == (6, 0, 4)
    assert report.as_json()["clock_change"] == 4
    assert [row[:2] for row in stored(sqlite_db)] == [
        ("2014-10-25T23:30", "0"),
        ("2014-10-26T00:00", "1"),
        ("2014-10-26T00:30", "2"),
        ("2014-10-26T01:00", "3"),
        ("2014-10-26T01:30", "4"),
        ("2014-10-26T02:00", "5"),
    ]
    with sqlite_db.read() as session:
        (day,) = reductions_for(session, "park-wind", date(2014, 10, 26), date(2014, 10, 27))
    assert day.counts.expected == 50


def test_trap_a_25_hour_day_whose_times_are_ends_is_read_in_the_order_of_its_rows(
    sqlite_db: Database, tmp_path: Path
) -> None:
    quarters = [f"02:{minute:02}" for minute in (0, 15, 30, 45)]
    text = autumn("01:45", *quarters, *quarters, "03:00").replace(",4\n", ", 4 \n")
    ends = HOURLY | {"interval_minutes": "15", "label": '"end"'}
    report = bring(sqlite_db, tmp_path, text, IN_ORDER, **ends)
    assert (report.new, report.rejected, report.clock_change) == (10, 0, 8)
    first = datetime(2014, 10, 25, 23, 30)
    assert [row[:2] for row in stored(sqlite_db)] == [
        ((first + timedelta(minutes=15 * n)).isoformat()[:16], str(n)) for n in range(10)
    ]


def test_a_fraction_of_a_second_within_a_doubled_hour_is_rejected_too(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = autumn("01:30", "02:00:00.5", "02:30", "02:00", "02:30", "03:00")
    report = bring(sqlite_db, tmp_path, text, IN_ORDER, **HOURLY)
    assert (report.new, report.rejected, report.clock_change) == (5, 1, 3)
    assert report.errors[0]["message"].startswith(
        "'2014-10-26T02:00:00.5' has fractions of a second; have it written in whole seconds"
    )


def test_trap_without_a_declaration_a_doubled_hour_is_rejected_row_by_row(
    sqlite_db: Database, tmp_path: Path
) -> None:
    walls = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    report = bring(sqlite_db, tmp_path, autumn(*walls), **HOURLY)
    assert (report.new, report.rejected, report.clock_change) == (2, 4, 0)
    assert [error["line"] for error in report.errors] == [3, 4, 5, 6]
    assert 'clock_change = "in_order"' in report.errors[0]["message"]


@pytest.mark.parametrize(
    "walls",
    [
        ["01:30", "02:00", "02:30", "03:00"],  # one pass: which?
        ["01:30", "02:00", "02:00", "02:30", "02:30", "03:00"],  # shuffled
        ["03:00", "02:00", "02:30", "02:00", "02:30", "01:30"],  # not in order around it
        ["01:30", "02:00", "02:30", "02:30", "03:00"],  # one pass, and a row of it twice
        ["03:00", "02:30", "02:30", "02:00", "01:30"],  # the same, newest first
        ["02:00", "02:30", "02:00"],  # two passes either way round
        ["02:00", "02:30"],  # the file ends in it
        ["02:00", "02:30", "02:00", "02:30", "02:00"],  # three passes
    ],
)
def test_an_order_that_does_not_say_which_hour_it_is_is_not_guessed(
    sqlite_db: Database, tmp_path: Path, walls: list[str]
) -> None:
    report = bring(sqlite_db, tmp_path, autumn(*walls), IN_ORDER, **HOURLY)
    doubled = [wall for wall in walls if wall.startswith("02")]
    assert (report.rejected, report.clock_change) == (len(doubled), 0)
    assert "the order of the rows does not say which one" in report.errors[0]["message"]
    assert [error["line"] for error in report.errors] == sorted(e["line"] for e in report.errors)


def test_trap_a_row_that_stands_twice_is_no_second_pass(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = autumn("01:45", "02:00", "02:15", "02:15", "02:30", "02:45", "03:00")
    text = text.replace("02:15,3", "02:15,2")  # the two rows are identical
    report = bring(sqlite_db, tmp_path, text, IN_ORDER, **HOURLY | {"interval_minutes": "15"})
    assert (report.new, report.rejected, report.clock_change) == (2, 5, 0)
    assert [row[:2] for row in stored(sqlite_db)] == [
        ("2014-10-25T23:45", "0"),
        ("2014-10-26T02:00", "6"),
    ]


def test_a_row_that_stands_twice_within_one_of_two_passes_counts_once(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = autumn("01:30", "02:00", "02:30", "02:00", "02:30", "02:30", "03:00")
    text = text.replace("02:30,5", "02:30,4")
    report = bring(sqlite_db, tmp_path, text, IN_ORDER, **HOURLY)
    assert (report.new, report.unchanged, report.rejected) == (6, 1, 0)
    assert stored(sqlite_db)[4] == ("2014-10-26T01:30", "4", "used")


@pytest.mark.parametrize(
    ("walls", "first"),
    [
        (["03:00", "02:30", "02:00", "02:30", "02:00", "01:30"], "5"),
        (["02:30", "02:00", "02:30", "02:00", "01:30"], "4"),
        (["03:00", "02:30", "02:30", "02:00", "02:30", "01:30"], "5"),
    ],
)
def test_a_file_with_the_newest_row_first_is_decided_by_its_order_too(
    sqlite_db: Database, tmp_path: Path, walls: list[str], first: str
) -> None:
    report = bring(sqlite_db, tmp_path, autumn(*walls), IN_ORDER, **HOURLY)
    assert (report.rejected, report.clock_change) == (0, sum(w[:2] == "02" for w in walls))
    rows = stored(sqlite_db)
    assert rows[0][:2] == ("2014-10-25T23:30", first)
    # The last 02:30 of the file is the first of the night.
    last = len(walls) - 1 - walls[::-1].index("02:30")
    assert ("2014-10-26T00:30", str(last)) in [row[:2] for row in rows]
    assert ("2014-10-26T01:30", str(walls.index("02:30"))) in [row[:2] for row in rows]


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ("1 2 3 4", [("23:00", "1"), ("00:00", "2"), ("01:00", "3"), ("02:00", "4")]),
        ("1 2 2 4", [("23:00", "1"), ("02:00", "4")]),  # one row twice, or two passes: who knows
    ],
)
def test_the_two_hours_of_an_hourly_file_are_told_by_their_values(
    sqlite_db: Database, tmp_path: Path, values: str, kept: list[tuple[str, str]]
) -> None:
    walls = ("01:00", "02:00", "02:00", "03:00")
    rows = [f"2014-10-26T{w},{v}\n" for w, v in zip(walls, values.split(), strict=True)]
    changes = HOURLY | {"interval_minutes": "60"}
    bring(sqlite_db, tmp_path, "time,value\n" + "".join(rows), IN_ORDER, **changes)
    assert [(row[0][11:], row[1]) for row in stored(sqlite_db)] == kept


def test_the_order_is_that_of_each_device(sqlite_db: Database, tmp_path: Path) -> None:
    second = SITE[SITE.index("[[device]]") : SITE.index("[[source]]")]
    second = second.replace('"A"', '"B"').replace("serial-A", "serial-B")
    site = declared(IN_ORDER, **HOURLY).replace('device = "A"', 'device_column = "who"')
    apply(sqlite_db, site.replace("[[source]]", second + "[[source]]"))
    path = tmp_path / "two.csv"
    walls = ["02:00", "02:30", "02:00", "02:30"]
    rows = [f"{who},2014-10-26T{wall},{n}\n" for n, wall in enumerate(walls) for who in "AB"]
    path.write_text("who,time,value\n" + "".join(rows))
    report = imported(sqlite_db, path)
    assert (report.new, report.clock_change) == (8, 8)


def test_trap_a_23_hour_day_has_no_hour_to_put_a_missing_one_in(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = "time,value\n2014-03-30T01:30,1\n2014-03-30T02:00,2\n2014-03-30T03:00,3\n"
    report = bring(sqlite_db, tmp_path, text, IN_ORDER, **HOURLY)
    assert (report.new, report.rejected) == (2, 1)
    assert "does not exist in Europe/Paris" in report.errors[0]["message"]
    with sqlite_db.read() as session:
        (day,) = reductions_for(session, "park-wind", date(2014, 3, 30), date(2014, 3, 31))
    assert day.counts.expected == 46


def test_jumps_of_a_clock_are_noted_and_reject_nothing(sqlite_db: Database, tmp_path: Path) -> None:
    text = "time,value\n" + "".join(
        f"{time},1\n"
        for time in (
            "2014-06-01T00:00Z",
            "2014-06-01T00:10Z",
            "2014-06-03T00:00Z",
            "2014-06-01T00:20Z",
            "2014-06-02T00:20Z",
        )
    )
    report = bring(sqlite_db, tmp_path, text)
    assert (report.new, report.rejected) == (5, 0)
    assert report.as_json()["clock_jumps"] == [
        {
            "line": 4,
            "device": "A",
            "from": "2014-06-01T02:10:00+02:00",
            "to": "2014-06-03T02:00:00+02:00",
        },
        {
            "line": 5,
            "device": "A",
            "from": "2014-06-03T02:00:00+02:00",
            "to": "2014-06-01T02:20:00+02:00",
        },
    ]


def test_jumps_are_listed_up_to_a_hundred_and_counted_beyond(
    sqlite_db: Database, tmp_path: Path
) -> None:
    # Two steps of a day and ten minutes forward, one of two days back: each is a jump, either way round.
    times = [START + timedelta(days=n % 3, minutes=10 * n) for n in range(301)]
    text = "time,value\n" + "".join(f"{time.isoformat()},1\n" for time in times)
    document = bring(sqlite_db, tmp_path, text).as_json()
    assert (len(document["clock_jumps"]), document["clock_jumps_count"]) == (100, 300)


def test_rows_of_separators_alone_are_empty_lines(sqlite_db: Database, tmp_path: Path) -> None:
    text = "device,time,value\nA,2014-06-01T00:00Z,1\n,,\n , ,\t\nA,,\n,,5\n,\n,,,\n"
    apply(sqlite_db, SITE.replace('device = "A"', 'device_column = "device"'))
    path = tmp_path / "meter.csv"
    path.write_text(text)
    report = imported(sqlite_db, path)
    assert (report.read, report.new, report.rejected) == (3, 1, 2)
    assert [(item["line"], item["column"]) for item in report.errors] == [
        (5, "time"),
        (6, "device"),
    ]


def test_rows_of_separators_alone_are_empty_lines_of_one_device(
    sqlite_db: Database, tmp_path: Path
) -> None:
    report = bring(sqlite_db, tmp_path, "time,value\n2014-06-01T00:00Z,1\n,\n,7\n,\n")
    assert (report.read, report.new, report.rejected) == (2, 1, 1)
    assert report.errors[0]["line"] == 4


def test_trap_a_file_that_is_cut_within_its_last_number(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """The 60 of `60.25` is a number: it was taken without a word, and being the lower one it counted for good."""
    for text, hints in (
        ("time,value\n2014-06-01T00:00Z,60.25\n", 0),
        ("time,value\n2014-06-01T00:00Z,60.25\n2014-06-01T00:15", 0),  # rejected, which says it
        ("time,value\n2014-06-01T00:00Z,60.25\n2014-06-01T01:00Z,60", 1),
    ):
        report = bring(sqlite_db, tmp_path, text)
        assert len(report.hints) == hints, text
    assert report.hints[0].startswith("line 3, the last one, has no line end: if the file was")
    assert report.new == 1


@pytest.mark.parametrize(
    ("end", "hints"),
    [("# 1 row\n", 0), ("# 1 row", 0), ("# 1 row\n2014-06-01T01:00Z,60", 1), ("\n", 0)],
)
def test_a_comment_without_a_line_end_cuts_no_value(
    sqlite_db: Database, tmp_path: Path, end: str, hints: int
) -> None:
    text = "time,value\n2014-06-01T00:00Z,60.25\n" + end
    assert len(bring(sqlite_db, tmp_path, text, 'comment = "#"').hints) == hints


def test_a_file_that_has_the_newest_row_first_jumps_only_where_it_jumps(
    sqlite_db: Database, tmp_path: Path
) -> None:
    times = [START - timedelta(minutes=10 * n) for n in range(300)]
    times[200:] = [time - timedelta(days=2) for time in times[200:]]  # a gap
    times[250] += timedelta(minutes=30)  # and a row that stands out of order
    report = bring(
        sqlite_db, tmp_path, "time,value\n" + "".join(f"{t.isoformat()},1\n" for t in times)
    )
    document = report.as_json()
    assert [jump["line"] for jump in document["clock_jumps"]] == [202, 252]
    assert document["clock_jumps_count"] == 2


def test_a_clock_that_does_not_change_is_told_by_the_file_as_a_whole(
    sqlite_db: Database, tmp_path: Path
) -> None:
    spring, fall = (
        ("2014-03-30T02:00", "2014-03-30T02:30"),
        ("2014-10-26T02:00", "2014-10-26T02:30"),
    )
    both = "".join(f"{time},1\n" for time in spring + fall)
    report = bring(sqlite_db, tmp_path, "time,value\n" + both, **HOURLY)
    assert report.rejected == 4
    assert report.as_json()["hints"] == [
        "this clock seems not to change: it has times in spring that Europe/Paris leaves out, and has "
        'the hour of autumn once; write time_zone = "UTC" or "Etc/GMT-1"'
    ]
    west = HOURLY | {"time_zone": '"America/New_York"'}
    changes = both.replace("03-30", "03-09").replace("10-26", "11-02").replace("T02", "T01")
    changes += "2014-03-09T02:30,1\n"
    found = bring(sqlite_db, tmp_path, "time,value\n" + changes, **west).hints
    assert found[0].endswith('time_zone = "UTC" or "Etc/GMT+5"')
    half = HOURLY | {"time_zone": '"Australia/Lord_Howe"', "interval_minutes": "30"}
    howe = "2014-10-05T02:00,1\n2014-04-06T01:30,1\n"
    found = bring(sqlite_db, tmp_path, "time,value\n" + howe, **half).hints
    assert found[0].endswith('time_zone = "UTC" or "+10:30"')
    twice = both + "".join(f"{time},1\n" for time in fall)
    assert bring(sqlite_db, tmp_path, "time,value\n" + twice, **HOURLY).hints == []
    within = f"{spring[1]},1\n{fall[1]},1\n"  # of half hours that are named by their ends, one within the gap
    ends = HOURLY | {"label": '"end"'}
    assert len(bring(sqlite_db, tmp_path, "time,value\n" + within, **ends).hints) == 1


@pytest.mark.parametrize(
    ("spring", "autumn_day", "hints"),
    [
        ("01 02 03 04", "01 02 03 04", 1),  # never changes
        ("01 02 04 05", "01 02 03 03 04", 0),  # changes, and names an hour's end by the time before
        ("02 03", "02", 1),
        ("02 04", "02", 0),
    ],
)
@pytest.mark.parametrize("step", [1, -1], ids=["oldest first", "newest first"])
def test_a_time_that_closes_the_hour_before_the_change_is_no_sign_of_a_clock_that_does_not(
    sqlite_db: Database, tmp_path: Path, spring: str, autumn_day: str, hints: int, step: int
) -> None:
    """The zone that was proposed for such a file would have put half of its year an hour off."""
    rows = [f"2014-03-30T{hour}:00,1\n" for hour in spring.split()]
    rows += [f"2014-10-26T{hour}:00,1\n" for hour in autumn_day.split()]
    hourly = HOURLY | {"interval_minutes": "60", "label": '"end"'}
    report = bring(sqlite_db, tmp_path, "time,value\n" + "".join(rows[::step]), **hourly)
    assert len(report.hints) == hints


@pytest.mark.parametrize(
    ("time_zone", "at"), [("+10:30", "2014-10-04T15:30:00"), ("-04:30", "2014-10-05T06:30:00")]
)
def test_a_clock_that_never_changes_may_be_off_by_a_part_of_an_hour(
    sqlite_db: Database, tmp_path: Path, time_zone: str, at: str
) -> None:
    half = HOURLY | {"time_zone": f'"{time_zone}"', "interval_minutes": "30"}
    content = "time,value\n2014-10-05T02:00,1\n2014-10-05T02:30,2\n"
    report = bring(sqlite_db, tmp_path, content, **half)
    assert (report.new, report.rejected) == (2, 0)
    with sqlite_db.read() as session:
        first = session.scalars(select(MeterReading.start_s).order_by(MeterReading.start_s)).first()
    assert first == int(datetime.fromisoformat(at + "+00:00").timestamp())


def test_rows_that_end_with_a_delimiter_which_the_header_lacks(
    sqlite_db: Database, tmp_path: Path
) -> None:
    content = "time,value\n2014-06-01T00:00Z,60,\n2014-06-01T00:10Z,61, \n"
    refused = bring(sqlite_db, tmp_path, content)
    assert (refused.new, refused.rejected) == (0, 2)
    for error in refused.errors:
        assert "write trailing_delimiter = true" in error["message"]
    more = bring(sqlite_db, tmp_path, "time,value\n2014-06-01T00:00Z,60,1,\n")
    assert more.errors[0]["message"] == "4 cells where the header has 2"
    one = bring(sqlite_db, tmp_path, "time,value\n2014-06-01T00:00Z\n")
    assert one.errors[0]["message"] == "1 cell where the header has 2"
    declared_so = "trailing_delimiter = true"
    assert bring(sqlite_db, tmp_path, content, declared_so).new == 2
    in_both = content.replace("value\n", "value,\n").replace(":10Z", ":20Z")
    report = bring(sqlite_db, tmp_path, in_both, declared_so)
    assert (report.new, report.unchanged, report.rejected) == (1, 1, 0)
    cut = bring(sqlite_db, tmp_path, "time,value\n2014-06-01T00:40Z,6\n", declared_so)
    assert cut.errors[0]["message"] == "2 cells where the header has 3"
    halved = bring(sqlite_db, tmp_path, "time,value\n2014-06-01T00:40Z,1,5\n", declared_so)
    assert (halved.new, halved.rejected) == (0, 1)  # else it were 1 in place of 1.5
    assert halved.errors[0]["message"].startswith("'5' follows the delimiter at the end of the row")


def test_rows_that_end_with_several_delimiters(sqlite_db: Database, tmp_path: Path) -> None:
    """A table that a spreadsheet once had more columns in; 1,5 without quotes is no 1 whatever follows it."""
    declared_so = "trailing_delimiter = true"
    for number, header in enumerate(("time,value", "time,value,")):
        content = f"{header}\n2014-06-01T0{number}:00Z,60,,,\n2014-06-01T0{number}:10Z,61,,\n"
        refused = bring(sqlite_db, tmp_path, content)
        assert (refused.new, refused.rejected) == (0, 2)
        assert "write trailing_delimiter = true" in refused.errors[0]["message"]
        assert bring(sqlite_db, tmp_path, content, declared_so).new == 2
        halved = f"{header}\n2014-06-01T00:40Z,1,5\n2014-06-01T00:50Z,1,5,,\n"
        report = bring(sqlite_db, tmp_path, halved, declared_so)
        assert (report.new, report.rejected) == (0, 2), header
    assert "the last 2 are empty" in refused.errors[0]["message"]


def test_a_date_beside_an_empty_time_is_not_its_midnight(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = "day,time,value\n2014-06-01,00:00,60\n2014-06-01,,61\n,00:10,62\n,,\n"
    zoned = {"time_zone": '"Europe/Paris"'}
    report = bring(sqlite_db, tmp_path, text, 'date_column = "day"', **zoned)
    assert (report.new, report.conflicts, report.rejected) == (1, 0, 2)
    assert [error["line"] for error in report.errors] == [3, 4]


# ------------------------------------------------------------------ times beside the grid


def beside(*times: str, value: str = "60") -> str:
    return "time,value\n" + "".join(f"2014-06-01T{time}Z,{value}\n" for time in times)


def test_trap_times_beside_the_grid_are_rejected_and_the_message_says_what_to_declare(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = beside("00:01", "00:11", "00:21", "00:34")
    report = bring(sqlite_db, tmp_path, text)
    assert report.rejected == 4
    grid = "is not on the grid of 10 minutes from midnight in Europe/Paris; correct interval_minutes, or "
    first, _, third, last = (error["message"] for error in report.errors)
    assert first == f"'2014-06-01T00:01Z' {grid}write tolerance_seconds = 60 in [[source]]"
    assert third.endswith("or write tolerance_seconds = 60 in [[source]]")
    assert last == (
        f"'2014-06-01T00:34Z' {grid}bring periods of varying length as the readings of a register, "
        'kind = "counter"'
    )
    later = bring(sqlite_db, tmp_path, beside("00:00", "00:11"))
    assert "tolerance_seconds" not in later.errors[0]["message"]


@pytest.mark.parametrize(("label", "shift"), [("start", 0), ("end", 10)])
def test_a_tolerance_takes_times_to_the_grid_and_counts_them(
    sqlite_db: Database, tmp_path: Path, label: str, shift: int
) -> None:
    times = ["00:01", "00:11", "00:20", "00:29", "00:38:59", "00:52"]
    report = bring(
        sqlite_db, tmp_path, beside(*times), "tolerance_seconds = 60", label=f'"{label}"'
    )
    assert (report.new, report.moved, report.rejected) == (4, 3, 2)
    assert report.as_json()["moved"] == 3
    slots = [START + timedelta(minutes=10 * n - shift) for n in range(4)]
    assert [row[:2] for row in stored(sqlite_db)] == [
        (slot.isoformat()[:16], "60") for slot in slots
    ]
    with sqlite_db.read() as session:
        assert session.scalars(select(MeterReading.line)).all() == [2, 3, 4, 5]


def test_every_day_counts_its_moved_times_and_fractions_are_taken_along(
    sqlite_db: Database, tmp_path: Path
) -> None:
    times = [START + timedelta(minutes=10 * n, seconds=20) for n in range(3 * 144)]
    rows = [f"{time.isoformat()},60\n" for time in times]
    rows += ["2014-06-09T00:00:59.9Z,60\n", "2014-06-09T00:11:00.1Z,60\n"]
    text = "time,value\n" + "".join(rows)
    report = bring(sqlite_db, tmp_path, text, "tolerance_seconds = 60")
    assert (report.new, report.moved, report.rejected) == (433, 433, 1)
    with sqlite_db.read() as session:
        (june,) = reductions_for(session, "park-wind", date(2014, 6, 2), date(2014, 6, 3))
    assert (june.counts.used, june.net_kwh) == (144, 1440)


def test_two_rows_taken_to_one_slot_are_a_duplicate_or_a_conflict(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = beside("00:00", "00:01") + "2014-06-01T00:09Z,60\n2014-06-01T00:10Z,50\n"
    report = bring(sqlite_db, tmp_path, text, "tolerance_seconds = 60")
    assert (report.new, report.unchanged, report.conflicts, report.moved) == (2, 1, 1, 2)
    assert stored(sqlite_db) == [
        ("2014-06-01T00:00", "60", "used"),
        ("2014-06-01T00:10", "50", "used"),
        ("2014-06-01T00:10", "60", "superseded"),
    ]


QUARTERS = [f"{n // 4:02d}:{n % 4 * 15 + 1:02d}" for n in range(20)]


def test_rows_much_farther_apart_than_intervals_are_warned_of(
    sqlite_db: Database, tmp_path: Path
) -> None:
    report = bring(sqlite_db, tmp_path, beside(*QUARTERS), interval_minutes="1")
    assert (report.new, report.rejected) == (20, 0)
    assert report.as_json()["spacing"] == {
        "device": "A",
        "devices": 1,
        "minutes": 15,
        "interval_minutes": 1,
    }


def test_rows_in_no_order_and_corrections_of_some_are_not_warned_of(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Sixty slots of ten minutes in a shuffled order, then every sixth of them with another value."""
    slots = [f"{n // 6:02d}:{n % 6}0" for n in range(60)]
    shuffled = [slots[n * 37 % 60] for n in range(60)]
    assert bring(sqlite_db, tmp_path, beside(*shuffled)).spacing is None
    corrected = beside(*slots[::6]).replace(",60", ",59")
    report = bring(sqlite_db, tmp_path, corrected)
    assert (report.conflicts, report.spacing) == (10, None)
    later = beside(*slots[::6]).replace("2014-06-01", "2014-06-02")
    found = bring(sqlite_db, tmp_path, later).spacing
    assert found is not None and found["minutes"] == 60


def test_rows_as_far_apart_as_intervals_are_not_warned_of_though_some_are_missing(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = beside(*QUARTERS[:6], *QUARTERS[12:])
    report = bring(sqlite_db, tmp_path, text, "tolerance_seconds = 60", interval_minutes="15")
    assert (report.moved, report.spacing) == (14, None)
    assert not {"spacing", "hints"} & set(report.as_json())


def test_readings_of_the_future_are_noted_and_kept(sqlite_db: Database, tmp_path: Path) -> None:
    apply(sqlite_db)
    path = tmp_path / "meter.csv"
    # A day after now is 1 June 00:10; the first ends then, the second a slot later.
    path.write_text("time,value\n2014-06-01T00:00Z,1\n2014-06-01T00:10Z,2\n2099-01-01T00:00Z,3\n")
    now = datetime(2014, 5, 31, 0, 10, tzinfo=UTC)
    report = import_file(sqlite_db, "park", "scada", path, now=now)
    assert (report.new, report.rejected, report.as_json()["future"]) == (3, 0, 2)
    path.write_text("time,value\n2014-06-01T00:20Z,1\n")
    assert "future" not in imported(sqlite_db, path).as_json()


# ------------------------------------------------------------------ intervals of more than an hour


@pytest.mark.parametrize(
    ("minutes", "label", "day", "slots"),
    [
        # 02:00 is a label of 120 minutes: in autumn the first of two, in spring the moment of 03:00.
        (120, "start", "2014-10-26", {"00:00": (22, 2), "02:00": (0, 3), "04:00": (3, 2)}),
        (120, "end", "2014-10-26", {"02:00": (22, 2), "04:00": (0, 3), "06:00": (3, 2)}),
        (120, "start", "2014-03-30", {"00:00": (23, 2), "02:00": (1, 1), "04:00": (2, 2)}),
        (120, "end", "2014-03-30", {"02:00": (23, 2), "04:00": (1, 1), "06:00": (2, 2)}),
    ],
)
def test_trap_on_the_day_of_change_the_labels_of_a_long_interval_are_the_grids_own(
    sqlite_db: Database,
    tmp_path: Path,
    minutes: int,
    label: str,
    day: str,
    slots: dict[str, tuple[int, int]],
) -> None:
    text = "time,value\n" + "".join(f"{day}T{wall},60\n" for wall in slots)
    report = bring(
        sqlite_db,
        tmp_path,
        text,
        interval_minutes=str(minutes),
        time_zone='"Europe/Paris"',
        label=f'"{label}"',
    )
    assert (report.new, report.rejected) == (3, 0)
    with sqlite_db.read() as session:
        rows = session.scalars(select(MeterReading).order_by(MeterReading.start_s)).all()
    found = [(row.start_s // 3600 % 24, row.duration_s // 3600) for row in rows]
    assert found == list(slots.values())


@pytest.mark.parametrize(
    ("name", "label_is_end", "text", "begins"),
    [
        # Midnight is skipped in Sao Paulo, and comes twice in Havana.
        ("America/Sao_Paulo", False, "2018-11-04", "2018-11-04T03:00Z"),
        ("America/Sao_Paulo", True, "2018-11-04", "2018-11-03T03:00Z"),
        ("America/Havana", False, "2018-11-04", "2018-11-04T04:00Z"),
        ("America/Havana", True, "2018-11-04", "2018-11-03T04:00Z"),
    ],
)
def test_a_legal_day_whose_midnight_is_skipped_or_comes_twice_has_its_label(
    name: str, label_is_end: bool, text: str, begins: str
) -> None:
    daily = TimeReader(name, 86400, label_is_end=label_is_end, grid_zone=zone(name))
    assert daily.start_s(text) == int(datetime.fromisoformat(begins).timestamp())
    hourly = TimeReader(name, 3600, label_is_end=label_is_end, grid_zone=zone(name))
    with pytest.raises((DoubledTime, SkippedTime)):
        hourly.start_s(text)


def test_a_skipped_time_is_no_label_of_the_grid_of_another_zone() -> None:
    reader = TimeReader("Europe/Paris", 7200, label_is_end=False, grid_zone=zone("Europe/Berlin"))
    with pytest.raises(SkippedTime):
        reader.start_s("2014-03-30T02:00")


def test_a_time_that_never_comes_and_is_no_label_is_rejected_of_long_intervals_too(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = "time,value\n2014-03-30T02:30,60\n2014-10-26T02:30,60\n"
    changes = {"interval_minutes": "120", "time_zone": '"Europe/Paris"'}
    report = bring(sqlite_db, tmp_path, text, **changes)
    assert ["does not exist" in error["message"] for error in report.errors] == [True, False]
    assert "is not on the grid" in report.errors[1]["message"]


def daily(first: date, days: int, value: str = "1") -> str:
    rows = [f"{first + timedelta(days=n)},{value}\n" for n in range(days)]
    return "time,value\n" + "".join(rows)


DAILY = {
    "interval_minutes": "1440",
    "time_zone": '"Europe/Paris"',
    "kind": '"energy"',
    "unit": '"kWh"',
}


@pytest.mark.parametrize(("first", "hours"), [(date(2014, 3, 30), 23), (date(2014, 10, 26), 25)])
def test_trap_a_daily_reading_is_one_legal_day_of_23_or_25_hours(
    sqlite_db: Database, tmp_path: Path, first: date, hours: int
) -> None:
    # 120 kWh an hour is the limit of a device of 100 kW.
    text = daily(first, 1, str(hours * 120)) + daily(first + timedelta(days=1), 1, "2880.001")[11:]
    report = bring(sqlite_db, tmp_path, text, **DAILY)
    assert (report.new, report.outliers) == (2, 1)
    with sqlite_db.read() as session:
        rows = session.scalars(select(MeterReading).order_by(MeterReading.start_s)).all()
        (day,) = reductions_for(session, "park-wind", first, first + timedelta(days=1))
        produced = session.scalars(select(EnergyProduction.production)).all()
    assert [row.duration_s for row in rows] == [hours * 3600, 86400]
    assert day.counts == Counts(expected=1, used=1)
    assert day.net_kwh == hours * 120
    assert produced == [Decimal("120.000")] * hours


def test_a_year_of_days_has_as_many_slots_as_days(sqlite_db: Database, tmp_path: Path) -> None:
    bring(sqlite_db, tmp_path, daily(date(2014, 1, 1), 365, "1"), **DAILY)
    with sqlite_db.read() as session:
        (year,) = reductions_for(session, "park-wind", date(2014, 1, 1), date(2015, 1, 1))
        (march,) = reductions_for(session, "park-wind", date(2014, 3, 1), date(2014, 4, 1))
        emissions = session.scalars(select(CarbonEmission)).all()
    assert (year.counts, year.net_kwh) == (Counts(expected=365, used=365), 365)
    assert march.counts == Counts(expected=31, used=31)
    assert emissions == []  # nothing was drawn


def test_days_whose_label_is_their_end(sqlite_db: Database, tmp_path: Path) -> None:
    changes = DAILY | {"label": '"end"'}
    bring(sqlite_db, tmp_path, daily(date(2015, 1, 1), 1), **changes)
    assert stored(sqlite_db)[0][0] == "2014-12-30T23:00"


@pytest.mark.parametrize("minutes", [120, 720, 1440])
@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("Pacific/Apia", date(2011, 12, 29), date(2011, 12, 31)),
        ("Pacific/Kwajalein", date(1993, 8, 20), date(1993, 8, 22)),
    ],
)
def test_a_date_that_a_zone_left_out_has_no_interval(
    minutes: int, name: str, before: date, after: date
) -> None:
    where = zone(name)
    grid = grid_of(where, minutes * 60)
    border = int(datetime(after.year, after.month, after.day, tzinfo=where).timestamp())
    last = grid.start_s(border, at_end=True)
    assert last == border - minutes * 60
    assert grid.duration_s(last) == minutes * 60
    ended = datetime.fromtimestamp(border - 1, where).date()
    assert ended == before
    left_out = clock_points(before + timedelta(days=1), where, minutes * 60)
    assert left_out == [border]


@few(10)
@pytest.mark.parametrize("minutes", [120, 180, 240, 360, 480, 720, 1440])
@pytest.mark.parametrize("name", ["Europe/Paris", "America/Sao_Paulo", "Asia/Kathmandu", "UTC"])
def test_long_intervals_follow_each_other_over_a_year_of_clock_changes(
    minutes: int, name: str
) -> None:
    where = zone(name)
    grid = grid_of(where, minutes * 60)
    start = int(datetime(2018, 1, 1, tzinfo=where).timestamp())
    end = int(datetime(2019, 1, 1, tzinfo=where).timestamp())
    count = 0
    while start < end:
        assert grid.start_s(start, at_end=False) == start
        after = start + grid.duration_s(start)
        assert grid.start_s(after, at_end=True) == start
        assert abs(after - start - minutes * 60) <= 3600
        assert grid.start_s(start + 600, at_end=False) is None
        start, count = after, count + 1
    assert (start, count) == (end, 365 * 1440 // minutes)


# ------------------------------------------------------------------ what the site file may say


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('format = "xml"', 'format must be one of "csv", "jsonl"'),
        ('delimiter = ":"', 'delimiter must be one of ",", ";", "\\t", "|"'),
        ('decimal = "\'"', "decimal must be one of"),
        ('thousands = "."\ndecimal = "."', "decimal and thousands are both '.'"),
        ('encoding = "utf-7"', "encoding must be one of"),
        ("header_line = 0", "header_line is a line of the file, from 1"),
        ('header_line = "2"', "whole number without quotes"),
        ('missing = "NaN"', "must be a list of texts"),
        ('missing = [" "]', "an empty value is missing anyway"),
        ('clock_change = "guess"', 'clock_change must be one of "refuse", "in_order"'),
        ('clock_change = "in_order"', "times with their offset come once"),
        ('format = "jsonl"\ndelimiter = ";"', "delimiter is of CSV files"),
        ("tolerance_seconds = 300", "from 0 to less than half the interval of 600 s, found 300"),
        ("tolerance_seconds = -1", "from 0 to less than half"),
        ('delimeter = ";"', "did you mean 'delimiter'"),
        ("interval_minute = 5", "did you mean 'interval_minutes'"),
    ],
)
def test_wrong_keys_of_a_source_are_refused_with_their_line(
    sqlite_db: Database, line: str, says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        apply(sqlite_db, declared(line))
    assert says in caught.value.message
    assert "line " in caught.value.message


def test_seconds_since_1970_are_of_no_zone(sqlite_db: Database) -> None:
    with pytest.raises(BadInput, match="seconds since 1970 are of UTC"):
        apply(sqlite_db, declared('time_format = "unix"', time_zone='"Europe/Paris"'))
    apply(sqlite_db, declared('time_format = "unix"'))


def test_a_source_that_did_not_change_is_unchanged(sqlite_db: Database) -> None:
    site = declared(
        'delimiter = ";"', 'missing = ["-"]', "header_line = 2", 'register = "1-0:2.8.0"'
    )
    apply(sqlite_db, site)
    assert "source scada" in apply(sqlite_db, site).unchanged
    assert "source scada" in apply(sqlite_db, declared('missing = ["-"]')).updated
    assert "source scada" in apply(sqlite_db, SITE).updated


# ------------------------------------------------------------------ units, and days that are longer


@pytest.mark.parametrize(
    ("kind", "unit", "kwh"),
    [
        ("power", "W", Fraction(60, 1000) / 6),
        ("power", "kW", Fraction(60) / 6),
        ("power", "MW", Fraction(60000) / 6),
        ("energy", "Wh", Fraction(60, 1000)),
        ("energy", "kWh", Fraction(60)),
        ("energy", "MWh", Fraction(60000)),
    ],
)
def test_trap_watts_kilowatts_and_watt_hours_are_what_the_source_says(
    sqlite_db: Database, tmp_path: Path, kind: str, unit: str, kwh: Fraction
) -> None:
    site = declared(kind=f'"{kind}"', unit=f'"{unit}"').replace('rated_kw = "100"', "")
    apply(sqlite_db, site)
    path = tmp_path / "meter.csv"
    path.write_text("time,value\n2014-06-01T00:00Z,60\n")
    imported(sqlite_db, path)
    with sqlite_db.read() as session:
        (day,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
    assert day.net_kwh == kwh


@pytest.mark.parametrize(("minutes", "slots"), [(15, 29 * 96), (1440, 29)])
def test_trap_a_leap_day_has_its_slots(
    sqlite_db: Database, tmp_path: Path, minutes: int, slots: int
) -> None:
    first = datetime(2016, 2, 1)
    rows = [f"{first + timedelta(minutes=minutes * n)},{1 + n % 2}\n" for n in range(slots)]
    bring(
        sqlite_db,
        tmp_path,
        "time,value\n" + "".join(rows),
        time_zone='"Europe/Paris"',
        interval_minutes=str(minutes),
    )
    with sqlite_db.read() as session:
        (month,) = reductions_for(session, "park-wind", date(2016, 2, 1), date(2016, 3, 1))
    assert month.counts == Counts(expected=slots, used=slots)


def test_trap_overlapping_files_count_once(sqlite_db: Database, tmp_path: Path) -> None:
    rows = [f"{(START + timedelta(minutes=10 * n)).isoformat()},60\n" for n in range(12)]
    bring(sqlite_db, tmp_path, "time,value\n" + "".join(rows[:8]))
    report = bring(sqlite_db, tmp_path, "time,value\n" + "".join(rows[4:]))
    assert (report.new, report.unchanged) == (4, 4)
    with sqlite_db.read() as session:
        (day,) = reductions_for(session, "park-wind", date(2014, 6, 1), date(2014, 6, 2))
    assert day.net_kwh == 120


# ------------------------------------------------------------------ columns without a name


PANDAS = ",power,value\n2014-06-01T00:00Z,5,60\n2014-06-01T00:10,5,x\n"


@pytest.mark.parametrize(("time", "value"), [('""', '"value"'), ("1", "3"), ('""', "3")])
def test_a_column_without_a_name_and_one_by_its_number(
    sqlite_db: Database, tmp_path: Path, time: str, value: str
) -> None:
    text = PANDAS + "2014-06-01T00:20Z,5,x\n"
    report = bring(sqlite_db, tmp_path, text, time_column=time, value_column=value)
    assert stored(sqlite_db) == [("2014-06-01T00:00", "60", "used")]
    named = "3" if value == "3" else "value"
    assert [(error["line"], error["column"]) for error in report.errors] == [(3, "1"), (4, named)]
    # Applied again, the source is the same.
    assert not apply(sqlite_db, declared(time_column=time, value_column=value)).updated


@pytest.mark.parametrize(
    ("time", "value", "says"),
    [
        ("9", "3", "line 1 has 3 columns, and time_column = 9, found: , power, value"),
        ('""', '""', "no row"),
        ('""', '"other"', "has no column 'other'"),
    ],
)
def test_a_column_that_is_not_there(
    sqlite_db: Database, tmp_path: Path, time: str, value: str, says: str
) -> None:
    text = PANDAS if says != "no row" else "a,,\n"
    with pytest.raises(BadInput) as caught:
        bring(sqlite_db, tmp_path, text, time_column=time, value_column=value)
    expected = "has 2 columns without a name" if says == "no row" else says
    assert expected in caught.value.message
    if says == "no row":
        assert "write its number, time_column = 1 for the first column" in caught.value.message


@pytest.mark.parametrize(
    ("lines", "column", "says"),
    [
        ((), "0", "time_column is the number of a column, from 1, found 0"),
        ((), "true", "time_column must be a text"),
        ((), "1.5", "time_column must be a text"),
        (('format = "jsonl"',), "1", "time_column is a key of the JSON objects"),
        (('format = "jsonl"',), '""', "time_column is a key of the JSON objects"),
        (('numbered = ["time_column"]',), '"time"', "unknown key 'numbered'"),
    ],
)
def test_numbers_of_columns_that_a_source_cannot_have(
    sqlite_db: Database, lines: tuple[str, ...], column: str, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        apply(sqlite_db, declared(*lines, time_column=column))


@pytest.mark.parametrize(
    ("header", "key"),
    [("Gro\u0308\u00dfe", "Gr\u00f6\u00dfe"), ("Gr\u00f6\u00dfe", "Gro\u0308\u00dfe")],
)
def test_accents_may_be_written_in_two_ways(
    sqlite_db: Database, tmp_path: Path, header: str, key: str
) -> None:
    bring(sqlite_db, tmp_path, f"time,{header}\n2014-06-01T00:00Z,1\n", value_column=f'"{key}"')
    assert len(stored(sqlite_db)) == 1


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("2014-06-01T00:00:00.0000001Z", False),
        ("2014-06-01T00:00:00,00000000000001+00:00", False),
        ("2014-06-01T00:00:00.5Z", False),
        ("20140601T000000.0000001Z", False),
        ("2014-06-01T00:00:00.0000000Z", True),
        ("2014-06-01T00:00:00.000Z", True),
    ],
)
def test_fractions_of_a_second_however_small(
    sqlite_db: Database, tmp_path: Path, text: str, good: bool
) -> None:
    report = bring(sqlite_db, tmp_path, f'time,value\n"{text}",1\n')
    assert (report.new, report.rejected) == ((1, 0) if good else (0, 1))
    if not good:
        assert "has fractions of a second" in report.errors[0]["message"]


@pytest.mark.parametrize(
    ("time_format", "texts"),
    [
        (None, ["T00:00:00.0000000Z", "T00:09:59.9999999Z", "T00:20:00.0000001Z"]),
        ("%Y-%m-%dT%H:%M:%S.%f%z", ["T00:00:00.0000000Z", "T00:09:59.9999999Z", "T00:20:00.1Z"]),
        ("unix_ms", ["1401580800000", "1401581399750", "1401582000003"]),
        ("unix_us", ["1401580800000000", "1401581399999999", "1401582000000001"]),
        ("unix_ns", ["1401580800000000000", "1401581399999999999", "1401582000000000001"]),
    ],
)
def test_fractions_however_fine_or_counted_are_taken_to_the_grid_beside_them(
    sqlite_db: Database, tmp_path: Path, time_format: str | None, texts: list[str]
) -> None:
    """As telecontrol and historians stamp them; milliseconds were rejected whatever the tolerance."""
    texts = [f"2014-06-01{text}" if text.startswith("T") else text for text in texts]
    content = "time,value\n" + "".join(f"{text},{n}\n" for n, text in enumerate(texts))
    keys = [] if time_format is None else [f'time_format = "{time_format}"']
    refused = bring(sqlite_db, tmp_path, content, *keys)
    assert (refused.new, refused.rejected) == (1, 2)
    report = bring(sqlite_db, tmp_path, content, "tolerance_seconds = 1", *keys)
    assert (report.new, report.unchanged, report.rejected, report.moved) == (2, 1, 0, 2)
    times = ("2014-06-01T00:00", "2014-06-01T00:10", "2014-06-01T00:20")
    assert [row[:2] for row in stored(sqlite_db)] == [(at, str(n)) for n, at in enumerate(times)]


@pytest.mark.parametrize("text", ["2014-06-01T00:10:01.0000001Z", "2014-06-01T00:09:58.9999999Z"])
def test_a_fraction_beyond_the_tolerance_is_beside_the_grid(
    sqlite_db: Database, tmp_path: Path, text: str
) -> None:
    report = bring(sqlite_db, tmp_path, f"time,value\n{text},1\n", "tolerance_seconds = 1")
    assert (report.new, report.rejected) == (0, 1)
    assert "is not on the grid" in report.errors[0]["message"]


def test_a_day_of_1900_is_told_as_such_and_not_as_a_wrong_interval(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Clocks of 1900 showed odd minutes, and the line asked for another interval_minutes."""
    content = "time,value\n1900-01-01 00:00,1\n1899-12-31 00:10,1\n"
    report = bring(sqlite_db, tmp_path, content, time_zone='"Asia/Shanghai"')
    said = [error["message"] for error in report.errors]
    assert said == [
        "'1900-01-01 00:00' is not between 1970 and 2106",
        "'1899-12-31 00:10' is not between 1970 and 2106",
    ]


@pytest.mark.parametrize("text", ["--", "Bad Input", "NaN", "#DIV/0!", "无数据"])
def test_a_text_without_a_number_says_how_it_is_declared(
    sqlite_db: Database, tmp_path: Path, text: str
) -> None:
    content = f"time,value\n2014-06-01T00:00Z,{text}\n"
    report = bring(sqlite_db, tmp_path, content)
    declared_so = f'missing = ["{text}"]'
    assert report.errors[0]["message"].endswith(
        f'; where it means "no value", write {declared_so} in [[source]]'
    )
    assert bring(sqlite_db, tmp_path, content, declared_so).missing == 1


def test_a_name_that_is_no_text_is_kept_with_its_bytes_written_out(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """As a zip from another system leaves it: byte 0xFC alone is no UTF-8. Records of a park alike."""
    apply(sqlite_db)
    path = tmp_path / "Z\udcfchler.csv"
    path.write_text(beside("00:00"))
    assert imported(sqlite_db, path).new == 1
    with sqlite_db.read() as session:
        assert session.scalars(select(ImportFile.file_name)).all() == ["Z\\xfchler.csv"]
    records = tmp_path / "Z\udcfchler2.csv"
    records.write_text("type_name\nmeter\n")
    assert read_file(kind_named("device-types"), records).name == "Z\\xfchler2.csv"


# ------------------------------------------------------------------ a day on each line

ACROSS = {
    "kind": '"energy"',
    "unit": '"kWh"',
    "interval_minutes": "15",
    "label": '"end"',
    "time_column": '"日期"',
    "value_column": '"0:15"',
    "time_zone": '"Europe/Paris"',
}
CURVES = ('last_value_column = "0:00"', 'time_format = "%Y/%m/%d %H:%M"')
CLOCKS = [f"{minutes // 60}:{minutes % 60:02}" for minutes in (*range(15, 24 * 60, 15), 0)]


def as_days(days: dict[str, list[str]], *more: str) -> str:
    """A file with a line for each day, and what stands before and behind the values."""
    lines = [",".join(["日期", "户号", *CLOCKS, "合计"])]
    lines += [",".join([day, "4711", *values, "9999"]) for day, values in days.items()]
    return "\n".join([*lines, *more]) + "\n"


def test_trap_a_row_that_is_a_day_has_its_values_at_the_times_that_the_header_names(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Load curves of 96 points: a line was read as one value of its midnight, and the other 95 were lost."""
    days = {
        "2014/6/1": [str(number) for number in range(96)],
        "2014/6/2": ["", *(f"{number}.5" for number in range(1, 96))],
    }
    report = bring(sqlite_db, tmp_path, as_days(days, "," * 98), *CURVES, **ACROSS)
    assert (report.read, report.new, report.missing, report.rejected) == (192, 192, 1, 0)
    with sqlite_db.read() as session:
        rows = session.scalars(select(MeterReading).order_by(MeterReading.start_s)).all()
    first_s = int(datetime.fromisoformat("2014-06-01T00:00:00+02:00").timestamp())
    assert [row.start_s for row in rows] == [first_s + 900 * number for number in range(192)]
    assert [row.text for row in rows] == [text for values in days.values() for text in values]
    assert [row.line for row in rows] == [2] * 96 + [3] * 96
    again = bring(sqlite_db, tmp_path, as_days(days), *CURVES, **ACROSS)
    assert (again.unchanged, again.new) == (192, 0)


def test_a_row_that_is_a_day_begins_with_midnight_where_its_label_is_the_start(
    sqlite_db: Database, tmp_path: Path
) -> None:
    hours = [f"{hour:02}:00" for hour in range(24)]
    text = f"day;{';'.join(hours)}\n2014-06-01;{';'.join(['1,5'] * 24)}\n"
    lines = ('delimiter = ";"', 'decimal = ","', "last_value_column = 25")
    changes = {
        "label": '"start"',
        "interval_minutes": "60",
        "time_column": "1",
        "value_column": "2",
    }
    report = bring(sqlite_db, tmp_path, text, *lines, **ACROSS | changes)
    assert (report.read, report.new, report.hints) == (24, 24, [])
    assert stored(sqlite_db)[0][0] == "2014-05-31T22:00"
    assert sum(value or 0 for value in values(sqlite_db)) == 36


@pytest.mark.parametrize(
    ("hour", "pattern"),
    [("{}:00", "%H:%M"), ("{:02}.00", "%H.%M"), ("{:02}00", "%H%M"), ("{}时00分", "%H时%M分")],
    ids=str,
)
def test_midnight_behind_the_other_hours_closes_the_day_however_it_is_written(
    sqlite_db: Database, tmp_path: Path, hour: str, pattern: str
) -> None:
    hours = [hour.format(number % 24) for number in range(1, 25)]
    text = f"day;{';'.join(hours)}\n2014-06-01;{';'.join(map(str, range(1, 25)))}\n"
    lines = (
        'delimiter = ";"',
        "last_value_column = 25",
        f'time_format = "%Y-%m-%d {pattern}"',
    )
    changes = {"interval_minutes": "60", "time_column": "1", "value_column": "2"}
    report = bring(sqlite_db, tmp_path, text, *lines, **ACROSS | changes)
    assert (report.read, report.new, report.rejected) == (24, 24, 0)
    assert values(sqlite_db) == list(range(1, 25))  # by their times


def test_what_is_wrong_in_a_row_that_is_a_day_is_named_by_its_column(
    sqlite_db: Database, tmp_path: Path
) -> None:
    row = ["1"] * 96
    row[1], row[7] = "x", "-"
    text = as_days({"2014/6/1": row, "yesterday": ["1"] * 96, "2014/6/3": ["1"]})
    report = bring(sqlite_db, tmp_path, text, *CURVES, 'missing = ["-"]', **ACROSS)
    assert (report.new, report.missing, report.rejected) == (95, 1, 98)
    says = """'x' is not a number; where it means "no value", write missing = ["x"] in [[source]]"""
    assert report.errors[0] == {"line": 2, "column": "0:30", "message": says}
    assert report.errors[1]["column"] == "日期"
    assert "'yesterday 0:15' is not a time of the form" in report.errors[1]["message"]
    assert report.errors[-1]["message"] == "4 cells where the header has 99"


def test_the_date_of_a_row_that_is_a_day_is_named_by_its_number_where_its_column_has_no_name(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = as_days({"yesterday": ["1"] * 96}).replace("日期", "", 1)
    report = bring(sqlite_db, tmp_path, text, *CURVES, **ACROSS | {"time_column": '""'})
    assert (report.rejected, report.errors[0]["column"]) == (96, "1")


def test_the_hour_that_a_day_of_spring_does_not_have_may_be_empty_in_its_row(
    sqlite_db: Database, tmp_path: Path
) -> None:
    row = ["" if 7 <= place < 11 else "1" for place in range(96)]  # from the quarter to 2:00 on
    report = bring(sqlite_db, tmp_path, as_days({"2014/3/30": row}), *CURVES, **ACROSS)
    assert (report.new, report.missing, report.rejected) == (92, 0, 0)
    row[8] = "1"
    report = bring(sqlite_db, tmp_path, as_days({"2014/3/30": row}), *CURVES, **ACROSS)
    (error,) = report.errors
    assert "'2014/3/30 2:15' does not exist in Europe/Paris" in error["message"]


def test_days_of_several_meters_and_channels_stand_in_one_file(
    sqlite_db: Database, tmp_path: Path
) -> None:
    day = ",".join(["1"] * 96)
    text = f"日期,meter,what,{','.join(CLOCKS)}\n"
    text += "".join(
        f"2014/6/1,{meter},{what},{day}\n" for meter in "AB" for what in ("正向", "反向")
    )
    site = declared(*CURVES, 'only = { what = "正向" }', **ACROSS)
    site = site.replace('device = "A"', 'device_column = "meter"')
    apply(
        sqlite_db,
        site + '[[device]]\ncode = "B"\ntype = "x"\nmeter_serial = "B"\nrole = "import"\n',
    )
    (tmp_path / "a.csv").write_text(text)
    report = imported(sqlite_db, tmp_path / "a.csv")
    assert (report.read, report.new, report.passed_over) == (192, 192, 2)


def test_a_row_that_is_a_day_and_not_declared_so_is_warned_of(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = as_days({"2014/6/1": ["1"] * 96})
    report = bring(sqlite_db, tmp_path, text, 'time_format = "%Y/%m/%d"', **ACROSS)
    (hint,) = report.hints
    assert "'0:15' to '0:00' are named by times of the day, and '0:15' alone is read" in hint
    assert hint.endswith('write last_value_column = "0:00" in [[source]]')


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (('last_value_column = "日期"',), "column '日期' does not come after '0:15'; correct"),
        (('last_value_column = "0:15"',), "column '0:15' does not come after '0:15'; correct"),
        (('last_value_column = "24:00"',), "has no column '24:00', found: 日期"),
        (('last_value_column = "0:00"', 'date_column = "户号"'), "take date_column out"),
        (('last_value_column = "0:00"', 'format = "jsonl"'), "last_value_column is of CSV files"),
    ],
)
def test_columns_across_that_cannot_be_are_refused(
    sqlite_db: Database, tmp_path: Path, lines: tuple[str, ...], says: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(says)):
        bring(sqlite_db, tmp_path, as_days({"2014/6/1": ["1"] * 96}), *lines, **ACROSS)
