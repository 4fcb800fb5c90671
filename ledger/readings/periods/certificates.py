"""Energy certificates in the books: which are of a period, and what issuances have left out for them.

What an issuance left out stands in its manifest, or in that of its last correction: nothing else says it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger import models
from ledger.models.issuance import LIVE
from ledger.readings.rows.asking import asked_together
from ledger.reductions.records import EnergyCertificate
from ledger.reductions.zones import legal_day_end_s, legal_day_start_s


def seconds_of_days(first: date, last: date, where: ZoneInfo) -> tuple[int, int]:
    """Return when legal days begin and end, the last one included, seconds."""
    return legal_day_start_s(first, where), legal_day_end_s(last, where)


def certificates_of(
    session: Session,
    meters: Sequence[models.Meter],
    where: ZoneInfo,
    period: tuple[int, int],
    *,
    since_s: int,
    lock: bool = False,
) -> dict[int, tuple[EnergyCertificate, ...]]:
    """Return the declared certificates that are of a period by the row numbers of their meters, in order of time.

    Parameters
    ----------
    period
        First second, and first second after it.
    since_s
        What issuances that lie between it and the end of the period left out is not counted as left out
        before: they are what is computed.
    lock
        Read what is committed now.
    """
    from_s, to_s = period
    by_id = {meter.id: meter for meter in meters}
    found: dict[int, list[EnergyCertificate]] = {meter_id: [] for meter_id in by_id}
    for row in _declared(session, list(by_id), lock=lock):
        begins_s, ends_s = seconds_of_days(row.from_day, row.to_day, where)
        if begins_s >= to_s or ends_s <= from_s:
            continue
        before = Fraction(0)
        if row.energy_mwh is not None:
            span = (begins_s, ends_s)
            for issuance, stated in manifests_of(session, by_id[row.meter_id], span):
                if not (since_s <= issuance.from_s and issuance.to_s <= to_s):
                    before += _left_out(stated, row)
        found[row.meter_id].append(
            EnergyCertificate(
                row.instrument, row.reference, begins_s, ends_s, row.energy_mwh, row.share, before
            )
        )
    return {meter_id: tuple(items) for meter_id, items in found.items()}


def _declared(
    session: Session, meter_ids: Sequence[int], *, lock: bool
) -> Iterator[models.EnergyCertificate]:
    table = models.EnergyCertificate
    for together in asked_together(meter_ids, lock=lock):
        query = select(table).where(table.meter_id.in_(together))
        query = query.order_by(table.from_day, table.instrument, table.reference)
        yield from session.scalars(query.with_for_update(read=True) if lock else query).all()


def manifests_of(
    session: Session, meter: models.Meter, span: tuple[int, int]
) -> Iterator[tuple[models.Issuance, dict[str, Any]]]:
    """Yield the live issuances that touch a time, with what is known of the meter in each.

    That is what the manifest of the last correction says of it, else the issuance's own.
    """
    issuance = models.Issuance
    query = (
        select(issuance)
        .join(models.Project, models.Project.id == issuance.project_id)
        .where(
            models.Project.site_id == meter.site_id,
            issuance.state.in_(LIVE),
            issuance.from_s < span[1],
            issuance.to_s > span[0],
        )
        .order_by(issuance.from_s)
    )
    for row in session.scalars(query).all():
        for table in json.loads(known_manifest(session, row))["meters"]:
            if table["serial"] == meter.serial:
                yield row, table


def known_manifest(session: Session, issuance: models.Issuance) -> str:
    """Return the manifest of the last correction of an issuance; its own when nothing was corrected."""
    query = (
        select(models.Correction.manifest)
        .where(models.Correction.issuance_id == issuance.id)
        .order_by(models.Correction.id.desc())
        .limit(1)
    )
    return session.scalars(query).first() or issuance.manifest


def is_named(stated: dict[str, Any], instrument: str, reference: str) -> bool:
    """Return whether a manifest names a certificate of a meter."""
    return any(
        (item["instrument"], item["reference"]) == (instrument, reference)
        for item in stated.get("energy_certificates", ())
    )


def _left_out(stated: dict[str, Any], row: models.EnergyCertificate) -> Fraction:
    """Return what a manifest says that was left out for a certificate, kWh."""
    parts = (
        Fraction(item["left_out_kwh"])
        for item in stated.get("energy_certificates", ())
        if (item["instrument"], item["reference"]) == (row.instrument, row.reference)
    )
    return sum(parts, Fraction(0))
