"""What an import knows of a meter while it runs, and the lock that keeps others from its readings."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, select
from sqlalchemy.orm import Session

from ledger.models import Meter, Site
from ledger.models.types import ExactDecimal
from ledger.reductions.quality import Limits
from ledger.reductions.records import Role
from ledger.units import DAY_S


@dataclass
class MeterState:
    """What an import knows of one meter, and which of its days it has changed."""

    id: int
    device_id: int
    device_code: str
    role: Role
    limits: Limits
    stuck_hours: int
    """How long one value makes a flat line, see ``reductions.flatlines``; 0: none is looked for."""
    issued: list[tuple[int, int]]
    """Periods of live issuances, ``[from_s, to_s)``, in order."""
    touched_days: set[int] = field(default_factory=set)
    """Days of UTC since 1970 in which something changed."""
    left_out: set[tuple[str, int]] = field(default_factory=set)
    """Hours and days too large for the tables that are for looking at: column and first second."""

    def touch(self, start_s: int, duration_s: int) -> None:
        """Note that something changed in an interval."""
        first, last = start_s // DAY_S, (start_s + max(duration_s, 1) - 1) // DAY_S
        if first == last:
            self.touched_days.add(first)
        else:
            self.touched_days.update(range(first, last + 1))

    def fits(self, column: Column[Any], start_s: int, number: int) -> bool:
        """Return whether a sum, in the smallest unit of its decimal column, fits; note it where it does not.

        Without a rated power nothing bounds the sum of an hour or a day. It is left out of the table then: an import
        must not fail for a table from which nothing is credited.
        """
        assert isinstance(column.type, ExactDecimal)
        key = f"{column.table.name}.{column.name}", start_s
        if abs(number) < 10**column.type.precision:
            self.left_out.discard(key)
            return True
        self.left_out.add(key)
        return False

    def is_issued(self, start_s: int) -> bool:
        """Return whether a slot lies in a period that was issued."""
        place = bisect_right(self.issued, (start_s, 2**63)) - 1
        return place >= 0 and start_s < self.issued[place][1]

    def is_inside_issued(self, start_s: int, end_s: int) -> bool:
        """Return whether an interval lies wholly in a period that was issued."""
        return any(from_s <= start_s and end_s <= to_s for from_s, to_s in self.issued)


def lock_meters(session: Session, site_code: str) -> None:
    """Lock a site's meters, so that no import, issuance or site file changes them meanwhile; call it first.

    MariaDB takes its snapshot at the first read without a lock. If that comes after this one, the snapshot has
    all that the former holders of the lock have written.
    """
    query = select(Meter.id).join(Site, Site.id == Meter.site_id).where(Site.code == site_code)
    session.execute(query.order_by(Meter.id).with_for_update()).all()
