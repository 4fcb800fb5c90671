"""The one shape that every benchmark prints."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from cli.output import Output, Table


@dataclass(frozen=True)
class Result:
    """One figure and what it is held against. Figures are decimal text; ``unit`` is theirs."""

    name: str
    value: str
    unit: str
    against: str
    against_value: str
    ratio: str


def lower_is_better(name: str, value: Decimal, unit: str, against: str, other: Decimal) -> Result:
    """Return a result whose ratio says how many times less the value is than the other."""
    return Result(name, _text(value), unit, against, _text(other), _ratio(other / value))


def share_of_limit(name: str, value: Decimal, unit: str, against: str, limit: Decimal) -> Result:
    """Return a result whose ratio is the share of a limit that is reached."""
    return Result(name, _text(value), unit, against, _text(limit), _ratio(value / limit))


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }


def show(
    output: Output, results: Sequence[Result], title: str, more: Mapping[str, Any] | None = None
) -> None:
    """Print the results; ``more`` goes into the document beside them."""
    columns = ("name", "value", "unit", "against", "against_value", "ratio")
    rows = [[getattr(result, column) for column in columns] for result in results]
    right = frozenset({"value", "against_value", "ratio"})
    output.result(
        {
            "machine": machine(),
            "results": [asdict(result) for result in results],
            **(more or {}),
        },
        Table([column.replace("_", " ") for column in columns], rows, title, right),
    )


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _ratio(value: Decimal) -> str:
    return str(value.quantize(Decimal("0.001"), rounding=ROUND_HALF_EVEN))
