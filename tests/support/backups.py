"""A MariaDB server that logs, a backup folder, and servers on what was restored from it."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest
from sqlalchemy import make_url

from ledger.backup.server import running
from ledger.backup.store import Store
from ledger.db import Database
from ledger.db.grants import Account, statements
from ledger.sealing import Sealer
from tests.support.accounts import PASSWORD
from tests.support.mariadb import Server, ServerUnavailable

DATABASE = "books"
KEY = bytes(range(32))
PAGES = {"innodb_page_size": "4096"}
"""As few servers have them: who restores must open the files as this one did."""
_PAGES = "--innodb-page-size=4096"


class LoggingServer:
    """A server with a binary log, and a connection of the account that takes backups; ``owner`` is root's."""

    def __init__(self, folder: Path, *more: str) -> None:
        fast = ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"]
        self.server = Server(folder, ["--log-bin=bin", "--server-id=1", _PAGES, *fast, *more])

    def start(self) -> None:
        self.server.start()
        self.server.execute(
            f"CREATE DATABASE {DATABASE}",
            *statements(Account.BACKUP, DATABASE, tls=False),
            f"SET PASSWORD FOR 'truetonne_backup'@'%' = PASSWORD('{PASSWORD}')",
        )
        url = make_url(self.server.url(DATABASE)).set(
            username="truetonne_backup", password=PASSWORD
        )
        self.db = Database(url.render_as_string(hide_password=False))
        self.owner = Database(self.server.url(DATABASE))

    def stop(self) -> None:
        self.db.close()
        self.owner.close()
        self.server.stop()

    def __call__(self, *statements: str) -> Any:
        """Execute statements and return the last one's rows."""
        return rows(self.server.folder / "s", *statements)

    def renew(self) -> None:
        """Begin with an empty database and an empty log."""
        self.db.close()
        self.owner.close()
        self(f"DROP DATABASE {DATABASE}", f"CREATE DATABASE {DATABASE}", "RESET MASTER")


def logging_server(folder: Path, *more: str) -> LoggingServer:
    """Start one, with more options; skip where it cannot be, fail under CI."""
    try:
        if shutil.which("mariadb-backup") is None:
            raise ServerUnavailable("mariadb-backup is not installed (Debian's mariadb-backup)")
        server = LoggingServer(folder, *more)
        server.start()
    except ServerUnavailable as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must run the tests of backups: {reason}")
        pytest.skip(str(reason))
    return server


def rows(socket: Path, *statements: str) -> Any:
    with pymysql.connect(
        unix_socket=str(socket), user="root", autocommit=True, ssl_disabled=True
    ) as link:
        cursor = link.cursor()
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


@contextmanager
def restored(place: Path, options: Mapping[str, str] = PAGES) -> Iterator[Any]:
    """Start a server on a restored folder; yield what asks it."""
    with running(place, options) as server:
        yield lambda *statements: rows(server.socket, *statements)


@contextmanager
def served(place: Path) -> Iterator[Server]:
    """Start an ordinary server on a restored folder, which is called ``data``, as its operator would."""
    server = Server(place.parent, ["--log-bin=bin", "--server-id=1", "--sync-binlog=1", _PAGES])
    server.reopen()
    try:
        yield server
    finally:
        server.stop()


def store(folder: Path, key: bytes = KEY) -> Store:
    return Store(folder, Sealer({1: key}))


def key_file(path: Path, key: bytes = KEY) -> Path:
    path.write_text(f"1:{base64.b64encode(key).decode()}\n")
    path.chmod(0o600)
    return path
