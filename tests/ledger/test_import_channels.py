"""Files in long form: a row for each time and channel, with its unit; a source takes one channel, in one unit."""

import json
import random
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text

from ledger.db import Database
from ledger.errors import BadInput
from ledger.models import ImportFile
from ledger.readings import ImportReport, import_file
from ledger.readings.files.channels import are_apart, is_unit
from ledger.readings.files.formats import Format
from ledger.reconcile.books import Sides
from ledger.reconcile.file_rules import imported_files
from tests.support import plant
from tests.support.plant import ROOT, SITE, apply, imported

LONG = SITE.replace('kind = "power"', 'kind = "energy"').replace('unit = "kW"', 'unit = "kWh"')
DELIVERED, DRAWN = "1-1:2.29.0", "1-1:1.29.0"
ONLY = f'only = {{ OBIS = "{DELIVERED}" }}'
UNITS = 'unit_column = "uom"'
OTHER_DEVICE = (
    LONG[LONG.index("[[device]]") :]
    .replace('code = "A"', 'code = "B"')
    .replace('"serial-A"', '"serial-B"')
    .replace('"scada"', '"second"')
    .replace('device = "A"', 'device = "B"')
)


def bring(db: Database, folder: Path, content: str, *lines: str, site: str = LONG) -> ImportReport:
    """Apply the park with such a source, and import a file."""
    apply(db, site + "\n".join(lines) + "\n")
    path = folder / "ami.csv"
    path.write_text(content, encoding="utf-8")
    return imported(db, path)


def stored(db: Database) -> list[tuple[str, str, str]]:
    """Time of day in UTC, text and quality of each row."""
    return [(at[11:], text, quality) for at, text, quality in plant.stored(db)]


def messages(report: ImportReport) -> list[tuple[int, str, str]]:
    return [(error["line"], error["column"], error["message"]) for error in report.errors]


def long(rows: Iterable[tuple[str, str, str, str]], header: str = "time,OBIS,value,uom") -> str:
    """A file of June the first: times of day, channels, values and units."""
    lines = (f"2014-06-01T{at}Z,{obis},{value},{unit}" for at, obis, value, unit in rows)
    return "\n".join([header, *lines]) + "\n"


# ------------------------------------------------------------------ a column of units


def test_a_row_of_another_unit_is_rejected_and_never_converted(
    sqlite_db: Database, tmp_path: Path
) -> None:
    content = long(
        [
            ("00:00", DELIVERED, "1.1", "kWh"),
            ("00:10", DELIVERED, "1.1", "MWh"),
            ("00:20", DELIVERED, "1.2", ""),
            ("00:30", DELIVERED, "1.3", "MWh"),
            ("00:40", DELIVERED, "1.4", "kvarh"),
            ("00:50", DELIVERED, "1.5", "kW"),
            ("01:00", DELIVERED, "", "  "),
            ("01:10", DELIVERED, "1.6", " kWh "),
        ]
    )
    report = bring(sqlite_db, tmp_path, content, UNITS)
    assert stored(sqlite_db) == [("00:00", "1.1", "used"), ("01:10", "1.6", "used")]
    assert (report.read, report.new, report.rejected) == (8, 2, 6)
    other_channel = "if it is of another channel, say with only in [[source]] which rows are meant"
    assert messages(report) == [
        (
            3,
            "uom",
            "the unit is 'MWh', and the source is in kWh (2 rows); if every row of these meters is so, write "
            'unit = "MWh" in [[source]]; else have the file written in kWh alone',
        ),
        (
            4,
            "uom",
            "the unit is empty, and the source is in kWh (2 rows); have the file written with kWh in each row",
        ),
        (
            6,
            "uom",
            f"the unit is 'kvarh', and the source is in kWh; {other_channel}; if it is another name for kWh, write "
            'only = { "uom" = "kvarh" } in place of unit_column',
        ),
        (7, "uom", f"the unit is 'kW', and the source is in kWh; {other_channel}"),
    ]


@pytest.mark.parametrize(
    ("cell", "unit", "same"),
    [
        ("kWh", "kWh", True),
        ("KWH", "kWh", True),
        ("kwh", "kWh", True),
        ("\uff2b\uff37\uff28", "kWh", True),  # full width, as Chinese exports have it
        ("m\u00b3", "m3", True),
        ("l", "L", True),
        ("MWH", "MWh", True),
        ("mWh", "MWh", False),  # a thousandth, and not a million
        ("mwh", "MWh", False),
        ("MW", "W", False),
        ("mW", "MW", False),
        ("Wh", "kWh", False),
        ("kVAh", "kWh", False),
        ("kvarh", "kWh", False),
        ("", "kWh", False),
    ],
)
def test_a_unit_is_known_by_its_letters(cell: str, unit: str, same: bool) -> None:
    assert is_unit(cell, unit) is same


def test_a_unit_as_exports_spell_it_is_read(sqlite_db: Database, tmp_path: Path) -> None:
    content = long(
        [("00:00", DELIVERED, "1", "KWH"), ("00:10", DELIVERED, "2", "kwh"), ("00:20", "", "3", "")]
    )
    report = bring(sqlite_db, tmp_path, content, 'unit_column = "uom"')
    assert (report.new, [error["line"] for error in report.errors]) == (2, [4])


def test_a_column_of_units_that_is_not_there_and_one_by_its_number(
    sqlite_db: Database, tmp_path: Path
) -> None:
    rows = [("00:00", DELIVERED, "1", "MWh")]
    with pytest.raises(BadInput) as caught:
        bring(sqlite_db, tmp_path, long(rows), 'unit_column = "unit"')
    assert caught.value.message == (
        "ami.csv: line 1 has no column 'unit', found: time, OBIS, value, uom; correct the header or the [[source]]"
    )
    for lines in (("unit_column = 4",), ('unit_column = ""',)):
        report = bring(sqlite_db, tmp_path, long(rows, "time,OBIS,value,"), *lines)
        ((line, column, message),) = messages(report)
        assert (line, column) == (2, "4")
        assert message.startswith("the unit is 'MWh'")


def test_rows_of_separators_alone_have_no_unit(sqlite_db: Database, tmp_path: Path) -> None:
    content = long([("00:00", DELIVERED, "1", "kWh")]) + ",,,\n , ,,\n"
    report = bring(sqlite_db, tmp_path, content, UNITS)
    assert (report.read, report.new, report.rejected) == (1, 1, 0)
    again = bring(sqlite_db, tmp_path, content, UNITS, ONLY)
    assert (again.read, again.unchanged, again.passed_over) == (1, 1, 0)


def test_a_row_of_another_unit_says_nothing_of_the_clock(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Its time would turn the order of the doubled hour, and be noted as a jump."""
    content = (
        "time,value,uom\n2014-10-26T01:00,1,kWh\n2014-10-26T02:00,2,kWh\n2014-10-26T02:50,9,MWh\n"
        "2014-10-26T02:10,3,kWh\n2014-10-26T02:00,4,kWh\n2014-10-28T05:00,9,MWh\n2014-10-26T03:00,5,kWh\n"
    )
    zoned = LONG.replace('time_zone = "offset"', 'time_zone = "Europe/Paris"')
    report = bring(sqlite_db, tmp_path, content, UNITS, 'clock_change = "in_order"', site=zoned)
    assert stored(sqlite_db) == [
        ("23:00", "1", "used"),
        ("00:00", "2", "used"),
        ("00:10", "3", "used"),
        ("01:00", "4", "used"),
        ("02:00", "5", "used"),
    ]
    assert (report.rejected, report.clock_jumps) == (2, [])


def test_a_register_has_its_unit_beside_each_reading(sqlite_db: Database, tmp_path: Path) -> None:
    site = LONG.replace('kind = "energy"', 'kind = "counter"')
    content = long(
        [
            ("00:00", DELIVERED, "100", "kWh"),
            ("00:10", DELIVERED, "0.11", "MWh"),
            ("00:20", DELIVERED, "120", "kWh"),
        ]
    )
    report = bring(sqlite_db, tmp_path, content, UNITS, site=site)
    assert (report.new, report.rejected, report.intervals) == (2, 1, 1)


# ------------------------------------------------------------------ one channel of several


def test_rows_of_other_channels_are_passed_over_and_counted(db: Database, tmp_path: Path) -> None:
    content = long(
        [
            ("00:00", DRAWN, "0.5", "kWh"),
            ("00:00", DELIVERED, "1.1", "kWh"),
            ("00:00", "1-1:5.29.0", "x", "kvarh"),
            ("nonsense", DRAWN, "0.5", "kWh"),
            ("00:10", f" {DELIVERED} ", "1.2", "kWh"),
            ("00:20", DELIVERED, "1.3", "MWh"),
            ("00:30", "1-1:2.29.00", "7", "kWh"),
        ]
    )
    report = bring(db, tmp_path, content, ONLY, UNITS)
    assert stored(db) == [("00:00", "1.1", "used"), ("00:10", "1.2", "used")]
    assert report.as_json() | {"errors": len(report.errors)} == {
        "file_sha256": report.file_sha256,
        "read": 3,
        "new": 2,
        "unchanged": 0,
        "conflicts": 0,
        "rejected": 1,
        "errors": 1,
        "passed_over": 4,
    }
    with db.read() as session:
        log = session.scalars(select(ImportFile)).one()
        assert imported_files(cast(Sides, SimpleNamespace(session=session))) == []
    assert (log.rows_read, log.rows_new, log.rows_rejected) == (3, 2, 1)
    again = imported(db, tmp_path / "ami.csv")
    assert (again.read, again.unchanged, again.passed_over) == (3, 2, 4)


def test_all_texts_must_stand_in_their_columns(sqlite_db: Database, tmp_path: Path) -> None:
    content = (
        "meter,time,OBIS,value,state\n"
        f"M-1,2014-06-01T00:00Z,{DELIVERED},1,valid\n"
        f"M-1,2014-06-01T00:10Z,{DELIVERED},2,estimated\n"
        f"M-1,2014-06-01T00:20Z,{DRAWN},3,valid\n"
        f"M-2,2014-06-01T00:30Z,{DELIVERED},4,valid\n"
        f"M-1,2014-06-01T00:40Z,{DELIVERED},5,\n"
    )
    chosen = f'only = {{ meter = "M-1", OBIS = " {DELIVERED}", state = "valid" }}'
    report = bring(sqlite_db, tmp_path, content, chosen)
    assert (stored(sqlite_db), report.passed_over) == ([("00:00", "1", "used")], 4)
    empty = bring(sqlite_db, tmp_path, content, 'only = { state = "" }')
    assert (empty.new, empty.passed_over) == (1, 4)


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_channel_out_of_a_file_is_what_a_file_of_it_alone_would_be(
    sqlite_db: Database, tmp_path: Path, newest_first: bool
) -> None:
    """Other channels lie between, through a doubled hour and a jump; what counts is the lines without them."""
    chance = random.Random(29)
    clock, start = ZoneInfo("Europe/Paris"), datetime(2014, 10, 25, 20, tzinfo=UTC)
    lines = []
    for step in range(90):
        if 60 < step < 75:
            continue
        at = (start + timedelta(minutes=10 * step + (1440 * 2 if step == 80 else 0))).astimezone(
            clock
        )
        for channel in chance.sample((DELIVERED, DRAWN, "1-1:5.29.0", ""), 4):
            value = chance.choice(("", "x", "1e9", "1.5", f"{chance.random():.3f}"))
            lines.append(f"{at:%Y-%m-%dT%H:%M},{channel},{value},kWh\n")
    if newest_first:
        lines.reverse()
    header = "time,OBIS,value,uom\n"
    site = LONG.replace('time_zone = "offset"', 'time_zone = "Europe/Paris"')
    written = ('clock_change = "in_order"', UNITS, ONLY)
    apply(sqlite_db, "\n".join([site, *written]) + "\n")
    alone = tmp_path / "alone.csv"
    alone.write_text(header + "".join(line for line in lines if f",{DELIVERED}," in line))
    expected = import_file(sqlite_db, "park", "scada", alone, dry_run=True)
    assert stored(sqlite_db) == []
    report = bring(sqlite_db, tmp_path, header + "".join(lines), *written, site=site)
    assert report.passed_over == 3 * 76
    assert report.clock_change > 0 and report.clock_jumps and report.rejected
    found, wanted = report.as_json(), expected.as_json()
    del found["passed_over"]
    for document in (found, wanted):
        del document["file_sha256"]
        for entry in [*document["errors"], *document["clock_jumps"]]:
            del entry["line"]
    assert found == wanted
    assert imported(sqlite_db, alone).new == 0


def test_a_file_without_a_row_of_the_channel_says_what_stands_there(
    sqlite_db: Database, tmp_path: Path
) -> None:
    content = long([("00:00", DRAWN, "1", "kWh"), ("00:00", "1-1:5.29.0", "x", "kvarh")])
    content += ",,,,,\n"  # separators alone, of whatever number, are no row
    with pytest.raises(BadInput) as caught:
        bring(sqlite_db, tmp_path, content, ONLY)
    assert caught.value.message == (
        "ami.csv: no row has OBIS = '1-1:2.29.0': in OBIS stand '1-1:1.29.0', '1-1:5.29.0'; "
        "correct only in [[source]], or bring the right file; nothing was imported"
    )
    assert caught.value.exit_code == 2
    with pytest.raises(BadInput) as caught:
        bring(sqlite_db, tmp_path, content, f'only = {{ OBIS = "{DRAWN}", uom = "kvarh" }}')
    assert (
        "no row has OBIS = '1-1:1.29.0' and uom = 'kvarh': in OBIS stand '1-1:1.29.0', '1-1:5.29.0'; "
        "in uom stand 'kWh', 'kvarh'; correct"
    ) in caught.value.message
    many = long((f"00:{step}0", f"1-1:{step}.{'9' * 60}", "1", "kWh") for step in range(10))
    with pytest.raises(BadInput) as caught:
        bring(sqlite_db, tmp_path, many, ONLY)
    texts = ", ".join(f"'1-1:{step}.{'9' * 34}'" for step in range(8))
    assert f"in OBIS stand {texts} and others; correct" in caught.value.message
    with sqlite_db.read() as session:
        assert session.scalars(select(ImportFile)).all() == []


def test_a_row_whose_cells_are_shifted_is_of_no_channel_and_is_rejected(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Passed over, a reading of the channel would be lost, where a decimal comma stands before it."""
    content = f"time,value,OBIS\n2014-06-01T00:00Z,1,5,{DELIVERED}\n2014-06-01T00:00Z,2,{DRAWN}\n"
    report = bring(sqlite_db, tmp_path, content, ONLY)
    assert (report.read, report.rejected, report.passed_over) == (1, 1, 1)
    assert report.errors[0]["message"] == "4 cells where the header has 3"
    (hint,) = report.hints
    assert hint == (
        "no row has OBIS = '1-1:2.29.0': in OBIS stand '1-1:1.29.0'; correct only in [[source]]"
    )
    trailing = f"time,value,OBIS\n2014-06-01T00:00Z,2,{DRAWN},\n2014-06-01T00:00Z,3,{DELIVERED},\n"
    ended = bring(sqlite_db, tmp_path, trailing, ONLY, "trailing_delimiter = true")
    assert (ended.new, ended.passed_over, ended.hints) == (1, 1, [])
    shifted = trailing.replace("2,1-1", "2,5,1-1")
    cut = bring(sqlite_db, tmp_path, shifted, ONLY, "trailing_delimiter = true")
    assert (cut.unchanged, cut.rejected, cut.passed_over, cut.hints) == (1, 1, 0, [])
    lost = f"time,value,OBIS\n2014-06-01T00:00Z,2,{DRAWN},\n2014-06-01T00:00Z,3,5,{DELIVERED}\n"
    neither = bring(sqlite_db, tmp_path, lost, ONLY, "trailing_delimiter = true")
    assert (neither.rejected, neither.passed_over, neither.hints) == (1, 1, [hint])


def test_a_date_in_a_column_of_its_own_and_a_device_in_another(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """The device of a row of another channel need not be in the site file."""
    site = LONG.replace('device = "A"', 'device_column = "meter"')
    content = (
        "meter,day,time,OBIS,value,uom\n"
        f"A,2014-06-01,00:00Z,{DELIVERED},1,kWh\n"
        f"A,2014-06-01,00:00Z,{DRAWN},2,kWh\n"
        f"Z,2014-06-01,00:00Z,{DRAWN},3,kWh\n"
        f"Z,2014-06-01,00:00Z,{DELIVERED},4,kWh\n"
    )
    lines = ('date_column = "day"', UNITS, ONLY, 'time_format = "%Y-%m-%d %H:%M%z"')
    report = bring(sqlite_db, tmp_path, content, *lines, site=site)
    assert (report.new, report.passed_over, stored(sqlite_db)) == (1, 2, [("00:00", "1", "used")])
    assert messages(report) == [
        (
            5,
            "meter",
            "device 'Z' is not in the site file; add a [[device]] with this code, or leave it out",
        )
    ]


@pytest.mark.parametrize(
    ("header", "chosen", "says"),
    [
        ("time,OBIS,value", "channel", "line 1 has no column 'channel', found: time, OBIS, value"),
        (
            "time,OBIS,OBIS,value",
            "OBIS",
            "line 1 has 2 columns named 'OBIS', found: time, OBIS, OBIS, value; correct the header or the "
            "[[source]]; or write its number, only = { 1 = ... } for the first column",
        ),
        ("time,3,3,value", "3", "line 1 has 2 columns named '3'"),
        ("time,OBIS,value", "9", "line 1 has no column '9'"),
        ("time,OBIS,value", "0", "line 1 has no column '0'"),
    ],
)
def test_a_column_of_channels_that_is_not_there(
    sqlite_db: Database, tmp_path: Path, header: str, chosen: str, says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        bring(sqlite_db, tmp_path, f"{header}\n1,2,3\n", f'only = {{ {chosen} = "x" }}')
    assert says in caught.value.message


def test_a_column_of_channels_by_its_number(sqlite_db: Database, tmp_path: Path) -> None:
    content = "time,,,value\n2014-06-01T00:00Z,a,b,1\n2014-06-01T00:10Z,b,a,2\n"
    report = bring(sqlite_db, tmp_path, content, 'only = { 3 = "a" }')
    assert (stored(sqlite_db), report.passed_over) == ([("00:10", "2", "used")], 1)
    # A column of that name goes first.
    named = "time,3,x,value\n2014-06-01T00:20Z,a,b,3\n2014-06-01T00:30Z,b,a,4\n"
    bring(sqlite_db, tmp_path, named, 'only = { 3 = "a" }')
    assert stored(sqlite_db)[1:] == [("00:20", "3", "used")]


def test_lines_of_json_of_another_kind_need_no_value(sqlite_db: Database, tmp_path: Path) -> None:
    lines = [
        {"kind": "reading", "at": {"obis": 2}, "time": "2014-06-01T00:00Z", "value": 1.1, "uom": "kWh"},
        {"kind": "reading", "at": {"obis": 1}, "time": "2014-06-01T00:00Z", "value": 9, "uom": "kWh"},
        {"kind": "event", "at": None, "text": "power failure"},
        {"kind": "event", "at": {"obis": 2}, "time": "2014-06-01T00:10Z", "value": [1], "uom": "x"},
        {"kind": "reading", "at": {"obis": 2}, "time": "2014-06-01T00:10Z"},
        {"at": {"obis": 2}, "time": "2014-06-01T00:20Z", "value": 1, "uom": "kWh"},
        {"kind": "reading", "at": {"obis": 2}, "time": "2014-06-01T00:30Z", "value": 1, "uom": None},
        {"kind": "reading", "at": {"obis": 2}, "time": "2014-06-01T00:40Z", "value": 1, "uom": 1},
    ]  # fmt: skip
    content = "".join(json.dumps(line) + "\n" for line in lines) + "{\n"
    chosen = 'only = { kind = "reading", "at.obis" = "2" }'
    report = bring(sqlite_db, tmp_path, content, 'format = "jsonl"', chosen, UNITS)
    assert stored(sqlite_db) == [("00:00", "1.1", "used")]
    assert report.passed_over == 3
    assert [error["line"] for error in report.errors] == [5, 6, 7, 8, 9]
    assert "no key 'value'" in report.errors[0]["message"]
    assert "no key 'kind'" in report.errors[1]["message"]
    assert report.errors[2]["message"].startswith("the unit is empty")
    assert report.errors[3]["message"].startswith("the unit is '1'")
    with pytest.raises(BadInput, match="no row has kind = 'gas': in kind stand 'event'"):
        bring(
            sqlite_db, tmp_path, '{"kind": "event"}\n', 'format = "jsonl"', 'only = {kind = "gas"}'
        )


# ------------------------------------------------------------------ two sources of one file


def test_two_channels_of_one_file_are_no_double_count(db: Database, tmp_path: Path) -> None:
    content = long([("00:00", DRAWN, "0.5", "kWh"), ("00:00", DELIVERED, "1.1", "kWh")])
    other = OTHER_DEVICE + ONLY.replace(DELIVERED, DRAWN) + "\n"
    assert bring(db, tmp_path, content, ONLY, other).hints == []
    report = imported(db, tmp_path / "ami.csv", "second")
    assert (report.new, report.hints) == (1, [])
    # The same channel for both counts twice, and so do all channels beside one of them.
    for lines in ((ONLY, OTHER_DEVICE + ONLY), (ONLY, OTHER_DEVICE)):
        apply(db, LONG + "\n".join(lines) + "\n")
        (hint,) = imported(db, tmp_path / "ami.csv", "second").hints
        assert "was imported for device A of site park too" in hint


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ((), (), False),
        ((("a", "1"),), (), False),
        ((("a", "1"),), (("a", "1 "),), False),
        ((("a", "1"),), (("b", "2"),), False),
        ((("a", "1"),), (("a", "2"),), True),
        ((("b", "1"), ("a", "1")), (("a", "2"), ("c", "1")), True),
        ((("b", "1"), ("a", "1")), (("a", "1"), ("c", "1")), False),
    ],
)
def test_channels_that_no_row_can_be_both_of(
    one: tuple[tuple[str, str], ...], other: tuple[tuple[str, str], ...], apart: bool
) -> None:
    assert are_apart(one, other) is apart
    assert are_apart(other, one) is apart


# ------------------------------------------------------------------ what a site file says


def test_how_it_is_kept_and_that_it_comes_back(db: Database) -> None:
    site = LONG + f'only = {{ uom = "kWh", OBIS = "{DELIVERED}" }}\nunit_column = 4\n'
    apply(db, site)
    with db.read() as session:
        (kept,) = session.execute(text("SELECT format_options FROM meter_sources")).scalars()
    assert json.loads(kept) == {
        "numbered": ["unit_column"],
        "only": {"uom": "kWh", "OBIS": DELIVERED},
        "unit_column": "4",
    }
    assert Format.of(json.loads(kept)).only == (("uom", "kWh"), ("OBIS", DELIVERED))
    assert "source scada" in apply(db, site).unchanged
    turned = LONG + f'unit_column = 4\nonly = {{ OBIS = "{DELIVERED}", uom = "kWh" }}\n'
    assert "source scada" in apply(db, turned).unchanged
    assert "source scada" in apply(db, LONG).updated
    with db.read() as session:
        assert session.execute(text("SELECT format_options FROM meter_sources")).scalar() is None


def test_a_source_without_the_new_keys_is_kept_as_before() -> None:
    old = {"delimiter": ";", "missing": ["-"], "date_column": "day", "numbered": ["date_column"]}
    assert Format.of(old).options() == old
    assert list(Format.of(old).options() or ()) == [
        "delimiter",
        "date_column",
        "missing",
        "numbered",
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('only = "1-1:2.29.0"', "only has columns and a text for each, such as only = { "),
        ("only = {}", "only has columns and a text for each"),
        ("only = { OBIS = 2 }", "the text of column 'OBIS' must be in quotes"),
        ('only = { data.P = "x" }', "a column with a point in its name stands in quotes"),
        ('only = { OBIS = ["x"] }', "the text of column 'OBIS' must be in quotes"),
        (f'only = {{ OBIS = "{"x" * 101}" }}', "at most 100 characters each"),
        ('only = { " " = "x" }', "a column has a name, found ' '"),
        ('format = "jsonl"\nonly = { "" = "x" }', "a column has a name, found ''"),
        ('format = "jsonl"\nunit_column = 3', "unit_column is a key of the JSON objects"),
        ("unit_column = 0", "unit_column is the number of a column, from 1, found 0"),
    ],
)
def test_wrong_choices_are_refused_with_their_line(
    sqlite_db: Database, line: str, says: str
) -> None:
    with pytest.raises(BadInput) as caught:
        apply(sqlite_db, LONG + line + "\n")
    assert says in caught.value.message
    number = len((LONG + line).splitlines())
    assert f"line {number}, [source]: " in caught.value.message


def test_a_choice_that_changes_under_stored_readings_is_warned_of(
    sqlite_db: Database, tmp_path: Path
) -> None:
    assert apply(sqlite_db, LONG).warnings == []
    assert apply(sqlite_db, f"{LONG}{ONLY}\n{UNITS}\n").warnings == []
    bring(sqlite_db, tmp_path, long([("00:00", DELIVERED, "1", "kWh")]), ONLY)
    (chosen,) = apply(sqlite_db, LONG + ONLY.replace(DELIVERED, DRAWN) + "\n").warnings
    assert chosen.startswith(
        "source scada: only changed, and readings of it are stored: what it took"
    )
    (unit,) = apply(sqlite_db, LONG + ONLY.replace(DELIVERED, DRAWN) + f"\n{UNITS}\n").warnings
    assert unit.startswith("source scada: unit_column changed, and readings of it are stored")
    same = f"{UNITS}\n" + ONLY.replace(DELIVERED, DRAWN) + "\n"
    assert apply(sqlite_db, LONG + same).warnings == []


def test_the_example_of_the_documentation(sqlite_db: Database, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "meter-files.md").read_text(encoding="utf-8")
    section = page.partition("### Channels and units\n")[2].partition("\n## ")[0]
    (content,) = re.findall(r"```csv\n(.*?)```", section, re.S)
    (lines,) = re.findall(r"```toml\n(.*?)```", section, re.S)
    site = LONG.replace('time_zone = "offset"', 'time_zone = "Europe/Paris"')
    written = ('delimiter = ";"', 'decimal = ","', lines)
    report = bring(sqlite_db, tmp_path, content, *written, site=site)
    assert (report.read, report.passed_over) == (1, 2)
    assert stored(sqlite_db) == [("22:00", "1.1", "used")]
