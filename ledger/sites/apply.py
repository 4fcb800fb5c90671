"""A site file into the database: what is new is made, what differs is changed, the rest is left.

Nothing is deleted: a device that is taken out of the file keeps its rows. What an issued credit
rests on cannot be changed: factors are append-only, and a meter that has readings, or that an
issuance names, keeps its serial and role.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.codes import unreachable
from ledger.errors import BadInput
from ledger.filestate import state_of
from ledger.models import (
    Device,
    DeviceType,
    EmissionFactor,
    Meter,
    MeterSeries,
    MeterSource,
    Project,
    Site,
    VppDefinition,
)
from ledger.models.base import Base
from ledger.models.devices import DeviceStatus
from ledger.models.sites import FactorPurpose, MeterRole, SourceKind, SourceLabel
from ledger.park import put_row, require_shares, take_turn
from ledger.readings.files.formats import Format
from ledger.readings.imports.refreshing import refresh_site
from ledger.readings.imports.requalify import requalify
from ledger.sites.advice import changed_reading, project_warnings, source_warnings
from ledger.sites.calibrations import stored_calibrations
from ledger.sites.certificates import apply_certificates
from ledger.sites.changes import SiteChanges, plain_account
from ledger.sites.factors import find_factor, store_factor, warnings_of
from ledger.sites.kept import why_as_it_is, why_in_project
from ledger.sites.meter_changes import apply_meter_changes, derive_anew, meters_of_source
from ledger.sites.plants import apply_plants
from ledger.sites.site_file import read_site_file
from ledger.sites.specs import DeviceSpec, FactorSpec, SiteFile, SourceSpec
from ledger.sites.twins import Serials

_LOCATION, _MARKET = FactorPurpose.INVENTORY_LOCATION, FactorPurpose.INVENTORY_MARKET
_ASKED_BY_CODE = (DeviceType, Device, VppDefinition)
"""What has an address by its code; a resource has the code of its device, and a site and a project have no slash."""
Row = TypeVar("Row", bound=Base)
ResolveAccount = Callable[[str], str]


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
        state_of(path)
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
        self._serials = Serials(session)
        self._file = file
        self._resolve_account = resolve_account
        self.changes = SiteChanges()
        self._shown_otherwise = False
        """Whether the inventory of readings that are there comes to something else now."""

    def run(self) -> SiteChanges:
        """Apply every table, those that others refer to first."""
        take_turn(self._session)
        for spec in self._file.factors:
            self._factor(spec)
        site = self._site()
        project = self._project(site)
        devices = {spec.code: self._device(site, project, spec) for spec in self._file.devices}
        for source in self._file.sources:
            self._source(site, source)
            self.changes.warnings += source_warnings(source, self._file.devices)
        apply_meter_changes(self._session, self._file, devices, self.changes)
        apply_certificates(self._session, self._file, devices, self.changes)
        require_shares(
            self._session, apply_plants(self.put, self._file, devices, self._resolve_account)
        )
        if self._shown_otherwise and refresh_site(self._session, site):
            self.changes.warnings.append(
                f"site {site.code}: its inventory is computed anew, by the factors and meters that it "
                "has now"
            )
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
        row, done = put_row(self._session, model, key, values, initial)
        if done == "created" and model in _ASKED_BY_CODE:
            (code,) = key.values()
            if (why := unreachable(code)) is not None:
                raise self._wrong(f"{label}: {code!r} {why}", "bad-code")
        done_so: list[str] = getattr(self.changes, done)
        done_so.append(label)
        return row

    def _wrong(self, message: str, code: str) -> BadInput:
        return BadInput(f"{self._file.name}: {message}", code=code)

    def _factor(self, spec: FactorSpec) -> None:
        new = store_factor(self._session, spec, self._file.name)
        label = f"factor {spec.code} {spec.version}"
        (self.changes.created if new else self.changes.unchanged).append(label)
        self.changes.warnings += warnings_of(spec)

    def _factor_row(
        self, code: str, version: str | None, what: str, *purposes: FactorPurpose
    ) -> EmissionFactor:
        """Return the factor that is meant; one of another purpose is refused where one is named."""
        own = self._file.factors
        factor = find_factor(self._session, code, version, f"{self._file.name}: {what}", own)
        if purposes and factor.purpose not in purposes:
            wanted = " or ".join(purpose.value for purpose in purposes)
            raise self._wrong(
                f"{what}: {factor.code} is for {factor.purpose.value}; name a factor with purpose "
                f"{wanted}",
                "wrong-purpose",
            )
        if not factor.verified and factor.code not in {spec.code for spec in own}:
            self.changes.warnings.append(f"factor {code} {factor.version} is marked unverified")
        return factor

    def _site(self) -> Site:
        spec = self._file.site
        factor_id = market_id = None
        if spec.inventory_factor is not None:
            version = spec.inventory_factor_version
            factor_id = self._factor_row(
                spec.inventory_factor, version, "[site] inventory_factor", _LOCATION
            ).id
        if spec.market_factor is not None:
            version = spec.market_factor_version
            market_id = self._factor_row(
                spec.market_factor, version, "[site] market_factor", _MARKET
            ).id
        known = self._session.scalars(select(Site).filter_by(code=spec.code)).first()
        if known is not None and known.time_zone != spec.time_zone and self._has_readings(known):
            raise self._wrong(
                f"[site] time_zone: site {spec.code} has readings counted in {known.time_zone}; "
                "it cannot change any more",
                "zone-changed",
            )
        if known is not None:
            before = (known.inventory_factor_id, known.market_factor_id)
            self._shown_otherwise |= before != (factor_id, market_id)
        values = {
            "name": spec.name,
            "time_zone": spec.time_zone,
            "country": spec.country,
            "inventory_factor_id": factor_id,
            "market_factor_id": market_id,
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
        self.changes.warnings += project_warnings(spec, self._file.devices)
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
            "leakage_share": spec.leakage_share,
            "uncertainty_share": spec.uncertainty_share,
            "issue_every": spec.issue_every,
            "issue_after_days": spec.issue_after_days,
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
        self._require_own_serial(device, spec, known)
        role = MeterRole(spec.role)
        has_readings = known is not None and self._session.get(MeterSeries, known.id) is not None
        if known is not None and (known.serial, known.role) != (spec.meter_serial, role):
            what = why_as_it_is(self._session, known)
            if what is not None:
                raise self._wrong(
                    f"device {spec.code}: its meter {known.serial} ({known.role.value}) {what}, "
                    "so that serial and role stay; declare another [[device]] for another meter",
                    "meter-changed",
                )
        counted = None if project is None or spec.inventory_only else project.id
        if known is not None and known.project_id != counted:
            self._require_not_issued(known, spec)
        fuel_id = None
        if spec.fuel_factor is not None:
            what = f"device {spec.code}: fuel_factor"
            version = spec.fuel_factor_version
            fuel_id = self._factor_row(spec.fuel_factor, version, what, FactorPurpose.FUEL).id
        elif role is MeterRole.FUEL:
            self.changes.warnings.append(
                f"device {spec.code}: no fuel_factor says what its fuel emits; reductions will be refused"
            )
        joins = known is None and role is MeterRole.IMPORT
        fuel = (fuel_id, spec.density_kg_per_l)
        other_fuel = known is not None and (known.fuel_factor_id, known.density_kg_per_l) != fuel
        self._shown_otherwise |= joins or other_fuel
        judged_by = None if known is None else (known.rated_kw, known.stuck_hours or 0)
        values = {
            "site_id": site.id,
            "project_id": counted,
            "serial": spec.meter_serial,
            "role": role,
            "rated_kw": spec.rated_kw,
            "accuracy_class": spec.accuracy_class,
            "calibrated_from": spec.calibrated_from,
            "calibrated_to": spec.calibrated_to,
            "calibrated": spec.calibrated,
            "measured_error": spec.measured_error,
            "calibrations": stored_calibrations(self._file.calibrations, spec.code),
            "fuel_factor_id": fuel_id,
            "density_kg_per_l": spec.density_kg_per_l,
            "stuck_hours": spec.stuck_hours,
        }
        meter = self.put(Meter, {"device_id": device.id}, values, f"meter {spec.meter_serial}")
        if has_readings and judged_by != (spec.rated_kw, spec.stuck_hours):
            count = requalify(self._session, meter.id)
            self.changes.warnings.append(
                f"meter {spec.meter_serial}: {count} readings judged anew by the changed rated power "
                "or stuck_hours"
            )

    def _require_own_serial(self, device: Device, spec: DeviceSpec, known: Meter | None) -> None:
        """Refuse a new serial number that reads as that of another device; one that is stored stays."""
        before = None if known is None else known.serial
        if before == spec.meter_serial:
            return
        twin = self._serials.twin_of(spec.meter_serial, device.id)
        if twin is not None:
            raise self._wrong(
                f"device {spec.code}: meter {spec.meter_serial!r} reads as {twin!r} of another device, but for "
                "case, width, blanks or signs that do not show; its readings would count twice",
                "meter-taken",
            )
        self._serials.give(device.id, before, spec.meter_serial)

    def _require_not_issued(self, known: Meter, spec: DeviceSpec) -> None:
        """Refuse to take a meter out of a project that credits were issued to with it."""
        what = why_in_project(self._session, known)
        if what is not None:
            raise self._wrong(
                f"device {spec.code}: {what}, so that it stays with its project; declare another "
                "[[device]] for another use",
                "meter-issued",
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
        warnings = [] if known is None else changed_reading(known, spec)
        row = self.put(MeterSource, key, values, f"source {spec.name}")
        if known is not None and width != spec.written.rollover:
            derive_anew(self._session, meters_of_source(self._session, row.id), self.changes)
        if warnings and meters_of_source(self._session, row.id):
            self.changes.warnings += warnings
