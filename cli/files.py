"""Files that a command writes: there whole or not at all, and an error names the file that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ledger.errors import BadInput


class Writable(Protocol):
    """What takes text piece by piece: a file, or stdout as :class:`cli.output.Output` guards it."""

    def write(self, text: str, /) -> int:
        """Write a piece and return its length in characters."""


@contextmanager
def written_aside(out: Path, aside: Path) -> Iterator[Path]:
    """Open a block that writes ``aside``, which takes the place of ``out`` at its end; it goes when the block raises.

    Raises
    ------
    BadInput
        If it cannot be written.
    """
    try:
        try:
            yield aside
            aside.replace(out)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unwritable(out, error) from error


def unwritable(path: Path, error: OSError) -> BadInput:
    """Return the error of a file that cannot be written."""
    folder = path.parent
    why = error.strerror if folder.is_dir() else f"there is no folder {folder}"
    return BadInput(
        f"{path}: cannot be written ({why}); name a file in a folder that exists",
        code="file-unwritable",
    )
