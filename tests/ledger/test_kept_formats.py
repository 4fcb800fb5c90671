"""What stays in books, in backups and with others, byte for byte as it is written today.

Whoever writes and reads such a thing by the same code finds nothing wrong when both change: what was written before
is lost all the same. So each is made here by hand: by ``sha256sum`` of a text, by the RFC, by another library.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from io import BytesIO

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from eth_utils.crypto import keccak

from ledger.backup import stream
from ledger.holdings import _key_of
from ledger.reductions.certificates import content_sha256
from ledger.reductions.records import EnergyCertificate
from ledger.registration import methodology_hash
from ledger.settlement import cosign_files
from ledger.webhooks.telling import alert_message_id, message_id

KEY, SALT = b"k" * 32, b"s" * 32
CONTEXT = "20260301T120000Z-full-0badcafe/database"


def hkdf(key: bytes, salt: bytes, info: str, length: int) -> bytes:
    """RFC 5869, of one block."""
    extracted = hmac.digest(salt, key, "sha256")
    return hmac.digest(extracted, info.encode() + b"\1", "sha256")[:length]


def test_a_backup_of_a_version_before_is_opened() -> None:
    """Pieces of 1 MiB of what zlib made, each under its number and whether it is the last, and the file's header."""
    plain = hashlib.shake_256(b"pages").digest(1_100_000)  # which nothing makes shorter
    packed = zlib.compress(plain, 1)
    header = b"truetonne sealed 1\n" + b"\0\0\0\2" + SALT
    cipher = AESGCM(hkdf(KEY, SALT, f"truetonne backup file {CONTEXT}", 32))
    first, last = bytes(12), bytes(10) + b"\1\1"
    file = header + cipher.encrypt(first, packed[:1_048_576], header)
    file += cipher.encrypt(last, packed[1_048_576:], header)
    assert b"".join(stream.opened(BytesIO(file), {2: KEY}, CONTEXT, "x")) == plain


def test_what_a_backup_is_signed_and_its_key_named_by() -> None:
    none = bytes(32)  # RFC 5869, 2.2: the salt where there is none
    assert stream.key_name(KEY) == hkdf(KEY, none, "truetonne backup key name", 8).hex()
    signing = hkdf(KEY, none, "truetonne backup manifest", 32)
    assert stream.signature(KEY, b"{}") == hmac.digest(signing, b"{}", "sha256").hex()


def test_the_key_of_an_act_that_its_sender_named() -> None:
    """Named again after an upgrade, it is the same act, and is not done twice."""
    assert _key_of("march", "0x" + "ab" * 20) == (
        "0xb6a6be79cb7f39bbfabb6774684543362fc1a4d36490a4d792c783d178d68f6b"
    )


def test_the_name_of_a_message() -> None:
    """Receivers know by it what they have had already."""
    assert message_id(31337, "0x" + "11" * 32, 2) == "msg_f82cf5f9578a5c11586f58f140a1d27f"
    named = alert_message_id({"status": "active", "alert": 17}, 1)
    assert named == "msg_bb65e810e894b1a854328000b00611a4"


def test_what_is_declared_of_a_certificate() -> None:
    """Its six keys as JSON in one spelling: docs/evidence.md."""
    certificate = EnergyCertificate("I-REC – 绿证", "7", 1388530800, 1388534400, "12.5", None)
    assert content_sha256(certificate) == (
        "32d1d2fe728d39a8055ad0652d6171a7e944f484e3e7f288dab5cecf52c08d62"
    )


def test_how_the_chain_knows_a_methodology() -> None:
    assert methodology_hash("CCER-01-002", "V01") == "0x" + keccak(text="CCER-01-002/V01").hex()


def test_the_format_of_files_to_co_sign() -> None:
    assert cosign_files.FORMAT == "truetonne-settlement-cosignature/1"  # docs/settlement.md
