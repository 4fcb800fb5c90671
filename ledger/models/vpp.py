"""Section 3 of the customer's design: virtual power plants and their resources."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, CUSTOMER, Base, big_id, created_at, int_id, options, updated_at
from ledger.models.types import ExactDecimal, Varchar, choice, json_object


class ResourceType(StrEnum):
    """What a resource is."""

    SOLAR = "solar"
    WIND = "wind"
    BATTERY = "battery"
    LOAD = "load"
    GENERATOR = "generator"


class ResourceStatus(StrEnum):
    """Whether a resource may be used."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    MAINTENANCE = "maintenance"


class OperationalStatus(StrEnum):
    """What a resource is doing."""

    RUNNING = "running"
    STOPPED = "stopped"
    STANDBY = "standby"
    FAULT = "fault"


class VppStatus(StrEnum):
    """Whether a virtual power plant, or one of its strategies, is in use."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    TESTING = "testing"


class AssociationRole(StrEnum):
    """The part that a resource plays in a virtual power plant."""

    PRIMARY = "primary"
    BACKUP = "backup"
    RESERVE = "reserve"


class OperationResult(StrEnum):
    """How an operation ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    PARTIAL = "partial"


class VppResource(Base):
    """Something that can produce, store or shift energy."""

    __tablename__ = "vpp_resources"

    id: Mapped[int] = int_id()
    resource_id: Mapped[str] = mapped_column(
        Varchar(100),
        unique=True,
        comment="Code of the resource; other tables' resource_id is the row number.",
    )
    name: Mapped[str] = mapped_column(Varchar(200), comment="Name for people.")
    type: Mapped[ResourceType] = mapped_column(choice(ResourceType, "type"), comment="What it is.")
    capacity: Mapped[Decimal] = mapped_column(
        ExactDecimal(12, 3), comment="Rated capacity, in the row's unit."
    )
    unit: Mapped[str] = mapped_column(Varchar(10), comment="Unit of the capacity.")
    technical_params: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Technical data; each value names its unit."
    )
    location: Mapped[str | None] = mapped_column(Varchar(200), comment="Where it stands.")
    status: Mapped[ResourceStatus] = mapped_column(
        choice(ResourceStatus, "status"), comment="Whether it may be used."
    )
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        Index("idx_vpp_resources_type", "type"),
        Index("idx_vpp_resources_status", "status"),
        options(
            "Something that produces, stores or shifts energy.",
            writer="ledger.park",
            origin=CUSTOMER,
        ),
    )


class VppResourceInstance(Base):
    """The present state of a resource."""

    __tablename__ = "vpp_resource_instances"

    id: Mapped[int] = int_id()
    resource_id: Mapped[int] = mapped_column(
        ForeignKey("vpp_resources.id"), comment="Row number of the resource (not its code)."
    )
    current_output: Mapped[Decimal] = mapped_column(
        ExactDecimal(12, 3), comment="Power now, in the resource's unit."
    )
    available_capacity: Mapped[Decimal] = mapped_column(
        ExactDecimal(12, 3), comment="Capacity that can be called on, in the resource's unit."
    )
    operational_status: Mapped[OperationalStatus] = mapped_column(
        choice(OperationalStatus, "operational_status"), comment="What it is doing."
    )
    real_time_data: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Latest values; each names its unit."
    )
    last_updated: Mapped[datetime] = mapped_column(comment="When the state was last read, UTC.")
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (
        Index("idx_vpp_resource_instances_resource_id", "resource_id"),
        options("The present state of a resource.", writer="ledger.park", origin=CUSTOMER),
    )


class VppDefinition(Base):
    """A virtual power plant."""

    __tablename__ = "vpp_definitions"

    id: Mapped[int] = int_id()
    vpp_id: Mapped[str] = mapped_column(
        Varchar(100),
        unique=True,
        comment="Code of the plant; other tables' vpp_id is the row number.",
    )
    name: Mapped[str] = mapped_column(Varchar(200), comment="Name for people.")
    description: Mapped[str | None] = mapped_column(Text, comment="What it is for.")
    total_capacity: Mapped[Decimal] = mapped_column(ExactDecimal(15, 3), comment="Capacity in kW.")
    status: Mapped[VppStatus] = mapped_column(
        choice(VppStatus, "status"), comment="Whether it is in use."
    )
    configuration: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Configuration."
    )
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        options(
            "A virtual power plant; never deleted while it has trades.",
            writer="ledger.park",
            origin=CUSTOMER,
        ),
    )


class VppResourceAssociation(Base):
    """The share of a resource that belongs to a virtual power plant."""

    __tablename__ = "vpp_resource_associations"

    id: Mapped[int] = int_id()
    vpp_id: Mapped[int] = mapped_column(
        ForeignKey("vpp_definitions.id"), comment="Row number of the plant (not its code)."
    )
    resource_id: Mapped[int] = mapped_column(
        ForeignKey("vpp_resources.id"), comment="Row number of the resource (not its code)."
    )
    allocation_ratio: Mapped[Decimal] = mapped_column(
        ExactDecimal(5, 4), comment="Share of the resource, from 0 to 1."
    )
    role: Mapped[AssociationRole] = mapped_column(
        choice(AssociationRole, "role"), comment="Part that it plays."
    )
    associated_at: Mapped[datetime] = mapped_column(comment="When it joined, UTC.")
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        options("The share of a resource in a plant.", writer="ledger.park", origin=CUSTOMER),
    )


class VppOperationLog(Base):
    """An operation on a virtual power plant."""

    __tablename__ = "vpp_operation_logs"

    id: Mapped[int] = big_id()
    vpp_id: Mapped[int] = mapped_column(
        ForeignKey("vpp_definitions.id"), comment="Row number of the plant (not its code)."
    )
    operation_type: Mapped[str] = mapped_column(Varchar(50), comment="Kind of operation.")
    operation_details: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Values of the operation; each names its unit."
    )
    operator_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id"), comment="Row number of the user; null: the system itself."
    )
    result: Mapped[OperationResult] = mapped_column(
        choice(OperationResult, "result"), comment="How it ended."
    )
    executed_at: Mapped[datetime] = mapped_column(comment="When it was carried out, UTC.")

    __table_args__ = (
        Index("idx_vpp_operation_logs_vpp_id_executed_at", "vpp_id", "executed_at"),
        options("An operation on a plant.", writer="ledger.park", origin=CUSTOMER, changes=ALL),
    )
