"""Rows go to the archive on MariaDB: whole partitions are exchanged, not copied.

For each partition that is due, one statement exchanges it with the empty table ``incoming`` of the
archive: from then on the rows are there. Another exchanges ``incoming`` with the month's partition of
the year's table. Rows that lie elsewhere (late ones, and those of a partition that holds several
months) are moved by INSERT and DELETE in one transaction for each month. Last, the empty partitions
are merged into ``pbefore`` by REORGANIZE. Where DROP would lose a row that arrived meanwhile, REORGANIZE
copies it, and the next run takes it along.

At every instant each row is in one place; a run begins by filing what a killed one left in ``incoming``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.db.grants import require_archive_name
from ledger.errors import ProblemFound
from ledger.keeping.moves import Moved, keep_devices, note, was_moved
from ledger.keeping.noted import months_moved
from ledger.keeping.places import INCOMING, Month, archive_schema, partitioning_of
from ledger.models import Base
from ledger.models.partitions import BEFORE, Partition, alone, part_sql, partitions_of

_FORBIDDEN = {1044, 1142, 1227, 1370}
_OTHER_SHAPE = {1736, 1731}


def move(db: Database, table: str, before: date) -> Iterator[Moved]:
    """Move the partitions of a table that end before a day."""
    with _explained(db, table), db.changing() as link, alone(link):
        mover = _Mover(db, link, table)
        mover.prepare()
        yield from mover.file()  # what a run that was killed left
        due = [
            part
            for part in partitions_of(link, table)
            if part.end is not None and part.end <= before
        ]
        for part in due:
            if mover.holds_rows(f"{table} PARTITION ({part.name})"):
                mover.take(part)
                yield from mover.file()
        mover.merge(due)


class _Mover:
    """Moves the rows of one table.

    Parameters
    ----------
    db
        For units of work.
    link
        In autocommit, for changes of tables.
    table
        The live table.
    """

    def __init__(self, db: Database, link: Connection, table: str) -> None:
        self._db = db
        self._link = link
        self._table = table
        self._column = partitioning_of(table).column
        self._schema = archive_schema(db)
        quote = link.dialect.identifier_preparer.quote_identifier
        self._archive = quote(self._schema)
        self._incoming = f"{self._archive}.{table}_{INCOMING}"

    def prepare(self) -> None:
        """Make the archive and an empty table ``incoming``, unless they are there."""
        there = self._link.exec_driver_sql(
            "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = %s",
            (self._schema,),
        )
        if not there.scalar_one():
            require_archive_name(str(self._db.url.database))
            self._link.exec_driver_sql(
                f"CREATE DATABASE IF NOT EXISTS {self._archive} "
                "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            )
        name = f"{self._table}_{INCOMING}"
        if self._there(name) and self.holds_rows(self._incoming):
            return
        if not self._there(name):
            self._link.exec_driver_sql(f"CREATE TABLE {self._incoming} LIKE {self._table}")
        if partitions_of(self._link, name, self._schema):
            self._link.exec_driver_sql(f"ALTER TABLE {self._incoming} REMOVE PARTITIONING")

    def holds_rows(self, place: str) -> bool:
        """Return whether there is a row."""
        found = self._link.exec_driver_sql(f"SELECT EXISTS(SELECT 1 FROM {place} LIMIT 1)")
        return bool(found.scalar_one())

    def take(self, part: Partition) -> None:
        """Exchange a live partition with the empty table ``incoming``."""
        self._keep_devices(f"{self._table} PARTITION ({part.name})")
        self._link.exec_driver_sql(
            f"ALTER TABLE {self._table} EXCHANGE PARTITION {part.name} WITH TABLE {self._incoming}"
        )

    def file(self) -> Iterator[Moved]:
        """Move what is in ``incoming`` to the tables of its years; leave it empty."""
        rows = self._link.exec_driver_sql(
            f"SELECT YEAR({self._column}), MONTH({self._column}), COUNT(*), MIN(id), MAX(id) "
            f"FROM {self._incoming} GROUP BY 1, 2 ORDER BY 3"
        )
        found = [
            (Month(int(year), int(month)), int(count), f"{first}-{last}")
            for year, month, count, first, last in rows
        ]
        if not found:
            return
        self._keep_devices(self._incoming)  # some may have come after their partition was looked at
        for month, count, numbers in found:
            self._make_year(month.year)
            target = f"{self._archive}.{self._table}_{month.year:04d}"
            is_last = month == found[-1][0]
            if is_last and not self.holds_rows(f"{target} PARTITION ({_name(month)})"):
                self._note(month, count, numbers)
                self._link.exec_driver_sql(
                    f"ALTER TABLE {target} EXCHANGE PARTITION {_name(month)} "
                    f"WITH TABLE {self._incoming}"
                )
            else:
                self._copy(month, count, target)
            yield Moved(self._table, month, count)

    def merge(self, due: list[Partition]) -> None:
        """Make one partition of those that were emptied; rows that came meanwhile stay in it."""
        if len(due) < 2:
            return
        last = due[-1].end
        assert last is not None
        names = ", ".join(part.name for part in due)
        self._link.exec_driver_sql(
            f"ALTER TABLE {self._table} REORGANIZE PARTITION {names} INTO ({part_sql(BEFORE, last)})"
        )

    def _copy(self, month: Month, count: int, target: str) -> None:
        """Move the rows of a month in one transaction."""
        start, end = month.first.isoformat(), month.plus(1).first.isoformat()
        inside = f"{self._column} >= '{start}' AND {self._column} < '{end}'"
        columns = [column.name for column in Base.metadata.tables[self._table].columns]
        rest = ", ".join(name for name in columns if name != "id")
        same = " AND ".join(f"old.{name} <=> new.{name}" for name in columns)

        def work(session: Session) -> None:
            link = session.connection()
            # A number that is taken at the same time: a server that restarted may give numbers anew.
            link.exec_driver_sql(
                f"SET @number = (SELECT COALESCE(MAX(id), 0) FROM (SELECT MAX(id) AS id FROM {target} "
                f"UNION ALL SELECT MAX(id) FROM {self._incoming}) AS numbers)"
            )
            link.exec_driver_sql(
                f"INSERT INTO {target} (id, {rest}) SELECT "
                f"IF(EXISTS(SELECT 1 FROM {target} AS old WHERE old.id = new.id "
                f"AND old.{self._column} = new.{self._column}), @number := @number + 1, new.id), "
                f"{', '.join(f'new.{name}' for name in columns if name != 'id')} "
                f"FROM {self._incoming} AS new WHERE {inside} "
                # The very row is there already where live tables were restored and the archive was not.
                f"AND NOT EXISTS (SELECT 1 FROM {target} AS old WHERE {same})"
            )
            gone = link.exec_driver_sql(f"DELETE FROM {self._incoming} WHERE {inside}")
            if gone.rowcount != count:  # no assert: PYTHONOPTIMIZE takes those away
                raise RuntimeError(
                    f"{self._table}, {month}: {count} rows taken out and {gone.rowcount} to delete"
                )
            note(session, self._table, month, count)

        self._db.run(work)

    def _note(self, month: Month, count: int, numbers: str) -> None:
        """Note a move that is about to be made, once: nobody could say later what a run that is killed has moved.

        It has the numbers of its rows as its name, as a run that was killed between note and move left it.
        """

        def work(session: Session) -> None:
            there = month in months_moved(session, self._table)
            if not there or not was_moved(session, self._table, str(month), numbers):
                note(session, self._table, month, count, numbers)

        self._db.run(work)

    def _keep_devices(self, place: str) -> None:
        rows = self._link.exec_driver_sql(f"SELECT DISTINCT device_id FROM {place}")
        numbers = [int(number) for (number,) in rows]
        self._db.run(lambda session: keep_devices(session, numbers))

    def _make_year(self, year: int) -> None:
        """Make a year's table with its months, or give them to one that a killed run left without."""
        name = f"{self._table}_{year:04d}"
        months = [Month(year, number) for number in range(1, 13)]
        if not self._there(name):
            self._link.exec_driver_sql(f"CREATE TABLE {self._archive}.{name} LIKE {self._table}")
        there = [part.name for part in partitions_of(self._link, name, self._schema)]
        if there != [_name(month) for month in months]:
            parts = ", ".join(part_sql(_name(month), month.plus(1).first) for month in months)
            self._link.exec_driver_sql(
                f"ALTER TABLE {self._archive}.{name} "
                f"PARTITION BY RANGE COLUMNS ({self._column}) ({parts})"
            )

    def _there(self, name: str) -> bool:
        found = self._link.exec_driver_sql(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = %s "
            "AND table_name = %s",
            (self._schema, name),
        )
        return bool(found.scalar_one())


def _name(month: Month) -> str:
    return f"p{month.year:04d}{month.number:02d}"


@contextmanager
def _explained(db: Database, table: str) -> Iterator[None]:
    """Say what is to be done where the server refuses to change tables."""
    try:
        yield
    except Exception as error:
        cause = error if isinstance(error, DBAPIError) else error.__cause__
        orig = cause.orig if isinstance(cause, DBAPIError) else None
        number, said = (*getattr(orig, "args", ()), None, None)[:2]
        schema = archive_schema(db)
        if number in _FORBIDDEN:
            raise ProblemFound(
                f"database {db.place}: {said}; who writes rows may not change tables: let the setting "
                "database_admin_url name the account that does, which `truetonne db grants migrate` "
                "makes, or mends, on this server",
                code="archive-forbidden",
            ) from error
        if number in _OTHER_SHAPE:
            raise ProblemFound(
                f"{table} has other columns or indexes than its tables in {schema}: {said}; "
                "change those as it was changed, see docs/retention.md",
                code="archive-shape",
            ) from error
        raise
