"""Serials: every kilogram in exactly one run, against a model that moves kilograms one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.serials import (
    BatchName,
    BatchNumber,
    CreditStatus,
    IssuanceKey,
    RowNumber,
    Run,
    Taken,
    active_run,
    credit_id,
    fates,
    fates_in_words,
    partition,
    read_name,
    site_and_ordinal,
    vintage_of,
)

ACTIVE, RETIRED, CANCELLED = CreditStatus.ACTIVE, CreditStatus.RETIRED, CreditStatus.CANCELLED


def test_a_hundred_split_at_twenty_five() -> None:
    """Two registries in the field make 26 + 74 of it."""
    runs = partition(100, [Taken(1, 25, 7)], [])
    assert runs == (Run(1, 25, RETIRED, 7), Run(26, 100, ACTIVE))
    assert [run.amount_kg for run in runs] == [25, 75]


def test_from_both_ends_until_nothing_is_left() -> None:
    runs = partition(10, [Taken(4, 2, 2), Taken(1, 3, 1)], [Taken(6, 2), Taken(8, 3)])
    assert runs == (
        Run(1, 3, RETIRED, 1),
        Run(4, 5, RETIRED, 2),
        Run(6, 7, CANCELLED),
        Run(8, 10, CANCELLED),
    )
    assert active_run(10, 5, 5) is None
    with pytest.raises(ValueError, match="-1 kg retired"):
        active_run(10, -1, 5)


def test_a_whole_batch() -> None:
    assert partition(1, [], []) == (Run(1, 1, ACTIVE),)
    assert partition(1, [Taken(1, 1, 1)], []) == (Run(1, 1, RETIRED, 1),)


@pytest.mark.parametrize(
    ("issued", "retirements", "cancellations", "reason"),
    [
        (10, [Taken(2, 3, 1)], [], "serial 1 should come next, found 2"),
        (10, [Taken(1, 3, 1), Taken(3, 2, 2)], [], "serial 4 should come next, found 3"),
        (10, [], [Taken(8, 2)], "serial 9 should come next, found 8"),
        (10, [Taken(1, 6, 1)], [Taken(6, 5)], "6 kg retired and 5 kg cancelled of 10 kg issued"),
        (10, [Taken(1, 0, 1)], [], "of nothing"),
        (0, [], [Taken(1, -1)], "of nothing"),
    ],
)
def test_pieces_that_do_not_fit(
    issued: int, retirements: list[Taken], cancellations: list[Taken], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        partition(issued, retirements, cancellations)


@given(
    issued=st.integers(1, 400),
    pieces=st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=30),
    order=st.randoms(use_true_random=False),
)
def test_every_kilogram_has_one_fate(issued: int, pieces: list[tuple[bool, int]], order) -> None:  # type: ignore[no-untyped-def]
    fate = dict.fromkeys(range(1, issued + 1), ACTIVE)
    retirements: list[Taken] = []
    cancellations: list[Taken] = []
    for is_retirement, kg in pieces:
        left = sorted(serial for serial, now in fate.items() if now is ACTIVE)
        if len(left) < kg:
            continue
        chosen = left[:kg] if is_retirement else left[-kg:]
        fate.update(dict.fromkeys(chosen, RETIRED if is_retirement else CANCELLED))
        piece = Taken(chosen[0], kg, len(retirements) + 1 if is_retirement else None)
        (retirements if is_retirement else cancellations).append(piece)
    order.shuffle(retirements)
    order.shuffle(cancellations)
    runs = partition(issued, retirements, cancellations)
    found = {serial: run.status for run in runs for serial in range(run.first, run.last + 1)}
    assert found == fate
    assert sum(run.amount_kg for run in runs) == issued == len(found)
    assert {run.retirement_id for run in runs if run.status is RETIRED} == {
        piece.retirement_id for piece in retirements
    }


def test_names() -> None:
    assert credit_id("lhb-wind", 2014, 1, 1, 123_851) == "lhb-wind-2014-1-1-123851"
    assert site_and_ordinal(3 << 32 | 7) == (3, 7)
    assert site_and_ordinal(3 << 32 | 4_294_967_295) == (3, 4_294_967_295)


@pytest.mark.parametrize(
    ("start_s", "days", "year"),
    [
        (1_388_530_800, 1, 2014),  # 2013-12-31T23:00Z, midnight of 2014-01-01 in Paris
        (1_388_505_600, 31, 2014),  # 2013-12-31T16:00Z, midnight of 2014-01-01 in Beijing
        (1_388_552_400, 1, 2014),  # 2014-01-01T05:00Z, midnight of 2014-01-01 in New York
        (1_388_444_400, 1, 2013),  # 2013-12-30T23:00Z, midnight of 2013-12-31 in Paris
        (1_388_502_000, 1, 2014),  # 2013-12-31T15:00Z, midnight of 2014-01-01 in Tokyo
        (1_388_480_400, 31, 2013),  # 2013-12-31T09:00Z, midnight of 2013-12-31 in Anchorage
        (1_388_487_600, 31, 2014),  # 2013-12-31T11:00Z, midnight of 2014-01-01 in Auckland
        (1_388_484_000, 365, 2014),  # 2013-12-31T10:00Z, midnight of 2014-01-01 on Kiritimati
        (1_388_484_000, 1, 2013),  # 2013-12-31T10:00Z, midnight of 2013-12-31 in Honolulu
        (1_385_809_200, 31, 2013),  # 2013-11-30T11:00Z, midnight of 2013-12-01 in Auckland
        (1_387_191_600, 31, 2013),  # 2013-12-16T11:00Z: over New Year, as only others issue
    ],
)
def test_vintage_of_a_local_midnight(start_s: int, days: int, year: int) -> None:
    assert vintage_of(start_s, start_s + days * 86_400) == year


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("lhb-wind-2014-1", [BatchName("lhb-wind", 2014, 1)]),
        ("lhb-wind-2014-1-10-20", [BatchName("lhb-wind", 2014, 1, (10, 20))]),
        ("lhb-wind-2014-1-7-7", [BatchName("lhb-wind", 2014, 1, (7, 7))]),
        ("a-2014-1-2015-7", [BatchName("a-2014-1", 2015, 7)]),
        (
            "a-2014-1-2015-2016",
            [BatchName("a", 2014, 1, (2015, 2016)), BatchName("a-2014-1", 2015, 2016)],
        ),
        ("7", [RowNumber(7)]),
        ("4294967295", [RowNumber(4_294_967_295)]),
        ("4294967296", [BatchNumber(4_294_967_296)]),
        ("9223372036854775807", [BatchNumber(9_223_372_036_854_775_807)]),
        ("9223372036854775808", []),
        (
            "a-2014-1-1-9223372036854775807",
            [BatchName("a", 2014, 1, (1, 9_223_372_036_854_775_807))],
        ),
        ("a-2014-1-1-9223372036854775808", []),
        ("0x" + "aB" * 32, [IssuanceKey("0x" + "ab" * 32)]),
        ("lhb-wind-2014-1-20-10", []),
        ("lhb-wind-2014-1-0-10", []),
        ("lhb-wind-14-1", []),
        ("lhb-wind-2014-01", []),
        ("lhb-wind -2014-1", []),
        ("-2014-1", []),
        ("lhb-wind-2014-1 ", []),
        ("07", []),
        ("x" * 200 + "-2014-1", []),
    ],
)
def test_how_a_credit_is_named(text: str, read: list[object]) -> None:
    assert list(read_name(text)) == read


@given(st.data())
def test_the_fates_of_serials_are_those_of_each_kilogram(data: st.DataObject) -> None:
    issued = data.draw(st.integers(1, 30))
    retired = data.draw(st.integers(0, issued))
    cancelled = data.draw(st.integers(0, issued - retired))
    first = data.draw(st.integers(1, issued))
    last = data.draw(st.integers(first, issued))
    each = [RETIRED] * retired + [ACTIVE] * (issued - retired - cancelled) + [CANCELLED] * cancelled
    parts = fates((first, last), issued, retired, cancelled)
    assert [(at, part.status) for part in parts for at in range(part.first, part.last + 1)] == [
        (at, each[at - 1]) for at in range(first, last + 1)
    ]
    assert len({part.status for part in parts}) == len(parts)


def test_fates_are_said_in_words() -> None:
    assert fates_in_words(fates((900, 1100), 2000, 1000, 0)) == (
        "serials 900 to 1000 are retired and 1001 to 1100 active"
    )
    assert fates_in_words(fates((1, 9), 9, 4, 3)) == (
        "serials 1 to 4 are retired, 5 to 6 active and 7 to 9 cancelled"
    )
    assert fates_in_words(fates((2, 3), 9, 4, 3)) == "serials 2 to 3 are retired"
