"""Recognises a file that is no text at all, or is text in another encoding, and says where it shows."""

from __future__ import annotations

import codecs
import gzip
import io
from pathlib import Path

from ledger.errors import BadInput
from ledger.files import GZIP, no_text

WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How workbooks begin: those since 2007, and those of before or with a password."""
UTF8_MARK = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PIECE = 1 << 16


def check_text(path: Path, start: bytes) -> None:
    """Refuse a file that begins, once unpacked, as no text of a meter does.

    Raises
    ------
    BadInput
        With what it is, and what to do.
    """
    if start.startswith(GZIP):
        raise unusable(path, "the file is gzipped twice; unpack it once")
    what = no_text(start)
    if what is not None:
        raise unusable(path, f"the file is {what}")


def check_encoding(path: Path, start: bytes, encoding: str) -> None:
    """Refuse a file whose byte order mark names another encoding than its source.

    Raises
    ------
    BadInput
        With the encoding to write.
    """
    marked = None
    if start.startswith(_UTF16):
        marked = "utf-16"
    elif start.startswith(UTF8_MARK):
        marked = "utf-8"
    if marked is not None and marked != encoding:
        raise unusable(
            path, f'line 1 is {marked.upper()}; write encoding = "{marked}" in [[source]]'
        )
    halves = start[0:4:2], start[1:4:2]  # of Latin letters one is zeros, and the other has none
    if marked is None and b"\0\0" in halves and any(0 not in half for half in halves):
        raise unusable(
            path,
            "line 1 is UTF-16 without its byte order mark; save the file as UTF-8, or with the mark",
        )
    if encoding == "utf-16" and marked is None and start:
        raise unusable(
            path, "line 1 has no byte order mark, so that it is not UTF-16; write another encoding"
        )


def unusable(path: Path, what: str) -> BadInput:
    """Return the refusal of a file as a whole, with what is wrong with it and what to do."""
    return BadInput(
        f"{path.name}: {what}", code="file-unreadable", details={"file": path.name, "line": 1}
    )


def first_undecodable(path: Path, encoding: str) -> int:
    """Return the first line that cannot be decoded; the decoder of a file reads ahead and cannot say."""
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP
    decoder = codecs.getincrementaldecoder(encoding)()
    # A line may end with a carriage return alone.
    ends = io.IncrementalNewlineDecoder(None, translate=True)
    line = 1
    with gzip.open(path) if packed else path.open("rb") as binary:
        while True:
            piece = binary.read(_PIECE)
            state = decoder.getstate()
            try:
                line += ends.decode(decoder.decode(piece, final=not piece)).count("\n")
            except UnicodeDecodeError as error:
                # Some decoders have lost what they had kept of the piece before.
                decoder.setstate(state)
                good = error.object[len(state[0]) : error.start]
                return line + ends.decode(decoder.decode(good), final=True).count("\n")
            if not piece:
                return line
