"""Headers and logs alone, asked for and checked: how the benchmark's mirror of events reads.

A module of its own, as the process that reads ahead imports it: with the mirror it would import the database too.
"""

from __future__ import annotations

from collections.abc import Collection

import indexer.asking
import indexer.window
from indexer.asking import RangeAsked
from indexer.doubt import Doubt
from indexer.reading import RangeReading
from indexer.watch import Watch
from indexer.window import Checked
from ledger.chain.contracts.events import decode
from ledger.chain.node.wire import BLOCKS, LOGS


class EventsAsked(RangeAsked):
    """Headers and logs of a range, asked for; no receipts."""

    def _ask(self, watch: Watch, numbers: list[str]) -> None:
        self._by_hash = False
        ask = self._node.client.ask
        self._blocks = ask(
            [("eth_getBlockByNumber", [number, False]) for number in numbers], BLOCKS
        )
        self._logs = ask(indexer.asking._log_calls(watch, self.first, self.last), LOGS, 1)


class EventsReading(RangeReading):
    """Reads ranges as the mirror does, without receipts."""

    def ask(self, first: int, last: int) -> RangeAsked:
        """Ask for the blocks ``first`` to ``last``."""
        return EventsAsked(self.node, self.watch, first, last)

    def checked(self, asked: RangeAsked, parent_hash: str, open_hashes: Collection[str]) -> Checked:
        """Take in and check what was asked for, as ``check_range`` does."""
        blocks, headers = indexer.window._blocks(asked, parent_hash)
        logs = indexer.window._checked_logs(asked.logs(), blocks)
        contracts = self.watch.log_contracts
        events = tuple(decode(contracts[log.address], log) for log in logs)
        again = self.client.block(asked.last)
        if again is None or again.hash != headers[-1].hash:
            raise Doubt(f"block {asked.last} changed while it was read")
        return Checked(tuple(headers), (), events)
