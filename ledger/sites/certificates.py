"""``[[energy_certificate]]``: energy of a device that was sold or issued under another instrument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.codes import blank_around
from ledger.errors import BadInput
from ledger.models import Device, EnergyCertificate, Meter, Project, Site
from ledger.readings.periods.certificates import is_named, manifests_of, seconds_of_days
from ledger.reductions.records import Role
from ledger.reductions.zones import zone
from ledger.sites.changes import SiteChanges, note_change, note_removal
from ledger.sites.document import Document, Table
from ledger.sites.specs import DeviceSpec, EnergyCertificateSpec, SiteFile

_KEYS = frozenset(item.name for item in fields(EnergyCertificateSpec))
_OF_A_CERTIFICATE = ("from_day", "to_day", "energy_mwh", "share")
_MWH_END = 10**9


def read_certificate(table: Table) -> EnergyCertificateSpec:
    """Read one certificate.

    Raises
    ------
    BadInput
        A key is unknown, missing or wrong.
    """
    table.require_known(_KEYS)
    days = {}
    for key in ("from_day", "to_day"):
        day = table.day(key)
        if day is None:
            raise table.wrong(None, f"{key!r} is missing", "missing-key")
        days[key] = day
    if days["from_day"] > days["to_day"]:
        raise table.wrong("to_day", "to_day comes before from_day")
    amounts = {key: table.decimal(key) for key in ("energy_mwh", "share") if table.has(key)}
    if len(amounts) != 1:
        raise table.wrong(
            None,
            "write energy_mwh, how much was certified, or share, which part of all; one of them",
        )
    if "energy_mwh" in amounts and not 0 < Decimal(amounts["energy_mwh"]) < _MWH_END:
        raise table.wrong(
            "energy_mwh", f"energy_mwh is above 0 and below 1e9, found {amounts['energy_mwh']}"
        )
    if "share" in amounts and not 0 < Decimal(amounts["share"]) <= 1:
        raise table.wrong("share", f"share is above 0, up to 1 for all, found {amounts['share']}")
    return EnergyCertificateSpec(
        device=table.text("device", 100),
        instrument=table.text("instrument", 40, "such as GEC, I-REC or GO"),
        reference=table.text("reference", 100, "its number in the registry that issued it"),
        energy_mwh=amounts.get("energy_mwh"),
        share=amounts.get("share"),
        **days,
    )


def check_certificates(
    document: Document,
    certificates: tuple[EnergyCertificateSpec, ...],
    devices: Mapping[str, DeviceSpec],
) -> None:
    """Refuse certificates of nothing, twice, or of more than there is.

    Raises
    ------
    BadInput
        With the table that is wrong.
    """
    name = "energy_certificate"
    for place, item in enumerate(certificates):
        device = devices.get(item.device)
        if device is None:
            message = f"no [[device]] has code {item.device!r}"
            raise document.wrong(name, place, "device", message)
        if not Role(device.role).supplies:
            message = f"device {item.device!r} has the role {device.role}: it supplies nothing that is certified"
            raise document.wrong(name, place, "device", message)
        mine = [other for other in certificates[:place] if other.device == item.device]
        if any(
            (item.instrument, item.reference) == (one.instrument, one.reference) for one in mine
        ):
            message = f"{_label(item)} stands twice"
            raise document.wrong(name, place, "reference", message)
        for day in {item.from_day, *(one.from_day for one in mine)}:
            shares = [Decimal(one.share) for one in (*mine, item) if one.share and _has(one, day)]
            if _has(item, day) and sum(shares) > 1:
                message = f"the shares of {item.device!r} on {day} are {sum(shares)} together, more than all"
                raise document.wrong(name, place, "share", message)


def apply_certificates(
    session: Session, file: SiteFile, devices: Mapping[str, Device], changes: SiteChanges
) -> None:
    """Bring the certificates of each device to those of the file.

    One that is of an issued period is recorded all the same: it was not known, and a correction pays for it.

    Raises
    ------
    BadInput
        One is changed or taken out that an issuance has left energy out for.
    """
    for code, device in devices.items():
        # Locked: no issuance is planned with the meter meanwhile.
        query = select(Meter).filter_by(device_id=device.id)
        meter = session.scalars(query.with_for_update()).one()
        wanted = {
            (item.instrument, item.reference): item
            for item in file.energy_certificates
            if item.device == code
        }
        # Read as it is committed now, and not as it was when this unit of work began.
        stored = select(EnergyCertificate).filter_by(meter_id=meter.id).with_for_update(read=True)
        rows = session.scalars(stored).all()
        known = {(row.instrument, row.reference): row for row in rows}
        # What is taken out goes first: on MariaDB GO-1 may take the place of "GO-1 ", and not stand beside it.
        for name in sorted({*wanted, *known}, key=lambda name: (name in wanted, name)):
            _apply(session, file, meter, known.get(name), wanted.get(name), changes)


def _apply(
    session: Session,
    file: SiteFile,
    meter: Meter,
    row: EnergyCertificate | None,
    spec: EnergyCertificateSpec | None,
    changes: SiteChanges,
) -> None:
    """Make, change or take out one certificate."""
    values = {} if spec is None else {name: getattr(spec, name) for name in _OF_A_CERTIFICATE}
    if row is None:
        assert spec is not None
        for key, text in (("instrument", spec.instrument), ("reference", spec.reference)):
            if (why := blank_around(text)) is not None:
                where = f"{file.name}: [[energy_certificate]] of device {spec.device}"
                raise BadInput(f"{where}: {key} {why}", code="bad-site-file")
        session.add(
            EnergyCertificate(
                meter_id=meter.id, instrument=spec.instrument, reference=spec.reference, **values
            )
        )
        changes.created.append(_label(spec))
        changes.warnings += _issued_already(session, meter, spec)
        return
    if spec is not None and all(getattr(row, name) == value for name, value in values.items()):
        changes.unchanged.append(_label(spec))
        return
    _require_not_named(session, file, meter, row)
    label = f"energy certificate {row.instrument} {row.reference}"
    changes.updated.append(label)
    if spec is None:
        note_removal(session, row, ("meter_id", "instrument", "reference", *_OF_A_CERTIFICATE))
        session.delete(row)
        session.flush()
        changes.warnings.append(
            f"{label}: taken out, for the file does not have it any more; its energy is credited again"
        )
        return
    for name, value in values.items():
        setattr(row, name, value)
    note_change(session, row)
    changes.warnings += _issued_already(session, meter, spec)


def _require_not_named(
    session: Session, file: SiteFile, meter: Meter, row: EnergyCertificate
) -> None:
    for issuance, stated in manifests_of(session, meter, _span(session, meter, row)):
        if is_named(stated, row.instrument, row.reference):
            raise BadInput(
                f"{file.name}: [[energy_certificate]] {row.instrument} {row.reference} stays as it is: what was "
                f"issued from {issuance.from_date} to {issuance.to_date} leaves energy out for it; declare what "
                "came in addition under a reference of its own",
                code="period-already-issued",
            )


def _issued_already(session: Session, meter: Meter, spec: EnergyCertificateSpec) -> list[str]:
    """Return the warning that credits were issued for days of a certificate."""
    issued = [item for item, _ in manifests_of(session, meter, _span(session, meter, spec))]
    if not issued:
        return []
    found = ", ".join(f"{item.from_date} to {item.to_date}" for item in issued)
    project = session.get_one(Project, issued[0].project_id)
    return [
        f"{_label(spec)}: credits were issued for days of it ({found}); record what was too much with "
        f"truetonne reductions correct --project {project.code}"
    ]


def _span(
    session: Session, meter: Meter, item: EnergyCertificate | EnergyCertificateSpec
) -> tuple[int, int]:
    site = session.get_one(Site, meter.site_id)
    return seconds_of_days(item.from_day, item.to_day, zone(site.time_zone))


def _has(item: EnergyCertificateSpec, day: date) -> bool:
    return item.from_day <= day <= item.to_day


def _label(item: EnergyCertificateSpec) -> str:
    return f"energy certificate {item.instrument} {item.reference}"
