"""Computes issued periods again, and records what differs: each late reading and each revision once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from sqlalchemy import exists, func, insert, select
from sqlalchemy.orm import Session

from ledger.chain.access import Chain
from ledger.clock import moment_after
from ledger.corrections.cancelling import Cancel, Debt, canceller
from ledger.corrections.forgotten import cancelled_before, key_of
from ledger.corrections.found import Outcome, found_of
from ledger.db import Database
from ledger.errors import NotFound
from ledger.models import (
    Correction,
    CorrectionReading,
    CorrectionRegister,
    EmissionFactor,
    Issuance,
    Meter,
    MeterReading,
    ReadingClaim,
    RegisterReading,
)
from ledger.models.corrections import CorrectionCause, CorrectionState
from ledger.models.issuance import IssuanceState
from ledger.models.readings import ReadingQuality
from ledger.models.sites import MeterRole
from ledger.naming import project_named
from ledger.readings.periods.certificates import known_manifest
from ledger.readings.periods.evidence_files import meter_ids_of, stated_by
from ledger.readings.periods.factor_rows import factor_record
from ledger.readings.periods.period import check_days
from ledger.readings.periods.recomputing import (
    Certificates,
    changed_registers,
    declared_certificates,
    is_register,
    known_certificates,
    recomputed_inputs,
)
from ledger.reductions.arithmetic import compute
from ledger.reductions.factors import factor_kg_per_kwh
from ledger.reductions.manifest import build, canonical_text, manifest_hash
from ledger.reductions.reporting import fraction_text
from ledger.reductions.results import Reduction


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
    BadInput
        The period is empty; or it is to be cancelled, and the key of the account to which it was issued is not here.
    Refused
        A rule of the ledger forbids the recomputation, such as a factor of the wrong purpose; or the chain has paid
        what the books have forgotten (see ``forgotten``).
    """
    cancel = None if chain is None else canceller(chain)
    return db.run(
        lambda session: _correct(session, project_code, period, factor, cancel), keep=not dry_run
    )


def _correct(
    session: Session,
    project_code: str,
    period: tuple[date, date] | None,
    factor: tuple[str, str] | None,
    cancel: Cancel | None,
) -> Outcome:
    if period is not None:
        check_days(*period)
    # Locked, and first: no issuance of the project is planned, and nobody else corrects it, meanwhile.
    project = project_named(session, project_code, lock=True)
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
            if issuance.from_date < period[1] and period[0] < issuance.to_date:
                outcome.passed_over.append(f"{_name(issuance)}: not wholly in these days")
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
        self._certificates = known_certificates(known_manifest(session, issuance))
        self._meters = meter_ids_of(session, issuance)
        self._registers = [
            self._meters[table.serial] for table in stated_by(issuance).meters if is_register(table)
        ]

    def run(self, revised: EmissionFactor | None) -> None:
        """Record what came late, then the revised factor, where there is anything new."""
        current = self._current_factor()
        late = self._late()
        changed = self._registers_changed()
        instants = self._late_instants(at_end=changed)
        if late or instants:
            self._record(CorrectionCause.LATE_READINGS, current, late, instants)
        elif changed or self._may_have_taken_away():
            self._record(CorrectionCause.OTHER, current)
        declared = declared_certificates(self._session, self._issuance)
        if self._takes_other(declared):
            self._certificates = declared
            self._record(CorrectionCause.CERTIFICATE, current)
        if revised is not None and self._is_lower(current, revised):
            self._record(CorrectionCause.CHANGED_FACTOR, revised)
        self._say_what_no_correction_counts()

    def _say_what_no_correction_counts(self) -> None:
        """Name what meters of consumption counted that the issuance does not name: it stays as it was made.

        They were declared later, or were for the inventory alone when it was made. What another issuance deducts is no
        matter of this one: a fork may bring one back after its meter has moved here.
        """
        unnamed = (
            Meter.project_id == self._issuance.project_id,
            Meter.role.in_((MeterRole.IMPORT, MeterRole.FUEL)),
            Meter.id.not_in(self._meters.values()),
        )
        elsewhere = (
            select(ReadingClaim.meter_id, Issuance.from_s, Issuance.to_s)
            .join(Issuance, Issuance.id == ReadingClaim.issuance_id)
            .where(
                ReadingClaim.meter_id.in_(select(Meter.id).where(*unnamed)),
                ReadingClaim.start_s >= self._issuance.from_s,
                ReadingClaim.start_s < self._issuance.to_s,
                ReadingClaim.issuance_id != self._issuance.id,
            )
            .distinct()
            .subquery()
        )
        its_own = exists().where(
            elsewhere.c.meter_id == MeterReading.meter_id,
            elsewhere.c.from_s <= MeterReading.start_s,
            elsewhere.c.to_s > MeterReading.start_s,
        )
        query = (
            select(Meter.serial, Meter.role, func.count())
            .join(MeterReading, MeterReading.meter_id == Meter.id)
            .where(
                *unnamed,
                MeterReading.start_s >= self._issuance.from_s,
                MeterReading.start_s < self._issuance.to_s,
                MeterReading.quality.in_((ReadingQuality.LATE, ReadingQuality.USED)),
                MeterReading.value_digits > 0,  # and so none that was withdrawn
                ~its_own,
            )
            .group_by(Meter.serial, Meter.role)
            .order_by(Meter.serial)
        )
        self._outcome.passed_over += [
            f"{_name(self._issuance)}: readings of the {role} meter {serial} ({count}), which the issuance does "
            "not name: what it counted is deducted by no correction; cancel as much by hand (truetonne credits cancel)"
            for serial, role, count in self._session.execute(query)
        ]

    def _takes_other(self, declared: Certificates) -> bool:
        """Return whether certificates of today leave out something else than what is known yet."""
        if not any(declared.values()) or declared == self._certificates:
            return False
        current = self._current_factor()
        now = self._recomputed(current.id, late=True, certificates=declared)
        known = json.loads(known_manifest(self._session, self._issuance))
        return _left_out(build(now)) != _left_out(known)

    def _late(self) -> list[int]:
        """Return the late intervals of the period that no correction has counted, but those of registers."""
        query = (
            select(MeterReading.id)
            .outerjoin(CorrectionReading, CorrectionReading.reading_id == MeterReading.id)
            .where(
                MeterReading.meter_id.in_(self._meters.values()),
                MeterReading.meter_id.not_in(self._registers),
                MeterReading.start_s >= self._issuance.from_s,
                MeterReading.start_s < self._issuance.to_s,
                MeterReading.quality == ReadingQuality.LATE,
                CorrectionReading.reading_id.is_(None),
            )
        )
        return list(self._session.scalars(query).all())

    def _late_instants(self, *, at_end: bool) -> list[int]:
        """Return the late readings of registers in the period that no correction of it has counted.

        Parameters
        ----------
        at_end
            Whether those at the end of the period touch it: they are late for it, or close an interval in it.
        """
        counted = select(CorrectionRegister.register_id).where(
            CorrectionRegister.issuance_id == self._issuance.id
        )
        table, to_s = RegisterReading, self._issuance.to_s
        closing = select(MeterReading.meter_id).where(
            MeterReading.meter_id.in_(self._registers),  # else all meters are read, whole
            MeterReading.quality == ReadingQuality.LATE,
            MeterReading.start_s >= self._issuance.from_s,
            MeterReading.start_s < to_s,
            MeterReading.start_s + MeterReading.duration_s == to_s,
        )
        late = table.quality == ReadingQuality.LATE
        last = table.meter_id.in_(closing) & (table.quality == ReadingQuality.USED)
        query = select(table.id).where(
            table.meter_id.in_(self._registers),
            (table.at_s >= self._issuance.from_s) & (table.at_s < to_s) & late
            | (table.at_s == (to_s if at_end else -1)) & (late | last),
            table.id.not_in(counted),
        )
        return list(self._session.scalars(query).all())

    def _registers_changed(self) -> bool:
        """Return whether a register has other readings for the period than what is known of it yet."""
        if not self._registers:
            return False
        if not self._earlier:
            return changed_registers(self._session, self._issuance)
        known = json.loads(self._earlier[-1].manifest)
        now = build(self._recomputed(self._current_factor().id, late=True))
        days = [
            {meter["serial"]: meter["days"] for meter in manifest["meters"] if meter["register"]}
            for manifest in (known, now)
        ]
        return days[0] != days[1]

    def _may_have_taken_away(self) -> bool:
        """Return whether what is known yet may lack a deduction, for what came late and is impossible.

        Earlier builds had it so. No import meter of an issuance that asks for completeness has what is impossible, and
        a correction of today has it at most where a register is read, or below the limits.
        """
        if not self._earlier or Fraction(stated_by(self._issuance).completeness_min) <= 0:
            return False
        return any(
            meter["role"] == MeterRole.IMPORT and meter["readings"]["outlier"] > 0
            for meter in json.loads(self._earlier[-1].manifest)["meters"]
        )

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

    def _record(
        self,
        cause: CorrectionCause,
        factor: EmissionFactor,
        late: Sequence[int] = (),
        instants: Sequence[int] = (),
    ) -> None:
        """Record what the issuance comes to now, less what earlier corrections said; pay or carry what is owed for it.

        Parameters
        ----------
        late, instants
            The late readings of interval meters, and of registers, that this correction counts; by row number.
        """
        issued = self._recomputed(self._issuance.factor_id, late=False)
        now = self._recomputed(factor.id, late=True)
        known = sum((Fraction(row.effect_kg) for row in self._earlier), Fraction(0))
        total = now.reductions_kg - issued.reductions_kg
        text = canonical_text(build(now))
        same = next((row for row in self._earlier if row.manifest == text), None)
        if same is not None:  # and so nothing is owed
            self._count(same, late, instants)  # what came says nothing that was not said
            if total != known:  # by others after it, which hold no more
                self._outcome.passed_over.append(
                    f"{_name(self._issuance)}: it comes again to what correction {same.key} says; nothing more is owed"
                )
            return
        paid = sum((Fraction(row.owed_kg) for row in self._earlier), Fraction(0))
        owed = max(-total - paid, Fraction(0))
        hash_of_text = manifest_hash(text)
        key = key_of(self._issuance.key, hash_of_text)
        act_key, cancelled_kg = self._cancelled(key, owed, cause)
        state = CorrectionState.RECORDED
        if owed > 0:
            state = CorrectionState.CANCELLED if cancelled_kg >= owed else CorrectionState.CARRIED
        row = Correction(
            key=key,
            issuance_id=self._issuance.id,
            cause=cause,
            factor_id=factor.id,
            late_readings=len(late) + len(instants),
            effect_kg=fraction_text(total - known),
            owed_kg=fraction_text(owed),
            cancelled_kg=cancelled_kg,
            act_key=act_key,
            state=state,
            manifest=text,
            manifest_hash=hash_of_text,
            found_at=moment_after(self._last_planned()),
        )
        self._session.add(row)
        self._session.flush()
        self._count(row, late, instants)
        self._earlier.append(row)
        self._outcome.found.append(found_of(row, self._issuance, factor))

    def _cancelled(
        self, key: str, owed_kg: Fraction, cause: CorrectionCause
    ) -> tuple[str | None, int]:
        """Plan to cancel on chain what a correction owes, where that is asked for; return key and kilograms of the act.

        It may be refused where it is to be carried, too: the chain may have paid it (``cancelled_before``).
        """
        if owed_kg <= 0:
            return None, 0
        cancels = self._cancel is not None
        done_kg = cancelled_before(self._session, self._issuance, key, cancels=cancels)
        if self._cancel is None:
            return None, 0
        debt = Debt(key, owed_kg, f"correction {key}: {cause}", done_kg)
        return self._cancel(self._session, self._issuance, debt) or (None, 0)

    def _last_planned(self) -> datetime | None:
        """Return when the last issuance of the project was planned: it cannot have taken over what is found now."""
        of_project = Issuance.project_id == self._issuance.project_id
        return self._session.scalar(select(func.max(Issuance.created_at)).where(of_project))

    def _count(self, row: Correction, late: Sequence[int], instants: Sequence[int]) -> None:
        """Note which late readings a correction has counted, so that none is found again."""
        if late:
            self._session.execute(
                insert(CorrectionReading),
                [{"reading_id": number, "correction_id": row.id} for number in late],
            )
        if instants:
            self._session.execute(
                insert(CorrectionRegister),
                [
                    {
                        "register_id": number,
                        "issuance_id": self._issuance.id,
                        "correction_id": row.id,
                    }
                    for number in instants
                ],
            )

    def _recomputed(
        self, factor_id: int, *, late: bool, certificates: Certificates | None = None
    ) -> Reduction:
        """Compute the period as it was issued, or with what came late and the certificates known yet."""
        if late and certificates is None:
            certificates = self._certificates
        inputs = recomputed_inputs(
            self._session, self._issuance, late=late, certificates=certificates
        )
        if factor_id != self._issuance.factor_id:
            factor = factor_record(self._session.get_one(EmissionFactor, factor_id))
            inputs = replace(inputs, factor=factor)
        return compute(replace(inputs, enforce=False))


def _left_out(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what each certificate of a manifest leaves out, by the hash of what was declared."""
    return [
        (item["sha256"], item["left_out_kwh"])
        for meter in manifest["meters"]
        for item in meter.get("energy_certificates", ())
    ]


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
