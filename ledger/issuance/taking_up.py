"""An issuance that was void and is on its way again, or on chain: its readings and corrections as when it was planned.

A fork that is deeper than what was final takes its failure back. Its readings were free meanwhile: they were judged
anew, and others may have come beside them, which are late for it.
"""

from __future__ import annotations

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Correction, CorrectionCarry, Issuance, ReadingClaim
from ledger.readings.imports.requalify import Since, judge_as_before, requalify
from ledger.readings.periods.carry import carried_of
from ledger.readings.periods.evidence_files import issued_inputs, meter_ids_of
from ledger.reductions.reporting import fraction_text


def readings_as_planned(session: Session, issuance: Issuance) -> None:
    """Judge the readings of an issuance as if nothing had come since it was planned; what came is late.

    While it is void: of a live one nothing is judged anew.
    """
    since = Since(issuance.created_at, issuance.from_s, issuance.to_s)
    for meter_id in meter_ids_of(session, issuance).values():
        judge_as_before(session, meter_id, since)


def claim_again(session: Session, issuance: Issuance) -> None:
    """Claim the slots of an issuance once more, and the corrections that its manifest names.

    A slot that another issuance has is left to it; the reconciliation says so.
    """
    ids = meter_ids_of(session, issuance)
    for meter_id in ids.values():
        requalify(session, meter_id)  # of a register: the intervals of what is late
    slots = {
        (ids[meter.serial], reading.start_s)
        for meter in issued_inputs(session, issuance).meters
        for reading in meter.readings
    }
    taken = select(ReadingClaim.meter_id, ReadingClaim.start_s).where(
        ReadingClaim.meter_id.in_(ids.values()),
        ReadingClaim.start_s >= issuance.from_s,
        ReadingClaim.start_s < issuance.to_s,
    )
    slots -= {(row.meter_id, row.start_s) for row in session.execute(taken.with_for_update())}
    session.info["database"].executemany(
        session,
        "INSERT INTO reading_claims (meter_id, start_s, issuance_id) VALUES (?, ?, ?)",
        [(*slot, issuance.id) for slot in sorted(slots)],
    )
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
