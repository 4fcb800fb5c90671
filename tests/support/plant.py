"""A small plant for tests: its site file, and meter files written row by row."""

import gzip
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path

from sqlalchemy import select

from ledger.db import Database
from ledger.models import Issuance, Project
from ledger.models.evidence import IssuanceState
from ledger.readings import ImportReport, import_file, reductions_for
from ledger.sites import SiteChanges, apply_site

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


def apply(db: Database, site: str | Path = SITE) -> SiteChanges:
    """Apply a site file in a unit of work of its own."""
    with db.write() as session:
        return apply_site(session, site, resolve_account=anvil_like)


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


def issue(db: Database, *, state: IssuanceState = IssuanceState.ISSUED, number: int = 1) -> None:
    """Write an issuance of 1 June 2014, as the room of issuances would."""
    with db.write() as session:
        (reduction,) = reductions_for(session, "park-wind", *JUNE)
        project = session.scalars(select(Project)).one()
        inputs = reduction.inputs
        carry = reduction.carry_out_kg
        session.add(
            Issuance(
                project_id=project.id,
                vintage=2014,
                from_date=JUNE[0],
                to_date=JUNE[1],
                from_s=inputs.from_s,
                to_s=inputs.to_s,
                factor_id=project.factor_id,
                readings_expected=144,
                readings_used=1,
                readings_missing=143,
                readings_outlier=0,
                readings_conflict=0,
                export_kwh=Decimal(0),
                import_kwh=Decimal(0),
                net_kwh=Decimal(0),
                baseline_t=Decimal(0),
                project_t=Decimal(0),
                leakage_t=Decimal(0),
                reductions_kg=Decimal(0),
                carry_in_kg="0/1",
                carry_out_kg=f"{carry.numerator}/{carry.denominator}",
                issued_kg=reduction.issued_kg,
                evidence_root=reduction.evidence_root,
                leaves=reduction.leaves,
                manifest='{"methodology":{"id":"CCER-01-002","version":"V01"}}',
                manifest_hash="0x" + f"{number:064x}",
                key="0x" + f"{number:064x}",
                state=state,
            )
        )
