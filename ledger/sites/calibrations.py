"""``[[calibration]]``: the calibrations of a device where there are several, one after the other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import Any

from ledger.sites.document import Document, Table
from ledger.sites.specs import CalibrationSpec, DeviceSpec

_KEYS = frozenset(item.name for item in fields(CalibrationSpec))
_OWN = ("calibrated_from", "calibrated_to", "measured_error")


def measured_error(table: Table) -> str | None:
    """Return the error that a calibration found, in percent; None when it is not given.

    Raises
    ------
    BadInput
        If it is no percentage between -100 and 100.
    """
    measured = table.decimal("measured_error") if table.has("measured_error") else None
    if measured is not None and not -100 < Decimal(measured) < 100:
        raise table.wrong(
            "measured_error", f"measured_error is percent of the reading, found {measured}"
        )
    return measured


def read_calibration(table: Table) -> CalibrationSpec:
    """Read one calibration.

    Raises
    ------
    BadInput
        A key is unknown, missing or wrong.
    """
    table.require_known(_KEYS)
    first, last = table.day("calibrated_from"), table.day("calibrated_to")
    if first is None:
        raise table.wrong(None, "'calibrated_from' is missing", "missing-key")
    if last is not None and first > last:
        raise table.wrong("calibrated_to", "calibrated_to comes before calibrated_from")
    digest = table.optional("certificate_sha256", 64)
    if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise table.wrong(
            "certificate_sha256", f"certificate_sha256 is 64 hexadecimal digits, found {digest!r}"
        )
    return CalibrationSpec(
        device=table.text("device", 100),
        calibrated_from=first,
        calibrated_to=last,
        measured_error=measured_error(table),
        certificate_sha256=digest,
    )


def check_calibrations(
    document: Document,
    calibrations: tuple[CalibrationSpec, ...],
    devices: Mapping[str, DeviceSpec],
) -> None:
    """Refuse calibrations of nothing, without a class, or with days in common.

    Raises
    ------
    BadInput
        With the table that is wrong.
    """
    for place, item in enumerate(calibrations):
        device = devices.get(item.device)
        if device is None:
            message = f"no [[device]] has code {item.device!r}"
            raise document.wrong("calibration", place, "device", message)
        if not device.calibrated or any(getattr(device, key) is not None for key in _OWN):
            message = (
                f"the [[device]] {item.device!r} says calibrated, {', '.join(_OWN[:-1])} or {_OWN[-1]} "
                "itself; move that into a [[calibration]] of its own"
            )
            raise document.wrong("calibration", place, "device", message)
        if device.accuracy_class is None:
            message = (
                f"accuracy_class of the [[device]] {item.device!r} is missing: outside its "
                "calibrations its permissible error is deducted"
            )
            raise document.wrong("calibration", place, "device", message)
        for other in calibrations[:place]:
            if other.device == item.device and _share_a_day(other, item):
                message = (
                    f"days are in common with the calibration of {item.device!r} from "
                    f"{other.calibrated_from}; end that one the day before"
                )
                raise document.wrong("calibration", place, "calibrated_from", message)


def stored_calibrations(
    calibrations: tuple[CalibrationSpec, ...], device: str
) -> list[dict[str, Any]] | None:
    """Return the calibrations of a device in order, as ``meters`` keeps them; None without any."""
    mine = sorted(
        (item for item in calibrations if item.device == device),
        key=lambda item: item.calibrated_from,
    )
    return [
        {
            "calibrated_from": item.calibrated_from.isoformat(),
            "calibrated_to": None if item.calibrated_to is None else item.calibrated_to.isoformat(),
            "measured_error": item.measured_error,
            "certificate_sha256": item.certificate_sha256,
        }
        for item in mine
    ] or None


def _share_a_day(one: CalibrationSpec, other: CalibrationSpec) -> bool:
    return one.calibrated_from <= (other.calibrated_to or date.max) and other.calibrated_from <= (
        one.calibrated_to or date.max
    )
