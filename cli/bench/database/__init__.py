"""``truetonne bench database``: what a park asks of its books when they hold years of readings, and by which plan.

Each question is asked through the function that the product asks it with, in a snapshot of its own, of devices and days
by chance. The statements that it makes are explained by the server afterwards: a table that is read whole is named.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from cli.bench.database import limits
from cli.bench.database.books import PER_SITE, Books, fill
from cli.bench.mariadb import MariaDbServer
from cli.bench.report import Result, share_of_limit
from cli.service import has_started
from ledger.db import Database

LIMIT_MS = Decimal(200)
ASKED = 9
"""How often each question is asked; the first does not count, it warms the caches as a service has them."""
SMALL_ROWS = 10_000
"""A table of fewer rows may be read whole."""


@dataclass
class Plan:
    """How the server answers one statement."""

    statement: str
    steps: list[dict[str, Any]]


@dataclass
class Answered:
    """What one question came to."""

    name: str
    middle_ms: Decimal
    most_ms: Decimal
    rows: int
    plans: list[Plan] = field(default_factory=list)


Ask = Callable[[Session, random.Random], int]
"""Asks a question, and returns how many rows or items the answer has."""


@contextmanager
def server(buffer_mib: int) -> Iterator[MariaDbServer]:
    """Start a MariaDB of its own, with so much memory for its pages; its data go at the end."""
    with TemporaryDirectory(prefix="truetonne-bench-") as folder:
        # Books that are made here need not survive a power cut.
        started = MariaDbServer(
            Path(folder),
            [
                f"--innodb-buffer-pool-size={buffer_mib}M",
                "--innodb-log-file-size=512M",
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-doublewrite=0",
            ],
        )
        started.start()
        try:
            started.execute("CREATE DATABASE truetonne")
            yield started
        finally:
            started.stop()


def measure(
    url: str, readings: int, devices: int, say: Callable[[str], None]
) -> tuple[list[Answered], dict[str, int], list[Result]]:
    """Fill an empty database with parks of so many readings, and return what their questions cost.

    Returns
    -------
    tuple
        The questions, how many rows each table has, by the server's own estimate, and how fast rows come in
        and are computed with.

    Raises
    ------
    DependencyDown
        If the server does not answer.
    """
    with closing(Database(url)) as database:
        database.upgrade()
        books = fill(database, readings, devices, say)
        has_started()  # as a service does that is asked
        asked = [_answered(database, name, ask, say) for name, ask in questions(books).items()]
        sizes = _sizes(database)
        speeds = limits.of_reductions(database, books, say)
        return asked, sizes, speeds + limits.of_imports(url, say)


def results(answered: Sequence[Answered]) -> list[Result]:
    """Return the figures in the shape of all benchmarks."""
    return [
        share_of_limit(each.name + kind, ms, "ms", "limit", LIMIT_MS)
        for each in answered
        for kind, ms in (("", each.middle_ms), ("_slowest", each.most_ms))
    ]


def plans(answered: Sequence[Answered], sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Return the plans of all questions as ``--json`` has them, with what is read whole."""
    return [
        {
            "question": each.name,
            "reads_whole": whole_reads(each, sizes),
            "statements": [
                {
                    "statement": plan.statement,
                    "steps": [
                        {name: step[name] for name in ("table", "type", "key", "rows", "Extra")}
                        for step in plan.steps
                    ],
                }
                for plan in each.plans
            ],
        }
        for each in answered
    ]


def questions(books: Books) -> dict[str, Ask]:
    """Return what a park asks, by name."""
    from api.energy.queries import list_energy
    from api.energy.schemas import EnergyParameters
    from api.finality import ChainView
    from api.park.newest import newest
    from api.park.schemas import NewestParameters
    from ledger.readings.periods.left_out import late_readings
    from ledger.readings.periods.period import reductions_for
    from ledger.readings.shown.coverage import load_coverage
    from ledger.readings.shown.slots import load_days
    from ledger.readings.shown.views import counts_of_days, gaps_of
    from ledger.reductions.reporting import report

    def day(session: Session, chance: random.Random) -> int:
        at, (site, device) = books.day(chance), books.device(chance)
        found = load_days(session, site, device, at, at + timedelta(days=1))
        return sum(
            counts_of_days(days)["used"] for days in (device.days for device in found.devices)
        )

    def year_gaps(session: Session, chance: random.Random) -> int:
        start = books.last_day - timedelta(days=min(365, books.days))
        site, device = books.device(chance)
        found = load_coverage(session, site, device, start, books.last_day)
        return sum(1 for device in found.devices for _ in gaps_of(device))

    def month(session: Session, chance: random.Random) -> int:
        start, end = books.month(chance)
        return len(reductions_for(session, books.site(chance), start, end))

    def shown(session: Session, chance: random.Random) -> int:
        # All that `truetonne reductions` asks: what came late, too.
        start, end = books.month(chance)
        found = reductions_for(session, books.site(chance), start, end)
        late = sum(late_readings(session, item.inputs) for item in found)
        return len([report(item) for item in found]) + late

    def energy(session: Session, chance: random.Random) -> int:
        start, end = books.month(chance)
        site, device = books.device(chance)
        view = ChainView("local", "finalized", None, None)
        asked = EnergyParameters.model_validate(
            {"site": site, "device": device, "from": start, "to": end}
        )
        return len(list_energy(session, view, asked).items)

    def latest(session: Session, chance: random.Random) -> int:
        database: Database = session.info["database"]
        return len(newest(database, NewestParameters.model_validate({"limit": 1_000})).items)

    return {
        "device_day": day,
        f"month_reductions_of_{PER_SITE}_meters": month,
        "month_reductions_as_shown": shown,
        "month_energy_by_day": energy,
        f"latest_of_{len(books.devices)}_devices": latest,
        "gaps_of_a_year": year_gaps,
    }


def whole_reads(answered: Answered, sizes: dict[str, int]) -> list[str]:
    """Return the tables of some size that a question reads whole."""
    return sorted(
        {
            str(step["table"])
            for plan in answered.plans
            for step in plan.steps
            if step["type"] in ("ALL", "index") and sizes.get(str(step["table"]), 0) > SMALL_ROWS
        }
    )


def _answered(database: Database, name: str, ask: Ask, say: Callable[[str], None]) -> Answered:
    chance = random.Random(name)
    spent, rows = [], 0
    for _ in range(ASKED):
        before = time.perf_counter_ns()
        with database.read() as session:
            rows = ask(session, chance)
        spent.append(Decimal(time.perf_counter_ns() - before) / 10**6)
    taken = spent[1:]
    found = Answered(name, _ms(median(taken)), _ms(max(taken)), rows)
    with database.read() as session:
        found.plans = list(_plans(session, ask, chance))
    say(f"{name}: {found.middle_ms} ms, at most {found.most_ms} ms, {rows} in the answer")
    return found


def _plans(session: Session, ask: Ask, chance: random.Random) -> Iterator[Plan]:
    """Yield the plan of every statement that a question makes, each kind of statement once."""
    link = session.connection()
    made: dict[str, Any] = {}

    def note(_link: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            made.setdefault(statement, values)

    # Of the engine: a question may open a session of its own.
    event.listen(link.engine, "before_cursor_execute", note)
    try:
        ask(session, chance)
    finally:
        event.remove(link.engine, "before_cursor_execute", note)
    for statement, values in made.items():
        steps = link.exec_driver_sql(f"EXPLAIN {statement}", values).mappings()
        yield Plan(" ".join(statement.split()), [dict(step) for step in steps])


def _sizes(database: Database) -> dict[str, int]:
    with database.read() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT table_name, table_rows FROM information_schema.tables "
            "WHERE table_schema = DATABASE()"
        )
        return {name: int(count or 0) for name, count in rows}


def _ms(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.1"))
