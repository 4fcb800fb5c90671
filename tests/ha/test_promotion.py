"""The pair of docs/replica.md, its primary killed again and again under load: what is lost, and when writes go on.

``HA_ROUNDS`` says how often (3 without it), ``HA_SEED`` what the moments are drawn from. The servers flush as the page
says; figures go to ``build/ha/promotion.json``.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql
import pytest

from ledger.db import Database
from tests.support.pair import NAME, Load, Node, Pair, made_pair, missing

ROOT = Path(__file__).resolve().parents[2]
Keep = Callable[[str, Any], None]
"""Keeps figures under a name, for the report of ``./dev ha``."""
ROUNDS = int(os.environ.get("HA_ROUNDS", "3"))
SEED = int(os.environ.get("HA_SEED", "1"))
WRITERS = 8
pytestmark = pytest.mark.mariadb


@dataclass
class Round:
    """What one killed primary came to."""

    acknowledged: int
    lost: int
    behind: int
    """Acknowledged rows that the replica had received and not applied when the primary died."""
    first_write_s: float
    """From the kill to the first write that the promoted server took."""
    promote_s: float
    """Of these, the command: start of the program included."""
    extra: int
    """Transactions that the old primary alone had, when it was back."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A pair whose books have the schema, in a folder on the disk."""
    with (
        tempfile.TemporaryDirectory(prefix="mariadb-") as name,
        made_pair(Path(name), ()) as made,
    ):
        database = Database(made.primary.url(NAME))
        database.upgrade()
        database.close()
        assert made.level()
        yield made


def truetonne(pair: Pair, *words: str, code: int = 0, **settings: str) -> Any:
    """Run the program as an operator does; return what it printed."""
    named = {**pair.settings(), **settings}
    environ = os.environ | {f"TRUETONNE_{name.upper()}": value for name, value in named.items()}
    command = [sys.executable, "-m", "cli.main", *words, "--json"]
    ended = subprocess.run(
        command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return json.loads(ended.stdout)


@contextmanager
def first_write(node: Node) -> Iterator[list[float]]:
    """Try to write, as an account that read_only stops, until it is done; the list holds when."""
    done: list[float] = []
    stop = threading.Event()

    def work() -> None:
        with node.link(user="writer", database=NAME) as link, link.cursor() as cursor:
            while not stop.is_set():
                try:
                    cursor.execute("REPLACE INTO rows_told VALUES (-1)")
                except pymysql.err.OperationalError:
                    time.sleep(0.002)
                else:
                    done.append(time.monotonic())
                    return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
        thread.join(60)
    finally:
        stop.set()
        thread.join()


def killed(pair: Pair, held_s: float, run_s: float) -> tuple[list[int], float]:
    """Kill the primary under load; return what it acknowledged, and when it died.

    Parameters
    ----------
    held_s
        For so long before its death the replica applies nothing of what it receives.
    """
    first = 1 + int(
        pair.primary.value(f"(SELECT GREATEST(COALESCE(MAX(id), 0), 0) FROM {NAME}.rows_told)")
    )
    with Load(pair.primary, first, WRITERS) as load:
        time.sleep(run_s)
        if held_s:
            pair.replica.ask("STOP SLAVE SQL_THREAD")
            time.sleep(held_s)
        pair.primary.kill()
        died = time.monotonic()
        load.wait()
    return load.acknowledged, died


def bring_back(pair: Pair) -> int:
    """Bring the old primary back as the page says; return how many transactions only it had."""
    pair.swap()
    pair.replica.restart_as_replica()
    found = subprocess_rejoin(pair)
    if not found["may_follow"]:
        rebuild(pair)
        found = subprocess_rejoin(pair) | {"lost": found["lost"]}
    pair.rejoined(found["statements"])
    return int(found["lost"])


def subprocess_rejoin(pair: Pair) -> Any:
    """Run ``db rejoin``, whatever it says."""
    from ledger.db.following import server_at
    from ledger.db.rejoining import compare

    urls = pair.settings()
    with_pair = server_at(urls["database_url"]), server_at(urls["database_read_url"])
    refused = bool(compare(*with_pair).only_there)
    for database in with_pair:
        database.close()
    return truetonne(pair, "db", "rejoin", code=1 if refused else 0)


def rebuild(pair: Pair) -> None:
    """Give the old primary a copy of the files of the new one, which stands still for it."""
    for node in (pair.replica, pair.primary):
        node.stop()
    shutil.rmtree(pair.replica.folder / "data")
    shutil.copytree(pair.primary.folder / "data", pair.replica.folder / "data")
    for node in (pair.replica, pair.primary):
        node.restart()
    pair.primary.ask("SET GLOBAL read_only = 0", "SET GLOBAL rpl_semi_sync_master_enabled = 1",
                     "SET GLOBAL rpl_semi_sync_master_wait_no_slave = 0")  # fmt: skip


def test_a_primary_killed_under_load_again_and_again(pair: Pair, figures: Keep) -> None:
    """No acknowledged row is lost, in any round; every second time the replica is far behind."""
    draw = random.Random(SEED)
    rounds = []
    for number in range(ROUNDS):
        held_s = draw.uniform(0.5, 2) if number % 2 == 0 else 0.0
        acknowledged, died = killed(pair, held_s, draw.uniform(0.3, 2))
        behind = len(missing(pair.replica, acknowledged))
        with first_write(pair.replica) as written:
            begun = time.monotonic()
            done = truetonne(pair, "db", "promote")
            took = time.monotonic() - begun
        assert done["doubt"] == ""
        lost = len(missing(pair.replica, acknowledged))
        there = pair.replica.url(NAME)  # as the page says, everything points at it now
        alone = {"database_url": there, "database_admin_url": there, "database_read_url": ""}
        if number == 0:
            assert complaints(pair, **alone) == []
        extra = bring_back(pair)
        rounds.append(Round(len(acknowledged), lost, behind, written[0] - died, took, extra))
        print(rounds[-1])
    assert complaints(pair) == []
    figures("promotion", [vars(item) for item in rounds])
    assert [item.lost for item in rounds] == [0] * ROUNDS
    assert sum(item.behind for item in rounds) > 0


def complaints(pair: Pair, **settings: str) -> list[Any]:
    """Return what the doctor says of the servers; how full the disk is, is not theirs."""
    named = {**pair.settings(), **settings}
    environ = os.environ | {f"TRUETONNE_{name.upper()}": value for name, value in named.items()}
    command = [sys.executable, "-m", "cli.main", "doctor", "--json"]
    ended = subprocess.run(
        command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False
    )
    return [
        item
        for item in json.loads(ended.stdout)["checks"]
        if item["name"].partition(" ")[0] in ("database", "schema", "server", "primary", "replica")
        and not item["ok"]
        and item["name"] != "server disk"
    ]


@pytest.mark.parametrize(
    "order",
    [
        ("STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0"),
        ("STOP SLAVE", "START SLAVE SQL_THREAD"),  # "so that it applies the rest"
    ],
    ids=["at once", "stopped and started"],
)
def test_what_the_naive_orders_lose(pair: Pair, order: tuple[str, ...], figures: Keep) -> None:
    """The statements that anybody would think of: rows are gone that were acknowledged, for ever."""
    acknowledged, _ = killed(pair, 1.0, 0.3)
    pair.replica.ask(*order)
    time.sleep(1)
    lost = len(missing(pair.replica, acknowledged))
    print(f"{order}: {lost} of {len(acknowledged)} lost")
    figures(
        f"promotion-naive-{len(order)}",
        {"order": order, "acknowledged": len(acknowledged), "lost": lost},
    )
    assert lost > 0
    pair.replica.ask(
        "STOP SLAVE",
        "RESET SLAVE ALL",
        "SET GLOBAL read_only = 0",
        "SET GLOBAL rpl_semi_sync_slave_enabled = 0",
    )
    bring_back(pair)
    pair.primary.ask("SET GLOBAL rpl_semi_sync_master_enabled = 1")
    assert pair.level()


def test_a_replica_stopped_in_the_middle_of_applying(pair: Pair, figures: Keep) -> None:
    """By hand, with several threads applying: the rest is taken from its place in the relay log, nothing twice."""
    rounds = []
    for _ in range(ROUNDS):
        acknowledged, _ = killed(pair, 1.0, 0.3)
        pair.replica.ask("START SLAVE SQL_THREAD")
        time.sleep(0.1)
        pair.replica.ask("STOP SLAVE")
        behind = len(missing(pair.replica, acknowledged))
        done = truetonne(pair, "db", "promote", "--accept-loss")
        rounds.append(
            {
                "acknowledged": len(acknowledged),
                "left": behind,
                "lost": len(missing(pair.replica, acknowledged)),
            }
        )
        assert "IO thread is stopped" in done["doubt"]
        bring_back(pair)
        print(rounds[-1])
    figures("promotion-stopped", rounds)
    assert [item["lost"] for item in rounds] == [0] * ROUNDS
    assert sum(item["left"] for item in rounds) > 0


def test_switchovers_under_load(pair: Pair, figures: Keep) -> None:
    """There and back: nothing is lost, and writes are refused for a moment."""
    gaps_s = []
    for number in range(2):
        first = (number + 1) * 100_000_000
        with Load(pair.primary, first, WRITERS) as load:
            time.sleep(1)
            with first_write(pair.replica) as written:
                truetonne(pair, "db", "promote", "--switchover")
            load.wait()
        gaps_s.append(written[0] - load.last_at)
        assert missing(pair.replica, load.acknowledged) == []
        pair.swap()
        pair.rejoined(subprocess_rejoin(pair)["statements"])
    print(f"from the last write there to the first one here: {gaps_s} s")
    figures("promotion-switchover", {"gaps_s": gaps_s})
