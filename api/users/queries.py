"""What the books say of users."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.pagination import matching, page_of, paged
from api.users.schemas import Permission, User, UserDetail, UserPage, UserParameters
from ledger.identity import contacts, permissions
from ledger.models import User as Row


def user_of(session: Session, row: Row, key_file: Path) -> User:
    """Return a user without what is nobody's business; the key file opens the mail address."""
    return _user(row, contacts.addresses(session, [row], key_file))


def _user(row: Row, addresses: Mapping[int, str | None]) -> User:
    return User(
        id=row.id,
        username=row.username,
        email=addresses[row.id],
        role=row.role,
        is_active=row.is_active,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def detail_of(session: Session, row: Row, key_file: Path) -> UserDetail:
    """Return a user with what they may do."""
    decided = [
        Permission(
            right=f"{item.resource}:{item.action}", granted=item.granted, created_at=item.created_at
        )
        for item in permissions.of_user(session, row.id)
    ]
    may = sorted(permissions.rights(session, row))
    return UserDetail(**dict(user_of(session, row, key_file)), permissions=decided, rights=may)


def list_users(session: Session, parameters: UserParameters, key_file: Path) -> UserPage:
    """Return one page of users.

    Raises
    ------
    BadInput
        If the cursor cannot be used.
    """
    query = select(Row)
    query = matching(query, (Row.role, parameters.role))
    if parameters.is_active is not None:
        query = query.where(Row.is_active.is_(parameters.is_active))
    found = session.scalars(paged(query, parameters, Row.id)).all()
    page = page_of(parameters, found, [row.id for row in found])
    addresses = contacts.addresses(session, page.rows, key_file)
    items = [_user(row, addresses) for row in page.rows]
    return UserPage(items=items, next_cursor=page.next_cursor)
