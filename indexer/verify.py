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
from contextlib import closing

from sqlalchemy import func, select

from indexer import compare, finality
from indexer.altered import OF_ALTERED_ROWS, REINDEX
from indexer.bodies import check_transactions
from indexer.place import Place, place_of
from indexer.report import Report, Scope
from indexer.shadow import Workshop, forget, read_on, take_back
from indexer.sums import check_log_and_sums
from indexer.tables import MIRRORED, Mirrored
from ledger.chain.addresses.book import TOLD, Deployment
from ledger.chain.addresses.deployment import forget_later, keep_what_was_stored
from ledger.chain.node.client import ChainClient, RpcError
from ledger.db import Database
from ledger.errors import BadInput, BooksDiffer, DependencyDown, NotFound
from ledger.models import ChainBlock, ChainEvent, ChainInclusion

_ATTEMPTS = 6
"""How many comparisons are made, at most, while the chain takes blocks back; the later ones end at the final block."""


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
        If nothing is mirrored yet, or no block of the contracts.
    BadInput
        If the range is none, or not mirrored.
    BooksDiffer
        If the cursor was altered so that there is no range, or the mirror so that it cannot be taken back to it.
    WrongChain
        If the node serves another chain.
    DependencyDown
        If database or node do not answer, the node lacks what is needed, or the chain took the range back.
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
    _require_begun(copy, deployment, place)
    first, last = _range(scope, deployment, place)
    if calm and scope.to_block is None:
        last = max(min(last, place.confirmed), first)
    report = Report(first, last, differences=list(place.differences), confirmed=place.confirmed)
    if deployment.receipts == TOLD:
        report.not_checked.append("receipts, against the hashes of their blocks: receipts = told")
    end = client.block_there(last)
    try:
        if last < place.cursor.block_number:
            take_back(copy, deployment, end)
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


def _require_begun(copy: Database, deployment: Deployment, place: Place) -> None:
    """Refuse a mirror that stands before the deployment: it has just begun, or its cursor was set back."""
    stands = place.cursor.block_number
    if stands >= deployment.deployed_block:
        return
    if place.differences:
        raise BooksDiffer(f"{place.differences[0]}: somebody altered it; {REINDEX}")
    with copy.read() as session:
        highest = session.scalar(select(func.max(ChainBlock.number))) or 0
    if highest > stands:
        raise BooksDiffer(
            f"block_number in chain_cursor of {deployment.network!r} is {stands}, and chain_blocks goes to {highest}: "
            f"somebody altered it; {REINDEX}"
        )
    raise NotFound(
        f"the mirror has just begun: it stands at block {stands}, and the contracts were made in block "
        f"{deployment.deployed_block}; run `truetonne index run --until head`"
    )


def _range(scope: Scope, deployment: Deployment, place: Place) -> tuple[int, int]:
    lowest = deployment.deployed_block
    first = lowest if scope.from_block is None else max(scope.from_block, lowest)
    last = place.cursor.block_number if scope.to_block is None else scope.to_block
    for asked in (scope.from_block, scope.to_block):
        if asked is not None and asked > place.cursor.block_number:
            for item in place.differences:
                if item.column == "block_hash":
                    raise BooksDiffer(f"{item}: somebody altered it; {REINDEX}")
            raise BadInput(
                f"block {asked} is not mirrored; the mirror stands at block {place.cursor.block_number}"
            )
    if first > last:
        raise BadInput(f"there is no mirrored block from {first} to {last}")
    if first > place.tip.number:
        raise DependencyDown(
            f"the chain took back all mirrored blocks above {place.tip.number}, and with them the range; wait until "
            "`truetonne index run` has followed it, and try again",
            code="node-moving",
        )
    return first, min(last, place.tip.number)


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
    fresh.close()  # it lets go of what it has in memory
    _check_beside(copy, client, deployment, report)


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
    fresh = shop.empty_beside(copy)
    read_on(fresh, client, deployment, up_to, min(confirmed, up_to))
    with fresh.write() as session:
        forget_later(session, deployment)
    keep_what_was_stored(fresh, copy, deployment)
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
        take_back(again, deployment, client.block_there(report.from_block - 1), again=True)
        read_on(again, client, deployment, report.to_block, min(confirmed, report.to_block))
    except (BooksDiffer, *OF_ALTERED_ROWS):
        # Damage is in the way: the chain tells it from its first block on.
        again.close()
        _whole(shop, copy, client, deployment, report, confirmed)
        return
    keep_what_was_stored(again, copy, deployment)
    forget(again, confirmed)
    compare_all(copy, again, report)
    _check_beside(copy, client, deployment, report)


def _check_beside(
    copy: Database, client: ChainClient, deployment: Deployment, report: Report
) -> None:
    """Check what no fresh mirror of the same node can say: storage, and whose the receipts are."""
    check_log_and_sums(copy, client, deployment, report)
    if deployment.receipts != TOLD:
        whole = (report.from_block, client.block_there(report.to_block))
        check_transactions(copy, client, deployment, report, [whole])


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
        take_back(held, deployment, client.block_there(number))
        take_back(again, deployment, client.block_there(number - 1), again=True)
        try:
            read_on(again, client, deployment, number, 0)
        except OF_ALTERED_ROWS as error:
            said = getattr(error, "orig", None) or error  # without the statement and all its values
            raise BooksDiffer(
                f"the mirror cannot read block {number} on what stands before it ({said}): somebody altered its rows; "
                "run `truetonne index verify` without a range, then `truetonne index reindex`"
            ) from error
        _compare_block(tables, (held, again), number, report)
        for item in tables:
            rows[item.name] += compare.count(item, held, (number, number))
    report.checked = dict(rows) | {"blocks": len(chosen)}
    if deployment.receipts != TOLD:
        each = ((number, client.block_there(number)) for number in chosen)
        check_transactions(copy, client, deployment, report, each)


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
