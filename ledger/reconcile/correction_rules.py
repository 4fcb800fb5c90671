"""Rules of the corrections: what was issued too much is cancelled on chain or stands in a later manifest."""

from __future__ import annotations

import json
from collections import defaultdict
from fractions import Fraction
from typing import Any

from sqlalchemy import select

from ledger.models import (
    ChainIntent,
    Correction,
    CorrectionCarry,
    CorrectionReading,
    CorrectionRegister,
    CreditBatch,
    CreditCancellation,
    Issuance,
    MeterReading,
    RegisterReading,
)
from ledger.models.issuance import IssuanceState
from ledger.models.readings import ReadingQuality
from ledger.models.sending import IntentState
from ledger.readings.periods.carry import unpaid_corrections
from ledger.reconcile.books import Books
from ledger.reductions.manifest import manifest_hash


def corrections(books: Books) -> list[str]:
    """Each correction is what its manifest says, and what it owes is cancelled on chain or carried, once."""
    rows = books.session.execute(
        select(Correction, Issuance)
        .join(Issuance, Issuance.id == Correction.issuance_id)
        .order_by(Correction.id)
    ).all()
    if not rows:
        return []
    found = []
    for correction, issuance in rows:
        what = f"correction {correction.id} ({issuance.from_date} to {issuance.to_date})"
        found += _sums(what, correction)
        if correction.act_key is not None:
            found += _cancelled(books, what, correction, issuance)
    return found + _counted_late(books) + _carried(books) + _left_out(books)


def _sums(what: str, row: Correction) -> list[str]:
    found = []
    if manifest_hash(row.manifest) != row.manifest_hash:
        found.append(f"{what}: its manifest does not hash to {row.manifest_hash}")
    owed = Fraction(row.owed_kg)
    if owed < 0 or (row.cancelled_kg > 0) != (row.act_key is not None):
        found.append(f"{what}: owes {row.owed_kg} kg and cancels {row.cancelled_kg} kg")
    if row.cancelled_kg >= owed + 1:
        found.append(
            f"{what}: cancels {row.cancelled_kg} kg, a kilogram or more above {row.owed_kg}"
        )
    return found


def _cancelled(books: Books, what: str, row: Correction, issuance: Issuance) -> list[str]:
    """Compare the act of a correction with the cancellation that the chain has under its key."""
    act = books.session.get(ChainIntent, row.act_key)
    if act is None:
        return [f"{what}: its cancellation {row.act_key} was never planned"]
    if act.state is not IntentState.CONFIRMED:
        return []
    query = (
        select(CreditCancellation, CreditBatch.key)
        .join(CreditBatch, CreditBatch.batch_id == CreditCancellation.batch_id)
        .where(
            CreditCancellation.key == row.act_key,
            CreditCancellation.holder == act.sender_address,  # others may use a key that they saw
        )
    )
    held = books.session.execute(query).all()
    if len(held) != 1:
        return [f"{what}: the chain has {len(held)} cancellations with its key {row.act_key}"]
    ((cancellation, batch_key),) = held
    if (cancellation.amount_kg, batch_key) != (row.cancelled_kg, issuance.key):
        return [
            f"{what}: cancels {row.cancelled_kg} kg of batch {issuance.key}, the chain says "
            f"{cancellation.amount_kg} kg of {batch_key}"
        ]
    return []


def _counted_late(books: Books) -> list[str]:
    query = (
        select(CorrectionReading.reading_id, MeterReading.quality)
        .outerjoin(MeterReading, MeterReading.id == CorrectionReading.reading_id)
        .join(Correction, Correction.id == CorrectionReading.correction_id)
        .join(Issuance, Issuance.id == Correction.issuance_id)
        .where(Issuance.state != IssuanceState.VOID)
    )
    found = [
        f"reading {number}: counted by a correction, and not late"
        for number, quality in books.session.execute(query)
        if quality is not ReadingQuality.LATE
    ]
    registers = (
        select(
            CorrectionRegister.register_id,
            RegisterReading.quality,
            RegisterReading.at_s,
            Issuance.to_s,
        )
        .outerjoin(RegisterReading, RegisterReading.id == CorrectionRegister.register_id)
        .join(Issuance, Issuance.id == CorrectionRegister.issuance_id)
        .where(Issuance.state != IssuanceState.VOID)
    )
    return found + [
        f"register reading {number}: counted by a correction, and not late"
        for number, quality, at_s, to_s in books.session.execute(registers)
        # The one at the end of a period is late for it, and in time for the next.
        if quality is not ReadingQuality.LATE and at_s != to_s
    ]


def _carried(books: Books) -> list[str]:
    """Compare what each issuance took over with what its manifest names."""
    session = books.session
    taken: dict[int, dict[str, str]] = defaultdict(dict)
    query = select(CorrectionCarry, Correction.key).join(
        Correction, Correction.id == CorrectionCarry.correction_id
    )
    for carry, key in session.execute(query):
        taken[carry.issuance_id][key] = carry.carried_kg
    found = []
    for issuance in session.scalars(select(Issuance).order_by(Issuance.id)):
        entered: list[dict[str, Any]] = json.loads(issuance.manifest).get("corrections", [])
        names = {table["key"]: table["carried_kg"] for table in entered}
        live = issuance.state is not IssuanceState.VOID
        if (names if live else {}) != taken.get(issuance.id, {}):
            found.append(
                f"issuance {issuance.id} ({issuance.from_date} to {issuance.to_date}): its manifest names the "
                f"corrections {names}, the books say {taken.get(issuance.id, {})}"
            )
    return found


def _left_out(books: Books) -> list[str]:
    """Find deficits that an issuance planned since, of a later period, should have taken over."""
    session = books.session
    found = []
    projects = session.scalars(select(Issuance.project_id).distinct()).all()
    for project_id in projects:
        for debt in unpaid_corrections(session, project_id):
            correction = session.scalars(select(Correction).where(Correction.key == debt.key)).one()
            act = session.get(ChainIntent, correction.act_key) if correction.act_key else None
            since = correction.found_at
            if act is not None and act.state is IntentState.FAILED:
                continue  # owed since the contract refused, and the books keep no time of that
            corrected = session.get_one(Issuance, correction.issuance_id)
            query = select(Issuance.id).where(
                Issuance.project_id == project_id,
                Issuance.state != IssuanceState.VOID,
                Issuance.from_s >= corrected.to_s,
                Issuance.created_at > since,
            )
            for number in session.scalars(query):
                found.append(
                    f"correction {correction.id}: {debt.carried_kg} kg are owed, and issuance {number} "
                    "of a later period left them out"
                )
    return found
