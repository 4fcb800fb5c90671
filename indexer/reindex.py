"""Building the mirrored tables anew from the chain, and putting the new ones in the place of the old.

A fresh mirror is made beside the books, in a file of its own: that takes long, and writes nothing to the
books. Then, in one unit of work that is guarded by the cursor, the rows that differ are removed, added and
changed. A kill at any instant leaves the old tables or the new ones. What is our own (intents,
issuances, trades, and the numbers that the database gave to rows) is not built and not touched.

The mirror's lease is held meanwhile: a run that stands by waits, and goes on afterwards.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import (
    LargeBinary,
    String,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from indexer import checks, compare, finality, reorg
from indexer.altered import altered_rows_told, trigger_told
from indexer.compare import Pair
from indexer.cursor import Overtaken
from indexer.guards import require_contracts, require_no_catching_up
from indexer.lease import Lease
from indexer.loop import Indexer
from indexer.place import head_and_final
from indexer.shadow import Workshop
from indexer.tables import MIRRORED, Mirrored
from indexer.verify import fresh_beside
from ledger import issuance
from ledger.chain.addresses.book import PROVEN, Deployment
from ledger.chain.node.client import ChainClient
from ledger.chain.node.records import BlockHeader
from ledger.chain.sending import intents
from ledger.db import Database
from ledger.db.counting import rows_found
from ledger.db.deferring import deferred_foreign_keys
from ledger.errors import Refused
from ledger.models import ChainBlock, ChainCursor, SmartContract
from ledger.models.blockchain import ContractStatus
from ledger.settlement import confirm as settlement

_ATTEMPTS = 5
_ROWS_AT_ONCE = 1_000
_NUMBER_MAX = 2**63 - 1
"""The greatest number of a block that a database holds; no chain has it."""
_OLD = "old_"
"""Begins the names of the parameters that find a row, beside those that change it."""


@dataclass
class Changes:
    """What a reindex changed."""

    block: int
    """The block that the tables are as of, before the mirror went on."""
    tables: dict[str, Counter[str]] = field(default_factory=dict)
    """By table: rows ``added``, ``removed``, ``changed``; tables that were right are left out."""

    def as_json(self) -> dict[str, Any]:
        """Return what ``index reindex --json`` prints."""
        return {
            "block": self.block,
            "changed": {
                name: {what: counts[what] for what in ("added", "removed", "changed")}
                for name, counts in self.tables.items()
            },
        }


@dataclass(frozen=True)
class _Target:
    """How far the fresh mirror goes."""

    tip: BlockHeader
    confirmed: int
    """The last block that the books took as final, and that is."""
    cursor: ChainCursor | None
    """As it stands in the books; None when it is missing, or says no block."""
    altered: bool
    """Whether there is one that says no block: another is put in its place."""

    @property
    def takes_back(self) -> bool:
        """Whether blocks are taken back that the books have followed."""
        return self.cursor is not None and self.tip.number < self.cursor.block_number

    @property
    def went_too_far(self) -> bool:
        """Whether the books may have said of a block that it was there, or final, and it is not."""
        return self.cursor is None or self.takes_back or self.confirmed < self.cursor.final_number


def reindex(
    db: Database,
    client: ChainClient,
    deployment: Deployment,
    finality_setting: str | int = finality.FINALIZED,
    *,
    dry_run: bool = False,
    on_step: Callable[[str], None] | None = None,
) -> Changes:
    """Build the mirrored tables anew; return what changed. Then mirror up to the head.

    Parameters
    ----------
    dry_run
        Only say what would change.
    on_step
        Called with what is done next, in words.

    Raises
    ------
    Refused
        If another run mirrors, or the books do not hold still.
    BooksDiffer
        If the chain took back blocks of which the mirror, that somebody altered, does not tell what stood in them.
    DependencyDown
        If database or node do not answer, the node lacks what is needed, or a trigger refuses what is written.
    WrongChain
        If the node serves another chain.
    """
    step = on_step or (lambda words: None)
    deployment.check(client)
    with _leading(db, deployment, dry_run):
        for _ in range(_ATTEMPTS):
            try:
                changes = _once(db, client, deployment, finality_setting, dry_run, step)
                break
            except (Overtaken, IntegrityError):
                continue  # a command mirrored, or the chain turned: once more
        else:
            raise Refused(
                "mirror or chain moved each time; end what sends or mirrors, and try again"
            )
        if not dry_run:
            step("mirroring up to the head")
            Indexer(db, client, deployment, finality_setting).run_until("head")
    return changes


@contextmanager
def _leading(db: Database, deployment: Deployment, dry_run: bool) -> Iterator[None]:
    if dry_run:
        yield
        return
    lease = Lease(db, deployment.network)
    other = lease.take()
    if other is not None:
        raise Refused(
            f"{other.place} mirrors now; end it first, and start it again afterwards",
            code="mirror-runs",
        )
    try:
        yield
    finally:
        lease.release()


def _once(
    db: Database,
    client: ChainClient,
    deployment: Deployment,
    setting: str | int,
    dry_run: bool,
    step: Callable[[str], None],
) -> Changes:
    with Workshop.opened() as shop:
        step("copying the mirror as it is")
        copy = shop.copy_of(db, "copy")
        target = _target(copy, client, deployment, setting)
        step(f"reading blocks {deployment.deployed_block} to {target.tip.number} anew")
        fresh = fresh_beside(shop, copy, client, deployment, target.tip.number, target.confirmed)
        if client.block(target.tip.number) != target.tip:
            raise Overtaken  # the chain turned while it was read
        with (
            closing(compare.connect(copy)) as mine,
            closing(compare.connect(fresh)) as theirs,
        ):
            if dry_run:
                return _counted(mine, theirs, target.tip.number)
            step("putting the new rows in the place of the old")
            with trigger_told(), db.write() as session:
                changes = _replace(session, mine, theirs, target)
                if deployment.receipts == PROVEN:  # all of them, now
                    checks.store(session, deployment.network, checks.Unchecked())
                return changes


def _target(
    copy: Database, client: ChainClient, deployment: Deployment, setting: str | int
) -> _Target:
    """Return how far to go: where the mirror stands, or the last of its blocks that the chain still has."""
    with copy.read() as session:
        row = session.get(ChainCursor, deployment.network)
        cursor = row if row is not None and _has_numbers(row) else None
        highest = session.scalar(select(ChainBlock.number).order_by(ChainBlock.number.desc()))
        held = max(cursor.final_number, 0) if cursor is not None else 0
        head, final = head_and_final(session, client, setting, held)
    stands = cursor.block_number if cursor is not None else -1
    tip = client.block(stands) if stands >= 0 else None
    if cursor is None or tip is None or tip.hash != cursor.block_hash:
        above = min(max(highest or 0, stands) + 1, _NUMBER_MAX)
        tip = reorg.common_ancestor(copy, client, above, head)
        require_no_catching_up(copy, head, tip, held)
        if tip is not None:
            require_contracts(client, deployment, tip, held)
    if tip is None:  # no stored block is of this chain: what is final is
        tip = client.block_there(max(final, deployment.deployed_block - 1))
    if cursor is None and row is not None:
        copy.run(lambda session: session.execute(delete(ChainCursor)))
    confirmed = final if cursor is None else min(held, final)
    return _Target(tip, confirmed, cursor, altered=cursor is None and row is not None)


def _has_numbers(row: ChainCursor) -> bool:
    return isinstance(row.block_number, int) and isinstance(row.final_number, int)


def _counted(mine: sqlite3.Connection, theirs: sqlite3.Connection, block: int) -> Changes:
    changes = Changes(block)
    for item in MIRRORED:
        counts = Counter(_what(pair) for pair in compare.pairs(item, mine, theirs))
        if counts:
            changes.tables[item.name] = counts
    return changes


def _what(pair: Pair) -> str:
    if pair.mirrored is None:
        return "added"
    return "removed" if pair.chain is None else "changed"


# --------------------------------------------------------------------- in the books


def _replace(
    session: Session, mine: sqlite3.Connection, theirs: sqlite3.Connection, target: _Target
) -> Changes:
    """Make the mirrored tables of the books those of the fresh mirror, if nobody moved the cursor."""
    _guard(session, target)
    if target.takes_back:
        # Only the old rows say what of ours stood in the blocks that are gone.
        what = f"the mirror does not tell what of these books stood above block {target.tip.number}"
        with altered_rows_told(what, "restore the database from a backup"):
            for rewind in (settlement.rewind, issuance.rewind, intents.rewind):
                rewind(session, target.tip.number)
    with deferred_foreign_keys(session):
        for item in reversed(MIRRORED):
            _remove(session, item, compare.pairs(item, mine, theirs))
        for item in MIRRORED:
            _put(session, item, compare.pairs(item, mine, theirs))
    session.expire_all()
    if target.takes_back:  # once more: it asks the tables that are right only now
        settlement.rewind(session, target.tip.number)
    if target.went_too_far:
        from ledger.webhooks import outbox  # what posts them is nothing for a mirror to start with

        outbox.take_back(session, target.tip.number, target.confirmed)
    return _counted(mine, theirs, target.tip.number)


def _guard(session: Session, target: _Target) -> None:
    cursor = target.cursor
    if target.altered:  # on SQLite alone: MariaDB takes nothing but a number
        numbers = (ChainCursor.block_number, ChainCursor.final_number)
        no_number = or_(*(func.typeof(column) != "integer" for column in numbers))
        if rows_found(session, delete(ChainCursor).where(no_number)) == 0:
            raise Overtaken
    if cursor is None:  # two that add a cursor: the second one fails
        return
    statement = (
        update(ChainCursor)
        .where(
            ChainCursor.network == cursor.network,
            ChainCursor.block_number == cursor.block_number,
            _holds(session, ChainCursor.block_hash, cursor.block_hash),
            ChainCursor.final_number == cursor.final_number,
        )
        .values(updated_at=datetime.now(UTC))
        .execution_options(synchronize_session=False)
    )
    if rows_found(session, statement) != 1:
        raise Overtaken


def _is_odd(value: Any) -> bool:
    """Return whether a value may not be what is stored, but what was read of it.

    Bytes stand for a text that is not UTF-8, on SQLite; on MariaDB each byte that is none of ASCII is read as ``?``.
    """
    return isinstance(value, bytes) or (isinstance(value, str) and "?" in value)


def _holds(session: Session, column: Any, value: Any) -> Any:
    """Return what holds where a column is as it was copied: one that was altered may be no text."""
    stored = type_coerce(column, String)
    if not _is_odd(value):
        return stored == value
    if session.get_bind().dialect.name == "sqlite":
        held = bindparam(None, value, type_=NullType())
        return cast(stored, LargeBinary) == cast(held, LargeBinary)
    octets = func.hex(stored)
    alike = "".join("__" if sign == "?" else sign.encode().hex().upper() for sign in value)
    return or_(stored == value, and_(octets.like(alike), octets.regexp_match("^(..)*[89A-F]")))


def _remove(session: Session, item: Mirrored, found: Iterator[Pair]) -> None:
    statement = delete(item.table)
    there = (pair for pair in found if pair.mirrored is not None)
    gone = (pair for pair in there if pair.chain is None or item.interchangeable)
    odd: list[compare.Row] = []

    def keys() -> Iterator[dict[str, Any]]:
        for pair in gone:
            if any(map(_is_odd, pair.key)):
                odd.append(pair.key)
            else:
                yield _key(item, pair)

    _each(session, statement.where(_here(item.table, item)), keys())
    for key in odd:
        columns = zip(item.key, key, strict=True)
        here = (_holds(session, item.table.c[name], part) for name, part in columns)
        session.execute(statement.where(*here).execution_options(synchronize_session=False))


def _put(session: Session, item: Mirrored, found: Iterator[Pair]) -> None:
    """Add the rows that are missing, and change those that differ and are there."""
    rest = [column for column in item.columns if column.name not in item.key]
    change = (
        update(item.table)
        .where(_here(item.table, item))
        .values({column.name: bindparam(column.name, type_=column.type) for column in rest})
    )
    while piece := list(islice(found, _ROWS_AT_ONCE)):
        rows = [_row(item, pair.chain) for pair in piece if pair.chain and _is_anew(item, pair)]
        if item.name == "smart_contracts":
            _make_room(session, rows)
        _each(session, insert(item.table), iter(rows))
        changed = [pair for pair in piece if not _is_anew(item, pair)]
        if rest:
            values = (
                _key(item, pair) | _values(item, pair.chain, rest) for pair in changed if pair.chain
            )
            _each(session, change, values)


def _is_anew(item: Mirrored, pair: Pair) -> bool:
    """Return whether the chain's row, if it has one, is inserted, and does not change one that is there."""
    return pair.mirrored is None or item.interchangeable


def _make_room(session: Session, rows: list[dict[str, Any]]) -> None:
    """Delete *deprecated* contracts with the name or the address of one in use: no comparison sees them."""
    for row in rows:
        named = SmartContract.contract_name == row["contract_name"]
        here = SmartContract.contract_address == row["contract_address"]
        session.execute(
            delete(SmartContract)
            .where(or_(named, and_(here, SmartContract.network == row["network"])))
            .execution_options(synchronize_session=False)
        )


def _each(session: Session, statement: Any, values: Iterator[dict[str, Any]]) -> None:
    while piece := list(islice(values, _ROWS_AT_ONCE)):
        session.connection().execute(statement, piece)


def _here(table: Table, item: Mirrored) -> Any:
    """Return what finds a row by its key as it is stored: one that was altered may be none of its column's values.

    All keys are texts and integers, which both databases store alike.
    """
    return and_(*(table.c[name] == bindparam(f"{_OLD}{name}", type_=String()) for name in item.key))


def _key(item: Mirrored, pair: Pair) -> dict[str, Any]:
    return {f"{_OLD}{name}": value for name, value in zip(item.key, pair.key, strict=True)}


def _values(item: Mirrored, row: compare.Row, columns: list[Any]) -> dict[str, Any]:
    wanted = {column.name for column in columns}
    return {
        column.name: compare.typed(column, value)
        for column, value in zip(item.columns, row, strict=True)
        if column.name in wanted
    }


def _row(item: Mirrored, row: compare.Row) -> dict[str, Any]:
    values = _values(item, row, item.columns)
    if item.name == "smart_contracts":  # until somebody verifies it
        values["status"] = ContractStatus.DEPLOYED
    return values
