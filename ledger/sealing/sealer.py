"""What seals and opens: AES-256-GCM under numbered keys, and blind indexes by a key of their own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ledger.errors import BadInput

KEY_BYTES = 32
_NONCE_BYTES = 12
_DIGITS_MAX = 9
"""Of the number of a key: the files of backups have it in four bytes."""
INDEX_PREFIX = "b1:"
"""What a blind index begins with: HMAC-SHA-256, in 43 characters of base64url."""


@dataclass(frozen=True)
class Sealer:
    """Seals and opens by AES-256-GCM.

    Parameters
    ----------
    keys
        Keys of 32 bytes by their numbers; the greatest number seals.
    index_key
        Key of blind indexes; None: the file has none yet.
    """

    keys: dict[int, bytes]
    index_key: bytes | None = None

    @property
    def newest(self) -> int:
        """Number of the key that seals."""
        return max(self.keys)

    def is_current(self, sealed: str) -> bool:
        """Return whether a sealed text is sealed with the newest key."""
        return key_number(sealed) == self.newest

    def index(self, text: str, context: str) -> str:
        """Return the blind index of a text: the same for the same text and context, and telling nothing else.

        Raises
        ------
        BadInput
            If the key file has no key for indexes.
        """
        if self.index_key is None:
            raise BadInput(
                "the sealing key file has no line `index:...`; put it back, what is indexed cannot be found without it",
                code="sealing-key-missing",
            )
        digest = hmac.new(self.index_key, f"{context}\0{text}".encode(), hashlib.sha256).digest()
        return INDEX_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def seal(self, text: str, context: str) -> str:
        """Return a text sealed, with the number of the key.

        Parameters
        ----------
        text
            The secret.
        context
            What it belongs to, such as ``webhook_endpoints/<name>``: it opens nowhere else.
        """
        number = self.newest
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self.keys[number]).encrypt(nonce, text.encode(), context.encode())
        return f"{number}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        """Return a sealed text.

        Raises
        ------
        BadInput
            If the key is not in the file, or does not fit, or the text is none that was sealed.
        """
        number, _, body = sealed.partition(":")
        known = key_number(sealed)
        key = None if known is None else self.keys.get(known)
        if key is None:
            raise BadInput(
                f"key {number!r} is not in the sealing key file; put its line back",
                code="sealing-key-missing",
            )
        try:
            raw = base64.b64decode(body)
            opened = AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode())
        except InvalidTag:
            raise BadInput(
                f"key {number} of the sealing key file is not the one that {context} was sealed with; "
                "put the file back that belongs to this database",
                code="sealing-key-wrong",
            ) from None
        except ValueError:
            raise BadInput(
                f"{context}: what stands there was never sealed, or not all of it is there; put it back from a "
                "backup, or make it anew",
                code="sealing-key-wrong",
            ) from None
        return opened.decode()


def key_number(sealed: str) -> int | None:
    """Return the number of the key that a text is sealed with; None: it is not sealed."""
    number, separator, _ = sealed.partition(":")
    return int(number) if separator and is_number(number) else None


def is_number(text: str) -> bool:
    """Return whether a text can be the number of a key."""
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX


def passing_sealer() -> Sealer:
    """Return a sealer whose keys are kept nowhere, for what is rolled back."""
    return Sealer({1: secrets.token_bytes(KEY_BYTES)}, secrets.token_bytes(KEY_BYTES))


SAMPLES = 20
"""How many of the values that were sealed last are opened, at most, before another one is sealed."""


def require_ours(sealer: Sealer, newest: Sequence[tuple[str, str]]) -> None:
    """Refuse to seal more where nothing opens of what was sealed last: the key file is that of other books.

    A machine, an account or a home of its own makes a key file of its own, whose first key has the same number. One
    value that opens is enough: who has lost a key makes what it sealed anew, one after the other.

    Parameters
    ----------
    newest
        Some values that were sealed last, each with what it was sealed for.

    Raises
    ------
    BadInput
        If there are some, and none opens.
    """
    trouble: BadInput | None = None
    for sealed, context in newest:
        try:
            sealer.open(sealed, context)
        except BadInput as error:
            trouble = trouble or error
        else:
            return
    if trouble is not None:
        raise trouble
