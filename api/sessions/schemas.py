"""Parameters and answers of the sessions."""

from __future__ import annotations

from pydantic import Field

from api.texts import Document, Time, Truth
from api.users.schemas import Body


class SignIn(Body):
    """Who wants to sign in."""

    username: str = Field(max_length=200, description="Name of the user.")
    password: str = Field(max_length=200, description="Password of the user.")
    cookie: Truth = Field(
        False,
        description="True: the session is a cookie, for a page in a browser; false: a token, for a program.",
    )


class NewSession(Document):
    """A session that has begun."""

    id: str = Field(description="Id of the session, which is no secret.")
    token: str | None = Field(
        description="Sent as `Authorization: Bearer ...`; told once. Null: it is in the cookie."
    )
    csrf_token: str | None = Field(
        description="Sent as `X-CSRF-Token` with what changes something, beside the cookie; null: no cookie."
    )
    expires_at: Time = Field(description="When it ends unless it is used before.")


class Session(Document):
    """A session of one's own."""

    id: str = Field(description="Id of the session, which is no secret.")
    current: bool = Field(description="Whether it is the one that asks.")
    ip_address: str | None = Field(description="Address of the client that began it.")
    user_agent: str | None = Field(description="What that client called itself.")
    created_at: Time = Field(description="When it began.")
    expires_at: Time = Field(description="When it ends unless it is used before.")


class SessionList(Document):
    """One's own sessions."""

    items: list[Session] = Field(description="Those that may still be used, the latest first.")
