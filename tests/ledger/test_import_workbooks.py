"""Workbooks as they come: the same readings as the same table in CSV, row for row, or one clear line."""

import csv
import gzip
import io
import re
import tomllib
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import openpyxl
import pytest
import xlwt
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from ledger.db import Database
from ledger.errors import BadInput
from ledger.models import ImportFile, MeterReading
from ledger.readings import check_file
from ledger.readings.files.formats import Format
from ledger.readings.files.opening import opened
from ledger.readings.files.sheets import number_text
from ledger.readings.files.sources import RawReading, Source, read_rows
from ledger.readings.files.timeformats import parser_of
from ledger.readings.files.timetexts import writers_of
from ledger.readings.files.xlsx import shows_a_date
from ledger.readings.imports.restoring import AsIn, restore
from ledger.readings.imports.selected import Which
from ledger.readings.imports.withdrawing import withdraw
from ledger.reductions.records import Kind
from tests.ledger.test_import_formats import declared
from tests.support.books import new_books
from tests.support.forms import few, long, times
from tests.support.plant import SITE, apply, imported, issue, stored
from tests.support.workbooks import MAIN, Cell, Shared, Tab, Xml, parts, serial, workbook, zipped

LOCAL = {"time_zone": '"Europe/Paris"'}
T0 = datetime(2014, 6, 1)
TEN = timedelta(minutes=10)


def written(rows: list[list[str]], delimiter: str = ",") -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def rows_of(path: Path, source: Source) -> list[Any]:
    with opened(path, source.file_format) as table:
        return list(read_rows(table, source, ZoneInfo("Europe/Paris"), {"A": None, "B": None}))


def plain_source(**written: Any) -> Source:
    return Source(
        name="scada",
        kind=Kind.ENERGY,
        unit="kWh",
        interval_minutes=10,
        label_is_end=False,
        device_code="A",
        device_column=None,
        time_column="time",
        value_column="value",
        time_zone="Europe/Paris",
        file_format=Format(**written),
    )


def values_of(path: Path, **written: Any) -> list[str]:
    """The texts of the values of a workbook, or what is wrong with them."""
    found = rows_of(path, plain_source(**written))
    return [row.text if isinstance(row, RawReading) else row.message for row in found]


def one_value(path: Path, cell: Cell, **options: str) -> str:
    workbook(path, [["time", "value"], [T0, cell]], **options)
    (text,) = values_of(path)
    return text


# ------------------------------------------------------------------ the same as CSV


def books(db: Database) -> list[tuple[Any, ...]]:
    with db.read() as session:
        rows = session.scalars(select(MeterReading).order_by(MeterReading.start_s, MeterReading.id))
        return [
            (r.start_s, r.text, r.value_digits, r.value_scale, r.quality, r.line, r.duration_s)
            for r in rows
        ]


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[Database]:
    """Books for the same table in CSV."""
    database = new_books(tmp_path / "twin.db")
    yield database
    database.close()


def test_a_day_is_the_same_readings_and_the_same_evidence(
    sqlite_db: Database, twin: Database, tmp_path: Path
) -> None:
    texts = [["time", "value", "note"]]
    cells: list[list[Cell]] = [["time", "value", "note"]]
    for step in range(144):
        at = T0 + step * TEN
        shown = str((Decimal(step * 37 % 90) + Decimal(step) / 1000).normalize())
        texts.append([str(at), shown if step % 9 else "", "x"])
        cells.append([at, float(shown) if step % 9 else None, Shared("x")])
    (tmp_path / "a.csv").write_text(written(texts))
    workbook(tmp_path / "a.xlsx", cells)
    for db, name in ((twin, "a.csv"), (sqlite_db, "a.xlsx")):
        apply(db, declared(**LOCAL))
        report = imported(db, tmp_path / name)
        assert (report.new, report.missing, report.rejected, report.hints) == (144, 16, 0, [])
    assert books(sqlite_db) == books(twin)
    one, other = issue(sqlite_db), issue(twin)
    assert (one.evidence_root, one.leaves) == (other.evidence_root, 144)


DECIMALS = st.decimals(-(10**9), 10**9, allow_nan=False, allow_infinity=False, places=5).map(
    lambda value: format(value.normalize(), "f")
)
TEXTS = st.sampled_from(["", "n/a", "NaN", "1,5", " 7 ", "0x1F", "12 kWh", "-"])


@given(
    st.lists(
        st.tuples(
            st.integers(-3, 300_000),
            DECIMALS | TEXTS,
            st.sampled_from(["A", "B", "C", "", "a&<b>"]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from([None, "%d.%m.%Y %H:%M", "%Y年%m月%d日 %I:%M:%S %p"]),
    st.sampled_from([".", ","]),
)
@settings(max_examples=times(25, 400), deadline=None)
def test_random_tables_are_read_alike_both_ways(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, str, str]],
    time_format: str | None,
    decimal: str,
) -> None:
    """Numbers are numbers of cells, times are dates or the texts that a person would write."""
    folder = tmp_path_factory.mktemp("both", numbered=True)
    texts, cells = [["device", "time", "value"]], [["device", "time", "value"]]
    for place, (step, value, device) in enumerate(rows):
        at = datetime(2024, 3, 30) + step * timedelta(minutes=5)
        shown = at.strftime(time_format) if time_format else str(at)
        is_number = value[-1:].isdigit() and "," not in value and "x" not in value
        texts.append([device, shown, value.replace(".", decimal) if is_number else value])
        cells.append([device, at if place % 3 else shown, float(value) if is_number else value])
    plain = replace(plain_source(time_format=time_format, decimal=decimal, missing=("n/a",)))
    source = replace(plain, device_code=None, device_column="device")
    (folder / "a.csv").write_text(written(texts))
    workbook(folder / "a.xlsx", cells)
    assert rows_of(folder / "a.xlsx", source) == rows_of(folder / "a.csv", source)


# ------------------------------------------------------------------ what stands in a cell


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (0.1 + 0.2, "0.3"),
        (1234.5678, "1234.5678"),
        (60.0, "60"),
        (-0.0, "0"),
        (1.5e-7, "0.00000015"),
        (123456789.0, "123456789"),
        (123456789012345678, "'123456789012346000' is beyond 1e9 kW or kWh"),
        (Shared("12,5 "), "'12,5' has a comma: if it is the decimal point"),
        ("7.50", "7.50"),
        (Xml('<c r="@" t="b"><v>1</v></c>'), "'TRUE' is not a number"),
        (Xml('<c r="@" t="e"><v>#DIV/0!</v></c>'), "'#DIV/0!' is not a number"),
        (Xml('<c r="@" t="str"><f>A1&amp;""</f><v>8.25</v></c>'), "8.25"),
        (Xml('<c r="@"><f>6*7</f><v>42</v></c>'), "42"),
        (Xml('<c r="@" t="str"><f>""</f><v></v></c>'), ""),
        (Xml('<c r="@"><f>6*7</f></c>'), "a formula stands here, and the file does not have its"),
        (Xml('<c r="@"><f>6*7</f><v/></c>'), "a formula stands here"),
        (Xml('<c r="@" s="1"/>'), ""),
        (Xml('<c r="@" s="4"><v>3.5</v></c>'), "3.5"),
        (Xml('<c r="@" s="2"><v>45413</v></c>'), "'2024-05-01' is not a number"),
        (Xml("<c><v>5</v></c>"), "5"),
        (
            Xml(
                '<c r="@" t="inlineStr"><is><r><t>4</t></r><rPh><t>x</t></rPh><r><t>2</t></r></is></c>'
            ),
            "42",
        ),
        (Xml('<c r="@" t="inlineStr"><is><t>4_x000D_</t></is></c>'), "4"),
        (Xml('<c r="@" t="str"><v>4_xD83D_</v></c>'), "'4_xD83D_' is not a number"),
        (Xml('<c r="@" s="1"><v>2958465.99999999</v></c>'), "'9999-12-31' is not a number"),
        (Xml('<c r="@" t="d"><v>9999-12-31T23:59:59.999999</v></c>'), "'9999-12-31' is not a"),
        (Xml('<c r="@" t="d"><v>2024-05-01</v></c>'), "'2024-05-01' is not a number"),
        (Xml('<c r="@" t="d"><v>2024-05-01T00:00Z</v></c>'), "'2024-05-01T00:00Z' is not a"),
    ],
)
def test_a_cell_is_the_text_that_a_spreadsheet_shows(tmp_path: Path, cell: Cell, text: str) -> None:
    assert one_value(tmp_path / "a.xlsx", cell).startswith(text)


@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 12))
def test_fifteen_digits_that_somebody_typed_are_kept(digits: int, places: int) -> None:
    typed = Decimal(digits).scaleb(-places)
    assert Decimal(number_text(float(typed), ".")) == typed


def test_whole_numbers_are_kept_as_far_as_binary64_has_all_of_them() -> None:
    for number in (0, -1, 2**53 - 1, 1 - 2**53):
        assert number_text(float(number), ",") == str(number)
    assert number_text(float(2**60), ".") == "1152921504606850000"


def test_texts_that_mean_no_value_are_those_of_the_source(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx",
        [
            ["time", "value"],
            [T0, Xml('<c r="@" t="e"><v>#N/A</v></c>')],
            [T0 + TEN, -9999],
            [T0 + 2 * TEN, "1,5"],
            [T0 + 3 * TEN, 2.5],
        ],
    )
    found = rows_of(path, plain_source(missing=("#N/A", "-9999,0"), decimal=","))
    assert [(row.text, row.digits) for row in found] == [
        ("#N/A", None),
        ("-9999", None),
        ("1.5", 15),
        ("2.5", 25),
    ]


def test_formulas_of_a_program_that_does_not_compute_are_no_zeros(tmp_path: Path) -> None:
    """As XlsxWriter writes: 0 for every formula, and that all is to be computed when it is opened."""
    cell = Xml('<c r="@"><f>6*7</f><v>0</v></c>')
    assert one_value(tmp_path / "a.xlsx", cell) == "0"
    stale = '<calcPr calcId="124519" fullCalcOnLoad="1"/>'
    said = one_value(tmp_path / "a.xlsx", cell, book=stale)
    assert said.endswith("open the workbook in a spreadsheet, save it, and import that")


def test_a_formula_in_a_column_that_is_not_read_keeps_nothing_back(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    workbook(path, [["time", "sum", "value"], [T0, Xml('<c r="@"><f>1</f></c>'), 5]])
    assert values_of(path) == ["5"]


# ------------------------------------------------------------------ times


def starts_of(path: Path, **written: Any) -> list[str]:
    """The local times at which the readings of a workbook begin, or what is wrong with them."""
    where = ZoneInfo("Europe/Paris")
    return [
        str(datetime.fromtimestamp(row.start_s, where))[:16]
        if isinstance(row, RawReading)
        else row.message
        for row in rows_of(path, plain_source(**written))
    ]


@pytest.mark.parametrize("epoch", [date(1899, 12, 30), date(1904, 1, 1)])
def test_dates_come_without_error_in_both_systems(tmp_path: Path, epoch: date) -> None:
    moments = [datetime(2024, 2, 28) + step * TEN for step in range(300)]
    path = workbook(
        tmp_path / "a.xlsx", [["time", "value"], *([at, 1] for at in moments)], epoch=epoch
    )
    assert starts_of(path) == [str(at)[:16] for at in moments]


def test_a_column_that_adds_a_step_to_the_time_before_has_no_drift(tmp_path: Path) -> None:
    number, rows = serial(datetime(2024, 1, 1)), []
    for _ in range(1500):
        rows.append([Xml(f'<c r="@" s="1"><v>{number!r}</v></c>'), 1])
        number += 1 / 144
    assert number != serial(datetime(2024, 1, 1) + 1500 * TEN)  # binary64 has no 1/144
    path = workbook(tmp_path / "a.xlsx", [["time", "value"], *rows])
    found = starts_of(path)
    moments = [datetime(2024, 1, 1) + step * TEN for step in range(1500)]
    assert found == [str(at)[:16] for at in moments]


ON_1_MARCH = ["2024-03-01 00:10", "2024-03-01 00:20"]


@pytest.mark.parametrize(
    ("header", "rows", "declared"),
    [
        (["time"], [[datetime(2024, 3, 1, 0, 10)], ["1.3.2024 0:20"]], "%d.%m.%Y %H:%M"),
        (
            ["time"],
            [["2024-03-01 00:10"], [Xml('<c r="@" t="d"><v>2024-03-01T00:20</v></c>')]],
            None,
        ),
        (["time"], [[202403010010], ["202403010020"]], "%Y%m%d%H%M"),
        (["date", "time"], [[date(2024, 3, 1), time(0, 10)], ["2024-03-01", "00:20"]], None),
        (
            ["date", "time"],
            [[datetime(2024, 3, 1), "0:10"], ["1.3.24", time(0, 20)]],
            "%d.%m.%y %H:%M",
        ),
        (
            ["date", "time"],
            [[date(2024, 3, 1), time(0, 10)], ["2024年3月1日", "上午 12时20分"]],
            "%Y年%m月%d日 %p %I时%M分",
        ),
    ],
)
def test_dates_and_texts_of_times_stand_in_one_column(
    tmp_path: Path, header: list[Cell], rows: list[list[Cell]], declared: str | None
) -> None:
    path = workbook(tmp_path / "a.xlsx", [[*header, "value"], *([*row, 1] for row in rows)])
    apart = "date" if "date" in header else None
    assert starts_of(path, time_format=declared, date_column=apart) == ON_1_MARCH


def test_what_closes_a_day_and_what_a_pattern_cannot_say(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    closing = Xml('<c r="@" s="3"><v>1</v></c>')
    workbook(path, [["date", "time", "value"], [date(2024, 3, 1), closing, 1]])
    for pattern in (None, "%Y-%m-%d %H:%M"):
        assert starts_of(path, date_column="date", time_format=pattern) == ["2024-03-02 00:00"]
    workbook(path, [["time", "value"], [datetime(2024, 3, 1, 0, 10, 30), 1]])
    (said,) = starts_of(path, time_format="%d.%m.%Y %H:%M")
    assert said.startswith("'2024-03-01 00:10:30' is not a time of the form")


def test_a_number_of_a_day_that_is_not_shown_as_one_is_no_time(tmp_path: Path) -> None:
    workbook(tmp_path / "a.xlsx", [["time", "value"], [serial(datetime(2024, 3, 1, 0, 10)), 1]])
    (said,) = starts_of(tmp_path / "a.xlsx")
    assert said.startswith("'45352.0069444444' is a spreadsheet's number of a day; format its")


@pytest.mark.parametrize(
    ("code", "is_date"),
    [
        ("General", False),
        ("G/通用格式", False),
        ("0.00", False),
        ("#,##0.00\\ [$€-407]", False),
        ('0 "days"', False),
        ("0.00 kWh", False),
        ("0.00E+00", False),
        ("@", False),
        ("[Red]0;[Blue]-0", False),
        ("yyyy-mm-dd", True),
        ("m/d/yy h:mm;@", True),
        ('yyyy"年"m"月"d"日";@', True),
        ("[$-F400]h:mm:ss\\ AM/PM", True),
        ("[h]:mm", True),
        ("mm:ss.000", True),
        ("hh:mm:ss\\.000", True),
        ("[s].00", True),
        ('[>100]0.0"MWh";[Red].00"kWh"', False),
        ('[$-804]上午/下午h"时"mm', True),
        ("dd.mm.yyyy\\ hh:mm", True),
    ],
)
def test_formats_of_dates_are_told_from_those_of_numbers(code: str, is_date: bool) -> None:
    assert shows_a_date(code) is is_date


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)).map(
        lambda at: at.replace(microsecond=0)
    ),
    st.sampled_from(
        ["%F %T", "%d %b %y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d. %B %Y %H:%M:%S.%f"]
    ),
)
@settings(max_examples=times(50, 500))
def test_what_is_written_by_a_pattern_is_read_by_it(moment: datetime, pattern: str) -> None:
    assert parser_of(pattern)(writers_of(pattern).whole(moment)) == moment


# ------------------------------------------------------------------ as portals write them


def test_an_export_with_a_title_and_chinese_headers(sqlite_db: Database, tmp_path: Path) -> None:
    cells: dict[int, list[Cell]] = {
        1: ["园区光伏发电量报表"],
        2: ["导出时间：", datetime(2024, 3, 2)],
        4: ["序号", "采集时间", "正向有功\n电量(kWh)", "状态"],
        5: [1, "2024/3/1 0:00", 12.5, "正常", None, "备注"],
        6: [2, datetime(2024, 3, 1, 0, 10), Shared("12.25"), "正常"],
        8: [3, "2024/3/1 0:20", "--", "缺数"],
        9: [4, "2024/3/1 0:30", "坏", "正常"],
        10: ["合计", None, 24.75],
    }
    keys = {
        "kind": '"energy"',
        "unit": '"kWh"',
        "time_column": '"采集时间"',
        "value_column": '"正向有功 电量(kWh)"',
        "time_zone": '"Asia/Shanghai"',
    }
    lines = [
        "header_line = 4",
        'time_format = "%Y/%m/%d %H:%M"',
        'missing = ["--"]',
        'comment = "合计"',
    ]
    apply(sqlite_db, declared(*lines, **keys))
    report = imported(sqlite_db, workbook(tmp_path / "日报.xlsx", cells))
    assert (report.read, report.new, report.rejected) == (4, 3, 1)
    assert [(error["line"], error["column"]) for error in report.errors] == [
        (9, keys["value_column"][1:-1])
    ]
    assert [row[1:3] for row in stored(sqlite_db)] == [
        ("12.5", "used"),
        ("12.25", "used"),
        ("--", "missing"),
    ]
    assert [row[5] for row in books(sqlite_db)] == [5, 6, 8]
    again = imported(sqlite_db, tmp_path / "日报.xlsx")
    assert (again.new, again.unchanged) == (0, 3)


def test_a_day_on_each_line(tmp_path: Path) -> None:
    midnight = Xml('<c r="@" s="3"><v>1</v></c>')
    clocks: list[Cell] = [
        "0:10",
        time(0, 20),
        *(f"{step // 6}:{step % 6}0" for step in range(3, 144)),
    ]
    path = workbook(
        tmp_path / "a.xlsx",
        [
            ["户号", "日期", *clocks, midnight],
            [4711, date(2024, 3, 1), *range(1, 145)],
            ["4711", "2024/3/2", *range(1, 145)],
        ],
    )
    source = replace(
        plain_source(
            last_value_column="24:00", time_format="%Y/%m/%d %H:%M", only=(("户号", "4711"),)
        ),
        time_column="日期",
        value_column="0:10",
        label_is_end=True,
    )
    found = rows_of(path, source)
    assert [row.text for row in found] == [str(number) for number in range(1, 145)] * 2
    assert [row.start_s for row in found] == [found[0].start_s + 600 * step for step in range(288)]
    assert {row.line for row in found} == {2, 3}


def test_a_name_that_spans_columns_and_what_stands_beside_the_table(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx", [["time", None, "value"], [T0, "x", 1, 5], [T0 + TEN, "y", 2, 6, 7]]
    )
    assert values_of(path) == ["1", "2"]
    beside = replace(plain_source(numbered=("value_column",)), value_column="4")
    assert [row.text for row in rows_of(path, beside)] == ["5", "6"]
    with pytest.raises(
        BadInput, match=r"has 4 columns, and value_column = 5, found: time, , value,"
    ):
        rows_of(path, replace(beside, value_column="5"))


def test_prefixes_backslashes_and_another_order_of_attributes_are_read(tmp_path: Path) -> None:
    """As the libraries of .NET write: a prefix before each tag, and backslashes in the names of parts."""
    files = parts(Tab("S", [["time", "value"], [T0, Shared("5")]]))
    turned = {
        name.replace("/", "\\"): re.sub(r"<(/?)(?=[a-z])", r"<\1x:", text).replace(
            "xmlns=", "xmlns:x="
        )
        if "rels" not in name
        else text.replace('Target="', 'Target="/xl/').replace("/xl/xl/", "/xl/")
        for name, text in files.items()
    }
    assert values_of(zipped(tmp_path / "a.xlsx", turned)) == ["5"]


# ------------------------------------------------------------------ several sheets


def refusal(path: Path, **written: Any) -> str:
    with pytest.raises(BadInput) as caught:
        rows_of(path, plain_source(**written))
    assert caught.value.code in ("file-unreadable", "empty-file", "missing-column")
    assert "\n" not in caught.value.message
    return caught.value.message


def test_of_several_sheets_the_source_names_one(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["time", "value"], [T0, 1]]
    other: list[list[Cell]] = [["time", "value"], [T0, 2]]
    files = parts(
        Tab("empty", []), Tab("一月", rows), Tab("blank", [[None]]), Tab("old", other, "hidden")
    )
    path = zipped(tmp_path / "a.xlsx", files)
    assert values_of(path) == ["1"]
    assert values_of(path, sheet="old") == ["2"]
    assert refusal(path, sheet="Old").startswith(
        "a.xlsx: no sheet is named 'Old', found: 'empty', '一月', 'blank', 'old'; correct sheet in"
    )
    assert "the file is empty; it needs a header line" in refusal(path, sheet="empty")
    zipped(path, parts(Tab("A", rows), Tab("B & C", other)))
    assert "several sheets have cells, 'A', 'B & C'; write which one is meant, sheet = 'A', in" in (
        refusal(path)
    )
    assert values_of(path, sheet="B & C") == ["2"]
    zipped(path, parts(Tab("一月\u3000电量 \xa0A", rows), Tab("B", other)))
    advice = re.search("write which one is meant, (sheet = .+), in", refusal(path))
    assert advice
    assert values_of(path, **tomllib.loads(advice[1])) == ["1"]
    assert "no sheet that is shown has cells" in refusal(
        zipped(path, parts(Tab("A", []), Tab("B", [])))
    )


def test_the_site_file_names_the_sheet(sqlite_db: Database, tmp_path: Path) -> None:
    rows: list[list[Cell]] = [["time", "value"], [T0, 1]]
    path = zipped(
        tmp_path / "a.xlsx", parts(Tab("A", rows), Tab("B", [["time", "value"], [T0, 2]]))
    )
    apply(sqlite_db, declared('sheet = "B"', **LOCAL))
    assert imported(sqlite_db, path).new == 1
    assert stored(sqlite_db) == [("2014-05-31T22:00", "2", "used")]
    with pytest.raises(
        BadInput, match="sheet is of CSV files and workbooks; take it out, or write"
    ):
        apply(sqlite_db, declared('sheet = "B"', 'format = "jsonl"'))
    with pytest.raises(BadInput, match='is a workbook; take format = "jsonl" out of'):
        apply(sqlite_db, declared('format = "jsonl"'))
        imported(sqlite_db, path)


def test_a_sheet_for_each_device_is_no_file_of_another_device(
    sqlite_db: Database, tmp_path: Path
) -> None:
    tables: list[list[list[Cell]]] = [[["time", "value"], [T0, number]] for number in (1, 2)]
    path = zipped(tmp_path / "a.xlsx", parts(Tab("A", tables[0]), Tab("B", tables[1])))
    device = SITE[SITE.index("[[device]]") : SITE.index("[[source]]")]
    source = SITE[SITE.index("[[source]]") :].replace('"offset"', LOCAL["time_zone"])
    second = source.replace('"scada"', '"second"').replace('device = "A"', 'device = "B"')
    site = SITE[: SITE.index("[[source]]")] + device.replace('"A"', '"B"').replace("-A", "-B")
    apply(sqlite_db, f'{site}{source}sheet = "A"\n{second}sheet = "B"\n')
    assert imported(sqlite_db, path).hints == []
    assert imported(sqlite_db, path, "second").hints == []
    apply(sqlite_db, f'{site}{source}sheet = "A"\n{second}sheet = "A"\n')
    (hint,) = imported(sqlite_db, path, "second").hints
    assert "of this very file was imported for device A of site park too" in hint


# ------------------------------------------------------------------ other writers, and the books


def test_what_openpyxl_writes_is_read(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["time", "value"])
    for step in range(3):
        sheet.append([T0 + step * TEN, 0.1 * (step + 1)])
    sheet.append([T0 + 3 * TEN, "=B2*2"])
    sheet.merge_cells("D1:E4")
    sheet.row_dimensions[3].hidden = True
    book.create_sheet("empty")
    book.save(tmp_path / "a.xlsx")
    *texts, said = values_of(tmp_path / "a.xlsx")
    assert texts == ["0.1", "0.2", "0.3"]
    assert said.startswith("a formula stands here")


def old_workbook(path: Path, rows: list[list[Any]], *, from_1904: bool = False) -> Path:
    book = xlwt.Workbook()
    book.dates_1904 = from_1904
    sheet = book.add_sheet("data")
    book.add_sheet("empty")
    shown = xlwt.easyxf(num_format_str="YYYY-MM-DD HH:MM:SS")
    for row, cells in enumerate(rows):
        for column, value in enumerate(cells):
            if value == "#":
                sheet.row(row).set_cell_error(column, "#REF!")
            elif value is not None:
                sheet.write(row, column, value, *([shown] if isinstance(value, datetime) else []))
    book.save(str(path))
    return path


@pytest.mark.parametrize("from_1904", [False, True])
def test_an_old_workbook_is_read(tmp_path: Path, from_1904: bool) -> None:
    path = old_workbook(
        tmp_path / "a.xls",
        [
            ["报表"],
            ["time", "value", "x"],
            [T0, 0.1 + 0.2, True],
            [],
            [T0 + TEN, "1,5"],
            ["2014-06-01 00:20", None, "y"],
            [T0 + 3 * TEN, True],
            [T0 + 4 * TEN, "#"],
        ],
        from_1904=from_1904,
    )
    no_value = '; where it means "no value", write missing = ["{}"] in [[source]]'
    assert values_of(path, header_line=2, decimal=",") == [
        "0.3",
        "1.5",
        "",
        f"'TRUE' is not a number{no_value.format('TRUE')}",
        f"'#REF!' is not a number{no_value.format('#REF!')}",
    ]
    assert starts_of(path, header_line=2, decimal=",")[:2] == [
        "2014-06-01 00:00",
        "2014-06-01 00:10",
    ]
    assert "it stands in line 2: write header_line = 2" in _no_column(path)


def _no_column(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        rows_of(path, plain_source())
    return caught.value.message


def test_a_workbook_is_withdrawn_and_restored_as_any_file(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, declared(**LOCAL))
    rows: list[list[Cell]] = [["time", "value"], *([T0 + step * TEN, step] for step in range(6))]
    path = workbook(tmp_path / "a.xlsx", rows[:4])
    report = imported(sqlite_db, path)
    which = Which(file=report.file_sha256[:12])
    taken = sqlite_db.run(lambda session: withdraw(session, "park", "A", which, "a test"))
    assert taken.readings == 3
    as_in = AsIn(path, "scada")
    back = sqlite_db.run(lambda s: restore(s, "park", "A", Which(), "a test", as_in=as_in))
    assert back.readings == 3
    grown = imported(sqlite_db, workbook(tmp_path / "a.xlsx", rows))
    assert (grown.new, grown.unchanged, grown.conflicts) == (3, 3, 0)
    with sqlite_db.read() as session:
        named = session.execute(select(ImportFile.file_name, ImportFile.rows_new)).all()
    assert [tuple(row) for row in named] == [("a.xlsx", 3), ("a.xlsx", 3)]


# ------------------------------------------------------------------ broken and hostile files

ROWS: list[list[Cell]] = [["time", "value"], [T0, 1], [T0 + TEN, 2]]


def changed(**parts_of: str) -> dict[str, str | bytes]:
    """The files of a workbook, of which some are others."""
    names = {"book": "xl/workbook.xml", "sheet": "xl/worksheets/sheet1.xml"}
    names |= {"texts": "xl/sharedStrings.xml", "styles": "xl/styles.xml"}
    return {**parts(Tab("S", ROWS)), **{names[key]: text for key, text in parts_of.items()}}


def sheet(body: str) -> str:
    return f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>'


HEAD = '<row r="1"><c r="A1" t="str"><v>time</v></c><c r="B1" t="str"><v>value</v></c></row>'
HOSTILE = {
    "entities": (
        changed(sheet='<!DOCTYPE w [<!ENTITY a SYSTEM "file:///etc/passwd">]><w>&a;</w>'),
        "it declares entities, which no spreadsheet writes; open the workbook in one, and save it",
    ),
    "a cut": (
        changed(sheet=sheet(HEAD)[:-30]),
        "the workbook is damaged, cut short or no workbook",
    ),
    "a text": (changed(sheet=sheet(HEAD + "<row><c><v>1.2.3</v></c></row>")), "damaged"),
    "no such text": (changed(sheet=sheet('<row><c t="s"><v>7</v></c></row>')), "damaged"),
    "the last text": (
        changed(
            sheet=sheet(f'{HEAD}<row><c t="s"><v>-1</v></c></row>'),
            texts="<sst><si><t>2014-06-01</t></si></sst>",
        ),
        "damaged",
    ),
    "a long cell": (
        changed(sheet=sheet(f"<row><c><is><t>{'x' * 99_999}</t></is></c></row>")),
        "a cell has more than 65,536 characters",
    ),
    "a long tag": (
        changed(sheet=sheet(f'<row><c r="{"A" * 1_200_000}"/></row>')),
        "it has a tag of a mebibyte",
    ),
    "depth": (changed(sheet="<a>" * 1_000), "it has tags within 100 others"),
    "a high row": (changed(sheet=sheet('<row r="1048577"/>')), "a row has the number 1048577"),
    "a far column": (changed(sheet=sheet('<row><c r="XFE1"/></row>')), "a cell is in column 16385"),
    "no place": (changed(sheet=sheet('<row><c r="R2C2"/></row>')), "a cell is in column 0"),
    "no column": (changed(sheet=sheet('<row><c r="1"/></row>')), "a cell is in column 0"),
    "a missing part": (
        {name: text for name, text in changed().items() if "sheet1" not in name},
        "damaged",
    ),
    "a document": (
        {"word/document.xml": "", "[Content_Types].xml": ""},
        "a zip without a workbook",
    ),
    "a zip": ({"a.csv": "time,value"}, "a zip without a workbook; take the file out of it"),
    "xlsb": ({"xl/workbook.bin": b""}, "a binary workbook (.xlsb); save it as .xlsx"),
    "ods": (
        {"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": ""},
        "an OpenDocument one (.ods); save it as .xlsx",
    ),
    "many sheets": (
        changed(book="<w><sheets>" + '<sheet r:id="rId3"/>' * 1001 + "</sheets></w>"),
        "more than 1,000 sheets",
    ),
}


@few(9)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_workbook_that_cannot_be_used_is_refused_whole(
    sqlite_db: Database, tmp_path: Path, name: str
) -> None:
    files, says = HOSTILE[name]
    path = zipped(tmp_path / "meter.csv", files)  # the name says nothing
    apply(sqlite_db, declared(**LOCAL))
    with pytest.raises(BadInput) as caught:
        imported(sqlite_db, path)
    error = caught.value
    assert says in error.message
    assert error.message.startswith("meter.csv: ")
    assert error.message.endswith("; nothing was imported")
    assert "\n" not in error.message
    assert (error.code, error.details["file"]) == ("file-unreadable", "meter.csv")
    with sqlite_db.read() as session:
        assert session.scalar(select(func.count()).select_from(ImportFile)) == 0


def test_a_break_after_good_rows_leaves_nothing(sqlite_db: Database, tmp_path: Path) -> None:
    rows: list[list[Cell]] = [
        ["time", "value"],
        *([T0 + step * TEN, step % 90] for step in range(900)),
    ]
    path = workbook(tmp_path / "a.xlsx", rows)
    content = bytearray(path.read_bytes())
    content[content.index(b"sheet1.xml") + 6000] ^= 0x55
    path.write_bytes(content)
    apply(sqlite_db, declared(**LOCAL))
    with pytest.raises(
        BadInput, match=r"a.xlsx: line [0-9]{2,3}: the workbook is damaged, cut short"
    ):
        imported(sqlite_db, path)
    with sqlite_db.read() as session:
        assert session.scalar(select(func.count()).select_from(MeterReading)) == 0
    path.write_bytes(content[:-500])
    with pytest.raises(BadInput, match="the workbook is damaged, cut short"):
        check_file(path)


def test_other_files_that_begin_as_workbooks_do(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4096))
    assert "the workbook is damaged, cut short or no workbook" in refusal(path)
    path.write_bytes(path.read_bytes() + "EncryptedPackage".encode("utf-16-le"))
    assert "the workbook is protected by a password; save it without one" in refusal(path)
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(33 << 20))
    assert "an old workbook, or one with a password, of more than 32 MiB" in refusal(path)
    path.write_bytes(gzip.compress(workbook(path, ROWS).read_bytes()))
    assert refusal(path) == "a.xlsx: the file is gzipped, and a workbook or a zip; unpack it"


def test_a_csv_that_is_called_a_workbook_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_text(f"time,value\n{T0},5\n")
    assert values_of(path) == ["5"]
    path.write_text("<html><table><tr><td>time</td></tr></table></html>")
    assert "a web page: a table that is to be saved as CSV" in refusal(path)


def bomb(path: Path, body: bytes, repeated: int, part: str = "xl/worksheets/sheet1.xml") -> Path:
    files = changed()
    del files[part]
    zipped(path, files)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open(part, "w") as out,
    ):
        out.write(f'<worksheet xmlns="{MAIN}"><sheetData>'.encode())
        for _ in range(repeated):
            out.write(body)
        out.write(b"</sheetData></worksheet>")
    return path


@long
@pytest.mark.parametrize(
    "body",
    [
        b"<row></row>" * 1000,
        b'<row><c r="XFD1"/></row>' * 1000,
        b'<row><c r="XFD1"><v>1</v></c></row>' * 10,
        b"<!-- " + b" " * 4000 + b"-->",
        b"<c/>" * 1000,
        b'<c t="str"><v>' + b"x" * 60_000 + b"</v></c>",
    ],
)
def test_memory_stays_flat_whatever_a_workbook_unpacks_to(tmp_path: Path, body: bytes) -> None:
    path = bomb(tmp_path / "a.xlsx", body, 2_000_000 // len(body))
    tracemalloc.start()
    refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 60 << 20
    tracemalloc.stop()
