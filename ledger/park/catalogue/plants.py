"""Resources and virtual power plants: tables, keys, what may change, and which rules hold."""

from __future__ import annotations

from ledger.models import (
    VppDefinition,
    VppOperationLog,
    VppResource,
    VppResourceAssociation,
    VppResourceInstance,
)
from ledger.park import rules, together
from ledger.park.kinds import NOT_NEGATIVE, PARK, POSITIVE, SHARE, kind_of

KINDS = (
    kind_of(
        "resources",
        VppResource,
        "resource",
        "Something that produces, stores or shifts energy.",
        "resource_code",
        right=PARK,
        changes="name type capacity unit technical_params location status",
        limits={"capacity": POSITIVE},
        rules=(
            rules.capacity_unit,
            rules.named_limits("technical_params"),
            rules.technical_limits,
        ),
        warnings=together.units_of_resources,
        filters=("type", "status"),
    ),
    kind_of(
        "resource-states",
        VppResourceInstance,
        "state of a resource",
        "What a resource is doing now; one for each resource.",
        "resource_code",
        right=PARK,
        changes="current_output available_capacity operational_status real_time_data last_updated",
        limits={"available_capacity": NOT_NEGATIVE},
        rules=(
            rules.happened("last_updated"),
            rules.state_within_capacity,
            rules.named_limits("real_time_data"),
            rules.state_not_older,
        ),
        quiet=True,
        filters=("resource_code",),
    ),
    kind_of(
        "vpps",
        VppDefinition,
        "plant",
        "A virtual power plant.",
        "vpp_code",
        right=PARK,
        changes="name description total_capacity status configuration",
        limits={"total_capacity": POSITIVE},
        rules=(rules.named_limits("configuration"),),
        together=(together.resting_plants_trade_by_nobody,),
        warnings=together.capacity_of_plants,
    ),
    kind_of(
        "shares",
        VppResourceAssociation,
        "share of a resource",
        "The share of a resource that belongs to a plant; those of a resource come to 1 at most.",
        "vpp_code resource_code",
        right=PARK,
        changes="allocation_ratio role",
        limits={"allocation_ratio": SHARE},
        rules=(rules.happened("associated_at"),),
        together=(together.shares_within_one,),
        warnings=together.capacity_of_sharers,
        filters=("vpp_code", "resource_code"),
    ),
    kind_of(
        "operations",
        VppOperationLog,
        "operation",
        "An operation on a plant.",
        "vpp_code operation_type executed_at",
        right=PARK,
        rules=(rules.happened("executed_at"),),
        time="executed_at",
        filters=("vpp_code",),
    ),
)
