"""The books as a command opens them: the database, with the schema that this version wants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from ledger.db import Database, SchemaMissing
from ledger.db.own_tables import refuse_moved
from ledger.errors import DependencyDown
from ledger.migrations import revisions
from ledger.settings import Settings

if TYPE_CHECKING:
    from api.finality import ChainView
    from ledger.sealing import Lost


@dataclass(frozen=True)
class Upgrade:
    """What bringing the tables to this version did, or would do."""

    place: str
    """The database, without what is secret in its address."""
    before: str | None
    applied: list[str] = field(default_factory=list)
    sealed: dict[str, int] = field(default_factory=dict)
    """Values of each table that stood there plain, from before there was a seal."""
    lost: list[Lost] = field(default_factory=list)
    """What no key opened then: it stays as it is."""


def bring_up_to_date(settings: Settings, *, dry_run: bool = False) -> Upgrade:
    """Bring the tables to this version, by the account that may change them; does nothing where they are.

    Raises
    ------
    DependencyDown
        If the database does not answer, that account may not, or the tables are those of a newer version.
    """
    from cli.sealed import seal_what_is_plain

    url, named = settings.database_admin_url, settings.variable_of("database_admin_url")
    with closing(Database(url, setting=named)) as database:
        before = database.current()
        require_known(database, before)
        if dry_run:
            return Upgrade(database.place, before)
        applied = database.upgrade()
        # Where an upgrade was interrupted here, the next one goes on.
        sealed = seal_what_is_plain(database, settings.sealing_key_file)
        return Upgrade(database.place, before, applied, sealed.sealed, sealed.lost)


def open_books(settings: Settings) -> AbstractContextManager[Database]:
    """Open the database, and close it at the end.

    Raises
    ------
    DependencyDown
        If it does not answer, or its schema is not the one that this version wants.
    """
    named = settings.variable_of("database_url")
    return _opened(settings.database_url, named, settings.database_read_url)


def to_begin(settings: Settings) -> bool:
    """Return whether the database is an SQLite file that is not there yet."""
    with closing(Database(settings.database_url)) as database:
        return database.dialect == "sqlite" and not database.is_there()


@contextmanager
def begin_books(settings: Settings, *, dry_run: bool) -> Iterator[Database]:
    """Make an SQLite database that is not there, and open it; a dry run has one in a temporary folder in its place.

    Raises
    ------
    DependencyDown
        If it cannot be made.
    """
    if not dry_run:
        bring_up_to_date(settings)
        with open_books(settings) as database:
            yield database
        return
    with (
        TemporaryDirectory(prefix="truetonne-") as folder,
        closing(Database(f"sqlite:///{folder}/books.db")) as database,
    ):
        database.upgrade()
        yield database


def open_changing(settings: Settings) -> AbstractContextManager[Database]:
    """Open the database by the account that may change its tables, see ``open_books``."""
    named = settings.variable_of("database_admin_url")
    return _opened(settings.database_admin_url, named)


@contextmanager
def _opened(url: str, setting: str, read_url: str = "") -> Iterator[Database]:
    with closing(Database(url, read_url=read_url, setting=setting)) as database:
        check_schema(database)
        yield database


@contextmanager
def reading(settings: Settings) -> Iterator[tuple[Session, ChainView]]:
    """Yield a read-only session of the books, and how far the mirror has come in it.

    Raises
    ------
    DependencyDown
        If the database does not answer, or its schema is not the one that this version wants.
    """
    from api.finality import (
        chain_view,  # with what validates answers, which the mirror's start does without
    )

    with open_books(settings) as database, database.look() as session:
        yield session, chain_view(session, settings.network, settings.finality)


def _whence(database: Database) -> str:
    """Return the folder that a database's path leads on from; nothing where it begins with ``/``, or is of a server."""
    file = database.url.database or ""
    relative = database.url.get_backend_name() == "sqlite" and not Path(file).is_absolute()
    return f" (in {Path.cwd()}, where the command was called)" if relative else ""


def check_schema(database: Database, way: str = "run `truetonne db upgrade`") -> str:
    """Return the revision of the schema.

    Parameters
    ----------
    way
        What is to be done where there is none, or an older one.

    Raises
    ------
    SchemaMissing
        If there is none, or another than this version wants: an older one, or one of a newer version.
    """
    revision = database.current()
    if revision is None:
        raise SchemaMissing(
            f"database {database.place}{_whence(database)} has no tables yet; {way}"
        )
    require_known(database, revision)
    if revision != database.head():
        raise SchemaMissing(
            f"database {database.place} is at revision {revision}, this version wants "
            f"{database.head()}; {way}",
            code="schema-old",
        )
    return revision


def require_known(database: Database, revision: str | None) -> None:
    """Refuse tables of a newer version, and books that were closed as they were copied.

    Raises
    ------
    SchemaMissing
        If this version does not know their revision, or they were closed.
    """
    refuse_moved(database.place, revision)
    if revision is not None and not revisions.known(revision):
        raise SchemaMissing(
            f"database {database.place} is at revision {revision}, this version knows them up to {database.head()}: "
            "a newer version upgraded it; use that one, or restore the backup from before the upgrade",
            code="unknown-revision",
        )


def refuse_other_schema(database: Database) -> None:
    """Refuse tables of another version. None at all, or a server that is down, are waited for by who serves.

    Raises
    ------
    SchemaMissing
        If it answers, and has the schema of another version.
    """
    try:
        check_schema(database)
    except DependencyDown as error:
        if error.code in ("schema-old", "unknown-revision", revisions.MOVED):
            raise
