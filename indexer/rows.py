"""What a range of blocks brings to the tables: filled by the handlers, written at once.

Handlers add rows and name what they touched; nothing is written before all of them have run. Derived
numbers (holdings, balances, the active serials of a batch) follow from the rows and from what the
database holds, inside the transaction that also moves the cursor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, inspect, select, tuple_, update
from sqlalchemy.orm import Session

from indexer import derived
from indexer.derived import BatchFacts
from ledger.chain.events import ZERO_ADDRESS, DecodedEvent
from ledger.errors import MirrorStopped
from ledger.models import (
    Base,
    ChainEvent,
    CreditBatch,
    CreditCancellation,
    CreditClass,
    CreditProject,
    CreditRetirement,
    CreditSite,
    CreditTransfer,
    SettlementMovement,
)
from ledger.serials import Run

_ORDER: tuple[type[Base], ...] = (
    CreditClass,
    CreditProject,
    CreditSite,
    CreditBatch,
    CreditTransfer,
    CreditRetirement,
    CreditCancellation,
    SettlementMovement,
)
"""Tables that handlers add to, parents first."""


@dataclass(frozen=True)
class Proposal:
    """The netting of a settlement batch as it was proposed; nets in cents by account, in order."""

    accounts: tuple[str, ...]
    nets: tuple[int, ...]


class Rows:
    """The rows of one range of blocks.

    Parameters
    ----------
    session
        The unit of work that the range is written in.
    times
        Time of each block of the range.
    units_per_cent
        Units of the currency token that make a cent.
    """

    def __init__(
        self, session: Session, times: Mapping[int, datetime], units_per_cent: int
    ) -> None:
        self.session = session
        self.units_per_cent = units_per_cent
        self._times = times
        self._added: dict[type[Base], list[dict[str, Any]]] = defaultdict(list)
        self._changes: dict[type[Base], dict[Any, dict[str, Any]]] = defaultdict(dict)
        self._facts: dict[int, BatchFacts] = {}
        self._site_codes: dict[int, str] = {}
        self._proposals: dict[int, Proposal] = {}
        self._taken: list[tuple[int, Run]] = []
        self._touched: set[int] = set()
        self._held: dict[tuple[int, str], int] = defaultdict(int)
        self._money: dict[str, int] = defaultdict(int)

    # ------------------------------------------------------- what handlers call

    def time_of(self, event: DecodedEvent) -> datetime:
        """Return the time of an event's block."""
        return self._times[event.log.block_number]

    def add(self, table: type[Base], **values: Any) -> None:
        """Add a row."""
        self._added[table].append(values)

    def change(self, table: type[Base], key: int, **values: Any) -> None:
        """Change columns of the row with a primary key, new or old."""
        self._changes[table].setdefault(key, {}).update(values)

    def add_site(self, site_id: int, code: str) -> None:
        """Remember the code of a site that this range registers."""
        self._site_codes[site_id] = code

    def site_code(self, event: DecodedEvent, site_id: int) -> str:
        """Return the code of a site, which begins its serials."""
        code = self._site_codes.get(site_id)
        if code is None:
            code = self.session.scalar(select(CreditSite.code).where(CreditSite.site_id == site_id))
        if code is None:
            raise MirrorStopped(_unknown(event, f"site {site_id}"))
        return code

    def add_batch(self, batch_id: int, facts: BatchFacts) -> None:
        """Remember what the serials of a new batch need."""
        self._facts[batch_id] = facts
        self._touched.add(batch_id)

    def take_serials(self, event: DecodedEvent, batch_id: int, run: Run) -> None:
        """Take serials out of the active ones of a batch."""
        if batch_id not in self._facts:
            found = derived.facts_of(self.session, [batch_id])
            if batch_id not in found:
                raise MirrorStopped(_unknown(event, f"batch {batch_id}"))
            self._facts.update(found)
        self._taken.append((batch_id, run))
        self._touched.add(batch_id)

    def move_credits(
        self, event: DecodedEvent, sub_index: int, batch_id: int, parties: tuple[str, str], kg: int
    ) -> None:
        """Move units between two parties; the zero address gives at issuance and takes at the end.

        Nothing moved is no movement: anybody may transfer zero units.
        """
        if kg == 0:
            return
        giver, taker = parties
        self.add(
            CreditTransfer,
            block_number=event.log.block_number,
            log_index=event.log.log_index,
            sub_index=sub_index,
            batch_id=batch_id,
            from_address=giver,
            to_address=taker,
            amount_kg=kg,
            tx_hash=event.log.tx_hash,
        )
        if giver != ZERO_ADDRESS:
            self._held[batch_id, giver] -= kg
        if taker != ZERO_ADDRESS:
            self._held[batch_id, taker] += kg

    def move_money(
        self, event: DecodedEvent, sub_index: int, kind: str, account: str, units: int
    ) -> None:
        """Change an escrow balance by token units."""
        self.add(
            SettlementMovement,
            block_number=event.log.block_number,
            log_index=event.log.log_index,
            sub_index=sub_index,
            account=account,
            kind=kind,
            amount=units,
            batch_id=getattr(event.args, "batch_id", None),
            tx_hash=event.log.tx_hash,
        )
        self._money[account] += units

    def add_proposal(self, batch_id: int, proposal: Proposal) -> None:
        """Remember the netting of a batch that this range proposes."""
        self._proposals[batch_id] = proposal

    def proposal(self, batch_id: int) -> Proposal:
        """Return the netting of a batch as it was proposed.

        A batch whose proposal moved nothing has nothing to give back either: its nets are all zero.
        """
        if batch_id not in self._proposals:
            self._proposals[batch_id] = _stored_proposal(self.session, batch_id)
        return self._proposals[batch_id]

    # ----------------------------------------------------------------- writing

    def write(self) -> None:
        """Write everything, and then what follows from it."""
        connection = self.session.connection()
        for table in _ORDER:
            if self._added[table]:
                connection.execute(insert(table), self._added[table])
        for table, changes in self._changes.items():
            (key_column,) = inspect(table).primary_key
            for key, values in changes.items():
                connection.execute(update(table).where(key_column == key).values(**values))
        derived.split_serials(self.session, self._touched, self._taken, self._facts)
        derived.add_holdings(self.session, self._held)
        derived.add_balances(self.session, self._money)
        self.session.expire_all()


def _unknown(event: DecodedEvent, what: str) -> str:
    return (
        f"{event.name} in block {event.log.block_number}, transaction {event.log.tx_hash}, speaks of {what}, "
        "which the mirror has never read; it has missed an event"
    )


def _stored_proposal(session: Session, batch_id: int) -> Proposal:
    place = session.execute(
        select(SettlementMovement.block_number, SettlementMovement.log_index)
        .where(SettlementMovement.batch_id == batch_id, SettlementMovement.kind == "debit")
        .limit(1)
    ).one_or_none()
    if place is None:
        return Proposal((), ())
    args: Mapping[str, Sequence[Any]] = session.scalars(
        select(ChainEvent.args).where(
            tuple_(ChainEvent.block_number, ChainEvent.log_index) == tuple_(*place)
        )
    ).one()
    return Proposal(tuple(args["accounts"]), tuple(int(net) for net in args["nets"]))
