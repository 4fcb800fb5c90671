"""Files that a command reads or writes: what it writes is there whole or not at all, and an error names the file."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from ledger.errors import BadInput
from ledger.files import part_in, put
from ledger.settings import Settings

_OF_THE_SYSTEM = (Path("/dev"), Path("/proc"))
"""What stands there leads to something else, and must stay what it is."""
_IN_MEMORY = Path("/dev/shm")
"""But for this, where files are files, in memory."""
WORKBOOKS = ("xls", "xlsx", "xlsm", "ods")
"""Endings of what only a spreadsheet writes."""
_SAME_FORM = {"ndjson": "jsonl", "pq": "parquet"}
"""Other endings that files of a form have."""


class Writable(Protocol):
    """What takes text piece by piece: a file, or stdout as :class:`cli.output.Output` guards it."""

    def write(self, text: str, /) -> int:
        """Write a piece and return its length in characters."""


@contextmanager
def written_aside(out: Path) -> Iterator[Path]:
    """Open a block that writes the path it is given, which takes the place of ``out`` at its end.

    What was written goes when the block raises, and when the block has ended the disk keeps it. A symbolic link stays
    one: what it names is written. A pipe, a device or a descriptor such as ``/dev/fd/3`` can only be written as it
    goes, and is the path itself. Two processes that write the same file take no part in each other's.

    Raises
    ------
    BadInput
        If it cannot be written, or is where the command's own answer goes.
    """
    _require_name(out, "a file, or a named pipe")
    try:
        if not _replaceable(out):
            yield out
            return
        target = out.resolve()
        with part_in(target.parent) as aside:
            with suppress(FileNotFoundError):  # a file that is closed to others stays so
                aside.chmod(stat.S_IMODE(target.stat().st_mode))
            yield aside
            put(aside, target)
    except OSError as error:
        raise unwritable(out, error) from error


def write_whole(out: Path, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises
    ------
    BadInput
        As ``written_aside``.
    """
    with written_aside(out) as aside:
        aside.write_bytes(data)


def typed_text(file: Path) -> str:
    """Return the text of a file, or of stdin where it is ``-``.

    Raises
    ------
    BadInput
        If it cannot be read, or is no UTF-8.
    """
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: is not UTF-8 text") from error


def unwritable(path: Path, error: OSError) -> BadInput:
    """Return the error of a file that cannot be written."""
    if path.parent.is_dir():
        why, mend = error.strerror, "name a file that you may write, on a disk with room"
    else:
        why, mend = f"there is no folder {path.parent}", "name a file in a folder that exists"
    return BadInput(f"{path}: cannot be written ({why}); {mend}", code="file-unwritable")


def _replaceable(out: Path) -> bool:
    """Return whether another file may take the place of this one.

    Raises
    ------
    BadInput
        If it is the stdout of this process: the answer would stand in the midst of the file.
    OSError
        If it is a folder, or cannot be looked at.
    """
    try:
        found = out.stat()
    except FileNotFoundError:
        return True
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(out))
    regular = stat.S_ISREG(found.st_mode)
    if not stat.S_ISCHR(found.st_mode) and _is_stdout(found):
        raise BadInput(
            f"{out}: is where this command's own answer goes; name another file, or a named pipe",
            code="file-unwritable",
        )
    place = Path(os.path.abspath(out))
    a_file_there = place.is_relative_to(_IN_MEMORY)
    of_the_system = any(place.is_relative_to(folder) for folder in _OF_THE_SYSTEM)
    return regular and (a_file_there or not of_the_system)


def _is_stdout(found: os.stat_result) -> bool:
    try:
        return os.path.samestat(found, os.fstat(sys.stdout.fileno()))
    except (OSError, ValueError):  # closed, or a test's
        return False


def form_by_ending(out: Path | None, asked: str | None, forms: Sequence[str]) -> str:
    """Return the form of what is written: as it was asked for, else as the file's ending says, else the first.

    Parameters
    ----------
    forms
        All that can be written, such as ``("csv", "jsonl")``; their endings are the same words.

    Raises
    ------
    BadInput
        If the ending is that of a workbook: no spreadsheet opens CSV under that name.
    """
    ending = "" if out is None else out.suffix.lower().removeprefix(".")
    if ending in WORKBOOKS:
        raise BadInput(
            f"{out}: no workbook is written; call it .csv, which every spreadsheet opens",
            code="usage",
        )
    found = _SAME_FORM.get(ending, ending)
    return asked or (found if found in forms else forms[0])


def ready_folder(folder: Path, *, dry_run: bool) -> None:
    """Make a folder for files that are to come; a dry run looks whether it could be made, and written.

    Raises
    ------
    BadInput
        If it cannot be.
    """
    _require_name(folder, "a folder")
    try:
        if not dry_run:
            folder.mkdir(parents=True, exist_ok=True)
        there = next(path for path in (folder, *folder.absolute().parents) if _stands(path))
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        what = "written" if os.path.isdir(folder) else "made"
        raise BadInput(
            f"{folder}: cannot be {what} ({error.strerror}); name a folder that you may write",
            code="file-error",
        ) from error


def _require_name(out: Path, what: str) -> None:
    """Refuse ``-``: to most programs that is stdout, and nobody means a file of that name."""
    if str(out) == "-":
        raise BadInput(
            f"-: stdout is where this command's own answer goes; name {what}",
            code="file-unwritable",
        )


def make_home(settings: Settings) -> None:
    """Make the folder for what the program keeps by itself.

    Raises
    ------
    BadInput
        If it cannot be.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"{settings.home}: cannot be made ({error.strerror}); set TRUETONNE_HOME to a folder that you may write",
            code="file-error",
        ) from error


def _stands(path: Path) -> bool:
    """Return whether something has this name, a link to nothing too; that no name can be so is an error."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
