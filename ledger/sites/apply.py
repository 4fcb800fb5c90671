"""A site file into the database: what is new is made, what differs is changed, the rest is left.

Nothing is deleted: a device that is taken out of the file keeps its rows. What an issued credit
rests on cannot be changed: factors are append-only, and a meter that has readings keeps its
serial and role.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.errors import BadInput
from ledger.models import (
    Device,
    DeviceType,
    EmissionFactor,
    Meter,
    MeterSeries,
    MeterSource,
    Project,
    Site,
)
from ledger.models.base import Base
from ledger.models.devices import DeviceStatus
from ledger.models.evidence import FactorPurpose, MeterRole, SourceKind, SourceLabel
from ledger.readings.formats import Format
from ledger.readings.requalify import requalify
from ledger.sites.changes import SiteChanges
from ledger.sites.meter_changes import apply_meter_changes, derive_anew, meters_of_source
from ledger.sites.plants import apply_plants
from ledger.sites.site_file import read_site_file
from ledger.sites.specs import DeviceSpec, FactorSpec, SiteFile, SourceSpec

Row = TypeVar("Row", bound=Base)
ResolveAccount = Callable[[str], str]


def plain_account(text: str) -> str:
    """Return an account that is written as an address, in lower case.

    Raises
    ------
    BadInput
        It is not an address.
    """
    body = text[2:]
    if text[:2] != "0x" or len(body) != 40 or set(body.lower()) - set("0123456789abcdef"):
        raise BadInput(f"{text!r} is not an account; write 0x and 40 hexadecimal digits")
    return text.lower()


def apply_site(
    session: Session,
    path_or_text: Path | str,
    *,
    resolve_account: ResolveAccount = plain_account,
) -> SiteChanges:
    """Apply a site file; a second time changes nothing.

    Parameters
    ----------
    session
        The unit of work.
    path_or_text
        A file, or TOML text.
    resolve_account
        From an account as written to an address.

    Raises
    ------
    BadInput
        The file is wrong, or changes what must not change.
    """
    file = read_site_file(*_text_of(path_or_text))
    return _Application(session, file, resolve_account).run()


def check_site_file(path: Path) -> None:
    """Read a site file and check it in itself, without a database.

    Raises
    ------
    BadInput
        The file cannot be read, or is wrong.
    """
    read_site_file(*_text_of(path))


def _text_of(path_or_text: Path | str) -> tuple[str, str]:
    if isinstance(path_or_text, str):
        return path_or_text, "site file"
    path = path_or_text
    try:
        return path.read_text(encoding="utf-8-sig"), path.name
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({error.strerror}); name an existing TOML file"
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8; save the file as UTF-8") from error


class _Application:
    """One application of one file."""

    def __init__(self, session: Session, file: SiteFile, resolve_account: ResolveAccount) -> None:
        self._session = session
        self._file = file
        self._resolve_account = resolve_account
        self.changes = SiteChanges()

    def run(self) -> SiteChanges:
        """Apply every table, those that others refer to first."""
        for spec in self._file.factors:
            self._factor(spec)
        site = self._site()
        project = self._project(site)
        devices = {spec.code: self._device(site, project, spec) for spec in self._file.devices}
        for source in self._file.sources:
            self._source(site, source)
        apply_meter_changes(self._session, self._file, devices, self.changes)
        apply_plants(self.put, self._file, devices, self._resolve_account)
        self._session.flush()
        return self.changes

    def put(
        self,
        model: type[Row],
        key: Mapping[str, Any],
        values: Mapping[str, Any],
        label: str,
        initial: Mapping[str, Any] | None = None,
    ) -> Row:
        """Make or change one row, and note which; ``initial`` is for a new one alone."""
        row = self._session.scalars(select(model).filter_by(**key)).first()
        if row is None:
            row = model(**key, **values, **(initial or {}))
            self._session.add(row)
            self._session.flush()
            self.changes.created.append(label)
            return row
        differing = {name: value for name, value in values.items() if getattr(row, name) != value}
        for name, value in differing.items():
            setattr(row, name, value)
        (self.changes.updated if differing else self.changes.unchanged).append(label)
        return row

    def _wrong(self, message: str, code: str) -> BadInput:
        return BadInput(f"{self._file.name}: {message}", code=code)

    def _factor(self, spec: FactorSpec) -> None:
        label = f"factor {spec.code} {spec.version}"
        query = select(EmissionFactor).filter_by(code=spec.code, version=spec.version)
        known = self._session.scalars(query).first()
        if known is None:
            values = {
                "purpose": FactorPurpose(spec.purpose),
                "value": spec.value,
                "unit": spec.unit,
                "source": spec.source,
                "data_year": spec.data_year,
                "verified": spec.verified,
                "content_sha256": spec.sha256(),
            }
            self.put(EmissionFactor, {"code": spec.code, "version": spec.version}, values, label)
        elif known.content_sha256 == spec.sha256():
            self.changes.unchanged.append(label)
        else:
            raise self._wrong(
                f"{label} is recorded as {known.value} {known.unit} ({known.purpose.value}, "
                f"{known.source}) and factors are never changed: give the new content a new version",
                "factor-changed",
            )
        if not spec.verified:
            self.changes.warnings.append(f"{label} is marked unverified")

    def _factor_row(self, code: str, version: str | None, what: str) -> EmissionFactor:
        """Return the factor that is meant: the file's own version first, else the only one known."""
        own = [spec.version for spec in self._file.factors if spec.code == code]
        if version is None and len(own) == 1:
            version = own[0]
        query = select(EmissionFactor).filter_by(code=code)
        if version is not None:
            query = query.filter_by(version=version)
        rows = self._session.scalars(query).all()
        if len(rows) == 1:
            return rows[0]
        if rows:
            versions = ", ".join(row.version for row in rows)
            raise self._wrong(
                f"{what}: factor {code!r} has versions {versions}; write factor_version",
                "factor-unclear",
            )
        raise self._wrong(f"{what}: no [[factor]] has code {code!r}", "no-such-factor")

    def _site(self) -> Site:
        spec = self._file.site
        factor_id = None
        if spec.inventory_factor is not None:
            factor = self._factor_row(spec.inventory_factor, None, "[site] inventory_factor")
            if factor.purpose is not FactorPurpose.INVENTORY_LOCATION:
                raise self._wrong(
                    f"[site] inventory_factor: {factor.code} is for {factor.purpose.value}; name a "
                    "factor with purpose inventory_location",
                    "wrong-purpose",
                )
            factor_id = factor.id
        known = self._session.scalars(select(Site).filter_by(code=spec.code)).first()
        if known is not None and known.time_zone != spec.time_zone and self._has_readings(known):
            raise self._wrong(
                f"[site] time_zone: site {spec.code} has readings counted in {known.time_zone}; "
                "it cannot change any more",
                "zone-changed",
            )
        values = {
            "name": spec.name,
            "time_zone": spec.time_zone,
            "country": spec.country,
            "inventory_factor_id": factor_id,
        }
        return self.put(Site, {"code": spec.code}, values, f"site {spec.code}")

    def _has_readings(self, site: Site) -> bool:
        query = select(MeterSeries.meter_id).join(Meter, Meter.id == MeterSeries.meter_id)
        return (
            self._session.scalars(query.where(Meter.site_id == site.id).limit(1)).first()
            is not None
        )

    def _project(self, site: Site) -> Project | None:
        spec = self._file.project
        if spec is None:
            return None
        factor = self._factor_row(spec.factor, spec.factor_version, "[project] factor")
        if factor.purpose is not FactorPurpose.CREDITING_CM:
            self.changes.warnings.append(
                f"project {spec.code}: factor {factor.code} is for {factor.purpose.value}, which cannot mint; "
                "reductions will be refused"
            )
        known = self._session.scalars(select(Project).filter_by(code=spec.code)).first()
        if known is not None and known.site_id != site.id:
            raise self._wrong(f"project {spec.code!r} belongs to another site", "taken")
        values = {
            "site_id": site.id,
            "methodology": spec.methodology,
            "methodology_version": spec.methodology_version,
            "factor_id": factor.id,
            "program": spec.program,
            "completeness_min": spec.completeness_min,
        }
        return self.put(Project, {"code": spec.code}, values, f"project {spec.code}")

    def _device(self, site: Site, project: Project | None, spec: DeviceSpec) -> Device:
        query = select(DeviceType).filter_by(type_name=spec.type)
        if self._session.scalars(query).first() is None:
            category = "consumption" if spec.role in ("import", "load") else spec.role
            key = {"type_name": spec.type}
            self.put(DeviceType, key, {"category": category}, f"device type {spec.type}")
        known = self._session.scalars(
            select(Meter)
            .join(Device, Device.id == Meter.device_id)
            .where(Device.device_id == spec.code)
        ).first()
        if known is not None and known.site_id != site.id:
            raise self._wrong(f"device {spec.code!r} belongs to another site", "taken")
        values = {
            "name": spec.name,
            "type": spec.type,
            "location": spec.location,
            "specifications": {
                "rated_kw": None if spec.rated_kw is None else format(spec.rated_kw, "f"),
                "meter_serial": spec.meter_serial,
            },
        }
        # How it is doing is for those to say who hear from it.
        initial = {"status": DeviceStatus.OFFLINE}
        key = {"device_id": spec.code}
        device = self.put(Device, key, values, f"device {spec.code}", initial)
        self._meter(site, project, device, spec, known)
        return device

    def _meter(
        self,
        site: Site,
        project: Project | None,
        device: Device,
        spec: DeviceSpec,
        known: Meter | None,
    ) -> None:
        other = self._session.scalars(select(Meter).filter_by(serial=spec.meter_serial)).first()
        if other is not None and other.device_id != device.id:
            raise self._wrong(
                f"device {spec.code}: meter {spec.meter_serial!r} belongs to another device; its readings "
                "would count twice",
                "meter-taken",
            )
        role = MeterRole(spec.role)
        has_readings = known is not None and self._session.get(MeterSeries, known.id) is not None
        kept = known is None or (known.serial, known.role) == (spec.meter_serial, role)
        if known is not None and has_readings and not kept:
            raise self._wrong(
                f"device {spec.code}: its meter {known.serial} ({known.role.value}) has readings, "
                "so that serial and role stay; declare another [[device]] for another meter",
                "meter-changed",
            )
        if role is MeterRole.FUEL:
            self.changes.warnings.append(
                f"device {spec.code}: this release computes no emissions of fuel; reductions will be refused"
            )
        counted = role is not MeterRole.LOAD and project is not None
        judged_by = None if known is None else (known.rated_kw, known.stuck_hours or 0)
        values = {
            "site_id": site.id,
            "project_id": project.id if counted and project is not None else None,
            "serial": spec.meter_serial,
            "role": role,
            "rated_kw": spec.rated_kw,
            "accuracy_class": spec.accuracy_class,
            "calibrated_from": spec.calibrated_from,
            "calibrated_to": spec.calibrated_to,
            "calibrated": spec.calibrated,
            "stuck_hours": spec.stuck_hours,
        }
        meter = self.put(Meter, {"device_id": device.id}, values, f"meter {spec.meter_serial}")
        if has_readings and judged_by != (spec.rated_kw, spec.stuck_hours):
            count = requalify(self._session, meter.id)
            self.changes.warnings.append(
                f"meter {spec.meter_serial}: {count} readings judged anew by the changed rated power "
                "or stuck_hours"
            )

    def _source(self, site: Site, spec: SourceSpec) -> None:
        values = {
            "kind": SourceKind(spec.kind),
            "unit": spec.unit,
            "interval_minutes": spec.interval_minutes,
            "label": SourceLabel(spec.label),
            "device_code": spec.device,
            "device_column": spec.device_column,
            "time_column": spec.time_column,
            "value_column": spec.value_column,
            "time_zone": spec.time_zone,
            "format_options": spec.written.options(),
        }
        key = {"site_id": site.id, "name": spec.name}
        known = self._session.scalars(select(MeterSource).filter_by(**key)).first()
        width = None if known is None else Format.of(known.format_options).rollover
        row = self.put(MeterSource, key, values, f"source {spec.name}")
        if known is not None and width != spec.written.rollover:
            derive_anew(self._session, meters_of_source(self._session, row.id), self.changes)
