"""``index reindex``: whatever was done to the mirrored tables, they come out as they were; ours stay."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, select, text, update
from sqlalchemy.pool import NullPool

from indexer import Indexer
from indexer import reindex as module
from indexer.lease import Lease
from indexer.reindex import Changes, reindex
from indexer.report import Scope
from indexer.status import look
from indexer.tables import EXEMPT, MIRRORED
from indexer.verify import verify
from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import BooksDiffer, DependencyDown, Refused
from ledger.models import Base, ChainCursor, CreditTransfer, SettlementMovement
from ledger.models.types import ValueUnreadable
from tests.flows import test_reconcile as scene
from tests.flows.test_reconcile import History
from tests.support.chain import TestChain
from tests.support.forked import FORKED
from tests.support.forms import few, is_long, long, rest, times
from tests.support.mirror import Dump, dump, fresh, running_chain

SHORT_ON_MARIADB = (
    "test_a_trigger_that_refuses_is_told_as_one",
    "test_on_both_databases_it_is_a_fresh_mirror",
    "test_values_of_no_column_are_found_and_mended_on_both_databases",
)

history = scene.history
by_hand = scene._by_hand
DEADLINE_S = 180
DEEP = 64
OWN = (
    "chain_attempts",
    "chain_intents",
    "chain_nonce_lanes",
    "issuances",
    "reading_claims",
    "vpp_settlement_batches",
    "vpp_settlement_items",
    "vpp_trading_records",
    "corrections",
    "correction_carries",
)


def ours(db: Database) -> Dump:
    """Every row of our own, whole."""
    found: Dump = {}
    with db.read() as session:
        for name in OWN:
            rows = session.execute(select(Base.metadata.tables[name]))
            found[name] = sorted((tuple(row) for row in rows), key=repr)
    return found


def numbers(db: Database) -> dict[str, int]:
    """The numbers that the database gave to transactions."""
    with db.read() as session:
        rows = session.execute(text("SELECT tx_hash, id FROM blockchain_transactions"))
        return {row[0]: row[1] for row in rows}


def mended(history: History, dry_run: bool = False) -> Changes:
    return reindex(history.db, history.client, history.chain.deployment, dry_run=dry_run)


def damage(history: History, seed: int) -> list[Any]:
    """Return statements that delete and alter rows of all tables by chance."""
    chance = random.Random(seed)
    statements: list[Any] = []
    for item in MIRRORED:
        if item.name == "chain_cursor":
            continue
        table = item.table
        with history.db.read() as session:
            rows = [dict(row) for row in session.execute(select(table)).mappings()]
        for row in chance.sample(rows, min(len(rows), chance.randint(0, 6))):
            here = [column == row[column.name] for column in table.primary_key.columns]
            columns = [
                column
                for column in table.columns
                if not column.primary_key and f"{item.name}.{column.name}" not in EXEMPT
            ]
            if chance.random() < 0.4 or not columns:
                statements.append(delete(table).where(*here))
                continue
            column = chance.choice(columns)
            if column.unique or column.name in ("key", "credit_id", "batch_key", "contract_name"):
                statements.append(delete(table).where(*here))
                continue
            other = scene._other(row[column.name], column)
            statements.append(update(table).where(*here).values({column.name: other}))
    assert statements
    return statements


@pytest.mark.parametrize("seed", rest(range(3)))
def test_random_damage_is_mended_and_ours_is_as_it_was(history: History, seed: int) -> None:
    before, mine, given = dump(history.db), ours(history.db), numbers(history.db)
    first, *rest = damage(history, seed)
    with by_hand(history, first):
        for statement in rest:
            scene_execute(history, statement)
        damaged = dump(history.db)
        assert damaged != before
        foretold = mended(history, dry_run=True)
        assert dump(history.db) == damaged
        changes = mended(history)
        assert changes.as_json() == foretold.as_json()
        assert dump(history.db) == before
        assert ours(history.db) == mine
        assert history.broken() == []
        kept = numbers(history.db)
        for tx_hash, number in numbers_left(damaged, given).items():
            assert kept[tx_hash] == number
        assert mended(history).tables == {}


def numbers_left(damaged: Dump, given: dict[str, int]) -> dict[str, int]:
    """Return the numbers of the transactions that the damage left in place."""
    left = {row[0] for row in damaged["blockchain_transactions"]}
    return {tx_hash: number for tx_hash, number in given.items() if tx_hash in left}


def scene_execute(history: History, statement: Any) -> None:
    """Execute one more statement as ``by_hand`` does; what that keeps undoes it, too."""
    engine = create_engine(f"sqlite:///{history.db.url.database}", poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)


@long
@few(1)
@pytest.mark.parametrize(
    "column",
    rest(["block_hash", "block_number", "final_number", "chain_id", None], "block_hash", None),
)
def test_a_damaged_cursor_is_mended(history: History, column: str | None) -> None:
    before, mine = dump(history.db), ours(history.db)
    made = Base.metadata.tables["chain_cursor"]
    with history.db.read() as session:
        row = dict(session.execute(select(made)).mappings().one())
    last = row["block_number"]
    statement = (
        delete(made)
        if column is None
        else update(made).values({column: scene._other(row[column], made.c[column])})
    )
    with by_hand(history, statement):
        changes = mended(history)
        assert changes.block == last and "chain_cursor" in changes.tables
        assert dump(history.db) == before
        assert ours(history.db) == mine


@long
@pytest.mark.parametrize(
    "statement",
    rest(
        [
            "UPDATE chain_cursor SET block_hash = '0x00'",
            "UPDATE chain_cursor SET block_number = 99999, final_number = 99999",
            "UPDATE smart_contracts SET status = 'deprecated' WHERE contract_name LIKE 'CarbonCredit@%'",
            "UPDATE smart_contracts SET status = 'deprecated', contract_name = 'x' "
            "WHERE contract_name LIKE 'CarbonCredit@%'",
        ],
        "UPDATE chain_cursor SET block_number = 99999, final_number = 99999",
        "UPDATE smart_contracts SET status = 'deprecated' WHERE contract_name LIKE 'CarbonCredit@%'",
    ),
    ids=["no hash", "beyond the chain", "out of use", "out of use by another name"],
)
def test_damage_that_could_stand_in_the_way_is_mended(history: History, statement: str) -> None:
    before, mine = dump(history.db), ours(history.db)
    with by_hand(history, text(statement)):
        assert verify(history.db, history.client, history.chain.deployment).differences
        mended(history)
        assert dump(history.db) == before
        assert ours(history.db) == mine


@few(1)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE chain_cursor SET block_number = -7",
        f"UPDATE chain_cursor SET block_number = {2**63 - 1}",
        "UPDATE blockchain_transactions SET tx_hash = UPPER(tx_hash) WHERE function_name = 'issue'",
        "UPDATE blockchain_transactions SET tx_hash = tx_hash || ' ' WHERE function_name = 'issue'",
        "UPDATE blockchain_transactions SET status = 'done' WHERE function_name = 'issue'",
        "UPDATE settlement_balances SET balance = balance || ' '",
        "UPDATE credit_holdings SET holder = holder || CAST(X'FF' AS TEXT)",
        "UPDATE chain_cursor SET block_hash = CAST(X'FF' AS TEXT)",
        "UPDATE smart_contracts SET status = 'DEPLOYED'",
    ],
    ids=[
        *(
            "no block",
            "the greatest number",
            "capitals",
            "a blank",
            "no choice",
            "no number",
            "no text",
        ),
        *("no text of the cursor", "no status"),
    ],
)
def test_what_no_column_may_hold_is_mended(history: History, statement: str) -> None:
    """A row with such a key stayed beside the right one, and the others ended the command."""
    before, mine = dump(history.db), ours(history.db)
    with by_hand(history, text(statement)):
        assert mended(history).tables
        assert dump(history.db) == before
        assert ours(history.db) == mine
        assert mended(history).tables == {}


@long
@few(1)
@pytest.mark.parametrize(
    ("table", "column"),
    [("chain_inclusions", "block_number"), ("credit_batches", "key"), ("settlement_trades", "seq")],
)
def test_rows_that_exchanged_what_is_unique_are_mended(
    history: History, table: str, column: str
) -> None:
    """Neither can be changed before the other."""
    before = dump(history.db)
    made = Base.metadata.tables[table]
    with history.db.read() as session:
        first, second, *_ = session.execute(select(made)).mappings().all()
    (key,) = (item.key for item in MIRRORED if item.name == table)

    def put(row: Any, value: Any) -> Any:
        here = [made.c[name] == row[name] for name in key]
        return update(made).where(*here).values({column: value})

    free = "0x" + "ee" * 32 if column == "key" else 10**6
    with by_hand(history, put(first, free)):
        scene_execute(history, put(second, first[column]))
        scene_execute(history, put(first, second[column]))
        assert dump(history.db) != before
        changes = mended(history)
        assert changes.tables == {table: {"changed": 2}}
        assert dump(history.db) == before


@long
def test_a_mirror_that_stands_on_no_hash_says_what_mends_it(history: History) -> None:
    mirror = Indexer(history.db, history.client, history.chain.deployment)
    with by_hand(history, text("UPDATE chain_cursor SET block_hash = '0x00'")):
        with pytest.raises(BooksDiffer, match=r"chain_cursor.*'0x00'.*`truetonne index reindex`"):
            mirror.run_until("head")
        mended(history)
        mirror.run_until("head")


@long
@few(1)
@pytest.mark.parametrize(
    "column", rest(["block_number", "final_number", "updated_at"], "final_number", "updated_at")
)
def test_a_cursor_that_holds_no_value_is_named_and_mended(history: History, column: str) -> None:
    """SQLite lets any program write it: reindex ended with `a time is 'rubbish'`, or as a defect of this program."""
    before, mine = dump(history.db), ours(history.db)
    network = history.chain.deployment.network
    named = f"{column} in chain_cursor of {network!r} is 'rubbish'.*run `truetonne index reindex`"
    with by_hand(history, text(f"UPDATE chain_cursor SET {column} = 'rubbish'")):
        with (
            pytest.raises((BooksDiffer, ValueUnreadable), match=named),
            history.db.read() as session,
        ):
            look(session, network)
        if column != "updated_at":  # which the mirror does not go by, and writes anew
            mirror = Indexer(history.db, history.client, history.chain.deployment)
            for read in (
                lambda: verify(history.db, history.client, history.chain.deployment),
                mirror.tick,
            ):
                with pytest.raises(BooksDiffer, match=named):
                    read()
        assert mended(history, dry_run=True).tables.get("chain_cursor") == (
            None if column == "updated_at" else {"added": 1}
        )
        mended(history)
        assert dump(history.db) == before
        assert ours(history.db) == mine
        with history.db.read() as session:
            assert look(session, network).cursor is not None


@long
def test_all_tables_emptied(history: History) -> None:
    before, mine = dump(history.db), ours(history.db)
    statements = [delete(item.table) for item in reversed(MIRRORED)]
    with by_hand(history, statements[0]):
        for statement in statements[1:]:
            scene_execute(history, statement)
        changes = mended(history)
        assert set(changes.tables) == {item.name for item in MIRRORED} - {"contract_sightings"}
        assert dump(history.db) == before
        assert ours(history.db) == mine


# ------------------------------------------------------------------------- a kill -9


def reindex_and_die(url: str, rpc_url: str, book: str, where: str, times: int) -> None:
    """Run ``reindex``, and be killed at a call of one of its functions."""
    left = [times]
    true = getattr(module, where)

    def dies(*arguments: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return true(*arguments, **more)

    setattr(module, where, dies)
    module.reindex(Database(url), ChainClient(rpc_url), Deployment.load(Path(book)))


@pytest.mark.parametrize(
    ("where", "times"),
    rest(
        [
            ("fresh_beside", 0),  # nothing is read yet
            ("_replace", 0),  # the fresh mirror is there
            ("_remove", 3),
            ("_remove", 20),
            ("_put", 0),
            ("_put", 12),
            ("_put", 24),  # the last table
            ("_counted", 0),  # everything is written, nothing is committed
            ("Indexer", 0),  # committed; the head is not mirrored yet
        ],
        ("_put", 12),
    ),
)
def test_a_kill_at_any_instant_leaves_the_old_or_the_new(
    history: History, tmp_path: Path, where: str, times: int
) -> None:
    before, mine = dump(history.db), ours(history.db)
    book = tmp_path / "deployment.json"
    chain = TestChain(history.client, history.chain.deployment)
    book.write_text(chain.deployment_text())
    first, *rest = damage(history, 99)
    with by_hand(history, first):
        for statement in rest:
            scene_execute(history, statement)
        damaged = dump(history.db)
        given = (str(history.db.url), history.client.rpc_url, str(book), where, times)
        died = FORKED.Process(target=reindex_and_die, args=given)
        died.start()
        died.join(DEADLINE_S)
        assert died.exitcode == -signal.SIGKILL
        found = dump(history.db)
        assert found == (before if where == "Indexer" else damaged)
        mended(history)
        assert dump(history.db) == before
        assert ours(history.db) == mine


# ------------------------------------------------------------------ both databases


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    with running_chain() as made:
        yield made


DAYS = itertools.count()


def lively(chain: TestChain) -> None:
    batch = chain.issue(1000, next(DAYS))
    chain.transfer("owner", "buyer", batch, 300)
    chain.retire("buyer", batch, 100)
    chain.mine(2)


@long
def test_on_both_databases_it_is_a_fresh_mirror(
    chain: TestChain, db: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    lively(chain)
    Indexer(db, chain.client, chain.deployment, DEEP).run_until("head")
    truth = fresh(sqlite_template, tmp_path, chain, DEEP)
    assert dump(db) == truth
    assert verify(db, chain.client, chain.deployment, DEEP).differences == []
    with db.write() as session:
        gone = session.execute(delete(CreditTransfer).where(CreditTransfer.amount_kg == 300))
        session.execute(update(ChainCursor).values(final_number=0))
    found = verify(db, chain.client, chain.deployment, DEEP).differences
    assert {item.table for item in found} == {"credit_transfers"}
    part = verify(db, chain.client, chain.deployment, DEEP, Scope(chain.client.block_number() - 4))
    assert {item.table for item in part.differences} <= {"credit_transfers", "credit_holdings"}
    changes = reindex(db, chain.client, chain.deployment, DEEP)
    assert changes.tables["credit_transfers"]["added"] == gone.rowcount  # type: ignore[attr-defined]
    assert dump(db) == fresh(sqlite_template, tmp_path, chain, DEEP)


ALTERED = (
    "UPDATE blockchain_transactions SET parameters = '{\"a\":' WHERE parameters IS NOT NULL",
    "UPDATE chain_inclusions SET sender = UPPER(sender)",
    "UPDATE credit_transfers SET tx_hash = ''",
)
ALTERED_ON_MARIADB = (
    *ALTERED,
    "UPDATE credit_batches SET status = ''",
    "UPDATE credit_batches SET issued_at = '0000-00-00'",
    "UPDATE credit_holdings SET holder = X'FF00FE' LIMIT 1",
    "UPDATE chain_cursor SET block_hash = X'FF00FE'",
    'UPDATE chain_events SET args = CONCAT(LEFT(args, LENGTH(args) - 1), \', "a": 1, "a": 2}\') '
    "WHERE event_name = 'Issued'",
)


@long
def test_values_of_no_column_are_found_and_mended_on_both_databases(
    chain: TestChain, db: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    """On MariaDB the copy that is compared could not be made of them, or had small letters again."""
    lively(chain)
    Indexer(db, chain.client, chain.deployment, DEEP).run_until("head")
    before = dump(db)
    altered = ALTERED if db.dialect == "sqlite" else ALTERED_ON_MARIADB
    engine = create_engine(db.url.set(query={}), poolclass=NullPool)
    for statement in altered if is_long() else altered[1::3]:
        with engine.begin() as link:
            if db.dialect != "sqlite":
                for check in ("check_constraint_checks = 0", "sql_mode = ''"):
                    link.exec_driver_sql(f"SET SESSION {check}")
            link.exec_driver_sql(statement)
        found = verify(db, chain.client, chain.deployment, DEEP).differences
        assert {item.table for item in found} == {statement.split()[1]}, statement
        reindex(db, chain.client, chain.deployment, DEEP)
        assert dump(db) == before, statement


@long
def test_a_trigger_that_refuses_is_told_as_one(chain: TestChain, db: Database) -> None:
    """It was *mirror or chain moved each time*, and on a server a defect of the program."""
    lively(chain)
    Indexer(db, chain.client, chain.deployment, DEEP).run_until("head")
    before = dump(db)
    refuses = "FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'disk on fire'"
    if db.dialect == "sqlite":
        refuses = "BEGIN SELECT RAISE(ABORT, 'disk on fire'); END"
    with db.write() as session:
        session.execute(text("DELETE FROM credit_holdings"))
    with db.write() as session:
        session.execute(text(f"CREATE TRIGGER broken BEFORE INSERT ON credit_holdings {refuses}"))
    said = r"a trigger of the database refuses .*\(disk on fire\).*drop it"
    with pytest.raises(DependencyDown, match=said) as told:
        reindex(db, chain.client, chain.deployment, DEEP)
    assert told.value.code == "refused-by-trigger"
    with db.write() as session:
        session.execute(text("DROP TRIGGER broken"))
    reindex(db, chain.client, chain.deployment, DEEP)
    assert dump(db) == before


@long
def test_in_the_middle_of_a_reorganisation(
    chain: TestChain, db: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    """The chain has turned and the mirror has not seen it: what it will take back is no difference."""
    lively(chain)
    height = Indexer(db, chain.client, chain.deployment, DEEP).run_until("head").tip
    chain.reorganise(3)
    with pytest.raises(DependencyDown, match=f"took back all mirrored blocks above {height - 3}"):
        verify(db, chain.client, chain.deployment, DEEP, Scope(height))
    assert verify(db, chain.client, chain.deployment, DEEP).differences == []
    assert verify(db, chain.client, chain.deployment, DEEP, Scope(5, None)).differences == []
    with db.write() as session:
        session.execute(delete(SettlementMovement))
        session.execute(delete(CreditTransfer).where(CreditTransfer.amount_kg == 1000))
    reindex(db, chain.client, chain.deployment, DEEP)
    assert dump(db) == fresh(sqlite_template, tmp_path, chain, DEEP)


@long
def test_a_block_that_is_replaced_before_the_rows_are(
    chain: TestChain, db: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    """Another process has mirrored it meanwhile, at the same height: the old block's rows are not put there."""
    lively(chain)
    mirror = Indexer(db, chain.client, chain.deployment, DEEP)
    mirror.run_until("head")
    steps: list[str] = []

    def turn(step: str) -> None:
        steps.append(step)
        if step.startswith("putting") and steps.count(step) == 1:
            chain.reorganise(1)
            mirror.run_until("head")

    reindex(db, chain.client, chain.deployment, DEEP, on_step=turn)
    assert len([step for step in steps if step.startswith("putting")]) == 2
    assert dump(db) == fresh(sqlite_template, tmp_path, chain, DEEP)


@long
def test_verify_beside_a_mirror_that_runs(chain: TestChain, db: Database) -> None:
    """Blocks come and go while it compares; none is a difference."""
    mirror = Indexer(db, chain.client, chain.deployment, DEEP, poll_s=0.01)
    mirror.run_until("head")
    stop = threading.Event()
    thread = threading.Thread(target=mirror.follow, args=(stop,))
    thread.start()
    turning = threading.Event()
    turned: list[int] = []

    def turn() -> None:
        while not turning.is_set():
            lively(chain)
            chain.reorganise(3)
            turned.append(chain.client.block_number())
            turning.wait(0.05)  # a look at a chain that never rests is begun again and again

    acting = threading.Thread(target=turn)
    acting.start()
    try:
        looks = 0
        while looks < times(2, 3) or len(turned) < times(3, 5):
            assert acting.is_alive()
            assert verify(db, chain.client, chain.deployment, DEEP).differences == []
            looks += 1
    finally:
        turning.set()
        acting.join(DEADLINE_S)
        stop.set()
        thread.join(DEADLINE_S)
    assert not thread.is_alive() and not acting.is_alive()


@long
def test_it_does_not_write_beside_a_mirror_that_runs(chain: TestChain, sqlite_db: Database) -> None:
    Indexer(sqlite_db, chain.client, chain.deployment, DEEP).run_until("head")
    lease = Lease(sqlite_db, chain.deployment.network)
    assert lease.take() is None
    with pytest.raises(Refused, match="mirrors now; end it first") as caught:
        reindex(sqlite_db, chain.client, chain.deployment, DEEP)
    assert caught.value.code == "mirror-runs"
    assert reindex(sqlite_db, chain.client, chain.deployment, DEEP, dry_run=True).tables == {}
    lease.release()
    assert reindex(sqlite_db, chain.client, chain.deployment, DEEP).tables == {}
