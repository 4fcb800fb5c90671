"""The node that tests share: whatever one did with it, the next finds it as a new one would be."""

import time
from contextlib import closing
from typing import Any

from tests.support.chain import CURRENCY, PARTIES, TestChain
from tests.support.forms import long
from tests.support.kept_node import KeptNode
from tests.support.mirror import new_chain

DAY_S = 24 * 3600


def state(chain: TestChain) -> dict[str, Any]:
    """Return what a test may see of a node before it does anything; the next block's time in days from now."""
    latest, pending = (
        chain.client.request("eth_getBlockByNumber", [tag, False]) for tag in ("latest", "pending")
    )
    ahead_s = int(pending["timestamp"], 16) - time.time()
    return {
        "head": (latest["number"], latest["hash"]),
        "fee": pending["baseFeePerGas"],
        "days ahead": round(ahead_s / DAY_S),
        "pool": chain.client.request("txpool_status", []),
        "deployment": chain.deployment_text(),
        "key": chain.new_key(),
    }


def walked(chain: TestChain, blocks: int) -> None:
    """Mine blocks and take them back."""
    snapshot = chain.client.request("evm_snapshot", [])
    chain.mine(blocks)
    assert chain.client.request("evm_revert", [snapshot])


def test_it_is_back_at_its_beginning() -> None:
    # Not the one of the other tests, which may have mined nearly as much as it is to.
    with closing(KeptNode(new_chain, blocks=40)) as kept:
        with kept.lent() as chain:
            url, before = chain.rpc_url, state(chain)
            chain.issue(1000, 1)
            chain.client.request("evm_increaseTime", [hex(2 * DAY_S)])
            chain.mine(20)
            chain.client.request("evm_setAutomine", [False])
            # Of a number that is not its turn: no block takes it.
            owner = chain.deployment.account("owner")
            transaction = {"from": owner, "to": "0x" + "11" * 20, "nonce": hex(1000)}
            chain.client.request("eth_sendTransaction", [transaction])
            chain.deployment.contracts.clear()
            left = state(chain)
            assert [name for name in before if left[name] == before[name]] == []
            with kept.lent() as second:  # while the first is lent
                assert second.rpc_url != url
        with kept.lent() as chain:
            assert (chain.rpc_url, state(chain)) == (url, before)
            number = chain.client.block_number()
            chain.issue(1000, 1)  # it mines by itself
            assert chain.client.block_number() > number
            walked(chain, 20)  # more than forty in all, those counted that are taken back
        with kept.lent() as chain:
            assert chain.rpc_url != url
            assert state(chain) == before


@long
def test_a_fork_from_the_beginning_keeps_the_contracts() -> None:
    """From a state that Anvil had written to its disk, a fork left contracts without code, and the mirror stopped."""
    with new_chain() as chain:
        for _ in range(12):
            walked(chain, 100)
        # Of the same block it has a state already: ten blocks later it drops the later one.
        walked(chain, 9)
        chain.mine(3)
        chain.reorganise(3)
        assert chain.client.code(chain.deployment.credit.address) != "0x"


def test_what_was_sent_last_is_not_mined_in_the_next() -> None:
    """Anvil answers before it has mined: now and then a block came on top of the beginning, after the look at it."""
    payment = {"from": PARTIES["owner"], "to": PARTIES["spare"], "value": "0x1"}
    with closing(KeptNode(new_chain)) as kept:
        for _ in range(40):
            with kept.lent() as chain:
                chain.client.request("eth_sendTransaction", [payment])
            with kept.lent() as chain:
                mined = chain.act("spare", CURRENCY, "mint", [PARTIES["spare"], 1])
                assert mined.block_number == chain.loaded_up_to + 1
