"""What the commands of the long suites share: numbers that can be meant, an end in order, and one at a time.

A suite has servers, nodes and folders of its own. They are gone when it ends, however it is ended: Ctrl-C and
SIGTERM let it clean up first. Its exit code is then ``INTERRUPTED``, never that of a run in which all was right.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Protocol, TypeVar

from cli.alone import alone_in
from ledger.errors import INTERRUPTED, DependencyDown

Item = TypeVar("Item")
Stage = TypeVar("Stage")
ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
MISSING = DependencyDown.exit_code
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def at_least(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers, for argparse, that refuses smaller ones."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {number}")
        return number

    return read


seed = at_least(0)
"""A seed: Python's generator takes -5 for 5, so that two seeds would be one."""


def share(text: str) -> float:
    """Read a share from 0 to 1, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be a share from 0 to 1, not {text!r}")
    return number


def staged(
    items: Sequence[Item], new_stage: Callable[[], AbstractContextManager[Stage]], each: int
) -> Generator[tuple[Stage, Item]]:
    """Yield each item with the stage that it is played on: so many share one, and the next ones get a new one."""
    for start in range(0, len(items), each):
        with new_stage() as on:
            for item in items[start : start + each]:
                yield on, item


def command(name: str, main: Callable[[], int]) -> int:
    """Run a suite and return its exit code; one line on stderr where it was interrupted, or a program is missing.

    The handlers are set also where the shell lets Ctrl-C be ignored, as in the background.
    """
    for number in _ENDING:
        signal.signal(number, _interrupt)
    try:
        return main()
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except DependencyDown as reason:
        print(f"{name}: {reason}", file=sys.stderr)
        return MISSING


def get_tools(name: str) -> None:
    """Have ``dev`` install what a suite needs beside Python's packages; after its words are read, as they may be wrong.

    Where that fails, ``dev`` has said why, and the suite ends with its exit code.
    """
    code = subprocess.run(["sh", str(ROOT / "dev"), "tools", name], check=False).returncode
    if code:
        sys.exit(code)


class Summary(Protocol):
    """What a suite found, whose first seed is ``seed``."""

    seed: int

    def lines(self) -> Iterable[str]:
        """Return it for people."""

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""


def report(summary: Summary, folder: Path) -> None:
    """Print what a suite found, and keep it in a folder, in the file of its seed."""
    print("\n".join(summary.lines()))
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(summary.as_json(), indent=1) + "\n"
    (folder / f"summary-{summary.seed}.json").write_text(text, "utf-8")


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Begin to end: a second Ctrl-C would stop the cleaning up, so it is not heard; SIGTERM still is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise KeyboardInterrupt


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Let one suite of a name work in this clone at a time; another waits, and says so.

    For suites whose runs share a folder under ``build/``. The lock goes with the process, however it ends.
    """
    said = f"{name}: waiting for another ./dev {name} in this folder"
    with alone_in(BUILD / "alone" / name, lambda: print(said, file=sys.stderr)):
        yield
