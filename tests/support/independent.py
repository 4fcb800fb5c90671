"""A second implementation of readings and reductions, in plain fractions, that shares no code.

It reads a file in one go, keeps every number a ``Fraction`` from the text on, and follows the
methodology's sentences rather than the ledger's code.
"""

import csv
import gzip
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo


@dataclass
class Month:
    """What a month of a generation meter comes to."""

    net_kwh: Fraction = Fraction(0)
    used: int = 0
    empty: int = 0
    conflicts: int = 0
    issued_kg: int = 0
    carry_kg: Fraction = Fraction(0)


def turbine_months(path: Path, decimals_kept: int | None = None) -> dict[tuple[int, int], Month]:
    """Return the months of La Haute Borne's turbine."""
    return months_of(
        path,
        time_column="Date_time",
        value_column="P_avg",
        zone="Europe/Paris",
        minutes=10,
        kw_per_unit=Fraction(1),
        rated_kw=Fraction(2050),
        factor_kg_per_kwh=Fraction("0.4329"),
        decimals_kept=decimals_kept,
    )


def months_of(
    path: Path,
    *,
    time_column: str,
    value_column: str,
    zone: str,
    minutes: int,
    kw_per_unit: Fraction,
    rated_kw: Fraction,
    factor_kg_per_kwh: Fraction,
    decimals_kept: int | None = None,
) -> dict[tuple[int, int], Month]:
    """Return every legal month of a file, with the carry from month to month of one year.

    ``decimals_kept`` makes the mistake of storing each energy with so many decimals, rounded down.
    """
    slots: dict[int, list[str]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            slots[int(datetime.fromisoformat(row[time_column]).timestamp())].append(
                row[value_column]
            )
    months: dict[tuple[int, int], Month] = defaultdict(Month)
    lowest, highest = rated_kw * Fraction(-1, 5), rated_kw * Fraction(6, 5)
    hours, place = Fraction(minutes, 60), ZoneInfo(zone)

    @cache
    def month_at(hour: int) -> Month:
        local = datetime.fromtimestamp(hour * 3600, UTC).astimezone(place)
        return months[local.year, local.month]

    @cache
    def power_of(text: str) -> Fraction:
        return Fraction(text) * kw_per_unit

    for second, texts in slots.items():
        month = month_at(second // 3600)  # where the clock is whole hours off UTC
        powers = {power_of(text) for text in texts if text}
        month.conflicts += len(powers) > 1
        if not powers:
            month.empty += 1
            continue
        power = min(powers)
        if lowest <= power <= highest:
            energy = power * hours
            if decimals_kept is not None:
                energy = Fraction(energy * 10**decimals_kept // 1, 10**decimals_kept)
            month.net_kwh += energy
            month.used += 1
    carry, year = Fraction(0), None
    for (this_year, _), month in sorted(months.items()):
        if this_year != year:
            carry, year = Fraction(0), this_year
        available = month.net_kwh * factor_kg_per_kwh + carry
        month.issued_kg = int(available // 1) if available > 0 else 0
        carry = month.carry_kg = available - month.issued_kg
    return dict(months)


def root_of(leaves: list[bytes], keccak: object) -> bytes:
    """Return a Merkle root by recursion over the complete binary tree that holds the sorted leaves."""
    assert callable(keccak)
    ordered = sorted(leaves)
    size = 2 * len(ordered) - 1

    def node(place: int) -> bytes:
        if 2 * place + 1 >= size:
            return ordered[size - 1 - place]
        one, other = node(2 * place + 1), node(2 * place + 2)
        return bytes(keccak(min(one, other) + max(one, other)))

    return node(0)
