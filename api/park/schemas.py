"""Parameters and answers of records, made from the kinds: a column is described once, in its model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, create_model, model_validator

from api.pagination import Order, PageParameters
from api.texts import DecimalText, Document, Time, TimeParameter
from ledger.park import KINDS, Kind
from ledger.park.fields import Field as Column
from ledger.park.fields import Sort

NAME_MAX = 200
"""Characters of a name whose column has no length of its own."""
SPAN_MAX = timedelta(days=31)
_CONFIG = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class RecordDocument(Document):
    """A record of a park."""

    model_config = _CONFIG  # fields may begin with model_


class RecordParameters(PageParameters):
    """Filters of a list of records."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


@dataclass(frozen=True)
class Schemas:
    """What a kind is asked by and answered with."""

    item: type[RecordDocument]
    page: type[Any]
    parameters: type[RecordParameters]


_TYPES: dict[Sort, Any] = {
    Sort.TEXT: str,
    Sort.NUMBER: DecimalText,
    Sort.WHOLE: int,
    Sort.TRUTH: bool,
    Sort.TIME: Time,
    Sort.OBJECT: dict[str, Any],
}


def schemas_of(kind: Kind) -> Schemas:
    """Return parameters and answers of a kind."""
    title = "".join(word.capitalize() for word in kind.name.split("-"))
    fields: dict[str, Any] = {"id": (int, Field(description="Row number."))}
    for field in kind.fields:
        fields[field.name] = (_type_of(field), Field(description=field.what))
    for name, what in (("created_at", "made"), ("updated_at", "last changed")):
        if name not in fields and hasattr(kind.model, name):
            fields[name] = (Time, Field(description=f"When the row was {what}."))
    item: type[RecordDocument] = create_model(
        f"{title}Record", __base__=RecordDocument, __doc__=kind.what, **fields
    )
    page: type[RecordDocument] = create_model(
        f"{title}RecordPage",
        __base__=RecordDocument,
        __doc__="One page of records.",
        items=(list[item], Field(description="The records of the page.")),  # type: ignore[valid-type]
        next_cursor=(
            str | None,
            Field(description="Cursor of the next page; null on the last one."),
        ),
    )
    asked: dict[str, Any] = {name: _asked(kind.field(name)) for name in kind.filters}
    if kind.time is not None:
        for name, said in (("time_from", "from this time on"), ("time_before", "before this time")):
            what = f"Only {said}, by `{kind.time}`."
            asked[name] = (TimeParameter | None, Field(None, description=what))
    parameters: type[RecordParameters] = create_model(
        f"{title}RecordParameters", __base__=RecordParameters, __doc__="Filters.", **asked
    )
    return Schemas(item, page, parameters)


def _type_of(field: Column) -> Any:
    found = field.choices or _TYPES[field.sort]
    return found if field.required else found | None


def length_of(column: Any) -> int:
    """Return how many characters a column takes: a longer value is no row's."""
    return getattr(column.type, "length", None) or NAME_MAX


def _asked(field: Column) -> Any:
    refers = field.refers
    asked = field.column if refers is None else getattr(refers.model, refers.code)
    text = Annotated[str, StringConstraints(min_length=1, max_length=length_of(asked))]
    found: Any = field.choices or text
    what = field.what[:1].lower() + field.what[1:]
    return found | None, Field(None, description=f"Only with this: {what}")


SCHEMAS = {name: schemas_of(kind) for name, kind in KINDS.items()}


class Handled(Document):
    """What is said of an alert."""

    note: Annotated[str, StringConstraints(max_length=500)] = Field(
        "", description="What is being done, or why it is done with."
    )


class DataParameters(PageParameters):
    """Which values of a device."""

    metric: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        None, description="Only this metric."
    )
    recorded_from: TimeParameter = Field(description="Values from this time on.")
    recorded_before: TimeParameter | None = Field(
        None, description="Values before this time, 31 days later at most; a day later without it."
    )

    @model_validator(mode="after")
    def _in_order(self) -> DataParameters:
        before = self.recorded_before
        if before is not None and not timedelta(0) < before - self.recorded_from <= SPAN_MAX:
            raise ValueError("recorded_before must be after recorded_from, by 31 days at most")
        return self


class Value(Document):
    """One value of a device."""

    id: int = Field(description="Row number.")
    metric: str = Field(description="What was measured.")
    value: DecimalText = Field(description="The value, in its unit.")
    unit: str | None = Field(description="Its unit.")
    metadata: dict[str, Any] | None = Field(description="Quality and origin.")
    recorded_at: Time = Field(description="Time that it is of.")
    created_at: Time = Field(description="When it was stored.")


class ValuePage(Document):
    """One page of values."""

    device_code: str = Field(description="Code of the device.")
    items: list[Value] = Field(description="The values of the page.")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")


class LatestValues(Document):
    """The last value of each metric of a device."""

    device_code: str = Field(description="Code of the device.")
    items: list[Value] = Field(
        description="Of each metric that came within the day before the device's last value, its last one."
    )


class NewestParameters(PageParameters):
    """Which devices."""

    limit: int = Field(500, ge=1, le=1_000, description="Devices of one page.")
    order: Order = Field(Order.ASC, description="desc: the device that was written last first.")


class DeviceValues(Document):
    """What a device reported last."""

    device_code: str = Field(description="Code of the device.")
    recorded_at: Time = Field(description="Time of its last values.")
    items: list[Value] = Field(description="Its values of that time, by metric.")


class NewestPage(Document):
    """The last values of many devices."""

    items: list[DeviceValues] = Field(description="Devices that have values, live or archived.")
    next_cursor: str | None = Field(description="Cursor of the next page; null on the last one.")
