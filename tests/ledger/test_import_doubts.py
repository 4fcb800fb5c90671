"""What a file as a whole says against its source: told, and read as the source says all the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ledger.db import Database
from ledger.errors import BadInput
from ledger.readings import ImportReport
from ledger.readings.files.channels import other_unit_in
from ledger.readings.files.timeformats import parser_of
from tests.ledger.test_import_formats import bring, declared, values
from tests.support.plant import apply, imported, stored

PARIS = {"time_zone": '"Europe/Paris"'}


def local(
    count: int, first: str = "2014-06-01 00:00", step: int = 10, pattern: str = "%Y-%m-%d %H:%M"
) -> list[str]:
    begin = datetime.fromisoformat(first)
    return [(begin + timedelta(minutes=step * place)).strftime(pattern) for place in range(count)]


def table(times: list[str], numbers: list[str] | None = None, head: str = "time,value") -> str:
    rows = zip(times, numbers or ["60"] * len(times), strict=True)
    return head + "\n" + "".join(f"{time},{number}\n" for time, number in rows)


def only_hint(report: ImportReport) -> str:
    (hint,) = report.hints
    return hint


# ------------------------------------------------------------------ the unit in a column's name


@pytest.mark.parametrize(
    ("name", "unit", "other"),
    [
        ("Power (kW)", "kWh", "kW"),
        ("E [MWh]", "kWh", "MWh"),
        ("P_AC [W]", "kW", "W"),
        ("Load (MWh/h)", "MWh", "MW"),
        ("active_power_kw", "MW", "kw"),
        ("Leistung in MW", "kW", "MW"),
        ("Blindleistung [kvar]", "kW", "kvar"),
        ("有功功率kW", "kWh", "kW"),
        ("功率（千瓦）", "MW", "千瓦"),
        ("電量(千瓦時)", "MWh", "千瓦时"),
        ("电量(万千瓦时)", "kWh", "万千瓦时"),
        ("电量(万kWh)", "kWh", "万kWh"),
        ("Diesel (kg)", "L", "kg"),
        ("Diesel (t)", "kg", "t"),
    ],
)
def test_a_name_with_another_unit_is_told(name: str, unit: str, other: str) -> None:
    assert other_unit_in(name, unit) == other


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        *(("Power (kW)", "kW"), ("energy_mwh", "MWh"), ("E [kW·h]", "kWh"), ("电量(度)", "kWh")),
        *(("電量(千瓦時)", "kWh"), ("Ertrag (kWh) der 99-kW-Anlage", "kWh"), ("m³", "m3")),
        *(("Load (MWh/h)", "MW"), ("P [kWh/h]", "kW")),
        *(("value", "kW"), ("Leistung L1", "kW"), ("GW1 power", "kW"), ("var_1", "kW")),
        *(
            ("环境温度", "kW"),
            ("P_avg", "kW"),
            ("WR 1", "kW"),
            ("", "kW"),
            ("Wirkleistung t", "kW"),
            ("P (T)", "kW"),
            ("P (A)", "kW"),
            ("P [L1]", "kW"),
            ("Heizöl (L)", "L"),
        ),
    ],
)
def test_a_name_with_its_own_unit_or_none_is_not(name: str, unit: str) -> None:
    assert other_unit_in(name, unit) is None


def test_kilowatts_that_are_read_as_kilowatt_hours_are_told_before_and_after(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """All of it was silent, and a meter that has readings keeps its unit for ever."""
    energy = {"kind": '"energy"', "unit": '"kWh"', "value_column": '"P (kW)"', **PARIS}
    (warning,) = (
        said
        for said in apply(sqlite_db, declared(**energy)).warnings
        if said.startswith("source scada")
    )
    assert "value_column 'P (kW)' names kW, and its values are read as kWh" in warning
    report = bring(sqlite_db, tmp_path, table(local(3), head="time,P (kW)"), **energy)
    assert report.new == 3
    assert only_hint(report).startswith(
        "warning: column 'P (kW)' names kW, and its values are read"
    )
    # Where each row has its unit, that is what is looked at.
    text = "time,P (kW),unit\n2014-06-02 00:00,60,kWh\n"
    assert bring(sqlite_db, tmp_path, text, 'unit_column = "unit"', **energy).hints == []


def test_the_unit_of_a_column_that_is_named_by_its_number_is_told(
    sqlite_db: Database, tmp_path: Path
) -> None:
    report = bring(
        sqlite_db, tmp_path, table(local(3), head="time,P (MW)"), **{**PARIS, "value_column": "2"}
    )
    assert only_hint(report).startswith("warning: column 'P (MW)' names MW")


# ------------------------------------------------------------------ starts that look like ends


@pytest.mark.parametrize("days", [1, 3])
def test_times_from_after_midnight_until_midnight_are_told_where_they_are_read_as_starts(
    sqlite_db: Database, tmp_path: Path, days: int
) -> None:
    times = local(144 * days, "2014-06-01 00:10")
    assert times[-1].endswith("00:00")
    report = bring(sqlite_db, tmp_path, table(times[::-1]), **PARIS)
    assert report.new == 144 * days
    assert 'the source says label = "start"' in only_hint(report)


def test_a_midnight_that_is_written_as_24_00_is_told_too(
    sqlite_db: Database, tmp_path: Path
) -> None:
    times = [*local(143, "2014-06-01 00:10"), "2014-06-01 24:00"]
    assert 'write label = "end"' in only_hint(bring(sqlite_db, tmp_path, table(times), **PARIS))


@pytest.mark.parametrize(
    ("first", "count", "label"),
    [
        ("2014-06-01 00:10", 144, "end"),
        ("2014-06-01 00:00", 144, "start"),
        ("2014-06-01 00:10", 143, "start"),
        ("2014-06-01 00:20", 143, "start"),
    ],
)
def test_other_times_are_not(
    sqlite_db: Database, tmp_path: Path, first: str, count: int, label: str
) -> None:
    text = table(local(count, first))
    assert bring(sqlite_db, tmp_path, text, label=f'"{label}"', **PARIS).hints == []


# ------------------------------------------------------------------ day and month


def test_a_month_above_twelve_says_which_pattern_is_meant_and_what_came_in_wrong(
    sqlite_db: Database, tmp_path: Path
) -> None:
    times = local(20, "2014-06-01 10:00", 1440, "%d/%m/%Y %H:%M")
    pattern = 'time_format = "%m/%d/%Y %H:%M"'
    report = bring(sqlite_db, tmp_path, table(times), pattern, **PARIS)
    assert (report.new, report.rejected) == (12, 8)
    said = report.errors[0]["message"]
    assert said.startswith("'13/06/2014 10:00' has no month 13; if the day stands there, write ")
    assert said.endswith('time_format = "%d/%m/%Y %H:%M" in [[source]]')
    assert "the rows of days up to the 12th were read as other days" in only_hint(report)
    assert "`truetonne readings withdraw --file`" in only_hint(report)


def test_a_day_that_no_month_has_is_not_taken_for_a_month(
    sqlite_db: Database, tmp_path: Path
) -> None:
    times = ["31/06/2014 10:00", "13/14/2014 10:00", "01/06/2014 10:00"]
    pattern = 'time_format = "%d/%m/%Y %H:%M"'
    report = bring(sqlite_db, tmp_path, table(times), pattern, **PARIS)
    assert (report.new, report.rejected, report.hints) == (1, 2, [])


# ------------------------------------------------------------------ thousands


GROUPED = [str(number) if number < 1000 else f"1.{number - 1000:03}" for number in range(990, 1010)]


def test_thousands_that_may_stand_apart_by_the_decimal_sign_are_told(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """990, ..., 999, 1.000, 1.001: as a thousand, or as one."""
    report = bring(sqlite_db, tmp_path, table(local(20), GROUPED), **PARIS)
    assert report.new == 20
    hint = only_hint(report)
    assert "'1.000' is read as one below 1000" in hint
    assert 'write thousands = "." and decimal = ","' in hint
    assert values(sqlite_db)[10] == 1  # as the source says, all the same
    commas = [number.replace(".", ",") for number in GROUPED]
    text = table(local(20, "2014-06-02 00:00"), commas).replace("time,value", "time;value")
    text = "".join(line.replace(",", ";", 1) + "\n" for line in text.splitlines())
    report = bring(sqlite_db, tmp_path, text, 'delimiter = ";"', 'decimal = ","', **PARIS)
    assert "'1,000' is read" in only_hint(report)
    assert 'write thousands = "," and decimal = "."' in only_hint(report)


@pytest.mark.parametrize(
    "numbers",
    [
        [*GROUPED[:-1], "1.05"],
        [*GROUPED[:-1], "0.500"],
        [*GROUPED[:-1], "1000"],
        [*GROUPED[:-1], "1.5e3"],
        [f"{number}.000" for number in range(990, 1010)],
        [*(["5"] * 10), *GROUPED[10:]],
        GROUPED[:19],
    ],
    ids=["two decimals", "below one", "a thousand", "an exponent", "always three", "few", "nine"],
)
def test_other_numbers_are_not_taken_for_thousands(
    sqlite_db: Database, tmp_path: Path, numbers: list[str]
) -> None:
    assert bring(sqlite_db, tmp_path, table(local(len(numbers)), numbers), **PARIS).hints == []


def test_thousands_that_are_declared_are_not_told(sqlite_db: Database, tmp_path: Path) -> None:
    signs = 'decimal = ","', 'thousands = "."'
    report = bring(sqlite_db, tmp_path, table(local(20), GROUPED), *signs, **PARIS)
    assert report.hints == []
    assert values(sqlite_db)[10] == 1000


# ------------------------------------------------------------------ another interval in a part of the file


def test_hours_behind_quarters_of_an_hour_are_told(sqlite_db: Database, tmp_path: Path) -> None:
    """The most common step is that of the source, so that nothing was said of three quarters that are missing."""
    times = [*local(1200), *local(25, "2014-06-10 00:00", 60)]
    report = bring(sqlite_db, tmp_path, table(times), **PARIS)
    assert (report.new, report.spacing) == (1225, None)
    assert only_hint(report).startswith(
        "warning: from line 1203 on rows of device A come every 60 minutes, the source says 10"
    )
    fewer = table([*local(1200, "2014-07-01 00:00"), *local(24, "2014-07-10 00:00", 60)])
    assert bring(sqlite_db, tmp_path, fewer, **PARIS).hints == []


def test_nights_that_are_left_out_are_no_other_interval(
    sqlite_db: Database, tmp_path: Path
) -> None:
    days = [local(30, f"2014-06-{day:02} 08:00") for day in range(1, 29)]
    times = [time for day in days for time in day]
    assert bring(sqlite_db, tmp_path, table(times), **PARIS).hints == []


# ------------------------------------------------------------------ a spreadsheet's number of a day


@pytest.mark.parametrize("text", ["45446", "45446.25", "45446,5"])
def test_a_number_of_a_day_is_no_count_of_seconds(
    sqlite_db: Database, tmp_path: Path, text: str
) -> None:
    """A register may be read at any second: it was read on the first day of 1970."""
    register = 'kind = "counter"\nunit = "kWh"\ntime_format = "unix"'
    site = declared().replace('kind = "power"\nunit = "kW"', register)
    apply(sqlite_db, site)
    path = tmp_path / "meter.csv"
    path.write_text(f'time,value\n1717200000,60\n"{text}",61\n')
    report = imported(sqlite_db, path)
    assert (report.new, report.rejected) == (1, 1)
    assert report.errors[0]["message"].startswith(f"{text!r} is a spreadsheet's number of a day")


# ------------------------------------------------------------------ rows without a time


def test_a_row_without_a_date_or_a_time_says_which_is_empty(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Cells that a spreadsheet merged, a row of units, a sum: it was "'' is not a time"."""
    text = "day,time,value\n,,kW\n2014-06-01,00:00,60\n,00:10,61\n2014-06-01,,62\n"
    report = bring(sqlite_db, tmp_path, text, 'date_column = "day"', **PARIS)
    assert (report.new, report.rejected) == (1, 3)
    filled = "where a cell of a spreadsheet spans several rows, have it written into each"
    assert [(error["column"], error["message"]) for error in report.errors] == [
        ("day", f"the date is empty; {filled}"),
        ("day", f"the date is empty; {filled}"),
        ("time", "the time is empty, beside the value '62'"),
    ]
    report = bring(sqlite_db, tmp_path, "time,value\n,kW\n2014-06-02T00:00,60\n", **PARIS)
    assert report.errors[0]["message"] == "the time is empty, beside the value 'kW'"


# ------------------------------------------------------------------ files that were joined


@pytest.mark.parametrize(
    ("second", "what"),
    [
        ("time,Q,P", "column 2 is 'Q', and in line 1 it is 'P'"),
        ("time,P (MW),Q", "column 2 is 'P (MW)', and in line 1 it is 'P'"),
        ("P,time,Q", "column 1 is 'P', and in line 1 it is 'time'"),
        ("\ufefftime,Q,P", "column 2 is 'Q', and in line 1 it is 'P'"),
        ("Time,q,p", "column 2 is 'q', and in line 1 it is 'P'"),
    ],
)
def test_a_file_in_which_another_table_begins_is_refused_whole(
    sqlite_db: Database, tmp_path: Path, second: str, what: str
) -> None:
    """Exports that were joined: the rows behind the second header were read by the places of the first."""
    text = f"time,P,Q\n2014-06-01 00:00,60,1\n{second}\n2014-06-01 00:10,2,61\n"
    with pytest.raises(BadInput, match=r"line 3 is a header once more") as caught:
        bring(sqlite_db, tmp_path, text, value_column='"P"', **PARIS)
    assert what in caught.value.message
    assert stored(sqlite_db) == []


def test_a_channel_a_device_and_a_unit_do_not_hide_another_table(
    sqlite_db: Database, tmp_path: Path
) -> None:
    first, second = "time,dev,chan,unit,P,Q", "time,dev,chan,unit,Q,P"
    text = f"{first}\n2014-06-01 00:00,A,x,kW,60,1\n{second}\n2014-06-01 00:10,A,x,kW,2,61\n"
    sources: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (('only = { chan = "x" }',), {}),
        (('unit_column = "unit"',), {}),
        ((), {"device": '"A"\ndevice_column = "dev"'}),
    ]
    for lines, changes in sources:
        site = declared(*lines, value_column='"P"', **changes, **PARIS)
        if changes:
            site = site.replace('device = "A"\ndevice_column', "device_column")
        apply(sqlite_db, site)
        path = tmp_path / "joined.csv"
        path.write_text(text)
        with pytest.raises(BadInput, match="column 5 is 'Q', and in line 1 it is 'P'"):
            imported(sqlite_db, path)
    assert stored(sqlite_db) == []


def test_a_day_on_each_line_with_other_times_is_another_table(
    sqlite_db: Database, tmp_path: Path
) -> None:
    text = "day,0:00,0:10\n2014-06-01,60,61\nday,0:10,0:20\n2014-06-02,60,61\n"
    lines = 'last_value_column = "0:10"', 'time_format = "%Y-%m-%d %H:%M"'
    changes = {"time_column": '"day"', "value_column": '"0:00"', **PARIS}
    with pytest.raises(BadInput, match="column 2 is '0:10', and in line 1 it is '0:00'"):
        bring(sqlite_db, tmp_path, text, *lines, **changes)


def test_the_same_header_once_more_is_a_bad_row_alone(sqlite_db: Database, tmp_path: Path) -> None:
    """So is one that differs in a column that nobody reads. What was proposed, a comment, takes the first one away."""
    text = (
        "time,value,x\n2014-06-01 00:00,60,1\n time ,value,x\n2014-06-01 00:10,61,1\nTime,Value,y\n"
    )
    report = bring(sqlite_db, tmp_path, text, **PARIS)
    assert (report.new, report.rejected) == (2, 2)
    assert {error["message"] for error in report.errors} == {
        "the header once more; what follows is read as before"
    }


# ------------------------------------------------------------------ what is wrong with a time


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2014-06-31 00:00", "is not a time (day is out of range for month)"),
        ("2014-06-01T24:15Z", "is not a time (hour must be in 0..23)"),
        ("2014-06-01 00:60", "is not a time (minute must be in 0..59)"),
        ("2014\u201106\u201101 00:00", "is not a time; it has signs that only look like digits"),
        ("\u200e2014-06-01 00:00", "is not a time; it has signs that only look like digits"),
        ("２０１４-06-01 00:00", "is not a time; it has signs that only look like digits"),
        ("１st of June", "is not a time; write it as 2014-01-01T00:10:00+01:00"),
        ("日期 2014-06-01", "is not a time; write it as 2014-01-01T00:10:00+01:00"),
    ],
)
def test_a_time_that_looks_right_says_what_is_wrong_with_it(text: str, said: str) -> None:
    """It was to be written as 2014-01-01T00:10:00+01:00, which is how it looks."""
    with pytest.raises(ValueError) as caught:
        parser_of(None)(text)
    assert said in str(caught.value)
