"""What these books alone know of a batch: files, readings, the calculation, and its corrections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from urllib.parse import quote, urlencode

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from api.credits.schemas import HistoryEntry
from ledger.chain.sending.issued import issuance_of
from ledger.corrections import corrections_of
from ledger.models import (
    CreditBatch,
    Device,
    EmissionFactor,
    ImportFile,
    Issuance,
    Meter,
    MeterReading,
    MeterSource,
    Project,
    Site,
)
from ledger.models.readings import ReadingQuality
from ledger.readings.periods.evidence_files import stated_by
from ledger.reductions.manifest_shapes import Manifest
from ledger.reductions.reporting import owed, shown

CALCULATED = 2**62
"""Where the calculation stands: behind every file, also behind one that comes later; corrections follow it."""

DEVICES_NAMED_MAX = 50
"""Devices that an entry names."""


def entries_before(session: Session, batch: CreditBatch) -> Iterator[tuple[int, HistoryEntry]]:
    """Yield the files that brought the readings of a batch's period, its calculation and its corrections, oldest first.

    Each comes with a number that places it, and that what is imported later does not change.
    """
    issuance = issuance_of(session, batch)
    if issuance is None:
        return
    # Counted apart: MariaDB does not know that a file's and a meter's columns follow from their numbers.
    came_late = case((MeterReading.quality == ReadingQuality.LATE, 1), else_=0)
    brought = (
        select(
            MeterReading.file_id,
            MeterReading.meter_id,
            func.count(MeterReading.id).label("readings"),
            func.sum(came_late).label("late"),
        )
        .join(Meter, Meter.id == MeterReading.meter_id)
        .where(
            Meter.project_id == issuance.project_id,
            MeterReading.start_s >= issuance.from_s,
            MeterReading.start_s < issuance.to_s,
        )
        .group_by(MeterReading.file_id, MeterReading.meter_id)
        .subquery()
    )
    files = (
        select(
            ImportFile,
            MeterSource.name,
            Device.device_id,
            brought.c.readings,
            brought.c.late,
        )
        .join(brought, brought.c.file_id == ImportFile.id)
        .join(Meter, Meter.id == brought.c.meter_id)
        .join(Device, Device.id == Meter.device_id)
        .join(MeterSource, MeterSource.id == ImportFile.source_id)
        .order_by(ImportFile.id, Device.id)
    )
    for (file, source), rows in groupby(session.execute(files), lambda row: (row[0], row[1])):
        devices, counts, lates = zip(*((row[2], row[3], int(row[4])) for row in rows), strict=True)
        entry = _entry(
            "readings_imported",
            file.imported_at,
            file=file.file_name,
            file_sha256=file.file_sha256,
            source=source,
            devices=", ".join(devices[:DEVICES_NAMED_MAX]),
            **_told(more_devices=len(devices) - DEVICES_NAMED_MAX),
            readings=str(sum(counts)),
            **_told(late=sum(lates)),
        )
        yield file.id, entry
    yield CALCULATED, _calculation(session, batch, issuance)
    yield from _corrections(session, issuance)


def _calculation(session: Session, batch: CreditBatch, issuance: Issuance) -> HistoryEntry:
    query = (
        select(Project, Site.code)
        .join(Site, Site.id == Project.site_id)
        .where(Project.id == issuance.project_id)
    )
    project, site = session.execute(query).one()
    factor = session.get_one(EmissionFactor, issuance.factor_id)
    # The tables of readings end with the day before `to`, as the issuance does.
    days = urlencode({"site": site, "from": issuance.from_date, "to": issuance.to_date})
    uncertainty = issuance.uncertainty_t
    # What it was made with: the project may have another methodology by now.
    stated = stated_by(issuance)
    certified = stated.energy.certified_kwh if isinstance(stated, Manifest) else None
    return _entry(
        "reductions_computed",
        issuance.created_at,
        project=project.code,
        methodology=f"{stated.methodology.id}/{stated.methodology.version}",
        period_from=issuance.from_date.isoformat(),
        period_to=issuance.to_date.isoformat(),
        readings_expected=str(issuance.readings_expected),
        readings_used=str(issuance.readings_used),
        readings_missing=str(issuance.readings_missing),
        readings_outlier=str(issuance.readings_outlier),
        readings_conflict=str(issuance.readings_conflict),
        readings_link=f"/v1/credits/{quote(str(batch.batch_id), safe='')}/readings",
        quality_link=f"/v1/readings/quality?{days}",
        energy_link=f"/v1/energy?{days}",
        export_kwh=f"{issuance.export_kwh:f}",
        import_kwh=f"{issuance.import_kwh:f}",
        net_kwh=f"{issuance.net_kwh:f}",
        **({"certified_kwh": certified} if certified and Decimal(certified) else {}),
        factor=f"{factor.code} {factor.version}",
        factor_value=f"{factor.value} {factor.unit}",
        baseline_t=f"{issuance.baseline_t:f}",
        project_t=f"{issuance.project_t:f}",
        leakage_t=f"{issuance.leakage_t:f}",
        **({} if uncertainty is None else {"uncertainty_t": f"{uncertainty:f}"}),
        reductions_kg=f"{issuance.reductions_kg:f}",
        carry_in_kg=issuance.carry_in_kg,
        carry_out_kg=issuance.carry_out_kg,
        issued_kg=str(issuance.issued_kg),
        evidence_root=issuance.evidence_root,
        leaves=str(issuance.leaves),
        manifest_hash=issuance.manifest_hash,
    )


def _corrections(session: Session, issuance: Issuance) -> Iterator[tuple[int, HistoryEntry]]:
    """Yield what was learnt after an issuance: how much less, or more, it should have been, and how that is paid."""
    for item in corrections_of(session, issuance_id=issuance.id):
        entry = _entry(
            "corrected",
            item.found_at,
            cause=item.cause,
            state=item.state,
            late_readings=str(item.late_readings),
            factor=item.factor,
            effect_kg=shown(item.effect_kg),
            owed_kg=owed(item.owed_kg),
            cancelled_kg=str(item.cancelled_kg),
            carried_kg=shown(-item.carried_kg),
            key=item.key,
            manifest_hash=item.manifest_hash,
        )
        yield CALCULATED + item.number, entry


def _told(**counts: int) -> dict[str, str]:
    """Return the counts that have something to say."""
    return {name: str(count) for name, count in counts.items() if count > 0}


def _entry(kind: str, at: datetime, **values: str) -> HistoryEntry:
    return HistoryEntry(
        kind=kind,
        at=at.astimezone(UTC),
        block_number=None,
        log=None,
        tx_hash=None,
        final=None,
        values=values,
    )
