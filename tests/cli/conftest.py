"""The real program in a process of its own, in an empty folder, with nothing set.

``Program`` runs are forked from a process that has imported the program before (``tests/support/nursery.py``);
``started`` starts Python anew, as a user does: ``test_frame.py`` holds one against the other.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.chain import TestChain
from tests.support.mirror import running_chain
from tests.support.nursery import Child, shared

ROOT = Path(__file__).resolve().parents[2]

TIMEOUT_S = 300

SITE = """\
[site]
code = "lab"
name = "Laboratory"
time_zone = "Europe/Paris"
country = "FR"

[[factor]]
code = "CM"
version = "2018"
purpose = "crediting_cm"
value = "0.4329"
unit = "t/MWh"
source = "an example of arithmetic"
verified = true

[project]
code = "lab-wind"
methodology = "CCER-01-002"
methodology_version = "V01"
factor = "CM"
program = "internal"
completeness_min = "0"

[[device]]
code = "T1"
type = "wind_turbine"
rated_kw = "2050"
meter_serial = "T1"
role = "generation"

[[source]]
name = "scada"
kind = "power"
unit = "kW"
interval_minutes = 10
label = "start"
device = "T1"
time_column = "time"
value_column = "power"
time_zone = "offset"

[[vpp]]
code = "lab-vpp"
name = "Laboratory"
total_capacity = "2050"
account = "0x1111111111111111111111111111111111111111"

[[market]]
name = "spot"
account = "0x2222222222222222222222222222222222222222"

[[strategy]]
vpp = "lab-vpp"
name = "sell"
type = "arbitrage"
"""

READINGS = """\
time,power
2014-01-01T00:00:00+01:00,600
2014-01-01T00:10:00+01:00,1200.5
"""

TRADES = """\
vpp,strategy,trade_type,quantity,price,total_value,market,trade_time
lab-vpp,sell,sell,1000.000,0.0421,42.10,spot,2014-01-01T00:00:00+01:00
"""


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return the one document on stdout."""
        return json.loads(self.out)

    def one_line(self) -> str:
        """Check that nothing but one line was said, on stderr, and return it."""
        assert self.out == ""
        assert self.err.endswith("\n")
        (line,) = self.err.splitlines()
        assert line.startswith("error: "), line
        assert "internal error" not in line
        return line


class Program:
    """``truetonne`` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        anvil = next(ROOT.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"), None)
        if anvil is not None:
            self.environ["TRUETONNE_ANVIL"] = str(anvil)

    def __call__(self, *words: str | Path, **settings: str) -> Ended:
        """Run the program to its end."""
        environ = self.with_settings(settings)
        return Ended(*shared().run([str(word) for word in words], self.folder, environ, TIMEOUT_S))

    def begin(self, log: str, *words: str, **settings: str) -> Child:
        """Begin to run the program, with its output in a file of its folder."""
        environ = self.with_settings(settings)
        return shared().start(words, environ, self.folder / log, self.folder)

    def started(self, *words: str | Path, **settings: str) -> Ended:
        """Start Python and run the program to its end."""
        ended = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.with_settings(settings),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def command(self, *words: str | Path) -> list[str]:
        """Return the command line of the program."""
        return [sys.executable, "-m", "cli.main", *(str(word) for word in words)]

    def with_settings(self, settings: dict[str, str]) -> dict[str, str]:
        """Return the environment with these settings."""
        named = {f"TRUETONNE_{name.upper()}": value for name, value in settings.items()}
        return {**self.environ, **named}

    def write(self, name: str, text: str | bytes) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def files(self) -> set[str]:
        """Return the names of all files below the folder."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)) for path in found}


def good(ended: Ended) -> Ended:
    """Check that the program did what it was asked for."""
    assert ended.code == 0, ended.out + ended.err
    assert ended.err == ""
    return ended


def lab_on(chain: TestChain, folder: Path) -> Program:
    """Return the program on a chain, in a folder with the files of a park that are not yet brought in.

    Ten minutes at 600 kW and ten at 1200.5 kW, on ten days: 3000.83 kWh, 1299.06 kg.
    """
    program = Program(folder)
    program.environ |= program.with_settings(
        {"rpc_url": chain.rpc_url, "deployment": "local.json", "finality": "0"}
    )
    program.write("local.json", chain.deployment_text())
    program.write("site.toml", SITE.replace("0x" + "2" * 40, "anvil:6"))
    lines = [
        f"2014-01-{day:02d}{line[10:]}"
        for day in range(1, 11)
        for line in READINGS.splitlines()[1:]
    ]
    program.write("readings.csv", "time,power\n" + "\n".join(lines) + "\n")
    return program


@pytest.fixture(scope="module")
def chain() -> Iterator[TestChain]:
    """A node with the contracts, for all tests of a file."""
    with running_chain() as started:
        yield started


@pytest.fixture
def truetonne(tmp_path: Path) -> Program:
    """The program in an empty folder."""
    return Program(tmp_path)


@pytest.fixture(scope="session")
def migrated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty database, made once and copied: to migrate takes a third of a second."""
    program = Program(tmp_path_factory.mktemp("migrated"))
    assert program("db", "upgrade").code == 0
    return program.folder


@pytest.fixture
def migrated(truetonne: Program, migrated_folder: Path) -> Program:
    """The program with an empty database."""
    shutil.copytree(migrated_folder, truetonne.folder, dirs_exist_ok=True)
    return truetonne


@pytest.fixture(scope="session")
def park_folder(tmp_path_factory: pytest.TempPathFactory, migrated_folder: Path) -> Path:
    """A folder with a database and a park, made once and copied."""
    program = Program(tmp_path_factory.mktemp("park"))
    shutil.copytree(migrated_folder, program.folder, dirs_exist_ok=True)
    applied = program("site", "apply", program.write("site.toml", SITE))
    assert applied.code == 0, applied.err
    return program.folder


@pytest.fixture
def park(truetonne: Program, park_folder: Path) -> Program:
    """The program with a database and a park."""
    shutil.copytree(park_folder, truetonne.folder, dirs_exist_ok=True)
    return truetonne
