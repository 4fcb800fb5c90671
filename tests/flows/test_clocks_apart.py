"""This machine's clock nearly an hour from the chain's: nothing is done twice, left undone, or said wrongly."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from ledger.chain.sending import twins
from ledger.chain.sending.sender import AlreadyOnChain
from ledger.errors import DependencyDown
from ledger.models import ChainIntent, SettlementMovement
from ledger.models.sending import IntentState
from ledger.settlement import escrow, stuck
from ledger.settlement.batches import plan_batches, submit_planned
from scripts.chaos import clock
from tests.support import acts
from tests.support.chain import CURRENCY, PARTIES, trade
from tests.support.copied import back_up
from tests.support.forms import rest
from tests.support.park import PROPOSED, Park
from tests.support.sending import UNITS, attempts, automine, minted, opened, plan, sent

MARKET = PARTIES["market"]
APART = timedelta(minutes=50)


@pytest.fixture
def ours() -> Iterator[None]:
    """A clock of this machine that a test can set."""
    with clock.own():
        yield


def forget_a_payment(park: Park) -> None:
    """Pay out a cent, and restore the books from before."""
    park.fund(MARKET, 100)
    park.mirror_final()
    restore = back_up(park.db, park.folder)
    escrow.withdraw(park.chain, MARKET, MARKET, 1)
    park.mirror_final()
    restore()


def paid_out(park: Park) -> int:
    """Return how often the chain has paid out the cent."""
    return sum(int(row.amount) == -1 for row in park.rows(SettlementMovement))


@pytest.mark.parametrize("read", rest(["before", "not"]))
def test_what_was_planned_before_its_transaction_is_not_sent_again(
    both: Park, ours: None, read: str
) -> None:
    """By a clock that is ahead the transaction seemed older than the act: it was done twice."""
    clock.jump(APART)
    key = plan(both)
    both.mirror_final()
    restore = back_up(both.db, both.folder)
    done = both.chain.sender.submit(key, CURRENCY)
    both.node.mine(1)
    restore()
    if read == "before":
        both.mirror.run_until("head")
    with pytest.raises(AlreadyOnChain, match=done):
        both.chain.sender.submit(key, CURRENCY)
    both.mirror_final()
    assert (minted(both), both.intent(key).tx_hash) == (UNITS, done)


@pytest.mark.parametrize("read", rest(["before", "not"]))
def test_who_asks_once_more_for_what_the_books_forgot_gets_it(both: Park, read: str) -> None:
    """By a clock that is behind what was done before seemed to be it: it was refused as done for as long as that."""
    both.node.later(int(APART.total_seconds()))
    forget_a_payment(both)
    if read == "not":  # nothing is signed, but it is not said to be done
        with pytest.raises(DependencyDown, match="run truetonne index run"):
            escrow.withdraw(both.chain, MARKET, MARKET, 1)
    both.mirror.run_until("head")
    key = escrow.withdraw(both.chain, MARKET, MARKET, 1)
    both.mirror_final()
    assert both.intent(key).state is IntentState.CONFIRMED
    assert (paid_out(both), both.differences()) == (2, [])


def test_who_asks_once_more_is_told_of_what_the_books_forgot(park: Park, ours: None) -> None:
    """By a clock that is ahead it seemed to be long ago, and nothing was said."""
    clock.jump(2 * APART)
    forget_a_payment(park)
    park.mirror.run_until("head")
    key = escrow.withdraw(park.chain, MARKET, MARKET, 1)
    for told in (True, False):
        with park.db.read() as session:
            found = twins.twin_on_chain(session, session.get_one(ChainIntent, key))
        assert (found is not None) == told
        park.node.later(3600)
        park.node.mine(1)
        park.mirror.run_until("head")


def test_what_waits_is_replaced_though_the_chain_s_clock_is_behind(park: Park, ours: None) -> None:
    """It waited until the chain's clock showed what this machine's had when it was signed."""
    clock.jump(APART)
    hasty = opened(park, replace_seconds=0)
    automine(park, False)
    key = plan(park)
    hasty.chain.sender.submit(key, CURRENCY)
    for _ in range(2):
        hasty.chain.sender.tend()
        assert len(attempts(park, key)) == 1  # no block came
    park.node.client.request("anvil_dropAllTransactions")
    park.node.mine(1)
    assert sent(park) == 0
    hasty.chain.sender.tend()
    assert len(attempts(park, key)) == 2


def test_a_dispute_is_over_by_the_chain_s_clock(park: Park, ours: None) -> None:
    """By a clock that was ahead nobody could reject it any more, an hour too early, and no alarm told of it."""
    park = opened(park, settling=PROPOSED)
    park.fund(MARKET, 100_00)
    park.trade(("sell", 1000, 20_000))
    plan_batches(park.chain)
    submit_planned(park.chain)
    park.mirror_final()
    acts.dispute(park.node, "market", 1, trade(1, "market", "owner", 1000, 20_000))
    park.mirror.run_until("head")
    clock.jump(2 * APART)
    with park.db.read() as session:
        (alarm,) = stuck.alarms(session)
    assert "an arbiter decides, until" in alarm
