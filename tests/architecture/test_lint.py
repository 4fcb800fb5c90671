"""What ``./dev lint`` looks at, beside the other tests: before them, mypy would leave a processor idle for a minute."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_nothing_is_found() -> None:
    run = subprocess.run(
        [ROOT / "dev", "lint"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
