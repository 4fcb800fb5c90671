"""The folder of keystore files (version 3): a new key in it, and what is there.

A file holds one account's key, encrypted with the password of the password file. Reading which accounts there are
opens none of them.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ledger.errors import NO_DOCUMENT, BadInput
from ledger.files import part_in, sync

_ADDRESS = re.compile(r"(0x)?[0-9a-f]{40}", re.ASCII)


@dataclass(frozen=True)
class KeyFile:
    """One file of a keystore.

    Attributes
    ----------
    address
        The account as the file names it, lower-case with ``0x``; None if it names none.
    problem
        Why it must not stay as it is, and what to do; empty if it may.
    """

    file: Path
    address: str | None
    problem: str = ""


def files_of(folder: Path) -> list[Path]:
    """Return the files of a keystore folder, in the order of their names; hidden ones are none.

    Raises
    ------
    BadInput
        If it is not a folder, or cannot be read.
    """
    try:
        files = sorted(item for item in folder.iterdir() if item.is_file())
    except OSError as error:
        raise BadInput(
            f"keystore: {folder} cannot be read ({error.strerror}); set keystore to a folder of key files, or make a "
            "key with `truetonne keys new`",
            code="keystore-unreadable",
        ) from error
    return [file for file in files if not file.name.startswith(".")]


def key_files(folder: Path) -> list[KeyFile]:
    """Return what the files of a keystore folder say of themselves, unopened; errors are those of ``files_of``."""
    return [_looked_at(file) for file in files_of(folder)]


def is_open(mode: int) -> bool:
    """Return whether a file of this mode may be used by others than its owner."""
    return bool(mode & (stat.S_IRWXG | stat.S_IRWXO))


def check_new_key(folder: Path, password: str) -> None:
    """Look whether a key can be made in a folder, which need not be there yet.

    Raises
    ------
    BadInput
        If the password is empty, or the folder cannot be written to.
    """
    if not password:
        raise BadInput(
            "keystore_password_file: the password is empty, and would guard nothing; write one into the file",
            code="weak-password",
        )
    place = folder
    while not os.path.lexists(place) and place != place.parent:  # also where nobody may look
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise _unwritable(
            folder, f"{place} is not a folder" if not place.is_dir() else "no right to write"
        )


def new_key(folder: Path, password: str) -> KeyFile:
    """Make a random key and return its file, which is closed to others (mode 0600) and opens with the password.

    The folder is made, mode 0700, where it is missing. The file appears under its name when it is whole, and never in
    the place of another.

    Raises
    ------
    BadInput
        If the password is empty, or the folder cannot be written to.
    """
    from eth_account import Account

    check_new_key(folder, password)
    account = Account.create()
    content = Account.encrypt(account.key, password)
    if bytes(Account.decrypt(content, password)) != bytes(account.key):
        raise RuntimeError("the new keystore file does not open")  # before anybody pays to it
    address = str(account.address).lower()
    made = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S.%fZ}"
    file = folder / f"UTC--{made}--{address[2:]}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(file, json.dumps(content))
    except OSError as error:
        raise _unwritable(folder, str(error.strerror)) from error
    return KeyFile(file, address)


def _looked_at(file: Path) -> KeyFile:
    try:
        mode = file.stat().st_mode
        named = json.loads(file.read_text(encoding="utf-8"))["address"].lower()
    except OSError as error:
        return KeyFile(file, None, f"cannot be read ({error.strerror}); give it to this user")
    except NO_DOCUMENT:
        named = ""
    if not _ADDRESS.fullmatch(named):
        return KeyFile(file, None, "names no account; take it out of the folder")
    address = "0x" + named.removeprefix("0x")
    return KeyFile(file, address, f"is open to others; chmod 600 {file}" if is_open(mode) else "")


def _write(file: Path, text: str) -> None:
    # Hidden until it is whole: who opens the folder meanwhile passes it over.
    with part_in(file.parent, 0o600) as aside:
        aside.write_text(text, encoding="ascii")
        sync(aside)
        os.link(aside, file)
    try:
        sync(file.parent)
    except OSError:  # whoever is told that it failed looks for no key
        file.unlink()
        raise


def _unwritable(folder: Path, why: str) -> BadInput:
    return BadInput(
        f"keystore: {folder} cannot be written ({why}); set keystore to a folder of yours",
        code="keystore-unwritable",
    )
