"""Users: who they are, whether they may sign in, and in which role."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import suppress
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ledger import audit
from ledger.audit import By
from ledger.errors import BadInput, NotFound, Refused
from ledger.identity import contacts, sessions
from ledger.identity.rights import CHANGES_USERS
from ledger.models import UserContact
from ledger.models.users import User, UserPermission, UserRole
from ledger.sealing import SAMPLES, Resealed, Sealer, key_number, require_ours, reseal_rows

USERNAME = r"[a-z0-9][a-z0-9._-]{1,49}"
EMAIL = r"[^@\s]{1,64}@[A-Za-z0-9.-]{1,35}"
_USERNAME = re.compile(USERNAME)
_EMAIL = re.compile(EMAIL)
_SEALED = "sealed"
"""The one name in a profile that is sealed: the column stays the JSON that it is."""


def add(
    session: Session,
    sealer: Sealer,
    *,
    username: str,
    email: str,
    role: UserRole,
    password_hash: str,
    by: By,
) -> User:
    """Add a user who may sign in.

    Parameters
    ----------
    sealer
        What the mail address is sealed with.
    password_hash
        From ``passwords.hashed``.

    Raises
    ------
    BadInput
        If name or mail address cannot be used.
    Refused
        If one of them is taken.
    """
    email = check_email(email)
    user = User(
        username=check_username(username),
        email=contacts.index_of(email, sealer),
        password_hash=password_hash,
        role=role,
        profile=None,
        is_active=True,
    )
    _check_free(
        session.scalar(select(User.id).where(User.username == username)), "user name", username
    )
    _check_free(contacts.find(session, email, sealer), "mail address", email)
    require_ours(sealer, newest_sealed(session))
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:  # somebody else was faster
        by_name = "username" in str(error.orig)
        raise _taken(*(("user name", username) if by_name else ("mail address", email))) from error
    contacts.keep(session, user.id, email, sealer)
    audit.record(session, "users.add", _resource(user), {}, values(user), by)
    return user


def get(session: Session, user_id: int, *, lock: bool = False) -> User:
    """Return a user by row number; ``lock`` keeps others from changing it, or making more keys for it, meanwhile.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = session.get(User, user_id, with_for_update=True if lock else None)
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
    sealer: Sealer | None = None,
) -> bool:
    """Change role, mail address, or whether a user may sign in; return whether anything changed.

    Whoever is disabled is signed out everywhere.

    Parameters
    ----------
    sealer
        What the mail address is sealed with; needed where one is given.

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
        assert sealer is not None
        email = check_email(email)
        wanted["email"] = contacts.index_of(email, sealer)
    lost = sealer is not None and email is not None and not contacts.opens(session, user.id, sealer)
    changes = {
        name: value
        for name, value in wanted.items()
        if value is not None and (value != getattr(user, name) or (name == "email" and lost))
    }
    if not changes:
        return False
    if email is not None and sealer is not None and "email" in changes:
        holder = contacts.find(session, email, sealer)
        _check_free(None if holder == user.id else holder, "mail address", email)
        contacts.keep(session, user.id, email, sealer)
    if "role" in changes or "is_active" in changes:
        keep_an_admin(session, user)
    for name, value in changes.items():
        setattr(user, name, value)
    try:
        session.flush()
    except IntegrityError as error:  # somebody else was faster
        raise _taken("mail address", email or "") from error
    new = values(user)
    told = ["email_index" if name == "email" else name for name in changes]
    audit.record(
        session,
        "users.change",
        _resource(user),
        {name: old[name] for name in told},
        {name: new[name] for name in told},
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


def set_profile(
    session: Session, sealer: Sealer, user: User, profile: dict[str, Any] | None, by: By
) -> None:
    """Keep what a user prefers, sealed; None: nothing. What is kept so already is not written again."""
    with suppress(BadInput):  # sealed with a key that is not at hand: it is replaced
        is_sealed = user.profile is None or _SEALED in user.profile
        # As text: to Python true is 1.
        if is_sealed and _spelt(profile_of(sealer, user)) == _spelt(profile):
            return
    text = None if profile is None else json.dumps(profile, ensure_ascii=False, allow_nan=False)
    user.profile = None if text is None else {_SEALED: sealer.seal(text, _profile(user))}
    session.flush()
    kept = "kept" if profile is not None else "removed"
    audit.record(session, "users.profile", _resource(user), {}, {"profile": kept}, by)


def profile_of(sealer: Sealer, user: User) -> dict[str, Any] | None:
    """Return what a user prefers.

    Raises
    ------
    BadInput
        If it is sealed with a key that is not at hand.
    """
    if user.profile is None or _SEALED not in user.profile:
        return None if user.profile is None else dict(user.profile)
    opened: dict[str, Any] = json.loads(sealer.open(user.profile[_SEALED], _profile(user)))
    return opened


def reseal(session: Session, sealer: Sealer, after: int, limit: int) -> Resealed:
    """Seal addresses and profiles of some users with the newest key, whatever they are sealed with now, or not at all.

    See ``ledger.sealing.reseal_rows``.
    """

    def seal(done: Resealed, user: User) -> None:
        contact = session.get(UserContact, user.id, with_for_update=True)
        if contacts.is_plain(user):
            plain = check_email(user.email)
            contacts.keep(session, user.id, plain, sealer)
            user.email = contacts.index_of(plain, sealer)
            done.sealed += 1
        elif contact is not None and not sealer.is_current(contact.email_sealed):
            of = user.id, user.username, "email"
            new = done.anew(sealer, contact.email_sealed, contacts.context(user.id), of)
            contact.email_sealed = new or contact.email_sealed
        if user.profile is None or sealer.is_current(str(user.profile.get(_SEALED, ""))):
            return
        if _SEALED in user.profile:
            of = user.id, user.username, "profile"
            new = done.anew(sealer, str(user.profile[_SEALED]), _profile(user), of)
        else:
            text = json.dumps(user.profile, ensure_ascii=False)
            new = sealer.seal(text, _profile(user))
            done.sealed += 1
        if new is not None:
            user.profile = {_SEALED: new}

    return reseal_rows(session, User, after, limit, seal)


def newest_sealed(session: Session) -> list[tuple[str, str]]:
    """Return some mail addresses that were sealed last, each with what it was sealed for."""
    query = select(UserContact).order_by(UserContact.user_id.desc()).limit(SAMPLES)
    return [(row.email_sealed, contacts.context(row.user_id)) for row in session.scalars(query)]


def keys_in_use(session: Session) -> Counter[int | None]:
    """Return how many addresses and profiles are sealed with each key, by its number; None: not sealed yet."""
    found: Counter[int | None] = Counter(
        map(key_number, session.scalars(select(UserContact.email_sealed)))
    )
    plain = select(func.count()).select_from(User).where(contacts.PLAIN)
    found[None] += session.scalar(plain) or 0
    for profile in session.scalars(select(User.profile).where(User.profile.is_not(None))):
        found[key_number(str((profile or {}).get(_SEALED, "")))] += 1
    return +found


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
    """Return what the audit log says of a user: all but the password, and of the mail address its blind index.

    The log is for ever, so what is sealed elsewhere must not stand in it plain.
    """
    return {
        "username": user.username,
        "email_index": None if contacts.is_plain(user) else user.email,
        "role": user.role.value,
        "is_active": user.is_active,
    }


def _spelt(profile: dict[str, Any] | None) -> str:
    return json.dumps(profile, sort_keys=True)


def _profile(user: User) -> str:
    """Return what a profile is sealed for."""
    return f"users/{user.id}/profile"


def _resource(user: User) -> str:
    return f"users/{user.id}"


def keep_an_admin(session: Session, user: User) -> None:
    """Require another admin who may sign in and change users, when this one is about to be none; locks them all.

    Raises
    ------
    Refused
        If there is none.
    """
    if user.role is not UserRole.ADMIN or not user.is_active:
        return
    admins = session.scalars(
        select(User.id)
        .where(User.role == UserRole.ADMIN, User.is_active.is_(True))
        .order_by(User.id)
        .with_for_update()
    ).all()
    resource, _, action = CHANGES_USERS.partition(":")
    bound = session.scalars(
        select(UserPermission.user_id)
        .where(
            UserPermission.resource == resource,
            UserPermission.action == action,
            UserPermission.granted.is_(False),
        )
        # As they are, not as they were in a snapshot from before the admins were locked.
        .with_for_update(read=True)
    )
    if set(admins) - {*bound} <= {user.id}:
        raise Refused(
            f"{user.username} is the last admin who may sign in; make another one first",
            code="last-admin",
        )


def _check_free(holder: int | None, what: str, value: str) -> None:
    if holder is not None:
        raise _taken(what, value)


def _taken(what: str, value: str) -> Refused:
    return Refused(f"the {what} {value!r} is taken; choose another one", code="user-exists")
