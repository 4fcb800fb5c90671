"""Attempts to sign in: counted before the password is looked at, so that many at once gain nothing.

Five from one address under one name, fifty from one address and fifty under one name, in a quarter of an
hour. What succeeded is taken back. Of IPv6 an address is its /64: whoever has one has all of it, and could keep
everybody else out of a name.
"""

from __future__ import annotations

import hashlib
import math
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from ledger.db.counting import rows_found
from ledger.db.sqltext import clock_of
from ledger.errors import Refused
from ledger.models import SignInAttempt, User
from ledger.settings.serving import machine_of

WINDOW = timedelta(minutes=15)
PAIR_MAX = 5
ADDRESS_MAX = 50
NAME_MAX = 50


class TooManyAttempts(Refused):
    """Too many attempts; ``details`` has ``retry_after_s``."""

    default_code = "too-many-attempts"


def begin(session: Session, name: str, ip_address: str, at: datetime) -> None:
    """Note an attempt, which counts as failed until ``succeeded``; the first thing that a unit of work does.

    Raises
    ------
    TooManyAttempts
        If it is one too many; it is not noted then, so waiting helps.
    """
    # One at a time, by a row that is there whenever a password can be right: MariaDB's snapshot, made by the first read
    # after this lock, has nothing of what others note later, and of many at once each would be the first.
    session.execute(select(User.id).order_by(User.id).limit(1).with_for_update())
    ip_address = machine_of(ip_address)
    by_name = SignInAttempt.name_hash == _hash(name)
    by_address = SignInAttempt.ip_address == ip_address
    for condition, most in (
        (by_name & by_address, PAIR_MAX),
        (by_address, ADDRESS_MAX),
        (by_name, NAME_MAX),
    ):
        _check(session, condition, most, at)
    session.add(SignInAttempt(name_hash=_hash(name), ip_address=ip_address, attempted_at=at))
    session.flush()


def succeeded(session: Session, name: str, ip_address: str) -> None:
    """Take back the attempts under a name from an address."""
    session.execute(
        delete(SignInAttempt).where(
            SignInAttempt.name_hash == _hash(name),
            SignInAttempt.ip_address == machine_of(ip_address),
        )
    )


def forget(session: Session, at: datetime) -> int:
    """Delete the attempts that count no more, or not until the time of a clock that was ahead; return how many."""
    ahead = max(at, clock_of(session)) + WINDOW
    over = or_(SignInAttempt.attempted_at < at - WINDOW, SignInAttempt.attempted_at >= ahead)
    return rows_found(session, delete(SignInAttempt).where(over))


def _check(session: Session, condition: ColumnElement[bool], most: int, at: datetime) -> None:
    count, first = session.execute(
        select(func.count(), func.min(SignInAttempt.attempted_at)).where(
            condition,
            SignInAttempt.attempted_at > at - WINDOW,
            SignInAttempt.attempted_at < at + WINDOW,  # beyond: by a clock that was set back since
        )
    ).one()
    if count >= most:
        wait_s = max(1, math.ceil((first + WINDOW - at).total_seconds()))
        raise TooManyAttempts(
            f"too many attempts to sign in; try again in {wait_s} s",
            details={"retry_after_s": wait_s},
        )


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
