"""The one loop of the mirror: look where the chain is, take back what it took back, read on, confirm what is final.

``Indexer.tick`` is one step, ``run_until`` repeats it up to a block, and ``follow`` repeats it for as long as it may.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from typing import Literal, TypeVar

from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from indexer import checks, reorg
from indexer import cursor as cursors
from indexer import finality as finalities
from indexer.altered import OURS_OTHERWISE, REINDEX, trigger_told
from indexer.checks import Unchecked
from indexer.cursor import Cursor, Overtaken
from indexer.finality import FinalityClaim
from indexer.follow import Follower, Listeners
from indexer.guards import require_contracts, require_no_catching_up
from indexer.handlers import require_complete
from indexer.lease import Lease
from indexer.memory import few_collections
from indexer.ranges import RANGE_BLOCKS_MAX, RangeReader
from indexer.reading import Read
from indexer.ticks import Limits, TickReport
from indexer.window import Window
from indexer.writing import block_row, write_blocks, write_range
from ledger.chain.addresses import deployment as contracts_book
from ledger.chain.addresses import sightings
from ledger.chain.addresses.book import Deployment
from ledger.chain.addresses.kept import check_chain, require_same_contracts
from ledger.chain.contracts.events import SETTLEMENT
from ledger.chain.contracts.wrappers import VppSettlement
from ledger.chain.node.client import ChainClient
from ledger.chain.node.heads import Heads
from ledger.chain.node.records import BlockHeader
from ledger.db import Database, DatabaseBusy
from ledger.db.behind import quick_switches
from ledger.db.log_sync import LogSync
from ledger.errors import BooksDiffer, DependencyDown, MirrorStopped
from ledger.leases import LEASE_S, Holder
from ledger.models import ChainBlock
from ledger.models.types import ValueRefused
from ledger.settings import depth_of

_T = TypeVar("_T")
POLL_S = 0.1
"""How often the head is looked at where the node announces none."""
_GONE = (
    "the contracts, as the chain took back blocks in which some were made: nothing comes from these until they stand "
    "there again; where the chain was replaced, deploy again and use a fresh database"
)
_LOOKS_MAX = 8
_LOOK_PAUSE_S = 0.02
"""Pause between two looks for our own block, in seconds; longer each time, half a second in all."""


class Indexer:
    """The mirror of one deployment.

    Parameters
    ----------
    db
        The books.
    client
        A node of the deployment's chain.
    deployment
        Which contracts, on which chain, since which block.
    finality
        When a block is final: ``"finalized"`` as the node says, or a number of blocks.
    poll_s
        How long ``follow`` waits at the head where the node announces no blocks, in seconds.
    range_blocks_max
        Blocks that are read and written at once, at most.
    limits
        For a fresh mirror that is made only to be compared with the books: how far it goes.

    Raises
    ------
    MirrorStopped
        If an event of a known contract has no handler.
    """

    def __init__(
        self,
        db: Database,
        client: ChainClient,
        deployment: Deployment,
        finality: str | int = finalities.FINALIZED,
        poll_s: float = POLL_S,
        range_blocks_max: int = RANGE_BLOCKS_MAX,
        limits: Limits | None = None,
    ) -> None:
        require_complete([item.name for item in deployment.mirrored])
        self._db = db
        self._client = client
        self._deployment = deployment
        self._finality = depth_of(finality)
        self._poll_s = poll_s
        self._ranges = RangeReader(db, client, deployment, range_blocks_max)
        self._units_per_cent: int | None = None
        self._contracts_stored = False
        self._contracts_gone = False
        self._contracts_compared = limits is not None  # a comparison finds all that differs
        self._unchecked: Unchecked | None = None
        self._left: Cursor | None = None
        """Where the last tick left the cursor. While it still stands there, nobody else has changed the mirror."""
        self._limits = limits
        self._log_sync = LogSync(db.url)

    # -------------------------------------------------------------------- running

    def run_until(
        self,
        target: int | Literal["head"] = "head",
        on_tick: Callable[[TickReport], None] | None = None,
    ) -> TickReport:
        """Mirror up to a block, or up to the block that is the latest now; return the last report.

        Raises
        ------
        DependencyDown
            If the node does not answer, lags, or has no such block; or the disk does not take what was written, or
            somebody keeps the database locked.
        MirrorStopped
            If something cannot be mirrored and must not be skipped.
        BooksDiffer
            If somebody altered rows of the mirror, so that what comes next, or is taken back, does not fit them.
        WrongChain
            If the node serves another chain.
        """
        with closing(self._ranges), few_collections(), quick_switches():
            return self._run_until(target, on_tick)

    def _run_until(
        self, target: int | Literal["head"], on_tick: Callable[[TickReport], None] | None
    ) -> TickReport:
        goal: int | None = None if target == "head" else target
        while True:
            report = self.tick(None if target == "head" else target)
            if on_tick is not None:
                on_tick(report)
            goal = report.head if goal is None else goal
            if target == "head":
                goal = min(goal, report.head)  # a head that moved back is the head
            if report.tip >= goal and report.rewound_to is None and not report.overtaken:
                return report
            if report.idle and report.tip >= report.head:
                raise DependencyDown(
                    f"the chain ends at block {report.head}, before block {goal}; wait for it, or name one up to there",
                    code="node-behind",
                )

    def follow(
        self,
        stop: threading.Event,
        on_tick: Callable[[TickReport], None] | None = None,
        on_trouble: Callable[[Exception, float], None] | None = None,
        *,
        on_lead: Callable[[Holder | None], None] | None = None,
        on_stand_by: Callable[[Holder], None] | None = None,
        on_recovery: Callable[[float], None] | None = None,
        lease_s: float = LEASE_S,
    ) -> None:
        """Mirror until told to stop, while no other run does. What is down is waited for.

        Parameters
        ----------
        stop
            Set it to end the loop; a range that is being written is finished first.
        on_tick, on_trouble, on_lead, on_stand_by, on_recovery
            See ``indexer.follow.Listeners``.
        lease_s
            Seconds after which another run takes over from one that was killed.

        Raises
        ------
        MirrorStopped, WrongChain, BooksDiffer
            As ``run_until``: waiting would not help.
        NewerTables
            A newer version has upgraded the tables.
        """
        lease = Lease(self._db, self._deployment.network, lease_s)
        heads = Heads(self._client.transport, self._poll_s)
        listeners = Listeners(on_tick, on_trouble, on_lead, on_stand_by, on_recovery)
        with closing(self._ranges), few_collections(), quick_switches():
            Follower(self.tick, lease, heads, listeners).run(stop)

    def tick(self, up_to: int | None = None) -> TickReport:
        """Do one step: take blocks back if the chain did, else read and write one range, and confirm what is final.

        Parameters
        ----------
        up_to
            The last block that is read; None reads up to the head.
        """
        try:
            return self._tick(up_to)
        except BaseException:
            self._know_nothing()
            raise

    def _tick(self, up_to: int | None) -> TickReport:
        cursor, left = self._cursor(), self._left
        self._left = None
        if cursor != left:  # another mirror was here, and what it took back may be what we know
            self._know_nothing()
        claim = self._claim()
        head, tip = self._look(cursor)
        try:
            if tip is None or tip.hash != cursor.block_hash:
                return self._take_back(cursor, head)
            report = TickReport(head.number, cursor.block_number, cursor.final_number)
            if self._limits is None and isinstance(self._finality, int):  # by the head of just now
                claim = FinalityClaim(max(head.number - self._finality, 0))
            up_to = up_to if self._limits is None else self._limits.up_to
            goal = head.number if up_to is None else min(head.number, up_to)
            if goal > cursor.block_number:
                read = self._ranges.read(cursor, goal)
                window = read.window
                cursor = self._write(cursor, read, claim, goal)
                if claim.number < window.first:  # final is what was there: the new is shown first
                    cursor = self._confirm(cursor, claim)
                report = replace(
                    report,
                    tip=cursor.block_number,
                    blocks=len(window.headers),
                    events=len(window.events),
                    transactions=len(window.transactions),
                )
            else:
                cursor = self._confirm(cursor, claim)
                self._unchecked = None  # a reindex checks it, and leaves the cursor where it is
            unchecked = self._not_checked() + claim.sentences()
            if self._contracts_gone:
                unchecked.append(_GONE)
            self._left = cursor
            return replace(report, final=cursor.final_number, not_checked=tuple(unchecked))
        except Overtaken:
            self._know_nothing()
            return TickReport(head.number, cursor.block_number, cursor.final_number, overtaken=True)

    # ---------------------------------------------------------------------- steps

    def _cursor(self) -> Cursor:
        """Return the cursor, after making sure that the node serves the chain that it belongs to."""
        self._deployment.check(self._client)
        with self._db.read() as session:
            cursor = cursors.load(session, self._deployment.network)
            if not self._contracts_compared:
                require_same_contracts(session, self._deployment.addresses)
                self._contracts_compared = True
        if cursor is None:
            cursor = self._begin()
        check_chain(self._deployment, cursor.chain_id, cursor.genesis_hash)
        return cursor

    def _look(self, cursor: Cursor) -> tuple[BlockHeader, BlockHeader | None]:
        """Return the node's latest block, and its block at the number of our last one; None: the chain took that back.

        Several nodes may answer behind one address, and one may lag: it follows our chain and has not our last block
        yet. So that is asked for several times before it counts as taken back; else the mirror would rewind each time
        that node answers. A block that is missing *below* the latest one was not taken back either: two nodes gave the
        two answers.

        Raises
        ------
        DependencyDown
            If ours is missing below the head, however often it is asked for.
        """
        looks = 1
        while True:
            head, tip = self._client.blocks(["latest", cursor.block_number])
            if head is None:
                head = self._client.head()
            if tip is not None:
                return head, tip
            lacks = head.number >= cursor.block_number
            if looks == _LOOKS_MAX or not (lacks or self._is_ours(head)):
                if lacks:
                    raise self._client.without_block(cursor.block_number)
                return head, None
            time.sleep(_LOOK_PAUSE_S * looks)
            looks += 1

    def _is_ours(self, head: BlockHeader) -> bool:
        with self._db.read() as session:
            query = select(ChainBlock.hash).where(ChainBlock.number == head.number)
            return session.scalar(query) == head.hash

    def _begin(self) -> Cursor:
        """Start a mirror at the block before the deployment."""
        with self._db.read() as session:
            cursors.require_none(session, self._deployment.network)
        header = self._first_header()
        cursor = Cursor(
            self._deployment.network,
            self._deployment.chain_id,
            self._deployment.genesis_hash,
            header.number,
            header.hash,
            0,
        )

        # First: once there is a cursor, nobody begins again.
        contracts_book.record(self._db, self._client, self._deployment)

        def begin(session: Session) -> None:
            cursors.create(session, cursor)
            session.connection().execute(insert(ChainBlock), [block_row(header)])

        # Another mirror may begin at the same moment.
        with suppress(IntegrityError), trigger_told():
            self._db.run(begin)
        with self._db.read() as session:
            begun = cursors.load(session, self._deployment.network)
            if begun is None:
                raise cursors.deleted(session, cursor.network)
        return begun

    def _first_header(self) -> BlockHeader:
        """Return the block before the deployment, which a mirror begins with."""
        return self._client.block_there(max(self._deployment.deployed_block - 1, 0))

    def _take_back(self, cursor: Cursor, head: BlockHeader) -> TickReport:
        """Rewind to the last of our blocks that the node still has; if it has none, to where a mirror begins."""
        ancestor = reorg.common_ancestor(self._db, self._client, cursor.block_number, head)
        require_no_catching_up(self._db, head, ancestor, cursor.final_number)
        begins_anew = ancestor is None
        if ancestor is None:  # a chain may turn below the deployment, and nothing older is stored
            ancestor = self._first_header()
        require_contracts(self._client, self._deployment, ancestor, cursor.final_number)

        def take_back(session: Session) -> Cursor:
            moved = cursors.move(session, cursor, ancestor)
            reorg.rewind(session, ancestor.number - 1 if begins_anew else ancestor.number)
            if begins_anew:
                session.connection().execute(insert(ChainBlock), [block_row(ancestor)])
            cursors.note(session, cursor, ancestor, head)
            checks.take_back(session, cursor.network, ancestor.number)
            return moved

        self._know_nothing()  # some contracts may have been taken back
        moved = self._guarded(take_back)
        return TickReport(
            head.number,
            moved.block_number,
            moved.final_number,
            rewound_to=ancestor.number,
            rewound_blocks=cursor.block_number - ancestor.number,
        )

    def _claim(self) -> FinalityClaim:
        """Ask the node what is final. Where finality is a number of blocks, the head will say it: nothing is asked."""
        if self._limits is not None:
            return FinalityClaim(self._limits.final)
        if isinstance(self._finality, int):
            return FinalityClaim()
        return finalities.claimed(self._client, self._finality)

    def _write(self, cursor: Cursor, read: Read, claim: FinalityClaim, goal: int) -> Cursor:
        """Write a range, confirm what of it is final, and move the cursor, in one transaction.

        Before the goal a range need not survive a power cut (``lasting``): it would be read again.
        """
        window = read.window
        if any(contract == SETTLEMENT for contract, _, _ in window.events.logged.kinds):
            self._units()
        times = {header.number: header.time for header in window.headers}
        last = window.last.number

        def write(session: Session) -> Cursor:
            moved = cursors.move(session, cursor, window.last)
            write_blocks(session, window)
            final = finalities.final_number(session, claim, last)
            write_range(session, window, self._units_per_cent or 0, final)
            sightings.record(session, self._deployment, read.seen, times)
            reason, before = self._ranges.log_end_reason, self._unchecked
            self._unchecked = checks.noted(session, self._deployment, before, last, reason)
            if not self._contracts_stored:
                self._contracts_stored = contracts_book.restore(session, self._deployment)
                self._contracts_gone = not self._contracts_stored
            if final < window.first:
                return moved
            return finalities.advance(session, moved, final, self._limits is None)

        try:
            moved = self._guarded(write, lasting=last >= goal)
        except ValueRefused as error:
            raise MirrorStopped(
                f"blocks {window.first} to {window.last.number} hold a value that the books cannot: {error}"
            ) from error
        except IntegrityError as error:
            if self._limits is not None:  # nobody altered a fresh mirror: it is a defect
                raise
            raise self._in_the_way(cursor, window, error) from error
        if last < goal:
            self._log_sync.begin()
        return moved

    def _in_the_way(self, cursor: Cursor, window: Window, error: IntegrityError) -> BooksDiffer:
        """Return the error of a range whose rows are there already, or refer to rows that are not there.

        Another mirror cannot have done that: the cursor would have shown it before a row was written.
        """
        with self._db.read() as session:
            above = ChainBlock.number > cursor.block_number
            there = session.scalar(select(func.min(ChainBlock.number)).where(above))
        if there is not None:
            return BooksDiffer(
                f"the books have block {there} already, above their cursor, at {cursor.block_number}: somebody "
                f"altered them; {REINDEX}"
            )
        return BooksDiffer(
            f"the books do not take blocks {window.first} to {window.last.number} ({error.orig}): somebody altered "
            f"them; {REINDEX}; {OURS_OTHERWISE}"
        )

    def _confirm(self, cursor: Cursor, claim: FinalityClaim) -> Cursor:
        """Confirm what became final since the last range."""
        with self._db.read() as session:
            final = finalities.final_number(session, claim, cursor.block_number)
        if final <= cursor.final_number:
            return cursor
        return self._guarded(
            lambda session: finalities.advance(session, cursor, final, self._limits is None)
        )

    def _guarded(self, work: Callable[[Session], _T], *, lasting: bool = True) -> _T:
        """Do one unit of work; raise ``Overtaken`` if another mirror stood in the way.

        Raises
        ------
        DatabaseBusy
            If the lock was waited for in vain: whoever holds it that long is no mirror, and is to be told of.
        DependencyDown
            If a trigger that somebody made refuses it.
        """
        begun_s = time.monotonic()
        try:
            with trigger_told(), self._db.write(lasting=lasting) as session:
                return work(session)
        except DatabaseBusy as busy:
            if busy.waited and time.monotonic() - begun_s > self._db.lock_timeout_s / 2:
                raise
            raise Overtaken from busy

    def _not_checked(self) -> list[str]:
        """Return what could not be checked up to the cursor, for people; it is looked up where no range was written."""
        unchecked = self._unchecked
        if unchecked is None:
            with self._db.read() as session:
                unchecked = checks.load(session, self._deployment.network)
        return unchecked.sentences()

    def _know_nothing(self) -> None:
        """Forget what this object knows of the books: another mirror, or a failed commit, may have changed that."""
        self._contracts_stored = False
        self._unchecked = None

    def _units(self) -> int:
        if self._units_per_cent is None:
            address = self._deployment.settlement.address
            self._units_per_cent = VppSettlement(self._client, address).units_per_cent()
        return self._units_per_cent
