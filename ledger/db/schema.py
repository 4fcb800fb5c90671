"""The schema of a database: brought to a revision, its partitions, statements that change its tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.orm import Session

from ledger.db import engines
from ledger.db.failures import Stage
from ledger.db.location import make_folder, require_place
from ledger.migrations import revisions
from ledger.models import Base
from ledger.models.partitions import PartitionReport, ensure_partitions


class Schema(ABC):
    """What changes tables, each time by connections of its own."""

    url: URL
    lock_timeout_s: int

    @property
    @abstractmethod
    def dialect(self) -> str:
        """``sqlite`` or ``mysql`` (MariaDB and MySQL)."""

    @abstractmethod
    def read(self) -> AbstractContextManager[Session]:
        """Open a session that cannot write."""

    @abstractmethod
    def _translated(self) -> AbstractContextManager[Stage]:
        """Turn the driver's complaints into errors of ours."""

    @contextmanager
    def _migrating(self) -> Iterator[Engine]:
        engine = engines.create(self.url, lock_timeout_s=self.lock_timeout_s, migration=True)
        try:
            with self._translated() as stage:
                stage.writes = True
                yield engine
        finally:
            engine.dispose()

    def upgrade(self, revision: str = "head") -> list[str]:
        """Bring the schema to a revision; nothing happens when it is there already.

        An SQLite file that holds a schema is copied first, beside itself.

        Returns
        -------
        list of str
            The revisions that were applied, oldest first.

        Raises
        ------
        ProblemFound
            Rows would be left without the row that they refer to; nothing was changed.
        DependencyDown
            The database does not answer, or another process migrates it.
        """
        # Alembic and its templates are a quarter of the program's start, and few commands migrate.
        from ledger.migrations import runner

        if self.dialect == "sqlite":
            make_folder(self.url)
        with self._migrating() as engine:
            return runner.upgrade(engine, revision)

    def is_there(self) -> bool:
        """Return whether there is anything to read: an SQLite file that is not there would be made by reading it."""
        if self.dialect != "sqlite":
            return True
        try:
            return Path(self.url.database or "").exists()
        except OSError:  # no right to its folder, a name too long: whoever opens it says so
            return True

    def current(self) -> str | None:
        """Return the revision of the schema; None when there is none.

        Raises
        ------
        DependencyDown
            The server does not answer, or the file can be neither opened nor made.
        """
        if not self.is_there():
            require_place(self.url)
            return None
        with self.read() as session:
            return revisions.current(session.connection())

    @staticmethod
    def head() -> str:
        """Return the revision that this version of the product wants."""
        return revisions.head()

    def drop_tables(self) -> None:
        """Drop every table of the schema with all its rows, for a new start of a demonstration.

        Raises
        ------
        DependencyDown
            The database does not answer.
        """
        with self._migrating() as engine, engine.begin() as connection:
            Base.metadata.drop_all(connection)
            connection.exec_driver_sql("DROP TABLE IF EXISTS alembic_version")

    def ensure_partitions(self, today: date, until: date | None = None) -> list[PartitionReport]:
        """Add the partitions that will be needed; nothing happens on SQLite, which has none.

        Parameters
        ----------
        today
            The day, in UTC.
        until
            A day that is to be covered as well, however far it lies ahead.

        Returns
        -------
        list of PartitionReport
            What was found and done for each table; rows outside of all periods are an alarm.

        Raises
        ------
        DatabaseBusy
            The tables were in use for as long as a change of theirs may hold up others.
        """
        if self.dialect == "sqlite":
            return []
        with self.changing() as connection:
            return ensure_partitions(connection, today, until)

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """Open a connection for statements that change tables, each committed by itself. MariaDB only.

        In a transaction such a statement would wait for the transaction's own locks. It waits for two
        seconds at the most: everybody who wants the table waits behind it.

        Raises
        ------
        DatabaseBusy
            A table was in use for longer.
        DependencyDown
            The server does not answer.
        """
        with self._migrating() as engine:
            plain = engine.execution_options(isolation_level="AUTOCOMMIT")
            with plain.connect() as connection:
                yield connection
