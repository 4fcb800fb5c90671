"""Random histories in short: the mirror, a new mirror, and a model of the contracts that shares no code with them.

``./dev histories`` is the long form, see docs/assurance.md. Here are some seeds of it, and Hypothesis, which
finds the shortest history where one differs.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from indexer import Indexer
from ledger.db import Database
from tests.indexer.conftest import DEPTH
from tests.support.chain import go_back
from tests.support.forms import long, rest, times
from tests.support.history_acts import IN_FORKS, ON_CHAIN
from tests.support.mirror import Dump, dump, fresh
from tests.support.plans import DEPTH_MAX, Plan, Step, plan
from tests.support.scenario import run
from tests.support.stages import Stage

ROOT = Path(__file__).resolve().parents[2]


def _acts(names: tuple[str, ...]) -> list[st.SearchStrategy[object]]:
    return [st.sampled_from(names), st.integers(1, 60), st.integers(0, 5), st.integers(0, 2)]


FORK = st.lists(st.tuples(*_acts(IN_FORKS), st.integers(0, 8)), max_size=4).map(tuple)
ACT: st.SearchStrategy[Step] = st.tuples(st.just("act"), *_acts(ON_CHAIN))
STEP: st.SearchStrategy[Step] = st.one_of(
    ACT,
    ACT,
    ACT,
    st.tuples(st.just("mine"), st.integers(1, 20)),
    st.tuples(st.just("reorganise"), st.integers(1, DEPTH_MAX), FORK),
    st.tuples(st.just("roll_back"), st.integers(1, DEPTH_MAX)),
    st.just(("look",)),
    st.just(("mirror",)),
)


@settings(
    max_examples=times(2, 5),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    steps=st.lists(STEP, min_size=10, max_size=24),
    finality=st.sampled_from(["64", "5", "finalized"]),
)
def test_the_mirror_is_the_chain(history_stage: Stage, steps: list[Step], finality: str) -> None:
    for step in steps:
        note(str(step))
    begin: list[Step] = [("act", "issue", 50, 0, 0), ("act", "deposit", 60, 0, 0)]
    run(history_stage, Plan(0, (*begin, *steps), finality=finality))


@long
def test_reorganisations_with_other_contents(history_stage: Stage) -> None:
    chance = random.Random(1)
    acts = [
        ("act", name, 1 + number, number, number % 3)
        for number, name in enumerate(
            ("issue", "deposit", "transfer", "retire", "cancel", "propose")
        )
    ]
    steps: list[Step] = [*acts, ("mine", DEPTH_MAX), *acts, ("mirror",)]
    depths = [1, 8, 33, DEPTH_MAX]
    for depth in depths:
        other = tuple(
            (name, chance.randint(1, 9), number, number % 3, number * depth // 8)
            for number, name in enumerate(("issue", "retire", "settle_one", "cosign", "retire_for"))
        )
        steps += [("reorganise", depth, other), ("mirror",)]
    outcome = run(history_stage, Plan(1, tuple(steps)))
    assert outcome.depths == depths


@long
def test_something_moves_under_a_tick(history_stage: Stage) -> None:
    """At the first request of a tick, at the second, and so on: chain or books are others then."""
    begin = [("act", "issue", 50, 0, 0), ("act", "deposit", 60, 0, 0), ("mine", 5), ("mirror",)]
    inner: tuple[Step, ...] = (
        ("second",),
        ("roll_back", 3),
        ("reorganise", 4, (("retire", 2, 0, 0, 1), ("withdraw", 60, 0, 0, 2))),
        ("act", "issue_again", 3, 0, 0),
    )
    during = [
        ("during", number, inner[(number + number // 4 + turn) % 4])
        for number in range(1, 13)
        for turn in (0, 2)
    ]
    outcome = run(history_stage, Plan(1, (*begin, *during)))
    assert outcome.counts["moved during a tick"] == len(during)


@pytest.mark.parametrize("seed", rest([3, 11]))
def test_killed_restarted_and_doubled(process_stage: Stage, seed: int) -> None:
    """Processes of the command; at least one is killed, and two run at once."""
    outcome = run(process_stage, plan(seed, mariadb_share=0, process_share=1))
    assert outcome.counts["kills"] + outcome.counts["stopped with a reason"] > 0
    assert outcome.counts["second indexers"] > 0


@long  # on SQLite it is done above, and two mirrors on MariaDB in test_once.py and test_lease.py
@pytest.mark.mariadb
def test_killed_restarted_and_doubled_on_mariadb(mariadb_stage: Stage) -> None:
    outcome = run(mariadb_stage, plan(5, mariadb_share=1, process_share=1))
    assert outcome.counts["kills"] > 0
    assert outcome.counts["second indexers"] > 0


@long
def test_the_installed_command_is_killed(
    history_stage: Stage, sqlite_db: Database, tmp_path: Path
) -> None:
    """The histories fork the command; here it is started as its user does, and killed at its work."""
    chain = history_stage.chain
    snapshot = chain.client.request("evm_snapshot")
    try:
        batch = chain.issue(1000, 1)
        for kg in range(1, 60):
            chain.retire("owner", batch, kg % 7 + 1)
        settings = {
            "TRUETONNE_DATABASE_URL": sqlite_db.url.render_as_string(hide_password=False),
            "TRUETONNE_RPC_URL": chain.rpc_url,
            "TRUETONNE_DEPLOYMENT": str(history_stage.folder / "deployment.json"),
            "TRUETONNE_FINALITY": str(DEPTH),
        }
        command = shutil.which("truetonne", path=Path(sys.executable).parent)
        assert command is not None
        process = subprocess.Popen(
            [command, "index", "run"], env={**os.environ, **settings}, cwd=tmp_path
        )
        until = time.monotonic() + 60
        while not _has_begun(sqlite_db):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        chain.reorganise(9)
        Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
        assert dump(sqlite_db) == _fresh(history_stage, tmp_path)
    finally:
        go_back(chain.client, snapshot)


def _has_begun(db: Database) -> bool:
    return bool(dump(db)["chain_cursor"])


def _fresh(on: Stage, folder: Path) -> Dump:
    return fresh(on.template, folder, on.chain, DEPTH)
