"""``index verify`` and ``index reindex`` against a complete history: damage of every kind is found, and mended.

The history is that of the reconciliation's tests: a meter file, issuances, trades, transfers, retirements,
disputes and failed transactions, on a real chain, mirrored to the end.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from cli.mirror_open import _check_books
from indexer import shadow
from indexer.place import Place, place_of
from indexer.report import Report, Scope
from indexer.shadow import Workshop, _room_in
from indexer.status import look
from indexer.tables import EXEMPT, MIRRORED
from indexer.verify import _range, compare_all, fresh_beside, verify
from ledger import files
from ledger.db import Database
from ledger.errors import BadInput, BooksDiffer, DependencyDown, NotFound
from ledger.models import Base, ChainCursor, CreditProject, CreditRetirement
from tests.flows import test_reconcile as scene
from tests.flows.test_reconcile import History
from tests.support.forms import few, long, rest
from tests.support.full import full_disk, small_disk

history = scene.history
by_hand = scene._by_hand
NAMES = [item.name for item in MIRRORED]
ROWS = [name for name in NAMES if name != "chain_cursor"]
"""Without a cursor there is no mirror (see the tests of reindex), and one more is of another mirror."""


def verified(history: History, scope: Scope | None = None) -> Report:
    return verify(history.db, history.client, history.chain.deployment, scope=scope)


def test_a_true_mirror_has_no_differences(history: History) -> None:
    report = verified(history)
    assert report.differences == []
    assert set(NAMES) <= set(report.checked)
    with history.db.read() as session:
        for name in NAMES:
            made = Base.metadata.tables[name]
            held = len(session.execute(select(made)).all())
            assert report.checked[name] == held > 0 or name == "contract_sightings", name
    assert report.checked["log_entries"] > 20
    assert report.checked["supply"] > 5
    assert report.to_block == history.client.block_number()
    assert report.from_block == history.chain.deployment.deployed_block


# ---------------------------------------------------------------- damage of every kind


@dataclass
class Judge:
    """A fresh mirror of the history, made once, and a place to copy many damaged ones to."""

    shop: Workshop
    history: History
    fresh: Database

    def compared(self) -> Report:
        """Compare as ``verify`` does, with the fresh mirror that is there already."""
        copy = self.shop.copy_of(self.history.db, "damaged")
        try:
            place = place_of(copy, self.history.client, self.history.chain.deployment, "finalized")
            report = Report(1, place.tip.number, differences=list(place.differences))
            compare_all(copy, self.fresh, report)
            return report
        finally:
            copy.close()
            for file in Path(str(copy.url.database)).parent.glob("damaged.db*"):
                file.unlink()


@pytest.fixture(scope="module")
def judge(history: History) -> Iterator[Judge]:
    with Workshop.opened() as shop:
        copy = shop.copy_of(history.db, "copy")
        deployment = history.chain.deployment
        place = place_of(copy, history.client, deployment, "finalized")
        tip, confirmed = place.tip.number, place.confirmed
        yield Judge(
            shop, history, fresh_beside(shop, copy, history.client, deployment, tip, confirmed)
        )


ALONE = ("chain_cursor", "chain_blocks")
"""Tables that say where the mirror stands: what is altered there decides what else is compared."""


def columns() -> dict[str, list[str]]:
    """Return the columns that are compared, by table."""
    found: dict[str, list[str]] = {}
    for item in MIRRORED:
        if item.name == "contract_sightings":
            continue
        found[item.name] = [
            column.name
            for column in item.table.columns
            if f"{item.name}.{column.name}" not in EXEMPT
            # A cursor of another name is of another mirror: there is none then, and verify says so.
            and (item.name, column.name) != ("chain_cursor", "network")
        ]
    return found


def rounds() -> list[Any]:
    """Return what is altered together: a column of every table, the first of each, then the second, and so on."""
    by_table = columns()
    together = {name: held for name, held in by_table.items() if name not in ALONE}
    found = [
        pytest.param(
            [(name, held[number]) for name, held in together.items() if number < len(held)],
            id=f"column {number} of each",
            marks=() if number < 3 else long,
        )
        for number in range(max(map(len, together.values())))
    ]
    return found + [
        pytest.param([(name, column)], id=f"{name}.{column}", marks=long if number else ())
        for name in ALONE
        for number, column in enumerate(by_table[name])
    ]


def middle(history: History, table: str, column: str) -> tuple[Any, Any]:
    """Return the condition of a row of the middle, and what the column holds there."""
    made = Base.metadata.tables[table]
    keys = list(made.primary_key.columns)
    with history.db.read() as session:
        rows = session.execute(select(*keys, made.c[column])).all()
    *key, value = sorted(rows, key=repr)[len(rows) // 2]
    return [part == held for part, held in zip(keys, key, strict=True)], value


@few(2)
@pytest.mark.parametrize("together", rounds())
def test_an_altered_column_is_found_and_named(
    history: History, judge: Judge, together: list[tuple[str, str]]
) -> None:
    values, statements = {}, []
    for table, column in together:
        made = Base.metadata.tables[table]
        here, value = middle(history, table, column)
        altered = scene._other(value, made.c[column])
        values[table, column] = value, altered
        statements.append(update(made).where(*here).values({column: altered}))
    with by_hand(history, *statements):
        found = judge.compared().differences
    names = {(item.table, item.column) for item in found}
    for (table, column), (value, altered) in values.items():
        keys = next(item.key for item in MIRRORED if item.name == table)
        if column in keys:  # another row is there, and the true one is not
            assert (table, None) in names, (table, column)
            continue
        (told,) = [item for item in found if (item.table, item.column) == (table, column)]
        assert told.mirrored == altered
        # The chain says what is final now, not what was at the last tick.
        if column != "final_number":
            assert told.chain == value


@pytest.mark.parametrize(
    "tables",
    [[name for name in ROWS if name not in ALONE], ["chain_blocks"]],
    ids=["all", "blocks"],
)
def test_a_missing_row_is_found(history: History, judge: Judge, tables: list[str]) -> None:
    tables = [name for name in tables if name != "contract_sightings"]
    statements = []
    for table in tables:
        made = Base.metadata.tables[table]
        here, _ = middle(history, table, next(iter(made.columns)).name)
        statements.append(made.delete().where(*here))
    with by_hand(history, *statements):
        found = judge.compared().differences
    for table in tables:
        (told,) = [item for item in found if item.table == table]
        assert told.column is None
        assert told.mirrored is None
        assert isinstance(told.chain, dict)


@pytest.mark.parametrize(
    "tables",
    [[name for name in ROWS if name not in ALONE], ["chain_blocks"]],
    ids=["all", "blocks"],
)
def test_a_surplus_row_is_found(history: History, judge: Judge, tables: list[str]) -> None:
    statements = [
        Base.metadata.tables[table].insert().values(surplus(history, table)) for table in tables
    ]
    with by_hand(history, *statements):
        found = judge.compared().differences
    for table in tables:
        (told,) = [item for item in found if item.table == table]
        assert told.column is None
        assert told.chain is None
        assert isinstance(told.mirrored, dict)


def surplus(history: History, table: str) -> dict[str, Any]:
    """Return a row that no chain brought."""
    made = Base.metadata.tables[table]
    if table == "contract_sightings":
        return {
            "block_number": 1, "log_index": 0, "address": "0x" + "1" * 40, "contract_name": "x",
            "giver_address": "0x" + "1" * 40, "event_name": "RoleGranted", "role": None,
            "code_hash": "0x" + "1" * 64, "tx_hash": "0x" + "1" * 64,
            "seen_at": datetime(2030, 1, 1, tzinfo=UTC),
        }  # fmt: skip
    with history.db.read() as session:
        row = dict(session.execute(select(made)).mappings().first() or {})
    keys = next(item.key for item in MIRRORED if item.name == table)
    row[keys[-1]] = scene._other(row[keys[-1]], made.c[keys[-1]])
    if "id" in row:
        row["id"] = 10**6
    if table == "smart_contracts":
        row["contract_address"] = "0x" + "1" * 40
    if table == "credit_batches":
        row["key"] = "0x" + "1" * 64
    for unique in ("code", "batch_key", "key", "seq", "tx_index"):
        if unique in row and unique not in keys:
            row[unique] = scene._other(row[unique], made.c[unique])
    return row


@long
def test_damage_is_told_by_the_command_itself(history: History) -> None:
    """One alteration through the whole of ``verify``, as JSON prints it."""
    made = Base.metadata.tables["credit_holdings"]
    here, value = middle(history, "credit_holdings", "amount_kg")
    with by_hand(history, update(made).where(*here).values(amount_kg=value + 5)):
        report = verified(history)
    told = [item.as_json() for item in report.differences if item.column == "amount_kg"]
    assert [(item["table"], item["mirrored"], item["chain"]) for item in told] == [
        ("credit_holdings", value + 5, value)
    ]
    sums = [item for item in report.differences if item.column == "sum of amount_kg"]
    assert [(item.mirrored - item.chain) for item in sums] == [5]


# ------------------------------------------------------------------ a range, a sample


def event_blocks(history: History) -> list[int]:
    made = Base.metadata.tables["credit_transfers"]
    with history.db.read() as session:
        return sorted(set(session.scalars(select(made.c.block_number))))


@long
def test_a_range_sees_its_own_blocks(history: History) -> None:
    made = Base.metadata.tables["credit_transfers"]
    blocks = event_blocks(history)
    target = blocks[len(blocks) // 2]
    statement = update(made).where(made.c.block_number == target).values(tx_hash="0x" + "1" * 64)
    with by_hand(history, statement):
        around = verified(history, Scope(target - 1, target + 1))
        only = verified(history, Scope(target, target))
        before = verified(history, Scope(None, target - 1))
        behind = verified(history, Scope(target + 1, None))
    for report in (around, only):
        assert {(item.table, item.column) for item in report.differences} == {
            ("credit_transfers", "tx_hash")
        }
    assert before.differences == behind.differences == []
    assert (only.from_block, only.to_block) == (target, target)
    assert (around.checked["blocks"], only.checked["blocks"]) == (3, 1)


@long
@pytest.mark.parametrize("at", rest([0.1, 0.5, 0.9], 0.5))
def test_every_range_of_a_true_mirror_is_true(history: History, at: float) -> None:
    height = history.client.block_number()
    middle_block = int(height * at)
    for scope in (
        Scope(middle_block, None),
        Scope(None, middle_block),
        Scope(middle_block, middle_block + 5),
        Scope(None, history.chain.deployment.deployed_block + 2),  # in the midst of the deployment
    ):
        assert verified(history, scope).differences == []


def test_a_folder_without_room_for_a_mirror_to_compare_with_is_said(history: History) -> None:
    with full_disk(500_000), pytest.raises(DependencyDown, match=r"no room in .*; make some"):
        verified(history)


def test_what_nobody_can_read_is_copied_as_it_is_and_found(history: History, judge: Judge) -> None:
    odd = (
        "UPDATE blockchain_transactions SET gas_price = 'much'",
        "UPDATE chain_blocks SET block_time = 'soon' WHERE number = 0",
        "UPDATE credit_batches SET issued_at = 'late'",
    )
    with by_hand(history, *map(text, odd)):
        found = {item.table for item in judge.compared().differences}
    assert found == {"blockchain_transactions", "chain_blocks", "credit_batches"}


UNREAL = (
    "UPDATE blockchain_transactions SET parameters = '{\"a\":' WHERE function_name = 'issue'",
    "UPDATE blockchain_transactions SET status = 'done' WHERE function_name = 'issue'",
    "UPDATE carbon_credits SET status = 'spent' WHERE credit_id = (SELECT MAX(credit_id) FROM carbon_credits)",
    "UPDATE smart_contracts SET status = 'DEPLOYED' WHERE contract_name LIKE 'CarbonCredit@%'",
    "UPDATE chain_cursor SET updated_at = 'soon'",
)
"""What the column's CHECK, or whoever reads its JSON, refuses: whoever alters rows may turn checks off."""


@few(1)
@pytest.mark.parametrize("statement", UNREAL)
def test_what_no_column_may_hold_is_a_difference(history: History, statement: str) -> None:
    """Each ended the whole command, and a reindex, as a defect of the program."""
    odd = text(statement)
    for scope in (Scope(), Scope(history.chain.deployment.deployed_block + 1, None)):
        with by_hand(history, odd):
            found = verified(history, scope).differences
        assert {item.table for item in found} == {statement.split()[1]}
        assert "cannot be read" in str(found[0])


BYTES = (
    "UPDATE chain_events SET args = CAST(X'7B22FF' AS TEXT) WHERE event_name = 'Issued'",
    "UPDATE credit_retirements SET beneficiary = beneficiary || CAST(X'FF' AS TEXT)",
    "UPDATE settlement_balances SET account = CAST(X'EDA080' AS TEXT) WHERE rowid = 1",
)
"""No text to Python: SQLite takes it for one."""


@long
def test_bytes_that_are_no_text_are_a_difference(history: History) -> None:
    """They ended verify and reindex alike, as a database that does not answer."""
    with by_hand(history, *map(text, BYTES)):
        found = verified(history).differences
        assert {item.table for item in found} == {statement.split()[1] for statement in BYTES}
        assert any(
            str(item).startswith("settlement_balances b'\\xed\\xa0\\x80'/0: no") for item in found
        )
        with pytest.raises(DependencyDown, match="none of ours wrote it") as told:  # noqa: SIM117
            with history.db.read() as session:
                session.scalars(select(CreditRetirement.beneficiary)).all()
        assert told.value.code == "unreadable-value"


@long
def test_a_transaction_that_was_moved_to_another_block_is_not_missing_as_well(
    history: History,
) -> None:
    moved = "UPDATE chain_inclusions SET block_number = 10000, tx_index = 77 WHERE rowid = 9"
    with by_hand(history, text(moved)):
        found = verified(history).differences
    assert {(item.table, item.column) for item in found} == {
        ("chain_inclusions", "block_number"),
        ("chain_inclusions", "tx_index"),
    }


@long
def test_holdings_without_a_sum_are_a_difference(history: History) -> None:
    """On SQLite, whose integers have 64 bits, verify ended as a database that does not answer (`integer overflow`)."""
    with by_hand(history, text(f"UPDATE credit_holdings SET amount_kg = {2**63 - 1}")):
        found = verified(history).differences
    assert "credit_holdings: the sums of amount_kg cannot be told (integer overflow)" in map(
        str, found
    )
    assert {item.column for item in found} == {"amount_kg", None}


@long
def test_a_row_that_moved_out_of_the_range_is_a_difference(history: History) -> None:
    """The range was read again on it, and the database refused what is unique."""
    first = history.chain.deployment.deployed_block + 1
    moved = text("UPDATE credit_projects SET block_number = -3")
    with history.db.read() as session:
        registered = session.scalars(select(CreditProject.block_number)).first()
    with by_hand(history, moved):
        found = verified(history, Scope(first, None)).differences
        assert {(item.table, item.column) for item in found} == {
            ("credit_projects", "block_number")
        }
        with pytest.raises(BooksDiffer, match=r"\(UNIQUE constraint failed.*\): somebody altered"):
            verified(history, Scope(registered, registered, sample=1))


@long
@pytest.mark.parametrize("size", rest([2**16, 1_500_000, 2_500_000], 2**16))
def test_a_small_disk_for_temporary_files_is_named_by_its_variable(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Where its migrations found no room, the file was named, and not TMPDIR, which says where it lies."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(shadow, "_without_rows", shadow._without_rows.__wrapped__)
    with small_disk(tmp_path, size):
        with pytest.raises(DependencyDown, match=rf"^there is no room in {tmp_path} .* TMPDIR"):
            verified(history)
        assert list(tmp_path.iterdir()) == []


HOLD = """
import time
from ledger.files import passing_folder
with passing_folder("truetonne-copies-") as folder:
    (folder / "copy.db").write_text("large")
    print(flush=True)
    time.sleep(600)
"""


def test_what_a_killed_run_left_is_taken_away_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies of all books stayed there for good, one of each run that was killed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None and child.stdout.readline()
            (held,) = tmp_path.iterdir()
            with Workshop.opened():
                assert (held / "copy.db").exists()  # its process lives
        finally:
            child.kill()
    assert list(tmp_path.iterdir()) == [held]
    with Workshop.opened():
        assert not held.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("step", rest(["mkdtemp", "open"]))
def test_a_folder_that_another_run_takes_away_before_it_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Two runs that began at the same moment: the one that came late ended with *No such file or directory*."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    of: Any = tempfile if step == "mkdtemp" else os
    true, gone = getattr(of, step), []

    def then_taken_away(*words: Any, **more: Any) -> Any:
        found = true(*words, **more)
        if not gone:
            gone.extend(tmp_path.iterdir())
            gone[0].rmdir()
        return found

    monkeypatch.setattr(of, step, then_taken_away)
    with files.passing_folder("truetonne-copies-") as folder:
        assert list(tmp_path.iterdir()) == [folder] != gone
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "also", rest(["number = 'abc'", "number = 7.5", "hash = CAST(X'FF' AS TEXT)"])
)
def test_a_cursor_of_another_chain_is_told_beside_a_block_that_nobody_can_read(
    history: History, also: str
) -> None:
    """Whoever was to say whose the blocks are ended at that one: verify and reindex could not begin."""
    damage = (
        "UPDATE chain_cursor SET chain_id = 5",
        f"UPDATE chain_blocks SET {also} WHERE number = {scene.LAST}",
    )
    of = history.chain.deployment, history.client
    with by_hand(history, *map(text, damage)), history.db.read() as session:
        _check_books(session, *of, compares=True)
        with pytest.raises(BooksDiffer, match="says another chain than that of the node"):
            _check_books(session, *of, compares=False)


def test_a_database_that_is_full_is_told_apart_from_other_trouble() -> None:
    with closing(sqlite3.connect(":memory:")) as link:
        link.execute("PRAGMA max_page_count = 1")
        with pytest.raises(DependencyDown, match=r"no room in / .*is full"), _room_in(Path("/")):
            link.execute("CREATE TABLE more (number)")
        with pytest.raises(sqlite3.OperationalError, match="no such table"), _room_in(Path("/")):
            link.execute("SELECT * FROM more")


def test_fewer_files_than_a_mirror_to_compare_with_needs_are_said(tmp_path: Path) -> None:
    """At most numbers of open files it ended as a defect of the program: SQLite names no reason."""
    file = tmp_path / "mirror.db"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with (
            pytest.raises(DependencyDown, match=r"^unable to open .*`ulimit -n`") as told,
            _room_in(Path("/")),
        ):
            sqlite3.connect(file).execute("SELECT * FROM chain_blocks")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert told.value.code == "too-many-files"


@long
def test_a_sample_of_all_blocks_sees_what_a_block_brought(history: History) -> None:
    height = history.client.block_number()
    whole = verified(history, Scope(sample=height))
    assert whole.differences == []
    assert whole.checked["blocks"] == height - history.chain.deployment.deployed_block + 1


@long
def test_a_sample_of_one_block_sees_what_it_brought(history: History) -> None:
    made = Base.metadata.tables["credit_transfers"]
    target = event_blocks(history)[3]
    with by_hand(history, made.delete().where(made.c.block_number == target)):
        found = verified(history, Scope(target, target, sample=1))
    assert {item.table for item in found.differences} == {"credit_transfers"}
    blocks = Base.metadata.tables["chain_blocks"]
    with by_hand(
        history,
        update(blocks)
        .where(blocks.c.number == target)
        .values(block_time=datetime(2001, 1, 1, tzinfo=UTC)),
    ):
        found = verified(history, Scope(target, target, sample=1))
    assert {(item.table, item.column) for item in found.differences} == {
        ("chain_blocks", "block_time")
    }


@long
def test_a_block_that_cannot_be_read_on_damage_is_a_difference(history: History) -> None:
    """Fewer credits are held than a later event takes: the mirror's own reader would stop there."""
    made = Base.metadata.tables["credit_holdings"]
    with by_hand(history, update(made).values(amount_kg=-(10**9))):
        with pytest.raises(BooksDiffer, match=r"altered its rows; run `truetonne index reindex`"):
            verified(history, Scope(sample=history.client.block_number()))
        first = event_blocks(history)[1]
        found = verified(history, Scope(first, None)).differences
    assert "credit_holdings" in {item.table for item in found}


@long
def test_a_small_sample_is_small(history: History) -> None:
    report = verified(history, Scope(sample=4))
    assert report.checked["blocks"] == 4
    assert report.differences == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE chain_cursor SET network = 'other'", r"no row of 'local', but one of 'other'"),
        ("DELETE FROM chain_cursor", r"no row of 'local', .* somebody deleted it"),
        (
            "UPDATE chain_cursor SET block_number = -7",
            r"block_number in chain_cursor .* is -7, and holds the number of a block",
        ),
    ],
)
def test_a_cursor_that_is_gone_or_nowhere_is_told(
    history: History, statement: str, said: str
) -> None:
    """It was *nothing is mirrored yet*, with exit 2, and a call that the node refused.

    Of one that is gone `index status` said that the mirror had not begun, and to begin it.
    """
    with by_hand(history, text(statement)):
        with pytest.raises(BooksDiffer, match=said) as told:
            verified(history)
        assert "truetonne index reindex" in told.value.message
        with pytest.raises(BooksDiffer, match=said), history.db.read() as session:
            look(session, history.chain.deployment.network)


def test_a_time_that_is_none_where_the_mirror_stands_is_named_by_its_row(history: History) -> None:
    """It was *a time is 'soon'*, of whichever table."""
    said = r"^block_time in chain_blocks of block \d+ is 'soon' .* run `truetonne index reindex`"
    statement = text(f"UPDATE chain_blocks SET block_time = 'soon' WHERE number = {scene.LAST}")
    with (
        by_hand(history, statement),
        history.db.read() as session,
        pytest.raises(DependencyDown, match=said),
    ):
        look(session, history.chain.deployment.network)


def test_a_cursor_that_was_set_back_below_the_deployment_is_told(history: History) -> None:
    """It was *there is no mirrored block from 1 to 0*, for a command that named no block."""
    below, back = (text(f"UPDATE chain_cursor SET block_number = {number}") for number in (0, 7))
    said = (
        "^chain_cursor local: block_hash is .*: somebody altered it; run `truetonne index reindex`"
    )
    for scope in (Scope(), Scope(2, 3)):
        with by_hand(history, below), pytest.raises(BooksDiffer, match=said):
            verified(history, scope)
    with by_hand(history, back), pytest.raises(BooksDiffer, match=said):
        verified(history, Scope(40, None))  # it was *block 40 is not mirrored*


def test_a_mirror_that_stands_before_the_deployment_has_just_begun_or_was_set_back(
    history: History,
) -> None:
    """It was *there is no mirrored block from 1 to 0*, for a command that named no block."""
    genesis = history.client.block_there(0)
    stands = (
        f"UPDATE chain_cursor SET block_number = 0, final_number = 0, block_hash = '{genesis.hash}'"
    )
    said = r"is 0, and chain_blocks goes to \d+: somebody altered"
    with by_hand(history, text(stands)), pytest.raises(BooksDiffer, match=said):
        verified(history)
    said, gone = (
        r"just begun: it stands at block 0, .* made in block 1;",
        text("DELETE FROM chain_blocks"),
    )
    with by_hand(history, text(stands), gone), pytest.raises(NotFound, match=said):
        verified(history)


def test_books_without_a_mirror_have_none(history: History) -> None:
    gone = ("DELETE FROM chain_cursor", "DELETE FROM chain_blocks")
    with by_hand(history, *map(text, gone)):
        with pytest.raises(NotFound, match="nothing is mirrored"):
            verified(history)
        with history.db.read() as session:
            assert look(session, history.chain.deployment.network).cursor is None


@few(1)
@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope(None, 10**6), "block 1000000 is not mirrored"),
        (Scope(10**6), "block 1000000 is not mirrored"),
        (Scope(10, 9), "no mirrored block from 10 to 9"),
    ],
)
def test_a_range_that_is_none(history: History, scope: Scope, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        verified(history, scope)


@long
@pytest.mark.parametrize("scope", [Scope(), Scope(2, 3)])
def test_a_range_that_the_chain_took_back_is_no_wrong_range(history: History, scope: Scope) -> None:
    """It was *there is no mirrored block from 6 to 5*, with exit 2, for a command that named no block."""
    genesis = history.client.block_there(0)
    place = Place(ChainCursor(block_number=9), genesis, 0, ())
    with pytest.raises(DependencyDown, match="took back all mirrored blocks above 0") as told:
        _range(scope, history.chain.deployment, place)
    assert told.value.code == "node-moving"
