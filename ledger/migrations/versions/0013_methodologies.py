"""Factors in full, fuel, storage, leakage, uncertainty, and the market's side of the inventory."""

from __future__ import annotations

import sqlalchemy as sa

from ledger.migrations import steps
from ledger.models import types as t

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

FACTORS = ("emission_factors", "id")


def upgrade() -> None:
    """Add columns that may be null, and values to three columns of choices; no row changes."""
    steps.add_choices("meters", "role", "storage")
    steps.add_choices("meter_sources", "kind", "fuel")
    steps.add_choices("meter_readings", "kind", "fuel_mass", "fuel_volume")
    _emission_factors()
    _sites()
    _projects()
    _meters()
    _issuances()


def _emission_factors() -> None:
    texts = (
        ("document", sa.Text(), "The publication."),
        ("document_sha256", t.Sha256, "SHA-256 of the publication's bytes."),
        ("gas_set", t.Varchar(100), "Gases that it counts, such as CO2."),
        ("boundary", sa.Text(), "What it counts them over."),
        ("published_at", sa.Date(), "Day of its publication."),
        ("valid_from", sa.Date(), "First legal day that it is for."),
        ("valid_to", sa.Date(), "Last legal day that it is for."),
        ("om", t.Varchar(40), "Operating margin, a decimal text, in the row's unit."),
        ("bm", t.Varchar(40), "Build margin, a decimal text, in the row's unit."),
        ("w_om", t.Varchar(40), "Weight of the operating margin, a decimal text from 0 to 1."),
        ("w_bm", t.Varchar(40), "Weight of the build margin, a decimal text from 0 to 1."),
        (
            "ncv_gj_per_t",
            t.Varchar(40),
            "Net calorific value of a fuel, a decimal text, GJ per tonne.",
        ),
        ("density_kg_per_l", t.Varchar(40), "Density of a fuel, a decimal text, kg per litre."),
        (
            "oxidation_share",
            t.Varchar(40),
            "Share of a fuel's carbon that is oxidised, a decimal text.",
        ),
    )
    for name, kind, comment in texts:
        steps.add_column("emission_factors", sa.Column(name, kind, comment=comment))


def _sites() -> None:
    comment = "Row number of the factor for its market-based inventory."
    column = sa.Column("market_factor_id", sa.Integer(), comment=comment)
    steps.add_column("sites", column, refers_to=FACTORS)


def _projects() -> None:
    leakage = "Leakage as a share of the baseline, a decimal text; null is none."
    steps.add_column("projects", sa.Column("leakage_share", t.Varchar(40), comment=leakage))
    deduction = "Deduction as a share of reductions, a decimal text; null is none."
    steps.add_column("projects", sa.Column("uncertainty_share", t.Varchar(40), comment=deduction))


def _meters() -> None:
    error = "Error that the calibration found, a decimal text, percent."
    steps.add_column("meters", sa.Column("measured_error", t.Varchar(40), comment=error))
    comment = "Row number of the factor of its fuel."
    column = sa.Column("fuel_factor_id", sa.Integer(), comment=comment)
    steps.add_column("meters", column, refers_to=FACTORS)
    density = "Density of its fuel, a decimal text, kg per litre."
    steps.add_column("meters", sa.Column("density_kg_per_l", t.Varchar(40), comment=density))


def _issuances() -> None:
    comment = "Deducted for uncertainty, t CO2e; null: before it was known."
    steps.add_column(
        "issuances", sa.Column("uncertainty_t", t.ExactDecimal(24, 9), comment=comment)
    )
