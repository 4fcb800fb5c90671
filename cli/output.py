"""What a command says: one JSON document, or text for a person; progress apart, on stderr.

With ``--json`` stdout carries one document and nothing else. Progress and notes go to stderr,
and only when that is a terminal, so that a pipe or a log file never sees them; the steps of a work that
takes long are lines there in any case, but for ``--json`` to a pipe.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ledger.clock import time_text
from ledger.errors import BadInput, ContractRefused, DependencyDown, TruetonneError

if TYPE_CHECKING:
    from rich.console import Console

Advance = Callable[[int, int | None], None]
"""Tells a progress bar how much is done, and how much there is (None: unknown)."""
Columns = Mapping[str, str | Callable[[Any], object]]
"""The title of each column of a table, with what gives its cells."""


_NAME_SHARE = 0.3
"""The share of a terminal's width that the first column of a table may take unfolded: the others stay readable."""


@dataclass(frozen=True)
class Table:
    """Rows for a person. Columns named in ``right`` hold numbers and are aligned on the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    right: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(
        cls,
        items: Iterable[Any],
        columns: Columns,
        title: str = "",
        right: Iterable[str] = (),
    ) -> Table:
        """Return a row for each item. A column says by which key its cell is in an item, or what makes it of one."""
        rows = [
            tuple(item[cell] if isinstance(cell, str) else cell(item) for cell in columns.values())
            for item in items
        ]
        return cls(tuple(columns), rows, title, frozenset(right))


class OutputLost(DependencyDown):
    """What stdout leads to takes no more, such as a file on a full disk."""

    default_code = "output-lost"


class Output:
    """The two streams of one command.

    Parameters
    ----------
    as_json
        Whether stdout carries one JSON document instead of text.
    stdout, stderr
        The streams; the process's own by default.
    """

    def __init__(
        self, as_json: bool, stdout: TextIO | None = None, stderr: TextIO | None = None
    ) -> None:
        self.as_json = as_json
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr
        self._is_interrupted = False
        self.is_trial = False
        """Whether nothing is written (``--dry-run``), which the document then says."""
        self.reader_left = False
        """Whether whoever read stdout reads no more."""

    def result(
        self,
        document: Mapping[str, Any],
        *shown: str | Table,
        ended_by: TruetonneError | None = None,
    ) -> None:
        """Print the answer of a command: the document with ``--json``, else what is to be shown.

        Parameters
        ----------
        ended_by
            What kept the command from its end, for one that has done something before: said after that, and in the
            same document.
        """
        if ended_by is not None:
            if self.as_json:
                document = {**document, "error": _in_plain_words(ended_by).as_json()}
            self.result(document, *shown)
            if not self.as_json:
                self.flush()
                self.error(ended_by)
            return
        with self._kept():
            if self.as_json:
                self._write_json({**document, "dry_run": True} if self.is_trial else document)
                return
            for item in shown:
                if isinstance(item, Table):
                    self._print_table(item)
                else:
                    print(tame(str(item)), file=self._stdout)

    def write(self, text: str) -> int:
        """Print one piece of an answer that is a file of its own, such as the next lines of a CSV; return its length.

        It is UTF-8 whatever the locale says, as where ``-o`` names the file; a terminal gets what it can show.

        Raises
        ------
        OutputLost
            If it cannot be written; a reader that left is a BrokenPipeError as ever.
        """
        with self._kept():
            stdout = self._stdout
            if (
                isinstance(stdout, io.TextIOWrapper)
                and stdout.encoding.lower() != "utf-8"
                and not stdout.isatty()
            ):
                stdout.reconfigure(encoding="utf-8")
            return stdout.write(text)

    def write_bytes(self, piece: bytes) -> int:
        """Print one piece of an answer that is a file of bytes, such as Parquet; return its length.

        Raises
        ------
        OutputLost
            As ``write``.
        """
        with self._kept():
            self._stdout.flush()
            return self._stdout.buffer.write(piece)

    def require_bytes(self, form: str) -> None:
        """Refuse to show a terminal what is not text.

        Raises
        ------
        BadInput
            If stdout is one.
        """
        if self._stdout.isatty():
            raise BadInput(
                f"--format {form} needs --output FILE, or a pipe: it is binary, and not for a terminal",
                code="usage",
            )

    def flush(self) -> None:
        """Write what is still to be written.

        Raises
        ------
        OutputLost
            If it cannot be; a reader that left is a BrokenPipeError as ever.
        """
        with self._kept():
            self._stdout.flush()

    def error(self, error: TruetonneError) -> None:
        """Print an error: one object with ``--json``, else one line on stderr; there, too, if stdout takes none."""
        error = _in_plain_words(error)
        as_json = None if isinstance(error, OutputLost) else error.as_json()
        self._fail(as_json, f"error: {error.message}")

    def interrupted(self, left: str) -> None:
        """Say once that the command was told to end, and what it left, as ``error`` does."""
        if self._is_interrupted:
            return
        self._is_interrupted = True
        said = f"interrupted; {left}"
        self._fail({"code": "interrupted", "message": said}, said)

    def _fail(self, error: Mapping[str, Any] | None, line: str) -> None:
        if self.as_json and error is not None:
            with suppress(OutputLost):
                self.result({"error": error})
                self.flush()
                return
        self._tell(line)

    def _tell(self, text: str) -> None:
        """Print a line on stderr. What a full disk or a reader that left does not take is lost, and nothing else."""
        try:
            print(printable(text), file=self._stderr, flush=True)
        except OSError:
            self._stderr = no_stderr()

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            self.reader_left = True
            raise
        except OSError as error:
            raise OutputLost(
                f"stdout cannot be written ({error.strerror}); the answer is lost or cut off, and whatever else the "
                "command had to do is done"
            ) from error

    def note(self, text: str) -> None:
        """Tell a person at a terminal what is going on; say nothing to a pipe."""
        if self._stderr.isatty():
            self._tell(text)

    def step(self, text: str) -> None:
        """Say which step of a long work begins, to a log file too; only ``--json`` keeps a pipe quiet."""
        if self._stderr.isatty() or not self.as_json:
            self._tell(text)

    @contextmanager
    def progress(self, label: str, unit: str = "", *, step: bool = False) -> Iterator[Advance]:
        """Show a progress bar on stderr while the block runs; where it is no terminal, a step's line or nothing."""
        if not self._stderr.isatty():
            if step:
                self.step(label)
            yield lambda done, total: None
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self._console(self._stderr)) as bar:
            task = bar.add_task(label, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def _write_json(self, document: Mapping[str, Any]) -> None:
        utf8 = (self._stdout.encoding or "").lower().replace("-", "") == "utf8"
        encoder = json.JSONEncoder(
            indent=2, ensure_ascii=not utf8, allow_nan=False, default=as_json
        )
        pieces = encoder.iterencode(document)
        while text := "".join(islice(pieces, _PIECES)):
            # JSON itself escapes only what is below a blank; a terminal obeys more than that.
            self._stdout.write(_UNSEEN.sub(_escaped, text))
        self._stdout.write("\n")

    def _console(self, stream: TextIO) -> Console:
        from rich.console import Console

        return Console(file=stream, highlight=False, markup=False, emoji=False)

    def _print_table(self, table: Table) -> None:
        if not self._stdout.isatty():
            for line in _aligned(table):
                print(line, file=self._stdout)
            return
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        console = self._console(self._stdout)
        rows = [[Text(_cell(item)) for item in row] for row in table.rows]
        heads = [Text(name).cell_len for name in table.columns]
        cells = [max(text.cell_len for text in column) for column in zip(*rows, strict=True)]
        widths = list(zip(heads, cells or [0] * len(heads), strict=True))
        # What a row is named by is taken over into the next command: other columns are folded first.
        named = max(widths[0])
        is_named = named <= console.width * _NAME_SHARE
        least = [
            None if name in table.right else named if is_named and at == 0 else 0
            for at, name in enumerate(table.columns)
        ]
        padding, numbers = _whole_numbers(widths, least, console.width)
        drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, padding))
        for at, name in enumerate(table.columns):
            drawn.add_column(
                name,
                justify="right" if name in table.right else "left",
                overflow="fold",
                no_wrap=at == 0 and is_named and at not in numbers,
                width=numbers.get(at),
            )
        for row in rows:
            drawn.add_row(*row)
        # Not the table's own title, which is folded to the width of a narrow table.
        titled = [Text(table.title, style="italic")] if table.title else []
        console.print(*titled, drawn, sep="\n")


def _whole_numbers(
    widths: Sequence[tuple[int, int]], least: Sequence[int | None], room: int
) -> tuple[int, dict[int, int]]:
    """Return the padding of a table in a terminal, and how wide its columns of numbers are, that none is torn.

    Half of a number reads as another. Their heads are folded first, then columns stand closer; where there is no room
    for that, or for all of it as it is, nothing is said of any column.

    Parameters
    ----------
    widths
        Of the head and of the widest cell of each column.
    least
        What each column of text must have; None: it has numbers.
    room
        The terminal's width.
    """
    columns = len(widths)
    if sum(map(max, widths)) + 3 * columns - 1 <= room:
        return 1, {}
    for padding, head_most, text_least in ((1, room, 10), (1, 4, 10), (0, 4, 3)):
        numbers = {
            at: max(cell, min(head, head_most))
            for at, (head, cell) in enumerate(widths)
            if least[at] is None
        }
        texts = sum(max(each, text_least) for each in least if each is not None)
        between = (2 * padding + 1) * (columns - 1) + 2
        if sum(numbers.values()) + texts + between <= room:
            return padding, numbers
    return 1, {}


def no_stderr() -> TextIO:
    """Leave stderr alone from now on, and return what stands in its place.

    Python would try once more to write what is left, at its end, and end with an exit code of its own.
    """
    sys.stderr = io.TextIOWrapper(io.BytesIO())
    return sys.stderr


_PIECES = 10_000
"""How many pieces of a JSON text are written at once: that of a long list is not held whole."""
_UNSEEN = re.compile(r"[^\n\t -~]")
"""What may be no sign that shows as itself: nothing of ASCII but controls, and of the rest some."""

_BYTES = range(0xDC80, 0xDD00)
"""What stands for bytes of a file's name that are no text; each is shown as the books keep it (``\\xff``)."""


def tame(text: str) -> str:
    """Return text with its ends of lines; any other character that does not show as itself stands as its number.

    A text from a file of a stranger moves no cursor, clears no screen, and turns no line around.
    """
    return _UNSEEN.sub(_tamed, text)


def _tamed(found: re.Match[str]) -> str:
    sign = found[0]
    number = ord(sign)
    if _BYTES[0] <= number <= _BYTES[-1]:
        return f"\\x{number - 0xDC00:02x}"
    return sign if sign.isprintable() else f"\\x{number:02x}"


def _escaped(found: re.Match[str]) -> str:
    sign = found[0]
    return sign if sign.isprintable() else json.dumps(sign)[1:-1]


def printable(text: str) -> str:
    """Return text in one line, control characters escaped: a hostile name moves no cursor."""
    return tame(" ".join(text.split()))


def _in_plain_words(error: TruetonneError) -> TruetonneError:
    """Return a contract's refusal with what it means, and what to do; any other error as it is."""
    if not isinstance(error, ContractRefused):
        return error
    from ledger.chain.failures.explanations import explain

    said = explain(error.message)
    if said is None:
        return error
    details = {**error.details, "contract_error": asdict(said)}
    return ContractRefused(said.of(error.message), code=error.code, details=details)


def as_json(value: object) -> object:
    """Return what JSON can hold of a value that it cannot; numbers become decimal text.

    Raises
    ------
    TypeError
        For a value without an exact JSON form.
    """
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, date | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _aligned(table: Table) -> Iterator[str]:
    """Yield the lines of a table that no terminal shows: each row is one, so that `grep` and `awk` work on it.

    Made here, for lists as long as books are: what draws for terminals takes a quarter of a millisecond for a row.
    """
    from rich.cells import cell_len

    if table.title:
        yield table.title
    rows = [[*table.columns], *([_cell(item) for item in row] for row in table.rows)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    right = [name in table.right for name in table.columns]
    for row in rows:
        cells = []
        for cell, width, to_right in zip(row, widths, right, strict=True):
            blanks = " " * (width - cell_len(cell))
            cells.append(blanks + cell if to_right else cell + blanks)
        yield "  ".join(cells).rstrip()


def _cell(item: object) -> str:
    if item is None:
        return ""
    if isinstance(item, datetime | Decimal | date):
        return str(as_json(item))
    return printable(str(item))
