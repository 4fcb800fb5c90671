"""Where a database is: its URL, and the folder of an SQLite file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from ledger.errors import BadInput, DependencyDown
from ledger.settings import redacted


def checked(url: str) -> URL:
    """Return the URL of a database, read.

    Raises
    ------
    BadInput
        It cannot be read, or names a database that is not supported.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # a port that is no number
        raise BadInput(
            f"database URL {redacted(url)!r} cannot be read; write sqlite:///FILE or mysql+pymysql://USER:PASSWORD@HOST/NAME"
        ) from error
    if parsed.drivername in ("mysql+pymysql", "mariadb+pymysql", "mysql", "mariadb"):
        if not parsed.database:
            raise BadInput(
                f"database URL {parsed.render_as_string()} names no database; end it with /NAME"
            )
        # One dialect for both servers: SQLAlchemy finds out which it is.
        return parsed.set(drivername="mysql+pymysql")
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if parsed.database in (None, "", ":memory:"):
            raise BadInput("SQLite in memory is not supported; name a file: sqlite:///FILE")
        return parsed
    raise BadInput(
        f"database {parsed.drivername!r} is not supported; use sqlite:///FILE or mysql+pymysql://USER:PASSWORD@HOST/NAME"
    )


def require_place(url: URL) -> None:
    """Require that an SQLite file that is not there could be made; nothing stays of the trial.

    Raises
    ------
    DependencyDown
        It could not.
    """
    folder = Path(url.database or "").absolute().parent
    while not folder.exists():
        folder = folder.parent
    try:
        with TemporaryDirectory(prefix=".truetonne-", dir=folder):
            pass
    except OSError as error:
        raise DependencyDown(
            f"database {url.database}: cannot be opened: it is not there and cannot be made in {folder} "
            f"({error.strerror}); name a folder that can be written"
        ) from error


def make_folder(url: URL) -> None:
    """Make the folder of an SQLite file.

    Raises
    ------
    DependencyDown
        It cannot be made.
    """
    folder = Path(url.database or "").parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DependencyDown(
            f"{folder}: cannot be made ({error.strerror}); name a folder that can be written"
        ) from error
