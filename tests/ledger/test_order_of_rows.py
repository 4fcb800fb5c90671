"""What the order of a file's rows says of clocks and intervals, row by row, without a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.readings.files.clocks import Doubled, DoubledHours, Notes
from ledger.reductions.zones import zone
from tests.support.forms import times

PARIS = zone("Europe/Paris")
TEN_MINUTES, HOUR, DAY = 600, 3600, 86_400


def noted(
    *starts: int, interval_s: int = TEN_MINUTES, device: str = "A", regular: bool = True
) -> Notes:
    notes = Notes()
    notes.expect(interval_s, UTC, regular=regular)
    for line, start_s in enumerate(starts):
        notes.pass_time(device, start_s, line)
    return notes


def rising(count: int, step_s: int) -> list[int]:
    return [step_s * number for number in range(count)]


# ----------------------------------------------------------------- how far rows are apart


def test_rows_are_said_to_be_apart_from_eight_steps_of_two_intervals_on() -> None:
    said = {"device": "A", "devices": 1, "minutes": 20, "interval_minutes": 10}
    assert noted(*rising(9, 1200)).spacing() == said
    assert noted(*rising(9, 1200)[::-1]).spacing() == said  # the newest first
    assert noted(*rising(8, 1200)).spacing() is None
    assert noted(*rising(9, 1140)).spacing() is None
    twice = [start_s for start_s in rising(9, 1200) for _ in range(2)]
    assert noted(*twice).spacing() == said  # a row that is there twice is no step


def test_of_a_register_nothing_is_said_of_how_far_its_rows_are_apart() -> None:
    """It may be read at any time."""
    for regular in (True, False):
        notes = noted(*rising(99, 1200), regular=regular)
        assert bool(notes.sparse()) is bool(notes.spacing()) is regular


def test_rows_in_no_order_say_nothing_of_how_far_they_are_apart() -> None:
    """One step of ten may turn back, two of nineteen may not."""
    back = -6000
    once = [*rising(6, 1200), *(back + start_s for start_s in rising(5, 1200))]
    found = noted(*once).spacing()
    assert found is not None and found["minutes"] == 20
    twice = [*once, *(2 * back + start_s for start_s in rising(9, 1200))]
    assert len(twice) == 20
    assert noted(*twice).spacing() is None


def test_the_first_thousand_rows_of_each_device_say_it() -> None:
    starts = [*rising(1000, 600), *(10**6 + start_s for start_s in rising(3000, 1200))]
    assert noted(*starts).spacing() is None
    both = noted(*rising(9, 1200))
    for line, start_s in enumerate(rising(9, 1800)):
        both.pass_time("B", start_s, line)
    assert both.spacing() == {"device": "A", "devices": 2, "minutes": 20, "interval_minutes": 10}


# ----------------------------------------------------------------- where a clock jumps


@pytest.mark.parametrize(
    ("interval_s", "step_s", "jumps"),
    [
        (HOUR, DAY, 0),
        (HOUR, DAY + 1, 1),
        (DAY, 2 * DAY + HOUR, 0),  # a day is missing, and another one has 25 hours
        (DAY, 2 * DAY + HOUR + 1, 1),
    ],
)
def test_a_step_of_more_than_a_day_is_a_jump(interval_s: int, step_s: int, jumps: int) -> None:
    starts = [0, HOUR, 2 * HOUR, 2 * HOUR + step_s, 3 * HOUR + step_s, 4 * HOUR + step_s]
    assert noted(*starts, interval_s=interval_s).jumps == jumps
    assert noted(*starts[::-1], interval_s=interval_s).jumps == jumps


def test_of_two_orders_that_are_kept_alike_it_is_the_oldest_first() -> None:
    (jump,) = noted(0, TEN_MINUTES, 0).clock_jumps
    assert jump["line"] == 2


@pytest.mark.parametrize(
    ("time_zone", "hours", "zones"),
    [
        ("Europe/Paris", 1.0, '"UTC" or "Etc/GMT-1"'),
        ("America/New_York", -5.0, '"UTC" or "Etc/GMT+5"'),
        ("America/St_Johns", -3.5, '"UTC" or "-03:30"'),
        ("Australia/Lord_Howe", 10.5, '"UTC" or "+10:30"'),
        ("Europe/London", 0.0, '"UTC"'),
    ],
)
def test_a_clock_that_does_not_change_is_named(time_zone: str, hours: float, zones: str) -> None:
    notes = noted()
    notes.pass_skipped("A", time_zone, timedelta(hours=hours))
    assert notes.hints() == []  # the autumn is not there yet
    notes = noted()
    notes.pass_doubled("A", datetime(2014, 10, 26, 2))
    assert notes.hints() == []
    notes.pass_skipped("A", time_zone, timedelta(hours=hours))
    (hint,) = notes.hints()
    assert hint.endswith(f"write time_zone = {zones}")
    notes.pass_doubled("B", datetime(2014, 10, 26, 2))
    assert len(notes.hints()) == 1
    notes.pass_doubled("A", datetime(2014, 10, 26, 2))  # an hour that comes twice
    assert notes.hints() == []


# ----------------------------------------------------------------- an hour that comes twice


def doubled(minute: int, cell: str = "1", year: int = 2014, day: int = 26) -> Doubled:
    wall = datetime(year, 10, day, 2, minute)
    first = wall.replace(tzinfo=PARIS)
    return Doubled("A", 1, cell, wall.isoformat(), wall, first, first.replace(fold=1))


EARLIER = int(datetime(2014, 10, 25, 23, 30, tzinfo=UTC).timestamp())
LATER = int(datetime(2014, 10, 26, 2, tzinfo=UTC).timestamp())


def decided(
    rows: list[Doubled], last_s: int | None, next_s: int | None, interval_s: int = 1800
) -> str:
    """Return of each row whether it is before the change (b) or after it (a); - where nobody knows."""
    hours = DoubledHours(interval_s)
    assert list(hours.close("A", last_s)) == []
    found = [item for row in rows for item in hours.add(row)]
    found += hours.rest() if next_s is None else hours.close("A", next_s)
    assert [row for row, _ in found] == rows
    letters = {None: "-"}
    return "".join(
        letters.get(at) or ("b" if at == row.before and at.fold == 0 else "a") for row, at in found
    )


@pytest.mark.parametrize(
    ("minutes", "last_s", "next_s", "said"),
    [
        ((0, 30, 0, 30), EARLIER, LATER, "bbaa"),
        ((0, 30, 0, 30), None, None, "bbaa"),
        ((30, 0, 30, 0), LATER, EARLIER, "aabb"),
        ((30, 0), EARLIER, LATER, "ba"),  # the other two are missing
        ((30, 0), None, None, "--"),  # or it is one pass, the newest first
        ((0, 30), EARLIER, LATER, "--"),
        ((0, 30, 0, 30, 0), EARLIER, LATER, "-----"),
        ((0, 30, 0, 30), LATER, LATER, "----"),
        ((0, 30, 0, 30), EARLIER, EARLIER, "----"),
        ((30, 0, 30, 0), LATER, LATER, "----"),
        ((30, 0, 30, 0), EARLIER, EARLIER, "----"),
        ((30, 30, 0, 30), LATER, EARLIER, "aaab"),  # one row twice
        ((0, 0), EARLIER, LATER, "--"),  # of one pass: one row twice, or a conflict
    ],
)
def test_which_pass_a_row_is_of(
    minutes: tuple[int, ...], last_s: int | None, next_s: int | None, said: str
) -> None:
    rows = [doubled(minute, str(place)) for place, minute in enumerate(minutes)]
    assert decided(rows, last_s, next_s) == said


@pytest.mark.parametrize(
    ("cells", "last_s", "next_s", "said"),
    [
        ("12", EARLIER, LATER, "ba"),
        ("12", LATER, EARLIER, "ab"),
        ("12", EARLIER, None, "ba"),
        ("12", None, EARLIER, "ab"),
        ("12", None, None, "--"),
        ("11", EARLIER, LATER, "--"),  # may be one row twice
        ("123", EARLIER, LATER, "---"),
    ],
)
def test_where_each_pass_is_one_row(
    cells: str, last_s: int | None, next_s: int | None, said: str
) -> None:
    assert decided([doubled(0, cell) for cell in cells], last_s, next_s, HOUR) == said


@settings(max_examples=times(60, 600))
@given(
    st.sampled_from([5, 15, 30, 60]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sets(st.integers(0, 23)),
)
def test_what_the_order_decides_is_the_moment_that_a_row_was_written_at(
    minutes: int, newest_first: bool, begun: bool, ended: bool, missing: set[int]
) -> None:
    """A meter writes by the clock of the wall, and some of its rows are lost."""
    of_hour = 60 // minutes
    moments = [
        datetime(2014, 10, 26, tzinfo=UTC) + timedelta(minutes=minutes * place)
        for place in range(2 * of_hour)
        if place not in missing
    ]
    rows = [
        doubled(moment.astimezone(PARIS).minute, moment.isoformat())
        for moment in moments[:: -1 if newest_first else 1]
    ]
    last_s, next_s = EARLIER if begun else None, LATER if ended else None
    if newest_first:
        last_s, next_s = next_s, last_s
    said = decided(rows, last_s, next_s, minutes * 60)
    truth = "".join("b" if row.cell < "2014-10-26T01" else "a" for row in rows)
    assert said in (truth, "-" * len(rows))
    # Nothing is lost, and the rows around it stand there: all is known.
    if begun and ended and len(rows) == 2 * of_hour:
        assert said == truth


def test_each_year_s_hour_is_decided_by_itself() -> None:
    """The rows of the one are followed by nothing but those of the next."""
    rows = [doubled(0), doubled(30), doubled(0), doubled(0, year=2015, day=25)]
    assert decided(rows, EARLIER, None) == "bba-"
    rows += [doubled(30, year=2016, day=30), doubled(0, year=2016, day=30)]
    assert decided(rows, EARLIER, None) == "bba-ba"  # not the newest first: 2014 came before


def test_rows_of_one_hour_that_are_too_many_wait_no_longer() -> None:
    hours = DoubledHours(1800)
    rows = [doubled(0)] * 10_001
    found = [item for row in rows for item in hours.add(row)]
    assert found == [(rows[0], None)]
    assert len(list(hours.rest())) == 10_000
