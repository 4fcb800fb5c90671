"""Bad meter files: one clear line with file, line, column and what to do, and nothing half-written."""

import gzip
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ledger.db import Database
from ledger.errors import NotFound, TruetonneError
from ledger.models import DeviceData, ImportFile, MeterReading
from ledger.readings import import_file
from tests.support.plant import SITE, apply, imported, write_csv

T0, T1 = "2014-06-01T00:00:00+00:00", "2014-06-01T00:10:00+00:00"
HEAD = b"time,value\n"
GOOD = f"{T0},60\n".encode()


@pytest.fixture
def park(sqlite_db: Database) -> Database:
    apply(sqlite_db)
    return sqlite_db


def refused(db: Database, path: Path, source: str = "scada") -> TruetonneError:
    with pytest.raises(TruetonneError) as caught:
        imported(db, path, source)
    error = caught.value
    assert error.exit_code == 2
    assert "\n" not in error.message
    with db.read() as session:
        for model in (MeterReading, ImportFile, DeviceData):
            assert session.scalars(select(func.count()).select_from(model)).one() == 0
    return error


@pytest.mark.parametrize(
    ("content", "says", "line"),
    [
        (b"", "is empty", 1),
        (b"\n\n", "is empty", 1),
        (HEAD, "no row follows the header", 2),
        (b"time,power\n" + GOOD, "has no column 'value', found: time, power", 1),
        (b"time,value,value\n2014,1,2\n", "2 columns named 'value'", 1),
        (b"time;value\n2014;1\n", "separated by semicolons", 1),
        (b"time\tvalue\n2014\t1\n", "separated by tabs", 1),
        ("time,value\n".encode("utf-16"), "UTF-16", 1),
        (HEAD + b"2014-06-01T00:00:00,60\n", "has no offset", 2),
        (HEAD + GOOD + f"{T1},\xff\n".encode("latin-1"), "is not UTF-8", None),
        (HEAD + GOOD + f'{T1},"60\n'.encode(), "not valid CSV", None),
        (gzip.compress(HEAD + GOOD, mtime=0)[:-9], "damaged or cut short", None),
        (b"\x1f\x8bnot gzip at all", "damaged or cut short", None),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_whole(
    park: Database, tmp_path: Path, content: bytes, says: str, line: int | None
) -> None:
    path = tmp_path / "meter.csv"
    path.write_bytes(content)
    error = refused(park, path)
    assert says in error.message
    assert error.message.startswith("meter.csv: ")
    assert error.details["file"] == "meter.csv"
    if line is not None:
        assert error.details["line"] == line


def test_a_break_after_many_good_rows_leaves_nothing(park: Database, tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    text = HEAD.decode() + "".join(
        f"2014-06-{day:02d}T{hour:02d}:{minute:02d}:00+00:00,6\n"
        for day in range(1, 31)
        for hour in range(24)
        for minute in range(0, 60, 10)
    )
    path.write_bytes(text.encode() * 3 + b"\xff")  # more than one piece
    assert "line 12964" in refused(park, path).message


def test_a_file_that_is_not_there(park: Database, tmp_path: Path) -> None:
    error = refused(park, tmp_path / "absent.csv")
    assert "cannot be read" in error.message


def test_a_folder_is_no_file(park: Database, tmp_path: Path) -> None:
    assert "cannot be read" in refused(park, tmp_path).message


@pytest.mark.parametrize(
    ("site", "source", "says"),
    [("elsewhere", "scada", "no site 'elsewhere'"), ("park", "other", "it has: scada")],
)
def test_an_unknown_site_or_source(
    park: Database, tmp_path: Path, site: str, source: str, says: str
) -> None:
    with pytest.raises(NotFound, match=says):
        import_file(park, site, source, write_csv(tmp_path / "a.csv", [(T0, "1")]))


def test_bad_rows_are_named_and_good_ones_are_kept(park: Database, tmp_path: Path) -> None:
    rows = [
        (T0, "60"),
        (T1, "sixty"),
        ("yesterday", "60"),
        ("2014-06-01T00:20:00", "60"),
        ("2014-06-01T00:30:00+00:00", "1,5"),
        ("2014-06-01T00:40:00+00:00", "nan"),
        ("2014-06-01T00:50:00+00:00", "70"),
    ]
    report = imported(park, write_csv(tmp_path / "a.csv", rows))
    assert (report.read, report.new, report.rejected) == (7, 2, 5)
    found = [(error["line"], error["column"], error["message"]) for error in report.errors]
    assert [item[:2] for item in found] == [
        (3, "value"),
        (4, "time"),
        (5, "time"),
        (6, ""),
        (7, "value"),
    ]
    assert found[0][2] == "'sixty' is not a number"
    assert "is not a time" in found[1][2]
    assert "has no offset" in found[2][2]
    assert found[3][2] == "3 cells where the header has 2"
    assert found[4][2] == "'nan' is not a number: leave a missing value empty"


def test_a_byte_order_mark_and_blanks_are_passed_over(park: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf time , value \r\n" + f"  {T0} , 60 \r\n\r\n".encode())
    report = imported(park, path)
    assert (report.read, report.new, report.rejected) == (1, 1, 0)


def test_a_gzipped_file_is_known_by_its_content(park: Database, tmp_path: Path) -> None:
    report = imported(park, write_csv(tmp_path / "a.csv", [(T0, "60")], packed=True))
    assert report.new == 1


def test_devices_that_the_site_does_not_have_are_one_error_each(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, SITE.replace('device = "A"', 'device_column = "who"'))
    path = tmp_path / "a.csv"
    lines = [f"B,{T0},1", f"A,{T0},60", f"B,{T1},1", f"C,{T0},1"]
    path.write_text("\n".join(["who,time,value", *lines]) + "\n")
    report = imported(sqlite_db, path)
    assert (report.new, report.rejected) == (1, 3)
    assert [(error["line"], error["column"]) for error in report.errors] == [(2, "who"), (5, "who")]
    assert "device 'B' is not in the site file (2 rows)" in report.errors[0]["message"]


def test_errors_are_listed_up_to_a_thousand_and_counted_beyond(
    park: Database, tmp_path: Path
) -> None:
    report = imported(park, write_csv(tmp_path / "a.csv", [(T0, "x")] * 1500))
    assert (report.rejected, len(report.errors)) == (1500, 1000)
