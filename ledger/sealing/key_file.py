"""The key file: read, made, and changed by one process at a time; nobody but its owner may read it."""

from __future__ import annotations

import base64
import binascii
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ledger.errors import BadInput, Refused
from ledger.files import part_in, sync
from ledger.sealing.sealer import KEY_BYTES, Sealer, is_number

_INDEX = "index"
WHAT, LOST = "sealing key file", "put back the one that belongs to this database"
"""What a key file is, and what to do when it is not there, for messages."""


def load_sealer(
    path: Path,
    *,
    make: bool = False,
    what: str = WHAT,
    lost: str = LOST,
) -> Sealer:
    """Return the sealer of a key file.

    Parameters
    ----------
    make
        Make the file with new keys where there is none, readable by its owner alone; and the key of indexes in a
        file from before there were any.
    what, lost
        What the file is, and what to do when it is not there, for messages.

    Raises
    ------
    BadInput
        If the file is not there, can be read by others, is no key file, or cannot be made.
    """
    if make and not path.exists():
        _make(path, what)
    found = _read(path, what, lost)
    if make and found.index_key is None:
        with _changing(path) as lines:
            if not any(line.startswith(f"{_INDEX}:") for line in lines):
                lines.append(_new_line(_INDEX))
        found = _read(path, what, lost)
    return found


def add_key(path: Path, above: int = 0) -> int:
    """Add a key to a key file, which seals from now on; return its number. A file that is not there is made.

    Parameters
    ----------
    above
        The greatest number that something is sealed with: where the file was lost, or is an older copy, another key
        of that number would stand in the way of the one that turns up again.

    Raises
    ------
    BadInput
        If the file can be read by others, is no key file, or cannot be made.
    """
    if not path.exists():
        _make(path, WHAT, above + 1)
        return _read(path).newest
    with _changing(path) as lines:
        number = max(_read(path).newest, above) + 1
        lines.append(_new_line(str(number)))
    return number


def remove_key(path: Path, number: int) -> None:
    """Take a key out of a key file: what is sealed with it is lost. Whoever calls has made sure that nothing is.

    Raises
    ------
    BadInput
        If there is no such key, or no key file.
    Refused
        If it is the one that seals.
    """
    with _changing(path) as lines:
        sealer = _read(path)
        if number not in sealer.keys:
            raise BadInput(f"sealing key file {path}: has no key {number}")
        if number == sealer.newest:
            raise Refused(
                f"key {number} is the one that seals; add another one first",
                code="sealing-key-used",
            )
        lines[:] = [line for line in lines if line.partition(":")[0].strip() != str(number)]


def _read(path: Path, what: str = WHAT, lost: str = LOST) -> Sealer:
    try:
        mode = path.stat().st_mode & 0o077
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not ASCII"
        raise BadInput(
            f"{what} {path}: cannot be read ({why}); {lost}",
            code="sealing-key-missing",
        ) from error
    if mode:
        raise BadInput(f"{what} {path}: others may read it; chmod 600 {path}")
    keys: dict[str, bytes] = {}
    for line, content in enumerate(filter(None, map(str.strip, text.splitlines())), start=1):
        number, _, encoded = content.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        number = str(int(number)) if is_number(number) else number
        if (
            not (is_number(number) or number == _INDEX)
            or len(key) != KEY_BYTES
            or number in keys
            or key in keys.values()
        ):
            raise BadInput(
                f"{what} {path}, line {line}: should be NUMBER:BASE64 or {_INDEX}:BASE64 of "
                f"{KEY_BYTES} bytes, each number and each key once"
            )
        keys[number] = key
    index_key = keys.pop(_INDEX, None)
    if not keys:
        raise BadInput(f"{what} {path}: has no key; put back the one it had")
    return Sealer({int(number): key for number, key in keys.items()}, index_key)


def _new_line(name: str) -> str:
    return f"{name}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


@contextmanager
def _changing(path: Path) -> Iterator[list[str]]:
    """Yield the lines of a key file to be changed; they are written when the block ends, by one process at a time."""
    _read(path)  # what is no key file is not written over
    while True:
        with path.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            if os.fstat(held.fileno()).st_ino != path.stat().st_ino:
                continue  # another process has put a new file in its place meanwhile
            before = path.read_text(encoding="ascii").splitlines()
            lines = list(before)
            yield lines
            if lines != before:
                with _aside(path, "\n".join(lines) + "\n", WHAT) as aside:
                    aside.replace(path)
            return


def _make(path: Path, what: str, number: int = 1) -> None:
    # Made aside and linked: two processes at once have one key, and a crash leaves none that is cut short.
    with (
        _aside(path, f"{_new_line(str(number))}\n{_new_line(_INDEX)}\n", what) as aside,
        suppress(FileExistsError),  # the other one was first
    ):
        os.link(aside, path)


@contextmanager
def _aside(path: Path, text: str, what: str) -> Iterator[Path]:
    """Yield a file of this text beside a key file, to take its place. Nothing of it stays beside it.

    Raises
    ------
    BadInput
        If the disk does not take it, or its name.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What a run that was killed left goes with the next one: no copy of a key outlives its removal.
        with part_in(path.parent, 0o600) as aside:
            aside.write_text(text, encoding="ascii")
            sync(aside)
            yield aside
            sync(path.parent)  # a key that sealed something must not vanish
    except OSError as error:
        raise BadInput(
            f"{what} {path}: cannot be written ({error.strerror}); name one in a folder of yours, on a disk with room"
        ) from error
