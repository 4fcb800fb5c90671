"""``./dev migrations``: every migration, interrupted before every statement, and killed at random moments; with rows.

The newest revisions are done so in ``./dev test``; this is all of them, about two minutes.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import time

from sqlalchemy import text

from ledger.db import Database
from scripts import suite
from tests.ledger.test_migrations import CHAIN, OLD_ROWS, READINGS_BEFORE, SENT, structure
from tests.support.interrupted import upgrade_step_by_step
from tests.support.mariadb import MariaDbServer, running_server

ROWS = {
    "0009": OLD_ROWS,
    "0010": READINGS_BEFORE,
    "0016": tuple(sql.format(n=number) for number in (7, 8) for sql in SENT),
    "0024": tuple(
        "INSERT INTO audit_logs (id, action, resource, created_at) "
        f"VALUES ({number}, 'a', 'r', '2026-01-01 00:00:00.000000')"
        for number in (2, 5, 9)
    ),
}
"""Rows that are there when the revision after this one begins."""
UPGRADE = "import sys; from ledger.db import Database; Database(sys.argv[1]).upgrade()"


def main() -> int:
    """Run it; exit 1 when an interrupted database is not what an uninterrupted one is."""
    parser = argparse.ArgumentParser(prog="./dev migrations", description=__doc__)
    parser.add_argument(
        "--kills", type=suite.at_least(0), default=10, help="processes that are killed (10)"
    )
    parser.add_argument(
        "--seed", type=suite.seed, default=1, help="what their moments are drawn from (1)"
    )
    options = parser.parse_args()
    suite.get_tools("migrations")
    with running_server() as server:
        whole, took_s = _whole(server)
        same = _interrupted(server, whole)
        killed = _kill(server, options.kills, options.seed, took_s)
        return 0 if same and killed else 1


def _whole(server: MariaDbServer) -> tuple[Database, float]:
    """Return a database that was never interrupted, and the seconds that it took."""
    whole = _opened(server, "whole")
    began = time.monotonic()
    for revision in CHAIN:
        whole.upgrade(revision)
        _fill(whole, revision)
    return whole, time.monotonic() - began


def _interrupted(server: MariaDbServer, whole: Database) -> bool:
    """Interrupt every migration before every statement; return whether the end is the same."""
    cut = _opened(server, "cut")
    total = 0
    for revision in CHAIN:
        began = time.monotonic()
        try:
            count = upgrade_step_by_step(cut, revision)
        except Exception as error:  # whatever it is, nobody could upgrade this database any more
            said = str(getattr(error, "orig", None) or error)
            print(f"{revision}  CANNOT GO ON after an interruption: {type(error).__name__}: {said}")
            return False
        total += count
        print(f"{revision}  {count:3} interruptions  {time.monotonic() - began:5.1f} s", flush=True)
        _fill(cut, revision)
    differing = _differing(whole, cut)
    verdict = (
        f"NOT THE SAME: {', '.join(differing)}" if differing else "the same structure and rows"
    )
    print(f"{total} interruptions: {verdict}")
    return not differing


def _kill(server: MariaDbServer, kills: int, seed: int, took_s: float) -> bool:
    """Kill processes that upgrade an empty database, each time a new one goes on; then end it."""
    plain, database = _opened(server, "plain"), _opened(server, "killed")
    plain.upgrade()
    struck = failed = 0
    choose = random.Random(seed)
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", UPGRADE, server.url("killed")])
        try:
            process.wait(choose.uniform(1.0, 1.0 + took_s / 2))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            struck += 1
            process.wait()
        else:
            failed += process.returncode != 0
    at = database.current()
    database.upgrade()
    same = structure(plain) == structure(database) and not failed
    verdict = "the same" if same else "NOT THE SAME"
    print(
        f"{struck} of {kills} processes killed (seed {seed}), the last at {at}, {failed} failed: {verdict} structure"
    )
    return same


def _opened(server: MariaDbServer, name: str) -> Database:
    server.execute(f"CREATE DATABASE {name}")
    return Database(server.url(name), lock_timeout_s=10)


def _fill(database: Database, revision: str) -> None:
    with database.write() as session:
        for sql in ROWS.get(revision, ()):
            session.execute(text(sql.replace(":00", r"\:00")))


def _differing(one: Database, other: Database) -> list[str]:
    """Return what differs: tables by their rows, and the structure."""
    rows, others = _checksums(one), _checksums(other)
    names = sorted({*rows, *others})
    found = [f"rows of {name}" for name in names if rows.get(name) != others.get(name)]
    return found if structure(one) == structure(other) else [*found, "the structure"]


def _checksums(database: Database) -> dict[str, int]:
    with database.read() as session:
        read = session.connection().exec_driver_sql
        names = [row[0] for row in read("SHOW TABLES")]
        return {name: read(f"CHECKSUM TABLE {name}").one()[1] for name in names}


if __name__ == "__main__":
    sys.exit(suite.command("migrations", main))
