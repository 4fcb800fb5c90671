"""Users: who they are, whether they may sign in, and in which role."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import InstrumentedAttribute, Session

from ledger import audit
from ledger.audit import By
from ledger.errors import BadInput, NotFound, Refused
from ledger.identity import sessions
from ledger.models.users import User, UserRole

USERNAME = r"[a-z0-9][a-z0-9._-]{1,49}"
EMAIL = r"[^@\s]{1,64}@[A-Za-z0-9.-]{1,35}"
_USERNAME = re.compile(USERNAME)
_EMAIL = re.compile(EMAIL)


def add(
    session: Session, *, username: str, email: str, role: UserRole, password_hash: str, by: By
) -> User:
    """Add a user who may sign in.

    Parameters
    ----------
    password_hash
        From ``passwords.hashed``.

    Raises
    ------
    BadInput
        If name or mail address cannot be used.
    Refused
        If one of them is taken.
    """
    user = User(
        username=check_username(username),
        email=check_email(email),
        password_hash=password_hash,
        role=role,
        profile=None,
        is_active=True,
    )
    email = user.email
    _check_free(session, "user name", User.username, username)
    _check_free(session, "mail address", User.email, email)
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:  # somebody else was faster
        by_name = "username" in str(error.orig)
        raise _taken(*(("user name", username) if by_name else ("mail address", email))) from error
    audit.record(session, "users.add", _resource(user), {}, values(user), by)
    return user


def get(session: Session, user_id: int) -> User:
    """Return a user by row number.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = session.get(User, user_id)
    if found is None:
        raise NotFound(f"there is no user {user_id}", code="no-such-user")
    return found


def named(session: Session, username: str) -> User:
    """Return a user by name.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = session.scalars(select(User).where(User.username == username)).one_or_none()
    if found is None:
        raise NotFound(
            f"there is no user {username!r}; `truetonne users list` shows all", code="no-such-user"
        )
    return found


def all_of_them(session: Session) -> list[User]:
    """Return all users, oldest first."""
    return list(session.scalars(select(User).order_by(User.id)))


def change(
    session: Session,
    user: User,
    by: By,
    *,
    role: UserRole | None = None,
    is_active: bool | None = None,
    email: str | None = None,
) -> bool:
    """Change role, mail address, or whether a user may sign in; return whether anything changed.

    Whoever is disabled is signed out everywhere.

    Raises
    ------
    BadInput
        If the mail address cannot be used.
    Refused
        If nobody would be left who may administer, or the mail address is taken.
    """
    old = values(user)
    wanted: dict[str, Any] = {"role": role, "is_active": is_active}
    if email is not None:
        wanted["email"] = check_email(email)
    changes = {
        name: value
        for name, value in wanted.items()
        if value is not None and value != getattr(user, name)
    }
    if not changes:
        return False
    if "email" in changes:
        _check_free(session, "mail address", User.email, changes["email"])
    if "role" in changes or "is_active" in changes:
        _keep_an_admin(session, user)
    for name, value in changes.items():
        setattr(user, name, value)
    try:
        session.flush()
    except IntegrityError as error:  # somebody else was faster
        raise _taken("mail address", changes["email"]) from error
    new = values(user)
    audit.record(
        session,
        "users.change",
        _resource(user),
        {name: old[name] for name in changes},
        {name: new[name] for name in changes},
        by,
    )
    if is_active is False:
        sessions.end_all(session, user.id, "the user was disabled", by)
    return True


def set_password(session: Session, user: User, password_hash: str, by: By) -> None:
    """Give a user another password, and sign the user out everywhere.

    Parameters
    ----------
    password_hash
        From ``passwords.hashed``.
    """
    user.password_hash = password_hash
    session.flush()
    audit.record(session, "users.password", _resource(user), {}, {"password": "changed"}, by)
    sessions.end_all(session, user.id, "the password was changed", by)


def check_username(text: str) -> str:
    """Return a name to sign in with.

    Raises
    ------
    BadInput
        If it is none.
    """
    if not _USERNAME.fullmatch(text):
        raise BadInput(
            f"user name {text[:60]!r}: use 2 to 50 of a-z, 0-9, dot, dash and underscore, the first a "
            "letter or a digit"
        )
    return text


def check_email(text: str) -> str:
    """Return a mail address in lower case, so that nobody has two accounts by capitals.

    Raises
    ------
    BadInput
        If it is none.
    """
    if not _EMAIL.fullmatch(text) or not text.isprintable():
        raise BadInput(f"mail address {text[:110]!r}: write NAME@HOST, 100 characters at most")
    return text.lower()


def values(user: User) -> dict[str, Any]:
    """Return what the audit log says of a user: all but the password."""
    return {
        "username": user.username,
        "email": user.email,
        "role": user.role.value,
        "is_active": user.is_active,
    }


def _resource(user: User) -> str:
    return f"users/{user.id}"


def _keep_an_admin(session: Session, user: User) -> None:
    """Require another admin who may sign in, when this one is about to be none; locks them all."""
    if user.role is not UserRole.ADMIN or not user.is_active:
        return
    admins = session.scalars(
        select(User.id)
        .where(User.role == UserRole.ADMIN, User.is_active.is_(True))
        .order_by(User.id)
        .with_for_update()
    ).all()
    if set(admins) <= {user.id}:
        raise Refused(
            f"{user.username} is the last admin who may sign in; make another one first",
            code="last-admin",
        )


def _check_free(
    session: Session, what: str, column: InstrumentedAttribute[str], value: str
) -> None:
    if session.scalar(select(User.id).where(column == value)) is not None:
        raise _taken(what, value)


def _taken(what: str, value: str) -> Refused:
    return Refused(f"the {what} {value!r} is taken; choose another one", code="user-exists")
