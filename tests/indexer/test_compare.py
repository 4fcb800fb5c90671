"""Two mirrors are compared row by row, however their rows lie and whatever stands in them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, BigInteger, Column, MetaData, String, Table

from indexer.compare import Difference, count, differences, pairs, plain, typed
from indexer.tables import MIRRORED, Mirrored
from ledger.db import Database
from ledger.models import ChainBlock
from ledger.models.blockchain import TransactionStatus
from ledger.models.types import ExactDecimal, UtcDateTime
from ledger.settings import file_url
from tests.support.sent import row_of

TABLE = Table(
    "things",
    MetaData(),
    Column("block_number", BigInteger),
    Column("name", String),
    Column("said", JSON),
    Column("more", JSON),
)
THINGS = Mirrored(TABLE, ("block_number", "name"))


def file_of(rows: Sequence[tuple[Any, ...]]) -> sqlite3.Connection:
    """Return a database of the things, in the order in which they were put there."""
    link = sqlite3.connect(":memory:")
    link.execute("CREATE TABLE things (block_number, name, said, more)")
    link.executemany("INSERT INTO things VALUES (?, ?, ?, ?)", rows)
    return link


def told(
    mine: Sequence[tuple[Any, ...]],
    chain: Sequence[tuple[Any, ...]],
    item: Mirrored = THINGS,
    blocks: tuple[int, int] | None = None,
) -> list[tuple[str, str | None, Any, Any]]:
    with closing(file_of(mine)) as left, closing(file_of(chain)) as right:
        found = [
            each for pair in pairs(item, left, right, blocks) for each in differences(item, pair)
        ]
    return [(each.key, each.column, each.mirrored, each.chain) for each in found]


def row(number: Any, name: Any, said: str = "1", more: str = "2") -> tuple[Any, ...]:
    return number, name, said, more


def named(number: Any, name: Any) -> dict[str, Any]:
    return {"block_number": number, "name": name, "said": 1, "more": 2}


def test_a_mirror_may_lie_in_a_folder_of_any_name(tmp_path: Path) -> None:
    file = tmp_path / "why? Park #2, 50%25" / "mirror.db"
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as link:
        link.execute("CREATE TABLE things AS SELECT 7 AS block_number, 'a' AS name")
    with closing(Database(file_url(file))) as db:
        assert count(THINGS, db) == 1


def test_rows_of_either_side_alone_are_told_wherever_they_stand() -> None:
    both = [row(5, "b"), row(5, "c")]
    first, last = row(1, "z"), row(9, "a")
    assert told(both, both) == told([], []) == []
    for one in (first, last):
        said = named(*one[:2])
        key = f"{one[0]}/{one[1]}"
        assert told([one, *both], both) == told([one], []) == [(key, None, said, None)]
        assert told(both, [one, *both]) == told([], [one]) == [(key, None, None, said)]
    assert [key for key, *_ in told([first, *both], [*both, last])] == ["1/z", "9/a"]


def test_rows_are_met_in_the_order_in_which_the_database_has_them() -> None:
    """Numbers before texts, and capitals before small letters: else a row would pass its twin and be told twice."""
    rows = [
        row(2, "b"),
        row(10, "B"),
        row(10, "a"),
        row("1", "é"),
        row("ten", "z"),
        row("TEN", "z"),
        row(b"TEN", "z"),
        row("TEN", b"a"),
    ]
    assert told(rows, rows[::-1]) == []
    for gone in rows:
        left = [each for each in rows if each is not gone]
        said, key = named(*gone[:2]), f"{gone[0]}/{gone[1]}"
        assert told(left, rows) == [(key, None, None, said)]
        assert told(rows, left) == [(key, None, said, None)]


def test_what_is_written_otherwise_and_means_the_same_is_no_difference() -> None:
    spaced = row(1, "a", '{"x": 1, "y": [2]}')
    other = row(1, "a", '{"y":[2],"x":1}')
    assert told([spaced], [other]) == []
    with closing(file_of([spaced])) as left, closing(file_of([other])) as right:
        assert list(pairs(THINGS, left, right)) == []  # nor is it a row to be mended
    assert told([spaced], [(*other[:3], "5")]) == [("1/a", "more", 2, 5)]
    assert told([spaced], [row(1, "a", '{"y":[3],"x":1}')]) == [
        ("1/a", "said", {"x": 1, "y": [2]}, {"x": 1, "y": [3]})
    ]
    assert told([spaced], [row(1, "a", "{")]) == [
        ("1/a", "said", {"x": 1, "y": [2]}, "'{' (cannot be read)")
    ]


@pytest.mark.parametrize(
    ("kind", "true", "others"),
    [
        # Text where it has many digits, so that whoever looks for ``5`` does not find ``5 ``.
        (ExactDecimal(38, 0), "5", ("5 ", "5.0", "05")),
        # Texts are compared by SQL: one that is cut short stands before the other.
        (
            UtcDateTime(),
            "2020-02-03 04:05:06.500000",
            ("2020-02-03 04:05:06.5", "2020-02-03T04:05:06.500000"),
        ),
        # To Python, these are equal; and of two names that are one, some readers take the first.
        (
            JSON(),
            '{"a": true}',
            ('{"a": 1}', '{"a": 1.0}', '{"a": false, "a": true}', b'{"a": true}'),
        ),
    ],
)
def test_what_python_takes_for_the_same_is_a_difference(
    kind: Any, true: str, others: Sequence[Any]
) -> None:
    table = Table("t", MetaData(), Column("n", BigInteger), Column("d", kind))
    item = Mirrored(table, ("n",))
    for other in others:
        with (
            closing(sqlite3.connect(":memory:")) as left,
            closing(sqlite3.connect(":memory:")) as right,
        ):
            for link, value in ((left, other), (right, true)):
                link.execute("CREATE TABLE t (n INTEGER, d)")
                link.execute("INSERT INTO t VALUES (1, ?)", (value,))
            (pair,) = pairs(item, left, right)
        (found,) = differences(item, pair)
        assert (found.column, found.mirrored != found.chain) == ("d", True)


def test_only_the_rows_that_are_meant_are_compared() -> None:
    rows = [row(number, "a") for number in range(1, 7)]
    keys = [key for key, *_ in told(rows, [], blocks=(3, 5))]
    assert keys == ["3/a", "4/a", "5/a"]
    some = Mirrored(TABLE, THINGS.key, where="block_number <> 4")
    assert [key for key, *_ in told(rows, [], some, (3, 5))] == ["3/a", "5/a"]
    assert [key for key, *_ in told([], rows, some)] == ["1/a", "2/a", "3/a", "5/a", "6/a"]


def test_rows_are_counted_as_they_are_compared(sqlite_db: Database) -> None:
    with sqlite_db.write() as session:
        session.add_all(row_of(ChainBlock, number=number) for number in range(1, 7))
    blocks = next(item for item in MIRRORED if item.name == "chain_blocks")
    assert count(blocks, sqlite_db) == 6
    assert count(blocks, sqlite_db, (2, 4)) == 3
    assert count(replace(blocks, where="number <> 4"), sqlite_db, (2, 4)) == 2


@pytest.mark.parametrize(
    ("kind", "value", "read"),
    [
        (UtcDateTime(), "soon", "'soon' (cannot be read)"),
        (UtcDateTime(), 7, "7 (cannot be read)"),
        (ExactDecimal(20, 0), "much", "'much' (cannot be read)"),
        (JSON(), "{", "'{' (cannot be read)"),
        (UtcDateTime(), b"soon", "b'soon' (cannot be read)"),
        (JSON(), None, None),
        (BigInteger(), "no number", "no number"),
    ],
)
def test_what_nobody_can_read_is_told_as_it_lies(kind: Any, value: Any, read: Any) -> None:
    assert typed(Column("it", kind), value) == read


def test_what_a_rule_says_is_said() -> None:
    said = Difference("supply", "", None, "5 kg are not there", None)
    assert str(said) == "supply: 5 kg are not there"


def test_of_long_values_a_line_has_room_for_what_differs() -> None:
    """An ABI filled the screen twice."""
    same, more = "same " * 2_000, "y" * 400
    said = str(Difference("t", "1", "abi", f"{same}x", f"{same}{more}"))
    assert said.startswith(
        f"t 1: abi is ...{'same ' * 4}x... (10001 characters), the chain says ..."
    )
    assert len(said) < 500 and said.endswith("y... (10400 characters)")
    assert str(Difference("t", "k" * 10**6, None, {}, None)).endswith(
        "k... (1000000 characters): no such thing on chain"
    )


def test_a_difference_as_json_and_as_a_sentence() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    parts = {"at": at, "status": TransactionStatus.FAILED, "many": [1, "a"], "none": None, "n": 1}
    assert plain(parts) == {
        "at": "2026-01-01 00:00:00+00:00", "status": "failed", "many": [1, "a"], "none": None, "n": 1
    }  # fmt: skip
    assert plain([2**60]) != [2**60]  # readers of JSON would round it
    said = [
        str(Difference("t", "k", column, 5, chain)) for column, chain in (("c", 6), (None, None))
    ]
    assert said == ["t k: c is 5, the chain says 6", "t k: no such thing on chain"]
    assert str(Difference("t", "k", None, None, {})) == "t k: the row is missing"
