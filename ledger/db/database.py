"""The database: engines, transactions, read-only sessions. The only place that commits.

::

    db = Database(settings.database_url)
    db.upgrade()
    with db.read() as session: ...        # one consistent snapshot, nothing can be written
    with db.look() as session: ...        # the same, of a replica where there is one
    with db.write() as session: ...       # one unit of work: committed at the end, or not at all
    count = db.run(lambda session: ...)   # the same, tried again when another writer was in the way

The unit of work begins when the block is entered. On SQLite that takes the write lock at once
(``BEGIN IMMEDIATE``): with the driver's own late ``BEGIN``, a read followed by a write loses
updates without an error. On MariaDB, rows that are read to be changed are read ``FOR UPDATE``.

``rowcount`` of an UPDATE counts the rows found, changed or not, on both: PyMySQL is run with the
client flag FOUND_ROWS, which SQLAlchemy sets. Guarded updates rely on it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, Executable, Table
from sqlalchemy.orm import Session

from ledger.db import engines, own_tables
from ledger.db.counting import rows_found
from ledger.db.failures import DatabaseBusy, Stage, translated
from ledger.db.location import checked, make_folder
from ledger.db.presence import Presence
from ledger.db.quick import Quick
from ledger.db.quick_server import QuickServer
from ledger.db.replica import ANSWERS_S, PATIENCE_S, Replica
from ledger.db.rows import Rows

T = TypeVar("T")
SETTING = "TRUETONNE_DATABASE_URL"
READ_SETTING = "TRUETONNE_DATABASE_READ_URL"
_WAITS_MAX = 2
"""How often a unit of work waits for a lock in vain; anything else that it meets (a deadlock, say) does not count."""
_QUICK_S = 2
"""How long a quick read waits for MariaDB, in seconds, before the ordinary way is taken."""


class UnitOfWork(Session):
    """A session that cannot be committed by those who use it; ``info["database"]`` is its database."""

    def commit(self) -> None:
        """Refuse: the unit of work is committed where it was begun."""
        raise RuntimeError(
            "ledger.db commits at the end of `with db.write()`; use flush() to send rows earlier"
        )


class Database(Rows):
    """One database, SQLite or MariaDB.

    Parameters
    ----------
    url
        ``sqlite:///FILE`` or ``mysql+pymysql://USER:PASSWORD@HOST/NAME``. Further parameters of
        PyMySQL may stand in the query, such as ``ssl_ca`` and ``ssl_verify_identity``.
    read_url
        A replica of it, for ``look``; empty where there is none.
    lock_timeout_s
        How long a statement waits for another writer, in seconds.
    patience_s
        How long an answer is waited for before the server counts as gone; None: for as long as the statement runs
        there.
    answers_s
        As ``engines.create``.
    setting
        The setting that the URL is from, as people set it: errors name it.
    silent
        Whether the log is not told when the server goes away and comes back.

    Raises
    ------
    BadInput
        The URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        read_url: str = "",
        lock_timeout_s: int = 30,
        patience_s: int | None = None,
        answers_s: int = 10,
        setting: str = SETTING,
        silent: bool = False,
    ) -> None:
        self.url: URL = checked(url)
        self.lock_timeout_s = lock_timeout_s
        self.setting = setting
        self._presence = Presence(self.place, silent=silent)
        engine = engines.create(
            self.url,
            lock_timeout_s=lock_timeout_s,
            patience_s=patience_s,
            answers_s=answers_s,
            on_node=self._presence.at,
        )
        self._engine: Engine = engine
        self._reader = engine.execution_options(**{engines.MODE: engines.READ})
        self._writer = engine.execution_options(**{engines.MODE: engines.WRITE})
        self._notes = engine.execution_options(**{engines.MODE: engines.NOTES})
        self.quick = Quick(Path(self.url.database or "")) if self.dialect == "sqlite" else None
        """Short reads without the ORM, see ``ledger.db.quick``; None on MariaDB."""
        self.quick_server = QuickServer(self._quick_engine) if self.quick is None else None
        """The same on MariaDB, one statement at a time, see ``ledger.db.quick_server``; None on SQLite."""
        self.replica = Replica(_replica_at(read_url)) if read_url else None
        """Where ``look`` reads; None: here."""

    @property
    def dialect(self) -> str:
        """``sqlite`` or ``mysql`` (MariaDB and MySQL)."""
        return self._engine.dialect.name

    @property
    def place(self) -> str:
        """Where the database is, for people: the URL without its password."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self, *, holding: Sequence[Table] = ()) -> Iterator[Session]:
        """Open a session that sees one snapshot and can write nothing.

        Parameters
        ----------
        holding
            Tables whose partitions stay where they are from before the snapshot to its end, on MariaDB: who comes to a
            table after a partition left, with a snapshot from before, may find neither its rows nor an error.

        Raises
        ------
        DatabaseBusy
            A table that is to be held is being changed.
        DependencyDown
            The server does not answer, or the file cannot be opened.
        """
        with self._session(_holding(self._reader, holding)) as session:
            yield session

    @contextmanager
    def look(self) -> Iterator[Session]:
        """Open a session like ``read``, on the replica where one is set.

        What was committed before, by whomever, is in it: the primary is asked how far it is, and the replica waited
        for. One that lags or is gone is passed over, and the primary read.

        Raises
        ------
        DependencyDown
            The server that is read does not answer.
        """
        with ExitStack() as stack:
            session = None if self.replica is None else self._replicated(self.replica, stack)
            yield session or stack.enter_context(self.read())

    def _replicated(self, replica: Replica, stack: ExitStack) -> Session | None:
        """Open a session on the replica; return None when the primary is to be read."""
        if not replica.may_be_asked():
            return None
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._translated(), engine.connect() as link:
            position = engines.position_of(link)
        return replica.enter(position, stack)

    def reading_after(self, position: str, wait_s: float) -> AbstractContextManager[Session]:
        """Open a session like ``read`` on a replica that has come to a position of its primary.

        Raises
        ------
        ReplicaLags
            It has not come there in time.
        DependencyDown
            As ``read``.
        """
        return self._session(self._reader.execution_options(**{engines.WAIT: (position, wait_s)}))

    @contextmanager
    def write(self, *, lasting: bool = True, holding: Sequence[Table] = ()) -> Iterator[Session]:
        """Open one unit of work: committed when the block ends, rolled back when it raises.

        Parameters
        ----------
        lasting
            Whether a power cut must not take it back: False spares SQLite the wait for the disk.
        holding
            As for ``read``: the tables that it reads, and whose partitions leave.

        Raises
        ------
        DatabaseBusy
            Another writer was in the way (lock, deadlock, a row changed since the snapshot).
        DependencyDown
            The server does not answer, or the file cannot be opened.
        NewerTables, TablesChanging
            A newer version has upgraded the tables, or another process does so now.
        """
        engine = self._writer if lasting else self._notes
        with self._session(_holding(engine, holding)) as session:
            yield session

    def run(
        self,
        work: Callable[[Session], T],
        *,
        attempts: int = 6,
        lasting: bool = True,
        keep: bool = True,
        holding: Sequence[Table] = (),
    ) -> T:
        """Do one unit of work, again from its start when another writer was in the way.

        Parameters
        ----------
        work
            Called with the session, possibly several times; its effects outside of the database
            must bear that.
        attempts
            How often at most; who waited for the lock twice in vain does not wait again.
        lasting, holding
            As for ``write``.
        keep
            False: all of it is done, and nothing is kept, as dry runs want it.

        Raises
        ------
        DatabaseBusy
            It was in the way every time.
        """

        def once() -> T:
            with self.write(lasting=lasting, holding=holding) as session:
                found = work(session)
                if not keep:
                    session.rollback()
                return found

        waits = 0
        for attempt in range(attempts - 1):
            begun_s = time.monotonic()
            try:
                return once()
            except DatabaseBusy as busy:
                # A file that two make at once is refused by SQLite without a wait.
                waits += busy.waited and time.monotonic() - begun_s > self.lock_timeout_s / 2
                if waits == _WAITS_MAX:
                    raise
                time.sleep(random.uniform(0.5, 1.0) * 0.05 * 2**attempt)
        return once()

    def alone(self, statement: Executable, *, patience_s: int | None = None) -> int:
        """Execute one statement that is a unit of work by itself; return how many rows it found.

        On MariaDB the server commits it without hearing from us again: whoever is stopped in the middle
        leaves no lock behind. A power cut may take it back, as it may what ``run`` does that need not last.

        Parameters
        ----------
        patience_s
            How long it waits for another writer, in seconds; None: as long as every statement.

        Raises
        ------
        DatabaseBusy, DependencyDown, NewerTables
            As ``write``.
        IntegrityError
            A row with that key is there.
        """
        usual_s = self.lock_timeout_s
        patience_s = usual_s if patience_s is None else patience_s
        if self.dialect == "sqlite":
            notes = self._notes.execution_options(**{engines.PATIENCE: patience_s})
            with self._session(notes) as session:
                return rows_found(session, statement)
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with ExitStack() as stack:
            stage = stack.enter_context(self._translated())
            connection = stack.enter_context(engine.connect())
            if patience_s != usual_s:
                stack.enter_context(engines.waiting_at_most(connection, patience_s, usual_s))
            own_tables.require(connection)
            stage.committing = True
            return int(connection.execute(statement).rowcount)

    @contextmanager
    def server(self) -> Iterator[Connection]:
        """Open a connection of MariaDB that begins no transaction by itself, for what concerns the server.

        Raises
        ------
        DependencyDown
            The server does not answer.
        """
        engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._translated(), engine.connect() as connection:
            try:
                yield connection
            finally:
                connection.invalidate()  # whatever was set in it goes with it

    def ping(self) -> None:
        """Ask the database for an answer.

        Raises
        ------
        DependencyDown
            It does not answer.
        """
        with self.read():
            pass

    def explained(self) -> AbstractContextManager[object]:
        """Turn what the driver complains of into errors that name this database, where one works with two at a time."""
        return self._translated()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
        if self.replica is not None:
            self.replica.close()
        if self.quick is not None:
            self.quick.close()
        if self.quick_server is not None:
            self.quick_server.close()

    def _quick_engine(self) -> Engine:
        return engines.create(self.url, lock_timeout_s=1, patience_s=_QUICK_S, quick=True)

    @contextmanager
    def _session(self, engine: Engine) -> Iterator[Session]:
        if self.dialect == "sqlite":
            make_folder(self.url)
        with (
            self._translated() as stage,
            UnitOfWork(engine, expire_on_commit=False, info={"database": self}) as session,
            session.begin(),
        ):
            stage.writes = engine.get_execution_options().get(engines.MODE) != engines.READ
            session.connection()
            yield session
            session.flush()
            stage.committing = stage.writes

    def _translated(self) -> AbstractContextManager[Stage]:
        return translated(self.place, self._presence, self.setting)


def _holding(engine: Engine, tables: Sequence[Table]) -> Engine:
    return engine.execution_options(**{engines.HOLD: tuple(tables)}) if tables else engine


def _replica_at(url: str) -> Database:
    """Return a replica's database; that it is gone, and read again, is said by who passes it over."""
    return Database(
        url, patience_s=PATIENCE_S, answers_s=ANSWERS_S, setting=READ_SETTING, silent=True
    )
