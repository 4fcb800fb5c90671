"""The two plants of the demonstration, and what is done with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from cli.deploying import CHECKOUT

Period = tuple[date, date]


@dataclass(frozen=True)
class Plant:
    """A bundled plant: its files, its project, and the periods that are issued."""

    site: str
    project: str
    source: str
    site_file: Path
    meter_file: Path
    periods: tuple[Period, ...]


def _months(first: tuple[int, int], count: int) -> tuple[Period, ...]:
    """Return calendar months as periods whose end is exclusive."""
    starts = [
        date(first[0] + (first[1] - 1 + n) // 12, (first[1] - 1 + n) % 12 + 1, 1)
        for n in range(count + 1)
    ]
    return tuple(pairwise(starts))


LA_HAUTE_BORNE = Plant(
    site="lhb",
    project="lhb-wind",
    source="scada",
    site_file=CHECKOUT / "data/la-haute-borne/site.toml",
    meter_file=CHECKOUT / "data/la-haute-borne/R80721-2014-2015.csv.gz",
    # The last period runs over New Year, and makes two issuances: one for each vintage.
    periods=(*_months((2014, 1), 23), (date(2015, 12, 1), date(2016, 1, 2))),
)
SERF_EAST = Plant(
    site="serf-east",
    project="serf-east-pv",
    source="inverter",
    site_file=CHECKOUT / "data/serf-east/site.toml",
    meter_file=CHECKOUT / "data/serf-east/serf-east-15min.csv.gz",
    periods=_months((2016, 7), 4),
)
PLANTS = (LA_HAUTE_BORNE, SERF_EAST)

SOLD_MONTH: Period = (date(2014, 1, 1), date(2014, 2, 1))
"""The month whose hourly generation is sold."""
VPP, STRATEGY, MARKET = "lhb-vpp", "hourly sales", "example-day-ahead"
"""As the site file names them."""

PRICES = (
    "0.0312", "0.0278", "0.0194", "0.0071", "-0.0052", "0.0125", "0.0344", "0.0467",
    "0.0523", "0.0498", "0.0441", "0.0416", "0.0402", "0.0389", "0.0394", "0.0423",
    "0.0489", "0.0578", "0.0612", "0.0553", "0.0476", "0.0421", "0.0387", "0.0345",
)  # fmt: skip
"""Example prices per kWh for the hours of a UTC day: the shape of a day-ahead market, with an hour
below zero. They are no published prices."""

FUNDS_CENTS = 2_000_000
"""What the demonstration pays into the market's and the plant's escrow: 20,000.00 each."""
TRANSFER_KG = 50_000
RETIRE_KG = 10_000
BENEFICIARY = "Boulangerie de l'Exemple, Bar-le-Duc"
REASON = "Electricity of the ovens, January 2014 (demonstration)"
COUNTRY = "FR"
