"""``./dev chaos [--scenarios N] [--seed S]``: runs scenarios, prints each seed and a summary; 1 unless all are right.

The scenario of a seed is the same every time: work, faults, and where they strike. Only threads and processes that
race each other, and the instant of a kill -9, are the machine's.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time
import traceback
from contextlib import closing
from pathlib import Path

from scripts import suite
from scripts.chaos.differs import DidNotStrike, Stuck, Wrong
from scripts.chaos.kinds import KINDS
from scripts.chaos.plans import MARIADB_SHARE, Plan, plan
from scripts.chaos.scenario import run
from scripts.chaos.stage import Stage, stages
from scripts.chaos.summary import Summary
from tests.support.mariadb import ServerUnavailable

BUILD = Path(__file__).resolve().parents[2] / "build" / "chaos"
STAGE_SCENARIOS = 60
"""So many share a node: a chain that was taken back leaves its states in the node's memory."""


def main() -> int:
    """Run what was asked for; 1 when a scenario is not right, 3 when something is missing."""
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("--scenarios", type=suite.at_least(1), default=100, help="how many (100)")
    parser.add_argument(
        "--seed", type=suite.seed, help="of the first one; the next has the next number"
    )
    parser.add_argument(
        "--replay", type=suite.seed, metavar="SEED", help="run the scenario of a seed again"
    )
    parser.add_argument(
        "--kind", choices=list(KINDS), help="a kind of fault that every scenario has"
    )
    parser.add_argument(
        "--mariadb-share",
        type=suite.share,
        default=MARIADB_SHARE,
        help="share that is kept in MariaDB",
    )
    asked = parser.parse_args()
    suite.get_tools("chaos")
    first = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    if asked.replay is not None:
        first, asked.scenarios = asked.replay, 1
    plans = [
        plan(seed, asked.mariadb_share, asked.kind)
        for seed in range(first, first + asked.scenarios)
    ]
    logging.disable(logging.WARNING)
    options = (
        f" --mariadb-share {asked.mariadb_share}" if asked.mariadb_share != MARIADB_SHARE else ""
    )
    options += f" --kind {asked.kind!r}" if asked.kind else ""
    summary = Summary(first, options)
    try:
        with (
            stages(any(each.store == "mariadb" for each in plans)) as new_stage,
            closing(suite.staged(plans, new_stage, STAGE_SCENARIOS)) as staged,
        ):
            for on, each in staged:
                _one(on, each, summary)
    except ServerUnavailable as reason:
        print(f"chaos: {reason}; --mariadb-share 0 does without", file=sys.stderr)
        return suite.MISSING
    finally:  # interrupted, too: what was found until then
        if summary.scenarios:
            suite.report(summary, BUILD)
    return 1 if summary.bad else 0


def _one(on: Stage, what: Plan, summary: Summary) -> None:
    try:
        outcome = run(on, what)
    except Exception as error:  # whatever it is, it is not right, and the others go on
        verdict = summary.fail(what, error)
        print(
            f"{what.seed}  {verdict}  {what.store}, {what.turns}: {type(error).__name__}: {error}"
        )
        if not isinstance(error, Wrong | Stuck | DidNotStrike):
            traceback.print_exc(file=sys.stdout)
        print(f"   replay: {summary.replay(what.seed)}", flush=True)
        return
    summary.add(what, outcome)
    struck = ", ".join(f"{name} {outcome.strikes[name]}" for name in KINDS if outcome.strikes[name])
    print(f"{what.seed}  right  {what.store}, {struck}, {outcome.seconds:.1f} s", flush=True)


if __name__ == "__main__":
    started = time.monotonic()
    code = suite.command("chaos", main)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    sys.exit(code)
