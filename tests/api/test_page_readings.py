"""What the page of a credit shows of its readings, against rows that were written here one by one."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from api.pages.days import Place, day_of, days_beside
from api.pages.readings import ABSENT, Month, Run, chart_of, month_of
from ledger.db import Database
from ledger.errors import BadInput, NotFound
from ledger.models import Issuance, MeterReading
from ledger.readings.imports.selected import Which
from ledger.readings.imports.withdrawing import withdraw
from tests.ledger.test_import_counters import COUNTER
from tests.support.books import new_books
from tests.support.plant import SITE, apply, imported, issue, write_csv

PARIS = ZoneInfo("Europe/Paris")
FIRST, END = date(2014, 3, 29), date(2014, 4, 2)
"""Four days over the end of a month; the second has 23 hours."""


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """10 kW in every slot but: hour 0 to 1 of the first day in no file, one outlier, one empty, one conflict."""
    folder: Path = tmp_path_factory.mktemp("readings")
    db = new_books(folder / "books.db")
    apply(db)
    moment = datetime(2014, 3, 29, tzinfo=PARIS).astimezone(UTC)
    end = datetime(2014, 4, 2, tzinfo=PARIS).astimezone(UTC)
    rows, slot = [], 0
    while moment < end:
        text = {10: "9999", 11: ""}.get(slot, "10")
        if slot >= 6:
            rows.append((moment.isoformat(), text))
        if slot == 200:
            rows.append((moment.isoformat(), "7.5"))
        moment, slot = moment + timedelta(minutes=10), slot + 1
    imported(db, write_csv(folder / "a.csv", rows))
    issue(db, (FIRST, END))
    yield db
    db.close()


def of(db: Database, wanted: str | None = None) -> Month:
    with db.read() as session:
        return month_of(session, session.scalars(select(Issuance)).one(), wanted)


def test_a_period_is_shown_by_month(books: Database) -> None:
    march, april = of(books), of(books, "2014-04")
    assert (march.start, march.end) == (FIRST, date(2014, 4, 1))
    assert (april.start, april.end) == (date(2014, 4, 1), END)
    for month in (march, april):
        assert month.months == [FIRST, date(2014, 4, 1)]
    for wanted in ("2014-05", "march", "", "2014-4", "<script>"):
        with pytest.raises(BadInput, match="2014-03, 2014-04"):
            of(books, wanted)


def test_days_and_what_does_not_count(books: Database) -> None:
    (meter,) = of(books).meters
    # 10 kW for ten minutes are 5/3 kWh.
    each = Fraction(5, 3)
    assert [
        (day.day.day, day.used, day.excluded, day.absent, day.quantity) for day in meter.days
    ] == [
        (29, 136, 2, 6, 136 * each),
        (30, 138, 1, 0, 137 * each + Fraction(5, 4)),
        (31, 144, 0, 0, 144 * each),
    ]
    assert meter.counts() == [(ABSENT, 6), (200, 1), (301, 1), (401, 1)]
    runs = [
        (
            run.start("Europe/Paris")[8:],
            run.end("Europe/Paris")[8:],
            run.quality,
            run.count,
            run.text,
        )
        for run in meter.runs
    ]
    assert runs == [
        ("29 00:00", "29 01:00", ABSENT, 6, ""),
        ("29 01:40", "29 01:50", 301, 1, "9999"),
        ("29 01:50", "29 02:00", 200, 1, ""),
        ("30 10:20", "30 10:30", 401, 1, "10"),
    ]
    assert (meter.unit, meter.quantity_unit, meter.rated_kw) == ("kW", "kWh", "100")


def test_an_hour_that_comes_twice_says_which() -> None:
    """Europe/Paris, 26 October 2014: the second 02:00 began at 01:00 UTC."""
    first = int(datetime(2014, 10, 26, tzinfo=UTC).timestamp())
    for from_s, to_s, start, end in (
        (first, first + 3600, "02:00 +0200", "02:00 +0100"),
        (first - 600, first + 7200, "01:50", "03:00"),
        (first + 6600, first + 7200, "02:50 +0100", "03:00"),
    ):
        run = Run(from_s, to_s, ABSENT, 6, "")
        shown = [text[11:] for text in (run.start("Europe/Paris"), run.end("Europe/Paris"))]
        assert shown == [start, end]


def test_the_chart_has_every_reading(books: Database) -> None:
    (meter,) = chart_of(of(books))["meters"]
    assert (
        len(meter["start"])
        == len(meter["value"])
        == len(meter["quality"])
        == 144 + 138 + 144 - 6 + 1
    )
    by_quality = {number: meter["quality"].count(number) for number in set(meter["quality"])}
    assert by_quality == {100: 417, 101: 1, 200: 1, 301: 1, 401: 1}
    assert [
        value
        for value, quality in zip(meter["value"], meter["quality"], strict=True)
        if quality in (101, 200, 301)
    ] == [
        "9999",
        None,
        "7.5",
    ]
    assert meter["absent"] == [[1_396_047_600, 1_396_051_200]]


def test_a_day_has_each_reading_as_received(books: Database) -> None:
    with books.read() as session:
        issuance = session.scalars(select(Issuance)).one()
        (meter,) = day_of(session, issuance, date(2014, 3, 30))
        for day in (date(2014, 3, 28), END, date(1, 1, 1), date(9999, 12, 31)):
            with pytest.raises(NotFound):
                day_of(session, issuance, day)
        rows = {row.id: row for row in session.scalars(select(MeterReading))}
        shown = {
            item.place.number: (int(item.start.timestamp()), item.text, item.place.line)
            for item in meter.items
            if item.place
        }
        assert shown == {
            number: (rows[number].start_s, rows[number].text, rows[number].line)
            for number in shown
            if number
        }
    assert len(meter.items) == len(shown) == 139
    first, last = meter.items[0].place, meter.items[-1].place
    assert first and (first.file, first.line) == ("a.csv", 2 + 144 - 6)
    assert last and last.line == first.line + 138
    pair = [item for item in meter.items if item.quality != 100]
    assert [(item.start.isoformat(), item.text, item.quality, item.counts) for item in pair] == [
        ("2014-03-30T10:20:00+02:00", "10", 401, False),
        ("2014-03-30T10:20:00+02:00", "7.5", 101, True),
    ]


def test_a_value_that_was_taken_back_is_none_beside_the_one_that_counts(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Page and chart had it as 0."""
    apply(sqlite_db)
    start = datetime(2014, 6, 1, 8, tzinfo=UTC)
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [(start.isoformat(), "60")]))
    imported(sqlite_db, write_csv(tmp_path / "b.csv", [(start.isoformat(), "6")]))
    which = Which(at_s=int(start.timestamp()), text="6")
    with sqlite_db.write() as session:
        withdraw(session, "park", "A", which, "a slip")
    issue(sqlite_db)
    with sqlite_db.read() as session:
        issuance = session.scalars(select(Issuance)).one()
        (day,) = day_of(session, issuance, issuance.from_date)
        (meter,) = chart_of(month_of(session, issuance, None))["meters"]
    assert [(item.text, item.value, item.quality) for item in day.items] == [
        ("6", None, 403),
        ("60", "60", 100),
    ]
    assert meter["value"] == [None, "60"]
    assert day.as_received


def test_a_day_leads_to_those_beside_it_in_the_period(books: Database) -> None:
    with books.read() as session:
        issuance = session.scalars(select(Issuance)).one()
    days = [
        [each.isoformat()[5:] for each in days_beside(issuance, day)]
        for day in (FIRST, FIRST + timedelta(days=1), END - timedelta(days=1))
    ]
    assert days == [["03-29", "03-30"], ["03-29", "03-30", "03-31"], ["03-31", "04-01"]]


def test_a_value_of_a_register_that_counts_nowhere_says_its_line(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """It stands in no interval, and so has no proof of its own."""
    apply(sqlite_db, COUNTER)
    moment = datetime(2014, 3, 31, tzinfo=PARIS)
    rows = [((moment + timedelta(minutes=10 * slot)).isoformat(), str(slot)) for slot in range(145)]
    rows.insert(10, (rows[9][0], ""))
    imported(sqlite_db, write_csv(tmp_path / "a.csv", rows))
    issue(sqlite_db, (date(2014, 3, 31), date(2014, 4, 1)))
    with sqlite_db.read() as session:
        issuance = session.scalars(select(Issuance)).one()
        (meter,) = day_of(session, issuance, date(2014, 3, 31))
    odd = [item for item in meter.items if not item.counts]
    assert [(item.text, item.quality, item.place) for item in odd] == [
        ("", 403, Place("a.csv", 12, None, None))
    ]
    # A difference is told by the line of its later value.
    assert [item.place.line for item in meter.items[:3] if item.place] == [3, 4, 5]


def test_daily_readings_that_lack_on_the_day_of_23_hours(
    sqlite_db: Database, tmp_path: Path
) -> None:
    apply(sqlite_db, SITE.replace("interval_minutes = 10", "interval_minutes = 1440"))
    imported(sqlite_db, write_csv(tmp_path / "a.csv", [("2014-03-28T00:00:00+01:00", "1")]))
    issue(sqlite_db, (date(2014, 3, 28), date(2014, 4, 1)))
    (meter,) = of(sqlite_db).meters
    assert [(day.used, day.absent) for day in meter.days] == [(1, 0), (0, 1), (0, 1), (0, 1)]
    assert meter.counts() == [(ABSENT, 3)]


def test_a_register_that_was_not_read_over_the_end_of_a_month_leaves_no_hole(
    sqlite_db: Database, tmp_path: Path
) -> None:
    """Read every ten minutes, but for 31 March 22:00 to 1 April 02:00: one difference lies over the midnight."""
    apply(sqlite_db, COUNTER)
    moment = datetime(2014, 3, 31, tzinfo=PARIS)
    rows = []
    for slot in range(2 * 144 + 1):
        if not 132 < slot < 156:
            rows.append(((moment + timedelta(minutes=10 * slot)).isoformat(), str(slot)))
    imported(sqlite_db, write_csv(tmp_path / "a.csv", rows))
    issue(sqlite_db, (date(2014, 3, 31), date(2014, 4, 2)))
    (march,), (april,) = (of(sqlite_db, name).meters for name in ("2014-03", "2014-04"))
    assert [(day.used, day.absent, day.quantity) for day in march.days] == [(133, 0, 156)]
    assert [(day.used, day.absent, day.quantity) for day in april.days] == [(132, 0, 132)]
    assert march.runs == april.runs == []
    (row,) = [row for row in april.readings if row.end_s - row.start_s > 600]
    assert (row.start_s, row.end_s - row.start_s) == (1_396_296_000, 4 * 3600)
