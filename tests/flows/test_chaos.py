"""The short form of ``./dev chaos``: every kind of fault that needs no second database once, and proof that it sees.

Two schedulers on MariaDB, one of them killed, are in ``test_two_schedulers``.
"""

import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from ledger.chain.node.client import ChainClient
from scripts.chaos import kinds, scenario
from scripts.chaos.differs import DidNotStrike, Stuck, Wrong
from scripts.chaos.plans import Plan, plan
from scripts.chaos.stage import Stage, stages
from scripts.chaos.strikes import Fault, Work
from tests.support.forms import long, rest
from tests.support.proxy import FaultyNode
from tests.support.sending_mutants import MUTANTS

PLANS = (
    Plan(
        1,
        "sqlite",
        "finalized",
        False,
        1,
        (("kill",), ("reorganisation",), ("receipt of an orphaned block",)),
    ),
    Plan(
        2,
        "sqlite",
        3,
        True,
        24,
        (("error before sending",), ("error after sending",), ("receipts that lag",)),
    ),
    Plan(3, "sqlite", 1, False, 1, (("mempool wiped",), ("base-fee spike",), ("nonce stolen",))),
    Plan(
        4,
        "sqlite",
        6,
        True,
        1,
        (
            ("database restored from a backup",),
            ("older head than before",),
            ("full disk", "time-out that was a success"),
        ),
    ),
    Plan(
        5,
        "sqlite",
        "finalized",
        False,
        24,
        (
            ("two schedulers at once, without a lease",),
            ("insolvent debtor",),
            ("clock that jumps",),
        ),
    ),
    Plan(6, "sqlite", "finalized", True, 1, (("kill -9 of jobs run",),)),
)
SEEN_BY = {
    "send, then save": (17, "kill"),
    "what was sent once is not sent again": (4, "mempool wiped"),
    "thefts of nonces are ignored": (4, "nonce stolen"),
    "the chain is not asked what was done": (1, "database restored from a backup"),
    "forgotten batches stay forgotten": (6, "database restored from a backup"),
    "a fork leaves intents confirmed": (1, "reorganisation"),
}


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    with stages(with_mariadb=False) as new_stage, new_stage() as stage:
        yield stage


@long
def test_a_proxy_reaches_the_node(on: Stage) -> None:
    """It speaks HTTP; the rest of a scenario asks the node over a socket."""
    with (
        FaultyNode(on.node.rpc_url, random.Random(1)) as proxy,
        closing(ChainClient(proxy.rpc_url)) as client,
    ):
        assert client.block_number() == on.node.client.block_number()


@pytest.mark.parametrize("what", rest(PLANS, PLANS[3]), ids=lambda what: str(what.seed))
def test_scenarios_of_fixed_seeds(on: Stage, what: Plan) -> None:
    outcome = scenario.run(on, what)
    assert what.kinds <= {name for name, strikes in outcome.strikes.items() if strikes}
    assert outcome.counts["trades executed"] == outcome.counts["trades"] > 0


def test_every_kind_is_in_one_of_them() -> None:
    struck = {name for what in PLANS for name in what.kinds}
    assert struck == set(kinds.KINDS) - set(kinds.ON_MARIADB)
    assert set(SEEN_BY) == set(MUTANTS)


def test_a_plan_is_a_value_of_its_seed() -> None:
    plans = [plan(seed) for seed in range(200)]
    assert plans == [plan(seed) for seed in range(200)]
    assert {name for what in plans for name in what.kinds} == set(kinds.KINDS)
    assert {what.store for what in plans} == {"sqlite", "mariadb"}


@pytest.mark.parametrize("mutant", rest(MUTANTS, "the chain is not asked what was done"))
def test_a_broken_sender_is_noticed(
    on: Stage, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    seed, kind = SEEN_BY[mutant]
    what = Plan(seed, "sqlite", "finalized", False, 1, ((kind,),))
    monkeypatch.setattr(scenario, "ROUNDS_MAX", 5)
    with monkeypatch.context() as patch:
        MUTANTS[mutant](patch.setattr)
        with pytest.raises((Wrong, Stuck)):
            scenario.run(on, what)


@long
@long
def test_a_fault_that_strikes_nothing_is_an_error_of_the_harness(
    on: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Idle(Fault):
        """Does nothing."""

        name = "idle"

        def strike(self, work: Work) -> None:
            """Do the work, and strike nothing."""
            work()

    monkeypatch.setitem(kinds.KINDS, "idle", Idle)
    monkeypatch.setattr(scenario, "TURNS_MORE", 0)
    with pytest.raises(DidNotStrike, match="'idle' found nothing to strike"):
        scenario.run(on, Plan(1, "sqlite", "finalized", False, 1, (("idle",),)))
