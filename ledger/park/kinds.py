"""The kinds of records of a park: which table, which key, what may change, and which rules hold.

A kind is a declaration; the engine (``importing``, ``records``, the API) is written once. Names, types, lengths
and choices come from the models, business rules from ``rules`` and ``together``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, inspect
from sqlalchemy.orm import Session

from ledger.models import Device, DeviceType, RlModel, User, VppDefinition, VppResource
from ledger.models.base import Base
from ledger.park.fields import Field, Limit, Reference
from ledger.park.rows import Row
from ledger.park.rules import Rule
from ledger.park.together import Together

PARK, TRADING, LEARNING = "park:read", "trading:read", "models:read"
"""The rights to read."""

REFERENCES: Mapping[str, tuple[str, Reference]] = {
    "devices.id": ("device_code", Reference(Device, "device_id", "device", "devices")),
    "vpp_definitions.id": ("vpp_code", Reference(VppDefinition, "vpp_id", "plant", "vpps")),
    "vpp_resources.id": (
        "resource_code",
        Reference(VppResource, "resource_id", "resource", "resources"),
    ),
    "rl_models.id": ("model_name", Reference(RlModel, "model_name", "model", "models")),
    "users.id": ("operator", Reference(User, "username", "user", "")),
    "device_types.type_name": (
        "type",
        Reference(DeviceType, "type_name", "device type", "device-types", by_code=True),
    ),
}
"""What a foreign key is called in files and answers, and what it names."""
CODES = {Device: "device_id", VppResource: "resource_id", VppDefinition: "vpp_id"}
"""Parents whose code has the name that is a row number elsewhere."""
_BY_ITSELF = ("id", "created_at", "updated_at")

POSITIVE = Limit(Decimal(0), above_low=True)
NOT_NEGATIVE = Limit(Decimal(0))
SHARE = Limit(Decimal(0), Decimal(1))
PERCENT = Limit(Decimal(0), Decimal(100))


@dataclass(frozen=True)
class Kind:
    """A kind of record.

    Parameters
    ----------
    name
        What commands and paths call it.
    one, what
        What a record is called, and what it is.
    key
        Fields that tell one record from another; the first of them is looked up by index.
    changes
        Fields that a later file may change.
    once
        Fields that may be filled in later, once.
    right
        Right to read it.
    time
        Field that records are in order of, with the first of the key in an index; None: they have no time.
    filters
        Fields that lists can be asked for by; each has an index.
    quiet
        Whether changes are so many that the audit log has the file alone, not each row before and after.
    kept
        Fields with members of their objects that one act writes: where it wrote some, a file changes and adds none.
    stays
        Names what else of a record an act has settled, by what a row would change and what stands: a file leaves that.
    """

    name: str
    model: type[Base]
    one: str
    what: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    changes: frozenset[str]
    once: frozenset[str]
    right: str
    rules: tuple[Rule, ...] = ()
    together: tuple[Together, ...] = ()
    time: str | None = None
    filters: tuple[str, ...] = ()
    warnings: Callable[[Session, Sequence[Row]], list[str]] | None = None
    quiet: bool = False
    kept: tuple[tuple[str, frozenset[str]], ...] = ()
    stays: Callable[[Row], Collection[str]] | None = None

    @property
    def table(self) -> str:
        """Name of the table."""
        name: str = self.model.__tablename__
        return name

    @property
    def code(self) -> str | None:
        """The field that names a record by itself; None: it has a row number alone."""
        (first, *more) = self.key
        field = self.field(first)
        return first if not more and field.refers is None else None

    def field(self, name: str) -> Field:
        """Return a field by its name."""
        return next(field for field in self.fields if field.name == name)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the fields, in the order of files."""
        return tuple(field.name for field in self.fields)


def kind_of(
    name: str,
    model: type[Base],
    one: str,
    what: str,
    key: str,
    *,
    right: str,
    changes: str = "",
    once: str = "",
    limits: Mapping[str, Limit] | None = None,
    dated: bool = False,
    **more: Any,
) -> Kind:
    """Return a kind, its fields made from the columns of its model.

    Parameters
    ----------
    key, changes, once
        Names of fields, apart by blanks.
    limits
        Least and greatest value of numbers, beyond what the columns hold.
    dated
        Whether ``created_at`` is a fact that files tell, not the time of writing.
    """
    fields = []
    known = dict(limits or {})
    for attribute in inspect(model).column_attrs:
        column: Column[Any] = attribute.columns[0]  # type: ignore[assignment]
        if column.name in _BY_ITSELF and not (dated and column.name == "created_at"):
            continue
        name_there, refers = column.name, None
        for foreign in column.foreign_keys:
            name_there, refers = REFERENCES[foreign.target_fullname]
        if CODES.get(model) == column.name:
            name_there = REFERENCES[f"{model.__tablename__}.id"][0]
        limit = known.pop(name_there, None)
        fields.append(Field(name_there, column, attribute.key, refers, limit))
    assert not known, f"{name}: no such columns: {known}"
    return Kind(
        name,
        model,
        one,
        what,
        tuple(fields),
        tuple(key.split()),
        frozenset(changes.split()),
        frozenset(once.split()),
        right,
        **more,
    )
