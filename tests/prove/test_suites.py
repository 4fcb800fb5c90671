"""The commands of the long suites: what they refuse, how they end when they are interrupted, and one at a time."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from scripts import ha, migrations, suite
from scripts.chaos.__main__ import main as chaos
from scripts.forgeries.__main__ import differs
from scripts.forgeries.__main__ import main as forgeries
from scripts.histories import __main__ as walks
from scripts.histories.__main__ import main as histories
from scripts.prove import __main__ as prove
from scripts.prove import shop
from scripts.prove.mutants import campaign
from scripts.prove.mutants.operators import Mutant
from tests.support.forms import few, long
from tests.support.kept_walk import KeptWalk
from tests.support.money_walk import MoneyWalk

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60


@pytest.mark.parametrize(
    ("main", "words", "said"),
    [
        (histories, ["--count", "0"], "--count: must be at least 1, not 0"),
        (histories, ["--seed", "-5"], "--seed: must be at least 0, not -5"),
        (histories, ["--mariadb-share", "nan"], "must be a share from 0 to 1, not 'nan'"),
        (histories, ["--process-share", "1.1"], "must be a share from 0 to 1, not '1.1'"),
        (chaos, ["--scenarios", "-1"], "--scenarios: must be at least 1, not -1"),
        (chaos, ["--replay", "x"], "--replay: 'x' is no whole number"),
        (chaos, ["--mariadb-share", "2"], "must be a share from 0 to 1, not '2'"),
        (forgeries, ["--count", "0"], "--count: must be at least 1, not 0"),
        (forgeries, ["--chains", "-1"], "--chains: must be at least 0, not -1"),
        (forgeries, ["--page-share", "-0.1"], "must be a share from 0 to 1, not '-0.1'"),
        (migrations.main, ["--kills", "-1"], "--kills: must be at least 0, not -1"),
        (ha.main, ["--rounds", "0"], "--rounds: must be at least 1, not 0"),
        (ha.main, ["--part", "pair", "--kind", "frozen"], "--kind is of the part galera"),
        (prove.main, ["mutants", "--sample", "-1"], "--sample: must be at least 0, not -1"),
        (prove.main, ["slither", "--accept-gas"], "it is for the part forge"),
        (prove.main, ["halmos", "--only", "x"], "it is for the long form of the part mutants"),
        (prove.main, ["--short", "--sample", "3"], "it is for the long form of the part mutants"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    main: Callable[[], int],
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["suite", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--fresh"], ["mutants", "--sample", "0"], ["--short", "--accept-gas"], ["forge"]]
)
def test_options_that_count_are_not_refused(words: list[str]) -> None:
    given = {"part": "all", "short": False, "accept_gas": False, "fresh": False}
    given |= {"only": "", "sample": None, "forge_only": False}
    for word in words:
        name = word.removeprefix("--").replace("-", "_")
        given |= {name: True} if name in given else {"part": word} if word.isalpha() else {}
    if "--sample" in words:
        given["sample"] = 0
    assert prove.idle(argparse.Namespace(**given)) == []


def test_a_campaign_of_no_mutants_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "all_mutants", list[Mutant])
    monkeypatch.setattr(campaign, "_write_diffs", lambda found: None)
    with pytest.raises(shop.Refused, match="has 'nonsense' in its name"):
        campaign.prove(short=False, only="nonsense")


@pytest.mark.parametrize(
    ("kind", "share", "option"),
    [(MoneyWalk, None, ""), (KeptWalk, 0.0, " --kept --mariadb-share 0.0")],
)
def test_a_walk_is_replayed_on_the_database_that_it_was_taken_on(
    kind: type[MoneyWalk],
    share: float | None,
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def differs(on: object, seed: int, **options: object) -> None:
        raise AssertionError("they differ")

    monkeypatch.setattr(walks, "_stages", lambda mariadb: nullcontext(lambda: nullcontext(None)))
    monkeypatch.setattr(walks.money_walk, "run", differs)
    assert walks._walks(kind, range(8, 9), False, share) == 1
    command = "./dev histories --books --steps --seed 8 --count 1"
    assert f"replay: {command}{option}\n" in capsys.readouterr().out


def begun(text: str, *words: str) -> subprocess.Popen[str]:
    """Run a program of the suites' in a process of its own, and wait for its first line."""
    command = [sys.executable, "-c", textwrap.dedent(text), *words]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n", process.communicate()[1]
    return process


SLEEPER = """
    import sys, time
    from pathlib import Path
    from scripts import suite
    def main():
        try:
            print("begun", flush=True)
            time.sleep(60)
            return 0
        finally:
            time.sleep(0.5)
            Path(sys.argv[1]).write_text("cleaned up")
    sys.exit(suite.command("sleeper", main))
"""


@few(1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_suite_cleans_up_and_is_not_right(number: int, tmp_path: Path) -> None:
    process = begun(SLEEPER, str(tmp_path / "end"))
    process.send_signal(number)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)  # impatience does not stop the cleaning up
    _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (suite.INTERRUPTED, "sleeper: interrupted\n")
    assert (tmp_path / "end").read_text() == "cleaned up"


HOLDER = """
    import sys, time
    from pathlib import Path
    from scripts import suite
    suite.BUILD = Path(sys.argv[1])
    with suite.alone("proof"):
        print("begun", flush=True)
        time.sleep(float(sys.argv[2]))
"""


def test_one_suite_of_a_name_works_in_a_folder_at_a_time(tmp_path: Path) -> None:
    first = begun(HOLDER, str(tmp_path), "60")
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path), "0"]
    second = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert second.stderr is not None
    waiting = "proof: waiting for another ./dev proof in this folder\n"
    assert second.stderr.readline() == waiting
    assert second.poll() is None
    first.kill()  # however it ends
    first.communicate()
    out, _ = second.communicate(timeout=WAIT_S)
    assert (second.returncode, out) == (0, "begun\n")


@long
def test_an_interrupted_run_of_ha_lets_its_tests_end_their_servers(tmp_path: Path) -> None:
    slow = tmp_path / "test_slow.py"
    slow.write_text(
        textwrap.dedent(
            f"""
            import time
            from pathlib import Path
            import pytest

            @pytest.fixture
            def server():
                yield
                time.sleep(0.5)
                Path({str(tmp_path / "end")!r}).write_text("stopped")

            def test_slow(server):
                print("\\nbegun", flush=True)
                time.sleep(60)
            """
        )
    )
    text = f"""
    import sys
    from scripts import ha, suite
    sys.exit(suite.command("ha", lambda: ha.tests(["-c", "pyproject.toml", {str(slow)!r}], {{}}, sys.stdout)))
    """
    command = [sys.executable, "-c", textwrap.dedent(text)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "begun\n":
        assert line, process.communicate()[1]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
    _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (suite.INTERRUPTED, "ha: interrupted\n")
    assert (tmp_path / "end").read_text() == "stopped"


def test_how_strikes_are_done_again() -> None:
    asked = argparse.Namespace(rounds=4, part="galera", kind="kill -9, disk lost")
    assert ha.again(asked, 7) == (
        "./dev ha --rounds 4 --seed 7 --part galera --kind 'kill -9, disk lost'"
    )


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"valid": False, "check": "log"}, "Python accepts it, and the page refuses it at 'log'"),
        (
            {"valid": True, "held": [["a", "b"]]},
            "of held, Python says ['c', 'd'], and the page None",
        ),
    ],
)
def test_a_difference_of_two_verifiers_is_named(page: dict[str, Any], said: str) -> None:
    assert differs({"valid": True, "held": [["a", "b"], ["c", "d"]]}, page) == said
