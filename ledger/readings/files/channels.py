"""Which rows of a file a source takes: those of its channel. Each must be in the unit that the source declares.

A file in long form has a row for each meter, time and channel: energy drawn and energy delivered, reactive energy,
all in one column of values.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from ledger.errors import BadInput
from ledger.readings.files.formats import ONLY
from ledger.readings.files.tables import Table
from ledger.reductions.numbers import UNITS
from ledger.reductions.records import Kind

Only = tuple[tuple[str, str], ...]
"""Columns, and the text that each of them has in the rows that are meant."""
_SHOWN = 8
"""Texts of a column that are named where none of its rows is meant."""
_CELL_SHOWN = 40
_WORDS = re.compile("万?[A-Za-z]+3?|[\u4e00-\u9fff]+")
_IN_BRACKETS = re.compile(r"[(\[{<（【]\s*([^()\[\]{}<>（）【】]+?)\s*[)\]}>）】]")
_CHINESE = {"瓦": "W", "千瓦": "kW", "兆瓦": "MW", "瓦时": "Wh", "千瓦时": "kWh", "兆瓦时": "MWh"}
_CHINESE |= {
    "度": "kWh",
    "克": "g",
    "千克": "kg",
    "公斤": "kg",
    "吨": "t",
    "升": "L",
    "立方米": "m3",
}
_OURS = {"kw", "mw", "wh", "kwh", "mwh", "gwh", "kg", "m3", *_CHINESE}
_OTHERS = {"kvar", "mvar", "varh", "kvarh", "mvarh", "kva", "mva", "kvah", "mvah"}
_TEN_THOUSANDS = {"万kw", "万kwh", "万千瓦", "万千瓦时", "万度"}
_ANYWHERE = _OURS | _OTHERS | _TEN_THOUSANDS
"""Units, folded, that a word of a column's name is taken for; some are no source's."""
_ALONE = _ANYWHERE | {"w", "gw", "va", "var", "hz", "kj", "mj", "gj", "tj"}
"""Those that brackets hold: a word of few letters says nothing by itself."""
_LETTERS = {"g", "t", "L"}
"""Those of one letter: ``(T)`` is a total, and ``(A)`` a phase."""


class Channel:
    """The rows of a file that its source takes.

    Parameters
    ----------
    table
        The open file.
    only
        As the source says; the columns are asked of the file before any other.

    Attributes
    ----------
    taken
        Whether any row was.
    passed_over
        How many rows were not.

    Raises
    ------
    BadInput
        The file does not have a column, or has it twice.
    """

    def __init__(self, table: Table, only: Only) -> None:
        self._only = [(column, text.strip()) for column, text in only]
        self._wanted = [(table.place_of(column, ONLY), text) for column, text in self._only]
        self._least = 1 + max(place for place, _ in self._wanted)
        self._seen: list[dict[str, None]] = [{} for _ in only]
        self.taken = False
        self.passed_over = 0

    def takes(self, cells: Sequence[str]) -> bool:
        """Return whether a row is one of the source's; any other is counted, unless nothing stands in it.

        Parameters
        ----------
        cells
            Of the row; as far as they are known, of one that is bad in a later column.
        """
        for place, text in self._wanted:
            if place < len(cells) and cells[place].strip() != text:
                if any(cell.strip() for cell in cells):
                    self._pass(cells)
                return False
        self.taken = self.taken or len(cells) >= self._least
        return True

    def _pass(self, cells: Sequence[str]) -> None:
        self.passed_over += 1
        for (place, _), seen in zip(self._wanted, self._seen, strict=True):
            if place < len(cells) and len(seen) <= _SHOWN:
                seen[cells[place].strip()[:_CELL_SHOWN]] = None

    def missed(self) -> str | None:
        """Return what stands in the columns where no row was taken and some were passed over; else None."""
        if self.taken or not self.passed_over:
            return None
        wanted = " and ".join(f"{column} = {text!r}" for column, text in self._only)
        there = "; ".join(
            f"in {column} stand {_listed(seen)}"
            for (column, _), seen in zip(self._only, self._seen, strict=True)
        )
        return f"no row has {wanted}: {there}; correct {ONLY} in [[source]]"


def _listed(seen: Mapping[str, None]) -> str:
    texts = [repr(text) for text in seen]
    more = " and others" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def none_taken(table: Table, missed: str) -> BadInput:
    """Return the error of a file without a row of its source's channel."""
    return BadInput(
        f"{table.path.name}: {missed}, or bring the right file; nothing was imported",
        code="empty-file",
        details={"file": table.path.name},
    )


def are_apart(one: Only, other: Only) -> bool:
    """Return whether no row of a file can be of both channels."""
    texts = {column: text.strip() for column, text in other}
    return any(texts.get(column, text.strip()) != text.strip() for column, text in one)


def is_unit(text: str, unit: str) -> bool:
    """Return whether a cell, without blanks around it, names a unit.

    Exports write ``KWH`` and ``m³``. Upper and lower case say nothing but in one letter: ``mWh`` is no ``MWh``.
    """
    if text == unit:
        return True
    found = unicodedata.normalize("NFKC", text)
    if found.casefold() != unit.casefold():
        return False
    return unit[0] != "M" or found[0] == "M"


def other_unit_in(name: str, unit: str) -> str | None:
    """Return the unit that a column's name has where it has another than the source's; else None.

    ``P_AC [W]`` and ``电量(万千瓦时)`` say what their values are; upper and lower case say nothing there.
    """
    plain = unicodedata.normalize("NFKC", name).replace("時", "时")
    plain = re.sub("[·⋅•]", "", plain).replace("kW.h", "kWh").replace("kW*h", "kWh")
    plain = re.sub("(?i)([kMG]?W)h/h(?![a-z])", r"\1", plain)  # a mean power
    words = [
        word
        for word in _IN_BRACKETS.findall(plain)
        if word in _LETTERS or word.casefold() in _ALONE
    ]
    apart = plain.replace("万", " 万")
    words += [word for word in _WORDS.findall(apart) if word.casefold() in _ANYWHERE]
    named = {_CHINESE.get(word, word).casefold() for word in words}
    return words[0] if named and unit.casefold() not in named else None


def unit_wrong(text: str, unit: str, kind: Kind, column: str) -> tuple[str, str]:
    """Return what is wrong with the unit of a row that has another one than its source, and how to mend it."""
    if not text:
        return (
            f"the unit is empty, and the source is in {unit}",
            f"have the file written with {unit} in each row",
        )
    other_channel = (
        f"if it is of another channel, say with {ONLY} in [[source]] which rows are meant"
    )
    what = f"the unit is {text[:_CELL_SHOWN]!r}, and the source is in {unit}"
    other = next((known for known in UNITS[kind] if is_unit(text, known)), None)
    if other is not None:
        return (
            what,
            f'if every row of these meters is so, write unit = "{other}" in [[source]]; '
            f"else have the file written in {unit} alone",
        )
    if any(is_unit(text, known) for units in UNITS.values() for known in units):
        return what, other_channel
    shown = text if text.isprintable() and not {'"', "\\"} & set(text) else "..."
    return (
        what,
        f"{other_channel}; if it is another name for {unit}, write "
        f'{ONLY} = {{ "{column}" = "{shown[:100]}" }} in place of unit_column',
    )
