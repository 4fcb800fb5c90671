"""Serial numbers that an eye takes for the same: one meter under two of them would be credited twice."""

from __future__ import annotations

import unicodedata

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Meter

_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Categories of signs that do not show: controls, formats, blanks."""


def as_read(serial: str) -> str:
    """Return a serial number without case, width, blanks and signs that do not show."""
    wide = unicodedata.normalize("NFKC", serial).casefold()
    return "".join(
        sign
        for sign in unicodedata.normalize("NFKC", wide)
        if unicodedata.category(sign) not in _UNSEEN
    )


class Serials:
    """The serial numbers of all meters, of every site."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, dict[int, str]] | None = None

    def twin_of(self, serial: str, device_id: int) -> str | None:
        """Return the serial number of another device's meter that reads the same; None: there is none."""
        others = self._by_reading().get(as_read(serial), {})
        return next((other for owner, other in others.items() if owner != device_id), None)

    def give(self, device_id: int, before: str | None, serial: str) -> None:
        """Note that the meter of a device has another serial number now."""
        known = self._by_reading()
        if before is not None:
            known.get(as_read(before), {}).pop(device_id, None)
        known.setdefault(as_read(serial), {})[device_id] = serial

    def _by_reading(self) -> dict[str, dict[int, str]]:
        """Return serial numbers as they are read, by the row number of the device."""
        if self._known is None:
            self._known = {}
            rows = self._session.execute(select(Meter.device_id, Meter.serial).order_by(Meter.id))
            for device_id, serial in rows.all():
                self._known.setdefault(as_read(serial), {})[device_id] = serial
        return self._known
