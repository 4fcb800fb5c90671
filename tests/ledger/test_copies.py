"""One file for two devices: what a careless hand does, and what counts energy twice."""

from pathlib import Path

from ledger.db import Database
from tests.support.plant import SITE, apply, imported, write_csv

FROM_DEVICE = SITE.index("[[device]]")
SECOND = (
    SITE[FROM_DEVICE:]
    .replace('code = "A"', 'code = "B"')
    .replace('"serial-A"', '"serial-B"')
    .replace('"scada"', '"second"')
    .replace('device = "A"', 'device = "B"')
)
OF_ITS_OWN = SECOND.replace('code = "B"', 'code = "C"').replace('"serial-B"', '"serial-C"')
WIDE = (
    OF_ITS_OWN.replace('"second"', '"third"')
    .replace('device = "B"', 'device = "C"')
    .replace('value_column = "value"', 'value_column = "other"')
)
ROWS = [("2014-06-01T00:00:00+00:00", "60,7")]


def test_the_same_column_of_a_file_for_another_device_is_said(db: Database, tmp_path: Path) -> None:
    apply(db, SITE + SECOND + WIDE)
    path = write_csv(tmp_path / "a.csv", ROWS, header="time,value,other")
    assert imported(db, path).hints == []
    assert imported(db, path).hints == []  # the same device again: unchanged
    assert imported(db, path, "third").hints == []  # another column is other energy
    report = imported(db, path, "second")
    assert report.new == 1  # two meters may measure the same, and are known by their owner
    (hint,) = report.hints
    assert hint == (
        "warning: column 'value' of this very file was imported for device A of site park too; if it is not "
        "the right file for B, its energy counts twice"
    )
    assert report.as_json()["hints"] == [hint]
    other = write_csv(tmp_path / "b.csv", [*ROWS, *ROWS], header="time,value,other")
    assert imported(db, other, "second").hints == []


def test_a_file_of_which_another_device_got_nothing_counts_once(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, SITE + SECOND)
    rows = [("yesterday", "60"), ("2014-06-01T00:00:00+00:00", "sixty")]
    path = write_csv(tmp_path / "a.csv", rows)
    assert imported(sqlite_db, path).rejected == 2
    assert imported(sqlite_db, path, "second").hints == []
