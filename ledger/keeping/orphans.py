"""Rows of partitioned tables whose parent is gone: MariaDB has no foreign keys there. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Table, func, select
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.keeping.places import live_name, partitioning_of
from ledger.keeping.reading import every_place
from ledger.models import Base
from ledger.models.partitions import PARTITIONED
from ledger.units import counted


@dataclass(frozen=True)
class Orphans:
    """Rows that name a parent which is not there."""

    table: str
    column: str
    parent: str
    number: int
    """Row number that they name."""
    rows: int
    first: datetime
    last: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return dict(self.__dict__)

    def __str__(self) -> str:
        rows = counted(self.rows, "row")
        return f"{rows} of {self.table} with {self.column} {self.number}, which {self.parent} lacks"


def orphans(db: Database) -> list[Orphans]:
    """Return the orphans of every partitioned table, in the archive too, by table and number.

    Raises
    ------
    DatabaseBusy, ArchiveLost
        As ``ledger.keeping.reading.every_place``.
    """
    found: list[Orphans] = []
    for partitioning in PARTITIONED:
        table = Base.metadata.tables[partitioning.table]
        with every_place(db, table.name) as places:
            live = places[0][0]
            for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
                parents = set(live.scalars(select(key.column)))
                for session, place in places:
                    found += _of(session, place, key.parent.name, key.column, parents)
    return found


def _of(
    session: Session, table: Table, column: str, key: Column[Any], parents: set[Any]
) -> list[Orphans]:
    """Return the orphans of one column: the index answers what differs, and only that is counted."""
    here = table.c[column]
    numbers = session.scalars(select(here).distinct().where(here.is_not(None)))
    lost = sorted(set(numbers) - parents)
    time = table.c[partitioning_of(live_name(table)).column]
    found = []
    for number in lost:
        count, first, last = session.execute(
            select(func.count(), func.min(time), func.max(time)).where(here == number)
        ).one()
        found.append(Orphans(table.name, column, key.table.name, number, count, first, last))
    return found
