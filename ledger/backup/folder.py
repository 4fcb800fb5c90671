"""A backup folder as the system sees it: what it says when it cannot be used, and the locks in it."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.errors import BadInput, DependencyDown

_POLL_S = 0.1


class FolderFull(DependencyDown):
    """The folder's disk has no room for more."""

    default_code = "backup-folder-full"


def locked(descriptor: int, wait_s: float) -> bool:
    """Lock a file for this process alone; return False where another has it for longer than one waits."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_S)
        else:
            return True


def unwritable_scratch(place: Path, error: OSError) -> DependencyDown:
    """Return the error of a temporary file, or their folder, that cannot be written."""
    return DependencyDown(
        f"{place}: cannot be written ({error.strerror}); TMPDIR names the folder for temporary files",
        code="backup-scratch",
    )


def another_folder(folder: Path, error: OSError) -> str:
    """Return what to do about a folder that cannot be used, as where a backup was taken by hand by another user."""
    theirs = f", or give all of it to the user who takes backups (chown -R USER {folder})"
    return f"name a folder of yours{theirs if isinstance(error, PermissionError) else ''}"


@contextmanager
def folder_errors(folder: Path) -> Iterator[None]:
    """Say what is wrong with the folder: that it is full, or may not be written."""
    try:
        yield
    except OSError as error:
        named = None if error.filename is None else Path(os.fsdecode(error.filename)).absolute()
        if named is not None and not named.is_relative_to(folder.absolute()):
            raise unwritable_scratch(named, error) from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise FolderFull(
                f"backup folder {folder}: no room ({error.strerror}); make some, or lower backup_keep_days and run "
                "`truetonne db backups expire`"
            ) from error
        where = f": {error.filename}" if error.filename else ""
        raise BadInput(
            f"backup folder {folder}: cannot be written ({error.strerror}{where}); "
            f"{another_folder(folder, error)}",
            code="backup-folder",
        ) from error
