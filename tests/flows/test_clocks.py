"""Clocks: the last second of what has an end on chain, and a machine whose clock is not the chain's."""

import pytest

from cli.doctor import clock_of_chain
from ledger.errors import ProblemFound
from ledger.expiry import record_expired
from ledger.settlement.batches import finalize_due, plan_batches, submit_planned
from tests.support.chain import PARTIES, WINDOW_S
from tests.support.park import PROPOSED, Park
from tests.support.sending import opened


def mine_at(park: Park, second: int) -> None:
    """Mine one block of this time, and mirror it."""
    park.node.client.request("evm_setNextBlockTimestamp", [second])
    park.node.mine(1)
    park.mirror.run_until("head")
    head = park.node.client.block("latest")
    assert head is not None and head.timestamp == second


def test_credits_are_recorded_as_expired_from_their_second_on(park: Park) -> None:
    head = park.node.client.block("latest")
    assert head is not None
    end = head.timestamp + 3600
    park.node.issue(1000, 0, expires_at=end)
    park.mirror_final()
    mine_at(park, end - 1)
    assert record_expired(park.chain) == []
    mine_at(park, end)
    assert len(record_expired(park.chain)) == 1
    park.mirror_final()
    assert (record_expired(park.chain), park.differences()) == ([], [])


def test_a_batch_is_finalised_from_the_end_of_its_window_on(park: Park) -> None:
    park = opened(park, settling=PROPOSED)
    park.fund(PARTIES["market"], 100_00)
    park.trade(("sell", 1000, 10_000))
    plan_batches(park.chain)
    head = park.node.client.block("latest")
    assert head is not None
    proposed = head.timestamp + 10
    park.node.client.request("evm_setNextBlockTimestamp", [proposed])
    assert len(submit_planned(park.chain)) == 1
    park.mirror.run_until("head")
    mine_at(park, proposed + WINDOW_S - 1)
    assert finalize_due(park.chain) == []
    mine_at(park, proposed + WINDOW_S)
    assert len(finalize_due(park.chain)) == 1
    park.mirror_final()
    assert (finalize_due(park.chain), park.differences()) == ([], [])


def test_a_block_of_the_future_shows_that_the_clock_is_behind(park: Park) -> None:
    park.node.mine(1)
    assert clock_of_chain(park.node.client, local=False).startswith("the newest block is ")
    park.node.later(7200)
    park.node.mine(1)
    with pytest.raises(ProblemFound, match=r"is 7[12]\d\d s later than the clock here"):
        clock_of_chain(park.node.client, local=False)
    assert clock_of_chain(park.node.client, local=True).endswith("that was let go ahead")
