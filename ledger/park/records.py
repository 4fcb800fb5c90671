"""Records of a park as they stand in the books: one query for all kinds, and a frozen value for each row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from ledger.errors import NotFound
from ledger.models.base import Base
from ledger.park.fields import Field
from ledger.park.kinds import Kind

Model = TypeVar("Model", bound=Base)


@dataclass(frozen=True)
class Record:
    """One record.

    Parameters
    ----------
    id
        Row number.
    values
        Values by field, parents by their codes.
    created_at, updated_at
        When the row was made and last changed; None where the table does not say.
    """

    id: int
    values: Mapping[str, Any]
    created_at: datetime | None
    updated_at: datetime | None

    def __getitem__(self, name: str) -> Any:
        """Return the value of a field."""
        return self.values[name]


def query(kind: Kind) -> Select[Any]:
    """Return the query of a kind's records with the codes of their parents, in no order."""
    joined = [field for field in kind.fields if _joins(field)]
    codes = [_code(field) for field in joined]
    found: Select[Any] = select(kind.model, *codes)
    for field in joined:
        assert field.refers is not None
        parent: Any = field.refers.model
        found = found.outerjoin(parent, parent.id == getattr(kind.model, field.attribute))
    return found


def record_of(kind: Kind, row: Iterable[Any]) -> Record:
    """Return a row of ``query`` as a record."""
    stored, *codes = row
    values = {field.name: getattr(stored, field.attribute) for field in kind.fields}
    values |= zip((field.name for field in kind.fields if _joins(field)), codes, strict=True)
    return Record(
        stored.id,
        MappingProxyType(values),
        getattr(stored, "created_at", None),
        getattr(stored, "updated_at", None),
    )


def filtered(
    session: Session, kind: Kind, found: Select[Any], filters: Mapping[str, Any]
) -> Select[Any] | None:
    """Return the query of those records that have these values; None: a parent is not known, there are none.

    Parameters
    ----------
    filters
        Values by field, of parents their codes.
    """
    for name, value in filters.items():
        field = kind.field(name)
        column = getattr(kind.model, field.attribute)
        wanted = _row_number(session, field, value) if _joins(field) else value
        if wanted is None:
            return None
        found = found.where(column == wanted)
    return found


def show(session: Session, kind: Kind, name: str) -> Record:
    """Return one record, by its code, or by its row number where it has none.

    Raises
    ------
    NotFound
        If there is none.
    """
    found = query(kind)
    if kind.code is not None:
        found = found.where(getattr(kind.model, kind.field(kind.code).attribute) == name)
    elif name.isascii() and name.isdigit() and len(name) < 19:
        model: Any = kind.model
        found = found.where(model.id == int(name))
    else:
        raise _no_such(kind, name)
    row = session.execute(found).first()
    if row is None:
        raise _no_such(kind, name)
    return record_of(kind, row)


def all_records(
    session: Session, kind: Kind, filters: Mapping[str, Any], limit: int | None = None
) -> Iterator[Record]:
    """Yield records, oldest first; their rows are read as they are asked for."""
    found = filtered(session, kind, query(kind), filters)
    if found is not None:
        model: Any = kind.model
        ordered = found.order_by(model.id).limit(limit).execution_options(yield_per=1000)
        for row in session.execute(ordered):
            yield record_of(kind, row)


def written(kind: Kind, record: Record) -> dict[str, Any]:
    """Return a record as JSON has it: row number, fields, and when it was made and changed."""
    found = {"id": record.id, **{f.name: f.written(record[f.name]) for f in kind.fields}}
    for name in ("created_at", "updated_at"):
        at = getattr(record, name)
        if name not in found and at is not None:
            found[name] = at
    return found


def put_row(
    session: Session,
    model: type[Model],
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    initial: Mapping[str, Any] | None = None,
) -> tuple[Model, str]:
    """Make or change one row, for a site file, whose own rules were checked.

    Parameters
    ----------
    key, values
        Values by attribute.
    initial
        Values of a new row alone.

    Returns
    -------
    tuple
        The row, and what was done: ``created``, ``updated`` or ``unchanged``.
    """
    row = session.scalars(select(model).filter_by(**key)).first()
    if row is None:
        row = model(**key, **values, **(initial or {}))
        session.add(row)
        session.flush()
        return row, "created"
    differing = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in differing.items():
        setattr(row, name, value)
    return row, "updated" if differing else "unchanged"


def _joins(field: Field) -> bool:
    return field.refers is not None and not field.refers.by_code


def _code(field: Field) -> Any:
    assert field.refers is not None
    return getattr(field.refers.model, field.refers.code)


def _row_number(session: Session, field: Field, code: str) -> int | None:
    assert field.refers is not None
    parent: Any = field.refers.model
    found: int | None = session.scalars(select(parent.id).where(_code(field) == code)).first()
    return found


def _no_such(kind: Kind, name: str) -> NotFound:
    named = kind.code or "number"
    return NotFound(
        f"there is no {kind.one} with {named} {name[:100]!r}; `truetonne park list {kind.name}` has all of them"
    )
