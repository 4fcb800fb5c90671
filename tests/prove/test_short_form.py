"""The short form of ``./dev prove``, each part by itself; the long one is run by hand."""

import subprocess
from pathlib import Path

import pytest

from tests.support.forms import rest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("forge", "halmos", "slither", "mutants")


@pytest.mark.parametrize("part", rest(PARTS, *PARTS[:3]))
def test_what_is_promised_holds(part: str) -> None:
    command = [ROOT / "dev", "prove", part, "--short"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
