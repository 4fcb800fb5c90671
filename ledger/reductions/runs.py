"""The readings of a meter: one by one, and in runs of what is alike.

A month of a park is some twenty thousand readings, a year is ten times as many. Nearly all of them are alike but for
start, value and text, so that what is added, counted or hashed goes through columns of these, and an object for each
reading is made only for those who ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, groupby
from operator import not_
from typing import NamedTuple, overload


class Reading(NamedTuple):
    """One row of a meter file: ``digits`` times 10^-``scale``, in kW, kWh, kg or litres."""

    start_s: int
    end_s: int
    kind: int
    quality: int
    digits: int
    """0 when the value is missing."""
    scale: int
    text: str
    """The number as received, empty when missing."""


class Shape(NamedTuple):
    """What the readings of a run have in common."""

    seconds: int
    """From the start to the end of each."""
    kind: int
    quality: int
    scale: int


class Run(NamedTuple):
    """Readings that follow one another and are of one shape, as columns of one length, which is not 0."""

    shape: Shape
    starts: Sequence[int]
    digits: Sequence[int]
    texts: Sequence[str]

    def readings(self) -> Iterator[Reading]:
        """Yield the readings, one by one."""
        seconds, kind, quality, scale = self.shape
        for start_s, digits, text in zip(self.starts, self.digits, self.texts, strict=True):
            yield Reading(start_s, start_s + seconds, kind, quality, digits, scale, text)

    def part(self, begin: int, end: int) -> Run:
        """Return its readings from one place to before another; such a run may be empty."""
        place = slice(begin, end)
        return Run(self.shape, self.starts[place], self.digits[place], self.texts[place])

    def parted(self, flags: Sequence[bool]) -> tuple[list[Run], list[Run]]:
        """Return those of its readings that have a flag, and the others: a run of each, or none."""
        return self._those(flags), self._those(list(map(not_, flags)))

    def _those(self, flags: Sequence[bool]) -> list[Run]:
        if not any(flags):
            return []
        return [
            Run(
                self.shape,
                list(compress(self.starts, flags)),
                list(compress(self.digits, flags)),
                list(compress(self.texts, flags)),
            )
        ]


class Readings(Sequence[Reading]):
    """Readings in their order, which does not change. Equal to every sequence of equal readings."""

    __slots__ = ("_rows", "_runs")

    def __init__(self, runs: Iterable[Run], rows: tuple[Reading, ...] | None = None) -> None:
        self._runs = tuple(runs)
        self._rows = rows

    @classmethod
    def of(cls, readings: Iterable[Reading]) -> Readings:
        """Return readings in runs; those that are already, as they are."""
        if isinstance(readings, Readings):
            return readings
        rows = tuple(readings)
        shapes = [
            Shape(end_s - start_s, kind, quality, scale)
            for start_s, end_s, kind, quality, _, scale, _ in rows
        ]
        starts, digits, texts = (
            [row.start_s for row in rows],
            [row.digits for row in rows],
            [row.text for row in rows],
        )
        return cls(_runs(shapes, starts, digits, texts), rows)

    @classmethod
    def of_columns(
        cls,
        shapes: Sequence[Shape],
        starts: Sequence[int],
        digits: Sequence[int],
        texts: Sequence[str],
    ) -> Readings:
        """Return readings whose fields come in columns of one length."""
        return cls(_runs(shapes, starts, digits, texts))

    @property
    def runs(self) -> tuple[Run, ...]:
        """The same readings in the same order."""
        return self._runs

    def __len__(self) -> int:
        return sum(len(run.starts) for run in self._runs)

    def __iter__(self) -> Iterator[Reading]:
        return iter(self._all())

    @overload
    def __getitem__(self, place: int) -> Reading: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Reading, ...]: ...
    def __getitem__(self, place: int | slice) -> Reading | tuple[Reading, ...]:
        return self._all()[place]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (Readings, tuple, list)):
            return self._all() == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return f"Readings.of({self._all()!r})"

    def _all(self) -> tuple[Reading, ...]:
        if self._rows is None:
            self._rows = tuple(reading for run in self._runs for reading in run.readings())
        return self._rows


def _runs(
    shapes: Iterable[Shape], starts: Sequence[int], digits: Sequence[int], texts: Sequence[str]
) -> Iterator[Run]:
    first = 0
    for shape, alike in groupby(shapes):
        end = first + len(list(alike))
        yield Run(shape, starts[first:end], digits[first:end], texts[first:end])
        first = end
