"""Which times of a meter are issued: nothing that stands there changes any more, what comes is late."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ledger.models import Issuance, ReadingClaim
from ledger.models.issuance import IssuanceState


def issued_periods(
    session: Session, meter_id: int, project_id: int | None
) -> list[tuple[int, int]]:
    """Return the periods of live issuances that a meter belongs to, in order and without overlap.

    They are those of its project, and those that have used its readings: a meter that has moved to
    another project takes them along.

    Parameters
    ----------
    project_id
        The project that the meter counts for today, None for none.
    """
    claimed = select(ReadingClaim.issuance_id).where(ReadingClaim.meter_id == meter_id).distinct()
    query = select(Issuance.from_s, Issuance.to_s).where(
        Issuance.state.in_((IssuanceState.PLANNED, IssuanceState.ISSUED)),
        or_(Issuance.id.in_(claimed), Issuance.project_id == project_id),
    )
    return _joined((from_s, to_s) for from_s, to_s in session.execute(query).all())


def _joined(periods: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return periods with those that overlap made one."""
    joined: list[tuple[int, int]] = []
    for from_s, to_s in sorted(periods):
        if joined and from_s < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(to_s, joined[-1][1]))
        else:
            joined.append((from_s, to_s))
    return joined
