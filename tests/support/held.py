"""The program, held in the middle of a backup or of a restoring, so that a test kills it there and nowhere else.

``python -m tests.support.held PLACE SIGN WORDS...`` runs ``truetonne WORDS...`` to a place, makes the file SIGN, and
waits there for its end; it ends by itself with whoever holds the other end of its standard input. All else is as ever:
the programs of MariaDB that are at work then are real.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from cli.main import run
from ledger.backup import restoring
from ledger.backup.manifest import Manifest, Part
from ledger.backup.store import Making, Store

Hold = Callable[[], None]


def in_backup(hold: Hold) -> None:
    """Hold where a first block has come from mariadb-backup, which has more."""
    add = Making.add

    def held(making: Making, name: str, source: Iterable[bytes]) -> Any:
        def one_block() -> Iterator[bytes]:
            for block in source:
                yield block
                hold()

        return add(making, name, one_block())

    Making.add = held  # type: ignore[method-assign]


def in_restore(hold: Hold) -> None:
    """Hold where half of a copy has gone into mbstream."""
    read = Store.open

    def held(store: Store, manifest: Manifest, part: Part) -> Iterator[bytes]:
        count = 0
        for data in read(store, manifest, part):
            yield data
            count += len(data)
            if 2 * count >= part.plain_bytes:
                hold()

    Store.open = held  # type: ignore[method-assign]


def in_server(hold: Hold) -> None:
    """Hold where the server on what is put together has been started."""

    def held(*_: Any) -> Any:
        hold()

    restoring.apply_own = held


def in_naming(hold: Hold) -> None:
    """Hold where an SQLite file's archive has its name, and the file has not."""
    name = restoring._name

    def held(data: Path, place: Path) -> None:
        name(data, place)
        hold()

    restoring._name = held


PLACES = {"backup": in_backup, "restore": in_restore, "server": in_server, "naming": in_naming}


def main(place: str, sign: str, *words: str) -> int:
    """Run a command up to a place."""

    def hold() -> None:
        Path(sign).touch()
        sys.stdin.read()
        os._exit(1)

    PLACES[place](hold)
    return run(list(words))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
