"""issue of a period that lies before the last one: only where nothing was issued upon, ever."""

import random
from typing import Any

import pytest

from tests.contracts.park import ACTIVE, Park, ledger_records, refusal

FIRST, SECOND, THIRD, FOURTH, FIFTH = ((1 << 32) + ordinal for ordinal in range(1, 6))


def issue(park: Park, start: int, end: int, before: int = 0, **changes: Any) -> Any:
    """Issue a kilogram for a period."""
    period = {"periodStart": start, "periodEnd": end, "backfillBefore": before}
    return park.issue(amount=1, **period, **changes)


def refused(park: Park, start: int, end: int, before: int = 0) -> tuple[Any, ...]:
    period = {"periodStart": start, "periodEnd": end, "backfillBefore": before}
    claim = park.claim(amount=1, **period)
    return refusal(park.credit.issue, *park.issue_arguments(claim), sender=park.issuer)


def times(park: Park, batch: int) -> tuple[int, ...]:
    """Return start, end, and where the free time before a batch begins."""
    return tuple(park.credit.batchOf(batch)[3:6])


@pytest.fixture(scope="module", autouse=True)
def batches(park: Park) -> None:
    """Two batches of the first site, with free time before both."""
    issue(park, 100, 200)
    issue(park, 300, 400)


@pytest.mark.parametrize("before", [3, 4, 2**32 - 1])
def test_the_batch_that_follows_is_there(park: Park, before: int) -> None:
    """CC-22: a period is before a batch of its own site, which exists."""
    assert refused(park, 10, 20, before) == ("UnknownBatch", (1 << 32) + before)


def test_the_batch_that_follows_is_of_the_site(park: Park, credit: Any) -> None:
    """CC-22: an ordinal is the site's own."""
    credit.registerSite(1, "second turbine", {"from": park.registrar})
    claim = park.claim(siteId=3, periodStart=10, periodEnd=20, backfillBefore=1)
    error = refusal(credit.issue, *park.issue_arguments(claim), sender=park.issuer)
    assert error == ("UnknownBatch", (3 << 32) + 1)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (199, 250),  # the last second of the first batch
        (250, 301),  # the first second of the second
        (199, 301),
        (100, 200),
        (300, 400),
        (300, 301),
        (400, 500),
        (10, 20),  # free too, but before the other batch
        (10, 250),
    ],
)
def test_a_gap_has_two_ends(park: Park, start: int, end: int) -> None:
    """CC-22: not a second outside of it."""
    assert refused(park, start, end, 2) == ("PeriodNotFree", 1, start, 200, 300)


def test_a_gap_that_is_filled(park: Park) -> None:
    """CC-22: whole or in part: no second of it is issued upon again."""
    issue(park, 200, 300, 2)
    assert times(park, SECOND) == (300, 400, 300)
    assert times(park, THIRD) == (200, 300, 200)
    for start, end in ((200, 300), (200, 201), (299, 300), (250, 260)):
        assert refused(park, start, end, 2) == ("PeriodNotFree", 1, start, 300, 300)
        assert refused(park, start, end, 3) == ("PeriodNotFree", 1, start, 200, 200)


def test_without_its_mark_it_is_refused(park: Park) -> None:
    """CC-15, CC-22: late data are said to be late, and signed as such."""
    assert refused(park, 200, 300) == ("PeriodAlreadyIssued", 1, 200, 400)


def test_an_empty_or_future_backfill(park: Park) -> None:
    """CC-15: is no period either."""
    assert refused(park, 250, 250, 2) == ("BadPeriod", 250, 250)
    assert refused(park, 250, 2**32 - 1, 2) == ("BadPeriod", 250, 2**32 - 1)


def test_an_invalidated_batch_keeps_its_time(park: Park, credit: Any) -> None:
    """CC-22: its own period is not free; the gap before it is, as it was."""
    credit.proposeInvalidation(SECOND, "", {"from": park.reverser})
    park.mine_at(park.now + 7 * 86_400)
    credit.executeInvalidation(SECOND, {"from": park.admin})
    assert refused(park, 300, 400, 2) == ("PeriodNotFree", 1, 300, 200, 300)
    issue(park, 200, 300, 2)
    assert credit.statusOf(THIRD) == ACTIVE


def test_backfill(park: Park, credit: Any) -> None:
    """CC-20, CC-22: takes exactly its time, before and after it stays free, by the next ordinal."""
    tx = issue(park, 240, 260, 2, recipient=park.buyer.address)
    assert tx.return_value == THIRD
    assert ledger_records(credit)[-1]["claim"][8] == 2
    assert credit.siteOf(1) == (1, 400, 3)
    assert [times(park, batch) for batch in (FIRST, SECOND, THIRD)] == [
        (100, 200, 0),
        (300, 400, 260),
        (240, 260, 200),
    ]
    assert credit.batchOf(THIRD)[:3] == (1, 0, 0)
    assert credit.balanceOf(park.buyer, THIRD) == 1
    assert credit.statusOf(THIRD) == ACTIVE
    issue(park, 200, 240, 3)
    issue(park, 260, 300, 2)
    assert [times(park, batch) for batch in (SECOND, THIRD, FOURTH, FIFTH)] == [
        (300, 400, 300),
        (240, 260, 240),
        (200, 240, 200),
        (260, 300, 260),
    ]


def test_before_the_first_batch(park: Park) -> None:
    """CC-22: from the beginning of time."""
    issue(park, 0, 100, 1)
    assert (times(park, FIRST), times(park, THIRD)) == ((100, 200, 100), (0, 100, 0))
    assert refused(park, 0, 1, 1) == ("PeriodNotFree", 1, 0, 100, 100)
    assert refused(park, 0, 1, 3) == ("PeriodNotFree", 1, 0, 0, 0)


def test_the_end_of_time_moves_on(park: Park) -> None:
    """CC-15, CC-22: a backfill does not, and what comes next leaves a gap of its own."""
    issue(park, 210, 220, 2)
    assert refused(park, 399, 450) == ("PeriodAlreadyIssued", 1, 399, 400)
    issue(park, 450, 500)
    assert times(park, FOURTH) == (450, 500, 400)
    issue(park, 400, 450, 4)
    assert times(park, FIFTH) == (400, 450, 400)


def test_no_second_is_issued_upon_twice(park: Park) -> None:
    """CC-22: whatever is tried, what is accepted is free and what is free is accepted."""
    chance = random.Random(3)
    used = set(range(100, 200)) | set(range(300, 400))
    starts = {1: 100, 2: 300}
    ordinal, until = 2, 400
    for _ in range(60):
        before = chance.choice([0, *starts])
        start = max(0, starts.get(before, until + 20) - chance.randrange(30))
        end = start + chance.choice([1, 2, 5, 30])
        seconds = set(range(start, end))
        if before:
            # Free, and nothing of another batch between it and the batch that it names.
            between = set(range(start, starts[before]))
            good = end <= starts[before] and not used & (seconds | between)
        else:
            good = start >= until
        if not good:
            assert refused(park, start, end, before)[0] in ("PeriodNotFree", "PeriodAlreadyIssued")
            continue
        issue(park, start, end, before)
        ordinal += 1
        starts[ordinal] = start
        used |= seconds
        until = max(until, end)
    assert ordinal > 12
    taken = [
        second
        for number in range(1, ordinal + 1)
        for second in range(*times(park, (1 << 32) + number)[:2])
    ]
    assert len(taken) == len(set(taken)) == len(used)
    gaps = [
        second
        for number in range(1, ordinal + 1)
        for second in range(times(park, (1 << 32) + number)[2], times(park, (1 << 32) + number)[0])
    ]
    assert sorted(taken + gaps) == list(range(until))
