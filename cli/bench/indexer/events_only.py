"""The mirror with no more than its peers do: blocks, events, and the one row that an event brings.

``main`` reads the usual settings and ends at the head. It is the mirror's own loop,
reading, checks, decoders, handlers and writers; left out are the receipts with all that comes of them
(transactions, failures, the comparison of logs with receipts) and what follows from older rows (balances,
serials, states). No user can ask for that: without receipts a log that a node left out shows in the credit
log alone.
"""

from __future__ import annotations

import os

import indexer.ranges
import indexer.writing
from cli.bench.indexer.events_reading import EventsReading
from indexer import Indexer
from indexer.rows import Rows
from ledger.settings import load_settings


class Journals(Rows):
    """The rows of a range that an event brings by itself."""

    def write(self) -> None:
        """Write what was added, and nothing that follows from it."""
        self.write_journals()


def main() -> None:
    """Mirror up to the head."""
    from cli.mirror_open import opened

    vars(indexer.ranges).update(RangeReading=EventsReading)
    vars(indexer.writing).update(Rows=Journals)
    settings = load_settings(None, os.environ)
    with opened(settings) as at:
        Indexer(at.db, at.client, at.deployment, settings.finality).run_until("head")
