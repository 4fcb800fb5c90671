"""The life of a credit's batch, from its readings to what became of it: one list, page by page.

What happened in our books comes first, then what happened on chain, in the order of blocks and logs. Each
journal of the mirror gives the part of it that lies on the page; the parts are merged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Text, cast, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from api.credits.batches import following_of
from api.credits.beginnings import entries_before
from api.credits.schemas import HistoryAnswer, HistoryEntry, HistoryParameters
from api.finality import ChainView
from api.pagination import Order, behind, in_order
from api.quick_parts import of_seconds
from ledger.chain.contracts.events import ZERO_ADDRESS, ZERO_HASH
from ledger.errors import NotFound
from ledger.models.credits import (
    BATCH_STATUS,
    CreditBatch,
    CreditCancellation,
    CreditRetirement,
    CreditTransfer,
)
from ledger.models.mirror import ChainBlock, ChainEvent
from ledger.models.oversight import CreditInvalidation, CreditOverlap
from ledger.naming import find_credit

Place = tuple[int, int, int]
"""Where an entry stands: 0 and the number of its file for our books; block + 1, log and part of the log on chain."""


def show_history(
    session: Session, view: ChainView, name: str, parameters: HistoryParameters | None = None
) -> HistoryAnswer:
    """Return a page of what happened to the batch of a credit, and before it was one.

    Raises
    ------
    NotFound
        If there is no such credit.
    BadInput
        If the cursor cannot be used.
    """
    asked = parameters or HistoryParameters.model_validate({})
    named = find_credit(session, name)
    batch = session.get(CreditBatch, named.batch_id)
    if batch is None:
        raise NotFound(f"the books hold no batch of {name!r}; `truetonne reconcile` says why")
    after = asked.after_key(3)
    page = _Page(
        session,
        view,
        batch,
        None if after is None else (after[0], after[1], after[2]),
        asked,
        asked.limit + 1,
    )
    found = sorted(page.entries(), key=lambda item: item[0], reverse=asked.order is Order.DESC)
    more = len(found) > asked.limit
    found = found[: asked.limit]
    return HistoryAnswer(
        batch_id=batch.batch_id,
        items=[entry for _, entry in found],
        complete=not more,
        next_cursor=asked.cursor_after(*found[-1][0]) if more else None,
        **view.fields(),
    )


@dataclass(frozen=True)
class _Page:
    """What lies behind a place, at most so much of each kind."""

    session: Session
    view: ChainView
    batch: CreditBatch
    after: Place | None
    asked: HistoryParameters
    limit: int

    def entries(self) -> Iterator[tuple[Place, HistoryEntry]]:
        """Yield the first entries of each kind behind the place."""
        places = (
            ((0, number, 0), entry) for number, entry in entries_before(self.session, self.batch)
        )
        yield from (item for item in places if self._behind(item[0]))
        issued = self._chained("issued", self.batch, self.batch.issued_at, self._issued())
        if self._behind(issued[0]):
            yield issued
        for table, kind, at, values in _JOURNALS:
            query = self._part(select(table).where(table.batch_id == self.batch.batch_id), table)
            for row in self.session.scalars(query):
                name = f"{kind}_{row.step.value}" if table is CreditInvalidation else kind
                yield self._chained(name, row, getattr(row, at), values(row))
        yield from self._transfers()
        yield from self._overlaps()
        yield from self._statuses()
        yield from self._replacements()

    def _issued(self) -> dict[str, str]:
        batch = self.batch
        following = following_of(self.session, batch)
        return {
            "amount_kg": str(batch.issued_kg),
            "buffered_kg": str(batch.buffered_kg),
            "recipient": batch.recipient,
            "issuer": batch.issuer,
            "verifier": batch.verifier,
            "key": batch.key,
            **({} if following is None else {"backfill_before_batch_id": str(following)}),
        }

    def _transfers(self) -> Iterator[tuple[Place, HistoryEntry]]:
        row = CreditTransfer
        query = (
            select(row, ChainBlock.block_time)
            .outerjoin(ChainBlock, ChainBlock.number == row.block_number)
            .where(
                row.batch_id == self.batch.batch_id,
                row.from_address != ZERO_ADDRESS,
                row.to_address != ZERO_ADDRESS,
            )
        )
        for moved, at in self.session.execute(self._part(query, row, row.sub_index)):
            values = {
                "amount_kg": str(moved.amount_kg),
                "giver": moved.from_address,
                "taker": moved.to_address,
            }
            yield self._chained("transferred", moved, at, values, moved.sub_index)

    def _overlaps(self) -> Iterator[tuple[Place, HistoryEntry]]:
        mine, row = self.batch.batch_id, CreditOverlap
        query = select(row).where((row.first_batch_id == mine) | (row.second_batch_id == mine))
        for found in self.session.scalars(self._part(query, row)):
            one, other = found.first_batch_id, found.second_batch_id
            values = {
                "other_batch_id": str(other if one == mine else one),
                "challenger": found.challenger,
                "meter": found.meter,
            }
            yield self._chained("overlap_proven", found, found.proven_at, values)

    def _statuses(self) -> Iterator[tuple[Place, HistoryEntry]]:
        for event, at in self._events("StatusChanged", "batch_id"):
            values = {
                "before": BATCH_STATUS[int(event.args["old_status"])].value,
                "after": BATCH_STATUS[int(event.args["new_status"])].value,
            }
            yield self._chained("status_changed", event, at, values)

    def _replacements(self) -> Iterator[tuple[Place, HistoryEntry]]:
        """Yield what units of other batches stood in for what was retired of this one."""
        for event, at in self._events("Replaced", "replaced_batch_id"):
            values = {
                "amount_kg": str(event.args["amount"]),
                "retirement_id": str(event.args["retirement_id"]),
                "other_batch_id": str(event.args["batch_id"]),
                "deficit_kg": str(event.args["deficit_left"]),
            }
            yield self._chained("replaced", event, at, values)

    def _events(self, name: str, whose: str) -> Iterator[tuple[ChainEvent, datetime | None]]:
        """Yield events of a name whose argument is this batch, with the time of their block."""
        row = ChainEvent
        named = str(self.batch.batch_id)
        query = (
            select(row, ChainBlock.block_time)
            .outerjoin(ChainBlock, ChainBlock.number == row.block_number)
            # Those of all batches are read: as text first, since few of them are of this one.
            .where(row.event_name == name, cast(row.args, Text).contains(named))
        )
        rows = self.session.execute(self._ordered(query, row, None))
        ours = (item for item in rows if int(item[0].args[whose]) == self.batch.batch_id)
        yield from islice(ours, self.limit)

    def _part(self, query: Any, table: Any, part: InstrumentedAttribute[int] | None = None) -> Any:
        return self._ordered(query, table, part).limit(self.limit)

    def _ordered(self, query: Any, table: Any, part: InstrumentedAttribute[int] | None) -> Any:
        """Return the query of what lies behind the place, in order."""
        columns = (table.block_number, table.log_index, literal(0) if part is None else part)
        if self.after is not None:
            block, *others = self.after
            query = query.where(behind(columns, (block - 1, *others), self.asked.order))
        return in_order(query, self.asked, *(columns[:2] if part is None else columns))

    def _behind(self, place: Place) -> bool:
        if self.after is None:
            return True
        return place < self.after if self.asked.order is Order.DESC else place > self.after

    def _chained(
        self, kind: str, row: Any, at: datetime | None, values: dict[str, str], sub: int = 0
    ) -> tuple[Place, HistoryEntry]:
        entry = HistoryEntry(
            kind=kind,
            at=at,
            block_number=row.block_number,
            log=row.log_index,
            tx_hash=row.tx_hash,
            final=self.view.is_final(row.block_number),
            values=values,
        )
        return (row.block_number + 1, row.log_index, sub), entry


def _run(row: Any) -> dict[str, str]:
    return {
        "amount_kg": str(row.amount_kg),
        "first_serial": str(row.first_serial),
        "last_serial": str(row.first_serial + row.amount_kg - 1),
    }


def _retired(row: CreditRetirement) -> dict[str, str]:
    found = {
        **_run(row),
        "retirement_id": str(row.retirement_id),
        "holder": row.holder,
        "beneficiary": row.beneficiary,
        "reason": row.reason,
        "key": row.key,
    }
    stated: dict[str, str | None] = {
        "country": row.country,
        "consumption_start": _time(row.consumption_start_s),
        "consumption_end": _time(row.consumption_end_s),
        "document_hash": None if row.document_hash == ZERO_HASH else row.document_hash,
        "replaced_batch_id": None if row.replaced_batch_id is None else str(row.replaced_batch_id),
    }
    return found | {name: value for name, value in stated.items() if value}


def _time(seconds: int) -> str | None:
    """Return a time of a retirement, seconds since 1970; None for 0, which states none."""
    return of_seconds(seconds) if seconds else None


def _cancelled(row: CreditCancellation) -> dict[str, str]:
    return {**_run(row), "holder": row.holder, "reason": row.reason, "key": row.key}


def _invalidated(row: CreditInvalidation) -> dict[str, str]:
    given = {"account": row.account, "reason": row.reason}
    numbers = {"frozen_kg": row.frozen_kg, "deficit_kg": row.deficit_kg}
    given |= {name: None if value is None else str(value) for name, value in numbers.items()}
    return {name: value for name, value in given.items() if value is not None}


_JOURNALS: Sequence[tuple[Any, str, str, Callable[[Any], dict[str, str]]]] = (
    (CreditRetirement, "retired", "retired_at", _retired),
    (CreditCancellation, "cancelled", "cancelled_at", _cancelled),
    (CreditInvalidation, "invalidation", "happened_at", _invalidated),
)
"""Journals of a batch: the table, the kind of its entries, the column of the time, and their values."""
