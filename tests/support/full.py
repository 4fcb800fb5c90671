"""A disk that takes no more: a bound on the size of the files that this process writes, or a disk that is small."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger.reconcile.shelves import Shelves


@contextmanager
def full_disk(bytes_max: int = 0) -> Iterator[None]:
    """Let no file grow beyond so many bytes; the system answers a write as if the disk had no room for it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path, bytes_max: int, more: str = "rw") -> Iterator[None]:
    """Have a folder on a disk of its own, in memory, with a further option; needs the rights to mount one."""
    mount = shutil.which("mount")
    options = f"size={bytes_max},{more}"
    command = [mount or "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def little_room(monkeypatch: pytest.MonkeyPatch, pages_max: int) -> None:
    """Let the file of a comparison grow to so many of SQLite's pages, and no further."""
    made = Shelves.__init__

    def in_little_room(place: Shelves) -> None:
        made(place)
        place._file.execute(f"PRAGMA max_page_count={pages_max}")

    monkeypatch.setattr(Shelves, "__init__", in_little_room)


def fill(folder: Path, but_bytes: int = 0) -> Path:
    """Fill the disk of a folder but for so many bytes, and return the file that does it."""
    filler = folder / "filler"
    disk = os.statvfs(folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - but_bytes)
    return filler
