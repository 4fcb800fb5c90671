"""Virtual power plants, their strategies and the markets of a site file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from ledger.models import (
    Device,
    VppDefinition,
    VppResource,
    VppResourceAssociation,
    VppTradingStrategy,
)
from ledger.models.trading import StrategyType
from ledger.models.vpp import AssociationRole, ResourceStatus, ResourceType, VppStatus
from ledger.sites.application import Application
from ledger.sites.specs import DeviceSpec, VppSpec

_KINDS = (
    ("wind", ResourceType.WIND),
    ("pv", ResourceType.SOLAR),
    ("solar", ResourceType.SOLAR),
    ("battery", ResourceType.BATTERY),
    ("storage", ResourceType.BATTERY),
)


def apply_plants(
    work: Application,
    devices: Mapping[str, Device],
    resolve_account: Callable[[str], str],
) -> set[int]:
    """Make or change the plants, strategies and accounts of a file; return the resources that were shared."""
    plants = {spec.code: _plant(work, spec, resolve_account) for spec in work.file.vpps}
    specs = {spec.code: spec for spec in work.file.devices}
    shared = {
        _resource(work, plants[vpp.code], vpp, devices[code], specs[code])
        for vpp in work.file.vpps
        for code in vpp.devices
    }
    for strategy in work.file.strategies:
        key = {"vpp_id": plants[strategy.vpp].id, "strategy_name": strategy.name}
        values = {"strategy_type": StrategyType(strategy.type)}
        label = f"strategy {strategy.vpp}/{strategy.name}"
        work.put(VppTradingStrategy, key, values, label, {"status": VppStatus.ACTIVE})
    for market in work.file.markets:
        address = resolve_account(market.account)
        work.put_account({"market": market.name}, address, f"market {market.name}")
    return shared


def _plant(
    work: Application, spec: VppSpec, resolve_account: Callable[[str], str]
) -> VppDefinition:
    values = {"name": spec.name, "total_capacity": spec.total_capacity}
    # Whether it is in use, and how it is shared, may be said otherwise later: a site file only begins.
    initial = {"status": VppStatus.ACTIVE}
    key = {"vpp_id": spec.code}
    plant: VppDefinition = work.put(VppDefinition, key, values, f"vpp {spec.code}", initial)
    address = resolve_account(spec.account)
    work.put_account({"vpp_id": plant.id}, address, f"account of vpp {spec.code}")
    return plant


def _resource(
    work: Application, plant: VppDefinition, vpp: VppSpec, device: Device, spec: DeviceSpec
) -> int:
    assert spec.rated_kw is not None  # checked with the file
    resource: VppResource = work.put(
        VppResource,
        {"resource_id": spec.code},
        {
            "name": device.name,
            "type": _kind_of(spec),
            "capacity": spec.rated_kw.quantize(Decimal("0.001")),
            "unit": "kW",
            "location": device.location,
        },
        f"resource {spec.code}",
        {"status": ResourceStatus.ACTIVE},
    )
    key = {"vpp_id": plant.id, "resource_id": resource.id}
    initial = {
        "allocation_ratio": Decimal(1),
        "role": AssociationRole.PRIMARY,
        "associated_at": datetime.now(UTC),
    }
    work.put(VppResourceAssociation, key, {}, f"share of {spec.code} in {vpp.code}", initial)
    return resource.id


def _kind_of(spec: DeviceSpec) -> ResourceType:
    name = spec.type.lower()
    for word, kind in _KINDS:
        if word in name:
            return kind
    if spec.role == "storage":
        return ResourceType.BATTERY
    return ResourceType.LOAD if spec.role in ("load", "import") else ResourceType.GENERATOR
