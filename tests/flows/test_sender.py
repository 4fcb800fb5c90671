"""An intent reaches the chain once: stored before it is sent, refused with its reason, never doubled."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from eth_account import Account

from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.keys import signed
from ledger.chain.keys.policy import GuardedKeyring, SignerPolicy
from ledger.chain.keys.signers import Keyring
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.sending import intents, rehearsal
from ledger.chain.sending.intents import NewIntent
from ledger.chain.sending.sender import AlreadyOnChain, NotTaken, Sender
from ledger.errors import BadInput, DependencyDown, NotFound, Refused
from ledger.models import BlockchainTransaction, ChainAttempt, ChainIntent, ChainNonceLane
from ledger.models.blockchain import TransactionStatus
from ledger.models.sending import IntentState
from tests.support.chain import CURRENCY, OPERATOR_ROLE, PARTIES, send, wait_for
from tests.support.forms import few, long
from tests.support.park import CHAIN_ID, Park, flow_of, open_chain
from tests.support.sending import plan, sent
from tests.support.waiting import until

SHORT_ON_MARIADB = (
    "test_planned_then_submitted_then_confirmed",
    "test_a_crash_between_storing_and_sending",
    "test_one_intent_submitted_by_many_at_once_is_one_transaction",
    "test_many_intents_of_one_account_at_once_have_a_nonce_each",
)


@pytest.mark.unmirrored
def test_planned_then_submitted_then_confirmed(both: Park) -> None:
    key = plan(both)
    planned = both.intent(key)
    assert planned.state is IntentState.PLANNED
    assert (planned.nonce, planned.tx_hash, planned.submitted_at) == (None, None, None)
    assert both.count(ChainAttempt) == 0

    tx_hash = both.chain.sender.submit(key, CURRENCY)

    submitted = both.intent(key)
    assert (submitted.state, submitted.tx_hash) == (IntentState.SUBMITTED, tx_hash)
    assert submitted.call_data == planned.call_data
    (attempt,) = both.rows(ChainAttempt)
    assert (attempt.tx_hash, attempt.intent_key, attempt.ordinal) == (tx_hash, key, 1)
    assert attempt.broadcast_at is not None
    (row,) = both.rows(BlockchainTransaction)
    assert (row.tx_hash, row.status) == (tx_hash, TransactionStatus.PENDING)
    assert (row.function_name, row.gas_used) == ("mint", None)
    assert row.parameters == {"to": PARTIES["buyer"], "amount": 5}
    both.mirror.run_until("head")
    assert both.intent(key).state is IntentState.SUBMITTED  # seen, and not final
    both.mirror_final()
    assert both.intent(key).state is IntentState.CONFIRMED


def test_what_is_signed_is_what_was_planned(park: Park) -> None:
    key = plan(park)
    tx_hash = park.chain.sender.submit(key, CURRENCY)
    (attempt,) = park.rows(ChainAttempt)
    assert Account.recover_transaction(attempt.raw_transaction).lower() == PARTIES["buyer"]
    found = park.node.client.request("eth_getTransactionByHash", [tx_hash])
    assert found["input"] == park.intent(key).call_data
    assert found["to"] == park.node.deployment.contracts[CURRENCY].address
    assert int(found["chainId"], 16) == CHAIN_ID
    assert int(found["value"], 16) == 0
    assert int(found["maxFeePerGas"], 16) == attempt.max_fee_wei
    assert int(found["nonce"], 16) == park.intent(key).nonce


# --------------------------------------------------------------------------- refusals


def test_a_call_that_the_contract_would_refuse_is_never_signed(both: Park) -> None:
    arguments = [PARTIES["buyer"], 7]
    key = plan(both, "withdraw", arguments, contract=SETTLEMENT)
    reason = f"InsufficientBalance(account={PARTIES['buyer']}, asset=0, balance=0, needed=7)"
    with pytest.raises(Refused) as caught:
        both.chain.sender.submit(key, SETTLEMENT)
    assert caught.value.code == "contract-refused"
    assert caught.value.message == f"VppSettlement refuses withdraw: {reason}"
    intent = both.intent(key)
    assert (intent.state, intent.error, intent.nonce) == (IntentState.FAILED, reason, None)
    assert both.count(ChainAttempt) == both.count(ChainNonceLane) == sent(both) == 0
    with pytest.raises(Refused, match="withdraw was refused before: InsufficientBalance"):
        both.chain.sender.submit(key, SETTLEMENT)


def test_a_role_that_is_missing(park: Park) -> None:
    key = plan(park, "grantRole", [OPERATOR_ROLE, PARTIES["spare"]], "spare", SETTLEMENT)
    with pytest.raises(Refused, match="AccessControlUnauthorizedAccount"):
        park.chain.sender.submit(key, SETTLEMENT)


def test_a_node_in_trouble_refuses_nothing(park: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate limit must not void an issuance: the same call may succeed in a minute."""
    key = plan(park)

    def limited(self: ChainClient, *arguments: Any, **named: Any) -> str:
        raise RpcError("eth_call", -32005, "daily request count exceeded", None)

    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "call", limited)
        with pytest.raises(DependencyDown, match="cannot try mint: daily request") as caught:
            park.chain.sender.submit(key, CURRENCY)
    assert caught.value.code == "not-tried"
    assert park.intent(key).state is IntentState.PLANNED
    park.chain.sender.submit(key, CURRENCY)
    assert sent(park) == 1


@long
def test_no_more_gas_is_asked_for_than_a_block_holds(park: Park) -> None:
    """No node would take the transaction, and all behind it in its lane would wait for ever."""

    def planned(party: str) -> tuple[str, int]:
        key = plan(park, arguments=[PARTIES[party], 5], party=party)
        call = park.intent(key)
        place = call.sender_address, call.contract_address, call.call_data
        return key, park.node.client.estimate_gas(*place)

    first, needed = planned("buyer")
    limit = needed * 11 // 10  # less than the estimate with its margin of a quarter
    park.node.client.request("evm_setBlockGasLimit", [hex(limit)])
    park.node.mine(1)
    park.chain.sender.submit(first, CURRENCY)
    assert park.intent(first).state is IntentState.SUBMITTED and sent(park) == 1
    second, more = planned("spare")
    policy = SignerPolicy.with_limits(park.node.deployment, gas_max=more + 1)
    keyring = GuardedKeyring(park.chain.keyring, policy)
    careful = Sender(park.db, park.node.client, keyring, CHAIN_ID, max_fee_gwei=200)
    careful.submit(second, CURRENCY)  # the margin is not what the policy refuses
    attempts = {row.intent_key: row.raw_transaction for row in park.rows(ChainAttempt)}
    gas = [signed.read(attempts[key])["gas"] for key in (first, second)]
    assert gas == [limit, more + 1]


def test_a_sender_without_money_is_no_refusal(park: Park) -> None:
    key = plan(park)
    park.node.client.request("anvil_setBalance", [PARTIES["buyer"], "0x1"])
    with pytest.raises(DependencyDown, match=rf"(?i) of {PARTIES['buyer']}: insufficient funds"):
        park.chain.sender.submit(key, CURRENCY)
    assert park.intent(key).state in (IntentState.PLANNED, IntentState.SUBMITTED)
    park.node.client.request("anvil_setBalance", [PARTIES["buyer"], hex(10**20)])
    park.chain.sender.submit(key, CURRENCY)
    assert sent(park) == 1


def test_no_key_and_no_intent(park: Park) -> None:
    key = plan(park)
    keyless = Sender(park.db, park.node.client, Keyring({}), CHAIN_ID, 200)
    with pytest.raises(BadInput, match=r"no key for .* needed to send mint"):
        keyless.submit(key, CURRENCY)
    assert park.intent(key).state is IntentState.PLANNED
    with pytest.raises(NotFound, match="no intent has the key 0x11"):
        park.chain.sender.submit("0x" + "11" * 32, CURRENCY)


@long
def test_fees_above_the_cap_block_no_lane(park: Park) -> None:
    key = plan(park)
    park.node.client.request("anvil_setNextBlockBaseFeePerGas", [hex(9 * 10**9)])
    park.node.mine(1)
    capped = open_chain(park.db, park.node, max_fee_gwei=3).sender
    with pytest.raises(DependencyDown, match=r"more than max_fee_gwei \(3\)") as caught:
        capped.submit(key, CURRENCY)
    assert caught.value.code == "fees-too-high"
    assert park.intent(key).state is IntentState.PLANNED
    park.chain.sender.submit(key, CURRENCY)
    (attempt,) = park.rows(ChainAttempt)
    assert attempt.max_fee_wei <= 200 * 10**9


# -------------------------------------------------------------- between storing and sending


def test_a_crash_between_storing_and_sending(both: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    key = plan(both)
    injected = []

    def crash(self: ChainClient, raw: str) -> str:
        injected.append(raw)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "send_raw", crash)
        with pytest.raises(KeyboardInterrupt):
            both.chain.sender.submit(key, CURRENCY)
    assert len(injected) == 1
    assert sent(both) == 0
    intent = both.intent(key)
    assert intent.state is IntentState.SUBMITTED  # though nobody has seen it yet
    (attempt,) = both.rows(ChainAttempt)
    assert (attempt.raw_transaction, attempt.broadcast_at) == (injected[0], None)

    later = both.again()
    for _ in range(3):
        assert later.chain.sender.rebroadcast() == 1
    assert sent(both) == 1
    found = both.node.client.request("eth_getTransactionByHash", [attempt.tx_hash])
    assert int(found["nonce"], 16) == intent.nonce
    both.mirror_final()
    assert both.intent(key).state is IntentState.CONFIRMED
    assert later.chain.sender.rebroadcast() == 0
    assert both.count(ChainAttempt) == sent(both) == 1
    later.db.close()


def test_an_answer_that_is_lost_after_sending(park: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    key = plan(park)
    honest: Callable[[ChainClient, str], str] = ChainClient.send_raw

    def deaf(self: ChainClient, raw: str) -> str:
        honest(self, raw)
        raise DependencyDown("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(ChainClient, "send_raw", deaf)
        with pytest.raises(DependencyDown, match="no answer"):
            park.chain.sender.submit(key, CURRENCY)
    until(lambda: sent(park) == 1)  # Anvil answers before it has mined
    assert park.chain.sender.submit(key, CURRENCY) == park.intent(key).tx_hash
    assert sent(park) == park.count(ChainAttempt) == 1


def test_a_crash_before_storing_leaves_it_planned(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = plan(park)

    def crash(*arguments: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(intents, "store_attempt", crash)
        with pytest.raises(KeyboardInterrupt):
            park.chain.sender.submit(key, CURRENCY)
    assert park.intent(key).state is IntentState.PLANNED
    assert park.count(ChainNonceLane) == 0  # the nonce went with it
    park.chain.sender.submit(key, CURRENCY)
    assert park.intent(key).nonce == 0


def test_a_pool_that_was_wiped(park: Park) -> None:
    park.node.client.request("evm_setAutomine", [False])
    keys = [plan(park) for _ in range(3)]
    for key in keys:
        park.chain.sender.submit(key, CURRENCY)
    park.node.client.request("anvil_dropAllTransactions")
    park.node.mine(1)
    assert sent(park) == 0
    assert park.chain.sender.rebroadcast() == 3
    park.node.mine(1)
    assert sent(park) == 3
    assert [park.intent(key).nonce for key in keys] == [0, 1, 2]


def impoverish(park: Park, party: str) -> None:
    """Take what an account has, so that the node does not take its transactions again."""
    park.node.client.request("anvil_dropAllTransactions")
    park.node.client.request("anvil_setBalance", [PARTIES[party], "0x1"])


def test_one_that_is_not_taken_keeps_no_other_from_being_sent(park: Park) -> None:
    # Low balances come to light when it is sent again: the first lane has no money left.
    park.node.client.request("evm_setAutomine", [False])
    lanes = sorted(("buyer", "spare", "market"), key=lambda name: PARTIES[name])
    for party in lanes:
        park.chain.sender.submit(plan(park, party=party), CURRENCY)
    impoverish(park, lanes[0])
    with pytest.raises(NotTaken, match="it is stored and will be sent again"):
        park.chain.sender.rebroadcast()
    park.node.mine(1)
    assert [sent(park, party) for party in lanes] == [0, 1, 1]


# ------------------------------------------------------------------------- many at once


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run work in threads that start together; return results and errors by number."""
    gate = threading.Barrier(count)
    found: list[Any] = [None] * count

    def run(number: int) -> None:
        gate.wait()
        try:
            found[number] = work(number)
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_one_intent_submitted_by_many_at_once_is_one_transaction(both: Park) -> None:
    key = plan(both)
    doors = [both.again() for _ in range(4)]
    found = at_once(4, lambda number: doors[number].chain.sender.submit(key, CURRENCY))
    assert len(set(found)) == 1, found
    assert isinstance(found[0], str)
    assert both.count(ChainAttempt) == sent(both) == 1
    for door in doors:
        door.db.close()


@long
def test_many_intents_of_one_account_at_once_have_a_nonce_each(both: Park) -> None:
    keys = [plan(both) for _ in range(8)]
    doors = [both.again() for _ in range(4)]

    def submit_two(number: int) -> list[str]:
        mine = keys[2 * number : 2 * number + 2]
        return [doors[number].chain.sender.submit(key, CURRENCY) for key in mine]

    found = at_once(4, submit_two)
    assert [len(item) for item in found] == [2, 2, 2, 2], found
    assert sorted(both.intent(key).nonce or 0 for key in keys) == list(range(8))
    both.chain.sender.rebroadcast()
    assert sent(both) == 8
    (lane,) = both.rows(ChainNonceLane)
    assert (lane.address, lane.next_nonce) == (PARTIES["buyer"], 8)
    for door in doors:
        door.db.close()


def test_lanes_count_by_themselves(park: Park) -> None:
    for party in ("buyer", "spare", "buyer", "spare", "spare"):
        park.chain.sender.submit(plan(park, party=party), CURRENCY)
    lanes = {lane.address: lane.next_nonce for lane in park.rows(ChainNonceLane)}
    assert lanes == {PARTIES["buyer"]: 2, PARTIES["spare"]: 3}
    assert (sent(park, "buyer"), sent(park, "spare")) == (2, 3)


def test_a_lane_passes_foreign_transactions(park: Park) -> None:
    park.chain.sender.submit(plan(park), CURRENCY)
    send(park.node.client, PARTIES["buyer"], PARTIES["spare"], "0x")
    key = plan(park)
    with pytest.raises(DependencyDown, match="the mirror has not read them"):
        park.chain.sender.submit(key, CURRENCY)
    park.mirror.run_until("head")
    wait_for(park.node.client, park.chain.sender.submit(key, CURRENCY))
    assert park.intent(key).nonce == 2
    assert sent(park) == 3


@long
def test_somebody_else_is_faster_between_look_and_try(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second sees a refusal that is its own intent's success: nothing may fail for it."""
    claim = park.node.claim(1000, 0)
    arguments = park.node.issue_arguments(claim)
    intent = NewIntent(
        claim.key, "issue", CREDIT, park.node.deployment.credit.address, "issue", arguments,
        PARTIES["issuer"],
    )  # fmt: skip
    park.db.run(lambda session: intents.plan(session, CHAIN_ID, intent))
    other = park.again()
    slow = park.chain.sender
    honest = rehearsal.ready
    raced = []

    def ready(*arguments: Any) -> rehearsal.Ready:
        monkeypatch.undo()
        raced.append(other.chain.sender.submit(claim.key, CREDIT))
        return honest(*arguments)

    monkeypatch.setattr(rehearsal, "ready", ready)
    assert slow.submit(claim.key, CREDIT) == raced[0]
    assert park.intent(claim.key).state is IntentState.SUBMITTED
    assert park.count(ChainAttempt) == sent(park, "issuer") == 1
    other.db.close()


def test_books_from_before_the_sending(park: Park) -> None:
    """A database restored from yesterday plans what the chain has done: that is no failure."""
    claim = park.node.claim(1000, 0)
    arguments = park.node.issue_arguments(claim)
    intent = NewIntent(
        claim.key, "issue", CREDIT, park.node.deployment.credit.address, "issue", arguments,
        PARTIES["issuer"],
    )  # fmt: skip
    park.db.run(lambda session: intents.plan(session, CHAIN_ID, intent))
    receipt = park.node.act("issuer", CREDIT, "issue", arguments)
    with pytest.raises(AlreadyOnChain, match=f"issue is done: transaction {receipt.tx_hash} did"):
        park.chain.sender.submit(claim.key, CREDIT)
    assert park.intent(claim.key).state is IntentState.PLANNED
    assert park.count(ChainAttempt) == 0
    assert sent(park, "issuer") == 1


def test_two_refusals_at_once_and_a_sending_that_comes_too_late(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = plan(park)
    sender = park.chain.sender
    honest = rehearsal.ready

    def ready(*arguments: Any) -> rehearsal.Ready:
        found = honest(*arguments)
        park.db.run(lambda session: intents.refuse(session, key, "another process"))
        return found

    monkeypatch.setattr(rehearsal, "ready", ready)
    with pytest.raises(Refused, match="mint was refused before: another process"):
        sender.submit(key, CURRENCY)
    assert sent(park) == park.count(ChainAttempt) == 0


@long
def test_the_mirror_adopts_an_intent_that_is_about_to_be_signed(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a transaction then, and no attempt of ours."""
    key, theirs = plan(park), "0x" + "ab" * 32
    honest = rehearsal.ready

    def ready(*arguments: Any) -> rehearsal.Ready:
        found = honest(*arguments)
        now = datetime.now(UTC)
        park.db.run(lambda session: intents.confirm(session, key, theirs, 1, now))
        return found

    monkeypatch.setattr(rehearsal, "ready", ready)
    with pytest.raises(AlreadyOnChain, match=f"mint is done: transaction {theirs} did it"):
        park.chain.sender.submit(key, CURRENCY)
    assert park.intent(key).state is IntentState.CONFIRMED
    assert sent(park) == park.count(ChainAttempt) == 0


@long
def test_a_refusal_does_not_overwrite_a_sending(both: Park) -> None:
    key = plan(both)
    both.chain.sender.submit(key, CURRENCY)
    left = both.db.run(lambda session: intents.refuse(session, key, "late"))
    assert left.state is IntentState.SUBMITTED
    assert both.intent(key).error is None
    with pytest.raises(NotFound):
        both.db.run(lambda session: intents.refuse(session, "0x" + "22" * 32, "none"))


@long
def test_waiting_for_a_block(park: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    park.node.client.request("evm_setAutomine", [False])
    tx_hash = park.chain.sender.submit(plan(park), CURRENCY)
    monkeypatch.setattr("ledger.chain.sending.sender._INCLUSION_SECONDS_MAX", 0.3)
    with pytest.raises(DependencyDown, match="is in no block after") as caught:
        park.chain.sender.wait_until_included(tx_hash)
    assert caught.value.code == "not-included-yet"
    threading.Timer(0.1, park.node.mine, [1]).start()
    monkeypatch.setattr("ledger.chain.sending.sender._INCLUSION_SECONDS_MAX", 10)
    park.chain.sender.wait_until_included(tx_hash)
    assert sent(park) == 1


def tx_hash_of(park: Park, key: str) -> str:
    return str(park.intent(key).tx_hash)


@pytest.fixture
def beside_a_poor_one(park: Park, monkeypatch: pytest.MonkeyPatch) -> str:
    """An intent that waits for its block, while the node does not take that of an account without money."""
    park.node.client.request("evm_setAutomine", [False])
    park.chain.sender.submit(plan(park, party="spare"), CURRENCY)
    impoverish(park, "spare")
    key = plan(park)
    park.chain.sender.submit(key, CURRENCY)
    monkeypatch.setattr("ledger.chain.sending.sender._POLLS_PER_TENDING", 1)
    monkeypatch.setattr("ledger.chain.sending.sender._INCLUSION_SECONDS_MAX", 0.6)
    return key


@long
@pytest.mark.parametrize(
    ("wait", "code"),
    [
        (
            lambda park, key: park.chain.sender.wait_until_included(tx_hash_of(park, key)),
            "not-included-yet",
        ),
        (lambda park, key: flow_of(park, print).confirm([key], 0.6), "not-final-yet"),
    ],
    ids=["for a block", "for finality"],
)
def test_waiting_is_not_ended_by_another_account_without_money(
    park: Park, beside_a_poor_one: str, wait: Callable[[Park, str], None], code: str
) -> None:
    """A deposit waits for its approval, a command for finality: another's that is not taken is that one's trouble."""
    key = beside_a_poor_one
    with pytest.raises(DependencyDown) as caught:
        wait(park, key)
    assert caught.value.code == code
    later = plan(park)
    park.chain.sender.submit(later, CURRENCY)
    impoverish(park, "buyer")
    for waited in (key, later):  # that of the same account which is before it, too
        with pytest.raises(NotTaken, match=tx_hash_of(park, key)):
            wait(park, waited)


def test_an_intent_that_does_not_fit_the_contract_is_not_stored(park: Park) -> None:
    with pytest.raises(KeyError, match="no function mint of 1"):
        plan(park, arguments=[PARTIES["buyer"]])
    assert park.count(ChainIntent) == 0


@long
def test_a_long_wait_says_once_for_what_it_waits(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a chain that is final after minutes, a command was silent for three of them, and then it failed."""
    monkeypatch.setattr("cli.flow._SILENT_SECONDS", 0.0)
    monkeypatch.setattr("cli.flow._POLL_SECONDS", 0.01)
    told: list[str] = []
    flow = flow_of(park, told.append)
    key = plan(park)
    park.chain.sender.submit(key, CURRENCY)
    assert sent(park) == 1  # in a block, before it is told of how far the chain is
    with pytest.raises(DependencyDown, match="1 of 1 transactions are not final after 1 s") as late:
        flow.confirm([key], 0.6)
    assert (late.value.code, late.value.details) == ("not-final-yet", {"keys": [key]})
    head = park.node.height()
    assert told == [
        f"1 of 1 transactions are not final yet: the chain is at block {head}, and final up to {head - 2}; "
        "this waits for up to 1 s, and stopping it takes nothing back"
    ]
    park.node.mine(2)
    flow.confirm([key])
    assert len(told) == 1


@long
@few(1)
@pytest.mark.parametrize(
    ("apart_s", "span"), [(10, "180 s"), (900, "30 min"), (3_700, "180 s")], ids=str
)
def test_a_wait_is_as_long_as_finality_takes_there(
    park: Park, monkeypatch: pytest.MonkeyPatch, apart_s: int, span: str
) -> None:
    """On Ethereum each command ended after three minutes of fifteen. What takes an hour is not waited for."""
    monkeypatch.setattr("cli.flow._SILENT_SECONDS", 0.0)
    monkeypatch.setattr("cli.flow.LOCAL_CHAIN_ID", 1)  # the chain is somebody else's
    park.node.mine(1)
    park.node.later(apart_s)
    park.node.mine(1)
    key = plan(park)
    park.chain.sender.submit(key, CURRENCY)
    assert sent(park) == 1
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        park.node.mine(2)

    flow_of(park, tell).confirm([key])
    assert [f"waits for up to {span}, and" in line for line in told] == [True]


@long
def test_what_is_sent_when_another_is_final_has_a_wait_of_its_own(
    park: Park, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of two years go one after the other: the second had what the first one had left of its time."""
    clock = [0.0]
    monkeypatch.setattr("cli.flow.time", SimpleNamespace(monotonic=lambda: clock[0]))
    first, second = plan(park), plan(park)
    turns = iter([[first], [], [second], []])

    def onward() -> bool:
        clock[0] += 0.7
        for key in next(turns):
            park.chain.sender.submit(key, CURRENCY)
            sent(park)
        park.node.mine(1)
        return True

    flow_of(park, print).confirm([first, second], 2.0, onward)
    assert clock[0] > 2.0
