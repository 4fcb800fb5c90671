"""What a site file changed, for whoever applied it and for the audit log, and how an account in it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

from sqlalchemy.orm import Session

from ledger import audit
from ledger.errors import BadInput

APPLIED = "site.apply"
"""What the audit log calls the application of a file that changed something."""
CHANGED = "site.change"
"""What it calls each row that the file changed or took out."""


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
        return {
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "warnings": self.warnings,
        }


def tell_changed(
    session: Session, place: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> None:
    """Tell the audit log of a row that was there before and has other values now, or is gone.

    Parameters
    ----------
    place
        The row: its table and number.
    old, new
        What is different, by column; nothing new: the row was taken out.
    """
    before, after = (
        {name: _told(value) for name, value in values.items()} for values in (old, new)
    )
    audit.record(session, CHANGED, place, before, after)


def _told(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, date) else value


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
