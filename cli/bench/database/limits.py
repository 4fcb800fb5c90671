"""How fast rows come in and are computed with, beside the fastest that the same server and driver do with them.

An import is held against ``LOAD DATA LOCAL`` of the rows that it stores, ready-made (``cli.bench.imports``), and a
month's reductions against fetching the same readings one by one and doing nothing with them: PyMySQL's ``SELECT``. Both
are measured in turn, on the same server. Rows of an import are those that are stored: a reading is one of
``meter_readings`` and one of ``device_data``.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.orm import Session

from cli.bench import imports
from cli.bench.database.books import Books
from cli.bench.report import Result, share_of_limit
from cli.bench.turbines import write_csv
from ledger.db import Database
from ledger.errors import ProblemFound
from ledger.reductions.zones import legal_day_start_s, zone

ROWS = 200_000
"""Readings of the file that is imported."""
ROUNDS = 5
_ZONE = zone("Europe/Paris")
_SELECT = (
    "SELECT start_s, duration_s, value_digits, value_scale, kind, quality, reason, text FROM meter_readings "
    "JOIN meters ON meters.id = meter_readings.meter_id JOIN projects ON projects.id = meters.project_id "
    "WHERE projects.code = %s AND start_s >= %s AND start_s < %s"
)


def of_imports(server: str, say: Callable[[str], None]) -> list[Result]:
    """Return how many rows an import stores a second.

    Parameters
    ----------
    server
        Address of a server on which databases may be made and dropped.
    """
    with TemporaryDirectory(prefix="truetonne-bench-") as name:
        folder = Path(name)
        file = folder / "turbines.csv"
        write_csv(file, ROWS)
        rounds = []
        for number in range(3):
            say(f"an import of {ROWS} readings, and the same rows by LOAD DATA ({number + 1} of 3)")
            rounds.append(imports.into_mariadb(folder, server, file, ROWS))
    stored = ROWS * len(imports.TABLES)
    imported, limit = (min(spent.seconds for spent in each) for each in zip(*rounds, strict=True))
    return [
        share_of_limit(
            "import_rows_stored",
            _per_s(stored, imported),
            "rows/s",
            "raw LOAD DATA",
            _per_s(stored, limit),
        )
    ]


def of_reductions(database: Database, books: Books, say: Callable[[str], None]) -> list[Result]:
    """Return how many readings a month's reductions take in a second, evidence root included."""
    from ledger.readings.periods.period import reductions_for

    chance = random.Random(7)
    say("a month's reductions, and the same readings fetched and thrown away")
    computed: list[tuple[float, int]] = []
    fetched: list[tuple[float, int]] = []
    for _ in range(ROUNDS):
        start, end = books.month(chance)
        site = books.site(chance)
        with database.read() as session:
            before = time.perf_counter()
            found = reductions_for(session, site, start, end)
            computed.append((time.perf_counter() - before, sum(item.leaves for item in found)))
        with database.read() as session:
            before = time.perf_counter()
            rows = _fetched(session, site, start, end)
            fetched.append((time.perf_counter() - before, rows))
        if computed[-1][1] != fetched[-1][1]:
            raise ProblemFound(
                f"the limit read {fetched[-1][1]} rows, not {computed[-1][1]}", code="rows-lost"
            )
    best, limit = (max(_per_s(rows, s) for s, rows in each) for each in (computed, fetched))
    return [
        share_of_limit("reductions_readings", best, "readings/s", "a plain SELECT", limit),
    ]


def _fetched(session: Session, site: str, start: date, end: date) -> int:
    bounds = (legal_day_start_s(start, _ZONE), legal_day_start_s(end, _ZONE))
    return len(session.connection().exec_driver_sql(_SELECT, (site, *bounds)).fetchall())


def _per_s(rows: int, seconds: float) -> Decimal:
    return Decimal(round(rows / seconds))
