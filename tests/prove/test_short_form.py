"""The short form of ``./dev prove``, each part by itself; the long one is run by hand, but for Halmos: see below."""

import subprocess
from pathlib import Path

import pytest

from tests.support.forms import is_long, rest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("forge", "halmos", "slither", "mutants")


@pytest.mark.parametrize("part", rest(PARTS, *PARTS[:3]))
def test_what_is_promised_holds(part: str) -> None:
    # Halmos's short form is small: the suite's long one proves every property, which takes minutes.
    form = [] if is_long() and part == "halmos" else ["--short"]
    command = [ROOT / "dev", "prove", part, *form]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
