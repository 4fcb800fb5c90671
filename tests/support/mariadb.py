"""The MariaDB server of the tests, see ``cli.bench.mariadb``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pymysql

from cli.bench.mariadb import MariaDbServer as _Server
from cli.bench.mariadb import ServerUnavailable
from ledger.db import Database
from tests.support.tls import made_certificate

__all__ = [
    "MariaDbServer",
    "Server",
    "ServerUnavailable",
    "empty",
    "load",
    "running_server",
    "save",
]


class Server(_Server):
    """A server with a certificate of ours, on a curve.

    MariaDB makes itself one of RSA, which takes four times as long as all else of a start, and twice as long as all
    else of a connection with TLS.
    """

    def start(self) -> None:
        """Make an empty data folder and the certificate, and start the server on a free port."""
        public, private = made_certificate(self.folder, "127.0.0.1")
        self._options[:0] = [f"--ssl-cert={public}", f"--ssl-key={private}"]
        super().start()


class MariaDbServer(Server):
    """A server whose data die with the tests: no care for power cuts.

    Parameters
    ----------
    folder
        An empty folder for its data, socket and log.
    plain
        Whether its addresses say ``tls=off``: a connection takes a tenth of the time then, a statement half of it.
    """

    def __init__(self, folder: Path, *, plain: bool = False) -> None:
        super().__init__(folder, ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"])
        self._plain = plain

    def url(self, database: str) -> str:
        """Return the address of a database for ``ledger.db``."""
        return super().url(database) + ("?tls=off" if self._plain else "")


@contextmanager
def running_server(*databases: str) -> Iterator[MariaDbServer]:
    """Start a server in a temporary folder, with the schema in each of these databases; nothing of it stays.

    Raises
    ------
    ServerUnavailable
        If none can be started here.
    """
    with TemporaryDirectory(prefix="mariadb-") as folder:
        server = MariaDbServer(Path(folder))
        server.start()
        try:
            for name in databases:
                server.execute(f"CREATE DATABASE {name}")
                books = Database(server.url(name))
                books.upgrade()
                books.close()
            yield server
        finally:
            server.stop()


def save(server: MariaDbServer, database: str, file: Path) -> None:
    """Write the statements that make a database as it is: tables, triggers, rows."""
    text = client(server, "mariadb-dump", "--skip-comments", database)
    new = file.with_suffix(".new")
    new.write_bytes(text)
    new.replace(file)


def load(server: MariaDbServer, database: str, file: Path) -> str:
    """Make a database by the statements of a file, and return its address.

    MySQL makes it by the migrations: tables that it is told in MariaDB's words it does not describe in the same.
    """
    server.execute(f"CREATE DATABASE {database}")
    if server.is_mysql:
        books = Database(server.url(database))
        books.upgrade()
        books.close()
        return server.url(database)
    client(server, "mariadb", database, text=file.read_bytes())
    return server.url(database)


def client(server: MariaDbServer, program: str, *words: str, text: bytes = b"") -> bytes:
    """Run one of the server's own clients, and return what it says."""
    if shutil.which(program) is None:
        raise ServerUnavailable(f"{program} is not installed (Debian's package mariadb-client)")
    command = [program, "--no-defaults", "--user=root", f"--socket={server.folder / 's'}", *words]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True).stdout


def empty(server: MariaDbServer, database: str, *but: str) -> None:
    """Remove all rows of a database, but those of some tables; the schema and its revision stay.

    TRUNCATE, because it passes the triggers of the append-only tables.
    """
    with pymysql.connect(
        unix_socket=str(server.folder / "s"),
        user="root",
        database=database,
        autocommit=True,
        ssl_disabled=True,  # which would take longer than all the rest
    ) as link:
        cursor = link.cursor()
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = %s "
            "AND table_type = 'BASE TABLE' AND table_name <> 'alembic_version'",
            (database,),
        )
        names = [name for (name,) in cursor.fetchall() if name not in but]
        cursor.execute(
            " UNION ALL ".join(f"(SELECT '{name}' FROM {name} LIMIT 1)" for name in names)
        )
        filled = [name for (name,) in cursor.fetchall()]
        cursor.execute("SET foreign_key_checks=0")
        for name in filled:
            cursor.execute(f"TRUNCATE {name}")
