"""Reads one range of blocks: asks for it, checks it, decodes it. It needs a node, and no database.

So it can run in this process, or in one of its own (``ahead``); ``ranges`` decides which.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from indexer.asking import Node, RangeAsked
from indexer.creditlog import CreditLog
from indexer.doubt import Doubt
from indexer.events import by_column
from indexer.watch import Watch
from indexer.window import Checked, Window, check_range
from ledger.chain.addresses import sighted
from ledger.chain.addresses.book import PROVEN, Deployment
from ledger.chain.addresses.sighted import Sighting
from ledger.chain.node.client import ChainClient


@dataclass(frozen=True)
class Read:
    """A range that was read and checked."""

    window: Window
    log: CreditLog
    """The end of the credit log after it."""
    seen: Sequence[Sighting]
    """Contracts that its events of ownership and roles name."""
    length: int
    """Of all answers together, in bytes, or of what its calls were given, where that is more."""


class RangeReading:
    """Reads ranges of blocks of one deployment from one node."""

    def __init__(self, client: ChainClient, deployment: Deployment) -> None:
        self.client = client
        self.deployment = deployment
        self.watch = Watch(deployment)
        self.node = Node(client, deployment.receipts == PROVEN)

    def ask(self, first: int, last: int) -> RangeAsked:
        """Ask for the blocks ``first`` to ``last``; the answers are on their way."""
        return RangeAsked(self.node, self.watch, first, last)

    def read(
        self, asked: RangeAsked, parent_hash: str, log: CreditLog, open_hashes: Collection[str]
    ) -> Read:
        """Take in and check what was asked for.

        Parameters
        ----------
        parent_hash
            Hash of the block before.
        log
            The end of the credit log there.
        open_hashes
            Transactions of our own sender whose fate is not known.

        Raises
        ------
        Doubt
            If the answers do not fit together.
        MirrorStopped
            If a log of ours cannot be decoded.
        """
        try:
            checked = self.checked(asked, parent_hash, open_hashes)
            end = log.check(checked.events)
            window = Window(checked.headers, checked.transactions, by_column(checked.events))
            seen = sighted.find(self.client, self.deployment, window.events.singles)
        except ValueError as error:  # most are numbers: the answers are text up to here
            raise Doubt(f"the node writes what cannot be read: {error}") from error
        self.node.block_bytes = asked.bytes_taken // len(window.headers)
        return Read(window, end, seen, max(asked.bytes_taken, checked.inputs_length))

    def checked(self, asked: RangeAsked, parent_hash: str, open_hashes: Collection[str]) -> Checked:
        """Take in and check the blocks, by ``check_range``; the benchmark's mirror of events has a way of its own."""
        return check_range(asked, self.node, self.watch, parent_hash, open_hashes)
