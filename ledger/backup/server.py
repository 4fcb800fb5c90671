"""A MariaDB server on a restored folder, for nobody but us: no port, an account of our own, ended by its own id.

The accounts of the folder are in force. Without them (``--skip-grant-tables``) the server refuses every statement of a
binary log that makes or changes one, and so whatever came after it.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from sqlalchemy import URL

from ledger.backup import tools
from ledger.backup.folder import unwritable_scratch
from ledger.db import Database
from ledger.errors import DependencyDown
from ledger.files import socket_in, temporary_folder

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 120
_ENDS_S = 1
"""Its clients hear of the end of a server before its parent does."""
_PASSWORDS_AS_THEY_ARE = (
    "--skip-strict-password-validation",
    "--loose-simple-password-check=OFF",
    "--loose-cracklib-password-check=OFF",
    "--loose-password-reuse-check=OFF",
)
"""Who set a password that is in a log was judged then, by rules that may be others now; a hash cannot be judged."""
_PACKET_BYTES = 1 << 30
"""The longest statement that MariaDB knows."""


@dataclass(frozen=True)
class PrivateServer:
    """A running server."""

    socket: Path
    log: Path
    user: str
    """An account that is there as long as the server runs, and may do everything."""
    password: str

    def url(self, database: str) -> str:
        """Return the address of a database for ``ledger.db``."""
        return self._url(database).render_as_string(hide_password=False)

    def _url(self, database: str) -> URL:
        return URL.create(
            "mysql+pymysql",
            self.user,
            self.password,
            "localhost",
            database=database,
            query={"unix_socket": str(self.socket)},
        )

    def apply(self, source: Iterator[bytes]) -> None:
        """Apply a binary log.

        Raises
        ------
        ToolFailed
            If a transaction cannot be applied; the message has the server's reason.
        """
        beginning = list(islice(source, 2))
        if len(beginning) < 2:  # no event: what decodes it would take that for a fault
            return
        source = chain(beginning, source)
        folder = self.socket.parent
        said, decoded = folder / "applied", folder / "decoded"
        with (
            decoded.open("wb") as decoder_said,
            said.open("wb") as client_said,
            tools.login(self._url("mysql")) as entry,
        ):
            decoder = subprocess.Popen(
                tools.bound([tools.program("mariadb-binlog"), "--no-defaults", "-"]),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=decoder_said,
            )
            client = subprocess.Popen(
                tools.bound(
                    [
                        tools.program("mariadb"),
                        entry.option,
                        "--skip-ssl",  # which the server does without, see _start
                        "--binary-mode",
                        f"--max-allowed-packet={_PACKET_BYTES}",
                    ]
                ),
                stdin=decoder.stdout,
                stdout=subprocess.DEVNULL,
                stderr=client_said,
                pass_fds=(entry.descriptor,),
            )
        assert decoder.stdin is not None and decoder.stdout is not None
        decoder.stdout.close()  # the client's alone now
        try:
            try:
                for data in source:
                    decoder.stdin.write(data)
                decoder.stdin.close()
            except BrokenPipeError:  # one of the two ended before: its code says why
                pass
            if client.wait() != 0:
                raise tools.failure("mariadb", client.returncode, said)
            if decoder.wait() != 0:
                raise tools.failure("mariadb-binlog", decoder.returncode, decoded)
        finally:
            for process in (decoder, client):
                if process.poll() is None:
                    process.kill()
                process.wait()


@contextmanager
def running(data: Path, options: Mapping[str, str]) -> Iterator[PrivateServer]:
    """Start a server on a folder, and stop it at the end so that its files are whole.

    Parameters
    ----------
    options
        What the files want to be opened with.

    Raises
    ------
    ToolFailed
        If it does not start, or does not stop.
    """
    with tempfile.TemporaryDirectory(prefix="truetonne-server-", dir=temporary_folder()) as name:
        folder = Path(name)
        # As long and mixed as any rule for passwords wants it.
        user, password = f"truetonne_{secrets.token_hex(8)}", f"Aa1-{secrets.token_urlsafe(32)}"
        server = PrivateServer(socket_in(folder), folder / "log", user, password)
        process = _start(server, data, options)
        try:
            with _whose_end_is_told(process, server.log):
                yield server
                _forget(server)
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                raise tools.late("mariadbd", "end", STOP_TIMEOUT_S, server.log) from None
            if code != 0:
                raise tools.failure("mariadbd", code, server.log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def _whose_end_is_told(process: subprocess.Popen[bytes], log: Path) -> Iterator[None]:
    """Say of a server that ended by itself that it did: what its clients say of that is about the books' server."""
    try:
        yield
    except DependencyDown as error:
        with suppress(subprocess.TimeoutExpired):
            raise tools.failure("mariadbd", process.wait(_ENDS_S), log) from error
        raise


def _start(
    server: PrivateServer, data: Path, options: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    account = f"'{server.user}'@localhost"
    first = server.socket.parent / "first.sql"
    try:
        first.touch(0o600)
        first.write_text(
            f"CREATE USER {account} IDENTIFIED VIA mysql_native_password USING PASSWORD('{server.password}');\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
        )
    except OSError as error:  # which names no file where the disk is full
        raise unwritable_scratch(first, error) from error
    with server.log.open("wb") as said:
        process = subprocess.Popen(
            tools.bound(
                [
                    tools.program("mariadbd"),
                    "--no-defaults",
                    f"--datadir={data}",
                    f"--tmpdir={server.socket.parent}",
                    f"--socket={server.socket}",
                    f"--pid-file={server.socket.parent / 'pid'}",
                    "--skip-networking",
                    "--skip-ssl",  # it would make itself a key of RSA, to encrypt what goes over a socket
                    f"--init-file={first}",
                    *_PASSWORDS_AS_THEY_ARE,
                    "--skip-log-bin",
                    "--skip-slave-start",
                    f"--max-allowed-packet={_PACKET_BYTES}",
                    "--innodb-buffer-pool-size=256M",
                    *(f"--{name.replace('_', '-')}={value}" for name, value in options.items()),
                    *(["--user=root"] if os.geteuid() == 0 else []),
                ]
            ),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd=data,
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    try:
        while not _answers(server):  # a signal that comes before is lost
            if process.poll() is not None:
                raise tools.failure("mariadbd", process.returncode, server.log)
            if time.monotonic() > deadline:
                _end(process)
                raise tools.late("mariadbd", "start", START_TIMEOUT_S, server.log)
            time.sleep(0.02)
    except BaseException:  # interrupted: it would write into folders that go
        _end(process)
        raise
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server at once, if it has not ended by itself."""
    process.kill()
    process.wait()


def _forget(server: PrivateServer) -> None:
    """Drop the account of our own: whoever starts the folder as his server finds those that were backed up."""
    with closing(Database(server.url("mysql"))) as db, db.server() as link:
        link.exec_driver_sql(f"DROP USER '{server.user}'@localhost")


def _answers(server: PrivateServer) -> bool:
    if not server.socket.exists():
        return False
    db = Database(server.url("mysql"))
    try:
        db.ping()
    except DependencyDown:
        return False
    finally:
        db.close()
    return True
