"""Mirrors beside the mirror: copies and fresh ones, in files that are gone afterwards.

A comparison needs the mirror to hold still and a second one that holds it to account. Both are SQLite
files in a folder of their own: a **copy** of the mirrored tables, taken in one snapshot of the books,
and a **fresh** mirror, read anew from the node. Nothing here writes to the books.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import (
    delete,
    exists,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from indexer import finality, reorg
from indexer.backoff import pause_s
from indexer.copying import copy_table
from indexer.loop import Indexer
from indexer.tables import MIRRORED, OWN
from indexer.ticks import Limits
from ledger.chain.addresses.book import Deployment
from ledger.chain.node.client import ChainClient, RpcError
from ledger.chain.node.records import BlockHeader
from ledger.chain.sending import transactions
from ledger.db import Database
from ledger.errors import DependencyDown, MirrorStopped
from ledger.files import passing_folder, temporary_folder
from ledger.models import (
    BlockchainTransaction,
    ChainAttempt,
    ChainCursor,
    ChainInclusion,
    ChainIntent,
)
from ledger.models.blockchain import TransactionStatus
from ledger.models.sending import IntentState
from ledger.models.types import ValueUnreadable
from ledger.settings import file_url

_READS_MAX = 4
"""How often a node that does not answer is asked, at most; what was read stays."""
_PAUSE_S_MAX = 10.0
_NO_ROOM = frozenset({"SQLITE_FULL", "SQLITE_IOERR_WRITE"})
_NO_ROOM_LEFT = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Workshop:
    """A folder of mirrors to compare."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._empty = folder / "empty.db"
        self._empty.write_bytes(_without_rows())
        self._open: list[Database] = []

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Workshop]:
        """Open a workshop; its files are gone at the end.

        Raises
        ------
        DependencyDown
            If there is no room for them.
        """
        with _temporary("truetonne-copies-") as folder:
            shop = cls(folder)
            try:
                yield shop
            finally:
                for database in shop._open:
                    database.close()

    def copy_of(self, db: Database, name: str) -> Database:
        """Copy the mirrored tables, and what the mirror asks of ours, as of one instant."""
        file = self._new(name, self._empty)
        with db.read() as session, closing(sqlite3.connect(file)) as target:
            for table in [*(item.table for item in MIRRORED), *OWN]:
                copy_table(db, session, table, target)
            target.commit()
        return self._opened(file)

    def twin_of(self, db: Database, name: str) -> Database:
        """Copy a mirror of this workshop."""
        source = Path(str(db.url.database))
        file = self._folder / f"{name}.db"
        with closing(sqlite3.connect(source)) as there, closing(sqlite3.connect(file)) as here:
            there.backup(here)
        return self._opened(file)

    def empty_beside(self, db: Database) -> Database:
        """Return an empty mirror that knows of ours what another one of this workshop knows."""
        file = self._new("fresh", self._empty)
        with db.read() as session, closing(sqlite3.connect(file)) as target:
            for table in OWN:
                copy_table(db, session, table, target)
            target.commit()
        made = self._opened(file)
        with made.write() as session:
            _expect_ours(session)
        return made

    def _new(self, name: str, origin: Path) -> Path:
        file = self._folder / f"{name}.db"
        shutil.copyfile(origin, file)
        return file

    def _opened(self, file: Path) -> Database:
        database = Database(file_url(file))
        self._open.append(database)
        return database


@contextmanager
def _room_in(parent: Path, prefix: str = "") -> Iterator[None]:
    """Say of a folder that it has no room left, or that no more files can be opened, in place of whatever failed.

    Parameters
    ----------
    prefix
        How the names of the folders in it begin where our own mirrors lie: what is said of other databases stays.
    """
    try:
        yield
    except (sqlite3.Error, OSError, DependencyDown) as error:
        said: BaseException = error
        if isinstance(error, DependencyDown):
            where = str(error.details.get("database"))
            driver = isinstance(error.__cause__, DBAPIError) and error.__cause__.orig
            if not driver or f"{parent / prefix}" not in where:
                raise
            said = driver
        # The files are our own, and were there a moment ago: SQLite says no more than that it cannot open one.
        if getattr(said, "sqlite_errorname", "").startswith("SQLITE_CANTOPEN"):
            raise DependencyDown(
                f"{said}, of a mirror to compare with, in {parent}: allow more open files (`ulimit -n`, "
                "or the limit of the service), and give the command again",
                code="too-many-files",
            ) from error
        if not (
            getattr(said, "sqlite_errorname", "") in _NO_ROOM
            or getattr(said, "errno", None) in _NO_ROOM_LEFT
        ):
            raise
        raise DependencyDown(
            f"there is no room in {parent} for a mirror to compare with ({getattr(said, 'strerror', None) or said}); "
            "make some, or set TMPDIR to a folder on another disk"
        ) from error


@contextmanager
def _temporary(prefix: str) -> Iterator[Path]:
    with _room_in(temporary_folder(), prefix), passing_folder(prefix) as folder:
        yield folder


@cache
def _without_rows() -> bytes:
    """Return the file of a mirror that nothing was read into: its migrations take longer than a short comparison."""
    with _temporary("truetonne-blank-") as folder:
        file = folder / "empty.db"
        database = Database(file_url(file))
        database.upgrade()
        database.close()
        # On a full disk, or with too few files, some may still stand in the log.
        with closing(sqlite3.connect(file)) as link:
            link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return file.read_bytes()


# -------------------------------------------------------------------------- our own


def _expect_ours(session: Session) -> None:
    """Let a mirror expect what we sent, as it was before any of it was in a block.

    The rows of our transactions are made of the intents, as the sender made them; the copy's own rows
    are what is to be checked.
    """
    in_a_block = exists().where(ChainInclusion.tx_hash == BlockchainTransaction.tx_hash)
    ended = BlockchainTransaction.status != TransactionStatus.PENDING
    known = exists().where(
        BlockchainTransaction.tx_hash == ChainAttempt.tx_hash, in_a_block | ended
    )
    query = (
        select(ChainAttempt, ChainIntent)
        .join(ChainIntent, ChainIntent.key == ChainAttempt.intent_key)
        .where(~known)
    )
    ours = session.execute(query).all()
    session.execute(
        delete(BlockchainTransaction)
        .where(~ended, ~in_a_block)
        .execution_options(synchronize_session=False)
    )
    for attempt, intent in ours:
        transactions.record_pending(
            session,
            tx_hash=attempt.tx_hash,
            contract_address=intent.contract_address,
            function_name=intent.function_name,
            parameters=intent.parameters,
            created_at=attempt.created_at,
        )
    session.flush()
    session.execute(
        update(ChainIntent)
        .where(ChainIntent.nonce.is_not(None))
        .values(state=IntentState.SUBMITTED)
        .execution_options(synchronize_session=False)
    )


# ---------------------------------------------------------------------- moving them


def take_back(db: Database, deployment: Deployment, to: BlockHeader, again: bool = False) -> None:
    """Rewind a mirror of the workshop to a block.

    Parameters
    ----------
    again
        Whether it reads on from there: it then expects what we sent.
    """
    with db.write() as session:
        reorg.rewind(session, to.number)
        row = session.get(ChainCursor, deployment.network)
        final = min(row.final_number, to.number) if row is not None else to.number
        values = {
            "block_number": to.number,
            "block_hash": to.hash,
            "final_number": final,
        }
        if again:
            values |= {"chain_id": deployment.chain_id, "genesis_hash": deployment.genesis_hash}
            _expect_ours(session)
        session.execute(
            update(ChainCursor)
            .where(ChainCursor.network == deployment.network)
            .values(**values)
            .execution_options(synchronize_session=False)
        )


def read_on(
    db: Database, client: ChainClient, deployment: Deployment, up_to: int, final: int
) -> None:
    """Mirror up to a block into a mirror of the workshop, and confirm up to another.

    Raises
    ------
    DependencyDown
        If the node does not answer.
    MirrorStopped, ValueUnreadable, IntegrityError
        If something cannot be mirrored, or not on the rows that are there: somebody altered them.
    """
    mirror = Indexer(db, client, deployment, limits=Limits(up_to, final))
    for failures in range(1, _READS_MAX):
        try:
            mirror.run_until(up_to)
        except (MirrorStopped, ValueUnreadable):  # neither gets better by waiting
            raise
        except (DependencyDown, RpcError) as error:
            time.sleep(min(pause_s(error, failures), _PAUSE_S_MAX))
        else:
            return
    mirror.run_until(up_to)


def forget(db: Database, final: int) -> None:
    """Forget the blocks that a mirror forgets which has confirmed up to a block."""
    with db.write() as session:
        finality.forget_blocks(session, 0, final - finality.BLOCKS_KEPT)
