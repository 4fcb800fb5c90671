"""Every code that an answer of the API can carry stands in the table of errors, and nothing else does.

Codes are read from the sources: those of the API, and of every module that it imports by itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from api.errors import _OF_THE_LEDGER, _UNAVAILABLE
from ledger.errors import DependencyDown

ROOT = Path(__file__).resolve().parents[2]
NEVER_ANSWERED = {
    "api-down": "a command says it of a service that does not answer",
    "port-in-use": "the service does not start",
    "cache-down": "the doctor says it: answers come from the books then",
    "chain-lost": "of the local chain that `truetonne up` runs",
    "chain-older": "of the local chain that `truetonne up` runs",
    "chain-moved": "of the local chain that `truetonne up` runs",
    "node-ended": "of the local chain that `truetonne up` runs",
    "credits-do-not-move": "a settlement run says it; alarms are of the same room",
    "dispute-timed-out": "a settlement run says it; alarms are of the same room",
    "node-behind": "the mirror and commands ask for blocks that the books have; a proof says `not-found`",
    "wrong-code": "the mirror and `verify` look at the code of contracts",
    "shares": "an import of shares says it",
    "sealing-key-used": "`truetonne db keys` says it",
    "no-such-month": "a page alone asks for a month",
    "backup-folder": "an alarm of backups, of which the API has the number alone",
    "no-backup-folder": "without a folder the API looks for no alarms of backups",
}
"""Codes in those modules that no route leads to, and why."""
BEHIND = tuple((ROOT / "ledger" / "bundles").glob("*.py"))
"""Modules that those call, and that refuse what a route was asked for."""


def source_of(module: str) -> Path | None:
    """Return the file of a module of ours; None for a name that is none."""
    place = ROOT / module.replace(".", "/")
    found = (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())
    return next(found, None)


def imported(file: Path) -> Iterator[Path]:
    """Yield the files of the ledger that a file imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ledger":
            names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from (found for name in names if (found := source_of(name)) is not None)


def sources() -> set[Path]:
    """Return the files of the API, and those that they call; a package stands for what it hands on."""
    own = set((ROOT / "api").rglob("*.py"))
    direct = {found for file in own for found in imported(file)}
    packages = [file for file in direct if file.name == "__init__.py"]
    return own | direct | set(BEHIND) | {found for file in packages for found in imported(file)}


def codes_in(file: Path) -> Iterator[str]:
    """Yield the codes that errors are given in a file, and those that its errors have by themselves."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
            if isinstance(node.func, ast.Name) and node.func.id in ("Problem", "_outside"):
                values += node.args[1:2]
            for value in values:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value


def documented() -> dict[str, set[str]]:
    """Return the codes of the table, each with the statuses that it stands at."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    table = page.partition("| status | `code` | when |")[2].partition("\n\n")[0]
    found: dict[str, set[str]] = {}
    for statuses, codes in re.findall(r"^\| ([0-9, ]+) \| ([^|]+) \|", table, flags=re.MULTILINE):
        for code in re.findall(r"`([^`]+)`", codes):
            found.setdefault(code, set()).update(statuses.split(", "))
    return found


def test_every_code_of_an_error_is_documented() -> None:
    in_sources = {code for file in sources() for code in codes_in(file)}
    assert {"no-such-key", "not-proven", "bad-cursor", "block-not-mirrored"} <= in_sources
    assert set(NEVER_ANSWERED) <= in_sources
    by_themselves = {kind.default_code for kind in (*_OF_THE_LEDGER, DependencyDown)}
    by_themselves.add("idempotency-in-flight")  # of kinds of `Refused`, which are answered as it is
    answered = (in_sources | by_themselves | set(_UNAVAILABLE)) - set(NEVER_ANSWERED)
    table = documented()
    assert sorted(answered - set(table)) == []
    assert sorted(set(table) - answered) == []


def test_what_the_table_of_errors_says_of_dependencies_is_their_status() -> None:
    table = documented()
    assert all("503" in table[code] for code in _UNAVAILABLE)
    for kind, status in _OF_THE_LEDGER.items():
        assert str(status) in table[kind.default_code], (kind, HTTPStatus(status).phrase)
