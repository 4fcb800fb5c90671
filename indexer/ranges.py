"""Decides how many blocks are read at once, when they are read again, and what is read in advance.

There are two ways to read a range. *In the open*: here, while the caller waits (``_read_now``). *In advance*: where
many blocks follow, a process of its own (``ahead``) reads the next range while this one is written, and asks the node
for the one after that. What was read in advance is used only if it still fits: it follows the cursor, and the chain
still has its last block. Otherwise it is forgotten with whatever went wrong there, and read anew in the open.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from typing import NoReturn

from indexer import cursor as cursors
from indexer import lookups
from indexer.ahead import Order, ReadingProcess
from indexer.cursor import Cursor, Overtaken
from indexer.doubt import Apart, Doubt
from indexer.memory import give_back, keep_what_is_freed
from indexer.patience import Patience
from indexer.reading import RangeReading, Read
from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.lengths import Length, is_of_length
from ledger.chain.node.transports.errors import AnswerTooLarge, NodeSlow, NodeTrouble
from ledger.chain.sending import intents
from ledger.db import Database
from ledger.errors import DependencyDown, MirrorStopped, TruetonneError

RANGE_BLOCKS_MAX = 512
_RANGE_BLOCKS_FIRST = 32
_EVENTS_WANTED = 8_000
"""How many events a range should have. More of them make each one cheaper, as a page of the database is written once
for each range; but the memory of two ranges grows with it."""
_BYTES_WANTED = 16_000_000
"""How long the answers for a range, or the inputs of its calls, should be: two ranges are in memory at once."""
_READS_MAX = 5
"""How often a range is read before a doubt stops the mirror."""
_DOUBT_PAUSE_S = 0.05
_TROUBLES_MAX = 3
"""How often a node may fail at a range before a shorter one is tried: a single failure is not for its length."""
_NEW_BLOCKS = 128
"""How far below the head a node may still be indexing a block: there a contradiction is waited out."""
_START_S = 0.0
"""How long a process that starts is waited for: not at all, as short ranges are read in the open meanwhile."""
_START_MAX_S = 30.0
"""A process that has not started by then will not start."""
AHEAD_BLOCKS_MIN = 128
"""How many blocks must be left to start a process that reads ahead: its start takes as long as some hundred blocks."""


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
        self._reading = RangeReading(client, deployment)
        self._length = Length(blocks_max, _RANGE_BLOCKS_FIRST)
        self.log_end_reason: str | None = None
        """Why the node could not say where the credit log ends, when it was asked last; None: it could."""
        self._ahead: ReadingProcess | None = None
        self._begun_s = 0.0
        """When that was begun."""
        self._keeps = False
        """Whether memory is kept from one range to the next."""
        self._ordered: Order | None = None
        self._then: tuple[int, int] | None = None
        self._patience = Patience()

    def read(self, cursor: Cursor, head: int) -> Read:
        """Read the next range; shorter when the node refuses it, again when its answers disagree.

        Parameters
        ----------
        cursor
            Where the mirror stands: the range begins with the block after.
        head
            The last block that is wanted: the latest, or one below it where the mirror is to end there.

        Raises
        ------
        Overtaken
            If another mirror moved the cursor meanwhile.
        DependencyDown
            If the chain moved meanwhile.
        MirrorStopped
            If the answers keep disagreeing, or a log of ours cannot be decoded.
        """
        if self._ahead is None:  # the last range that was read ahead is written by now
            self._give_back()
        # After the head was asked for: what it holds was stored before.
        with self._db.read() as session:
            open_hashes = {item.tx_hash for item in intents.open_attempts(session, cursor.chain_id)}
        ordered, known = self._ordered, open_hashes
        read = self._read_ahead(cursor, head)
        if read is None or ordered is None:
            self._begin_ahead(head - self._last_from(cursor.block_number + 1, head))
            read = self._read_now(cursor, head, known)
        else:
            known = set(ordered.open_hashes)
        while unseen := self._sent_meanwhile(cursor, read, known):
            known |= unseen
            read = self._read_now(cursor, head, known)
        self._look_ahead(read, head, open_hashes | known)
        return read

    def close(self) -> None:
        """End what reads in advance, and give back the memory that was kept; both begin again when needed."""
        self._end_ahead()
        self._give_back()

    def _sent_meanwhile(self, cursor: Cursor, read: Read, known: Collection[str]) -> set[str]:
        """Return our transactions to foreign contracts in a range that were signed after the range was asked for.

        Such a call is found only if its hash was known when the range was asked for. A block that existed then cannot
        hold it; but another block may have taken the place of that one since.
        """
        with self._db.read() as session:
            later = intents.open_calls_beside(
                session, cursor.chain_id, self._reading.watch.contracts
            ) - set(known)
        unseen = sorted(later - {item.tx_hash for item in read.window.transactions})
        return {
            receipt.tx_hash
            for receipt in self._client.receipts(unseen)
            if receipt is not None
            and read.window.first <= receipt.block_number <= read.window.last.number
        }

    # -------------------------------------------------------------------- in the open

    def _read_now(self, cursor: Cursor, head: int, open_hashes: Collection[str]) -> Read:
        with self._db.read() as session:
            log = lookups.credit_log(session, cursor.block_number)
        doubts = troubles = 0
        while True:
            first = cursor.block_number + 1
            last = min(head, cursor.block_number + self._length_here())
            began = time.monotonic()
            asked = self._reading.ask(first, last)
            try:
                read = self._reading.read(asked, cursor.block_hash, log, open_hashes)
                self._patience.read_in_the_open(time.monotonic() - began)
                self._was(read)
                if last == head:
                    self._compare(read)
                return read
            except (RpcError, AnswerTooLarge) as error:
                if isinstance(error, RpcError) and self._reading.node.learn(error):
                    continue
                if first == last:
                    raise
                self._length.refused(last - first + 1)
            except NodeTrouble as error:
                asked.cancel()  # what waits for its turn would go before the short question
                troubles += 1
                self._bear(error, last - first + 1, troubles)
            except Doubt as doubt:
                doubts += 1
                if doubts >= _READS_MAX:
                    self._stop_or_wait(cursor, first, last, doubt)
                time.sleep(_DOUBT_PAUSE_S * doubts)
            finally:
                asked.cancel()

    def _bear(self, error: NodeTrouble, blocks: int, troubles: int) -> None:
        """Go on after a trouble that may come of asking for too much, and ask for less after some; raise any other."""
        if isinstance(error, NodeSlow) and blocks > 1:
            self._length.refused(blocks)
        is_last = isinstance(error, NodeSlow) or (blocks == 1 and troubles >= _TROUBLES_MAX)
        if is_last or not is_of_length(error, self._client.block_number):
            raise error
        if troubles >= _TROUBLES_MAX and blocks > 1:
            self._length.refused(blocks)
        time.sleep(_DOUBT_PAUSE_S)

    def _was(self, read: Read) -> None:
        """Note how much a range brought, to choose the length of the next one."""
        load = max(len(read.window.events) / _EVENTS_WANTED, read.length / _BYTES_WANTED)
        self._length.was(len(read.window.headers), load)

    def _length_here(self) -> int:
        """Return how many blocks to read in the open: few while a process starts, which then goes on with many."""
        if self._ahead is None:
            return self._length.blocks
        return min(self._length.blocks, _RANGE_BLOCKS_FIRST)

    def _compare(self, read: Read) -> None:
        """At the last block that is wanted, compare the end of the credit log with what the contract says."""
        address, last = self._deployment.credit.address, read.window.last
        self.log_end_reason = read.log.compare(
            self._client, address, last, proven=self._reading.node.proven
        )

    def _stop_or_wait(self, cursor: Cursor, first: int, last: int, doubt: Doubt) -> NoReturn:
        """Raise what is wrong with a range that stays doubtful: the chain moved, the node lags, or neither."""
        with self._db.read() as session:
            if cursors.load(session, cursor.network) != cursor:
                raise Overtaken
        head, tip = self._client.blocks(["latest", cursor.block_number])
        moved = tip is None or tip.hash != cursor.block_hash
        if moved or head is None or head.number < last:  # a head may also move back
            raise DependencyDown(
                "the chain moved while it was read; trying again", code="node-moving"
            )
        if isinstance(doubt, Apart) and head.number - last < _NEW_BLOCKS:
            raise DependencyDown(
                f"blocks {first} to {last} are new, and the node's answers are not of one moment: {doubt}; it, or "
                "another behind the same address, lags",
                code="node-behind",
            )
        raise MirrorStopped(
            f"blocks {first} to {last} were read {_READS_MAX} times and do not fit together: {doubt}"
        )

    # ---------------------------------------------------------------------- in advance

    def _look_ahead(self, read: Read, head: int, open_hashes: Collection[str]) -> None:
        """Begin to read the range after one that is about to be written."""
        left = head - read.window.last.number
        self._begin_ahead(left)
        if left <= 0 or self._ahead is None:
            self._end_ahead()
            return
        if not self._ahead.ready(_START_S):
            if time.monotonic() - self._begun_s > _START_MAX_S:
                self._ahead.ended = True
            self._done_without()
            return
        first = read.window.last.number + 1
        last = self._last_from(first, head)
        if self._then is not None and self._then[0] == first and self._then[1] <= head:
            last = self._then[1]  # it is asked for already
        then = self._last_from(last + 1, head) if last < head else 0
        self._then = (last + 1, then) if then else None
        self._ordered = Order(
            first,
            last,
            read.window.last.hash,
            read.log,
            frozenset(open_hashes),
            then,
            self._reading.node.lacks,
        )
        self._ahead.order(self._ordered)

    def _begin_ahead(self, left: int) -> None:
        """Start a process if it is worth that: so many blocks are left, and none died just now.

        Ranges are read in the open while it starts.
        """
        if self._ahead is None and left >= AHEAD_BLOCKS_MIN and self._patience.may_begin:
            keep_what_is_freed()
            self._keeps = True
            self._ahead = ReadingProcess(self._reading)
            self._begun_s = time.monotonic()

    def _end_ahead(self) -> None:
        self._ordered = self._then = None
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def _give_back(self) -> None:
        if self._keeps:
            give_back()
            self._keeps = False

    def _done_without(self) -> None:
        """Forget a process that is gone, or hangs; the next ranges are read in the open."""
        if self._ahead is not None and self._ahead.ended:
            self._patience.died()
            self._end_ahead()

    def _last_from(self, first: int, head: int) -> int:
        """Return the last block of a range that begins at a block."""
        return min(head, first + self._length.blocks - 1)

    def _read_ahead(self, cursor: Cursor, head: int) -> Read | None:
        """Return what was read in advance, if it follows the cursor and the chain still has it."""
        ordered, self._ordered = self._ordered, None
        if ordered is None or self._ahead is None:
            return None
        follows = (ordered.first, ordered.parent_hash) == (
            cursor.block_number + 1,
            cursor.block_hash,
        )
        if not follows or ordered.last > head:
            self._end_ahead()  # in the middle of what nobody wants
            return None
        began = time.monotonic()
        read = self._ahead.answer(self._patience.wait_s)
        if read is None:
            self._done_without()
            return None
        self._patience.answered(time.monotonic() - began)
        self._was(read)
        with suppress(TruetonneError, Doubt):  # whatever it was shows again when it is read anew
            last = read.window.last
            again = self._client.block(last.number)
            if again is None or again.hash != last.hash:
                return None
            if last.number == head:
                self._compare(read)
            return read
        return None
