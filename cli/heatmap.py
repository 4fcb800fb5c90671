"""Quality as a picture: a row for each legal day, a column for each slot, a colour for what became of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date

from cli.drawing import Drawing, Rectangle, Words
from ledger.readings.shown.slots import DeviceDays, SiteDays, State

# Okabe and Ito's colours, told apart with every common colour blindness; what counts is pale.
QUALITY = {
    State.USED: ("#B3DCF2", "used"),
    State.CONFLICT: ("#0072B2", "used, least of several"),
    State.ABSENT: ("#000000", "missing: in no file"),
    State.EMPTY: ("#7A7A7A", "missing: without a value"),
    State.LATE: ("#009E73", "missing: came late"),
    State.ABOVE: ("#D55E00", "outlier: above limit"),
    State.BELOW: ("#CC79A7", "outlier: below limit"),
    State.STUCK: ("#E69F00", "outlier: stuck"),
    State.FELL: ("#F0E442", "outlier: register fell"),
}
"""Colour and name of each state, as the legend has them."""
_VALUE = ("#B3DCF2", "has a value")
GAPS = {
    state: QUALITY[state] if state in (State.ABSENT, State.EMPTY, State.LATE) else _VALUE
    for state in QUALITY
}
"""The same where gaps alone are asked for."""

_LEFT, _TOP, _RIGHT, _GUTTER = 96, 64, 24, 24
_HEAD, _FOOT = 40, 44
_LEGEND_WIDTH, _LEGEND_ROW, _SWATCH = 250, 20, 12
_PLOT_WIDTH, _PLOT_HEIGHT = 900, 1600
_LABEL_ROOM = 14
"""Pixels from one label of the axis of days to the next, at least."""
_RUN = re.compile(rb"(.)\1*", re.DOTALL)
_AXIS = "#BBBBBB"


def heatmap(found: SiteDays, title: str, colours: Mapping[State, tuple[str, str]]) -> Drawing:
    """Return the picture of a site's meters, one below the other.

    Parameters
    ----------
    title
        What it shows; site and period are added.
    colours
        Colour and name of each state; states of one name are one in the legend.
    """
    title = f"{title}: {found.site}, {found.start} to {found.end}"
    drawing = Drawing(0, _TOP, title)
    drawing.words.append(Words(_GUTTER, 34, title, size=18, bold=True))
    for device in found.devices:
        _panel(drawing, device, found.time_zone, colours)
    return drawing


def cell_size(device: DeviceDays) -> tuple[int, int]:
    """Return width and height of a slot in pixels."""
    columns = max((len(day.states) for day in device.days), default=0)
    width = max(1, _PLOT_WIDTH // max(columns, 1))
    return width, max(1, min(14, _PLOT_HEIGHT // max(len(device.days), 1)))


def _panel(
    drawing: Drawing,
    device: DeviceDays,
    time_zone: str,
    colours: Mapping[State, tuple[str, str]],
) -> None:
    width, height = cell_size(device)
    left, top = _LEFT, drawing.height + _HEAD
    columns = max((len(day.states) for day in device.days), default=0)
    right, bottom = left + columns * width, top + len(device.days) * height
    heading = (
        f"{device.device} (meter {device.serial}, {device.role}, {device.interval_s // 60} min)"
    )
    drawing.words += [
        Words(left, top - 22, heading, size=14, bold=True),
        Words(left - 8, top - 6, "legal day", anchor="end"),
        Words(
            left + columns * width // 2,
            bottom + 34,
            f"hours since the legal day began ({time_zone})",
            anchor="middle",
        ),
    ]
    # A frame, so that slots of days of 23 hours are seen not to be there.
    drawing.rectangles += [
        Rectangle(left - 1, top - 1, columns * width + 2, 1, _AXIS),
        Rectangle(left - 1, bottom, columns * width + 2, 1, _AXIS),
        Rectangle(left - 1, top - 1, 1, bottom - top + 2, _AXIS),
        Rectangle(right, top - 1, 1, bottom - top + 2, _AXIS),
    ]
    _slots(drawing, device, (left, top), (width, height), colours)
    _hours(drawing, device, columns, (left, bottom), width)
    for row, label in _day_labels([day.day for day in device.days], height):
        y = top + row * height
        drawing.rectangles.append(Rectangle(left - 5, y, 4, 1, _AXIS))
        drawing.words.append(Words(left - 8, y + 9, label, anchor="end"))
    legend_bottom = _legend(drawing, device, (right + _GUTTER, top), colours)
    drawing.width = max(drawing.width, right + _GUTTER + _LEGEND_WIDTH + _RIGHT)
    drawing.height = max(bottom + _FOOT, legend_bottom) + _GUTTER


def _slots(
    drawing: Drawing,
    device: DeviceDays,
    corner: tuple[int, int],
    size: tuple[int, int],
    colours: Mapping[State, tuple[str, str]],
) -> None:
    """Draw the slots, neighbours of one state as one rectangle, the colours one after the other."""
    drawn: dict[str, list[Rectangle]] = {colour: [] for colour, _ in colours.values()}
    (left, top), (width, height) = corner, size
    for row, day in enumerate(device.days):
        for run in _RUN.finditer(day.states):
            colour = colours[State(run[1][0])][0]
            x, length = left + run.start() * width, (run.end() - run.start()) * width
            drawn[colour].append(Rectangle(x, top + row * height, length, height, colour))
    for rectangles in drawn.values():
        drawing.rectangles += rectangles


def _hours(
    drawing: Drawing, device: DeviceDays, columns: int, corner: tuple[int, int], width: int
) -> None:
    left, bottom = corner
    hours = columns * device.interval_s // 3600
    for hour in range(0, hours + 1, 3):
        x = left + hour * 3600 * width // device.interval_s
        drawing.rectangles.append(Rectangle(x, bottom + 1, 1, 4, _AXIS))
        drawing.words.append(Words(x, bottom + 17, str(hour), anchor="middle"))


def _legend(
    drawing: Drawing,
    device: DeviceDays,
    corner: tuple[int, int],
    colours: Mapping[State, tuple[str, str]],
) -> int:
    """Draw every colour with its name and number of slots; return where it ends."""
    counts: dict[tuple[str, str], int] = {}
    for state, look in colours.items():
        counts[look] = counts.get(look, 0) + sum(day.count(state) for day in device.days)
    (x, y), total = corner, sum(counts.values())
    for (colour, name), count in counts.items():
        drawing.rectangles.append(Rectangle(x, y, _SWATCH, _SWATCH, colour))
        drawing.words.append(Words(x + _SWATCH + 8, y + 11, f"{name}: {count:,}"))
        y += _LEGEND_ROW
    drawing.words.append(Words(x, y + 11, f"slots expected: {total:,}"))
    return y + _LEGEND_ROW


def _day_labels(days: list[date], height: int) -> Iterator[tuple[int, str]]:
    """Yield rows and labels of the axis of days: every day, else the first of months, else of years."""
    if height >= _LABEL_ROOM:
        yield from ((row, day.isoformat()) for row, day in enumerate(days))
        return
    months = [(row, day) for row, day in enumerate(days) if day.day == 1]
    step = next(n for n in (1, 3, 6, 12, 60, 600) if n * 28 * height >= _LABEL_ROOM)
    chosen = [(row, day) for row, day in months if (day.year * 12 + day.month - 1) % step == 0]
    if not chosen or chosen[0][0] * height >= _LABEL_ROOM:
        yield 0, days[0].isoformat()
    for row, day in chosen:
        yield row, f"{day:%Y-%m}"
