"""Parameters and answers of the users."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.pagination import PageParameters
from api.texts import Document, Time, Truth, Written
from ledger.identity.passwords import BYTES_MAX, CHARACTERS_MIN
from ledger.identity.users import EMAIL, USERNAME
from ledger.models.users import UserRole

Username = Annotated[
    str,
    Written(
        f"^{USERNAME}$",
        "write 2 to 50 of a-z, 0-9, dot, dash and underscore, the first a letter or a digit",
    ),
]
Email = Annotated[
    str,
    Written(f"^{EMAIL}$", "write NAME@HOST, at most 64 characters before the @ and 35 after it"),
    StringConstraints(max_length=100),
]
Password = Annotated[str, StringConstraints(min_length=CHARACTERS_MIN, max_length=BYTES_MAX)]
"""A new password. That it has 72 bytes at most is said by ``passwords.hashed``; here it is characters."""


class Body(BaseModel):
    """Base of everything that is sent: a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NewUser(Body):
    """A user to be added."""

    username: Username = Field(description="Name to sign in with.")
    email: Email = Field(description="Mail address.")
    role: UserRole = Field(description="What the user may do.")
    password: Password = Field(description="12 characters at least, 72 bytes at most.")


class UserChange(Body):
    """What shall be otherwise; what is left out stays."""

    email: Email | None = Field(None, description="Mail address.")
    role: UserRole | None = Field(None, description="What the user may do.")
    is_active: Truth | None = Field(
        None, description="Whether the user may sign in; false ends all sessions."
    )


class NewPassword(Body):
    """Another password, given by an admin."""

    password: Password = Field(description="12 characters at least, 72 bytes at most.")


class OwnPassword(Body):
    """Another password of one's own."""

    current_password: str = Field(max_length=200, description="The password until now.")
    password: Password = Field(description="12 characters at least, 72 bytes at most.")


class Decision(Body):
    """Whether a right is granted to a user or denied."""

    granted: Truth = Field(description="True: granted; false: denied, whatever the role says.")


class User(Document):
    """A person who signs in."""

    id: int = Field(description="Row number.")
    username: str = Field(description="Name to sign in with.")
    email: str | None = Field(
        description="Mail address; null: the key that it is sealed with is not at hand."
    )
    role: UserRole = Field(description="What the user may do.")
    is_active: bool = Field(description="Whether the user may sign in.")
    created_at: Time = Field(description="When the user was added.")
    updated_at: Time = Field(description="When the user was last changed.")


class Permission(Document):
    """What was decided about a right, beyond the role."""

    right: str = Field(description="`resource:action`.")
    granted: bool = Field(description="True: granted; false: denied, whatever the role says.")
    created_at: Time = Field(description="When it was decided.")


class UserDetail(User):
    """A user, with what they may do."""

    permissions: list[Permission] = Field(description="What was decided beyond the role.")
    rights: list[str] = Field(description="What the user may do, all in all.")


class UserParameters(PageParameters):
    """Filters of the list of users."""

    role: UserRole | None = Field(None, description="Only users of this role.")
    is_active: bool | None = Field(None, description="Only users who may sign in, or may not.")


class UserPage(Document):
    """One page of users."""

    items: list[User] = Field(description="The users of the page.")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")


class Me(Document):
    """Who asks, and what they may do."""

    username: str = Field(description="Name of the user.")
    role: UserRole = Field(description="Role of the user.")
    rights: list[str] = Field(description="What this session or API key may do.")
    api_key: int | None = Field(description="The API key that asks; null: a session does.")
    csrf_token: str | None = Field(
        description="What a page sends as `X-CSRF-Token`; null where no cookie was sent."
    )
