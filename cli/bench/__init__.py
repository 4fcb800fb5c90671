"""``truetonne bench ...``: what things cost, measured beside a peer or a limit in the same run.

Every benchmark prints one shape: ``{"machine": {...}, "results": [{"name", "value", "unit", "against",
"against_value", "ratio"}]}``. ``ratio`` says how many times better the value is than that of
``against``; for a limit, the share of it that is reached.

``report`` is that shape, ``usage`` what a piece of work took of the machine, and ``everything`` runs one benchmark
after the other. ``mariadb``, ``park`` (contracts on a chain) and ``turbines`` (meter data) are what they measure on.
``api``, ``database`` and ``indexer`` are rooms of their own; each other module is a benchmark.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.command import Invocation, command, command_group


def register(root: typer.Typer) -> None:
    """Add the group."""
    # Named apart from the modules: importing one puts its name into this package.
    group = command_group("Measure, beside a peer or a limit.")
    command(group, "all")(bench_all)
    for name, function in (
        ("api", bench_api),
        ("archive", bench_archive),
        ("database", bench_database),
        ("evidence", bench_evidence),
        ("gas", bench_gas),
        ("proofs", bench_proofs),
        ("import", bench_import),
        ("indexer", bench_indexer),
        ("jobs", bench_jobs),
        ("settlement", bench_settlement),
    ):
        command(group, name)(function)
    root.add_typer(group, name="bench")


def bench_all(
    run: Invocation,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="NAME", help="Leave this one out. Repeatable."),
    ] = None,
) -> int:
    """Measure everything, one benchmark after the other; more than an hour, and 15 GB of disk."""
    from cli.bench.everything import BENCHMARKS, measure
    from cli.bench.report import Result, show
    from ledger.errors import BadInput

    unknown = set(without or ()) - set(BENCHMARKS)
    if unknown:
        raise BadInput(f"--without {min(unknown)}: there are {', '.join(BENCHMARKS)}", code="usage")
    names = [name for name in BENCHMARKS if name not in (without or ())]
    if not names:
        raise BadInput("--without names every benchmark: nothing is left to measure", code="usage")
    found = measure(names, run.config, run.output.step)
    results = [Result(**item) for item in found.results]
    more = {"failed": found.failed} if found.failed else None
    show(run.output, results, title=" ".join(names), more=more)
    if not run.output.as_json:
        for item in found.failed:
            said = (item["error"] or {}).get("message", "see its own output")
            run.output.result({}, f"{item['name']} ended with exit {item['exit_code']}: {said}")
    return found.exit_code


def bench_api(
    run: Invocation,
    credits: Annotated[int, typer.Option(min=1_000, help="Credits in the books.")] = 100_000,
    growth: Annotated[
        bool,
        typer.Option(
            "--growth", help="Measure every route of so many and of ten times as many credits."
        ),
    ] = False,
    mariadb: Annotated[
        bool, typer.Option("--mariadb", help="Keep the books in a MariaDB, started for it.")
    ] = False,
) -> None:
    """Measure answers of the API beside an empty route that returns the same bytes."""
    from cli.bench import api
    from cli.bench.api import growth as growing
    from cli.bench.report import show
    from ledger.errors import BadInput

    if growth and mariadb:
        raise BadInput("--growth is measured on SQLite; leave --mariadb out")
    if growth:
        results = growing.measure(credits, run.output.step)
        show(run.output, results, title=f"{growing.FACTOR * credits} credits beside {credits}")
        return
    results = api.results(api.measure(credits, mariadb, run.output.step))
    where = "MariaDB" if mariadb else "SQLite"
    show(run.output, results, title=f"one process, {where}, {credits} credits")


def bench_archive(
    run: Invocation,
    rows: Annotated[int, typer.Option(min=1, help="Rows of the month.")] = 1_000_000,
) -> None:
    """Measure how long a month of real-time data takes into the archive, on a MariaDB of its own."""
    from cli.bench.archive import measure
    from cli.bench.imports import own_server
    from cli.bench.report import show

    with own_server("books") as url:
        results = measure(url, rows, run.output.step)
    show(run.output, results, title=f"a month of {rows} rows")


def bench_database(
    run: Invocation,
    readings: Annotated[int, typer.Option(min=100_000, help="Readings in the books.")] = 50_000_000,
    devices: Annotated[int, typer.Option(min=4, max=1_000, help="Devices that they are of.")] = 500,
    buffer: Annotated[
        int, typer.Option(min=128, metavar="MIB", help="Memory that the server has for its pages.")
    ] = 2_048,
) -> int:
    """Measure what parks ask of a MariaDB with years of readings; exit 1 when a table is read whole."""
    from cli.bench import database
    from cli.bench.report import show

    with database.server(buffer) as server:
        url = server.url("truetonne")
        answered, sizes, speeds = database.measure(url, readings, devices, run.output.step)
    shown = database.plans(answered, sizes)
    show(
        run.output,
        [*database.results(answered), *speeds],
        title=f"MariaDB, {readings:,} readings of {devices} devices",
        more={"plans": shown},
    )
    return 1 if any(each["reads_whole"] for each in shown) else 0


def bench_gas(run: Invocation) -> None:
    """Measure what the contracts' acts cost, on receipts of an Anvil of its own."""
    from cli.bench.gas import measure
    from cli.bench.report import show
    from ledger.chain.local.anvil import LocalNode, find_anvil

    with LocalNode(find_anvil(run.settings.anvil), options=["--enable-tx-gas-limit"]) as node:
        results = measure(node.rpc_url)
    show(run.output, results, title="gas of whole receipts: Prague, optimizer 200 runs")


def bench_proofs(run: Invocation) -> None:
    """Measure how long a proof takes to build and to check, on an Anvil of its own."""
    from cli.bench.proofs import measure
    from cli.bench.report import show
    from ledger.chain.local.anvil import LocalNode, find_anvil

    with LocalNode(find_anvil(run.settings.anvil)) as node:
        results = measure(node.rpc_url)
    show(run.output, results, title="a retirement in a block of 100 transactions")


def bench_evidence(
    run: Invocation,
    readings: Annotated[int, typer.Option(min=1, help="Readings under the root.")] = 1_000_000,
    peer_readings: Annotated[
        int, typer.Option(min=1, help="Readings that OpenZeppelin's library is given.")
    ] = 20_000,
) -> None:
    """Measure the evidence root in CPU seconds, beside OpenZeppelin's JavaScript library."""
    from cli.bench.evidence import measure
    from cli.bench.report import show

    results = measure(readings, peer_readings)
    show(run.output, results, title=f"root of {readings} readings, CPU time of all processes")


def bench_import(
    run: Invocation,
    rows: Annotated[int, typer.Option(min=1, help="Rows of the file.")] = 1_000_000,
    runs: Annotated[
        int, typer.Option(min=1, help="How often each is done; the fastest of each counts.")
    ] = 2,
    sqlite_only: Annotated[bool, typer.Option("--sqlite-only", help="Leave MariaDB out.")] = False,
    database_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A MariaDB server on which databases may be made and dropped; "
            "default: one is started, where it is installed.",
        ),
    ] = None,
) -> None:
    """Measure an import into SQLite and MariaDB, beside the fastest that they take the same rows."""
    from contextlib import ExitStack

    from cli.bench.imports import measure, require_server, server_or_none
    from cli.bench.report import show

    if database_url is not None:
        require_server(database_url)
    with ExitStack() as stack:
        server = database_url
        if server is None and not sqlite_only:
            server = server_or_none(stack, run.output.step)
        results = measure(rows, runs, None if sqlite_only else server, run.output.step)
    show(run.output, results, title=f"import of {rows} rows")


def bench_jobs(
    run: Invocation,
    trades: Annotated[int, typer.Option(min=0, help="Settled trades in the books.")] = 100_000,
    sqlite_only: Annotated[bool, typer.Option("--sqlite-only", help="Leave MariaDB out.")] = False,
) -> None:
    """Measure a tick of the jobs that finds nothing to do, on an Anvil of its own."""
    from contextlib import ExitStack

    from cli.bench.imports import server_or_none
    from cli.bench.jobs import measure
    from cli.bench.report import show
    from ledger.chain.local.anvil import LocalNode, find_anvil

    with ExitStack() as stack:
        server = None if sqlite_only else server_or_none(stack, run.output.step, "books")
        anvil = find_anvil(run.settings.anvil)
        node = stack.enter_context(LocalNode(anvil, options=["--enable-tx-gas-limit"]))
        results = measure(node.rpc_url, run.settings, trades, server)
    show(run.output, results, title=f"a tick with nothing to do, {trades} settled trades")


def bench_settlement(
    run: Invocation,
    trades: Annotated[int, typer.Option(min=20, help="Pending trades.")] = 10_000,
) -> None:
    """Measure how long pending trades take from the database to final, on an Anvil of its own."""
    from cli.bench.report import show
    from cli.bench.settlement import measure
    from ledger.chain.local.anvil import LocalNode, find_anvil

    with LocalNode(find_anvil(run.settings.anvil), options=["--enable-tx-gas-limit"]) as node:
        results = measure(node.rpc_url, trades, run.output.step)
    show(run.output, results, title=f"{trades} trades, from the database to final")


def bench_indexer(
    run: Invocation,
    events: Annotated[
        int, typer.Option(min=1, help="Events of the chain; it is made once, and kept.")
    ] = 210_000,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for chains and peers; default: `bench` in the home folder.",
        ),
    ] = None,
    without_peers: Annotated[
        bool, typer.Option("--without-peers", help="Leave Subsquid and Ponder out.")
    ] = False,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each is run; the fastest of each counts.")
    ] = 2,
    head_blocks: Annotated[
        int, typer.Option(min=0, help="Blocks of 1,000 events to mine at the head.")
    ] = 9,
    growth: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="ROWS",
            help="Measure this alone: whether the mirror slows down while it writes so many rows.",
        ),
    ] = None,
    buffer: Annotated[
        int,
        typer.Option(
            min=128,
            metavar="MIB",
            help="With --growth: memory that MariaDB has for its pages.",
        ),
    ] = 2_048,
    database: Annotated[
        Literal["sqlite", "mariadb"] | None,
        typer.Option(
            help="With --growth or --head-only: measure this database alone.",
        ),
    ] = None,
    head_only: Annotated[
        bool, typer.Option("--head-only", help="Measure blocks at the head, and nothing else.")
    ] = False,
) -> int:
    """Measure the mirror on a chain of our own events, beside Subsquid and Ponder on the same chain."""
    from cli.bench.indexer import growth as growing
    from cli.bench.indexer import measure
    from cli.bench.report import show
    from ledger.errors import DependencyDown

    _check_indexer(growth, database, head_blocks, head_only=head_only)
    databases = (growing.SQLITE, growing.MARIADB) if database is None else (database,)
    if growth is not None:
        _show_growth(run, growth, databases, buffer)
        return 0
    settings = run.settings
    folder = cache or settings.home / "bench"
    request = measure.Request(
        settings.anvil,
        folder.resolve(),
        events,
        0 if head_only else rounds,
        not without_peers,
        head_blocks,
        databases,
    )
    measured = measure.measure(request, run.output.step)
    if not run.output.as_json:
        run.output.result({}, *measure.lines(measured))
    show(
        run.output,
        measure.results(measured),
        title=f"{measured.chain.truth.events} events in {measured.chain.truth.head} blocks",
        more=measure.document(measured),
    )
    return DependencyDown.exit_code if measured.failed else 0


def _show_growth(run: Invocation, rows: int, databases: Sequence[str], buffer_mib: int) -> None:
    """Measure whether the mirror slows down while it writes so many rows."""
    from cli.bench.indexer import growth
    from cli.bench.report import show

    grown = growth.grow(rows, databases, buffer_mib, run.output.step)
    show(
        run.output,
        growth.results(grown),
        title="the last tenth beside the first",
        more={"growth": [growth.document(each) for each in grown]},
    )


def _check_indexer(
    growth: int | None, database: str | None, head_blocks: int, *, head_only: bool
) -> None:
    """Refuse options of ``bench indexer`` that contradict each other."""
    from ledger.errors import BadInput

    if growth is not None and head_only:
        raise BadInput("--growth measures growth alone and --head-only the head: give one of them")
    if database is not None and growth is None and not head_only:
        raise BadInput("--database is for --growth or --head-only: peers are compared with both")
    if head_only and head_blocks == 0:
        raise BadInput("--head-only measures --head-blocks blocks, and that is 0")
