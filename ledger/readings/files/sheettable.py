"""The rows of a workbook's sheet, as texts: what they would be in a CSV file of the same source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, TypeVar

from ledger.errors import BadInput
from ledger.readings.files.formats import JSON_LINES, Format
from ledger.readings.files.headed import HeadedTable, normal
from ledger.readings.files.marks import WORKBOOKS, unusable
from ledger.readings.files.sheets import (
    UNCOMPUTED,
    BrokenWorkbook,
    Row,
    Sheet,
    Stamp,
    Value,
    number_text,
)
from ledger.readings.files.tables import BadRow, Cells
from ledger.readings.files.timetexts import ISO, Writer, writers_of
from ledger.units import DAY_S

_FORMULA = (
    "a formula stands here, and the file does not have its value; open the workbook in a spreadsheet, save it, and "
    "import that"
)
Item = TypeVar("Item")


def sheets_of(path: Path, stream: BinaryIO) -> list[Sheet]:
    """Return the sheets of a workbook, which stays open.

    Raises
    ------
    BadInput
        It is none, cannot be read, or has a password.
    """
    try:
        if stream.read(4) == WORKBOOKS[0]:
            from ledger.readings.files.xlsx import Xlsx

            return Xlsx(stream).sheets
        from ledger.readings.files import xls

        stream.seek(0)
        content = stream.read(xls.SIZE_MAX + 1)
        if len(content) > xls.SIZE_MAX:
            size = xls.SIZE_MAX >> 20
            raise BrokenWorkbook(
                f"an old workbook, or one with a password, of more than {size} MiB; save it as .xlsx, without one"
            )
        return xls.sheets_of(content)
    except BrokenWorkbook as error:
        raise _wrong(path, str(error)) from error


def open_sheet(path: Path, stream: BinaryIO, file_format: Format) -> SheetTable:
    """Return the sheet of a workbook that its source means.

    Raises
    ------
    BadInput
        It cannot be read, has no such sheet, or has several and the source does not say which one; or the source reads
        lines of JSON.
    """
    if file_format.format == JSON_LINES:
        raise _wrong(path, 'the file is a workbook; take format = "jsonl" out of [[source]]')
    sheets = [sheet._replace(name=normal(sheet.name)) for sheet in sheets_of(path, stream)]
    wanted = file_format.sheet
    try:
        if wanted is not None:
            meant = [sheet for sheet in sheets if sheet.name == normal(wanted)]
        else:
            meant = [sheet for sheet in sheets if not sheet.hidden]
            if len(meant) > 1:
                meant = [sheet for sheet in meant if next(sheet.rows(), None) is not None]
    except BrokenWorkbook as error:
        raise _wrong(path, str(error)) from error
    if len(meant) == 1:
        return SheetTable(path, meant[0], file_format)
    names = ", ".join(repr(sheet.name) for sheet in meant or sheets)[:200]
    if meant:
        what = f"several sheets have cells, {names}; write which one is meant, sheet = {meant[0].name!r}, in [[source]]"
    elif wanted is not None:
        what = f"no sheet is named {wanted!r}, found: {names}; correct sheet in [[source]]"
    else:
        what = "no sheet that is shown has cells"
    raise _wrong(path, what)


def _wrong(path: Path, what: str) -> BadInput:
    return unusable(path, f"{what}; nothing was imported")


class SheetTable(HeadedTable):
    """The rows of a sheet, by the numbers that spreadsheets show; each has a cell for every column of the header.

    What stands beside these columns is no part of the table.
    """

    def __init__(self, path: Path, sheet: Sheet, file_format: Format) -> None:
        super().__init__(path, file_format)
        self._line = 0
        self._places: dict[str, int] = {}  # by their keys
        self._read: set[int] = set()  # several of one key, too
        self._found = self._below(sheet.rows())
        self.columns = []
        self._header()
        # A name may span columns, and stands in the first of them.
        first = list(self.guarded(islice(self._found, 1)))
        self._found = chain(first, self._found)
        self.columns += [""] * max(
            (len(cells) - len(self.columns) for _, cells in first), default=0
        )

    @property
    def line(self) -> int:
        """The last row that was read."""
        return self._line

    def guarded(self, rows: Iterable[Item]) -> Iterator[Item]:
        """Yield rows; what breaks the reading of them is said in one line."""
        try:
            yield from rows
        except BrokenWorkbook as error:
            self._broken(str(error), error)

    def place_of(self, name: str, key: str = "") -> int:
        """Return the place of a column, and note what is read there.

        Raises
        ------
        BadInput
            The header does not have it, or has it twice.
        """
        place = super().place_of(name, key)
        self._places[key] = place
        self._read.add(place)
        return place

    def _below(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows from the line of the header on, without comments."""
        comment = self.format.comment
        for number, cells in rows:
            self._line = number
            if number < self.format.header_line:
                continue
            if comment is None or not _shown(cells[0], ".").lstrip().startswith(comment):
                yield number, cells

    def _lines(self) -> Iterator[tuple[int, Cells]]:
        decimal = self.format.decimal
        for number, cells in self._found:
            yield number, [_shown(cell, decimal) for cell in cells]

    def _body(self) -> Iterator[tuple[int, Cells]]:
        """Yield the rows below the header, their times as those of the source are written."""
        decimal, write = self.format.decimal, self._time_writers()
        read, width = self._read_places(), len(self.columns)
        for number, found in self._found:
            cells = found[:width]
            texts = [
                cell
                if cell.__class__ is str
                else write[place](cell)
                if cell.__class__ is Stamp and place in write
                else _shown(cell, decimal)
                for place, cell in enumerate(cells)
            ]
            bare = [place for place in read if place < len(cells) and cells[place] is UNCOMPUTED]
            if bare:
                place = bare[0]
                name = self.columns[place] or str(place + 1)
                yield number, BadRow(_FORMULA, name, tuple(texts[:place]))
            else:
                yield number, texts + [""] * (width - len(texts))

    def _read_places(self) -> list[int]:
        """Return the places that are read, those between the first value and the last too."""
        between: Iterable[int] = ()
        if "last_value_column" in self._places:
            between = range(self._places["value_column"], self._places["last_value_column"])
        return sorted(self._read.union(between))

    def _time_writers(self) -> dict[int, Callable[[Stamp], str]]:
        """Return what writes the stamps of the columns of times, by their places."""
        write, places = writers_of(self.format.time_format), self._places

        def whole(stamp: Stamp) -> str:
            return write.whole(stamp.moment) if stamp >= DAY_S else _clock(stamp, write.clock)

        def day(stamp: Stamp) -> str:
            return whole(stamp) if stamp % DAY_S or not stamp else write.day(stamp.moment)

        def clock(stamp: Stamp) -> str:
            return _clock(stamp, write.clock) if stamp <= DAY_S else whole(stamp)

        if self.format.last_value_column is not None:
            return {places["time_column"]: day}
        if self.format.date_column is not None:
            return {places["date_column"]: day, places["time_column"]: clock}
        return {places["time_column"]: whole}


def _clock(stamp: Stamp, write: Writer) -> str:
    """Return a time of day, up to the midnight that closes it."""
    text = write(stamp.moment)
    if stamp < DAY_S:
        return text
    return f"24{text[2:]}" if text.startswith("00") else "24:00:00"


def _shown(value: Value, decimal: str) -> str:
    """Return a cell as a text, where no pattern says how times are written."""
    if isinstance(value, Stamp):
        if value > DAY_S:
            return (ISO.whole if value % DAY_S else ISO.day)(value.moment)
        return _clock(value, ISO.clock).removesuffix("" if value % 60 else ":00")
    if isinstance(value, float):
        return number_text(value, decimal)
    return value if isinstance(value, str) else ""
