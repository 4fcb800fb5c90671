"""Compute what a site's readings show anew, after what it is shown by has changed."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ledger.models import Device, Meter, Site
from ledger.readings.energy import refresh
from ledger.readings.imports.importing import meter_state
from ledger.readings.rows.store import fetch
from ledger.reductions.records import Kind
from ledger.units import DAY_S


def refresh_site(session: Session, site: Site) -> int:
    """Compute energy and emissions of every meter of a site anew, and return how many had readings.

    Needed when another factor is named for the inventory, and when an import meter joins the site
    and takes over what its loads were counted for.
    """
    database = session.info["database"]
    session.flush()
    query = (
        select(Meter, Device)
        .join(Device, Device.id == Meter.device_id)
        .where(Meter.site_id == site.id)
        .order_by(Meter.id)
    )
    sql = (
        "SELECT kind, MAX(duration_s), MIN(start_s), MAX(start_s) FROM meter_readings "
        "WHERE meter_id = ? GROUP BY kind"
    )
    count = 0
    for meter, device in session.execute(query).all():
        for kind, duration_s, first_s, last_s in fetch(database, session, sql, (meter.id,)):
            state = meter_state(session, meter, device, Kind[kind.upper()], duration_s)
            state.touched_days = set(range(first_s // DAY_S, last_s // DAY_S + 1))
            refresh(database, session, site, state)
            count += 1
    return count
