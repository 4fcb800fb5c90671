"""Files that are read more than once, to be checked and to be used: no pipes, and none that changes meanwhile."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import NamedTuple

from ledger.errors import BadInput

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
            f"{path}: a pipe or a device, and it is read more than once; write it to a file first",
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
