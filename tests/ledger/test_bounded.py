"""A file of somebody else is read as far as it may be long."""

from pathlib import Path

import pytest

from ledger.errors import BadInput
from ledger.files import read_at_most
from ledger.issuance import verification_files
from ledger.park import files as park_files
from ledger.settlement import cosign_files


def test_what_is_too_long_is_none_and_all_else_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_at_most(file, 5) == b"12345"
    assert read_at_most(file, 4) is None
    assert read_at_most(Path("/dev/zero"), 1000) is None
    assert read_at_most(Path("/dev/null"), 0) == b""


def test_every_reader_of_a_strangers_file_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device has no size: asked for it, it says nought."""
    monkeypatch.setattr(park_files, "FILE_BYTES_MAX", 1 << 20)
    endless = Path("/dev/zero")
    with pytest.raises(BadInput, match="larger than 1 MiB"):
        park_files._text_of(endless)
    for files, what in ((cosign_files, "settlement"), (verification_files, "verification")):
        with pytest.raises(BadInput, match=f"no file of a {what} is"):
            files.read(endless)
