"""Section 2 of the customer's design: devices, their types, data and alerts."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, CUSTOMER, Base, big_id, created_at, int_id, options, updated_at
from ledger.models.types import ExactDecimal, Varchar, choice, json_object


class DeviceStatus(StrEnum):
    """How a device is doing."""

    ONLINE = "online"
    OFFLINE = "offline"
    MAINTENANCE = "maintenance"
    ERROR = "error"


class AlertSeverity(StrEnum):
    """How much an alert matters, least first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class AlertStatus(StrEnum):
    """What has been done about an alert."""

    ACTIVE = "active"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Device(Base):
    """A piece of equipment of the park."""

    __tablename__ = "devices"

    id: Mapped[int] = int_id()
    device_id: Mapped[str] = mapped_column(
        Varchar(100),
        unique=True,
        comment="Code of the device; other tables' device_id is the row number.",
    )
    name: Mapped[str] = mapped_column(Varchar(200), comment="Name for people.")
    type: Mapped[str] = mapped_column(
        Varchar(100),
        ForeignKey("device_types.type_name", onupdate="CASCADE"),
        comment="Name of the device type.",
    )
    location: Mapped[str | None] = mapped_column(Varchar(200), comment="Where it stands.")
    specifications: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Technical data; each value names its unit."
    )
    status: Mapped[DeviceStatus] = mapped_column(
        choice(DeviceStatus, "status"), comment="How it is doing."
    )
    last_seen: Mapped[datetime | None] = mapped_column(comment="When it last reported, UTC.")
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        Index("idx_devices_type", "type"),
        Index("idx_devices_status", "status"),
        options(
            "A piece of equipment; never deleted while it has data.",
            writer="ledger.park",
            origin=CUSTOMER,
        ),
    )


class DeviceType(Base):
    """A kind of device."""

    __tablename__ = "device_types"

    id: Mapped[int] = int_id()
    type_name: Mapped[str] = mapped_column(Varchar(100), unique=True, comment="Name of the type.")
    category: Mapped[str] = mapped_column(Varchar(50), comment="Group of types.")
    default_config: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Configuration that a new device starts with."
    )
    validation_rules: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="What its data must satisfy."
    )
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (options("A kind of device.", writer="ledger.park", origin=CUSTOMER),)


class DeviceData(Base):
    """One value of one metric of a device at a time. Partitioned by month on MariaDB."""

    __tablename__ = "device_data"

    id: Mapped[int] = big_id("Row number; MariaDB's primary key is (id, recorded_at).")
    device_id: Mapped[int] = mapped_column(
        comment="Row number of the device (not its code); a foreign key on SQLite only."
    )
    metric_name: Mapped[str] = mapped_column(Varchar(100), comment="What was measured.")
    value: Mapped[Decimal] = mapped_column(ExactDecimal(15, 6), comment="Value, in the row's unit.")
    unit: Mapped[str | None] = mapped_column(Varchar(20), comment="Unit of the value.")
    metadata_: Mapped[dict[str, Any] | None] = mapped_column(
        "metadata", json_object(), comment="Quality and origin of the value."
    )
    recorded_at: Mapped[datetime] = mapped_column(comment="Time that the value is of, UTC.")
    created_at: Mapped[datetime] = created_at("When the value was stored, UTC.")

    __table_args__ = (
        ForeignKeyConstraint(["device_id"], ["devices.id"]).ddl_if(dialect="sqlite"),
        Index("idx_device_data_device_id_recorded_at", "device_id", "recorded_at"),
        Index("idx_device_data_metric_name", "metric_name"),
        options(
            "A value that a device reported.",
            writer="ledger.readings",
            origin=CUSTOMER,
            note="Every value as received, those too that do not count, rounded to six decimals; the last months "
            "alone. `metadata` is always NULL: quality and origin stand in `meter_readings`.",
        ),
    )


class DeviceAlert(Base):
    """Something about a device that somebody should look at."""

    __tablename__ = "device_alerts"

    id: Mapped[int] = int_id()
    device_id: Mapped[int] = mapped_column(
        ForeignKey("devices.id"), comment="Row number of the device (not its code)."
    )
    alert_type: Mapped[str] = mapped_column(Varchar(50), comment="Kind of alert.")
    severity: Mapped[AlertSeverity] = mapped_column(
        choice(AlertSeverity, "severity"), comment="How much it matters."
    )
    message: Mapped[str] = mapped_column(Text, comment="One sentence for people.")
    details: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Values behind it."
    )
    status: Mapped[AlertStatus] = mapped_column(
        choice(AlertStatus, "status"), comment="What has been done about it."
    )
    triggered_at: Mapped[datetime] = mapped_column(comment="When it began, UTC.")
    resolved_at: Mapped[datetime | None] = mapped_column(comment="When it ended, UTC.")

    __table_args__ = (
        Index("idx_device_alerts_device_id_status", "device_id", "status"),
        Index("idx_device_alerts_status", "status"),
        options(
            "An alert about a device.",
            writer="ledger.park",
            origin=CUSTOMER,
            changes=ALL,
            api="update",
        ),
    )
