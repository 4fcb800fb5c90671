"""How files are written, what the readings of a meter are, and cumulative registers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ledger.migrations import steps
from ledger.models import types as t

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_METER = "Row number of the meter."


def upgrade() -> None:
    """Add the tables, and say of each meter that has readings what they are."""
    _sources()
    _meter_series()
    _register_readings()
    _meter_changes()


def _sources() -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("meter_sources")}
    if "format_options" not in there:
        op.add_column(
            "meter_sources",
            sa.Column(
                "format_options",
                sa.JSON(none_as_null=True),
                nullable=True,
                comment="How the file is written, where not as plain CSV; null: it is.",
            ),
        )


def _meter_series() -> None:
    steps.create_table(
        "meter_series",
        sa.Column("meter_id", sa.Integer(), nullable=False, autoincrement=False, comment=_METER),
        sa.Column(
            "source_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the source of its first file.",
        ),
        sa.Column(
            "kind",
            t.Varchar(20),
            nullable=False,
            comment="What its files hold: the kind of their source.",
        ),
        sa.Column("unit", t.Varchar(20), nullable=False, comment="Unit of the texts."),
        sa.Column(
            "interval_s",
            sa.Integer(),
            nullable=False,
            comment="Nominal step in seconds; slots are counted by it.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("meter_id"),
        sa.ForeignKeyConstraint(["meter_id"], ["meters.id"]),
        sa.ForeignKeyConstraint(["source_id"], ["meter_sources.id"]),
        comment="What the readings of a meter are.",
        indexes=(("source_id",),),
    )
    op.execute(
        "INSERT INTO meter_series (meter_id, source_id, kind, unit, interval_s, created_at) "
        "SELECT r.meter_id, f.source_id, r.kind, r.unit, r.duration_s, f.imported_at "
        "FROM meter_readings r JOIN import_files f ON f.id = r.file_id WHERE r.id IN "
        "(SELECT MIN(id) FROM meter_readings GROUP BY meter_id) "
        "AND r.meter_id NOT IN (SELECT meter_id FROM meter_series)"
    )


def _register_readings() -> None:
    steps.create_table(
        "register_readings",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("meter_id", sa.Integer(), nullable=False, comment=_METER),
        sa.Column(
            "at_s",
            sa.BigInteger(),
            nullable=False,
            comment="When it was read, seconds since 1970 UTC.",
        ),
        sa.Column(
            "text", t.Varchar(64), nullable=False, comment="The value as received; empty: none."
        ),
        sa.Column("unit", t.Varchar(20), nullable=False, comment="Unit of the text."),
        sa.Column(
            "value_digits",
            sa.BigInteger(),
            nullable=True,
            comment="Value times 10^value_scale, in kWh; null: none.",
        ),
        sa.Column(
            "value_scale",
            sa.SmallInteger(),
            nullable=True,
            comment="Decimals of the value in kWh; null: none.",
        ),
        sa.Column(
            "quality",
            sa.Enum(
                "used",
                "missing",
                "outlier",
                "superseded",
                "late",
                name="quality",
                create_constraint=True,
            ),
            nullable=False,
            comment="Whether intervals are derived from it.",
        ),
        sa.Column("reason", t.Varchar(200), nullable=True, comment="Why none is."),
        sa.Column(
            "file_id",
            t.BigInt,
            nullable=False,
            comment="Row number of the import that brought it.",
        ),
        sa.Column(
            "line", sa.Integer(), nullable=False, comment="Line in that file, the header is 1."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("(value_digits IS NULL) = (value_scale IS NULL)", name="value"),
        sa.ForeignKeyConstraint(["meter_id"], ["meters.id"]),
        sa.ForeignKeyConstraint(["file_id"], ["import_files.id"]),
        sa.UniqueConstraint("meter_id", "at_s", "text"),
        comment="A value of a register at an instant.",
        indexes=(("file_id",),),
    )


def _meter_changes() -> None:
    steps.create_table(
        "meter_changes",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("meter_id", sa.Integer(), nullable=False, comment=_METER),
        sa.Column("at_s", sa.BigInteger(), nullable=False, comment="When, seconds since 1970 UTC."),
        sa.Column(
            "closing",
            t.Varchar(24),
            nullable=False,
            comment="Last value of the old register, in the unit of the meter's texts.",
        ),
        sa.Column(
            "opening",
            t.Varchar(24),
            nullable=False,
            comment="First value of the new register, in the unit of the meter's texts.",
        ),
        sa.Column(
            "instrument",
            t.Varchar(100),
            nullable=True,
            comment="Serial number on the new instrument.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["meter_id"], ["meters.id"]),
        sa.UniqueConstraint("meter_id", "at_s"),
        comment="A change of the instrument.",
    )
