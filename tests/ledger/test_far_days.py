"""9999-12-31 is how many systems write "for ever": no day after it can be named, and none is needed."""

import json
from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest

from cli.reductions import write_evidence
from ledger.db import Database
from ledger.errors import BadInput
from ledger.readings import reductions_for
from ledger.readings.periods.evidence_files import MANIFEST, READINGS, files_of_period
from ledger.reductions.recompute import verify_files
from ledger.reductions.zones import legal_day_end_s, legal_day_start_s, zone
from tests.support.plant import SITE, apply, imported, write_csv

CLASS = 'role = "generation"\naccuracy_class = "1"\n'
FACTOR = 'value = "0.5"\n'
CALIBRATION = (
    '[[calibration]]\ndevice = "A"\ncalibrated_from = "2014-01-01"\ncalibrated_to = "{}"\n'
)
CERTIFICATE = (
    '[[energy_certificate]]\ndevice = "A"\ninstrument = "GO"\nreference = "1"\n'
    'from_day = "2014-01-01"\nto_day = "{}"\nshare = "0.5"\n'
)
LAST = "9999-12-31"
DAY = date(2014, 6, 1), date(2014, 6, 2)


def with_factor(line: str) -> str:
    return SITE.replace(FACTOR, FACTOR + line, 1)


@pytest.mark.parametrize(
    ("site", "kwh"),
    [
        (with_factor(f'valid_to = "{LAST}"\n'), 100),
        (SITE.replace('role = "generation"\n', f'{CLASS}calibrated_to = "{LAST}"\n'), 100),
        (SITE.replace('role = "generation"\n', CLASS) + CALIBRATION.format(LAST), 100),
        (SITE + CERTIFICATE.format(LAST), 50),
    ],
    ids=["factor", "device", "calibration", "certificate"],
)
def test_a_last_day_for_ever_is_one(
    sqlite_db: Database, tmp_path: Path, site: str, kwh: int
) -> None:
    assert exported(sqlite_db, tmp_path, site) == kwh


@pytest.mark.parametrize(
    ("days", "kwh"),
    [
        ('calibrated_from = "2014-06-01"\ncalibrated_to = "2014-06-01"\n', 100),
        ('calibrated_to = "2014-05-31"\n', 99),
        ('calibrated_from = "2014-06-02"\n', 99),
    ],
)
def test_outside_of_its_calibration_a_device_loses_the_error_of_its_class(
    sqlite_db: Database, tmp_path: Path, days: str, kwh: int
) -> None:
    site = SITE.replace('role = "generation"\n', CLASS + days)
    assert exported(sqlite_db, tmp_path, site) == kwh


def exported(db: Database, folder: Path, site: str) -> Fraction:
    """Return what counts of 100 kWh of a day, at half a kilogram each."""
    apply(db, site)
    rows = [(f"2014-06-01T{hour:02d}:00:00+02:00", "60") for hour in range(10)]
    imported(db, write_csv(folder / "a.csv", rows))
    with db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", *DAY)
    assert reduction.reductions_kg == reduction.export_kwh / 2
    return reduction.export_kwh


def test_the_end_of_a_legal_day_is_the_beginning_of_the_next() -> None:
    where = zone("Europe/Paris")
    for day, hours in ((date(2014, 3, 30), 23), (date(2014, 10, 26), 25), (date.max, 24)):
        assert legal_day_end_s(day, where) - legal_day_start_s(day, where) == hours * 3600
    assert legal_day_end_s(date.max, where) == 253_402_297_200  # 10000-01-01T00:00+01:00


def test_a_change_of_the_instrument_is_of_a_time_that_a_reading_may_have(
    sqlite_db: Database,
) -> None:
    site = SITE.replace('kind = "power"\nunit = "kW"', 'kind = "counter"\nunit = "kWh"')
    for at in ("9999-12-31T23:59:59+00:00", "1969-12-31T23:59:59+00:00"):
        change = f'[[meter_change]]\ndevice = "A"\nat = "{at}"\nclosing = "1"\nopening = "2"\n'
        with pytest.raises(BadInput, match="at is between 1970 and 2106"):
            apply(sqlite_db, site + change)


@pytest.mark.parametrize(
    ("path", "value"), [(("period", "zone"), "9" * 500), (("factor", "valid_to"), LAST)]
)
def test_a_manifest_with_an_odd_zone_or_day_is_judged(
    sqlite_db: Database, tmp_path: Path, path: tuple[str, str], value: str
) -> None:
    apply(sqlite_db)
    rows = [("2014-06-01T00:00:00+02:00", "60")]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", rows))
    with sqlite_db.read() as session:
        (files,) = files_of_period(session, "park-wind", *DAY)
    write_evidence(files, tmp_path)
    manifest = tmp_path / MANIFEST
    document = json.loads(manifest.read_text(encoding="utf-8"))
    document[path[0]][path[1]] = value
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    manifest.write_text(text, encoding="utf-8")
    found = verify_files(manifest, tmp_path / READINGS)
    assert found.differences[0].path == ("period.zone" if path[0] == "period" else "factor.sha256")
