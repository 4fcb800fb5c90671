"""What a site file allows and its author should know before anything is issued."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.reductions import methodologies
from ledger.reductions.records import Role
from ledger.sites.specs import DeviceSpec, ProjectSpec


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
    if {Role.GENERATION, Role.LOAD, Role.IMPORT} <= counted.keys():
        found.append(
            f"{name}: what the import meter {counted[Role.IMPORT].meter_serial} counts is deducted from "
            "the generation; if it feeds the park's loads and not the plant, write inventory_only = true "
            "into its [[device]]"
        )
    return found
