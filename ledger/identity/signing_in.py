"""Signing in: an attempt is counted, the password compared, and a session begun, in this order."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.audit import By
from ledger.db import Database
from ledger.errors import Refused
from ledger.identity import attempts, passwords, sessions
from ledger.identity.sessions import Lifetime
from ledger.models.users import User, UserSession

UNKNOWN_ADDRESS = "unknown"


class WrongCredentials(Refused):
    """Name or password is wrong, or the user is disabled: which of them is not said."""

    default_code = "wrong-credentials"


def check(db: Database, username: str, password: str, ip_address: str | None, at: datetime) -> User:
    """Return the user whose name and password these are; slow, and equally slow where there is none.

    Parameters
    ----------
    ip_address
        Address of the client.
    at
        Time of day, aware.

    Raises
    ------
    TooManyAttempts
        If there were too many; the password is not looked at then.
    WrongCredentials
        If they are nobody's who may sign in.
    """
    address = ip_address or UNKNOWN_ADDRESS
    db.run(lambda session: attempts.begin(session, username, address, at), lasting=False)
    with db.read() as session:
        user = session.scalars(select(User).where(User.username == username)).one_or_none()
    if user is not None and user.username != username:
        # MariaDB takes "anna " for "anna". Attempts are counted by the name as it was written, so each would have
        # limits of its own.
        user = None
    same = passwords.matches(password, user.password_hash if user is not None else None)
    if user is None or not same or not user.is_active:
        raise WrongCredentials("the user name or the password is wrong")
    return user


def begin(
    session: Session, user: User, agent: str | None, lifetime: Lifetime, by: By, at: datetime
) -> tuple[str, UserSession]:
    """Begin a session for a user who was checked; return its token and its row.

    Raises
    ------
    WrongCredentials
        If the user was disabled, or given another password, since.
    """
    confirmed(session, user, by.ip_address)
    who = By(user.id, by.ip_address)
    return sessions.begin(session, user.id, agent, lifetime, who, at)


def confirmed(session: Session, user: User, ip_address: str | None) -> User:
    """Return a user who was checked, locked, and take back the attempts that were counted: the last one was right.

    Raises
    ------
    WrongCredentials
        If the user was disabled, or given another password, since.
    """
    query = select(User).where(User.id == user.id)
    now = session.scalars(query.with_for_update()).one_or_none()
    if now is None or not now.is_active or now.password_hash != user.password_hash:
        raise WrongCredentials("the user name or the password is wrong")
    attempts.succeeded(session, user.username, ip_address or UNKNOWN_ADDRESS)
    return now
