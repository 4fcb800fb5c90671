"""After every reorganisation the mirror is what a new mirror of the canonical chain would be."""

import sqlite3
from collections.abc import Callable
from contextlib import closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, select, text, update
from sqlalchemy.exc import OperationalError

from cli.mirror_check import _ask
from indexer import Indexer, checks, finality, place
from indexer.checks import Unchecked
from indexer.cursor import Cursor
from indexer.guards import require_no_catching_up
from indexer.ranges import RangeReader
from indexer.reading import Read
from indexer.reindex import reindex
from indexer.reorg import REWINDS, rewind
from indexer.status import look as state_of
from indexer.verify import verify
from ledger.chain.contracts.events import CREDIT, SETTLEMENT, ZERO_HASH
from ledger.chain.local.anvil import LocalNode, find_anvil
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import BlockHeader
from ledger.db import Database
from ledger.db.engines import MODE, READ
from ledger.errors import BooksDiffer, DependencyDown
from ledger.models import Base, ChainBlock, ChainCursor, ChainEvent
from ledger.models.credits import BatchStatus
from ledger.serials import CreditStatus
from tests.indexer.conftest import DEPTH
from tests.support.chain import TestChain, deploy_contracts, trade
from tests.support.forms import long
from tests.support.mirror import Dump, dump, fresh, rows

BATCH = 1 << 32 | 1
Check = Callable[[], None]


@pytest.fixture
def history(chain: TestChain, mirror: Indexer) -> TestChain:
    """A mirrored history that touches every table; the last blocks hold one act each."""
    chain.issue(1000, 0)
    chain.deposit("market", 90_000)
    chain.deposit("buyer", 90_000)
    packed, _ = chain.propose([trade(1, "market", "owner", 1000, 250_000)])
    chain.finalize(1, packed)
    chain.retire("owner", BATCH, 100)
    mirror.run_until("head")
    return chain


def test_a_reorganisation_of_an_empty_block_is_another_block(chain: TestChain) -> None:
    """Where gas is free, an empty block of the same second is the same block, however often it is asked for."""
    chain.client.request("anvil_setNextBlockBaseFeePerGas", ["0x0"])
    chain.mine(1)
    for _ in range(3):
        chain.mine(1)
        before = chain.head_hash()
        chain.reorganise(1)
        assert chain.head_hash() != before


@pytest.mark.parametrize(
    ("head", "ancestor", "catches_up"),
    [
        (6, 5, True),  # 5 is the highest stored block up to it, and is of its chain
        (6, 4, False),
        (6, None, False),
        (4, None, True),  # nothing stored can contradict it
        (8, 5, False),  # not below what was final
    ],
)
def test_a_head_below_what_was_final_catches_up_unless_a_stored_block_contradicts(
    sqlite_db: Database, head: int, ancestor: int | None, catches_up: bool
) -> None:
    def block(number: int) -> BlockHeader:
        return BlockHeader(number, ZERO_HASH, ZERO_HASH, 0, 0)

    with sqlite_db.write() as session:
        for number in (5, 9):
            at = datetime.fromtimestamp(number, UTC)
            row = ChainBlock(number=number, hash=ZERO_HASH, parent_hash=ZERO_HASH, block_time=at)
            session.add(row)
    with pytest.raises(DependencyDown, match="catching up") if catches_up else nullcontext():
        known = None if ancestor is None else block(ancestor)
        require_no_catching_up(sqlite_db, block(head), known, 8)


@long
def test_retirement_that_vanished(
    history: TestChain, mirror: Indexer, sqlite_db: Database, same_as_fresh: Check
) -> None:
    before = dump(sqlite_db)
    history.retire("owner", BATCH, 30)
    history.cancel("owner", BATCH, 7)
    mirror.run_until("head")
    assert len(rows(sqlite_db, "carbon_credits", "credit_id")) == 4
    history.reorganise(2)
    report = mirror.tick()
    assert (report.rewound_blocks, report.tip) == (2, report.rewound_to)
    for table in ("carbon_credits", "credit_serials", "credit_holdings", "credit_batches"):
        assert dump(sqlite_db)[table] == before[table], table
    mirror.run_until("head")
    same_as_fresh()


def test_fork_with_other_contents(
    history: TestChain, mirror: Indexer, sqlite_db: Database, same_as_fresh: Check
) -> None:
    history.retire("owner", BATCH, 30)
    history.transfer("owner", "buyer", BATCH, 200)
    mirror.run_until("head")
    other = [
        (history.transaction("owner", CREDIT, "retire", history.retire_arguments(BATCH, 31)), 0),
        (
            history.transaction(
                "issuer", CREDIT, "issue", history.issue_arguments(history.claim(9, 5))
            ),
            1,
        ),
    ]
    history.reorganise(2, other)
    mirror.run_until("head")
    serials = rows(sqlite_db, "credit_serials", "batch_id", "first_serial", "last_serial")
    assert (BATCH, 101, 131) in serials and (BATCH + 1, 1, 9) in serials
    same_as_fresh()


@long
def test_a_batch_that_was_never_issued(
    history: TestChain, mirror: Indexer, sqlite_db: Database, same_as_fresh: Check
) -> None:
    second = history.issue(500, 1)
    history.transfer("owner", "buyer", second, 20)
    history.retire("buyer", second, 5)
    mirror.run_until("head")
    history.reorganise(3)
    mirror.run_until("head")
    assert rows(sqlite_db, "credit_batches", "batch_id") == [(BATCH,)]
    same_as_fresh()


@long
def test_statuses_and_caps_go_back_to_what_they_were(
    history: TestChain, mirror: Indexer, sqlite_db: Database, same_as_fresh: Check
) -> None:
    history.act("registrar", CREDIT, "setClassCap", [1, 5000])
    history.act("pauser", CREDIT, "suspend", [BATCH])
    mirror.run_until("head")
    kept = history.head_hash()
    history.act("admin", CREDIT, "reinstate", [BATCH])
    history.act("pauser", CREDIT, "suspend", [BATCH])
    history.act("admin", CREDIT, "reinstate", [BATCH])
    history.act("registrar", CREDIT, "setClassCap", [1, 6000])
    history.act("registrar", CREDIT, "setClassCap", [1, 7000])
    mirror.run_until("head")
    assert rows(sqlite_db, "credit_batches", "status") == [(BatchStatus.ACTIVE,)]
    history.reorganise(5)
    mirror.tick()
    assert rows(sqlite_db, "chain_cursor", "block_hash") == [(kept,)]
    assert rows(sqlite_db, "credit_batches", "status") == [(BatchStatus.SUSPENDED,)]
    assert rows(sqlite_db, "credit_classes", "cap_kg") == [(5000,)]
    mirror.run_until("head")
    same_as_fresh()


@long
def test_money_of_a_settlement_that_vanished(
    history: TestChain, mirror: Indexer, same_as_fresh: Check
) -> None:
    second, _ = history.propose([trade(2, "buyer", "owner", 1000, 70_000)])
    third, _ = history.propose([trade(3, "buyer", "market", 1000, 10_000)])
    mirror.run_until("head")
    history.finalize(2, second)
    history.cancel_batch(3, third)
    history.withdraw("owner", 100)
    mirror.run_until("head")
    history.reorganise(3)
    mirror.run_until("head")
    same_as_fresh()
    history.reorganise(
        5, [(history.transaction("owner", SETTLEMENT, "withdraw", [_owner(), 5]), 3)]
    )
    mirror.run_until("head")
    same_as_fresh()


@long
def test_same_height_without_a_new_block(
    history: TestChain, mirror: Indexer, same_as_fresh: Check
) -> None:
    history.reorganise(1)
    report = mirror.tick()
    assert report.rewound_blocks == 1 and report.head == report.tip + 1
    mirror.run_until("head")
    same_as_fresh()


@long
def test_head_that_moves_back(history: TestChain, mirror: Indexer, same_as_fresh: Check) -> None:
    history.roll_back(3)
    report = mirror.tick()
    assert report.rewound_to == report.head and report.rewound_blocks == 3
    same_as_fresh()
    history.retire("owner", BATCH, 1)  # a lower block than was seen before
    mirror.run_until("head")
    same_as_fresh()


@long
@pytest.mark.deploys
def test_registry_and_contracts_that_vanished(
    history: TestChain,
    mirror: Indexer,
    sqlite_db: Database,
    same_as_fresh: Check,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They vanish under a mirror that has just read what they did, and asks one of them how money is counted there."""
    again, other = _sent(history), Indexer(sqlite_db, history.client, history.deployment, 64)
    history.deposit("buyer", 1)
    blocks, true = len(_sent(history)), RangeReader.read

    def read(reader: RangeReader, cursor: Cursor, head: int) -> Read:
        found = true(reader, cursor, head)
        history.reorganise(blocks - 1)  # all that is left is the currency
        return found

    with monkeypatch.context() as patch:
        patch.setattr(RangeReader, "read", read)
        with pytest.raises(DependencyDown, match="has no VppSettlement at 0x") as told:
            other.tick()
        assert told.value.code == "node-behind"
    assert (
        other.tick().rewound_to is not None
    )  # beside the first one, which knew that they are there
    report = mirror.run_until("head")
    assert rows(sqlite_db, "credit_classes", "class_id") == []
    assert rows(sqlite_db, "carbon_credits", "credit_id") == []
    assert len(rows(sqlite_db, "blockchain_transactions", "tx_hash")) == 1
    same_as_fresh()
    assert "the contracts, as the chain took back blocks" in report.not_checked[0]
    _send(history, again[1:])
    assert mirror.run_until("head").not_checked == ()
    same_as_fresh()


@long
@pytest.mark.deploys
def test_contracts_that_were_final_and_vanished_are_waited_for(
    history: TestChain, sqlite_db: Database, fresh_dump: Callable[[str | int], Dump]
) -> None:
    """As when a chain is set back and begins anew: the mirror became empty, and went on without a word."""
    mirror = Indexer(sqlite_db, history.client, history.deployment, 1)
    mirror.run_until("head")
    before, again = dump(sqlite_db), _sent(history)
    history.reorganise(len(again))
    for look in (
        lambda: mirror.run_until("head"),
        lambda: reindex(sqlite_db, history.client, history.deployment, 1),
    ):
        with pytest.raises(DependencyDown, match="took back all blocks above") as told:
            look()
        assert told.value.code == "contracts-gone"
        assert history.deployment.credit.address in str(told.value)
        assert dump(sqlite_db) == before
    with sqlite_db.read() as session:  # it was said to be catching up
        state = state_of(session, history.deployment.network)
    assert "another block 1 than" in str(_ask(history.client.rpc_url, state, 1).replaced)
    _send(history, again[:-8])  # they come back in later blocks, and most of what they were told
    assert mirror.tick().rewound_blocks == len(again)
    mirror.run_until("head")
    assert rows(sqlite_db, "credit_classes", "class_id") != []
    assert dump(sqlite_db) == fresh_dump(1)


@long
@pytest.mark.deploys
def test_contracts_whose_commit_was_lost_are_stored_again(
    history: TestChain, mirror: Indexer, sqlite_db: Database, same_as_fresh: Check
) -> None:
    """A reorganisation takes them away; the unit of work that brings them back fails in its last moment."""
    before = rows(sqlite_db, "smart_contracts", "contract_name")
    sent = _sent(history)
    history.reorganise(len(sent), [(raw, place) for place, raws in enumerate(sent) for raw in raws])
    assert mirror.tick().rewound_to == history.deployment.deployed_block - 1
    assert len(rows(sqlite_db, "smart_contracts", "contract_name")) < len(before)

    def fail(connection: Connection) -> None:
        if connection.get_execution_options()[MODE] != READ:
            event.remove(Engine, "commit", fail)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR"
            raise OperationalError("COMMIT", {}, error)

    event.listen(Engine, "commit", fail)
    with pytest.raises(DependencyDown):
        mirror.run_until("head")
    mirror.run_until("head")
    assert len(rows(sqlite_db, "smart_contracts", "contract_name")) == len(before)
    same_as_fresh()


def test_deep_reorganisation_below_what_was_final(
    chain: TestChain,
    sqlite_db: Database,
    fresh_dump: Callable[[str | int], Dump],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Final blocks do not change; where they do, the mirror follows instead of keeping both."""
    monkeypatch.setattr(place, "_LAG_PAUSES_S", (0.01,))
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, 5)
    chain.issue(1000, 0)
    for kg in range(1, 31):
        chain.retire("owner", BATCH, kg)
    assert mirror.run_until("head").final == chain.client.block_number() - 5
    chain.roll_back(29)
    chain.mine(1)

    def less_is_final() -> None:
        """The head is so low that less is than stays: that is one difference, and not one of each transaction."""
        (found,) = verify(sqlite_db, chain.client, chain.deployment, 5).differences
        assert (found.table, found.column) == ("chain_cursor", "final_number")

    less_is_final()
    report = mirror.tick()
    assert report.rewound_blocks == 29 and report.final == report.tip
    less_is_final()
    chain.mine(28)
    mirror.run_until("head")
    statuses = rows(sqlite_db, "carbon_credits", "credit_id", "status")
    assert statuses == [
        ("lhb-wind-2014-1-1-1", CreditStatus.RETIRED),
        ("lhb-wind-2014-1-2-1000", CreditStatus.ACTIVE),
    ]
    assert dump(sqlite_db) == fresh_dump(5)


@long
def test_a_node_that_is_catching_up_is_waited_for(chain: TestChain, sqlite_db: Database) -> None:
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, 1)
    chain.issue(1000, 0)
    chain.mine(8)
    mirror.run_until("head")
    before = dump(sqlite_db)
    chain.roll_back(6)
    with pytest.raises(DependencyDown, match="still catching up"):
        mirror.tick()
    assert dump(sqlite_db) == before
    chain.mine(1)  # the chain does not catch up, it went another way
    mirror.run_until("head")
    assert rows(sqlite_db, "chain_cursor", "block_hash") == [(chain.head_hash(),)]


@long
@pytest.mark.parametrize("back", [30, 50], ids=["above the last event", "below it"])
def test_a_head_between_blocks_that_were_forgotten_is_waited_for(
    chain: TestChain, sqlite_db: Database, back: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old blocks that brought nothing are no longer stored: none of them says that the head is of this chain."""
    monkeypatch.setattr(finality, "BLOCKS_KEPT", 8)
    monkeypatch.setattr(place, "_LAG_PAUSES_S", (0.01,))
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, 1)
    chain.mine(20)
    chain.issue(1000, 0)
    chain.mine(40)
    mirror.run_until("head")
    before = dump(sqlite_db)
    chain.roll_back(back)
    for look in (
        mirror.tick,
        lambda: verify(sqlite_db, chain.client, chain.deployment, 1),
        lambda: reindex(sqlite_db, chain.client, chain.deployment, 1),
    ):
        with pytest.raises(DependencyDown, match="still catching up") as told:
            look()
        assert told.value.code == "node-behind"
        assert dump(sqlite_db) == before


@long
@pytest.mark.parametrize("number", [10**6, None], ids=["beyond the chain", "back"])
def test_a_cursor_that_was_altered(
    history: TestChain, sqlite_db: Database, number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the chain it is taken back; back, what it would read again is there, which was a defect of the program."""
    monkeypatch.setattr(place, "_LAG_PAUSES_S", (0.01,))

    def mirrored() -> int:
        return Indexer(sqlite_db, history.client, history.deployment, DEPTH).run_until("head").tip

    def written() -> Dump:
        return {table: found for table, found in dump(sqlite_db).items() if table != "chain_cursor"}

    before = written()
    to = number or history.height() - 3
    there = history.client.block(to)
    block_hash = there.hash if there is not None else ZERO_HASH
    altered = {"block_number": to, "final_number": to, "block_hash": block_hash}
    with sqlite_db.write() as session:
        session.execute(update(ChainCursor).values(altered))
    if number is None:
        with pytest.raises(
            BooksDiffer, match=rf"block {to + 1} already.* at {to}: .*index reindex`"
        ):
            mirrored()
        assert written() == before
        reindex(sqlite_db, history.client, history.deployment, DEPTH)
    assert mirrored() == history.height()
    assert written() == before


@long
def test_rows_that_were_altered_are_no_defect_of_the_program(
    history: TestChain, mirror: Indexer, sqlite_db: Database, same_as_fresh: Check
) -> None:
    """They stand in the way of what comes next, or of what is taken back: both say so, and a reindex mends them."""
    at = sqlite_db, history.client, history.deployment, DEPTH
    begin = history.loaded_up_to

    def is_told(statement: str, said: str, look: Callable[..., object], *of: object) -> None:
        with sqlite_db.write() as session:
            session.execute(text(statement))
        before = dump(sqlite_db)
        with pytest.raises(BooksDiffer, match=rf"{said}.*somebody altered .*; r"):
            look(*of)
        assert dump(sqlite_db) == before

    history.retire("owner", BATCH, 30)
    to = history.height()  # where its transfer will stand
    moved = f"UPDATE credit_transfers SET block_number = {to} WHERE block_number = {to - 1}"
    is_told(moved, r"do not take blocks .* \(UNIQUE .*credit_transfers", mirror.tick)
    reindex(*at)
    same_as_fresh()

    for statement, said in (
        ("UPDATE credit_batches SET batch_id = 7", "NoResultFound: "),
        ("DELETE FROM credit_holdings", r"would hold -870 kg of batch \d+ by the mirror\): some"),
        ("DELETE FROM settlement_balances", r"would have -\d+ units of asset 0 in escrow by the"),
    ):
        with sqlite_db.write() as session:
            session.execute(text(statement))
            with pytest.raises(BooksDiffer, match=rf"taken back to block {begin} \(.*{said}"):
                rewind(session, begin)
            session.rollback()

    history.reorganise(to - begin)
    spoilt = "UPDATE chain_events SET args = '{{}}' WHERE event_name = '{}'"
    proposed = ChainEvent.event_name == "BatchProposed"
    with sqlite_db.read() as session:
        args = session.scalar(select(ChainEvent.args).where(proposed))
    is_told(spoilt.format("BatchProposed"), rf"of these books .* {begin} \(KeyError", reindex, *at)
    with sqlite_db.write() as session:
        session.execute(update(ChainEvent).where(proposed).values(args=args))
    is_told(spoilt.format("Issued"), rf"taken back to block {begin} \(KeyError: ", mirror.tick)
    is_told("SELECT 1", rf"taken back to block {begin} \(KeyError: ", verify, *at)
    reindex(*at)
    same_as_fresh()


@long
def test_a_chain_that_turns_below_the_deployment_is_followed(
    sqlite_db: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    """The mirror stopped for good: of blocks before the deployment it has one, and that was lost as well."""
    with LocalNode(find_anvil(None)) as node, closing(ChainClient(node.rpc_url)) as client:
        client.request("anvil_mine", [hex(9)])
        chain = TestChain(client, deploy_contracts(client))
        mirror = Indexer(sqlite_db, client, chain.deployment, 64)
        tip, sent = mirror.run_until("head").tip, _sent(chain)
        chain.reorganise(
            len(sent) + 3, [(raw, 3 + place) for place, raws in enumerate(sent) for raw in raws]
        )
        report = mirror.tick()
        assert (report.rewound_to, report.rewound_blocks) == (9, tip - 9)
        with sqlite_db.read() as session:
            assert session.scalars(select(ChainBlock.number)).all() == [9]
        mirror.run_until("head")
        assert dump(sqlite_db) == fresh(sqlite_template, tmp_path, chain, 64)
        assert verify(sqlite_db, client, chain.deployment, 64).ok
        # A head below the first block of the mirror, under what was final, is a node that catches up.
        mirror = Indexer(sqlite_db, client, chain.deployment, 1)
        mirror.run_until("head")
        before = dump(sqlite_db)
        chain.roll_back(client.block_number() - 5)
        with pytest.raises(DependencyDown, match="still catching up") as told:
            mirror.tick()
        assert told.value.code == "node-behind"
        assert dump(sqlite_db) == before


def test_a_reorganisation_of_everything_on_both_databases(
    chain: TestChain, db: Database, fresh_dump: Callable[[str | int], Dump]
) -> None:
    mirror = Indexer(db, chain.client, chain.deployment, 64)
    chain.issue(1000, 0)
    chain.deposit("market", 90_000)
    chain.deposit("buyer", 90_000)
    mirror.run_until("head")
    second = chain.issue(70, 1)
    chain.transfer_batch("owner", "buyer", [(BATCH, 400), (second, 70)])
    chain.retire("buyer", BATCH, 100)
    chain.cancel("owner", BATCH, 9)
    packed, _ = chain.propose([trade(1, "market", "owner", 1000, 250_000)])
    chain.finalize(1, packed)
    chain.withdraw("buyer", 90_000)
    chain.act("pauser", CREDIT, "suspend", [BATCH])
    chain.act("registrar", CREDIT, "registerProject", [1, _owner(), "second"])
    mirror.run_until("head")
    assert dump(db) == fresh_dump(64)
    chain.reorganise(
        10, [(chain.transaction("owner", CREDIT, "cancel", [b"k" * 32, BATCH, 5, ""]), 4)]
    )
    assert mirror.tick().rewound_blocks == 10
    mirror.run_until("head")
    assert dump(db) == fresh_dump(64)


def test_every_mirrored_table_is_rewound() -> None:
    """A table of the mirror that no function rewinds would keep rows of a lost fork."""
    text = " ".join(f"{step.__name__} {step.__doc__}" for step in REWINDS)
    writers = ("indexer", "ledger.chain.sending.transactions")
    names = {
        table.name
        for table in Base.metadata.tables.values()
        if table.info["writer"] in writers and table.name != "chain_cursor"
    }
    known = {
        "blockchain_transactions",
        "chain_inclusions",
    }  # ledger.chain.sending.transactions.rewind
    assert {name for name in names - known if name not in text} == set()


@pytest.mark.parametrize(("believed", "left"), [(None, None), (6, 6), (7, 7), (9, 7)])
def test_nothing_more_was_believed_after_a_rewind_than_before(
    sqlite_db: Database, believed: int | None, left: int | None
) -> None:
    with sqlite_db.write() as session:
        for network, number in (("local", believed), ("other", 9)):
            checks.store(session, network, Unchecked(number, "no such method"))
        checks.take_back(session, "local", 7)
        assert checks.load(session, "local") == Unchecked(left, "no such method")
        assert checks.load(session, "other") == Unchecked(9, "no such method")


def _sent(chain: TestChain) -> list[list[str]]:
    """Return the signed transactions of each block since the deployment."""
    client = chain.client
    blocks = range(chain.deployment.deployed_block, client.block_number() + 1)
    return [
        [
            client.request("eth_getRawTransactionByHash", [tx_hash])
            for tx_hash in block["transactions"]
        ]
        for block in (
            client.request("eth_getBlockByNumber", [hex(number), False]) for number in blocks
        )
    ]


def _send(chain: TestChain, blocks: list[list[str]]) -> None:
    """Send signed transactions again, a block each time."""
    for raws in blocks:
        for raw in raws:
            chain.client.request("eth_sendRawTransaction", [raw])
        chain.mine(1)


def _owner() -> str:
    from tests.support.chain import PARTIES

    return PARTIES["owner"]
