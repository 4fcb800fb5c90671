"""The second archive: Parquet files that hold exactly the rows, and are found out when they do not."""

import json
import shutil
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ledger.db import Database
from ledger.errors import BadInput
from ledger.keeping.moving import archive
from ledger.keeping.parquet import check, export
from ledger.keeping.places import open_archive
from ledger.models import DeviceData
from tests.support.forms import long
from tests.support.keeping import add_device, add_plant, at, put, put_back, sale

BEFORE = date(2026, 8, 1)


@pytest.fixture
def books(sqlite_db: Database) -> Database:
    device = add_device(sqlite_db)
    put(sqlite_db, device, [at(2025, 7, 31, 23, 59, 59, 999_999)], "-999999999.999999")
    put(sqlite_db, device, [at(2025, 8, 1), at(2025, 8, 1)], "0.000001")
    with sqlite_db.write() as session:
        session.add(
            DeviceData(
                device_id=device, metric_name="温度", value=Decimal(0), recorded_at=at(2025, 8, 2)
            )
        )
    with sqlite_db.write() as session:
        plant = add_plant(session)
        session.add_all(sale(plant, moment) for moment in (at(2025, 3, 4), at(2026, 1, 1)))
    assert sum(item.rows for item in archive(sqlite_db, BEFORE)) == 4
    return sqlite_db


def written(db: Database, folder: Path) -> list[tuple[str, int, str]]:
    return [(w.period.name, w.rows, w.state) for w in export(db, folder, BEFORE)]


def complaints(folder: Path, db: Database | None = None) -> dict[str, str]:
    return {item.file.name: item.complaint for item in check(folder, db) if item.complaint}


JULY, AUGUST = "device_data-2025-07.parquet", "device_data-2025-08.parquet"
TRADES = "vpp_trading_records-2025.parquet"


def test_files_hold_the_rows_exactly(books: Database, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    assert written(books, folder) == [
        ("2025-07", 1, "new"),
        ("2025-08", 3, "new"),
        ("2025", 1, "new"),
    ]
    assert complaints(folder) == complaints(folder, books) == {}
    assert written(books, folder) == [
        ("2025-07", 1, "unchanged"),
        ("2025-08", 3, "unchanged"),
        ("2025", 1, "unchanged"),
    ]
    # A reader of others sees decimals, microseconds and text as they are.
    found = duckdb.sql(
        "SELECT metric_name, value, recorded_at AT TIME ZONE 'UTC', metadata "
        f"FROM '{folder}/device_data/*.parquet' ORDER BY id"
    ).fetchall()
    assert found[0][:3] == (
        "active_power",
        Decimal("-999999999.999999"),
        datetime(2025, 7, 31, 23, 59, 59, 999_999),
    )
    assert json.loads(found[0][3]) == {"where": "Zürich 园区", "n": [1, None]}
    assert found[-1] == ("温度", Decimal("0.000000"), datetime(2025, 8, 2), None)
    manifest = json.loads((folder / "device_data" / "device_data-2025-08.json").read_text())
    assert (manifest["rows"], manifest["columns"]["value"]) == (3, "decimal128(15, 6)")
    trades = f"SELECT price, status FROM '{folder}/vpp_trading_records/*.parquet'"
    assert duckdb.sql(trades).fetchall() == [(Decimal("-0.0100"), "pending")]
    assert not list(folder.rglob("*.partial"))


@long
def test_a_late_value_makes_its_month_anew(books: Database, tmp_path: Path) -> None:
    written(books, tmp_path / "s")
    put(books, 1, [at(2025, 7, 1)])
    list(archive(books, BEFORE))
    assert complaints(tmp_path / "s") == {}
    assert complaints(tmp_path / "s", books) == {
        JULY: "holds other rows than the books; write it again"
    }
    assert written(books, tmp_path / "s")[0] == ("2025-07", 2, "replaced")
    assert complaints(tmp_path / "s", books) == {}


def test_what_is_wrong_with_a_file_is_found(books: Database, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    written(books, folder)
    data = folder / "device_data"
    whole = (data / JULY).read_bytes()
    for place in (4, len(whole) // 2, len(whole) - 5):
        (data / JULY).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert complaints(folder) == {
            JULY: "has other bytes than its manifest says; write it again"
        }
        assert written(books, folder)[0] == ("2025-07", 1, "replaced")
        assert complaints(folder, books) == {}
    (data / JULY).write_bytes(whole)
    # A file that was made anew with another value, and a manifest made to fit its bytes.
    manifest = json.loads((data / JULY).with_suffix(".json").read_text())
    other = (data / AUGUST).read_bytes()
    (data / JULY).write_bytes(other)
    forged = json.loads((data / AUGUST).with_suffix(".json").read_text())["sha256"]
    (data / JULY).with_suffix(".json").write_text(json.dumps(manifest | {"sha256": forged}))
    assert complaints(folder) == {JULY: "holds other rows than its manifest says"}
    (data / JULY).write_bytes(whole)
    for unread in ("{", json.dumps(manifest | {"rows": "1"})):
        (data / JULY).with_suffix(".json").write_text(unread)
        assert complaints(folder) == {JULY: "has no manifest that can be read; write it again"}
    (data / JULY).unlink()
    (data / AUGUST).unlink()
    assert complaints(folder) == {
        JULY: "has no manifest that can be read; write it again",
        AUGUST: "is not there, but its manifest is; write it again",
    }
    assert written(books, folder)[:2] == [("2025-07", 1, "new"), ("2025-08", 3, "replaced")]
    assert complaints(folder, books) == {}
    # Rows of the archive never change, so the file may be the one that is right: it is not written again.
    change = "UPDATE device_data_2025 SET value = value + %s WHERE metric_name = '温度'"
    for step, found in ((1, {AUGUST: 3}), (-1, {})):
        with closing(open_archive(books)) as other, other.write() as session:
            session.connection().exec_driver_sql(change % step)
        said = "has {} rows, as the books do, and others, though none ever changes: one of the two was altered"
        assert {
            name: text.partition("; ")[0] for name, text in complaints(folder, books).items()
        } == {name: said.format(rows) for name, rows in found.items()}
        assert written(books, folder)[1] == ("2025-08", 3, "unchanged")
    (data / "notes.parquet").write_text("x")
    for suffix in (".parquet", ".json"):  # a copy, under a name like those of another table
        shutil.copy((data / AUGUST).with_suffix(suffix), data / f"copy-2025-08{suffix}")
    assert complaints(folder, books) == dict.fromkeys(
        ("notes.parquet", "copy-2025-08.parquet"), "is no file of this archive; take it elsewhere"
    )


@long
def test_a_file_that_is_gone_with_its_manifest_is_missed_by_the_books(
    books: Database, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    written(books, folder)
    for name in (JULY, TRADES):
        for file in folder.rglob(f"{Path(name).stem}.*"):
            file.unlink()
    said = "is not there, and the books have rows of it; write it again"
    found = {item.file.name: item.complaint for item in check(folder, books, BEFORE)}
    assert found == {AUGUST: None, JULY: said, TRADES: said}
    assert complaints(folder) == {}  # which the files alone cannot say
    assert written(books, folder)[0] == ("2025-07", 1, "new")
    assert not [item for item in check(folder, books, BEFORE) if item.complaint]


@long
def test_a_file_with_more_rows_than_the_books_is_left_alone(
    books: Database, tmp_path: Path
) -> None:
    """It may be the only copy: of books that were put back to an earlier state, or that lost rows."""
    folder = tmp_path / "s"
    written(books, folder)
    held = (folder / "device_data" / AUGUST).read_bytes()
    stored = open_archive(books)
    for rows_left in (2, 0):
        with stored.write() as session:
            session.connection().exec_driver_sql(
                "DELETE FROM device_data_2025 WHERE recorded_at >= '2025-08-01' AND id NOT IN "
                f"(SELECT id FROM device_data_2025 WHERE recorded_at >= '2025-08-01' LIMIT {rows_left})"
            )
        assert written(books, folder)[1] == ("2025-08", 3, "kept")
        assert (folder / "device_data" / AUGUST).read_bytes() == held
        assert complaints(folder) == {}
        said = f"has 3 rows, the books have {rows_left}; see docs/retention.md"
        assert complaints(folder, books) == {AUGUST: said}
    stored.close()
    manifest = (folder / "device_data" / AUGUST).with_suffix(".json")
    said = manifest.read_text()
    for unread in ("{", "[" * 100_000, ""):  # then the file itself says how many it has
        manifest.write_text(unread)
        assert complaints(folder) == {AUGUST: "has no manifest that can be read; write it again"}
        assert written(books, folder)[1] == ("2025-08", 3, "kept")
        assert (folder / "device_data" / AUGUST).read_bytes() == held
    manifest.write_text(said)
    (folder / "device_data" / AUGUST).unlink()  # as somebody who knows that the books are right
    assert written(books, folder)[1] == ("2025-08", 0, "replaced")


def test_what_a_killed_run_left_beside_the_files_goes(books: Database, tmp_path: Path) -> None:
    left = tmp_path / "s" / "device_data" / ".truetonne-0123456789abcdef.part"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1")
    written(books, tmp_path / "s")
    assert not left.exists()
    assert {file.suffix for file in left.parent.iterdir()} == {".parquet", ".json"}


def test_a_folder_that_cannot_be_used_is_said(books: Database, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no archive"):
        list(check(tmp_path / "none"))
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="name a folder that can be written"):
        written(books, tmp_path / "file")


@long
@pytest.mark.mariadb
def test_both_databases_make_the_same_content(
    sqlite_db: Database, mariadb_db: Database, tmp_path: Path
) -> None:
    """The digest is of the rows, whatever database and file they were in."""
    moment = at(2025, 7, 1, 1, 2, 3, 4)
    made = []
    with put_back(mariadb_db):
        for db in (sqlite_db, mariadb_db):
            device = add_device(db)
            with db.write() as session:
                for number, more in ((900, {"b": 1, "a": "é"}), (901, None)):
                    session.add(
                        DeviceData(
                            id=number,
                            device_id=device,
                            metric_name="p",
                            value=Decimal("1.5"),
                            recorded_at=moment,
                            created_at=moment,
                            metadata_=more,
                        )
                    )
            list(archive(db, date(datetime.now(UTC).year + 1, 1, 1)))
            folder = tmp_path / db.dialect
            written(db, folder)
            assert complaints(folder, db) == {}
            file = folder / "device_data" / "device_data-2025-07.json"
            made.append(json.loads(file.read_text()))
        assert made[0]["rows"] == 2
        assert made[0]["content_sha256"] == made[1]["content_sha256"]
