"""Files that may be too long, that change while they are read, or that must outlast a power cut.

- ``read_at_most`` reads a stranger's file up to a limit.
- ``state_of`` and ``require_unchanged`` are for files that are read more than once: to be checked, and to be used.
- ``no_text`` says what a file is that is given in the place of text, ``not_utf8`` where one cannot be decoded.
- ``temporary_folder`` says where files lie that are gone afterwards, ``passing_folder`` makes a folder there for them,
  and ``socket_in`` says where a server there listens.
- ``part_in`` and ``put`` write a file that appears under its name when it is whole, ``sync`` has the disk keep it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ledger.errors import BadInput

# ------------------------------------------------------- gone afterwards

_TEMPORARY = ("TMPDIR", "TEMP", "TMP")
"""Variables that name the folder for temporary files, as Python asks for them."""
SOCKET_BYTES_MAX = 107
"""The longest path of a Unix socket: ``sun_path`` of unix(7), less its zero byte."""


def temporary_folder() -> Path:
    """Return the folder for temporary files: the one that is named, or else the system's.

    Where the named one is missing or full, Python takes ``/tmp`` without a word: whoever named an encrypted disk would
    find a restored database there, in plain.

    Raises
    ------
    BadInput
        The folder that is named is none, or cannot be written. One that is full is told of by whoever writes there.
    """
    named = next(((name, os.environ[name]) for name in _TEMPORARY if os.environ.get(name)), None)
    if named is None:
        return Path(tempfile.gettempdir()).absolute()
    variable, folder = named[0], Path(named[1]).absolute()
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        why = "cannot be written" if folder.is_dir() else "is no folder"
        raise BadInput(
            f"{variable} names {folder} for temporary files, and that {why}; make it, name another one, or unset "
            f"{variable}: nothing is put elsewhere",
            code="temporary-folder",
        )
    return folder


@contextmanager
def passing_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Make a folder that is gone afterwards; take away what processes that were killed left behind of its kind.

    Whoever has one holds a lock on it, which ends with the process.

    Parameters
    ----------
    prefix
        How the names of all of its kind begin, and of no other: what is made in another way has no lock, and would be
        taken away while it is in use.
    parent
        Where it is made; None: in the folder for temporary files.

    Raises
    ------
    BadInput
        As ``temporary_folder``.
    """
    parent = temporary_folder() if parent is None else parent.absolute()
    for left in parent.glob(f"{prefix}*"):
        _take_away(left)
    folder, held = _made_and_held(prefix, parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _made_and_held(prefix: str, parent: Path) -> tuple[Path, int]:
    """Make a folder and lock it; whoever comes between the two takes it away, and another one is made."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError):
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # a filesystem without locks: nothing is taken away there
                fcntl.flock(held, fcntl.LOCK_EX)
            if folder.is_dir():
                return folder, held
            os.close(held)


def _take_away(folder: Path) -> None:
    """Delete a folder for temporary files that nobody holds: its process was killed."""
    with suppress(OSError):  # somebody else's, a file, or gone meanwhile
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(held).st_uid == os.geteuid():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(held)


def socket_in(folder: Path) -> Path:
    """Return the path of the Unix socket of a server that has a folder for itself.

    Raises
    ------
    BadInput
        It would be longer than a socket's may be.
    """
    path = folder / "s"
    size = len(os.fsencode(path))
    if size > SOCKET_BYTES_MAX:
        raise BadInput(
            f"{path}: the path of a server's socket has at most {SOCKET_BYTES_MAX} bytes, and this one {size}; let "
            "TMPDIR name a folder with a shorter path",
            code="temporary-folder",
        )
    return path


# ------------------------------------------------------------------- read once


def read_at_most(path: Path, size_max: int) -> bytes | None:
    """Return what is in a file, or None when that is more than ``size_max`` bytes.

    A pipe and a device such as ``/dev/zero`` have no size to ask for, and are read no further either.

    Raises
    ------
    OSError
        It cannot be read.
    """
    with path.open("rb") as stream:
        data = stream.read(size_max + 1)
    return data if len(data) <= size_max else None


# ------------------------------------------------------------- no text at all

GZIP = b"\x1f\x8b"
"""How a gzipped file begins: some readers unpack it."""
_NO_TEXT = {
    b"PK\x03\x04": "an Excel workbook or a zip; save it as CSV, or take the file out of the zip",
    b"PK\x05\x06": "an empty zip; take the file out of it before it is packed",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV",
    b"PAR1": "a Parquet file; write it as CSV",
    b"\x89PNG": "a picture; name the file that is meant",
    b"%PDF": "a PDF; name the file that is meant",
    b"Rar!": "a RAR archive; unpack it, plain or gzipped",
    b"SQLite format 3": "a database; have its table written as CSV",
    b"\x00\x01\x00\x00Standard ": "an Access database; have its table written as CSV",
    b"7z\xbc\xaf": "a 7z archive; unpack it, plain or gzipped",
    b"BZh": "a bzip2 file; unpack it, plain or gzipped",
    b"\xfd7zX": "an xz file; unpack it, plain or gzipped",
    b"\x28\xb5\x2f\xfd": "a zstd file; unpack it, plain or gzipped",
    b"\xff\xfe\x00\x00": "UTF-32; save it as UTF-8",
    b"\x00\x00\xfe\xff": "UTF-32; save it as UTF-8",
    bytes(4): "zero bytes where it begins, as after a power cut; fetch it again",
}


_TAR_AT = 257
"""Where a tar archive says that it is one, behind the name of its first file."""


def no_text(start: bytes) -> str | None:
    """Return what a file is that is no text, and what to do; None where it may be text, or is gzipped.

    Parameters
    ----------
    start
        How it begins; 512 bytes are enough.
    """
    found = (what for mark, what in _NO_TEXT.items() if start.startswith(mark))
    if start[_TAR_AT:].startswith(b"ustar"):
        return "a tar archive; take the file out of it"
    return next(found, None) or _marked_up(start)


def _marked_up(start: bytes) -> str | None:
    """Return what a file is that is made of elements: portals call such a one a workbook, or a table."""
    opening = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower()
    if opening.startswith((b"<!doctype html", b"<html", b"<table", b"<head", b"<meta")):
        return "a web page: a table that is to be saved as CSV, or one that asks to sign in; fetch the file itself"
    if opening.startswith(b"<?xml"):
        return "XML, such as spreadsheets save; save it as CSV"
    return None


# ------------------------------------------------------------------ read again

UNREADABLE = "file-unreadable"


class FileState(NamedTuple):
    """What tells that a file is not the one of before, or has been written to."""

    device: int
    inode: int
    size: int
    modified_ns: int


def state_of(path: Path) -> FileState:
    """Return the state of a file that will be read more than once.

    Raises
    ------
    OSError
        There is no such file.
    BadInput
        It is a pipe or a device, which says what it says once.
    """
    found = path.stat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):  # opening refuses a folder
        raise BadInput(
            f"{path}: a pipe or a device, which is not read; write it to a file first",
            code=UNREADABLE,
        )
    return FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def require_unchanged(path: Path, before: FileState) -> None:
    """Refuse what was read from a file that was written to, or replaced, meanwhile.

    Raises
    ------
    BadInput
        Its state is another than before.
    """
    try:
        after = state_of(path)
    except OSError:
        after = None
    if after != before:
        raise BadInput(
            f"{path.name}: the file changed while it was read; give a copy that nothing writes to; "
            "nothing was imported",
            code=UNREADABLE,
            details={"file": path.name},
        )


def name_in_books(path: Path) -> str:
    """Return the name of a file as the books keep it.

    Unpacking may leave bytes in it that are no text: they are written as hexadecimal digits after a backslash and x.
    """
    return path.name.encode(errors="surrogateescape").decode(errors="backslashreplace")


# -------------------------------------------------- written, to outlast a power cut

_PARTS = ".truetonne-*.part"
_HAS_NONE = {errno.EINVAL, errno.ENOTSUP}
"""What a filesystem says that does not know ``fsync`` of folders."""


def sync(path: Path) -> None:
    """Have the disk keep what was written to a file, or the names that stand in a folder.

    Raises
    ------
    OSError
        It does not.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # one may write it and not read it
        os.sync()
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _HAS_NONE or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Have the disk keep a folder with all that is in it.

    Raises
    ------
    OSError
        It does not.
    """
    for place, _, files in os.walk(folder):
        for name in files:
            sync(Path(place, name))
        sync(Path(place))


@contextmanager
def part_in(folder: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield an empty file of this process alone, for what is to have another name when it is whole.

    Parameters
    ----------
    folder
        Where it is to stand.
    mode
        Who may read and write it, as far as the process's mask lets them: 0600 for secrets.

    It is gone at the end unless it was given that name (``put``). It is locked meanwhile: what a process that was
    killed left in the folder is locked by nobody, and goes first.

    Raises
    ------
    OSError
        It cannot be made.
    """
    _sweep(folder)
    path, descriptor = _reserved(folder, mode)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def put(part: Path, target: Path) -> None:
    """Give a whole file its name, in the place of what has it; when this returns, the disk keeps it.

    Raises
    ------
    OSError
        It cannot; what had the name has it still, unless the folder's disk fails at the very end.
    """
    sync(part)
    part.replace(target)
    sync(target.parent)


def _reserved(folder: Path, mode: int) -> tuple[Path, int]:
    while True:
        # A name that nobody can foresee or has: others write to the folder, and each container has a process 1.
        path = folder / f".truetonne-{secrets.token_hex(8)}.part"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        try:
            with suppress(OSError):  # a filesystem without locks: nothing is swept there
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:  # else another's sweep came before the lock
                return path, descriptor
        except BaseException:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        os.close(descriptor)


def _sweep(folder: Path) -> None:
    """Delete the parts that processes which were killed left in a folder."""
    for path in folder.glob(_PARTS):
        with suppress(OSError):  # another's, or in use
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if stat.S_ISREG(os.fstat(descriptor).st_mode):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
            finally:
                os.close(descriptor)


def not_utf8(name: object, error: UnicodeDecodeError, hint: str = "") -> BadInput:
    """Return what to say of a file that cannot be decoded, with its line: no editor shows the byte.

    Parameters
    ----------
    hint
        More on how it is saved as UTF-8.
    """
    before = error.object[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    line = 1 + before.count(b"\n")
    return BadInput(
        f"{name}: line {line}: not UTF-8 text (byte {error.start}); save it as UTF-8{hint}"
    )
