"""From meters to issued credits."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, those that are referred to first."""
    _emission_factors()
    _sites()
    _meter_sources()
    _projects()
    _import_files()
    _issuances()
    _meters()
    _meter_readings()
    _reading_claims()


def _emission_factors() -> None:
    steps.create_table(
        "emission_factors",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("code", t.Varchar(100), nullable=False, comment="Code of the factor."),
        sa.Column("version", t.Varchar(50), nullable=False, comment="Version of its publication."),
        sa.Column(
            "purpose",
            sa.Enum(
                "inventory_location",
                "inventory_market",
                "crediting_cm",
                "fuel",
                name="purpose",
                create_constraint=True,
            ),
            nullable=False,
            comment="What it may be used for.",
        ),
        sa.Column(
            "value",
            t.Varchar(40),
            nullable=False,
            comment="Value as published, a decimal text, in the row's unit.",
        ),
        sa.Column(
            "unit", t.Varchar(20), nullable=False, comment="Unit of the value, such as t/MWh."
        ),
        sa.Column("source", sa.Text(), nullable=False, comment="Where it is published."),
        sa.Column("data_year", sa.Integer(), nullable=True, comment="Year of the data behind it."),
        sa.Column(
            "verified",
            sa.Boolean(),
            nullable=False,
            comment="Whether somebody compared it with the source.",
        ),
        sa.Column(
            "content_sha256", t.Sha256, nullable=False, comment="SHA-256 of the row's content."
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code", "version"),
        comment="A published emission factor; append-only.",
    )


def _sites() -> None:
    steps.create_table(
        "sites",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("code", t.Varchar(50), nullable=False, comment="Code of the site."),
        sa.Column("name", t.Varchar(200), nullable=False, comment="Name for people."),
        sa.Column(
            "time_zone",
            t.Varchar(64),
            nullable=False,
            comment="IANA name; legal days and years of the site are counted in it.",
        ),
        sa.Column("country", sa.CHAR(2), nullable=False, comment="ISO 3166-1 alpha-2 code."),
        sa.Column(
            "inventory_factor_id",
            sa.Integer(),
            nullable=True,
            comment="Row number of the factor for the site's inventory.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["inventory_factor_id"], ["emission_factors.id"]),
        sa.UniqueConstraint("code"),
        comment="A park.",
    )


def _meter_sources() -> None:
    steps.create_table(
        "meter_sources",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("site_id", sa.Integer(), nullable=False, comment="Row number of the site."),
        sa.Column(
            "name", t.Varchar(100), nullable=False, comment="Name of the source within the site."
        ),
        sa.Column(
            "kind",
            sa.Enum("power", "energy", "counter", name="kind", create_constraint=True),
            nullable=False,
            comment="What the values are.",
        ),
        sa.Column("unit", t.Varchar(20), nullable=False, comment="Unit of the values in the file."),
        sa.Column(
            "interval_minutes",
            sa.Integer(),
            nullable=False,
            comment="Length of an interval in minutes.",
        ),
        sa.Column(
            "label",
            sa.Enum("start", "end", name="label", create_constraint=True),
            nullable=False,
            comment="End of the interval that the time names.",
        ),
        sa.Column(
            "device_code",
            t.Varchar(100),
            nullable=True,
            comment="Code of the device when a file is of one device.",
        ),
        sa.Column(
            "device_column",
            t.Varchar(100),
            nullable=True,
            comment="Column with the code of the device otherwise.",
        ),
        sa.Column("time_column", t.Varchar(100), nullable=False, comment="Column with the time."),
        sa.Column("value_column", t.Varchar(100), nullable=False, comment="Column with the value."),
        sa.Column(
            "time_zone",
            t.Varchar(64),
            nullable=False,
            comment="`offset` when the text carries it, else an IANA name.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"]),
        sa.UniqueConstraint("site_id", "name"),
        comment="How to read the files of one origin.",
    )


def _projects() -> None:
    steps.create_table(
        "projects",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("site_id", sa.Integer(), nullable=False, comment="Row number of the site."),
        sa.Column("code", t.Varchar(50), nullable=False, comment="Code of the project."),
        sa.Column("methodology", t.Varchar(50), nullable=False, comment="Code of the methodology."),
        sa.Column("methodology_version", t.Varchar(20), nullable=False, comment="Its version."),
        sa.Column(
            "factor_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the baseline's factor.",
        ),
        sa.Column(
            "program", t.Varchar(50), nullable=False, comment="Programme that it is credited under."
        ),
        sa.Column(
            "completeness_min",
            t.ExactDecimal(5, 4),
            nullable=False,
            comment="Share of the expected slots, from 0 to 1, under which a period is refused.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.Column(
            "updated_at", t.UtcDateTime(), nullable=False, comment="When the row last changed, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["factor_id"], ["emission_factors.id"]),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"]),
        sa.UniqueConstraint("code"),
        comment="An activity that is credited.",
        indexes=(("site_id",),),
    )


def _import_files() -> None:
    steps.create_table(
        "import_files",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("source_id", sa.Integer(), nullable=False, comment="Row number of the source."),
        sa.Column("file_name", t.Varchar(255), nullable=False, comment="Name without its folder."),
        sa.Column("file_sha256", t.Sha256, nullable=False, comment="SHA-256 of its bytes."),
        sa.Column("rows_read", sa.Integer(), nullable=False, comment="Rows in the file."),
        sa.Column("rows_new", sa.Integer(), nullable=False, comment="Rows that brought a reading."),
        sa.Column(
            "rows_unchanged", sa.Integer(), nullable=False, comment="Rows that were there already."
        ),
        sa.Column(
            "rows_conflict", sa.Integer(), nullable=False, comment="Rows that contradict another."
        ),
        sa.Column(
            "rows_rejected", sa.Integer(), nullable=False, comment="Rows that cannot be used."
        ),
        sa.Column("imported_at", t.UtcDateTime(), nullable=False, comment="When, UTC."),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["source_id"], ["meter_sources.id"]),
        comment="One import of one file.",
        indexes=(
            ("file_sha256",),
            ("source_id",),
        ),
    )


def _issuances() -> None:
    steps.create_table(
        "issuances",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("project_id", sa.Integer(), nullable=False, comment="Row number of the project."),
        sa.Column("vintage", sa.Integer(), nullable=False, comment="Legal year of the period."),
        sa.Column("from_date", sa.Date(), nullable=False, comment="First legal day of the period."),
        sa.Column(
            "to_date", sa.Date(), nullable=False, comment="Legal day after the last of the period."
        ),
        sa.Column(
            "from_s", sa.BigInteger(), nullable=False, comment="Start, seconds since 1970 UTC."
        ),
        sa.Column(
            "to_s",
            sa.BigInteger(),
            nullable=False,
            comment="End (exclusive), seconds since 1970 UTC.",
        ),
        sa.Column("factor_id", sa.Integer(), nullable=False, comment="Row number of the factor."),
        sa.Column(
            "readings_expected", sa.Integer(), nullable=False, comment="Slots in the period."
        ),
        sa.Column("readings_used", sa.Integer(), nullable=False, comment="Slots that count."),
        sa.Column(
            "readings_missing", sa.Integer(), nullable=False, comment="Slots without a value."
        ),
        sa.Column(
            "readings_outlier",
            sa.Integer(),
            nullable=False,
            comment="Slots whose value is impossible.",
        ),
        sa.Column(
            "readings_conflict", sa.Integer(), nullable=False, comment="Slots with several values."
        ),
        sa.Column(
            "export_kwh", t.ExactDecimal(24, 9), nullable=False, comment="Energy delivered, kWh."
        ),
        sa.Column(
            "import_kwh", t.ExactDecimal(24, 9), nullable=False, comment="Energy drawn, kWh."
        ),
        sa.Column(
            "net_kwh", t.ExactDecimal(24, 9), nullable=False, comment="Delivered less drawn, kWh."
        ),
        sa.Column("baseline_t", t.ExactDecimal(24, 9), nullable=False, comment="Baseline, t CO2e."),
        sa.Column(
            "project_t", t.ExactDecimal(24, 9), nullable=False, comment="Project emissions, t CO2e."
        ),
        sa.Column("leakage_t", t.ExactDecimal(24, 9), nullable=False, comment="Leakage, t CO2e."),
        sa.Column(
            "reductions_kg", t.ExactDecimal(24, 9), nullable=False, comment="Reductions, kg CO2e."
        ),
        sa.Column(
            "carry_in_kg",
            t.Varchar(120),
            nullable=False,
            comment="Brought from the period before, kg CO2e, an exact fraction n/d.",
        ),
        sa.Column(
            "carry_out_kg",
            t.Varchar(120),
            nullable=False,
            comment="Left for the period after, kg CO2e, an exact fraction n/d.",
        ),
        sa.Column("issued_kg", sa.BigInteger(), nullable=False, comment="Credits, kg CO2e."),
        sa.Column("evidence_root", t.Hash, nullable=False, comment="Merkle root of the readings."),
        sa.Column("leaves", sa.Integer(), nullable=False, comment="Leaves under the root."),
        sa.Column(
            "manifest", t.MediumText, nullable=False, comment="Canonical JSON of the calculation."
        ),
        sa.Column("manifest_hash", t.Hash, nullable=False, comment="keccak-256 of the manifest."),
        sa.Column(
            "key",
            t.Hash,
            nullable=False,
            comment="Key of the intent, the claim's nonce and the batch.",
        ),
        sa.Column(
            "state",
            sa.Enum("planned", "issued", "void", name="state", create_constraint=True),
            nullable=False,
            comment="How far it has come.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("from_s < to_s", name="period"),
        sa.ForeignKeyConstraint(["factor_id"], ["emission_factors.id"]),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
        sa.UniqueConstraint("key"),
        comment="Reductions of a period and their batch.",
        indexes=(
            (
                "project_id",
                "from_s",
            ),
        ),
    )


def _meters() -> None:
    steps.create_table(
        "meters",
        sa.Column("id", sa.Integer(), nullable=False, comment="Row number."),
        sa.Column("site_id", sa.Integer(), nullable=False, comment="Row number of the site."),
        sa.Column(
            "project_id",
            sa.Integer(),
            nullable=True,
            comment="Row number of the project that it counts for.",
        ),
        sa.Column(
            "device_id",
            sa.Integer(),
            nullable=False,
            comment="Row number of the device (not its code).",
        ),
        sa.Column("serial", t.Varchar(100), nullable=False, comment="Serial number on the meter."),
        sa.Column(
            "role",
            sa.Enum(
                "generation",
                "import",
                "export",
                "load",
                "fuel",
                name="role",
                create_constraint=True,
            ),
            nullable=False,
            comment="What it measures.",
        ),
        sa.Column(
            "rated_kw",
            t.ExactDecimal(15, 6),
            nullable=True,
            comment="Rated power of the device in kW.",
        ),
        sa.Column("accuracy_class", t.Varchar(10), nullable=True, comment="Accuracy class."),
        sa.Column(
            "calibrated_from",
            sa.Date(),
            nullable=True,
            comment="First legal day of the calibration.",
        ),
        sa.Column(
            "calibrated_to", sa.Date(), nullable=True, comment="Last legal day of the calibration."
        ),
        sa.Column(
            "calibrated",
            sa.Boolean(),
            nullable=False,
            comment="False: the maximum permissible error is deducted.",
        ),
        sa.Column(
            "created_at", t.UtcDateTime(), nullable=False, comment="When the row was made, UTC."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"]),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
        sa.ForeignKeyConstraint(["site_id"], ["sites.id"]),
        sa.UniqueConstraint("device_id"),
        comment="The meter of a device.",
        indexes=(
            ("project_id",),
            ("site_id",),
        ),
    )


def _meter_readings() -> None:
    steps.create_table(
        "meter_readings",
        sa.Column("id", t.BigInt, nullable=False, comment="Row number."),
        sa.Column("meter_id", sa.Integer(), nullable=False, comment="Row number of the meter."),
        sa.Column(
            "start_s",
            sa.BigInteger(),
            nullable=False,
            comment="Start of the interval, seconds since 1970 UTC.",
        ),
        sa.Column(
            "duration_s", sa.Integer(), nullable=False, comment="Length of the interval in seconds."
        ),
        sa.Column(
            "kind",
            sa.Enum("power", "energy", name="kind", create_constraint=True),
            nullable=False,
            comment="What the value is.",
        ),
        sa.Column(
            "text", t.Varchar(64), nullable=False, comment="The value as received; empty: none."
        ),
        sa.Column("unit", t.Varchar(20), nullable=False, comment="Unit of the text."),
        sa.Column(
            "value_digits",
            sa.BigInteger(),
            nullable=True,
            comment="Value times 10^value_scale, in kW for power and kWh for energy; null: none.",
        ),
        sa.Column(
            "value_scale",
            sa.SmallInteger(),
            nullable=True,
            comment="Decimals of the value in kW or kWh; null: none.",
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
            comment="Whether it counts.",
        ),
        sa.Column(
            "conflict",
            sa.Boolean(),
            nullable=False,
            comment="Whether another value stands for the interval.",
        ),
        sa.Column("reason", t.Varchar(200), nullable=True, comment="Why it does not count."),
        sa.Column(
            "file_id", t.BigInt, nullable=False, comment="Row number of the import that brought it."
        ),
        sa.Column(
            "line", sa.Integer(), nullable=False, comment="Line in that file, the header is 1."
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.CheckConstraint("(value_digits IS NULL) = (value_scale IS NULL)", name="value"),
        sa.ForeignKeyConstraint(["file_id"], ["import_files.id"]),
        sa.ForeignKeyConstraint(["meter_id"], ["meters.id"]),
        sa.UniqueConstraint("meter_id", "start_s", "text"),
        comment="A value of a meter for an interval.",
        indexes=(("file_id",),),
    )


def _reading_claims() -> None:
    steps.create_table(
        "reading_claims",
        sa.Column(
            "meter_id",
            sa.Integer(),
            nullable=False,
            autoincrement=False,
            comment="Row number of the meter.",
        ),
        sa.Column(
            "start_s",
            sa.BigInteger(),
            nullable=False,
            autoincrement=False,
            comment="Start of the interval, seconds since 1970 UTC.",
        ),
        sa.Column("issuance_id", t.BigInt, nullable=False, comment="Row number of the issuance."),
        sa.PrimaryKeyConstraint("meter_id", "start_s"),
        sa.ForeignKeyConstraint(["issuance_id"], ["issuances.id"]),
        sa.ForeignKeyConstraint(["meter_id"], ["meters.id"]),
        comment="An interval that an issuance used up.",
        indexes=(("issuance_id",),),
    )
