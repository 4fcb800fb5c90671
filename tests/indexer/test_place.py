"""Where a mirror stands on the chain, whoever altered its cursor or its blocks, and whatever the chain took back."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import delete, update

from indexer import Indexer, place
from indexer.guards import require_contracts, require_no_catching_up
from indexer.place import head_and_final, place_of
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import BlockHeader
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.models import ChainBlock, ChainCursor
from tests.support.chain import TestChain
from tests.support.copied import back_up
from tests.support.proxy import LyingNode, NodeError
from tests.support.sent import hash_of, row_of

DEPTH = 3
OTHER = hash_of(1)
Found = tuple[int, int, list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited for a node that lags."""
    waited: list[float] = []
    monkeypatch.setattr(place, "time", SimpleNamespace(sleep=waited.append))
    return waited


def test_a_mirror_stands_where_its_blocks_are_those_of_the_chain(
    chain: TestChain, sqlite_db: Database, tmp_path: Path
) -> None:
    chain.mine(DEPTH)  # which it may roll back
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    head, restore = chain.height(), back_up(sqlite_db, tmp_path)
    tip = chain.client.block(head)
    assert tip is not None

    def found(*statements: Any) -> Found:
        with sqlite_db.write() as session:
            for statement in statements:
                session.execute(statement)
        at = place_of(sqlite_db, chain.client, chain.deployment, DEPTH)
        told = [(each.column, each.mirrored, each.chain) for each in at.differences]
        restore()
        return at.tip.number, at.confirmed, told

    def cursor(**values: Any) -> Any:
        return update(ChainCursor).values(**values)

    last = ChainBlock.number == head
    final = head - DEPTH
    named = ("block_hash", OTHER, tip.hash)
    assert found() == (head, final, [])
    assert found(cursor(block_hash=OTHER)) == (head, final, [named])
    assert found(delete(ChainBlock).where(last)) == (head, final, [])
    gone = delete(ChainBlock).where(last), cursor(block_hash=OTHER)
    assert found(*gone) == (head - 1, final, [named])
    # Cursor and block alike say what the chain does not: so does a mirror of a fork, and both go back.
    of_a_fork = update(ChainBlock).where(last).values(hash=OTHER), cursor(block_hash=OTHER)
    assert found(*of_a_fork) == (head - 1, final, [])

    more = head - DEPTH + 1
    assert found(cursor(final_number=more)) == (head, more, [("final_number", more, final)])
    assert found(cursor(final_number=final - 1)) == (head, final - 1, [])
    beyond = head + 1  # than where the mirror stands: that was altered, and says nothing
    assert found(cursor(final_number=beyond)) == (head, final, [("final_number", beyond, final)])
    fork = *of_a_fork, cursor(final_number=head)
    assert found(*fork) == (head - 1, head - 1, [("final_number", head, final)])

    chain.mine(1)
    assert found() == (head, final, [])
    chain.roll_back(2)
    assert found() == (head - 1, final, [("final_number", final, final - 1)])
    with pytest.raises(DependencyDown, match="has none of the blocks that are mirrored"):
        found(update(ChainBlock).values(hash=OTHER), cursor(block_hash=OTHER))


def test_a_node_is_asked_again_while_it_may_lag(
    chain: TestChain, sqlite_db: Database, pauses: list[float]
) -> None:
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    head = chain.height()
    with sqlite_db.read() as session:
        for held, waits in (
            (head - DEPTH, 0),
            (head - DEPTH + 1, 5),
            (head + 64, 5),
            (head + 65, 0),
        ):
            pauses.clear()
            seen, final = head_and_final(session, chain.client, DEPTH, held)
            assert (seen.number, final, len(pauses)) == (head, head - DEPTH, waits), held
        assert head_and_final(session, chain.client, head + 1, 0)[1] == 0


def test_a_young_chain_has_no_final_block_and_an_old_one_has(
    chain: TestChain, sqlite_db: Database
) -> None:
    with LyingNode(chain.rpc_url) as node:
        node.tamper = lambda method, params, result: None if params[:1] == ["finalized"] else result
        client = ChainClient(node.rpc_url)
        Indexer(sqlite_db, client, chain.deployment).run_until("head")
        with sqlite_db.read() as session:
            assert head_and_final(session, client, "finalized", 0)[1] == 0
        with sqlite_db.write() as session:
            session.execute(update(ChainCursor).values(final_number=2))
        with sqlite_db.read() as session, pytest.raises(DependencyDown, match="block 2 was final"):
            head_and_final(session, client, "finalized", 2)


def test_a_head_below_what_was_final_is_of_a_node_that_catches_up_unless_a_block_contradicts(
    sqlite_db: Database,
) -> None:
    def header(number: int) -> BlockHeader:
        return BlockHeader(number, hash_of(number), hash_of(number - 1), 0, 0)

    with sqlite_db.write() as session:
        session.add_all(row_of(ChainBlock, number=number) for number in (5, 9))
    fifth, ninth = header(5), header(9)  # a cursor beyond all blocks was altered
    for head, ancestor, final in ((9, fifth, 9), (9, ninth, 10**6), (7, None, 9), (5, None, 9)):
        require_no_catching_up(sqlite_db, header(head), ancestor, final)
    for head, ancestor, final in ((8, fifth, 9), (5, fifth, 9), (4, None, 9), (8, fifth, 10**6)):
        with pytest.raises(DependencyDown, match=f"head is block {head}, but block {final} was"):
            require_no_catching_up(sqlite_db, header(head), ancestor, final)


def test_contracts_that_were_final_are_not_taken_back_while_they_are_gone(
    chain: TestChain,
) -> None:
    made = max(item.block for item in chain.deployment.mirrored)
    at: Callable[[int], Any] = chain.client.block_there
    for final in (made - 1, made, made + 1):  # they stand there
        require_contracts(chain.client, chain.deployment, at(made - 1), final)
    newest = next(item for item in chain.deployment.mirrored if item.block == made)
    code = chain.client.code(newest.address)
    chain.client.request("anvil_setCode", [newest.address, "0x"])
    try:
        require_contracts(chain.client, chain.deployment, at(made), made + 1)
        require_contracts(chain.client, chain.deployment, at(made - 1), made - 1)
        with pytest.raises(DependencyDown, match="was final, and with them") as gone:
            require_contracts(chain.client, chain.deployment, at(made - 1), made)
        assert gone.value.code == "contracts-gone"
        with LyingNode(
            chain.rpc_url
        ) as node:  # one that does not have the state of its latest block
            node.tamper = lambda method, params, result: (
                NodeError("missing trie node") if method == "eth_getCode" else result
            )
            require_contracts(ChainClient(node.rpc_url), chain.deployment, at(made - 1), made)
            assert node.lies > 0
    finally:
        chain.client.request("anvil_setCode", [newest.address, code])
