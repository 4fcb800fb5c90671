"""A copy of the project in which one mutant at a time is compiled and tested."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.prove import shop
from scripts.prove.mutants.operators import Mutant

COPIED = ("contracts", "tests", "scripts", "foundry.toml", "brownie-config.yaml", "pyproject.toml")
LINKED = ("node_modules", ".tools")
FORGE_TIMEOUT_S = 180
BROWNIE_TIMEOUT_S = 600
SEED = "0x7e"
SHORT_SUITES = "tests/forge/{unit,fuzz,invariant}/**"
ELSEWHERE = "tests/forge/{gas,symbolic}/**"
# Which of Brownie's tests speak of a file; the first that fits.
BROWNIE_TESTS = (
    ("Credit", "tests/contracts/credit"),
    ("Ledger", "tests/contracts/credit"),
    ("Log", "tests/contracts/credit"),
    ("", "tests/contracts/settlement"),
)


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: killed by ``forge`` or ``brownie``, ``survived`` or ``invalid``."""

    outcome: str
    by: str
    seconds: float


class Workshop:
    """A folder with the sources and the tests; links for what is not changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mutated: str | None = None
        self._prepare()

    def attempt(self, mutant: Mutant, forge_only: str | None) -> Verdict:
        """Put the fault in, and test until something fails."""
        self._restore()
        source = (shop.ROOT / mutant.file).read_bytes()
        (self.folder / mutant.file).write_bytes(mutant.apply(source))
        self._mutated = mutant.file
        verdict = self._forge(forge_only)
        if verdict.outcome != "survived" or forge_only:
            return verdict
        brownie = self._brownie(mutant.file)
        return Verdict(brownie.outcome, brownie.by, verdict.seconds + brownie.seconds)

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in LINKED:
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(shop.ROOT / name)
        for name in COPIED:
            source, copy = shop.ROOT / name, self.folder / name
            if source.is_file():
                shutil.copy2(source, copy)
                continue
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        # Properties need all sources compiled with each mutant; they are proven elsewhere.
        shutil.rmtree(self.folder / "tests" / "forge" / "symbolic", ignore_errors=True)

    def _restore(self) -> None:
        if self._mutated:
            shutil.copy2(shop.ROOT / self._mutated, self.folder / self._mutated)
            self._mutated = None

    def _forge(self, suites: str | None) -> Verdict:
        env = {"FOUNDRY_OUT": "build/forge", "FOUNDRY_CACHE_PATH": "build/forge-cache"}
        chosen = ["--match-path", suites] if suites else ["--no-match-path", ELSEWHERE]
        command = ["forge", "test", "--fail-fast", "--fuzz-seed", SEED, *chosen]
        done = shop.run(command, timeout_s=FORGE_TIMEOUT_S, cwd=self.folder, env=env)
        if done.timed_out:
            return Verdict("forge", "it never ends", done.seconds)
        if done.code == 0:
            return Verdict("survived", "", done.seconds)
        if "Compiler run failed" in done.text or "compilation failed" in done.text.lower():
            return Verdict("invalid", "", done.seconds)
        failures = [line for line in done.text.splitlines() if line.startswith("[FAIL")]
        if not failures:
            raise shop.Refused(f"forge says no result: {done.text[-1000:]}")
        return Verdict("forge", failures[-1].rpartition("]")[2].strip()[:120], done.seconds)

    def _brownie(self, file: str) -> Verdict:
        tests = next(tests for start, tests in BROWNIE_TESTS if Path(file).name.startswith(start))
        command = [sys.executable, "-m", "pytest", "-x", "-q", tests]
        env = {"HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(self.folder)}
        done = shop.run(command, timeout_s=BROWNIE_TIMEOUT_S, cwd=self.folder, env=env)
        if done.code == 0:
            return Verdict("survived", "", done.seconds)
        failures = [line for line in done.out.splitlines() if line.startswith(("FAILED", "ERROR"))]
        if not failures and not done.timed_out:
            raise shop.Refused(f"pytest says no result: {done.text[-1000:]}")
        return Verdict("brownie", (failures or ["it never ends"])[0][:160], done.seconds)
