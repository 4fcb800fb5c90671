"""Rules of the corrections: what was issued too much is cancelled on chain or stands in a later manifest."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from ledger.clock import time_text
from ledger.corrections.forgotten import REASON
from ledger.errors import TruetonneError
from ledger.models import (
    ChainIntent,
    Correction,
    CorrectionCarry,
    CorrectionReading,
    CorrectionRegister,
    CreditBatch,
    CreditCancellation,
    EmissionFactor,
    Issuance,
    MeterReading,
    RegisterReading,
)
from ledger.models.corrections import CorrectionState
from ledger.models.issuance import IssuanceState
from ledger.models.readings import ReadingQuality
from ledger.models.sending import IntentState
from ledger.readings.periods.carry import unpaid_corrections
from ledger.readings.periods.evidence_files import meter_ids_of, stated_by
from ledger.readings.periods.factor_rows import factor_record
from ledger.readings.periods.recomputing import is_register, known_certificates, recomputed_inputs
from ledger.readings.rows.stored import late_readings_of
from ledger.reconcile.books import Books
from ledger.reconcile.report import unequal
from ledger.reductions.arithmetic import compute
from ledger.reductions.manifest import build, canonical_text, manifest_hash
from ledger.reductions.zones import utc_of


def corrections(books: Books) -> list[str]:
    """Each correction is what its manifest says, and what it owes is cancelled on chain or carried, once."""
    session = books.session
    query = select(Correction.id).join(Issuance, Issuance.id == Correction.issuance_id)
    numbers = session.scalars(query.order_by(Correction.id)).all()
    found = _without_correction(books)
    if not numbers:
        return found
    effects: dict[int, _Effects] = defaultdict(_Effects)
    last: dict[int, int] = {}
    for number in numbers:  # one at a time: each holds its manifest, and so does its issuance
        correction = session.get_one(Correction, number)
        issuance = session.get_one(Issuance, correction.issuance_id)
        last[issuance.id] = number
        what = f"correction {correction.id} ({issuance.from_date} to {issuance.to_date})"
        found += _sums(what, correction)
        found += _figures(books, what, correction, issuance, effects[issuance.id])
        if correction.act_key is not None:
            found += _cancelled(books, what, correction, issuance)
    for issuance_id, number in last.items():
        correction = session.get_one(Correction, number)
        found += _from_readings(session, correction, session.get_one(Issuance, issuance_id))
    return found + _counted_late(books) + _carried(books) + _left_out(books)


@dataclass
class _Effects:
    """What the corrections of an issuance come to so far, kg."""

    total: Fraction = Fraction(0)
    owed: Fraction = Fraction(0)


def _figures(
    books: Books, what: str, row: Correction, issuance: Issuance, before: _Effects
) -> list[str]:
    """Compare effect and debt with what the manifests of issuance and correction say, and what came before it.

    What was issued too much is owed once: the whole effect, less what corrections before this one owed.
    """
    made, again = (json.loads(text) for text in (issuance.manifest, row.manifest))
    of = [
        (item["project"], item["period"]["from_s"], item["period"]["to_s"])
        for item in (made, again)
    ]
    if of[0] != of[1]:
        return [f"{what}: its manifest is of another period than the issuance"]
    total = _reductions_kg(again) - _reductions_kg(made)
    owed = max(-total - before.owed, Fraction(0))
    cancelled = CorrectionState.CANCELLED if row.cancelled_kg >= owed else CorrectionState.CARRIED
    factor = books.session.get(EmissionFactor, row.factor_id)
    found = unequal(
        what,
        ("effect_kg", Fraction(row.effect_kg), total - before.total),
        ("owed_kg", Fraction(row.owed_kg), owed),
        ("state", row.state, cancelled if owed else CorrectionState.RECORDED),
        (
            "factor",
            (factor and factor.code, factor and factor.version),
            (again["factor"]["code"], again["factor"]["version"]),
        ),
        by="the manifests say",
    )
    before.total, before.owed = total, before.owed + owed
    return found


def _reductions_kg(manifest: Any) -> Fraction:
    """Return the exact reductions of a manifest: what was issued and is carried on, less what was carried in."""
    carbon = manifest["carbon"]
    issued, out, entered = (carbon[x] for x in ("issued_kg", "carry_out_kg", "carry_in_kg"))
    return Fraction(issued) + Fraction(out) - Fraction(entered)


def _without_correction(books: Books) -> list[str]:
    """Find what names a correction that is not there, or that counted fewer late readings than it says."""
    session = books.session
    found = []
    counted: dict[int, int] = defaultdict(int)
    for table in (CorrectionReading, CorrectionRegister, CorrectionCarry):
        query = select(table.correction_id, func.count()).group_by(table.correction_id)
        there = exists().where(Correction.id == table.correction_id)
        found += [
            f"{table.__tablename__}: {count} rows name the correction {number}, which is not there"
            for number, count in session.execute(query.where(~there))
        ]
        if table is not CorrectionCarry:
            for number, count in session.execute(query):
                counted[number] += count
    found += [
        f"correction {number}: counted {said} late readings, and the books name {counted[number]}"
        for number, said in session.execute(select(Correction.id, Correction.late_readings))
        if counted[number] < said
    ]
    issued = exists().where(Issuance.id == Correction.issuance_id)
    found += [
        f"correction {number}: its issuance is not there"
        for number in session.scalars(select(Correction.id).where(~issued))
    ]
    known = exists().where(Correction.act_key == ChainIntent.key)
    acts = select(ChainIntent.key, ChainIntent.parameters).where(
        ChainIntent.function_name == "cancel", ~known
    )
    return found + [
        f"intent {key}: cancels credits for a correction, and none is recorded"
        for key, parameters in session.execute(acts)
        if REASON.match(str(parameters.get("reason")))
    ]


def _from_readings(session: Session, last: Correction, issuance: Issuance) -> list[str]:
    """Compute an issuance with its late readings again: that is what its last correction found.

    Not where more came late since (the next correction counts it), and not where a register is read: what comes in
    time for the period after it may change how its last difference is cut.
    """
    ids = meter_ids_of(session, issuance)
    tables = stated_by(issuance).meters
    late = [
        (serial, reading)
        for serial, number in ids.items()
        for reading in late_readings_of(session, number, issuance.from_s, issuance.to_s)
    ]
    counted = session.scalar(
        select(func.count())
        .select_from(CorrectionReading)
        .join(Correction, Correction.id == CorrectionReading.correction_id)
        .where(Correction.issuance_id == issuance.id)
    )
    void = issuance.state is IssuanceState.VOID
    if void or any(is_register(table) for table in tables) or len(late) > (counted or 0):
        return []
    what = f"correction {last.id} ({issuance.from_date} to {issuance.to_date})"
    made = select(Correction.manifest).where(Correction.issuance_id == issuance.id)
    manifests = session.scalars(made).all()
    try:
        factor = factor_record(session.get_one(EmissionFactor, last.factor_id))
        known = known_certificates(last.manifest)
        # Second, as an earlier build had it: the next run of corrections finds what that one left out.
        for keeps in (True, False):
            inputs = recomputed_inputs(
                session, issuance, late=True, certificates=known, keeps_deductions=keeps
            )
            inputs = replace(inputs, factor=factor, enforce=False)
            text = canonical_text(build(compute(inputs), json.loads(last.manifest)["format"]))
            if text in manifests:
                break
    except (TruetonneError, KeyError, ValueError, NoResultFound) as error:
        return [f"{what}: cannot be computed from the stored readings ({error})"]
    if text not in manifests:
        return [f"{what}: its manifest is not what the stored readings give"]
    judged = {
        (meter.serial, reading.start_s, reading.text): (reading.digits, reading.scale)
        for meter in inputs.meters
        for reading in meter.readings
    }
    return [
        f"{what}: the reading of {serial} at {time_text(utc_of(reading.start_s))} has another value than its text"
        for serial, reading in late
        if judged.get((serial, reading.start_s, reading.text), (reading.digits, reading.scale))
        != (reading.digits, reading.scale)
    ]


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
    for number in session.scalars(select(Issuance.id).order_by(Issuance.id)).all():
        issuance = session.get_one(Issuance, number)  # one at a time: each holds its manifest
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
