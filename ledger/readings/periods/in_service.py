"""When a meter is in service, by the legal days of its device: only then can a reading of it be missing."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from ledger import models
from ledger.reductions.zones import legal_day_end_s, legal_day_start_s


def in_service_s(row: models.Meter, where: ZoneInfo) -> tuple[int | None, int | None]:
    """Return since when a meter is there and until when, exclusive; None where that is open."""
    first, last = row.in_service_from, row.in_service_to
    return (
        None if first is None else legal_day_start_s(first, where),
        None if last is None else legal_day_end_s(last, where),
    )
