"""The hourly generation of one month as a trades file, and its settlement."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from cli.demo.plants import LA_HAUTE_BORNE, MARKET, PRICES, SOLD_MONTH, STRATEGY, VPP
from ledger.models import Device, EnergyProduction, Meter, Project, Site
from ledger.settlement.trade_rows import COLUMNS
from ledger.units import (
    PRICE_SCALE,
    QUANTITY_SCALE,
    currency_of_cents,
    scaled_exact,
    trade_cents_half_away,
)


def write_trades(session: Session, path: Path) -> int:
    """Write one sale of La Haute Borne for each hour of the month that produced energy; return how many.

    The quantities are ``energy_production`` as the import filled it, kWh to 0.001.
    """
    site = session.scalars(select(Site).where(Site.code == LA_HAUTE_BORNE.site)).one()
    zone = ZoneInfo(site.time_zone)
    start, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in SOLD_MONTH)
    query = (
        select(EnergyProduction.recorded_at, EnergyProduction.production)
        .join(Device, Device.id == EnergyProduction.device_id)
        .join(Meter, Meter.device_id == Device.id)
        .join(Project, Project.id == Meter.project_id)
        .where(
            Project.code == LA_HAUTE_BORNE.project,
            EnergyProduction.recorded_at >= start,
            EnergyProduction.recorded_at < end,
            EnergyProduction.production > 0,
        )
        .order_by(EnergyProduction.recorded_at)
    )
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for recorded_at, production in session.execute(query):
        price_e4 = int(PRICES[recorded_at.hour].replace(".", ""))
        cents = trade_cents_half_away(scaled_exact(production, QUANTITY_SCALE), price_e4)
        price = f"{'-' if price_e4 < 0 else ''}{abs(price_e4) // PRICE_SCALE}.{abs(price_e4) % PRICE_SCALE:04d}"
        total = currency_of_cents(cents)
        hour = recorded_at.isoformat()
        writer.writerow([VPP, STRATEGY, "sell", production, price, total, MARKET, hour])
        count += 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8")
    return count
