"""Pictures of what leads to what, laid out here: boxes in stages, lines between them, as SVG without a script.

There are two layouts of one graph: stages beside each other for a wide page, below each other for a phone. The
style sheet shows one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from api.pages.formats import cut, visible

_BOX_WIDTH, _BOX_HEIGHT, _GAP, _ROW_GAP = 158, 64, 32, 12
_HEAD = 26
_PHONE_WIDTH, _PHONE_GAP, _PHONE_STEP = 340, 12, 30
_PADDING = 22
_TITLE_CELL, _LINE_CELL = 8.1, 6.5
"""Width of half a Chinese character in the titles and the lines of boxes, for the widest of usual fonts."""


@dataclass(frozen=True)
class Node:
    """A box: what it is, in a few words, and where it leads."""

    key: str
    title: str
    lines: Sequence[str] = ()
    href: str | None = None
    kind: str = "plain"
    """How it is drawn: plain, here, retired, cancelled, more."""
    fed_by: frozenset[str] | None = None
    """Keys of the boxes of the stage before that lead to it; None: all of them do."""


@dataclass(frozen=True)
class Stage:
    """Boxes of one kind, with the name of it."""

    title: str
    nodes: Sequence[Node]


@dataclass(frozen=True)
class Box:
    """A box where it stands."""

    node: Node
    x: float
    y: float
    width: float
    height: float
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Heading:
    """The name of a stage where it stands."""

    text: str
    x: float
    y: float


@dataclass
class Picture:
    """Everything that is drawn, in units of its own."""

    width: float
    height: float
    headings: list[Heading] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """Paths, as SVG's ``d`` has them."""


def wide(stages: Sequence[Stage], edges: Iterable[tuple[str, str]]) -> Picture:
    """Return the stages from left to right, each in the middle of the height."""
    tallest = max((len(stage.nodes) for stage in stages), default=1)
    height = _HEAD + tallest * (_BOX_HEIGHT + _ROW_GAP) - _ROW_GAP + 2
    picture = Picture(len(stages) * (_BOX_WIDTH + _GAP) - _GAP + 2, height)
    places: dict[str, Box] = {}
    for column, stage in enumerate(stages):
        x = 1 + column * (_BOX_WIDTH + _GAP)
        picture.headings.append(Heading(stage.title, x, 12))
        room = len(stage.nodes) * (_BOX_HEIGHT + _ROW_GAP) - _ROW_GAP
        y = _HEAD + (height - 2 - _HEAD - room) / 2
        for node in stage.nodes:
            places[node.key] = _box(node, x, y, _BOX_WIDTH)
            y += _BOX_HEIGHT + _ROW_GAP
    picture.boxes = list(places.values())
    for one, other in edges:
        if one in places and other in places:
            picture.lines.append(_curve(places[one], places[other]))
    return picture


def narrow(stages: Sequence[Stage]) -> Picture:
    """Return the stages from top to bottom, two boxes in a row; one line leads from each to the next."""
    picture = Picture(_PHONE_WIDTH, 0)
    y = 0.0
    for number, stage in enumerate(stages):
        if number:
            middle = _PHONE_WIDTH / 2
            picture.lines.append(f"M{middle} {y + 3:g} V{y + _PHONE_STEP - 9:g}")
            y += _PHONE_STEP - 4
        picture.headings.append(Heading(stage.title, 1, y + 11))
        y += _HEAD - 6
        nodes = list(stage.nodes)
        for place in range(0, len(nodes), 2):
            row = nodes[place : place + 2]
            width = (_PHONE_WIDTH - 2 - _PHONE_GAP * (len(row) - 1)) / len(row)
            for column, node in enumerate(row):
                picture.boxes.append(_box(node, 1 + column * (width + _PHONE_GAP), y, width))
            y += _BOX_HEIGHT + _ROW_GAP
        y -= _ROW_GAP
    picture.height = y + 2
    return picture


def edges_of(stages: Sequence[Stage]) -> list[tuple[str, str]]:
    """Return which box leads to which: every one of a stage to every one of the next that it feeds."""
    return [
        (one.key, other.key)
        for here, after in pairwise(stages)
        for one in here.nodes
        for other in after.nodes
        if other.fed_by is None or one.key in other.fed_by
    ]


def _box(node: Node, x: float, y: float, width: float) -> Box:
    room = width - _PADDING
    title = cut(visible(node.title), int(room / _TITLE_CELL))
    lines = tuple(cut(visible(line), int(room / _LINE_CELL)) for line in node.lines[:2])
    return Box(node, x, y, width, _BOX_HEIGHT, title, lines)


def _curve(one: Box, other: Box) -> str:
    x1, y1 = one.x + one.width, one.y + one.height / 2
    x2, y2 = other.x - 5, other.y + other.height / 2
    middle = (x1 + x2) / 2
    return f"M{x1:g} {y1:g} C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}"
