"""Which times of a meter are issued: readings there do not change any more, and those that still come are late."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from ledger.models import Issuance, Meter, Project, ReadingClaim
from ledger.models.issuance import LIVE


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
    of_site = (
        select(Project.id).join(Meter, Meter.site_id == Project.site_id).where(Meter.id == meter_id)
    )
    query = select(Issuance.id, Issuance.project_id, Issuance.from_s, Issuance.to_s).where(
        Issuance.state.in_(LIVE),
        or_(Issuance.project_id == project_id, Issuance.project_id.in_(of_site)),
    )
    rows = session.execute(query).all()
    others = {row.id for row in rows if row.project_id != project_id}
    if others:  # else nothing is asked of what a meter has used, half a million rows in ten years
        claimed = select(ReadingClaim.issuance_id).where(ReadingClaim.meter_id == meter_id)
        others -= set(session.scalars(claimed.distinct()))
    return _joined((row.from_s, row.to_s) for row in rows if row.id not in others)


def claimed_slots(session: Session, meter_id: int, from_s: int, to_s: int) -> set[int]:
    """Return the starts of a meter's slots, from one second to another, that live issuances have used.

    A period of its project may have none of them: the meter joined later, and no manifest names what it had before.
    """
    query = select(ReadingClaim.start_s).where(
        ReadingClaim.meter_id == meter_id,
        ReadingClaim.start_s >= from_s,
        ReadingClaim.start_s < to_s,
    )
    return set(session.scalars(query))


def is_named_by_issuance(session: Session, meter: Meter) -> bool:
    """Return whether a live issuance names a meter, the ones included that have none of its readings.

    The manifest of such a one says that it had none in the period: they would not be late any more if the
    meter left the project, and no manifest could be found to be right if it had another serial.
    """
    # As the one spelling of a manifest has it.
    wanted = f'"serial":{json.dumps(meter.serial, ensure_ascii=False)}'
    # The server reads them where they lie; what it takes for the same is looked at here, up to the first.
    query = (
        select(Issuance.id)
        .join(Project, Project.id == Issuance.project_id)
        .where(
            Project.site_id == meter.site_id,
            Issuance.state.in_(LIVE),
            func.instr(Issuance.manifest, wanted) > 0,
        )
    )
    return any(
        wanted in session.get_one(Issuance, number).manifest
        for number in session.scalars(query).all()
    )


def _joined(periods: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return periods with those that overlap made one."""
    joined: list[tuple[int, int]] = []
    for from_s, to_s in sorted(periods):
        if joined and from_s < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(to_s, joined[-1][1]))
        else:
            joined.append((from_s, to_s))
    return joined
