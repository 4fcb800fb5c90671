"""Sessions: what a signed-in person is known by.

The token is random (256 bits) and given out once; the books hold its SHA-256, which is the session's id. A
session ends after a time without use, and after a time in any case: ``expires_at`` is the earlier of the two,
and moves on with use.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Update, delete, or_, select, update
from sqlalchemy.orm import Session

from ledger import audit
from ledger.audit import HOUSE, By
from ledger.clock import time_text
from ledger.db.sqltext import clock_of
from ledger.errors import NotFound
from ledger.models.users import User, UserSession

PREFIX = "tts_"
AGENT_CHARACTERS_MAX = 500
ACTIVE_MAX = 50
"""Sessions of one user that may be used at a time; one more ends the oldest."""
KEPT = timedelta(days=30)
"""How long a session that has ended is kept."""
_AHEAD = timedelta(minutes=5)
"""How far clocks of two machines may differ. A session that began later than that from now began by a wrong clock.

It would last, used or not, until that time has come.
"""
_TOKEN = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")
_STEP = timedelta(minutes=1)
"""Uses within so long move nothing: a row is not written for every request."""


@dataclass(frozen=True)
class Lifetime:
    """How long sessions last.

    Parameters
    ----------
    whole
        From signing in to the end, whatever happens.
    idle
        From the last use to the end.
    """

    whole: timedelta
    idle: timedelta


def begin(
    session: Session, user_id: int, agent: str | None, lifetime: Lifetime, by: By, at: datetime
) -> tuple[str, UserSession]:
    """Begin a session; return its token, which is kept nowhere, and its row.

    Parameters
    ----------
    agent
        What the client calls itself.
    at
        Time of day, aware.
    """
    for surplus in of_user(session, user_id, at)[ACTIVE_MAX - 1 :]:
        _end(session, surplus, "a newer one took its place", by)
    token = PREFIX + secrets.token_urlsafe(32)
    row = UserSession(
        session_id=id_of(token),
        user_id=user_id,
        ip_address=by.ip_address,
        user_agent=_shown(agent),
        created_at=at,
        expires_at=at + min(lifetime.whole, lifetime.idle),
        is_active=True,
    )
    session.add(row)
    session.flush()
    new = {"expires_at": time_text(row.expires_at)}
    audit.record(session, "sessions.begin", _resource(row), {}, new, by)
    return token, row


def find(session: Session, token: str, at: datetime) -> tuple[UserSession, User] | None:
    """Return the session of a token, and its user; None when it is none, or none any more."""
    if not _TOKEN.fullmatch(token):
        return None
    row = session.execute(
        select(UserSession, User)
        .join(User, User.id == UserSession.user_id)
        .where(UserSession.session_id == id_of(token))
    ).one_or_none()
    if row is None:
        return None
    found, user = row
    in_time = found.created_at - _AHEAD <= at < found.expires_at
    usable = found.is_active and user.is_active and in_time
    return (found, user) if usable else None


def used(found: UserSession, lifetime: Lifetime, at: datetime) -> Update | None:
    """Return the statement that notes a use; None when the last one was a moment ago."""
    end = min(found.created_at + lifetime.whole, at + lifetime.idle)
    if end - found.expires_at < min(_STEP, lifetime.idle / 10):
        return None
    return (
        update(UserSession)
        .where(UserSession.session_id == found.session_id, UserSession.is_active.is_(True))
        .values(expires_at=end)
    )


def of_user(session: Session, user_id: int, at: datetime) -> list[UserSession]:
    """Return the sessions of a user that may still be used, the latest first."""
    return list(
        session.scalars(
            select(UserSession)
            .where(
                UserSession.user_id == user_id,
                UserSession.is_active.is_(True),
                UserSession.expires_at > at,
                UserSession.created_at <= at + _AHEAD,
            )
            .order_by(UserSession.created_at.desc(), UserSession.session_id)
        )
    )


def end(session: Session, user_id: int, session_id: str, by: By, at: datetime) -> None:
    """End a session of a user.

    Raises
    ------
    NotFound
        If the user has no such session, or it has ended. Somebody else's is none of the user's.
    """
    found = next(
        (row for row in of_user(session, user_id, at) if row.session_id == session_id), None
    )
    if found is None:
        raise NotFound("you have no such session, or it has ended", code="no-such-session")
    _end(session, found, "ended by the user", by)


def end_all(session: Session, user_id: int, reason: str, by: By) -> int:
    """End all sessions of a user; return how many there were."""
    query = select(UserSession).where(
        UserSession.user_id == user_id, UserSession.is_active.is_(True)
    )
    # Locked, and so as they are: a snapshot has not the one that began while the user's row was waited for.
    found = session.scalars(query.with_for_update()).all()
    for row in found:
        _end(session, row, reason, by)
    return len(found)


def forget(session: Session, at: datetime) -> int:
    """Delete the sessions that ended long ago, or that a clock began that was ahead; return how many.

    Ahead of the database's clock, too: by ours alone, if it is behind, everybody who has just signed in would be
    signed out.
    """
    ahead = max(at, clock_of(session)) + _AHEAD
    over = or_(UserSession.expires_at < at - KEPT, UserSession.created_at > ahead)
    found = session.scalars(select(UserSession.session_id).where(over).limit(10_000)).all()
    if found:
        session.execute(delete(UserSession).where(UserSession.session_id.in_(found)))
        old = {
            "ended_before": time_text(at - KEPT),
            "began_after": time_text(ahead),
        }
        audit.record(session, "sessions.forget", "user_sessions", old, {"count": len(found)}, HOUSE)
    return len(found)


def id_of(token: str) -> str:
    """Return the id of a session: the SHA-256 of its token, which tells nobody the token."""
    return hashlib.sha256(token.encode()).hexdigest()


def csrf_token(token: str) -> str:
    """Return what a page sends with a request that changes something, beside the cookie.

    It is made from the session's token, which no script can read; so only whoever was told at signing in
    knows it, and nothing needs to be kept.
    """
    return hmac.new(token.encode(), b"truetonne csrf", hashlib.sha256).hexdigest()


def _end(session: Session, row: UserSession, reason: str, by: By) -> None:
    row.is_active = False
    session.flush()
    old, new = {"is_active": True}, {"is_active": False, "reason": reason}
    audit.record(session, "sessions.end", _resource(row), old, new, by)


def _resource(row: UserSession) -> str:
    return f"user_sessions/{row.session_id}"


def _shown(agent: str | None) -> str | None:
    if agent is None:
        return None
    return "".join(c if c.isprintable() else "?" for c in agent[:AGENT_CHARACTERS_MAX])
