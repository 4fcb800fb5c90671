"""The two forms of the suite: ``./dev test`` is the short one, under ten minutes; ``./dev test --long`` runs all.

What is marked ``long`` runs in the long form alone. Each kind of test has a run in the short one;
some tests of a second and more, which are of no kind, have none.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pytest

_LONG = [False]

long = pytest.mark.long
few = pytest.mark.few
"""``@few(n)``: of the sets of parameters, the short form runs n alone, the first and others at even distances."""

SAMPLED = ("tests/contracts/",)
"""Where the short form runs a function's first two sets of parameters alone; ``tests/forge`` asks for all values."""
SAMPLE = 2


def choose(long: bool) -> None:
    """Say which form this session is; before the modules of tests are imported."""
    _LONG[0] = long


def is_long() -> bool:
    """Whether this session is the long form."""
    return _LONG[0]


def times(short: int, long: int) -> int:
    """Return how often something random is tried in this form."""
    return long if _LONG[0] else short


def rest(values: Iterable[Any], *keep: Any) -> list[Any]:
    """Return the values for ``parametrize``; the short form runs those to keep alone, or else the first."""
    values = list(values)
    kept = keep or values[:1]
    assert all(each in values for each in kept)
    return [
        value
        if value in kept
        else pytest.param(
            *(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.long
        )
        for value in values
    ]


def left_to_the_long_form(
    items: list[pytest.Item], named: Collection[str]
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Part the tests in those of the short form and the others; a test that is named by itself is no other.

    Of a function that runs on SQLite and on MariaDB with many parameters, the short form runs the first on both, and
    the others on SQLite; in the folders of ``SAMPLED`` it runs few. A file's ``SHORT_ON_MARIADB`` says which of its
    functions it runs on MariaDB at all; what runs there does not run on SQLite as well. What its ``LONG_ON_MARIADB``
    names runs on SQLite alone.
    """
    if _LONG[0]:
        return items, []
    kept, others = [], []
    seen: set[str] = set()
    taken: Counter[str] = Counter()
    for item in items:
        function = item.nodeid.partition("[")[0]
        doubled = _is_a_double(item)
        unwanted = doubled and (function in seen or not _wanted(item))
        unwanted |= function.startswith(SAMPLED) and taken[function] >= SAMPLE
        if (unwanted or item.get_closest_marker("long")) and not _is_named(item, named):
            others.append(item)
            continue
        if doubled:
            seen.add(function)
        taken[function] += 1
        kept.append(item)
    there = {_twin(item) for item in kept if _is_a_double(item) and _names_some(item)}
    twins = [
        item
        for item in kept
        if item.nodeid in there and not _is_a_double(item) and not _is_named(item, named)
    ]
    kept = [item for item in kept if item not in twins]
    passed_over = [item for item in _passed_over(kept) if not _is_named(item, named)]
    return [item for item in kept if item not in passed_over], others + twins + passed_over


def _passed_over(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return what lies between the ``few`` that run."""
    functions: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("few"):
            functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
    found = []
    for sets in functions.values():
        marker = sets[0].get_closest_marker("few")
        assert marker is not None
        (wanted,) = marker.args
        taken = {number * len(sets) // wanted for number in range(wanted)}
        found += [item for number, item in enumerate(sets) if number not in taken]
    return found


def _is_a_double(item: pytest.Item) -> bool:
    """Whether it is a test of SQLite too, on MariaDB."""
    call = getattr(item, "callspec", None)
    return (
        call is not None
        and item.get_closest_marker("mariadb") is not None
        and "mariadb" in call.params.values()
    )


def _twin(item: pytest.Item) -> str:
    """The same test on SQLite."""
    function, bracket, parameters = item.nodeid.partition("[")
    return function + bracket + parameters.replace("mariadb", "sqlite")


def _names_some(item: pytest.Item) -> bool:
    return hasattr(getattr(item, "module", None), "SHORT_ON_MARIADB")


def _wanted(item: pytest.Item) -> bool:
    module = getattr(item, "module", None)
    wanted = getattr(module, "SHORT_ON_MARIADB", None)
    unwanted = getattr(module, "LONG_ON_MARIADB", ())
    for name in (*(wanted or ()), *unwanted):
        assert hasattr(module, name), (module, name)
    name = getattr(item, "originalname", "")
    return name not in unwanted and (wanted is None or name in wanted)


def _is_named(item: pytest.Item, named: Collection[str]) -> bool:
    """Whether the command line names this test, not just its file or folder."""
    for argument in named:
        file, mark, test = argument.partition("::")
        whole = f"{item.path}::{item.nodeid.partition('::')[2]}"
        if mark and whole.startswith(f"{Path(file).resolve()}::{test}"):
            return True
    return False
