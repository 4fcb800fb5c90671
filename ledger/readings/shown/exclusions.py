"""What of a site's readings does not count, why, and how much energy is not claimed for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, groupby
from typing import Any

from sqlalchemy.orm import Session

from ledger.readings.rows.store import fetch
from ledger.readings.shown.selection import meters_of
from ledger.reductions.quality import loaded
from ledger.reductions.records import USED, Quality, Role
from ledger.units import HOUR_S

_SELECT = (
    "SELECT start_s, duration_s, kind, value_digits, value_scale, quality, reason, line "
    "FROM meter_readings WHERE meter_id = ? AND (quality <> 'used' OR conflict = 1) "
    "ORDER BY start_s, text"
)
_REGISTERS = (
    "SELECT quality, reason, line FROM register_readings "
    "WHERE meter_id = ? AND quality <> 'used' ORDER BY at_s, text"
)
_FULL = (Quality.OUTLIER_ABOVE, Quality.STUCK)


@dataclass
class Exclusion:
    """Readings of one device that do not count, for one reason."""

    device: str
    quality: Quality
    readings: int
    first_line: int
    """Line of the first of them in its file."""
    not_claimed_kwh: Fraction | None
    """Energy that they state beyond what is claimed; None where nothing can be said, as of an empty one."""


def exclusions(session: Session, site_code: str) -> list[Exclusion]:
    """Return what does not count of a site's readings, by device and reason.

    An outlier and a stuck reading are not claimed with all that they state, and of several values of a slot
    the highest is not claimed beyond the one that counts. Slots that no file names are no readings.

    Raises
    ------
    NotFound
        There is no such site, or it has no meter.
    """
    db = session.info["database"]
    _, meters = meters_of(session, site_code, None)
    found: list[Exclusion] = []
    for meter, code in meters:
        mine: dict[Quality, Exclusion] = {}
        rows = fetch(db, session, _SELECT, (meter.id,))
        registers = fetch(db, session, _REGISTERS, (meter.id,))
        instants = ((loaded(name, reason), line, None) for name, reason, line in registers)
        for quality, line, kwh in chain(_excluded(rows, Role(meter.role.value)), instants):
            known = mine.get(quality)
            if known is None:
                mine[quality] = Exclusion(code, quality, 1, line, kwh)
                continue
            known.readings += 1
            if kwh is not None:
                known.not_claimed_kwh = (known.not_claimed_kwh or 0) + kwh
        found += [mine[quality] for quality in sorted(mine)]
    return found


def _excluded(
    rows: Iterable[Sequence[Any]], role: Role
) -> Iterator[tuple[Quality, int, Fraction | None]]:
    """Yield quality, line and energy not claimed of every reading that does not count."""
    for _, group in groupby(rows, key=lambda row: row[0]):
        slot = [(loaded(row[5], row[6]), row) for row in group]
        counted = [_kwh(row) for quality, row in slot if quality in USED]
        against = [row for quality, row in slot if quality is Quality.SUPERSEDED_IN_CONFLICT]
        highest = max(against, key=_kwh, default=None)
        for quality, row in slot:
            if quality in USED:
                continue
            kwh: Fraction | None = None
            if role.supplies and quality in _FULL and row[3] is not None:
                kwh = _kwh(row)
            elif role.supplies and row is highest and counted:
                kwh = _kwh(row) - counted[0]
            yield quality, row[7], kwh


def _kwh(row: Sequence[Any]) -> Fraction:
    """Return the energy that a row states, kWh."""
    value = Fraction(row[3], 10 ** row[4])
    return value * row[1] / HOUR_S if row[2] == "power" else value
