"""Devices of a site file and their meters: what is new is made, and what readings or credits rest on stays."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.codes import blank_around
from ledger.models import Device, DeviceType, Meter, MeterSeries, Project, ReadingClaim, Site
from ledger.models.devices import DeviceStatus
from ledger.models.sites import FactorPurpose, MeterRole
from ledger.park.unwatched import retyped
from ledger.readings.imports.requalify import requalify
from ledger.readings.periods.issued import is_named_by_issuance
from ledger.reductions.serial_numbers import as_read
from ledger.sites.advice import device_warnings
from ledger.sites.application import Application
from ledger.sites.calibrations import stored_calibrations
from ledger.sites.specs import DeviceSpec


class Devices:
    """The devices of one application."""

    def __init__(self, work: Application, site: Site, project: Project | None) -> None:
        self._work = work
        self._site = site
        self._project = project
        self._serials = _Serials(work.session)

    def apply(self, spec: DeviceSpec) -> Device:
        """Make or change a device, its type and its meter.

        Raises
        ------
        BadInput
            The file changes what must not change, or names what belongs to another site or device.
        """
        query = select(DeviceType).filter_by(type_name=spec.type)
        if self._work.session.scalars(query).first() is None:
            category = "consumption" if spec.role in ("import", "load") else spec.role
            key = {"type_name": spec.type}
            self._work.put(DeviceType, key, {"category": category}, f"device type {spec.type}")
        known = self._work.session.scalars(
            select(Meter)
            .join(Device, Device.id == Meter.device_id)
            .where(Device.device_id == spec.code)
        ).first()
        if known is not None and known.site_id != self._site.id:
            raise self._work.wrong(
                f"device {spec.code!r} belongs to another site; a code is one device's in all sites: "
                "give this one another",
                "taken",
            )
        stored = select(Device.specifications, Device.type, Device.last_seen)
        before = self._work.session.execute(stored.filter_by(device_id=spec.code)).first()
        said: dict[str, Any] = (before and before.specifications) or {}
        values = {
            "name": spec.name,
            "type": spec.type,
            "location": spec.location,
            # What else is known of it, its maker say, came by other ways and is no business of this file.
            "specifications": said
            | {
                "rated_kw": None if spec.rated_kw is None else format(spec.rated_kw, "f"),
                "meter_serial": spec.meter_serial,
            },
        }
        # How it is doing is for those to say who hear from it.
        initial = {"status": DeviceStatus.OFFLINE}
        key = {"device_id": spec.code}
        device = self._work.put(Device, key, values, f"device {spec.code}", initial)
        if before is not None and before.last_seen is not None and before.type != spec.type:
            self._work.changes.warnings += retyped(
                self._work.session, {spec.code: (before.type, spec.type)}
            )
        self._meter(device, spec, known)
        return device

    def _meter(self, device: Device, spec: DeviceSpec, known: Meter | None) -> None:
        role = MeterRole(spec.role)
        counted = None if self._project is None or spec.inventory_only else self._project.id
        self._require_own_serial(device, spec, known)
        if known is not None:
            self._require_as_it_is(known, spec, role)
            if known.project_id != counted:
                self._require_not_issued(known, spec)
        fuel = (self._fuel_factor_of(spec, role), spec.density_kg_per_l)
        self._work.changes.warnings += device_warnings(spec)
        if known is None:
            shown_otherwise, judged_anew, leaves = role is MeterRole.IMPORT, False, False
        else:
            shown_otherwise = (known.fuel_factor_id, known.density_kg_per_l) != fuel
            judged_by = (known.rated_kw, known.stuck_hours or 0)
            has_readings = self._work.session.get(MeterSeries, known.id) is not None
            judged_anew = has_readings and judged_by != (spec.rated_kw, spec.stuck_hours)
            # What came late for the issuances of a project is not late for a meter that is no part of it.
            leaves = has_readings and known.project_id not in (None, counted)
        self._work.shown_otherwise |= shown_otherwise
        values = {
            "site_id": self._site.id,
            "project_id": counted,
            "serial": spec.meter_serial,
            "role": role,
            "rated_kw": spec.rated_kw,
            "accuracy_class": spec.accuracy_class,
            "calibrated_from": spec.calibrated_from,
            "calibrated_to": spec.calibrated_to,
            "calibrated": spec.calibrated,
            "measured_error": spec.measured_error,
            "calibrations": stored_calibrations(self._work.file.calibrations, spec.code),
            "fuel_factor_id": fuel[0],
            "density_kg_per_l": spec.density_kg_per_l,
            "stuck_hours": spec.stuck_hours,
            "in_service_from": spec.in_service_from,
            "in_service_to": spec.in_service_to,
        }
        meter = self._work.put(
            Meter, {"device_id": device.id}, values, f"meter {spec.meter_serial}"
        )
        count = requalify(self._work.session, meter.id) if judged_anew or leaves else 0
        if count:
            why = " by the changed rated power or stuck_hours"
            if not judged_anew:
                why = ": what is issued of the project is not of this meter"
            self._work.changes.warnings.append(
                f"meter {spec.meter_serial}: {count} readings judged anew{why}"
            )

    def _fuel_factor_of(self, spec: DeviceSpec, role: MeterRole) -> int | None:
        """Return the row number of the factor of a meter's fuel; warn where a meter of fuel has none."""
        if spec.fuel_factor is not None:
            what = f"device {spec.code}: fuel_factor"
            version = spec.fuel_factor_version
            return self._work.factor_row(spec.fuel_factor, version, what, FactorPurpose.FUEL).id
        if role is MeterRole.FUEL:
            self._work.changes.warnings.append(
                f"device {spec.code}: no fuel_factor says what its fuel emits; reductions will be refused"
            )
        return None

    def _require_own_serial(self, device: Device, spec: DeviceSpec, known: Meter | None) -> None:
        """Refuse a serial number of another device, or a new one that reads as such; one that is stored stays."""
        query = select(Meter).filter_by(serial=spec.meter_serial)
        other = self._work.session.scalars(query).first()
        if other is not None and other.device_id != device.id:
            raise self._work.wrong(
                f"device {spec.code}: meter {spec.meter_serial!r} belongs to another device; its readings "
                "would count twice",
                "meter-taken",
            )
        before = None if known is None else known.serial
        if before == spec.meter_serial:
            return
        twin = self._serials.twin_of(spec.meter_serial, device.id)
        if twin is not None:
            raise self._work.wrong(
                f"device {spec.code}: meter {spec.meter_serial!r} reads as {twin!r} of another device, but for "
                "case, width, blanks or signs that do not show; its readings would count twice",
                "meter-taken",
            )
        if (why := blank_around(spec.meter_serial)) is not None:
            raise self._work.wrong(f"device {spec.code}: meter_serial {why}", "bad-site-file")
        self._serials.give(device.id, before, spec.meter_serial)

    def _require_as_it_is(self, known: Meter, spec: DeviceSpec, role: MeterRole) -> None:
        """Refuse another serial number or role of a meter that readings or credits rest on."""
        if (known.serial, known.role) == (spec.meter_serial, role):
            return
        what = _why_as_it_is(self._work.session, known)
        if what is not None:
            raise self._work.wrong(
                f"device {spec.code}: its meter {known.serial} ({known.role.value}) {what}, "
                "so that serial and role stay; declare another [[device]] for another meter",
                "meter-changed",
            )

    def _require_not_issued(self, known: Meter, spec: DeviceSpec) -> None:
        """Refuse to take a meter out of a project that credits were issued to with it."""
        what = _why_in_project(self._work.session, known)
        if what is not None:
            raise self._work.wrong(
                f"device {spec.code}: {what}, so that it stays with its project; declare another "
                "[[device]] for another use",
                "meter-issued",
            )


class _Serials:
    """The serial numbers of all meters, of every site.

    Two that an eye takes for the same are refused: one meter under two of them would be credited twice.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, dict[int, str]] | None = None

    def twin_of(self, serial: str, device_id: int) -> str | None:
        """Return the serial number of another device's meter that reads the same; None: there is none."""
        others = self._by_reading().get(as_read(serial), {})
        return next((other for owner, other in others.items() if owner != device_id), None)

    def give(self, device_id: int, before: str | None, serial: str) -> None:
        """Note that the meter of a device has another serial number now."""
        known = self._by_reading()
        if before is not None:
            known.get(as_read(before), {}).pop(device_id, None)
        known.setdefault(as_read(serial), {})[device_id] = serial

    def _by_reading(self) -> dict[str, dict[int, str]]:
        """Return serial numbers as they are read, by the row number of the device."""
        if self._known is None:
            self._known = {}
            rows = self._session.execute(select(Meter.device_id, Meter.serial).order_by(Meter.id))
            for device_id, serial in rows.all():
                self._known.setdefault(as_read(serial), {})[device_id] = serial
        return self._known


def _why_as_it_is(session: Session, meter: Meter) -> str | None:
    """Return why a meter keeps serial and role; None: it need not."""
    if session.get(MeterSeries, meter.id) is not None:
        return "has readings"
    return "is named by credits that were issued" if is_named_by_issuance(session, meter) else None


def _why_in_project(session: Session, meter: Meter) -> str | None:
    """Return why a meter stays with its project; None: it need not."""
    if meter.project_id is None:
        return None
    query = select(ReadingClaim.issuance_id).where(ReadingClaim.meter_id == meter.id).limit(1)
    if session.scalars(query).first() is not None:
        return f"readings of its meter {meter.serial} were issued"
    if is_named_by_issuance(session, meter):
        return f"credits that were issued name its meter {meter.serial}, without readings"
    return None
