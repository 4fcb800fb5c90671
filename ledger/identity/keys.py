"""API keys: by which programs act for a user, within scopes and for a time.

A key is ``ttk_``, eight characters that people name it by, and 43 that are random (256 bits). It is shown
once; the books hold its SHA-256. It can do what its scopes say, as long as its user may do it and sign in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Update, or_, select, update
from sqlalchemy.orm import Session

from ledger import audit
from ledger.audit import By
from ledger.clock import time_text
from ledger.errors import BadInput, NotFound, Refused
from ledger.identity import permissions
from ledger.identity.rights import check_scopes
from ledger.models import ApiKey, User

PREFIX = "ttk_"
DAYS = 90
DAYS_MAX = 366
ACTIVE_MAX = 25
"""Keys of one user that may be used at a time."""
_AHEAD = timedelta(minutes=5)
"""How far clocks of two machines may differ. A key that was made later than that from now was made by a wrong clock.

It would last until that time has come, and its days more.
"""
_KEY = re.compile(rf"({PREFIX}[a-z0-9]{{8}})_[A-Za-z0-9_-]{{43}}")
_LETTERS = string.ascii_lowercase + string.digits
_STEP = timedelta(minutes=5)
"""Uses within so long are one: a row is not written for every request."""


def make(
    session: Session,
    user: User,
    name: str,
    scopes: Iterable[str],
    days: int,
    by: By,
    at: datetime,
) -> tuple[str, ApiKey]:
    """Make a key for a user; return it, which is kept nowhere, and its row.

    Parameters
    ----------
    name
        What it is for.
    scopes
        Rights that it shall carry.
    days
        How long it lasts.
    at
        Time of day, aware.

    Raises
    ------
    BadInput
        If the name, a scope or the time cannot be used.
    Refused
        If the user may not sign in, lacks one of the rights, or has too many keys.
    """
    wanted = check_scopes(scopes)
    name = name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise BadInput("the name of a key has 1 to 100 printable characters")
    if not 1 <= days <= DAYS_MAX:
        raise BadInput(f"a key lasts 1 to {DAYS_MAX} days, found {days}")
    session.execute(select(User.id).where(User.id == user.id).with_for_update())
    if not user.is_active:
        raise Refused(f"{user.username} is disabled; a key could not be used", code="user-disabled")
    lacking = [scope for scope in wanted if scope not in permissions.rights(session, user)]
    if lacking:
        raise Refused(
            f"{user.username} may not {lacking[0]}, so a key of theirs cannot carry it",
            code="beyond-rights",
        )
    # As they are: a snapshot from before the user was locked has not what others made meanwhile.
    mine = select(ApiKey.id).where(ApiKey.user_id == user.id, *_live(at))
    count = len(session.scalars(mine.with_for_update(read=True)).all())
    if count >= ACTIVE_MAX:
        raise Refused(f"{user.username} has {count} keys; revoke one first", code="too-many-keys")
    prefix = PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(8))
    key = f"{prefix}_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        user_id=user.id,
        name=name,
        prefix=prefix,
        key_hash=_hash(key),
        scopes=wanted,
        created_at=at,
        expires_at=at + timedelta(days=days),
        last_used_at=None,
        revoked_at=None,
    )
    session.add(row)
    session.flush()
    new = {
        "user": user.username,
        "name": name,
        "prefix": prefix,
        "scopes": wanted,
        "expires_at": time_text(row.expires_at),
    }
    audit.record(session, "keys.make", f"api_keys/{row.id}", {}, new, by)
    return key, row


def find(session: Session, key: str, at: datetime) -> tuple[ApiKey, User] | None:
    """Return the row of a key, and its user; None when it is none, or none any more."""
    form = _KEY.fullmatch(key)
    if form is None:
        return None
    row = session.execute(
        select(ApiKey, User).join(User, User.id == ApiKey.user_id).where(ApiKey.prefix == form[1])
    ).one_or_none()
    if row is None:
        return None
    found, user = row
    same = hmac.compare_digest(found.key_hash, _hash(key))
    return (found, user) if same and is_live(found, at) and user.is_active else None


def used(found: ApiKey, at: datetime) -> Update | None:
    """Return the statement that notes a use; None when the last one was a moment ago, by a clock that is not ahead."""
    if found.last_used_at is not None and abs(at - found.last_used_at) < _STEP:
        return None
    return update(ApiKey).where(ApiKey.id == found.id).values(last_used_at=at)


def listed(user_id: int | None) -> Select[ApiKey, str]:
    """Return the query of the keys of a user, or of all, with the names of their users."""
    query = select(ApiKey, User.username).join(User, User.id == ApiKey.user_id)
    return query if user_id is None else query.where(ApiKey.user_id == user_id)


def named(session: Session, text: str) -> ApiKey:
    """Return a key by its prefix or row number.

    Raises
    ------
    NotFound
        If there is none.
    """
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    found = session.scalars(
        select(ApiKey).where(or_(ApiKey.prefix == text, ApiKey.id == number))
    ).one_or_none()
    if found is None:
        raise NotFound(
            f"there is no API key {text[:60]!r}; `truetonne apikey list` shows all",
            code="no-such-key",
        )
    return found


def revoke(session: Session, row: ApiKey, by: By, at: datetime) -> bool:
    """Revoke a key for good; return False when it was before."""
    if row.revoked_at is not None:
        return False
    row.revoked_at = at
    session.flush()
    new = {"prefix": row.prefix, "revoked_at": time_text(at)}
    audit.record(session, "keys.revoke", f"api_keys/{row.id}", {"revoked_at": None}, new, by)
    return True


def is_live(row: ApiKey, at: datetime) -> bool:
    """Return whether a key may be used, as far as the key itself goes."""
    return state(row, at) == "live"


def resting(session: Session) -> set[int]:
    """Return the numbers of the users who may not sign in: their keys rest, and work again with them."""
    return set(session.scalars(select(User.id).where(User.is_active.is_(False))))


def state(row: ApiKey, at: datetime, rests: Collection[int] = ()) -> str:
    """Return how a key stands, in a few words for people; ``live`` is one that may be used.

    Parameters
    ----------
    rests
        The users who may not sign in (see ``resting``).
    """
    if row.revoked_at is not None:
        return "revoked"
    if row.user_id in rests:
        return "rests with its user"
    if row.created_at > at + _AHEAD:
        return "made by a clock that was ahead"
    return "live" if at < row.expires_at else "expired"


def described(row: ApiKey, username: str) -> dict[str, Any]:
    """Return what is told of a key, by command line and API alike; of the key itself its prefix alone."""
    return {
        "id": row.id,
        "username": username,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": list(row.scopes),
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "last_used_at": row.last_used_at,
        "revoked_at": row.revoked_at,
    }


def _live(at: datetime) -> tuple[ColumnElement[bool], ...]:
    return ApiKey.revoked_at.is_(None), ApiKey.expires_at > at


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
