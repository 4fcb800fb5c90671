"""Where a stored reading stands in the evidence of an issuance, with its proof."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.errors import NotFound, Refused
from ledger.models import Device, Issuance, MeterReading, ReadingClaim
from ledger.models import Meter as MeterRow
from ledger.models.issuance import IssuanceState
from ledger.models.readings import ReadingQuality
from ledger.readings.periods.evidence_files import issued_inputs
from ledger.reductions.evidence import leaf_hash, leaves_of, merkle_tree, meter_hash, proof_of
from ledger.reductions.runs import Reading


@dataclass(frozen=True)
class ProvenReading:
    """A reading as its leaf has it, and the way from there to the root that the chain carries."""

    row: MeterReading
    serial: str
    device_code: str
    reading: Reading
    leaf: bytes
    proof: list[bytes]
    issuance: Issuance


def prove_reading(session: Session, reading_id: int) -> ProvenReading:
    """Return a reading with its proof.

    Raises
    ------
    NotFound
        There is no such reading.
    Refused
        It stands under no root: its period is not issued, or it came after it was.
    """
    query = (
        select(MeterReading, MeterRow, Device.device_id)
        .join(MeterRow, MeterRow.id == MeterReading.meter_id)
        .join(Device, Device.id == MeterRow.device_id)
        .where(MeterReading.id == reading_id)
    )
    found = session.execute(query).first()
    if found is None:
        raise NotFound(f"there is no reading {reading_id}")
    row, meter, device_code = found
    issuance = _issuance(session, row)
    period = issued_inputs(session, issuance)
    for item in period.meters:
        for reading in item.readings if item.serial == meter.serial else ():
            if (reading.start_s, reading.text) == (row.start_s, row.text):
                tree = merkle_tree(leaves_of(period.meters))
                leaf = leaf_hash(meter_hash(meter.serial), reading)
                proof = proof_of(tree, leaf)
                return ProvenReading(row, meter.serial, device_code, reading, leaf, proof, issuance)
    raise Refused(f"reading {reading_id} is no leaf of its period's evidence", code="no-such-leaf")


def _issuance(session: Session, row: MeterReading) -> Issuance:
    # By the claim of the slot: the meter may count for another project by now.
    query = (
        select(Issuance)
        .join(ReadingClaim, ReadingClaim.issuance_id == Issuance.id)
        .where(
            ReadingClaim.meter_id == row.meter_id,
            ReadingClaim.start_s == row.start_s,
            Issuance.state == IssuanceState.ISSUED,
        )
    )
    found = session.scalars(query).first()
    late = row.quality is ReadingQuality.LATE
    if found is None or late:
        why = "it came after its period was issued" if late else "its period is not issued"
        raise Refused(
            f"reading {row.id} stands under no evidence root: {why}", code="not-in-evidence"
        )
    return found
