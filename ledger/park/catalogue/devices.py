"""Devices, their types and alerts: tables, keys, what may change, and which rules hold."""

from __future__ import annotations

from ledger.models import Device, DeviceAlert, DeviceType
from ledger.park import rules, states, together, unwatched
from ledger.park.kinds import PARK, kind_of
from ledger.park.standing import ACTS, settled_by_hand

KINDS = (
    kind_of(
        "device-types",
        DeviceType,
        "device type",
        "A kind of device, with the rules that its data raise alerts by.",
        "type_name",
        right=PARK,
        changes="category default_config validation_rules",
        rules=(rules.validation_rules, rules.named_limits("default_config")),
        warnings=unwatched.of_rows,
    ),
    kind_of(
        "devices",
        Device,
        "device",
        "A piece of equipment.",
        "device_code",
        right=PARK,
        changes="name type location specifications status last_seen",
        rules=(rules.happened("last_seen"), rules.named_limits("specifications")),
        warnings=unwatched.of_devices,
        filters=("type", "status"),
    ),
    kind_of(
        "alerts",
        DeviceAlert,
        "alert",
        "Something about a device that somebody should look at.",
        "device_code alert_type triggered_at",
        right=PARK,
        changes="severity message details status",
        once="resolved_at",
        rules=(
            rules.alert_is_foreign,
            rules.happened("triggered_at", "resolved_at"),
            rules.in_order("triggered_at", "resolved_at", apart=False),
            rules.alert_ends,
            states.ALERT,
        ),
        together=(together.one_open_alert,),
        filters=("device_code", "status"),
        kept=tuple(("details", members) for members in ACTS),
        stays=settled_by_hand,
    ),
)
