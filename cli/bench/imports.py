"""How fast a meter file is imported, beside the fastest that its database takes the same rows.

The limit is measured in the same run, on an empty database of the same schema, indexes and settings: the
same rows of ``meter_readings`` and ``device_data``, ready-made, in one transaction, by sqlite3's
``executemany`` or by ``LOAD DATA LOCAL INFILE``. The import makes them from the file's text, judges them,
and derives energy by the hour besides, which the limit does not.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import uuid4

import pymysql
from pymysql.cursors import SSCursor
from sqlalchemy import func, make_url, select
from sqlalchemy.exc import ArgumentError

from cli.bench.mariadb import MariaDbServer, ServerUnavailable
from cli.bench.report import Result, lower_is_better, share_of_limit
from cli.bench.turbines import SITE, write_csv
from cli.bench.usage import cpu_s, peak_mb
from ledger.db import Database
from ledger.errors import BadInput, DependencyDown, ProblemFound
from ledger.models import ImportFile, MeterReading

MEMORY_LIMIT_MB = Decimal(300)
MILLION = 10**6
SMALL_SHARE = 10
"""The file that memory is compared on has one row for so many of the other."""
READINGS = (
    "meter_id, start_s, duration_s, kind, text, unit, value_digits, value_scale, quality, conflict, "
    "reason, file_id, line"
)
DATA = "device_id, metric_name, value, unit, recorded_at, created_at"
TABLES = {"meter_readings": READINGS, "device_data": DATA}

Say = Callable[[str], None]


class Spent(NamedTuple):
    """What one import, or one go of a limit, took."""

    seconds: float
    cpu_s: Decimal
    peak_mb: Decimal = Decimal(0)


Round = tuple[Spent, Spent]
"""An import and its limit, one after the other."""


def measure(rows: int, runs: int, mariadb: str | None, say: Say) -> list[Result]:
    """Return rows a second into SQLite and, where there is one, into MariaDB, and the memory it takes.

    Parameters
    ----------
    rows
        Rows of the file.
    runs
        How often each is done, in turn; the fastest of each counts.
    mariadb
        Address of a server on which a database may be made and dropped; None: no MariaDB.
    say
        Told what is done next.
    """
    if mariadb is not None:
        with _linked(mariadb):  # that it answers is better known now than after a minute
            pass
    with TemporaryDirectory(prefix="truetonne-bench-") as name:
        folder = Path(name)
        say(f"writing a file of {rows} rows")
        file, small = folder / "turbines.csv", folder / "small.csv"
        fewer = max(rows // SMALL_SHARE, 1)
        write_csv(file, rows)
        write_csv(small, fewer)
        less = _imported(f"sqlite:///{folder / 'small.db'}", small, fewer)
        rounds = []
        for run in range(runs):
            say(f"into SQLite, and the same rows by executemany ({run + 1} of {runs})")
            rounds.append(_into_sqlite(folder, file, rows))
        results = _speed("sqlite", rows, rounds, "raw executemany")
        peaks = [imported.peak_mb for imported, _ in rounds]
        most = max(peaks)
        if mariadb is not None:
            rounds = []
            for run in range(runs):
                say(f"into MariaDB, and the same rows by LOAD DATA ({run + 1} of {runs})")
                rounds.append(into_mariadb(folder, mariadb, file, rows))
            # Of the server's CPU time a client knows nothing.
            results += _speed("mariadb", rows, rounds, "raw LOAD DATA")[:1]
            most = max(most, *(imported.peak_mb for imported, _ in rounds))
    return [
        *results,
        share_of_limit("import_memory_mb", _round(most), "MiB", "limit", MEMORY_LIMIT_MB),
        lower_is_better(
            "import_memory_by_length_mb",
            _round(max(peaks)),
            "MiB",
            f"a file of {fewer} rows",
            _round(less.peak_mb),
        ),
    ]


@contextmanager
def own_server(database: str = "") -> Iterator[str]:
    """Start a MariaDB with its usual settings for one run, and give its address, or that of a new database.

    Raises
    ------
    DependencyDown
        None is installed, or it does not start.
    """
    with TemporaryDirectory(prefix="mariadb-") as name:
        server = MariaDbServer(Path(name))
        server.start()
        try:
            if database:
                server.execute(f"CREATE DATABASE {database}")
            yield server.url(database)
        finally:
            server.stop()


def server_or_none(stack: ExitStack, say: Callable[[str], None], database: str = "") -> str | None:
    """Start a MariaDB as ``own_server`` does, until the stack ends; where none can be, say so and go without."""
    try:
        return stack.enter_context(own_server(database))
    except ServerUnavailable as error:
        say(f"without MariaDB: {error.message}")
        return None


def _speed(name: str, rows: int, rounds: Sequence[Round], against: str) -> list[Result]:
    """Return rows a second, and CPU time a row, of the fastest import and the fastest limit."""
    imported, limit = (
        min(spent, key=lambda one: one.seconds) for spent in zip(*rounds, strict=True)
    )
    value, other = (Decimal(round(rows / spent.seconds)) for spent in (imported, limit))
    cpu, raw = (
        (spent.cpu_s / rows * MILLION).quantize(Decimal("0.01")) for spent in (imported, limit)
    )
    return [
        share_of_limit(f"{name}_rows_per_s", value, "rows/s", against, other),
        lower_is_better(f"{name}_cpu_us_a_row", cpu, "us", against, raw),
    ]


def _into_sqlite(folder: Path, file: Path, rows: int) -> Round:
    url = f"sqlite:///{folder / 'books.db'}"
    imported = _imported(url, file, rows)
    limit = _executemany(folder, url, rows)
    for left in [*folder.glob("books.db*"), *folder.glob("limit.db*")]:
        left.unlink()
    return imported, limit


def into_mariadb(folder: Path, server: str, file: Path, rows: int) -> Round:
    """Import a file into a database of a server, and load the rows that it stored into another one."""
    with _scratch(server) as url:
        imported = _imported(url, file, rows)
        files = _tab_separated(folder, url)
    with _scratch(server) as url:
        return imported, _load_data(files, url, rows)


def _imported(url: str, file: Path, rows: int) -> Spent:
    """Import the file in a new process, so that its memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(_import, url, file, rows).result()


def _import(url: str, file: Path, rows: int) -> Spent:
    from ledger.readings import import_file

    with closing(_with_site(url, file.parent)) as database:
        before, cpu_before = time.perf_counter(), cpu_s()
        report = import_file(database, "bench", "scada", file)
        spent = Spent(time.perf_counter() - before, cpu_s() - cpu_before, peak_mb())
    if report.new != rows:
        raise ProblemFound(f"of {rows} rows {report.new} were imported", code="rows-lost")
    return spent


def _with_site(url: str, folder: Path) -> Database:
    """Return a new database that knows the turbines and has no reading."""
    from ledger.sites import apply_site

    database = Database(url)
    database.upgrade()
    site = folder / "site.toml"
    site.write_text(SITE, encoding="utf-8")
    database.run(lambda session: apply_site(session, site))
    return database


def _with_import(url: str, folder: Path) -> Database:
    """Return a new database to which an import could add readings: they refer to its file."""
    database = _with_site(url, folder)
    with database.write() as session:
        session.add(
            ImportFile(
                source_id=1,
                file_name="turbines.csv",
                file_sha256="0" * 64,
                rows_read=0,
                rows_new=0,
                rows_unchanged=0,
                rows_conflict=0,
                rows_rejected=0,
                imported_at=datetime.now(UTC),
            )
        )
    return database


def _executemany(folder: Path, imported: str, rows: int) -> Spent:
    """Return what sqlite3 takes for the rows that an import stored."""
    ready = {}
    with Database(imported).read() as session:
        for table, columns in TABLES.items():
            query = f"SELECT {columns} FROM {table} ORDER BY id"
            ready[table] = [tuple(row) for row in session.connection().exec_driver_sql(query)]
    database = _with_import(f"sqlite:///{folder / 'limit.db'}", folder)
    before, cpu_before = time.perf_counter(), cpu_s()
    with database.write() as session:
        raw = session.connection().connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        for table, columns in TABLES.items():
            places = ",".join("?" * len(columns.split(",")))
            raw.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", ready[table])
    spent = Spent(time.perf_counter() - before, cpu_s() - cpu_before)
    _check(database, rows)
    return spent


def _tab_separated(folder: Path, imported: str) -> dict[str, Path]:
    """Write the rows that an import stored as files for ``LOAD DATA``."""
    files = {}
    with _linked(imported) as link:
        for table, columns in TABLES.items():
            files[table] = folder / f"{table}.tsv"
            with link.cursor(SSCursor) as cursor, files[table].open("w", encoding="utf-8") as out:
                cursor.execute(f"SELECT {columns} FROM {table} ORDER BY id")
                for row in cursor:
                    out.write(
                        "\t".join("\\N" if cell is None else str(cell) for cell in row) + "\n"
                    )
    return files


def _load_data(files: dict[str, Path], url: str, rows: int) -> Spent:
    """Return what ``LOAD DATA LOCAL INFILE`` takes for the files."""
    database = _with_import(url, next(iter(files.values())).parent)
    with _linked(url, local_infile=True) as link, link.cursor() as cursor:
        before, cpu_before = time.perf_counter(), cpu_s()
        cursor.execute("START TRANSACTION")
        for table, columns in TABLES.items():
            cursor.execute(
                f"LOAD DATA LOCAL INFILE %s INTO TABLE {table} CHARACTER SET utf8mb4 ({columns})",
                (str(files[table]),),
            )
        link.commit()
        spent = Spent(time.perf_counter() - before, cpu_s() - cpu_before)
    _check(database, rows)
    return spent


def _check(database: Database, rows: int) -> None:
    """Refuse a limit that stored anything but the rows."""
    with database.read() as session:
        stored = session.scalar(select(func.count()).select_from(MeterReading))
    database.close()
    if stored != rows:
        raise ProblemFound(f"the limit stored {stored} rows instead of {rows}", code="rows-lost")


@contextmanager
def _scratch(server: str) -> Iterator[str]:
    """Make a database on a server for the time of a block."""
    name = f"truetonne_bench_{uuid4().hex[:12]}"
    with _linked(server) as link:
        link.cursor().execute(f"CREATE DATABASE {name}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with _linked(server) as link:
            link.cursor().execute(f"DROP DATABASE {name}")


def require_server(url: str) -> None:
    """Refuse what is not the address of a MariaDB server.

    Raises
    ------
    BadInput
        It is none.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number
        parsed = None
    if parsed is None or parsed.drivername != "mysql+pymysql" or not parsed.host:
        raise BadInput(
            "--database-url: write mysql+pymysql://USER:PASSWORD@HOST, of a MariaDB server on which databases may be "
            "made",
            code="usage",
        )


@contextmanager
def _linked(url: str, **options: Any) -> Iterator[pymysql.Connection[Any]]:
    """Open a plain connection to a MariaDB, as the ledger's own are set."""
    parsed = make_url(url)
    try:
        link = pymysql.connect(
            host=parsed.host or "localhost",
            port=parsed.port or 3306,
            user=parsed.username,
            password=parsed.password or "",
            database=parsed.database or None,
            charset="utf8mb4",
            init_command="SET time_zone='+00:00'",
            **options,
        )
    except pymysql.err.OperationalError as error:
        raise DependencyDown(
            f"database {parsed.host or 'localhost'}:{parsed.port or 3306}: {error.args[1]}; start the server, or name "
            "another with --database-url",
            code="database-down",
        ) from error
    try:
        yield link
    finally:
        link.close()


def _round(value: Decimal) -> Decimal:
    return value.quantize(Decimal("0.1"))
