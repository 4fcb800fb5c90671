"""Corrections as they stand in the books, what a search came to, and what is still owed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from ledger.models import ChainIntent, Correction, EmissionFactor, Issuance, Project
from ledger.models.corrections import CorrectionState
from ledger.models.sending import IntentState
from ledger.naming import project_named
from ledger.readings.periods.carry import overpaid_corrections, unpaid_corrections


@dataclass(frozen=True)
class Found:
    """A correction as it was recorded, and the period that it corrects."""

    number: int
    found_at: datetime
    key: str
    issuance_key: str
    from_date: date
    to_date: date
    cause: str
    state: str
    late_readings: int
    effect_kg: Fraction
    owed_kg: Fraction
    cancelled_kg: int
    act_key: str | None
    factor: str
    manifest_hash: str

    @property
    def carried_kg(self) -> Fraction:
        """What is left of the debt after the cancellation, kg: the deficit of the next issuance."""
        return max(self.owed_kg - self.cancelled_kg, Fraction(0))


@dataclass
class Outcome:
    """What a search found, and what it passed over with the reason."""

    found: list[Found] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)


def found_of(
    row: Correction,
    issuance: Issuance,
    factor: EmissionFactor,
    act: IntentState | None = None,
) -> Found:
    """Return a stored correction with the period that it corrects.

    Parameters
    ----------
    act
        How far its cancellation has come: one that the contract refused cancels nothing, and all is carried.
    """
    refused = act is IntentState.FAILED
    return Found(
        number=row.id,
        found_at=row.found_at,
        key=row.key,
        issuance_key=issuance.key,
        from_date=issuance.from_date,
        to_date=issuance.to_date,
        cause=row.cause.value,
        state=(CorrectionState.CARRIED if refused else row.state).value,
        late_readings=row.late_readings,
        effect_kg=Fraction(row.effect_kg),
        owed_kg=Fraction(row.owed_kg),
        cancelled_kg=0 if refused else row.cancelled_kg,
        act_key=row.act_key,
        factor=f"{factor.code} {factor.version}",
        manifest_hash=row.manifest_hash,
    )


def corrections_of(
    session: Session, project_code: str | None = None, issuance_id: int | None = None
) -> list[Found]:
    """Return the corrections of a project, of an issuance, or of all, in the order in which they were found.

    Raises
    ------
    NotFound
        There is no such project.
    """
    query = (
        select(Correction, Issuance, EmissionFactor, ChainIntent.state)
        .join(Issuance, Issuance.id == Correction.issuance_id)
        .join(EmissionFactor, EmissionFactor.id == Correction.factor_id)
        .outerjoin(ChainIntent, ChainIntent.key == Correction.act_key)
        .options(defer(Correction.manifest), defer(Issuance.manifest))  # long, and not shown
        .order_by(Correction.id)
    )
    if project_code is not None:
        query = query.where(Issuance.project_id == project_named(session, project_code).id)
    if issuance_id is not None:
        query = query.where(Correction.issuance_id == issuance_id)
    return [found_of(*row) for row in session.execute(query).all()]


def debts_of(session: Session, project_code: str | None = None) -> dict[str, Fraction]:
    """Return what corrections still owe, kg, by the key of the correction."""
    return {
        correction.key: -correction.carried_kg
        for number in _projects(session, project_code)
        for correction in unpaid_corrections(session, number)
    }


def overpaid_of(session: Session, project_code: str | None = None) -> dict[str, Fraction]:
    """Return what was paid of corrections beyond what they owed, kg, by the key of the correction."""
    found: dict[str, Fraction] = {}
    for number in _projects(session, project_code):
        found |= overpaid_corrections(session, number)
    return found


def _projects(session: Session, code: str | None) -> Sequence[int]:
    query = select(Project.id)
    return session.scalars(query if code is None else query.where(Project.code == code)).all()
