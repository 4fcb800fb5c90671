"""Stored emission factors as the arithmetic wants them."""

from __future__ import annotations

from ledger import models
from ledger.reductions.records import Factor, Purpose

_DIFFERENT = {"purpose", "sha256"}
"""Fields that the table has in another way, or by another name."""


def factor_record(row: models.EmissionFactor) -> Factor:
    """Return a stored factor as the arithmetic wants it."""
    names = set(Factor.__dataclass_fields__) - _DIFFERENT
    return Factor(
        **{name: getattr(row, name) for name in names},
        purpose=Purpose(row.purpose.value),
        sha256=row.content_sha256,
    )
