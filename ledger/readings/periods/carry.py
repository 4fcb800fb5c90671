"""The parts of what enters a period from before it: the carry of the last issuance, and deficits of corrections.

All of them are queries of the books. ``period.load_period`` puts them together.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from fractions import Fraction
from typing import Any

from sqlalchemy import Row, exists, func, select
from sqlalchemy.orm import Session, aliased, defer

from ledger import models
from ledger.db import tables
from ledger.models.issuance import LIVE, claimed_before
from ledger.models.sending import IntentState
from ledger.naming import of_site
from ledger.readings.periods.factor_rows import factor_record
from ledger.reductions.records import CarriedCorrection, Factor
from ledger.reductions.zones import legal_day, zone


def issued_exactly(
    session: Session, project_id: int, start: date, end: date
) -> models.Issuance | None:
    """Return the issuance of exactly this period that is issued, or about to be; None: there is none."""
    return session.scalars(
        select(models.Issuance).where(
            models.Issuance.project_id == project_id,
            models.Issuance.state.in_(LIVE),
            models.Issuance.from_date == start,
            models.Issuance.to_date == end,
        )
    ).first()


def entered(issued: models.Issuance) -> tuple[Fraction, tuple[CarriedCorrection, ...]]:
    """Return what entered an issuance, kg, and the corrections among it."""
    corrections = json.loads(issued.manifest).get("corrections", [])
    return Fraction(issued.carry_in_kg), tuple(carried_of(table) for table in corrections)


def owed_by(corrections: Iterable[CarriedCorrection]) -> Fraction:
    """Return what corrections bring in, kg: below zero."""
    return sum((correction.carried_kg for correction in corrections), Fraction(0))


def unissued_since(
    session: Session, project: models.Project, time_zone: str, start: date
) -> date | None:
    """Return where the days before a period begin that no issuance has; None: none is issued before it.

    They begin where the last issuance before it ended, in the books or on chain: of a batch that the books do not know
    the days are no gap, and make up for none.
    """
    issuance = models.Issuance
    ended = session.scalar(
        select(func.max(issuance.to_date)).where(
            issuance.project_id == project.id,
            issuance.state.in_(LIVE),
            issuance.from_date < start,
        )
    )
    on_chain = select(models.CreditSite.minted_until_s).where(
        models.CreditSite.code == project.code
    )
    for minted_s in session.scalars(on_chain):
        if minted_s:
            minted = legal_day(minted_s, zone(time_zone))
            if minted <= start:
                ended = max(ended or minted, minted)
    return ended


def factor_before(session: Session, project: models.Project, from_s: int) -> Factor | None:
    """Return the factor of the last issuance before a period; None: there is none."""
    issuance = models.Issuance
    query = (
        select(models.EmissionFactor)
        .join(issuance, issuance.factor_id == models.EmissionFactor.id)
        .where(
            issuance.project_id == project.id,
            issuance.state.in_(LIVE),
            issuance.to_s <= from_s,
        )
        .order_by(issuance.to_s.desc())
        .limit(1)
    )
    found = session.scalars(query).first()
    return None if found is None else factor_record(found)


def is_followed(session: Session, project_id: int, to_s: int) -> bool:
    """Return whether a later period of a project is issued, or about to be; ``to_s`` in seconds since 1970."""
    query = select(models.Issuance.id).where(
        models.Issuance.project_id == project_id,
        models.Issuance.state.in_(LIVE),
        models.Issuance.from_s >= to_s,
    )
    return session.scalars(query.limit(1)).first() is not None


def carried_of(table: Mapping[str, str]) -> CarriedCorrection:
    """Return a correction as a manifest names it."""
    return CarriedCorrection(
        table["key"],
        table["cause"],
        date.fromisoformat(table["from"]),
        date.fromisoformat(table["to"]),
        Fraction(table["carried_kg"]),
    )


def unpaid_corrections(
    session: Session, project_id: int, until_s: int | None = None
) -> tuple[CarriedCorrection, ...]:
    """Return the deficits of a project that no issuance has paid yet, in the order of their keys.

    Parameters
    ----------
    until_s
        Only of periods that end by then; None: of all.
    """
    return tuple(
        CarriedCorrection(
            row.key, row.cause.value, corrected.from_date, corrected.to_date, -owed_kg
        )
        for row, corrected, owed_kg in _balances(session, project_id, until_s)
        if owed_kg > 0
    )


def overpaid_corrections(session: Session, project_id: int) -> dict[str, Fraction]:
    """Return what issuances paid of corrections that were paid otherwise, kg, by the key of the correction.

    What had failed paid nothing, and the next issuance did; then a fork below finality brought it back.
    """
    return {row.key: -owed_kg for row, _, owed_kg in _balances(session, project_id) if owed_kg < 0}


def _balances(
    session: Session, project_id: int, until_s: int | None = None
) -> list[tuple[models.Correction, models.Issuance, Fraction]]:
    """Return the corrections of a project, the issuances that they correct, and what is owed, kg; below zero: overpaid.

    The kilogram that a cancellation is rounded up to is no such payment.
    """
    correction, issuance = models.Correction, models.Issuance
    query = (
        select(correction, issuance, models.ChainIntent.state)
        .join(issuance, issuance.id == correction.issuance_id)
        .outerjoin(models.ChainIntent, models.ChainIntent.key == correction.act_key)
        .where(issuance.project_id == project_id, issuance.state.in_(LIVE))
        .options(defer(correction.manifest), defer(issuance.manifest))  # long, and of no use here
        .order_by(correction.key)
    )
    if until_s is not None:
        query = query.where(issuance.to_s <= until_s)
    rows = session.execute(query).all()
    if not rows:
        return []
    carry = models.CorrectionCarry
    paid: dict[int, Fraction] = defaultdict(Fraction)
    for correction_id, carried_kg in session.execute(
        select(carry.correction_id, carry.carried_kg).where(
            carry.correction_id.in_([row.id for row, _, _ in rows])
        )
    ):
        paid[correction_id] += Fraction(carried_kg)
    forgotten = _cancelled_by_key(session, [row.key for row, _, _ in rows if row.act_key is None])
    found = []
    for row, corrected, act in rows:
        # A cancellation that the contract refused paid nothing: what it should have paid is carried.
        cancelled = 0 if act is IntentState.FAILED else row.cancelled_kg + forgotten[row.key]
        owed = max(Fraction(row.owed_kg) - cancelled, Fraction(0)) + paid[row.id]
        found.append((row, corrected, owed))
    return found


def _cancelled_by_key(session: Session, keys: Sequence[str]) -> dict[str, int]:
    """Return what the chain has cancelled under the keys of corrections that are to be carried, kg.

    The books were restored from before they were cancelled, and recorded before the mirror had read that.
    """
    cancellation, batch = models.CreditCancellation, models.CreditBatch
    kg: dict[str, int] = defaultdict(int)
    for here in tables.among(session, cancellation.key, keys):
        query = (
            select(cancellation.key, cancellation.amount_kg)
            .join(batch, batch.batch_id == cancellation.batch_id)
            .where(here, cancellation.holder == batch.recipient)
        )
        for key, amount_kg in session.execute(query):
            kg[key] += amount_kg
    return kg


def left_by_last(session: Session, project: models.Project, start: date, from_s: int) -> Fraction:
    """Return what the last issuance before the period left.

    A deficit is carried until it is paid; a positive carry only within one vintage, one factor
    version and one methodology version. What a backfill left goes nowhere: the period after it was issued before it.
    Nor does what a batch has taken that is on chain, and not in the books. What has entered two issuances is taken off.
    """
    issuance, intent = models.Issuance, models.ChainIntent
    query = (
        select(issuance.id, issuance.carry_in_kg, issuance.carry_out_kg, intent.parameters)
        .outerjoin(intent, intent.key == issuance.key)
        .where(
            issuance.project_id == project.id,
            issuance.state.in_(LIVE),
            issuance.to_s <= from_s,
        )
        .order_by(issuance.to_s)
    )
    regular = [row for row in session.execute(query) if not claimed_before(row.parameters)]
    if not regular:
        return Fraction(0)
    last = session.get_one(models.Issuance, regular[-1].id)
    carry = Fraction(last.carry_out_kg) - _entered_twice(session, project.id, regular)
    methodology = json.loads(last.manifest)["methodology"]
    same = (
        last.vintage == start.year
        and last.factor_id == project.factor_id
        and methodology == {"id": project.methodology, "version": project.methodology_version}
    )
    if same and not _is_taken(session, project.code, last.to_s, from_s):
        return carry
    return min(carry, Fraction(0))


def _entered_twice(session: Session, project_id: int, regular: Sequence[Row[Any]]) -> Fraction:
    """Return what entered issuances, in the order of time, that none before them had left, kg, and none has paid since.

    One that had failed for good comes back by a fork deeper than what was final, when another one of later days has
    been sent with what was left before both: the contract takes the two of them.
    """
    issuance, paid = models.Issuance, models.CorrectionCarry
    deficits: dict[int, Fraction] = defaultdict(Fraction)
    query = select(paid.issuance_id, paid.carried_kg).join(
        issuance, issuance.id == paid.issuance_id
    )
    for number, carried_kg in session.execute(query.where(issuance.project_id == project_id)):
        deficits[number] += Fraction(carried_kg)
    left, twice = Fraction(0), Fraction(0)
    for row in regular:
        entered = Fraction(row.carry_in_kg) - deficits[row.id]
        twice = max(entered - left, Fraction(0))
        left = Fraction(row.carry_out_kg) - twice
    return twice


def _is_taken(session: Session, code: str, since_s: int, until_s: int) -> bool:
    """Return whether the chain has a batch between, no backfill, that the books know no issuance of.

    Restored books forgot it, or other books issued it: what was left before is in it, as far as anybody here knows.
    A backfill, which carries nothing, came after a batch of later time.
    """
    batch, earlier = models.CreditBatch, aliased(models.CreditBatch)
    known = select(models.Issuance.key).where(models.Issuance.state.in_(LIVE))
    sites = select(models.CreditSite.site_id).where(models.CreditSite.code == code)
    for site_id in session.scalars(sites).all():
        # By number, which is a key: of all sites together there may be very many.
        query = select(batch.batch_id).where(
            of_site(batch.batch_id, site_id),
            batch.period_end_s > since_s,
            batch.period_start_s < until_s,
            batch.key.not_in(known),
            ~exists().where(
                of_site(earlier.batch_id, site_id),
                earlier.batch_id < batch.batch_id,
                earlier.period_start_s >= batch.period_end_s,
            ),
        )
        if session.scalars(query.limit(1)).first() is not None:
            return True
    return False
