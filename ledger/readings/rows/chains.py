"""The chain of a register: all its readings in order, the intervals between them, and what each reading is worth.

There is one chain, from all readings of the register, whenever each came and whatever was issued meanwhile. An
interval lies in one period or in none. So the same chain says what an open period has and what an issued period
should have had, and no energy is in two periods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.models import MeterChange, MeterSeries, MeterSource
from ledger.readings.files.formats import Format
from ledger.readings.rows.store import fetch
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.quality import Limits, loaded
from ledger.reductions.records import Kind, Quality
from ledger.reductions.registers import (
    DIP_S,
    Change,
    Interval,
    Point,
    Rules,
    intervals,
    judge_instant,
)

PIECE_ROWS = 20_000
_ROWS = (
    "SELECT id, at_s, text, value_digits, value_scale, quality, reason, file_id, line "
    "FROM register_readings WHERE meter_id = ? AND at_s >= ? ORDER BY at_s, text LIMIT ?"
)
_LAST_USED = (
    "SELECT at_s FROM register_readings WHERE meter_id = ? AND at_s <= ? "
    "AND quality = 'used' ORDER BY at_s DESC LIMIT 1"
)
_FIRST_LATE = "SELECT MIN(at_s) FROM register_readings WHERE meter_id = ? AND quality = 'late'"
FOREVER_S = 2**33


class Row:
    """A stored reading of a register."""

    __slots__ = ("at_s", "file_id", "id", "line", "quality", "text", "value")

    def __init__(self, found: Sequence[Any]) -> None:
        self.id, self.at_s, self.text, digits, scale, quality, reason, self.file_id, self.line = (
            found
        )
        self.value = None if digits is None else (digits, scale)
        self.quality = loaded(quality, reason)


@dataclass(frozen=True)
class LeftOut:
    """Readings that count for nothing: what some imports brought from one second to another, that one included."""

    files: frozenset[int]
    from_s: int
    to_s: int

    def has(self, file_id: int, at_s: int) -> bool:
        """Return whether a reading is one of them."""
        return file_id in self.files and self.from_s <= at_s <= self.to_s


Judge = Callable[[Row, Quality], None]
"""Is told what each reading is worth, once that is known."""


class RegisterChain:
    """One pass over the readings of one register.

    Parameters
    ----------
    db, session
        The unit of work.
    series
        Of the meter.
    limits
        By which differences are judged.
    issued
        The issued periods of the meter, ``[from_s, to_s)``.
    lock
        Read what is committed now, and not when this unit of work began; on MariaDB these differ.
    left_out
        Readings that it shall not have.
    """

    def __init__(
        self,
        db: Database,
        session: Session,
        series: MeterSeries,
        limits: Limits,
        issued: Sequence[tuple[int, int]],
        *,
        lock: bool,
        left_out: LeftOut | None = None,
    ) -> None:
        self._left_out = left_out
        self._db, self._session, self._meter_id = db, session, series.meter_id
        self._issued = issued
        self._lock = " LOCK IN SHARE MODE" if lock and db.dialect != "sqlite" else ""
        scale = UNITS[Kind.ENERGY][series.unit]
        source = session.get_one(MeterSource, series.source_id)
        self._rules = Rules(limits, scale, Format.of(source.format_options).rollover)
        query = select(MeterChange).where(MeterChange.meter_id == series.meter_id)
        rows = session.scalars(query.order_by(MeterChange.at_s)).all()
        self._changes = [
            Change(
                row.at_s,
                Point(row.at_s, row.closing, *parse_value(row.closing, scale)),
                Point(row.at_s, row.opening, *parse_value(row.opening, scale)),
            )
            for row in rows
        ]
        self.brought: dict[int, tuple[int, int]] = {}
        """File and line of the reading at which an interval ends, or after which it ends."""
        self.ends_as_before = False
        """Whether the last interval ends with a reading that was stored as used."""
        self._chosen: dict[int, Row] = {}
        """Rows that stand for their instants, and of which it is not yet known whether they are used."""

    def first_s(self, from_s: int) -> int:
        """Return an instant from which the chain can be begun: in use, or a change to another register.

        What is stored of a reading's worth is not to be relied on within ``DIP_S`` before a new one,
        which can make a dip of it. Nor so near to the beginning and the end of an issued period, where rows
        stay as they were when it was issued, nor from ``DIP_S`` before the first reading that came late.
        """
        before_s = from_s - DIP_S
        ((late_s,),) = fetch(self._db, self._session, _FIRST_LATE, (self._meter_id,))
        if late_s is not None:
            before_s = min(before_s, late_s - DIP_S)
        while True:
            found = fetch(self._db, self._session, _LAST_USED, (self._meter_id, before_s))
            if not found:
                return 0
            at_s = int(found[0][0])
            frozen = [end - DIP_S for _, end in self._issued if end - DIP_S < at_s < end]
            frozen += [begin - 1 for begin, _ in self._issued if begin <= at_s < begin + DIP_S]
            if not frozen:
                break
            before_s = min(frozen)
        changes = (
            change.at_s for change in self._changes if change.at_s < from_s and not change.goes_on
        )
        return max(at_s, *changes, 0)

    def walk(self, first_s: int, judge: Judge) -> Iterator[Interval]:
        """Yield the intervals from an instant on; say first what their readings are worth."""
        changes = [change for change in self._changes if change.at_s >= first_s]
        points = self._points(first_s, {change.at_s: change for change in self._changes}, judge)
        for interval in intervals(points, changes, self._rules):
            last = self._chosen.get(interval.end_s)
            self.ends_as_before = last is not None and last.quality is Quality.USED
            for point in interval.over:
                judge(self._chosen.pop(point.at_s), Quality.REGISTER_DIP)
            for at_s in (interval.start_s, interval.end_s):
                row = self._chosen.pop(at_s, None)
                if row is not None:
                    judge(row, Quality.USED)
            yield interval

    def rest(self, last_s: int) -> list[Row]:
        """Return the readings before an instant that stand for theirs, and in no interval yet."""
        return [row for at_s, row in self._chosen.items() if at_s < last_s]

    def _points(self, first_s: int, changes: dict[int, Change], judge: Judge) -> Iterator[Point]:
        """Yield the readings that count, and judge the other rows."""
        for at_s, group in groupby(self._rows(first_s), key=lambda row: row.at_s):
            rows = list(group)
            qualities, chosen = judge_instant(
                [(row.text, row.value) for row in rows], changes.get(at_s)
            )
            for place, (row, quality) in enumerate(zip(rows, qualities, strict=True)):
                if place != chosen:
                    judge(row, quality)
            row = rows[chosen or 0]
            self.brought[at_s] = (row.file_id, row.line)
            if chosen is not None:
                assert row.value is not None
                self._chosen[at_s] = row
                yield Point(at_s, row.text, *row.value)

    def _has_left_out(self, item: Sequence[Any]) -> bool:
        return self._left_out is not None and self._left_out.has(item[7], item[1])

    def _rows(self, first_s: int) -> Iterator[Row]:
        """Yield the stored rows from an instant on in order, some ten thousand read at once."""
        most = PIECE_ROWS
        while True:
            values = (self._meter_id, first_s, most)
            found = fetch(self._db, self._session, _ROWS + self._lock, values)
            whole = len(found) < most
            end_s = FOREVER_S if whole else found[-1][1]  # the last instant may have more rows
            if found and end_s == found[0][1]:
                most *= 2  # and this one has more than were read, as where a clock stands still
                continue
            for item in found:
                if item[1] < end_s and not self._has_left_out(item):
                    yield Row(item)
            if whole:
                return
            first_s = end_s
