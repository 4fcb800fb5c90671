"""Our own methodology for any renewable power behind or at the grid: rooftop PV, wind, with storage.

The equations are those of CDM ACM0002 and of the two CCER methodologies, with leakage and
uncertainty as the project declares them. It is for a park's own books.
"""

from ledger.reductions.methodologies.base import (
    Methodology,
    check_grid_renewable,
    grid_renewable_emissions,
)

METHODOLOGY = Methodology(
    id="internal-grid-renewable",
    version="1",
    title="Renewable power, behind the meter or on the grid",
    source="this repository, docs/methodology.md",
    equations=(
        "BE = EG_PJ x EF_CM",
        "EG_PJ = EG_export - EG_import, generation counted once",
        "PE = sum of FC x NCV x CC x OF x 44/12",
        "LE = leakage_share x max(BE, 0)",
        "U = uncertainty_share x max(BE - PE - LE, 0)",
        "ER = BE - PE - LE - U",
    ),
    check=check_grid_renewable,
    emissions=grid_renewable_emissions,
)
