"""Bad meter files: one clear line with file, line, column and what to do, and nothing half-written."""

import gzip
import os
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from cli.main import run
from cli.readings import rejected
from ledger.db import Database
from ledger.errors import BadInput, NotFound, TruetonneError
from ledger.models import DeviceData, EnergyProduction, ImportFile, MeterReading
from ledger.readings import check_file, import_file
from ledger.readings.files.marks import first_undecodable
from tests.support.forms import few, long, rest
from tests.support.plant import SITE, apply, imported, write_csv

T0, T1 = "2014-06-01T00:00:00+00:00", "2014-06-01T00:10:00+00:00"
HEAD = b"time,value\n"
GOOD = f"{T0},60\n".encode()


def packed(content: bytes) -> bytes:
    """Gzip without the time of day: the content names a test, which each process must name alike."""
    return gzip.compress(content, mtime=0)


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


def refused_whole(db: Database, path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        imported(db, path)
    return caught.value.message


@few(18)
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
        (b"sep=;\ntime;value\n2014;1\n", "write header_line = 2 in [[source]]", 1),
        (b"SEP=,\ntime,value\n2014,1\n", "write header_line = 2 in [[source]]", 1),
        (b'"time,value"\n"2014,1"\n', "if all lines do, take the quotes away", 1),
        (b'"Wind park, hourly"\nhour,value\n2014,1\n', "a title, write header_line in", 1),
        (b'"Wind park, hourly"\ntime,value\n2014,1\n', "line 2: write header_line = 2 in", 1),
        (b'"Park","of\n2026"\n\n"time","value\n"\n2014,1\n', "write header_line = 4 in", 2),
        (b'a\n"b\ntime,value\n', "found: a; correct the header", 1),
        (b"Time,value\n2014,1\n", "'Time' differs from it in case, width or blanks alone", 1),
        ("time,va\u00adlue\n2014,1\n".encode(), "found: time, va", 1),
        ("time,ｖａｌｕｅ\n2014,1\n".encode(), "'ｖａｌｕｅ' differs from it in case, width", 1),
        ("time,value\n".encode("utf-16"), "UTF-16", 1),
        ("time,value\n".encode("utf-16-le"), "UTF-16 without its byte order mark", 1),
        ("time,value\n".encode("utf-16-be"), "UTF-16 without its byte order mark", 1),
        (bytes(4096), "the file is zero bytes where it begins", 1),
        (packed(bytes(4096)), "the file is zero bytes where it begins", 1),
        (HEAD + b"2014-06-01T00:00:00,60\n", "has no offset", 2),
        (HEAD + GOOD + f"{T1},\xff\n".encode("latin-1"), '"gb18030" (Chinese)', 3),
        (HEAD + GOOD + f'{T1},"60\n'.encode(), "line 3: a quote opens in the row", 3),
        (HEAD + GOOD + f'{T1},"6"0\n'.encode(), "line 3: not valid CSV", 3),
        (HEAD + b'"x,60\n' + GOOD * 3 + b'"y",60\n', "closes only on line 6", 2),
        (HEAD + b'"x,60\n' + GOOD * 9000, "a cell of more than 65,536 characters; a quote", 2),
        (HEAD + GOOD + b"9" * 2_000_000 + b"\n", "a line of more than 1,048,576 characters", 3),
        (packed(HEAD + bytes(9_000_000)), "a line of more than 1,048,576 characters", 2),
        (b"PK\x03\x04\x14\x00\x06\x00", "the workbook is damaged, cut short or no workbook", 1),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "the workbook is damaged, cut short or no", 1),
        (b"\n<HTML><table><tr><td>time</td></tr></table>", "a web page: a table that is to be", 1),
        (b"\xef\xbb\xbf<!DOCTYPE html>\n<title>Sign in</title>", "one that asks to sign in", 1),
        (packed(b'<?xml version="1.0"?>\n<Workbook>'), "XML, such as spreadsheets save", 1),
        (
            packed(b"a.csv".ljust(257, b"\0") + b"ustar\0" + bytes(250)),
            "a tar archive; take the",
            1,
        ),
        (b"Rar!\x1a\x07\x01\x00", "a RAR archive; unpack it", 1),
        (b"SQLite format 3\x00\x10", "a database; have its table written as CSV", 1),
        (b"\x00\x01\x00\x00Standard Jet DB\x00", "an Access database; have its", 1),
        (b"PAR1\x15\x04\x15", "a Parquet file; write it as CSV", 1),
        (b"\x89PNG\r\n\x1a\n", "a picture", 1),
        (packed(packed(HEAD + GOOD)), "gzipped twice", 1),
        (packed(b"PK\x03\x04\x14\x00"), "the file is gzipped, and a workbook or a zip", 1),
        ("time,value\n".encode("utf-32"), "UTF-32; save it as UTF-8", 1),
        (b'{"time": "2014", "value": 1}\n', 'write format = "jsonl"', 1),
        (b'{\n "time": "2014",\n "value": 1}\n', 'write format = "jsonl"', 1),
        (b'[{"time": "2014", "value": 1}]\n', "one JSON array; write one object on each line", 1),
        (packed(HEAD + GOOD)[:-9], "damaged or cut short", None),
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
    ("header", "code", "says"),
    [
        ("time,power", "missing-column", "has no column 'value', found: time, power; correct"),
        (
            '"time, local",value',
            "missing-column",
            "has no column 'time', found: time, local, value; correct",
        ),
        (
            "sep=,time,power",
            "missing-column",
            "has no column 'value', found: sep=, time, power; correct",
        ),
        (
            "time,value,value",
            "column-twice",
            "has 2 columns named 'value', found: time, value, value; correct",
        ),
    ],
)
def test_a_header_that_does_not_fit_is_told_as_it_is(
    park: Database, tmp_path: Path, header: str, code: str, says: str
) -> None:
    error = refused(park, write_csv(tmp_path / "a.csv", [(T0, "60")], header=header))
    number = "; or write its number, value_column = 1 for the first column"
    assert error.message == (
        f"a.csv: line 1 {says} the header or the [[source]]{number if code == 'column-twice' else ''}"
    )
    assert error.code == code


@pytest.mark.parametrize(
    ("site", "source", "says"),
    [("elsewhere", "scada", "no site 'elsewhere'"), ("park", "other", "it has: scada")],
)
def test_an_unknown_site_or_source(
    park: Database, tmp_path: Path, site: str, source: str, says: str
) -> None:
    with pytest.raises(NotFound, match=says):
        import_file(park, site, source, write_csv(tmp_path / "a.csv", [(T0, "1")]))


def test_a_pipe_is_refused_and_not_waited_for(park: Database, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it
    said = "a pipe or a device, which is not read; write it to a file first"
    assert said in refused(park, tmp_path / "pipe").message
    with pytest.raises(BadInput, match=said):
        check_file(tmp_path / "pipe")


@pytest.mark.parametrize("how", ["appended", "replaced", "gone"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    park: Database, tmp_path: Path, how: str
) -> None:
    path = write_csv(tmp_path / "a.csv", [(T0, "60")])

    def change(*_: object) -> None:
        if how == "appended":
            with path.open("a", encoding="utf-8") as stream:
                stream.write(f"{T1},6")
        elif how == "replaced":
            write_csv(tmp_path / "b.csv", [(T0, "61")]).replace(path)
        else:
            path.unlink()

    with pytest.raises(BadInput, match=r"a\.csv: the file changed while it was read"):
        import_file(park, "park", "scada", path, progress=change)
    with park.read() as session:
        for model in (MeterReading, ImportFile, DeviceData):
            assert session.scalars(select(func.count()).select_from(model)).one() == 0


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
    assert found[0][2].startswith("'sixty' is not a number; where it means")
    assert "is not a time" in found[1][2]
    assert "has no offset" in found[2][2]
    assert found[3][2] == "3 cells where the header has 2"
    assert found[4][2].startswith("'nan' is not a number: leave a missing value empty; where it")


def test_a_byte_order_mark_and_blanks_are_passed_over(park: Database, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbf time , value \r\n" + f"  {T0} , 60 \r\n\r\n".encode())
    report = imported(park, path)
    assert (report.read, report.new, report.rejected) == (1, 1, 0)


def test_blanks_within_a_name_are_one_blank(park: Database, tmp_path: Path) -> None:
    """Messages show runs of blanks as one, so that the name that is missing was seen to be there."""
    site = SITE.replace('"value"', '"value (kW)"')
    apply(park, site)
    for number, name in enumerate(("value  (kW)", '" value\n(kW)\u00a0"', "value\u00a0(kW)")):
        rows = [(T0, f"6{number}")]
        report = imported(park, write_csv(tmp_path / "a.csv", rows, header=f"time,{name}"))
        assert report.new + report.conflicts == 1
    error = refused_whole(park, write_csv(tmp_path / "a.csv", [], header="time,value,value"))
    assert "has no column 'value (kW)', found: time, value, value; correct" in error


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


def test_a_long_code_and_a_line_end_in_a_name_stay_short_and_one_line(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, SITE.replace('device = "A"', 'device_column = "who"'))
    path = tmp_path / "a.csv"
    path.write_text(f"who,time,value\n{'x' * 60_000},{T0},1\n")
    report = imported(sqlite_db, path)
    assert "'" + "x" * 100 + "' is not in the site file" in report.errors[0]["message"]
    assert len(report.errors[0]["message"]) < 250
    apply(sqlite_db, SITE + 'format = "jsonl"\n')
    path.write_text('{"a\\nb": 1}\n')
    said = rejected(path, imported(sqlite_db, path).as_json())
    assert len(said) == 1 and "\n" not in said[0] and "found: a b" in said[0]


def test_errors_are_listed_up_to_a_thousand_and_counted_beyond(
    park: Database, tmp_path: Path
) -> None:
    report = imported(park, write_csv(tmp_path / "a.csv", [(T0, "x")] * 1500))
    assert (report.rejected, len(report.errors)) == (1500, 1000)


def test_memory_is_flat_for_one_huge_line(park: Database, tmp_path: Path) -> None:
    path = tmp_path / "meter.csv.gz"
    with gzip.open(path, "wb", 1) as packed:
        packed.write(HEAD)
        for _ in range(40):
            packed.write(b"9" * 1_000_000)
    tracemalloc.start()
    try:
        refused(park, path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_lines_before_the_header_and_comments_are_counted(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, SITE + 'header_line = 3\ncomment = "#"\n')
    path = tmp_path / "meter.csv"
    path.write_bytes(b"a\nb\n" + HEAD + GOOD + b'# c\n# d\n"x,60\n' + GOOD)
    assert refused(sqlite_db, path).details["line"] == 7
    path.write_bytes(b"a\n" + b"b" * 2_000_000 + b"\n" + HEAD + GOOD)
    assert refused(sqlite_db, path).details["line"] == 2


@long
@pytest.mark.parametrize("name", rest(["utf-8", "gb18030", "utf-16"], "gb18030"))
def test_the_line_that_is_not_in_its_encoding(
    sqlite_db: Database, tmp_path: Path, name: str
) -> None:
    apply(sqlite_db, SITE + f'encoding = "{name}"\n')
    # More than one piece of what is read at once; the signs are of several bytes in each encoding.
    text = "time,value\n" + "\u0a0a\u4e00,1\n" * 30_000
    broken = b"\x00\xdc\x00\xdc" if name == "utf-16" else b"\xff\xff"
    path = tmp_path / "meter.csv"
    path.write_bytes(text.encode(name) + broken)
    assert refused(sqlite_db, path).details["line"] == 30_002
    path.write_bytes(text.encode(name) + "\u4e00".encode(name)[:1])  # cut short
    assert refused(sqlite_db, path).details["line"] == 30_002


@pytest.mark.parametrize("before", range(6))
def test_the_line_where_a_character_lies_across_two_pieces(tmp_path: Path, before: int) -> None:
    path = tmp_path / "meter.csv"
    text = "a" * before + "\u4e00\u0a0a" * 12_000 + "\n"
    path.write_bytes(text.encode("gb18030") + b"\xff\xff")
    assert first_undecodable(path, "gb18030") == 2


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_line_that_cannot_be_read_is_counted_by_every_line_end(
    park: Database, tmp_path: Path, end: str
) -> None:
    path = tmp_path / "meter.csv"
    path.write_bytes(f"time,value{end}{T0},60{end}{end}".encode() + b"\xff")
    assert refused(park, path).details["line"] == 4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"time,value\n" + GOOD, 'take format = "jsonl" out of [[source]]'),
        (b'[{"time": 1},\n{"time": 2}]\n', "one JSON array; write one object on each line"),
        (b"\n12\n", "line 2: not one JSON object"),
    ],
)
def test_what_does_not_begin_as_lines_of_json_do(
    sqlite_db: Database, tmp_path: Path, content: bytes, says: str
) -> None:
    apply(sqlite_db, SITE + 'format = "jsonl"\n')
    path = tmp_path / "meter.csv"
    path.write_bytes(content)
    assert says in refused(sqlite_db, path).message


def test_a_number_that_is_too_large_is_called_so(park: Database, tmp_path: Path) -> None:
    rows = [(T0, "1e400"), (T1, "1e9999"), (T1, "123456789012345678901234567890")]
    report = imported(park, write_csv(tmp_path / "a.csv", rows))
    assert report.rejected == 3
    assert all("is beyond 1e9" in error["message"] for error in report.errors)


@pytest.mark.parametrize("again", [False, True])
def test_sums_too_large_for_the_tables_are_left_out_there(
    db: Database, tmp_path: Path, again: bool
) -> None:
    site = SITE.replace('rated_kw = "100"\n', "").replace('"power"', '"energy"')
    apply(db, site.replace('unit = "kW"', 'unit = "kWh"'))
    path = tmp_path / "a.csv"
    rows = [(T0, "600000000"), (T1, "600000000"), ("2014-06-01T01:00:00+00:00", "999999999.9999")]
    rows += [("2014-06-01T02:00:00+00:00", "999999999.99999999"), ("2014-06-01T03:00Z", "5")]
    if again:  # the second file of a day goes another way through the books
        imported(db, write_csv(path, rows[:1]))
    report = imported(db, write_csv(path, rows))
    assert (report.new + report.unchanged, report.rejected) == (5, 0)
    assert report.left_out == 3  # 1.2e9 kWh, and two that round up to 1e9
    assert report.as_json()["left_out"] == 3
    with db.read() as session:
        hours = session.scalars(select(EnergyProduction.production)).all()
        data = sorted(session.scalars(select(DeviceData.value)).all())
    assert hours == [Decimal(5)]
    assert data[-2:] == [Decimal("999999999.9999"), Decimal("999999999.999999")]


def test_an_interrupted_import_says_so(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    sqlite_db: Database,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("TRUETONNE_DATABASE_URL", str(sqlite_db.url))
    monkeypatch.setattr("ledger.readings.import_file", interrupted)
    path = write_csv(tmp_path / "a.csv", [(T0, "1")])
    assert run(["import", "--site", "park", "--source", "scada", str(path)]) == 130
    assert capsys.readouterr().err == "interrupted; nothing was imported\n"


def test_an_interrupted_import_of_several_files_says_how_many_are_in(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    sqlite_db: Database,
) -> None:
    apply(sqlite_db)
    monkeypatch.setenv("TRUETONNE_DATABASE_URL", str(sqlite_db.url))
    paths = [write_csv(tmp_path / name, [(T0, "1")]) for name in ("a.csv", "b.csv", "c.csv")]
    at_the_end = False

    def interrupted(*given: Any, **options: Any) -> Any:
        if at_the_end or given[3] != paths[1]:
            report = import_file(*given, **options)
        if given[3] == paths[1]:
            raise KeyboardInterrupt
        return report

    monkeypatch.setattr("ledger.readings.import_file", interrupted)
    command = ["import", "--site", "park", "--source", "scada", *map(str, paths)]
    assert run(command) == 130
    said = "interrupted; 1 of 3 files were imported, and "
    assert capsys.readouterr().err == f"{said}of the others nothing was\n"
    at_the_end = True
    assert run(command) == 130
    assert (
        capsys.readouterr().err
        == f"{said}the next one was, too, or nothing of it: import it again to see\n"
    )


def test_an_import_that_is_interrupted_at_its_end_does_not_say_what_it_cannot_know(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    sqlite_db: Database,
) -> None:
    """A signal that comes during the commit is heard after it."""

    def interrupted(*given: Any, **options: Any) -> None:
        import_file(*given, **options)
        raise KeyboardInterrupt

    apply(sqlite_db)
    monkeypatch.setenv("TRUETONNE_DATABASE_URL", str(sqlite_db.url))
    path = write_csv(tmp_path / "a.csv", [(T0, "1")])
    command = ["import", "--site", "park", "--source", "scada", str(path)]
    with monkeypatch.context() as patched:
        patched.setattr("ledger.readings.import_file", interrupted)
        assert run([*command, "--dry-run"]) == 130
        assert capsys.readouterr().err == "interrupted; nothing was imported\n"
        assert run(command) == 130
    said = "interrupted; all of it was imported, or nothing: import it again to see\n"
    assert capsys.readouterr().err == said
    assert run(command) == 0
    assert "1 read, 0 new, 1 unchanged" in capsys.readouterr().out
