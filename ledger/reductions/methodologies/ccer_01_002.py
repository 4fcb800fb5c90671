"""CCER-01-002, version V01: wind power on the grid.

It sets PE to 0. Fuel that a project meters all the same is deducted, by equations (4) and (5) of
CCER-01-001: that can only make the number of credits smaller. Nothing here claims to be a CCER.
"""

from ledger.reductions.methodologies.base import (
    Methodology,
    check_grid_renewable,
    grid_renewable_emissions,
)

METHODOLOGY = Methodology(
    id="CCER-01-002",
    version="V01",
    title="Wind power on the grid",
    source="CCER-01-002-V01, grid-connected offshore wind power, section on reductions and 7.3.4",
    equations=(
        "(1) BE = EG_PJ x EF_CM",
        "(2) EG_PJ = EG_export - EG_import",
        "EF_CM = OM x w_OM + BM x w_BM, or as published",
        "PE = 0; metered fuel by (4) and (5) of CCER-01-001",
        "ER = BE - PE - LE",
        "7.3.4 export x (1 - |error|), import x (1 + |error|) outside class or calibration",
    ),
    check=check_grid_renewable,
    emissions=grid_renewable_emissions,
)
