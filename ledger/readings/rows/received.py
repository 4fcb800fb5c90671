"""Values as they were received, in ``device_data``: a table to look at, from which nothing is credited."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from ledger.db import Database
from ledger.models import DeviceData
from ledger.readings.files.sources import RawReading
from ledger.reductions.zones import utc_of

MICROS_MAX = 10**15 - 1
"""Largest value of ``device_data`` in millionths: what is under 1e9 and rounds up to it is this."""
INSERT_DATA = (
    "INSERT INTO device_data (device_id, metric_name, value, unit, recorded_at, created_at) "
    "VALUES (?,?,?,?,?,?)"
)


class ReceivedValues:
    """Writes values as they were received into ``device_data``, rounded half away from zero to 1e-6.

    Parameters
    ----------
    metric
        What they are called there, and their unit.
    """

    def __init__(self, db: Database, session: Session, metric: tuple[str, str]) -> None:
        self._db = db
        self._session = session
        self._metric = metric
        self._now = datetime.now(UTC)
        self._encode = db.encoder(
            DeviceData.device_id,
            DeviceData.metric_name,
            DeviceData.value,
            DeviceData.unit,
            DeviceData.recorded_at,
            DeviceData.created_at,
        )

    def write(self, device_id: int, rows: Iterable[RawReading]) -> None:
        """Store the rows of one device that have a value."""
        name, unit = self._metric
        self._db.executemany(
            self._session,
            INSERT_DATA,
            (
                self._encode(
                    (
                        device_id,
                        name,
                        micro(row.digits, row.scale or 0),
                        unit,
                        utc_of(row.start_s),
                        self._now,
                    )
                )
                for row in rows
                if row.digits is not None
            ),
        )


def micro(digits: int, scale: int) -> Decimal:
    """Return a value rounded half away from zero to 1e-6, as ``device_data`` holds it."""
    if scale <= 6:
        return Decimal(digits).scaleb(-scale)
    unit = 10 ** (scale - 6)
    rounded = min((2 * abs(digits) + unit) // (2 * unit), MICROS_MAX)
    return Decimal(-rounded if digits < 0 else rounded).scaleb(-6)
