"""Parameters and answers of the API keys."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema

from api.pagination import PageParameters
from api.texts import Document, Time, Whole
from api.users.schemas import Body, Username
from ledger.identity.keys import DAYS, DAYS_MAX
from ledger.identity.rights import SCOPES, check_scopes

Scope = Annotated[
    str,
    AfterValidator(lambda name: check_scopes([name])[0]),
    WithJsonSchema({"type": "string", "enum": list(SCOPES)}),
]
"""A right that a key may carry."""


class NewKey(Body):
    """A key to be made."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(
        description="What it is for."
    )
    scopes: list[Scope] = Field(
        min_length=1, max_length=50, description="Rights that it carries, of those one has oneself."
    )
    days: Whole = Field(DAYS, ge=1, le=DAYS_MAX, description="How many days it lasts.")


class KeyParameters(PageParameters):
    """Filters of the list of keys."""

    user: Username | None = Field(
        None, description="Keys of this user, which needs `keys:manage`; one's own without it."
    )


class ApiKey(Document):
    """A key, without its secret."""

    id: int = Field(description="Row number.")
    username: str = Field(description="Name of the user for whom it acts.")
    name: str = Field(description="What it is for.")
    prefix: str = Field(description="First characters of the key.")
    scopes: list[str] = Field(description="Rights that it carries, as far as its user has them.")
    created_at: Time = Field(description="When it was made.")
    expires_at: Time = Field(description="When it ends by itself.")
    last_used_at: Time | None = Field(
        description="When it was last used, to a few minutes; null: never."
    )
    revoked_at: Time | None = Field(description="When it was revoked; null: it was not.")


class MadeKey(ApiKey):
    """A key that was made just now."""

    key: str = Field(description="The key itself, shown this once: keep it.")


class KeyPage(Document):
    """One page of keys."""

    items: list[ApiKey] = Field(description="The keys of the page.")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")
