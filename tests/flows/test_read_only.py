"""``SET GLOBAL read_only = 1`` amid a command, as before a switchover: one line, nothing lost, nothing twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger import issuance
from ledger.db import Database
from ledger.db.grants import Account
from tests.support import points
from tests.support.accounts import made_account
from tests.support.chain import WINDOW_S
from tests.support.forms import long, rest, times
from tests.support.mariadb import MariaDbServer
from tests.support.nursery import shared
from tests.support.park import PROJECT, day
from tests.support.plant import write_csv
from tests.support.points import World, chosen, walked_park
from tests.support.waiting import until

pytestmark = pytest.mark.mariadb

ON, OFF = "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"
WAITS = "SET lock_wait_timeout = 60"
REFUSED = re.compile(
    r"error: database \S+: 1290 .*; the server is read-only; name the primary in .*"
)


@pytest.fixture
def world(mariadb_db: Database, mariadb_server: MariaDbServer, tmp_path: Path) -> Iterator[World]:
    """The commands have the account that writes: root may do so on a server that is read-only."""
    with made_account(mariadb_server, Account("write")) as url:
        address = url.render_as_string(hide_password=False)
        with walked_park(mariadb_db, tmp_path, address) as made:
            made.settings["TRUETONNE_FINALITY"] = "0"
            yield made


def imports(world: World) -> Sequence[str]:
    """A day of readings."""
    first = datetime(2014, 1, 1, tzinfo=UTC)
    moments = (first + timedelta(minutes=10 * number) for number in range(144))
    file = write_csv(world.park.folder / "day.csv", [(item.isoformat(), "9") for item in moments])
    return ("import", "--site", "park", "--source", "scada", str(file))


def issues(world: World) -> Sequence[str]:
    """An issuance by hand."""
    world.park.register()
    world.park.generate(day(1), ["100"])
    days = ("--from", "2014-01-01", "--to", "2014-01-02")
    return ("credits", "issue", "--project", PROJECT, *days)


def retires(world: World) -> Sequence[str]:
    """An act under a name."""
    issues(world)
    issuance.plan_issuance(world.park.chain, PROJECT, day(1), day(2))
    issuance.submit_planned(world.park.chain)
    world.park.mirror_final()
    whom = ("--beneficiary", "Ada", "--reason", "a flight", "--key", "flight-1")
    return ("credits", "retire", "park-wind-2014-1", "--amount", "10", *whom)


def settles(world: World) -> Sequence[str]:
    """Trades, by hand."""
    points.settles(world)
    return ("settle", "run")


SCENES: list[Callable[[World], Sequence[str]]] = [
    points.a_new_block,
    settles,
    imports,
    issues,
    retires,
    points.a_range,
    points.a_deep_reorganisation,
    points.a_reindex,
    points.settles,
    points.issues,
]


@pytest.mark.parametrize("scene", rest(SCENES))
def test_a_server_that_becomes_read_only(
    world: World, mariadb_server: MariaDbServer, scene: Callable[[World], Sequence[str]]
) -> None:
    words = scene(world)
    begin = world.walk()
    begin()
    usual, passed, expected = points.undisturbed(world, words)
    refused = 0
    for at in chosen(passed, times(4, 16)):
        begin()
        try:
            code = world.run(words, at, [str(mariadb_server.folder / "s"), WAITS, ON])
        finally:
            mariadb_server.execute(OFF)
        place = at, passed[at], world.said
        if code == 3:
            refused += 1
            assert REFUSED.fullmatch(world.said.splitlines()[-1]), place
            assert "Traceback" not in world.said, place
        else:
            assert code == usual, place
        # What was issued before the server said no is refused the second time, and stands.
        assert world.run(words) in (0, usual) or "(issued as " in world.said, place
        points.come_to_an_end(world.park)
        assert points.differing(points.outcome(world.park), expected) == [], place
    assert refused
    assert world.run(("index", "verify")) == 0, world.said
    assert world.park.differences() == []


@long
def test_mirror_and_jobs_go_on_when_it_is_over(world: World, mariadb_server: MariaDbServer) -> None:
    park, folder = world.park, world.park.folder
    points.settles(world)
    schedules = {"TRUETONNE_JOB_SCHEDULES": "settle=1s; finalise=1s; send=1s"}
    children = [
        shared().start([name, "run"], world.settings | schedules, folder / f"{name}.log")
        for name in ("index", "jobs")
    ]
    mirror, jobs = children
    try:
        until(lambda: "this process runs the jobs now" in jobs.said())
        for number in range(1, 4):
            mariadb_server.execute(WAITS, ON)
            park.node.mine(1)
            if number == 2:
                park.node.reorganise(3)
            until(lambda: mirror.said().count("1290") >= number)  # noqa: B023
            mariadb_server.execute(OFF)
            until(lambda: mirror.said().count("mirrors again") >= number)  # noqa: B023

        def executed() -> bool:
            park.node.later(WINDOW_S + 1)
            park.node.mine(1)
            found = points.outcome(park)["vpp_trading_records"]
            return {status.value for _, status in found} == {"executed"}

        until(executed, pause_s=0.5)
    finally:
        mariadb_server.execute(OFF)
        codes = [child.stop() for child in children]
    assert codes == [0, 0]
    points.come_to_an_end(park)
    assert park.differences() == []
    assert world.run(("index", "verify")) == 0, world.said
