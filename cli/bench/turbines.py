"""Meter data of any length for the benchmarks: turbines as a wind farm's SCADA exports them.

Eight turbines every ten minutes, in order of time, local time with its offset, mean power in kW. The
numbers are printed as the real file of La Haute Borne prints them: two decimals in half of the rows,
the tails of a 32-bit float in the rest, some rows below zero, one in sixty empty. The same rows come
out at every run.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import NamedTuple

TURBINES = tuple(f"T{number}" for number in range(1, 9))
INTERVAL_S = 600
RATED_KW = 2050
TIME_ZONE = "Europe/Paris"
COLUMNS = ("turbine", "time", "power_kw")

_START = datetime(2000, 1, 1, tzinfo=UTC)
_TAILS = ("",) * 9 + ("001", "999", "0001", "02", "9999") * 3 + ("00000000003", "000999999999997")
_POOL = 99_991
"""Texts that are made; a prime, so that turbines and days do not come out alike."""

SITE = f"""
[site]
code = "bench"
name = "Benchmark"
time_zone = "{TIME_ZONE}"
country = "FR"

[[source]]
name = "scada"
kind = "power"
unit = "kW"
interval_minutes = {INTERVAL_S // 60}
label = "start"
device_column = "{COLUMNS[0]}"
time_column = "{COLUMNS[1]}"
value_column = "{COLUMNS[2]}"
time_zone = "offset"
""" + "".join(
    f"""
[[device]]
code = "{code}"
type = "wind_turbine"
rated_kw = "{RATED_KW}"
meter_serial = "{code}"
role = "generation"
"""
    for code in TURBINES
)
"""The site file that reads such a file."""


class Row(NamedTuple):
    """One value of one turbine."""

    turbine: str
    start: datetime
    text: str


def rows(count: int) -> Iterator[Row]:
    """Yield so many rows, in order of time and turbine."""
    texts = cycle(_texts())
    slots = (_START + timedelta(seconds=INTERVAL_S) * slot for slot in range(count))
    return islice(
        (Row(turbine, start, next(texts)) for start in slots for turbine in TURBINES), count
    )


def write_csv(path: Path, count: int) -> None:
    """Write a file of so many rows below a header."""
    from ledger.reductions.zones import zone

    where = zone(TIME_ZONE)
    last, time = None, ""
    with path.open("w", encoding="utf-8", newline="") as out:
        out.write(",".join(COLUMNS) + "\n")
        for turbine, start, text in rows(count):
            if start != last:
                last, time = start, start.astimezone(where).isoformat()
            out.write(f"{turbine},{time},{text}\n")


def _texts() -> list[str]:
    """Return power as a turbine's meter prints it: a walk in hundredths of a kW."""
    random = Random(4)
    walk, texts = 50_000, []
    for _ in range(_POOL):
        walk = min(max(walk + random.randint(-20_000, 20_000), -1_500), RATED_KW * 100)
        if random.random() < 1 / 60:
            texts.append("")
            continue
        sign = "-" if walk < 0 else ""
        whole, hundredths = divmod(abs(walk), 100)
        # A 64-bit float is printed with 17 digits at most.
        tail = random.choice(_TAILS)[: 15 - len(str(whole))]
        texts.append(f"{sign}{whole}.{hundredths:02d}{tail}")
    return texts
