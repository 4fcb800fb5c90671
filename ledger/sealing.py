"""Encryption of what we must read again and nobody else may read; the keys are not in the database.

These are the secrets of webhooks and among the settings in the database, and mail addresses and profiles of users.
The key file has a line for each key, ``NUMBER:BASE64`` of 32 bytes; the greatest number seals, all of them open. So a
key is changed by adding a line, and an old one goes when nothing is sealed with it any more. One more line,
``index:BASE64``, makes blind indexes: what is sealed can be found again by whoever has the very text, and compared, and
by nobody who has the database alone.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.errors import BadInput, Refused
from ledger.files import part_in, sync

_KEY_BYTES = 32
_NONCE_BYTES = 12
_DIGITS_MAX = 9
"""Of the number of a key: the files of backups have it in four bytes."""
_INDEX = "index"
INDEX_PREFIX = "b1:"
"""What a blind index begins with: HMAC-SHA-256, in 43 characters of base64url."""


WHAT, LOST = "sealing key file", "put back the one that belongs to this database"
"""What a key file is, and what to do when it is not there, for messages."""


@dataclass(frozen=True)
class Sealer:
    """Seals and opens by AES-256-GCM.

    Parameters
    ----------
    keys
        Keys of 32 bytes by their numbers; the greatest number seals.
    index_key
        Key of blind indexes; None: the file has none yet.
    """

    keys: dict[int, bytes]
    index_key: bytes | None = None

    @property
    def newest(self) -> int:
        """Number of the key that seals."""
        return max(self.keys)

    def is_current(self, sealed: str) -> bool:
        """Return whether a sealed text is sealed with the newest key."""
        return key_number(sealed) == self.newest

    def index(self, text: str, context: str) -> str:
        """Return the blind index of a text: the same for the same text and context, and telling nothing else.

        Raises
        ------
        BadInput
            If the key file has no key for indexes.
        """
        if self.index_key is None:
            raise BadInput(
                "the sealing key file has no line `index:...`; put it back, what is indexed cannot be found without it",
                code="sealing-key-missing",
            )
        digest = hmac.new(self.index_key, f"{context}\0{text}".encode(), hashlib.sha256).digest()
        return INDEX_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def seal(self, text: str, context: str) -> str:
        """Return a text sealed, with the number of the key.

        Parameters
        ----------
        text
            The secret.
        context
            What it belongs to, such as ``webhook_endpoints/<name>``: it opens nowhere else.
        """
        number = self.newest
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self.keys[number]).encrypt(nonce, text.encode(), context.encode())
        return f"{number}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        """Return a sealed text.

        Raises
        ------
        BadInput
            If the key is not in the file, or does not fit, or the text is none that was sealed.
        """
        number, _, body = sealed.partition(":")
        known = key_number(sealed)
        key = None if known is None else self.keys.get(known)
        if key is None:
            raise BadInput(
                f"key {number!r} is not in the sealing key file; put its line back",
                code="sealing-key-missing",
            )
        try:
            raw = base64.b64decode(body)
            opened = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode())
        except InvalidTag:
            raise BadInput(
                f"key {number} of the sealing key file is not the one that {context} was sealed with; "
                "put the file back that belongs to this database",
                code="sealing-key-wrong",
            ) from None
        except ValueError:
            raise BadInput(
                f"{context}: what stands there was never sealed, or not all of it is there; put it back from a "
                "backup, or make it anew",
                code="sealing-key-wrong",
            ) from None
        return opened.decode()


def key_number(sealed: str) -> int | None:
    """Return the number of the key that a text is sealed with; None: it is not sealed."""
    number, separator, _ = sealed.partition(":")
    return int(number) if separator and _is_number(number) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX


def passing_sealer() -> Sealer:
    """Return a sealer whose keys are kept nowhere, for what is rolled back."""
    return Sealer({1: secrets.token_bytes(_KEY_BYTES)}, secrets.token_bytes(_KEY_BYTES))


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


SAMPLES = 20
"""So many values that were sealed last are tried, at most, before another one is sealed."""


def require_ours(sealer: Sealer, newest: Sequence[tuple[str, str]]) -> None:
    """Refuse to seal more where nothing opens of what was sealed last: the key file is that of other books.

    A machine, an account or a home of its own makes a key file of its own, whose first key has the same number. One
    value that opens is enough: who has lost a key makes what it sealed anew, one after the other.

    Parameters
    ----------
    newest
        Some values that were sealed last, each with what it was sealed for.

    Raises
    ------
    BadInput
        If there are some, and none opens.
    """
    trouble: BadInput | None = None
    for sealed, context in newest:
        try:
            sealer.open(sealed, context)
        except BadInput as error:
            trouble = trouble or error
        else:
            return
    if trouble is not None:
        raise trouble


@dataclass(frozen=True)
class Lost:
    """A sealed value that no key at hand opens: it stays as it is, for its key may turn up."""

    table: str
    row: int
    name: str
    """What people call the row."""
    value: str
    """Which of its values."""
    key: int | None
    """Number of the key that it is sealed with; None: what stands there was never sealed."""
    why: str


@dataclass
class Resealed:
    """What sealing some rows of a table anew came to."""

    table: str
    last: int | None = None
    """Row number of the last row; None: there are no more."""
    sealed: int = 0
    """How many values were sealed."""
    lost: list[Lost] = field(default_factory=list)

    def anew(
        self, sealer: Sealer, sealed: str, context: str, of: tuple[int, str, str]
    ) -> str | None:
        """Return a sealed text as sealed with the newest key; None: no key opens it, which is noted.

        Parameters
        ----------
        of
            Number of the row, what people call it, and which of its values it is.
        """
        try:
            text = sealer.open(sealed, context)
        except BadInput as error:
            self.lost.append(Lost(self.table, *of, key_number(sealed), error.message))
            return None
        self.sealed += 1
        return sealer.seal(text, context)


def reseal_rows(
    session: Session,
    model: type[Any],
    after: int,
    limit: int,
    seal: Callable[[Resealed, Any], None],
) -> Resealed:
    """Seal what is not sealed with the newest key in some rows of a table, which are locked meanwhile.

    What no key opens keeps no other from being sealed.

    Parameters
    ----------
    after
        Row number behind which to go on.
    limit
        How many rows at most.
    seal
        Does it for a row, and notes there what it did.
    """
    done = Resealed(str(model.__tablename__))
    rows = session.scalars(
        select(model).where(model.id > after).order_by(model.id).limit(limit).with_for_update()
    ).all()
    for row in rows:
        seal(done, row)
    session.flush()
    done.last = rows[-1].id if rows else None
    return done


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
        number = str(int(number)) if _is_number(number) else number
        if (
            not (_is_number(number) or number == _INDEX)
            or len(key) != _KEY_BYTES
            or number in keys
            or key in keys.values()
        ):
            raise BadInput(
                f"{what} {path}, line {line}: should be NUMBER:BASE64 or {_INDEX}:BASE64 of "
                f"{_KEY_BYTES} bytes, each number and each key once"
            )
        keys[number] = key
    index_key = keys.pop(_INDEX, None)
    if not keys:
        raise BadInput(f"{what} {path}: has no key; put back the one it had")
    return Sealer({int(number): key for number, key in keys.items()}, index_key)


def _new_line(name: str) -> str:
    return f"{name}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"


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
