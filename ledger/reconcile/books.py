"""What every rule is given: the books in one read session, and the chain as of one block.

``Sides`` is enough for rules that ask the contracts' storage; ``Books`` knows the chain's events as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.chain.addresses.book import Deployment
from ledger.chain.contracts.events import DecodedEvent, decode
from ledger.chain.contracts.wrappers import CarbonCredit, VppSettlement
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.lengths import Length, is_of_length
from ledger.chain.node.records import BlockHeader
from ledger.chain.node.transports.errors import NodeTrouble
from ledger.db import tables
from ledger.errors import BooksDiffer, DependencyDown, NotFound
from ledger.jsontext import json_safe
from ledger.models import ChainBlock, ChainCursor, Issuance
from ledger.reconcile.replay import Replay
from ledger.reconcile.shelves import Shelf, Shelves

_BLOCKS_FIRST, _BLOCKS_MAX, _LOGS_WANTED = 64, 2_000, 5_000
"""Blocks of the first log query, and of one at most; more or fewer as they bring logs, or are refused."""


@dataclass(frozen=True)
class Sides:
    """Books and chain side by side."""

    session: Session
    client: ChainClient
    deployment: Deployment
    cursor: ChainCursor

    @property
    def block(self) -> int:
        """The block that is compared at: the last one that is mirrored."""
        return self.cursor.block_number

    @property
    def final(self) -> int:
        """The last block that the mirror took as final."""
        return self.cursor.final_number

    @property
    def credit(self) -> CarbonCredit:
        """The credit contract."""
        return CarbonCredit(self.client, self.deployment.credit.address)

    @property
    def settlement(self) -> VppSettlement:
        """The settlement contract."""
        return VppSettlement(self.client, self.deployment.settlement.address)


@dataclass(frozen=True)
class Books(Sides):
    """The same with the chain's events, read anew and played."""

    replay: Replay
    events: Shelf[tuple[int, int], dict[str, Any]]
    """The rows of ``chain_events``: every event of the mirrored contracts up to the block."""
    headers: Shelf[int, BlockHeader]
    """Headers of the blocks that hold an event."""

    def time(self, number: int) -> datetime:
        """Return the time of a block that holds an event."""
        return self.headers[number].time


class _Times(dict[int, datetime]):
    """Times of the blocks whose headers were read so far."""

    def __init__(self, headers: Shelf[int, BlockHeader]) -> None:
        self._headers = headers

    def __missing__(self, number: int) -> datetime:
        return self._headers[number].time


class _Vintages(dict[tuple[str, str], int]):
    """Legal years of our own issuances, by key and evidence root: those of the events that are played now."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def look_up(self, events: Sequence[DecodedEvent]) -> None:
        """Know those of some events, and no others."""
        self.clear()
        keys = {event.values["key"] for event in events if event.name == "Issued"}
        for here in tables.among(self._session, Issuance.key, keys):
            query = select(Issuance.key, Issuance.evidence_root, Issuance.vintage).where(here)
            for key, root, year in self._session.execute(query):
                self[key, root] = year


def open_sides(session: Session, client: ChainClient, deployment: Deployment) -> Sides:
    """Put the chain as of the mirror's block beside the books.

    Raises
    ------
    NotFound
        If nothing is mirrored yet.
    BooksDiffer
        If the mirror's cursor is gone, or stands on no block that is stored: nothing can be compared.
    WrongChain
        If the node serves another chain.
    DependencyDown
        If the node does not answer, or has not reached the mirror's block.
    """
    deployment.check(client)
    cursor = session.scalars(
        select(ChainCursor).where(ChainCursor.network == deployment.network)
    ).one_or_none()
    if cursor is None:
        if session.scalar(select(ChainBlock.number).limit(1)) is not None:
            raise BooksDiffer(
                f"chain_cursor has no row of {deployment.network!r}, and chain_blocks has blocks: the row was deleted, "
                "and `truetonne index reindex` mends it, or `network` is not that of these books",
            )
        raise NotFound("nothing is mirrored yet; run `truetonne index run --until head`")
    # Nothing else of the block: its time may be none.
    tip = session.scalar(select(ChainBlock.hash).where(ChainBlock.number == cursor.block_number))
    if tip is None or tip != cursor.block_hash:
        raise BooksDiffer(
            f"chain_cursor: block {cursor.block_number} with hash {cursor.block_hash!r} is not among the stored "
            "blocks; the row was altered: run `truetonne index reindex`",
        )
    if client.block_number() < cursor.block_number:
        raise DependencyDown(
            f"the node at {client.place} is behind the mirror's block {cursor.block_number}; wait for it",
            code="node-behind",
        )
    return Sides(session, client, deployment, cursor)


def open_books(session: Session, client: ChainClient, deployment: Deployment) -> Books:
    """Read the chain's events up to the mirror's block, and put them beside the books.

    Raises
    ------
    NotFound, BooksDiffer, WrongChain, DependencyDown
        As ``open_sides``.
    """
    cursor = open_sides(session, client, deployment).cursor
    settlement = VppSettlement(client, deployment.settlement.address)
    shelves = Shelves()
    headers: Shelf[int, BlockHeader] = shelves.shelf()
    rows: Shelf[tuple[int, int], dict[str, Any]] = shelves.shelf()
    vintages = _Vintages(session)
    replay = Replay(
        shelves, settlement.units_per_cent(cursor.block_number), _Times(headers), vintages
    )
    for events in _events(client, deployment, cursor.block_number, headers):
        vintages.look_up(events)
        for event in events:
            rows[event.log.block_number, event.log.log_index] = _row(event)
        replay.play(events)
    replay.finish()
    return Books(session, client, deployment, cursor, replay, rows, headers)


def _row(event: DecodedEvent) -> dict[str, Any]:
    """Return an event as a row of ``chain_events``."""
    in_log = event.record is not None
    return {
        "tx_hash": event.log.tx_hash,
        "contract_address": event.log.address,
        "event_name": event.name,
        "args": json_safe(event.values),
        "seq": event.values["seq"] if in_log else None,
        "head": event.values["head"] if in_log else None,
    }


def _events(
    client: ChainClient, deployment: Deployment, last: int, headers: Shelf[int, BlockHeader]
) -> Iterator[list[DecodedEvent]]:
    """Yield the events of the mirrored contracts in the order of the chain; note the headers of their blocks."""
    names = {item.address: item.name for item in deployment.mirrored}
    length, first = Length(_BLOCKS_MAX, _BLOCKS_FIRST), deployment.deployed_block
    while first <= last:
        end = min(first + length.blocks - 1, last)
        try:
            logs = client.logs(list(names), first, end)
        except (NodeTrouble, RpcError) as error:
            # More logs, or more blocks, than the node hands out at once.
            shorter = end > first and (
                isinstance(error, RpcError) or is_of_length(error, client.block_number)
            )
            if not shorter:
                raise
            length.refused(end - first + 1)
            continue
        numbers = sorted({log.block_number for log in logs})
        for number, header in zip(numbers, client.blocks_there(numbers), strict=True):
            headers[number] = header
        logs.sort(key=lambda log: (log.block_number, log.log_index))
        yield [decode(names[log.address], log) for log in logs]
        length.was(end - first + 1, len(logs) / _LOGS_WANTED)
        first = end + 1
