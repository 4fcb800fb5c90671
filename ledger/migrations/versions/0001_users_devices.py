"""Users and devices."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, those that are referred to first."""
    _device_types()
    _users()
    _devices()
    _user_permissions()
    _user_sessions()
    _device_alerts()
    _device_data()


def _device_types() -> None:
    steps.create_table(
        "device_types",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("type_name", t.Varchar(100), nullable=False, comment="Name of the type."),
        sa.Column("category", t.Varchar(50), nullable=False, comment="Group of types."),
        sa.Column(
            "default_config",
            sa.JSON(),
            nullable=True,
            comment="Configuration that a new device starts with.",
        ),
        sa.Column(
            "validation_rules", sa.JSON(), nullable=True, comment="What its data must satisfy."
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("type_name"),
        comment="A kind of device.",
    )


def _users() -> None:
    steps.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("username", t.Varchar(50), nullable=False, comment="Name to sign in with."),
        sa.Column("email", t.Varchar(100), nullable=False, comment="Mail address."),
        sa.Column(
            "password_hash", t.Varchar(255), nullable=False, comment="bcrypt hash of the password."
        ),
        sa.Column(
            "role",
            sa.Enum("admin", "operator", "viewer", name="role", create_constraint=True),
            nullable=False,
            comment="What the user may do.",
        ),
        sa.Column("profile", sa.JSON(), nullable=True, comment="Preferences."),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.Column(
            "is_active", sa.Boolean(), nullable=False, comment="Whether the user may sign in."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
        sa.UniqueConstraint("username"),
        comment="A person who signs in.",
        indexes=(
            ("email",),
            ("role",),
        ),
    )


def _devices() -> None:
    steps.create_table(
        "devices",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "device_id",
            t.Varchar(100),
            nullable=False,
            comment="Code of the device; other tables' device_id is the row number.",
        ),
        sa.Column("name", t.Varchar(200), nullable=False, comment="Name for people."),
        sa.Column("type", t.Varchar(100), nullable=False, comment="Name of the device type."),
        sa.Column("location", t.Varchar(200), nullable=True, comment="Where it stands."),
        sa.Column(
            "specifications",
            sa.JSON(),
            nullable=True,
            comment="Technical data; each value names its unit.",
        ),
        sa.Column(
            "status",
            sa.Enum(
                "online", "offline", "maintenance", "error", name="status", create_constraint=True
            ),
            nullable=False,
            comment="How it is doing.",
        ),
        sa.Column(
            "last_seen", t.UtcDateTime(), nullable=True, comment="When it last reported, UTC."
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["type"], ["device_types.type_name"], onupdate="CASCADE"),
        sa.UniqueConstraint("device_id"),
        comment="A piece of equipment; never deleted while it has data.",
        indexes=(
            ("status",),
            ("type",),
        ),
    )


def _user_permissions() -> None:
    steps.create_table(
        "user_permissions",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("user_id", sa.Integer(), nullable=False, comment="Row number of the user."),
        sa.Column("resource", t.Varchar(100), nullable=False, comment="What the action is on."),
        sa.Column("action", t.Varchar(50), nullable=False, comment="Name of the action."),
        sa.Column("granted", sa.Boolean(), nullable=False, comment="True: granted; false: denied."),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When it was decided, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        comment="A permission beyond a user's role.",
    )


def _user_sessions() -> None:
    steps.create_table(
        "user_sessions",
        sa.Column(
            "session_id",
            t.Varchar(128),
            nullable=False,
            comment="Opaque identifier of the session.",
        ),
        sa.Column("user_id", sa.Integer(), nullable=False, comment="Row number of the user."),
        sa.Column("ip_address", t.Varchar(45), nullable=True, comment="Address of the client."),
        sa.Column("user_agent", sa.Text(), nullable=True, comment="What the client calls itself."),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the session began, UTC."
        ),
        sa.Column(
            "expires_at",
            t.UtcDateTime(),
            nullable=False,
            comment="When the session ends by itself, UTC.",
        ),
        sa.Column(
            "is_active",
            sa.Boolean(),
            nullable=False,
            comment="Whether the session may still be used.",
        ),
        sa.PrimaryKeyConstraint("session_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        comment="A signed-in client of a user.",
        indexes=(
            ("expires_at",),
            ("user_id",),
        ),
    )


def _device_alerts() -> None:
    steps.create_table(
        "device_alerts",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column(
            "device_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the device (not its code).",
        ),
        sa.Column("alert_type", t.Varchar(50), nullable=False, comment="Kind of alert."),
        sa.Column(
            "severity",
            sa.Enum("low", "medium", "high", "critical", name="severity", create_constraint=True),
            nullable=False,
            comment="How much it matters.",
        ),
        sa.Column("message", sa.Text(), nullable=False, comment="One sentence for people."),
        sa.Column("details", sa.JSON(), nullable=True, comment="Values behind it."),
        sa.Column(
            "status",
            sa.Enum("active", "acknowledged", "resolved", name="status", create_constraint=True),
            nullable=False,
            comment="What has been done about it.",
        ),
        sa.Column("triggered_at", t.UtcDateTime(), nullable=False, comment="When it began, UTC."),
        sa.Column("resolved_at", t.UtcDateTime(), nullable=True, comment="When it ended, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"]),
        comment="An alert about a device.",
        indexes=(
            (
                "device_id",
                "status",
            ),
        ),
    )


def _device_data() -> None:
    steps.create_table(
        "device_data",
        sa.Column(
            "id",
            t.BigInt,
            nullable=False,
            comment="Row number; MariaDB's primary key is (id, recorded_at).",
        ),
        sa.Column(
            "device_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the device (not its code); a foreign key on SQLite only.",
        ),
        sa.Column("metric_name", t.Varchar(100), nullable=False, comment="What was measured."),
        sa.Column(
            "value", t.ExactDecimal(15, 6), nullable=False, comment="Value, in the row's unit."
        ),
        sa.Column("unit", t.Varchar(20), nullable=True, comment="Unit of the value."),
        sa.Column("metadata", sa.JSON(), nullable=True, comment="Quality and origin of the value."),
        sa.Column(
            "recorded_at",
            t.UtcDateTime(),
            nullable=False,
            comment="Time that the value is of, UTC.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the value was stored, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        *steps.only_sqlite(sa.ForeignKeyConstraint(["device_id"], ["devices.id"])),
        comment="A value that a device reported.",
        indexes=(
            (
                "device_id",
                "recorded_at",
            ),
            ("metric_name",),
        ),
    )
