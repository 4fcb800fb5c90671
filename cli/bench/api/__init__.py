"""``truetonne bench api``: what an answer costs, beside an empty route that returns the same bytes.

The measure is processor time of the one serving process for each answer, which is what its rate comes to when
the processor is its own: ``value`` and ``against_value`` are answers for each second of processor time. All servers
are asked in turns, over the same connections, by a load of our own. The books stand still. Each round asks for the
same, so that the service as it is set up answers from its cache; ``..._made`` is the same service without one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from api.credits.schemas import CreditParameters
from cli.bench.api.books import make_books
from cli.bench.api.load import Load, press
from cli.bench.api.serving import Served, served
from cli.bench.mariadb import MariaDbServer
from cli.bench.report import Result, share_of_limit
from ledger.db import Database
from ledger.settings import Settings, load_settings

ROUNDS = 5
ANSWERS, PAGES = 1_500, 500
"""Requests of a round: for one credit, and for a page of 50."""
UNREACHED = 10**9
"""Requests a minute: they are counted as they are where the API is served, and none is refused."""
ROUTES = ("credit_by_id", "credits_page")


@dataclass(frozen=True)
class Measured:
    """What one route came to, from the cache or made."""

    name: str
    rate: Decimal
    empty_rate: Decimal
    p99_ms: Decimal
    empty_p99_ms: Decimal
    answer_bytes: int


def measure(credits: int, mariadb: bool, say: Callable[[str], None]) -> list[Measured]:
    """Make books of so many credits, serve them, and return what one credit and a page of 50 cost.

    Parameters
    ----------
    credits
        Credits in the books.
    mariadb
        Whether the books are in a MariaDB, started here, whose own processor time does not count.

    Raises
    ------
    DependencyDown
        If a server does not start.
    """
    with (
        books(credits, say, mariadb=mariadb) as (settings, names),
        served(settings) as ours,
        served(replace(settings, cache_mib=0)) as plain,
    ):
        paths = paths_of(names)
        prefix = "mariadb_" if mariadb else ""
        return [
            each
            for name in ROUTES
            for each in _beside_empty(ours, plain, prefix + name, paths[name], say)
        ]


def results(measured: Sequence[Measured]) -> list[Result]:
    """Return the figures in the shape of all benchmarks."""
    found = []
    for each in measured:
        against = f"an empty FastAPI route of {each.answer_bytes} bytes"
        found.append(
            share_of_limit(each.name, each.rate, "answers/s of CPU", against, each.empty_rate)
        )
        limit = "p99 of the empty route"
        found.append(
            share_of_limit(f"{each.name}_p99", each.p99_ms, "ms", limit, each.empty_p99_ms)
        )
    return found


@contextmanager
def books(
    credits: int, say: Callable[[str], None], *, mariadb: bool = False
) -> Iterator[tuple[Settings, list[str]]]:
    """Yield settings of books with so many credits, and the names of all; they go at the end."""
    with TemporaryDirectory(prefix="truetonne-bench-") as folder, ExitStack() as stack:
        url = f"sqlite:///{Path(folder) / 'books.db'}"
        if mariadb:
            server = MariaDbServer(Path(folder))
            server.start()
            stack.callback(server.stop)
            server.execute("CREATE DATABASE truetonne")
            url = server.url("truetonne")
        say(f"writing {credits} credits")
        database = Database(url)
        database.upgrade()
        names = make_books(database, credits)
        database.close()
        yield (
            load_settings(
                None,
                {
                    "TRUETONNE_DATABASE_URL": url,
                    "TRUETONNE_HOME": folder,
                    "TRUETONNE_RATE_LIMIT": str(UNREACHED),
                },
            ),
            names,
        )


def paths_of(names: Sequence[str]) -> dict[str, list[str]]:
    """Return what is asked for: credits by chance, and pages that begin by chance; the same every time."""
    chance = random.Random(1)
    page = CreditParameters.model_validate({})
    return {
        "credit_by_id": [f"/v1/credits/{chance.choice(names)}" for _ in range(ANSWERS)],
        "credits_page": [
            f"/v1/credits?cursor={page.cursor_after(chance.randint(60, len(names)))}"
            for _ in range(PAGES)
        ],
    }


def cpu_us(server: Served, paths: Sequence[str]) -> tuple[Decimal, Load]:
    """Return the processor time of an answer, in microseconds, and the load that was put on."""
    before = server.cpu_ns()
    load = press(server.port, paths)
    return Decimal(server.cpu_ns() - before) / len(paths) / 1000, load


def _beside_empty(
    ours: Served, plain: Served, name: str, paths: Sequence[str], say: Callable[[str], None]
) -> Iterator[Measured]:
    answer = press(ours.port, paths).last_body
    press(plain.port, paths[:100])
    empty_paths = [f"/empty/{'x' * 24}"] * len(paths)
    with served(None, answer) as empty:
        press(empty.port, empty_paths[:100])
        servers = {"": (ours, paths), "_made": (plain, paths), "empty": (empty, empty_paths)}
        costs: dict[str, list[Decimal]] = {each: [] for each in servers}
        loads: dict[str, list[Load]] = {each: [] for each in servers}
        for _ in range(ROUNDS):
            for each, (server, asked) in servers.items():
                cost, load = cpu_us(server, asked)
                costs[each].append(cost)
                loads[each].append(load)
            kept, made, nothing = (costs[each][-1] for each in servers)
            say(f"{name}: {kept:.0f} us, made {made:.0f} us, empty {nothing:.0f} us")
    for each in ("", "_made"):
        yield Measured(
            name + each,
            _rate(median(costs[each])),
            _rate(median(costs["empty"])),
            _p99(loads[each]),
            _p99(loads["empty"]),
            len(answer),
        )


def _rate(us: Decimal) -> Decimal:
    return (Decimal(10**6) / us).quantize(Decimal(1))


def _p99(loads: Sequence[Load]) -> Decimal:
    every = [each for load in loads for each in load.latencies_s]
    whole = Load(len(every), 0, every, b"")
    return Decimal(str(whole.p99_ms)).quantize(Decimal("0.01"))
