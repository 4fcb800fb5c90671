"""``./dev histories [--count N] [--seed S]``: runs histories, prints each seed and a summary; 1 on a difference.

The history of a seed is the same every time: what happens, in which order, and which fault strikes. Only
the instants at which processes are killed and meet each other are the machine's.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger.db import Database
from scripts import suite
from scripts.histories.summary import Summary
from tests.support import money_walk
from tests.support.books import new_books
from tests.support.kept_walk import KeptWalk
from tests.support.mariadb import ServerUnavailable, empty, running_server
from tests.support.money_walk import MARIADB_EVERY, MoneyWalk
from tests.support.nursery import Nursery
from tests.support.plans import MARIADB_SHARE, PROCESS_SHARE, Plan, plan
from tests.support.scenario import run
from tests.support.stages import Books, Stage, stage

BUILD = Path(__file__).resolve().parents[2] / "build" / "histories"
STAGE_HISTORIES = 25
"""So many share a node: a chain that was taken back leaves its states in the node's memory."""


def main() -> int:
    """Run what was asked for; 1 when a history differs, 3 when something is missing."""
    asked = _parser().parse_args()
    suite.get_tools("histories")
    first = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    seeds = range(first, first + asked.count)
    try:
        if asked.books:
            kind = KeptWalk if asked.kept else MoneyWalk
            return _walks(kind, seeds, asked.steps, asked.mariadb_share)
        share = MARIADB_SHARE if asked.mariadb_share is None else asked.mariadb_share
        return _histories(seeds, share, asked.process_share, asked.steps)
    except ServerUnavailable as reason:
        print(f"histories: {reason}; --mariadb-share 0 does without", file=sys.stderr)
        return suite.MISSING


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev histories", description=__doc__)
    parser.add_argument(
        "--count", type=suite.at_least(1), default=100, help="how many histories (100)"
    )
    parser.add_argument(
        "--seed", type=suite.seed, help="of the first one; the next has the next number"
    )
    parser.add_argument(
        "--mariadb-share",
        type=suite.share,
        help=f"share that is kept in MariaDB; {MARIADB_SHARE} where you say none, and of walks one in four",
    )
    parser.add_argument(
        "--process-share",
        type=suite.share,
        default=PROCESS_SHARE,
        help="share that `truetonne index run` mirrors, in processes that are killed",
    )
    parser.add_argument(
        "--books",
        action="store_true",
        help="walks of the books in their place: people, jobs and strangers act on the same trades",
    )
    parser.add_argument(
        "--kept",
        action="store_true",
        help="with --books: these are also saved, restored, copied to another database and mirrored anew",
    )
    parser.add_argument("--steps", action="store_true", help="print the steps, for a replay")
    return parser


def _histories(
    seeds: Sequence[int], mariadb_share: float, process_share: float, steps: bool
) -> int:
    """Run the histories of some seeds; 1 when one differs."""
    plans = [plan(seed, mariadb_share, process_share) for seed in seeds]
    summary = Summary(seeds[0], mariadb_share, process_share)
    try:
        with (
            _stages(any(each.store == "mariadb" for each in plans)) as new_stage,
            closing(suite.staged(plans, new_stage, STAGE_HISTORIES)) as staged,
        ):
            for on, each in staged:
                _one(on, each, summary, steps)
    finally:  # interrupted, too: what was found until then
        if summary.histories:
            suite.report(summary, BUILD)
    return 1 if summary.differences else 0


def _walks(
    kind: type[MoneyWalk], seeds: Sequence[int], steps: bool, mariadb_share: float | None
) -> int:
    """Take the walks of some seeds, some of them on MariaDB; 1 when one differs."""
    differences, acts = 0, Counter[str]()
    every = MARIADB_EVERY if mariadb_share is None else round(1 / (mariadb_share or 1))
    with (
        _stages(mariadb_share != 0) as new_stage,
        closing(suite.staged(seeds, new_stage, STAGE_HISTORIES)) as staged,
    ):
        for on, seed in staged:
            began = time.monotonic()
            try:
                walk = money_walk.run(on, seed, kind=kind, mariadb_every=every)
            except Exception as error:  # as in ``_one``
                differences += 1
                print(f"{seed}  DIFFERS  {type(error).__name__}: {error}")
                if steps or not isinstance(error, AssertionError):
                    traceback.print_exception(error)
                how = " --kept" * (kind is KeptWalk)
                if mariadb_share is not None:
                    how += f" --mariadb-share {mariadb_share}"
                print(f"   replay: ./dev histories --books --steps --seed {seed} --count 1{how}")
                continue
            acts += walk.done
            seconds = time.monotonic() - began
            print(f"{seed}  equal  {walk.store}, {seconds:.1f} s", flush=True)
    print(f"\n{len(seeds)} walks of the books from seed {seeds[0]}, {differences} differences")
    for name, count in sorted(acts.items()):
        print(f"  {count:>8,}  {name.replace('_', ' ')}")
    return 1 if differences else 0


def _one(on: Stage, what: Plan, summary: Summary, steps: bool) -> None:
    if steps:
        for step in what.steps:
            print("  ", *step)
    try:
        outcome = run(on, what)
    except Exception as error:  # whatever it is, it is a difference, and the others go on
        summary.differ(what, error)
        print(f"{what.seed}  DIFFERS  {type(error).__name__}: {error}")
        if not isinstance(error, AssertionError):
            traceback.print_exc()
        print(f"   replay: {summary.replay(what.seed)}", flush=True)
        return
    summary.add(what, outcome)
    kind = "processes" if what.processes else "in one process"
    kind += ", read ahead" * what.ahead
    faults = ", ".join(what.faults) or "no fault"
    print(
        f"{what.seed}  equal  {what.store}, {kind}, {outcome.blocks} blocks, "
        f"{len(outcome.depths)} reorganisations, {faults}, {outcome.seconds:.1f} s",
        flush=True,
    )


@contextmanager
def _stages(with_mariadb: bool) -> Iterator[Callable[[], AbstractContextManager[Stage]]]:
    """Return a function that opens stages; server and nursery serve all of them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="histories-")))
        template = folder / "template.db"
        new_books(template).close()
        nursery = stack.enter_context(Nursery())
        mariadb = stack.enter_context(_mariadb()) if with_mariadb else None
        numbers = iter(range(1 << 30))
        yield lambda: stage(template, folder / f"stage-{next(numbers)}", nursery, mariadb)


@contextmanager
def _mariadb() -> Iterator[Books]:
    with running_server("truetonne") as server:

        def new() -> Database:
            empty(server, "truetonne")
            return Database(server.url("truetonne"))

        yield new


if __name__ == "__main__":
    started = time.monotonic()
    code = suite.command("histories", main)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    sys.exit(code)
