"""Nonces that strangers take, holes below ours, forks of every depth, and two senders at once."""

import re
import threading
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from web3 import Web3

from ledger import issuance
from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.keys.policy import DailyCaps
from ledger.chain.keys.signers import _ANVIL_KEYS, ANVIL_ROLES, Keyring, anvil_signer
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.sending import adoption, stuck
from ledger.chain.sending.desk import Desk
from ledger.chain.sending.intents import FILL, NewIntent, new_key, release_nonce
from ledger.chain.sending.sender import Sender
from ledger.db import Database
from ledger.errors import BadInput
from ledger.holdings import cancellation_call, holding_of
from ledger.jobs import work
from ledger.jobs.work import Tools
from ledger.models import (
    BlockchainTransaction,
    ChainAttempt,
    ChainEvent,
    ChainIntent,
    ChainNonceLane,
    CreditRetirement,
)
from ledger.models.sending import IntentState
from ledger.reconcile import reconcile
from ledger.settings import load_settings
from tests.support.chain import CURRENCY, PARTIES, SITE_CODE
from tests.support.forms import few, long, rest
from tests.support.park import CHAIN_ID, PROJECT, Park, keys_without
from tests.support.racers import race, submitting
from tests.support.sending import (
    GWEI,
    UNITS,
    attempts,
    automine,
    drop,
    lost,
    minted,
    opened,
    plan,
    sent,
    spike,
    steal,
    until_confirmed,
)
from tests.support.statements import listening, steps_of

SHORT_ON_MARIADB = (
    "test_a_stolen_nonce_is_given_up_only_when_that_is_final",
    "test_two_processes_never_use_a_nonce_twice",
    "test_two_that_fill_one_hole_fill_it_once",
)


_FEES = {"maxFeePerGas": 150 * GWEI, "maxPriorityFeePerGas": 2 * GWEI}


def test_a_stolen_nonce_is_given_up_only_when_that_is_final(both: Park) -> None:
    key = plan(both)
    thief = lost(both, key)
    for _ in range(2):  # the block may still be taken back
        both.chain.sender.tend()
        assert (both.intent(key).nonce, len(attempts(both, key))) == (0, 1)
        assert both.intent(key).alarm is None
        both.node.mine(1)
    both.chain.sender.tend()
    first, second = attempts(both, key)
    assert (first.nonce, second.nonce, both.intent(key).nonce) == (0, 1, 1)
    account, last = (CHAIN_ID, PARTIES["buyer"]), both.node.height()
    found = stuck.find_taker(both.node.client, account, 0, last)
    assert found is not None and found.hash == thief
    until_confirmed(both)
    assert both.intent(key).tx_hash == second.tx_hash
    assert (minted(both), sent(both)) == (UNITS, 2)
    assert both.differences() == []


@long
def test_a_nonce_that_was_used_up_and_nothing_done_by_it(park: Park) -> None:
    """First by the same call with too little gas, sent by hand; then by what the account signs to take on code."""
    buyer, spare = (Account.from_key(_ANVIL_KEYS[ANVIL_ROLES[each]]) for each in ("buyer", "spare"))
    key = plan(park)
    automine(park, False)
    drop(park, park.chain.sender.submit(key, CURRENCY))
    call = park.intent(key)
    message = {
        "to": Web3.to_checksum_address(call.contract_address),
        "data": call.call_data,
        "value": 0,
        "gas": 30_000,
    }
    send_raw(park, buyer, {**message, **_FEES, "nonce": 0}, status=0)
    unknown_calls = adoption.on_node(park.db, park.node.client, call, unknown_nonces=True)
    park.node.mine(3)
    park.chain.sender.tend()
    assert (unknown_calls, park.intent(key).nonce) == (None, 1)

    drop(park, str(park.intent(key).tx_hash))
    signed = buyer.sign_authorization({"chainId": CHAIN_ID, "address": message["to"], "nonce": 1})
    carrier = {
        "type": 4,
        "to": spare.address,
        "value": 0,
        "gas": 100_000,
        "authorizationList": [signed],
    }
    send_raw(park, spare, {**carrier, **_FEES, "nonce": sent(park, "spare")}, status=1)
    park.node.mine(3)
    park.chain.sender.tend()
    assert [item.nonce for item in attempts(park, key)] == [0, 1, 2]
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 3)
    assert park.differences() == []


def send_raw(park: Park, account: Any, message: dict[str, Any], status: int) -> None:
    """Sign and mine a transaction of somebody who has a key, and assert what became of it."""
    raw = account.sign_transaction({"chainId": CHAIN_ID, **message}).raw_transaction
    tx_hash = park.node.client.send_raw("0x" + raw.hex())
    park.node.mine(1)
    receipt = park.node.client.receipt(tx_hash)
    assert receipt is not None and receipt.status == status


@long
def test_a_fork_gives_the_nonce_back_before_it_is_final(park: Park) -> None:
    key = plan(park)
    lost(park, key)
    park.chain.sender.tend()
    park.node.reorganise(1)
    assert sent(park) == 0  # the thief is gone
    park.chain.sender.tend()
    park.node.mine(1)
    until_confirmed(park)
    assert (len(attempts(park, key)), park.intent(key).nonce) == (1, 0)
    assert (minted(park), sent(park)) == (UNITS, 1)


@long
def test_the_receipt_of_ours_that_is_late_is_no_theft(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = plan(park)
    park.chain.sender.submit(key, CURRENCY)
    park.node.mine(3)
    lies: list[int] = []

    def late(self: ChainClient, hashes: list[str]) -> list[None]:
        lies.append(len(hashes))
        return [None for _ in hashes]

    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "receipts", late)
        park.chain.sender.tend()
    assert sum(lies) > 0
    assert (len(attempts(park, key)), park.intent(key).nonce) == (1, 0)
    assert park.intent(key).alarm is None
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 1)


@long
def test_a_node_that_forgot_old_states_proves_no_theft(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = plan(park)
    lost(park, key)
    park.node.mine(3)
    honest = ChainClient.transaction_count
    refused: list[object] = []

    def pruned(self: ChainClient, address: str, block: int | str = "latest") -> int:
        if isinstance(block, int):
            refused.append(block)
            raise RpcError("eth_getTransactionCount", -32000, "missing trie node", None)
        return honest(self, address, block)

    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "transaction_count", pruned)
        park.chain.sender.tend()
    assert refused
    assert len(attempts(park, key)) == 1
    assert "use a node that keeps the states" in (park.intent(key).alarm or "")
    park.chain.sender.tend()
    until_confirmed(park)
    assert minted(park) == UNITS


def test_the_same_call_by_hand_whose_receipt_is_late_is_not_made_again(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says yet that it failed: signed with another nonce, ours would be done a second time."""
    key = plan(park)
    automine(park, False)
    drop(park, park.chain.sender.submit(key, CURRENCY))
    call = park.intent(key)
    to = Web3.to_checksum_address(call.contract_address)
    message = {"to": to, "data": call.call_data, "value": 0, "gas": 200_000, "nonce": 0}
    buyer = Account.from_key(_ANVIL_KEYS[ANVIL_ROLES["buyer"]])
    send_raw(park, buyer, {**message, **_FEES}, status=1)
    park.node.mine(3)
    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "receipts", lambda client, hashes: [None for _ in hashes])
        park.chain.sender.tend()
    assert (len(attempts(park, key)), park.intent(key).nonce) == (1, 0)
    assert "which makes the same call" in (park.intent(key).alarm or "")
    assert minted(park) == UNITS


@long
def test_an_approval_that_was_given_by_hand_with_its_nonce_is_given_again(park: Park) -> None:
    """No mirror reads a currency of others, so none would end it; a second approval changes nothing."""
    currency = foreign_currency(park)
    arguments = [park.node.deployment.settlement.address, 700]
    approval = NewIntent(
        new_key(), "approve", CURRENCY, currency, "approve", arguments, PARTIES["buyer"]
    )
    sender = Sender(park.db, park.node.client, keys_without(), CHAIN_ID, 200)  # of no policy
    automine(park, False)
    drop(park, sender.submit_new(approval))
    data = park.intent(approval.key).call_data
    by_hand = {"to": Web3.to_checksum_address(currency), "data": data, "value": 0, "gas": 200_000}
    buyer = Account.from_key(_ANVIL_KEYS[ANVIL_ROLES["buyer"]])
    send_raw(park, buyer, {**by_hand, **_FEES, "nonce": 0}, status=1)
    park.node.mine(3)
    park.mirror.run_until("head")
    sender.tend()
    assert [item.nonce for item in attempts(park, approval.key)] == [0, 1]
    until_confirmed(park)
    assert park.intent(approval.key).state is IntentState.CONFIRMED
    assert park.differences() == []


def foreign_currency(park: Park) -> str:
    """Deploy a currency that no deployment file names as a contract, and return its address."""
    client = park.node.client
    address = park.node.deployment.contracts[CURRENCY].address
    code = str(client.request("eth_getCode", [address, "latest"]))
    client.request("anvil_setCode", ["0x" + "c0" * 20, code])
    return "0x" + "c0" * 20


@long
def test_what_lost_its_nonce_waits_while_gas_costs_more_than_may_be_offered(park: Park) -> None:
    """Signed at the highest fee it would keep all behind it in its lane waiting."""
    key = plan(park)
    lost(park, key)
    park.node.mine(3)
    spike(park, 300)  # max_fee_gwei is 200
    park.chain.sender.tend()
    assert (len(attempts(park, key)), park.intent(key).nonce) == (1, 0)
    assert "gas costs more than max_fee_gwei" in (park.intent(key).alarm or "")
    spike(park, 100)
    park.chain.sender.tend()
    assert (len(attempts(park, key)), park.intent(key).alarm) == (2, None)
    until_confirmed(park)
    assert minted(park) == UNITS


@long
@few(1)
@pytest.mark.parametrize(
    ("other", "nonces"),
    [("tends, too", [0, 1]), ("takes the nonce", [0, 2]), ("gives it up", [0])],
)
def test_another_process_that_is_faster_while_another_nonce_is_signed(
    park: Park, monkeypatch: pytest.MonkeyPatch, other: str, nonces: list[int]
) -> None:
    """What lost its nonce is signed once, with a nonce that is nobody else's, and not after it was given up."""
    key = plan(park)
    lost(park, key)
    park.node.mine(3)
    beside, true, faster = park.again(), Desk.sign, [True]

    def sign(desk: Desk, *given: Any) -> Any:
        made = true(desk, *given)
        if faster:
            faster.clear()
            if other == "tends, too":
                beside.chain.sender.tend()
            elif other == "takes the nonce":
                beside.chain.sender.submit(plan(park), CURRENCY)
            else:
                beside.db.run(lambda session: release_nonce(session, key, 0, "refused now"))
        return made

    with monkeypatch.context() as patch:
        patch.setattr(Desk, "sign", sign)
        park.chain.sender.tend()
    assert len(attempts(park, key)) == (2 if other == "tends, too" else 1)
    park.chain.sender.tend()
    assert [item.nonce for item in attempts(park, key)] == nonces
    if other == "gives it up":
        assert park.intent(key).state is IntentState.PLANNED
    else:
        until_confirmed(park)
        assert minted(park) == UNITS * nonces[-1]
    beside.db.close()


@long
def test_a_node_in_trouble_is_no_contract_that_refuses(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot try what lost its nonce: that keeps it, and is sent with another one when the node can."""
    key = plan(park)
    lost(park, key)
    park.node.mine(3)

    def broken(client: ChainClient, sender: str, to: str, data: str) -> int:
        raise RpcError("eth_estimateGas", -32603, "internal error", None)

    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "estimate_gas", broken)
        park.chain.sender.tend()
    assert (len(attempts(park, key)), park.intent(key).nonce) == (1, 0)
    assert (park.intent(key).alarm or "").endswith("the node cannot try it: internal error")
    park.chain.sender.tend()
    until_confirmed(park)
    assert (len(attempts(park, key)), minted(park)) == (2, UNITS)


@long
def test_a_question_that_the_node_refuses_keeps_no_other_from_being_tended(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some nodes do not count what is pending: it is asked of what lost its nonce alone."""
    key, other = plan(park), plan(park, party="market")
    lost(park, key)
    drop(park, park.chain.sender.submit(other, CURRENCY))
    park.node.mine(3)
    park.mirror.run_until("head")
    honest = ChainClient.transaction_count

    def refusing(self: ChainClient, address: str, block: int | str = "latest") -> int:
        if block == "pending":
            raise RpcError("eth_getTransactionCount", -32602, "pending is not supported", None)
        return honest(self, address, block)

    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "transaction_count", refusing)
        park.chain.sender.tend()
    assert (park.intent(key).alarm or "").endswith("pending is not supported")
    park.node.mine(1)
    assert (len(attempts(park, key)), minted(park)) == (1, UNITS)
    park.chain.sender.tend()
    until_confirmed(park)
    assert minted(park) == 2 * UNITS


@long
@pytest.mark.parametrize("blocks", rest([0, 1, 2, 3, 5, 8, 13, 40], 2, 40))
def test_the_taker_is_found_however_old_it_is(park: Park, blocks: int) -> None:
    thief = steal(park, "buyer", 0)
    steal(park, "buyer", 1)
    park.node.mine(blocks) if blocks else None
    account, last = (CHAIN_ID, PARTIES["buyer"]), park.node.height()
    found = stuck.find_taker(park.node.client, account, 0, last)
    assert found is not None and found.hash == thief


def test_the_taker_is_the_one_that_used_this_nonce(park: Park) -> None:
    """Beside it, in the same block: the account's own with another nonce, and what strangers sign with the same."""
    buyer, spare, market = (
        Account.from_key(_ANVIL_KEYS[ANVIL_ROLES[each]]) for each in ("buyer", "spare", "market")
    )
    client, account = park.node.client, (CHAIN_ID, PARTIES["buyer"])
    first = sent(park, "spare")
    automine(park, False)

    def mined(*messages: tuple[Any, dict[str, Any]]) -> list[str]:
        made = {"chainId": CHAIN_ID, "to": spare.address, "value": 0, "gas": 200_000, **_FEES}
        raws = [who.sign_transaction({**made, **message}) for who, message in messages]
        hashes = [client.send_raw("0x" + raw.raw_transaction.hex()) for raw in raws]
        park.node.mine(1)
        return hashes

    def carried(nonce: int, *said: tuple[Any, int, int]) -> tuple[Any, dict[str, Any]]:
        signed = [
            who.sign_authorization({"chainId": chain, "address": spare.address, "nonce": number})
            for who, chain, number in said
        ]
        return spare, {"type": 4, "nonce": nonce, "authorizationList": signed}

    own = mined((buyer, {"nonce": 0}), (buyer, {"nonce": 1}))
    _, by_another = mined(
        carried(first, (market, CHAIN_ID, 2), (buyer, CHAIN_ID, 9)),
        carried(first + 1, (buyer, 0, 2)),
    )
    for nonce, taker in enumerate((*own, by_another)):
        found = stuck.find_taker(client, account, nonce, park.node.height())
        assert found is not None and found.hash == taker, nonce


@long
def test_a_call_that_would_be_refused_now_is_planned_again(park: Park) -> None:
    """After a theft the contract is asked: what it refuses is not signed a second time."""
    park.node.issue(10, 0)
    batch = 1 << 32 | 1
    arguments = park.node.retire_arguments(batch, 8)
    key = plan(park, "retire", arguments, "owner", CREDIT)
    lost(park, key, CREDIT, "owner")
    automine(park, True)
    park.node.act("pauser", CREDIT, "suspend", [batch])
    park.node.mine(3)
    park.chain.sender.tend()
    intent = park.intent(key)
    assert (intent.state, intent.nonce) == (IntentState.PLANNED, None)
    assert "NotActive" in (intent.alarm or "")
    assert len(attempts(park, key)) == 1
    holds_after(park)


def fates(park: Park, key: str) -> list[str]:
    """What the list of transactions says of an intent's attempts."""
    hashes = [item.tx_hash for item in attempts(park, key)]
    rows = {row.tx_hash: row for row in park.rows(BlockchainTransaction)}
    return [rows[tx_hash].status.value for tx_hash in hashes]


def holds_after(park: Park) -> None:
    park.mirror_final()
    assert park.differences() == []


@long
def test_a_retirement_whose_nonce_was_stolen_happens_once(both: Park) -> None:
    both.node.issue(10, 0)
    key = new_key()
    arguments = [bytes.fromhex(key[2:]), *both.node.retire_arguments(1 << 32 | 1, 8)[1:]]
    plan(both, "retire", arguments, "owner", CREDIT, key)
    lost(both, key, CREDIT, "owner")
    automine(both, True)
    both.node.mine(3)
    both.mirror.run_until("head")
    both.chain.sender.tend()
    until_confirmed(both)
    assert [row.amount_kg for row in both.rows(CreditRetirement)] == [8]
    assert both.differences() == []


@long
def test_a_retirement_that_was_made_by_hand_under_its_key_is_not_made_again(park: Park) -> None:
    """Of another amount, so nothing but the key says that it is this one; the contract would take both."""
    batch = park.node.issue(10, 0)
    key = new_key()

    def retiring(kg: int) -> list[Any]:
        return [bytes.fromhex(key[2:]), *park.node.retire_arguments(batch, kg)[1:]]

    plan(park, "retire", retiring(2), "owner", CREDIT, key)
    lost(park, key, CREDIT, "owner")
    park.node.mine(3)  # the theft is final, and what was made by hand is not
    by_hand = park.node.transaction("owner", CREDIT, "retire", retiring(3))
    done = park.node.client.request("eth_sendTransaction", [by_hand])
    park.node.mine(1)
    for _ in range(2):
        park.chain.sender.tend()
        assert len(attempts(park, key)) == 1
        assert (park.intent(key).alarm or "").endswith(f"{done} has done it: the mirror ends it")
        park.mirror.run_until("head")
    until_confirmed(park)
    assert (park.intent(key).state, park.intent(key).tx_hash) == (IntentState.CONFIRMED, done)
    assert [row.amount_kg for row in park.rows(CreditRetirement)] == [3]


def test_an_act_that_lost_its_nonce_is_tried_again_by_the_jobs(park: Park) -> None:
    """What the contract would not take when the nonce was stolen, nobody else would send: no job planned it."""
    park.node.issue(1000, 0)
    park.mirror_final()
    with park.db.read() as session:
        found = holding_of(session, park.chain, f"{SITE_CODE}-2014-1", 800, PARTIES["owner"])
    call = cancellation_call(park.chain, found, "meter replaced")
    automine(park, False)
    drop(park, park.chain.sender.submit_new(call))
    arguments = [PARTIES["owner"], PARTIES["buyer"], 1 << 32 | 1, 300, b""]
    data = encode_call(CREDIT, "safeTransferFrom", arguments)
    message = {"from": PARTIES["owner"], "to": call.address, "data": data, "gas": hex(200_000)}
    park.node.client.request("eth_sendTransaction", [message])  # the key, used elsewhere
    park.node.mine(4)
    park.mirror.run_until("head")
    park.chain.sender.tend()
    assert park.intent(call.key).state is IntentState.PLANNED

    tools = Tools(park.chain, load_settings(None, {}))
    work.send(tools)
    assert park.intent(call.key).state is IntentState.FAILED
    assert "InsufficientBalance" in (park.intent(call.key).error or "")
    assert fates(park, call.key) == ["failed"]  # it was pending for ever
    assert park.differences() == []


@long
def test_an_act_that_nobody_here_can_sign_keeps_no_issuance_waiting(park: Park) -> None:
    """The owner's key may be elsewhere; the job's other work is the issuer's."""
    park.register()
    park.generate(date(2014, 1, 1), ["100"] * 2)
    batch = park.node.issue(1000, 0)
    key = plan(park, "retire", park.node.retire_arguments(batch, 8), "owner", CREDIT)
    lost(park, key, CREDIT, "owner")
    automine(park, True)
    park.node.act("pauser", CREDIT, "suspend", [batch])
    park.mirror_final()
    park.chain.sender.tend()
    assert park.intent(key).state is IntentState.PLANNED
    (planned,) = issuance.plan_issuance(park.chain, PROJECT, date(2014, 1, 1), date(2014, 1, 3))

    mine = PARTIES["owner"]
    keys = [anvil_signer(number) for number in range(10)]
    others = Keyring({each.address: each for each in keys if each.address != mine})
    door = opened(park, keyring=others)
    with pytest.raises(BadInput, match=f"no key for {mine}"):
        work.send(Tools(door.chain, load_settings(None, {})))
    assert park.intent(key).state is IntentState.PLANNED
    assert park.intent(planned.key).state is IntentState.SUBMITTED
    work_on(park, key, planned.key)


def work_on(park: Park, refused: str, issued: str) -> None:
    """Let the jobs of a process with all keys bring both intents to their ends."""
    park.mirror_final()
    work.send(Tools(park.chain, load_settings(None, {})))
    assert park.intent(refused).state is IntentState.FAILED
    assert park.intent(issued).state is IntentState.CONFIRMED
    assert park.differences() == []


# ------------------------------------------------------------------------------- holes


@long
def test_a_hole_is_filled_with_nothing(both: Park) -> None:
    """A stranger's transaction with the nonce below is taken back by a fork, and does not come again."""
    thief = steal(both, "buyer", 0)
    both.mirror.run_until("head")
    automine(both, False)
    key = plan(both)
    both.chain.sender.submit(key, CURRENCY)
    assert both.intent(key).nonce == 1
    both.node.reorganise(1)
    both.node.client.request("anvil_dropTransaction", [thief])
    assert both.node.client.receipt(thief) is None
    assert sent(both) == 0

    hasty = opened(both, replace_seconds=0)
    hasty.chain.sender.tend()
    hasty.chain.sender.tend()

    (filling,) = [row for row in both.rows(ChainIntent) if row.kind == FILL]
    assert (filling.nonce, filling.call_data) == (0, "0x")
    found = both.node.client.request("eth_getTransactionByHash", [filling.tx_hash])
    assert (found["to"], found["input"], found["value"]) == (PARTIES["buyer"], "0x", "0x0")
    both.node.mine(1)
    until_confirmed(both)
    assert {row.state for row in both.rows(ChainIntent)} == {IntentState.CONFIRMED}
    assert (minted(both), sent(both)) == (UNITS, 2)
    assert both.differences() == []


def sent_before_the_stranger_goes(park: Park) -> str:
    """Send an act behind a stranger's transaction, whose block is then taken back; return its key."""
    steal(park, "buyer", 0)
    park.mirror.run_until("head")
    automine(park, False)
    key = plan(park)
    park.chain.sender.submit(key, CURRENCY)
    park.node.reorganise(1)
    return key


@long
def test_a_stranger_in_the_pool_is_no_hole(park: Park) -> None:
    """Its transaction is on its way: nothing takes its nonce from it."""
    sent_before_the_stranger_goes(park)
    message = {
        "from": PARTIES["buyer"],
        "to": PARTIES["spare"],
        "nonce": "0x0",
        "gas": hex(21_000),
        "maxFeePerGas": hex(90 * GWEI),
    }
    waiting = park.node.client.request("eth_sendTransaction", [message])
    park.chain.sender.tend()
    assert [row.kind for row in park.rows(ChainIntent)] == ["test"]
    park.node.mine(1)
    assert park.node.client.receipt(waiting) is not None
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 2)


@long
def test_a_filling_whose_nonce_is_taken_after_all(park: Park) -> None:
    key = sent_before_the_stranger_goes(park)
    opened(park, replace_seconds=0).chain.sender.tend()
    (filling,) = [row for row in park.rows(ChainIntent) if row.kind == FILL]
    park.node.client.request("anvil_dropTransaction", [filling.tx_hash])
    park.node.client.request("anvil_dropTransaction", [park.intent(key).tx_hash])
    steal(park, "buyer", 0)
    park.chain.sender.tend()
    until_confirmed(park)
    ended = park.intent(filling.key)
    assert ended.state is IntentState.FAILED
    assert (ended.error or "").endswith("nothing is left to fill")
    assert fates(park, filling.key) == ["failed"]
    assert (minted(park), sent(park)) == (UNITS, 2)
    assert park.differences() == []


# ------------------------------------------------------------------------------- forks


@long
@pytest.mark.parametrize("depth", rest([1, 2, 3, 5, 8], 5))
def test_forks_with_other_content(park: Park, depth: int) -> None:
    """Blocks with acts of ours, final after one, are replaced by blocks with other people's."""
    hasty = opened(park, 1)
    keys = [plan(park) for _ in range(8)]
    for key in keys:
        hasty.chain.sender.submit(key, CURRENCY)
        hasty.mirror.run_until("head")
    before = {key: park.intent(key).state for key in keys}
    assert list(before.values()).count(IntentState.CONFIRMED) == 7
    other = park.node.transaction("market", CURRENCY, "mint", [PARTIES["market"], 3])
    park.node.reorganise(depth, [(other, 0)])
    assert sent(park) == 8 - depth  # the fault
    assert minted(park, "market") == 3

    taken = hasty.chain.sender.recheck_final()

    assert set(taken) == {key for key in keys[8 - depth :] if before[key] is IntentState.CONFIRMED}
    until_confirmed(hasty)
    assert {park.intent(key).state for key in keys} == {IntentState.CONFIRMED}
    assert (minted(park), sent(park), park.count(ChainAttempt)) == (8 * UNITS, 8, 8)
    assert park.differences() == []


def test_a_node_that_is_behind_has_taken_nothing_back(park: Park) -> None:
    """It has no receipt of a block that it has not come to; another block there is another matter."""
    hasty = opened(park, 1)
    key = plan(park)
    hasty.chain.sender.submit(key, CURRENCY)
    park.node.mine(2)
    hasty.mirror.run_until("head")
    assert park.intent(key).state is IntentState.CONFIRMED
    park.node.roll_back(3)
    assert park.node.height() < (park.intent(key).block_number or 0)
    said: dict[str, Any] = {}
    with listening(lambda _c, _cursor, sql, parameters, *_: said.update({sql: parameters})):
        assert hasty.chain.sender.recheck_final() == []
    with park.db.read() as session:  # every 15 s: not by all that was ever sent
        link = session.connection().connection.driver_connection
        asked = [steps_of(link, sql, said[sql]) for sql in said if "chain_intents" in sql]
    (steps,) = asked
    assert re.match(r"SEARCH chain_inclusions .*\(block_number>\?\)$", steps[0]), steps
    park.node.act("market", CURRENCY, "mint", [PARTIES["market"], 3])
    assert hasty.chain.sender.recheck_final() == [key]


@long
@pytest.mark.parametrize("audited", [False, True])
def test_final_after_one_block_and_a_fork_of_two(both: Park, audited: bool) -> None:
    """What was called final too early is opened again, by the audit before the mirror has seen it."""
    hasty = opened(both, 1)
    key = plan(both)
    tx_hash = hasty.chain.sender.submit(key, CURRENCY)
    both.node.mine(1)
    hasty.mirror.run_until("head")
    assert both.intent(key).state is IntentState.CONFIRMED
    assert hasty.chain.sender.recheck_final() == []
    both.node.reorganise(2)
    assert both.node.client.receipt(tx_hash) is None
    assert minted(both) == 0
    if audited:
        assert hasty.chain.sender.recheck_final() == [key]
        both.node.mine(1)
        assert both.node.client.receipt(tx_hash) is not None
    hasty.mirror.run_until("head")
    assert both.intent(key).state is IntentState.SUBMITTED or audited
    until_confirmed(hasty)
    assert both.intent(key).state is IntentState.CONFIRMED
    assert (minted(both), sent(both)) == (UNITS, 1)
    assert both.differences() == []


# -------------------------------------------------------------------------- two at once


def test_two_processes_never_use_a_nonce_twice(both: Park) -> None:
    keys = [plan(both) for _ in range(24)]
    file = both.folder / "deployment.json"
    file.write_text(both.node.deployment_text())
    url = both.db.url.render_as_string(hide_password=False)
    answers = race([submitting(url, both.node.rpc_url, file, keys[part::3]) for part in range(3)])
    assert [answer.get("error") for answer in answers] == [None] * 3
    assert sorted(both.intent(key).nonce or 0 for key in keys) == list(range(24))
    until_confirmed(both)
    assert (minted(both), sent(both)) == (24 * UNITS, 24)
    (lane,) = both.rows(ChainNonceLane)
    assert lane.next_nonce == 24
    assert both.differences() == []


@long
def test_two_that_fill_one_hole_fill_it_once(both: Park) -> None:
    steal(both, "buyer", 0)
    both.mirror.run_until("head")
    automine(both, False)
    key = plan(both)
    both.chain.sender.submit(key, CURRENCY)
    both.node.reorganise(1)
    assert sent(both) == 0
    doors = [opened(both.again(), replace_seconds=0) for _ in range(3)]
    gate = threading.Barrier(3)

    def fill(park: Park) -> None:
        gate.wait()
        park.chain.sender.tend()

    threads = [threading.Thread(target=fill, args=(door,)) for door in doors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [row.nonce for row in both.rows(ChainIntent) if row.kind == FILL] == [0]
    both.node.mine(1)
    until_confirmed(both)
    assert (minted(both), sent(both)) == (UNITS, 2)
    for door in doors:
        door.db.close()


@long
def test_caps_of_the_day_hold_for_two_at_once(mariadb_db: Database, tmp_path: Path) -> None:
    from tests.support.park import running_park

    with running_park(mariadb_db, tmp_path) as park:
        keys = [plan(park) for _ in range(8)]
        caps = DailyCaps(5, 10**37)
        doors = [opened(park.again(), caps=caps) for _ in range(2)]
        gate = threading.Barrier(2)
        refused: list[str] = []

        def run(number: int) -> None:
            gate.wait()
            for key in keys[number::2]:
                try:
                    doors[number].chain.sender.submit(key, CURRENCY)
                except Exception as error:
                    refused.append(type(error).__name__)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (sent(park), refused) == (5, ["PolicyRefused"] * 3)
        for door in doors:
            door.db.close()


@long
def test_a_batch_s_key_that_its_parties_used_up_for_another_asset(park: Park) -> None:
    """They sign the very trades of our batch, as trades of credits: the root is the same, and energy it is not."""
    from ledger.models import VppSettlementBatch, VppSettlementItem, VppTradingRecord
    from ledger.settlement.batches import plan_batches, submit_planned
    from tests.support import acts
    from tests.support.chain import trade

    asset = park.node.issue(2000, 0)
    escrow = park.node.deployment.settlement.address
    park.node.act("owner", CREDIT, "safeTransferFrom", [PARTIES["owner"], escrow, asset, 2000, b""])
    park.node.deposit("market", 100_00)
    park.mirror.run_until("head")
    park.trade(("sell", 1000, 20_000))
    (planned,) = plan_batches(park.chain)
    key = bytes.fromhex(planned.key[2:])
    same = [trade(1, "market", "owner", 1000, 20_000)]
    acts.cosign(park.node, ("market", "owner"), same, asset, key=key)
    park.mirror_final()
    (batch,) = park.rows(VppSettlementBatch)
    events = [row.args for row in park.rows(ChainEvent) if row.event_name == "BatchProposed"]
    assert [event["trades_root"] for event in events] == [batch.trades_root]
    assert batch.state.value == "planned"
    assert [row.status.value for row in park.rows(VppTradingRecord)] == ["pending"]
    assert submit_planned(park.chain) == []
    (batch,) = park.rows(VppSettlementBatch)
    assert batch.state.value == "failed" and "KeyUsed" in (batch.error or "")
    assert park.differences() == []
    # The trade has another number now (theirs is used up), and is settled beside the next one.
    park.trade(("sell", 500, 10_000), hour=5)
    assert len(plan_batches(park.chain)) == 1
    assert len(submit_planned(park.chain)) == 1
    last = park.rows(VppSettlementBatch)[-1]
    items = [row for row in park.rows(VppSettlementItem) if row.batch_id == last.id]
    assert [row.trade_id for row in items] == [2, 3]


@long
def test_a_batch_s_key_that_a_stranger_used_up(park: Park) -> None:
    """A member of the market sees our key in the pool, and co-signs another batch under it."""
    from ledger.models import VppSettlementBatch, VppTradingRecord
    from ledger.settlement.batches import plan_batches, submit_planned
    from tests.support import acts
    from tests.support.chain import trade

    park.mirror.run_until("head")
    park.node.deposit("market", 100_00)
    park.trade(("sell", 1000, 20_000))
    (planned,) = plan_batches(park.chain)
    acts.cosign(
        park.node,
        ("market", "owner"),
        [trade(77, "market", "owner", 1000, 10_000)],
        key=bytes.fromhex(planned.key[2:]),
    )
    park.mirror_final()
    (batch,) = park.rows(VppSettlementBatch)
    assert batch.state.value == "planned"  # the chain has the key, and other trades under it
    assert submit_planned(park.chain) == []
    (batch,) = park.rows(VppSettlementBatch)
    assert batch.state.value == "failed" and "KeyUsed" in (batch.error or "")
    (again,) = plan_batches(park.chain)
    assert again.key != planned.key
    assert len(submit_planned(park.chain)) == 1
    park.mirror_final()
    assert [row.status.value for row in park.rows(VppTradingRecord)] == ["pending"]
    report = reconcile(park.db, park.node.client, park.node.deployment)
    wrong = {rule.name: rule.differences for rule in report.rules if not rule.ok}
    assert wrong == {}  # trade 77 is the stranger's, whatever the key
