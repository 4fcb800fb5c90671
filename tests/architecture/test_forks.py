"""``--forks``: what is run in forked processes is what pytest says of it, and none of it is lost in silence."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import runs, until

ROOT = Path(__file__).resolve().parents[2]

SHARED = """
import os, pytest

@pytest.fixture(scope="session", autouse=True)
def begun(tmp_path_factory):
    with open(os.environ["NOTES"], "a") as notes: notes.write(f"begun {os.getpid()}\\n")
    yield
    with open(os.environ["NOTES"], "a") as notes: notes.write(f"ended {os.getpid()}\\n")
"""
FILES = {
    "conftest.py": SHARED,
    "test_a.py": "def test_passes(tmp_path): assert tmp_path.is_dir()\ndef test_too(): pass\n",
    "test_b.py": "def test_fails():\n    print('printed by b')\n    assert 1 == 2\n",
    "test_c.py": "import warnings\ndef test_warns(): warnings.warn('of c', UserWarning)\n",
}
DIES = "import os\ndef test_dies(): os.kill(os.getpid(), 9)\ndef test_behind(): pass\n"
HANGS = """
import os, time
def test_hangs():
    with open(os.environ["NOTES"], "a") as notes: notes.write(f"hangs {os.getpid()}\\n")
    time.sleep(600)
"""


def start(folder: Path, **files: str) -> "subprocess.Popen[str]":
    for name, text in {**FILES, **{f"{name}.py": text for name, text in files.items()}}.items():
        (folder / name).write_text(text, encoding="utf-8")
    plugins = [
        "pytest_plugin",
        "pytest_forks",
    ]  # by the first a session that is told to end does so in order
    words = [word for name in plugins for word in ("-p", f"scripts.toolchain.{name}")]
    return subprocess.Popen(
        [*(sys.executable, "-m", "pytest", "-c", os.devnull), *words, "--forks", "2", folder],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "NOTES": str(folder / "notes"),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_all_is_said_and_each_process_ends_what_it_began(tmp_path: Path) -> None:
    process = start(tmp_path)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 1
    assert re.search(r"1 failed, 3 passed, 1 warning in", said)
    assert "printed by b" in said
    assert "assert 1 == 2" in said
    assert "UserWarning: of c" in said
    notes = (tmp_path / "notes").read_text().split()
    pids = set(notes[1::2])
    assert 1 <= len(pids) <= 2
    assert str(process.pid) not in pids
    assert sorted(notes[::2]) == ["begun"] * len(pids) + ["ended"] * len(pids)


def test_what_a_process_owed_that_died_has_failed(tmp_path: Path) -> None:
    process = start(tmp_path, test_d=DIES)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "test_d.py::test_dies - the process that was to run it has ended with -9" in said
    assert "test_d.py::test_behind - the process that was to run it" in said


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_it_ends_its_processes(tmp_path: Path, told: signal.Signals) -> None:
    process = start(tmp_path, test_d=HANGS)
    notes = tmp_path / "notes"
    until(lambda: notes.exists() and "hangs" in notes.read_text())
    process.send_signal(told)
    process.communicate(timeout=600)
    assert process.returncode == 2
    for pid in set(notes.read_text().split()[1::2]):
        until(lambda pid=int(pid): not runs(pid))  # type: ignore[misc]
