"""A small plant for tests: its site file, and meter files written row by row."""

import gzip
from collections.abc import Iterable
from pathlib import Path

from ledger.db import Database
from ledger.readings import ImportReport, import_file
from ledger.sites import SiteChanges, apply_site

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
LHB_SITE = DATA / "la-haute-borne" / "site.toml"
LHB_FILE = DATA / "la-haute-borne" / "R80721-2014-2015.csv.gz"
SERF_SITE = DATA / "serf-east" / "site.toml"
SERF_FILE = DATA / "serf-east" / "serf-east-15min.csv.gz"

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
