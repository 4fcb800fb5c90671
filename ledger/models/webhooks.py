"""What others are told of: who wants to hear what, each message, each delivery, each try. Ours."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from ledger.models.base import ALL, BEYOND, Base, big_id, created_at, int_id, options, updated_at
from ledger.models.types import Hash, MediumText, Varchar, choice, json_array, json_object


class EndpointState(StrEnum):
    """Whether an endpoint is told anything."""

    ACTIVE = "active"
    PAUSED = "paused"
    """By a person; what happens meanwhile is told when it is resumed."""
    DISABLED = "disabled"
    """By us: it took nothing for days, or said that it is gone."""
    REMOVED = "removed"


class DeliveryState(StrEnum):
    """How far a delivery has come."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookEndpoint(Base):
    """An address that wants to be told of events."""

    __tablename__ = "webhook_endpoints"

    id: Mapped[int] = int_id()
    url: Mapped[str] = mapped_column(Varchar(2000), comment="Address that messages are posted to.")
    description: Mapped[str | None] = mapped_column(
        Varchar(200), comment="Whose it is, for people."
    )
    event_types: Mapped[list[str]] = mapped_column(
        json_array(), comment="Types that it wants; a last part `*` stands for any."
    )
    secret_sealed: Mapped[str] = mapped_column(
        Varchar(400), comment="Secret that messages are signed with, encrypted."
    )
    former_sealed: Mapped[str | None] = mapped_column(
        Varchar(400), comment="Secret before it, encrypted; signs as well for a while."
    )
    former_until: Mapped[datetime | None] = mapped_column(comment="Until when it does, UTC.")
    state: Mapped[EndpointState] = mapped_column(
        choice(EndpointState, "state"), comment="Whether it is told anything."
    )
    reason: Mapped[str | None] = mapped_column(Varchar(500), comment="Why it is disabled.")
    told_block: Mapped[int] = mapped_column(
        BigInteger, comment="Last final block whose events became deliveries to it."
    )
    heard_at: Mapped[datetime | None] = mapped_column(
        comment="When it last took a message, UTC; null: never."
    )
    created_at: Mapped[datetime] = created_at()
    updated_at: Mapped[datetime] = updated_at()
    resumed_at: Mapped[datetime | None] = mapped_column(
        comment="When a person last had it told again, UTC; null: never."
    )

    __table_args__ = (
        options(
            "An address that is told of events.",
            writer="ledger.webhooks",
            origin=BEYOND,
            api="insert, update",
        ),
    )


class WebhookMessage(Base):
    """An event as it is told: the same text to everybody, as often as it is sent."""

    __tablename__ = "webhook_messages"

    id: Mapped[int] = big_id()
    message_id: Mapped[str] = mapped_column(
        Varchar(40), unique=True, comment="webhook-id: made of what it tells."
    )
    event_type: Mapped[str] = mapped_column(Varchar(60), comment="Type of the event.")
    tx_hash: Mapped[str | None] = mapped_column(
        Hash, comment="Transaction of the event; null: none of the chain's."
    )
    block_number: Mapped[int | None] = mapped_column(BigInteger, comment="Its final block.")
    body: Mapped[str] = mapped_column(MediumText, comment="Body as posted, JSON.")
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (
        Index("idx_webhook_messages_block_number", "block_number"),
        options("An event as it is told.", writer="ledger.webhooks", origin=BEYOND, changes=ALL),
    )


class WebhookDelivery(Base):
    """A message to an endpoint."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[int] = big_id()
    endpoint_id: Mapped[int] = mapped_column(
        ForeignKey("webhook_endpoints.id"), comment="Row number of the endpoint."
    )
    message_row: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("webhook_messages.id"), comment="Row number of the message."
    )
    state: Mapped[DeliveryState] = mapped_column(
        choice(DeliveryState, "state"), comment="How far it has come."
    )
    tries: Mapped[int] = mapped_column(comment="How often it was sent since it was last due anew.")
    due_at: Mapped[datetime] = mapped_column(comment="When it is to be sent (again), UTC.")
    delivered_at: Mapped[datetime | None] = mapped_column(comment="When it was taken, UTC.")
    created_at: Mapped[datetime] = created_at()

    __table_args__ = (
        UniqueConstraint("endpoint_id", "message_row"),
        Index("idx_webhook_deliveries_message_row", "message_row"),
        Index("idx_webhook_deliveries_state_due_at", "state", "due_at"),
        options(
            "A message to an endpoint.",
            writer="ledger.webhooks",
            origin=BEYOND,
            changes=ALL,
            api="update",
        ),
    )


class WebhookTry(Base):
    """One sending of a delivery, and what came of it."""

    __tablename__ = "webhook_tries"

    id: Mapped[int] = big_id()
    delivery_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("webhook_deliveries.id"), comment="Row number of the delivery."
    )
    at: Mapped[datetime] = mapped_column(comment="When it was sent, UTC.")
    duration_ms: Mapped[int] = mapped_column(comment="Until the answer, ms.")
    http_status: Mapped[int | None] = mapped_column(comment="Status of the answer; null: none.")
    error: Mapped[str | None] = mapped_column(
        Text, comment="Why it does not count as taken; null: it was taken."
    )

    __table_args__ = (
        Index("idx_webhook_tries_delivery_id", "delivery_id"),
        options("One sending of a delivery.", writer="ledger.webhooks", origin=BEYOND, changes=ALL),
    )


class WebhookAlert(Base):
    """An alert that an endpoint was told of, and how it stood then."""

    __tablename__ = "webhook_alerts"

    endpoint_id: Mapped[int] = mapped_column(
        ForeignKey("webhook_endpoints.id"),
        primary_key=True,
        autoincrement=False,
        comment="Row number of the endpoint.",
    )
    alert_id: Mapped[int] = mapped_column(
        primary_key=True,
        autoincrement=False,
        comment="Row number of the alert, which may be withdrawn and gone.",
    )
    is_open: Mapped[bool] = mapped_column(comment="Whether it was raised when last told of.")
    times: Mapped[int] = mapped_column(comment="How often it was told of.")
    facts: Mapped[dict[str, Any]] = mapped_column(
        json_object(), comment="What was told of it when it was raised."
    )

    __table_args__ = (
        Index("idx_webhook_alerts_endpoint_id_is_open", "endpoint_id", "is_open"),
        options(
            "An alert that an endpoint was told of.",
            writer="ledger.webhooks",
            origin=BEYOND,
            changes=ALL,
        ),
    )
