"""Workbooks as they are since 2007.

Kept of one are the texts that its cells share, which of its styles are of dates, and a piece of rows: memory stays
flat, whatever it unpacks to. Decision 0115 says why no library reads it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Set
from contextlib import suppress
from datetime import datetime
from functools import cached_property, partial
from typing import BinaryIO, NamedTuple

from ledger.readings.files.sheets import (
    UNCOMPUTED,
    BrokenWorkbook,
    Row,
    Sheet,
    Value,
    stamp_at,
    stamp_of,
)
from ledger.readings.files.xlsxparts import (
    DEPTH_MAX,
    MIB,
    STRANGE,
    Attributes,
    Parts,
    deeper,
    part_name,
    plain,
    require_short,
    tag_of,
)

ROWS_MAX, COLUMNS_MAX = 1_048_576, 16_384
SHEETS_MAX = 1_000
_SHEET_MAX = 2048 * MIB
TEXTS_MAX = 64 * MIB
"""Of the texts that cells share, which are kept: a million times of 16 characters are 36."""
_RELATIONS_MAX = MIB
_BUILT_IN_DATES = {
    str(number) for few in ((14, 23), (27, 37), (45, 48), (50, 59)) for number in range(*few)
}
"""Formats of dates and times that have a number alone; those from 27 to 36, and from 50 on, are of East Asia."""
_LITERAL = re.compile(r'(?<=[s\]])\\?[.,]0+|"[^"]*"|\\.|_.|\*.|\[(?!(?:h+|m+|s+)\])[^\]]*\]')
"""What stands in a format for itself, and fractions of seconds."""
_FORMAT_MAX = 255
_TRUE = ("1", "true")


class _Part(NamedTuple):
    """A part, as another one refers to it."""

    kind: str
    name: str


class Xlsx:
    """An open workbook.

    Parameters
    ----------
    stream
        The file, which stays open as long as its rows are read.

    Attributes
    ----------
    sheets
        Its sheets of cells, in order.

    Raises
    ------
    BrokenWorkbook
        It is damaged, hostile, or no workbook.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._parts = Parts(stream)
        main = (part.name for part in self._related("").values() if part.kind == "officedocument")
        book = next(main, "xl/workbook.xml")
        if book not in self._parts or not book.startswith("xl/") or book.endswith(".bin"):
            raise BrokenWorkbook(self._what_else())
        self._of_book = self._related(book)
        self._from_1904 = self._stale = False
        self.sheets: list[Sheet] = []
        self._parts.elements(book, self._note)

    def _what_else(self) -> str:
        """Return what a zip is in which no such workbook is."""
        if "xl/workbook.bin" in self._parts:
            return "the file is a binary workbook (.xlsb); save it as .xlsx"
        if "mimetype" in self._parts and "content.xml" in self._parts:
            return "the file is an OpenDocument one (.ods); save it as .xlsx"
        return "the file is a zip without a workbook; take the file out of it"

    def _note(self, parent: str, tag: str, attributes: Attributes) -> None:
        """Take in an element of the workbook itself."""
        if tag == "workbookPr":
            self._from_1904 = attributes.get("date1904") in _TRUE
        elif tag == "calcPr":
            # So programs write that do not compute: formulas have no values then, or zeros.
            self._stale = attributes.get("fullCalcOnLoad") in _TRUE
        elif tag == "sheet" and parent == "sheets":
            key = next((text for name, text in attributes.items() if name.endswith(":id")), "")
            part = self._of_book.get(key)
            if len(self.sheets) >= SHEETS_MAX:
                raise BrokenWorkbook(f"the workbook has more than {SHEETS_MAX:,} sheets; split it")
            if part is not None and part.kind == "worksheet":  # others are of charts
                hidden = attributes.get("state", "visible") != "visible"
                rows = partial(self._rows, part.name)
                self.sheets.append(Sheet(attributes.get("name", ""), hidden, rows))

    def _related(self, part: str) -> dict[str, _Part]:
        """Return what a part refers to, by the keys that it uses; nothing where it has no list of that."""
        folder, name = posixpath.split(part)
        there = posixpath.join(folder, "_rels", f"{name}.rels")
        found: dict[str, _Part] = {}

        def note(_: str, tag: str, attributes: Attributes) -> None:
            if tag == "Relationship" and attributes.get("TargetMode") != "External":
                kind = attributes.get("Type", "").rpartition("/")[2].lower()
                target = posixpath.join("/", folder, attributes.get("Target", ""))
                found[attributes.get("Id", "")] = _Part(kind, part_name(target))

        if there in self._parts:
            self._parts.elements(there, note, _RELATIONS_MAX)
        return found

    @cached_property
    def _dates(self) -> Set[str]:
        """The styles that show a number as a date or time."""
        formats = dict.fromkeys(_BUILT_IN_DATES, True)
        styles: list[str] = []

        def note(parent: str, tag: str, attributes: Attributes) -> None:
            if tag == "numFmt" and parent == "numFmts":
                code = attributes.get("formatCode", "")
                formats[attributes.get("numFmtId", "")] = shows_a_date(code)
            elif tag == "xf" and parent == "cellXfs":
                styles.append(attributes.get("numFmtId", ""))

        for part in self._of_book.values():
            if part.kind == "styles":
                self._parts.elements(part.name, note)
        return {str(place) for place, number in enumerate(styles) if formats.get(number)}

    @cached_property
    def _texts(self) -> list[str]:
        """The texts that cells share."""
        reader = _Texts()
        for part in self._of_book.values():
            if part.kind == "sharedstrings":
                for _ in self._parts.pieces(
                    part.name, TEXTS_MAX, reader.start, reader.end, reader.text
                ):
                    require_short(reader.pieces)
        return reader.found

    def _rows(self, part: str) -> Iterator[Row]:
        """Yield the rows of a sheet in which something stands."""
        reader = _Rows(self, self._dates, from_1904=self._from_1904, stale=self._stale)
        for _ in self._parts.pieces(part, _SHEET_MAX, reader.start, reader.end, reader.text):
            require_short(reader.pieces)
            yield from reader.done
            reader.done.clear()

    def shared(self, number: int) -> str:
        """Return a text that cells share.

        Raises
        ------
        BrokenWorkbook
            The list of them cannot be read.
        LookupError
            There is none of this number.
        """
        if number < 0:  # to Python those count from the end
            raise LookupError(number)
        return self._texts[number]


class _Texts:
    """Takes in the texts that cells share; some of their parts are in styles of their own."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.pieces: list[str] = []
        self._depth = 0
        self._taking = self._silent = False

    def start(self, name: str, _: Attributes) -> None:
        """Take in the start of an element."""
        self._depth = deeper(self._depth)
        tag = tag_of(name)
        if tag == "rPh":  # how it is pronounced
            self._silent = True
        self._taking = tag == "t" and not self._silent

    def end(self, name: str) -> None:
        """Take in the end of an element."""
        self._depth -= 1
        self._taking = False
        tag = tag_of(name)
        if tag == "si":
            self.found.append(plain(self.pieces))
            self.pieces.clear()
        elif tag == "rPh":
            self._silent = False

    def text(self, data: str) -> None:
        """Take in a text, or a piece of one."""
        if self._taking:
            self.pieces.append(data)


class _Rows:
    """Takes in the rows of a sheet; millions of elements pass through it.

    Attributes
    ----------
    done
        Rows that have ended, to be taken away.
    pieces
        The text of a cell that has not ended.
    """

    def __init__(self, book: Xlsx, dates: Set[str], *, from_1904: bool, stale: bool) -> None:
        self.done: list[Row] = []
        self.pieces: list[str] = []
        self._book, self._dates = book, dates
        self._from_1904, self._stale = from_1904, stale
        self._columns: dict[str, int] = {}
        self._cells: list[Value] = []
        self._depth = self._row = self._column = self._prefix = 0
        self._kind = self._style = ""
        self._inside = self._taking = self._silent = self._formula = False

    def start(self, name: str, attributes: Attributes) -> None:
        """Take in the start of an element."""
        self._depth = self._depth + 1 if self._depth < DEPTH_MAX else deeper(self._depth)
        tag = name[self._prefix :] if self._prefix else name
        if not self._inside:
            tag = tag_of(name)
            self._inside, self._prefix = tag == "sheetData", len(name) - len(tag)
        elif tag == "v":
            self._taking = True
        elif tag == "c":
            self._begin_cell(attributes)
        elif tag == "row":
            self._row = int(attributes.get("r", self._row + 1))
            if not 0 < self._row <= ROWS_MAX:
                raise BrokenWorkbook(STRANGE.format(f"a row has the number {self._row}"))
            self._column = -1
        elif tag == "t":
            self._taking = not self._silent
        elif tag == "f":
            self._formula = True
        elif tag == "rPh":
            self._silent = True

    def _begin_cell(self, attributes: Attributes) -> None:
        place = attributes.get("r")
        if place is None:
            self._column += 1
        else:
            letters = place.rstrip("0123456789")
            if letters not in self._columns:
                self._columns[letters] = _column(letters)
            self._column = self._columns[letters]
        if not 0 <= self._column < COLUMNS_MAX:
            raise BrokenWorkbook(STRANGE.format(f"a cell is in column {self._column + 1}"))
        self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "0")
        self._formula = False
        self.pieces.clear()

    def end(self, name: str) -> None:
        """Take in the end of an element."""
        self._depth -= 1
        self._taking = False
        tag = name[self._prefix :] if self._prefix else name
        if tag == "c" and self._inside and (self.pieces or self._formula):
            self._put(self._value())
        elif tag == "row" and self._cells:
            self.done.append((self._row, self._cells))
            self._cells = []
        elif tag == "sheetData":
            self._inside = False
        elif tag == "rPh":
            self._silent = False

    def _put(self, value: Value) -> None:
        """Put the value of the cell that has ended into its row."""
        if value is not None:
            cells, column = self._cells, self._column
            cells += [None] * (column + 1 - len(cells))
            cells[column] = value

    def text(self, data: str) -> None:
        """Take in a text, or a piece of one."""
        if self._taking:
            self.pieces.append(data)

    def _value(self) -> Value:
        """Return the value of the cell that has ended."""
        kind = self._kind
        if self._formula and (self._stale or not (self.pieces or kind == "str")):
            return UNCOMPUTED
        text = "".join(self.pieces)
        if kind == "n":
            number = float(text)
            if self._style in self._dates:
                return stamp_of(number, from_1904=self._from_1904)
            return number
        if kind == "s":
            return self._book.shared(int(text)) or None
        return _typed(kind, plain(self.pieces)) or None


def shows_a_date(code: str) -> bool:
    """Return whether a number format shows a number as a date, a time or both."""
    bare = _LITERAL.sub("", code[:_FORMAT_MAX].lower())
    if bare.startswith(("general", "standard")):
        return False
    return not set("ymdhs").isdisjoint(bare) and set("0#?").isdisjoint(bare)


def _column(letters: str) -> int:
    """Return the number of a column, from 0; below 0, or too high, where there is none."""
    number = 0
    for letter in letters[:4].upper() if letters.isalpha() else "":
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _typed(kind: str, text: str) -> Value:
    """Return the value of a cell that holds a text, an error, true or false, or a date in ISO 8601."""
    if kind == "b":
        return "TRUE" if text in _TRUE else "FALSE"
    if kind == "d":
        with suppress(ValueError):
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                return stamp_at(moment)
    return text
