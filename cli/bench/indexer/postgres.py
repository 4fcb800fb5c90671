"""A PostgreSQL of our own for the peers: a temporary folder, a free port, its usual settings."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from cli.bench.mariadb import ServerUnavailable
from ledger.chain.local.anvil import free_port

START_S = 30.0
STOP_S = 30.0
USER = "bench"
_END = "-- end of answer --"
_LESSER_USERS = ("postgres", "nobody")


class Postgres:
    """A running server."""

    def __init__(self, programs: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process
        self._programs = programs

    def url(self, database: str) -> str:
        """Return the address of a database as libpq knows it."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def make(self, database: str) -> None:
        """Make an empty database; drop the one that had its name."""
        self.ask("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        self.ask("postgres", f"CREATE DATABASE {database}")

    def ask(self, database: str, statement: str) -> list[list[str]]:
        """Return the rows of a statement, as text.

        Raises
        ------
        ServerUnavailable
            If the server refuses it.
        """
        command = [str(self._programs / "psql"), "-qtAX", "-F", "\t", "-c", statement]
        done = subprocess.run(
            [*command, self.url(database)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ServerUnavailable(f"psql: {done.stderr.strip()}")
        return [line.split("\t") for line in done.stdout.splitlines() if line]

    @contextmanager
    def asking(self, database: str) -> Iterator[Callable[[str], list[str]]]:
        """Give what asks over one kept connection, cheaply: lines of answers, none after an error."""
        command = [str(self._programs / "psql"), "-qtAX", "-F", "\t", self.url(database)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        into, out = process.stdin, process.stdout

        def ask(statement: str) -> list[str]:
            into.write(f"{statement};\n\\echo {_END}\n")
            into.flush()
            lines: list[str] = []
            for line in out:
                if line.strip() == _END:
                    return lines
                lines.append(line.rstrip("\n"))
            raise ServerUnavailable("psql has ended")

        try:
            yield ask
        finally:
            into.close()
            process.wait(STOP_S)
            out.close()


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """Start a server for the time of a block.

    Raises
    ------
    ServerUnavailable
        None is installed, or it does not start.
    """
    programs = _programs()
    with TemporaryDirectory(prefix="truetonne-postgres-") as name:
        folder = Path(name)
        user = _lesser_user()
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        _initialise(programs, data, user)
        port = free_port()
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(folder)]
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "-c", "listen_addresses=127.0.0.1"],
                stdout=log,
                stderr=log,
                cwd=folder,
                user=user,
                extra_groups=[] if user else None,
            )
        server = Postgres(programs, port, process)
        try:
            _wait(server, folder / "server.log")
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # ends at once, in order
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _programs() -> Path:
    """Return the folder of the server's programs: on PATH, or where Debian puts the newest."""
    found = shutil.which("postgres")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if all((folder / name).exists() for name in ("initdb", "postgres", "psql")):
            return folder
    raise ServerUnavailable("PostgreSQL is not installed (Debian: apt-get install postgresql)")


def _lesser_user() -> str | None:
    """Return whom the server runs as when we are root, whom it refuses; None: as we are."""
    if os.geteuid() != 0:
        return None
    for name in _LESSER_USERS:
        with suppress(KeyError):
            return pwd.getpwuid(pwd.getpwnam(name).pw_uid).pw_name
    raise ServerUnavailable("PostgreSQL does not run as root, and there is no user postgres")


def _initialise(programs: Path, data: Path, user: str | None) -> None:
    command = [str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", USER]
    command += ["-E", "UTF8", "--locale=C"]
    done = _run(command, data.parent, user)
    if done.returncode != 0:
        raise ServerUnavailable(f"initdb failed: {done.stderr.strip()[-500:]}")


def _run(
    command: Sequence[str], folder: Path, user: str | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        user=user,
        extra_groups=[] if user else None,
    )


def _wait(server: Postgres, log: Path) -> None:
    until = time.monotonic() + START_S
    while server.process.poll() is None and time.monotonic() < until:
        try:
            server.ask("postgres", "SELECT 1")
            return
        except ServerUnavailable:
            time.sleep(0.1)
    raise ServerUnavailable(f"postgres does not start: {log.read_text(errors='replace')[-500:]}")
