"""Passwords: what is accepted, and bcrypt over it.

bcrypt reads 72 bytes and no more: a longer password is refused, never cut. Text is normalised (NFC), so that
a letter with an accent is the same from every keyboard.
"""

from __future__ import annotations

import secrets
import unicodedata
from functools import lru_cache

import bcrypt

from ledger.errors import BadInput

CHARACTERS_MIN = 12
BYTES_MAX = 72
ROUNDS = 12
"""Work of a hash: 2^12 rounds, about a quarter of a second of one core."""


def hashed(password: str) -> str:
    """Return the bcrypt hash of a new password; slow on purpose, so not inside a unit of work.

    Raises
    ------
    BadInput
        As ``check_new``.
    """
    return bcrypt.hashpw(check_new(password), bcrypt.gensalt(ROUNDS)).decode("ascii")


def check_new(password: str) -> bytes:
    """Return a new password as bcrypt is given it; quick.

    Raises
    ------
    BadInput
        If the password is too short, or longer than bcrypt reads.
    """
    data = _encoded(password)
    if len(password) < CHARACTERS_MIN:
        raise BadInput(
            f"the password has {len(password)} characters; it needs {CHARACTERS_MIN} at least",
            code="weak-password",
        )
    if len(set(password)) < 4:
        raise BadInput(
            "the password repeats a few characters; use a longer mixture", code="weak-password"
        )
    if len(data) > BYTES_MAX:
        raise BadInput(
            f"the password has {len(data)} bytes in UTF-8, and bcrypt reads {BYTES_MAX}; shorten it",
            code="long-password",
        )
    return data


def matches(password: str, stored: str | None) -> bool:
    """Return whether a password is the one of the stored hash.

    It takes as long for a user who is not there (``stored`` None), and for a password that cannot be one, as
    for one that is wrong: the time tells nobody which names exist.
    """
    try:
        data = _encoded(password)
    except BadInput:
        data = b""
    possible = stored is not None and 0 < len(data) <= BYTES_MAX
    against = stored if possible and stored is not None else _decoy(ROUNDS)
    same = bcrypt.checkpw(data[:BYTES_MAX], against.encode("ascii"))
    return same and possible


def _encoded(password: str) -> bytes:
    try:
        data = unicodedata.normalize("NFC", password).encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput("the password is not valid Unicode text", code="weak-password") from None
    if b"\0" in data:
        raise BadInput("the password holds a NUL character; leave it out", code="weak-password")
    return data


@lru_cache(maxsize=4)
def _decoy(rounds: int) -> str:
    """Return a hash of nothing that anybody knows, as dear to check as a real one."""
    return bcrypt.hashpw(secrets.token_bytes(32).hex().encode(), bcrypt.gensalt(rounds)).decode()
