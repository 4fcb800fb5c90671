"""Which period may be planned, and which issuance is sent next: each rule at its boundary, on books alone."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from ledger.db import Database
from ledger.errors import Refused
from ledger.issuance import begun, checks, fail, forgotten, states
from ledger.issuance.taking_up import rivals
from ledger.models import (
    ChainIntent,
    CreditBatch,
    CreditSite,
    Device,
    Issuance,
    Meter,
    Project,
    ReadingClaim,
)
from ledger.models.issuance import IssuanceState
from ledger.models.sending import IntentState
from ledger.readings.periods.period import skipped_before
from ledger.registration import ChainSite
from tests.support.issued import Books, at_s, on, written_books
from tests.support.plant import apply, imported, write_csv

SITE = ChainSite(class_id=1, project_id=2, site_id=2, owner="0x" + "a" * 40)
PLANNED, ISSUED, VOID = IssuanceState.PLANNED, IssuanceState.ISSUED, IssuanceState.VOID
WAITS = {"state": PLANNED, "intent": IntentState.PLANNED}


@pytest.fixture
def books(sqlite_db: Database) -> Iterator[Books]:
    with written_books(sqlite_db) as written:
        yield written


def inputs(first: int, end: int) -> Any:
    """Return what the checks ask of a period."""
    return SimpleNamespace(
        from_s=at_s(first),
        to_s=at_s(end),
        from_date=on(first),
        to_date=on(end),
        vintage=on(first).year,
    )


def minted(books: Books, until: int) -> None:
    books.session.get_one(CreditSite, 2).minted_until_s = at_s(until)
    books.session.flush()


def code_of(check: Any, *arguments: Any) -> str | None:
    """Return why a check refuses; None: it does not."""
    try:
        check(*arguments)
    except Refused as refusal:
        return refusal.code
    return None


# ------------------------------------------------------------------------------- what is free


def test_what_is_free(books: Books) -> None:
    books.issued(5, 7)
    books.issued(9, 10, project=books.other)
    books.issued(9, 10, state=VOID)

    def taken(first: int, end: int) -> bool:
        span = at_s(first), at_s(end)
        code = code_of(checks.check_free, books.session, books.project.id, *span)
        assert code in (None, "period-already-issued")
        return code is not None

    spans = [(4, 5), (4, 6), (5, 7), (6, 8), (4, 8), (5, 6), (7, 8), (9, 10)]
    assert [taken(*span) for span in spans] == [False, *[True] * 5, False, False]


@pytest.mark.parametrize(
    ("intent", "goes_on"),
    [(IntentState.PLANNED, True), (IntentState.CONFIRMED, False), (None, False)],
)
def test_whether_the_one_that_has_it_goes_on(
    books: Books, intent: IntentState | None, goes_on: bool
) -> None:
    books.issued(5, 7, intent=intent)
    with pytest.raises(Refused) as caught:
        checks.check_free(books.session, books.project.id, at_s(6), at_s(8))
    assert caught.value.message.endswith("goes on with it") is goes_on


# ------------------------------------------------------------------------------- whose turn it is


def test_the_turn_of_a_regular_one(books: Books) -> None:
    def refused(first: int, end: int) -> bool:
        arguments = books.session, books.project, SITE, inputs(first, end)
        return code_of(checks.check_turn, *arguments) == "period-overtaken"

    minted(books, 5)
    assert [refused(*span) for span in ((4, 5), (4, 6), (5, 6), (6, 7))] == [
        True,
        True,
        False,
        False,
    ]
    books.issued(8, 9, project=books.other)
    books.issued(8, 9, state=VOID)
    assert not refused(6, 7)
    books.issued(8, 9, **WAITS)
    assert [refused(*span) for span in ((6, 7), (7, 8), (8, 9), (9, 10))] == [
        True,
        True,
        False,
        False,
    ]


def test_what_waits_is_named_before_what_is_issued(books: Books) -> None:
    def later() -> tuple[str, str]:
        found = checks._later(books.session, books.project, inputs(1, 2))
        assert found is not None
        return found.state.value, str(found.from_date)

    books.issued(3, 4)
    books.issued(2, 3)
    assert later() == ("issued", "2014-01-02")
    books.issued(9, 10, **WAITS)
    books.issued(7, 8, **WAITS)
    assert later() == ("planned", "2014-01-07")


# ------------------------------------------------------------------------------------------ gaps


@pytest.fixture
def negative(sqlite_db: Database, tmp_path: Path) -> Iterator[None]:
    """The third day is a deficit, 2 kW for 24 h; nothing is known of any other."""
    apply(sqlite_db)
    first = datetime.fromtimestamp(at_s(3), UTC)
    rows = [((first + timedelta(minutes=10 * slot)).isoformat(), "-2") for slot in range(144)]
    assert imported(sqlite_db, write_csv(tmp_path / "meter.csv", rows)).rejected == 0
    return


@pytest.mark.usefixtures("negative")
class TestGaps:
    """Around the third day."""

    @staticmethod
    def left_out(books: Books, first: int) -> bool:
        skipped = skipped_before(books.session, books.project, on(first), on(first + 1))
        code = code_of(checks.check_gap, skipped, on(first))
        assert code in (None, "deficit-left-out")
        return code is not None

    def test_since_the_last_one_before_it(self, books: Books) -> None:
        assert not self.left_out(books, 5)  # nothing is asked for before a first issuance
        books.issued(3, 5, project=books.other)
        books.issued(-3, -2)
        books.issued(3, 4, state=VOID)
        books.issued(5, 6)
        assert [self.left_out(books, day) for day in (3, 4, 5)] == [False, True, True]
        books.issued(3, 4)
        assert not self.left_out(books, 5)

    def test_since_what_the_chain_has(self, books: Books) -> None:
        books.issued(1, 2)
        minted(books, 4)
        assert [self.left_out(books, day) for day in (4, 5)] == [False, False]
        minted(books, 3)
        assert self.left_out(books, 5)
        minted(books, 9)  # later than the period: it says nothing of the days before
        assert self.left_out(books, 5)
        books.issued(3, 4)
        minted(books, 3)  # less than the books know
        assert not self.left_out(books, 5)

    def test_what_is_owed_from_before_is_no_deficit_of_the_days(self, books: Books) -> None:
        """Nor does a remainder make up for one of theirs."""
        first = books.issued(1, 2, "0 0.9")
        books.owed(first, "5")
        assert not self.left_out(books, 3)

    def test_what_only_the_chain_knows(self, books: Books) -> None:
        minted(books, 2)
        assert self.left_out(books, 5)
        assert books.enters(5) == "0"  # it has to be in the period: it does not enter it besides
        minted(books, 4)
        assert not self.left_out(books, 5)

    def test_beside_a_backfill(self, books: Books) -> None:
        def gap(first: int, end: int) -> checks.Gap:
            arguments = books.session, books.project, SITE, inputs(first, end)
            return checks.check_backfill(*arguments)

        def code(first: int, end: int) -> str | None:
            return code_of(gap, first, end)

        assert code(4, 5) == "no-backfill"
        books.batch(8, 9, ordinal=1)
        books.batch(6, 7, site=3, ordinal=1, gap_start_s=at_s(5))
        assert gap(4, 5) == checks.Gap(1, None, on(8))
        assert code(1, 2) == "deficit-left-out"  # behind it; before it nothing is asked for
        assert code(7, 9) == code(8, 9) == "period-already-issued"
        assert gap(7, 8).end == on(8)
        books.batch(1, 2, ordinal=2)
        books.session.connection().exec_driver_sql(
            f"UPDATE credit_batches SET gap_start_s = {at_s(2)} WHERE batch_id = {2 << 32 | 1}"
        )
        books.session.expire_all()
        assert code(4, 5) == "deficit-left-out"
        assert gap(2, 5) == checks.Gap(1, on(2), on(8))
        assert code(1, 5) == "period-already-issued"
        books.issued(3, 4, state=VOID)
        books.issued(3, 4, project=books.other)
        assert code(4, 5) == "deficit-left-out"
        books.issued(3, 4)  # another backfill, that is on its way
        assert gap(4, 5).start == on(4)
        assert gap(5, 6).start == on(4)
        books.issued(-5, -4)
        assert gap(4, 5).start == on(4)

    def test_what_waits_comes_first(self, books: Books) -> None:
        books.batch(8, 9, ordinal=1)
        arguments = books.session, books.project, SITE, inputs(4, 5)
        books.issued(8, 9)
        assert code_of(checks.check_backfill, *arguments) is None
        books.issued(9, 10, **WAITS)
        assert code_of(checks.check_backfill, *arguments) == "not-final"

    def test_the_nearest_batch_ends_the_gap(self, books: Books) -> None:
        books.batch(8, 9, ordinal=1)
        books.batch(6, 7, ordinal=2)
        arguments = books.session, books.project, SITE, inputs(4, 5)
        assert checks.check_backfill(*arguments) == checks.Gap(2, None, on(6))

    @pytest.mark.parametrize(
        ("after", "corrections", "taken_in"),
        [
            ("-25", [], True),
            ("-24", [], True),
            ("-23.999", [], False),
            ("-24", ["-0.001"], False),  # of a correction, and not of the days
            ("-24.001", ["-0.001"], True),
        ],
    )
    def test_a_deficit_of_another_year_is_taken_in_whole_or_not_at_all(
        self, books: Books, after: str, corrections: list[str], taken_in: bool
    ) -> None:
        """By the next issuance of the next year: what is left out of the days before it may be picked from then."""
        books.issued(1, 2)
        named = {"key": "0x1", "cause": "", "from": "2014-01-01", "to": "2014-01-02"}
        owed = [named | {"carried_kg": text} for text in corrections]
        year = date(2015, 1, 1)

        def found() -> bool:
            return checks._is_taken_in(books.session, books.project, year, at_s(400))

        books.issued(390, 400, "-99 0")  # not after it
        books.issued(400, 401, "-99 0", state=VOID)
        books.issued(400, 401, "-99 0", project=books.other)
        books.issued(401, 402, "-99 0", before=2)  # a backfill: nothing enters it
        assert not found()
        books.issued(405, 406, f"{after} 0", corrections=owed)
        assert found() is taken_in
        books.issued(407, 408, "0 0" if taken_in else "-99 0")
        assert found() is taken_in

    def test_what_nothing_came_before_is_taken_in_by_nothing(self, books: Books) -> None:
        """The first issuance is of 2015. Of the days from a backfill of 2013 on, none has entered it."""
        books.batch(370, 371, ordinal=1)
        books.issued(370, 371)
        arguments = books.session, books.project, SITE
        found = [
            code_of(checks.check_backfill, *arguments, inputs(*days)) for days in ((-5, -4), (4, 5))
        ]
        assert found == ["deficit-left-out", None]  # before a backfill of 2014 nothing is asked for


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        (
            (-9, 40),
            "extend the period within what was left out of 2014 there, 2014-01-01 to 2014-02-09",
        ),
        (
            (2, 400),
            "extend the period within what was left out of 2014 there, 2014-01-02 to 2015-01-01",
        ),
        (
            (None, 6),
            "extend the period within what was left out of 2014 there, 2014-01-01 to 2014-01-06",
        ),
        ((4, 6), "no more days of 2014 were left out there, and it stays unissued"),
    ],
)
def test_how_a_backfill_comes_to_more(gap: tuple[int | None, int], said: str) -> None:
    start, end = gap
    found = checks.Gap(1, None if start is None else on(start), on(end))
    assert found.way_to_more(inputs(4, 6)) == said


# --------------------------------------------------------------------- what waits, and what is void


def turns(books: Books, code: str | None = None) -> list[int]:
    """Return the first days of those whose turn it is, by the end that is returned with their key."""
    return [
        (end_s - at_s(1)) // 86_400 for _, end_s in states._whose_turn_it_is(books.session, code)
    ]


def test_the_first_regular_one_is_sent(books: Books) -> None:
    books.issued(6, 7, **WAITS)
    books.issued(4, 5, **WAITS)
    books.issued(5, 6, **WAITS)
    books.issued(2, 3, before=1, **WAITS)
    books.issued(1, 2)
    assert turns(books) == [4]
    books.issued(3, 4, state=PLANNED, intent=IntentState.SUBMITTED)
    assert turns(books) == []
    books.issued(8, 9, project=books.other, state=PLANNED, intent=IntentState.FAILED)
    assert turns(books) == turns(books, "other") == [8]
    assert turns(books, books.project.code) == []


def test_the_first_planned_backfill_is_sent(books: Books) -> None:
    books.issued(5, 6, before=1, **WAITS)
    books.issued(2, 3, before=2, **WAITS)
    books.issued(7, 8, before=2, **WAITS)
    assert turns(books) == [5]


def test_what_is_begun(books: Books) -> None:
    def found(first: int, end: int, code: str = "park-wind") -> list[str]:
        return [str(row.from_date) for row in begun(books.session, code, on(first), on(end))]

    books.issued(1, 3, **WAITS)
    books.issued(-1, 1)
    books.issued(0, 1, state=VOID)
    books.issued(1, 3, project=books.other)
    assert found(-1, 3) == ["2013-12-30", "2014-01-01"]
    assert found(1, 3) == ["2014-01-01"]
    assert found(1, 2) == found(1, 4) == found(0, 3) == found(-1, 1) == []
    assert found(1, 3, "other") == []


def test_which_are_void_with_one_that_was_refused(books: Books) -> None:
    """Those behind it that wait; of a backfill, the backfills alone."""
    rows = {
        "before": books.issued(1, 2, **WAITS),
        "one": books.issued(3, 4, state=PLANNED, intent=IntentState.SUBMITTED),
        "next": books.issued(4, 5, **WAITS),
        "backfill": books.issued(6, 7, before=1, **WAITS),
        "sent": books.issued(7, 8, state=PLANNED, intent=IntentState.SUBMITTED),
        "others": books.issued(9, 10, project=books.other, **WAITS),
    }
    meter = books.session.scalars(select(Meter.id)).first()
    for number, row in enumerate(rows.values()):
        claim = ReadingClaim(meter_id=meter, start_s=number, issuance_id=row.id)
        books.session.add(claim)

    def void() -> list[str]:
        claims = set(books.session.scalars(select(ReadingClaim.issuance_id)))
        found = [name for name, row in rows.items() if row.state is VOID]
        assert found == [name for name, row in rows.items() if row.id not in claims]
        return found

    fail(books.session, rows["backfill"].key, "a test")
    assert void() == ["backfill"]
    fail(books.session, rows["one"].key, "a test")
    assert void() == ["one", "next", "backfill"]


def test_a_refused_backfill_takes_backfills_along(books: Books) -> None:
    first = books.issued(3, 4, before=1, **WAITS)
    second = books.issued(4, 5, before=1, **WAITS)
    regular = books.issued(5, 6, **WAITS)
    fail(books.session, first.key, "a test")
    assert [row.state for row in (first, second, regular)] == [VOID, VOID, PLANNED]


def test_one_that_is_void_takes_nothing_along_a_second_time(books: Books) -> None:
    """Whoever sent it heard of the refusal, and then the mirror; in between its days were planned anew."""
    one = books.issued(3, 4, state=PLANNED, intent=IntentState.FAILED)
    fail(books.session, one.key, "a test")
    rows = [one, books.issued(3, 4, **WAITS), books.issued(4, 5, **WAITS)]
    fail(books.session, one.key, "a test")
    assert [row.state for row in rows] == [VOID, PLANNED, PLANNED]


def test_whose_readings_are_judged_anew_with_one_that_was_refused(books: Books) -> None:
    """All meters of its project; and those that have left it, where what is void with it claims a reading of theirs."""
    own = books.session.scalars(select(Meter)).one()
    device = books.session.scalars(select(Device)).one()
    values, of_device = (
        {column.name: getattr(row, column.name) for column in row.__table__.columns}
        for row in (own, device)
    )
    rows = {
        "one": books.issued(3, 4, state=PLANNED, intent=IntentState.FAILED),
        "waits": books.issued(4, 5, **WAITS),
        "issued": books.issued(1, 2),
        "others": books.issued(3, 4, project=books.other, **WAITS),
    }
    for number, (name, row) in enumerate(rows.items(), own.id + 1):
        books.session.add(Device(**of_device | {"id": number, "device_id": name}))
        books.session.flush()
        left = {"id": number, "device_id": number, "project_id": books.other.id}
        books.session.add(Meter(**values | left | {"serial": name}))
        books.session.flush()
        books.session.add(ReadingClaim(meter_id=number, start_s=1, issuance_id=row.id))
    books.session.flush()
    assert states._meters_of(books.session, rows["one"]) == [own.id, own.id + 1, own.id + 2]


def test_which_stand_in_the_way(books: Books) -> None:
    one = books.issued(4, 6, state=VOID)
    near = [books.issued(3, 4), books.issued(6, 7), books.issued(4, 6, state=VOID)]
    near.append(books.issued(4, 6, project=books.other))
    assert rivals(books.session, one) == []
    there = [books.issued(5, 9), books.issued(1, 5, **WAITS)]
    assert set(rivals(books.session, one)) == set(there)
    assert not set(near) & set(there)


def test_what_is_issued_is_not_void_for_one_that_comes_back(books: Books) -> None:
    """It may be of another project, which has a meter of theirs since."""
    one = books.issued(4, 6, state=VOID)
    rows = [books.issued(5, 9), books.issued(1, 5, **WAITS)]
    states._void_rivals(books.session, one)
    assert [row.state for row in rows] == [ISSUED, VOID]


def test_those_that_were_refused_are_void_before_another_is_planned(books: Books) -> None:
    failed = {"state": PLANNED, "intent": IntentState.FAILED}
    rows = [books.issued(3, 4, **failed), books.issued(3, 4, project=books.other, **failed)]
    rows += [books.issued(5, 6, intent=IntentState.FAILED), books.issued(1, 2, **WAITS)]
    states.void_refused(books.session, books.project.id)
    assert [row.state for row in rows] == [VOID, PLANNED, ISSUED, PLANNED]
    assert {type(row) for row in rows} == {Issuance} and isinstance(books.other, Project)


def test_what_stands_in_the_last_block_that_a_fork_leaves(books: Books) -> None:
    """It is not taken back, be it issued or void."""
    rows = [books.issued(1, 2), books.issued(2, 3)]
    rows.append(books.issued(5, 6, state=VOID, intent=IntentState.FAILED))
    for row, block in zip(rows, (5, 6, 5), strict=True):
        books.session.get_one(ChainIntent, row.key).block_number = block
    books.session.flush()
    states.rewind(books.session, 5)
    assert [row.state for row in rows] == [ISSUED, PLANNED, VOID]


HASH, ROOT = "0x" + "1" * 64, "0x" + "2" * 64


@pytest.mark.parametrize(
    "unlike",
    [
        {},
        {"site": 3},
        {"first": 3},
        {"end": 6},
        {"issued_kg": 99},
        {"evidence_root": HASH},
        {"manifest_hash": ROOT},
    ],
    ids=str,
)
def test_which_batch_is_the_one_that_the_books_forgot(books: Books, unlike: dict[str, Any]) -> None:
    """One that is alike in all of it, and that has the key of no issuance."""
    reduction: Any = SimpleNamespace(inputs=inputs(4, 5), issued_kg=100, evidence_root=ROOT)

    def is_found() -> bool:
        found = forgotten.batch_of_it(books.session, SITE, reduction, HASH)
        return found is not None

    alike = {"first": 4, "end": 5, "evidence_root": ROOT, "manifest_hash": HASH}
    assert not is_found()
    books.batch(**alike | unlike, ordinal=1)
    assert is_found() is not bool(unlike)
    for batch in books.session.scalars(select(CreditBatch)):
        books.issued(4, 5, state=VOID).key = batch.key
    assert not is_found()
