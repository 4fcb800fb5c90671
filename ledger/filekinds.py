"""Files that are given in the place of text: what they are, by how they begin."""

from __future__ import annotations

GZIP = b"\x1f\x8b"
"""How a gzipped file begins: some readers unpack it."""
_NO_TEXT = {
    b"PK\x03\x04": "an Excel workbook or a zip; save it as CSV, or take the file out of the zip",
    b"PK\x05\x06": "an empty zip; take the file out of it before it is packed",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV",
    b"PAR1": "a Parquet file; write it as CSV",
    b"\x89PNG": "a picture; name the file that is meant",
    b"%PDF": "a PDF; name the file that is meant",
    b"7z\xbc\xaf": "a 7z archive; unpack it, plain or gzipped",
    b"BZh": "a bzip2 file; unpack it, plain or gzipped",
    b"\xfd7zX": "an xz file; unpack it, plain or gzipped",
    b"\x28\xb5\x2f\xfd": "a zstd file; unpack it, plain or gzipped",
    b"\xff\xfe\x00\x00": "UTF-32; save it as UTF-8",
    b"\x00\x00\xfe\xff": "UTF-32; save it as UTF-8",
    bytes(4): "zero bytes where it begins, as after a power cut; fetch it again",
}


def no_text(start: bytes) -> str | None:
    """Return what a file is that is no text, and what to do; None where it may be text, or is gzipped.

    Parameters
    ----------
    start
        How it begins: eight bytes are enough.
    """
    found = (what for mark, what in _NO_TEXT.items() if start.startswith(mark))
    return next(found, None)
