"""Files of text, read whole: one way to say what is wrong with them."""

from __future__ import annotations

from pathlib import Path

from ledger.errors import BadInput


def read_utf8(path: Path, bytes_max: int | None = None) -> tuple[bytes, str]:
    """Return the bytes of a file and its text, without a byte order mark.

    Parameters
    ----------
    bytes_max
        A longer file is not read; None: however long it is.

    Raises
    ------
    BadInput
        If the file is too long, cannot be read, or is not UTF-8.
    """
    try:
        if bytes_max is not None and path.stat().st_size > bytes_max:
            raise BadInput(f"{path}: larger than {bytes_max >> 20} MiB; import it in parts")
        content = path.read_bytes()
        return content, content.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({error.strerror}); name an existing file"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
