"""The mirror with no more than its peers do: blocks, events, and the one row that an event brings.

``main`` reads the usual settings and ends at the head. It is the mirror's own loop,
reading, checks, decoders, handlers and writers; left out are the receipts with all that comes of them
(transactions, failures, the comparison of logs with receipts) and what follows from older rows (balances,
serials, states). No user can ask for that: without receipts a log that a node left out shows in the credit
log alone.
"""

from __future__ import annotations

import os
from collections.abc import Collection

import indexer.asking
import indexer.ranges
import indexer.window
import indexer.writing
from indexer import Indexer
from indexer.asking import Node, RangeAsked
from indexer.doubt import Doubt
from indexer.reading import Reading
from indexer.rows import Rows
from indexer.watch import Watch
from indexer.window import Checked
from ledger.chain.contracts.events import decode
from ledger.chain.node.wire import BLOCKS, LOGS
from ledger.settings import load_settings


class EventsAsked(RangeAsked):
    """Headers and logs of a range, asked for; no receipts."""

    def __init__(self, node: Node, watch: Watch, first: int, last: int) -> None:
        self.first, self.last = first, last
        self._node = node
        self._whole = self._receipts = self._newest = self._traces = None
        self._by_hash = False
        numbers = [hex(number) for number in range(first, last + 1)]
        calls = [("eth_getBlockByNumber", [number, False]) for number in numbers]
        self._blocks = node.client.ask(calls, BLOCKS)
        self._logs = node.client.ask(indexer.asking._log_calls(watch, first, last), LOGS, 1)


class EventsReading(Reading):
    """Reads ranges as the mirror does, without receipts."""

    def ask(self, first: int, last: int) -> RangeAsked:
        """Ask for the blocks ``first`` to ``last``."""
        return EventsAsked(self.node, self.watch, first, last)

    def checked(self, asked: RangeAsked, parent_hash: str, open_hashes: Collection[str]) -> Checked:
        """Take in and check what was asked for, as ``read_window`` does."""
        blocks, headers = indexer.window._blocks(asked, parent_hash)
        logs = indexer.window._checked_logs(asked.logs(), blocks)
        contracts = self.watch.log_contracts
        events = tuple(decode(contracts[log.address], log) for log in logs)
        again = self.client.block(asked.last)
        if again is None or again.hash != headers[-1].hash:
            raise Doubt(f"block {asked.last} changed while it was read")
        return Checked(tuple(headers), (), events)


class Journals(Rows):
    """The rows of a range that an event brings by itself."""

    def write(self) -> None:
        """Write what was added, and nothing that follows from it."""
        self.write_journals()


def main() -> None:
    """Mirror up to the head."""
    from cli.mirror_open import opened

    vars(indexer.ranges).update(Reading=EventsReading)
    vars(indexer.writing).update(Rows=Journals)
    settings = load_settings(None, os.environ)
    with opened(settings) as at:
        Indexer(at.db, at.client, at.deployment, settings.finality).run_until("head")
