"""Takes up an issuance again that was void: it is on its way again, or on chain.

That is so when a fork, deeper than what was final, takes its failure back. Meanwhile its readings were free: they were
judged anew, some were withdrawn or restored, and others came beside them. So all of its readings and corrections are
made again what they were when it was planned; those that came since are late for it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from ledger.issuance.states import lock_project
from ledger.models import Correction, CorrectionCarry, Issuance, ReadingClaim
from ledger.models.issuance import LIVE, IssuanceState
from ledger.readings.imports.requalify import Since, judge_as_before, requalify
from ledger.readings.imports.standing import as_planned
from ledger.readings.periods.carry import carried_of
from ledger.readings.periods.evidence_files import issued_inputs, meter_ids_of, stated_by
from ledger.reductions.manifest import manifest_hash
from ledger.reductions.reporting import fraction_text

log = logging.getLogger(__name__)


def rivals(session: Session, issuance: Issuance) -> Sequence[Issuance]:
    """Lock and return the live issuances that have the time of this one, or some of its readings.

    Its project is locked first: nobody plans another one meanwhile. An issuance of another project can have its
    readings if a meter has moved there since.
    """
    lock_project(session, issuance)
    claimed = select(ReadingClaim.issuance_id).where(
        ReadingClaim.meter_id.in_((_meters_of(session, issuance) or {}).values()),
        ReadingClaim.start_s >= issuance.from_s,
        ReadingClaim.start_s < issuance.to_s,
    )
    same_time = (Issuance.from_s < issuance.to_s) & (Issuance.to_s > issuance.from_s)
    query = select(Issuance).where(
        Issuance.id != issuance.id,
        Issuance.state.in_(LIVE),
        or_((Issuance.project_id == issuance.project_id) & same_time, Issuance.id.in_(claimed)),
    )
    return session.scalars(query.with_for_update()).all()


def take_up(session: Session, issuance: Issuance) -> None:
    """Make an issuance that was void a planned one, with its readings and its corrections.

    If somebody altered its manifest, nobody knows which these were. Then it follows the chain without them, so that the
    mirror can go on, and the reconciliation says what is wrong.
    """
    meters = _meters_of(session, issuance)
    if meters is None:
        log.warning("issuance %s is on its way again; its manifest was altered", issuance.id)
    else:  # while it is void: of a live one nothing is judged anew
        since = Since(issuance.created_at, issuance.from_s, issuance.to_s)
        tables = {table.serial: table for table in stated_by(issuance).meters}
        for serial, meter_id in meters.items():
            as_planned(session, meter_id, since)
            judge_as_before(session, meter_id, since, tables[serial])
    issuance.state = IssuanceState.PLANNED
    session.flush()
    if meters is not None:
        # First: a meter that has left the project is held by its slots alone.
        _claim_again(session, issuance, meters)
        for meter_id in meters.values():
            # Other periods are judged by what the books say today again; of a register, late readings get intervals.
            requalify(session, meter_id)
        _pay_again(session, issuance)


def _meters_of(session: Session, issuance: Issuance) -> dict[str, int] | None:
    """Return the row numbers of the meters by serial; None where somebody altered the stored manifest."""
    if manifest_hash(issuance.manifest) != issuance.manifest_hash:
        return None
    return meter_ids_of(session, issuance)


def _claim_again(session: Session, issuance: Issuance, meters: dict[str, int]) -> None:
    """Claim the slots of an issuance; one that another issuance has is left to it, and the reconciliation says so."""
    slots = {
        (meters[meter.serial], reading.start_s)
        for meter in issued_inputs(session, issuance).meters
        for reading in meter.readings
    }
    taken = select(ReadingClaim.meter_id, ReadingClaim.start_s).where(
        ReadingClaim.meter_id.in_(meters.values()),
        ReadingClaim.start_s >= issuance.from_s,
        ReadingClaim.start_s < issuance.to_s,
    )
    slots -= {(row.meter_id, row.start_s) for row in session.execute(taken.with_for_update())}
    session.info["database"].executemany(
        session,
        "INSERT INTO reading_claims (meter_id, start_s, issuance_id) VALUES (?, ?, ?)",
        [(*slot, issuance.id) for slot in sorted(slots)],
    )


def _pay_again(session: Session, issuance: Issuance) -> None:
    """Note which deficits the issuance takes over, by its manifest."""
    for table in json.loads(issuance.manifest).get("corrections", []):
        carried = carried_of(table)
        number = session.scalar(select(Correction.id).where(Correction.key == carried.key))
        if number is not None:
            session.add(
                CorrectionCarry(
                    correction_id=number,
                    issuance_id=issuance.id,
                    carried_kg=fraction_text(carried.carried_kg),
                )
            )
    session.flush()
