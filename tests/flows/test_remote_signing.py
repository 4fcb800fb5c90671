"""The whole way with keys that are elsewhere, behind the policy: Anvil's, and a signer of our own that may lie."""

from typing import Any

import pytest

from ledger.chain.contracts.events import CREDIT
from ledger.chain.contracts.structs import claim_typed_data
from ledger.chain.keys.policy import DailyCaps, PolicyRefused
from ledger.chain.keys.remote_signer import SignerDown, SignerLied, SignerService
from ledger.chain.keys.signers import Keyring, anvil_address, anvil_signer
from ledger.models import ChainAttempt, ChainNonceLane, ChainSpending
from ledger.models.sending import IntentState
from tests.support.chain import CURRENCY, PARTIES, class_role
from tests.support.forms import few, long, rest
from tests.support.park import CHAIN_ID, Park
from tests.support.remote_signer import running_signer
from tests.support.sending import (
    UNITS,
    attempts,
    automine,
    lost,
    minted,
    opened,
    plan,
    sent,
    spike,
    until_confirmed,
)

SHORT_ON_MARIADB = ("test_anvil_signs",)


def with_signer(park: Park, url: str, timeout_s: float = 10, **options: Any) -> Park:
    return opened(park, keyring=Keyring({}, SignerService(url, timeout_s)), **options)


def test_anvil_signs(both: Park) -> None:
    """A node with unlocked accounts answers eth_signTransaction; the bytes are sent by us."""
    remote = with_signer(both, both.node.rpc_url)
    key = plan(both)
    remote.chain.sender.submit(key, CURRENCY)
    automine(both, False)
    other = plan(both)
    remote.chain.sender.submit(other, CURRENCY)
    spike(both, 50)
    remote.chain.sender.tend()  # a replacement is signed there too
    assert len(attempts(both, other)) == 2
    both.node.mine(1)
    until_confirmed(remote)
    assert (minted(both), sent(both)) == (2 * UNITS, 2)


@long
def test_anvil_signs_messages(park: Park) -> None:
    claim = park.node.claim(1000, 0)
    address = park.node.deployment.credit.address
    message = claim_typed_data(claim, CHAIN_ID, address)
    remote = with_signer(park, park.node.rpc_url)
    signature = remote.chain.keyring.signer(PARTIES["verifier"], "sign").sign_typed_data(message)
    assert signature == anvil_signer(3).sign_typed_data(message)
    assert anvil_address(3) == PARTIES["verifier"]
    with pytest.raises(PolicyRefused, match="may not sign a Claim"):
        remote.chain.keyring.signer(PARTIES["buyer"], "sign").sign_typed_data(message)


def test_one_of_our_own(both: Park) -> None:
    with running_signer() as url:
        remote = with_signer(both, url)
        key = plan(both)
        remote.chain.sender.submit(key, CURRENCY)
        until_confirmed(remote)
    assert (minted(both), sent(both)) == (UNITS, 1)


@long
@few(1)
@pytest.mark.parametrize(
    ("lie", "kind"),
    rest(
        [
            ("refuse", SignerDown),
            ("late", SignerDown),
            ("nonce=1", SignerLied),
            ("to=0x" + "cd" * 20, SignerLied),
            ("value=1", SignerLied),
            ("sender=4", SignerLied),
            ("text", SignerLied),
        ],
        ("refuse", SignerDown),
        ("sender=4", SignerLied),
        ("text", SignerLied),
    ),
)
def test_one_that_does_not_do_its_work(park: Park, lie: str, kind: type[SignerDown]) -> None:
    """One line, exit 3, and the intent stays planned: nothing is taken, nothing is stored, nothing is sent."""
    key = plan(park)
    with running_signer(lie) as url:
        remote = with_signer(park, url, 0.5 if lie == "late" else 10)
        with pytest.raises(kind) as caught:
            remote.chain.sender.submit(key, CURRENCY)
    assert caught.value.exit_code == 3
    assert "\n" not in caught.value.message
    intent = park.intent(key)
    assert (intent.state, intent.nonce, intent.error) == (IntentState.PLANNED, None, None)
    for table in (ChainAttempt, ChainNonceLane, ChainSpending):
        assert park.count(table) == 0
    park.chain.sender.submit(key, CURRENCY)
    until_confirmed(park)
    assert (minted(park), sent(park)) == (UNITS, 1)


@long
def test_one_that_is_down_while_something_is_stuck(park: Park) -> None:
    """The others are tended all the same, and the alarm says why this one waits."""
    key = plan(park)
    automine(park, False)
    park.chain.sender.submit(key, CURRENCY)
    spike(park, 50)
    remote = with_signer(park, "http://127.0.0.1:9")
    remote.chain.sender.tend()
    assert len(attempts(park, key)) == 1
    assert "does not answer" in (park.intent(key).alarm or "")
    park.chain.sender.tend()
    park.node.mine(1)
    until_confirmed(park)
    assert minted(park) == UNITS


# ------------------------------------------------------------------------------ the policy


def test_a_call_that_is_none_of_ours_is_never_signed(park: Park) -> None:
    key = plan(park, "transfer", [PARTIES["spare"], 0])
    with pytest.raises(PolicyRefused, match=r"selector: .* may not call transfer of TestCurrency"):
        park.chain.sender.submit(key, CURRENCY)
    assert park.intent(key).state is IntentState.PLANNED
    assert (sent(park), park.count(ChainAttempt)) == (0, 0)


def test_the_owner_may_not_issue(park: Park) -> None:
    """The contract would refuse it too; a role that was granted by mistake does not help a thief."""
    claim = park.node.claim(1000, 0)
    park.node.act("admin", CREDIT, "grantRole", [class_role("ISSUER_ROLE", 1), PARTIES["buyer"]])
    key = plan(park, "issue", park.node.issue_arguments(claim), "buyer", CREDIT, claim.key)
    with pytest.raises(
        PolicyRefused, match="may not call issue of CarbonCredit; its roles are buyer"
    ):
        park.chain.sender.submit(key, CREDIT)
    assert sent(park) == 0


@long
def test_transactions_a_day(both: Park) -> None:
    capped = opened(both, caps=DailyCaps(2, 10**37))
    keys = [plan(both) for _ in range(3)]
    for key in keys[:2]:
        capped.chain.sender.submit(key, CURRENCY)
    with pytest.raises(
        PolicyRefused, match=r"daily transactions: .*raise signer_daily_transactions"
    ):
        capped.chain.sender.submit(keys[2], CURRENCY)
    restarted = opened(both.again(), caps=DailyCaps(2, 10**37))
    with pytest.raises(PolicyRefused):  # a restart does not forget it
        restarted.chain.sender.submit(keys[2], CURRENCY)
    other = plan(both, party="spare")
    capped.chain.sender.submit(other, CURRENCY)  # another account has its own
    assert both.intent(keys[2]).state is IntentState.PLANNED
    assert (sent(both), sent(both, "spare")) == (2, 1)
    restarted.db.close()


@long
def test_what_a_day_may_cost(both: Park) -> None:
    key = plan(both)
    both.chain.sender.submit(key, CURRENCY)
    (spent,) = both.rows(ChainSpending)
    found = both.node.client.request("eth_getTransactionByHash", [both.intent(key).tx_hash])
    cost = int(found["gas"], 16) * int(found["maxFeePerGas"], 16)
    assert (spent.transactions, int(spent.cost_wei)) == (1, cost)
    capped = opened(both, caps=DailyCaps(10, cost + 1))
    second = plan(both)
    with pytest.raises(PolicyRefused, match=r"daily cost: .*raise signer_daily_wei"):
        capped.chain.sender.submit(second, CURRENCY)
    assert sent(both) == 1


def test_another_nonce_counts_as_another_transaction(park: Park) -> None:
    """Where the day has no more of them, what lost its nonce waits."""
    key = plan(park)
    lost(park, key)
    park.node.mine(3)
    opened(park, caps=DailyCaps(1, 10**37)).chain.sender.tend()
    assert len(attempts(park, key)) == 1
    assert "signer policy, daily transactions" in (park.intent(key).alarm or "")
    (before,) = park.rows(ChainSpending)
    park.chain.sender.tend()
    _, second = attempts(park, key)
    found = park.node.client.request("eth_getTransactionByHash", [second.tx_hash])
    (after,) = park.rows(ChainSpending)
    cost = int(found["gas"], 16) * int(found["maxFeePerGas"], 16)
    assert after.transactions - before.transactions == 1
    assert int(after.cost_wei) - int(before.cost_wei) == cost


def test_a_replacement_counts_what_it_costs_more(park: Park) -> None:
    automine(park, False)
    key = plan(park)
    park.chain.sender.submit(key, CURRENCY)
    (before,) = park.rows(ChainSpending)
    spike(park, 50)
    tight = opened(park, caps=DailyCaps(10, int(before.cost_wei) * 2))
    tight.chain.sender.tend()
    assert len(attempts(park, key)) == 1
    assert "signer policy, daily cost" in (park.intent(key).alarm or "")
    park.chain.sender.tend()
    _, second = attempts(park, key)
    found = park.node.client.request("eth_getTransactionByHash", [second.tx_hash])
    (after,) = park.rows(ChainSpending)
    cost = int(found["gas"], 16) * int(found["maxFeePerGas"], 16)
    assert (after.transactions, int(after.cost_wei)) == (1, cost)
