"""Whether a route slows down as the books grow: each is asked of small books and of ten times as many credits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from statistics import median

from cli.bench.api import books, cpu_us, paths_of
from cli.bench.api.books import BATCHES_PER_BLOCK, SITE, VINTAGE
from cli.bench.api.serving import served
from cli.bench.report import Result, lower_is_better

FACTOR = 10
REQUESTS, ROUNDS = 40, 5


def measure(credits: int, say: Callable[[str], None]) -> list[Result]:
    """Return, for each route, what an answer costs of ten times as many credits beside that of so many.

    Raises
    ------
    DependencyDown
        If a server does not start.
    """
    small, large = (_costs(number, say) for number in (credits, FACTOR * credits))
    against = f"the same of {credits} credits"
    return [
        lower_is_better(f"growth {route}", large[route], "us of CPU", against, small[route])
        for route in small
    ]


def _costs(credits: int, say: Callable[[str], None]) -> Mapping[str, Decimal]:
    found = {}
    with (
        books(credits, say) as (settings, names),
        served(replace(settings, cache_mib=0)) as server,  # each answer is made
    ):
        for route, paths in _routes(names).items():
            cpu_us(server, paths[:10])
            costs = [cpu_us(server, paths)[0] for _ in range(ROUNDS)]
            found[route] = median(costs).quantize(Decimal(1))
            say(f"{credits} credits, {route}: {found[route]} us")
    return found


def _routes(names: Sequence[str]) -> dict[str, list[str]]:
    """Return paths of every route that reads what grows with the credits."""
    known = paths_of(names)
    some = [path.rpartition("/")[2] for path in known["credit_by_id"][:REQUESTS]]
    batches = [name.rsplit("-", 2)[0] for name in some]
    numbers = [batch.rpartition("-")[2] for batch in batches]
    tip = int(names[-1].split("-")[3]) // BATCHES_PER_BLOCK
    alike = [
        "/v1/status",
        "/v1/credits?status=retired",
        "/v1/credits?status=cancelled",
        f"/v1/credits?vintage={VINTAGE}&site={SITE}",
        "/v1/credits?as_of_block=20",
        "/v1/transactions",
        "/v1/transactions?status=confirmed",
        "/v1/retirements",
        f"/v1/retirements?site={SITE}",
        f"/v1/search?q={SITE}",
        f"/v1/holders/0x{'cc' * 20}",
        "/v1/reconciliation",
        "/metrics",
    ]
    return {
        "/v1/credits/{id}": known["credit_by_id"][: 10 * REQUESTS],
        "/v1/credits?cursor=": known["credits_page"][: 4 * REQUESTS],
        "/v1/credits/{batch}": [f"/v1/credits/{batch}" for batch in batches],
        "/v1/credits/{id}?as_of_block=": [f"/v1/credits/{name}?as_of_block={tip}" for name in some],
        "/v1/credits/{id}/history": [f"/v1/credits/{name}/history" for name in some],
        "/v1/retirements/{id}": [f"/v1/retirements/{number}" for number in numbers],
        "/v1/search?q={id}": [f"/v1/search?q={name}" for name in some],
        **{path: [path] * REQUESTS for path in alike},
    }
