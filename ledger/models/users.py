"""Section 1 of the customer's design: users, sessions, permissions."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, CUSTOMER, Base, created_at, int_id, options, updated_at
from ledger.models.types import Varchar, choice, json_object


class UserRole(StrEnum):
    """What a user may do in general."""

    ADMIN = "admin"
    OPERATOR = "operator"
    VIEWER = "viewer"


class User(Base):
    """A person who signs in."""

    __tablename__ = "users"

    id: Mapped[int] = int_id()
    username: Mapped[str] = mapped_column(Varchar(50), unique=True, comment="Name to sign in with.")
    email: Mapped[str] = mapped_column(
        Varchar(100),
        unique=True,
        comment="Blind index of the mail address, which is sealed in user_contacts.",
    )
    password_hash: Mapped[str] = mapped_column(Varchar(255), comment="bcrypt hash of the password.")
    role: Mapped[UserRole] = mapped_column(
        choice(UserRole, "role"), comment="What the user may do."
    )
    profile: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Preferences, sealed."
    )
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()
    is_active: Mapped[bool] = mapped_column(comment="Whether the user may sign in.")

    __table_args__ = (
        Index("idx_users_email", "email"),
        Index("idx_users_role", "role"),
        options(
            "A person who signs in.",
            writer="ledger.identity.users",
            origin=CUSTOMER,
            api="insert, update",
        ),
    )


class UserSession(Base):
    """A signed-in browser or client of a user."""

    __tablename__ = "user_sessions"

    session_id: Mapped[str] = mapped_column(
        Varchar(128), primary_key=True, comment="Opaque identifier of the session."
    )
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), comment="Row number of the user.")
    ip_address: Mapped[str | None] = mapped_column(Varchar(45), comment="Address of the client.")
    user_agent: Mapped[str | None] = mapped_column(Text, comment="What the client calls itself.")
    created_at: Mapped[datetime] = created_at("When the session began, UTC.")
    expires_at: Mapped[datetime] = mapped_column(comment="When the session ends by itself, UTC.")
    is_active: Mapped[bool] = mapped_column(comment="Whether the session may still be used.")

    __table_args__ = (
        Index("idx_user_sessions_user_id", "user_id"),
        Index("idx_user_sessions_expires_at", "expires_at"),
        options(
            "A signed-in client of a user.",
            writer="ledger.identity.sessions",
            origin=CUSTOMER,
            changes=ALL,
            api="insert, update",
        ),
    )


class UserPermission(Base):
    """One action on one resource, granted to or taken from a user beyond the role."""

    __tablename__ = "user_permissions"

    id: Mapped[int] = int_id()
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), comment="Row number of the user.")
    resource: Mapped[str] = mapped_column(Varchar(100), comment="What the action is on.")
    action: Mapped[str] = mapped_column(Varchar(50), comment="Name of the action.")
    granted: Mapped[bool] = mapped_column(comment="True: granted; false: denied.")
    created_at: Mapped[datetime] = created_at("When it was decided, UTC.")

    __table_args__ = (
        options(
            "A permission beyond a user's role.",
            writer="ledger.identity.permissions",
            origin=CUSTOMER,
            changes=ALL,
            api="insert, delete",
        ),
    )
