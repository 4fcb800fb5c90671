r"""The readings of a period as a file: one line for each leaf of the evidence tree, in one spelling.

CSV in UTF-8 with the header ``meter,start_s,end_s,kind,quality,text``, plain or gzipped. Lines stand
in the order of the meters' serials, of their starts, and of their texts; a line is ended by ``\n``.
Digits and scale are not written: they follow from the text and from the unit that the manifest names,
by the rule that an import follows.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ledger.errors import BadInput
from ledger.files import GZIP
from ledger.reductions.records import Meter

COLUMNS = ("meter", "start_s", "end_s", "kind", "quality", "text")
HEADER = ",".join(COLUMNS)
LINE_MAX = 1_000
"""Characters of a line: a serial has up to 100 and a text up to 64."""
_INTEGER_DIGITS_MAX = 18
_QUOTED = frozenset(',"\r')


class Line(NamedTuple):
    """One line of a readings file; ``number`` counts from 1, the header's."""

    number: int
    meter: str
    start_s: int
    end_s: int
    kind: int
    quality: int
    text: str


def pack(meters: Iterable[Meter]) -> bytes:
    """Return the gzipped readings file of some meters; equal readings give equal bytes."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", filename="", mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
    ):
        text.writelines(lines_of(meters))
    return out.getvalue()


def lines_of(meters: Iterable[Meter]) -> Iterator[str]:
    """Yield the lines of a readings file, the header first, each with its end."""
    yield HEADER + "\n"
    for meter in sorted(meters, key=lambda meter: meter.serial):
        name = _cell(meter.serial)
        for reading in sorted(meter.readings, key=lambda reading: (reading.start_s, reading.text)):
            yield (
                f"{name},{reading.start_s},{reading.end_s},{int(reading.kind)},"
                f"{int(reading.quality)},{_cell(reading.text)}\n"
            )


def read(path: Path) -> Iterator[Line]:
    """Yield the lines of a readings file; what stands in them is not judged here.

    Raises
    ------
    BadInput
        The file cannot be read, is damaged, or a line is not spelled as ``lines_of`` spells it.
    """
    with _opened(path) as stream:
        try:
            yield from parse(_limited(stream), str(path))
        except UnicodeDecodeError:
            raise BadInput(f"{path}: not UTF-8 text") from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadInput(f"{path}: damaged gzip ({error}); export it again") from None


def parse(lines: Iterable[str], name: str) -> Iterator[Line]:
    """Yield the lines of a readings file from their text.

    Raises
    ------
    BadInput
        A line is not spelled as ``lines_of`` spells it.
    """
    number = 0
    for number, line in enumerate(lines, 1):
        if number > 1:
            yield _line(name, number, line)
        elif line != HEADER + "\n":
            raise BadInput(f"{name}: line 1: the header must be {HEADER}, found {line[:80]!r}")
    if number == 0:
        raise BadInput(f"{name}: line 1: empty; the header must be {HEADER}")


def _opened(path: Path) -> io.TextIOWrapper:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({error.strerror}); name an existing file", code="file-error"
        ) from None
    packed = raw.peek(2)[:2] == GZIP  # looked at and not taken, so that a pipe may be read
    stream = gzip.GzipFile(fileobj=raw, mode="rb") if packed else raw
    # newline: only \n ends a line, so that a \r in one is seen.
    return io.TextIOWrapper(stream, encoding="utf-8", newline="\n")


def _limited(stream: io.TextIOWrapper) -> Iterator[str]:
    """Yield lines, the long ones cut, so that no file fills the memory with one line."""
    while line := stream.readline(LINE_MAX + 1):
        yield line


def _line(name: str, number: int, line: str) -> Line:
    cells = _cells(line[:-1])
    if (what := _wrong(line, cells)) is not None or cells is None:
        raise BadInput(f"{name}: line {number}: {what}")
    meter, start_s, end_s, kind, quality, text = cells
    return Line(number, meter, int(start_s), int(end_s), int(kind), int(quality), text)


def _wrong(line: str, cells: list[str] | None) -> str | None:
    """Return what is wrong with the spelling of a line; None when nothing is."""
    if len(line) > LINE_MAX:
        return f"is longer than {LINE_MAX} characters"
    if not line.endswith("\n"):
        return "the line is not ended: the file is cut off"
    if cells is None:
        return (
            "a cell is not in its one spelling: quotes stand where a comma, a quote or a return is"
        )
    if len(cells) != len(COLUMNS):
        return f"{len(cells)} columns instead of {len(COLUMNS)}"
    for column, cell in zip(COLUMNS[1:5], cells[1:5], strict=True):
        if not _is_integer(cell):
            return f"column {column}: {cell[:40]!r} is no whole number in its one spelling"
    return None


def _cells(line: str) -> list[str] | None:
    """Return the cells of a line, None when they are not quoted as ``_cell`` quotes them."""
    if '"' not in line and "\r" not in line:
        return line.split(",")
    try:
        (cells,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError):
        return None
    return cells if ",".join(map(_cell, cells)) == line else None


def _cell(text: str) -> str:
    """Return a cell, quoted where it must be and only there."""
    if _QUOTED.isdisjoint(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _is_integer(cell: str) -> bool:
    return (
        cell.isascii()
        and cell.isdigit()
        and len(cell) <= _INTEGER_DIGITS_MAX
        and (cell[0] != "0" or cell == "0")
    )
