"""Types of answers that are the same everywhere: numbers as decimal text, identifiers, times."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _text_of_decimal(value: Decimal) -> str:
    return format(value, "f")


def _schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


DecimalText = Annotated[
    Decimal, PlainSerializer(_text_of_decimal, return_type=str), _schema(r"^-?[0-9]+(\.[0-9]+)?$")
]
"""An exact decimal number, written as text."""

IntegerText = Annotated[int, PlainSerializer(str, return_type=str), _schema("^-?[0-9]+$")]
"""An integer that may pass 2^53, written as text."""

HashText = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{64}$")]
"""A hash or a key, as a parameter."""

AddressText = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
"""An address, as a parameter."""

CodeText = Annotated[str, StringConstraints(min_length=1, max_length=100)]
"""A code of ours, as a parameter."""

BlockParameter = Annotated[int, Field(ge=0, lt=2**63)]
"""The number of a block, as a parameter."""

AS_OF_BLOCK = "As things stood at the end of this block; without it: as they are."

Time = AwareDatetime
"""A time with its zone; answers are in UTC."""


def _within_calendar(value: datetime) -> datetime:
    if not 1900 <= value.year <= 2999:
        raise ValueError("the year must be from 1900 to 2999")
    return value


def _written_out(value: object) -> object:
    """Refuse a bare number, which would be taken for seconds since 1970."""
    if isinstance(value, str) and not _DAY.match(value):
        raise ValueError("write a day and a time with its zone, such as 2024-01-31T12:00:00Z")
    return value


TimeParameter = Annotated[
    AwareDatetime, BeforeValidator(_written_out), AfterValidator(_within_calendar)
]
"""A time with its zone, as a parameter; in a calendar that every zone can be converted in."""


class Document(BaseModel):
    """Base of everything that is answered: no field is left out, none is added."""

    model_config = ConfigDict(extra="forbid", frozen=True)
