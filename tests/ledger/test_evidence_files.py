"""What an import judged is judged alike from the exported files, whatever the source is."""

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cli.reductions import write_evidence
from ledger.corrections import correct
from ledger.db import Database
from ledger.errors import BadInput, BooksDiffer, NotFound, Refused
from ledger.readings.periods.evidence_files import (
    MANIFEST,
    READINGS,
    EvidenceFiles,
    files_of_credit,
    files_of_period,
    reductions_known,
)
from ledger.reductions.recompute import Verification, verify_files
from tests.support.forms import long
from tests.support.full import full_disk
from tests.support.park import PARIS
from tests.support.plant import LHB_FILE, LHB_SITE, SITE, apply, imported, issue, write_csv

FIRST = datetime(2014, 6, 1, tzinfo=PARIS).astimezone(UTC)
JUNE = (date(2014, 6, 1), date(2014, 6, 3))
COUNTER = SITE.replace('kind = "power"\nunit = "kW"', 'kind = "counter"\nunit = "kWh"').replace(
    'label = "start"\n', ""
)


def at(minutes: int) -> str:
    return (FIRST + timedelta(minutes=minutes)).isoformat()


def exported(db: Database, folder: Path, period: tuple[date, date] = JUNE) -> EvidenceFiles:
    """Write the files of a period, and check them with nothing but them."""
    with db.read() as session:
        (files,) = files_of_period(session, "park-wind", *period)
    write_evidence(files, folder)
    result = verify_files(folder / MANIFEST, folder / READINGS)
    assert result.valid, result.differences
    return files


def again(folder: Path, old: str, new: str) -> Verification:
    """Verify after a change of the readings file."""
    lines = gzip.decompress((folder / READINGS).read_bytes()).decode()
    assert old in lines
    (folder / "changed.csv").write_text(lines.replace(old, new, 1))
    return verify_files(folder / MANIFEST, folder / "changed.csv")


def meter_of(files: EvidenceFiles) -> dict[str, Any]:
    (meter,) = json.loads(files.manifest)["meters"]
    return dict(meter)


def bring(db: Database, folder: Path, rows: Sequence[tuple[int, str]], site: str = SITE) -> None:
    apply(db, site)
    report = imported(db, write_csv(folder / "m.csv", [(at(minutes), kw) for minutes, kw in rows]))
    assert report.rejected == 0, report.errors


def test_a_full_disk_leaves_the_files_that_were_there(sqlite_db: Database, tmp_path: Path) -> None:
    bring(sqlite_db, tmp_path, [(0, "60"), (10, "50")])
    folder = tmp_path / "evidence"
    files = exported(sqlite_db, folder)
    there = {file.name: file.read_bytes() for file in folder.iterdir()}
    other = replace(files, manifest=files.manifest + " ", readings=os.urandom(1 << 16))
    with full_disk(1 << 15), pytest.raises(BadInput, match=f"{READINGS}: cannot be written"):
        write_evidence(other, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == there


def test_a_flat_line_is_found_again(sqlite_db: Database, tmp_path: Path) -> None:
    site = SITE.replace('role = "generation"', 'role = "generation"\nstuck_hours = 3')
    rows = [(10 * slot, "7.5" if 20 <= slot < 40 else str(slot % 9)) for slot in range(144)]
    bring(sqlite_db, tmp_path, rows, site)
    meter = meter_of(exported(sqlite_db, tmp_path))
    assert meter["stuck_hours"] == 3
    assert meter["rows"] == {"used": 124, "stuck": 20}
    # Somebody who lets one of them count is told.
    result = again(tmp_path, ",1,303,7.5", ",1,100,7.5")
    (wrong,) = result.differences
    assert (wrong.manifest, wrong.recomputed) == ("100 used", "303 stuck")
    # And so is somebody who breaks the line.
    broken = again(tmp_path, ",1,303,7.5", ",1,100,7.6")
    assert "meters[serial-A].days.2014-06-01" in [item.path for item in broken.differences]


def test_declared_texts_for_no_value_are_found_again(sqlite_db: Database, tmp_path: Path) -> None:
    site = SITE.replace('time_zone = "offset"', 'time_zone = "offset"\nmissing = ["-999", "n/a"]')
    bring(sqlite_db, tmp_path, [(0, "60"), (10, "-999"), (20, "n/a"), (30, "")], site)
    imported(sqlite_db, write_csv(tmp_path / "b.csv", [(at(10), "50")]))
    meter = meter_of(exported(sqlite_db, tmp_path))
    assert meter["no_value_texts"] == ["-999", "n/a"]
    assert meter["rows"] == {
        "used": 2,
        "missing": 1,
        "missing_sentinel": 1,
        "superseded_empty": 1,
    }
    hidden = again(tmp_path, ",1,100,50", ",1,201,50")
    assert [item.recomputed for item in hidden.differences if "quality" in item.path] == [
        "100 used"
    ]
    plain = json.loads((tmp_path / MANIFEST).read_text())
    plain["meters"][0]["no_value_texts"] = ["50", "n/a"]
    spelled = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    (tmp_path / "other.json").write_text(spelled)
    result = verify_files(tmp_path / "other.json", tmp_path / READINGS)
    qualities = [item for item in result.differences if item.path.endswith(".quality")]
    assert [item.recomputed for item in qualities] == [
        "302 outlier_below",
        "401 superseded_in_conflict",
    ]
    # A number may be a value in one row and none in another; that it is none in no row is told.
    (texts,) = [item for item in result.differences if "no_value_texts" in item.path]
    assert "50" not in texts.recomputed


@long
@pytest.mark.parametrize("declared_first", [False, True])
def test_a_number_that_is_no_value_in_some_rows_alone_is_found_again(
    sqlite_db: Database, tmp_path: Path, declared_first: bool
) -> None:
    """What is stored stays a value or none, whatever ``missing`` says later; so one text may be both."""
    declared = SITE.replace('time_zone = "offset"', 'time_zone = "offset"\nmissing = ["40"]')
    sites = (declared, SITE) if declared_first else (SITE, declared)
    for minutes, site in zip((0, 30), sites, strict=True):
        bring(sqlite_db, tmp_path, [(minutes, "40"), (minutes + 10, "50")], site)
    bring(sqlite_db, tmp_path, [(30, "45"), (0, "45")], sites[1])  # beside a 40 of each meaning
    meter = meter_of(exported(sqlite_db, tmp_path))
    assert meter["no_value_texts"] == ["40"]
    assert meter["rows"] == {
        "used": 3,
        "used_in_conflict": 1,
        "superseded_in_conflict": 1,
        "superseded_empty": 1,
    }
    assert verify_files(tmp_path / MANIFEST, tmp_path / READINGS).valid
    # Neither can be taken for the other.
    for old, new in ((",1,101,40", ",1,403,40"), (",1,403,40", ",1,101,40")):
        assert not again(tmp_path, old, new).valid


def test_a_number_that_came_late_is_a_value_or_none_as_it_came(
    sqlite_db: Database, tmp_path: Path
) -> None:
    declared = SITE.replace('time_zone = "offset"', 'time_zone = "offset"\nmissing = ["40"]')
    bring(sqlite_db, tmp_path, [(10 * slot, "60") for slot in range(6)])
    issue(sqlite_db)
    bring(sqlite_db, tmp_path, [(10, "40")])  # late: 20 kW less
    bring(sqlite_db, tmp_path, [(0, "40"), (60, "40")], declared)  # late, and no value
    found = correct(sqlite_db, "park-wind")
    (row,) = found.found
    assert row.effect_kg == Fraction(20, 6) * Fraction(-1, 2)


def test_a_register_is_computed_again_from_its_texts(sqlite_db: Database, tmp_path: Path) -> None:
    site = COUNTER.replace('time_zone = "offset"', 'time_zone = "offset"\nrollover = "1000"')
    hours = [
        (0, "900"),
        (1, "950.5"),
        (2, "990"),
        (3, "15"),  # ran over: 25 kWh
        (4, "40"),
        (4, "41"),  # in conflict: the difference runs over it
        (5, "60"),
        (6, "60.0"),
        (6, "60"),
        (7, "58"),  # fell
        (8, "900"),  # more than 100 kW in an hour
        (9, ""),
        (10, "905"),
        (11, "0"),  # a fault, and no rollover: an hour later it is back
        (12, "910"),
    ]
    bring(sqlite_db, tmp_path, [(60 * hour, value) for hour, value in hours], site)
    files = exported(sqlite_db, tmp_path)
    meter = meter_of(files)
    assert meter["register"] is True
    assert meter["rows"]["register_conflict"] == 2
    assert meter["rows"]["counter_fell"] == 1
    assert meter["rows"]["outlier_above"] == 1
    assert meter["rows"]["register_dip"] == 1
    # 50.5 + 39.5 + 25 + 45 + 0 + 5 + 5 kWh
    assert json.loads(files.manifest)["energy"]["export_kwh"] == "170.000000000"
    lines = gzip.decompress(files.readings).decode()
    assert ",2,100,990>1000|0>15\n" in lines
    for old, new in (
        (",2,304,60>58", ",2,100,60>58"),
        (",2,301,58>900", ",2,100,58>900"),
        (",3,404,40", ",3,100,40"),
    ):
        result = again(tmp_path, old, new)
        assert [item.path.endswith(".quality") for item in result.differences] == [True], old
    for old, new, named in (
        (",3,405,0", ",3,100,0", "404 register_conflict"),
        ("990>1000|0>15", "990>1000|5>15", "304 counter_fell"),
    ):
        result = again(tmp_path, old, new)
        found = [item.recomputed for item in result.differences if item.path.endswith(".quality")]
        assert found == [named]
    assert not again(tmp_path, "900>950.5", "900>950.6").valid
    assert not again(tmp_path, "900>950.5", "950.5").valid


def test_a_daily_reading_is_as_long_as_its_legal_day(sqlite_db: Database, tmp_path: Path) -> None:
    site = (
        SITE.replace('kind = "power"\nunit = "kW"', 'kind = "energy"\nunit = "MWh"')
        .replace("interval_minutes = 10", "interval_minutes = 1440")
        .replace('time_zone = "offset"', 'time_zone = "Europe/Paris"')
    )
    apply(sqlite_db, site)
    days = [(f"2014-03-{day:02d}T00:00:00", "1.25") for day in (29, 30, 31)]
    assert imported(sqlite_db, write_csv(tmp_path / "m.csv", days)).rejected == 0
    files = exported(sqlite_db, tmp_path, (date(2014, 3, 29), date(2014, 4, 1)))
    assert json.loads(files.manifest)["energy"]["export_kwh"] == "3750.000000000"
    # 30 March has 23 hours.
    lines = gzip.decompress(files.readings).decode().splitlines()[1:]
    lengths = [int(line.split(",")[2]) - int(line.split(",")[1]) for line in lines]
    assert lengths == [86_400, 82_800, 86_400]
    start, end = lines[1].split(",")[1:3]
    longer = again(tmp_path, f"{start},{end}", f"{start},{int(start) + 86_400}")
    assert not longer.valid


@long
def test_the_bundled_year_is_exported_and_verified(sqlite_db: Database, tmp_path: Path) -> None:
    apply(sqlite_db, LHB_SITE)
    imported(sqlite_db, LHB_FILE, site="lhb")
    with sqlite_db.read() as session:
        both = files_of_period(session, "lhb-wind", date(2014, 1, 1), date(2016, 1, 1))
        (march,) = files_of_period(session, "lhb-wind", date(2014, 3, 1), date(2014, 4, 1))
        with pytest.raises(NotFound, match="there is no credit 'lhb-wind-2014-1'"):
            files_of_credit(session, "lhb-wind-2014-1")
    assert [(item.vintage, item.issued_kg, item.issued) for item in both] == [
        (2014, 1_075_151, False),
        (2015, 1_277_080, False),
    ]
    for item in (*both, march):
        write_evidence(item, tmp_path)
        result = verify_files(tmp_path / MANIFEST, tmp_path / READINGS)
        assert result.valid, result.differences[:5]
        assert result.evidence_root == item.evidence_root
    # The hour that comes twice in March: six conflicts.
    assert json.loads(march.manifest)["readings"]["conflict"] == 6
    # One digit on 17 March, and its slot is named.
    second = int(datetime(2014, 3, 17, 12, tzinfo=PARIS).timestamp())
    lines = gzip.decompress((tmp_path / READINGS).read_bytes()).decode()
    (line,) = [line for line in lines.splitlines() if line.startswith(f"R80721,{second},")]
    changed = again(tmp_path, line, line[:-1] + ("1" if line[-1] != "1" else "2"))
    days = [item.path for item in changed.differences if ".days." in item.path]
    assert days == ["meters[R80721].days.2014-03-17"]
    times = [item.path for item in changed.differences if ".times." in item.path]
    assert times == ["meters[R80721].times.12:00"]
    assert changed.hints == [
        "meter R80721: the readings of 2014-03-17 are not those that the manifest was made from: "
        "2014-03-17T12:00:00+01:00"
    ]


def test_what_is_issued_is_shown_as_it_was_issued(sqlite_db: Database, tmp_path: Path) -> None:
    """The factor that the site file names for a later period gave another number for it, and nothing said so."""
    apply(sqlite_db)
    days = [(datetime(2013, 12, 30, 12) + timedelta(days=n)).isoformat() + "Z" for n in range(4)]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(day, "60") for day in days]))
    last, middle, first = date(2013, 12, 31), date(2014, 1, 1), date(2014, 1, 2)
    with sqlite_db.write() as session:
        (before,) = reductions_known(session, "park-wind", last, middle)
    assert (before[0].issued_kg, before[1]) == (5, None)  # 10 kWh at 0.5 t/MWh
    issue(sqlite_db, (last, middle))
    other = '[[factor]]\ncode = "cm"\nversion = "2"\npurpose = "crediting_cm"\nvalue = "0.2"\n'
    other += 'unit = "t/MWh"\nsource = "a test"\nvalid_from = "2014-01-01"\n'
    newer = SITE.replace('factor = "cm"', 'factor = "cm"\nfactor_version = "2"') + other
    apply(sqlite_db, newer.replace('rated_kw = "100"', 'rated_kw = "10"'))
    with sqlite_db.read() as session:
        ((shown, issuance),) = reductions_known(session, "park-wind", last, middle)
        both = reductions_known(session, "park-wind", last, first)
    assert (shown.issued_kg, shown.inputs.factor.version) == (5, "1")
    assert issuance is not None and issuance.key == "0x" + f"{1:064x}"
    assert shown.evidence_root == before[0].evidence_root
    # The new year's part is not issued: by what is declared today, of which 60 kW are too many.
    assert [(each.issued_kg, each.inputs.factor.version) for each, _ in both] == [
        (5, "1"),
        (0, "2"),
    ]
    assert [of is None for _, of in both] == [False, True]


def test_what_is_issued_is_shown_though_a_rule_would_refuse_it_today(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """An older version had issued with less; the command said "incomplete" of what stands on chain."""
    apply(sqlite_db, SITE.replace('completeness_min = "0"', 'completeness_min = "0.9"'))
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [("2014-06-01T12:00:00Z", "60")]))
    days = date(2014, 6, 1), date(2014, 6, 2)
    with sqlite_db.read() as session, pytest.raises(Refused, match="the project requires"):
        reductions_known(session, "park-wind", *days)
    issue(sqlite_db, days)
    with sqlite_db.read() as session:
        ((shown, issuance),) = reductions_known(session, "park-wind", *days)
    assert (shown.issued_kg, issuance is None) == (5, False)


def test_books_that_were_altered_hand_out_nothing(sqlite_db: Database, tmp_path: Path) -> None:
    bring(sqlite_db, tmp_path, [(0, "60"), (10, "500")])
    with sqlite_db.write() as session:
        session.execute(
            text("UPDATE meter_readings SET quality = 'used', reason = NULL WHERE text = '500'")
        )
    with sqlite_db.read() as session, pytest.raises(BooksDiffer, match="301 outlier_above"):
        files_of_period(session, "park-wind", *JUNE)


def test_readings_come_through_a_pipe_too(sqlite_db: Database, tmp_path: Path) -> None:
    """What is packed is looked at, and not gone back to."""
    apply(sqlite_db)
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(at(0), "60"), (at(10), "61")]))
    exported(sqlite_db, tmp_path)
    packed = (tmp_path / READINGS).read_bytes()
    for content in (packed, gzip.decompress(packed)):
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        result = verify_files(tmp_path / MANIFEST, Path(f"/dev/fd/{reading}"))
        os.close(reading)
        assert result.valid, result.differences
