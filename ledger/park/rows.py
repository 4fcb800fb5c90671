"""One row on its way into the books, and what became of a file of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ledger.models.base import Base
from ledger.spreadsheets import RowError, Wrong

ERRORS_MAX = 1_000
"""Errors that a report names; the rest is counted."""
CHANGES_MAX = 100
"""Changed records that a report names; the rest is counted."""


@dataclass
class Row:
    """A row of a file: what it says, what is stored, and what would stand there.

    Parameters
    ----------
    line
        Where it stands in its file.
    given
        Values by field; of a field that refers to a parent, the parent's row number (or its code, where the
        column holds that). A field that the file does not have is absent.
    parents
        The parents by field.
    """

    line: int
    given: dict[str, Any]
    parents: dict[str, Any] = field(default_factory=dict)
    old: Base | None = None
    before: Mapping[str, Any] = field(default_factory=dict)
    """Stored values by field; empty where nothing is stored."""
    wrong: Wrong | None = None
    made: Any = None
    """The new record, once it is written."""
    nth: int = 1
    """Which of the records it is that begin in the line."""

    @property
    def number(self) -> int:
        """Row number of the record, once it is written."""
        record: Any = self.made if self.old is None else self.old
        found: int = record.id
        return found

    def __getitem__(self, name: str) -> Any:
        """Return the value of a field as it would stand; None where it has none."""
        return self.given[name] if name in self.given else self.before.get(name)

    @property
    def differing(self) -> dict[str, Any]:
        """The fields in which the row differs from what is stored."""
        return {name: value for name, value in self.given.items() if self.before.get(name) != value}


class Placed(Protocol):
    """A row of a file: where it begins, and which one of that line it is."""

    @property
    def line(self) -> int:
        """Line of the file, from 1."""

    @property
    def nth(self) -> int:
        """Which of the records it is that begin in the line."""


@dataclass
class ImportReport:
    """What became of every row: ``read = new + changed + unchanged + rejected``."""

    kind: str
    file_sha256: str
    read: int = 0
    new: int = 0
    unchanged: int = 0
    changed: int = 0
    changes: list[dict[str, Any]] = field(default_factory=list)
    """The first ``CHANGES_MAX`` of them: ``line``, ``key``, and the values ``before`` and ``after`` by field."""
    rejected: int = 0
    errors: list[RowError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def reject(self, row: Placed, wrong: Wrong) -> None:
        """Count a row that is not taken."""
        self.rejected += 1
        if len(self.errors) < ERRORS_MAX:
            which = f"record {row.nth} of the line: " if row.nth > 1 else ""
            self.errors.append(RowError(row.line, wrong.column, which + wrong.message))

    def change(self, line: int, key: dict[str, Any], before: Any, after: Any) -> None:
        """Count a record that is changed, and name it where there is room."""
        self.changed += 1
        if len(self.changes) < CHANGES_MAX:
            self.changes.append({"line": line, "key": key, "before": before, "after": after})

    def as_json(self) -> dict[str, Any]:
        """Return what ``park import --json`` prints."""
        changes = {"changes": self.changes} if self.changes else {}
        return {
            "kind": self.kind,
            "file_sha256": self.file_sha256,
            "read": self.read,
            "new": self.new,
            "unchanged": self.unchanged,
            "changed": self.changed,
            "rejected": self.rejected,
            "errors": [vars(error) for error in self.errors],
            "warnings": self.warnings,
        } | changes
