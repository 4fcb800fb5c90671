"""``index run | status | verify | reindex`` as a person meets them: two runs, a kill, a reorganisation, damage."""

from __future__ import annotations

import logging
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli import mirror
from ledger.chain.local.anvil import LocalNode, find_anvil
from ledger.chain.node.client import ChainClient
from ledger.errors import BadInput, DependencyDown
from tests.cli.conftest import Program
from tests.support.chain import TestChain, deploy_contracts
from tests.support.forms import long, rest
from tests.support.nursery import Child
from tests.support.waiting import until


@pytest.fixture(scope="module")
def node() -> Iterator[tuple[LocalNode, str]]:
    with tempfile.TemporaryDirectory(prefix="tt-") as folder:  # a short path: sockets bound it
        ipc = f"{folder}/a.ipc"
        with LocalNode(find_anvil(None), ipc=Path(ipc)) as started:
            yield started, ipc


@pytest.fixture(scope="module")
def chain(node: tuple[LocalNode, str]) -> Iterator[TestChain]:
    client = ChainClient(node[0].rpc_url)
    yield TestChain(client, deploy_contracts(client))
    client.close()


@pytest.fixture
def kind() -> str:
    """The transport; tests of all of them override it."""
    return "ws"


EVERY = pytest.mark.parametrize("kind", ["http", "ws", "ipc"])


@pytest.fixture
def program(
    kind: str, node: tuple[LocalNode, str], chain: TestChain, sqlite_template: Path, tmp_path: Path
) -> Program:
    """The program with an empty database, on the same chain over each transport."""
    address = {
        "http": node[0].rpc_url,
        "ws": node[0].rpc_url.replace("http", "ws"),
        "ipc": f"ipc://{node[1]}",
    }[kind]
    program = Program(tmp_path)
    program.environ |= program.with_settings(
        {"rpc_url": address, "deployment": "local.json", "network": "local", "finality": "64"}
    )
    program.write("local.json", chain.deployment_text())
    books = tmp_path / ".truetonne" / "truetonne.db"
    books.parent.mkdir()
    shutil.copyfile(sqlite_template, books)
    return program


def status(program: Program) -> dict[str, Any]:
    ended = program("index", "status", "--json")
    assert ended.code == 0, ended.out
    return dict(ended.json())


@contextmanager
def running(program: Program, log: str, *more: str) -> Iterator[Child]:
    child = program.begin(log, "index", "run", *more)
    try:
        yield child
    finally:
        child.kill()


def said(program: Program, log: str) -> str:
    return (program.folder / log).read_text()


def edit(program: Program, sql: str) -> None:
    with sqlite3.connect(program.folder / ".truetonne" / "truetonne.db") as link:
        link.execute(sql)


@pytest.mark.parametrize("kind", rest(["http", "ws", "ipc"], "ws"))
def test_two_runs_a_kill_and_an_orderly_end(program: Program, chain: TestChain) -> None:
    before = status(program)
    assert before["block"] is before["leader"] is before["rate"] is before["on_chain"] is None
    with running(program, "first.log") as first:
        until(lambda: status(program)["behind"] == 0)
        leader = status(program)["leader"]
        assert leader["live"]
        assert f"process {first.pid}" in leader["place"]
        assert "this run mirrors now" in said(program, "first.log")
        with running(program, "idle.log") as idle:
            until(lambda: "stands by" in said(program, "idle.log"))
            assert idle.stop() == 0
            *_, last = said(program, "idle.log").splitlines()
            assert last == "nothing was mirrored; read 0 blocks, 0 events, 0 transactions"
        with running(program, "second.log") as second:
            until(lambda: "stands by" in said(program, "second.log"))
            assert re.search(
                r"lease ends, in \d+ s unless it is renewed", said(program, "second.log")
            )
            assert f"process {first.pid} mirrors" in said(program, "second.log")
            first.kill()
            until(lambda: "this run mirrors now, after" in said(program, "second.log"))
            chain.mine(3)
            until(lambda: status(program)["block"] == chain.client.block_number())
            until(
                lambda: status(program)["rate"]
            )  # counted from one renewal of the lease to the next
            found = status(program)
            assert f"process {second.pid}" in found["leader"]["place"]
            assert found["rate"]["over_s"] >= 0
            assert (found["behind"], found["behind_s"]) == (0, 0)
            assert second.stop() == 0
            assert "\nat block " in said(program, "second.log")
    ended = status(program)["leader"]
    assert not ended["live"]
    assert f"nobody; last by {ended['place']}" in program("index", "status").out.replace("\n", " ")


def test_a_mirror_that_has_not_begun_has_checked_nothing(program: Program) -> None:
    shown = program("index", "status").out
    assert "the mirror has not begun" in shown and "not checked" not in shown
    assert program("index", "run", "--until", "head").code == 0
    assert re.search(r"not checked +nothing: all was\n", program("index", "status").out)


def test_a_node_of_another_chain_is_told(program: Program) -> None:
    """With the same id it passed for one that is catching up, with exit 0."""
    assert program("index", "run", "--until", "head").code == 0
    height = status(program)["block"]
    with LocalNode(find_anvil(None), options=["--timestamp", "1000000000"]) as other:
        program.environ |= program.with_settings({"rpc_url": other.rpc_url})
        ended = program("index", "status")
        assert ended.code == 2
        assert re.search(
            r"serves a chain with id 31337 that begins with 0x\w{8}\.\.\., the books", ended.out
        )
        told = program("index", "status", "--json")
    found = told.json()
    assert (told.code, found["node"], found["block"]) == (2, "other", height)
    assert (found["head"], found["on_chain"]) == (None, None)


def test_a_reorganisation_is_remembered(program: Program, chain: TestChain) -> None:
    assert program("index", "run", "--until", "head").code == 0
    assert status(program)["last_reorganisation"] is None
    old = chain.client.block("latest")
    assert status(program)["on_chain"] is True
    chain.reorganise(2)
    assert (status(program)["behind"], status(program)["on_chain"]) == (0, False)
    assert "the chain took back blocks that are mirrored" in program("index", "status").out
    new = chain.client.block("latest")
    assert old is not None and new is not None
    assert program("index", "run", "--until", "head").code == 0
    turn = status(program)["last_reorganisation"]
    assert turn.pop("found_at").endswith("Z") or "found_at" not in turn
    assert turn == {
        "depth": 2,
        "block": old.number - 2,
        "from_block": old.number,
        "from_hash": old.hash,
        "to_block": new.number,
        "to_hash": new.hash,
    }
    assert "2 blocks deep" in program("index", "status").out
    chain.reorganise(1)
    assert program("index", "run", "--until", "head").code == 0
    assert "1 block deep" in program("index", "status").out


@long
def test_damage_is_found_and_mended(program: Program, chain: TestChain) -> None:
    assert program("index", "run", "--until", "head").code == 0
    true = program("index", "verify", "--json")
    assert true.code == 0
    document = true.json()
    assert document["differences"] == []
    assert document["from"] == chain.deployment.deployed_block
    assert document["to"] == chain.client.block_number()
    assert document["checked"]["chain_events"] > 5
    edit(program, "UPDATE credit_classes SET cap_kg = 7")
    edit(program, "DELETE FROM chain_events WHERE event_name = 'SiteRegistered'")
    found = program("index", "verify", "--json")
    assert found.code == 1
    differences = {(item["table"], item["column"]): item for item in found.json()["differences"]}
    assert differences["credit_classes", "cap_kg"]["mirrored"] == "7"
    assert differences["chain_events", None]["mirrored"] is None
    shown = program("index", "verify")
    assert shown.code == 1
    assert "credit_classes 1: cap_kg is 7, the chain says" in shown.out
    assert "`truetonne index reindex` builds the tables anew" in shown.out
    dry = program("index", "reindex", "--dry-run", "--json").json()
    assert dry["dry_run"] is True
    assert program("index", "verify").code == 1
    mended = program("index", "reindex", "--json")
    assert mended.code == 0
    assert mended.json()["changed"] == dry["changed"]
    assert mended.json()["changed"]["credit_classes"] == {"added": 0, "removed": 0, "changed": 1}
    assert mended.json()["changed"]["chain_events"] == {"added": 1, "removed": 0, "changed": 0}
    assert program("index", "verify").code == 0
    assert program("index", "reindex").out.startswith("every table is what the chain says")
    some = program("index", "verify", "--sample", "3", "--json").json()
    assert some["checked"]["blocks"] == 3


@long
@pytest.mark.parametrize(
    "altered",
    rest(
        ["chain_id = 5", f"genesis_hash = '0x{'1' * 64}'", "genesis_hash = CAST(X'FF' AS TEXT)"],
        "chain_id = 5",
    ),
)
def test_a_cursor_that_says_another_chain_than_its_blocks_is_found_and_mended(
    program: Program, altered: str
) -> None:
    """Every command refused such books as those of another chain, the one that mends them too."""
    assert program("index", "run", "--until", "head").code == 0
    edit(program, f"UPDATE chain_cursor SET {altered}")
    ended = program("index", "verify")
    assert ended.code == 1
    assert f"chain_cursor local: {altered.partition(' ')[0]} is " in ended.out
    assert program("reconcile").code != 0
    ended = program("index", "run", "--until", "head")
    assert ended.code == 1
    assert "somebody altered the row; run `truetonne index reindex`" in ended.err
    assert program("index", "reindex").code == 0
    assert program("index", "run", "--until", "head").code == 0
    assert program("index", "verify").code == 0


def test_a_cursor_that_is_gone_is_an_alarm(program: Program) -> None:
    """Books that were mirrored looked as if they never had been."""
    assert program("index", "run", "--until", "head").code == 0
    edit(program, "DELETE FROM chain_cursor")
    ended = program("status")
    assert ended.code == 1
    assert "chain_cursor has no row of 'local', and chain_blocks has blocks" in ended.out
    assert "not begun" not in ended.out


@EVERY
def test_the_doctor_knows_every_transport(program: Program) -> None:
    checks = {item["name"]: item for item in program("doctor", "--json").json()["checks"]}
    assert checks["node"]["verdict"] == checks["chain"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("words", "said_"),
    rest(
        [
            (("--from", "9", "--to", "8"), "no mirrored block from 9 to 8"),
            (("--to", "99999"), "block 99999 is not mirrored"),
        ]
    ),
)
def test_a_range_that_is_none(program: Program, words: tuple[str, ...], said_: str) -> None:
    assert program("index", "run", "--until", "head").code == 0
    ended = program("index", "verify", *words)
    assert ended.code == 2
    assert said_ in ended.err


@pytest.mark.parametrize(
    ("until_", "said_"),
    [("soon", "takes `head` or the number of a block"), ("9" * 19, "of at most 18 digits")],
)
def test_a_block_that_is_none(until_: str, said_: str) -> None:
    with pytest.raises(BadInput, match=said_):
        mirror._target(until_)


@pytest.mark.parametrize(("until_", "number"), [("7", 7), ("0" * 5_000 + "7", 7), ("000", 0)])
def test_a_block_is_taken_with_zeros_in_front(until_: str, number: int) -> None:
    assert mirror._target(until_) == number


@long
def test_nothing_is_mirrored_yet(program: Program) -> None:
    ended = program("index", "verify")
    assert ended.code == 2
    assert "nothing is mirrored yet" in ended.err


@long
@pytest.mark.parametrize("words", rest([["run", "--until", "head"], ["verify"], ["reindex"]]))
def test_contracts_that_are_not_there(program: Program, chain: TestChain, words: list[str]) -> None:
    """Nothing comes from an address without code: a mirror of it would be empty, and pass for whole."""
    assert program("index", "run", "--until", "head").code == 0
    text = chain.deployment_text().replace(chain.deployment.credit.address, "0x" + "12" * 20)
    program.write("local.json", text)
    ended = program("index", *words)
    assert ended.code == 2
    assert "no code of CarbonCredit at 0x1212" in ended.err
    assert "set deployment" in ended.err
    program.write("local.json", chain.deployment_text())
    assert program("index", "verify").code == 0


def test_a_trouble_that_lasts_is_a_line_a_minute_and_its_end_is_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    monkeypatch.setattr(mirror, "time", SimpleNamespace(monotonic=lambda: now))
    told = mirror.watched(logging.getLogger("said"))
    down = DependencyDown("no node answers", code="node-down")
    for _ in range(30):
        told["on_trouble"](down, 4.0)
        now += 5.0
    told["on_trouble"](DependencyDown("gone", code="database-down"), 1.0)
    told["on_recovery"](151.0)
    told["on_trouble"](down, 0.5)
    line = "the node is down: no node answers; trying again in 4.0 s"
    assert caplog.messages == [
        *[line] * 3,
        "the database: gone; trying again in 1.0 s",
        "mirrors again, after 151.0 s",
        "the node is down: no node answers; trying again in 0.5 s",
    ]
