"""``truetonne bench``: the shape that others read, and figures that cannot have been made up.

No test asks how long something takes: what is measured here is too little for that.
"""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.bench import report
from cli.bench.everything import BENCHMARKS, Everything
from cli.bench.imports import measure
from cli.main import build
from cli.start import ENDING
from tests.cli.conftest import Ended, Program
from tests.support.forms import long, rest
from tests.support.mariadb import MariaDbServer
from tests.support.waiting import until

NAMES = {
    "issue",
    "transfer_new_holder",
    "retire",
    "fraud_proof",
    "settle_1000_cosigned_per_trade",
    "settle_1000_proposed_per_trade",
    "settle_one",
}
"""What readers of ``bench gas`` look for."""

INTRINSIC = 21_000
NEW_SLOT, CHANGED_SLOT = 22_100, 5_000  # EIP-2929, cold
WORD = 32 * 8 + 4 * 32  # the least that a trade's word costs: in the log, and as zeros in the call


def results_of(
    ended: Ended, limits: tuple[str, ...], shares: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the results by name.

    ``limits`` are the first words of what a share is taken of, ``shares`` the last ones of names that are
    shares of something else.
    """
    assert ended.code == 0, ended.err
    document = ended.json()
    assert set(document) == {"machine", "results"}
    results = {result["name"]: result for result in document["results"]}
    assert len(results) == len(document["results"])
    for result in results.values():
        assert set(result) == {"name", "value", "unit", "against", "against_value", "ratio"}
        value, other = Decimal(result["value"]), Decimal(result["against_value"])
        share = result["against"].startswith(limits) or result["name"].endswith(shares)
        expected = value / other if share else other / value
        assert abs(Decimal(result["ratio"]) - expected) <= Decimal("0.0005")
    return results


@long
def test_gas(truetonne: Program) -> None:
    results = results_of(truetonne("bench", "gas", "--json"), limits=("EIP-",))
    assert set(results) >= NAMES

    gas = {name: Decimal(result["value"]) for name, result in results.items()}
    # Floors that the protocol sets: slots that such an act cannot but write.
    assert gas["issue"] > INTRINSIC + 4 * NEW_SLOT + 4 * CHANGED_SLOT
    assert gas["transfer_new_holder"] > INTRINSIC + NEW_SLOT + CHANGED_SLOT
    assert gas["retire"] > INTRINSIC + 4 * CHANGED_SLOT
    assert gas["fraud_proof"] > INTRINSIC + 4 * CHANGED_SLOT + 2 * 14 * 32 * 15
    assert gas["settle_one"] > INTRINSIC + 2 * CHANGED_SLOT
    assert gas["settle_1000_cosigned_per_trade"] > WORD
    assert gas["propose_1000"] < gas["settle_1000_proposed_per_trade"] * 1000
    # One transaction holds a thousand trades, and every code fits a chain.
    assert all(
        Decimal(result["ratio"]) < 1
        for result in results.values()
        if result["against"].startswith("EIP-")
    )


@long
def test_proofs(truetonne: Program) -> None:
    """Measured, not asserted: only that a real proof was built and checked, and how it is shown."""
    ended = truetonne("bench", "proofs", "--json")
    results = results_of(ended, limits=("limit",))
    assert set(results) == {"verify_ms", "build_ms"}
    for result in results.values():
        assert (result["unit"], result["against"]) == ("ms", "limit")
        assert Decimal(result["value"]) > 0
    assert results["verify_ms"]["against_value"] == "5"
    assert results["build_ms"]["against_value"] == "50"


def test_of_a_limit_every_benchmark_gives_the_share() -> None:
    """Some gave how often the figure would fit into it: 0.5 was twice as much as it should be, and half in others."""
    told = []
    for path in Path(report.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and any(
                isinstance(given, ast.Constant) and given.value == "limit" for given in node.args
            ):
                told.append(ast.unparse(node.func))
    assert len(told) > 8
    assert set(told) == {"share_of_limit"}


def test_evidence(truetonne: Program) -> None:
    words = ("bench", "evidence", "--readings", "3000", "--peer-readings", "300", "--json")
    results = results_of(truetonne(*words), limits=("limit",))
    assert set(results) == {"root_3000", "root_vs_openzeppelin"}
    peer = results["root_vs_openzeppelin"]
    assert peer["against"] == "@openzeppelin/merkle-tree 1.0.8, 300 readings"


@long
def test_import(truetonne: Program) -> None:
    words = ("bench", "import", "--rows", "2000", "--runs", "1", "--sqlite-only", "--json")
    results = results_of(truetonne(*words), limits=("limit",), shares=("_rows_per_s",))
    assert set(results) == {
        "sqlite_rows_per_s",
        "sqlite_cpu_us_a_row",
        "import_memory_mb",
        "import_memory_by_length_mb",
    }
    assert results["sqlite_rows_per_s"]["against"] == "raw executemany"
    assert truetonne.files() == set()  # nothing is left behind


@long
@pytest.mark.mariadb
def test_import_into_mariadb(mariadb_server: MariaDbServer) -> None:
    said: list[str] = []
    results = measure(500, 1, mariadb_server.url(""), said.append)
    (speed,) = (result for result in results if result.name == "mariadb_rows_per_s")
    assert speed.against == "raw LOAD DATA"
    assert int(speed.value) > 0
    assert int(speed.against_value) > 0
    assert said[-1].startswith("into MariaDB")


def test_import_says_that_a_server_does_not_answer(truetonne: Program) -> None:
    url = "mysql+pymysql://root@127.0.0.1:1/"
    ended = truetonne("bench", "import", "--rows", "10", "--database-url", url)
    assert ended.code == 3
    assert "127.0.0.1:1" in ended.err.splitlines()[-1]


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "",
        "sqlite:///x",
        "postgresql://h/x",
        "mysql+pymysql://",
        "mysql+pymysql://h:x/y",
    ],
)
def test_import_refuses_what_is_no_server(truetonne: Program, url: str) -> None:
    """Some were a defect of the program, and some a server that does not answer, by the name of None."""
    ended = truetonne("bench", "import", "--database-url", url)
    assert ended.code == 2
    assert "--database-url: write mysql+pymysql://USER:PASSWORD@HOST" in ended.one_line()


@long
def test_settlement(truetonne: Program) -> None:
    """Every trade is executed and every balance right, or the command fails: that is in the benchmark itself."""
    ended = truetonne("bench", "settlement", "--trades", "40", "--json")
    results = results_of(ended, limits=("limit", "preview"))
    assert set(results) == {
        "gas_per_trade_cosigned",
        "gas_per_trade_proposed",
        "settle_40_cosigned_s",
        "idle_tick_cosigned_ms",
        "settle_40_proposed_s",
        "idle_tick_proposed_ms",
    }
    assert all(Decimal(result["value"]) > 0 for result in results.values())
    for way in ("cosigned", "proposed"):  # what is said beforehand is what it takes, and not less
        assert Decimal("0.8") < Decimal(results[f"gas_per_trade_{way}"]["ratio"]) <= Decimal("1.02")


@long
def test_all_of_them_are_one_document(truetonne: Program) -> None:
    """The quick ones are run; one that cannot be run keeps no other from it."""
    quick = ("gas", "evidence", "proofs")
    words = [w for name in BENCHMARKS if name not in quick for w in ("--without", name)]
    # no Node on the way: the peer of the evidence cannot be run
    truetonne.environ["PATH"] = "/nowhere"
    ended = truetonne("bench", "all", *words, "--json")
    document = ended.json()
    assert (ended.code, ended.err) == (3, "")
    assert set(document) == {"machine", "results", "failed"}
    (failed,) = document["failed"]
    assert (failed["name"], failed["exit_code"]) == ("evidence", 3)
    assert "Node" in failed["error"]["message"]
    names = [result["name"] for result in document["results"]]
    assert set(names) >= NAMES | {"verify_ms", "build_ms"} and len(names) == len(set(names))


def test_all_are_all() -> None:
    group = typer.main.get_command(build("bench")).commands["bench"]  # type: ignore[attr-defined]
    assert set(group.commands) == {"all", *BENCHMARKS}


def test_what_is_left_out_must_be_there(truetonne: Program) -> None:
    ended = truetonne("bench", "all", "--without", "speed")
    assert ended.code == 2 and "--without speed: there are gas," in ended.one_line()
    every = [word for name in BENCHMARKS for word in ("--without", name)]
    ended = truetonne("bench", "all", *every)
    assert ended.code == 2 and "nothing is left to measure" in ended.one_line()


CHILD = """
import pathlib, sys, time
place = pathlib.Path(sys.argv[1])
try:
    (place / "runs").touch()
    time.sleep(120)
except KeyboardInterrupt:
    try:
        time.sleep(1)  # it ends its servers
        (place / "ended").touch()
    except KeyboardInterrupt:
        pass
"""


@pytest.mark.parametrize(
    ("codes", "code"), [([], 0), ([1], 1), ([1, 2, 1], 2), ([130], 3), ([-9, 1], 3)]
)
def test_all_of_them_end_as_the_gravest(codes: list[int], code: int) -> None:
    """With 130 of one that somebody else had interrupted, it was said, too, that all of it was."""
    failed = [{"name": "gas", "exit_code": each, "error": None} for each in codes]
    assert Everything(failed=failed).exit_code == code


@pytest.mark.parametrize("number", rest(ENDING, signal.SIGTERM))
def test_what_is_interrupted_ends_in_order(number: int, tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of a terminal, and the one that waits for another tells it, too.

    SIGTERM ended ``bench all`` with a code of its own, and ``nohup`` kept no benchmark from a lost terminal.
    """
    script = (
        "import sys; from cli.start import hear_interruptions; from cli.bench.everything import _run; "
        "hear_interruptions(); _run(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, sys.executable, "-c", CHILD, str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        command, cwd=root, stderr=subprocess.DEVNULL, start_new_session=True
    ) as running:
        until((tmp_path / "runs").exists)
        os.killpg(running.pid, number)
    assert running.returncode == -signal.SIGINT  # as Python ends by a KeyboardInterrupt
    assert (tmp_path / "ended").exists()
