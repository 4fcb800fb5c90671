"""PYTHONOPTIMIZE takes every ``assert`` away: what guards data where it is moved is none."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tells_types(condition: ast.expr) -> bool:
    """Whether a condition only tells the type checker what is known: not None, or of a class."""
    if isinstance(condition, ast.Compare):
        return isinstance(condition.ops[0], ast.IsNot)
    return isinstance(condition, ast.Call) and ast.unparse(condition.func) == "isinstance"


def test_what_moves_rows_checks_without_asserts() -> None:
    files = sorted((ROOT / "ledger" / "keeping").glob("*.py"))
    assert files
    guards = [
        f"{file.name}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert) and not tells_types(node.test)
    ]
    assert guards == []
