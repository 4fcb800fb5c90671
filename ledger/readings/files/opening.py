"""A meter file, a text (plain or gzipped) or a workbook, opened as a table; memory stays flat whatever its length."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.errors import BadInput
from ledger.files import GZIP, FileState, state_of
from ledger.readings.files.csvtable import CsvTable
from ledger.readings.files.formats import JSON_LINES, PLAIN, Format
from ledger.readings.files.jsonlines import JsonTable
from ledger.readings.files.marks import UTF8_MARK, WORKBOOKS, check_encoding, check_text, unusable
from ledger.readings.files.sheettable import open_sheet, sheets_of
from ledger.readings.files.tables import Table, empty_file


def sha256_of(path: Path) -> tuple[str, FileState]:
    """Return the SHA-256 of a file's bytes, 64 digits, and the state of the file before they were read.

    Raises
    ------
    BadInput
        The file cannot be read, or not twice.
    """
    try:
        state = state_of(path)
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest(), state
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        f"{path}: cannot be read ({error.strerror}); name an existing file", code="file-unreadable"
    )


@contextmanager
def opened(path: Path, file_format: Format = PLAIN) -> Iterator[Table]:
    """Open a meter file, gzipped or not, or a workbook; a byte order mark is passed over.

    Raises
    ------
    BadInput
        The file cannot be read, is empty, is not in the encoding that its source declares, or has no such sheet.
    """
    with _unpacked(path) as binary:
        start = _beginning(path, binary)
        if start.startswith(WORKBOOKS):
            yield open_sheet(path, binary, file_format)
            return
        check_encoding(path, start, file_format.encoding)
        with io.TextIOWrapper(binary, encoding=file_format.codec, newline="") as text:
            if file_format.format == JSON_LINES:
                yield JsonTable(path, text, file_format)
            else:
                yield CsvTable(path, text, file_format)


def check_file(path: Path) -> None:
    """Look at the beginning of a meter file whose format is not known yet, without a database.

    Raises
    ------
    BadInput
        It cannot be read, or nothing stands in it.
    """
    with _unpacked(path) as binary:
        start = _beginning(path, binary)
        if start.startswith(WORKBOOKS):
            sheets_of(path, binary)
        elif not start.removeprefix(UTF8_MARK).strip():
            raise empty_file(path, "a header line with the names of the columns")


@contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedReader]:
    try:
        state_of(path)  # a pipe without a writer would be waited for
        raw = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error
    with raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        if not packed:
            yield raw
            return
        yield io.BufferedReader(gzip.GzipFile(fileobj=raw, mode="rb"), 1 << 16)


def _beginning(path: Path, binary: io.BufferedReader) -> bytes:
    try:
        start = binary.peek(4)[:4096]
    except (OSError, EOFError, zlib.error) as error:
        raise unusable(
            path,
            "line 1: the gzip file is damaged or cut short; fetch it again; nothing was imported",
        ) from error
    if not start.startswith(WORKBOOKS):
        check_text(path, start)
    elif isinstance(binary.raw, gzip.GzipFile):
        raise unusable(path, "the file is gzipped, and a workbook or a zip; unpack it")
    return start
