"""Types of answers that are the same everywhere: numbers as decimal text, identifiers, times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import core_schema

_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_BLANK_FOR_PLUS = re.compile(r":[0-9]{2}(\.[0-9]+)? [0-9]{2}:?[0-9]{2}$")


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


@dataclass(frozen=True)
class Written:
    """How a text is written: a pattern for programs, and the same in words for whoever wrote another.

    Parameters
    ----------
    pattern
        Regular expression of all of the text.
    words
        What may stand there, as an error says it.
    """

    pattern: str
    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return the check of the pattern, with the words as its error."""
        return _said(core_schema.str_schema(pattern=self.pattern), self.words)


@dataclass(frozen=True)
class InWords:
    """What is said of a value that is none, where its type has several forms: one error under the parameter's name.

    Parameters
    ----------
    words
        What may stand there.
    """

    words: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Return the check of the type, with the words as its error."""
        return _said(handler(source), self.words)


def _said(schema: core_schema.CoreSchema, words: str) -> core_schema.CoreSchema:
    return core_schema.custom_error_schema(
        schema, custom_error_type="written_otherwise", custom_error_message=words
    )


HashText = Annotated[str, Written("^0x[0-9a-fA-F]{64}$", "write 0x and 64 hexadecimal digits")]
"""A hash or a key, as a parameter."""

AddressText = Annotated[str, Written("^0x[0-9a-fA-F]{40}$", "write 0x and 40 hexadecimal digits")]
"""An address, as a parameter."""

CountryText = Annotated[
    str, Written("^[A-Za-z]{2}$", "write the two letters of ISO 3166-1, such as FR")
]
"""The code of a country, as a parameter."""

Whole = Annotated[int, Strict()]
"""A whole number in a body: no text, and no true or false."""

Truth = Annotated[bool, Strict()]
"""True or false in a body: no text, and no number."""

CodeText = Annotated[str, StringConstraints(min_length=1, max_length=100)]
"""A code of ours, as a parameter."""

ShortCodeText = Annotated[str, StringConstraints(min_length=1, max_length=50)]
"""A code of a site, project or methodology, or a name of a market or network, as a parameter."""

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
    """Refuse a bare number, which would be taken for seconds since 1970, a bare day, and a plus that became a blank."""
    if isinstance(value, str):
        if _BLANK_FOR_PLUS.search(value):
            raise ValueError("a plus stands for a blank in an address: write it as '%2B'")
        if not _DAY.match(value) or _DAY.fullmatch(value):
            raise ValueError("write a day and a time with its zone, such as 2024-01-31T12:00:00Z")
    return value


TimeParameter = Annotated[
    AwareDatetime, BeforeValidator(_written_out), AfterValidator(_within_calendar)
]
"""A time with its zone, as a parameter; in a calendar that every zone can be converted in."""


def _day_alone(value: object) -> object:
    """Refuse what a date is made of, too: a number of seconds, and a time whose zone would count for nothing."""
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("write a day, such as 2024-01-31")
    return value


DayParameter = Annotated[date, BeforeValidator(_day_alone)]
"""A legal day, as a parameter."""


class Document(BaseModel):
    """Base of everything that is answered: no field is left out, none is added."""

    model_config = ConfigDict(extra="forbid", frozen=True)
