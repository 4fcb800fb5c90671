"""What does not arrive is replaced by what pays more; any attempt may be the one that is mined."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from eth_account import Account
from sqlalchemy import update

from ledger.chain.keys import signed
from ledger.chain.sending import intents, stuck
from ledger.chain.sending.broadcasting import dearer_helps
from ledger.chain.sending.overview import views
from ledger.chain.sending.sender import NotTaken
from ledger.errors import DependencyDown
from ledger.models import BlockchainTransaction, ChainAttempt, ChainIntent, VppSettlementBatch
from ledger.models.blockchain import TransactionStatus
from ledger.models.sending import IntentState
from ledger.settlement.batches import plan_batches, submit_planned
from tests.support.chain import CURRENCY, PARTIES
from tests.support.forms import long, rest
from tests.support.park import Park
from tests.support.sending import (
    GWEI,
    UNITS,
    attempts,
    automine,
    drop,
    minted,
    opened,
    plan,
    sent,
    spike,
    statuses,
    until_confirmed,
)

SHORT_ON_MARIADB = (
    "test_a_base_fee_that_rises_over_the_offer",
    "test_two_that_tend_at_once_replace_once",
)

PENDING, CONFIRMED, FAILED = (
    TransactionStatus.PENDING,
    TransactionStatus.CONFIRMED,
    TransactionStatus.FAILED,
)


def wait_in_pool(park: Park) -> str:
    """Sign and send an act that stays in the pool."""
    automine(park, False)
    key = plan(park)
    park.chain.sender.submit(key, CURRENCY)
    return key


def advice(park: Park, key: str) -> str:
    with park.db.read() as session:
        (view,) = views(session, key)
    return view.advice


@long
def test_a_base_fee_that_rises_over_the_offer(both: Park) -> None:
    key = wait_in_pool(both)
    (first,) = attempts(both, key)
    since = both.intent(key).submitted_at
    spike(both, 50)
    assert both.node.client.receipt(first.tx_hash) is None  # the fault: it was passed over
    assert int(first.max_fee_wei) < 50 * GWEI

    both.chain.sender.tend()

    _, second = attempts(both, key)
    tip = int(second.priority_fee_wei)
    assert int(second.max_fee_wei) == 2 * 50 * GWEI + tip
    assert 8 * tip >= 9 * int(first.priority_fee_wei)
    assert second.nonce == first.nonce == both.intent(key).nonce
    # It waits as long as before.
    assert since is not None and both.intent(key).submitted_at == since
    found = both.node.client.request("eth_getTransactionByHash", [second.tx_hash])
    assert found["input"] == both.intent(key).call_data and int(found["value"], 16) == 0
    assert Account.recover_transaction(second.raw_transaction).lower() == found["from"]
    assert statuses(both, key) == [PENDING, PENDING]
    assert advice(both, key).startswith("sent; `truetonne up` or the jobs replace it")
    both.node.mine(1)
    assert both.node.client.receipt(second.tx_hash) is not None
    both.mirror.run_until("head")
    assert advice(both, key).startswith("in a block that is not final yet")
    until_confirmed(both)
    assert both.intent(key).tx_hash == second.tx_hash
    assert statuses(both, key) == [FAILED, CONFIRMED]
    assert (minted(both), sent(both)) == (UNITS, 1)
    assert both.differences() == []


@long
def test_a_second_look_replaces_nothing(park: Park) -> None:
    key = wait_in_pool(park)
    spike(park, 50)
    for _ in range(3):
        park.chain.sender.tend()
    assert len(attempts(park, key)) == 2


@long
def test_one_that_waits_too_long(park: Park) -> None:
    patient, hasty = park, opened(park, replace_seconds=0)
    key = wait_in_pool(patient)
    (first,) = attempts(park, key)
    drop(park, first.tx_hash)
    park.node.later(2)
    park.node.mine(1)  # a block came, without it
    patient.chain.sender.tend()
    assert len(attempts(park, key)) == 1  # a minute is not over
    drop(park, first.tx_hash)
    shrunk = int(signed.read(first.raw_transaction)["gas"]) - 1  # no block takes the first one
    park.node.client.request("evm_setBlockGasLimit", [hex(shrunk)])
    park.node.mine(1)
    hasty.chain.sender.tend()
    _, second = attempts(park, key)
    assert signed.read(second.raw_transaction)["gas"] == shrunk
    assert 8 * int(second.max_fee_wei) >= 9 * int(first.max_fee_wei)
    assert 8 * int(second.priority_fee_wei) >= 9 * int(first.priority_fee_wei)
    park.node.mine(1)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 1)


def test_without_blocks_nothing_is_replaced(park: Park) -> None:
    """A chain that stands still is no reason to pay more."""
    hasty = opened(park, replace_seconds=0)
    key = wait_in_pool(hasty)
    head = park.node.client.block("latest")
    assert head is not None
    (first,) = attempts(park, key)
    assert head.timestamp < first.created_at.timestamp()
    hasty.chain.sender.tend()
    assert len(attempts(park, key)) == 1


@long
def test_a_clock_that_was_set_back_is_not_waited_for(park: Park) -> None:
    key = wait_in_pool(park)
    with park.db.write() as session:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        session.execute(update(ChainAttempt).values(created_at=tomorrow))
    for _ in range(2):
        park.chain.sender.tend()
        assert len(attempts(park, key)) == 2  # the second one's time is right
    park.node.mine(1)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 1)


@long
def test_only_the_first_of_a_lane_is_replaced_for_waiting(park: Park) -> None:
    hasty = opened(park, replace_seconds=0)
    keys = [wait_in_pool(park) for _ in range(3)]
    park.node.client.request("anvil_dropAllTransactions")
    park.node.later(2)
    park.node.mine(1)
    assert sent(park) == 0
    hasty.chain.sender.tend()
    assert [len(attempts(park, key)) for key in keys] == [2, 1, 1]
    park.node.mine(1)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (3 * UNITS, 3)


@long
def test_the_cap_is_an_alarm_and_no_failure(park: Park, caplog: pytest.LogCaptureFixture) -> None:
    capped = opened(park, max_fee_gwei=20)
    key = wait_in_pool(capped)
    spike(park, 25)
    with caplog.at_level(logging.WARNING):
        capped.chain.sender.tend()
        capped.chain.sender.tend()
    assert len(attempts(park, key)) == 1
    alarm = park.intent(key).alarm
    assert alarm is not None and alarm.startswith(
        "gas costs 25.0 gwei, more than max_fee_gwei (20)"
    )
    assert len(caplog.records) == 1  # said once
    spike(park, 15)  # cheaper, but twice of it is over the cap
    capped.chain.sender.tend()
    _, second = attempts(park, key)
    assert int(second.max_fee_wei) == 20 * GWEI
    assert "has reached max_fee_gwei (20)" in (park.intent(key).alarm or "")
    park.node.mine(1)
    until_confirmed(capped)
    assert park.intent(key).alarm is None
    assert minted(park) == UNITS


def test_an_eighth_more_that_passes_the_cap(park: Park) -> None:
    capped = opened(park, max_fee_gwei=20, replace_seconds=0)
    key = wait_in_pool(capped)
    spike(park, 15)
    capped.chain.sender.tend()
    assert int(attempts(park, key)[-1].max_fee_wei) == 20 * GWEI
    drop(park, attempts(park, key)[-1].tx_hash)
    park.node.later(2)
    park.node.mine(1)
    capped.chain.sender.tend()
    assert len(attempts(park, key)) == 2
    assert "an eighth more would pass max_fee_gwei (20)" in (park.intent(key).alarm or "")


@long
def test_the_first_attempt_is_mined_though_there_is_a_second(both: Park) -> None:
    """The pool of the miner had the old one: a receipt of any attempt ends the intent."""
    key = wait_in_pool(both)
    spike(both, 50)
    both.chain.sender.tend()
    first, second = attempts(both, key)
    drop(both, second.tx_hash)
    spike(both, 1)  # over again
    both.node.client.send_raw(first.raw_transaction)
    both.node.mine(1)
    assert both.node.client.receipt(first.tx_hash) is not None
    assert both.chain.sender.rebroadcast() == 1
    both.chain.sender.wait_until_included(second.tx_hash)  # its intent is, by the other one
    until_confirmed(both)
    assert both.intent(key).tx_hash == first.tx_hash
    assert statuses(both, key) == [CONFIRMED, FAILED]
    assert (minted(both), sent(both)) == (UNITS, 1)
    assert both.differences() == []


@long
@pytest.mark.parametrize("finality", rest([0, 1, 2], 1))
def test_a_reorganisation_mines_another_attempt(park: Park, finality: int) -> None:
    hasty = opened(park, finality, replace_seconds=0)
    key = wait_in_pool(hasty)
    drop(park, attempts(park, key)[0].tx_hash)
    park.node.later(2)
    park.node.mine(1)
    hasty.chain.sender.tend()
    first, second = attempts(park, key)
    park.node.mine(1)
    hasty.mirror.run_until("head")
    assert park.node.client.receipt(second.tx_hash) is not None
    expected = IntentState.CONFIRMED if finality == 0 else IntentState.SUBMITTED
    assert park.intent(key).state is expected

    park.node.reorganise(1, [(first.raw_transaction, 0)])  # type: ignore[list-item]

    assert park.node.client.receipt(second.tx_hash) is None
    assert park.node.client.receipt(first.tx_hash) is not None
    until_confirmed(hasty)
    assert park.intent(key).tx_hash == first.tx_hash
    assert statuses(park, key) == [CONFIRMED, FAILED]
    assert (minted(park), sent(park)) == (UNITS, 1)
    assert park.differences() == []


@long
def test_two_that_tend_at_once_replace_once(both: Park) -> None:
    key = wait_in_pool(both)
    spike(both, 50)
    other = both.again()
    waiting = other.chain.sender._desk.db.read
    with waiting() as session:
        from ledger.chain.sending import intents, stuck

        seen = intents.open_intents(session, 31337)
        seen_attempts = intents.open_attempts(session, 31337)
    both.chain.sender.tend()
    stuck.tend(other.chain.sender._desk, seen, seen_attempts)  # what it saw is old
    assert len(attempts(both, key)) == 2
    other.db.close()


@long
def test_a_sender_without_money_has_an_alarm(park: Park) -> None:
    automine(park, False)
    key = plan(park)
    park.chain.sender.submit(key, CURRENCY)
    park.node.client.request("anvil_dropAllTransactions")
    park.node.client.request("anvil_setBalance", [park.intent(key).sender_address, "0x1"])
    with pytest.raises(NotTaken):
        park.chain.sender.tend()
    assert (park.intent(key).alarm or "").startswith("the node does not take it: ")
    park.node.client.request("anvil_setBalance", [park.intent(key).sender_address, hex(10**20)])
    park.chain.sender.tend()
    assert park.intent(key).alarm is None
    park.node.mine(1)
    assert minted(park) == UNITS


@long
def test_an_offer_does_not_rise_while_its_account_has_no_money(park: Park) -> None:
    """Each minute in vain made it an eighth dearer, up to the cap, and whoever sent the account money paid that."""
    hasty = opened(park, replace_seconds=0)
    automine(park, False)
    key = plan(park)
    sender = park.intent(key).sender_address
    park.node.client.request("anvil_setBalance", [sender, "0x1"])
    with pytest.raises(NotTaken):
        hasty.chain.sender.submit(key, CURRENCY)
    for _ in range(3):
        park.node.later(2)
        park.node.mine(1)
        with pytest.raises(NotTaken):
            hasty.chain.sender.tend()
    (only,) = attempts(park, key)
    assert (only.broadcast_at, "nsufficient funds" in (park.intent(key).alarm or "")) == (
        None,
        True,
    )
    park.node.client.request("anvil_setBalance", [sender, hex(10**20)])
    hasty.chain.sender.tend()
    park.node.mine(1)
    assert park.node.client.receipt(only.tx_hash) is not None
    assert (minted(park), park.intent(key).alarm) == (UNITS, None)


@long
def test_what_the_account_could_not_pay_replaces_nothing(park: Park) -> None:
    """What replaced it was refused, and what the account could pay was sent no more when the pool forgot it."""
    hasty = opened(park, replace_seconds=0)
    key = wait_in_pool(park)
    (first,) = attempts(park, key)
    bytes_of = signed.read(first.raw_transaction)
    enough = int(bytes_of["gas"]) * int(first.max_fee_wei)
    sender = park.intent(key).sender_address
    park.node.client.request("anvil_setBalance", [sender, hex(enough)])
    park.node.client.request("anvil_dropAllTransactions")
    park.node.later(2)
    park.node.mine(1)
    hasty.chain.sender.tend()
    assert [item.tx_hash for item in attempts(park, key)] == [first.tx_hash]
    alarm = park.intent(key).alarm or ""
    assert alarm.startswith(f"{sender} has 0.0") and alarm.endswith("send the account that much")
    park.node.mine(1)
    assert minted(park) == UNITS
    hasty.chain.sender.tend()
    assert park.intent(key).alarm is None


@pytest.mark.parametrize(
    ("said", "helps"),
    [
        ("insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1", False),
        ("tx fee (1.20 ether) exceeds the configured cap (1.00 ether)", False),
        ("Upfront cost exceeds account balance", False),
        ("replacement transaction underpriced", True),
        ("txpool is full", True),
    ],
)
def test_words_of_nodes_for_what_a_dearer_offer_does_not_mend(said: str, helps: bool) -> None:
    intent = ChainIntent(alarm=f"the node does not take it: {said}")
    assert dearer_helps(intent, ChainAttempt(broadcast_at=None)) is helps
    assert dearer_helps(intent, ChainAttempt(broadcast_at=datetime.now(UTC)))


@long
def test_waiting_for_a_block_replaces(park: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deposit follows its approval: waiting for it does what the jobs would do."""
    key = wait_in_pool(park)
    spike(park, 50)
    (first,) = attempts(park, key)
    monkeypatch.setattr("ledger.chain.sending.sender._POLLS_PER_TENDING", 1)
    monkeypatch.setattr("ledger.chain.sending.sender._INCLUSION_SECONDS_MAX", 1.0)
    with pytest.raises(DependencyDown, match="is in no block"):
        park.chain.sender.wait_until_included(first.tx_hash)
    assert len(attempts(park, key)) == 2
    park.node.mine(1)
    park.chain.sender.wait_until_included(first.tx_hash)
    assert minted(park) == UNITS


@pytest.mark.unmirrored
def test_every_attempt_is_in_the_list_of_transactions(park: Park) -> None:
    key = wait_in_pool(park)
    spike(park, 50)
    park.chain.sender.tend()
    rows = {row.tx_hash for row in park.rows(BlockchainTransaction)}
    assert {item.tx_hash for item in attempts(park, key)} == rows
    assert park.count(ChainAttempt) == 2


def test_an_attempt_that_was_mined_as_it_was_replaced(park: Park) -> None:
    """Until that is final the books name the dearer one, and `reconcile` said that the chain has another."""
    park.fund(PARTIES["market"], 100_00)
    park.trade(("sell", 1000, 20_000))
    plan_batches(park.chain)
    submit_planned(park.chain)
    (batch,) = park.rows(VppSettlementBatch)
    intent = park.intent(batch.batch_key)
    first = intent.tx_hash
    desk = park.chain.sender._desk
    head = desk.head()
    with park.db.read() as session:
        (attempt,) = intents.attempts_of(session, intent.key)
    # As if the block had come after the look at the receipts.
    stuck._Lane(desk, intent.sender_address, head, desk.market(head))._replace(intent, attempt)
    park.mirror.run_until("head")
    assert park.intent(intent.key).tx_hash != first
    assert park.differences() == []
    park.mirror_final()
    assert (park.intent(intent.key).tx_hash, park.differences()) == (first, [])
