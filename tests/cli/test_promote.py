"""A pair set up as docs/replica.md says: what stands in the way of a promotion, and that it loses nothing."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.bench.mariadb import ServerUnavailable
from ledger.db import Database
from ledger.db.findings import Finding, State
from ledger.db.following import Following, Primary, server_at
from ledger.db.gtid import gaps, gtids, only_in
from ledger.db.pair import apart, primary_findings, replica_findings
from ledger.db.promotable import Ask, require_out_of_the_way
from ledger.db.promotion import LOCK
from ledger.db.promotion import promote as take_over
from ledger.errors import DependencyDown, Refused
from tests.cli.conftest import Program
from tests.support.forms import few, long, rest
from tests.support.pair import PAGE, Load, Node, Pair, made_pair, missing
from tests.support.waiting import comes_true, until

pytestmark = pytest.mark.mariadb


Pairs = tuple[ExitStack, list[Pair]]


@pytest.fixture(scope="module")
def pairs() -> Iterator[Pairs]:
    """The pairs that were made, and what ends them."""
    with ExitStack() as stack:
        yield stack, []


@pytest.fixture
def pair(pairs: Pairs) -> Pair:
    """One pair for all tests: each leaves it whole, and its servers may have changed places.

    One that failed in its middle may have not: the next test has another pair, and fails for nothing but itself.
    """
    stack, made = pairs
    if not made or not comes_true(made[-1].settled, 20):
        stack.close()
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mariadb-"))
        try:
            made.append(stack.enter_context(made_pair(Path(folder))))
        except ServerUnavailable as reason:
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI must run the tests of promotions: {reason}")
            pytest.skip(str(reason))
    return made[-1]


Run = Callable[..., Any]


@pytest.fixture
def promote(truetonne: Program, pair: Pair) -> Run:
    """Run ``db promote``, with other settings than the pair's where they are named."""

    def run(*options: str, code: int = 0, **settings: str) -> Any:

        ended = truetonne("db", "promote", "--json", *options, **{**pair.settings(), **settings})
        assert ended.code == code, ended
        return ended.json() if code == 0 else ended.json()["error"]

    return run


@pytest.fixture
def rejoin(truetonne: Program, pair: Pair) -> Run:
    def run(code: int = 0) -> Any:
        ended = truetonne("db", "rejoin", "--json", **pair.settings())
        assert ended.code == code, ended
        return ended.json()

    return run


def checks(truetonne: Program, pair: Pair, **settings: str) -> dict[str, dict[str, Any]]:
    """Return what the doctor says of the servers."""
    ended = truetonne("doctor", "--json", **{**pair.settings(), **settings})
    return {
        item["name"]: item
        for item in ended.json()["checks"]
        if item["name"].partition(" ")[0] in ("server", "primary", "replica")
    }


@contextmanager
def held(node: Node) -> Iterator[None]:
    """Keep a replica from applying anything: whoever reads a consistent copy does the same."""
    with node.link() as link:
        link.cursor().execute("FLUSH TABLES WITH READ LOCK")
        yield


# ------------------------------------------------------------------ arithmetic of positions


@pytest.mark.parametrize(
    ("have", "want", "count", "text"),
    [
        ("0-1-5", "0-1-5", 0, ""),
        ("0-2-7", "0-1-5", 0, ""),  # further, by whichever server
        ("0-1-5", "0-1-6", 1, "0-1-6"),
        ("0-1-5", "0-2-9", 4, "0-2-6 to 0-2-9"),
        ("", "0-1-3,4-1-1", 4, "0-1-1 to 0-1-3, 4-1-1"),
        ("0-1-5", "", 0, ""),
    ],
)
def test_what_a_position_lacks_of_another(have: str, want: str, count: int, text: str) -> None:
    found = gaps(gtids(have), gtids(want))
    assert (sum(gap.count for gap in found), ", ".join(map(str, found))) == (count, text)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("0-1-5", "0-1-5,0-2-9", ""),
        ("0-1-6", "0-1-5,0-2-9", "0-1-6"),  # its number is smaller, and it is not there
        ("0-1-8,0-2-7", "0-1-8,0-2-9", ""),
        ("0-1-8,3-1-2", "0-1-8", "3-1-1 to 3-1-2"),
        ("0-1-29,0-2-26", "0-1-20,0-2-30", "0-1-27 to 0-1-29"),  # 21 to 26 are the other's
        ("0-1-677,0-2-710", "0-2-711", ""),  # the new one was restored: its log began after 677
        ("0-1-677,0-2-710", "0-1-676,0-2-711", "0-1-677"),  # it knows of 1, and lacks one of it
        ("0-1-677", "0-2-711", "0-1-1 to 0-1-677"),  # nothing says where its log began
    ],
)
def test_what_only_an_old_primary_has(old: str, new: str, text: str) -> None:
    found = only_in(old, new)
    assert ", ".join(map(str, found)) == text
    assert all(gap.count > 0 for gap in found)


# ------------------------------------------------------------------ a living primary


LIVES = Primary("db1", answers=True, position="0-1-7")
RESTS = Primary("db1", answers=True, position="0-1-7", writable=False)
REFUSES_US = Primary("db1", answers=True, why="access denied")
SILENT = Primary("db1", answers=False, why="timed out")
OFF = Primary("db1", answers=False, ended=True, why="connection refused")


@pytest.mark.parametrize(
    ("old", "io", "ask", "code"),
    [
        (LIVES, "Yes", Ask(), "primary-alive"),
        (RESTS, "Yes", Ask(), None),
        (REFUSES_US, "Connecting", Ask(), "primary-alive"),
        (SILENT, "Connecting", Ask(), "primary-unreachable"),
        (SILENT, "Yes", Ask(), "primary-alive"),
        (OFF, "Yes", Ask(), "primary-alive"),  # by our address; the replica has another
        (OFF, "Connecting", Ask(), None),
        *((old, "Yes", Ask(fenced=True), None) for old in (LIVES, RESTS, REFUSES_US, SILENT, OFF)),
        *((old, "Yes", Ask(switchover=True), None) for old in (LIVES, RESTS)),
        *((old, "No", Ask(switchover=True), "primary-unreachable") for old in (REFUSES_US, OFF)),
    ],
)
def test_who_may_be_promoted_beside_which_primary(
    old: Primary, io: str, ask: Ask, code: str | None
) -> None:
    """Two that take writes would be two sets of books."""
    follows = Following("", "db1:3306", 1, io, "", True, "", True, "0-1-7", "0-1-7", None, "", 0)
    if code is None:
        require_out_of_the_way(follows, old, ask)
        return
    with pytest.raises(Refused) as refused:
        require_out_of_the_way(follows, old, ask)
    assert refused.value.code == code


@long
def test_what_a_promotion_is_refused_for(promote: Run, pair: Pair, truetonne: Program) -> None:
    nowhere = pair.settings()["database_url"].replace("127.0.0.1", "db1.invalid")
    refusals: list[tuple[str, int, tuple[str, ...], dict[str, str], str]] = [
        ("primary-alive", 1, (), {}, "answers and takes writes"),
        ("bad-input", 2, (), {"database_read_url": ""}, "database_read_url is not set"),
        ("usage", 2, ("--switchover", "--fenced"), {}, "do not go together"),
        ("usage", 2, ("--timeout", "-1"), {}, "from 0 to 86400 seconds"),
        ("bad-input", 2, (), {"database_url": pair.settings()["database_read_url"]}, "name one server"),
        ("primary-alive", 1, (), {"database_url": nowhere + "?tls=off"}, "has a connection to it still"),
        ("primary-unreachable", 1, ("--switchover",), {"database_url": nowhere + "?tls=off"}, "a switchover needs"),
        ("database-down", 3, (), {"database_read_url": nowhere + "?tls=off"}, "db1.invalid"),
        ("not-a-replica", 1, (), {"database_read_url": pair.settings()["database_url"],
                                  "database_url": pair.settings()["database_read_url"]}, "follows nobody"),
    ]  # fmt: skip
    pair.primary.ask(
        "SET GLOBAL rpl_semi_sync_master_enabled = 0"
    )  # else it is "the primary already"
    try:
        for code, number, options, settings, said in refusals:
            error = promote(*options, code=number, **settings)
            assert (error["code"], said in error["message"]) == (code, True), error
    finally:
        pair.primary.ask("SET GLOBAL rpl_semi_sync_master_enabled = 1")
    assert promote("--fenced", "--dry-run")["dry_run"]  # and nothing was done
    assert pair.replica.value("@@read_only") == 1 and pair.replica.ask("SHOW ALL SLAVES STATUS")
    pair.primary.ask("CREATE USER weak@'%'", "GRANT SELECT ON truetonne.* TO weak@'%'")
    assert pair.level()
    weak = pair.primary.url("truetonne").replace("root@", "weak@")
    error = promote("--fenced", code=3, database_admin_url=weak)
    assert "GRANT RELOAD, READ_ONLY ADMIN, REPLICATION SLAVE ADMIN" in error["message"]
    pair.primary.ask(error["message"].partition("; ")[2].partition(", or")[0])
    assert pair.level()
    assert promote("--fenced", "--dry-run", database_admin_url=weak)["dry_run"]
    ended = truetonne("db", "promote", **pair.settings())
    assert "two sets of books" in ended.one_line()


@long
def test_an_error_of_the_sql_thread_is_named(promote: Run, pair: Pair) -> None:
    pair.replica.ask("INSERT INTO truetonne.rows_told VALUES (-8)")
    pair.replica.ask("SET GLOBAL gtid_strict_mode = 0")  # which would stop it for that alone
    pair.primary.ask("INSERT INTO truetonne.rows_told VALUES (-8)")
    try:
        until(lambda: pair.replica.ask("SHOW ALL SLAVES STATUS")[0]["Last_SQL_Errno"] != 0)
        error = promote("--fenced", code=1)
        assert error["code"] == "replica-stopped"
        assert "error 1062: " in error["message"] and "Duplicate entry" in error["message"]
    finally:
        pair.replica.ask("DELETE FROM truetonne.rows_told WHERE id = -8", "START SLAVE SQL_THREAD")
        assert pair.level()
        pair.replica.ask(
            "STOP SLAVE", "RESET MASTER", "SET GLOBAL gtid_strict_mode = 1", "START SLAVE"
        )


@long
def test_a_switchover(promote: Run, rejoin: Run, pair: Pair, truetonne: Program) -> None:
    """One that cannot be done leaves the primary as it was; the next one loses nothing, under load."""
    with held(pair.replica), Load(pair.primary, 1_000_000, threads=1) as load:
        until(lambda: load.acknowledged != [])
        error = promote("--switchover", "--timeout", "0.5", code=1)
    assert (error["code"], "are received and not applied" in error["message"]) == (
        "replica-behind",
        True,
    )
    assert (pair.primary.value("@@read_only"), pair.replica.value("@@read_only")) == (0, 1)
    with Load(pair.primary, 2_000_000, threads=2) as load:
        until(lambda: len(load.acknowledged) > 50)
        done = promote("--switchover")
        load.wait()
    assert (done["left_behind"], done["doubt"]) == (0, "")
    pair.swap()
    assert missing(pair.primary, load.acknowledged) == []
    assert (pair.primary.value("@@read_only"), pair.replica.value("@@read_only")) == (0, 1)
    came = rejoin()
    assert came["may_follow"] and not came["follows"]
    pair.rejoined(came["statements"])
    until(lambda: rejoin()["follows"])  # it connects in its own time
    assert [
        item for item in checks(truetonne, pair).values() if not item["ok"]
    ] == complaints_of_tests(truetonne, pair)


@pytest.mark.parametrize(
    "how",
    rest(
        ["the replica is cut off", "we are cut off from the replica"],
        "we are cut off from the replica",
    ),
)
def test_a_switchover_that_fails_gives_the_primary_back(pair: Pair, how: str) -> None:
    """In the moment in which the primary has become read-only."""

    def cut_off(said: str) -> None:
        heard.append(said)
        if len(heard) > 1:
            return
        if how.startswith("we"):
            pair.replica.ask("KILL " + str(pair.replica.value(f"IS_USED_LOCK('{LOCK}')")))
            return
        pair.replica.ask("STOP SLAVE IO_THREAD")
        pair.primary.ask("INSERT INTO truetonne.rows_told VALUES (-7)")  # as root, who may

    heard: list[str] = []
    urls = pair.settings()
    primary, replica = server_at(urls["database_url"]), server_at(urls["database_read_url"])
    expected = (
        "of the primary has not come; nothing was changed|MySQL server has gone away|Lost conn"
    )
    with pytest.raises((Refused, DependencyDown), match=expected):
        take_over(replica, primary, Ask(switchover=True, timeout_s=1), cut_off)
    for database in (primary, replica):
        database.close()
    assert [said.partition(" ")[2] for said in heard] == ["is read-only", "takes writes again"]
    assert (pair.primary.value("@@read_only"), pair.replica.value("@@read_only")) == (0, 1)
    pair.replica.ask("START SLAVE IO_THREAD")
    pair.primary.ask("DELETE FROM truetonne.rows_told WHERE id = -7")
    assert pair.level()


def complaints_of_tests(truetonne: Program, pair: Pair) -> list[dict[str, Any]]:
    """Return what the doctor says of how the tests run their servers: without care for power cuts, on any disk."""
    found = checks(truetonne, pair)
    return [found[name] for name in ("server disk", "server durable") if not found[name]["ok"]]


# ------------------------------------------------------------------ what the doctor asks of a pair


@few(4)
@pytest.mark.parametrize(
    ("where", "name", "condition", "said", "mend"),
    [
        ("primary", "semi-sync", "SET GLOBAL rpl_semi_sync_master_enabled = 0", "may be on this server alone",
         "SET GLOBAL rpl_semi_sync_master_enabled = 1"),
        ("primary", "semi-sync wait point", "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_COMMIT",
         "AFTER_COMMIT: others read what", "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC"),
        ("primary", "semi-sync timeout", "SET GLOBAL rpl_semi_sync_master_timeout = 500", "after 500 ms without",
         "SET GLOBAL rpl_semi_sync_master_timeout = 10000"),
        ("primary", "semi-sync timeout", "SET GLOBAL rpl_semi_sync_master_wait_no_slave = 0", "the moment the replica",
         "SET GLOBAL rpl_semi_sync_master_wait_no_slave = 1"),
        ("primary", "gtid_strict_mode", "SET GLOBAL gtid_strict_mode = 0", "off: servers that went apart",
         "SET GLOBAL gtid_strict_mode = 1"),
        ("replica", "gtid_strict_mode", "SET GLOBAL gtid_strict_mode = 0", "off: servers that went apart",
         "SET GLOBAL gtid_strict_mode = 1"),
        ("replica", "read_only", "SET GLOBAL read_only = 0", "the replica takes writes", "SET GLOBAL read_only = 1"),
        ("replica", "semi-sync", "SET GLOBAL rpl_semi_sync_slave_enabled = 0", "off: it does not tell",
         "SET GLOBAL rpl_semi_sync_slave_enabled = 1; STOP REPLICA IO_THREAD; START REPLICA IO_THREAD"),
        ("replica", "semi-sync", "STOP REPLICA IO_THREAD", "on, and not in use",
         "STOP REPLICA IO_THREAD; START REPLICA IO_THREAD"),
    ],
)  # fmt: skip
def test_a_pair_that_would_lose_something(
    pair: Pair, where: str, name: str, condition: str, said: str, mend: str
) -> None:
    node = getattr(pair, where)
    assert rules(pair)[where, name].state is State.GOOD
    node.ask(condition)
    item = rules(pair)[where, name]
    assert (item.state, said in item.found, item.mend) == (State.BAD, True, mend), item
    node.ask(*item.mend.split("; "))
    until(lambda: all(item.state is State.GOOD for item in rules(pair).values()))


def test_a_replica_that_does_not_apply_what_comes(pair: Pair) -> None:
    pair.replica.ask("STOP SLAVE SQL_THREAD")
    item = rules(pair)["replica", "following"]
    assert (item.state, "follows nobody now" in item.found) == (State.BAD, True), item
    pair.replica.ask("START SLAVE SQL_THREAD")
    until(lambda: all(item.state is State.GOOD for item in rules(pair).values()))


def test_a_replica_that_somebody_wrote_to(pair: Pair) -> None:
    """It is read until the primary commits again: nothing else tells that it is no copy."""
    node = pair.replica
    state = node.ask("SELECT @@GLOBAL.gtid_binlog_state AS state")[0]["state"]
    node.ask("CREATE DATABASE stray")
    item = rules(pair)["replica", "apart"]
    own = node.ask("SELECT @@GLOBAL.gtid_binlog_pos AS own")[0]["own"]
    assert (item.state, own in item.found) == (State.BAD, True), item
    node.ask(
        "SET sql_log_bin = 0",
        "DROP DATABASE stray",
        "STOP SLAVE",
        "RESET MASTER",
        f"SET GLOBAL gtid_binlog_state = '{state}'",
        "START SLAVE",
    )
    until(lambda: all(item.state is State.GOOD for item in rules(pair).values()))


def test_settings_of_before_a_promotion_are_all_that_is_wrong(
    truetonne: Program, pair: Pair
) -> None:
    """The rules would have the old primary take writes and the new one refuse them: two sets of books."""
    old = {
        "database_url": pair.replica.url("truetonne"),
        "database_read_url": pair.primary.url("truetonne"),
    }
    found = checks(truetonne, pair, **old)
    wrong = {
        name: item
        for name, item in found.items()
        if not item["ok"] and name not in ("server disk", "server durable")
    }
    assert list(wrong) == ["server writable", "replica"], wrong
    assert "they have changed places" in wrong["replica"]["found"]
    assert wrong["server writable"]["mend"].startswith("if another one is the primary now")
    assert not [name for name in found if name.startswith(("primary ", "replica "))]


def test_a_primary_that_goes_on_alone(pair: Pair) -> None:
    """What matters most: semi-sync is on, and commits do not wait."""
    pair.replica.ask(
        "SET GLOBAL rpl_semi_sync_slave_enabled = 0",
        "STOP SLAVE IO_THREAD",
        "START SLAVE IO_THREAD",
    )
    until(lambda: rules(pair)["primary", "semi-sync now"].state is State.BAD)
    item = rules(pair)["primary", "semi-sync now"]
    assert "commits do not wait: 0 semi-sync replicas" in item.found
    where, _, mend = item.mend.partition(": ")
    assert where == "on the replica"
    pair.replica.ask(*mend.split("; "))
    until(lambda: all(item.state is State.GOOD for item in rules(pair).values()))


def rules(pair: Pair) -> dict[tuple[str, str], Finding]:
    """Return what every rule finds."""
    primary, replica = (Database(node.url("truetonne")) for node in (pair.primary, pair.replica))
    with closing(primary), closing(replica), primary.read() as here, replica.read() as there:
        found = {("primary", item.name): item for item in primary_findings(here)}
        asked = (*replica_findings(there), apart(there, here))
        return found | {("replica", item.name): item for item in asked}


# ------------------------------------------------------------------ a dead primary


def killed_behind(pair: Pair) -> Load:
    """Kill the primary under load, while its replica does not apply what it receives."""
    first = 1 + int(
        pair.primary.value("(SELECT COALESCE(GREATEST(MAX(id), 0), 0) FROM truetonne.rows_told)")
    )
    pair.replica.ask("STOP SLAVE SQL_THREAD")
    with Load(pair.primary, first) as load:
        until(lambda: len(load.acknowledged) > 300)
        pair.primary.kill()
        load.wait()
    return load


def back(pair: Pair, rejoin: Run) -> None:
    """Bring the old primary back, as the page says."""
    pair.swap()
    pair.replica.restart_as_replica()
    pair.rejoined(rejoin()["statements"])


def test_a_killed_primary_loses_nothing(
    promote: Run, rejoin: Run, pair: Pair, truetonne: Program
) -> None:
    """Two promotions at once, one of them killed in the middle; then one that ends."""
    load = killed_behind(pair)
    naive = missing(
        pair.replica, load.acknowledged
    )  # what making it writable at once would have lost
    assert len(naive) > 250
    with held(pair.replica):
        first = truetonne.begin("first.log", "db", "promote", **pair.settings())
        until(lambda: pair.replica.value(f"IS_USED_LOCK('{LOCK}')") is not None)
        error = promote(code=1)
        assert (error["code"], "its connection" in error["message"]) == ("promotion-running", True)
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: pair.replica.value(f"IS_USED_LOCK('{LOCK}')") is None)
        error = promote("--timeout", "0.3", code=1)
        assert error["code"] == "replica-behind"
        # What each of the four writers sent last may have come, and not been acknowledged.
        assert len(naive) <= int(error["message"].split()[3]) <= len(naive) + 4, error
        assert pair.replica.value("@@read_only") == 1
    ended = truetonne("doctor", "--json", **pair.settings())
    said = {item["name"]: item["found"] for item in ended.json()["checks"]}
    assert "answers, and `truetonne db promote --dry-run`" in said["replica"]
    done = promote()
    assert missing(pair.replica, load.acknowledged) == []
    assert done["doubt"] == "" and done["position"].startswith("0-")
    waits = "SET GLOBAL rpl_semi_sync_master_timeout = "
    begun = time.monotonic()
    pair.replica.ask(
        waits + "600000",
        "INSERT INTO truetonne.rows_told VALUES (-1)",
        "DELETE FROM truetonne.rows_told WHERE id = -1",
        waits + "10000",
    )
    assert time.monotonic() - begun < 300  # it does not wait for a replica that is not there
    assert promote()["already"]
    alone = {"database_url": pair.replica.url("truetonne"), "database_read_url": ""}
    bad = [item["name"] for item in checks(truetonne, pair, **alone).values() if not item["ok"]]
    assert set(bad) <= {"server disk", "server durable"}
    back(pair, rejoin)
    print(f"acknowledged {len(load.acknowledged)}, lost by the naive order {len(naive)}, by ours 0")


@long
def test_a_replica_that_was_stopped_by_hand(promote: Run, rejoin: Run, pair: Pair) -> None:
    """START REPLICA would throw away what it has received; a promotion applies it."""
    load = killed_behind(pair)
    pair.replica.ask("STOP SLAVE")
    behind = len(missing(pair.replica, load.acknowledged))
    assert behind > 250
    error = promote(code=1)
    assert error["code"] == "not-proven" and "its IO thread is stopped" in error["message"]
    assert promote("--accept-loss", "--dry-run")["applied"] >= behind
    done = promote("--accept-loss")
    assert missing(pair.replica, load.acknowledged) == []
    assert "IO thread is stopped" in done["doubt"]
    back(pair, rejoin)


@long
def test_what_only_the_old_primary_has_is_counted(promote: Run, rejoin: Run, pair: Pair) -> None:
    """Nothing proves a replica's state that was not semi-sync; what was lost is seen when the old one is back."""
    pair.replica.ask(
        "SET GLOBAL rpl_semi_sync_slave_enabled = 0",
        "STOP SLAVE IO_THREAD",
        "START SLAVE IO_THREAD",
    )
    until(
        lambda: (
            pair.primary.ask("SHOW STATUS LIKE 'Rpl_semi_sync_master_clients'")[0]["Value"] == "0"
        )
    )
    pair.primary.ask("SET GLOBAL rpl_semi_sync_master_enabled = 0")
    assert pair.level()
    pair.replica.ask("STOP SLAVE IO_THREAD")
    pair.primary.ask(*(f"INSERT INTO truetonne.rows_told VALUES ({n})" for n in (-1, -2, -3)))
    assert pair.primary.pid is not None
    error = promote("--fenced", code=1)  # it can be asked: what lacks is counted
    assert "3 transactions of" in error["message"], error
    pair.replica.ask("START SLAVE SQL_THREAD")
    pair.primary.kill()
    error = promote(code=1)
    assert error["code"] == "not-proven" and "it was no semi-sync replica" in error["message"]
    promote("--accept-loss")
    pair.swap()
    pair.replica.restart()
    came = rejoin(code=1)
    assert (came["may_follow"], came["lost"], came["statements"]) == (False, 3, [])


def test_the_page_and_the_code_name_the_same_rights() -> None:
    from ledger.db.grants import PROMOTES

    assert f"GRANT {', '.join(PROMOTES)} ON *.* TO truetonne_promote@'%'" in PAGE.read_text()
