"""What a site file says, read and checked key by key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from ledger.clock import time_text
from ledger.codes import wrong_country
from ledger.errors import BadInput
from ledger.reductions.flatlines import STUCK_HOURS
from ledger.reductions.numbers import COUNTER, FUEL, UNITS, parse_value
from ledger.reductions.records import Kind, Role
from ledger.reductions.registers import TEXT_MAX as REGISTER_MAX
from ledger.reductions.zones import TIMES_END_S, epoch_s, zone
from ledger.sites.calibrations import check_calibrations, measured_error, read_calibration
from ledger.sites.certificates import check_certificates, read_certificate
from ledger.sites.document import Document, Table
from ledger.sites.factors import read_factor
from ledger.sites.source_table import read_source
from ledger.sites.specs import (
    ISSUE_AFTER_DAYS,
    PERIODS,
    DeviceSpec,
    MarketSpec,
    MeterChangeSpec,
    ProjectSpec,
    SiteFile,
    SiteSpec,
    SourceSpec,
    StrategySpec,
    VppSpec,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TABLES = {
    "site": False,
    "factor": True,
    "project": False,
    "device": True,
    "source": True,
    "meter_change": True,
    "calibration": True,
    "energy_certificate": True,
    "vpp": True,
    "strategy": True,
    "market": True,
}
"""Known tables, and whether each may stand several times."""

STRATEGIES = ("arbitrage", "peak_shaving", "load_following", "frequency_regulation")


def read_site_file(text: str, name: str) -> SiteFile:
    """Read and check a site file.

    Parameters
    ----------
    text
        TOML.
    name
        Name of the file, for messages.

    Raises
    ------
    BadInput
        One line with file, line, table, key and what to write.
    """
    document = Document(text, name, TABLES)
    site = document.one("site")
    if site is None:
        raise BadInput(f"{name}: the table [site] is missing", code="missing-key")
    project = document.one("project")
    file = SiteFile(
        name=name,
        site=_site(site),
        factors=tuple(read_factor(table) for table in document.many("factor")),
        project=None if project is None else _project(project),
        devices=tuple(_device(table) for table in document.many("device")),
        sources=tuple(read_source(table) for table in document.many("source")),
        meter_changes=tuple(_meter_change(table) for table in document.many("meter_change")),
        calibrations=tuple(read_calibration(table) for table in document.many("calibration")),
        energy_certificates=tuple(
            read_certificate(table) for table in document.many("energy_certificate")
        ),
        vpps=tuple(_vpp(table) for table in document.many("vpp")),
        strategies=tuple(_strategy(table) for table in document.many("strategy")),
        markets=tuple(_market(table) for table in document.many("market")),
    )
    _check_unique(document, file)
    _check_references(document, file)
    return file


def _site(table: Table) -> SiteSpec:
    table.require_known(_keys(SiteSpec))
    time_zone = table.text("time_zone", 64, "write an IANA name such as Europe/Paris")
    try:
        zone(time_zone)
    except BadInput as error:
        raise table.wrong("time_zone", error.message) from error
    country = table.text("country", 2)
    wrong = wrong_country(country)
    if wrong is not None:
        raise table.wrong("country", wrong)
    return SiteSpec(
        code=table.code("code"),
        name=table.name("name", 200),
        time_zone=time_zone,
        country=country,
        inventory_factor=table.optional("inventory_factor", 100),
        inventory_factor_version=table.optional("inventory_factor_version", 50),
        market_factor=table.optional("market_factor", 100),
        market_factor_version=table.optional("market_factor_version", 50),
    )


def _project(table: Table) -> ProjectSpec:
    table.require_known(_keys(ProjectSpec))
    completeness = Decimal(0)
    if table.has("completeness_min"):
        completeness = Decimal(table.decimal("completeness_min"))
        if not 0 <= completeness <= 1 or completeness != completeness.quantize(Decimal("0.0001")):
            raise table.wrong(
                "completeness_min",
                f"completeness_min is a share, from 0 to 1 with at most 4 decimals, found {completeness}",
            )
    return ProjectSpec(
        code=table.code("code"),
        methodology=table.text("methodology", 50),
        methodology_version=table.text("methodology_version", 20),
        factor=table.text("factor", 100),
        factor_version=table.optional("factor_version", 50),
        program=table.text("program", 50),
        completeness_min=completeness,
        leakage_share=_share(table, "leakage_share"),
        uncertainty_share=_share(table, "uncertainty_share"),
        issue_every=table.one_of("issue_every", PERIODS) if table.has("issue_every") else None,
        issue_after_days=_issue_after_days(table),
    )


def _issue_after_days(table: Table) -> int | None:
    """Return how long a closed period waits for late readings; None where no job issues."""
    key, given = "issue_after_days", table.has("issue_after_days")
    if not table.has("issue_every"):
        if given:
            raise table.wrong(key, f"{key} is for a project with issue_every: give that, too")
        return None
    days = table.whole(key) if given else ISSUE_AFTER_DAYS
    if not 0 <= days <= 366:
        raise table.wrong(key, f"{key} must be from 0 to 366 whole days, found {days}")
    return days


def _share(table: Table, key: str) -> str | None:
    """Return a share from 0 to 1 as it is written; None when it is not given."""
    if not table.has(key):
        return None
    text = table.decimal(key)
    if not 0 <= Decimal(text) <= 1:
        raise table.wrong(key, f"{key} is a share, from 0 to 1, found {text}")
    return text


def _device(table: Table) -> DeviceSpec:
    table.require_known(_keys(DeviceSpec))
    code = table.name("code", 100)
    first, last = _days(table, "calibrated_from", "calibrated_to")
    there_from, there_to = _days(table, "in_service_from", "in_service_to")
    accuracy = table.optional("accuracy_class", 10)
    if accuracy is not None and not re.fullmatch(r"[0-9]{1,2}(\.[0-9]{1,3})?S?", accuracy):
        raise table.wrong(
            "accuracy_class", f"accuracy_class is such as 0.5 or 0.5S, found {accuracy!r}"
        )
    calibrated = table.flag("calibrated", True)
    measured = measured_error(table)
    plain = calibrated and first is None and last is None and measured is None
    if accuracy is None and not plain:
        raise table.wrong(
            None,
            "accuracy_class is missing: outside a calibration its permissible error is deducted, and "
            "within one a measured_error that is larger",
        )
    role = table.one_of("role", tuple(item.value for item in Role))
    density = table.decimal("density_kg_per_l") if table.has("density_kg_per_l") else None
    if density is not None and Decimal(density) <= 0:
        raise table.wrong("density_kg_per_l", "density_kg_per_l must be more than 0")
    for key in ("fuel_factor", "fuel_factor_version", "density_kg_per_l"):
        if table.has(key) and role != Role.FUEL:
            raise table.wrong(key, f"{key} is for a meter of the role fuel, this one is {role}")
    return DeviceSpec(
        code=code,
        name=table.name("name", 200) if table.has("name") else code,
        type=table.name("type", 100),
        location=table.name("location", 200) if table.has("location") else None,
        rated_kw=table.amount("rated_kw", 6, 10**9) if table.has("rated_kw") else None,
        meter_serial=table.text("meter_serial", 100),
        role=role,
        accuracy_class=accuracy,
        calibrated=calibrated,
        calibrated_from=first,
        calibrated_to=last,
        measured_error=measured,
        fuel_factor=table.optional("fuel_factor", 100),
        fuel_factor_version=table.optional("fuel_factor_version", 50),
        density_kg_per_l=density,
        stuck_hours=_stuck_hours(table),
        inventory_only=table.flag("inventory_only", False),
        in_service_from=there_from,
        in_service_to=there_to,
    )


def _days(table: Table, first_key: str, last_key: str) -> tuple[date | None, date | None]:
    """Return a first and a last day, each None where it is not given."""
    first, last = table.day(first_key), table.day(last_key)
    if first is not None and last is not None and first > last:
        raise table.wrong(last_key, f"{last_key} comes before {first_key}")
    return first, last


def _stuck_hours(table: Table) -> int:
    if not table.has("stuck_hours"):
        return 0
    hours = table.whole("stuck_hours")
    if not 0 <= hours <= STUCK_HOURS:
        raise table.wrong(
            "stuck_hours",
            f"stuck_hours must be from 1 to {STUCK_HOURS} whole hours, or 0 to judge no flat line, "
            f"found {hours}",
        )
    return hours


def _meter_change(table: Table) -> MeterChangeSpec:
    table.require_known(_keys(MeterChangeSpec))
    readings = {}
    for key in ("closing", "opening"):
        readings[key] = table.decimal(key, "write the register's reading in the unit of its source")
        if len(readings[key]) > REGISTER_MAX:
            raise table.wrong(key, f"{key} has more than {REGISTER_MAX} characters")
        if Decimal(readings[key]) < 0:
            raise table.wrong(
                key, f"{key} is a register's reading, from 0 up, found {readings[key]}"
            )
    at = table.moment("at")
    if not 0 <= epoch_s(at) < TIMES_END_S:
        raise table.wrong("at", f"at is between 1970 and 2106, found {at.isoformat()}")
    return MeterChangeSpec(
        device=table.text("device", 100),
        at=at,
        meter_serial=table.optional("meter_serial", 100),
        **readings,
    )


def _vpp(table: Table) -> VppSpec:
    table.require_known(_keys(VppSpec))
    return VppSpec(
        code=table.name("code", 100),
        name=table.name("name", 200),
        total_capacity=table.amount("total_capacity", 3, 10**12),
        account=table.text("account", 100),
        devices=table.texts("devices"),
    )


def _strategy(table: Table) -> StrategySpec:
    table.require_known(_keys(StrategySpec))
    return StrategySpec(
        vpp=table.text("vpp", 100),
        name=table.name("name", 200),
        type=table.one_of("type", STRATEGIES),
    )


def _market(table: Table) -> MarketSpec:
    table.require_known(_keys(MarketSpec))
    return MarketSpec(name=table.name("name", 50), account=table.text("account", 100))


def _keys(record: type[DataclassInstance]) -> frozenset[str]:
    """Return the keys of a table: the fields of its record."""
    return frozenset(field.name for field in fields(record))


def _check_unique(document: Document, file: SiteFile) -> None:
    keys = {
        "factor": [f"{item.code!r} of version {item.version!r}" for item in file.factors],
        "device": [repr(item.code) for item in file.devices],
        "source": [repr(item.name) for item in file.sources],
        "meter_change": [
            f"device {item.device} at {time_text(item.at)}" for item in file.meter_changes
        ],
        "vpp": [repr(item.code) for item in file.vpps],
        "strategy": [f"{item.name!r} of vpp {item.vpp!r}" for item in file.strategies],
        "market": [repr(item.name) for item in file.markets],
    }
    for table, items in keys.items():
        for place, item in enumerate(items):
            if item in items[:place]:
                raise document.wrong(table, place, None, f"{item} stands twice")
    serials = [item.meter_serial for item in file.devices]
    for place, serial in enumerate(serials):
        if serial in serials[:place]:
            raise document.wrong(
                "device",
                place,
                "meter_serial",
                f"meter {serial!r} stands twice: its readings would count twice",
            )


def _check_references(document: Document, file: SiteFile) -> None:
    devices = {item.code: item for item in file.devices}
    for place, source in enumerate(file.sources):
        if source.device is not None and source.device not in devices:
            raise document.wrong(
                "source", place, "device", f"no [[device]] has code {source.device!r}"
            )
        if source.device is not None:
            role = devices[source.device].role
            if (source.kind == FUEL) != (role == Role.FUEL):
                raise document.wrong(
                    "source",
                    place,
                    "kind",
                    f"device {source.device!r} has the role {role}: a source of kind fuel feeds the role fuel, "
                    "and no other",
                )
        if source.written.rollover is not None:
            _check_rollover(document, place, source, file.devices)
    _check_meter_changes(document, file, devices)
    check_calibrations(document, file.calibrations, devices)
    check_certificates(document, file.energy_certificates, devices)
    plants = {item.code for item in file.vpps}
    for place, vpp in enumerate(file.vpps):
        for code in vpp.devices:
            if code not in devices:
                raise document.wrong("vpp", place, "devices", f"no [[device]] has code {code!r}")
            if devices[code].rated_kw is None:
                raise document.wrong("vpp", place, "devices", f"device {code!r} needs rated_kw")
    for place, strategy in enumerate(file.strategies):
        if strategy.vpp not in plants:
            raise document.wrong("strategy", place, "vpp", f"no [[vpp]] has code {strategy.vpp!r}")


def _check_rollover(
    document: Document, place: int, source: SourceSpec, devices: Sequence[DeviceSpec]
) -> None:
    for device in devices:
        fed = source.device in (None, device.code) and device.role is not Role.FUEL
        if fed and device.rated_kw is None:
            raise document.wrong(
                "source",
                place,
                "rollover",
                f"rollover needs rated_kw in the [[device]] {device.code!r}: without it a register that "
                "ran over cannot be told from one that was reset",
            )


def _check_meter_changes(
    document: Document, file: SiteFile, devices: Mapping[str, DeviceSpec]
) -> None:
    counters = [item for item in file.sources if item.kind == COUNTER]
    for place, change in enumerate(file.meter_changes):
        if change.device not in devices:
            raise document.wrong(
                "meter_change", place, "device", f"no [[device]] has code {change.device!r}"
            )
        feeding = [item for item in counters if item.device in (None, change.device)]
        for source in feeding:
            for key in ("closing", "opening"):
                try:
                    parse_value(getattr(change, key), UNITS[Kind.ENERGY][source.unit])
                except ValueError as error:
                    raise document.wrong("meter_change", place, key, f"{key}: {error}") from error
        if not feeding:
            raise document.wrong(
                "meter_change",
                place,
                "device",
                f"no [[source]] of kind {COUNTER!r} feeds device {change.device!r}: the readings of "
                "a change are those of a register",
            )
