"""Requests that are answered once: an Idempotency-Key makes a second one get the first one's answer.

The key is claimed in a commit of its own; the answer is stored in the commit that does the work. So a request
whose process died left nothing but a claim, and may be taken over after a time.

An answer may hold a secret that is shown once (a session's token, an API key), and a request may hold a
password. Neither is in the books readable: the answer is encrypted (AES-GCM), and the request is known again,
by what scrypt makes of the idempotency key and the request together, with a salt; the idempotency key itself
is not stored, only a hash.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.db.counting import rows_found
from ledger.db.sqltext import clock_of
from ledger.errors import DependencyDown, Refused
from ledger.models import IdempotencyKey

KEPT = timedelta(hours=24)
TAKEN_OVER = timedelta(minutes=1)
"""After this a request that has no answer is taken to have died with its process."""
_ABANDONED_MAX = 10_000
_NONCE_BYTES = 12
_SCRYPT = {"n": 2**13, "r": 8, "p": 1, "dklen": 64}


class OtherRequest(Refused):
    """The key was used with another request."""

    default_code = "idempotency-key-reused"


class StillRunning(Refused):
    """The first request with the key has no answer yet."""

    default_code = "idempotency-in-flight"


class ClaimLost(Refused):
    """Another run has taken over the request; nothing was done in this one."""

    default_code = "idempotency-in-flight"


_abandoned: deque[str] = deque(maxlen=_ABANDONED_MAX)
"""Claims of this process whose requests have ended, and that could not be given up: the database was gone. Whether the
work was done is not known, but nobody does it any more: who sends the request again need not wait."""


@dataclass(frozen=True)
class Claim:
    """The right to answer a request, and how to seal the answer."""

    key_hash: str
    number: str
    sealing_key: bytes


def claim(
    db: Database, caller: str, call: str, key: str, request: bytes, at: datetime
) -> Claim | bytes:
    """Claim a request; return the claim, or the answer that it got before.

    Parameters
    ----------
    caller
        Who asks; keys of one caller are none of another's.
    call
        Method and path.
    key
        The Idempotency-Key.
    request
        The body.
    at
        Time of day, aware.

    Raises
    ------
    OtherRequest
        If the key was used with another body.
    StillRunning
        If it is being answered.
    """
    key_hash = hashlib.sha256("\0".join((caller, call, key)).encode()).hexdigest()
    found = _standing(db, key_hash, at)
    if found is None:
        mine = _first(db, key_hash, key, request, at)
        if mine is not None:
            return mine
        found = _row(db, key_hash)
        if found is None:  # it was claimed, and given up again
            raise StillRunning("the same request is being answered; try again")
    fingerprint, sealing_key = _derive(key, request, found.salt)
    if not secrets.compare_digest(fingerprint, found.fingerprint):
        raise OtherRequest(
            "this Idempotency-Key was used with another request; use a new key for a new request"
        )
    if found.answer is not None:
        return _opened(found.answer, Claim(key_hash, found.claim, sealing_key))
    # Also one that was claimed later than now: the clock was set back since.
    if abs(at - found.claimed_at) < TAKEN_OVER and found.claim not in _abandoned:
        raise StillRunning("the same request is being answered; try again in a moment")
    return _taken_over(db, found, sealing_key, at)


def _row(db: Database, key_hash: str) -> IdempotencyKey | None:
    with db.read() as session:
        return session.get(IdempotencyKey, key_hash)


def _standing(db: Database, key_hash: str, at: datetime) -> IdempotencyKey | None:
    """Return the row of a key; one that is kept no longer is deleted.

    By this machine's clock and by the database's: by one that is ahead, what is done would be done again.
    """
    found = _row(db, key_hash)
    if found is None or found.claimed_at >= at - KEPT:
        return found
    with db.read() as session:
        if found.claimed_at >= clock_of(session) - KEPT:
            return found
    expired = delete(IdempotencyKey).where(
        IdempotencyKey.key_hash == key_hash, IdempotencyKey.claim == found.claim
    )
    db.alone(expired)
    return None


def _first(db: Database, key_hash: str, key: str, request: bytes, at: datetime) -> Claim | None:
    """Claim a request that nobody has claimed; None when another one has, meanwhile."""
    salt = secrets.token_hex(16)
    fingerprint, sealing_key = _derive(key, request, salt)
    mine = Claim(key_hash, secrets.token_hex(16), sealing_key)
    row = IdempotencyKey(
        key_hash=key_hash,
        salt=salt,
        fingerprint=fingerprint,
        claim=mine.number,
        claimed_at=at,
        answer=None,
    )
    try:
        with _given_up_if_gone(mine):
            db.run(lambda session: session.add(row), lasting=False)
    except IntegrityError:
        return None
    return mine


def _taken_over(db: Database, found: IdempotencyKey, sealing_key: bytes, at: datetime) -> Claim:
    """Claim a request whose process died, or could not give it up."""
    mine = Claim(found.key_hash, secrets.token_hex(16), sealing_key)
    with _given_up_if_gone(mine):
        taken = db.alone(
            update(IdempotencyKey)
            .where(
                IdempotencyKey.key_hash == found.key_hash,
                IdempotencyKey.claim == found.claim,
                IdempotencyKey.answer.is_(None),
            )
            .values(claim=mine.number, claimed_at=at)
        )
    if not taken:
        raise StillRunning("the same request is being answered; try again in a moment")
    return mine


def answered(session: Session, mine: Claim, answer: bytes) -> None:
    """Store the answer, in the unit of work that did what it tells of.

    Raises
    ------
    ClaimLost
        If another run has taken over; the unit of work must not be committed.
    """
    statement = (
        update(IdempotencyKey)
        .where(IdempotencyKey.key_hash == mine.key_hash, IdempotencyKey.claim == mine.number)
        .values(answer=_sealed(answer, mine))
    )
    if rows_found(session, statement) != 1:
        raise ClaimLost("another run answers this request; try again in a moment")


def released(db: Database, mine: Claim) -> None:
    """Give up a claim: the request was refused and changed nothing, so it may be tried again."""
    with _given_up_if_gone(mine):
        db.alone(
            delete(IdempotencyKey).where(
                IdempotencyKey.key_hash == mine.key_hash,
                IdempotencyKey.claim == mine.number,
                IdempotencyKey.answer.is_(None),
            )
        )


@contextmanager
def _given_up_if_gone(mine: Claim) -> Iterator[None]:
    """Remember a claim of which it is not known whether the database has it, and which nobody makes use of."""
    try:
        yield
    except DependencyDown:
        _abandoned.append(mine.number)
        raise


def forget(session: Session, at: datetime) -> int:
    """Delete what is older than it is kept; return how many."""
    return rows_found(session, delete(IdempotencyKey).where(IdempotencyKey.claimed_at < at - KEPT))


def _derive(key: str, request: bytes, salt: str) -> tuple[str, bytes]:
    made = hashlib.scrypt(key.encode() + b"\0" + request, salt=bytes.fromhex(salt), **_SCRYPT)
    return made[:32].hex(), made[32:]


def _sealed(answer: bytes, by: Claim) -> str:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = nonce + AESGCM(by.sealing_key).encrypt(nonce, answer, by.key_hash.encode())
    return base64.b64encode(sealed).decode()


def _opened(answer: str, by: Claim) -> bytes:
    sealed = base64.b64decode(answer)
    nonce, sealed = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    return AESGCM(by.sealing_key).decrypt(nonce, sealed, by.key_hash.encode())
