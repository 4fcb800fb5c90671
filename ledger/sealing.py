"""Secrets that must be read again (those of webhooks): encrypted in the books, by a key that is not in them.

The key file has a line for each key, ``NUMBER:BASE64`` of 32 bytes; the last one seals, all of them open. So a
key is changed by adding a line, and an old one goes when nothing is sealed with it any more.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.errors import BadInput

_KEY_BYTES = 32
_NONCE_BYTES = 12


@dataclass(frozen=True)
class Sealer:
    """Seals and opens by AES-256-GCM.

    Parameters
    ----------
    keys
        Keys of 32 bytes by their numbers; the greatest number seals.
    """

    keys: dict[int, bytes]

    def seal(self, text: str, context: str) -> str:
        """Return a text sealed, with the number of the key.

        Parameters
        ----------
        text
            The secret.
        context
            What it belongs to, such as ``webhook_endpoints/<name>``: it opens nowhere else.
        """
        number = max(self.keys)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self.keys[number]).encrypt(nonce, text.encode(), context.encode())
        return f"{number}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        """Return a sealed text.

        Raises
        ------
        BadInput
            If the key is not in the file, or does not fit.
        """
        number, _, body = sealed.partition(":")
        key = self.keys.get(int(number)) if number.isdigit() else None
        if key is None:
            raise BadInput(
                f"key {number!r} is not in the sealing key file; put its line back",
                code="sealing-key-missing",
            )
        raw = base64.b64decode(body)
        try:
            opened = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode())
        except InvalidTag:
            raise BadInput(
                f"key {number} of the sealing key file is not the one that {context} was sealed with; "
                "put the file back that belongs to this database",
                code="sealing-key-wrong",
            ) from None
        return opened.decode()


def load_sealer(
    path: Path,
    *,
    make: bool = False,
    what: str = "sealing key file",
    lost: str = "put back the one that belongs to this database",
) -> Sealer:
    """Return the sealer of a key file.

    Parameters
    ----------
    make
        Make the file with a new key where there is none, readable by its owner alone.
    what, lost
        What the file is, and what to do when it is not there, for messages.

    Raises
    ------
    BadInput
        If the file is not there, can be read by others, or is no key file.
    """
    if make and not path.exists():
        _make(path)
    try:
        mode = path.stat().st_mode & 0o077
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not ASCII"
        raise BadInput(
            f"{what} {path}: cannot be read ({why}); {lost}",
            code="sealing-key-missing",
        ) from error
    if mode:
        raise BadInput(f"{what} {path}: others may read it; chmod 600 {path}")
    keys: dict[int, bytes] = {}
    for line, content in enumerate(filter(None, map(str.strip, text.splitlines())), start=1):
        number, _, encoded = content.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not number.isdigit() or len(key) != _KEY_BYTES or int(number) in keys:
            raise BadInput(
                f"{what} {path}, line {line}: should be NUMBER:BASE64 of {_KEY_BYTES} bytes, each number once"
            )
        keys[int(number)] = key
    if not keys:
        raise BadInput(f"{what} {path}: has no key; put back the one it had")
    return Sealer(keys)


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    line = f"1:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}\n"
    # Made aside and linked: two processes at once have one key, and a crash leaves none that is cut short.
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(line)
        os.link(aside, path)
    except FileExistsError:
        pass  # the other one was first
    finally:
        aside.unlink()
