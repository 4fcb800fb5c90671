"""A stolen nonce that a fork gives back, deeper than what was final: the act that has two nonces is done once."""

from collections.abc import Callable

import pytest

from ledger.chain.contracts.events import CREDIT
from ledger.chain.sending.intents import FILL
from ledger.errors import DependencyDown, Refused
from ledger.models import ChainIntent, CreditHolding
from ledger.models.blockchain import TransactionStatus
from ledger.models.sending import IntentState
from tests.support.chain import CURRENCY, PARTIES
from tests.support.forms import few, long, rest
from tests.support.park import Park
from tests.support.sending import (
    UNITS,
    attempts,
    automine,
    lost,
    minted,
    opened,
    plan,
    sent,
    statuses,
    steal,
    until_confirmed,
)

SHORT_ON_MARIADB = ("test_the_older_transaction_is_mined_after_all",)
FORMER, LATTER = 0, 1
"""The nonces that the act had."""


def given_back(park: Park) -> str:
    """Have an act lose its nonce for good and be final with another, and a fork take back both; return its key.

    No pool has anything of it.
    """
    key = plan(park)
    before = park.node.height()
    lost(park, key)
    for _ in range(2):  # nothing is mined but by these
        park.node.mine(3)
        park.mirror.run_until("head")
        park.chain.sender.tend()
    assert [item.nonce for item in attempts(park, key)] == [FORMER, LATTER]
    assert (park.intent(key).state, minted(park)) == (IntentState.CONFIRMED, UNITS)
    park.node.reorganise(park.node.height() - before)
    park.node.client.request("anvil_dropAllTransactions")
    assert (minted(park), sent(park)) == (0, 0)
    return key


def mine_former(park: Park, key: str) -> None:
    """Have the transaction that had lost its nonce mined: whoever kept it sends it."""
    former, _ = attempts(park, key)
    park.node.client.send_raw(former.raw_transaction)
    park.node.mine(1)
    assert (minted(park), sent(park)) == (UNITS, 1)


def filled(park: Park) -> list[int | None]:
    return [row.nonce for row in park.rows(ChainIntent) if row.kind == FILL]


LOOKS: dict[str, Callable[[Park], object]] = {
    "recheck_final": lambda park: park.chain.sender.recheck_final(),
    "rebroadcast": lambda park: park.chain.sender.rebroadcast(),
    "tend": lambda park: park.chain.sender.tend(),
}


@few(1)
@pytest.mark.parametrize(
    ("look", "mirrored"),
    rest(
        [("recheck_final", False), ("recheck_final", True), ("rebroadcast", True), ("tend", False)],
        ("recheck_final", False),
        ("rebroadcast", True),
    ),
)
def test_the_newer_transaction_waits_while_the_older_one_may_be_mined(
    park: Park, look: str, mirrored: bool
) -> None:
    """Sent at once, it would be mined right behind the older one."""
    key = given_back(park)
    if mirrored:
        park.mirror.run_until("head")
        assert park.intent(key).state is IntentState.SUBMITTED
    LOOKS[look](park)
    mine_former(park, key)
    LOOKS[look](park)
    park.node.mine(1)
    assert (minted(park), sent(park)) == (UNITS, 1)
    until_confirmed(park)
    assert minted(park) == UNITS
    assert park.differences() == []


@long
def test_what_fills_the_nonce_is_dearer_than_the_older_transaction(park: Park) -> None:
    """Whoever still has that in a pool forgets it; the newer one is sent when that is final."""
    key = given_back(park)
    former, latter = attempts(park, key)
    park.node.client.send_raw(former.raw_transaction)
    park.mirror.run_until("head")
    opened(park, replace_seconds=0).chain.sender.tend()
    assert "a fork gave back a nonce" in (park.intent(key).alarm or "")
    assert filled(park) == [FORMER]
    for tx_hash in (former.tx_hash, latter.tx_hash):
        assert park.node.client.request("eth_getTransactionByHash", [tx_hash]) is None
    park.node.mine(1)
    park.chain.sender.tend()
    assert (minted(park), sent(park)) == (0, 1)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 2)
    assert (park.intent(key).nonce, park.intent(key).tx_hash) == (LATTER, latter.tx_hash)
    assert park.differences() == []


@long
def test_the_older_transaction_is_mined_after_all(both: Park) -> None:
    """It is the act then; the nonce that it had since does nothing, dearer than what was offered with that."""
    key = given_back(both)
    mine_former(both, key)
    both.mirror.run_until("head")
    both.chain.sender.tend()
    former, latter = attempts(both, key)
    assert (both.intent(key).nonce, both.intent(key).tx_hash) == (FORMER, former.tx_hash)
    assert filled(both) == [LATTER]
    (filling,) = [row for row in both.rows(ChainIntent) if row.kind == FILL]
    (offered,) = attempts(both, filling.key)
    assert offered.max_fee_wei * 8 >= latter.max_fee_wei * 9
    assert offered.priority_fee_wei * 8 >= latter.priority_fee_wei * 9
    until_confirmed(both)
    assert (minted(both), sent(both)) == (UNITS, 2)
    assert statuses(both, key) == [TransactionStatus.CONFIRMED, TransactionStatus.FAILED]
    assert both.differences() == []


@long
def test_a_pool_that_has_the_newer_one_gives_it_up(park: Park) -> None:
    key = given_back(park)
    mine_former(park, key)
    latter = attempts(park, key)[-1]
    park.node.client.send_raw(latter.raw_transaction)
    park.mirror.run_until("head")
    park.chain.sender.tend()
    assert park.node.client.request("eth_getTransactionByHash", [latter.tx_hash]) is None
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 2)
    assert park.differences() == []


@long
def test_the_older_transaction_is_mined_in_place_of_what_was_to_fill_its_nonce(both: Park) -> None:
    key = given_back(both)
    both.mirror.run_until("head")
    opened(both, replace_seconds=0).chain.sender.tend()
    both.node.client.request("anvil_dropAllTransactions")
    mine_former(both, key)
    both.chain.sender.tend()
    ends = [row.state.value for row in both.rows(ChainIntent) if row.kind == FILL]
    assert (sorted(ends), both.intent(key).nonce) == (["failed", "submitted"], FORMER)
    until_confirmed(both)
    assert (minted(both), sent(both)) == (UNITS, 2)
    assert both.differences() == []


@long
def test_the_older_transaction_is_final_before_anybody_looks(park: Park) -> None:
    """Nobody has the newer nonce any more: what comes after it would wait for ever."""
    key = given_back(park)
    mine_former(park, key)
    park.node.mine(3)
    park.mirror.run_until("head")
    assert (park.intent(key).state, park.intent(key).nonce) == (IntentState.CONFIRMED, FORMER)
    automine(park, True)
    other = plan(park)
    park.chain.sender.submit(other, CURRENCY)
    assert park.intent(other).nonce == LATTER + 1
    until_confirmed(park)
    assert filled(park) == [LATTER]
    assert (minted(park), sent(park)) == (2 * UNITS, 3)
    assert park.differences() == []


@long
def test_a_fork_takes_the_older_transaction_back_once_more(park: Park) -> None:
    """It is the one that is sent again: what may do nothing with the newer nonce waits for it."""
    key = given_back(park)
    mine_former(park, key)
    park.mirror.run_until("head")
    park.chain.sender.tend()
    until_confirmed(park)
    park.fork_at(_before(park, key))
    park.node.client.request("anvil_dropAllTransactions")
    assert (park.intent(key).state, minted(park)) == (IntentState.SUBMITTED, 0)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 2)
    assert park.intent(key).nonce == FORMER
    assert park.differences() == []


def _before(park: Park, key: str) -> int:
    number = park.intent(key).block_number
    assert number is not None
    return number - 1


def robbed_while_suspended(park: Park) -> tuple[str, int]:
    """Have a transfer lose its nonce while its batch is suspended; return its key, and the block before all that."""
    batch = park.node.issue(10, 0)
    park.mirror_final()
    before = park.node.height()
    moved = [PARTIES["owner"], PARTIES["buyer"], batch, 4, b""]
    key = plan(park, "safeTransferFrom", moved, "owner", CREDIT)
    lost(park, key, CREDIT, "owner")
    automine(park, True)
    park.node.act("pauser", CREDIT, "suspend", [batch])
    park.node.mine(3)
    park.mirror.run_until("head")
    park.chain.sender.tend()
    return key, before


@long
@pytest.mark.parametrize("mined", rest([False, True], True))
def test_what_is_planned_again_is_not_signed_while_its_transaction_may_be_mined(
    park: Park, mined: bool
) -> None:
    """The contract refused it when its nonce was stolen; a fork takes theft and refusal back."""
    key, before = robbed_while_suspended(park)
    assert park.intent(key).state is IntentState.PLANNED
    park.node.reorganise(park.node.height() - before)
    (former,) = attempts(park, key)
    if mined:
        park.node.client.send_raw(former.raw_transaction)
        park.node.mine(1)
    with pytest.raises(DependencyDown, match="into a block" if mined else "not used") as told:
        park.chain.sender.submit(key, CREDIT)
    assert told.value.code == "nonce-given-back"
    if not mined:
        steal(park, "owner", former.nonce or 0)
        automine(park, True)
        park.mirror_final()
        park.chain.sender.submit(key, CREDIT)
    until_confirmed(park)
    held = {row.holder: row.amount_kg for row in park.rows(CreditHolding)}
    assert held == {PARTIES["owner"]: 6, PARTIES["buyer"]: 4}
    assert park.differences() == []


@long
def test_what_was_refused_for_good_is_mined_after_all(park: Park) -> None:
    """The books say what the chain has: it was done, and the transaction did not fail."""
    key, before = robbed_while_suspended(park)
    with pytest.raises(Refused, match="NotActive"):
        park.chain.sender.submit(key, CREDIT)
    assert statuses(park, key) == [TransactionStatus.FAILED]
    park.node.reorganise(park.node.height() - before)
    (former,) = attempts(park, key)
    park.node.client.send_raw(former.raw_transaction)
    park.mirror_final()
    assert park.intent(key).state is IntentState.CONFIRMED
    assert statuses(park, key) == [TransactionStatus.CONFIRMED]
    assert park.differences() == []


@long
def test_two_that_were_mined_are_both_told(park: Park) -> None:
    """A pool had both: nothing here can take one back, and nothing hides it."""
    key = given_back(park)
    mine_former(park, key)
    park.node.mine(3)
    park.mirror.run_until("head")
    assert park.intent(key).state is IntentState.CONFIRMED
    park.node.client.send_raw(attempts(park, key)[-1].raw_transaction)
    park.node.mine(3)
    park.mirror.run_until("head")
    assert minted(park) == 2 * UNITS
    assert statuses(park, key) == [TransactionStatus.CONFIRMED] * 2
    assert any("2 of its transactions are on chain" in text for text in park.differences())
