"""A process may end at any instant, and an answer may be lost: each intent reaches the chain once."""

import signal
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.sending.sender import NotTaken
from ledger.errors import DependencyDown
from ledger.models import ChainAttempt, ChainIntent
from ledger.models.sending import IntentState
from tests.support.chain import CURRENCY, PARTIES, until_mined, wait_for
from tests.support.forked import FORKED
from tests.support.forms import few, long, rest, times
from tests.support.park import Park
from tests.support.racers import START_SECONDS, hanging, submitting
from tests.support.sending import (
    UNITS,
    Boundaries,
    Crash,
    attempts,
    automine,
    crashing,
    drop,
    minted,
    opened,
    plan,
    sent,
    spike,
    steal,
    until_confirmed,
)

SHORT_ON_MARIADB = (
    "test_a_crash_at_every_boundary",
    "test_a_real_kill_between_storing_and_sending",
)


def submit(park: Park, key: str) -> None:
    """Send an intent."""
    park.chain.sender.submit(key, CURRENCY)


def replace(park: Park, key: str) -> None:
    """Send an intent into a spike of the base fee, and replace it."""
    automine(park, False)
    park.chain.sender.submit(key, CURRENCY)
    spike(park, 50)
    park.chain.sender.tend()


def give_another_nonce(park: Park, key: str) -> None:
    """Send an intent whose nonce is stolen, and give it another one."""
    automine(park, False)
    tx_hash = park.chain.sender.submit(key, CURRENCY)
    drop(park, tx_hash)
    steal(park, "buyer", park.intent(key).nonce or 0)
    park.node.mine(3)
    park.chain.sender.tend()


@few(1)
@pytest.mark.parametrize("scenario", rest([submit, replace, give_another_nonce], submit, replace))
def test_a_crash_at_every_boundary(
    both: Park, monkeypatch: pytest.MonkeyPatch, scenario: Callable[[Park, str], None]
) -> None:
    """Before and after every commit, and before and after every question to the node."""
    names = set()
    crashed = 0
    stride = {submit: 1}.get(scenario, times(9, 4)) if both.db.dialect == "sqlite" else times(9, 5)
    for place in count(0, stride):
        automine(both, True)
        both.node.client.request("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])
        both.node.mine(1)
        key = plan(both)
        boundaries = Boundaries(place)
        with crashing(monkeypatch, boundaries), suppress(Crash):
            scenario(both, key)
        automine(both, True)
        later = opened(both.again(), replace_seconds=0)
        later.mirror.run_until("head")
        if later.intent(key).state is IntentState.PLANNED:
            later.chain.sender.submit(key, CURRENCY)
        until_confirmed(later)
        assert later.intent(key).state is IntentState.CONFIRMED
        later.db.close()
        if boundaries.crashed_at is None:
            break  # it went through: there were no more boundaries
        names.add(boundaries.crashed_at)
        crashed += 1
    if stride == 1:
        assert {"before a commit", "after a commit"} <= names
        assert {"before eth_sendRawTransaction", "after eth_sendRawTransaction"} <= names
    assert crashed >= 3
    intents = len([row for row in both.rows(ChainIntent) if row.kind == "test"])
    assert intents == crashed + 1
    assert minted(both) == UNITS * intents
    assert both.differences() == []


def test_a_real_kill_between_storing_and_sending(both: Park) -> None:
    key = plan(both)
    file = both.folder / "deployment.json"
    file.write_text(both.node.deployment_text())
    url = both.db.url.render_as_string(hide_password=False)
    hung = FORKED.Event()
    process = hanging(submitting(url, both.node.rpc_url, file, [key]), hung)
    assert hung.wait(START_SECONDS)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert both.intent(key).state is IntentState.SUBMITTED
    (attempt,) = attempts(both, key)
    assert attempt.broadcast_at is None
    assert (minted(both), sent(both)) == (0, 0)
    assert both.chain.sender.tend() == 1
    until_confirmed(both)
    assert both.intent(key).tx_hash == attempt.tx_hash
    assert (minted(both), sent(both), both.count(ChainAttempt)) == (UNITS, 1, 1)
    assert both.differences() == []


# ----------------------------------------------------------------------- answers that are lost


@few(1)
@pytest.mark.parametrize("arrived", [False, True], ids=["before sending", "after sending"])
@pytest.mark.parametrize("method", rest(["eth_sendRawTransaction", "eth_call", "eth_estimateGas"]))
def test_an_error_of_the_node(
    park: Park, monkeypatch: pytest.MonkeyPatch, method: str, arrived: bool
) -> None:
    """A time-out may have been a success, and a refusal a mistake."""
    key = plan(park)
    honest = ChainClient.request_batch
    faults: list[str] = []

    def failing(self: ChainClient, calls: Any) -> Any:
        if calls and calls[0][0] == method and not faults:
            faults.append(method)
            if arrived:
                honest(self, calls)
                raise DependencyDown("the answer did not come", code="node-down")
            raise RpcError(method, -32005, "too many requests", None)
        return honest(self, calls)

    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "request_batch", failing)
        with pytest.raises((DependencyDown, NotTaken)):
            park.chain.sender.submit(key, CURRENCY)
    assert faults == [method]
    there = arrived and method == "eth_sendRawTransaction"
    if there:
        wait_for(park.node.client, str(park.intent(key).tx_hash))  # mined a moment after it came
    assert sent(park) == int(there)
    park.chain.sender.submit(key, CURRENCY)
    until_confirmed(park)
    assert (minted(park), sent(park), park.count(ChainAttempt)) == (UNITS, 1, 1)
    assert park.differences() == []


@long
def test_a_pool_that_is_wiped_again_and_again(both: Park) -> None:
    automine(both, False)
    keys = [plan(both) for _ in range(4)]
    for key in keys:
        both.chain.sender.submit(key, CURRENCY)
    for _ in range(3):
        both.node.client.request("anvil_dropAllTransactions")
        both.node.mine(1)
        assert sent(both) == 0
        both.chain.sender.tend()
    both.node.mine(1)
    until_confirmed(both)
    assert (minted(both), sent(both), both.count(ChainAttempt)) == (4 * UNITS, 4, 4)
    assert both.differences() == []


# ----------------------------------------------------------------------- the harness itself


class Naive:
    """What most write: send, then save the hash; after a crash, what has no hash is sent."""

    def __init__(self, park: Park) -> None:
        self.park = park
        self.saved: dict[str, str] = {}

    def submit(self, key: str, crash: bool = False) -> None:
        if key in self.saved:
            return
        data = encode_call(CURRENCY, "mint", [PARTIES["buyer"], UNITS])
        to = self.park.node.deployment.contracts[CURRENCY].address
        message = {"from": PARTIES["buyer"], "to": to, "data": data, "gas": hex(200_000)}
        tx_hash = self.park.node.client.request("eth_sendTransaction", [message])
        assert wait_for(self.park.node.client, tx_hash).status  # Anvil answers before it has mined
        if crash:
            raise Crash
        self.saved[key] = tx_hash


@few(1)
@pytest.mark.parametrize("kind", ["naive", "ours"])
def test_the_naive_order_pays_twice_and_the_harness_sees_it(
    park: Park, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The same crash, right after the sending, twenty times: the naive order doubles every one of them."""
    honest = ChainClient.send_raw
    crashes = 0

    def crash(self: ChainClient, raw: str) -> str:
        honest(self, raw)
        raise Crash

    naive = Naive(park)
    for number in range(20):
        if kind == "naive":
            with pytest.raises(Crash):
                naive.submit(str(number), crash=True)
            crashes += 1
            naive.submit(str(number))  # after the restart
            continue
        key = plan(park)
        with monkeypatch.context() as patch:
            patch.setattr(ChainClient, "send_raw", crash)
            with pytest.raises(Crash):
                park.chain.sender.submit(key, CURRENCY)
        crashes += 1
        park.chain.sender.submit(key, CURRENCY)
    until_mined(park.node.client)
    assert crashes == 20
    assert minted(park) == (40 if kind == "naive" else 20) * UNITS
