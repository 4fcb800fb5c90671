"""What is granted to, or taken from, a user beyond the role."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from ledger import audit
from ledger.audit import By
from ledger.errors import NotFound
from ledger.identity.rights import CHANGES_USERS, check_right, rights_of
from ledger.identity.users import keep_an_admin
from ledger.models.users import User, UserPermission


def decide(session: Session, user: User, right: str, granted: bool, by: By) -> bool:
    """Grant a right to a user, or deny it, in place of what was decided about it before; return whether that is new.

    Raises
    ------
    BadInput
        If there is no such right.
    Refused
        If nobody could change users any more.
    """
    resource, _, action = check_right(right).partition(":")
    if not granted and right == CHANGES_USERS:
        keep_an_admin(session, user)
    if _decided(session, user, right) == [granted]:
        return False
    before = _take_back(session, user, right)
    row = UserPermission(user_id=user.id, resource=resource, action=action, granted=granted)
    session.add(row)
    session.flush()
    old = {"right": right, "granted": before} if before is not None else {}
    new = {"right": right, "granted": granted}
    audit.record(session, "permissions.decide", f"users/{user.id}", old, new, by)
    return True


def leave_to_role(session: Session, user: User, right: str, by: By) -> None:
    """Take back what was decided about a right: the role decides again.

    Raises
    ------
    BadInput
        If there is no such right.
    NotFound
        If nothing was decided about it.
    """
    before = _take_back(session, user, check_right(right))
    if before is None:
        raise NotFound(
            f"nothing was decided about {right} for {user.username}; the role decides",
            code="no-such-permission",
        )
    old = {"right": right, "granted": before}
    audit.record(session, "permissions.leave-to-role", f"users/{user.id}", old, {}, by)


def of_user(session: Session, user_id: int) -> list[UserPermission]:
    """Return what was decided for a user."""
    return list(
        session.scalars(
            select(UserPermission)
            .where(UserPermission.user_id == user_id)
            .order_by(UserPermission.resource, UserPermission.action, UserPermission.id)
        )
    )


def rights(session: Session, user: User) -> frozenset[str]:
    """Return what a user may do, all in all."""
    found = of_user(session, user.id)
    return rights_of(user.role, [(f"{row.resource}:{row.action}", row.granted) for row in found])


def _take_back(session: Session, user: User, right: str) -> bool | None:
    """Delete what was decided about a right; return what it was."""
    found = _decided(session, user, right)
    session.execute(delete(UserPermission).where(_about(user, right)))
    return all(found) if found else None


def _decided(session: Session, user: User, right: str) -> list[bool]:
    """Return what was decided about a right: another program may have written it twice. Locks the user."""
    session.execute(select(User.id).where(User.id == user.id).with_for_update())
    # As it is: a snapshot from before the user was locked has what others took back meanwhile.
    query = select(UserPermission.granted).where(_about(user, right)).with_for_update()
    return list(session.scalars(query))


def _about(user: User, right: str) -> ColumnElement[bool]:
    resource, _, action = right.partition(":")
    return (
        (UserPermission.user_id == user.id)
        & (UserPermission.resource == resource)
        & (UserPermission.action == action)
    )
