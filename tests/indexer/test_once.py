"""Everything is written once: whole ranges or nothing, one mirror or several, killed or not."""

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, text

from indexer import Indexer, TickReport, finality
from indexer.handlers import HANDLERS
from indexer.reindex import reindex
from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.node.client import ChainClient
from ledger.db import Database, DatabaseBusy
from ledger.errors import BooksDiffer, DependencyDown, MirrorStopped
from ledger.models import ChainBlock, ChainCursor
from ledger.models.blockchain import TransactionStatus
from tests.indexer.conftest import DEPTH
from tests.support.ahead import small
from tests.support.chain import TestChain, trade
from tests.support.forked import FORKED
from tests.support.forms import long, rest
from tests.support.mirror import Dump, dump, new_chain, rows

SHORT_ON_MARIADB = ("test_several_mirrors_on_one_database",)

Fresh = Callable[..., Dump]
BROKEN = r"a trigger of the database refuses what the mirror writes \(disk on fire\).*drop it"


def _busy(chain: TestChain, batches: int = 6) -> None:
    chain.deposit("market", 90_000)
    for day in range(batches):
        batch = chain.issue(1000, 1 + day)
        chain.transfer("owner", "buyer", batch, 100)
        chain.retire("buyer", batch, 10 + day)
        chain.cancel("owner", batch, 3)
        chain.retire("spare", batch, 1, must=False)
        packed, _ = chain.propose([trade(day + 1, "market", "owner", 1000, 10_000)])
        chain.finalize(day + 1, packed)


@pytest.mark.parametrize(
    "table",
    rest(
        [
            "chain_blocks",
            "chain_events",
            "carbon_credits",
            "settlement_balances",
            "chain_inclusions",
        ],
        *("chain_blocks", "settlement_balances"),
    ),
)
def test_a_range_that_fails_anywhere_leaves_nothing(
    chain: TestChain, mirror: Indexer, sqlite_db: Database, fresh_dump: Fresh, table: str
) -> None:
    chain.issue(1000, 0)
    mirror.run_until("head")
    before = dump(sqlite_db)
    _busy(chain, 1)
    with sqlite_db.write() as session:
        session.execute(
            text(
                f"CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"
            )
        )
    with pytest.raises(DependencyDown, match=BROKEN):
        mirror.run_until("head")
    assert dump(sqlite_db) == before
    with sqlite_db.write() as session:
        session.execute(text("DROP TRIGGER broken"))
    mirror.run_until("head")
    assert dump(sqlite_db) == fresh_dump()


@long
def test_a_handler_that_stops_while_rows_are_stored_leaves_nothing(
    chain: TestChain,
    mirror: Indexer,
    sqlite_db: Database,
    fresh_dump: Fresh,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small(monkeypatch.setattr)
    chain.issue(1000, 0)
    mirror.run_until("head")
    before = dump(sqlite_db)
    _busy(chain, 1)

    def stop(*_: object) -> None:
        raise MirrorStopped("here")

    with monkeypatch.context() as patch, pytest.raises(MirrorStopped, match="here"):
        patch.setitem(HANDLERS, (SETTLEMENT, "BatchFinalized"), stop)
        while mirror.tick().blocks:  # shorter ranges come before it
            before = dump(sqlite_db)
    assert dump(sqlite_db) == before
    mirror.run_until("head")
    assert dump(sqlite_db) == fresh_dump()


def test_a_block_shows_before_older_ones_are_confirmed(
    chain: TestChain, mirror: Indexer, sqlite_db: Database, fresh_dump: Fresh
) -> None:
    """Two commits, so that a new block need not wait; what fails in the second is done by the next tick."""
    chain.issue(1000, 0)
    chain.mine(DEPTH - 1)
    mirror.run_until("head")
    assert rows(sqlite_db, "blockchain_transactions", "status")[-1] == (TransactionStatus.PENDING,)
    chain.issue(1000, 1)
    with sqlite_db.write() as session:
        session.execute(
            text(
                "CREATE TRIGGER broken BEFORE UPDATE ON blockchain_transactions"
                " BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"
            )
        )
    with pytest.raises(DependencyDown, match=BROKEN):
        mirror.tick()
    assert len(rows(sqlite_db, "credit_batches", "batch_id")) == 2
    with sqlite_db.write() as session:
        session.execute(text("DROP TRIGGER broken"))
    mirror.tick()
    assert dump(sqlite_db) == fresh_dump()
    confirmed = rows(sqlite_db, "blockchain_transactions", "status").count(
        (TransactionStatus.CONFIRMED,)
    )
    assert confirmed == len(rows(sqlite_db, "blockchain_transactions", "id")) - 1


@long
def test_a_rewind_that_fails_leaves_everything(
    chain: TestChain, mirror: Indexer, sqlite_db: Database, fresh_dump: Fresh
) -> None:
    _busy(chain, 1)
    mirror.run_until("head")
    before = dump(sqlite_db)
    chain.reorganise(6)
    with sqlite_db.write() as session:
        session.execute(
            text(
                "CREATE TRIGGER broken BEFORE DELETE ON chain_events"
                " BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"
            )
        )
    with pytest.raises(DependencyDown, match=BROKEN):
        mirror.tick()
    assert dump(sqlite_db) == before
    with sqlite_db.write() as session:
        session.execute(text("DROP TRIGGER broken"))
    mirror.run_until("head")
    assert dump(sqlite_db) == fresh_dump()


def test_a_trigger_that_keeps_a_mirror_from_beginning_is_told_as_one(
    chain: TestChain, sqlite_db: Database
) -> None:
    """It was a cursor that somebody had deleted."""
    with sqlite_db.write() as session:
        fails = "BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"
        session.execute(text(f"CREATE TRIGGER broken BEFORE INSERT ON chain_blocks {fails}"))
    with pytest.raises(DependencyDown, match=BROKEN):
        Indexer(sqlite_db, chain.client, chain.deployment).run_until("head")


@long
@pytest.mark.mariadb
def test_a_trigger_of_a_server_is_told_as_one(chain: TestChain, mariadb_db: Database) -> None:
    """What it signals has a number of its own, and ended the mirror as a defect of this program."""
    mirror = Indexer(mariadb_db, chain.client, chain.deployment)
    mirror.run_until("head")
    _busy(chain, 1)
    with mariadb_db.write() as session:
        signal = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'disk on fire'"
        session.execute(
            text(f"CREATE TRIGGER broken BEFORE INSERT ON chain_events FOR EACH ROW {signal}")
        )
    with pytest.raises(DependencyDown, match=BROKEN) as caught:
        mirror.run_until("head")
    assert caught.value.code == "refused-by-trigger"
    with mariadb_db.write() as session:
        session.execute(text("DROP TRIGGER broken"))
    mirror.run_until("head")


def test_several_mirrors_on_one_database(chain: TestChain, db: Database, fresh_dump: Fresh) -> None:
    """Four mirrors race from an empty database to the head; none writes what another has."""
    _busy(chain)
    reports: list[TickReport] = []
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def run() -> None:
        own = Database(db.url.render_as_string(hide_password=False))
        client = ChainClient(chain.client.rpc_url)
        try:
            # Many ranges to collide on.
            mirror = Indexer(own, client, chain.deployment, DEPTH, range_blocks_max=3)
            start.wait()
            mirror.run_until("head", on_tick=reports.append)
        except BaseException as error:
            failures.append(error)
        finally:
            client.close()
            own.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert any(report.overtaken for report in reports), "they never met; the test proves nothing"
    written = sum(report.blocks for report in reports)
    assert written == chain.client.block_number() - chain.deployment.deployed_block + 1
    assert dump(db) == fresh_dump()


def _follow(url: str, rpc_url: str, file: str, begun: Any) -> None:
    book = Deployment.load(Path(file))
    mirror = Indexer(Database(url), ChainClient(rpc_url), book, 64, poll_s=0.01, range_blocks_max=2)
    begun.set()
    mirror.follow(threading.Event())


def test_killed_at_random_instants(
    chain: TestChain, sqlite_db: Database, tmp_path: Path, fresh_dump: Fresh
) -> None:
    """kill -9, a reorganisation while it is down, start again: as if nothing had happened."""
    chance = random.Random(8)
    file = tmp_path / "deployment.json"
    file.write_text(chain.deployment_text(), encoding="utf-8")
    given = (sqlite_db.url.render_as_string(), chain.rpc_url, str(file))
    tips: set[int] = set()
    for day in range(5):
        begun = FORKED.Event()
        process = FORKED.Process(target=_follow, args=(*given, begun))
        process.start()
        assert begun.wait(60)
        batch = chain.issue(1000, day)
        for kg in range(1, 12):
            chain.retire("owner", batch, kg)
        until = time.monotonic() + (60 if day > 2 else 0)  # the last ones get somewhere
        while time.monotonic() < until and not _tips(sqlite_db) - tips:
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 0.4))
        process.kill()
        process.join()
        tips |= _tips(sqlite_db)
        chain.reorganise(chance.randint(1, 9))
    assert len(tips) > 1, "it never got anywhere before it was killed"
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until("head")
    assert dump(sqlite_db) == fresh_dump()


def _tips(db: Database) -> set[int]:
    return {number for (number,) in rows(db, "chain_cursor", "block_number")}


@long
def test_follow_waits_for_a_node_that_is_down(chain: TestChain, sqlite_db: Database) -> None:
    dead = ChainClient("http://127.0.0.1:9")
    stop, troubles = threading.Event(), []

    def trouble(error: Exception, pause: float) -> None:
        troubles.append(error)
        if len(troubles) == 3:
            stop.set()

    mirror = Indexer(sqlite_db, dead, chain.deployment, DEPTH, poll_s=0.001)
    mirror.follow(stop, on_trouble=trouble)
    assert len(troubles) == 3 and all(isinstance(error, DependencyDown) for error in troubles)


def test_follow_ends_when_told_and_goes_on_from_there(
    chain: TestChain, sqlite_db: Database, fresh_dump: Fresh
) -> None:
    _busy(chain, 1)
    stop = threading.Event()
    head = chain.client.block_number()

    def on_tick(report: TickReport) -> None:
        if report.tip == head:
            stop.set()

    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).follow(stop, on_tick=on_tick)
    chain.issue(5, 20)
    Indexer(sqlite_db, chain.client, chain.deployment, DEPTH).run_until(head + 1)
    assert dump(sqlite_db) == fresh_dump()


@long
def test_run_until_a_block_that_is_not_there(chain: TestChain, mirror: Indexer) -> None:
    head = chain.client.block_number()
    with pytest.raises(DependencyDown, match=f"ends at block {head}, before block {head + 5}"):
        mirror.run_until(head + 5)


@long
def test_a_cursor_that_somebody_deleted_is_said(
    chain: TestChain, sqlite_db: Database, mirror: Indexer, fresh_dump: Fresh
) -> None:
    """It was taken for another mirror that is faster, again and again and without a word."""
    mirror.run_until("head")
    with sqlite_db.write() as session:
        session.execute(delete(ChainCursor))
    with pytest.raises(BooksDiffer, match="has no row of 'local'"):
        mirror.run_until("head")
    reindex(sqlite_db, chain.client, chain.deployment, DEPTH)
    assert dump(sqlite_db) == fresh_dump()


@long
def test_run_until_a_block_reads_no_further(
    chain: TestChain, sqlite_db: Database, mirror: Indexer, fresh_dump: Fresh
) -> None:
    _busy(chain, 2)
    first, head = chain.deployment.deployed_block, chain.client.block_number()
    mirrored = 0
    for target in (first + 3, head - 5, head - 5, first + 3):  # twice nothing is left to read
        mirror.run_until(target)
        mirrored = max(target, mirrored)
        assert rows(sqlite_db, "chain_cursor", "block_number") == [(mirrored,)]
    mirror.run_until("head")
    assert dump(sqlite_db) == fresh_dump()


@long
def test_a_lock_that_somebody_keeps_is_said(chain: TestChain, sqlite_db: Database) -> None:
    """It was taken for another mirror's, and `index run --until` went on asking without a word."""
    impatient = Database(sqlite_db.url, lock_timeout_s=1)
    mirror = Indexer(impatient, chain.client, chain.deployment, DEPTH)
    mirror.run_until(chain.client.block_number() - 1)
    file = sqlite3.connect(str(sqlite_db.url.database), isolation_level=None)
    with closing(impatient), closing(file):
        file.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusy, match="database is locked"):
            mirror.run_until("head", lambda report: file.execute("ROLLBACK"))
        assert file.in_transaction
        file.execute("ROLLBACK")
        assert mirror.run_until("head").tip == chain.client.block_number()


@long
def test_blocks_that_brought_nothing_are_forgotten_between_two(
    chain: TestChain, mirror: Indexer, sqlite_db: Database
) -> None:
    """By the node's own blocks: those without a transaction go, those with an event or with a failure alone stay."""
    chain.mine(3)
    batch = chain.issue(1000, 0)
    chain.mine(3)
    chain.retire("owner", batch, 2000, must=False)
    chain.mine(3)
    mirror.run_until("head")
    before = {number for (number,) in rows(sqlite_db, "chain_blocks", "number")}
    empty = sorted(
        number
        for number in before
        if number >= chain.loaded_up_to
        and not chain.client.request("eth_getBlockByNumber", [hex(number), False])["transactions"]
    )
    assert len(empty) >= 9
    low, high = empty[1], empty[-2]
    with sqlite_db.write() as session:
        finality.forget_blocks(session, -low, 0)
        finality.forget_blocks(session, low, high)
    left = {number for (number,) in rows(sqlite_db, "chain_blocks", "number")}
    assert before - left == set(empty[2:-1])


@long
def test_old_blocks_without_anything_are_forgotten(sqlite_db: Database) -> None:
    with new_chain() as chain:  # more blocks than a node may have whose states others want
        _are_forgotten(chain, sqlite_db)


def _are_forgotten(chain: TestChain, sqlite_db: Database) -> None:
    chain.issue(1000, 0)
    mirror = Indexer(sqlite_db, chain.client, chain.deployment, 10)
    mirror.run_until("head")
    chain.mine(700)
    receipt = chain.retire("owner", 1 << 32 | 1, 5)
    chain.mine(50)
    tip = mirror.run_until("head").tip
    with sqlite_db.read() as session:
        numbers = set(session.scalars(select(ChainBlock.number)))
    of_ours = {number for (number,) in rows(sqlite_db, "chain_inclusions", "block_number")}
    assert receipt.block_number in of_ours
    assert numbers == {0} | of_ours | set(range(tip - 10 - 511, tip + 1))
    chain.reorganise(51)  # Anvil loses the state of much older blocks
    mirror.run_until("head")
    assert rows(sqlite_db, "credit_retirements", "retirement_id") == []
