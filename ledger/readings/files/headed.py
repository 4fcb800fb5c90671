"""Tables whose columns are named by a row of their own, the header: CSV files and the sheets of workbooks."""

from __future__ import annotations

import re
import unicodedata
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from ledger.errors import BadInput
from ledger.readings.files.formats import ONLY
from ledger.readings.files.tables import BadRow, Cells, Table, empty_file

_TITLE_MAX = 50
"""Lines after the first in which a header is looked for."""
_NUMBER = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


class HeadedTable(Table):
    """The rows of a table below its header."""

    @abstractmethod
    def _lines(self) -> Iterator[tuple[int, Cells]]:
        """Yield what was not read yet: the line on which each row ends, and its cells; empty rows are passed over."""

    def _header(self) -> list[str]:
        """Take the next row for the header, and return its cells as they are written.

        Raises
        ------
        BadInput
            There is none.
        """
        before = self.format.header_line
        header = next(self.guarded(self._lines()), None)
        if header is None or isinstance(header[1], BadRow):
            raise empty_file(self.path, "a header line with the names of the columns", before)
        self.header_line = header[0]
        self.columns = [normal(name.strip().removeprefix("\ufeff")) for name in header[1]]
        return header[1]

    def place_of(self, name: str, key: str = "") -> int:
        """Return the place of a column.

        Raises
        ------
        BadInput
            The header does not have it, or has it twice.
        """
        found = ", ".join(self.columns)[:200]
        if key in self.format.numbered:
            if int(name) <= len(self.columns):
                return int(name) - 1
            what = f"has {len(self.columns)} columns, and {key} = {name}"
            raise self._no_column(f"{what}, found: {found}", "missing-column", name)
        count = self.columns.count(normal(name))
        if count == 1:
            return self.columns.index(normal(name))
        # Keys in braces are texts, numbers too.
        if key == ONLY and not count and _NUMBER.fullmatch(name) and int(name) <= len(self.columns):
            return int(name) - 1
        called = f"named {name!r}" if name else "without a name"
        what = f"has {count} columns {called}"
        number = "{ 1 = ... }" if key == ONLY else "1"
        more = f"; or write its number, {key} = {number} for the first column" if key else ""
        hint = None
        if count == 0:
            what, more = f"has no column {name!r}" if name else "has no column without a name", ""
            hint = self._near_hint(name) or self._later_hint(name)
        hint = hint or self._written_hint() or f"correct the header or the [[source]]{more}"
        code = "column-twice" if count else "missing-column"
        raise self._no_column(f"{what}, found: {found}; {hint}", code, name)

    def _no_column(self, what: str, code: str, name: str) -> BadInput:
        line = self.header_line
        return BadInput(
            f"{self.path.name}: line {line} {what}",
            code=code,
            details={"file": self.path.name, "line": line, "column": name},
        )

    def _near_hint(self, name: str) -> str | None:
        """Return the column that is meant, most likely, where no eye may see what it differs in."""
        alike = _letters(name)
        near = next((column for column in self.columns if alike and _letters(column) == alike), "")
        if not near:
            return None
        return f"{near!r} differs from it in case, width or blanks alone: write that in [[source]]"

    def _later_hint(self, name: str) -> str | None:
        """Return where the header is, if lines of a title stand before it: no more is read of the file."""
        with suppress(BadInput):
            for line, cells in islice(self.guarded(self._lines()), _TITLE_MAX):
                if isinstance(cells, list) and normal(name) in map(normal, cells):
                    begins = self._beginning(line, cells)
                    return f"it stands in line {begins}: write header_line = {begins} in [[source]]"
        return None

    def _beginning(self, line: int, cells: Sequence[str]) -> int:
        """Return the line on which a row begins, of one that ends on a line."""
        return line

    def _written_hint(self) -> str | None:
        """Return what to declare where the header shows that the file is written in another way."""
        return None

    def header_again(self, cells: Sequence[str], time: int, places: Iterable[int]) -> str | None:
        """Return what is different where a row is a header once more, nothing where it is the same; else None.

        Upper and lower case say nothing there.
        """
        names = [normal(cell.strip().removeprefix("\ufeff")) for cell in cells]
        folded, first_ones = ([name.casefold() for name in some] for some in (names, self.columns))
        again = folded[time] == first_ones[time] or sorted(folded) == sorted(first_ones)
        if not again or not self.columns[time]:
            return None
        for place in places:
            if folded[place] != first_ones[place]:
                found, first = names[place][:40], self.columns[place][:40]
                return f"column {place + 1} is {found!r}, and in line {self.header_line} it is {first!r}"
        return ""

    def rows(self) -> Iterator[tuple[int, Cells]]:
        """Yield the line on which each row ends, and its cells; empty lines are passed over.

        Raises
        ------
        BadInput
            The file has no row at all, or cannot be read on.
        """
        found = self.guarded(self._body())
        first = next(found, None)
        if first is None:
            raise BadInput(
                f"{self.path.name}: no row follows the header; is it the right file?",
                code="empty-file",
                details={"file": self.path.name, "line": self.header_line + 1},
            )
        yield first
        yield from found

    def _body(self) -> Iterator[tuple[int, Cells]]:
        """Yield the rows below the header, as ``_lines`` does."""
        return self._lines()


def normal(name: str) -> str:
    """Return a name with accents and blanks written the one way, however its file writes them.

    In a spreadsheet a name may run over two lines of its cell, and nobody sees whether one blank stands in it or two.
    """
    return " ".join(unicodedata.normalize("NFC", name).split())


def _letters(name: str) -> str:
    """Return the letters of a name, without what sets apart names that look alike."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())
