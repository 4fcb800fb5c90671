"""What histories share: a node with contracts at a snapshot, its record, and templates of books."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ledger.db import Database
from tests.support.chain import PARTIES, TestChain
from tests.support.chronicle import Chronicle
from tests.support.mirror import running_chain
from tests.support.model import Model
from tests.support.nursery import Nursery

STATES_KEPT = 8_000
Books = Callable[[], Database]
"""Returns the books of a server, without rows."""


@dataclass
class Stage:
    """What histories share: a node with contracts at a snapshot, its record, and templates of books."""

    chain: TestChain
    record: Chronicle
    template: Path
    folder: Path
    nursery: Nursery | None = None
    mariadb: Books | None = None


@contextmanager
def stage(
    template: Path,
    folder: Path,
    nursery: Nursery | None = None,
    mariadb: Books | None = None,
) -> Iterator[Stage]:
    """Start a node for histories, and end it."""
    # Anvil keeps the states of some hundred blocks and writes older ones to files, from which it does not
    # always go back to the right one. A stage has no more blocks than these.
    with running_chain(["--prune-history", str(STATES_KEPT)]) as chain:
        record = Chronicle(chain.rpc_url, chain.deployment, PARTIES)
        state = Model()
        record.note(lambda raw, receipts: state)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "deployment.json").write_text(chain.deployment_text(), encoding="utf-8")
        try:
            yield Stage(chain, record, template, folder, nursery, mariadb)
        finally:
            record.close()
