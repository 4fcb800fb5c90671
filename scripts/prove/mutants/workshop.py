"""A copy of the project in which one mutant at a time is compiled and tested."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.prove import shop
from scripts.prove.mutants.operators import Mutant

COPIED = ("contracts", "tests", "scripts", "foundry.toml", "brownie-config.yaml", "pyproject.toml")
LINKED = ("node_modules", ".tools")
FORGE_TIMEOUT_S = 180
BROWNIE_TIMEOUT_S = 600
SEED = "0x7e"
QUICK = {  # a fault is to be found, not the shortest way to it
    "FOUNDRY_OPTIMIZER": "false",
    "FOUNDRY_FUZZ_RUNS": "48",
    "FOUNDRY_INVARIANT_RUNS": "3",
    "FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0",
    "FOUNDRY_AST": "false",  # and nothing else than code and ABI
    "FOUNDRY_EXTRA_OUTPUT": "[]",
}
SHORT_SUITES = ("unit",)
SUITES = (*SHORT_SUITES, "erc1155", "fuzz", "invariant")  # properties are proven elsewhere
LENDING = ("base", "invariant")  # their parts are used by other suites
# Which of Brownie's tests speak of a file; the first word that its name holds.
BROWNIE_TESTS = {
    "Settlement": "tests/contracts/settlement",
    "Trade": "tests/contracts/settlement",
    "AssetBook": "tests/contracts/settlement",
    "Netting": "tests/contracts/settlement",
    "Cosignature": "tests/contracts/settlement",
    "": "tests/contracts/credit",
}


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: killed by ``forge`` or ``brownie``, ``survived`` or ``invalid``.

    It is ``waiting`` when Forge has not killed it and Brownie has not been asked.
    """

    outcome: str
    by: str
    seconds: float


class Workshop:
    """A folder with the sources and the tests; links for what is not changed."""

    def __init__(self, folder: Path, suites: Sequence[str]) -> None:
        self.folder = folder
        self._suites = suites
        self._mutated: str | None = None
        self._prepare()

    def attempt(self, mutant: Mutant, before: Verdict | None) -> Verdict:
        """Put the fault in; ask Forge, or Brownie when Forge was asked before."""
        self._restore()
        source = self._sources[mutant.file]
        (self.folder / mutant.file).write_bytes(mutant.apply(source))
        self._mutated = mutant.file
        return self._brownie(mutant.file, before.seconds) if before else self._forge()

    def check_forge(self) -> None:
        """Refuse when the suites fail without any fault: they would kill everything."""
        self._restore()
        verdict = self._forge()
        if verdict.outcome != "waiting":
            raise shop.Refused(f"the suites fail on the sources as they are: {verdict}")

    def check_brownie(self, files: set[str]) -> None:
        """Refuse when the tests fail without any fault: they would kill everything."""
        self._restore()
        for tests in {_brownie_tests(file) for file in files}:
            done = self._pytest(tests)
            if done.code:
                raise shop.Refused(f"{tests} fails on the sources as they are: {done.out[-1000:]}")

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
        for suite in (self.folder / "tests" / "forge").iterdir():
            if suite.name not in (*self._suites, *LENDING):
                shutil.rmtree(suite)
            elif suite.name not in self._suites:
                for tests in suite.glob("*.t.sol"):
                    tests.unlink()
        # What the checkout becomes while a campaign runs is not looked at.
        self._sources = {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in (self.folder / "contracts").rglob("*.sol")
        }

    def _restore(self) -> None:
        if self._mutated:
            (self.folder / self._mutated).write_bytes(self._sources[self._mutated])
            self._mutated = None

    def _forge(self) -> Verdict:
        env = {"FOUNDRY_OUT": "build/forge", "FOUNDRY_CACHE_PATH": "build/forge-cache", **QUICK}
        command = ["forge", "test", "--fail-fast", "--fuzz-seed", SEED]
        done = shop.run(command, timeout_s=FORGE_TIMEOUT_S, cwd=self.folder, env=env)
        if done.timed_out:
            return Verdict("forge", "it never ends", done.seconds)
        if done.code == 0:
            return Verdict("waiting", "", done.seconds)
        if "Compiler run failed" in done.text or "compilation failed" in done.text.lower():
            return Verdict("invalid", "", done.seconds)
        failures = [line for line in done.text.splitlines() if line.startswith("[FAIL")]
        if not failures:
            raise shop.Refused(f"forge says no result: {done.text[-1000:]}")
        return Verdict("forge", _name(failures[-1]), done.seconds)

    def _brownie(self, file: str, seconds: float) -> Verdict:
        done = self._pytest(_brownie_tests(file))
        seconds += done.seconds
        if done.code == 0:
            return Verdict("survived", "", seconds)
        failures = [line for line in done.out.splitlines() if line.startswith(("FAILED", "ERROR"))]
        if not failures and not done.timed_out:
            raise shop.Refused(f"pytest says no result: {done.text[-1000:]}")
        return Verdict("brownie", (failures or ["it never ends"])[0][:160], seconds)

    def _pytest(self, tests: str) -> shop.Run:
        command = [sys.executable, "-m", "pytest", "-x", "-q", tests]
        env = {"HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(self.folder)}
        return shop.run(command, timeout_s=BROWNIE_TIMEOUT_S, cwd=self.folder, env=env)


def _brownie_tests(file: str) -> str:
    return next(tests for word, tests in BROWNIE_TESTS.items() if word in Path(file).name)


def _name(line: str) -> str:
    """Return the test of a line in which Forge says that it failed."""
    return next(
        (
            word
            for word in re.findall(r"(\w+)\([^()]*(?:\([^()]*\))?", line)
            if (word.startswith(("test", "invariant", "setUp", "afterInvariant")))
        ),
        line[:120],
    )
