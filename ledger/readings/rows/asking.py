"""The meters of a site, and how the rows of several are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from ledger.models import Device, Meter, Site


def meters_with_devices(session: Session, site: Site) -> Sequence[Row[Meter, Device]]:
    """Return the meters of a site, each with its device, in the order in which they came."""
    query = select(Meter, Device).join(Device, Device.id == Meter.device_id)
    return session.execute(query.where(Meter.site_id == site.id).order_by(Meter.id)).all()


def asked_together(meter_ids: Sequence[int], *, lock: bool) -> list[list[int]]:
    """Return the meters that one statement asks for: all of them, but one by one when rows are locked.

    For a list of meters a server may go through a small table whole, and then locks the rows of every meter.
    """
    return [[meter_id] for meter_id in meter_ids] if lock else [list(meter_ids)]
