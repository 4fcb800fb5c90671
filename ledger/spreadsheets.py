"""CSV: torn rows, and texts that no spreadsheet takes for a formula, and back: one rule for every file written.

A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end has an apostrophe before it, and so has one that
begins with apostrophes and such a sign: so whoever takes one away from what begins in that way has each text as it was.
Numbers are no texts, and stay as they are.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")
_GUARDED = re.compile(r"'+[=+\-@\t\r\n]")


def guarded(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return "'" + text if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """Return the text that ``guarded`` made a cell of."""
    return cell[1:] if _GUARDED.match(cell) else cell


def wrong_count(surplus: int) -> str:
    """Say that a row has so many cells more than the first line has columns, or fewer (below zero).

    A row that ends early is no row with empty cells: a line that was cut off would be read as something else.
    """
    if surplus > 0:
        return f"{surplus} more cells than the first line has columns; quote what holds a comma"
    return f"{-surplus} fewer cells than the first line has columns; is the line cut off?"
