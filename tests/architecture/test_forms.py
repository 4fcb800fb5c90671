"""What the short form of the suite leaves to the long one."""

import gc
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import forms

FILE = Path("/project/tests/test_x.py")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_LONG", [False])


def item(
    name: str, *marks: str, file: Path = FILE, wanted: int | None = None, **params: object
) -> Any:
    """A test as the collection shows it; its module names ``test_story`` for MariaDB where the file says so."""
    doubled = "mariadb" in params.values()
    module = SimpleNamespace(test_story=0, test_a=0)
    if "named" in file.name:
        module.SHORT_ON_MARIADB = ("test_story",)
    if "spared" in file.name:
        module.LONG_ON_MARIADB = ("test_story",)
    held: dict[str, Any] = dict.fromkeys([*marks, *(["mariadb"] if doubled else [])], True)
    if wanted:
        held["few"] = SimpleNamespace(args=(wanted,))
    return SimpleNamespace(
        nodeid=f"tests/{file.name}::{name}",
        path=file,
        originalname=name.partition("[")[0],
        module=module,
        callspec=SimpleNamespace(params=params),
        get_closest_marker=held.get,
    )


def kept(*items: Any, named: tuple[str, ...] = ()) -> list[str]:
    left, others = forms.left_to_the_long_form(list(items), named)
    assert sorted(each.nodeid for each in (*left, *others)) == sorted(each.nodeid for each in items)
    return [each.nodeid.partition("::")[2] for each in left]


def test_what_is_long_is_left_out_unless_it_is_named() -> None:
    items = item("test_a"), item("test_b", "long"), item("test_c[1]", "long")
    assert kept(*items) == ["test_a"]
    assert kept(*items, named=("tests", str(FILE))) == ["test_a"]
    assert kept(*items, named=(f"{FILE}::test_c",)) == ["test_a", "test_c[1]"]
    forms.choose(True)
    assert len(kept(*items)) == 3


def test_a_function_with_many_parameters_runs_once_on_mariadb() -> None:
    items = [
        item(f"test_a[{store}-{number}]", db=store, number=number)
        for number in range(3)
        for store in ("sqlite", "mariadb")
    ]
    assert kept(*items) == [
        *("test_a[sqlite-0]", "test_a[mariadb-0]", "test_a[sqlite-1]", "test_a[sqlite-2]")
    ]


def test_a_file_names_what_it_runs_on_mariadb() -> None:
    file = FILE.with_name("test_named.py")
    items = [item(f"{name}[x]", db="mariadb", file=file) for name in ("test_a", "test_story")]
    assert kept(*items) == ["test_story[x]"]
    # What runs there does not run on SQLite as well; the others do.
    stores = [
        item(f"{name}[{store}-{number}]", db=store, number=number, file=file)
        for name in ("test_a", "test_story")
        for number in range(2)
        for store in ("sqlite", "mariadb")
    ]
    assert kept(*stores) == [
        *("test_a[sqlite-0]", "test_a[sqlite-1]", "test_story[mariadb-0]", "test_story[sqlite-1]")
    ]
    assert "test_story[sqlite-0]" in kept(*stores, named=(f"{file}::test_story",))
    # A test of MariaDB alone is no double of another.
    assert kept(item("test_a", "mariadb", file=file)) == ["test_a"]


def test_a_file_names_what_it_leaves_to_sqlite() -> None:
    file = FILE.with_name("test_spared.py")
    items = [
        item(f"{name}[{store}]", db=store, file=file)
        for name in ("test_a", "test_story")
        for store in ("sqlite", "mariadb")
    ]
    assert kept(*items) == ["test_a[sqlite]", "test_a[mariadb]", "test_story[sqlite]"]


def test_of_the_contracts_functions_the_first_two_sets_of_parameters_run() -> None:
    items = [item(f"test_{name}[{number}]", n=number) for name in "ab" for number in range(4)]
    assert len(kept(*items)) == 8
    for each in items:
        each.nodeid = each.nodeid.replace("tests/", "tests/contracts/credit/")
    assert kept(*items) == ["test_a[0]", "test_a[1]", "test_b[0]", "test_b[1]"]
    assert kept(*items, named=("tests/contracts",)) == kept(*items)
    assert len(kept(*items, named=(f"{FILE}::test_a",))) == 6


@pytest.mark.parametrize(
    ("wanted", "run"), [(1, [0]), (2, [0, 3]), (3, [0, 2, 4]), (6, range(7)[:6]), (9, range(7))]
)
def test_of_many_sets_of_parameters_few_run(wanted: int, run: Sequence[int]) -> None:
    items = [item(f"test_a[{number}]", wanted=wanted, n=number) for number in range(7)]
    assert kept(*items, item("test_b[0]")) == [
        *(f"test_a[{number}]" for number in run),
        "test_b[0]",
    ]
    assert len(kept(*items, named=(f"{FILE}::test_a",))) == 7
    forms.choose(True)
    assert len(kept(*items)) == 7


def test_few_are_taken_of_what_the_short_form_runs_at_all() -> None:
    items = [
        item(f"test_a[{store}-{number}]", *held, wanted=2, db=store, number=number)
        for number, held in enumerate([["long"], [], [], ["long"], []])
        for store in ("sqlite", "mariadb")
    ]
    # All that run but for ``few``: 1 on both, then 2 and 4 on SQLite.
    assert kept(*items) == ["test_a[sqlite-1]", "test_a[sqlite-2]"]


def test_the_rest_of_the_values_is_long() -> None:
    short, *others = forms.rest(range(3))
    assert short == 0
    assert [(each.values, each.marks[0].name) for each in others] == [
        ((1,), "long"),
        ((2,), "long"),
    ]
    assert forms.rest([(1, "a"), (2, "b")], (2, "b"))[1] == (2, "b")
    with pytest.raises(AssertionError):
        forms.rest([1], 2)
    assert forms.times(2, 9) == 2


def test_garbage_is_collected_while_tests_run() -> None:
    """It is not while they are imported (``tests/conftest.py``)."""
    assert gc.isenabled()
    assert gc.get_freeze_count() > 100_000
