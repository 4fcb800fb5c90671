"""Rule of the energy certificates: what is certified elsewhere is left out of what was issued, and once."""

from __future__ import annotations

from fractions import Fraction

from sqlalchemy import select

from ledger.models import EnergyCertificate, Meter, Site
from ledger.readings.periods.certificates import is_named, manifests_of, seconds_of_days
from ledger.reconcile.books import Books
from ledger.reductions.certificates import KWH_PER_MWH, content_sha256
from ledger.reductions.records import EnergyCertificate as Record
from ledger.reductions.zones import zone


def energy_certificates(books: Books) -> list[str]:
    """Every issued period leaves out what is certified of its days, as declared and no more than that."""
    session = books.session
    query = (
        select(EnergyCertificate, Meter, Site.time_zone)
        .join(Meter, Meter.id == EnergyCertificate.meter_id)
        .join(Site, Site.id == Meter.site_id)
        .order_by(EnergyCertificate.id)
    )
    found: list[str] = []
    for row, meter, time_zone in session.execute(query).all():
        what = f"energy certificate {row.instrument} {row.reference} of meter {meter.serial}"
        span = seconds_of_days(row.from_day, row.to_day, zone(time_zone))
        declared = content_sha256(
            Record(row.instrument, row.reference, *span, row.energy_mwh, row.share)
        )
        taken = Fraction(0)
        for issuance, stated in manifests_of(session, meter, span):
            period = f"{issuance.from_date} to {issuance.to_date}"
            if not is_named(stated, row.instrument, row.reference):
                found.append(
                    f"{what}: credits were issued for its days ({period}), and no correction says so; "
                    "truetonne reductions correct records it"
                )
                continue
            for item in stated["energy_certificates"]:
                if (item["instrument"], item["reference"]) != (row.instrument, row.reference):
                    continue
                taken += Fraction(item["left_out_kwh"])
                if item["sha256"] != declared:
                    found.append(
                        f"{what}: the manifest of {period} names it otherwise than it is declared"
                    )
        if row.energy_mwh is not None and taken > Fraction(row.energy_mwh) * KWH_PER_MWH:
            found.append(f"{what}: more than its {row.energy_mwh} MWh are left out")
    return found
