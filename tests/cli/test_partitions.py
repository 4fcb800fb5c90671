"""``truetonne db partitions`` and ``db orphans``, as an operator runs them."""

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import pytest

from ledger.db import Database
from ledger.keeping.places import Month
from tests.cli.conftest import READINGS, Program, good
from tests.support.forms import few, long
from tests.support.keeping import add_device, put

PARTS = ("db", "partitions")


@pytest.fixture
def read_in(park: Program) -> Program:
    """A park with two readings of 2014."""
    file = park.write("meter.csv", READINGS)
    imported = park("import", "--site", "lab", "--source", "scada", file)
    assert imported.code == 0, imported.err
    return park


def test_old_data_are_archived_checked_and_read_back(read_in: Program) -> None:
    def device_data(name: str) -> int:
        with closing(sqlite3.connect(read_in.folder / ".truetonne" / name)) as link:
            table = "device_data" if name == "truetonne.db" else "device_data_2013"
            return int(link.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])

    tried = read_in(*PARTS, "archive", "--dry-run", "--json").json()
    assert tried["moved"] == [{"table": "device_data", "month": "2013-12", "rows": 2}]
    assert device_data("truetonne.db") == 2
    assert not (read_in.folder / ".truetonne" / "truetonne_archive.db").exists()

    before = read_in("readings", "show", "T1", "--json")
    done = read_in(*PARTS, "archive", "--parquet", "second", "--json")
    assert done.code == 0, done.err
    assert done.json()["moved"] == tried["moved"]
    assert [(f["period"], f["state"]) for f in done.json()["parquet"]] == [("2013-12", "new")]
    assert (device_data("truetonne.db"), device_data("truetonne_archive.db")) == (0, 2)
    assert read_in("readings", "show", "T1", "--json").out == before.out
    again = read_in(*PARTS, "archive", "--parquet", "second", "--json").json()
    assert (again["moved"], again["parquet"][0]["state"]) == ([], "unchanged")

    shown = read_in(*PARTS, "show", "--json")
    assert shown.code == 0
    data = shown.json()["tables"][0]
    assert [(part["name"], part["rows"]) for part in data["archive"]] == [("device_data_2013", 2)]
    assert "device_data_2013" in read_in(*PARTS, "show").out

    months = ("--from", "2013-12-31", "--to", "2014-01-01")
    rows = list(csv.DictReader(io.StringIO(read_in(*PARTS, "read", "T1", *months).out)))
    assert [(row["recorded_at"], row["value"]) for row in rows] == [
        ("2013-12-31T23:00:00Z", "600.000000"),
        ("2013-12-31T23:10:00Z", "1200.500000"),
    ]
    assert len(read_in(*PARTS, "read", "T1", *months, "--json").json()["values"]) == 2
    assert read_in(*PARTS, "read", "T1", *months, "-o", "f.csv").out == "wrote 2 rows to f.csv\n"
    nowhere = read_in(*PARTS, "read", "T1", *months, "-o", "nowhere/f.csv")
    assert nowhere.code == 2
    assert "nowhere/f.csv: cannot be written (there is no folder" in nowhere.err

    assert read_in(*PARTS, "check", "second", "--books").code == 0
    file = read_in.folder / "second" / "device_data" / "device_data-2013-12.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    found = read_in(*PARTS, "check", "second", "--json")
    assert (found.code, found.json()["ok"]) == (1, False)
    assert found.json()["files"][0]["complaint"] == (
        "has other bytes than its manifest says; write it again"
    )
    assert f"write again: truetonne {' '.join(PARTS)} archive --parquet second" in (
        read_in(*PARTS, "check", "second").out
    )
    file.unlink()
    assert read_in(*PARTS, "archive", "--parquet", "second").code == 0
    assert read_in(*PARTS, "check", "second").code == 0


def test_no_spreadsheet_takes_a_unit_for_a_formula(read_in: Program) -> None:
    with closing(sqlite3.connect(read_in.folder / ".truetonne" / "truetonne.db")) as link, link:
        link.execute(
            "UPDATE device_data SET metric_name = ?, unit = ?, value = -5000000", ("=1+1", "'@x")
        )
    read = (*PARTS, "read", "T1", "--from", "2013-12-31", "--to", "2014-01-01")
    texts = ("metric_name", "unit")
    rows = list(csv.DictReader(io.StringIO(read_in(*read).out)))
    assert [[row[name] for name in texts] for row in rows] == [["'=1+1", "''@x"]] * 2
    assert [row["value"] for row in rows] == ["-5.000000"] * 2
    assert [[row[name] for name in texts] for row in read_in(*read, "--json").json()["values"]] == [
        ["=1+1", "'@x"]
    ] * 2


def test_what_grows_old_and_what_is_lost_is_said(read_in: Program) -> None:
    tried = read_in(*PARTS, "expire", "--dry-run", "--json")
    assert tried.code == 0
    assert {item["rows"] for item in tried.json()["expired"]} == {0}
    assert {"job_runs", "vpp_operation_logs"} <= {
        name for item in tried.json()["expired"] for name in item["tables"]
    }
    assert "1 year" in read_in(*PARTS, "expire").out
    assert read_in(*PARTS, "ensure", "--json").json() == {"tables": [], "dry_run": False}
    assert read_in("db", "orphans").out == "0 rows without a parent\n"
    with closing(sqlite3.connect(read_in.folder / ".truetonne" / "truetonne.db")) as link, link:
        link.execute("UPDATE device_data SET device_id = 99")
    lost = read_in("db", "orphans", "--json")
    assert lost.code == 1
    assert [(o["number"], o["rows"], o["parent"]) for o in lost.json()["orphans"]] == [
        (99, 2, "devices")
    ]


@long
def test_a_file_that_has_more_rows_than_the_books_is_not_to_be_written_again(
    read_in: Program,
) -> None:
    """It may be the only copy; `check` told to write it again, which `archive` refuses."""
    assert read_in(*PARTS, "archive", "--parquet", "second").code == 0
    with (
        closing(sqlite3.connect(read_in.folder / ".truetonne" / "truetonne_archive.db")) as file,
        file,
    ):
        file.execute(
            "DELETE FROM device_data_2013 WHERE id = (SELECT max(id) FROM device_data_2013)"
        )
    found = read_in(*PARTS, "check", "second", "--books")
    assert found.code == 1 and "see docs/retention.md" in found.out
    assert "write again" not in found.out
    kept = read_in(*PARTS, "archive", "--parquet", "second")
    assert kept.code == 1 and "it is left as it is" in kept.out


@long
def test_an_archive_that_is_gone_is_an_alarm(read_in: Program) -> None:
    assert read_in(*PARTS, "archive").code == 0
    assert read_in(*PARTS, "show").code == 0
    (read_in.folder / ".truetonne" / "truetonne_archive.db").unlink()
    for words in (("show",), ("read", "T1", "--from", "2013-12-31", "--to", "2014-01-01")):
        ended = read_in(*PARTS, *words)
        assert "truetonne_archive.db: has no device_data, though rows went there" in (
            ended.out + ended.err
        )
        assert ended.code in (1, 3)
    checks = {item["name"]: item for item in read_in("doctor", "--json").json()["checks"]}
    assert checks["partitions"]["verdict"] == "failed"
    assert checks["partitions"]["mend"].startswith("bring it back from a backup")


@few(4)
@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (("ensure", "--until", "soon"), {}, "write a month such as 2031-05"),
        (("ensure", "--until", "9999-01"), {}, "more than 240 months ahead"),
        (("check", "nowhere"), {}, "there is no archive"),
        (("read", "T9", "--from", "2014-01-01", "--to", "2014-01-02"), {}, "no device 'T9'"),
        (("read", "T1", "--from", "2014-01-02", "--to", "2014-01-01"), {}, "is not before"),
        (("read", "T1", "--from", "x", "--to", "2014-01-01"), {}, "write it as 2026-08-01"),
        (("archive",), {"live_months": "0"}, "live_months"),
        (("archive",), {"live_months": "5000"}, "live_months must be from 1 to 1200"),
    ],
)
def test_bad_input_gets_one_line(
    park: Program, words: tuple[str, ...], settings: dict[str, str], said: str
) -> None:
    ended = park(*PARTS, *words, **settings)
    assert ended.code == 2
    assert said in ended.one_line()


def test_a_folder_that_is_a_file_is_said_before_anything_is_moved(read_in: Program) -> None:
    """It was found when the rows were in the archive already; and a dry run found nothing."""
    read_in.write("plain", "x")
    for more in (("--dry-run",), ()):
        ended = read_in(*PARTS, "archive", "--parquet", "plain", *more)
        assert ended.code == 2 and "plain: cannot be made (" in ended.one_line()
    assert good(read_in(*PARTS, "archive", "--dry-run", "--json")).json()["moved"] != []


@long
@pytest.mark.mariadb
def test_rows_in_pmax_are_said_everywhere_and_mended(
    truetonne: Program, migrated_mariadb_url: Callable[[str], str]
) -> None:
    url = migrated_mariadb_url("in_pmax")
    db = Database(url)
    far = Month.of(datetime.now(UTC).date()).plus(8)
    put(db, add_device(db), [far.start])
    db.close()
    truetonne.environ["TRUETONNE_DATABASE_URL"] = url
    alarm = "device_data: 1 row lies outside of all periods (partition pmax)"
    shown = truetonne(*PARTS, "show", "--json")
    assert shown.code == 1
    assert shown.json()["alarms"][0].startswith(alarm)
    assert shown.json()["tables"][0]["stray_first"].startswith(f"{far}-01")
    assert alarm in truetonne("status").out
    checks = {c["name"]: c for c in json.loads(truetonne("doctor", "--json").out)["checks"]}
    assert (checks["partitions"]["verdict"], checks["partitions"]["found"]) == ("failed", alarm)
    until = ("--until", str(far))
    tried = truetonne(*PARTS, "ensure", *until, "--dry-run", "--json").json()
    assert tried["tables"][0]["added"][-1] == f"p{far.year}{far.number:02d}"
    usual = truetonne(*PARTS, "ensure", "--json")
    assert usual.code == 1  # as far ahead as is usual is not enough
    mended = truetonne(*PARTS, "ensure", *until, "--json")
    assert (mended.code, mended.json()["tables"][0]["stray_left"]) == (0, 0)
    # Of a month that began meanwhile the usual one adds what is due.
    added = [name for ended in (usual, mended) for name in ended.json()["tables"][0]["added"]]
    assert added == tried["tables"][0]["added"]
    assert truetonne(*PARTS, "show", "--count").code == 0
    assert alarm not in truetonne("status").out


@long
def test_a_month_that_the_archive_lost_is_named_until_somebody_says_so(read_in: Program) -> None:
    assert read_in(*PARTS, "archive").code == 0
    with closing(sqlite3.connect(read_in.folder / ".truetonne" / "truetonne_archive.db")) as link:
        link.execute("DELETE FROM device_data_2013")
        link.commit()
    shown = read_in(*PARTS, "show", "--json")
    assert shown.code == 1
    (alarm,) = shown.json()["alarms"]
    assert "has no row of device_data of 2013-12, though rows went there" in alarm
    for words, said in (
        (("--forget", "2013", "--parquet", "x"), "leave out --parquet"),
        (("--forget", "13"), "write a year or a month"),
        (("--forget", "2014-01"), "no month of it is missing"),
    ):
        refused = read_in(*PARTS, "archive", *words)
        assert (refused.code, said in refused.one_line()) == (2, True)
    tried = read_in(*PARTS, "archive", "--forget", "2013", "--dry-run", "--json").json()
    assert tried == {"forgotten": ["2013-12"], "dry_run": True}
    assert read_in(*PARTS, "show").code == 1
    assert read_in(*PARTS, "archive", "--forget", "2013").out == (
        "2013-12: it is noted that the archive has lost what it had\n"
    )
    assert read_in(*PARTS, "show").code == 0
