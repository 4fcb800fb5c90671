"""The table of all that stands in the audit log, against the places that note it."""

import ast
import importlib
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from types import ModuleType

from ledger.audit import ACTIONS

ROOT = Path(__file__).resolve().parents[2]


def test_each_act_that_is_noted_is_in_the_table_of_acts() -> None:
    """`audit log --action` refuses a name that is in neither table nor log."""
    noted = set()
    for room in ("ledger", "indexer", "api", "cli"):
        for file in (ROOT / room).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            if "audit.record(" in text:
                name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
                noted |= {*_noted(ast.parse(text), importlib.import_module(name))}
    assert len(noted) > 30 and sorted(noted) == list(ACTIONS)


def _noted(tree: ast.Module, module: ModuleType) -> Iterator[str]:
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "audit.record":
            yield from _meant(call.args[1], module)


def _meant(said: ast.expr, module: ModuleType) -> Iterator[str]:
    """Yield what an argument stands for: a text, a constant of the module, or one of two."""
    if isinstance(said, ast.IfExp):
        yield from _meant(said.body, module)
        yield from _meant(said.orelse, module)
    elif isinstance(said, ast.Constant):
        yield said.value
    else:
        yield attrgetter(ast.unparse(said))(module)
