"""The slots that have a value, from runs that the database joins, are those of every reading one by one."""

from __future__ import annotations

from datetime import UTC, date, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from ledger.db import Database
from ledger.models import ImportFile, Meter, MeterReading, MeterSeries, MeterSource
from ledger.readings.shown import coverage
from ledger.readings.shown.coverage import load_coverage
from ledger.readings.shown.slots import MISSING, State, load_days
from ledger.readings.shown.views import gaps_document
from ledger.reductions.quality import stored
from ledger.reductions.records import Quality
from tests.support.forms import long
from tests.support.plant import apply

DAYS = date(2014, 3, 29), date(2014, 4, 1)
"""With the day of 23 hours."""
BEGIN_S = int(datetime(2014, 3, 28, 23, tzinfo=UTC).timestamp())
END_S = int(datetime(2014, 3, 31, 22, tzinfo=UTC).timestamp())
QUALITIES = [quality for quality in Quality if quality is not Quality.USED_BESIDE_CERTIFICATE]
"""Those that are stored: what is certified is known when a reduction is computed."""
RUN = st.tuples(
    st.integers(BEGIN_S - 7200, END_S + 3600),  # before and after the days, too
    st.sampled_from([0, 60, 600, 900, 3600, 90_000]),  # none, off the grid, over a whole day
    st.integers(1, 60),  # so many that follow upon one another
    st.sampled_from(QUALITIES),
)


def write(
    db: Database, interval_s: int, kind: str, runs: list[tuple[int, int, int, Quality]]
) -> int:
    """Put readings as the database holds them beside one another, whatever an import would say; return how many."""
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    with db.write() as session:
        meter = session.scalars(select(Meter.id).order_by(Meter.id)).first()
        source = session.scalars(select(MeterSource.id).order_by(MeterSource.id)).first()
        for table in (MeterReading, ImportFile, MeterSeries):
            session.execute(delete(table))
        session.add(
            MeterSeries(
                meter_id=meter, source_id=source, kind=kind, unit="kWh", interval_s=interval_s
            )
        )
        session.add(
            ImportFile(
                source_id=source,
                file_name="a.csv",
                file_sha256="00" * 32,
                rows_read=0,
                rows_new=0,
                rows_unchanged=0,
                rows_conflict=0,
                rows_rejected=0,
                imported_at=datetime.now(UTC),
            )
        )
        session.flush()
        file = session.scalars(select(ImportFile.id)).one()
        for number, (start_s, duration_s, count, quality) in enumerate(runs):
            name, reason = stored(quality)
            for place in range(count):
                at_s, text = start_s + place * duration_s, str(number)
                rows[at_s, text] = {
                    "meter_id": meter,
                    "start_s": at_s,
                    "duration_s": duration_s,
                    "kind": "energy",
                    "text": text,
                    "unit": "kWh",
                    "value_digits": number,
                    "value_scale": 0,
                    "quality": name,
                    "reason": reason,
                    "conflict": False,
                    "file_id": file,
                    "line": 2,
                }
        if rows:
            session.execute(insert(MeterReading), list(rows.values()))
    return len(rows)


def compare(db: Database) -> None:
    with db.read() as session:
        whole = load_days(session, "park", None, *DAYS)
        quick = load_coverage(session, "park", None, *DAYS)
    assert gaps_document(quick) == gaps_document(whole)
    for one, other in zip(whole.devices, quick.devices, strict=True):
        assert [[state in MISSING for state in day.states] for day in one.days] == [
            [state == State.ABSENT for state in day.states] for day in other.days
        ]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    runs=st.lists(RUN, max_size=8),
    interval_s=st.sampled_from([60, 420, 600, 3600, 7200, 86_400]),
    kind=st.sampled_from(["power", "counter"]),
    step_days=st.sampled_from([1, 2, 31]),
)
@example(
    # Two readings begin at once, and the shorter one is the later by its text.
    runs=[(BEGIN_S, 600, 3, Quality.USED), (BEGIN_S + 1200, 60, 1, Quality.USED)],
    interval_s=600,
    kind="power",
    step_days=31,
)
def test_runs_cover_what_their_readings_cover(
    sqlite_db: Database,
    runs: list[tuple[int, int, int, Quality]],
    interval_s: int,
    kind: str,
    step_days: int,
) -> None:
    with sqlite_db.read() as session:
        known = session.scalar(select(Meter.id))
    if known is None:  # an example before has made it
        apply(sqlite_db)
    write(sqlite_db, interval_s, kind, runs)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(coverage, "_STEP_DAYS", step_days)
        compare(sqlite_db)


@long
@pytest.mark.mariadb
def test_the_servers_window_is_the_same(mariadb_db: Database) -> None:
    apply(mariadb_db)
    chance = Random(55)
    for _ in range(6):
        runs = [
            (
                chance.randrange(BEGIN_S - 7200, END_S + 3600),
                chance.choice([0, 60, 600, 900, 3600, 90_000]),
                chance.randrange(1, 120),
                chance.choice(QUALITIES),
            )
            for _ in range(12)
        ]
        assert write(mariadb_db, chance.choice([420, 600, 3600]), "counter", runs) > 12
        compare(mariadb_db)


def test_one_reading_in_the_midst_is_two_gaps(sqlite_db: Database) -> None:
    apply(sqlite_db)
    write(sqlite_db, 600, "power", [(BEGIN_S + 3600, 600, 3, Quality.USED)])
    with sqlite_db.read() as session:
        (device,) = gaps_document(load_coverage(session, "park", None, *DAYS))["devices"]
    assert [gap["slots"] for gap in device["gaps"]] == [6, 71 * 6 - 9]
