"""Transactions in the pool that the books do not know: shown, and displaced by nothing where a person says so."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from ledger.chain.contracts.wrappers import decode_call
from ledger.chain.keys.policy import DailyCaps, PolicyRefused, SignerPolicy
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.sending import displaced
from ledger.chain.sending.displaced import Waiting
from ledger.chain.sending.intents import FILL
from ledger.chain.sending.overview import views
from ledger.chain.sending.sender import AlreadyOnChain
from ledger.chain.sending.unknown import FILLED_MAX
from ledger.errors import BadInput, DependencyDown, NotFound, Refused
from ledger.models import AuditLog, ChainIntent
from ledger.models.sending import IntentState
from tests.support.chain import CURRENCY, PARTIES
from tests.support.copied import back_up
from tests.support.forms import few, long, rest
from tests.support.park import Park, keys_without, open_chain
from tests.support.proxy import Delivery, LyingNode, deliver
from tests.support.sending import (
    GWEI,
    UNITS,
    Boundaries,
    Crash,
    automine,
    crashing,
    drop,
    minted,
    opened,
    plan,
    sent,
    until_confirmed,
)

SHORT_ON_MARIADB = ("test_what_displaces_a_forgotten_act_is_mined_and_the_act_is_done_once",)
WHY = "sent by books that were lost"
BUYER = PARTIES["buyer"]


PAGE, HTML = b"<html>not here</html>", {"content-type": "text/html"}


class Gateway(LyingNode):
    """A node whose gateway has one answer to whoever asks for its pool; ``asked`` counts how often."""

    def __init__(self, rpc_url: str, said: Delivery) -> None:
        super().__init__(rpc_url)
        self.said, self.asked = said, 0

    def _respond(self, handler: BaseHTTPRequestHandler, calls: Any, answers: Any) -> None:
        if isinstance(calls, dict) and calls["method"].startswith("txpool_"):
            self.asked += 1
            body = self.said.body.replace(b"ID", str(calls["id"]).encode())
            deliver(handler, replace(self.said, body=body))
        else:
            super()._respond(handler, calls, answers)


def contracts(park: Park) -> dict[str, str]:
    return dict(SignerPolicy.with_limits(park.node.deployment).contracts)


def forgotten(park: Park) -> tuple[str, str, str]:
    """Have an act wait in the pool that the books forget; return hash, raw bytes, and the key of the same act, planned.

    The act has no key on chain: nothing but the nonce keeps it from being done twice.
    """
    key = plan(park)
    restore = back_up(park.db, park.folder)
    automine(park, False)
    tx_hash = park.chain.sender.submit(key, CURRENCY)
    raw = park.node.client.request("eth_getRawTransactionByHash", [tx_hash])
    restore()
    assert park.intent(key).state is IntentState.PLANNED
    return tx_hash, raw, key


def displace(park: Park, tx_hash: str, *, keep: bool = True) -> tuple[Waiting | None, str]:
    return park.chain.sender.displace(tx_hash, WHY, contracts(park), keep=keep)


def refused(park: Park, key: str, code: str) -> None:
    """Assert that nothing is signed for an act now, whoever asks."""
    for _ in range(2):
        with pytest.raises(DependencyDown) as caught:
            park.chain.sender.submit(key, CURRENCY)
        assert caught.value.code == code, caught.value.message
    assert park.intent(key).state is IntentState.PLANNED


def payment(park: Park, nonce: int, **more: str) -> str:
    """Have somebody pay by hand from an account of ours."""
    message = {"from": BUYER, "to": PARTIES["spare"], "nonce": hex(nonce), "gas": hex(21_000)}
    fees = {"maxFeePerGas": hex(3 * GWEI), "maxPriorityFeePerGas": hex(GWEI), "value": "0x5"}
    return str(park.node.client.request("eth_sendTransaction", [{**message, **fees, **more}]))


@long
def test_what_waits_is_shown_as_far_as_the_node_shows_it(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look() -> tuple[displaced.OfAccount, ...]:
        return park.chain.sender.pending([BUYER], contracts(park))

    assert look() == ()
    tx_hash, _, key = forgotten(park)
    by_hand, apart = payment(park, 1), payment(park, 7)
    known = plan(park, party="market", arguments=[PARTIES["market"], UNITS])
    park.chain.sender.submit(known, CURRENCY)  # in the pool as well, and of these books
    (account,) = look()
    assert (account.address, account.unseen) == (BUYER, 0)
    act, paid, behind = account.waiting
    assert [item.offered.info.hash for item in account.waiting] == [tx_hash, by_hand, apart]
    call = decode_call(CURRENCY, park.intent(key).call_data)
    assert call is not None
    assert (act.contract, act.function, act.parameters) == (CURRENCY, "mint", call.parameters)
    assert (act.planned_as, paid.planned_as) == (key, None)
    info = paid.offered.info
    assert (info.to, info.value, info.nonce, paid.contract) == (PARTIES["spare"], 5, 1, None)
    assert (paid.offered.max_fee_wei, paid.offered.priority_fee_wei) == (3 * GWEI, GWEI)
    assert behind.offered.info.nonce == 7
    # A node that shows its next block alone, and one that shows nothing.
    ask, closed = ChainClient.request, {"txpool_content"}

    def without(self: ChainClient, method: str, params: Sequence[Any] = ()) -> Any:
        if method in closed:
            raise RpcError(method, -32601, "Method not found", None)
        return ask(self, method, params)

    monkeypatch.setattr(ChainClient, "request", without)
    (account,) = look()
    assert account.waiting[0].offered.info.hash == tx_hash
    assert len(account.waiting) + account.unseen == 2
    closed.add("eth_getBlockByNumber")
    (account,) = look()
    assert (account.waiting, account.unseen) == ((), 2)


def test_what_displaces_a_forgotten_act_is_mined_and_the_act_is_done_once(both: Park) -> None:
    tx_hash, _, key = forgotten(both)
    refused(both, key, "unknown-pending")
    _, nothing = displace(both, tx_hash, keep=False)
    assert (nothing, [row.kind for row in both.rows(ChainIntent)]) == ("", ["test"])
    row, mine = displace(both, tx_hash)
    assert row is not None and (row.function, row.planned_as) == ("mint", key)
    assert displace(both, tx_hash) == (None, mine)  # said again, and the node has forgotten it
    assert both.node.client.request("eth_getTransactionByHash", [tx_hash]) is None
    (filling,) = [item for item in both.rows(ChainIntent) if item.kind == FILL]
    assert filling.parameters == {
        "instead_of": tx_hash,
        "nonce": "0",
        "to": both.intent(key).contract_address,
        "value": "0",
        "function": "mint",
    }
    with both.db.read() as session:
        (view,) = views(session, filling.key)
        (noted,) = session.query(AuditLog).filter_by(action="sending.displace")
    assert view.advice.startswith(f"is to displace {tx_hash}")
    assert noted.resource == f"chain_intents/{filling.key}"
    said = noted.new_values or {}
    assert (said["reason"], said["input"]) == (WHY, both.intent(key).call_data)
    # In the pool, in a block, and final for the node alone: the mirror has the last word.
    refused(both, key, "unknown-pending")
    both.node.mine(1)
    refused(both, key, "unknown-pending")
    both.mirror.run_until("head")
    both.chain.sender.tend()
    refused(both, key, "unknown-pending")
    both.node.mine(3)
    both.chain.sender.tend()
    refused(both, key, "unknown-pending")
    both.mirror.run_until("head")
    assert both.intent(filling.key).state is IntentState.CONFIRMED
    automine(both, True)
    both.chain.sender.submit(key, CURRENCY)
    until_confirmed(both)
    assert (minted(both), sent(both)) == (UNITS, 2)
    assert both.differences() == []


@long
def test_what_was_to_be_displaced_is_mined_all_the_same_and_not_done_again(park: Park) -> None:
    """The miner had it from elsewhere. The lane knows the nonce by then, and nothing but this asks the mirror."""
    tx_hash, raw, key = forgotten(park)
    _, mine = displace(park, tx_hash)
    drop(park, mine)
    park.node.client.send_raw(raw)
    park.node.mine(1)
    assert park.node.client.receipt(tx_hash) is not None
    park.mirror.run_until("head")  # reads it, in a block that is not final
    refused(park, key, "unknown-pending")
    park.node.mine(3)
    park.chain.sender.tend()  # by the node's word it is final, and what should have displaced it has ended
    (filling,) = [item for item in park.rows(ChainIntent) if item.kind == FILL]
    assert filling.state is IntentState.FAILED
    assert f"nonce 0 was taken by {tx_hash}" in (filling.error or "")
    refused(park, key, "mirror-behind")
    park.mirror.run_until("head")
    assert (park.intent(key).state, park.intent(key).tx_hash) == (IntentState.CONFIRMED, tx_hash)
    other = plan(park, arguments=[BUYER, 1])
    automine(park, True)
    park.chain.sender.submit(other, CURRENCY)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS + 1, 2)
    assert park.differences() == []


@long
def test_a_fork_deeper_than_what_was_final_gives_the_nonce_back(park: Park) -> None:
    tx_hash, raw, key = forgotten(park)
    hasty = opened(park, 1)
    _, mine = displace(hasty, tx_hash)
    drop(park, mine)
    park.node.client.send_raw(raw)
    park.node.mine(2)
    hasty.chain.sender.tend()
    hasty.mirror.run_until("head")
    assert park.intent(key).tx_hash == tx_hash
    park.node.reorganise(2)
    # Its blocks have the time of their parent, long before the act was planned.
    now = int(datetime.now(UTC).timestamp())
    park.node.client.request("evm_setNextBlockTimestamp", [now])
    if park.node.client.request("eth_getTransactionByHash", [tx_hash]) is None:
        park.node.client.send_raw(raw)
    hasty.mirror.run_until("head")
    refused(hasty, key, "mirror-behind")
    park.node.mine(1)
    refused(hasty, key, "mirror-behind")
    automine(park, True)
    for _ in range(4):
        park.node.mine(1)
        hasty.mirror.run_until("head")
    assert park.intent(key).tx_hash == tx_hash
    assert (minted(park), sent(park)) == (UNITS, 1)


@long
def test_what_is_not_displaced(park: Park) -> None:
    tx_hash, _, key = forgotten(park)
    behind = payment(park, 1)
    known = park.chain.sender.submit(
        plan(park, party="market", arguments=[PARTIES["market"], UNITS]), CURRENCY
    )
    with pytest.raises(Refused, match="is of these books: `truetonne chain intents 0x"):
        displace(park, known)
    with pytest.raises(NotFound, match="the node knows no transaction 0xee"):
        displace(park, "0x" + "ee" * 32)
    with pytest.raises(Refused, match=f"has nonce 1, and nonce 0 of {BUYER} comes first"):
        displace(park, behind)
    with pytest.raises(BadInput, match="it needs a reason"):
        park.chain.sender.displace(tx_hash, " ", contracts(park))
    with pytest.raises(DependencyDown, match="would pass max_fee_gwei") as caught:
        opened(park, max_fee_gwei=1).chain.sender.displace(tx_hash, WHY, contracts(park))
    assert caught.value.code == "fees-too-high"
    with pytest.raises(PolicyRefused, match="daily transactions"):
        capped = opened(park, caps=DailyCaps(0, 10**20))
        capped.chain.sender.displace(tx_hash, WHY, contracts(park))
    with pytest.raises(BadInput, match="no key for"):
        opened(park, keyring=keys_without(BUYER)).chain.sender.displace(
            tx_hash, WHY, contracts(park)
        )
    assert [row.kind for row in park.rows(ChainIntent)].count(FILL) == 0
    # One after the other: each by its name.
    displace(park, tx_hash)
    displace(park, behind)
    refused(park, key, "unknown-pending")
    park.node.mine(1)
    assert displace(park, tx_hash)[0] is None
    park.node.mine(3)
    park.mirror.run_until("head")
    paid = payment(park, 2)
    park.node.mine(1)
    with pytest.raises(Refused, match=r"stands in block \d+: what it did is done"):
        displace(park, paid)
    park.mirror.run_until("head")
    automine(park, True)
    park.chain.sender.submit(key, CURRENCY)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 4)


def test_what_waits_behind_a_hole_is_not_mined_with_what_would_fill_it(park: Park) -> None:
    """The pool lost one of two forgotten acts: the other was mined beside itself, signed anew with the nonce before."""
    key, first = plan(park), plan(park, arguments=[BUYER, 1])
    restore = back_up(park.db, park.folder)
    automine(park, False)
    lost, waits = (park.chain.sender.submit(each, CURRENCY) for each in (first, key))
    raw = park.node.client.request("eth_getRawTransactionByHash", [waits])
    drop(park, lost)  # and this node takes along what waits for it
    park.node.client.send_raw(raw)
    restore()
    park = opened(park)
    refused(park, key, "unknown-pending")
    refused(park, first, "unknown-pending")
    (account,) = park.chain.sender.pending([BUYER], contracts(park))
    assert [item.planned_as for item in account.waiting] == [key]
    displace(park, waits)
    refused(park, key, "unknown-pending")
    for _ in range(2):
        park.chain.sender.tend()  # the nonce that was left out is filled
        park.node.mine(2)
    park.mirror.run_until("head")
    automine(park, True)
    for each in (first, key):
        park.chain.sender.submit(each, CURRENCY)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS + 1, 4)
    assert park.differences() == []


@few(2)
@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (Delivery(PAGE, 403, HTML), 2),
        (Delivery(PAGE, 404, HTML), 2),
        (Delivery(b'{"jsonrpc":"2.0","id":ID,"result":null}'), 2),
        (Delivery(PAGE, 504, HTML), 2),
        (Delivery(PAGE, 502, HTML), 4),
        (Delivery(b"slow down", 429, HTML), 4),
        (Delivery(b'{"jsonrpc":"2.0","id":ID,"error":{"code":-32005,"message":"quota"}}'), 4),
    ],
)
def test_a_node_that_shows_nobody_its_pool_keeps_nothing_from_being_sent(
    park: Park, said: Delivery, asked: int
) -> None:
    """Many gateways have no `txpool_` method, and each says so in its own way; it is asked again if it may do later."""
    with Gateway(park.node.rpc_url, said) as gateway:
        client = ChainClient(gateway.rpc_url)
        chain = open_chain(park.db, park.node, client)
        for units in (UNITS, 1):
            chain.sender.submit(plan(park, arguments=[BUYER, units]), CURRENCY)
        client.close()
    until_confirmed(park)
    assert (minted(park), gateway.asked) == (UNITS + 1, asked)


@long
def test_what_waits_behind_ours_and_a_hole_is_displaced(park: Park) -> None:
    """What the node counts is known, and the nonce after it is free: the advice is one that can be followed."""
    automine(park, False)
    park.chain.sender.submit(plan(park), CURRENCY)
    behind = payment(park, 2)
    park = opened(park)
    key = plan(park, arguments=[BUYER, 1])
    refused(park, key, "unknown-pending")
    row, _ = displace(park, behind)
    assert row is not None and row.offered.info.nonce == 2
    for _ in range(2):
        park.chain.sender.tend()
        park.node.mine(2)
    park.mirror.run_until("head")
    automine(park, True)
    park.chain.sender.submit(key, CURRENCY)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS + 1, 4)


def test_what_waits_far_above_is_left_alone_until_the_account_comes_near(park: Park) -> None:
    """By a slip of a wallet's: to fill all nonces up to it would cost a fortune, and the account for days."""
    automine(park, False)
    far, near = 1 + FILLED_MAX + 1, 1 + FILLED_MAX
    behind = payment(park, far)
    park.chain.sender.submit(plan(park), CURRENCY)
    with pytest.raises(Refused, match=f"has nonce {far}, and 1 is the next"):
        displace(park, behind)
    payment(park, near)
    key = plan(park, arguments=[BUYER, 1])
    refused(park, key, "unknown-pending")


@long
def test_what_is_stored_and_was_not_sent_is_sent(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    tx_hash, _, key = forgotten(park)

    def dead(self: ChainClient, raw: str) -> str:
        raise DependencyDown("the node is gone")

    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "send_raw", dead)
        with pytest.raises(DependencyDown, match="is gone"):
            displace(park, tx_hash)
    refused(park, key, "unknown-pending")
    park.chain.sender.tend()
    assert park.node.client.request("eth_getTransactionByHash", [tx_hash]) is None
    automine(park, True)
    for _ in range(4):
        park.node.mine(1)
    park.mirror.run_until("head")
    park.chain.sender.submit(key, CURRENCY)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 2)


@long
def test_who_signs_while_another_displaces_signs_nothing(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had looked before the transaction was there, and would take the next nonce."""
    tx_hash, raw, key = forgotten(park)
    drop(park, tx_hash)
    signing = type(park.chain.keyring.signer(BUYER, "test")).sign_transaction
    begun: list[str] = []

    def meanwhile(self: object, transaction: object) -> tuple[str, str]:
        if not begun:
            begun.append("displaced")
            park.node.client.send_raw(raw)
            displace(park, tx_hash)
        return signing(self, transaction)  # type: ignore[arg-type]

    monkeypatch.setattr(
        type(park.chain.keyring.signer(BUYER, "test")), "sign_transaction", meanwhile
    )
    refused(park, key, "unknown-pending")
    assert begun


@long
def test_two_that_displace_at_once_sign_once(both: Park) -> None:
    tx_hash, _, _ = forgotten(both)
    parks = [opened(both), opened(both)]
    meet = threading.Barrier(len(parks))
    said: list[str] = []

    def work(park: Park) -> None:
        meet.wait()
        said.append(displace(park, tx_hash)[1])

    threads = [threading.Thread(target=work, args=(park,)) for park in parks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (filling,) = [item for item in both.rows(ChainIntent) if item.kind == FILL]
    assert said == [filling.tx_hash] * 2


def outcome(park: Park, raw: str, key: str, *, old_wins: bool) -> int:
    """Do what jobs, mirror and miners do, with somebody asking for the act each time; return how often in vain."""
    refusals = 0
    for _ in range(20):
        if park.intent(key).state is IntentState.PLANNED:
            try:
                park.chain.sender.submit(key, CURRENCY)
            except (DependencyDown, AlreadyOnChain):
                refusals += 1
        if old_wins:  # a miner had the old one: no pool keeps it from a block
            waiting = park.node.client.request("txpool_content")["pending"].get(BUYER, {})
            for item in waiting.values():
                drop(park, item["hash"])
            with suppress(RpcError):  # in a block by now
                park.node.client.send_raw(raw)
        park.node.mine(1)
        park.mirror.run_until("head")
        with suppress(DependencyDown):
            park.chain.sender.tend()
        if park.intent(key).state is IntentState.CONFIRMED:
            return refusals
    raise AssertionError(park.intent(key).state)


@long
@few(1)
@pytest.mark.parametrize("old_wins", [False, True])
@pytest.mark.parametrize("at", rest(range(13), 8))
def test_whatever_is_killed_and_mined_the_act_is_done_once(
    park: Park, monkeypatch: pytest.MonkeyPatch, at: int, old_wins: bool
) -> None:
    """Killed before and after each commit and each question to the node, while it is displaced."""
    tx_hash, raw, key = forgotten(park)
    with crashing(monkeypatch, boundaries := Boundaries(at)):
        try:
            displace(park, tx_hash)
        except Crash:
            pass
        else:
            assert boundaries.passed <= at
    if not [row for row in park.rows(ChainIntent) if row.kind == FILL]:
        displace(park, tx_hash)  # nothing was kept: said again
    assert outcome(park, raw, key, old_wins=old_wins) > 1
    assert minted(park) == UNITS
    # Where it was killed before it was sent, the old one may be mined first.
    old = park.node.client.receipt(tx_hash) is not None
    assert old or not old_wins
    assert sent(park) == (1 if old else 2)
    assert park.differences() == []
