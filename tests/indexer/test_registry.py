"""No event of a known contract is without a handler; those that are handled at once come to what they say in order."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from indexer import Indexer
from indexer.events import Columns
from indexer.handlers import (
    HANDLERS,
    HANDLERS_OF_MANY,
    handles,
    handles_many,
    missing,
    require_complete,
)
from indexer.rows import Rows
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import MirrorStopped
from ledger.serials import CreditStatus
from tests.indexer.conftest import DEPTH
from tests.support import acts
from tests.support.chain import PARTIES, TestChain
from tests.support.forms import long
from tests.support.mirror import dump, rows

INHERITED = {"TransferSingle", "TransferBatch", "ApprovalForAll", "URI", "RoleGranted", "Paused"}


@pytest.mark.parametrize("contract", [CREDIT, SETTLEMENT])
def test_every_event_has_a_handler(contract: str) -> None:
    assert missing(contract) == []


def test_inherited_events_count() -> None:
    handled = HANDLERS.keys() | HANDLERS_OF_MANY.keys()
    assert {name for contract, name in handled if contract == CREDIT} >= INHERITED


@pytest.mark.parametrize(
    ("contract", "event"),
    [(CREDIT, "Retired"), (CREDIT, "ApprovalForAll"), (SETTLEMENT, "RoleGranted")],
)
def test_a_mirror_with_a_hole_does_not_start(
    chain: TestChain,
    sqlite_db: Database,
    monkeypatch: pytest.MonkeyPatch,
    contract: str,
    event: str,
) -> None:
    for handlers in HANDLERS, HANDLERS_OF_MANY:
        monkeypatch.delitem(handlers, (contract, event), raising=False)
    with pytest.raises(MirrorStopped, match=f"no handler for {contract}.{event};"):
        Indexer(sqlite_db, ChainClient("http://127.0.0.1:9"), chain.deployment)


def test_one_handler_for_an_event() -> None:
    with pytest.raises(ValueError, match="has a handler already"):
        handles(CREDIT, "Issued")(HANDLERS[CREDIT, "Issued"])
    with pytest.raises(ValueError, match="has a handler already"):
        handles_many(CREDIT, "Issued")(HANDLERS_OF_MANY[CREDIT, "Retired"])
    with pytest.raises(ValueError, match="has a handler already"):
        handles(CREDIT, "Retired")(HANDLERS[CREDIT, "Issued"])
    require_complete([CREDIT, SETTLEMENT])


def test_a_handler_takes_events_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    one, many = HANDLERS[CREDIT, "Issued"], HANDLERS_OF_MANY[CREDIT, "Retired"]
    monkeypatch.delitem(HANDLERS, (CREDIT, "Issued"))
    monkeypatch.delitem(HANDLERS_OF_MANY, (CREDIT, "Retired"))
    with pytest.raises(ValueError, match=r"CarbonCredit.Issued comes one at a time"):
        handles_many(CREDIT, "Issued")(many)
    with pytest.raises(ValueError, match=r"CarbonCredit.Retired comes by column"):
        handles(CREDIT, "Retired")(one)
    with pytest.raises(MirrorStopped, match=r"no handler for CarbonCredit.Issued, CarbonCredit.Re"):
        require_complete([CREDIT])


@long
def test_a_range_of_many_events_is_what_ranges_of_one_block_are(
    chain: TestChain, mirror: Indexer, sqlite_db: Database, tmp_path: Path
) -> None:
    """Handlers of many come after all others of the range; a range of one block knows no after."""
    chain.act("registrar", CREDIT, "setClassBuffer", [1, 1000])
    mirror.run_until("head")
    other = tmp_path / "other.db"
    mine = sqlite3.connect(str(sqlite_db.url.database))
    with closing(mine), closing(sqlite3.connect(other)) as copy:
        mine.backup(copy)
    before = chain.client.block_number()
    first, second = chain.issue(100, 0), chain.issue(200, 4)
    chain.retire("owner", first, 20)
    chain.transfer("spare", "buyer", first, 0)
    chain.transfer_batch("owner", "buyer", [(first, 0), (second, 30), (second, 10)])
    chain.transfer_batch("owner", "buyer", [])
    chain.cancel("owner", first, 5)
    chain.retire("buyer", second, 3)
    third = chain.issue(50, 2, backfill_before=2)
    acts.retire_batch(chain, "owner", [(first, 4), (second, 6), (first, 6)])
    acts.invalidate(chain, first)
    acts.replace(chain, second, first, 7)
    chain.cancel("buyer", second, 2)
    acts.replace(chain, second, first, 5)
    chain.act("pauser", CREDIT, "suspend", [third])
    was = dump(sqlite_db)
    retired = HANDLERS_OF_MANY[CREDIT, "Retired"]

    def half(events: Columns, added: Rows) -> None:
        retired(events, added)
        raise MirrorStopped("half way")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(HANDLERS_OF_MANY, (CREDIT, "Retired"), half)
        with pytest.raises(MirrorStopped, match="half way"):
            mirror.tick()
    assert dump(sqlite_db) == was, "what was handed to the database is taken back"
    blocks = chain.client.block_number() - before
    assert mirror.tick().blocks == blocks == 16, "they are not one range"

    columns = ("batch_id", "retired_kg", "cancelled_kg", "deficit_kg")
    assert rows(sqlite_db, "credit_batches", *columns) == [
        (first, 30, 5, 18),
        (second, 21, 2, None),
        (third, 0, 0, None),
    ]
    assert rows(sqlite_db, "carbon_credits", "credit_id", "status") == [
        ("lhb-wind-2014-1-1-20", CreditStatus.RETIRED),
        ("lhb-wind-2014-1-21-24", CreditStatus.RETIRED),
        ("lhb-wind-2014-1-25-30", CreditStatus.RETIRED),
        ("lhb-wind-2014-1-31-95", CreditStatus.CANCELLED),
        ("lhb-wind-2014-1-96-100", CreditStatus.CANCELLED),
        ("lhb-wind-2014-2-1-3", CreditStatus.RETIRED),
        ("lhb-wind-2014-2-10-16", CreditStatus.RETIRED),
        ("lhb-wind-2014-2-17-21", CreditStatus.RETIRED),
        ("lhb-wind-2014-2-199-200", CreditStatus.CANCELLED),
        ("lhb-wind-2014-2-22-198", CreditStatus.ACTIVE),
        ("lhb-wind-2014-2-4-9", CreditStatus.RETIRED),
        ("lhb-wind-2014-3-1-50", CreditStatus.ACTIVE),
    ]
    moved = rows(sqlite_db, "credit_transfers", "to_address", "sub_index", "batch_id", "amount_kg")
    assert [move[1:] for move in moved if move[0] == PARTIES["buyer"]] == [
        (1, second, 30),
        (2, second, 10),
    ], "each by its place in the log, and none of nothing"

    with closing(Database(f"sqlite:///{other}")) as one:
        Indexer(one, chain.client, chain.deployment, DEPTH, range_blocks_max=1).run_until("head")
        by_block, at_once = dump(one), dump(sqlite_db)
    for table, expected in by_block.items():
        assert at_once[table] == expected, table
