"""What a comparison found: rules with names, and their differences as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.orm import Session

from ledger.models import Base, Reconciliation
from ledger.reconcile.pieces import pieces
from ledger.reconcile.shelves import Shelf

Key = tuple[Any, ...]
Row = Mapping[str, Any]
DIFFERENCES_KEPT = 20
"""Differences of a rule that are kept as sentences; all of them are counted."""


@dataclass(frozen=True)
class Rule:
    """One rule that books and chain must agree on, and where they do not."""

    name: str
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the rule holds."""
        return not self.differences


@dataclass(frozen=True)
class Report:
    """All rules at one block."""

    block: int
    """The last block that the mirror has read; the chain was asked as of it."""
    rules: tuple[Rule, ...]

    @property
    def ok(self) -> bool:
        """Whether every rule holds."""
        return all(rule.ok for rule in self.rules)

    def as_json(self) -> dict[str, Any]:
        """Return what ``reconcile --json`` prints."""
        return {
            "block": self.block,
            "rules": [
                {"name": rule.name, "ok": rule.ok, "differences": list(rule.differences)}
                for rule in self.rules
            ],
        }


def table_differences(
    session: Session,
    model: type[Base],
    expected: Shelf[Key, dict[str, Any]],
    key: str | None = None,
) -> list[str]:
    """Compare every row of a table with what it should hold, column by column, some thousand rows at a time.

    Parameters
    ----------
    model
        The table.
    expected
        By key: the columns that are compared, by attribute name.
    key
        The column that names a row, if that is not the primary key.

    Returns
    -------
    list of str
        A sentence for each row that is missing, unexpected or different.
    """
    mapper = inspect(model)
    keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    keys = keys if key is None else [key]
    columns = expected.first() or {}
    names = [*keys, *(name for name in columns if name not in keys)]
    query = select(*(getattr(model, name) for name in names))
    expected.begin_looking()
    found = []
    for piece in pieces(session, getattr(model, keys[0])):
        stored = {
            tuple(row[: len(keys)]): dict(zip(names, row, strict=True))
            for row in session.execute(query.where(piece))
        }
        found += compare(model.__tablename__, stored, expected.look(list(stored)))
    return found + missing(model.__tablename__, expected.overlooked())


def missing(what: str, keys: Iterable[Key]) -> list[str]:
    """Return a sentence for each row that should be there, and is not."""
    return [f"{what} {named(key)}: the row is missing" for key in keys]


def compare(what: str, stored: Mapping[Key, Row], expected: Mapping[Key, Row]) -> list[str]:
    """Return a sentence for each row that is missing, unexpected or different."""
    found = missing(what, (key for key in expected if key not in stored))
    found += [
        f"{what} {named(key)}: no such thing on chain" for key in stored if key not in expected
    ]
    for key, row in expected.items():
        for name, value in row.items():
            held = stored[key][name] if key in stored else value
            if held != value:
                found.append(f"{what} {named(key)}: {name} is {held}, the chain says {value}")
    return found


def unequal(what: str, *numbers: tuple[str, Any, Any], by: str = "the chain says") -> list[str]:
    """Return a sentence for each of several numbers that differs from what the chain, or another witness, says.

    Parameters
    ----------
    numbers
        The name of each, what the books hold, and what the witness says.
    """
    return [
        f"{what}: {name} is {mine}, {by} {theirs}"
        for name, mine, theirs in numbers
        if mine != theirs
    ]


def named(key: Key) -> str:
    """Return a primary key as text."""
    return "/".join(str(part) for part in key)


def keep_outcome(session: Session, network: str, report: Report, now: datetime) -> None:
    """Keep what a comparison found, in the place of the one before: it is told without a new comparison.

    Parameters
    ----------
    network
        Name of the network that was compared.
    now
        When it was compared, aware.
    """
    row = session.get(Reconciliation, network, with_for_update=True)
    if row is None:
        row = Reconciliation(network=network)
        session.add(row)
    row.block_number = report.block
    row.compared_at = now
    row.ok = report.ok
    row.rules = [
        {
            "name": rule.name,
            "ok": rule.ok,
            "count": len(rule.differences),
            "differences": list(rule.differences[:DIFFERENCES_KEPT]),
        }
        for rule in report.rules
    ]
    session.flush()
