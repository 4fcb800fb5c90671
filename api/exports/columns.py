"""What a row of a file is made of: named columns of one kind each, taken from the items of a list."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any


class Kind(StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    TIME = "time"
    FLAG = "flag"
    JSON = "json"


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    name
        Its name in the file.
    kind
        What its values are.
    path
        The attributes that lead to the value in an item; the name itself without it.
    digits
        Digits of a decimal in all, and after the point.
    """

    name: str
    kind: Kind = Kind.TEXT
    path: tuple[str, ...] = ()
    digits: tuple[int, int] = (38, 0)

    def value(self, item: Any) -> Any:
        """Return the value of an item: text, int, Decimal, aware time, bool, a JSON object or None."""
        for name in self.path or (self.name,):
            if item is None:
                return None
            item = getattr(item, name)
        return item.value if isinstance(item, Enum) else item


def text(*names: str) -> tuple[Column, ...]:
    """Return columns of text."""
    return tuple(Column(name) for name in names)


def integers(*names: str) -> tuple[Column, ...]:
    """Return columns of whole numbers that fit 64 bits."""
    return tuple(Column(name, Kind.INTEGER) for name in names)


def times(*names: str) -> tuple[Column, ...]:
    """Return columns of times."""
    return tuple(Column(name, Kind.TIME) for name in names)


def decimals(precision: int, scale: int, *names: str) -> tuple[Column, ...]:
    """Return columns of decimals of so many digits in all, and after the point."""
    return tuple(Column(name, Kind.DECIMAL, digits=(precision, scale)) for name in names)


def flags(*names: str) -> tuple[Column, ...]:
    """Return columns of yes and no."""
    return tuple(Column(name, Kind.FLAG) for name in names)


def of(part: str, *columns: Column) -> tuple[Column, ...]:
    """Return columns of a part of the items, their names preceded by the part's."""
    return tuple(
        Column(f"{part}_{each.name}", each.kind, (part, *(each.path or (each.name,))), each.digits)
        for each in columns
    )


def json_text(value: Any) -> str:
    """Return a JSON value as text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
