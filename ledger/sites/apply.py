"""A site file into the database: what is new is made, what differs is changed, the rest is left.

A device or source that is taken out of the file keeps its rows. What belongs to a device of the file, its
calibrations, changes of instruments and energy certificates, becomes what the file has of it, also nothing.
What an issued credit rests on cannot be changed: factors are append-only, and a meter that has readings, or
that an issuance names, keeps its serial and role.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from ledger import audit
from ledger.codes import blank_around
from ledger.errors import BadInput
from ledger.files import not_utf8, state_of
from ledger.models import EmissionFactor, Meter, MeterSeries, MeterSource, Project, Site
from ledger.models.sites import FactorPurpose, SourceKind, SourceLabel
from ledger.park import require_shares, take_turn
from ledger.readings.files.formats import Format
from ledger.readings.imports.requalify import refresh_site
from ledger.readings.rows.meter_state import lock_meters
from ledger.reductions.records import Factor
from ledger.sites.advice import changed_reading, project_warnings, source_warnings
from ledger.sites.application import Application
from ledger.sites.certificates import apply_certificates
from ledger.sites.changes import APPLIED, SiteChanges, note_change, plain_account
from ledger.sites.devices import Devices
from ledger.sites.factors import store_factor, warnings_of
from ledger.sites.meter_changes import apply_meter_changes, derive_anew, meters_of_source
from ledger.sites.plants import apply_plants
from ledger.sites.site_file import read_site_file
from ledger.sites.specs import SourceSpec

_LOCATION, _MARKET = FactorPurpose.INVENTORY_LOCATION, FactorPurpose.INVENTORY_MARKET
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
    text, name, sha256 = _text_of(path_or_text)
    work = Application(session, read_site_file(text, name))
    site = _apply(work, resolve_account)
    counts = {"created": len(work.changes.created), "updated": len(work.changes.updated)}
    if any(counts.values()):
        said = {"file": name, "sha256": sha256, **counts}
        audit.record(session, APPLIED, f"{Site.__tablename__}/{site.id}", {}, said)
    return work.changes


def check_site_file(path: Path) -> None:
    """Read a site file and check it in itself, without a database.

    Raises
    ------
    BadInput
        The file cannot be read, or is wrong.
    """
    text, name, _ = _text_of(path)
    read_site_file(text, name)


def _text_of(path_or_text: Path | str) -> tuple[str, str, str]:
    """Return the text of a file, what it is called, and the SHA-256 of its bytes."""
    if isinstance(path_or_text, str):
        return path_or_text, "site file", hashlib.sha256(path_or_text.encode()).hexdigest()
    path = path_or_text
    try:
        state_of(path)
        content = path.read_bytes()
        return content.decode("utf-8-sig"), path.name, hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read ({error.strerror}); name an existing TOML file"
        ) from error
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error


def _apply(work: Application, resolve_account: ResolveAccount) -> Site:
    """Apply every table, in the order in which they refer to each other, and return the site."""
    take_turn(work.session)
    lock_meters(work.session, work.file.site.code)  # an import reads all this
    for spec in work.file.factors:
        _factor(work, spec)
    site = _site(work)
    project = _project(work, site)
    applied = Devices(work, site, project)
    devices = {spec.code: applied.apply(spec) for spec in work.file.devices}
    for source in work.file.sources:
        _source(work, site, source)
        work.changes.warnings += source_warnings(source, work.file.devices)
    apply_meter_changes(work.session, work.file, devices, work.changes)
    apply_certificates(work.session, work.file, devices, work.changes)
    require_shares(work.session, apply_plants(work, devices, resolve_account))
    _know_factors(work, site)
    if work.shown_otherwise and refresh_site(work.session, site):
        work.changes.warnings.append(
            f"site {site.code}: its inventory is computed anew, by the factors and meters that it "
            "has now"
        )
    return site


def _factor(work: Application, spec: Factor) -> None:
    new = store_factor(work.session, spec, work.file.name)
    label = f"factor {spec.code} {spec.version}"
    (work.changes.created if new else work.changes.unchanged).append(label)
    work.changes.warnings += warnings_of(spec)


def _site(work: Application) -> Site:
    spec = work.file.site
    factor_id = market_id = None
    if spec.inventory_factor is not None:
        version = spec.inventory_factor_version
        factor_id = work.factor_row(
            spec.inventory_factor, version, "[site] inventory_factor", _LOCATION
        ).id
    if spec.market_factor is not None:
        version = spec.market_factor_version
        market_id = work.factor_row(spec.market_factor, version, "[site] market_factor", _MARKET).id
    known = work.session.scalars(select(Site).filter_by(code=spec.code)).first()
    if known is not None and known.time_zone != spec.time_zone and _has_readings(work, known):
        raise work.wrong(
            f"[site] time_zone: site {spec.code} has readings counted in {known.time_zone}; "
            "it cannot change any more",
            "zone-changed",
        )
    if known is not None:
        before = (known.inventory_factor_id, known.market_factor_id)
        work.shown_otherwise |= before != (factor_id, market_id)
    values = {
        "name": spec.name,
        "time_zone": spec.time_zone,
        "country": spec.country,
        "inventory_factor_id": factor_id,
        "market_factor_id": market_id,
    }
    return work.put(Site, {"code": spec.code}, values, f"site {spec.code}")


def _know_factors(work: Application, site: Site) -> None:
    """Have the inventory choose among all recorded versions of a factor, where the named one is of some days."""
    work.session.flush()
    fuels = select(Meter.fuel_factor_id).where(Meter.site_id == site.id)
    used = {site.inventory_factor_id, site.market_factor_id, *work.session.scalars(fuels)}
    factor, other = EmissionFactor, aliased(EmissionFactor)
    until = work.session.scalar(
        select(func.max(other.id))
        .join(factor, (factor.code == other.code) & (factor.purpose == other.purpose))
        .where(
            factor.id.in_(used - {None}),
            factor.id != other.id,
            factor.valid_from.is_not(None) | factor.valid_to.is_not(None),
        )
    )
    if until == site.factors_until:
        return
    site.factors_until = until
    note_change(work.session, site)
    work.shown_otherwise = True
    label = f"site {site.code}"
    changes = work.changes
    if label in changes.unchanged:
        changes.unchanged.remove(label)
        changes.updated.append(label)


def _has_readings(work: Application, site: Site) -> bool:
    query = select(MeterSeries.meter_id).join(Meter, Meter.id == MeterSeries.meter_id)
    return work.session.scalars(query.where(Meter.site_id == site.id).limit(1)).first() is not None


def _project(work: Application, site: Site) -> Project | None:
    spec = work.file.project
    if spec is None:
        return None
    factor = work.factor_row(spec.factor, spec.factor_version, "[project] factor")
    if factor.purpose is not FactorPurpose.CREDITING_CM:
        work.changes.warnings.append(
            f"project {spec.code}: factor {factor.code} is for {factor.purpose.value}, which cannot mint; "
            "reductions will be refused"
        )
    work.changes.warnings += project_warnings(spec, work.file.devices)
    known = work.session.scalars(select(Project).filter_by(code=spec.code)).first()
    if known is not None and known.site_id != site.id:
        raise work.wrong(
            f"project {spec.code!r} belongs to another site; a code is one project's in all sites: "
            "give this one another",
            "taken",
        )
    for key in ("methodology", "methodology_version", "program"):
        text = getattr(spec, key)
        if (known is None or getattr(known, key) != text) and (why := blank_around(text)):
            raise work.wrong(f"[project]: {key} {why}", "bad-site-file")
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
    return work.put(Project, {"code": spec.code}, values, f"project {spec.code}")


def _source(work: Application, site: Site, spec: SourceSpec) -> None:
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
    known = work.session.scalars(select(MeterSource).filter_by(**key)).first()
    width = None if known is None else Format.of(known.format_options).rollover
    warnings = [] if known is None else changed_reading(known, spec)
    row = work.put(MeterSource, key, values, f"source {spec.name}")
    if known is not None and width != spec.written.rollover:
        derive_anew(work.session, meters_of_source(work.session, row.id), work.changes)
    if warnings and meters_of_source(work.session, row.id):
        work.changes.warnings += warnings
