"""A small plant for tests: its site file, and meter files written row by row."""

import gzip
from collections.abc import Iterable
from copy import deepcopy
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import select

from ledger.db import Database
from ledger.models import Issuance, MeterReading, Project, ReadingClaim
from ledger.models.issuance import IssuanceState
from ledger.readings import ImportReport, import_file
from ledger.readings.periods.metered import meter_ids
from ledger.readings.periods.period import load_period
from ledger.reductions import Reduction, compute
from ledger.reductions.manifest import build, canonical_text, manifest_hash
from ledger.reductions.reporting import fraction_text
from ledger.sites import SiteChanges, apply_site
from ledger.units import decimal_floor
from tests.support.books import closed, closed_as_new

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
LHB_SITE = DATA / "la-haute-borne" / "site.toml"
LHB_FILE = DATA / "la-haute-borne" / "R80721-2014-2015.csv.gz"
SERF_SITE = DATA / "serf-east" / "site.toml"
SERF_FILE = DATA / "serf-east" / "serf-east-15min.csv.gz"

JUNE = date(2014, 6, 1), date(2014, 6, 2)
"""The day that ``issue`` issues."""

SITE = """\
[site]
code = "park"
name = "Park"
time_zone = "Europe/Paris"
country = "FR"
inventory_factor = "grid-average"

[[factor]]
code = "cm"
version = "1"
purpose = "crediting_cm"
value = "0.5"
unit = "t/MWh"
source = "a test"
verified = true

[[factor]]
code = "grid-average"
version = "1"
purpose = "inventory_location"
value = "100"
unit = "g/kWh"
source = "a test"
verified = true

[project]
code = "park-wind"
methodology = "CCER-01-002"
methodology_version = "V01"
factor = "cm"
program = "internal"
completeness_min = "0"

[[device]]
code = "A"
type = "wind_turbine"
rated_kw = "100"
meter_serial = "serial-A"
role = "generation"

[[source]]
name = "scada"
kind = "power"
unit = "kW"
interval_minutes = 10
label = "start"
device = "A"
time_column = "time"
value_column = "value"
time_zone = "offset"
"""


def anvil_like(text: str) -> str:
    """Return an address for an account of the bundled site files."""
    return f"0x{int(text.removeprefix('anvil:')):040x}"


_applied: dict[str, tuple[bytes, SiteChanges]] = {}
"""New books with the text of a site file applied, and what was said of it: the latest of this process."""
_APPLIED_MAX = 32  # of a megabyte each


def apply(db: Database, site: str | Path = SITE) -> SiteChanges:
    """Apply a site file in a unit of work of its own.

    New books of SQLite become a copy of those to which an earlier test applied the same text, which takes a tenth of
    the time; their rows are as old as that.
    """
    new = isinstance(site, str) and closed_as_new(db)
    if isinstance(site, str) and new and site in _applied:
        books, changes = _applied[site]
        Path(str(db.url.database)).write_bytes(books)
        return deepcopy(changes)
    with db.write() as session:
        changes = apply_site(session, site, resolve_account=anvil_like)
    if isinstance(site, str) and new and (books := closed(db)):
        while len(_applied) >= _APPLIED_MAX:
            del _applied[next(iter(_applied))]
        _applied[site] = books, deepcopy(changes)
    return changes


def write_csv(
    path: Path, rows: Iterable[tuple[str, str]], header: str = "time,value", packed: bool = False
) -> Path:
    """Write a meter file of two columns."""
    text = "\n".join([header, *(f"{time},{value}" for time, value in rows)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


def imported(db: Database, path: Path, source: str = "scada", site: str = "park") -> ImportReport:
    """Import a meter file."""
    return import_file(db, site, source, path)


def stored(db: Database) -> list[tuple[str, str, str]]:
    """Time in UTC to the minute, text and quality of each row of readings."""
    with db.read() as session:
        rows = session.scalars(
            select(MeterReading).order_by(MeterReading.start_s, MeterReading.text)
        ).all()
    return [
        (datetime.fromtimestamp(row.start_s, UTC).isoformat()[:16], row.text, row.quality.value)
        for row in rows
    ]


def issue(
    db: Database,
    period: tuple[date, date] = JUNE,
    *,
    project: str = "park-wind",
    state: IssuanceState = IssuanceState.ISSUED,
    number: int = 1,
) -> Reduction:
    """Write an issuance as the room of issuances would, and return what it is of; nothing is refused."""
    with db.write() as session:
        inputs = load_period(session, project, *period, enforce=False)
        reduction = compute(inputs)
        row = session.scalars(select(Project).filter_by(code=project)).one()
        counts, text = reduction.counts, canonical_text(build(reduction))
        issuance = Issuance(
            project_id=row.id,
            vintage=inputs.vintage,
            from_date=inputs.from_date,
            to_date=inputs.to_date,
            from_s=inputs.from_s,
            to_s=inputs.to_s,
            factor_id=row.factor_id,
            readings_expected=counts.expected,
            readings_used=counts.used,
            readings_missing=counts.missing,
            readings_outlier=counts.outlier,
            readings_conflict=counts.conflict,
            export_kwh=decimal_floor(reduction.export_kwh, 9),
            import_kwh=decimal_floor(reduction.import_kwh, 9),
            net_kwh=decimal_floor(reduction.net_kwh, 9),
            baseline_t=decimal_floor(reduction.baseline_t, 9),
            project_t=decimal_floor(reduction.project_t, 9),
            leakage_t=decimal_floor(reduction.leakage_t, 9),
            uncertainty_t=decimal_floor(reduction.uncertainty_t, 9),
            reductions_kg=decimal_floor(reduction.reductions_kg, 9),
            carry_in_kg=fraction_text(inputs.carry_in_kg),
            carry_out_kg=fraction_text(reduction.carry_out_kg),
            issued_kg=reduction.issued_kg,
            evidence_root=reduction.evidence_root or "0x" + "0" * 64,
            leaves=reduction.leaves,
            manifest=text,
            manifest_hash=manifest_hash(text),
            key="0x" + f"{number:064x}",
            state=state,
        )
        session.add(issuance)
        session.flush()
        ids = meter_ids(session, [meter.serial for meter in inputs.meters])
        claims = {
            (ids[meter.serial], reading.start_s)
            for meter in inputs.meters
            for reading in meter.readings
        }
        for meter_id, start_s in claims:
            session.add(ReadingClaim(meter_id=meter_id, start_s=start_s, issuance_id=issuance.id))
    return reduction
