"""What enters a period, by rows that say what was issued before it: each rule at its boundary, on books alone."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from fractions import Fraction
from math import floor
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from ledger.db import Database
from ledger.models import CreditCancellation, EmissionFactor, Issuance
from ledger.models.issuance import IssuanceState
from ledger.models.sending import IntentState
from ledger.readings.periods.carry import is_followed
from ledger.readings.periods.issued import _joined
from ledger.readings.periods.period import load_period
from ledger.reductions.records import CarriedCorrection
from tests.support.issued import KNOWN, OTHERS, OWNER, ZERO, Books, at_s, hash_of, on, written_books


@pytest.fixture
def books(sqlite_db: Database) -> Iterator[Books]:
    with written_books(sqlite_db) as written:
        yield written


# ----------------------------------------------------------------- the issuance before a period


def test_the_last_before_it_in_time_has_left_it(books: Books) -> None:
    assert books.enters(5) == "0"
    books.issued(3, 4, "0.1 0.3")
    books.issued(1, 3, "0 0.1")  # written later
    books.issued(7, 8, "0.3 0.9")
    books.issued(3, 5, "0.1 0.7", state=IssuanceState.VOID)
    books.issued(4, 5, "0 0.8", project=books.other)
    assert books.enters(5) == "3/10"
    assert books.enters(4) == "3/10"  # it begins where that one ends
    assert books.enters_backfill(5) == "0"
    books.issued(4, 5, "0.3 0.6", state=IssuanceState.PLANNED, intent=IntentState.PLANNED)
    assert books.enters(5) == "3/5"
    books.issued(5, 6, "0.6 0.2", intent=None)
    assert books.enters(6) == "1/5"


@pytest.mark.parametrize(("left", "enters"), [("0.3", "0"), ("-0.3", "-3/10")])
@pytest.mark.parametrize("changed", ["vintage", "factor", "id", "version"])
def test_a_deficit_outlives_what_ends_a_remainder(
    books: Books, changed: str, left: str, enters: str
) -> None:
    first = 5
    if changed == "vintage":
        books.issued(-1, 1, f"0 {left}")
        first = 1
    elif changed == "factor":
        numbers = books.session.scalars(select(EmissionFactor.id)).all()
        (another,) = set(numbers) - {books.project.factor_id}
        books.issued(3, 5, f"0 {left}", factor_id=another)
    else:
        books.issued(3, 5, f"0 {left}", methodology=KNOWN | {changed: "another"})
    assert books.enters(first) == enters


def test_what_a_backfill_left_goes_nowhere(books: Books) -> None:
    books.issued(1, 2, "0 0.4")
    books.issued(5, 6, "0.4 0.2")
    books.issued(3, 4, "0 0.9", before=2)
    assert [books.enters(day) for day in (2, 4, 6)] == ["2/5", "2/5", "1/5"]


@pytest.mark.parametrize(
    ("batch", "enters"),
    [
        ((2, 3), "0"),
        ((3, 4), "0"),
        ((2, 5), "0"),
        ((0, 2), "2/5"),  # ends where the issuance does
        ((5, 6), "2/5"),  # begins where the period does
    ],
)
def test_a_batch_between_that_nobody_here_knows_has_taken_it(
    books: Books, batch: tuple[int, int], enters: str
) -> None:
    books.issued(1, 2, "0 0.4")
    books.batch(*batch, ordinal=1)
    assert books.enters(5) == enters


def test_of_what_is_known_and_of_other_sites_nothing_is_taken(books: Books) -> None:
    books.issued(1, 2, "0 0.4")
    books.batch(2, 3, site=3, ordinal=1)
    assert books.enters(5) == "2/5"
    known = books.issued(4, 5, "0.4 0.6")
    books.batch(4, 5, ordinal=2, key=known.key)
    assert books.enters(6) == "3/5"
    known.state = IssuanceState.VOID
    assert books.enters(6) == "0"  # whoever has the batch, this issuance has not


def test_a_backfill_that_nobody_here_knows_has_taken_nothing(books: Books) -> None:
    """It came after a batch of later time; a batch of another site, or a later one, says nothing of it."""
    books.issued(1, 2, "0 0.4")
    following = books.issued(4, 5, "0.4 0.6", project=books.project, state=IssuanceState.ISSUED)
    books.batch(4, 5, ordinal=1, key=following.key)
    books.batch(3, 4, ordinal=2)  # right before it in time
    assert books.enters(4) == "2/5"
    books.batch(2, 3, site=2, ordinal=3)
    assert books.enters(4) == "2/5"
    following.state = IssuanceState.VOID
    assert books.enters(4) == "2/5"  # the batch is on chain, whoever's


@pytest.mark.parametrize(
    "more", [{"site": 1, "ordinal": 9}, {"site": 3, "ordinal": 1}, {"site": 2, "ordinal": 9}]
)
def test_what_makes_no_backfill_of_a_batch(books: Books, more: dict[str, int]) -> None:
    books.issued(1, 2, "0 0.4")
    books.batch(3, 4, ordinal=2)
    books.batch(8, 9, **more)
    assert books.enters(5) == "0"


def test_an_earlier_batch_of_earlier_time_makes_no_backfill(books: Books) -> None:
    books.issued(1, 2, "0 0.4")
    books.batch(0, 2, ordinal=1)
    books.batch(2, 3, ordinal=2)
    assert books.enters(5) == "0"


# ------------------------------------------------------------------- what entered two issuances


def test_what_entered_two_is_a_deficit_until_it_is_paid(books: Books) -> None:
    books.issued(-3, -2, "0 0.9")
    back = books.issued(-2, -1, "0.9 0.2", state=IssuanceState.VOID)
    books.issued(-1, 0, "0.9 0.5")
    assert books.enters(0) == "1/2"
    back.state = IssuanceState.PLANNED  # a fork: 0.9 is in both, and 0.2 in none
    assert books.enters(0) == "-1/5"
    assert books.enters(1) == "-1/5"  # of the next vintage, too
    books.issued(0, 1, "0.5 0.6")  # planned before the fork: what is owed stays owed
    assert books.enters(1) == "-1/10"
    books.issued(1, 2, "0 0.7")  # nor does the next vintage, planned before, pay it
    assert books.enters(2) == "3/5"
    books.issued(2, 3, "0.6 0.3")
    assert books.enters(3) == "3/10"


def test_less_than_was_left_may_enter(books: Books) -> None:
    """A factor changed, or a batch of others has it: nothing is owed, and nothing comes back."""
    books.issued(1, 2, "0 0.9")
    books.issued(2, 3, "0 0.5")
    books.issued(3, 4, "0.5 0.1")
    assert books.enters(4) == "1/10"


def test_deficits_of_corrections_are_no_remainder(books: Books) -> None:
    first = books.issued(1, 2, "0 0.9")
    correction = books.owed(first, "10")
    entered = books.issued(2, 3, "-9.1 0.4")
    books.paid(correction, entered, "-10/1")
    books.issued(2, 3, "0 0", project=books.other)
    assert books.enters(3) == "2/5"
    twice = books.issued(3, 4, "-9.5 0.3")  # 0.5 entered, of which 0.4 was left
    books.paid(books.owed(first, "10"), twice, "-10/1")
    assert books.enters(4) == "1/5"


def test_as_many_kilograms_as_the_reductions_have(books: Books) -> None:
    """Random days, of which some fail and come back after the next ones: never more than there were."""
    chance = Random(36)
    for _ in range(8):
        back: list[Issuance] = []
        total, issued, lost = Fraction(0), 0, 0
        rows = []
        for day in range(1, 9):
            kg = Fraction(chance.randrange(3_000, 9_000), 1000)
            fails = day in (2, 4, 5) and chance.random() < 0.6
            entered = Fraction(books.enters(day))
            amount = floor(kg + entered)
            left = kg + entered - amount
            state = IssuanceState.VOID if fails else IssuanceState.ISSUED
            row = books.issued(day, day + 1, f"{entered} {left}", state=state)
            rows.append(row)
            total, issued = total + kg, issued + amount
            if fails:
                back.append(row)
            if back and day in (3, 6):
                lost += len(back)
                for each in back:
                    each.state = IssuanceState.ISSUED
                back = []
        assert total - 1 - lost < issued <= total
        for row in rows:
            row.state = IssuanceState.VOID
        books.session.flush()


# ----------------------------------------------------------------------- a period that is issued


def test_of_a_period_that_is_issued_what_entered_it_then(books: Books) -> None:
    named = {
        "key": hash_of(999),
        "cause": "late_readings",
        "from": "2013-12-30",
        "to": "2013-12-31",
        "carried_kg": "-5/2",
    }
    books.issued(3, 4, "0 0.9", state=IssuanceState.VOID)
    books.issued(3, 4, "0 0.8", project=books.other)
    exact = books.issued(3, 4, "-2.3 0.7", corrections=[named])
    found = load_period(books.session, books.project.code, on(3), on(4), enforce=False)
    correction = CarriedCorrection(
        hash_of(999), "late_readings", date(2013, 12, 30), date(2013, 12, 31), Fraction(-5, 2)
    )
    assert (found.carry_in_kg, found.corrections) == (Fraction(-23, 10), (correction,))
    assert books.enters(3, 5) == books.enters(2, 4) == "0"
    exact.state = IssuanceState.VOID
    assert books.enters(3) == "0"


def test_what_is_followed(books: Books) -> None:
    def followed(day: int) -> bool:
        return is_followed(books.session, books.project.id, at_s(day))

    row = books.issued(5, 6)
    books.issued(8, 9, project=books.other)
    books.issued(8, 9, state=IssuanceState.VOID)
    assert [followed(day) for day in (4, 5, 6)] == [True, True, False]
    row.state = IssuanceState.PLANNED
    assert followed(5)


# ------------------------------------------------------------------------- what corrections owe


def test_what_is_owed_and_until_when(books: Books) -> None:
    first, second = books.issued(1, 2), books.issued(2, 3)
    void = books.issued(3, 4, state=IssuanceState.VOID)
    later = books.owed(second, "7/2", key=hash_of(900))
    sooner = books.owed(first, "5", key=hash_of(901))
    books.owed(void, "9")
    books.owed(books.issued(1, 2, project=books.other), "11")
    assert books.debts() == [(later.key, "-7/2"), (sooner.key, "-5")]
    assert books.debts(until_s=at_s(2)) == [(sooner.key, "-5")]
    assert books.debts(until_s=at_s(3)) == books.debts()
    assert books.enters(2, 4) == "-5" and books.enters(3) == "-17/2"
    assert books.enters_backfill(3) == "-17/2"
    books.issued(3, 4, "0 0.4", state=IssuanceState.VOID)
    books.issued(2, 3, "0 0.4")
    assert books.enters(3) == "-81/10"


def test_what_was_paid_of_it(books: Books) -> None:
    first = books.issued(1, 2)
    debt, another = books.owed(first, "5"), books.owed(first, "3")
    books.paid(debt, first, "-2/1")
    books.paid(another, first, "-3/1")
    assert books.debts() == [(debt.key, "-3")]
    books.paid(debt, books.issued(2, 3), "-2/1")
    assert books.debts() == [(debt.key, "-1")]


@pytest.mark.parametrize(
    ("act", "owed"),
    [
        (IntentState.PLANNED, "-3/2"),
        (IntentState.CONFIRMED, "-3/2"),
        (IntentState.FAILED, "-11/2"),
    ],
)
def test_what_an_act_cancels_of_it(books: Books, act: IntentState, owed: str) -> None:
    """What the chain has cancelled under its key counts where the books name no act."""
    first = books.issued(1, 2)
    key = hash_of(next(books.numbers))
    books.intent(key, act, {})
    row = books.owed(first, "11/2", act_key=key, cancelled_kg=4)
    books.batch(1, 2, ordinal=1, key=first.key)
    cancel(books, row.key, 100)
    assert books.debts() == [(row.key, owed)]


def cancel(books: Books, key: str, kg: int, holder: str = OWNER, index: int = 1) -> None:
    """Have kilograms of the first batch of the site cancelled on chain."""
    books.session.add(
        CreditCancellation(
            key=key,
            batch_id=2 << 32 | 1,
            holder=holder,
            first_serial=1,
            amount_kg=kg,
            block_number=1,
            log_index=index,
            tx_hash=ZERO,
            reason="a test",
            cancelled_at=datetime(2014, 2, 1, tzinfo=UTC),
        )
    )
    books.session.flush()


def test_what_the_chain_cancelled_before_the_books_knew(books: Books) -> None:
    first = books.issued(1, 2)
    books.batch(1, 2, ordinal=1, key=first.key)
    row, small = books.owed(first, "11/2"), books.owed(first, "2")
    cancel(books, row.key, 1)
    cancel(books, row.key, 3, index=4)
    cancel(books, row.key, 100, holder=OTHERS, index=2)  # of whoever has the key
    cancel(books, small.key, 3, index=3)  # more than was owed, and that is no credit
    assert books.debts() == [(row.key, "-3/2")]
    books.paid(row, first, "-3/2")
    assert books.debts() == []


# --------------------------------------------------------- a meter in issuances of several projects


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5)), max_size=5))
def test_issued_periods_are_told_without_overlap(found: list[tuple[int, int]]) -> None:
    periods = [(start, start + length) for start, length in found]
    joined = _joined(periods)
    seconds = {second for period in periods for second in range(*period)}
    assert [second for period in joined for second in range(*period)] == sorted(seconds)
