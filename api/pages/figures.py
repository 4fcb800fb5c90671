"""Figures that pages show: shares of what was issued, and months as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from api.sites.schemas import Month
from api.status.schemas import CreditTotals

_BAR_WIDTH = 600
_CHART_HEIGHT, _COLUMN, _COLUMN_GAP = 150, 22, 10


@dataclass(frozen=True)
class Share:
    """A part of what was issued, and where it stands in a bar of 600."""

    name: str
    tonnes: Decimal
    x: float
    width: float


@dataclass(frozen=True)
class Column:
    """A month of a column chart: heights in its units, from the bottom."""

    month: str
    x: int
    tall: float
    title: str


@dataclass(frozen=True)
class Columns:
    """A column chart of one quantity."""

    width: int
    height: int
    top: str
    """The quantity of the tallest column, to the whole unit."""
    columns: list[Column]
    years: list[tuple[str, int]]
    """Each year, and where it begins."""


def shares_of(totals: CreditTotals) -> list[Share]:
    """Return active, retired and cancelled as parts of a bar; nothing issued, no bar."""
    if not totals.issued_t:
        return []
    shares, x = [], 0.0
    for name, tonnes in (
        ("retired", totals.retired_t),
        ("active", totals.active_t),
        ("cancelled", totals.cancelled_t),
    ):
        width = float(tonnes / totals.issued_t * _BAR_WIDTH)
        shares.append(Share(name, tonnes, round(x, 2), round(width, 2)))
        x += width
    return shares


def columns_of(months: Sequence[Month], name: str) -> Columns | None:
    """Return a chart of one field of the months; None when there is nothing above zero."""
    values = [Decimal(getattr(month, name)) for month in months]
    top = max(values, default=Decimal(0))
    if top <= 0:
        return None
    columns: list[Column] = []
    years: list[tuple[str, int]] = []
    for place, (month, value) in enumerate(zip(months, values, strict=True)):
        x = place * (_COLUMN + _COLUMN_GAP)
        if not years or years[-1][0] != month.month[:4]:
            years.append((month.month[:4], x))
        tall = float(max(value, Decimal(0)) / top * _CHART_HEIGHT)
        columns.append(Column(month.month, x, round(tall, 2), f"{value:,f}"))
    width = len(months) * (_COLUMN + _COLUMN_GAP) + _COLUMN_GAP  # room for the last year
    return Columns(width, _CHART_HEIGHT, f"{top:,.0f}", columns, years)
