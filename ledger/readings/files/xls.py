"""Workbooks of before 2007, which xlrd reads: whole, so that a file has a size at most."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from typing import Any

from ledger.readings.files.sheets import DAMAGED, BrokenWorkbook, Row, Sheet, Value, stamp_of

SIZE_MAX = 32 << 20
"""Bytes. A sheet has at most 65,536 rows: of five columns they are about six million bytes."""
_SEALED = "EncryptedPackage".encode("utf-16-le")
_PROTECTED = "the workbook is protected by a password; save it without one"


def sheets_of(content: bytes) -> list[Sheet]:
    """Return the sheets of a workbook, in order.

    Raises
    ------
    BrokenWorkbook
        It is damaged, protected by a password, or no workbook.
    """
    import xlrd

    if _SEALED in content:  # as newer ones are protected
        raise BrokenWorkbook(_PROTECTED)
    try:
        book = xlrd.open_workbook(
            file_contents=content, on_demand=True, ragged_rows=True, logfile=io.StringIO()
        )
        return [
            Sheet(name, bool(visibility), partial(_rows, book, number))
            for number, (name, visibility) in enumerate(
                zip(book.sheet_names(), book._sheet_visibility, strict=True)
            )
        ]
    except Exception as error:  # a damaged file may raise any
        if "encrypted" in str(error):
            raise BrokenWorkbook(_PROTECTED) from error
        raise BrokenWorkbook(DAMAGED) from error


def _rows(book: Any, number: int) -> Iterator[Row]:
    """Yield the rows of a sheet in which something stands."""
    try:
        sheet = book.sheet_by_index(number)
    except Exception as error:
        raise BrokenWorkbook(DAMAGED) from error
    from_1904 = book.datemode == 1
    for row in range(sheet.nrows):
        cells = [_value(cell.ctype, cell.value, from_1904) for cell in sheet.row(row)]
        while cells and cells[-1] is None:
            cells.pop()
        if cells:
            yield row + 1, cells


def _value(kind: int, value: Any, from_1904: bool) -> Value:
    from xlrd import biffh

    if kind == biffh.XL_CELL_NUMBER:
        return float(value)
    if kind == biffh.XL_CELL_DATE:
        return stamp_of(value, from_1904=from_1904)
    if kind == biffh.XL_CELL_BOOLEAN:
        return "TRUE" if value else "FALSE"
    if kind == biffh.XL_CELL_ERROR:
        return str(biffh.error_text_from_code.get(value, "#N/A"))
    return str(value) or None
