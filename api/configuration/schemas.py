"""Parameters and answers of the settings in the database."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from api.pagination import PageParameters
from api.texts import Document, Time
from ledger.park.configuration import ValueType


class ConfigParameters(PageParameters):
    """Filters of the settings."""

    category: Annotated[str, StringConstraints(min_length=1, max_length=50)] | None = Field(
        None, description="Only of this category."
    )


class Setting(Document):
    """A setting, typed; of a secret, that it is there."""

    id: int = Field(description="Row number.")
    key: str = Field(description="Its name.")
    type: ValueType = Field(description="What its value is.")
    value: str | int | bool | dict[str, Any] = Field(
        description="Its value: decimals as text, a secret as `***`."
    )
    description: str | None = Field(description="What it is for.")
    category: str = Field(description="Its group.")
    created_at: Time = Field(description="When it was first set.")
    updated_at: Time = Field(description="When it last changed.")


class SettingPage(Document):
    """One page of settings."""

    items: list[Setting] = Field(description="The settings of the page.")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")
