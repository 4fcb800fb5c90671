"""Collects what a range of blocks brings to the tables: the handlers fill ``Rows``, and ``Rows.write`` stores it.

Handlers add rows, change columns of rows, and say what they moved or touched. What comes by the thousand is given by
column (``add_columns``), and stored while further handlers run. Rows that a later handler may change wait until all
handlers have run. Then ``write`` computes what follows from them and from the database: holdings, escrow balances, and
the active serials of each batch. All of it is in the transaction that also moves the cursor.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import compress
from typing import Any

import msgspec
from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from indexer import derived
from indexer.altered import MISSED
from indexer.derived import Standing
from indexer.events import Columns
from indexer.lookups import Lookups, Outcome
from ledger.chain.contracts.events import ZERO_ADDRESS, DecodedEvent
from ledger.db import tables
from ledger.db.behind import Behind
from ledger.errors import MirrorStopped
from ledger.models import (
    Base,
    CreditBatch,
    CreditCancellation,
    CreditClass,
    CreditInvalidation,
    CreditOverlap,
    CreditProject,
    CreditRetirement,
    CreditSite,
    CreditTransfer,
    SettlementBatch,
    SettlementDispute,
    SettlementMovement,
    SettlementTerm,
    SettlementTrade,
)
from ledger.models.escrow import CURRENCY, MovementKind
from ledger.serials import CreditStatus, Run, site_and_ordinal

_ORDER: tuple[type[Base], ...] = (
    CreditClass,
    CreditProject,
    CreditSite,
    CreditBatch,
    CreditCancellation,
    CreditInvalidation,
    CreditOverlap,
    CreditRetirement,
    CreditTransfer,
    SettlementBatch,
    SettlementDispute,
    SettlementTrade,
    SettlementTerm,
)
"""Tables that handlers add to row by row, parents first."""
_KEYS: dict[type[Base], str] = {
    CreditClass: "class_id",
    CreditSite: "site_id",
    CreditBatch: "batch_id",
    SettlementBatch: "batch_id",
}
"""Tables whose rows a later event may change, and their keys."""
_MOVES = ("batch_id", "from_address", "to_address", "amount_kg")
"""The columns of ``credit_transfers`` by which holdings change."""
_SERIALS = ("batch_id", "first_serial", "amount", "retirement_id")
"""The arguments of a retirement that say which serials it takes."""
Origin = tuple[str, int, str]
"""Name, block and transaction of the event that something comes from."""


class Movement(msgspec.Struct, frozen=True, gc=False):
    """A change of an escrow balance: units of the currency token, or kilograms of another asset."""

    kind: MovementKind
    account: str
    amount: int
    asset: int = CURRENCY


class Rows:
    """The rows of one range of blocks.

    Parameters
    ----------
    later
        The writes of the unit of work that the range is written in; some may be under way.
    times
        Time of each block of the range.
    units_per_cent
        Units of the currency token that make a cent.
    lookups
        What the range needs to know of rows of before.
    """

    def __init__(
        self,
        later: Behind,
        times: Mapping[int, datetime],
        units_per_cent: int,
        lookups: Lookups,
    ) -> None:
        self._later = later
        self.units_per_cent = units_per_cent
        self.lookups = lookups
        self._times = times
        self._added: dict[type[Base], list[dict[str, Any]]] = defaultdict(list)
        self._new: dict[type[Base], dict[int, dict[str, Any]]] = {table: {} for table in _KEYS}
        self._changes: dict[type[Base], dict[int, dict[str, Any]]] = {table: {} for table in _KEYS}
        self._outcomes: dict[int, Outcome] = {}
        self._taken: list[tuple[int, Run]] = []
        self._retired: list[Columns] = []
        self._touched: dict[int, Origin] = {}
        self._movements: list[tuple[DecodedEvent, int, Movement]] = []
        self._moved: list[Mapping[str, Sequence[Any]]] = []
        self._escrow: dict[tuple[str, int], int] = defaultdict(int)

    # ------------------------------------------------------- what handlers call

    @property
    def session(self) -> Session:
        """The unit of work, for handlers that need the database themselves. It waits for the writes under way."""
        return self._later.session

    def time_of(self, event: DecodedEvent) -> datetime:
        """Return the time of an event's block."""
        return self._times[event.log.block_number]

    def times_of(self, events: Columns) -> list[datetime]:
        """Return the times of events' blocks."""
        return list(map(self._times.__getitem__, events.block_numbers))

    def add(self, table: type[Base], **values: Any) -> None:
        """Add a row; all rows of one table must have the same columns."""
        self._added[table].append(values)
        key = _KEYS.get(table)
        if key is not None:
            self._new[table][values[key]] = values

    def add_columns(self, table: type[Base], columns: Mapping[str, Sequence[Any]]) -> None:
        """Store rows that no handler will change, given by column."""
        tables.insert_behind(self._later, table, columns)

    def change(self, table: type[Base], key: int, **values: Any) -> None:
        """Change columns of the row with this primary key, whether it is new or was there before."""
        self._row(table, key).update(values)

    def raise_to(self, table: type[Base], key: int, **values: int) -> None:
        """Change columns, which only grow, of the row with this primary key; a larger value is left."""
        row = self._row(table, key)
        for name, value in values.items():
            row[name] = max(row.get(name, value), value)

    def _row(self, table: type[Base], key: int) -> dict[str, Any]:
        new = self._new[table].get(key)
        return self._changes[table].setdefault(key, {}) if new is None else new

    def take_serials(self, event: DecodedEvent, batch_id: int, run: Run) -> None:
        """Note that serials of a batch were retired or cancelled: they are not active any more."""
        self.redraw(event, batch_id)
        self._taken.append((batch_id, run))

    def redraw(self, event: DecodedEvent, batch_id: int) -> None:
        """Have the row of the active serials of a batch written anew, as something of the batch has changed."""
        self._touched.setdefault(batch_id, _origin(event))

    def retire_serials(self, events: Columns) -> None:
        """Do as ``take_serials`` for many retirements at once."""
        self._retired.append(events)
        places = zip(events["batch_id"], events.block_numbers, events.tx_hashes, strict=True)
        for batch_id, block_number, tx_hash in places:
            if batch_id not in self._touched:
                self._touched[batch_id] = events.name, block_number, tx_hash

    def minted_until(self, event: DecodedEvent, site_id: int) -> int:
        """Return the end of the last period of a site, after the events so far.

        Raises
        ------
        MirrorStopped
            If the mirror does not know what the event is about.
        """
        found = self._new[CreditSite].get(site_id) or self._changes[CreditSite].get(site_id)
        if found is not None:
            return int(found["minted_until_s"])
        if site_id not in self.lookups.sites:
            raise MirrorStopped(_unknown(_origin(event), f"site {site_id}"))
        return self.lookups.sites[site_id].minted_until_s

    def current(self, event: DecodedEvent, table: type[Base], key: int, column: str) -> Any:
        """Return a column of the row with this primary key, as the events so far have left it.

        It may have to ask the database and wait for the writes under way. What is needed often is in the lookups.

        Raises
        ------
        MirrorStopped
            If the mirror does not know what the event is about.
        """
        for rows in (self._new[table], self._changes[table]):
            if column in rows.get(key, ()):
                return rows[key][column]
        (key_column,) = inspect(table).primary_key
        query = select(table.__table__.c[column]).where(key_column == key)
        found = self.session.execute(query).one_or_none()
        if found is None:
            raise MirrorStopped(_unknown(_origin(event), f"{table.__tablename__} {key}"))
        return found[0]

    def move_credits(self, moves: Mapping[str, Sequence[Any]]) -> None:
        """Move units between two parties each, given as columns of ``credit_transfers``.

        The zero address gives at issuance and takes at the end. Nothing moved is no movement: anybody may transfer
        zero units.
        """
        amounts = moves["amount_kg"]
        if 0 in amounts:
            moves = {name: list(compress(values, amounts)) for name, values in moves.items()}
        self._moved.append(moves)
        self.add_columns(CreditTransfer, moves)

    def move_credit(self, **move: Any) -> None:
        """Move units, given as a row of ``credit_transfers``; see ``move_credits``."""
        if move["amount_kg"]:
            self.add(CreditTransfer, **move)

    def move(self, event: DecodedEvent, sub_index: int, movement: Movement) -> None:
        """Change an escrow balance, and note the movement; one of nothing is left out."""
        if movement.amount:
            self._movements.append((event, sub_index, movement))
            self._escrow[movement.account, movement.asset] += movement.amount

    def add_outcome(self, batch_id: int, outcome: Outcome) -> None:
        """Remember what a settlement batch, proposed in this range, comes to: it may end in the same range."""
        self._outcomes[batch_id] = outcome

    def outcome(self, event: DecodedEvent, batch_id: int) -> Outcome:
        """Return what a settlement batch came to when it was proposed.

        Raises
        ------
        MirrorStopped
            If the mirror does not know what the event is about.
        """
        found = self._outcomes.get(batch_id) or self.lookups.outcomes.get(batch_id)
        if found is None:
            raise MirrorStopped(_unknown(_origin(event), f"settlement batch {batch_id}"))
        return found

    # ----------------------------------------------------------------- writing

    def write(self) -> None:
        """Write everything, and what follows from it. All queries come first, so that none waits for a write."""
        before, now = self._batches()
        holdings = derived.holdings_after(self.session, self._held())
        balances = derived.balances_after(self.session, self._escrow)
        self.write_journals()
        for table, changes in self._changes.items():
            self._write_changes(table, changes)
        outdated = [batch.left_id for batch in before.values() if batch.left_id is not None]
        derived.split_serials(self._later, now, list(self._runs()), outdated)
        holdings.write(self._later)
        balances.write(self._later)

    def write_journals(self) -> None:
        """Store all rows that were added, and the movements of escrow."""
        for table in _ORDER:
            self.add_columns(table, tables.by_column(self._added.pop(table, ())))
        logs = [event.log for event, _, _ in self._movements]
        movements = [movement for _, _, movement in self._movements]
        self.add_columns(
            SettlementMovement,
            {
                "block_number": [log.block_number for log in logs],
                "log_index": [log.log_index for log in logs],
                "sub_index": [sub_index for _, sub_index, _ in self._movements],
                "account": [movement.account for movement in movements],
                "asset": [movement.asset for movement in movements],
                "kind": [movement.kind for movement in movements],
                "amount": [movement.amount for movement in movements],
                "batch_id": [
                    getattr(event.args, "batch_id", None) for event, _, _ in self._movements
                ],
                "tx_hash": [log.tx_hash for log in logs],
            },
        )

    def _held(self) -> dict[tuple[int, str], int]:
        """Return by how many kilograms each holding of a batch changes."""
        held: dict[tuple[int, str], int] = defaultdict(int)
        for moves in (*self._moved, tables.by_column(self._added.get(CreditTransfer, ()))):
            columns = [moves.get(name, ()) for name in _MOVES]
            for batch_id, giver, taker, kg in zip(*columns, strict=True):
                if giver != ZERO_ADDRESS:
                    held[batch_id, giver] -= kg
                if taker != ZERO_ADDRESS:
                    held[batch_id, taker] += kg
        return held

    def _runs(self) -> Iterator[tuple[int, Run]]:
        """Yield the serials that were retired or cancelled, by batch."""
        yield from self._taken
        for events in self._retired:
            columns = [events[name] for name in _SERIALS]
            for batch_id, first, amount, retirement_id in zip(*columns, strict=True):
                run = Run(first, first + amount - 1, CreditStatus.RETIRED, retirement_id)
                yield batch_id, run

    def _batches(self) -> tuple[dict[int, Standing], dict[int, Standing]]:
        """Return the batches that were touched: as they were before this range (the old ones), and as they are now."""
        new, changes = self._new[CreditBatch], self._changes[CreditBatch]
        before = derived.standing(self.session, self._touched.keys() - new.keys())
        now = {}
        for batch_id, origin in self._touched.items():
            if batch_id in new:
                site_code = self._site_code(origin, batch_id)
                now[batch_id] = derived.standing_of(new[batch_id], site_code)
            elif batch_id in before:
                now[batch_id] = before[batch_id].after(changes.get(batch_id, {}))
            else:
                raise MirrorStopped(_unknown(origin, f"batch {batch_id}"))
        return before, now

    def _site_code(self, origin: Origin, batch_id: int) -> str:
        site_id, _ = site_and_ordinal(batch_id)
        new = self._new[CreditSite].get(site_id)
        if new is not None:
            return str(new["code"])
        if site_id not in self.lookups.sites:
            raise MirrorStopped(_unknown(origin, f"site {site_id}"))
        return self.lookups.sites[site_id].code

    def _write_changes(self, table: type[Base], changes: Mapping[int, dict[str, Any]]) -> None:
        """Change rows that were there before: one statement for all rows in which the same columns change."""
        key = _KEYS[table]
        alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
        for number, values in changes.items():
            alike[tuple(values)].append({key: number, **values})
        connection = self._later.connection
        for rows in alike.values():
            writer = tables.writer(table, connection.dialect.name)
            self._later.run(writer.change(connection, key, rows))


def _origin(event: DecodedEvent) -> Origin:
    return event.name, event.log.block_number, event.log.tx_hash


def _unknown(origin: Origin, what: str) -> str:
    name, block_number, tx_hash = origin
    return (
        f"{name} in block {block_number}, transaction {tx_hash}, speaks of {what}, "
        f"which the mirror has never read; {MISSED}"
    )
