"""Computes issued periods again, and records what differs: each late reading and each revision once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from fractions import Fraction

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.chain.intents import new_key
from ledger.corrections.cancelling import Cancel, canceller
from ledger.db import Database
from ledger.errors import NotFound
from ledger.models import (
    Correction,
    CorrectionReading,
    EmissionFactor,
    Issuance,
    MeterReading,
    Project,
    RegisterReading,
)
from ledger.models.corrections import CorrectionCause, CorrectionState
from ledger.models.evidence import IssuanceState, ReadingQuality
from ledger.readings.carry import unpaid_corrections
from ledger.readings.evidence_files import meter_ids_of, recomputed_inputs
from ledger.readings.factor_rows import factor_record
from ledger.reductions.arithmetic import compute, factor_kg_per_kwh
from ledger.reductions.manifest import build, canonical_text, fraction_text, manifest_hash
from ledger.reductions.records import Reduction


@dataclass(frozen=True)
class Found:
    """A correction as it was recorded, and the period that it corrects."""

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


def correct(
    db: Database,
    project_code: str,
    *,
    period: tuple[date, date] | None = None,
    factor: tuple[str, str] | None = None,
    chain: Chain | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Record the effects of late readings, and of a lower revision of a factor, on issued periods.

    Parameters
    ----------
    db
        The books.
    period
        Only issuances that lie in these legal dates, the end exclusive; None: all of the project.
    factor
        Code and version of a revised factor that the issuances shall be measured by.
    chain
        To cancel what was issued too much; None: it is carried.
    dry_run
        Do all of it and keep nothing.

    Raises
    ------
    NotFound
        There is no such project or factor.
    Refused
        A rule of the ledger forbids the recomputation, such as a factor of the wrong purpose.
    """
    cancel = None if chain is None else canceller(chain)

    def work(session: Session) -> Outcome:
        outcome = _correct(session, project_code, period, factor, cancel)
        if dry_run:
            session.rollback()
        return outcome

    return db.run(work)


def _correct(
    session: Session,
    project_code: str,
    period: tuple[date, date] | None,
    factor: tuple[str, str] | None,
    cancel: Cancel | None,
) -> Outcome:
    # Locked, and first: no issuance of the project is planned, and nobody else corrects it, meanwhile.
    query = select(Project).where(Project.code == project_code).with_for_update()
    project = session.scalars(query).first()
    if project is None:
        raise NotFound(f"no project {project_code!r}; projects come from site files")
    revised = None if factor is None else _factor(session, *factor)
    outcome = Outcome()
    issuances = (
        select(Issuance)
        .where(Issuance.project_id == project.id, Issuance.state != IssuanceState.VOID)
        .order_by(Issuance.from_s)
    )
    for issuance in session.scalars(issuances).all():
        if period is not None and not (
            period[0] <= issuance.from_date and issuance.to_date <= period[1]
        ):
            continue
        if issuance.state is not IssuanceState.ISSUED:
            outcome.passed_over.append(f"{_name(issuance)}: not issued yet")
            continue
        _Corrector(session, issuance, cancel, outcome).run(revised)
    return outcome


class _Corrector:
    """Finds the corrections of one issuance."""

    def __init__(
        self, session: Session, issuance: Issuance, cancel: Cancel | None, outcome: Outcome
    ) -> None:
        self._session = session
        self._issuance = issuance
        self._cancel = cancel
        self._outcome = outcome
        query = select(Correction).where(Correction.issuance_id == issuance.id)
        self._earlier = list(session.scalars(query.order_by(Correction.id)).all())

    def run(self, revised: EmissionFactor | None) -> None:
        """Record the late readings, then the revised factor, where there is anything new."""
        late = self._late()
        instants = self._late_instants()
        if instants:
            self._outcome.passed_over.append(
                f"{_name(self._issuance)}: {instants} late readings of a register, which stand between readings "
                "that are issued: the sum over them stays what it was"
            )
        current = self._current_factor()
        if late:
            self._record(CorrectionCause.LATE_READINGS, current, late)
        if revised is None or not self._is_lower(current, revised):
            return
        self._record(CorrectionCause.CHANGED_FACTOR, revised, [])

    def _late(self) -> list[int]:
        """Return the late readings of the period that no correction has counted."""
        ids = meter_ids_of(self._session, self._issuance)
        query = (
            select(MeterReading.id)
            .outerjoin(CorrectionReading, CorrectionReading.reading_id == MeterReading.id)
            .where(
                MeterReading.meter_id.in_(ids.values()),
                MeterReading.start_s >= self._issuance.from_s,
                MeterReading.start_s < self._issuance.to_s,
                MeterReading.quality == ReadingQuality.LATE,
                CorrectionReading.reading_id.is_(None),
            )
        )
        return list(self._session.scalars(query).all())

    def _late_instants(self) -> int:
        """Return how many readings of registers came for an instant of the issued period."""
        ids = meter_ids_of(self._session, self._issuance)
        query = (
            select(func.count())
            .select_from(RegisterReading)
            .where(
                RegisterReading.meter_id.in_(ids.values()),
                RegisterReading.at_s >= self._issuance.from_s,
                RegisterReading.at_s < self._issuance.to_s,
                RegisterReading.quality == ReadingQuality.LATE,
            )
        )
        return self._session.scalar(query) or 0

    def _current_factor(self) -> EmissionFactor:
        number = self._earlier[-1].factor_id if self._earlier else self._issuance.factor_id
        return self._session.get_one(EmissionFactor, number)

    def _is_lower(self, current: EmissionFactor, revised: EmissionFactor) -> bool:
        if revised.id == current.id:
            return False
        what = f"{_name(self._issuance)}: issued with factor {current.code} {current.version}"
        if revised.code != current.code:
            self._outcome.passed_over.append(f"{what}, which {revised.code} does not revise")
            return False
        before, after = (factor_kg_per_kwh(factor_record(row)) for row in (current, revised))
        if after >= before:
            self._outcome.passed_over.append(
                f"{what}; {revised.version} is not lower ({revised.value} {revised.unit}): "
                "nothing was issued too much"
            )
            return False
        return True

    def _record(self, cause: CorrectionCause, factor: EmissionFactor, late: list[int]) -> None:
        issued = self._recomputed(self._issuance.factor_id, late=False)
        now = self._recomputed(factor.id, late=True)
        known = sum((Fraction(row.effect_kg) for row in self._earlier), Fraction(0))
        total = now.reductions_kg - issued.reductions_kg
        paid = sum((Fraction(row.owed_kg) for row in self._earlier), Fraction(0))
        owed = max(-total - paid, Fraction(0))
        key = new_key()
        act = None
        if owed > 0 and self._cancel is not None:
            act = self._cancel(self._session, self._issuance, owed, f"correction {key}: {cause}")
        act_key, cancelled_kg = act or (None, 0)
        state = CorrectionState.RECORDED
        if owed > 0:
            state = CorrectionState.CANCELLED if cancelled_kg >= owed else CorrectionState.CARRIED
        text = canonical_text(build(now))
        row = Correction(
            key=key,
            issuance_id=self._issuance.id,
            cause=cause,
            factor_id=factor.id,
            late_readings=len(late),
            effect_kg=fraction_text(total - known),
            owed_kg=fraction_text(owed),
            cancelled_kg=cancelled_kg,
            act_key=act_key,
            state=state,
            manifest=text,
            manifest_hash=manifest_hash(text),
            found_at=datetime.now(UTC),
        )
        self._session.add(row)
        self._session.flush()
        if late:
            self._session.execute(
                insert(CorrectionReading),
                [{"reading_id": number, "correction_id": row.id} for number in late],
            )
        self._earlier.append(row)
        self._outcome.found.append(found_of(row, self._issuance, factor))

    def _recomputed(self, factor_id: int, *, late: bool) -> Reduction:
        inputs = recomputed_inputs(self._session, self._issuance, late=late)
        if factor_id != self._issuance.factor_id:
            factor = factor_record(self._session.get_one(EmissionFactor, factor_id))
            inputs = replace(inputs, factor=factor)
        return compute(replace(inputs, enforce=False))


def found_of(row: Correction, issuance: Issuance, factor: EmissionFactor) -> Found:
    """Return a stored correction with the period that it corrects."""
    return Found(
        key=row.key,
        issuance_key=issuance.key,
        from_date=issuance.from_date,
        to_date=issuance.to_date,
        cause=row.cause.value,
        state=row.state.value,
        late_readings=row.late_readings,
        effect_kg=Fraction(row.effect_kg),
        owed_kg=Fraction(row.owed_kg),
        cancelled_kg=row.cancelled_kg,
        act_key=row.act_key,
        factor=f"{factor.code} {factor.version}",
        manifest_hash=row.manifest_hash,
    )


def corrections_of(session: Session, project_code: str | None = None) -> list[Found]:
    """Return the corrections of a project, or of all, in the order in which they were found.

    Raises
    ------
    NotFound
        There is no such project.
    """
    query = (
        select(Correction, Issuance, EmissionFactor)
        .join(Issuance, Issuance.id == Correction.issuance_id)
        .join(EmissionFactor, EmissionFactor.id == Correction.factor_id)
        .order_by(Correction.id)
    )
    if project_code is not None:
        ids = session.scalars(select(Project.id).where(Project.code == project_code)).all()
        if not ids:
            raise NotFound(f"no project {project_code!r}; projects come from site files")
        query = query.where(Issuance.project_id.in_(ids))
    return [found_of(*row) for row in session.execute(query).all()]


def debts_of(session: Session, project_code: str | None = None) -> dict[str, Fraction]:
    """Return what corrections still owe, kg, by the key of the correction."""
    query = select(Project.id)
    if project_code is not None:
        query = query.where(Project.code == project_code)
    return {
        correction.key: -correction.carried_kg
        for number in session.scalars(query).all()
        for correction in unpaid_corrections(session, number)
    }


def _factor(session: Session, code: str, version: str) -> EmissionFactor:
    rows: Sequence[EmissionFactor] = session.scalars(
        select(EmissionFactor).where(EmissionFactor.code == code)
    ).all()
    for row in rows:
        if row.version == version:
            return row
    known = ", ".join(row.version for row in rows) or "none"
    raise NotFound(
        f"no factor {code!r} of version {version!r}; known versions are: {known}. Factors come from site files"
    )


def _name(issuance: Issuance) -> str:
    return f"{issuance.from_date} to {issuance.to_date}"
