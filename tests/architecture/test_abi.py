"""The artifacts in the package are whole, and fit a chain; `tests/contracts` holds them against the sources."""

import json
import sys
from pathlib import Path

import pytest

from ledger.errors import DependencyDown
from scripts.export_abi import FOLDER, metadata_hash
from scripts.fresh import CONTRACTS, fresh_builds
from scripts.generate_decoders import generate
from scripts.generated import kept, run

ROOT = Path(__file__).resolve().parents[2]
CODE_BYTES_MAX = 24_576  # EIP-170
# What is deployed never grows, so the margin is for us alone: below it, a line more of readable code
# would not fit, and a rare path must move into a linked library before the next change.
MARGIN_BYTES = 300


def test_a_check_ends_with_1_when_a_file_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And writes nothing. What `scripts.export_abi` compares is compiled in `tests/contracts`."""
    file = tmp_path / "made.json"
    monkeypatch.setattr(sys, "argv", ["export_abi", "--check"])
    with pytest.raises(SystemExit, match="1"):
        run(lambda check: kept({file: "new"}, check))
    assert not file.exists()
    file.write_text("new")
    run(lambda check: kept({file: "new"}, check))


def test_artifacts_are_complete() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(CONTRACTS)
    for name in CONTRACTS:
        artifact = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        assert artifact["contractName"] == name
        assert artifact["sourceHash"] == metadata_hash(artifact["deployedBytecode"])
        assert "__" not in artifact["bytecode"]  # no library is left to link
        assert str(ROOT) not in json.dumps(artifact["abi"])


def test_code_fits_a_chain() -> None:
    for name in CONTRACTS:
        artifact = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        size = len(artifact["deployedBytecode"]) // 2 - 1
        assert size <= CODE_BYTES_MAX - MARGIN_BYTES, f"{name} has {size} bytes"


def test_decoders_are_those_of_the_abi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written by whoever calls it by its path, too: no program is looked for on PATH."""
    monkeypatch.setenv("PATH", "")
    assert generate(check=True) == [], "run `python -m scripts.generate_decoders`"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "does not run"),
        ("", "does not run"),
        ("#!/bin/sh\necho broken >&2\nexit 1\n", "does not run: broken"),
        ("#!/bin/sh\nkill -9 $$\n", r"was killed \(SIGKILL\)"),
    ],
)
def test_a_compiler_that_does_not_run_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, said: str
) -> None:
    """It is not there, is no program, ends with an error, or is killed: one line, that names it."""
    compiler = tmp_path / "solc-v0.8.37"
    if text is not None:
        compiler.write_text(text)
        compiler.chmod(0o755)
    monkeypatch.setenv("SOLCX_BINARY_PATH", str(tmp_path))
    with pytest.raises(DependencyDown, match=f"the compiler {compiler} {said}"):
        fresh_builds()
