"""Parameters and answers of the audit log."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from api.pagination import PageParameters
from api.texts import Document, Time, TimeParameter, Written
from api.users.schemas import Username

Action = Annotated[
    str, Written("^[a-z.-]{1,100}$", "write small letters, dots and dashes, such as users.add")
]
Resource = Annotated[
    str,
    Written(
        "^[A-Za-z0-9_/.:-]{1,200}$",
        "write letters, digits and _ / . : - alone, such as users/7",
    ),
]


class AuditParameters(PageParameters):
    """Filters of the audit log."""

    user: Username | None = Field(None, description="Only what this user did.")
    action: Action | None = Field(None, description="Only this action, such as `users.add`.")
    resource: Resource | None = Field(
        None, description="Only what was done to this row, `users/7`, or to this table, `users`."
    )
    done_from: TimeParameter | None = Field(None, description="Only from this time on.")
    done_before: TimeParameter | None = Field(None, description="Only before this time.")


class AuditEntry(Document):
    """Something that was done, and by whom."""

    id: int = Field(description="Row number; entries are never changed.")
    created_at: Time = Field(description="When it was done.")
    user_id: int | None = Field(
        description="Row number of the user; null: a command or a job on the machine itself."
    )
    username: str | None = Field(description="Name of that user.")
    ip_address: str | None = Field(description="Address of the client.")
    action: str = Field(description="What was done.")
    resource: str = Field(description="What it was done to: table and row number.")
    old_values: dict[str, Any] | None = Field(description="Values before.")
    new_values: dict[str, Any] | None = Field(description="Values after; never a secret.")
    position: int | None = Field(
        description="Place in the chain of the log, from 1 on without a gap; null: put in by other hands."
    )
    previous_hash: str | None = Field(description="Hash of the place before; zeros: the first.")
    entry_hash: str | None = Field(
        description="SHA-256 of place, hash before and entry: see `docs/security.md`."
    )


class AuditPage(Document):
    """One page of the audit log."""

    items: list[AuditEntry] = Field(description="The entries of the page.")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")
