"""A file of records as rows: CSV with the columns of the kind, JSON (a list), or JSON lines."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.errors import BadInput
from ledger.files import GZIP, name_in_books, no_text, not_utf8, read_at_most
from ledger.park.kinds import Kind
from ledger.park.reading import DECODING, DEPTH_MAX, short
from ledger.spreadsheets import Wrong, commas_hint, csv_rows, unguarded, wrong_count

_CELL_MAX = 1 << 20
"""Characters of a cell: some hold JSON."""
FILE_BYTES_MAX = 64 * 1024 * 1024
_BLANK = re.compile(r"[ \t\r\n]*")
_BETWEEN = re.compile(r"[ \t\r\n]*,?[ \t\r\n]*")


@dataclass(frozen=True)
class RawRow:
    """Cells of one row by the name of their column; text, or values of JSON."""

    line: int
    cells: dict[str, Any]
    wrong: Wrong | None = None
    nth: int = 1
    """Which of the records it is that begin in the line: a list of JSON may stand in one."""


@dataclass(frozen=True)
class RecordFile:
    """A file that was read."""

    name: str
    sha256: str
    rows: tuple[RawRow, ...]


def read_file(kind: Kind, path: Path) -> RecordFile:
    """Read a file of records, without a database.

    Parameters
    ----------
    kind
        Whose columns it has.
    path
        ``.json``, ``.jsonl`` or ``.ndjson`` is JSON; what else it may be called is CSV.

    Returns
    -------
    RecordFile
        Without rows where it has none, as the export of a kind without records: the first line of CSV alone, ``[]``,
        or JSON lines of no line.

    Raises
    ------
    BadInput
        If it cannot be read, is empty and its form has a beginning, lacks a column of the key, or has one that the
        kind has not.
    """
    content, text = _text_of(path)
    ending = path.suffix.lower()
    if ending == ".json" and not text.strip():
        raise BadInput(f"{path}: empty; a list of no records is written []")
    is_json = ending in (".json", ".jsonl", ".ndjson")
    rows = tuple(_of_json(path, text) if is_json else _of_csv(kind, path, text))
    known = set(kind.columns)
    return RecordFile(
        name_in_books(path),
        hashlib.sha256(content).hexdigest(),
        tuple(_known(row, known) for row in rows),
    )


def _known(row: RawRow, known: set[str]) -> RawRow:
    unknown = sorted(set(row.cells) - known)
    if row.wrong is None and unknown:
        return RawRow(row.line, {}, Wrong(unknown[0], "is no column of this kind"), row.nth)
    return row


def _text_of(path: Path) -> tuple[bytes, str]:
    try:
        content = read_at_most(path, FILE_BYTES_MAX)
        if content is None:
            raise BadInput(f"{path}: larger than {FILE_BYTES_MAX >> 20} MiB; import it in parts")
        what = "gzipped; unpack it" if content.startswith(GZIP) else no_text(content)
        if what is not None:
            raise BadInput(f"{path}: the file is {what}")
        return content, content.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({error.strerror}); name an existing file"
        ) from error
    except UnicodeDecodeError as error:
        raise not_utf8(path, error, ", which spreadsheets call CSV UTF-8") from error


def _of_csv(kind: Kind, path: Path, text: str) -> list[RawRow]:
    before = csv.field_size_limit(_CELL_MAX)  # which is one for the whole process
    try:
        return list(_rows(kind, path, text))
    finally:
        csv.field_size_limit(before)


def _rows(kind: Kind, path: Path, text: str) -> Iterator[RawRow]:
    rows = csv_rows(path, text, kind.columns, strict=True)
    _, header = next(rows)
    for name in header:
        if name not in kind.columns:
            what = f"is none of {', '.join(kind.columns)}{commas_hint(header)}"
            raise _bad_header(path, name, what)
        if header.count(name) > 1:
            raise _bad_header(path, name, "is there twice")
    for name in kind.key:
        if name not in header:
            raise _bad_header(path, name, f"is missing; the file has {', '.join(header)[:400]}")
    for line, cells in rows:
        if len(cells) != len(header):
            yield RawRow(line, {}, Wrong("", wrong_count(len(cells) - len(header))))
        else:
            yield RawRow(line, dict(zip(header, map(unguarded, cells), strict=True)))


def _bad_header(path: Path, name: str, said: str) -> BadInput:
    return BadInput(
        f"{path}: line 1: column {short(name)} {said}", details={"line": 1, "column": name[:100]}
    )


def _of_json(path: Path, text: str) -> Iterator[RawRow]:
    """Yield the objects of a list, or of JSON lines, each with the line that it begins in."""
    decoder = json.JSONDecoder(**DECODING)
    start = _BLANK.match(text)
    at = start.end() if start else 0
    listed = text[at : at + 1] == "["
    at = _end(_BLANK, text, at + 1) if listed else at
    line, counted, nth = 1, 0, 0
    while at < len(text):
        ends = text.count("\n", counted, at)
        line, counted, nth = line + ends, at, 1 if ends else nth + 1
        if listed and text[at] == "]":
            if text[at + 1 :].strip():
                raise _no_json(path, line, "something stands after the list")
            return
        try:
            found, at = decoder.raw_decode(text, at)
        except RecursionError:
            raise _no_json(path, line, f"nested deeper than {DEPTH_MAX}") from None
        except ValueError as error:
            said = getattr(error, "msg", str(error))
            raise _no_json(path, getattr(error, "lineno", line), said) from None
        if isinstance(found, dict):
            yield RawRow(line, found, nth=nth)
        else:
            yield RawRow(line, {}, Wrong("", "is not a JSON object"), nth)
        at = _end(_BETWEEN if listed else _BLANK, text, at)
    if listed:
        raise _no_json(path, line, "the list has no end")


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _no_json(path: Path, line: int, said: str) -> BadInput:
    return BadInput(f"{path}: line {line}: not JSON ({said})", details={"line": line})
