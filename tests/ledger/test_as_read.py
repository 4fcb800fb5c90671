"""Readings seen a column at a time are found to be as read exactly where each judged by itself is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ledger.db import Database
from ledger.errors import BooksDiffer
from ledger.readings import reductions_for
from ledger.readings.periods.evidence_files import files_of_reduction, require_as_read
from ledger.reductions.judging import judge
from ledger.reductions.manifest_file import read_manifest
from ledger.reductions.meter_judge import MeterJudge
from ledger.reductions.readings_file import Line
from ledger.reductions.records import Meter, Quality
from ledger.reductions.runs import Reading, Readings
from tests.support.forms import few, rest
from tests.support.plant import SITE, apply, imported, write_csv

START = datetime(2014, 6, 1, tzinfo=UTC)
DAYS = (date(2014, 6, 2), date(2014, 6, 4))
SITES = {
    "ten minutes": SITE,
    "with a flat line": SITE.replace('role = "generation"', 'role = "generation"\nstuck_hours = 1'),
    "with texts of no value": SITE.replace(
        "interval_minutes = 10", 'interval_minutes = 10\nmissing = ["-", "7"]'
    ),
}


def rows(chance: random.Random) -> Iterator[tuple[str, str]]:
    """Nearly all plain; some missing, beyond the limits, twice, twice with another value, or spelt in another way."""
    for step in range(5 * 144):
        at = (START + timedelta(minutes=10 * step)).isoformat()
        text = f"{chance.uniform(0, 100):.{chance.choice((1, 3))}f}"
        kind = chance.random()
        if kind < 0.02:
            continue
        if kind < 0.06:
            text = chance.choice(("", "99999", "-50", "7", "60", "1e1"))
        yield at, text
        if kind > 0.97:
            yield at, chance.choice((text + "0", "12", "", "60.0"))


def altered(chance: random.Random, readings: list[Reading]) -> list[Reading]:
    """The same with one row as somebody might have written it by hand."""
    found = list(readings)
    place = chance.randrange(len(found))
    row = found[place]
    other = chance.choice(
        (
            row._replace(digits=row.digits + 1),
            row._replace(scale=row.scale + 1),
            row._replace(text=row.text + "1"),
            row._replace(text=""),
            row._replace(text="60"),
            row._replace(quality=chance.choice(list(Quality))),
            row._replace(start_s=row.start_s + 1),
            row._replace(end_s=row.end_s + 600),
            row._replace(kind=row.kind + 1),
            row._replace(start_s=row.start_s - 600, end_s=row.end_s - 600),
            None,
        )
    )
    found[place : place + 1] = [] if other is None else [other]
    return found


def one_by_one(manifest: str, meter: Meter) -> bool:
    """Whether the readings of a meter are what the judge of a readings file makes of their lines."""
    _, stated = read_manifest(manifest.encode(), "manifest")
    lines = (
        Line(number, meter.serial, row.start_s, row.end_s, row.kind, row.quality, row.text)
        for number, row in enumerate(meter.readings, 1)
    )
    return judge(stated, lines).readings[meter.serial] == tuple(meter.readings)


def as_read(manifest: str, meter: Meter) -> bool:
    try:
        require_as_read(manifest, [meter])
    except BooksDiffer:
        return False
    return True


@few(1)
@pytest.mark.parametrize("seed", rest(range(8), 1))
@pytest.mark.parametrize("site", SITES)
def test_columns_say_what_rows_say(
    sqlite_db: Database, tmp_path: Path, site: str, seed: int
) -> None:
    chance = random.Random(f"{site} {seed}")
    apply(sqlite_db, SITES[site])
    imported(sqlite_db, write_csv(tmp_path / "a.csv", list(rows(chance))))
    with sqlite_db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", *DAYS)
    manifest = files_of_reduction(reduction).manifest
    (meter,) = reduction.inputs.meters
    assert as_read(manifest, meter) and one_by_one(manifest, meter)
    before = list(meter.readings)
    some = [altered(chance, before) for _ in range(20)]
    for place, row in enumerate(before):  # a row that does not count, as one that does
        if row.quality != Quality.USED:
            some.append([*before[:place], row._replace(quality=Quality.USED), *before[place + 1 :]])
    outcomes = set()
    for found in some:
        other = replace(meter, readings=Readings.of(found))
        outcomes.add(as_read(manifest, other))
        assert as_read(manifest, other) == one_by_one(manifest, other)
    assert False in outcomes


def test_nearly_all_readings_are_seen_by_columns(sqlite_db: Database, tmp_path: Path) -> None:
    """Else a year takes as long to judge as to issue."""
    apply(sqlite_db, SITE)
    plain = [((START + timedelta(minutes=10 * n)).isoformat(), f"{n % 90}.5") for n in range(720)]
    more = [(plain[200][0], "1"), (plain[300][0], plain[300][1] + "0")]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", plain + more))
    with sqlite_db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", *DAYS)
    _, stated = read_manifest(files_of_reduction(reduction).manifest.encode(), "manifest")
    (meter,) = reduction.inputs.meters
    judged = MeterJudge(stated, stated.meters[0], None, [])
    doubtful = judged.doubtful(Readings.of(meter.readings))
    assert doubtful is not None and len(meter.readings) == 290
    assert sorted(row.text for row in doubtful) == ["1", "20.5", "30.5", "30.50"]


def test_days_are_those_of_a_clock_that_changes(sqlite_db: Database, tmp_path: Path) -> None:
    """A day of Paris begins at 22:00 UTC in summer, at 23:00 from 26 October 2014: no day of summer begins then."""
    apply(sqlite_db, SITE.replace("interval_minutes = 10", "interval_minutes = 1440"))
    paris = ZoneInfo("Europe/Paris")
    days = [datetime(2014, 10, day, tzinfo=paris) for day in (20, 21, 22, 24, 25, 27, 28, 29)]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(day.isoformat(), "5") for day in days]))
    with sqlite_db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", date(2014, 10, 20), date(2014, 11, 1))
    manifest = files_of_reduction(reduction).manifest
    (meter,) = reduction.inputs.meters
    assert as_read(manifest, meter)
    late = [
        row._replace(start_s=row.start_s + 3600, end_s=row.end_s + 3600) if number == 2 else row
        for number, row in enumerate(meter.readings)
    ]
    assert late[2].start_s == int(datetime(2014, 10, 21, 23, tzinfo=UTC).timestamp())
    other = replace(meter, readings=Readings.of(late))
    assert not as_read(manifest, other)
    assert not one_by_one(manifest, other)
