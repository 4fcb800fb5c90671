"""CCER-01-001, version V01: solar thermal power on the grid, with fuel that keeps the plant warm.

The equations are used as they stand, as arithmetic. A CCER is what the national registry registers,
and nothing computed here claims to be one.
"""

from ledger.reductions.methodologies.base import (
    Methodology,
    check_grid_renewable,
    grid_renewable_emissions,
)

METHODOLOGY = Methodology(
    id="CCER-01-001",
    version="V01",
    title="Solar power on the grid",
    source="CCER-01-001-V01, grid-connected solar thermal power, section on reductions",
    equations=(
        "(1) BE = EG_PJ x EF_CM",
        "(2) EG_PJ = EG_export - EG_import",
        "(3) EF_CM = OM x w_OM + BM x w_BM, or as published",
        "(4) PE = sum of the CO2 of each fuel",
        "(5) CO2 of a fuel = FC x NCV x CC x OF x 44/12",
        "ER = BE - PE - LE",
    ),
    check=check_grid_renewable,
    emissions=grid_renewable_emissions,
)
