"""MariaDB's own programs: found, told where the server is without a file on any disk, and read from."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import URL

from ledger.backup.folder import unwritable_scratch
from ledger.errors import KILLED, BadInput, DependencyDown
from ledger.files import temporary_folder

_FOLDERS = "/usr/sbin:/usr/local/sbin:/usr/libexec:/usr/local/mysql/bin"
_PACKAGES = {
    "mariadb-backup": "mariadb-backup",
    "mbstream": "mariadb-backup",
    "mariadb-binlog": "mariadb-client",
    "mariadb": "mariadb-client",
    "mariadbd": "mariadb-server",
}
"""Debian's packages of the programs."""
_WRONG = re.compile(r"\b(?:[Ee]rror|ERROR|FATAL|[Ff]ailed)\b")
"""In a line that says what is wrong; the grants that mariadb-backup lists have ``mirror_checks``."""
_LACKS = re.compile(r"missing required privilege (.+)")
_BLOCK_BYTES = 1 << 20
_POLL_MS = 50
_SSL = {
    "ssl_ca": "ssl-ca",
    "ssl_cert": "ssl-cert",
    "ssl_key": "ssl-key",
    "ssl_capath": "ssl-capath",
}


class ToolFailed(DependencyDown):
    """A program of MariaDB did not do its work; the message has its last words."""

    default_code = "backup-tool-failed"


def program(name: str) -> str:
    """Return where a program is.

    Raises
    ------
    DependencyDown
        If it is not installed.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_FOLDERS}")
    if found is None:
        raise DependencyDown(
            f"{name} is not installed (Debian's package {_PACKAGES[name]}); install it on this machine",
            code="backup-tool-missing",
        )
    return found


def bound(command: Sequence[str]) -> list[str]:
    """Return a command that ends with us, however we end: a server that nobody stops would stay for ever."""
    keeper = shutil.which("setpriv")
    return [*([keeper, "--pdeathsig", "KILL"] if keeper else []), *command]


@dataclass(frozen=True)
class Login:
    """How programs reach a server: the path of an option file in memory, and its descriptor."""

    option: str
    descriptor: int


@contextmanager
def login(url: URL) -> Iterator[Login]:
    """Make an option file for MariaDB's programs; it is in memory, so no password is on a disk or in a command line."""
    lines = ["[client]"]
    values = {"user": url.username, "password": url.password}
    socket = url.query.get("unix_socket")
    if isinstance(socket, str):
        values |= {"socket": socket}
    else:
        values |= {
            "host": url.host or "127.0.0.1",
            "port": str(url.port or 3306),
            "protocol": "tcp",
        }
    values |= {
        ours: _text(url.query[theirs]) for theirs, ours in _SSL.items() if theirs in url.query
    }
    for name, value in values.items():
        if value is not None:
            lines.append(f"{name}={_quoted(value)}")
    # As the product's own connections do: encrypted, and the server's name proven where the URL says so.
    proven = {"ssl_verify_identity", "ssl_verify_cert"} & set(url.query)
    lines.append(f"loose-ssl-verify-server-cert={1 if proven else 0}")
    descriptor = os.memfd_create("options", 0)
    try:
        os.fchmod(descriptor, 0o600)  # a file that others may write is not read
        os.write(descriptor, ("\n".join(lines) + "\n").encode())
        yield Login(f"--defaults-file=/proc/self/fd/{descriptor}", descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def output_of(
    command: Sequence[str], log: Path, descriptors: Sequence[int] = ()
) -> Iterator[Iterator[bytes]]:
    """Run a program and yield what it writes; at the end it must have ended well.

    Raises
    ------
    ToolFailed
        If it ended with another code than 0. ``log`` has all that it said.
    """
    with log.open("wb") as said:
        process = subprocess.Popen(
            bound(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            pass_fds=descriptors,
        )
    assert process.stdout is not None
    try:
        yield _blocks(process.stdout)
        if process.wait() != 0:
            raise failure(command[0], process.returncode, log)
    finally:
        process.stdout.close()
        _end(process)


def run_with_input(command: Sequence[str], source: Iterator[bytes], log: Path) -> None:
    """Run a program and write a stream to it.

    Raises
    ------
    ToolFailed
        If it ended with another code than 0.
    """
    with log.open("wb") as said:
        process = subprocess.Popen(bound(command), stdin=subprocess.PIPE, stdout=said, stderr=said)
    assert process.stdin is not None
    try:
        try:
            for data in source:
                process.stdin.write(data)
            process.stdin.close()
        except BrokenPipeError:  # it ended before: its code says why
            pass
        if process.wait() != 0:
            raise failure(command[0], process.returncode, log)
    finally:
        _end(process)


def run(command: Sequence[str], log: Path) -> None:
    """Run a program to its end.

    Raises
    ------
    ToolFailed
        If it ended with another code than 0.
    """
    with log.open("wb") as said:
        done = subprocess.run(
            bound(command), stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False
        )
    if done.returncode != 0:
        raise failure(command[0], done.returncode, log)


@contextmanager
def raw_log(entry: Login, log: str, start: int) -> Iterator[Iterator[bytes]]:
    """Yield a binary log of the server from a byte on, as it is; it comes through a pipe with a name.

    Raises
    ------
    ToolFailed
        If ``mariadb-binlog`` ends with another code than 0 before the reader has enough.
    """
    with tempfile.TemporaryDirectory(prefix="truetonne-binlog-", dir=temporary_folder()) as name:
        folder = Path(name)
        descriptor = _pipe(folder / log)
        said = folder / "said"
        command = [
            program("mariadb-binlog"),
            entry.option,
            "--read-from-remote-server",
            "--raw",
            f"--result-file={folder}/",
            f"--start-position={start}",
            log,
        ]
        with said.open("wb") as output:
            process = subprocess.Popen(
                bound(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(entry.descriptor,),
            )
        try:
            yield _piped(descriptor, process, said)
        finally:
            os.close(descriptor)
            _end(process)


def _pipe(path: Path) -> int:
    """Make a pipe with a name, and return the descriptor of its reader.

    Raises
    ------
    DependencyDown
        If the folder for temporary files has no room for it.
    """
    try:
        os.mkfifo(path, 0o600)
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:  # which names no file
        raise unwritable_scratch(path.parent, error) from error


def _piped(descriptor: int, process: subprocess.Popen[bytes], said: Path) -> Iterator[bytes]:
    waiter = select.poll()
    waiter.register(descriptor, select.POLLIN)
    while True:
        ended = process.poll() is not None  # looked at first: what it wrote before is read after
        if waiter.poll(0 if ended else _POLL_MS):
            data = os.read(descriptor, _BLOCK_BYTES)
            if data:
                yield data
                continue
            process.wait()
        if ended:
            if process.returncode != 0:
                raise failure("mariadb-binlog", process.returncode, said)
            return


def failure(command: str, code: int, log: Path) -> ToolFailed:
    """Return the error of a program that failed, with the line of its log that says why."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    if lacks := [found[1] for found in map(_LACKS.search, lines) if found]:
        return ToolFailed(
            f"{Path(command).name}: the account lacks {', '.join(lacks)}; `truetonne db grants backup` prints an "
            "account that has all it needs: name that in backup_url"
        )
    wrong = [line for line in lines if _WRONG.search(line)]
    first = next((line for line in lines if "[ERROR]" in line), None)  # the others follow from it
    said = first or (wrong or lines or ["it said nothing"])[-1]
    if code == -signal.SIGKILL:  # what it said last is not why
        return ToolFailed(f"{Path(command).name} {KILLED}; try again")
    return ToolFailed(f"{Path(command).name} {how_ended(code)}: {said[:400]}")


def late(command: str, what: str, seconds: float, log: Path) -> ToolFailed:
    """Return the error of a program that did not start, or end, in time."""
    lines = log.read_text(errors="replace").split("\n")
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return ToolFailed(f"{command} did not {what} within {seconds:g} s: {said[:400]}")


def how_ended(code: int) -> str:
    """Return how a program ended, by its exit code: below zero is the signal that ended it."""
    return f"ended with code {code}" if code >= 0 else f"was ended by signal {-code}"


def key_values(path: Path) -> Mapping[str, str]:
    """Return the lines ``name = value`` of a file of mariadb-backup."""
    pairs = (line.partition("=") for line in path.read_text(errors="replace").splitlines())
    return {name.strip(): value.strip() for name, sign, value in pairs if sign}


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    while data := stream.read(_BLOCK_BYTES):
        yield data


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()


def _quoted(value: str) -> str:
    if "\n" in value or "\r" in value or "\0" in value:
        raise BadInput(
            "a value of the database URL has a line break; it cannot be used for backups"
        )
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else value[0]
