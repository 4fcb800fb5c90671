"""Three Galera nodes behind one writer, a park at work, and the writer struck again and again."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.ha.judge import judge, settle
from tests.ha.load import Load
from tests.ha.park_at_work import AtWork, park_at_work
from tests.ha.strikes import GO_ON_S, PARTS, Round, kinds, play, play_all_lost
from tests.support.galera import Cluster


@pytest.fixture(scope="module")
def work(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AtWork]:
    """The product's processes on it."""
    with park_at_work(cluster, tmp_path_factory.mktemp("ha")) as made:
        yield made


def test_the_writer_is_struck_and_all_goes_on(
    work: AtWork,
    rounds: int,
    seed: int,
    figures: Callable[[str, Any], None],
    sqlite_template: Path,
) -> None:
    chance = random.Random(seed)
    load = Load(work)
    load.start()
    done: list[Round] = []
    try:
        for number, kind in enumerate(
            kinds(rounds, chance, os.environ.get("HA_KIND", "")), start=1
        ):
            found = play(work, load, kind, chance)
            done.append(found)
            print(f"{number:3}  {line_of(found)}", flush=True)
        anew = play_all_lost(work, load, chance)
        print(f"     {line_of(anew)}", flush=True)
    finally:
        load.end()
    settle(work)
    counted = judge(work, load, sqlite_template)
    troubles: Counter[str] = sum((worker.troubles for worker in load.workers), Counter())
    figures("galera", report(seed, done, counted, troubles) | {"all_lost": asdict(anew)})
    slow = [each for each in done if max(each.seconds.values()) > GO_ON_S]
    assert not slow, f"longer than {GO_ON_S:.0f} s: {[line_of(each) for each in slow]}"
    for name, child in work.children.items():
        assert "went away" in child.said(), name
        assert "answers again, after" in child.said(), name


def line_of(found: Round) -> str:
    """Return a round as a line."""
    seconds = ", ".join(f"{part} {found.seconds[part]:.1f} s" for part in PARTS)
    after = f"{found.successor} is written to; whole again in {found.back_s:.0f} s"
    return f"{found.kind} of {found.node}: {seconds}; {after}"


def report(
    seed: int, done: list[Round], counted: dict[str, int], troubles: Counter[str]
) -> dict[str, Any]:
    """Return the figures of a run."""
    every = {part: sorted(each.seconds[part] for each in done) for part in PARTS}
    return {
        "seed": seed,
        "rounds": [asdict(each) for each in done],
        "median_s": {part: found[len(found) // 2] for part, found in every.items()},
        "longest_s": {part: found[-1] for part, found in every.items()},
        "acknowledged": counted,
        "lost": 0,
        "errors_met": dict(troubles),
    }
