"""Nodes that are not Anvil, in their own words: answers recorded from them, given by a node in front of a real one."""

from collections.abc import Iterator
from typing import Any

import pytest

from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.sending.sender import NotTaken
from ledger.models.sending import IntentState
from tests.support.chain import CURRENCY
from tests.support.forms import few, long
from tests.support.park import Park, open_chain
from tests.support.proxy import NO_HASH_THERE, LyingNode, by_hash, recorded
from tests.support.sending import attempts, automine, drop, minted, plan, until_confirmed

UNKNOWN_BATCH = "0x4392ee6a" + f"{1:064x}"
HARDHAT_REVERTED = recorded(
    3,
    "VM Exception while processing transaction: reverted with an unrecognized custom error (return data: "
    f"{UNKNOWN_BATCH})",
    UNKNOWN_BATCH,
)
"""Hardhat 3.18 mines at once, and answers so to a transaction that is in a block, and failed."""
IN_THE_POOL = (
    recorded(-32602, "0xeddf9e61...: this transaction is already in the TxPool"),  # ethereumjs 0.10
    recorded(
        -32602,
        "0xf39f... tries to send a tx with nonce 0, but account has nonce 1 (tx nonce too low)",
    ),
    recorded(
        -32000,
        "Nonce too low. Expected nonce to be 1 but got 0. Note that transactions can't be queued when "
        "automining.",
    ),  # Hardhat
    recorded(-32000, "AlreadyKnown"),  # Nethermind; written from memory, not recorded
)


@pytest.fixture
def front(park: Park) -> Iterator[LyingNode]:
    with LyingNode(park.node.rpc_url) as node:
        yield node


@pytest.fixture
def other(park: Park, front: LyingNode) -> Iterator[Park]:
    """The park, whose sender asks the node in front."""
    client = ChainClient(front.rpc_url)
    yield Park(park.db, park.node, open_chain(park.db, park.node, client), park.mirror, park.folder)
    client.close()


def _says(front: LyingNode, method: str, error: Any) -> None:
    front.tamper = lambda asked, _, result: error if asked == method else result


def test_a_failure_told_at_once_is_no_refusal(other: Park, front: LyingNode) -> None:
    """The transaction is in a block: what became of it, the mirror says."""
    _says(front, "eth_sendRawTransaction", HARDHAT_REVERTED)
    key = plan(other)
    tx_hash = other.chain.sender.submit(key, CURRENCY)
    assert front.lies == 1
    (attempt,) = attempts(other, key)
    assert (attempt.tx_hash, attempt.broadcast_at is not None) == (tx_hash, True)
    assert other.intent(key).alarm is None
    other.mirror_final()
    assert other.intent(key).state is IntentState.CONFIRMED


@few(1)
@pytest.mark.parametrize("error", IN_THE_POOL)
def test_sent_twice_is_sent(other: Park, front: LyingNode, error: Any) -> None:
    """Also by a node that shows nobody what waits in its pool."""
    automine(other, False)
    key = plan(other)
    drop(other, other.chain.sender.submit(key, CURRENCY))  # or Anvil would say it in its own words
    front.tamper = lambda asked, _, result: {
        "eth_sendRawTransaction": error,
        "eth_getTransactionByHash": None,
    }.get(asked, result)
    other.chain.sender.rebroadcast()
    assert front.lies >= 1
    assert other.intent(key).alarm is None
    front.tamper = None
    until_confirmed(other)
    assert minted(other) == 5


@pytest.mark.parametrize("said", ["Cannot add tx: pool is full", "unknown transaction type"])
def test_what_a_node_does_not_have_is_not_taken(other: Park, front: LyingNode, said: str) -> None:
    """An error for what is in no pool and no block stays one."""
    front.tamper = lambda asked, _, result: {
        "eth_sendRawTransaction": recorded(-32602, said),
        "eth_getTransactionByHash": None,
    }.get(asked, result)
    with pytest.raises(NotTaken, match=said):
        other.chain.sender.submit(plan(other), CURRENCY)


@long
def test_too_cheap_by_its_words_is_replaced(other: Park, front: LyingNode) -> None:
    """Hardhat's: the command goes on, and the next tending offers more."""
    said = (
        "Transaction maxFeePerGas (7) is too low for the next block, which has a baseFeePerGas of 8"
    )
    front.tamper = lambda asked, _, result: {
        "eth_sendRawTransaction": recorded(-32000, said),
        "eth_getTransactionByHash": None,
    }.get(asked, result)
    key = plan(other)
    other.chain.sender.submit(key, CURRENCY)
    assert other.intent(key).alarm == f"the node does not take it: {said}"


def test_a_state_is_asked_for_by_its_number(other: Park, front: LyingNode) -> None:
    client = other.chain.client
    block = client.block("latest")
    assert block is not None
    place = other.node.deployment.contracts[CURRENCY].address
    code = client.code(place, block.hash)
    known: dict[str, Any] = {}

    def answer(method: str, params: list[Any], result: Any) -> Any:
        return NO_HASH_THERE if by_hash(params) else known.get(method, result)

    front.tamper = answer
    assert client.code(place, block.hash) == code != "0x"
    other.node.mine(1)
    another = client.request("eth_getBlockByNumber", ["latest", False])
    another["number"] = hex(block.number)
    for lies in ({"eth_getBlockByHash": None}, {"eth_getBlockByNumber": another}):
        known.clear()
        known.update(lies)
        with pytest.raises(RpcError, match="argument must be a string"):
            client.code(place, block.hash)
