"""Virtual power plants, their strategies and the markets of a site file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ledger.models import (
    Device,
    VppDefinition,
    VppResource,
    VppResourceAssociation,
    VppTradingStrategy,
)
from ledger.models.trading import StrategyType
from ledger.models.vpp import AssociationRole, ResourceStatus, ResourceType, VppStatus
from ledger.reductions.records import Role
from ledger.sites.application import Application
from ledger.sites.specs import DeviceSpec, VppSpec

_KINDS = {
    ResourceType.SOLAR: ("pv", "photovoltaic", "solar", "光伏", "太阳能"),
    ResourceType.WIND: ("wind", "风"),
    ResourceType.BATTERY: ("battery", "storage", "电池", "储能"),
}
"""Words in the type of a device that supplies: what it is as a resource."""


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
    kind = _kind_of(spec)
    initial: dict[str, Any] = {"status": ResourceStatus.ACTIVE}
    if kind is None:  # whoever knows may say so by other ways, and it stays
        initial["type"] = ResourceType.GENERATOR
    resource: VppResource = work.put(
        VppResource,
        {"resource_id": spec.code},
        {
            "name": device.name,
            "capacity": spec.rated_kw.quantize(Decimal("0.001")),
            "unit": "kW",
            "location": device.location,
            **({} if kind is None else {"type": kind}),
        },
        f"resource {spec.code}",
        initial,
    )
    key = {"vpp_id": plant.id, "resource_id": resource.id}
    joined = {
        "allocation_ratio": Decimal(1),
        "role": AssociationRole.PRIMARY,
        "associated_at": datetime.now(UTC),
    }
    work.put(VppResourceAssociation, key, {}, f"share of {spec.code} in {vpp.code}", joined)
    return resource.id


def _kind_of(spec: DeviceSpec) -> ResourceType | None:
    """Return what a device is as a resource; None: neither its role nor its type says it.

    The role goes first: a cold store is a load, whatever its type is called.
    """
    role = Role(spec.role)
    if role is Role.STORAGE:
        return ResourceType.BATTERY
    if not role.supplies:
        return ResourceType.GENERATOR if role is Role.FUEL else ResourceType.LOAD
    name = spec.type.lower()
    return next((kind for kind, words in _KINDS.items() if any(w in name for w in words)), None)
