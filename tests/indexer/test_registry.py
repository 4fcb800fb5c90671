"""No event of a known contract is without a handler, and a mirror that lacks one does not start."""

import pytest

from indexer import Indexer
from indexer.handlers import (
    HANDLERS,
    HANDLERS_OF_MANY,
    handles,
    handles_many,
    missing,
    require_complete,
)
from ledger.chain.contracts.events import CREDIT, SETTLEMENT
from ledger.chain.node.client import ChainClient
from ledger.db import Database
from ledger.errors import MirrorStopped
from tests.support.chain import TestChain

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
