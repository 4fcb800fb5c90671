"""Ranges of blocks: how long the next one is, when it is read again, and how it is written."""

from __future__ import annotations

import time
from typing import NoReturn

from sqlalchemy import insert
from sqlalchemy.orm import Session

from indexer import cursor as cursors
from indexer.creditlog import CreditLog
from indexer.cursor import Cursor, Overtaken
from indexer.handlers import apply
from indexer.rows import Rows
from indexer.watch import Watch
from indexer.window import Doubt, Window, block_time, read_window
from ledger.chain import intents, transactions
from ledger.chain.book import Deployment
from ledger.chain.client import BlockHeader, ChainClient, RpcError
from ledger.chain.events import DecodedEvent
from ledger.chain.layout import json_safe
from ledger.chain.transport_errors import AnswerTooLarge
from ledger.db import Database
from ledger.errors import DependencyDown, MirrorStopped
from ledger.models import ChainBlock, ChainEvent

RANGE_BLOCKS_MAX = 512
_RANGE_EVENTS_WANTED = 4_000
"""A range that brought more is followed by a smaller one."""
_READS_MAX = 5
"""So often is a range read before a doubt becomes a stop."""
_DOUBT_PAUSE_S = 0.05


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
        self._blocks_max = blocks_max
        self._blocks = blocks_max

    def read(self, cursor: Cursor, head: int) -> Window:
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
        with self._db.read() as session:
            log = CreditLog.load(session, cursor.block_number)
            open_hashes = {item.tx_hash for item in intents.open_attempts(session, cursor.chain_id)}
        doubts = 0
        while True:
            first = cursor.block_number + 1
            last = min(head, cursor.block_number + self._blocks)
            try:
                window = read_window(
                    self._client, self._watch, cursor.block_hash, first, last, open_hashes
                )
                end = log.check(window.events)
                if last == head:
                    end.compare(self._client, self._deployment.credit.address, window.last.hash)
            except (RpcError, AnswerTooLarge):
                if self._blocks == 1:
                    raise
                self._blocks = max(1, self._blocks // 2)
                continue
            except Doubt as doubt:
                doubts += 1
                if doubts < _READS_MAX:
                    time.sleep(_DOUBT_PAUSE_S * doubts)
                    continue
                self._stop_or_wait(cursor, first, last, doubt)
            self._adapt(len(window.events))
            return window

    def _stop_or_wait(self, cursor: Cursor, first: int, last: int, doubt: Doubt) -> NoReturn:
        """End a tick whose range stays doubtful."""
        with self._db.read() as session:
            if cursors.load(session, cursor.network) != cursor:
                raise Overtaken
        tip = self._client.block(cursor.block_number)
        if tip is None or tip.hash != cursor.block_hash:
            raise DependencyDown(
                "the chain moved while it was read; trying again", code="node-moving"
            )
        raise MirrorStopped(
            f"blocks {first} to {last} were read {_READS_MAX} times and do not fit together: {doubt}"
        )

    def _adapt(self, events: int) -> None:
        if events > _RANGE_EVENTS_WANTED:
            self._blocks = max(1, self._blocks // 2)
        elif events * 2 < _RANGE_EVENTS_WANTED:
            self._blocks = min(self._blocks_max, self._blocks * 2)


def write_range(session: Session, window: Window, units_per_cent: int) -> None:
    """Write the rows of a range; the cursor is moved in the same unit of work.

    Parameters
    ----------
    units_per_cent
        Units of the currency token that make a cent.
    """
    connection = session.connection()
    connection.execute(insert(ChainBlock), [block_row(header) for header in window.headers])
    transactions.record_included(session, window.transactions)
    if window.events:
        connection.execute(insert(ChainEvent), [_event_row(event) for event in window.events])
    times = {header.number: block_time(header) for header in window.headers}
    rows = Rows(session, times, units_per_cent)
    for event in window.events:
        apply(event, rows)
    rows.write()


def block_row(header: BlockHeader) -> dict[str, object]:
    """Return a header as a row of ``chain_blocks``."""
    return {
        "number": header.number,
        "hash": header.hash,
        "parent_hash": header.parent_hash,
        "block_time": block_time(header),
    }


def _event_row(event: DecodedEvent) -> dict[str, object]:
    return {
        "block_number": event.log.block_number,
        "log_index": event.log.log_index,
        "tx_hash": event.log.tx_hash,
        "contract_address": event.log.address,
        "event_name": event.name,
        "args": json_safe(event.values),
        "seq": event.values["seq"] if event.record is not None else None,
        "head": event.values["head"] if event.record is not None else None,
    }
