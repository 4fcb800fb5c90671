"""Numbers that a page promises are those that the code goes by.

Of most limits a test shows that they bite, wherever they stand: it says ``limit + 1`` of the constant itself. Here they
stand as the pages say them. Whoever changes one finds the sentence that it breaks, and the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from indexer import backoff
from ledger.jobs import catalogue

DOCS = Path(__file__).resolve().parents[2] / "docs"
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
MIB = 1_048_576

PROMISES: list[tuple[str, str, dict[str, Any]]] = [
    (
        "access.md",
        "A password has at least 12 characters, four different ones among them, and at most 72 bytes",
        {"ledger.identity.passwords:CHARACTERS_MIN": 12, "ledger.identity.passwords:BYTES_MAX": 72},
    ),
    (
        "access.md",
        "Five attempts in a quarter of an hour from one address under one name, fifty from one address or under one",
        {
            "ledger.identity.attempts:PAIR_MAX": 5,
            "ledger.identity.attempts:WINDOW": 15 * MINUTE,
            "ledger.identity.attempts:ADDRESS_MAX": 50,
            "ledger.identity.attempts:NAME_MAX": 50,
        },
    ),
    ("access.md", "A user has 50 sessions at most", {"ledger.identity.sessions:ACTIVE_MAX": 50}),
    (
        "access.md",
        "It lasts 90 days unless told otherwise, 366 at most; a user has 25 at most.",
        {
            "ledger.identity.keys:DAYS": 90,
            "cli.apikey:DAYS": 90,
            "ledger.identity.keys:DAYS_MAX": 366,
            "ledger.identity.keys:ACTIVE_MAX": 25,
        },
    ),
    (
        "access.md",
        "with `Idempotency-Replayed: true`, for 24 hours",
        {"ledger.identity.idempotency:KEPT": DAY},
    ),
    (
        "contracts.md",
        "A verifier's signature under a claim is good for seven days",
        {"ledger.issuance.signing:DEADLINE_SECONDS": 7 * 86_400},
    ),
    (
        "decisions/0035-answers-kept-sealed.md",
        "may be taken over after a minute",
        {"ledger.identity.idempotency:TAKEN_OVER": MINUTE},
    ),
    (
        "access.md",
        "A process answers 200 connections at a time",
        {"api.connections:CONNECTIONS_MAX": 200},
    ),
    ("access.md", "is ended after 30 s", {"api.connections:REQUEST_SECONDS_MAX": 30.0}),
    ("access.md", "nothing is read for 60 s", {"api.connections:STALL_SECONDS_MAX": 60.0}),
    ("access.md", '`RateLimit-Policy: "client";q=600;w=60`', {"api.limits:WINDOW_S": 60}),
    (
        "access.md",
        "Bodies have 1 MiB at most, queries 4 KiB, pages 200 rows.",
        {
            "api.etag:BODY_BYTES_MAX": MIB,
            "api.etag:QUERY_BYTES_MAX": 4096,
            "api.pagination:LIMIT_MAX": 200,
        },
    ),
    (
        "api.md",
        "Rows of one page, 1 to 200; the default is 50.",
        {"api.pagination:LIMIT_DEFAULT": 50, "api.pagination:LIMIT_MAX": 200},
    ),
    (
        "api.md",
        "a request waits for it a quarter of a second at most, and then it is not asked for five seconds",
        {"api.cache.shared:WAIT_S": 0.25, "api.cache.shared:REST_S": 5.0},
    ),
    (
        "api.md",
        "how many differences and the first 20 of them",
        {"ledger.reconcile.report:DIFFERENCES_KEPT": 20},
    ),
    (
        "api.md",
        "before `limit` where their `parameters` have more than 2 MiB together",
        {"api.transactions.queries:PARAMETERS_MAX": 2 * 2**20},
    ),
    ("api.md", "**Four at once.** A fifth is `exports-busy`", {"api.context:FILES_MAX": 4}),
    ("api.md", "So is a fourth of one client", {"api.context:FILES_OF_ONE_MAX": 3}),
    ("api.md", "200 latest batches", {"api.holders.escrow:ESCROW_MAX": 200}),
    ("api.md", "Eight are made at once; a ninth is `proofs-busy`", {"api.context:PROOFS_MAX": 8}),
    ("access.md", "and 16 passwords are looked at", {"api.context:SIGN_INS_MAX": 16}),
    ("api.md", "`credits` names the first 500", {"ledger.naming:PARTS_MAX": 500}),
    ("api.md", "each with its proof, up to 1,000", {"api.proofs.schemas:READINGS_MAX": 1_000}),
    (
        "api.md",
        "its issuances (the last 500), and what each legal month brought (the last 120)",
        {"api.sites.months:ISSUANCES_MAX": 500, "api.sites.months:MONTHS_MAX": 120},
    ),
    (
        "api.md",
        "(the last 60 that have any); - the last 50 settlement batches",
        {"api.plants.queries:SUMS_MAX": 60, "api.plants.queries:SETTLEMENTS_MAX": 50},
    ),
    ("api.md", "(10,000 values at most)", {"api.park.newest:LATEST_ROWS_MAX": 10_000}),
    (
        "proxy.md",
        "resting connections to the service for less than 15 s",
        {"api.server:KEEP_ALIVE_SECONDS": 15},
    ),
    (
        "api.md",
        "Row groups have 10,000 rows, or 16 MiB of JSON",
        {
            "api.exports.formats:ROW_GROUP": 10_000,
            "api.exports.parquet:DOCUMENTS_MAX": 16 * 2**20,
        },
    ),
    (
        "api.md",
        "At most 400 days of all meters together.",
        {"api.readings.queries:METER_DAYS_MAX": 400},
    ),
    ("api.md", "The text, up to 200 characters", {"api.search.schemas:LENGTH_MAX": 200}),
    ("api.md", "Results of one answer, 1 to 50;", {"api.search.schemas:LIMIT_MAX": 50}),
    (
        "api.md",
        "Values before this time, 31 days later at most; a day later without it.",
        {"api.park.schemas:SPAN_MAX": 31 * DAY, "api.park.queries:DAY": DAY},
    ),
    ("api.md", "the first 1,000 trades", {"api.settlements.queries:TRADES_MAX": 1_000}),
    (
        "backup.md",
        "26 hours, and 35 days, are an alarm",
        {
            "ledger.backup.overview:AGE_MAX": 26 * HOUR,
            "ledger.backup.overview:DRILL_AGE_MAX": 35 * DAY,
        },
    ),
    ("backup.md", "in pieces of 1 MiB", {"ledger.backup.stream:PIECE_BYTES": MIB}),
    (
        "commands.md",
        "At most 1,000 rows are shown.",
        {"ledger.readings.shown.lookup:ROWS_MAX": 1_000},
    ),
    (
        "commands.md",
        "of a time more than 366 days ahead",
        {"ledger.settlement.trades:FUTURE": 366 * DAY},
    ),
    (
        "jobs.md",
        "rests for 10 minutes after a refusal",
        {"ledger.jobs.work:REFUSED_REST": 10 * MINUTE},
    ),
    (
        "jobs.md",
        "when a job has been due for ten minutes",
        {"ledger.jobs.overview:OVERDUE": 10 * MINUTE},
    ),
    ("jobs.md", "end within 60 days", {"ledger.sites.validity:SOON": 60 * DAY}),
    ("jobs.md", "is tried again after 5 minutes", {"ledger.jobs.running:RETRY": 5 * MINUTE}),
    ("jobs.md", "3 without it", {"ledger.sites.specs:ISSUE_AFTER_DAYS": 3}),
    ("jobs.md", "sessions that ended 30 days ago", {"ledger.identity.sessions:KEPT": 30 * DAY}),
    ("meter-files.md", "36 decimals", {"ledger.reductions.numbers:SCALE_MAX": 36}),
    (
        "meter-files.md",
        "is back at its old value or above within 7 days and 1000 readings",
        {
            "ledger.reductions.registers:DIP_S": 604_800,
            "ledger.reductions.registers:DIP_READINGS": 1000,
        },
    ),
    (
        "meter-files.md",
        "Registers have at most 24 characters",
        {"ledger.reductions.registers:TEXT_MAX": 24},
    ),
    (
        "meter-files.md",
        "a CSV line of more than 1,048,576 characters or a cell of more than 65,536",
        {
            "ledger.readings.files.lines:LINE_MAX": 1_048_576,
            "ledger.readings.files.csvtable:_CELL_MAX": 65_536,
        },
    ),
    (
        "meter-files.md",
        "A reading that ends more than a day after the time of the import",
        {"ledger.readings.imports.importing:_FUTURE_S": 86_400},
    ),
    (
        "meter-files.md",
        "An outlier lies above 1.2 or below -0.2 times the rated power",
        {
            "ledger.reductions.quality:OUTLIER_ABOVE": Fraction("1.2"),
            "ledger.reductions.quality:OUTLIER_BELOW": Fraction("-0.2"),
        },
    ),
    (
        "meter-files.md",
        "read in pieces of 25,000 rows",
        {"ledger.readings.imports.importing:PIECE_ROWS": 25_000},
    ),
    (
        "meter-files.md",
        "are named with line and column (the first 1,000 of them",
        {"ledger.readings.imports.report:ERRORS_MAX": 1_000},
    ),
    (
        "meter-files.md",
        "the report names the place (the first hundred",
        {"ledger.readings.files.clocks:JUMPS_MAX": 100},
    ),
    (
        "meter-files.md",
        "Where the first thousand rows of a device",
        {"ledger.readings.files.clocks:STEPS_OF": 1_000},
    ),
    (
        "mirror.md",
        "from 50 calls down to one",
        {"ledger.chain.node.requests:BATCH_MAX": 50},
    ),
    (
        "mirror.md",
        "after five attempts the mirror stops",
        {"indexer.ranges:_READS_MAX": 5},
    ),
    (
        "mirror.md",
        "forgotten, except the last 512 final ones",
        {"indexer.finality:BLOCKS_KEPT": 512},
    ),
    (
        "mirror.md",
        "are on their way (four at once)",
        {"ledger.chain.node.transports.base:IN_FLIGHT_MAX": 4},
    ),
    (
        "mirror.md",
        "waits for it ten times as long as ranges took lately, at least 5 s",
        {"indexer.patience:_TIMES": 10, "indexer.patience:_LEAST_S": 5.0},
    ),
    (
        "mirror.md",
        "the writer reads 8 ranges itself before it starts another, then 16, up to 256",
        {"indexer.patience:_RESTS_FIRST": 8, "indexer.patience:_RESTS_MAX": 256},
    ),
    (
        "mirror.md",
        "ten minutes, in `status`, `doctor` and the count of `/v1/status`",
        {"api.status.mirror:PATIENCE": 10 * MINUTE},
    ),
    (
        "mirror.md",
        "10 s after the last sign of life",
        {"ledger.leases:LEASE_S": 10.0, "cli.mirror:LEASE_S": 10.0, "cli.jobs:LEASE_S": 10.0},
    ),
    (
        "mirror.md",
        "Over HTTP it looks ten times a second",
        {"indexer.loop:POLL_S": 0.1, "cli.mirror:POLL_S": 0.1},
    ),
    ("ha.md", "Our processes give it up after 5 s", {"ledger.db.engines:CLUSTER_ANSWERS_S": 5}),
    ("mirror.md", "Up to 512 blocks", {"indexer.ranges:RANGE_BLOCKS_MAX": 512}),
    ("mirror.md", "128 blocks or more follow it", {"indexer.ranges:AHEAD_BLOCKS_MIN": 128}),
    (
        "park.md",
        "Times of what has happened are not more than a day in the future.",
        {"ledger.park.rules:AHEAD": DAY},
    ),
    ("replica.md", "is left in peace for 15 seconds", {"ledger.db.replica:GONE_REST_S": 15.0}),
    (
        "settlement.md",
        "It has at most 1,000 trades and 200 accounts",
        {
            "ledger.settlement.netting:TRADES_PER_BATCH_MAX": 1000,
            "ledger.settlement.netting:ACCOUNTS_PER_BATCH_MAX": 200,
        },
    ),
    (
        "site-file.md",
        "a divisor of 60, or 120, 180, 240, 360, 480, 720 or 1440",
        {
            "ledger.reductions.grids:INTERVALS": (
                *(1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60),
                *(120, 180, 240, 360, 480, 720, 1440),
            )
        },
    ),
    (
        "site-file.md",
        "Hours, 1 to 24, after which",
        {"ledger.reductions.flatlines:STUCK_HOURS": 24},
    ),
    ("site-file.md", "3 without it", {"ledger.sites.specs:ISSUE_AFTER_DAYS": 3}),
    (
        "webhooks.md",
        "is tried again after 5 s, 30 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h",
        {
            "ledger.webhooks.delivering:DELAYS": (
                *(timedelta(seconds=seconds) for seconds in (5, 30)),
                *(minutes * MINUTE for minutes in (5, 30)),
                *(hours * HOUR for hours in (2, 5, 10, 14, 20, 24)),
            )
        },
    ),
    (
        "webhooks.md",
        "`Retry-After` has the endpoint rest for that long, an hour at most",
        {"ledger.webhooks.posting:AFTER_MAX": HOUR},
    ),
    (
        "webhooks.md",
        "it rests for 10 s, then for twice as long each time, 5 min at most",
        {
            "ledger.webhooks.resting:SILENT_FIRST": timedelta(seconds=10),
            "ledger.webhooks.resting:SILENT_MAX": 5 * MINUTE,
        },
    ),
    (
        "webhooks.md",
        "answers 2xx within 10 s (15 s for connection and whole answer",
        {"ledger.webhooks.posting:TIMEOUT_S": 10.0, "ledger.webhooks.posting:WHOLE_S": 15.0},
    ),
    (
        "webhooks.md",
        "as long as fewer than eight are slow at a time",
        {"ledger.webhooks.delivering:AT_ONCE": 8},
    ),
    (
        "webhooks.md",
        "the former signs as well for 24 h",
        {"ledger.webhooks.endpoints:FORMER_KEPT": DAY},
    ),
]


@pytest.mark.parametrize(("page", "sentence", "numbers"), PROMISES)
def test_what_a_page_promises(page: str, sentence: str, numbers: dict[str, Any]) -> None:
    assert sentence.casefold() in " ".join((DOCS / page).read_text().split()).casefold()
    found = {}
    for place in numbers:
        module, _, name = place.partition(":")
        found[place] = getattr(import_module(module), name)
    assert found == numbers


def test_when_a_job_is_due_is_what_its_page_says() -> None:
    """Times of day are UTC; which minute of an hour an hourly job has is nobody's business."""
    told = {}
    for line in (DOCS / "jobs.md").read_text().splitlines():
        cells = [cell.strip(" `") for cell in line.strip("|").split("|")]
        if re.fullmatch(r"every .+|each .+|(Sundays, )?\d\d:\d\d", cells[-1]):
            told[cells[0]] = cells[-1]
    jobs = (*catalogue.JOBS, *catalogue._BACKUPS, catalogue._LOCAL)
    assert told == {job.name: due_in_words(job.schedule) for job in jobs}


def due_in_words(schedule: str) -> str:
    """Return a schedule as the page has it: a time between runs, or minute, hour and day of the week of cron."""
    if schedule == "1m":
        return "each minute"
    if schedule.endswith("s"):
        return f"every {schedule[:-1]} s"
    minute, hour, day, month, weekday = schedule.split()
    assert (day, month) == ("*", "*")
    if hour == "*":
        return "every hour"
    return {"*": "", "sun": "Sundays, "}[weekday] + f"{int(hour):02d}:{int(minute):02d}"


@pytest.mark.parametrize(
    ("trouble", "code", "waits"),
    [
        (backoff.DATABASE, "database-down", (0.25, 2.0)),
        (backoff.DATABASE, "database-busy", (0.25, 2.0)),
        (backoff.FORKS, "node-forks", (0.5, 5.0)),
        (backoff.GONE, "contracts-gone", (0.5, 15.0)),
        (backoff.DOWN, "node-down", (0.5, 15.0)),
        (backoff.SLOW, "node-slow", (1.0, 30.0)),
        (backoff.LIMITS, "node-limits", (2.0, 60.0)),
        (backoff.ODD, "node-answer", (1.0, 30.0)),
        (backoff.REFUSES, "rpc-error", (1.0, 30.0)),
        (backoff.PRUNED, "rpc-error", (5.0, 60.0)),
    ],
)
def test_how_long_the_mirror_waits_is_what_its_page_says(
    trouble: backoff.Trouble, code: str, waits: tuple[float, float]
) -> None:
    lines = (DOCS / "mirror.md").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"| `{code}` |"))
    assert "{:g} to {:g} s".format(*waits) in line
    assert (trouble.first_s, trouble.longest_s) == waits


def test_whatever_the_mirror_waits_for_stands_on_its_page() -> None:
    lines = (DOCS / "mirror.md").read_text().splitlines()
    said = {line.split("`")[1] for line in lines if line.startswith("| `") and "` | 3 |" in line}
    assert backoff._BY_CODE.keys() <= said


ASSURANCE = (DOCS / "assurance.md").read_text()


def counted(cell: str) -> int:
    return int(cell.replace(",", ""))


def runs() -> Iterator[tuple[str, dict[int, int], list[str]]]:
    """Yield each kind of run of the page's table: its name, how many on each day, and the other cells."""
    told = ASSURANCE.split("\n## How much was run")[1].split("\n## ")[0]
    head, *lines = re.findall(r"^\| (.*) \|$", told, re.M)
    days = [int(cell) for cell in head.split(" | ")[1:-3]]
    dates = [
        date(2026, 12 if day < days[0] else 11, day) for day in days
    ]  # from one month into the next
    assert dates == [dates[0] + timedelta(days=number) for number in range(len(dates))]
    for line in lines:
        name, *cells = (cell.strip() for cell in line.split(" |"))
        by_day = dict(zip(days, cells[:-3], strict=True))
        yield name, {day: counted(cell) for day, cell in by_day.items() if cell}, cells[-3:]


def test_how_often_a_suite_has_run_is_the_sum_of_its_days() -> None:
    suites = []
    for name, by_day, (in_all, differences, latest) in runs():
        assert sum(by_day.values()) == counted(in_all), name
        assert differences.partition(",")[0] == "**0**", name  # what was mended behind it
        command = re.fullmatch(r"`\./dev (\w+) .+`", latest)
        asked = re.search(r"--(?:count|scenarios) (\d+)", latest)
        assert command and (asked is None or int(asked[1]) <= by_day[[*by_day][-1]]), name
        suites.append(command[1])
    assert suites == [*["histories"] * 3, "chaos", *["forgeries"] * 2, "migrations", *["ha"] * 2]


@pytest.mark.parametrize(
    ("name", "days", "said"),
    [
        ("scenarios of sending", [26], r"\*\*([\d,]+) right, 0 wrong, 0 stuck"),
        ("forged bundles", [26], r"\*\*([\d,]+) mutants refused, 0 otherwise\*\*"),
        ("three nodes", [26, 27, 29], r"^\*\*Figures\.\*\* ([\d,]+) acts acknowledged"),
        ("a pair", [26], r"^\| `db promote` \| \d \| ([\d,]+) \|"),
    ],
)
def test_the_runs_that_a_section_shows_are_those_counted(
    name: str, days: list[int], said: str
) -> None:
    (by_day,) = (by_day for kind, by_day, _ in runs() if kind.startswith(f"[{name}]"))
    (found,) = re.findall(said, ASSURANCE, re.M)
    assert counted(found) == sum(by_day[day] for day in days)


def test_the_large_runs_of_histories_are_among_those_counted() -> None:
    (by_day,) = (by_day for kind, by_day, _ in runs() if kind.startswith("[histories"))
    (large,) = re.findall(r"^\| in ([\d,]+) histories", ASSURANCE, re.M)
    (fresh,) = re.findall(r"with a fresh mirror; .* \| [\d,]+; ([\d,]+);", ASSURANCE)
    assert 500 <= counted(large) == counted(fresh) <= by_day[26] + by_day[27]
