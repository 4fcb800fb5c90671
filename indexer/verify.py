"""The mirror against a fresh decode of the chain, row by row and column by column; nothing is changed.

The books are copied as they are at one instant, so the mirror goes on meanwhile. What the chain took back
since is taken back in the copy, too: blocks above the mirror and reorganisations are no differences.

Three ways, by what is asked:

- everything: a new mirror is made of the chain, from its first block, and all tables are compared;
- a range: a copy is rewound to the block before it and reads on from there; all tables are compared as of
  the range's end, and whatever the range did not bring is taken as it is;
- a sample of a range: so for each of some blocks, and only the rows that the block brought are compared.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from indexer import compare, finality, reorg
from indexer.compare import Difference
from indexer.shadow import Workshop, forget, read_on, take_back
from indexer.tables import MIRRORED, Mirrored
from ledger.chain.book import Deployment
from ledger.chain.client import BlockHeader, ChainClient, RpcError
from ledger.db import Database
from ledger.errors import BadInput, BooksDiffer, DependencyDown, MirrorStopped, NotFound
from ledger.models import (
    ChainBlock,
    ChainCursor,
    ChainEvent,
    ChainInclusion,
    CreditBatch,
    CreditHolding,
)
from ledger.reconcile import named_rules

DIFFERENCES_MAX = 10_000
"""So many are told; a mirror with more is to be built anew."""
_ATTEMPTS = 6
"""So often is a comparison begun anew because the chain turned; the later ones end where it is final."""
_STORAGE_RULES = ("credit-log", "batches-on-chain", "holdings-on-chain", "escrow-on-chain")
"""Rules of the reconciliation that ask the contracts' storage, not their events."""


@dataclass(frozen=True)
class Scope:
    """What is compared. None stands for the first and the last mirrored block, and for all blocks."""

    from_block: int | None = None
    to_block: int | None = None
    sample: int | None = None
    """How many blocks of the range, chosen by chance."""


@dataclass
class Report:
    """What a verification compared and found."""

    from_block: int
    to_block: int
    checked: dict[str, int] = field(default_factory=dict)
    """Rows by table; blocks, entries of the credit log, and batches whose sums were held to their supply."""
    differences: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the mirror is what the chain says."""
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        """Return what ``index verify --json`` prints."""
        return {
            "from": self.from_block,
            "to": self.to_block,
            "checked": self.checked,
            "differences": [item.as_json() for item in self.differences],
        }

    def add(self, found: Iterator[Difference]) -> None:
        """Take differences, up to the most that are told."""
        for item in found:
            known = {(other.table, other.column) for other in self.differences[:4]}
            if item.table == "chain_cursor" and (item.table, item.column) in known:
                continue  # what is wrong with the cursor was told first
            if len(self.differences) >= DIFFERENCES_MAX:
                return
            self.differences.append(item)


@dataclass(frozen=True)
class Place:
    """Where a mirror stands on the chain."""

    cursor: ChainCursor
    tip: BlockHeader
    """The last mirrored block that the chain still has."""
    confirmed: int
    """The last block that the mirror took as final, and that is; older ones may be forgotten."""
    differences: tuple[Difference, ...]
    """What is wrong with the cursor itself."""


def verify(
    db: Database,
    client: ChainClient,
    deployment: Deployment,
    finality_setting: str | int = finality.FINALIZED,
    scope: Scope | None = None,
) -> Report:
    """Compare the mirror with a fresh decode of the chain.

    Raises
    ------
    NotFound
        If nothing is mirrored yet.
    BadInput
        If the range is none, or not mirrored.
    BooksDiffer
        If the mirror cannot be taken back to the range: it was altered so that its rewind fails.
    WrongChain
        If the node serves another chain.
    DependencyDown
        If database or node do not answer, or the node lacks what is needed.
    """
    scope = scope or Scope()
    deployment.check(client)
    for attempt in range(_ATTEMPTS):
        calm = attempt >= _ATTEMPTS // 2
        with Workshop.opened() as shop:
            report = _once(shop, (db, client, deployment), finality_setting, scope, calm)
        if report is not None:
            return report
    raise DependencyDown(
        f"the chain took blocks back during each of {_ATTEMPTS} comparisons; try again, or end the range "
        "at a final block with --to",
        code="node-moving",
    )


def _once(
    shop: Workshop,
    of: tuple[Database, ChainClient, Deployment],
    setting: str | int,
    scope: Scope,
    calm: bool,
) -> Report | None:
    """Compare once; None when the chain turned meanwhile. ``calm``: nothing above what is final."""
    db, client, deployment = of
    copy = shop.copy_of(db, "copy")
    place = place_of(copy, client, deployment, setting)
    first, last = _range(scope, deployment, place)
    if calm and scope.to_block is None:
        last = max(min(last, place.confirmed), first)
    report = Report(first, last, differences=list(place.differences))
    end = _header(client, last)
    try:
        if last < place.cursor.block_number:
            _rewound(copy, deployment, end)
        if scope.sample is not None:
            _sample(shop, copy, client, deployment, report, scope.sample)
        elif first <= deployment.deployed_block:
            _whole(shop, copy, client, deployment, report, place.confirmed)
        else:
            _part(shop, copy, client, deployment, report, place.confirmed)
    except (DependencyDown, RpcError):
        if client.block(last) == end:
            raise
        return None
    return report if client.block(last) == end else None


# ---------------------------------------------------------------------- where it stands


def place_of(
    copy: Database, client: ChainClient, deployment: Deployment, setting: str | int
) -> Place:
    """Find the last mirrored block that the chain still has, and what is wrong with the cursor.

    Raises
    ------
    NotFound
        If nothing is mirrored yet.
    DependencyDown
        If the node is behind the mirror, or has none of its blocks.
    """
    setting = int(setting) if str(setting).isdigit() else setting
    with copy.read() as session:
        cursor = session.get(ChainCursor, deployment.network)
        if cursor is None:
            raise NotFound("nothing is mirrored yet; run truetonne index run --until head")
        stored = session.scalar(
            select(ChainBlock.hash).where(ChainBlock.number == cursor.block_number)
        )
        head, here = client.blocks(["latest", cursor.block_number])
        if head is None:
            raise DependencyDown(f"the node at {client.place} has no latest block")
        final_now = finality.final_block(client, session, head, setting)
    found: list[Difference] = []
    tip = here
    if here is None or here.hash != cursor.block_hash:
        if stored is None or (here is not None and stored == here.hash):
            says = here.hash if here is not None else None
            found.append(_of_cursor(cursor, "block_hash", cursor.block_hash, says))
        if stored is None or here is None or stored != here.hash:
            tip = reorg.common_ancestor(copy, client, cursor.block_number)
    if tip is None:
        raise DependencyDown(
            "the node has none of the blocks that are mirrored; it is of another chain, or far behind",
            code="node-behind",
        )
    if cursor.final_number > max(final_now, 0) and cursor.final_number > min(tip.number, final_now):
        found.append(_of_cursor(cursor, "final_number", cursor.final_number, final_now))
    return Place(cursor, tip, min(cursor.final_number, final_now), tuple(found))


def _of_cursor(cursor: ChainCursor, column: str, held: Any, says: Any) -> Difference:
    return Difference("chain_cursor", cursor.network, column, held, says)


def _range(scope: Scope, deployment: Deployment, place: Place) -> tuple[int, int]:
    lowest = deployment.deployed_block
    first = lowest if scope.from_block is None else max(scope.from_block, lowest)
    last = place.tip.number if scope.to_block is None else scope.to_block
    if scope.to_block is not None and scope.to_block > place.cursor.block_number:
        raise BadInput(
            f"block {scope.to_block} is not mirrored; the mirror stands at block {place.cursor.block_number}"
        )
    last = min(last, place.tip.number)
    if first > last:
        raise BadInput(f"there is no mirrored block from {first} to {last}")
    return first, last


def _header(client: ChainClient, number: int) -> BlockHeader:
    header = client.block(number)
    if header is None:
        raise DependencyDown(f"the node has no block {number}", code="node-behind")
    return header


def _rewound(
    mirror: Database, deployment: Deployment, to: BlockHeader, again: bool = False
) -> None:
    try:
        take_back(mirror, deployment, to, again)
    except (MirrorStopped, SQLAlchemyError, LookupError, ValueError, TypeError) as error:
        raise BooksDiffer(
            f"the mirror cannot be taken back to block {to.number} ({type(error).__name__}: {error}); rows were "
            "altered: run `truetonne index verify` without a range, then `truetonne index reindex`"
        ) from error


# ------------------------------------------------------------------------- three ways


def _whole(
    shop: Workshop,
    copy: Database,
    client: ChainClient,
    deployment: Deployment,
    report: Report,
    confirmed: int,
) -> None:
    fresh = fresh_beside(shop, copy, client, deployment, report.to_block, confirmed)
    compare_all(copy, fresh, report)
    _log_and_sums(copy, client, deployment, report)


def fresh_beside(
    shop: Workshop,
    copy: Database,
    client: ChainClient,
    deployment: Deployment,
    up_to: int,
    confirmed: int,
) -> Database:
    """Make a new mirror of the chain, up to a block, that knows of ours what the copy knows.

    Parameters
    ----------
    confirmed
        The last block that the copy took as final; it may be above ``up_to``.
    """
    fresh = shop.empty_beside(copy, "fresh")
    read_on(fresh, client, deployment, up_to, min(confirmed, up_to))
    forget(fresh, confirmed)
    return fresh


def _part(
    shop: Workshop,
    copy: Database,
    client: ChainClient,
    deployment: Deployment,
    report: Report,
    confirmed: int,
) -> None:
    again = shop.twin_of(copy, "again")
    try:
        _rewound(again, deployment, _header(client, report.from_block - 1), again=True)
    except BooksDiffer:  # damage is in the way: the chain tells it from its first block on
        _whole(shop, copy, client, deployment, report, confirmed)
        return
    read_on(again, client, deployment, report.to_block, min(confirmed, report.to_block))
    forget(again, confirmed)
    compare_all(copy, again, report)
    _log_and_sums(copy, client, deployment, report)


def compare_all(copy: Database, fresh: Database, report: Report) -> None:
    """Compare all tables of two mirrors."""
    with closing(compare.connect(copy)) as mine, closing(compare.connect(fresh)) as theirs:
        for item in MIRRORED:
            report.checked[item.name] = compare.count(item, copy)
            for pair in compare.pairs(item, mine, theirs):
                report.add(compare.differences(item, pair))
    report.checked["blocks"] = report.to_block - report.from_block + 1


def _sample(
    shop: Workshop,
    copy: Database,
    client: ChainClient,
    deployment: Deployment,
    report: Report,
    size: int,
) -> None:
    """Compare some blocks: the highest first, so that one mirror can be taken back from each to the next."""
    tables = [item for item in MIRRORED if item.has_block]
    held = shop.twin_of(copy, "held")
    again = shop.twin_of(copy, "again")
    rows: Counter[str] = Counter()
    chosen = _chosen(copy, report, size)
    for number in chosen:
        before, here = client.blocks([number - 1, number])
        if before is None or here is None:
            raise DependencyDown(f"the node has no block {number}", code="node-behind")
        _rewound(held, deployment, here)
        _rewound(again, deployment, before, again=True)
        read_on(again, client, deployment, number, 0)
        _compare_block(tables, (held, again), number, report)
        for item in tables:
            rows[item.name] += compare.count(item, held, (number, number))
    report.checked = dict(rows) | {"blocks": len(chosen)}


def _compare_block(
    tables: list[Mirrored], mirrors: tuple[Database, Database], number: int, report: Report
) -> None:
    with (
        closing(compare.connect(mirrors[0])) as mine,
        closing(compare.connect(mirrors[1])) as other,
    ):
        for item in tables:
            for pair in compare.pairs(item, mine, other, (number, number)):
                forgotten = item.name == "chain_blocks" and pair.mirrored is None
                if not forgotten:  # a block that brings nothing of ours is not kept for ever
                    report.add(compare.differences(item, pair))


def _chosen(copy: Database, report: Report, size: int) -> list[int]:
    """Return blocks by chance: one half of those with something of ours, one half of all."""
    first, last = report.from_block, report.to_block
    with copy.read() as session:
        ours: set[int] = set()
        for column in (ChainEvent.block_number, ChainInclusion.block_number):
            ours.update(session.scalars(select(column).where(column.between(first, last))))
    size = min(size, last - first + 1)
    chosen = set(random.sample(sorted(ours), min((size + 1) // 2, len(ours))))
    while len(chosen) < size:
        chosen.add(random.randint(first, last))
    return sorted(chosen, reverse=True)


# --------------------------------------------------------------------- log and sums


def _log_and_sums(
    copy: Database, client: ChainClient, deployment: Deployment, report: Report
) -> None:
    """Hold the credit log, and the sums of holdings, to what is stored and to the contracts' storage."""
    with copy.read() as session:
        report.checked["log_entries"] = _entries(session, report)
        report.checked["supply"] = _supply(session, report)
        if report.differences:  # the rules that follow take a mirror that can be read
            return
        for name, sentences in named_rules(session, client, deployment, _STORAGE_RULES):
            report.add(Difference(name, "", None, sentence, None) for sentence in sentences)


def _entries(session: Session, report: Report) -> int:
    """Count the entries of the credit log: their numbers are 1 to the last, each once."""
    query = select(func.count(ChainEvent.seq), func.min(ChainEvent.seq), func.max(ChainEvent.seq))
    entries, lowest, highest = session.execute(query).one()
    distinct = session.scalar(select(func.count(func.distinct(ChainEvent.seq))))
    if entries and not (lowest == 1 and entries == highest == distinct):
        held = f"{entries} entries from {lowest} to {highest}"
        report.add(iter([Difference("chain_events", "credit log", "seq", held, f"1 to {highest}")]))
    return int(entries)


def _supply(session: Session, report: Report) -> int:
    """Hold the sum of a batch's holdings to what of it is neither retired nor cancelled."""
    held = func.coalesce(func.sum(CreditHolding.amount_kg), 0)
    left = CreditBatch.issued_kg - CreditBatch.retired_kg - CreditBatch.cancelled_kg
    query = (
        select(CreditBatch.batch_id, held, left)
        .outerjoin(CreditHolding, CreditHolding.batch_id == CreditBatch.batch_id)
        .group_by(CreditBatch.batch_id)
    )
    batches = session.execute(query).all()
    for batch_id, kg, supply in batches:
        if kg != supply:
            key = str(batch_id)
            report.add(iter([Difference("credit_holdings", key, "sum of amount_kg", kg, supply)]))
    return len(batches)
