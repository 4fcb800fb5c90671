"""Shelves: dictionaries whose values stand in a file beside memory."""

from __future__ import annotations

import os
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.reconcile import shelves
from ledger.reconcile.shelves import Shelf, Shelves
from tests.support.forms import long

KEYS = st.integers(0, 5)
STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "change", "remove", "settle", "add", "change all"]), KEYS),
    max_size=40,
)


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "PIECE", 2)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are looked up in /proc")
def test_the_file_has_no_name_and_is_gone_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nobody opens it, and a process that is killed leaves nothing. SQLite itself knows no TEMP."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setenv("TEMP", str(tmp_path))
    before = _open_files()
    held = Shelves()
    shelf: Shelf[int, str] = held.shelf()
    for number in range(300):
        shelf[number] = "x" * 100_000  # more than what is kept in memory
    held.settle()
    (file,) = _open_files() - before
    assert file.startswith(str(tmp_path.resolve())) and file.endswith(" (deleted)")
    assert not list(tmp_path.iterdir())
    held.close()
    assert file not in _open_files()


def _open_files() -> set[str]:
    links = Path("/proc/self/fd").iterdir()
    return {os.readlink(link) for link in links if link.is_symlink()}


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_a_shelf_is_a_dictionary(steps: list[tuple[str, int]]) -> None:
    shelf: Shelf[int, dict[str, int]] = Shelves().shelf()
    model: dict[int, dict[str, int]] = {}
    for number, (step, key) in enumerate(steps):
        if step == "put":
            shelf[key], model[key] = {"kg": number + 1}, {"kg": number + 1}
        elif step == "change" and key in model:
            shelf[key]["kg"] += 7
            model[key]["kg"] += 7
        elif step == "remove" and key in model:
            del shelf[key], model[key]
        elif step == "settle":
            shelf.settle()
        elif step == "add":
            amount = -model[key]["kg"] if key in model and number % 2 else 3
            shelf.add(key, "kg", amount)
            left = model.pop(key, {"kg": 0})["kg"] + amount
            if left:
                model[key] = {"kg": left}
        elif step == "change all":
            for _, value in shelf.changing():
                value["kg"] *= 2
            for value in model.values():
                value["kg"] *= 2
        assert (key in shelf) == (key in model)
        assert shelf.get(key) == model.get(key)
    assert dict(shelf.items()) == model
    assert shelf.many(range(8)) == model


def test_keys_and_values_are_what_they_were() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    values: dict[Any, Any] = {
        (1, "0xab"): {"amount": Decimal("0.001"), "at": at, "none": None},
        ("lhb-wind-2014-1-1-25",): [2**200, -1],
        "0xcd": (True, "zwölf"),
    }
    shelf = Shelves().shelf()
    for key, value in values.items():
        shelf[key] = value
    assert list(shelf.items()) == list(values.items())  # in the order in which they were put
    with pytest.raises(KeyError):
        shelf["0xef"]


def test_what_nobody_looked_for_is_known() -> None:
    shelf: Shelf[int, str] = Shelves().shelf()
    for number in range(5):
        shelf[number] = str(number)
    for _ in range(2):  # every comparison begins anew
        shelf.begin_looking()
        assert shelf.look([3, 1, 9]) == {1: "1", 3: "3"}
        assert list(shelf.overlooked()) == [0, 2, 4]


@long
def test_memory_does_not_grow_with_what_is_on_a_shelf() -> None:
    def peak(count: int) -> int:
        place = Shelves()
        shelf = place.shelf()
        tracemalloc.start()
        for number in range(count):
            shelf[number] = {"text": "x" * 1000, "number": number}
            if number % 500 == 0:
                place.settle()
        assert sum(1 for _ in shelf.items()) == count
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(16_000) < 1.3 * peak(2_000)
