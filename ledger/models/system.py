"""Section 7 of the customer's design: configuration and the audit log."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, CUSTOMER, Base, big_id, created_at, int_id, options, updated_at
from ledger.models.types import Varchar, json_object


class SystemConfig(Base):
    """A setting that is kept in the database."""

    __tablename__ = "system_config"

    id: Mapped[int] = int_id()
    config_key: Mapped[str] = mapped_column(
        Varchar(100), unique=True, comment="Name of the setting."
    )
    config_value: Mapped[str | None] = mapped_column(Text, comment="Its value.")
    description: Mapped[str | None] = mapped_column(Text, comment="What it is for.")
    category: Mapped[str] = mapped_column(Varchar(50), comment="Group of settings.")
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()

    __table_args__ = (
        Index("idx_system_config_category", "category"),
        options(
            "A setting kept in the database.", writer="ledger.park", origin=CUSTOMER, changes=ALL
        ),
    )


class AuditLog(Base):
    """An action and what it changed, written in the same transaction. Append-only by trigger."""

    __tablename__ = "audit_logs"

    id: Mapped[int] = big_id()
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id"), comment="Row number of the user; null: the system itself."
    )
    action: Mapped[str] = mapped_column(Varchar(100), comment="What was done.")
    resource: Mapped[str] = mapped_column(Varchar(200), comment="What it was done to.")
    old_values: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Values before."
    )
    new_values: Mapped[dict[str, Any] | None] = mapped_column(
        json_object(), comment="Values after."
    )
    ip_address: Mapped[str | None] = mapped_column(Varchar(45), comment="Address of the client.")
    created_at: Mapped[datetime] = created_at("When it was done, UTC.")

    __table_args__ = (
        Index("idx_audit_logs_user_id_created_at", "user_id", "created_at"),
        Index("idx_audit_logs_action", "action"),
        options(
            "An action and what it changed; append-only.",
            writer="ledger.audit",
            origin=CUSTOMER,
            changes="insert",
            api="insert",
        ),
    )
