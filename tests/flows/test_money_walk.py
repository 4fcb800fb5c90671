"""Walks of the books: whatever people, jobs, strangers and the chain do to trades, each ends, and is paid once.

``./dev histories --books`` is the long form, see docs/assurance.md.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.books import new_books
from tests.support.forms import long
from tests.support.kept_walk import KeptWalk
from tests.support.money_walk import run
from tests.support.stages import Stage, stage


@pytest.fixture(scope="module")
def books_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("walks")
    template: Path = folder / "template.db"
    new_books(template).close()
    with stage(template, folder / "stage") as started:
        yield started


@long
@pytest.mark.parametrize("seed", [2, 105, 106, 109])
def test_every_trade_comes_to_its_end(books_stage: Stage, seed: int) -> None:
    walk = run(books_stage, seed)
    assert sum(walk.done.values()) > 30


@long
@pytest.mark.parametrize("seed", [10202, 10203])
def test_restored_books_come_to_the_same_end(books_stage: Stage, seed: int) -> None:
    walk = run(books_stage, seed, kind=KeptWalk)
    assert walk.done["put_back"] > 1
    assert walk.done["displaced"] + walk.done["displaced in vain"] > 0
