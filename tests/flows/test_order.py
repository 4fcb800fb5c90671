"""Batches are finalised in the contract's order, and closed ones before them are passed, however many."""

import pytest

from cli import settle
from ledger.models import ChainIntent, VppSettlementBatch
from ledger.models.sending import IntentState
from ledger.settlement import skipping
from ledger.settlement.batches import plan_batches, submit_planned
from ledger.settlement.finalizing import finalize_due
from tests.support import acts
from tests.support.chain import PARTIES, WINDOW_S, trade, wait_for
from tests.support.forms import long, rest
from tests.support.park import Park, flow_of, statuses
from tests.support.sending import automine

SHORT_ON_MARIADB = ("test_more_closed_batches_than_a_finalisation_passes",)

PASSED_AT_ONCE = 32
"""What a finalisation passes by itself: MAX_SKIP of the contract."""


@pytest.fixture
def funded(park: Park) -> Park:
    park.fund(PARTIES["market"], 100_00)
    return park


def cancel_many(park: Park, count: int) -> None:
    """Let another operator's books propose and cancel batches; the trade is the same each time."""
    for batch_id in range(1, count + 1):
        packed, _ = park.node.propose([trade(900_000, "market", "owner", 0, 0)])
        park.node.cancel_batch(batch_id, packed)
    park.mirror.run_until("head")  # nothing is signed before what the account did is known


def propose_one(park: Park, hour: int = 0) -> None:
    """Propose one trade of ours, and let its window pass."""
    park.trade(("sell", 1000, 10_000), hour=hour)
    plan_batches(park.chain)
    (tx_hash,) = submit_planned(park.chain)
    wait_for(park.node.client, tx_hash)  # its window begins with its block
    park.pass_window()


def skips(park: Park) -> list[IntentState]:
    return [row.state for row in park.rows(ChainIntent) if row.function_name == "skipClosed"]


def rounds(park: Park) -> int:
    """Finalise as the job does, round after round, until our batch is final; return how many."""
    for number in range(1, 10):
        finalize_due(park.chain)
        park.mirror_final()
        if statuses(park) == ["executed"]:
            return number
    raise AssertionError("never finalised")


@long
@pytest.mark.parametrize("closed", rest([0, 1, PASSED_AT_ONCE], PASSED_AT_ONCE))
def test_a_finalisation_passes_some_by_itself(funded: Park, closed: int) -> None:
    cancel_many(funded, closed)
    propose_one(funded)
    assert rounds(funded) == 1
    assert skips(funded) == []


@long  # several passes are shown below, by less
def test_more_closed_batches_than_a_finalisation_passes(both: Park) -> None:
    both.fund(PARTIES["market"], 100_00)
    cancel_many(both, PASSED_AT_ONCE + 1)
    propose_one(both)
    assert rounds(both) == 2  # the first one passes them
    assert skips(both) == [IntentState.CONFIRMED]
    assert both.differences() == []


@long
def test_they_are_passed_as_often_as_needed(funded: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipping, "SKIP_PER_TRANSACTION", 3)
    cancel_many(funded, PASSED_AT_ONCE + 7)  # 7 too many: after two calls of 3, one
    propose_one(funded)
    for number in (1, 2):  # one that is in a block is not waited for until that is final
        finalize_due(funded.chain)
        funded.mirror.run_until("head")
        assert len(skips(funded)) == number
    assert rounds(funded) == 2
    assert len(skips(funded)) == 3
    assert set(skips(funded)) == {IntentState.CONFIRMED}


@long
def test_what_was_sent_is_not_sent_anew_while_it_waits(funded: Park) -> None:
    cancel_many(funded, PASSED_AT_ONCE + 1)
    propose_one(funded)
    funded.node.client.request("evm_setAutomine", [False])
    before = funded.node.client.transaction_count(PARTIES["operator"], "pending")
    for _ in range(3):
        finalize_due(funded.chain)
    assert skips(funded) == [IntentState.SUBMITTED]
    after = funded.node.client.transaction_count(PARTIES["operator"], "pending")
    assert after == before + 1
    funded.node.client.request("evm_setAutomine", [True])
    funded.node.mine(1)
    assert rounds(funded) == 1
    assert len(skips(funded)) == 1


def propose_three(park: Park) -> None:
    """Propose three batches of one trade."""
    for hour in range(3):
        park.trade(("sell", 1000, 10_000), hour=hour)
        plan_batches(park.chain)
        submit_planned(park.chain)
        park.mirror_final()


def finalisations(park: Park) -> list[str]:
    return [row.state.value for row in park.rows(ChainIntent) if row.kind == "finalize_batch"]


def test_one_is_sent_for_each_block_and_none_is_refused(funded: Park) -> None:
    """On a chain with block times those behind it were refused, one more each round, or planned and never sent."""
    propose_three(funded)
    funded.pass_window()
    automine(funded, False)
    for number in range(1, 4):
        assert len(finalize_due(funded.chain)) == 1
        assert finalize_due(funded.chain) == []
        assert finalisations(funded) == ["submitted"] * number
        funded.node.mine(1)
    automine(funded, True)
    funded.mirror_final()
    assert statuses(funded) == ["executed"] * 3
    assert finalisations(funded) == ["confirmed"] * 3


@long
def test_a_command_finalises_them_block_by_block_and_waits_for_all(funded: Park) -> None:
    """It waited for one that nobody sent, and before each one until the one before it was final."""
    propose_three(funded)
    node, told = funded.node, list[str]()
    node.later(WINDOW_S - 30)
    node.mine(1)
    funded.mirror.run_until("head")
    automine(funded, False)

    def tell(line: str) -> None:
        told.append(line)
        if len(told) == 1:  # no block comes before
            node.later(31)
            node.client.request("evm_setIntervalMining", [1])

    try:
        settle.finalize_due(flow_of(funded, tell), wait=True)
    finally:
        node.client.request("evm_setIntervalMining", [0])
    assert told[0].startswith("a window ends at ")
    assert statuses(funded) == ["executed"] * 3
    assert finalisations(funded) == ["confirmed"] * 3


@long
def test_a_crash_before_sending_is_made_good(funded: Park, monkeypatch: pytest.MonkeyPatch) -> None:
    cancel_many(funded, PASSED_AT_ONCE + 1)
    propose_one(funded)
    honest = funded.chain.sender.submit
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def crash(key: str, contract: str) -> str:
            if funded.intent(key).function_name == "skipClosed":
                raise KeyboardInterrupt
            return honest(key, contract)

        patch.setattr(funded.chain.sender, "submit", crash)
        finalize_due(funded.chain)
    assert skips(funded) == [IntentState.PLANNED]
    assert rounds(funded) == 2
    assert skips(funded) == [IntentState.CONFIRMED]


@long
def test_a_disputed_batch_before_ours_is_waited_for_in_silence(funded: Park) -> None:
    of_others = trade(900_000, "market", "owner", 0, 0)
    funded.node.propose([of_others])
    funded.mirror.run_until("head")
    propose_three(funded)
    funded.node.later(WINDOW_S // 2)
    acts.dispute(funded.node, "market", 1, of_others)
    funded.node.later(WINDOW_S * 3 // 4)  # all windows are over, and the dispute is not
    funded.mirror_final()
    intents = len(funded.rows(ChainIntent))
    for _ in range(2):
        assert finalize_due(funded.chain) == []
    assert len(funded.rows(ChainIntent)) == intents


@long
def test_an_open_batch_before_ours_is_waited_for_in_silence(funded: Park) -> None:
    # Not of these books, and nobody finalises it.
    packed, _ = funded.node.propose([trade(900_000, "market", "owner", 0, 0)])
    funded.mirror.run_until("head")
    propose_one(funded)
    intents = len(funded.rows(ChainIntent))
    for _ in range(3):
        assert finalize_due(funded.chain) == []
    assert len(funded.rows(ChainIntent)) == intents  # no refusal is heaped upon another
    (batch,) = funded.rows(VppSettlementBatch)
    assert batch.finalize_key is None
    assert skipping.pass_closed(funded.chain, 2) == []
    assert len(funded.rows(ChainIntent)) == intents
    funded.node.finalize(1, packed)
    funded.mirror.run_until("head")
    assert rounds(funded) == 1
    assert skips(funded) == []
