"""Quality, gaps and single rows: literals of the real file, and a small park on both databases."""

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from ledger.db import Database
from ledger.errors import BadInput, NotFound
from ledger.models import ImportFile, MeterReading
from ledger.readings import reductions_for
from ledger.readings.shown.exclusions import exclusions
from ledger.readings.shown.lookup import rows_of
from ledger.readings.shown.slots import Day, State, load_days
from ledger.readings.shown.views import gaps_document, quality_document
from ledger.reductions.manifest import build
from tests.support.forms import long, times
from tests.support.plant import SITE, apply, imported, issue, write_csv

FILE = "R80721-2014-2015.csv.gz"
JUNE = date(2014, 6, 1), date(2014, 6, 2)
COUNTER = SITE.replace('kind = "power"\nunit = "kW"', 'kind = "counter"\nunit = "kWh"').replace(
    'label = "start"\n', ""
)
MIDNIGHT = datetime(2014, 5, 31, 22, tzinfo=UTC)
"""Midnight of 1 June in Paris."""


def time_of(slot: int) -> str:
    return (MIDNIGHT + timedelta(minutes=10 * slot)).isoformat()


def quality(
    db: Database, site: str, start: date | None = None, end: date | None = None
) -> dict[str, Any]:
    with db.read() as session:
        return quality_document(session, load_days(session, site, None, start, end))


def gaps(
    db: Database, site: str, start: date | None = None, end: date | None = None
) -> dict[str, Any]:
    with db.read() as session:
        return gaps_document(load_days(session, site, None, start, end))


# ------------------------------------------------------------------ the real file

COUNTED = ("expected", "used", "missing", "absent", "outlier", "conflict", "superseded")


@long
def test_the_whole_file_slot_by_slot(real: Database) -> None:
    document = quality(real, "lhb")
    assert document["period"] == {"from": date(2014, 1, 1), "to": date(2016, 1, 2)}
    (device,) = document["devices"]
    assert (device["device"], device["interval_minutes"]) == ("R80721", 10)
    assert [device["total"][key] for key in COUNTED] == [105264, 103899, 1365, 156, 0, 12, 12]
    assert len(device["days"]) == 731
    for key in COUNTED:
        assert sum(day[key] for day in device["days"]) == device["total"][key]


@pytest.mark.parametrize(
    ("day", "counts"),
    [
        (date(2014, 1, 1), [144, 138, 6, 6, 0, 0, 0]),  # the file begins an hour late
        (date(2014, 3, 29), [144, 144, 0, 0, 0, 0, 0]),
        (date(2014, 3, 30), [138, 138, 0, 0, 0, 6, 6]),  # 23 hours; one of them with two values
        (date(2014, 4, 28), [144, 127, 17, 0, 0, 0, 0]),
        (date(2014, 10, 26), [150, 144, 6, 6, 0, 0, 0]),  # 25 hours; the file has 24 of them
        (date(2015, 3, 1), [144, 0, 144, 0, 0, 0, 0]),
        (date(2015, 3, 29), [138, 138, 0, 0, 0, 6, 6]),
    ],
)
def test_known_days(real: Database, day: date, counts: list[int]) -> None:
    (device,) = quality(real, "lhb", day, day + timedelta(days=1))["devices"]
    assert [device["total"][key] for key in COUNTED] == counts
    assert [device["days"][0][key] for key in COUNTED] == counts


def test_march_2014_has_six_conflicts_and_says_where(real: Database) -> None:
    (device,) = quality(real, "lhb", date(2014, 3, 1), date(2014, 4, 1))["devices"]
    assert [device["total"][key] for key in COUNTED] == [4458, 4458, 0, 0, 0, 6, 6]
    instant = datetime(2014, 3, 30, 1, tzinfo=UTC)
    assert device["reasons"] == [
        {
            "number": 101,
            "quality": "used",
            "reason": "claims least of several values",
            "readings": 6,
            "first": {"at": instant, "file": FILE, "line": 12681},
        },
        {
            "number": 401,
            "quality": "superseded",
            "reason": "another value of the same time claims less",
            "readings": 6,
            "first": {"at": instant, "file": FILE, "line": 12680},
        },
    ]


@long
def test_the_counts_are_those_of_the_reduction_month_by_month(real: Database) -> None:
    for number in range(1, 13):
        start, end = date(2015, number, 1), date(2015 + number // 12, number % 12 + 1, 1)
        (device,) = quality(real, "lhb", start, end)["devices"]
        with real.read() as session:
            (reduction,) = reductions_for(session, "lhb-wind", start, end)
        counts, total = reduction.counts, device["total"]
        for key in ("expected", "used", "missing", "outlier", "conflict"):
            assert total[key] == getattr(counts, key), (number, key)
        (of_gaps,) = gaps(real, "lhb", start, end)["devices"]
        assert of_gaps["missing"] == counts.missing


@long
def test_the_gaps_of_the_real_file(real: Database) -> None:
    (device,) = gaps(real, "lhb")["devices"]
    assert (len(device["gaps"]), device["missing"], device["hours"]) == (23, 1365, "227.5")
    longest = {
        "from": datetime(2015, 2, 27, 1, 40, tzinfo=UTC),
        "to": datetime(2015, 3, 4, 14, 30, tzinfo=UTC),
        "slots": 797,
        "hours": "132.833",
    }
    assert device["longest"] == longest
    assert longest in device["gaps"]
    autumn = {
        "from": datetime(2014, 10, 26, 0, tzinfo=UTC),
        "to": datetime(2014, 10, 26, 1, tzinfo=UTC),
        "slots": 6,
        "hours": "1",
    }
    assert autumn in device["gaps"]  # one local hour of the two


def test_energy_that_is_not_claimed_is_said_exactly(real: Database) -> None:
    with real.read() as session:
        found = [
            (item.device, int(item.quality), item.readings, item.first_line, item.not_claimed_kwh)
            for item in exclusions(session, "lhb")
        ]
    # Twelve hours' sixths of the higher value less the lower one, added up by hand in fractions.
    assert found == [
        ("R80721", 200, 1209, 16919, None),
        ("R80721", 401, 12, 12680, Fraction(383799998999999957, 10**15)),
    ]


def test_one_reading_of_the_real_file_and_why_it_does_not_count(real: Database) -> None:
    with real.read() as session:
        document = rows_of(session, "lhb", "R80721", at="2014-03-30T03:19:59")
    assert [
        (row["text"], row["value"], row["number"], row["quality"], row["reason"], row["line"])
        for row in document["rows"]
    ] == [
        ("39.41", "39.41", 101, "used", "claims least of several values", 12682),
        (
            "87.589996",
            "87.589996",
            401,
            "superseded",
            "another value of the same time claims less",
            12683,
        ),
    ]
    assert {row["file"] for row in document["rows"]} == {FILE}
    assert {row["from"] for row in document["rows"]} == {datetime(2014, 3, 30, 1, 10, tzinfo=UTC)}


# ------------------------------------------------------------------ a park of one day


def test_every_state_of_a_slot_is_counted(db: Database, tmp_path: Path) -> None:
    apply(db, SITE.replace('role = "generation"', 'role = "generation"\nstuck_hours = 1'))
    lines = [(time_of(n), "60") for n in range(6)]  # stuck
    lines += [(time_of(6), "120.5"), (time_of(7), "-21"), (time_of(8), "")]
    lines += [(time_of(9), "50"), (time_of(9), "55"), (time_of(9), "57")]
    lines += [(time_of(10), "51"), (time_of(10), "51.0")]
    imported(db, write_csv(tmp_path / "a.csv", lines))
    issue(db)
    imported(
        db,
        write_csv(
            tmp_path / "b.csv", [(time_of(8), "40"), (time_of(12), "40"), (time_of(10), "7")]
        ),
    )
    (device,) = quality(db, "park", *JUNE)["devices"]
    assert device["total"] == {
        "expected": 144,
        "used": 2,
        "missing": 134,
        "absent": 132,
        "outlier": 8,
        "above": 1,
        "below": 1,
        "stuck": 6,
        "fell": 0,
        "conflict": 1,
        "superseded": 3,
        "late": 3,
    }
    assert [
        (item["number"], item["readings"], item["first"].get("line")) for item in device["reasons"]
    ] == [
        (None, 132, None),
        (101, 1, 11),
        (200, 1, 10),
        (301, 1, 8),
        (302, 1, 9),
        (303, 6, 2),
        (401, 2, 12),
        (402, 1, 15),
        (500, 3, 2),
    ]
    assert device["reasons"][0]["first"] == {"at": MIDNIGHT + timedelta(minutes=110)}
    (of_gaps,) = gaps(db, "park", *JUNE)["devices"]
    assert [(gap["from"], gap["slots"]) for gap in of_gaps["gaps"]] == [
        (MIDNIGHT + timedelta(minutes=80), 1),
        (MIDNIGHT + timedelta(minutes=110), 133),
    ]
    with db.read() as session:
        (days,) = load_days(session, "park", "A", *JUNE).devices
        states = list(days.days[0].states)
        found = {int(item.quality): item.not_claimed_kwh for item in exclusions(session, "park")}
    assert states[:13] == [State.STUCK] * 6 + [
        State.ABOVE,
        State.BELOW,
        State.LATE,
        State.CONFLICT,
        State.USED,
        State.ABSENT,
        State.LATE,
    ]
    assert found == {
        200: None,
        301: Fraction(1205, 60),
        302: None,
        303: 60,
        401: Fraction(7, 6),  # the highest of the slot beyond the one that counts
        402: None,
        500: None,
    }


def test_what_a_meter_of_consumption_leaves_out_was_never_to_be_claimed(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, SITE.replace('role = "generation"', 'role = "import"'))
    lines = [(0, "60"), (0, "66"), (1, "500")]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(time_of(n), text) for n, text in lines]))
    with sqlite_db.read() as session:
        found = exclusions(session, "park")
    assert [(int(item.quality), item.readings, item.not_claimed_kwh) for item in found] == [
        (301, 1, None),
        (401, 1, None),
    ]


@long
def test_a_slot_whose_registers_contradict_each_other_has_a_row(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """At the beginning and at the end of what there is no difference runs over them; no file had them, it said."""
    apply(sqlite_db, COUNTER)
    values = [(0, "99"), (0, "98"), (1, "101"), (2, "102"), (3, "103"), (3, "104"), (6, "109")]
    rows = [(time_of(slot), value) for slot, value in (*values, (9, "120"), (9, "121"))]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", rows))
    with sqlite_db.read() as session:
        (device,) = load_days(session, "park", None, *JUNE).devices
    ((*states,),) = (day.states[:10] for day in device.days)
    assert states == [
        State.EMPTY,  # it ends with a value, and begins with two
        *[State.USED] * 5,
        *[State.ABSENT] * 2,
        State.EMPTY,  # it ends with two
        State.ABSENT,
    ]
    (found,) = quality(sqlite_db, "park", *JUNE)["devices"]
    assert (found["total"]["missing"], found["total"]["absent"]) == (139, 137)
    assert [(each["number"], each["readings"]) for each in found["reasons"]] == [
        (None, 137),
        (404, 6),
    ]


def test_a_registers_difference_fills_the_slots_between(db: Database, tmp_path: Path) -> None:
    apply(db, COUNTER)
    lines = [(0, "100"), (3, "101"), (4, "102"), (4, "103"), (5, "104"), (143, "105"), (145, "106")]
    lines += [(146, "1"), (147, "2"), (148, "3"), (148, "4"), (150, "5")]
    imported(db, write_csv(tmp_path / "a.csv", [(time_of(n), text) for n, text in lines]))
    (device,) = quality(db, "park", JUNE[0], date(2014, 6, 3))["devices"]
    assert [
        [day[key] for key in ("expected", "used", "missing", "outlier", "fell", "conflict")]
        for day in device["days"]
    ] == [[144, 144, 0, 0, 0, 1], [144, 5, 138, 1, 1, 1]]
    assert [(item["number"], item["readings"]) for item in device["reasons"]] == [
        (None, 138),
        (304, 1),
        (404, 4),
    ]
    # The energy over midnight began the day before, and belongs to the second day as well.
    (device,) = quality(db, "park", JUNE[1], date(2014, 6, 3))["devices"]
    assert (device["total"]["used"], device["total"]["fell"]) == (5, 1)
    (of_gaps,) = gaps(db, "park", JUNE[1], date(2014, 6, 3))["devices"]
    assert [(gap["slots"], gap["hours"]) for gap in of_gaps["gaps"]] == [(138, "23")]
    with db.read() as session:
        shown = rows_of(session, "park", "A", at=time_of(4))["rows"]
        found = {int(item.quality): item.readings for item in exclusions(session, "park")}
    assert [(row["kind"], row["text"], row["value"], row["number"]) for row in shown] == [
        ("energy", "101>104", "3", 100),
        ("register", "101", "101", 100),
        ("register", "102", "102", 404),
        ("register", "103", "103", 404),
        ("register", "104", "104", 100),
    ]
    assert found == {304: 1, 404: 4}


def test_a_daily_reading_is_one_slot_of_a_day_of_any_length(db: Database, tmp_path: Path) -> None:
    apply(
        db,
        SITE.replace('kind = "power"\nunit = "kW"', 'kind = "energy"\nunit = "kWh"').replace(
            "interval_minutes = 10", "interval_minutes = 1440"
        ),
    )
    lines = [("2014-03-29T00:00:00+01:00", "1"), ("2014-03-30T00:00:00+01:00", "2")]
    imported(db, write_csv(tmp_path / "a.csv", [*lines, ("2014-04-01T00:00:00+02:00", "3")]))
    (device,) = quality(db, "park")["devices"]
    assert [(day["expected"], day["used"]) for day in device["days"]] == [
        (1, 1),
        (1, 1),
        (1, 0),
        (1, 1),
    ]
    (of_gaps,) = gaps(db, "park", date(2014, 3, 29), date(2014, 4, 2))["devices"]
    assert [(gap["slots"], gap["hours"]) for gap in of_gaps["gaps"]] == [(1, "24")]
    (autumn,) = gaps(db, "park", date(2014, 10, 26), date(2014, 10, 27))["devices"]
    assert (autumn["missing"], autumn["hours"]) == (1, "25")


def test_hours_of_a_zone_that_turns_its_clock_by_half_an_hour(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """On Lord Howe Island no slot begins beside the change: what came after it lay across two, and hid gaps."""
    site = SITE.replace("Europe/Paris", "Australia/Lord_Howe")
    apply(sqlite_db, site.replace("interval_minutes = 10", "interval_minutes = 60"))
    lines = [("2024-04-07T01:00:00+11:00", "1"), ("2024-10-06T01:00:00+10:30", "1")]
    lines += [(f"2024-04-07T{hour:02d}:00:00+10:30", "1") for hour in range(2, 24, 2)]
    lines += [(f"2024-10-06T{hour:02d}:00:00+11:00", "1") for hour in range(3, 24, 2)]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", lines))
    for day, slots in ((date(2024, 4, 7), 24), (date(2024, 10, 6), 23)):
        after = day + timedelta(1)
        (device,) = quality(sqlite_db, "park", day, after)["devices"]
        assert (device["total"]["expected"], device["total"]["used"]) == (slots, 12)
        (of_gaps,) = gaps(sqlite_db, "park", day, after)["devices"]
        assert (of_gaps["missing"], len(of_gaps["gaps"])) == (slots - 12, slots - 12)
        with sqlite_db.read() as session:
            (reduction,) = reductions_for(session, "park-wind", day, after)
        assert (reduction.counts.expected, reduction.counts.used) == (slots, 12)


def test_a_whole_year_of_such_hours_lacks_none(sqlite_db: Database, tmp_path: Path) -> None:
    """The two halves beside its changes were counted as one slot, which nothing can fill: of 8784 one was missing.

    So a project that asks for all, or has an import meter, of which all are asked for, was refused for ever.
    """
    place = ZoneInfo("Australia/Lord_Howe")
    site = SITE.replace("Europe/Paris", place.key).replace("_minutes = 10", "_minutes = 60")
    apply(sqlite_db, site.replace('completeness_min = "0"', 'completeness_min = "1"'))
    hours = [datetime(2024, 1, 1) + timedelta(hours=number) for number in range(366 * 24)]
    hours.remove(datetime(2024, 10, 6, 2))  # the clock goes from 02:00 to 02:30
    lines = [(hour.replace(tzinfo=place).isoformat(), "1") for hour in hours]
    imported(sqlite_db, write_csv(tmp_path / "a.csv", lines))
    year = date(2024, 1, 1), date(2025, 1, 1)
    with sqlite_db.read() as session:
        (reduction,) = reductions_for(session, "park-wind", *year)
    counts = reduction.counts
    assert (counts.expected, counts.used, counts.missing) == (8783, 8783, 0)
    assert build(reduction)["meters"][0]["readings"]["missing"] == 0
    (device,) = quality(sqlite_db, "park", *year)["devices"]
    assert device["total"]["expected"] == 8783


slots = st.dictionaries(
    st.integers(0, 2 * 144 - 1), st.sampled_from(["1", "", "500", "-6"]), max_size=25
)


@settings(
    max_examples=times(4, 25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(slots)
def test_gaps_are_the_slots_without_a_value_and_no_other(
    sqlite_db: Database, tmp_path: Path, texts: dict[int, str]
) -> None:
    apply(sqlite_db)
    with sqlite_db.write() as session:
        session.execute(delete(MeterReading))
        session.execute(delete(ImportFile))
    if texts:
        imported(
            sqlite_db,
            write_csv(tmp_path / "a.csv", [(time_of(n), text) for n, text in texts.items()]),
        )
    (device,) = gaps(sqlite_db, "park", JUNE[0], date(2014, 6, 3))["devices"]
    covered = [MIDNIGHT + timedelta(minutes=10 * n) for n in range(288) if not texts.get(n, "")]
    said = []
    last = None
    for gap in device["gaps"]:
        assert last is None or last < gap["from"]  # no two touch
        last = gap["to"]
        steps = (gap["to"] - gap["from"]) // timedelta(minutes=10)
        assert steps == gap["slots"]
        said += [gap["from"] + timedelta(minutes=10 * n) for n in range(steps)]
    assert said == covered
    assert device["missing"] == len(covered)


def test_a_late_or_superseded_row_never_hides_what_counts() -> None:
    day = Day(JUNE[0], 0, 1200, 600)
    for state in (State.LATE, State.EMPTY, State.USED, State.LATE, State.EMPTY):
        day.fill(0, 600, state)
    day.fill(600, 1200, State.EMPTY)
    day.fill(600, 1200, State.LATE)
    assert list(day.states) == [State.USED, State.LATE]


# ------------------------------------------------------------------ what is asked wrongly


def test_a_period_that_ends_where_it_begins_is_empty(sqlite_db: Database) -> None:
    apply(sqlite_db)
    with sqlite_db.read() as session, pytest.raises(BadInput, match="is empty: the end is excl"):
        load_days(session, "park", None, JUNE[0], JUNE[0])


def test_what_is_not_there_is_named_with_what_is(sqlite_db: Database) -> None:
    with sqlite_db.read() as session, pytest.raises(NotFound, match="no site 'x'; there is: none"):
        load_days(session, "x")
    apply(sqlite_db)
    with sqlite_db.read() as session:
        with pytest.raises(NotFound, match="no site 'x'; there is: park"):
            load_days(session, "x")
        with pytest.raises(NotFound, match="site 'park' has no device 'B'; it has: A"):
            load_days(session, "park", "B")
        for one_end in ((None, None), (JUNE[0], None), (None, JUNE[1])):
            with pytest.raises(BadInput, match="site 'park' has no reading of these devices"):
                load_days(session, "park", None, *one_end)
        assert load_days(session, "park", None, *JUNE).devices[0].interval_s == 600
        with pytest.raises(BadInput, match="from 2014-06-02 to 2014-06-01 is empty"):
            load_days(session, "park", None, JUNE[1], JUNE[0])
        with pytest.raises(BadInput, match="be no longer than 50 years"):
            load_days(session, "park", None, date(1971, 1, 1), date(2100, 1, 1))
        with pytest.raises(BadInput, match="must lie between 1970-01-02 and 2106-01-01"):
            load_days(session, "park", None, date(1, 1, 1), date(2, 1, 1))


def test_a_reading_far_off_the_others_is_named_with_what_to_do(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db)
    rows = [(time_of(0), "1"), ("2104-06-01T00:00:00+02:00", "2"), (time_of(1), "3")]
    imported(sqlite_db, write_csv(tmp_path / "typed.csv", rows))
    said = (
        r"no longer than 50 years; give the period, from and to; far off from the others lies the reading of "
        r"2104-06-01T00:00:00\+02:00 \(typed.csv line 3\)"
    )
    with sqlite_db.read() as session:
        for asked in (
            (),
            (None, JUNE[0]),
        ):  # what is not given reaches as far as there are readings
            with pytest.raises(BadInput, match=said):
                load_days(session, "park", *asked)
        loaded = load_days(session, "park", None, None, JUNE[1])
    assert [day.day for day in loaded.devices[0].days] == [JUNE[0]]
    assert gaps(sqlite_db, "park", *JUNE)["devices"][0]["missing"] == 142


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({}, "give --at TIME, or both --from and --to"),
        ({"start": "2014-06-01"}, "give --at TIME, or both --from and --to"),
        (
            {"at": "2014-06-01T00:00", "end": "2014-06-02"},
            "give --at TIME, or both --from and --to",
        ),
        ({"at": "noon"}, "--at: 'noon' is not a time"),
        ({"at": "2014-06-01"}, "for a whole day give --from and --to"),
        (
            {"at": "2014-10-26T02:10"},
            "comes twice in Europe/Paris .clock change.; write its offset",
        ),
        ({"at": "2014-03-30T02:10"}, "does not exist in Europe/Paris"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "is not between 1970 and 2106"),
        ({"start": "2014-06-02", "end": "2014-06-01"}, "is empty"),
        ({"start": "2014-06-01", "end": "2014-06-01"}, "is empty"),
        ({"start": "9999-12-31", "end": "2014-06-01"}, "is not between 1970 and 2106"),
    ],
)
def test_a_time_that_cannot_be_meant_is_said(
    sqlite_db: Database, given_: dict[str, str], said: str
) -> None:
    apply(sqlite_db)
    with sqlite_db.read() as session, pytest.raises(BadInput, match=said):
        rows_of(session, "park", None, **given_)


def test_a_range_of_more_rows_than_are_read_by_a_person_is_refused(real: Database) -> None:
    with real.read() as session:
        day = rows_of(session, "lhb", None, start="2014-06-01", end="2014-06-02")
        assert len(day["rows"]) == 144
        with pytest.raises(BadInput, match="more than 1,000 rows; take a shorter range"):
            rows_of(session, "lhb", None, start="2014-06-01", end="2014-06-07T22:50")
        most = rows_of(session, "lhb", None, start="2014-06-01", end="2014-06-07T22:40")
        assert len(most["rows"]) == 1000
