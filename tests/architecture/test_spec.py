"""Every requirement of contracts/SPEC.md stands in a test, and every contract test names one.

Brownie's tests name them in their docstrings, Forge's and Halmos's in their NatSpec.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OF_THE_TOOL = ("test_lightness.py",)
"""Files under tests/contracts that ask nothing of the contracts, but how Brownie runs their tests."""
NUMBER = re.compile(r"\b(?:CC|VS|DP)-\d\d\b")


def requirements() -> list[str]:
    """Return the numbers that the specification gives, in its order."""
    text = (ROOT / "contracts" / "SPEC.md").read_text(encoding="utf-8")
    return re.findall(r"^- \*\*((?:CC|VS|DP)-\d\d)\*\* ", text, flags=re.MULTILINE)


def contract_tests() -> Iterator[tuple[str, set[str]]]:
    """Return each test under tests/contracts with the numbers that its docstring begins with."""
    for path in sorted((ROOT / "tests" / "contracts").rglob("test_*.py")):
        if path.name in OF_THE_TOOL:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                head = (ast.get_docstring(node) or "").partition(":")[0]
                named = set(NUMBER.findall(head))
                yield f"{path.relative_to(ROOT)}::{node.name}", named


def forge_tests() -> Iterator[tuple[str, set[str]]]:
    """Return each test, invariant and property under tests/forge with the numbers it begins with."""
    pattern = re.compile(
        r"((?:^    ///[^\n]*\n)*)^    function ((?:test|invariant|afterInvariant|check_)\w*)\(",
        flags=re.MULTILINE,
    )
    for path in sorted((ROOT / "tests" / "forge").rglob("*.sol")):
        for notes, name in pattern.findall(path.read_text(encoding="utf-8")):
            head = notes.replace("///", "").replace("@notice", "").partition(":")[0]
            yield f"{path.relative_to(ROOT)}::{name}", set(NUMBER.findall(head))


def test_numbers_are_given_once_and_ascend() -> None:
    numbers = requirements()
    assert len(numbers) > 50
    assert len(set(numbers)) == len(numbers)
    for kind in ("CC", "VS", "DP"):
        of_kind = [number for number in numbers if number.startswith(kind)]
        assert of_kind == sorted(of_kind)


def test_a_requirement_says_must() -> None:
    text = (ROOT / "contracts" / "SPEC.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("- **")]
    assert len(lines) == len(requirements())
    assert [line for line in lines if "MUST" not in line] == []


def test_every_requirement_is_tested() -> None:
    tested = set().union(*(named for _, named in contract_tests()))
    assert [number for number in requirements() if number not in tested] == []


def test_every_contract_test_has_a_requirement() -> None:
    known = set(requirements())
    tests = [*contract_tests(), *forge_tests()]
    assert [name for name, named in tests if not named] == []
    unknown = {name: named - known for name, named in tests if named - known}
    assert unknown == {}


def test_forges_tests_are_found() -> None:
    kinds = [name.rpartition("::")[2] for name, _ in forge_tests()]
    for start in ("test", "testFuzz", "testGas", "invariant", "check_"):
        assert [name for name in kinds if name.startswith(start)], start
