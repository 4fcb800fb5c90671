"""A MariaDB server of our own: a temporary folder, a free port, ended by its process id.

Where ``TEST_MYSQLD`` names the program of MySQL's server, it is that (docs/mysql.md).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pymysql

from ledger.chain.local.anvil import KeptPort, end_with_parent
from ledger.errors import DependencyDown
from ledger.files import socket_in

START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 30
TRIES = 3
_OF_MYSQL = ("--mysqlx=OFF", "--secure-file-priv=NULL", "--disable-log-bin")
FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/libexec"


class ServerUnavailable(DependencyDown):
    """No server can be started here; the message says why."""


class MariaDbServer:
    """A running server. ``url(name)`` makes SQLAlchemy's address of one of its databases.

    Parameters
    ----------
    folder
        An empty folder for its data, socket and log.
    options
        Further options of ``mariadbd``.
    defaults
        A configuration file; None: none, not even the machine's.
    """

    def __init__(
        self, folder: Path, options: Sequence[str] = (), defaults: Path | None = None
    ) -> None:
        self.folder = folder
        self._options = list(options)
        self._defaults = "--no-defaults" if defaults is None else f"--defaults-file={defaults}"
        self._memory = ["--innodb-buffer-pool-size=128M"]
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._program, self._install = _programs()
        self.is_mysql = self._install is None
        """Whether it is MySQL, which ``TEST_MYSQLD`` may name in MariaDB's place."""

    @property
    def pid(self) -> int | None:
        """The server's process number; None while it does not run."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Make an empty data folder and start the server on a free port."""
        socket_in(self.folder)
        self._install_data()
        self.reopen()

    def reopen(self) -> None:
        """Start the server on data that are there, on a free port."""
        for _ in range(TRIES):  # another process may take the port first
            self._kept = KeptPort()  # as long as the server may come back there
            self.port = self._kept.number
            if self._launch():
                return
        raise ServerUnavailable(f"mariadbd does not start: {_tail(self.folder / 'server.log')}")

    def restart(self) -> None:
        """Start the server again, on the same port and data, after ``kill`` or ``stop``."""
        if not self._launch():
            log = _tail(self.folder / "server.log")
            raise ServerUnavailable(f"mariadbd does not start again: {log}")

    def url(self, database: str) -> str:
        """Return the address of a database for ``ledger.db``."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str) -> None:
        """Execute statements as the server's root, outside of any database."""
        with pymysql.connect(
            unix_socket=str(self.folder / "s"), user="root", autocommit=True, ssl_disabled=True
        ) as link:
            for statement in statements:
                link.cursor().execute(statement)

    def stop(self) -> None:
        """End the server, by its own process id."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End the server as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _install_data(self) -> None:
        if self._install is None:
            self._initialise()
            return
        # A shell script, which splits what it passes on at blanks: the folder's path is not among its words.
        done = subprocess.run(
            [
                self._install,
                "--no-defaults",
                "--datadir=./data",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                # Of the files, for ever; all else is of the server that opens them.
                *(option for option in self._options if option.startswith("--innodb-page-size=")),
                *_as_root(),
            ],
            cwd=self.folder,
            # Servers that start delete the temporary tables of others in a folder they share.
            env={**os.environ, "TMPDIR": str(self.folder)},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()[-500:]
            raise ServerUnavailable(f"{Path(self._install).name} failed: {said}")

    def _initialise(self) -> None:
        """Make an empty data folder of MySQL's, whose root has no password and may come from anywhere."""
        first = self.folder / "first.sql"
        first.write_text(
            "CREATE USER root@'%' IDENTIFIED BY '';\nGRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;\n"
        )
        done = subprocess.run(
            [
                self._program,
                "--no-defaults",
                "--initialize-insecure",
                f"--datadir={self.folder / 'data'}",
                f"--init-file={first}",
                *(option for option in self._options if option.startswith("--innodb-page-size=")),
                *_as_root(),
            ],
            cwd=self.folder,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            raise ServerUnavailable(f"mysqld cannot make its data: {done.stderr.strip()[-500:]}")

    def _launch(self) -> bool:
        log = self.folder / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    self._program,
                    self._defaults,
                    f"--datadir={self.folder / 'data'}",
                    f"--tmpdir={self.folder}",
                    f"--socket={self.folder / 's'}",
                    f"--pid-file={self.folder / 'pid'}",
                    "--bind-address=127.0.0.1",
                    f"--port={self.port}",
                    "--skip-name-resolve",
                    *(_OF_MYSQL if self.is_mysql else ()),
                    *self._memory,
                    *self._options,
                    *_as_root(),
                ],
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env={**os.environ, "TZ": "UTC"},  # the doctor finds fault with another one
                start_new_session=True,  # Ctrl-C reaches us; we end the server in order
                # Nobody else would end it, and its data are ours alone. Safe with threads, see there.
                preexec_fn=end_with_parent(signal.SIGKILL),  # noqa: PLW1509
            )
        try:
            return self._answers()
        except BaseException:  # interrupted: nobody knows of it yet
            self.kill()
            raise

    def _answers(self) -> bool:
        """Wait until the server answers; end it and return False where it does not."""
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._process = None
                return False
            try:  # by its own socket, which it opens after its port: that may be another's
                pymysql.connect(
                    unix_socket=str(self.folder / "s"), user="root", ssl_disabled=True
                ).close()
                return True
            except pymysql.err.OperationalError:
                time.sleep(0.05)
        self.kill()
        return False


def _programs() -> tuple[str, str | None]:
    """Return the server, and what makes its data; MySQL makes them by itself."""
    if mysqld := os.environ.get("TEST_MYSQLD"):
        return mysqld, None
    path = f"{os.environ.get('PATH', '')}:{FOLDERS}"
    server = shutil.which("mariadbd", path=path)
    install = shutil.which("mariadb-install-db", path=path)
    if not server or not install:
        raise ServerUnavailable(
            "mariadbd and mariadb-install-db are not installed (Debian's package mariadb-server)"
        )
    return server, install


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _tail(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-1000:] if log.exists() else "no log"
