"""The lines of a text, none of them longer than memory should hold; with or without comments."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial

LINE_MAX = 1_048_576
"""Characters of a line. One line may be a whole file, and a small gzip may unpack to it."""


class LongLine(Exception):
    """A line has more than ``LINE_MAX`` characters."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def limited(text: io.TextIOWrapper, unfinished: Callable[[], None]) -> Iterator[str]:
    """Yield the lines of a text.

    Parameters
    ----------
    unfinished
        Called at the end, when the last line has no line end.

    Raises
    ------
    LongLine
        A line is too long; no more of it than that was read.
    """
    line = "\n"
    for number, line in enumerate(iter(partial(text.readline, LINE_MAX), ""), start=1):
        if len(line) == LINE_MAX and line[-1] not in "\r\n":
            raise LongLine(number)
        yield line
    if line[-1] not in "\r\n":
        unfinished()


class WithoutComments:
    """Lines of a file without those that begin with a prefix; counts all of them.

    Attributes
    ----------
    number
        The last line that was read.
    first
        The first line that was given since it was last set to 0.
    """

    def __init__(self, lines: Iterable[str], prefix: str) -> None:
        self._lines = iter(lines)
        self._prefix = prefix
        self.number = self.first = 0

    def __iter__(self) -> WithoutComments:
        return self

    def __next__(self) -> str:
        while True:
            line = next(self._lines)
            self.number += 1
            if not line.lstrip("\ufeff \t").startswith(self._prefix):
                self.first = self.first or self.number
                return line
