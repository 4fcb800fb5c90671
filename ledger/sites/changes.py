"""What a site file changed, told to its author and to the audit log; and how an account in it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Session

from ledger import audit
from ledger.clock import time_text
from ledger.errors import BadInput
from ledger.models.base import Base

APPLIED, CHANGE, REMOVAL = "site.apply", "site.change", "site.remove"
"""Actions of the audit log: a file that changed something, and each row that it changed or took out."""


@dataclass
class SiteChanges:
    """What a site file changed, each as ``"<table> <name>"``."""

    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What is allowed and will stop an issuance, or should be known."""

    def as_json(self) -> dict[str, list[str]]:
        """Return the lists by name."""
        return asdict(self)


def note_change(session: Session, row: Base) -> None:
    """Tell the audit log what a row of a site was and is; before it is flushed, and nothing where it is as it was."""
    attributes = inspect(row).attrs
    histories = {name: attributes[name].history for name in inspect(row).mapper.column_attrs.keys()}  # noqa: SIM118
    changed = {name: item for name, item in histories.items() if item.has_changes()}
    if changed:
        old = {name: item.deleted[0] if item.deleted else None for name, item in changed.items()}
        new = {name: item.added[0] if item.added else None for name, item in changed.items()}
        audit.record(session, CHANGE, _place(row), _plain(old), _plain(new))


def note_removal(session: Session, row: Base, names: Iterable[str]) -> None:
    """Tell the audit log of a row that is taken out what its values were, for these names."""
    old = {name: getattr(row, name) for name in names}
    audit.record(session, REMOVAL, _place(row), _plain(old), {})


def _place(row: Any) -> str:
    return f"{row.__tablename__}/{row.id}"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON has them."""
    return {name: _as_json(value) for name, value in values.items()}


def _as_json(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case datetime():
            return time_text(value)
        case date():
            return value.isoformat()
        case Decimal():
            return format(value.normalize(), "f")
        case _:
            return value


def plain_account(text: str) -> str:
    """Return an account that is written as an address, in lower case.

    Raises
    ------
    BadInput
        It is not an address.
    """
    body = text[2:]
    if text[:2] != "0x" or len(body) != 40 or set(body.lower()) - set("0123456789abcdef"):
        raise BadInput(f"{text!r} is not an account; write 0x and 40 hexadecimal digits")
    return text.lower()
