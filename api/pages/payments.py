"""Who paid whom in a settlement batch, as a picture: payers on the left, payees on the right, bands by the money."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from api.pages.formats import cut, visible
from api.settlements.schemas import SettlementAnswer

_WIDTH, _PAD, _BAND_MIN, _BAND_MAX = 340, 14, 2.0, 72.0
_ROW_MIN = 34
PAYMENTS_MAX = 24
"""Most bands of a picture; the table has all of them."""


@dataclass(frozen=True)
class Party:
    """A party at its side of the picture."""

    name: str
    y: float
    height: float
    payer: bool


@dataclass(frozen=True)
class Band:
    """What one party paid another: the middle of its ends, and its width."""

    path: str
    width: float
    title: tuple[str, str, Decimal]


@dataclass
class Payments:
    """All that is drawn."""

    width: int
    height: float
    parties: list[Party] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    left_out: int = 0


def payments_picture(found: SettlementAnswer) -> Payments | None:
    """Return the picture; None when nobody pays."""
    paid = sorted((item for item in found.payments if item.amount > 0), key=lambda p: -p.amount)
    shown = paid[:PAYMENTS_MAX]
    if not shown:
        return None
    top = max(item.amount for item in shown)
    width_of = {
        (item.payer, item.payee): max(_BAND_MIN, float(item.amount / top) * _BAND_MAX)
        for item in shown
    }
    picture = Payments(_WIDTH, 0, left_out=len(paid) - len(shown))
    left, one = _side([item.payer for item in shown], width_of, 0)
    right, other = _side([item.payee for item in shown], width_of, 1)
    picture.height = max(one, other)
    for names, payer in ((left, True), (right, False)):
        for name, (y, height) in names.items():
            picture.parties.append(Party(cut(visible(name), 20), y, height, payer))
    at_left = {name: y + (h - _sum(width_of, name, 0)) / 2 for name, (y, h) in left.items()}
    at_right = {name: y + (h - _sum(width_of, name, 1)) / 2 for name, (y, h) in right.items()}
    for item in shown:
        width = width_of[item.payer, item.payee]
        y1, y2 = at_left[item.payer] + width / 2, at_right[item.payee] + width / 2
        at_left[item.payer] += width
        at_right[item.payee] += width
        path = f"M8 {y1:g} C{_WIDTH / 2:g} {y1:g} {_WIDTH / 2:g} {y2:g} {_WIDTH - 8} {y2:g}"
        picture.bands.append(Band(path, round(width, 2), (item.payer, item.payee, item.amount)))
    return picture


def _side(
    names: list[str], widths: dict[tuple[str, str], float], side: int
) -> tuple[dict[str, tuple[float, float]], float]:
    places, y = {}, 4.0
    for name in dict.fromkeys(names):
        height = max(_ROW_MIN, _sum(widths, name, side))
        places[name] = (y, height)
        y += height + _PAD
    return places, y


def _sum(widths: dict[tuple[str, str], float], name: str, side: int) -> float:
    return sum(width for pair, width in widths.items() if pair[side] == name)
