"""What tests of the sender share: an act that always succeeds and that can be counted, and faults."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ledger.chain.contracts.wrappers import encode_call
from ledger.chain.node.client import ChainClient
from ledger.chain.sending import intents
from ledger.chain.sending.intents import NewIntent, new_key
from ledger.db import Database
from ledger.models import BlockchainTransaction, ChainAttempt, ChainIntent
from ledger.models.blockchain import TransactionStatus
from ledger.models.sending import IntentState
from tests.support.chain import CURRENCY, PARTIES, until_mined
from tests.support.park import CHAIN_ID, AfterMining, Park, open_chain

UNITS = 5
"""What each act mints: a second time would show."""
GWEI = 10**9


def plan(
    park: Park,
    function: str = "mint",
    arguments: list[Any] | None = None,
    party: str = "buyer",
    contract: str = CURRENCY,
    key: str | None = None,
) -> str:
    """Plan a call; by default one that always succeeds."""
    intent = NewIntent(
        key=key or new_key(),
        kind="test",
        contract=contract,
        address=park.node.deployment.contracts[contract].address,
        function=function,
        arguments=arguments if arguments is not None else [PARTIES["buyer"], UNITS],
        sender=PARTIES[party],
    )
    return park.db.run(lambda session: intents.plan(session, CHAIN_ID, intent))


def minted(park: Park, party: str = "buyer") -> int:
    """Return what a party has of the currency, asked of the token itself, as soon as what was sent is mined."""
    until_mined(park.node.client)
    data = encode_call(CURRENCY, "balanceOf", [PARTIES[party]])
    address = park.node.deployment.contracts[CURRENCY].address
    return int(park.node.client.call(address, data), 16)


def sent(park: Park, party: str = "buyer") -> int:
    """Return how many transactions an account has in blocks, as soon as those that were sent are there."""
    until_mined(park.node.client)
    return park.node.client.transaction_count(PARTIES[party])


def automine(park: Park, on: bool) -> None:
    """Let transactions be mined at once, or wait in the pool."""
    park.node.client.request("evm_setAutomine", [on])


def spike(park: Park, gwei: int) -> None:
    """Mine a block whose base fee is this high, and assert that it is."""
    until_mined(park.node.client)
    park.node.client.request("anvil_setNextBlockBaseFeePerGas", [hex(gwei * GWEI)])
    park.node.mine(1)
    head = park.node.client.block("latest")
    assert head is not None and head.base_fee == gwei * GWEI


def drop(park: Park, tx_hash: str) -> None:
    """Take a transaction out of the pool, and assert that it was there."""
    assert park.node.client.request("anvil_dropTransaction", [tx_hash]) == tx_hash
    assert park.node.client.request("eth_getTransactionByHash", [tx_hash]) is None


def steal(park: Park, party: str, nonce: int) -> str:
    """Send a stranger's transaction with a nonce of a party, mine it, and assert that it has it.

    From then on transactions wait in the pool.
    """
    automine(park, False)
    message = {
        "from": PARTIES[party],
        "to": PARTIES["spare"],
        "nonce": hex(nonce),
        "gas": hex(21_000),
        "maxFeePerGas": hex(150 * GWEI),
        "maxPriorityFeePerGas": hex(2 * GWEI),
    }
    tx_hash = str(park.node.client.request("eth_sendTransaction", [message]))
    park.node.mine(1)
    found = park.node.client.request("eth_getTransactionByHash", [tx_hash])
    assert found["blockNumber"] is not None and int(found["nonce"], 16) == nonce
    return tx_hash


def lost(park: Park, key: str, contract: str = CURRENCY, party: str = "buyer") -> str:
    """Sign and send an intent, let it vanish from the pool, and let a stranger take its nonce."""
    automine(park, False)
    tx_hash = park.chain.sender.submit(key, contract)
    drop(park, tx_hash)
    nonce = park.intent(key).nonce
    assert nonce is not None
    thief = steal(park, party, nonce)
    assert park.node.client.receipt(tx_hash) is None
    return thief


def opened(park: Park, finality: str | int = "finalized", **options: Any) -> Park:
    """Open the park again with other options of the sender, and the mirror with the same finality."""
    chain = open_chain(park.db, park.node, finality=finality, **options)
    mirror = AfterMining(park.db, park.node.client, park.node.deployment, finality)
    return Park(park.db, park.node, chain, mirror, park.folder)


def attempts(park: Park, key: str) -> list[ChainAttempt]:
    """Return the attempts of an intent, oldest first."""
    with park.db.read() as session:
        return list(intents.attempts_of(session, key))


def statuses(park: Park, key: str) -> list[TransactionStatus]:
    """Return what the books say of each attempt of an intent, oldest first."""
    rows = {row.tx_hash: row.status for row in park.rows(BlockchainTransaction)}
    return [rows[item.tx_hash] for item in attempts(park, key)]


def until_confirmed(park: Park) -> None:
    """Do what jobs and mirror do, a block a round, until nothing is open; fail if that does not end."""
    for _ in range(30):
        park.node.mine(1)
        park.mirror.run_until("head")
        park.chain.sender.recheck_final()
        park.chain.sender.tend()
        states = {row.state for row in park.rows(ChainIntent)}
        if states <= {IntentState.CONFIRMED, IntentState.FAILED}:
            return
    raise AssertionError([intents.as_row(row) for row in park.rows(ChainIntent)])


_OF_THE_TEST = ("anvil_", "evm_", "txpool_", "eth_sendTransaction", "eth_getTransactionByHash")
"""Questions that tests ask, and the product does not, but for the last: of what a node refused to take."""


class Crash(BaseException):
    """The process ends here: nothing after it is done, and nobody catches it."""


class Boundaries:
    """Crashes at the n-th boundary: before and after every commit, before and after every question to the node."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.passed = 0
        self.crashed_at: str | None = None

    def step(self, name: str) -> None:
        number = self.passed
        self.passed += 1
        if number == self.at:
            self.crashed_at = name
            raise Crash(name)


@contextmanager
def crashing(monkeypatch: pytest.MonkeyPatch, boundaries: Boundaries) -> Iterator[None]:
    """Count boundaries, and crash at one of them."""
    write, ask = Database.write, ChainClient.request_batch

    @contextmanager
    def writing(self: Database, **how: Any) -> Iterator[Any]:
        with write(self, **how) as session:
            yield session
            session.flush()
            boundaries.step("before a commit")
        boundaries.step("after a commit")

    def asking(self: ChainClient, calls: Any) -> Any:
        names = ",".join(sorted({method for method, _ in calls}))
        if names.startswith(_OF_THE_TEST):
            return ask(self, calls)
        boundaries.step(f"before {names}")
        answer = ask(self, calls)
        boundaries.step(f"after {names}")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", writing)
        patch.setattr(ChainClient, "request_batch", asking)
        yield
