"""``kill -9`` of what a person asks for, between storing, signing, sending and mirroring; then it is asked for again.

At once, while what was sent waits in the pool or stands in a block that nobody has read, or when jobs and mirror have
done their part. What comes of it is what comes of a command that nobody killed: it is done once, and no row says more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.registration import register_project
from ledger.settlement.batches import plan_batches, plan_round, submit_planned
from ledger.settlement.disputes import plan_dispute
from ledger.settlement.pending import Scope
from tests.support import points
from tests.support.chain import PARTIES
from tests.support.dying import COMMIT
from tests.support.forms import is_long, rest
from tests.support.mirror import rows
from tests.support.park import PROJECT, PROPOSED, Park, open_chain, states, statuses
from tests.support.points import KILLED, World, walked_park
from tests.support.sending import GWEI, automine

SHORT_ON_MARIADB = ()
STORING = "before INSERT INTO chain_intents"
SEND = "eth_sendRawTransaction"
MARKET, OWNER, BUYER = PARTIES["market"], PARTIES["owner"], PARTIES["buyer"]
INSTANTS = ("before storing", "stored", "signed", "sent", "recorded")
AT_ONCE, IN_THE_POOL, LATER = (False, False), (True, False), (False, True)
"""Whether nothing is mined then, and whether it is asked for later."""
REACHED = ("sent", "recorded")
"""At these the node has it."""

Scene = Callable[[World], Sequence[str]]


@pytest.fixture
def world(db: Database, tmp_path: Path) -> Iterator[World]:
    url = db.url.render_as_string(hide_password=False)
    with walked_park(db, tmp_path, url) as made:
        yield made


# ------------------------------------------------------------------ what is asked for


def _funded(park: Park) -> None:
    for account in (MARKET, OWNER):
        park.fund(account, 100_000)
    park.mirror_final()


def disputes(world: World) -> Sequence[str]:
    """A trade of a batch whose window is open."""
    park = world.park
    _funded(park)
    park.propose(("sell", 1000, 10_000), ("sell", 500, 20_000))
    park.mirror_final()
    return ("settle", "dispute", "1", "1", "--account", "day-ahead", "--no-wait")


def rejects(world: World) -> Sequence[str]:
    """A dispute."""
    park = world.park
    disputes(world)
    key = park.db.run(lambda session: plan_dispute(session, park.chain, "1", 1, MARKET))
    park.chain.sender.submit(key, SETTLEMENT)
    park.mirror_final()
    return ("settle", "reject", "1", "--no-wait")


def _failed(world: World, *words: str) -> Sequence[str]:
    """Two trades have failed, as their debtor lacked what it has by now."""
    park = world.park
    park.trade(("sell", 1000, 10_000), ("sell", 500, 20_000))
    impatient = open_chain(park.db, park.node, settling=replace(PROPOSED, debtor_hours=0))
    plan_round(impatient, Scope())
    assert statuses(park) == ["failed", "failed"]
    _funded(park)
    return ("settle", "retry", *words, "--no-wait")


def retries(world: World) -> Sequence[str]:
    """A trade that failed for want of funds."""
    return _failed(world, "trade:1")


def retries_a_market(world: World) -> Sequence[str]:
    """All of a market that did."""
    return _failed(world, "--market", "day-ahead")


def retries_a_batch(world: World) -> Sequence[str]:
    """One that the contract refused, as its debtor had taken its money away."""
    park = world.park
    _funded(park)
    park.trade(("sell", 1000, 10_000))
    plan_batches(park.chain)
    park.node.withdraw("market", 100_000)
    submit_planned(park.chain)
    assert states(park) == ["failed"]
    park.mirror_final()
    _funded(park)
    return ("settle", "retry", "1", "--no-wait")


def registers(world: World) -> Sequence[str]:
    """A project, and then its site."""
    world.settings["TRUETONNE_FINALITY"] = "0"
    return ("chain", "register", "--project", PROJECT)


def registers_a_site(world: World) -> Sequence[str]:
    """The site of one that is there."""
    register_project(world.park.chain, PROJECT)
    world.park.mirror_final()
    return registers(world)


def displaces(world: World) -> Sequence[str]:
    """What waits in the pool, and the books do not know."""
    node = world.park.node
    automine(world.park, False)
    message = {"from": BUYER, "to": PARTIES["spare"], "gas": hex(21_000), "value": "0x5"}
    fees = {"maxFeePerGas": hex(3 * GWEI), "maxPriorityFeePerGas": hex(GWEI)}
    paid = node.client.request("eth_sendTransaction", [{**message, **fees}])
    raw = node.client.request("eth_getRawTransactionByHash", [paid])
    node.client.request("anvil_dropAllTransactions", [])  # else it would be mined

    def again() -> None:
        automine(world.park, False)
        node.client.request(SEND, [raw])

    world.again = again
    return ("chain", "displace", paid, "--reason", "a test")


SCENES = (
    disputes,
    rejects,
    retries,
    retries_a_market,
    retries_a_batch,
    registers,
    registers_a_site,
    displaces,
)
DONE = {
    disputes: "is disputed; only a trade of a proposed one can be disputed",
    rejects: "is disputed (it is proposed)",
    displaces: "is displaced: ",
}
"""In what who asks for what is done by then is told; the others go through."""


# ------------------------------------------------------------------ dying


def instants(passed: Sequence[str]) -> dict[str, int]:
    """Return the points at which something of the act has just been done, by what that is."""
    first = next(n for n, name in enumerate(passed) if name.startswith(STORING))
    sent = passed.index(f"after {SEND}", first)
    return dict(
        zip(
            INSTANTS,
            (
                first,
                passed.index(f"after {COMMIT}", first),
                passed.index(f"before {SEND}", first),
                sent,
                passed.index(f"after {COMMIT}", sent),
            ),
            strict=True,
        )
    )


@contextmanager
def _mining(world: World) -> Iterator[None]:
    """Mine again and again, for a command that waits until what it sent is final."""
    ended = threading.Event()
    with closing(ChainClient(world.park.node.rpc_url)) as client:

        def mine() -> None:
            while not ended.wait(0.2):
                client.request("anvil_mine", ["0x1"])

        thread = threading.Thread(target=mine)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _jobs_and_mirror(world: World) -> None:
    for _ in range(2):
        assert world.run(("jobs", "run", "send")) == 0, world.said
        world.park.mirror_final()


def _outcome(park: Park) -> dict[str, Any]:
    """Return what acts have come to, and what is said of those that came to nothing."""
    found = points.outcome(park)
    found["intents"] = rows(park.db, "chain_intents", "kind", "state", "error", "alarm")
    found["transactions"] = rows(park.db, "blockchain_transactions", "function_name", "status")
    return found


def _tries(scene: Scene) -> Iterator[tuple[str, bool, bool]]:
    """Yield at which instants to kill, whether nothing is mined then, and whether it is asked for later."""
    if not is_long():
        yield from (("stored", *AT_ONCE), ("sent", *LATER))
        return
    for instant, (waits, later) in product(INSTANTS, (AT_ONCE, IN_THE_POOL, LATER)):
        # What nobody has displaced as yet is mined meanwhile, and is no such act any more.
        if not (scene is displaces and instant == INSTANTS[0] and later):
            yield instant, waits, later


@pytest.mark.parametrize("scene", rest(SCENES, disputes, retries_a_market, registers, displaces))
def test_what_was_cut_short_is_asked_for_again_and_done_once(world: World, scene: Scene) -> None:
    """Books and chain are those of a command that nobody killed, and nothing has failed on the way."""
    park, words = world.park, scene(world)
    begin = world.walk()
    begin()
    assert world.run(words) == 0, world.said
    passed, at = world.points, instants(world.points)
    points.come_to_an_end(park)
    expected = _outcome(park)
    for instant, waits, later in _tries(scene):
        begin()
        if waits:
            automine(park, False)
        assert world.run(words, at[instant]) == KILLED, world.said
        assert world.points == passed[: at[instant] + 1]
        if later:
            _jobs_and_mirror(world)
        is_done = later and _outcome(park)["intents"] == expected["intents"]
        refused = DONE.get(scene) if is_done else None
        with _mining(world) if waits and "register" in words else nullcontext():
            code = world.run(words)
        where = (instant, waits, later, world.said)
        assert (code, (refused or "") in world.said) == (0 if refused is None else 1, True), where
        points.come_to_an_end(park)
        assert points.differing(_outcome(park), expected) == [], where
        assert park.differences() == [], where
        assert is_done or scene not in DONE or not (later and instant in REACHED), where
    assert world.run(("index", "verify")) == 0, world.said
