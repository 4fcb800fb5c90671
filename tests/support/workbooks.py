"""Workbooks for tests, written by hand: of the XML that ECMA-376 asks for, and of nothing else."""

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time
from html import escape
from pathlib import Path
from typing import NamedTuple

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"

STYLES = f"""<styleSheet xmlns="{MAIN}"><numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy-mm-dd\\ hh:mm:ss"/>
<numFmt numFmtId="165" formatCode="0.00\\ &quot;days&quot;"/></numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>
<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="14"/><xf numFmtId="20"/><xf numFmtId="165"/></cellXfs>
</styleSheet>"""
"""Style 1 is a date and time, 2 a date, 3 a time of day, 4 a number."""


class Xml(str):
    """A cell as it stands in the file."""


class Shared(str):
    """A text that stands in the list of shared ones."""


Cell = str | int | float | datetime | date | time | None
Rows = Iterable[Sequence[Cell]] | Mapping[int, Sequence[Cell]]


class Tab(NamedTuple):
    """A sheet."""

    name: str
    rows: Rows
    state: str = "visible"


def letters(column: int) -> str:
    """The name of a column, from 0."""
    text = ""
    while column >= 0:
        text = chr(ord("A") + column % 26) + text
        column = column // 26 - 1
    return text


def serial(moment: datetime | date | time, epoch: date = date(1899, 12, 30)) -> float:
    """The number of a date or a time of day, as a spreadsheet computes it: in binary64."""
    if isinstance(moment, time):
        day, clock = 0, moment
    else:
        day = (moment if type(moment) is date else moment.date()).toordinal() - epoch.toordinal()
        clock = moment.time() if isinstance(moment, datetime) else time()
    return day + (clock.hour * 3600 + clock.minute * 60 + clock.second) / 86400


def cell(value: Cell, place: str, shared: list[str], epoch: date = date(1899, 12, 30)) -> str:
    """A cell in XML."""
    if isinstance(value, Xml):
        return value.replace("@", place)
    if isinstance(value, Shared):
        shared.append(value)
        return f'<c r="{place}" t="s"><v>{len(shared) - 1}</v></c>'
    if isinstance(value, str):
        text = f'<t xml:space="preserve">{escape(value)}</t>'
        return f'<c r="{place}" t="inlineStr"><is>{text}</is></c>'
    if isinstance(value, datetime | date | time):
        style = 1 if isinstance(value, datetime) else 3 if isinstance(value, time) else 2
        return f'<c r="{place}" s="{style}"><v>{serial(value, epoch)!r}</v></c>'
    return "" if value is None else f'<c r="{place}"><v>{value!r}</v></c>'


def parts(
    *sheets: Tab, epoch: date = date(1899, 12, 30), book: str = "", styles: str = STYLES
) -> dict[str, str]:
    """The files of a workbook, by name.

    Parameters
    ----------
    epoch
        Day 0 of its dates.
    book
        More of its main part, behind the list of sheets.
    """
    shared: list[str] = []
    found: dict[str, str] = {}
    entries = [("styles", "styles.xml", ""), ("sharedStrings", "sharedStrings.xml", "")]
    listed = ""
    for number, sheet in enumerate(sheets, 1):
        rows = sheet.rows if isinstance(sheet.rows, Mapping) else dict(enumerate(sheet.rows, 1))
        body = "".join(
            f'<row r="{row}">'
            + "".join(
                cell(value, f"{letters(place)}{row}", shared, epoch)
                for place, value in enumerate(values)
            )
            + "</row>"
            for row, values in rows.items()
        )
        found[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>'
        )
        key = f"rId{number + 2}"
        entries.append(("worksheet", f"worksheets/sheet{number}.xml", key))
        listed += (
            f'<sheet name="{escape(sheet.name)}" sheetId="{number}" state="{sheet.state}" '
            f'r:id="{key}"/>'
        )
    system = ' date1904="1"' if epoch.year == 1904 else ""
    found["xl/workbook.xml"] = (
        f'<workbook xmlns="{MAIN}" xmlns:r="{_OFFICE}"><workbookPr{system}/><sheets>{listed}'
        f"</sheets>{book}</workbook>"
    )
    found["xl/styles.xml"] = styles
    texts = "".join(f"<si><t>{escape(text)}</t></si>" for text in shared)
    found["xl/sharedStrings.xml"] = f'<sst xmlns="{MAIN}">{texts}</sst>'
    found["xl/_rels/workbook.xml.rels"] = _relations(entries)
    found["_rels/.rels"] = _relations([("officeDocument", "xl/workbook.xml", "")])
    return found


def _relations(entries: Iterable[tuple[str, str, str]]) -> str:
    listed = "".join(
        f'<Relationship Id="{key or f"rId{place}"}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for place, (kind, target, key) in enumerate(entries, 1)
    )
    return f'<Relationships xmlns="{_RELATIONS}">{listed}</Relationships>'


def zipped(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files into a zip, at a fixed time of day."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path


def workbook(path: Path, rows: Rows, **options: str) -> Path:
    """Write a workbook of one sheet."""
    return zipped(path, parts(Tab("Sheet1", rows), **options))
