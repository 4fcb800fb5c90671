"""Many rows at once, at the speed of the driver or past it; by units of work of ``ledger.db.database``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

from sqlalchemy import Column, Engine
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger.db import bulk, packed
from ledger.db.behind import Behind, behind
from ledger.db.schema import Schema
from ledger.db.sqltext import for_driver

Row = Sequence[Any] | Mapping[str, Any]
EXECUTEMANY_ROWS = 5_000
"""Rows that are handed to the driver at once."""


class Rows(Schema):
    """What writes and reads many rows."""

    _engine: Engine

    def executemany(self, session: Session, sql: str, rows: Iterable[Row]) -> int:
        """Execute one statement for many rows at the driver's own speed.

        Values go to the driver as they are; ``encoder`` makes them fit the column types.

        Parameters
        ----------
        session
            The unit of work.
        sql
            The statement with ``?`` for the values of a sequence, or ``:name`` for those of a
            mapping, on both databases.
        rows
            Sequences, or mappings; read once, in pieces.

        Returns
        -------
        int
            How many rows were handed over.
        """
        session.flush()
        connection = session.connection()
        text = for_driver(sql, self.dialect)
        source = iter(rows)
        count = 0
        while piece := list(islice(source, EXECUTEMANY_ROWS)):
            connection.exec_driver_sql(text, piece)
            count += len(piece)
        return count

    def insert_columns(
        self,
        session: Session,
        table: str,
        columns: Mapping[str, Sequence[bulk.Plain]],
        constants: Mapping[str, bulk.Plain],
    ) -> None:
        """Insert many rows of whole numbers, text and None, see ``ledger.db.bulk``.

        Parameters
        ----------
        session
            The unit of work.
        table
            Where to, by its name in the database.
        columns
            The values of each column, as the database stores them; all are of one length.
        constants
            Columns that have the same value in every row.
        """
        session.flush()
        bulk.insert(session.connection(), table, columns, constants)

    def many(
        self, session: Session, query: packed.Many, values: Sequence[Any], *, share: bool = False
    ) -> list[packed.Column]:
        """Return many rows of whole numbers and short texts as columns, see ``ledger.db.packed``."""
        session.flush()
        return packed.fetch(session.connection(), query, values, share=share)

    def behind(self, session: Session) -> AbstractContextManager[Behind]:
        """Open writes that the database does while their author goes on, see ``ledger.db.behind``."""
        session.flush()
        return behind(session, at_once=self.dialect == "sqlite")

    def encoder(
        self, *columns: Column[Any] | InstrumentedAttribute[Any]
    ) -> Callable[[Iterable[Any]], tuple[Any, ...]]:
        """Return a function from the values of these columns to what the driver takes.

        It applies the columns' types, with all that they refuse, to a row for ``executemany``.
        """
        dialect = self._engine.dialect
        steps = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in columns]

        def encode(values: Iterable[Any]) -> tuple[Any, ...]:
            return tuple(
                step(value) if step else value for step, value in zip(steps, values, strict=True)
            )

        return encode
