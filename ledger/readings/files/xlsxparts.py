"""The XML files in the zip that a workbook is, read piece by piece, whatever somebody has put there."""

from __future__ import annotations

import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO
from xml.parsers import expat

from ledger.readings.files.sheets import CELL_MAX, DAMAGED, BrokenWorkbook

MIB = 1 << 20
PART_MAX = 16 * MIB
"""Bytes of a part of which only a little is kept."""
STRANGE = "{}, which no spreadsheet writes; open the workbook in one, and save it again"
_DIRECTORY_MAX = 4 * MIB
"""Of the zip's list of its files, which is kept."""
_PIECE = 1 << 13
"""Bytes that are read at once: a few of them may say a row of 16,384 columns."""
_TOKEN_MAX = MIB
"""Of a tag: as much is waited for."""
DEPTH_MAX = 100
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_OF_DAMAGE = (
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    ValueError,
    expat.ExpatError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged zip, or what is in it, may raise."""
_ESCAPED = re.compile(r"_x(?![Dd][89A-Fa-f])([0-9A-Fa-f]{4})_")
"""What XML cannot hold; not half of a sign of two halves, which no text can."""

Attributes = dict[str, str]


class Parts:
    """The parts of an open workbook.

    Parameters
    ----------
    stream
        The file, which stays open as long as they are read.

    Raises
    ------
    BrokenWorkbook
        It is no zip, or one of very many files.
    """

    def __init__(self, stream: BinaryIO) -> None:
        _check_directory(stream)
        try:
            self._zip = zipfile.ZipFile(stream)
        except _OF_DAMAGE as error:
            raise BrokenWorkbook(DAMAGED) from error
        self._files = {part_name(info.filename): info for info in self._zip.infolist()}

    def __contains__(self, name: str) -> bool:
        """Return whether there is such a part."""
        return name in self._files

    def elements(
        self, part: str, note: Callable[[str, str, Attributes], None], size_max: int = PART_MAX
    ) -> None:
        """Have each element of a part noted: the tag around it, its own, and its attributes.

        Raises
        ------
        BrokenWorkbook
            As ``pieces``.
        """
        path = [""]

        def start(name: str, attributes: Attributes) -> None:
            deeper(len(path))
            tag = tag_of(name)
            note(path[-1], tag, attributes)
            path.append(tag)

        def end(_: str) -> None:
            path.pop()

        for _ in self.pieces(part, size_max, start, end):
            pass

    def pieces(
        self,
        part: str,
        size_max: int,
        start: Callable[[str, Attributes], None],
        end: Callable[[str], None],
        text: Callable[[str], None] | None = None,
    ) -> Iterator[None]:
        """Read a part, and yield after each piece of it.

        Parameters
        ----------
        part
            Its name in the zip.
        size_max
            Bytes that it has at most.
        start, end, text
            Called with the tag and the attributes of each element, with the tag where it ends, and with what stands in
            between, in pieces.

        Raises
        ------
        BrokenWorkbook
            It is missing, damaged, too large, or written as to take in whoever reads it.
        """
        info = self._files.get(part)
        if info is None:
            raise BrokenWorkbook(DAMAGED)
        if info.file_size > size_max:  # no more than it says is unpacked
            raise BrokenWorkbook(
                f"{part} in the workbook has more than {size_max // MIB:,} MiB; split the workbook"
            )
        if info.flag_bits & 1 or info.compress_type not in _METHODS:
            raise BrokenWorkbook(STRANGE.format("it is packed in a way"))
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = start, end
        parser.CharacterDataHandler = text
        parser.StartDoctypeDeclHandler = _refuse_entities
        fed = 0
        try:
            with self._zip.open(info) as stream:
                while piece := stream.read(_PIECE):
                    parser.Parse(piece, False)
                    fed += len(piece)
                    if fed - parser.CurrentByteIndex > _TOKEN_MAX:
                        raise BrokenWorkbook(STRANGE.format("it has a tag of a mebibyte"))
                    yield
            parser.Parse(b"", True)
            yield
        except _OF_DAMAGE as error:
            raise BrokenWorkbook(DAMAGED) from error


def part_name(name: str) -> str:
    """Return the name of a part as all of them are written here: it has no case, and some write backslashes."""
    return posixpath.normpath(name.replace("\\", "/")).lstrip("/").lower()


def tag_of(name: str) -> str:
    """Return the name of an element without the prefix of its namespace, which some programs write."""
    return name.rpartition(":")[2] if ":" in name else name


def deeper(depth: int) -> int:
    """Return the depth of an element within one at another depth.

    Raises
    ------
    BrokenWorkbook
        It is within more than a hundred: each that is open costs memory.
    """
    if depth >= DEPTH_MAX:
        raise BrokenWorkbook(STRANGE.format(f"it has tags within {DEPTH_MAX} others"))
    return depth + 1


def require_short(pieces: list[str]) -> None:
    """Refuse a text, as far as it was read, that is longer than a cell may be.

    Raises
    ------
    BrokenWorkbook
        It is.
    """
    if sum(map(len, pieces)) > CELL_MAX:
        raise BrokenWorkbook(f"a cell has more than {CELL_MAX:,} characters; is it the right file?")


def plain(pieces: list[str]) -> str:
    """Return a text of which signs that XML cannot have are written as ``_x000D_``."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), "".join(pieces))


def _check_directory(stream: BinaryIO) -> None:
    """Refuse a zip whose list of files memory should not hold: it is the first thing that is read."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 22 - 65_535))
    tail = stream.read()
    place = tail.rfind(b"PK\x05\x06")
    if place >= 0 and int.from_bytes(tail[place + 12 : place + 16], "little") > _DIRECTORY_MAX:
        raise BrokenWorkbook("the file is a zip of very many files; take the one that is meant out")


def _refuse_entities(*_: object) -> None:
    raise BrokenWorkbook(STRANGE.format("it declares entities"))
