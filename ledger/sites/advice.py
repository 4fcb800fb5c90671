"""What a site file allows and its author should know before anything is issued."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from ledger.models import MeterSource
from ledger.readings.files.channels import other_unit_in
from ledger.readings.files.formats import Format
from ledger.reductions import methodologies
from ledger.reductions.factors import density_warnings
from ledger.reductions.numbers import UNITS, parse_value
from ledger.reductions.quality import OUTLIER_ABOVE
from ledger.reductions.records import Kind, Role
from ledger.sites.specs import DeviceSpec, ProjectSpec, SourceSpec


def times_changed(known: MeterSource, spec: SourceSpec) -> list[str]:
    """Return the keys of a source by which the same rows get other times than they had."""
    before, after = Format.of(known.format_options), spec.written
    pairs = {
        "label": (known.label.value, spec.label),
        "time_zone": (known.time_zone, spec.time_zone),
        "time_format": (before.time_format, after.time_format),
        "clock_change": (before.clock_change, after.clock_change),
    }
    return [name for name, (old, new) in pairs.items() if old != new]


def changed_reading(known: MeterSource, spec: SourceSpec) -> list[str]:
    """Return what a change of a source does not do to the readings of it that are stored."""
    found = []
    name = f"source {spec.name}"
    moved = times_changed(known, spec)
    if moved:
        found.append(
            f"{name}: {' and '.join(moved)} changed, and readings of it are stored: they stay "
            "where they are, and a file that is imported again comes in shifted, beside them"
        )
    before, after = Format.of(known.format_options), spec.written
    if set(before.missing) != set(after.missing):
        found.append(
            f"{name}: missing changed, and readings of it are stored: a text that was a value stays one, and "
            "one that was none stays none, also when its file is imported again; a value that cannot be is "
            "left out by rated_kw in [[device]]"
        )
    if dict(before.only) != dict(after.only):
        found.append(
            f"{name}: only changed, and readings of it are stored: what it took before stays, and rows of another "
            "channel come in beside them, as conflicts; another channel needs a [[source]] and a [[device]] of its own"
        )
    if after.unit_column not in (None, before.unit_column):
        found.append(
            f"{name}: unit_column changed, and readings of it are stored: they stay as they were read, whatever unit "
            "stood beside them; import their files with --dry-run to see which of their rows are rejected now"
        )
    return found


def project_warnings(project: ProjectSpec, devices: Sequence[DeviceSpec]) -> list[str]:
    """Return what will stop the reductions of a project, or make them less than its author thinks."""
    found = []
    name = f"project {project.code}"
    if methodologies.known(project.methodology, project.methodology_version) is None:
        text = methodologies.unknown(project.methodology, project.methodology_version)
        found.append(f"{name}: {text}; reductions will be refused")
    counted = {device.role: device for device in devices if not device.inventory_only}
    if counted and not counted.keys() & {Role.GENERATION, Role.EXPORT}:
        found.append(
            f"{name}: no meter of generation or export; savings on the demand side are refused until a "
            "methodology for them exists"
        )
    found += [
        f"device {device.code}: no rated_kw, so that there is no outlier limit: whatever its meter says is "
        "credited; write the rated power of the plant behind it"
        for device in devices
        if Role(device.role).supplies and device.rated_kw is None and not device.inventory_only
    ]
    if {Role.GENERATION, Role.LOAD, Role.IMPORT} <= counted.keys():
        found.append(
            f"{name}: what the import meter {counted[Role.IMPORT].meter_serial} counts is deducted from "
            "the generation; if it feeds the park's loads and not the plant, write inventory_only = true "
            "into its [[device]]"
        )
    deducted = [counted[role].meter_serial for role in (Role.IMPORT, Role.FUEL) if role in counted]
    if deducted and not project.completeness_min:
        found.append(
            f"{name}: completeness_min is 0, so that readings of {' and '.join(deducted)} that nobody has brought are "
            "deducted by nothing, and the claim is larger by them; with any share above 0, as 0.9, a period that lacks "
            "one of them is refused"
        )
    beside = [item for item in devices if item.role == Role.STORAGE and item.inventory_only]
    if beside and Role.EXPORT in counted and Role.IMPORT not in counted:
        found.append(
            f"device {beside[0].code}: the storage is inventory_only, and the project has an export meter and no "
            "import meter: what storage behind it charges from the grid is credited when it comes back; declare the "
            "import meter, and take inventory_only out"
        )
    return found


def device_warnings(device: DeviceSpec) -> list[str]:
    """Return which numbers of a device can hardly be meant."""
    found = []
    limited = device.role not in (Role.STORAGE, Role.FUEL)
    if limited and device.rated_kw is not None and not device.rated_kw:
        found.append(
            "rated_kw is 0, so that whatever its meter says is beyond it and counts for nothing; leave the key out "
            "where the rated power is not known"
        )
    if device.density_kg_per_l is not None:
        found += density_warnings(device.density_kg_per_l)
    return [f"device {device.code}: {said}" for said in found]


def source_warnings(source: SourceSpec, devices: Sequence[DeviceSpec]) -> list[str]:
    """Return what a source says of itself that can hardly be meant."""
    return [*_unit_warnings(source), *_width_warnings(source, devices)]


def _unit_warnings(source: SourceSpec) -> list[str]:
    """Return that the column of the values names another unit than the source: once read, a meter keeps its unit."""
    across = source.written.last_value_column is not None
    if across or source.written.unit_column is not None:
        return []
    other = other_unit_in(source.value_column, source.unit)
    if other is None:
        return []
    return [
        f"source {source.name}: value_column {source.value_column!r} names {other}, and its values are read as "
        f"{source.unit}, as unit says; correct unit before the first import if they are not: a meter keeps its unit"
    ]


def _width_warnings(source: SourceSpec, devices: Sequence[DeviceSpec]) -> list[str]:
    """Return for which devices the declared width of a register never explains a fall."""
    width = source.written.rollover
    if width is None:
        return []
    digits, scale = parse_value(width, UNITS[Kind.ENERGY][source.unit])
    found = []
    for device in devices:
        if source.device not in (None, device.code) or device.rated_kw is None:
            continue
        most = Fraction(device.rated_kw) * OUTLIER_ABOVE * Fraction(source.interval_minutes, 60)
        if Fraction(digits, 10**scale) <= most:
            found.append(
                f"source {source.name}: device {device.code} of {device.rated_kw} kW can run over its "
                f"rollover {width} {source.unit} within {source.interval_minutes} minutes, so that no fall "
                "is taken for a rollover; read the register more often"
            )
    return found
