"""Ranges of blocks: how long the next one is, when it is read again, and what is read in advance.

While a range is written, the next one is read and checked in a thread, and the answers for the one after
that are on their way. What was read in advance is used when it still fits: it follows the cursor, and its
last block is still the chain's. Otherwise it is forgotten, and so is everything that went wrong with it:
the range is read anew, in the open.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from indexer import cursor as cursors
from indexer.asking import Node, RangeAsked
from indexer.creditlog import CreditLog
from indexer.cursor import Cursor, Overtaken
from indexer.watch import Watch
from indexer.window import Doubt, Window, read_window
from ledger.chain import intents, sightings
from ledger.chain.book import PROVEN, Deployment
from ledger.chain.client import ChainClient, RpcError
from ledger.chain.sightings import Sighting
from ledger.chain.transport_errors import AnswerTooLarge
from ledger.db import Database
from ledger.errors import DependencyDown, MirrorStopped, TruetonneError

RANGE_BLOCKS_MAX = 512
_RANGE_BLOCKS_FIRST = 32
_EVENTS_WANTED = 6_000
_ANSWER_BYTES_WANTED = 4_000_000
"""Nodes answer fastest with one to four megabytes; a range that brought more is followed by a shorter one."""
_READS_MAX = 5
"""So often is a range read before a doubt becomes a stop."""
_DOUBT_PAUSE_S = 0.05
_RANGES_BEFORE_LONGER = 50
"""So many ranges are read before a length that was refused is tried again."""


@dataclass(frozen=True)
class Read:
    """A range that was read and checked."""

    window: Window
    log: CreditLog
    """The end of the credit log after it."""
    seen: Sequence[Sighting]
    """Contracts that its events of ownership and roles name."""


class Length:
    """How many blocks the next range has.

    Parameters
    ----------
    blocks_max
        At most.
    """

    def __init__(self, blocks_max: int) -> None:
        self.blocks = min(blocks_max, _RANGE_BLOCKS_FIRST)
        self._blocks_max = blocks_max
        self._ceiling = blocks_max
        self._since_refused = 0

    def refused(self, blocks: int) -> None:
        """Note that a node would not answer for so many blocks."""
        self._ceiling = self.blocks = max(1, blocks // 2)
        self._since_refused = 0

    def was(self, window: Window, bytes_max: int) -> None:
        """Note what a range brought."""
        self._since_refused += 1
        if self._since_refused >= _RANGES_BEFORE_LONGER:
            self._ceiling, self._since_refused = min(2 * self._ceiling, self._blocks_max), 0
        blocks = len(window.headers)
        load = max(len(window.events) / _EVENTS_WANTED, bytes_max / _ANSWER_BYTES_WANTED)
        if load > 1:
            self.blocks = max(1, min(blocks, int(blocks / load)))
        elif blocks >= self.blocks:
            longer = 2 * blocks if load < 0.5 else int(blocks / load)
            self.blocks = min(self._ceiling, max(longer, 1))


class RangeReader:
    """Reads the blocks above a cursor, as many at once as the node bears.

    Parameters
    ----------
    blocks_max
        Blocks of one range at most.
    """

    def __init__(
        self,
        db: Database,
        client: ChainClient,
        deployment: Deployment,
        blocks_max: int = RANGE_BLOCKS_MAX,
    ) -> None:
        self._db = db
        self._client = client
        self._deployment = deployment
        self._watch = Watch(deployment)
        self._node = Node(client, deployment.receipts == PROVEN)
        self._length = Length(blocks_max)
        self.log_end_reason: str | None = None
        """Why the node could not say where the credit log ends, when it was asked last; None: it could."""
        self._worker: ThreadPoolExecutor | None = None
        self._ahead: Future[Read] | None = None
        self._asked: RangeAsked | None = None

    def read(self, cursor: Cursor, head: int) -> Read:
        """Read the next range; shorter when the node refuses it, again when its answers disagree.

        Raises
        ------
        Overtaken
            If another mirror moved the cursor meanwhile.
        DependencyDown
            If the chain moved meanwhile.
        MirrorStopped
            If the answers keep disagreeing, or a log of ours cannot be decoded.
        """
        with (
            self._db.read() as session
        ):  # after the head was asked for: what it holds was stored before
            open_hashes = {item.tx_hash for item in intents.open_attempts(session, cursor.chain_id)}
        read = self._read_ahead(cursor, head)
        if read is None:
            self.forget()
            read = self._read_now(cursor, head, open_hashes)
        self._look_ahead(read, head, open_hashes)
        return read

    def forget(self) -> None:
        """Let go of what was read in advance."""
        ahead, self._ahead = self._ahead, None
        asked, self._asked = self._asked, None
        if ahead is not None:
            ahead.cancel()
        if asked is not None:
            asked.cancel()

    # -------------------------------------------------------------------- in the open

    def _read_now(self, cursor: Cursor, head: int, open_hashes: Collection[str]) -> Read:
        with self._db.read() as session:
            log = CreditLog.load(session, cursor.block_number)
        doubts = 0
        while True:
            first = cursor.block_number + 1
            last = min(head, cursor.block_number + self._length.blocks)
            asked = RangeAsked(self._node, self._watch, first, last)
            try:
                read = self._checked(asked, cursor.block_hash, log, open_hashes)
                if last == head:
                    self._compare(read)
                return read
            except (RpcError, AnswerTooLarge) as error:
                if isinstance(error, RpcError) and self._node.learn(error):
                    continue
                if first == last:
                    raise
                self._length.refused(last - first + 1)
            except Doubt as doubt:
                doubts += 1
                if doubts >= _READS_MAX:
                    self._stop_or_wait(cursor, first, last, doubt)
                time.sleep(_DOUBT_PAUSE_S * doubts)
            finally:
                asked.cancel()

    def _checked(
        self, asked: RangeAsked, parent_hash: str, log: CreditLog, open_hashes: Collection[str]
    ) -> Read:
        window = read_window(asked, self._node, self._watch, parent_hash, open_hashes)
        self._length.was(window, asked.bytes_max)
        seen = sightings.find(self._client, self._deployment, window.events)
        return Read(window, log.check(window.events), seen)

    def _compare(self, read: Read) -> None:
        """At the head, nothing may be missing from the credit log."""
        address, last = self._deployment.credit.address, read.window.last
        self.log_end_reason = read.log.compare(
            self._client, address, last, proven=self._node.proven
        )

    def _stop_or_wait(self, cursor: Cursor, first: int, last: int, doubt: Doubt) -> NoReturn:
        """End a tick whose range stays doubtful."""
        with self._db.read() as session:
            if cursors.load(session, cursor.network) != cursor:
                raise Overtaken
        head, tip = self._client.blocks(["latest", cursor.block_number])
        moved = tip is None or tip.hash != cursor.block_hash
        if moved or head is None or head.number < last:  # a head may also move back
            raise DependencyDown(
                "the chain moved while it was read; trying again", code="node-moving"
            )
        raise MirrorStopped(
            f"blocks {first} to {last} were read {_READS_MAX} times and do not fit together: {doubt}"
        )

    # ---------------------------------------------------------------------- in advance

    def _look_ahead(self, read: Read, head: int, open_hashes: Collection[str]) -> None:
        """Begin to read the range after one that is about to be written."""
        first = read.window.last.number + 1
        asked, self._asked = self._asked, None
        if asked is not None and (asked.first != first or asked.last > head):
            asked.cancel()
            asked = None
        if asked is None:
            asked = self._ask(first, head)
        if asked is None:
            return
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="mirror-ahead")
        self._ahead = self._worker.submit(
            self._checked, asked, read.window.last.hash, read.log, open_hashes
        )
        self._asked = self._ask(asked.last + 1, head)

    def _ask(self, first: int, head: int) -> RangeAsked | None:
        last = min(head, first + self._length.blocks - 1)
        return RangeAsked(self._node, self._watch, first, last) if first <= last else None

    def _read_ahead(self, cursor: Cursor, head: int) -> Read | None:
        """Return what was read in advance, if it follows the cursor and the chain still has it."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        with suppress(TruetonneError, Doubt):  # whatever it was shows again when it is read anew
            read = ahead.result()
            last = read.window.last
            follows = read.window.headers[0].parent_hash == cursor.block_hash
            if not follows or read.window.first != cursor.block_number + 1 or last.number > head:
                return None
            again = self._client.block(last.number)
            if again is None or again.hash != last.hash:
                return None
            if last.number == head:
                self._compare(read)
            return read
        return None
