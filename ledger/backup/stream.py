"""Streams sealed on their way: compressed, encrypted and authenticated in pieces; no plaintext on any disk.

A sealed file is a header (magic, number of the key, a random salt) and pieces of ``PIECE_BYTES``, the last one
shorter or equal. A key of its own is made for each file by HKDF-SHA256 from the key of the key file, the salt, and
the file's context (which backup, which part). Each piece is AES-256-GCM under that key; its nonce is the number of
the piece and whether it is the last. So a piece that is changed, moved, left out or taken from elsewhere, and a
file that is cut short, are noticed before a byte of it is used. (The construction is STREAM: Hoang, Reyhanitabar,
Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", 2015.)
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledger.errors import BadInput

MEND = "bring it from the off-site copy, or move its folder away and do without it"
"""What to do about an item that is damaged: what is left of a folder leads to the same moments, or says to which."""
PIECE_BYTES = 1 << 20
_MAGIC = b"truetonne sealed 1\n"
_SALT_BYTES = 32
_TAG_BYTES = 16
_NUMBER_BYTES = 4
_HEADER_BYTES = len(_MAGIC) + _NUMBER_BYTES + _SALT_BYTES
_LEVEL = 1
"""zlib's fastest: pages of a database shrink to a fifth with it already."""


class BackupDamaged(BadInput):
    """A backup is not what was written: changed, cut short, mixed with another, or sealed with another key."""

    default_code = "backup-damaged"


class OtherFormat(BackupDamaged):
    """A backup that another version wrote in a form of its own: nothing is wrong with it, and it cannot be read."""

    default_code = "backup-format"


@dataclass(frozen=True)
class Sealed:
    """What was written: size and SHA-256 of the sealed file, and how many bytes went in."""

    size: int
    sha256: str
    plain_bytes: int


def seal(
    source: Iterable[bytes], target: BinaryIO, number: int, key: bytes, context: str
) -> Sealed:
    """Write a stream sealed.

    Parameters
    ----------
    number, key
        The key of 32 bytes and its number in the key file.
    context
        What the file is; it opens as nothing else.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    header = _MAGIC + number.to_bytes(_NUMBER_BYTES, "big") + salt
    cipher = AESGCM(_derived(key, salt, context))
    digest, size, plain, count = hashlib.sha256(), 0, 0, 0

    def put(data: bytes) -> None:
        nonlocal size
        digest.update(data)
        size += len(data)
        target.write(data)

    put(header)
    packer = zlib.compressobj(_LEVEL)
    waiting = bytearray()
    for data in source:
        plain += len(data)
        waiting += packer.compress(data)
        while len(waiting) > PIECE_BYTES:  # one piece at least is left for the end
            put(cipher.encrypt(_nonce(count, False), bytes(waiting[:PIECE_BYTES]), header))
            del waiting[:PIECE_BYTES]
            count += 1
    waiting += packer.flush()
    while len(waiting) > PIECE_BYTES:
        put(cipher.encrypt(_nonce(count, False), bytes(waiting[:PIECE_BYTES]), header))
        del waiting[:PIECE_BYTES]
        count += 1
    put(cipher.encrypt(_nonce(count, True), bytes(waiting), header))
    return Sealed(size, digest.hexdigest(), plain)


def opened(source: BinaryIO, keys: Mapping[int, bytes], context: str, name: str) -> Iterator[bytes]:
    """Yield a sealed stream's plaintext; each piece is proven before it is yielded.

    Parameters
    ----------
    name
        The file, for messages.

    Raises
    ------
    BackupDamaged
        If it is not, to its last byte, what was sealed under this context. What was yielded before is right,
        but not all.
    """
    header = source.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise BackupDamaged(f"{name}: is no sealed file; {MEND}")
    number = int.from_bytes(header[len(_MAGIC) : len(_MAGIC) + _NUMBER_BYTES], "big")
    if number not in keys:
        raise BackupDamaged(
            f"{name}: sealed with key {number}, which is not in the backup key file; put its line back",
            code="backup-key-missing",
        )
    cipher = AESGCM(_derived(keys[number], header[-_SALT_BYTES:], context))
    unpacker = zlib.decompressobj()
    piece, count = source.read(PIECE_BYTES + _TAG_BYTES), 0
    while True:
        following = source.read(PIECE_BYTES + _TAG_BYTES)
        try:
            data = cipher.decrypt(_nonce(count, not following), piece, header)
        except (InvalidTag, ValueError):
            raise BackupDamaged(
                f"{name}: changed or cut short in its piece {count + 1}; {MEND}"
            ) from None
        yield from _unpacked(unpacker, data)
        if not following:
            break
        piece, count = following, count + 1
    rest = unpacker.flush()
    if rest:
        yield rest


def key_name(key: bytes) -> str:
    """Return what tells a key from others, and nothing of it."""
    return HKDF(SHA256(), 8, None, b"truetonne backup key name").derive(key).hex()


def signature(key: bytes, data: bytes) -> str:
    """Return the HMAC-SHA256 of a manifest, under a key derived for that alone."""
    derived = HKDF(SHA256(), 32, None, b"truetonne backup manifest").derive(key)
    return hmac.new(derived, data, hashlib.sha256).hexdigest()


def _unpacked(unpacker: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """Yield a piece decompressed, a few at a time: zeros shrink to a thousandth."""
    while data:
        plain = unpacker.decompress(data, 4 * PIECE_BYTES)
        data = unpacker.unconsumed_tail
        if plain:
            yield plain


def _derived(key: bytes, salt: bytes, context: str) -> bytes:
    return HKDF(SHA256(), 32, salt, f"truetonne backup file {context}".encode()).derive(key)


def _nonce(count: int, last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes([last])
