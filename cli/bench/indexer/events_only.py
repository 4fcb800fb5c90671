"""The mirror with no more than its peers do: blocks, events, and the one row that an event brings.

``python -m cli.bench.indexer.events_only`` reads the usual settings and ends at the head. It is the mirror's own loop,
reading, checks, decoders, handlers and writers; left out are the receipts with all that comes of them
(transactions, failures, the comparison of logs with receipts) and what follows from older rows (balances,
serials, states). No user can ask for that: without receipts a log that a node left out shows in the credit
log alone.
"""

from __future__ import annotations

import os
from collections.abc import Collection

import indexer.ranges
import indexer.rows
import indexer.window
import indexer.writing
from indexer import Indexer
from indexer.asking import Node, RangeAsked
from indexer.doubt import Doubt
from indexer.rows import Rows
from indexer.watch import Watch
from indexer.window import Window
from ledger.chain.events import decode
from ledger.chain.wire import BLOCKS, LOGS
from ledger.db import tables
from ledger.settings import load_settings


class EventsAsked(RangeAsked):
    """Headers and logs of a range, asked for; no receipts."""

    def __init__(self, node: Node, watch: Watch, first: int, last: int) -> None:
        self.first, self.last = first, last
        self._node = node
        self._whole = self._receipts = self._newest = self._traces = None
        self._by_hash = False
        numbers = [hex(number) for number in range(first, last + 1)]
        query = {
            "address": watch.log_addresses,
            "fromBlock": numbers[0],
            "toBlock": numbers[-1],
        }
        calls = [("eth_getBlockByNumber", [number, False]) for number in numbers]
        self._blocks = node.client.ask(calls, BLOCKS)
        self._logs = node.client.ask([("eth_getLogs", [query])], LOGS)


def read_events(
    asked: RangeAsked, node: Node, watch: Watch, parent_hash: str, open_hashes: Collection[str]
) -> Window:
    """Take in and check what was asked for, as ``indexer.window.read_window`` does, without receipts."""
    blocks, headers = indexer.window._blocks(asked, parent_hash)
    logs = indexer.window._checked_logs(asked.logs(), blocks)
    events = tuple(decode(watch.log_contracts[log.address], log) for log in logs)
    again = node.client.block(asked.last)
    if again is None or again.hash != headers[-1].hash:
        raise Doubt(f"block {asked.last} changed while it was read")
    return Window(tuple(headers), (), events)


class Journals(Rows):
    """The rows of a range that an event brings by itself."""

    def write(self) -> None:
        """Write what was added, and nothing that follows from it."""
        for table in indexer.rows._ORDER:
            tables.insert(self.session, table, self._added[table])


def main() -> None:
    """Mirror up to the head."""
    from cli.mirror_open import opened

    vars(indexer.ranges).update(RangeAsked=EventsAsked, read_window=read_events)
    vars(indexer.writing).update(Rows=Journals)
    settings = load_settings(None, os.environ)
    with opened(settings) as at:
        Indexer(at.db, at.client, at.deployment, settings.finality).run_until("head")


if __name__ == "__main__":
    main()
