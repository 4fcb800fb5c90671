"""Mail addresses of users: sealed in ``user_contacts``, found again by a blind index in ``users.email``.

A row from before has its address plain in ``users.email`` and nothing in ``user_contacts``, until
``truetonne db keys reseal`` has come by. Both kinds are read and found here, so it may come by at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.errors import BadInput
from ledger.models import User, UserContact
from ledger.sealing import Sealer, load_sealer

_INDEXED = "users/email"
_SIGN = "@"
"""Stands in every address, and in no blind index."""
PLAIN = User.email.contains(_SIGN)
"""The condition that an address is not sealed yet."""


def index_of(email: str, sealer: Sealer) -> str:
    """Return the blind index of an address that ``users.check_email`` has normalised."""
    return sealer.index(email, _INDEXED)


def is_plain(user: User) -> bool:
    """Return whether the address of a user is not sealed yet."""
    return _SIGN in user.email


def find(session: Session, email: str, sealer: Sealer) -> int | None:
    """Return the row number of the user with a normalised address, sealed or not yet; None: nobody's."""
    either = (index_of(email, sealer), email)
    return session.scalar(select(User.id).where(User.email.in_(either)))


def keep(session: Session, user_id: int, email: str, sealer: Sealer) -> None:
    """Seal the address of a user."""
    sealed = sealer.seal(email, context(user_id))
    row = session.get(UserContact, user_id)
    if row is None:
        session.add(UserContact(user_id=user_id, email_sealed=sealed))
    else:
        row.email_sealed = sealed
    session.flush()


def opens(session: Session, user_id: int, sealer: Sealer) -> bool:
    """Return whether the address of a user is sealed with a key that is at hand."""
    row = session.get(UserContact, user_id)
    if row is None:
        return False
    try:
        sealer.open(row.email_sealed, context(user_id))
    except BadInput:
        return False
    return True


def addresses(session: Session, users: Sequence[User], key_file: Path) -> dict[int, str | None]:
    """Return the address of each user by row number; None where the key for it is not at hand.

    Users can be seen and disabled without the key; ``truetonne doctor`` says when it is missing.
    """
    found: dict[int, str | None] = {
        user.id: user.email if is_plain(user) else None for user in users
    }
    rows = session.scalars(select(UserContact).where(UserContact.user_id.in_(list(found)))).all()
    if rows:
        with suppress(BadInput):
            sealer = load_sealer(key_file)
            for row in rows:
                with suppress(BadInput):  # of this one alone
                    found[row.user_id] = sealer.open(row.email_sealed, context(row.user_id))
    return found


def context(user_id: int) -> str:
    """Return what an address is sealed for."""
    return f"users/{user_id}/email"
